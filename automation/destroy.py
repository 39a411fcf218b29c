"""Destroying one stack: what surrounds Studio, the domains, what they leave, then everything else.

Each part looks anew at what there is, so a run that failed or was killed is gone on with by the
same command.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from pulumi import automation as auto
from pulumi.automation import CommandError

from automation import recovery, teardown
from automation.runs import Progress, StackRun, run_stack

_FAILURES = (
    BotoCoreError,
    ClientError,
    CommandError,
    recovery.RecoveryError,
    teardown.TeardownError,
)
_ATTEMPTS = 3


@dataclass(frozen=True)
class Options:
    """What may go.

    Attributes:
        include_protected: Protected and retained resources as well.
        delete_data: Objects in buckets, tables and people's home file systems as well.
        dry_run: Only tell every step, in order.
    """

    include_protected: bool = False
    delete_data: bool = False
    dry_run: bool = False


def destroy(
    stack: auto.Stack,
    session: Callable[[], boto3.Session],
    options: Options,
    *,
    progress: Progress,
    policy_packs: Sequence[str],
    tell: Callable[[str], None],
) -> StackRun:
    """Destroy a stack, or tell what that would do; errors end up in the result.

    Args:
        stack: The stack.
        session: Gives a session of its account, see :func:`automation.teardown.plan`.
        options: What may go.
        progress: As in :func:`automation.runs.run_stack`.
        policy_packs: As there.
        tell: Takes each step, and what is left.
    """
    run = StackRun(stack.name, "destroy")
    started = time.monotonic()
    steps: list[teardown.Step] = []
    deployment: Mapping[str, Any] = {}
    note = ""
    try:
        note = "" if options.dry_run else recovery.before(stack)
        deployment = stack.export_stack().deployment or {}
        if not deployment.get("resources"):
            return run
        steps = _look(session, deployment, options)
        if options.dry_run:
            _tell_all(steps, deployment, options, tell)
            return run
        if options.include_protected:
            _release(stack)
        teardown.run(steps, "before domains", tell)
        _destroy_domains(stack, deployment, options)
        teardown.run(steps, "after domains", tell)
    except _FAILURES as error:
        run.errors.append(str(error))
    if run.errors:
        run.seconds = time.monotonic() - started
        progress(run, "end")
        return run
    # Once it is unmounted, nothing says whose file system it was.
    homes = [step.what for step in steps if step.when == "left" and not step.urn]
    try:
        run = _destroy_rest(stack, session, options, progress, policy_packs, tell)
    except _FAILURES as error:
        run.errors.append(str(error))
    for what in homes:
        tell(what)
    run.note = "; ".join(filter(None, (note, run.note)))
    run.seconds = time.monotonic() - started
    return run


def _look(
    session: Callable[[], boto3.Session], deployment: Mapping[str, Any], options: Options
) -> list[teardown.Step]:
    return teardown.plan(
        session(),
        deployment,
        include_protected=options.include_protected,
        delete_data=options.delete_data,
    )


def _destroy_rest(
    stack: auto.Stack,
    session: Callable[[], boto3.Session],
    options: Options,
    progress: Progress,
    policy_packs: Sequence[str],
    tell: Callable[[str], None],
) -> StackRun:
    """Everything but what stays."""
    run, staying = StackRun(stack.name, "destroy"), set[str]()
    steps: list[teardown.Step] = []
    deployment: Mapping[str, Any] = {}
    # Access is logged into buckets while others are deleted, so they may need another look.
    for attempt in range(_ATTEMPTS):
        deployment = stack.export_stack().deployment or {}
        steps = _look(session, deployment, options)
        filled = {step.urn for step in steps if step.urn}
        if attempt and filled == staying and not any(s.when == "before domains" for s in steps):
            break
        staying = filled
        teardown.run(steps, "before domains", tell)
        targets = _targets(deployment, options, staying)
        if targets == []:
            break
        run = run_stack(
            stack, "destroy", progress=progress, policy_packs=policy_packs, targets=targets
        )
        if run.ok:
            break
    left = [step.what for step in steps if step.urn]
    for what in left + ([] if options.include_protected else _protected(deployment)):
        tell(what)
    return run


def _targets(
    deployment: Mapping[str, Any], options: Options, staying: Collection[str]
) -> list[str] | None:
    """URNs to destroy; None for the whole stack."""
    resources: Sequence[Mapping[str, Any]] = deployment.get("resources") or []
    if not staying and (options.include_protected or not teardown.protected(deployment)):
        return None if resources else []
    return [
        str(resource["urn"])
        for resource in teardown.to_delete(
            deployment, include_protected=options.include_protected, staying=staying
        )
    ]


def _protected(deployment: Mapping[str, Any]) -> list[str]:
    return [f"{what} is protected and stays" for what in teardown.protected(deployment)]


def _tell_all(
    steps: Sequence[teardown.Step],
    deployment: Mapping[str, Any],
    options: Options,
    tell: Callable[[str], None],
) -> None:
    domains = teardown.domains_to_go(deployment, include_protected=options.include_protected)
    for step in (step for step in steps if step.when == "before domains"):
        tell(step.what)
    for urn in domains:
        tell(f"delete Studio domain {urn.rpartition('::')[2]} and what depends on it")
    for step in (step for step in steps if step.when == "after domains"):
        tell(step.what)
    for resource in teardown.to_delete(
        deployment,
        include_protected=options.include_protected,
        staying={step.urn for step in steps if step.urn},
    ):
        if resource.get("custom"):
            tell(f"delete {teardown.named(resource)}")
    for step in (step for step in steps if step.when == "left"):
        tell(step.what)
    if not options.include_protected:
        for what in _protected(deployment):
            tell(what)


def _release(stack: auto.Stack) -> None:
    exported = stack.export_stack()
    released = teardown.released(exported.deployment or {})
    stack.import_stack(auto.Deployment(version=exported.version, deployment=released))


def _destroy_domains(stack: auto.Stack, deployment: Mapping[str, Any], options: Options) -> None:
    domains = teardown.domains_to_go(deployment, include_protected=options.include_protected)
    if not domains:
        return
    with recovery.retried_after_a_stale_lock(stack) as attempt:
        attempt(
            lambda: stack.destroy(
                target=domains,
                target_dependents=True,
                show_secrets=False,
                suppress_progress=True,
                color="never",
            )
        )
