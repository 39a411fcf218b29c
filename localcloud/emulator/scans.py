"""Image scans: the packages that an image says it has, against the advisories that it was given.

A stand-in for ECR's scanner. It knows no vulnerabilities: whoever wants findings gives advisories
to the emulator (``POST /_localcloud/advisories``), and a scan tells which of them concern a package
that a ``requirements*.txt`` of the image pins. Without advisories every scan ends without findings,
and its description says how many it was compared with.
"""

from __future__ import annotations

import dataclasses
import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

SEVERITIES = ("UNDEFINED", "INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""Of findings. Source: FindingSeverity in ECR's API reference."""

_PIN = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True)
class Advisory:
    """A known weakness of versions of a package.

    Attributes:
        name: Such as ``CVE-2024-0001``.
        package: As package registries name it.
        versions: Which versions have it, such as ``<2.1``.
        severity: One of :data:`SEVERITIES`.
        description: What it is.
        uri: Where it is described.

    Raises:
        ValueError: Versions or severity are none.
    """

    name: str
    package: str
    versions: str
    severity: str
    description: str = ""
    uri: str = ""

    def __post_init__(self) -> None:
        """Checks it."""
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity {self.severity!r} is none of {', '.join(SEVERITIES)}")
        try:
            SpecifierSet(self.versions)
        except InvalidSpecifier as error:
            raise ValueError(f"versions {self.versions!r}: expected such as '<2.1'") from error

    def concerns(self, package: str, version: str) -> bool:
        """Whether a version of a package has it."""
        return canonicalize_name(package) == canonicalize_name(self.package) and SpecifierSet(
            self.versions
        ).contains(version, prereleases=True)


class Advisories:
    """The advisories that scans are compared with."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Advisory] = {}

    def add(self, given: Advisory) -> list[dict[str, Any]]:
        """Adds one; gives them all."""
        self._known[given.name, canonicalize_name(given.package)] = given
        return self.listed()

    def listed(self) -> list[dict[str, Any]]:
        """All of them."""
        return [dataclasses.asdict(advisory) for advisory in self._known.values()]

    def clear(self) -> list[dict[str, Any]]:
        """Forgets them."""
        self._known.clear()
        return []

    def findings(self, layers: Iterable[bytes]) -> tuple[list[dict[str, Any]], str]:
        """The findings of an image, and what the scan says of itself.

        Args:
            layers: The layers' content.
        """
        pins = list(packages(layers))
        found = [
            {
                "name": advisory.name,
                "severity": advisory.severity,
                "description": advisory.description,
                "uri": advisory.uri,
                "attributes": [
                    {"key": "package_name", "value": package},
                    {"key": "package_version", "value": version},
                ],
            }
            for advisory in self._known.values()
            for package, version in pins
            if advisory.concerns(package, version)
        ]
        told = (
            f"The local cloud compared {len(pins)} pinned packages with the"
            f" {len(self._known)} advisories that it was given."
        )
        return found, told


def packages(layers: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Name and version of the packages that an image's requirements files pin, each once."""
    seen: set[tuple[str, str]] = set()
    for layer in layers:
        for text in _requirements(layer):
            for name, version in _PIN.findall(text):
                if (name, version) not in seen:
                    seen.add((name, version))
                    yield name, version


def _requirements(layer: bytes) -> Iterator[str]:
    try:
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            for member in archive:
                if member.isfile() and PurePosixPath(member.name).match("requirements*.txt"):
                    opened = archive.extractfile(member)
                    yield opened.read().decode("utf-8", "replace") if opened else ""
    except (tarfile.TarError, EOFError, OSError):
        return  # Not every layer is an archive that a scanner can read.


def counts(findings: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Severity -> how many findings have it, those without any left out."""
    told = [str(finding["severity"]) for finding in findings]
    return {severity: told.count(severity) for severity in SEVERITIES if severity in told}
