"""The process environment of local runs: everything made up, nothing of the caller's real cloud.

A developer's shell is full of real things: profiles, session keys, role ARNs, service endpoints, a
Pulumi token, a proxy. One of them reaching a local run could turn "local" into "production", so
`local_environment` drops whole families of variables and builds its own, and `ensure_loopback`
checks the result before an update starts.
"""

from __future__ import annotations

import configparser
import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from localcloud.paths import CHECKOUT, Paths
from localcloud.whole_files import write_whole

DEFAULT_PROFILE = "governance"
"""The profile of plain `aws` and boto3 calls in an activated shell: the hub account."""

PASSPHRASE = "localcloud"  # noqa: S105 - encrypts made-up values in a throw-away state
"""Passphrase of local state. It keeps no secret: local state holds only made-up values."""

INSTANCE = "LOCALCLOUD_INSTANCE"
"""The variable by which a shell says which instance it belongs to."""

_FOREIGN_FAMILIES = ("AWS_", "PULUMI_", "BOTO_")
"""Variable families that are dropped whole: a list of single names would never be complete."""

_KEPT = ("PULUMI_SKIP_CHECKPOINTS",)
"""What a caller may set of them: it says how the engine works, not what it works on."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")

_LOOPBACK_NAMES = "127.0.0.1,localhost,::1"


class NotRunningError(Exception):
    """The local cloud does not run, so there is nothing that a local environment could point at."""


class NotLocalError(Exception):
    """An environment for a local run could reach something that is not on this machine."""


@dataclass(frozen=True)
class AccessKey:
    """A made-up access key of an emulated account's administrator."""

    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class Instance:
    """One running emulator, as its `instance.json` describes it.

    Args:
        id: Name of the instance; a new emulator with empty state has a new one.
        endpoint: URL of the emulator, on loopback, without a path.
        pid: Process id of the emulator's supervisor.
        region: Region that the generated profiles name.
        accounts: Environment (governance, dev, preprod, prod) -> 12-digit account id.
        administrators: Account id -> key of its administrator user.
        paths: The checkout that the instance belongs to.
    """

    id: str
    endpoint: str
    pid: int
    region: str
    accounts: Mapping[str, str]
    administrators: Mapping[str, AccessKey]
    paths: Paths = CHECKOUT


def running_instance(paths: Paths = CHECKOUT) -> Instance:
    """Read the running emulator's description.

    Raises:
        NotRunningError: No instance file, or the process that wrote it is gone.
    """
    try:
        described = json.loads(paths.instance_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotRunningError("the local cloud is not running; start it with: make up") from None
    if not _alive(int(described["pid"])):
        raise NotRunningError(
            f"the local cloud is not running: its process {described['pid']} has ended; "
            "start it again with: make up"
        )
    return Instance(
        id=described["instance"],
        endpoint=described["endpoint"],
        pid=int(described["pid"]),
        region=described.get("region", "eu-west-1"),
        accounts=described["accounts"],
        administrators={
            account: AccessKey(key["access_key_id"], key["secret_access_key"])
            for account, key in described["administrators"].items()
        },
        paths=paths,
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def local_environment(base: Mapping[str, str], instance: Instance) -> dict[str, str]:
    """Turn any environment into one in which `pulumi`, `aws` and boto3 stay on this machine.

    A pure function: it reads no files and no process state. The files that the result names are
    written by `write_aws_files`.

    Args:
        base: The caller's environment; its AWS, Pulumi and proxy variables do not survive.
        instance: The emulator to point at.

    Returns:
        The whole environment for a child process.
    """
    paths = instance.paths
    kept = {name: value for name, value in base.items() if not _is_foreign(name)}
    # Compiling the SDK's modules anew at every start takes as long as everything else.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    path = [str(paths.venv / "bin"), str(paths.current_engine)]
    path += [entry for entry in base.get("PATH", os.defpath).split(os.pathsep) if entry not in path]
    return kept | {
        "PATH": os.pathsep.join(path),
        "VIRTUAL_ENV": str(paths.venv),
        "NO_PROXY": _LOOPBACK_NAMES,
        "no_proxy": _LOOPBACK_NAMES,
        INSTANCE: instance.id,
        "AWS_ENDPOINT_URL": instance.endpoint,
        "AWS_REGION": instance.region,
        "AWS_DEFAULT_REGION": instance.region,
        "AWS_PROFILE": DEFAULT_PROFILE,
        "AWS_CONFIG_FILE": str(paths.aws_config(instance.id)),
        "AWS_SHARED_CREDENTIALS_FILE": str(paths.aws_credentials(instance.id)),
        "AWS_EC2_METADATA_DISABLED": "true",
        # Some services (S3 control among them) would put the account before the endpoint's host.
        "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
        "PULUMI_HOME": str(paths.pulumi_home),
        # Without the checksum that would lie beside each file: nobody reads it, and the engine
        # writes the whole state twice for every resource.
        "PULUMI_BACKEND_URL": f"{paths.state(instance.id).as_uri()}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        # The CLI lives for seconds, and often for less: it collects garbage less often, for some
        # 30 MiB more memory.
        "GOGC": base.get("GOGC", "300"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # The CLI must neither look for plugins on the network nor take one that happens to lie on
        # PATH: the local providers are in the plugin cache below PULUMI_HOME.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
    }


def _is_foreign(name: str) -> bool:
    upper = name.upper()
    return (upper.startswith(_FOREIGN_FAMILIES) and upper not in _KEPT) or upper in _PROXIES


def write_aws_files(
    instance: Instance, people: Mapping[str, tuple[AccessKey, str]] | None = None
) -> None:
    """Write the AWS config and credentials files that `local_environment` names.

    Each environment has a profile of its name with its account's administrator key, and each
    profile repeats the endpoint, so that a tool which drops the variables still stays local.

    Args:
        instance: The running local cloud.
        people: Profile -> a person's key and the role that it is for.
    """
    config, credentials = configparser.RawConfigParser(), configparser.RawConfigParser()
    for environment, account in instance.accounts.items():
        key = instance.administrators[account]
        config[f"profile {environment}"] = {
            "region": instance.region,
            "endpoint_url": instance.endpoint,
        }
        credentials[environment] = {
            "aws_access_key_id": key.access_key_id,
            "aws_secret_access_key": key.secret_access_key,
        }
    for name, (key, role_arn) in (people or {}).items():
        config[f"profile {name}"] = {
            "region": instance.region,
            "endpoint_url": instance.endpoint,
            "role_arn": role_arn,
            "role_session_name": name,
            "source_profile": f"{name}-sign-in",
        }
        config[f"profile {name}-sign-in"] = {
            "region": instance.region,
            "endpoint_url": instance.endpoint,
        }
        credentials[f"{name}-sign-in"] = {
            "aws_access_key_id": key.access_key_id,
            "aws_secret_access_key": key.secret_access_key,
        }
    _write_private(instance.paths.aws_config(instance.id), config)
    _write_private(instance.paths.aws_credentials(instance.id), credentials)
    instance.paths.state(instance.id).mkdir(parents=True, exist_ok=True)


def _write_private(path: Path, content: configparser.RawConfigParser) -> None:
    text = StringIO()
    content.write(text)
    write_whole(path, text.getvalue(), 0o600)


def ensure_loopback(env: Mapping[str, str]) -> None:
    """Refuse an environment in which any AWS or Pulumi call could leave this machine.

    Raises:
        NotLocalError: Names every variable or file entry that is not local, all at once.
    """
    _refuse([*_ways_out(env), *_caller_problems(env), *_route_problems(env)])


def ensure_calls_stay(env: Mapping[str, str]) -> None:
    """Refuse an environment that sends calls elsewhere, whoever made it.

    Holds for builds and workflows too, which have made-up keys of their own and none of the
    generated files: whose keys and files are in use is not asked.

    Raises:
        NotLocalError: Names every variable or file entry that leads elsewhere, all at once.
    """
    _refuse(_ways_out(env))


def _refuse(problems: list[str]) -> None:
    if problems:
        raise NotLocalError(
            "refusing to start a local update, because it could reach a real cloud:\n"
            + "\n".join(f"  - {problem}" for problem in problems)
            + "\nRun it through `source localcloud/activate` or `make up`, which set these values."
        )


def _ways_out(env: Mapping[str, str]) -> list[str]:
    return [*_endpoint_problems(env), *_issuer_problems(env), *_backend_problems(env)]


def _endpoint_problems(env: Mapping[str, str]) -> list[str]:
    problems: list[str] = []
    if "AWS_ENDPOINT_URL" not in env:
        problems.append("AWS_ENDPOINT_URL is not set, so calls would go to AWS itself")
    problems += [
        f"{name}={value} is not on loopback"
        for name, value in sorted(env.items())
        if name.startswith("AWS_ENDPOINT_URL") and not is_loopback(value)
    ]
    if env.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        problems.append("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true switches the local endpoint off")
    config_file = env.get("AWS_CONFIG_FILE", os.devnull)
    config = configparser.RawConfigParser()
    config.read(config_file)
    problems += [
        f"{config_file}, section [{section}]: endpoint_url {value} is not on loopback"
        for section in config.sections()
        for option, text in config[section].items()
        for value in _urls(option, text)
        if not is_loopback(value)
    ]
    return problems


def _urls(option: str, text: str) -> list[str]:
    """The endpoint URLs of one config entry; a `services` section nests them in a text block."""
    if option == "endpoint_url":
        return [text]
    lines = (line.partition("=") for line in text.splitlines())
    return [value.strip() for name, _, value in lines if name.strip() == "endpoint_url"]


_TOKEN = "AWS_WEB_IDENTITY_TOKEN_FILE"  # noqa: S105 - a variable's name


def _issuer_problems(env: Mapping[str, str]) -> list[str]:
    issuers = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    # SDKs take a token to the endpoint that is set, as a workflow's job does; the engine's state
    # backend takes it to STS's public address, whatever is set.
    if not env.get("PULUMI_BACKEND_URL", "").startswith("file://"):
        issuers.append(_TOKEN)
    return [f"{name} is set: credentials would be asked for" for name in issuers if env.get(name)]


def _backend_problems(env: Mapping[str, str]) -> list[str]:
    problems: list[str] = []
    backend = env.get("PULUMI_BACKEND_URL")
    if backend is not None and not _backend_stays(backend):
        problems.append(
            f"PULUMI_BACKEND_URL={backend!r} is neither a folder on this machine nor a bucket at "
            "AWS_ENDPOINT_URL (s3://…?awssdk=v2)"
        )
    if env.get("PULUMI_ACCESS_TOKEN"):
        problems.append("PULUMI_ACCESS_TOKEN is set: a token of Pulumi Cloud")
    return problems


def _backend_stays(backend: str) -> bool:
    if backend.startswith("file://"):
        return True
    asked = parse_qs(urlsplit(backend).query)
    # Only this version of the SDK reads AWS_ENDPOINT_URL.
    to_the_endpoint = backend.startswith("s3://") and asked.get("awssdk") == ["v2"]
    return to_the_endpoint and all(is_loopback(url) for url in asked.get("endpoint", ()))


def _caller_problems(env: Mapping[str, str]) -> list[str]:
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", _TOKEN)
    problems = [f"{name} is set: credentials of the caller" for name in keys if env.get(name)]
    if "AWS_CONFIG_FILE" not in env:
        problems.append("AWS_CONFIG_FILE is not set, so the profiles in ~/.aws would be read")
    if "AWS_SHARED_CREDENTIALS_FILE" not in env:
        problems.append("AWS_SHARED_CREDENTIALS_FILE is not set, so ~/.aws would be read")
    if env.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        problems.append("AWS_EC2_METADATA_DISABLED is not true: instance roles could be used")
    return problems


def _route_problems(env: Mapping[str, str]) -> list[str]:
    problems = [
        f"{name} is set: calls would go through a proxy"
        for name in sorted(env)
        if name.upper() in _PROXIES and name.upper() != "NO_PROXY" and env[name]
    ]
    if "PULUMI_BACKEND_URL" not in env:
        problems.append("PULUMI_BACKEND_URL is not set, so the state would be where a login said")
    return problems


def is_loopback(url: str) -> bool:
    """Tell whether a URL's host is this machine's loopback address or `localhost`."""
    host = urlsplit(url).hostname
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
