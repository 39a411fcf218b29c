"""The command line: ``python -m automation COMMAND [--stack S … | --all]``.

Exit codes: 0 clean, 1 error, 2 changes (``preview``), drift (``drift``), or accounts that joined or
left (``accounts``).
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
import yaml
from botocore.exceptions import CredentialRetrievalError

from automation import (
    account_factory,
    accounts,
    bootstrap,
    dead_letters,
    interruption,
    plans,
    policies,
    promotions,
    report,
    sign_in,
    stacks,
    studio,
    summary,
    teardown,
    vended,
)
from automation import destroy as destruction
from automation.models import command as models
from automation.models.hub import ModelsError
from automation.projects import codecommit, rendering, repositories, templates, vending
from automation.projects import program as projects_program
from automation.projects import spec as projects_spec
from automation.runs import StackRun, Verb, plain_outputs, run_all, run_stack
from components import settings
from components.naming import OWN_DOMAIN, Names
from components.settings import PlatformSettings, SettingsError

CLEAN, ERROR, CHANGES = 0, 1, 2
_ADMINISTERED = {
    "users": studio.Users,
    "domains": studio.Domains,
    "accounts": account_factory.Accounts,
}


def exit_code(verb: Verb, runs: Sequence[StackRun]) -> int:
    """The code for CI."""
    if not all(run.ok for run in runs):
        return ERROR
    if verb in ("preview", "drift") and any(run.steps for run in runs):
        return CHANGES
    return CLEAN


def load_settings(project_dir: Path, names: Sequence[str]) -> dict[str, PlatformSettings]:
    """The settings of stacks, each checked alone, and with those of all others.

    Raises:
        SettingsError: with every problem of the first stack that has any, or naming the accounts
            that no stack is for.
    """
    loaded = {name: settings.load_stack(project_dir, name) for name in names}
    settings.check_platform(project_dir, loaded.values())
    for stack in loaded.values():
        policies.check(stack)
    known = settings.stack_names(project_dir)
    for name, stack in loaded.items():
        without = [
            f"mlops:organization.accounts names {environment}, which has no file "
            f"{settings.stack_file(project_dir, environment).name}"
            for environment in stack.accounts
            if environment not in known
        ]
        if without:
            raise SettingsError(name, without)
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
    skip_preview: bool = False,
) -> list[StackRun]:
    """Run a verb on stacks in order; the policy pack is always on.

    An update without a plan is previewed first, stack by stack: one that breaks a mandatory policy
    or fails is stopped before anything of it is made. ``skip_preview`` leaves that out, as Pulumi's
    option of that name does.

    Raises:
        SettingsError: before anything is run, when the settings of any stack are not valid.
        PlanError: before anything is run, when a plan does not fit.
    """
    loaded = load_settings(project_dir, names)
    ordered = stacks.waves(
        names, reverse=verb == "destroy", known=settings.stack_names(project_dir)
    )
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
    access = (env or {}).get(settings.ACCESS_VARIABLE)
    role = "preview" if access == "preview" else "deployer"

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
        note = ""
        try:
            # A refresh makes nothing.
            if verb != "refresh":
                note = bootstrap.boundary_note(
                    lambda: _session(loaded[name], None, role), loaded[name].names
                )
        except bootstrap.BootstrapError as error:
            return StackRun(name, verb, errors=[str(error)])
        run = run_stack(
            stack,
            verb,
            progress=show,
            policy_packs=packs,
            policy_pack_configs=[policies.write(name, policies.configuration([loaded[name]]))],
            plan=chosen.get(name),
            previewed=plan_folder is None and not skip_preview,
        )
        run.note = "; ".join(filter(None, (note, run.note)))
        return run

    runs = run_all(ordered, one, verb)
    if plan_folder is not None and verb == "preview":
        placement = next(iter(loaded.values())).placement()
        every = [Names.at(placement, environment) for environment in placement["accounts"]]
        roles = {one.role_arn("preview"): one.role_arn("deployer") for one in every}
        plans.save(plan_folder, runs, project_dir, roles)
    return runs


def _tell(line: str) -> None:
    # One call a line: stacks are destroyed side by side.
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _session(
    settings_: PlatformSettings, profile: str | None, role: str = "deployer"
) -> boto3.Session:
    """A session of a stack's account: of a profile, else of one of the bootstrap's roles."""
    if profile:
        return boto3.Session(profile_name=profile, region_name=settings_.region)
    sts = boto3.Session(region_name=settings_.region).client("sts")
    given = sts.assume_role(RoleArn=settings_.names.role_arn(role), RoleSessionName="automation")[
        "Credentials"
    ]
    return boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=settings_.region,
    )


def outputs_of(names: Sequence[str], project_dir: Path = stacks.PROJECT_DIR) -> dict[str, Any]:
    """Stack -> its outputs, secrets left out."""
    return {
        name: plain_outputs(stacks.open_stack(name, project_dir=project_dir).outputs())
        for name in names
    }


def write_report(path: Path, names: Sequence[str], runs: Sequence[StackRun]) -> None:
    """Write the page of the platform as it stands."""
    loaded = load_settings(stacks.PROJECT_DIR, names)
    deployments = {name: stacks.deployment(name) for name in names}
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
        skip_preview=getattr(arguments, "skip_preview", False),
    )
    shown = None
    if verb == "up" and all(run.ok for run in runs):
        shown = {run.stack: run.outputs for run in runs}
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


def _policies(arguments: argparse.Namespace) -> int:
    (one,) = load_settings(stacks.PROJECT_DIR, [arguments.stack]).values()
    sys.stdout.write(policies.text(policies.configuration([one])))
    return CLEAN


def _check(arguments: argparse.Namespace) -> int:
    load_settings(stacks.PROJECT_DIR, arguments.names)
    sys.stdout.write("The settings of all stacks are valid and fit together.\n")
    return CLEAN


def _bootstrap(arguments: argparse.Namespace) -> int:
    loaded = load_settings(stacks.PROJECT_DIR, settings.stack_names(stacks.PROJECT_DIR))
    profiles = dict.fromkeys(loaded) | dict(arguments.profile)

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


def _accounts(arguments: argparse.Namespace) -> int:
    (hub,) = load_settings(stacks.PROJECT_DIR, ["governance"]).values()
    session = boto3.Session(profile_name=arguments.profile, region_name=hub.region)
    organizations: Any = session.client("organizations")
    if arguments.account:
        own, _ = accounts.adopt(
            organizations, stacks.PROJECT_DIR, arguments.account, arguments.name, arguments.cidr
        )
        _tell(accounts.next_steps(arguments.name, own.name))
        return CLEAN
    rows = accounts.survey(organizations, hub.organization)
    _tell(accounts.text(rows, hub.organization))
    differ = any(row.finding is not accounts.Finding.IN_PLACE for row in rows)
    return CHANGES if differ else CLEAN


def _factory_role(arguments: argparse.Namespace) -> int:
    del arguments
    (hub,) = load_settings(stacks.PROJECT_DIR, ["governance"]).values()
    json.dump(account_factory.role_documents(hub), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return CLEAN


def _promotions(arguments: argparse.Namespace) -> int:
    (hub,) = load_settings(stacks.PROJECT_DIR, ["governance"]).values()
    session = boto3.Session(profile_name=arguments.profile, region_name=hub.region)
    queues = promotions.Promotions(session, hub.names)
    if arguments.action == "list":
        _tell(promotions.table(queues.failed()))
    else:
        sent = queues.redrive(_tell, arguments.source)
        _tell(f"{sent} tried anew; what fails again comes back to: promotions list")
    return CLEAN


def _models(arguments: argparse.Namespace) -> int:
    (hub,) = load_settings(stacks.PROJECT_DIR, ["governance"]).values()
    models.run(arguments, hub.placement(), _tell)
    return CLEAN


def projects(name: str = "", clone_url: str = "") -> vending.Vending:
    """The projects of the platform of this checkout.

    Args:
        name: The project that progress is told of.
        clone_url: Where repositories are, instead of what the settings say.

    Raises:
        SettingsError: The settings are not valid.
    """
    platform, session = _deployers()
    return vending.Vending(
        platform,
        session,
        codecommit.hosting(platform, session, clone_url),
        _tell,
        summary.ProgressLines([f"project-{name}"] if name else []),
    )


def administered(
    kind: str, name: str = ""
) -> studio.Users | studio.Domains | account_factory.Accounts:
    """What administrators vend on the platform of this checkout.

    Args:
        kind: ``users``, ``domains`` or ``accounts``.
        name: Which of them progress is told of.

    Raises:
        SettingsError: The settings are not valid.
    """
    made = _ADMINISTERED[kind]
    platform, session = _deployers()
    progress = summary.ProgressLines([f"{made.noun}-{name}"] if name else [])
    return made(platform, session, _tell, progress)


def _deployers() -> tuple[dict[str, PlatformSettings], Callable[[str], boto3.Session]]:
    """The settings of all stacks, and sessions of their deployers."""
    platform = load_settings(stacks.PROJECT_DIR, settings.stack_names(stacks.PROJECT_DIR))
    return platform, lambda environment: _session(platform[environment], None)


def _projects(arguments: argparse.Namespace) -> int:
    vend = projects(arguments.name or "", arguments.clone_url or "")
    if arguments.action == "list":
        for project in vend.listed():
            _tell(f"{project['name']:<20}  {project['ci']:<12}  {project['repository']}")
        return CLEAN
    if not arguments.name:
        raise projects_spec.SpecError(f"projects {arguments.action} needs a project's name")
    if arguments.action == "upgrade":
        for done in vend.upgrade(arguments.name):
            _tell(done.text())
        return CLEAN
    for flag, told in (
        ("--delete-data", arguments.delete_data),
        ("--delete-models", arguments.delete_models),
    ):
        if told and arguments.action != "delete":
            raise projects_spec.SpecError(f"{flag} goes with delete only")
    given = _given(arguments)
    if arguments.action == "create":
        run = vend.create({"name": arguments.name, **given})
    elif arguments.action == "update":
        run = vend.update(arguments.name, given)
    else:
        administrators = _administrators(vend, arguments)
        run = vend.delete(
            arguments.name,
            erase=administrators if arguments.delete_data else None,
            forget=administrators if arguments.delete_models else None,
        )
    _tell(summary.text([run]))
    return exit_code("up", [run])


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings of what is to be vended: a file's, and over them those given one by one."""
    found = vended.read_file(arguments.file) if arguments.file else {}
    return found | {key: yaml.safe_load(value) for key, value in arguments.set}


def _administer(arguments: argparse.Namespace) -> int:
    name: str = arguments.name or ""
    vend = administered(arguments.command, name)
    if arguments.action == "list":
        for known in vend.listed():
            more = "  ".join(f"{known[key]:<20}" for key in sorted(set(known) - {"name", "id"}))
            _tell(f"{known['name']:<20}  {more}".rstrip())
        return CLEAN
    if not name:
        raise projects_spec.SpecError(f"{vend.noun}s {arguments.action} needs a {vend.noun}'s name")
    if arguments.action == "create":
        run = vend.create({"name": name, **_given(arguments)})
    elif arguments.action == "update":
        run = vend.update(name, _given(arguments))
    else:
        run = vend.delete(name)
    _tell(summary.text([run]))
    return exit_code("up", [run])


def _studio_url(arguments: argparse.Namespace) -> int:
    (dev,) = load_settings(stacks.PROJECT_DIR, ["dev"]).values()
    session = boto3.Session(profile_name=arguments.profile, region_name=dev.region)
    _tell(sign_in.studio_url(dev, session, arguments.user, arguments.domain))
    return CLEAN


def _administrators(vend: vending.Vending, arguments: argparse.Namespace) -> vending.Session:
    """Sessions that may delete data and models: deployers may not."""
    profiles = dict(arguments.profile)

    def session(environment: str) -> boto3.Session:
        return _session(vend.platform[environment], profiles.get(environment))

    return session


def _templates(arguments: argparse.Namespace) -> int:
    known = templates.load()
    if arguments.action == "list":
        for template in known.values():
            _tell(f"{template.id:<20}  {template.title}")
        return CLEAN
    if arguments.name not in known:
        raise templates.TemplateError(
            f"there is no template {arguments.name!r}, there are {', '.join(known)}"
        )
    _tell(templates.section(known[arguments.name]))
    return CLEAN


def _setting(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("expected KEY=VALUE")
    return key, value


def _profile(text: str) -> tuple[str, str]:
    environment, separator, name = text.partition("=")
    known = settings.stack_names(stacks.PROJECT_DIR)
    if not separator or environment not in known:
        raise argparse.ArgumentTypeError(f"expected ENVIRONMENT=PROFILE, one of {known}")
    return environment, name


def _add_settings(command: argparse.ArgumentParser, page: str) -> None:
    command.add_argument("--file", type=Path, help="YAML file with its settings")
    command.add_argument(
        "--set", action="append", type=_setting, default=[], metavar="KEY=VALUE",
        help=f"one setting, its value as YAML; see {page}",
    )  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    top = argparse.ArgumentParser(prog="python -m automation", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    known = settings.stack_names(stacks.PROJECT_DIR)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], help_: str
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help_)
        made.set_defaults(run=run)
        which = made.add_mutually_exclusive_group(required=True)
        which.add_argument("--stack", action="append", dest="names", choices=known)
        which.add_argument("--all", action="store_const", dest="names", const=list(known))
        return made

    preview = command("preview", _run, "what an update would change; exit code 2 when anything")
    preview.add_argument(
        "--read-only", action="store_true", help="assume the stacks' read-only roles"
    )
    preview.add_argument("--save-plans", type=Path, dest="plans", metavar="DIR")
    up = command("up", _run, "bring stacks up, in order")
    up.add_argument("--plans", type=Path, metavar="DIR", help="apply exactly these saved plans")
    up.add_argument(
        "--skip-preview",
        action="store_true",
        help="without plans: do not preview first; rules about whole stacks then judge at the end",
    )
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
        help="also delete objects, tables and home file systems; administrators by --profile",
    )
    destroy.add_argument("--profile", action="append", type=_profile, default=[])
    destroy.add_argument("--dry-run", action="store_true", help="only tell every step, in order")
    command("outputs", _outputs, "the stacks' outputs as JSON")

    configured = commands.add_parser(
        "policies", help="the policy pack's configuration of a stack, for --policy-pack-config"
    )
    configured.add_argument("--stack", required=True, choices=known)
    configured.set_defaults(run=_policies)
    check = commands.add_parser("check", help="check the settings of all stacks")
    check.set_defaults(run=_check, names=list(known))
    first = commands.add_parser("bootstrap", help="make state bucket, boundaries and roles")
    first.add_argument("--profile", action="append", type=_profile, default=[])
    first.add_argument("--dry-run", action="store_true")
    first.set_defaults(run=_bootstrap)
    units = commands.add_parser(
        "accounts", help="accounts of organisational units; exit code 2 when one joined or left"
    )
    units.add_argument(
        "--profile", help="of the organisation's management account or a delegated administrator"
    )
    units.set_defaults(run=_accounts, account=None)
    of_accounts = units.add_subparsers(dest="action")
    taking = of_accounts.add_parser(
        "adopt", help="write the stack file of an account, from that of its kind"
    )
    taking.add_argument("account", help="its id, 12 digits")
    taking.add_argument("--name", required=True, help="its environment: kind and name, prod-eu")
    taking.add_argument("--cidr", help="block of its network; by default the next free one")
    for action, what in (
        ("create", "vend an account into the unit of its kind"),
        ("update", "its owner, cost centre or kind"),
        ("delete", "forget it; the account stays"),
        ("list", "the accounts that were vended"),
    ):
        making = of_accounts.add_parser(action, help=what)
        making.set_defaults(run=_administer, name=None)
        if action != "list":
            making.add_argument("name", help="the account")
        if action in ("create", "update"):
            _add_settings(making, "docs/targets.md")
    of_accounts.add_parser(
        "factory-role", help="trust and rights of the role that makes accounts, as JSON"
    ).set_defaults(run=_factory_role)
    vended = commands.add_parser("projects", help="projects of data scientists")
    vended.add_argument("action", choices=("create", "update", "upgrade", "delete", "list"))
    vended.add_argument("name", nargs="?", help="the project")
    _add_settings(vended, "docs/projects.md")
    vended.add_argument(
        "--clone-url", help="address of {repository}, instead of that in the settings"
    )
    vended.add_argument(
        "--delete-data",
        action="store_true",
        help="delete: also what its buckets of batch predictions hold; administrators by --profile",
    )
    vended.add_argument(
        "--delete-models",
        action="store_true",
        help="delete: also its registered versions, cards, groups and promoted artifacts; as above",
    )
    vended.add_argument("--profile", action="append", type=_profile, default=[])
    vended.set_defaults(run=_projects)
    for kind, what in (
        ("users", "users of Studio that are not in the settings"),
        ("domains", "Studio domains of business units"),
    ):
        vended = commands.add_parser(kind, help=what)
        vended.add_argument("action", choices=("create", "update", "delete", "list"))
        vended.add_argument("name", nargs="?", help=f"the {_ADMINISTERED[kind].noun}")
        _add_settings(vended, "docs/operations.md")
        vended.set_defaults(run=_administer)
    opening = commands.add_parser(
        "studio-url", help="an address that opens one's own Studio profile, for five minutes"
    )
    opening.add_argument("--user", required=True, help="the profile: what one's identity is tagged")
    opening.add_argument("--domain", default=OWN_DOMAIN, help="a business unit's, if it is there")
    opening.add_argument("--profile", help="of one's own identity")
    opening.set_defaults(run=_studio_url)
    offered = commands.add_parser("templates", help="what projects can start from")
    offered.add_argument("action", choices=("list", "show"))
    offered.add_argument("name", nargs="?", default="", help="the template, to show it")
    offered.set_defaults(run=_templates)
    failed = commands.add_parser("promotions", help="approvals that could not be promoted")
    failed.add_argument("action", choices=("list", "redrive"))
    failed.add_argument(
        "--source", action="append", default=[], metavar="ARN", help="only this version of dev"
    )
    failed.add_argument("--profile", help="an ML engineer's profile in the hub's account")
    failed.set_defaults(run=_promotions)
    versions = commands.add_parser("models", help="the versions of the central registry")
    versions.set_defaults(run=_models)
    models.add(versions)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; errors are told without a traceback, and so is Ctrl-C."""
    arguments = parser().parse_args(argv)
    try:
        with interruption.handled():
            code: int = arguments.run(arguments)
    except KeyboardInterrupt:
        sys.stderr.write(f"{interruption.GO_ON}\n")
        return ERROR
    except (
        CredentialRetrievalError,
        ModelsError,
        SettingsError,
        accounts.AccountsError,
        bootstrap.BootstrapError,
        plans.PlanError,
        projects_program.PlatformError,
        projects_spec.SpecError,
        rendering.RenderingError,
        sign_in.SignInError,
        templates.TemplateError,
        dead_letters.QueueError,
        repositories.RepositoryError,
        teardown.TeardownError,
        vended.VendingError,
        stacks.StackError,
        stacks.UnknownStackError,
    ) as error:
        sys.stderr.write(f"{error}\n")
        return ERROR
    if interruption.asked():
        sys.stderr.write(f"{interruption.GO_ON}\n")
        return ERROR
    return code
