"""What a CI job does before its command: ``python -m automation.ci install`` and ``sign-in``.

Pulumi is taken as a release whose checksum stands here, because the SDK's own installer runs a
script that nothing checks. A job of GitHub Actions exchanges its token once, for an hour: the
token itself ends after five minutes, and every tool that is left to exchange it does so anew.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import platform
import sys
import tarfile
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

PULUMI_VERSION = "3.255.0"
"""The release that jobs run: the one that the local cloud's tests run with."""

PULUMI_CHECKSUMS: Mapping[str, str] = {
    "x64": "cf559568e2c32f7fae56ea3de8ae5fa48973ba8c5aa9dd2b3dc0c8898fe50dba",
    "arm64": "699fbc6ea848d997e9b3645487f108d27b1b55ec807c7576406131e6e080f0e3",
}
"""Architecture -> SHA-256 of the release's archive for Linux. Those of another version stand in
``pulumi-VERSION-checksums.txt`` of its release."""

SESSION_SECONDS = 3600
"""The longest session that a role gives, unless its maximum was raised. Source: IAM user guide."""

_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_TIMEOUT_SECONDS = 60
_AUDIENCE = "sts.amazonaws.com"
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "SessionToken",
}


class CIError(RuntimeError):
    """A job cannot go on; the message says why and what to do."""


def _download(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - made here
        return answer.read()


def install(
    folder: Path,
    *,
    machine: str | None = None,
    checksums: Mapping[str, str] = PULUMI_CHECKSUMS,
    download: Callable[[str], bytes] = _download,
) -> Path:
    """Unpack the pinned release of Pulumi, once its checksum is found right.

    Args:
        folder: Where its folder ``pulumi`` is made.
        machine: As ``uname -m`` calls it; this one by default.
        checksums: Architecture -> SHA-256 of the archive.
        download: Address -> content.

    Returns:
        The folder for ``PATH``.

    Raises:
        CIError: there is no release for the machine, it is not to be had, or it is another than the
            pinned one; nothing was unpacked.
    """
    machine = machine or platform.machine()
    architecture = _ARCHITECTURES.get(machine.lower(), "")
    if architecture not in checksums:
        raise CIError(
            f"no checksum of Pulumi {PULUMI_VERSION} for {machine} is pinned, only for Linux on "
            f"{', '.join(checksums)}: add it to PULUMI_CHECKSUMS in automation/ci.py"
        )
    name = f"pulumi-v{PULUMI_VERSION}-linux-{architecture}.tar.gz"
    url = f"https://github.com/pulumi/pulumi/releases/download/v{PULUMI_VERSION}/{name}"
    try:
        content = download(url)
    except (OSError, HTTPException) as error:
        raise CIError(
            f"{name} could not be downloaded from Pulumi's releases on GitHub: {error}"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != checksums[architecture]:
        raise CIError(
            f"{name} is not the archive that automation/ci.py pins, so nothing was unpacked: its "
            f"SHA-256 is {found}, expected was {checksums[architecture]}. Compare with Pulumi's "
            "release, and find out what lies between it and this machine"
        )
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "pulumi"


def sign_in(env: Mapping[str, str], tell: Callable[[str], object]) -> dict[str, str]:
    """Exchange the job's OIDC token for a session of its role.

    The token is in no file, in no log and on no command line.

    Args:
        env: Of a job of GitHub Actions with ``id-token: write``: ``ACTIONS_ID_TOKEN_REQUEST_URL``
            and ``_TOKEN``, ``AWS_ROLE_ARN``, ``AWS_REGION``, ``GITHUB_RUN_ID``.
        tell: Takes the commands by which the runner keeps what is secret out of its logs.

    Returns:
        The variables of the session's keys, good for `SESSION_SECONDS`.

    Raises:
        CIError: the job may have no token, or the role does not trust it.
    """
    absent = [
        name
        for name in ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
        if not env.get(name)
    ]
    if absent:
        raise CIError(
            f"the job has no {' and no '.join(absent)}: it needs the permission id-token: write, "
            "which GitHub gives to no pull request of a fork"
        )
    for name in ("AWS_ROLE_ARN", "AWS_REGION"):
        if not env.get(name):
            raise CIError(f"the job sets no {name}: see docs/operations.md, CI")
    token = _token(env)
    tell(f"::add-mask::{token}\n")
    sts = boto3.client(
        "sts",
        region_name=env["AWS_REGION"],
        config=Config(signature_version=UNSIGNED),  # type: ignore[arg-type]
    )
    try:
        given = sts.assume_role_with_web_identity(
            RoleArn=env["AWS_ROLE_ARN"],
            RoleSessionName=f"github-{env.get('GITHUB_RUN_ID', 'run')}",
            WebIdentityToken=token,
            DurationSeconds=SESSION_SECONDS,
        )["Credentials"]
    except (BotoCoreError, ClientError) as error:
        raise CIError(f"{env['AWS_ROLE_ARN']} gave the job no session: {error}") from error
    keys = {variable: str(given[name]) for variable, name in _VARIABLES.items()}
    for secret in keys.values():
        tell(f"::add-mask::{secret}\n")
    return keys


def _token(env: Mapping[str, str]) -> str:
    request = urllib.request.Request(  # noqa: S310 - the runner's own address
        f"{env['ACTIONS_ID_TOKEN_REQUEST_URL']}&audience={_AUDIENCE}",
        headers={"Authorization": f"bearer {env['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            return str(json.load(answer)["value"])
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise CIError(f"GitHub gave the job no OIDC token: {error}") from error


def _append(env: Mapping[str, str], name: str, lines: Sequence[str]) -> None:
    """Hand something on to the job's next steps, where it is a job of GitHub Actions."""
    if file := env.get(name):
        with Path(file).open("a", encoding="utf-8") as kept:
            kept.writelines(f"{line}\n" for line in lines)


def main(arguments: Sequence[str], env: Mapping[str, str]) -> int:
    """Do one of the two; 1 and a line on standard error where it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m automation.ci", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    installing = verbs.add_parser("install", help="unpack the pinned release of Pulumi")
    installing.add_argument("folder", type=Path, help="its folder pulumi is made in there")
    verbs.add_parser("sign-in", help="exchange a GitHub Actions job's token for its role's keys")
    given = parser.parse_args(arguments)
    try:
        if given.verb == "install":
            _append(env, "GITHUB_PATH", [str(install(given.folder))])
        else:
            # On the same runner only: GitHub keeps the file for the job's other steps.
            keys = sign_in(env, sys.stdout.write)
            _append(env, "GITHUB_ENV", [f"{name}={key}" for name, key in keys.items()])
    except CIError as error:
        sys.stderr.write(f"automation.ci: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
