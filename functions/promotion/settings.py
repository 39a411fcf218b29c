"""The function's settings, read once from its environment; :mod:`.handler` describes each.

What is too long for a variable is in a file beside this one, whose name the variable is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from .artifacts import MAX_PART_BYTES, MIN_PART_BYTES

_T = TypeVar("_T")
_ACCOUNT = re.compile(r"\d{12}")
_GROUP_PREFIX = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]*")
_FOLDER = Path(__file__).parent
_GIB = 1024**3
_MIB = 1024**2


class SettingsError(ValueError):
    """Settings are missing or wrong; the message has a line for each."""


@dataclass(frozen=True)
class Settings:
    """What a deployment decides; :mod:`.handler` has the meaning of each variable."""

    region: str
    hub_account: str
    models_bucket: str
    models_key_arn: str
    ledger_table: str
    dead_letter_queue_url: str
    max_receives: int
    reader_roles: Mapping[str, str]
    source_buckets: Mapping[str, tuple[str, ...]]
    source_prefixes: Mapping[str, str]
    group_prefix: str
    image_accounts: frozenset[str]
    image_repository: str
    group_policy: str
    service_roles: tuple[str, ...] = ()
    group_tags: Mapping[str, str] = field(default_factory=dict[str, str])
    card_owner: str = ""
    lease_seconds: int = 960
    copy_threshold_bytes: int = 5 * _GIB
    copy_part_bytes: int = 512 * _MIB


class Reader:
    """Reads a function's variables and remembers what is wrong with them."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.errors: list[str] = []

    def take(self, name: str, read: Callable[[str], _T], empty: _T, default: str = "") -> _T:
        """A variable's value; ``empty`` after a mistake, which is remembered."""
        text = self._environ.get(name, "").strip() or default
        if not text:
            self.errors.append(f"{name} is missing.")
            return empty
        try:
            return read(text)
        except ValueError as error:
            self.errors.append(f"{name} is {text[:120]!r}: {error}")
            return empty


def matching(pattern: str, what: str) -> Callable[[str], str]:
    """Gives what reads text of one form.

    Args:
        pattern: The whole text matches it.
        what: It, in words.
    """

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {what}.")
        return text

    return read


def number(least: int, most: int) -> Callable[[str], int]:
    """Gives what reads a whole number between two others."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(f"expected a whole number from {least} to {most}.")
        return int(text)

    return read


def json_value(text: str) -> Any:
    """Reads JSON.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"expected JSON ({error}).") from error


def _strings(text: str) -> dict[str, str]:
    loaded = json_value(text)
    if not isinstance(loaded, dict):
        raise ValueError("expected a JSON object of strings.")  # noqa: TRY004 - told with the rest
    items = cast(dict[str, Any], loaded)
    if not all(isinstance(value, str) for value in items.values()):
        raise ValueError("expected a JSON object of strings.")
    return items


def _by_account(text: str, value: str, what: str) -> dict[str, str]:
    items = _strings(text)
    for account, item in items.items():
        if not _ACCOUNT.fullmatch(account):
            raise ValueError(f"{account!r} is no account id of 12 digits.")
        if not re.fullmatch(value, item):
            raise ValueError(f"that of {account} is {item!r}, expected {what}.")
    return items


def _roles(text: str) -> dict[str, str]:
    roles = _by_account(text, r"arn:aws[a-z-]*:iam::\d{12}:role/.+", "a role's ARN")
    for account, role in roles.items():
        if role.split(":")[4] != account:
            raise ValueError(f"the role {role} is not of account {account}.")
    return roles


def _prefixes(text: str) -> dict[str, str]:
    return _by_account(text, _GROUP_PREFIX.pattern, "the beginning of group names")


def string_list(value: Any, what: str) -> tuple[str, ...]:
    """Checks a list of texts that are not empty.

    Args:
        value: From JSON.
        what: What the texts are, in words.

    Raises:
        ValueError: It is no such list.
    """
    if not isinstance(value, list):
        raise ValueError(f"expected a JSON list of {what}.")  # noqa: TRY004 - told with the rest
    items = cast(list[Any], value)
    if not all(isinstance(item, str) and item for item in items):
        raise ValueError(f"expected a JSON list of {what}.")
    return tuple(cast(list[str], items))


def read_names(text: str) -> tuple[str, ...]:
    """Reads a JSON list of names.

    Raises:
        ValueError: It is no such list.
    """
    return string_list(json_value(text), "names")


def _buckets(text: str) -> dict[str, tuple[str, ...]]:
    loaded = json_value(text)
    if not isinstance(loaded, dict):
        raise ValueError("expected a JSON object.")  # noqa: TRY004 - told with the rest
    items = cast(dict[str, Any], loaded)
    for account in items:
        if not _ACCOUNT.fullmatch(account):
            raise ValueError(f"{account!r} is no account id of 12 digits.")
    return {account: string_list(buckets, "bucket names") for account, buckets in items.items()}


def read_accounts(text: str) -> frozenset[str]:
    """Reads a JSON list of account ids.

    Raises:
        ValueError: It is no such list.
    """
    accounts = string_list(json_value(text), "account ids")
    for account in accounts:
        if not _ACCOUNT.fullmatch(account):
            raise ValueError(f"{account!r} is no account id of 12 digits.")
    return frozenset(accounts)


def _policy(name: str) -> str:
    if name == "-":
        return ""
    try:
        text = (_FOLDER / name).read_text("utf-8")
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error.strerror}).") from error
    document = json_value(text)
    if not isinstance(document, dict):
        raise ValueError("expected a policy document.")  # noqa: TRY004 - told with the rest
    # SageMaker takes policies of one line.
    return json.dumps(document)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Reads the settings.

    Raises:
        SettingsError: Variables are missing or wrong; it tells all of them.
    """
    reader = Reader(environ)
    account = matching(r"\d{12}", "an account id of 12 digits")
    no_strings: dict[str, str] = {}
    no_buckets: dict[str, tuple[str, ...]] = {}
    no_names: tuple[str, ...] = ()
    settings = Settings(
        region=reader.take("AWS_REGION", matching(r"[a-z]{2}[a-z0-9-]+", "a region"), ""),
        hub_account=reader.take("HUB_ACCOUNT", account, ""),
        models_bucket=reader.take(
            "MODELS_BUCKET", matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "a bucket's name"), ""
        ),
        models_key_arn=reader.take(
            "MODELS_KEY_ARN", matching(r"arn:aws[a-z-]*:kms:.+:\d{12}:key/.+", "a key's ARN"), ""
        ),
        ledger_table=reader.take(
            "LEDGER_TABLE", matching(r"[a-zA-Z0-9_.-]{3,255}", "a table's name"), ""
        ),
        dead_letter_queue_url=reader.take(
            "DEAD_LETTER_QUEUE_URL", matching(r"https?://.+/\d{12}/.+", "a queue's URL"), ""
        ),
        max_receives=reader.take("MAX_RECEIVES", number(1, 1000), 1),
        reader_roles=reader.take("READER_ROLES", _roles, no_strings),
        source_buckets=reader.take("SOURCE_BUCKETS", _buckets, no_buckets),
        source_prefixes=reader.take("SOURCE_PREFIXES", _prefixes, no_strings),
        group_prefix=reader.take(
            "GROUP_PREFIX", matching(_GROUP_PREFIX.pattern, "the beginning of group names"), ""
        ),
        image_accounts=reader.take("IMAGE_ACCOUNTS", read_accounts, frozenset[str](), "[]"),
        image_repository=reader.take(
            "IMAGE_REPOSITORY",
            matching(r"[a-z0-9][a-z0-9/._-]*", "the beginning of repository names"),
            "",
        ),
        group_policy=reader.take("GROUP_POLICY_FILE", _policy, "", "-"),
        group_tags=reader.take("GROUP_TAGS", _strings, no_strings, "{}"),
        service_roles=reader.take("SERVICE_ROLES", read_names, no_names, "[]"),
        card_owner=environ.get("CARD_OWNER", "").strip(),
        lease_seconds=reader.take("LEASE_SECONDS", number(1, 43_200), 1, "960"),
        copy_threshold_bytes=reader.take(
            "COPY_THRESHOLD_BYTES", number(1, 5 * _GIB), 1, str(5 * _GIB)
        ),
        copy_part_bytes=reader.take(
            "COPY_PART_BYTES", number(MIN_PART_BYTES, MAX_PART_BYTES), 1, str(512 * _MIB)
        ),
    )
    if not reader.errors:
        for name, accounts in (
            ("SOURCE_BUCKETS", settings.source_buckets),
            ("SOURCE_PREFIXES", settings.source_prefixes),
        ):
            if set(accounts) != set(settings.reader_roles):
                reader.errors.append(f"{name} must name the same accounts as READER_ROLES.")
    if reader.errors:
        raise SettingsError("Settings of the promotion function:\n" + "\n".join(reader.errors))
    return settings
