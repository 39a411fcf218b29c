"""Build specifications: what CodeBuild reads, checked whole before anything runs.

Source: CodeBuild user guide, "Build specification reference for CodeBuild". What the local cloud
cannot do is refused by the key's name; what only makes builds faster is read and left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
ABORT, CONTINUE = "ABORT", "CONTINUE"

_VERSION = "0.2"
_SHELLS = ("bash", "/bin/bash", "sh", "/bin/sh")
_KNOWN: Mapping[str, frozenset[str]] = {
    "": frozenset({"version", "env", "phases", "artifacts", "cache"}),
    "env": frozenset(
        {
            "shell", "variables", "parameter-store", "secrets-manager", "exported-variables",
            "git-credential-helper",
        }
    ),
    "phase": frozenset({"on-failure", "commands", "finally", "runtime-versions"}),
    "artifacts": frozenset(
        {
            "files", "name", "discard-paths", "base-directory", "exclude-paths",
            "secondary-artifacts",
        }
    ),
}  # fmt: skip
_REFUSED = {
    "batch": "batch builds",
    "proxy": "proxies",
    "reports": "test reports",
    "run-as": "other users",
    "enable-symlinks": "links in artifacts",
    "s3-prefix": "prefixes of artifacts",
    "steps": "steps",
}


class BuildspecError(Exception):
    """A build specification that cannot be run; the message says where and why."""


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
        commands: Run in order until one fails.
        last: Run afterwards whatever happened: the block ``finally``.
        on_failure: ``ABORT``, ``CONTINUE``, or empty for the phase's own way.
        runtimes: Runtime -> version that the image would be asked for.
    """

    commands: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    on_failure: str = ""
    runtimes: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Artifact:
    """Files that a build gives.

    Attributes:
        files: Patterns below the base directory.
        base: Directory below the source, empty for the source itself.
        exclude: Patterns of what is left out.
        flat: Whether files lose their folders.
        name: Name of the archive, empty for the project's.
    """

    files: tuple[str, ...]
    base: str = ""
    exclude: tuple[str, ...] = ()
    flat: bool = False
    name: str = ""

    def found(self, source: Path) -> Iterator[tuple[Path, str]]:
        """The files with their names in the artifact.

        Raises:
            BuildspecError: The base directory is not there, or no file is.
        """
        bases = sorted(source.glob(self.base)) if self.base else [source]
        if not bases:
            raise BuildspecError(f"no matching base directory path found for {self.base}")
        names: dict[str, Path] = {}
        for base in bases:
            left_out = {path for pattern in self.exclude for path in _matching(base, pattern)}
            for pattern in self.files:
                for path in _matching(base, pattern):
                    if path not in left_out:
                        names[path.name if self.flat else str(path.relative_to(base))] = path
        if not names:
            raise BuildspecError(f"no matching artifact paths found for {', '.join(self.files)}")
        for name in sorted(names):
            yield names[name], name


def _matching(base: Path, pattern: str) -> Iterator[Path]:
    clean = pattern.removeprefix("./")
    if clean.startswith("/") or ".." in clean.split("/"):
        raise BuildspecError(f"the artifact path {pattern} leads out of the source")
    # In the reference "**/*" takes the files of the folder itself too, as in Python.
    for path in base.glob(f"{clean}/*" if clean.endswith("**") else clean):
        if path.is_file() and ".git" not in path.relative_to(base).parts[:1]:
            yield path


@dataclass(frozen=True)
class Buildspec:
    """A build specification.

    Attributes:
        variables: Name -> value.
        parameters: Name -> parameter in Parameter Store.
        secrets: Name -> ``secret-id[:json-key[:version-stage[:version-id]]]``.
        exported: Variables that a pipeline gets afterwards.
        phases: Phase's name -> phase.
        artifacts: The artifact, None without one.
        secondary: Identifier -> further artifact.
        unused: Keys that were read and have no effect here.
    """

    variables: Mapping[str, str]
    parameters: Mapping[str, str]
    secrets: Mapping[str, str]
    exported: tuple[str, ...]
    phases: Mapping[str, Phase]
    artifacts: Artifact | None
    secondary: Mapping[str, Artifact]
    unused: tuple[str, ...]


def parse(text: str) -> Buildspec:
    """Reads a build specification.

    Raises:
        BuildspecError: It is no YAML, says what is not allowed, or what the local cloud cannot do.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BuildspecError(f"the buildspec is no YAML: {error}") from error
    given = _mapping(content, "the buildspec")
    version = str(given.get("version", ""))
    if version != _VERSION:
        raise BuildspecError(f"version is {version or 'missing'}; the local cloud runs {_VERSION}")
    _keys(given, "", "the buildspec")
    env = _mapping(given.get("env") or {}, "env")
    _keys(env, "env", "env")
    shell = str(env.get("shell", "bash"))
    if shell not in _SHELLS:
        raise BuildspecError(f"env/shell is {shell}; the local cloud runs bash")
    phases = {
        name: _phase(_mapping(phase or {}, f"phases/{name}"), name)
        for name, phase in _mapping(given.get("phases") or {}, "phases").items()
    }
    if not any(phase.commands for phase in phases.values()):
        raise BuildspecError("phases has no commands")
    artifacts, secondary = _artifacts(_mapping(given.get("artifacts") or {}, "artifacts"))
    unused = [key for key in ("cache",) if key in given]
    unused += [f"env/{key}" for key in ("git-credential-helper",) if key in env]
    return Buildspec(
        variables=_texts(env, "variables"),
        parameters=_texts(env, "parameter-store"),
        secrets=_texts(env, "secrets-manager"),
        exported=_lines(env.get("exported-variables"), "env/exported-variables"),
        phases=phases,
        artifacts=artifacts,
        secondary=secondary,
        unused=tuple(unused),
    )


def _phase(given: Mapping[str, Any], name: str) -> Phase:
    where = f"phases/{name}"
    if name not in PHASES:
        raise BuildspecError(f"{where}: phases are {', '.join(PHASES)}")
    _keys(given, "phase", where)
    on_failure = str(given.get("on-failure", ""))
    if on_failure not in ("", ABORT, CONTINUE):
        raise BuildspecError(
            f"{where}/on-failure is {on_failure}; the local cloud has {ABORT} and {CONTINUE}"
        )
    return Phase(
        commands=_lines(given.get("commands"), f"{where}/commands"),
        last=_lines(given.get("finally"), f"{where}/finally"),
        on_failure=on_failure,
        runtimes=_texts(given, "runtime-versions"),
    )


def _artifacts(given: Mapping[str, Any]) -> tuple[Artifact | None, dict[str, Artifact]]:
    _keys(given, "artifacts", "artifacts")
    further = _mapping(given.get("secondary-artifacts") or {}, "artifacts/secondary-artifacts")
    secondary = {
        name: _artifact(_mapping(item, f"secondary-artifacts/{name}"), f"artifacts/{name}")
        for name, item in further.items()
    }
    return (_artifact(given, "artifacts") if "files" in given else None), secondary


def _artifact(given: Mapping[str, Any], where: str) -> Artifact:
    _keys(given, "artifacts", where)
    files = _lines(given.get("files"), f"{where}/files")
    if not files:
        raise BuildspecError(f"{where}/files is missing")
    return Artifact(
        files=files,
        base=str(given.get("base-directory", "")).removesuffix("/"),
        exclude=_lines(given.get("exclude-paths"), f"{where}/exclude-paths"),
        flat=str(given.get("discard-paths", "no")).lower() in ("yes", "true"),
        name=str(given.get("name", "")),
    )


def _keys(given: Mapping[str, Any], kind: str, where: str) -> None:
    for key in given:
        if key in _REFUSED:
            raise BuildspecError(f"{where}: the local cloud has no {_REFUSED[key]} ({key})")
        if key not in _KNOWN[kind]:
            known = ", ".join(sorted(_KNOWN[kind]))
            raise BuildspecError(f"{where}: {key} is unknown; there are: {known}")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BuildspecError(f"{where} is no mapping of names")
    return {str(key): item for key, item in cast("dict[Any, Any]", value).items()}


def _texts(given: Mapping[str, Any], key: str) -> dict[str, str]:
    values = _mapping(given.get(key) or {}, key)
    for name, value in values.items():
        if isinstance(value, dict | list):
            raise BuildspecError(f"{key}/{name} is no text")
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _lines(value: Any, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    items = cast("list[Any]", value) if isinstance(value, list) else [value]
    if any(isinstance(item, dict | list) for item in items):
        # "- echo a: b" is a mapping to YAML, which everybody writes once.
        raise BuildspecError(f"{where} holds what is no text: put quotes around it")
    return tuple(_text(item) for item in items)
