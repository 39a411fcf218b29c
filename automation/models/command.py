"""``python -m automation models ACTION``, by the caller's own credentials."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from automation.models import decisions, text
from automation.models.hub import (
    CARDS,
    Hub,
    ModelsError,
    full_group,
    now,
    read_version_name,
    refused,
)
from automation.models.lineage import lineage
from automation.models.page import page
from automation.models.redrive import redrive
from components.naming import ENVIRONMENTS, Names, Placement, is_environment
from functions.deployment.machine import Approval

Tell = Callable[[str], None]

_STATUSES = {
    "approved": Approval.APPROVED,
    "pending": Approval.PENDING,
    "rejected": Approval.REJECTED,
}


def add(parser: argparse.ArgumentParser) -> None:
    """Adds the actions to the command's parser."""
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, help_: str, *, version: bool = False) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=help_)
        made.add_argument(
            "--profile",
            action="append",
            type=_profile,
            default=[],
            metavar="[ENVIRONMENT=]NAME",
            help="your profile in the hub's account, or in an environment's; again for more",
        )
        if version:
            made.add_argument("version", metavar="VERSION", help="PROJECT:NUMBER or its ARN")
        return made

    listing = action("list", "every version of the central registry")
    listing.add_argument("--group", metavar="PROJECT", help="only this project's")
    listing.add_argument("--status", choices=sorted(_STATUSES))
    listing.add_argument(
        "--metrics",
        type=_count,
        default=CARDS,
        metavar="N",
        help=f"of how many versions metrics are read, or all (default {CARDS})",
    )
    listing.add_argument("--verify", action="store_true", help="ask the endpoints too")
    listing.add_argument("--json", action="store_true")
    show = action("show", "everything of a version", version=True)
    origin = action("lineage", "where a version comes from", version=True)
    for made in (show, origin):
        made.add_argument("--json", action="store_true")
    for name, help_ in (
        ("approve", "let a version be deployed"),
        ("reject", "let it be deployed no more; where it serves, the one before comes back"),
    ):
        made = action(name, help_, version=True)
        made.add_argument("--reason", required=True, metavar="TEXT")
        made.add_argument("--again", action="store_true", help="though it is decided already")
    back = action("rollback", "put the previous approved version back")
    back.add_argument("--project", required=True)
    back.add_argument("--env", required=True, dest="environment")
    back.add_argument("--reason", required=True, metavar="TEXT")
    again = action("redrive", "hand events that the deployments' function failed on to it again")
    again.add_argument("--list", action="store_true", help="only show them, with their causes")
    again.add_argument(
        "--source", action="append", default=[], metavar="ARN",
        help="only this version's, this run's (its id), or sweep",
    )  # fmt: skip
    written = action("page", "write all of it as one HTML page")
    written.add_argument("file", type=Path, metavar="FILE")


def _profile(given: str) -> tuple[str, str]:
    environment, separator, name = given.partition("=")
    if not separator:
        return "governance", given
    if not is_environment(environment) or not name:
        raise argparse.ArgumentTypeError(
            f"expected NAME or ENVIRONMENT=NAME, such as {' or '.join(ENVIRONMENTS)}"
        )
    return environment, name


def _count(given: str) -> int | None:
    if given == "all":
        return None
    if not given.isascii() or not given.isdigit():
        raise argparse.ArgumentTypeError("expected a number or all")
    return int(given)


def run(arguments: argparse.Namespace, placement: Placement, tell: Tell) -> None:
    """Does what the command line asks for.

    Args:
        arguments: By :func:`add`'s parser.
        placement: The hub's.
        tell: Gets what people read, in whole lines.

    Raises:
        ModelsError: It cannot be done.
        QueueError: The queue of failed events cannot be used.
    """
    try:
        hub = Hub(placement, _sessions(dict(arguments.profile), placement))
        _ACTIONS[arguments.action](hub, arguments, tell)
    except ClientError as error:
        raise ModelsError(_explained(error)) from error
    except BotoCoreError as error:
        raise ModelsError(f"AWS cannot be asked: {error}.") from error


def _sessions(profiles: Mapping[str, str], placement: Placement) -> dict[str, boto3.Session]:
    """Sessions of the environments that can be asked: those that share the hub's account too.

    Raises:
        ModelsError: A profile is of an environment that the platform does not have.
    """
    unknown = sorted(set(profiles) - set(placement["accounts"]))
    if unknown:
        raise ModelsError(
            f"--profile names {', '.join(unknown)}, expected an environment of the platform: "
            f"{', '.join(placement['accounts'])}."
        )
    region = placement["region"]
    own = boto3.Session(profile_name=profiles.get("governance"), region_name=region)
    sessions = {
        environment: own
        for environment, account in placement["accounts"].items()
        if account == Names.at(placement, "governance").account_id
    }
    for environment, profile in profiles.items():
        if environment != "governance":
            sessions[environment] = boto3.Session(profile_name=profile, region_name=region)
    return sessions


def _explained(error: ClientError) -> str:
    told = refused(error)
    if not told.startswith("IAM"):
        return told
    return (
        f"{told} Versions are approved, rejected and rolled back by the hub's ML engineers, and "
        "read by its governance officers too: give a profile of such a role (--profile)."
    )


def _list(hub: Hub, arguments: argparse.Namespace, tell: Tell) -> None:
    group = full_group(arguments.group, hub.names) if arguments.group else None
    status = _STATUSES[arguments.status] if arguments.status else None
    models = hub.models(group, status, arguments.metrics)
    verified = hub.verify(models) if arguments.verify else None
    if arguments.json:
        tell(_json([text.values(model, verified) for model in models]))
    else:
        tell(text.table(models, now(), verified))


def _show(hub: Hub, arguments: argparse.Namespace, tell: Tell) -> None:
    model = hub.model(read_version_name(arguments.version, hub.names))
    if arguments.json:
        told = text.values(model) | {
            "facts": {title: dict(items) for title, items in text.facts(model)},
            "deployments": [
                dict(zip(text.HISTORY, row, strict=True)) for row in text.history(model.attempts)
            ],
        }
        tell(_json(told))
    else:
        tell(text.whole(model))


def _lineage(hub: Hub, arguments: argparse.Namespace, tell: Tell) -> None:
    model = hub.model(read_version_name(arguments.version, hub.names))
    parts = lineage(model, hub)
    if arguments.json:
        tell(_json([{**vars(part), "missing": not part.value} for part in parts]))
    else:
        tell(text.origin(model, parts))


def _approve(hub: Hub, arguments: argparse.Namespace, tell: Tell) -> None:
    model = hub.model(read_version_name(arguments.version, hub.names))
    decisions.approve(hub, model, arguments.reason, again=arguments.again, tell=tell)


def _reject(hub: Hub, arguments: argparse.Namespace, tell: Tell) -> None:
    model = hub.model(read_version_name(arguments.version, hub.names))
    decisions.reject(hub, model, arguments.reason, again=arguments.again, tell=tell)


def _rollback(hub: Hub, arguments: argparse.Namespace, tell: Tell) -> None:
    decisions.rollback(hub, arguments.project, arguments.environment, arguments.reason, tell)


def _redrive(hub: Hub, arguments: argparse.Namespace, tell: Tell) -> None:
    redrive(hub, tell, arguments.source, look=arguments.list)


def _page(hub: Hub, arguments: argparse.Namespace, tell: Tell) -> None:
    models = hub.models(cards=None)
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_text(page(models, now()), encoding="utf-8")
    tell(f"{len(models)} versions: {arguments.file}")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, default=str)


_ACTIONS: Mapping[str, Callable[[Hub, argparse.Namespace, Tell], None]] = {
    "list": _list,
    "show": _show,
    "lineage": _lineage,
    "approve": _approve,
    "reject": _reject,
    "rollback": _rollback,
    "redrive": _redrive,
    "page": _page,
}
