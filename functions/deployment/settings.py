"""The function's settings, read once from its environment; :mod:`.handler` describes each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from ..promotion.settings import (
    Reader,
    SettingsError,
    json_value,
    matching,
    number,
    read_accounts,
    read_names,
    string_list,
)

EVIDENCE = ("metrics", "card", "scan")
"""What can be asked for; :mod:`.evidence` tells what each is."""

SEVERITIES = ("INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""Of ECR's findings, the least first. Source: FindingSeverity in ECR's API reference."""


@dataclass(frozen=True)
class Settings:
    """What a deployment decides; :mod:`.handler` has the meaning of each variable."""

    region: str
    hub_account: str
    ledger_table: str
    group_prefix: str
    project_parameters: str
    evidence: Mapping[str, tuple[str, ...]]
    manual_approvals: frozenset[str]
    image_accounts: frozenset[str]
    scan_severity: str
    service_roles: tuple[str, ...]
    build_roles: tuple[str, ...]
    github_api_url: str
    start_lease: timedelta
    silence: timedelta

    @property
    def environments(self) -> tuple[str, ...]:
        """The environments of the way, in its order."""
        return tuple(self.evidence)


def _evidence(text: str) -> dict[str, tuple[str, ...]]:
    loaded = json_value(text)
    if not isinstance(loaded, dict) or not loaded:
        raise ValueError("expected a JSON object with an environment at least.")
    found: dict[str, tuple[str, ...]] = {}
    for environment, value in cast(dict[str, Any], loaded).items():
        if not re.fullmatch(r"[a-z][a-z0-9-]*", environment):
            raise ValueError(f"{environment!r} is no environment.")
        found[environment] = string_list(value, "kinds of evidence")
        for kind in found[environment]:
            if kind not in EVIDENCE:
                raise ValueError(f"{kind!r} is none of {', '.join(EVIDENCE)}.")
    return found


def _url(text: str) -> str:
    if not re.fullmatch(
        r"https://[^\s/?#@]+(/[^\s?#]*)?|http://(127\.0\.0\.1|localhost):\d+", text
    ):
        raise ValueError("expected an address that begins with https://.")
    return text.rstrip("/")


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Reads the settings.

    Raises:
        SettingsError: Variables are missing or wrong; it tells all of them.
    """
    reader = Reader(environ)
    no_evidence: dict[str, tuple[str, ...]] = {}
    seconds = number(1, 604_800)
    settings = Settings(
        region=reader.take("AWS_REGION", matching(r"[a-z]{2}[a-z0-9-]+", "a region"), ""),
        hub_account=reader.take("HUB_ACCOUNT", matching(r"\d{12}", "12 digits"), ""),
        ledger_table=reader.take(
            "LEDGER_TABLE", matching(r"[a-zA-Z0-9_.-]{3,255}", "a table's name"), ""
        ),
        group_prefix=reader.take(
            "GROUP_PREFIX", matching(r"[a-zA-Z0-9][a-zA-Z0-9-]*", "the beginning of names"), ""
        ),
        project_parameters=reader.take(
            "PROJECT_PARAMETERS", matching(r"/[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*", "a path"), ""
        ),
        evidence=reader.take(
            "EVIDENCE",
            _evidence,
            no_evidence,
            '{"preprod": ["metrics", "card"], "prod": ["metrics", "card", "scan"]}',
        ),
        manual_approvals=frozenset(
            reader.take("MANUAL_APPROVALS", read_names, tuple[str, ...](), '["prod"]')
        ),
        image_accounts=reader.take("IMAGE_ACCOUNTS", read_accounts, frozenset[str](), "[]"),
        scan_severity=reader.take(
            "SCAN_SEVERITY", matching("|".join(SEVERITIES), ", ".join(SEVERITIES)), "", "HIGH"
        ),
        service_roles=reader.take("SERVICE_ROLES", read_names, tuple[str, ...](), "[]"),
        build_roles=reader.take("BUILD_ROLES", read_names, tuple[str, ...](), "[]"),
        github_api_url=reader.take("GITHUB_API_URL", _url, "", "https://api.github.com"),
        start_lease=timedelta(seconds=reader.take("START_LEASE_SECONDS", seconds, 1, "120")),
        silence=timedelta(seconds=reader.take("SILENCE_SECONDS", seconds, 1, "14400")),
    )
    unknown = settings.manual_approvals - set(settings.evidence)
    if unknown and not reader.errors:
        reader.errors.append(
            f"MANUAL_APPROVALS names {', '.join(sorted(unknown))}, which EVIDENCE does not."
        )
    if reader.errors:
        raise SettingsError("Settings of the deployment function:\n" + "\n".join(reader.errors))
    return settings
