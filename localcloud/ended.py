"""What is left of a local cloud that has ended: all of it is kept, and no shell uses it.

The next instance takes the same port and the same administrators' keys, so a shell from before
would reach it, with Pulumi state and profiles that speak of things that are gone.
"""

from __future__ import annotations

import configparser
import shlex
from pathlib import Path

from localcloud.paths import Paths

_INSTANCES = "2*-*-*"
_KEPT = ("region", "endpoint_url")
"""Options of a profile that stay, so that what uses it goes on pointing at this machine."""


def notice(instance: str) -> str:
    """What a shell of an instance that has ended is told.

    Args:
        instance: Id of the instance.
    """
    return (
        f"This shell belongs to local cloud {instance}, which has ended. Run `source "
        "localcloud/activate` again; if no local cloud runs, `make up` before."
    )


def set_aside(paths: Paths) -> tuple[str, ...]:
    """Moves state and pages to the instances' `ended` folders; their profiles say what happened.

    The caller holds the checkout's lock, and has seen that no instance runs.

    Args:
        paths: The checkout.

    Returns:
        Ids of all instances of which Pulumi state is kept, the oldest first.
    """
    folders = sorted(path for path in paths.local.glob(_INSTANCES) if path.is_dir())
    for folder in folders:
        _keep(folder / "pulumi", paths.ended(folder.name))
        _end_profiles(folder.name, paths)
    # A checkout's pages show its last instance.
    for page in sorted(paths.local.glob("*.html")) if folders else ():
        _keep(page, paths.ended(folders[-1].name))
    return tuple(folder.name for folder in folders if any(folder.glob("ended/pulumi*")))


def _keep(path: Path, folder: Path) -> None:
    if not path.exists():
        return
    folder.mkdir(exist_ok=True)
    names = (f"{path.stem}{number}{path.suffix}" for number in ("", *map(str, range(2, 1000))))
    path.rename(next(folder / name for name in names if not (folder / name).exists()))


def _end_profiles(instance: str, paths: Paths) -> None:
    """The profiles stay, so that boto3 and the AWS CLI say why they no longer work."""
    given, credentials = paths.aws_config(instance), paths.aws_credentials(instance)
    if not credentials.exists():
        return
    config = configparser.RawConfigParser()
    config.read(given, encoding="utf-8")
    for path in (given, credentials):
        _keep(path, paths.ended(instance))
    said = f"echo {shlex.quote(notice(instance))} >&2; exit 1"
    for profile in config.sections():
        kept = {key: config[profile][key] for key in _KEPT if key in config[profile]}
        config[profile] = {**kept, "credential_process": f"sh -c {shlex.quote(said)}"}
    with given.open("w", encoding="utf-8") as file:
        config.write(file)
