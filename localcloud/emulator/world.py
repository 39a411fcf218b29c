"""What authorization reads of the emulated accounts: owners, policies, tags, keys, endpoints.

All of it is moto's state, read in place: asking moto's API for it would double every call's time.
Each lookup gives None for what does not exist; the call itself then fails with the service's error.
"""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from moto.backends import get_backend

_accounts: frozenset[str] = frozenset()

_MISSING = (KeyError, AttributeError, IndexError, TypeError, ValueError)


def use_accounts(accounts: frozenset[str]) -> None:
    """Sets the accounts that exist; lookups never create state in others."""
    global _accounts
    _accounts = accounts


def backend(service: str, account: str, region: str) -> Any:
    """moto's backend of a service; global services have the region ``aws``."""  # noqa: D403
    backends = cast(Any, get_backend(cast(Any, service)))[account]
    return backends["aws"] if "aws" in backends else backends[region]


@dataclass(frozen=True)
class Arn:
    """The parts of an ARN."""

    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn | None:
        """Splits an ARN; None for other text."""
        parts = text.split(":", 5)
        if len(parts) < 6 or parts[0] != "arn":
            return None
        return cls(parts[2], parts[3], parts[4], parts[5])


def bucket(name: str) -> Any:
    """A bucket of any account."""
    found = cast(Any, get_backend("s3")).bucket_accounts.get(name)
    if not found:
        return None
    partition, account = found
    return cast(Any, get_backend("s3"))[account][partition].buckets.get(name)


def bucket_owner(name: str) -> str | None:
    """The account that owns a bucket."""
    found = cast(Any, get_backend("s3")).bucket_accounts.get(name)
    return found[1] if found else None


def _key(account: str, region: str, key_id: str) -> Any:
    if account not in _accounts:
        return None
    keys = backend("kms", account, region).keys
    return dict.get(keys, key_id)


def organization_id(account: str) -> str | None:
    """The organisation that an account manages."""
    made = backend("organizations", account, "").org
    return cast(str, made.id) if made is not None else None


def key_aliases(arn: str) -> list[str]:
    """The aliases of a key."""
    parsed = Arn.parse(arn)
    if parsed is None:
        return []
    key = _key(parsed.account, parsed.region, parsed.resource.removeprefix("key/"))
    return sorted(key.aliases) if key is not None else []


def key_arn(given: str, account: str, region: str) -> str | None:
    """The ARN of a key given by id, ARN, alias or alias ARN."""
    arn = Arn.parse(given)
    if arn:
        account, region, given = arn.account, arn.region, arn.resource.removeprefix("key/")
    if account not in _accounts:
        return None
    if given.startswith("alias/"):
        for key in list(backend("kms", account, region).keys.values()):
            if given in key.aliases:
                return cast(str, key.arn)
        return None
    key = _key(account, region, given)
    return cast(str, key.arn) if key else None


def key_of_ciphertext(blob: bytes) -> str | None:
    """The key that a ciphertext was made with: its id stands first in it."""
    with contextlib.suppress(struct.error, UnicodeDecodeError):
        key_id = struct.unpack("<36s", blob[:36])[0].decode()
        for account in _accounts:
            for region_backend in list(cast(Any, get_backend("kms"))[account].values()):
                key = dict.get(region_backend.keys, key_id)
                if key:
                    return cast(str, key.arn)
    return None


def role_arn(account: str, name: str) -> str | None:
    """The ARN of a role, with its path."""
    role = _role(account, name)
    return cast(str, role.arn) if role else None


def _role(account: str, name: str) -> Any:
    if account not in _accounts:
        return None
    roles = backend("iam", account, "").roles
    return next((role for role in list(roles.values()) if role.name == name), None)


def role_boundary(account: str, name: str) -> str | None:
    """The ARN of a role's permissions boundary."""
    role = _role(account, name)
    return role.permissions_boundary_arn if role else None


def secret_arn(given: str, account: str, region: str) -> str | None:
    """The whole ARN of a secret given by name or ARN."""
    arn = Arn.parse(given)
    if arn:
        account, region = arn.account, arn.region
    if account not in _accounts:
        return None
    with contextlib.suppress(*_MISSING):
        return cast(str, backend("secretsmanager", account, region).secrets[given].arn)
    return None


def vpc_endpoint(account: str, region: str, endpoint_id: str) -> Any:
    """A VPC endpoint of an account."""
    return backend("ec2", account, region).vpc_end_points.get(endpoint_id)


def default_bucket_key(name: str) -> str | None:
    """The KMS key of a bucket's default encryption."""
    with contextlib.suppress(*_MISSING):
        rule = bucket(name).encryption["Rule"]
        rule = rule[0] if isinstance(rule, list) else rule
        default = cast(dict[str, Any], rule["ApplyServerSideEncryptionByDefault"])
        if str(default["SSEAlgorithm"]).startswith("aws:kms"):
            return cast("str | None", default.get("KMSMasterKeyID"))
    return None


def object_key(bucket_name: str, name: str) -> str | None:
    """The KMS key that an object is encrypted with."""
    with contextlib.suppress(*_MISSING):
        item = bucket(bucket_name).keys.get(name)
        if item.encryption and str(item.encryption).startswith("aws:kms"):
            return cast("str | None", item.kms_key_id)
    return None


def trust_policy(arn: str) -> str | None:
    """The trust policy of a role."""
    parsed = Arn.parse(arn)
    role = _role(parsed.account, parsed.resource.rsplit("/", 1)[-1]) if parsed else None
    return role.assume_role_policy_document if role else None


def _bucket_policy(arn: Arn) -> Any:
    found = bucket(arn.resource.split("/", 1)[0])
    return found.policy if found else None


def _key_policy(arn: Arn) -> Any:
    """The key's policy; grants count as statements of it, which is how KMS weighs them."""
    key = _key(arn.account, arn.region, arn.resource.removeprefix("key/"))
    if key is None:
        return None
    if not key.grants:
        return key.policy
    document = json.loads(key.policy)
    statements = document["Statement"]
    document["Statement"] = [
        *(statements if isinstance(statements, list) else [statements]),
        *(_grant_statement(grant) for grant in list(key.grants.values())),
    ]
    return document


def _grant_statement(grant: Any) -> dict[str, Any]:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"AWS": grant.grantee_principal},
        "Action": [f"kms:{operation}" for operation in grant.operations],
        "Resource": "*",
    }
    constraints: dict[str, dict[str, str]] = grant.constraints or {}
    pairs = {**constraints.get("EncryptionContextSubset", {})}
    pairs |= constraints.get("EncryptionContextEquals", {})
    if pairs:
        statement["Condition"] = {
            "StringEquals": {f"kms:EncryptionContext:{key}": value for key, value in pairs.items()}
        }
    return statement


def _repository_policy(arn: Arn) -> Any:
    repositories = backend("ecr", arn.account, arn.region).repositories
    return repositories[arn.resource.removeprefix("repository/")].policy


def _topic_policy(arn: Arn) -> Any:
    whole = f"arn:aws:sns:{arn.region}:{arn.account}:{arn.resource}"
    return backend("sns", arn.account, arn.region).topics[whole].policy


def _queue_policy(arn: Arn) -> Any:
    return backend("sqs", arn.account, arn.region).queues[arn.resource].policy


def _bus_policy(arn: Arn) -> Any:
    if not arn.resource.startswith("event-bus/"):
        return None
    buses = backend("events", arn.account, arn.region).event_buses
    return buses[arn.resource.removeprefix("event-bus/")].policy


def _secret_policy(arn: Arn) -> Any:
    whole = f"arn:aws:secretsmanager:{arn.region}:{arn.account}:{arn.resource}"
    return backend("secretsmanager", arn.account, arn.region).secrets[whole].policy


_POLICIES: dict[str, Callable[[Arn], Any]] = {
    "ecr": _repository_policy,
    "events": _bus_policy,
    "kms": _key_policy,
    "s3": _bucket_policy,
    "secretsmanager": _secret_policy,
    "sns": _topic_policy,
    "sqs": _queue_policy,
}


def resource_policy(arn: str) -> Any:
    """The policy attached to a resource that moto keeps, as JSON or a mapping."""
    parsed = Arn.parse(arn)
    if parsed is None or parsed.service not in _POLICIES:
        return None
    if parsed.service != "s3" and parsed.account not in _accounts:
        return None
    try:
        policy = _POLICIES[parsed.service](parsed)
    except Exception:
        return None
    return policy.decode() if isinstance(policy, bytes) else policy or None


def _as_tags(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        items = cast(dict[str, Any], value)
        return {
            str(key): str(item["Value"] if isinstance(item, dict) else item)
            for key, item in items.items()
        }
    return {
        str(tag.get("Key", tag.get("key", tag.get("TagKey")))): str(
            tag.get("Value", tag.get("value", tag.get("TagValue")))
        )
        for tag in cast(list[dict[str, Any]], value or [])
    }


def tags(arn: str) -> dict[str, str]:
    """The tags of a resource that moto keeps; empty when there are none or it keeps none."""
    parsed = Arn.parse(arn)
    if parsed is None or parsed.account not in _accounts:
        return {}
    try:
        for value in _tag_sources(parsed, arn):
            return _as_tags(value)
    except Exception:
        return {}
    return {}


def _tag_sources(parsed: Arn, arn: str) -> Iterator[Any]:
    if parsed.service == "iam" and parsed.resource.startswith("role/"):
        yield _role(parsed.account, parsed.resource.rsplit("/", 1)[-1]).tags
    elif parsed.service == "ec2":
        ec2 = backend("ec2", parsed.account, parsed.region)
        yield ec2.tags.get(parsed.resource.rsplit("/", 1)[-1], {})
    elif parsed.service == "sagemaker":
        yield backend("sagemaker", parsed.account, parsed.region).list_tags(arn)
    elif parsed.service == "kms":
        kms = backend("kms", parsed.account, parsed.region)
        yield kms.list_resource_tags(parsed.resource.removeprefix("key/"))["Tags"]
