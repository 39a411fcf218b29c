"""The command line: ``python -m automation COMMAND [--stack S … | --all]``.

Exit codes: 0 clean, 1 error, 2 changes (``preview``) or drift (``drift``).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3

from automation import bootstrap, plans, report, stacks, summary
from automation import destroy as destruction
from automation.runs import StackRun, Verb, run_all, run_stack
from components import settings
from components.naming import ENVIRONMENTS
from components.settings import PlatformSettings, SettingsError

CLEAN, ERROR, CHANGES = 0, 1, 2


def exit_code(verb: Verb, runs: Sequence[StackRun]) -> int:
    """The code for CI."""
    if not all(run.ok for run in runs):
        return ERROR
    if verb in ("preview", "drift") and any(run.steps for run in runs):
        return CHANGES
    return CLEAN


def load_settings(project_dir: Path, names: Sequence[str]) -> dict[str, PlatformSettings]:
    """The settings of stacks, each checked alone and all together.

    Raises:
        SettingsError: with every problem of the first stack that has any.
    """
    loaded = {name: settings.load_stack(project_dir, name) for name in names}
    settings.check_together(list(loaded.values()))
    return loaded


def operate(
    verb: Verb,
    names: Sequence[str],
    *,
    project_dir: Path = stacks.PROJECT_DIR,
    plan_folder: Path | None = None,
    destroying: destruction.Options | None = None,
    profiles: Mapping[str, str] | None = None,
    progress: Callable[[StackRun, str], None] | None = None,
    env: Mapping[str, str] | None = None,
) -> list[StackRun]:
    """Run a verb on stacks in order; the policy pack is always on.

    Raises:
        SettingsError: before anything is run, when the settings of any stack are not valid.
        PlanError: before anything is run, when a plan does not fit.
    """
    loaded = load_settings(project_dir, names)
    ordered = stacks.waves(names, reverse=verb == "destroy")
    chosen: dict[str, str] = {}
    if plan_folder is not None and verb == "preview":
        plan_folder.mkdir(parents=True, exist_ok=True)
        chosen = {name: str(plans.path(plan_folder, name).resolve()) for name in names}
    elif plan_folder is not None:
        chosen = {
            name: str(plans.approved(plan_folder, name, project_dir).resolve()) for name in names
        }
    show = progress or summary.ProgressLines([name for wave in ordered for name in wave])
    secrets_provider = os.environ.get("PULUMI_SECRETS_PROVIDER")

    def one(name: str) -> StackRun:
        stack = stacks.open_stack(
            name, project_dir=project_dir, secrets_provider=secrets_provider, env=env
        )
        packs = [str(project_dir / stacks.POLICY_PACK)]
        if verb == "destroy":
            return destruction.destroy(
                stack,
                lambda: _session(loaded[name], (profiles or {}).get(name)),
                destroying or destruction.Options(),
                progress=show,
                policy_packs=packs,
                tell=lambda what: _tell(f"{name}: {what}"),
            )
        return run_stack(stack, verb, progress=show, policy_packs=packs, plan=chosen.get(name))

    runs = run_all(ordered, one, verb)
    if plan_folder is not None and verb == "preview":
        roles = {
            stack.names.role_arn("preview"): stack.names.role_arn("deployer")
            for stack in load_settings(project_dir, ENVIRONMENTS).values()
        }
        plans.save(plan_folder, runs, project_dir, roles)
    return runs


def _tell(line: str) -> None:
    # One call a line: stacks are destroyed side by side.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _session(settings_: PlatformSettings, profile: str | None) -> boto3.Session:
    """A session of a stack's account: of a profile, else of its deployer."""
    if profile:
        return boto3.Session(profile_name=profile, region_name=settings_.region)
    sts = boto3.Session(region_name=settings_.region).client("sts")
    given = sts.assume_role(
        RoleArn=settings_.names.role_arn("deployer"), RoleSessionName="teardown"
    )["Credentials"]
    return boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=settings_.region,
    )


def outputs_of(names: Sequence[str], project_dir: Path = stacks.PROJECT_DIR) -> dict[str, Any]:
    """Stack -> its outputs, secrets left out."""
    found: dict[str, Any] = {}
    for name in names:
        values = stacks.open_stack(name, project_dir=project_dir).outputs()
        found[name] = {key: value.value for key, value in values.items() if not value.secret}
    return found


def write_report(path: Path, names: Sequence[str], runs: Sequence[StackRun]) -> None:
    """Write the page of the platform as it stands."""
    loaded = load_settings(stacks.PROJECT_DIR, names)
    deployments = {name: stacks.open_stack(name).export_stack().deployment or {} for name in names}
    report.write(path, deployments, {name: loaded[name].account_id for name in names}, runs)


def _run(arguments: argparse.Namespace) -> int:
    verb: Verb = arguments.command
    env = {"PULUMI_EXPERIMENTAL": "true"}
    if getattr(arguments, "read_only", False):
        env[settings.ACCESS_VARIABLE] = "preview"
    project_dir = stacks.PROJECT_DIR
    runs = operate(
        verb,
        arguments.names,
        project_dir=project_dir,
        plan_folder=getattr(arguments, "plans", None),
        destroying=destruction.Options(
            getattr(arguments, "include_protected", False),
            getattr(arguments, "delete_data", False),
            getattr(arguments, "dry_run", False),
        ),
        profiles=dict(getattr(arguments, "profile", [])),
        env=env,
    )
    shown = outputs_of(arguments.names) if verb == "up" and all(r.ok for r in runs) else None
    sys.stdout.write(summary.text(runs, shown) + "\n")
    if getattr(arguments, "markdown", None):
        arguments.markdown.write_text(summary.markdown(runs))
    if getattr(arguments, "report", None):
        write_report(arguments.report, arguments.names, runs)
    return exit_code(verb, runs)


def _outputs(arguments: argparse.Namespace) -> int:
    json.dump(outputs_of(arguments.names), sys.stdout, indent=2, sort_keys=True)
    sys.stdout.write("\n")
    return CLEAN


def _check(arguments: argparse.Namespace) -> int:
    load_settings(stacks.PROJECT_DIR, arguments.names)
    sys.stdout.write("The settings of all stacks are valid and fit together.\n")
    return CLEAN


def _bootstrap(arguments: argparse.Namespace) -> int:
    loaded = load_settings(stacks.PROJECT_DIR, ENVIRONMENTS)
    profiles = dict.fromkeys(ENVIRONMENTS) | dict(arguments.profile)

    def session(environment: str) -> boto3.Session:
        return boto3.Session(
            profile_name=profiles[environment] or environment,
            region_name=loaded[environment].region,
        )

    result = bootstrap.bootstrap(
        list(loaded.values()),
        session,
        dry_run=arguments.dry_run,
        report=print,
    )
    sys.stdout.write(
        f"\nBackend:          export PULUMI_BACKEND_URL={result.backend_url}\n"
        f"Secrets provider: export PULUMI_SECRETS_PROVIDER={result.secrets_provider}\n"
    )
    return CLEAN


def _profile(text: str) -> tuple[str, str]:
    environment, separator, name = text.partition("=")
    if not separator or environment not in ENVIRONMENTS:
        raise argparse.ArgumentTypeError(f"expected ENVIRONMENT=PROFILE, one of {ENVIRONMENTS}")
    return environment, name


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    top = argparse.ArgumentParser(prog="python -m automation", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], help_: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help_)
        made.set_defaults(run=run)
        which = made.add_mutually_exclusive_group(required=True)
        which.add_argument("--stack", action="append", dest="names", choices=ENVIRONMENTS)
        which.add_argument("--all", action="store_const", dest="names", const=list(ENVIRONMENTS))
        return made

    preview = command("preview", _run, "what an update would change; exit code 2 when anything")
    preview.add_argument(
        "--read-only", action="store_true", help="assume the stacks' read-only roles"
    )
    preview.add_argument("--save-plans", type=Path, dest="plans", metavar="DIR")
    up = command("up", _run, "bring stacks up, in order")
    up.add_argument("--plans", type=Path, metavar="DIR", help="apply exactly these saved plans")
    up.add_argument("--report", type=Path, metavar="FILE", help="page of the platform, as HTML")
    command("refresh", _run, "read the cloud into the state")
    drift = command("drift", _run, "what was changed behind Pulumi; writes nothing; exit code 2")
    for made in (preview, up, drift):
        made.add_argument(
            "--markdown", type=Path, metavar="FILE", help="summary for a pull request"
        )
    destroy = command("destroy", _run, "remove stacks, in reverse order")
    destroy.add_argument("--include-protected", action="store_true")
    destroy.add_argument(
        "--delete-data",
        action="store_true",
        help="also delete objects and home file systems; needs --profile of an administrator",
    )
    destroy.add_argument("--profile", action="append", type=_profile, default=[])
    destroy.add_argument("--dry-run", action="store_true", help="only tell every step, in order")
    command("outputs", _outputs, "the stacks' outputs as JSON")

    check = commands.add_parser("check", help="check the settings of all stacks")
    check.set_defaults(run=_check, names=list(ENVIRONMENTS))
    first = commands.add_parser("bootstrap", help="make state bucket and roles on empty accounts")
    first.add_argument("--profile", action="append", type=_profile, default=[])
    first.add_argument("--dry-run", action="store_true")
    first.set_defaults(run=_bootstrap)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors are told without a traceback."""
    arguments = parser().parse_args(argv)
    try:
        return arguments.run(arguments)
    except (
        SettingsError,
        bootstrap.BootstrapError,
        plans.PlanError,
        stacks.StackError,
        stacks.UnknownStackError,
    ) as error:
        sys.stderr.write(f"{error}\n")
        return ERROR
