"""One engine operation on one stack, and operations on all stacks in order.

Results come from the engine's events, not from its text.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from pulumi import automation as auto
from pulumi.automation import CommandError, EngineEvent

from automation import costs, interruption, recovery

Verb = Literal["preview", "up", "refresh", "drift", "destroy"]

_CHANGING = frozenset(
    {"create", "update", "delete", "replace", "create-replacement", "delete-replaced", "import"}
)
_COUNTED = {"create-replacement": None, "delete-replaced": None, "discard": None}
"""Parts of a replacement: the replacement itself is counted."""


@dataclass(frozen=True)
class Step:
    """One resource that changes or changed."""

    operation: str
    urn: str
    type: str
    properties: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The resource's logical name."""
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True)
class Violation:
    """What a policy said of a resource."""

    policy: str
    mandatory: bool
    resource: str
    message: str


@dataclass
class StackRun:
    """An operation on one stack: what it found, did, and how it ended.

    Attributes:
        stack: Name of the stack.
        verb: The operation.
        steps: Resources that change, in the engine's order.
        resources: Resources in the stack, unchanged ones included.
        violations: What the policy pack said.
        errors: Messages of failed resources and of the engine.
        seconds: How long it took.
        skipped: Why it was not run; empty when it was.
        note: What a recovery did before.
        outputs: The stack's outputs after an update, secrets left out.
        held: What the stack holds before and after, for the estimate of its cost.
    """

    stack: str
    verb: Verb
    steps: list[Step] = field(default_factory=list[Step])
    resources: int = 0
    violations: list[Violation] = field(default_factory=list[Violation])
    errors: list[str] = field(default_factory=list[str])
    seconds: float = 0.0
    skipped: str = ""
    note: str = ""
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    held: costs.Ledger = field(default_factory=costs.Ledger)

    @property
    def ok(self) -> bool:
        """Whether it ran to its end without an error and without a mandatory violation."""
        return (
            not self.skipped
            and not self.errors
            and not any(violation.mandatory for violation in self.violations)
        )

    @property
    def changes(self) -> Counter[str]:
        """Operation -> number of resources."""
        return Counter(step.operation for step in self.steps)


Progress = Callable[[StackRun, str], None]
"""``progress(run, what)``: called for every step, and with "start" and "end"."""


class _Recorder:
    """Turns engine events into a :class:`StackRun`."""

    def __init__(self, run: StackRun, progress: Progress) -> None:
        self.run, self.progress = run, progress
        self._lock = threading.Lock()
        self._seen: set[tuple[str, str]] = set()
        self._counted: set[str] = set()

    def __call__(self, event: EngineEvent) -> None:
        with self._lock:
            if event.resource_pre_event:
                self.run.held.record(event.resource_pre_event.metadata)
                self._resource(event.resource_pre_event.metadata)
            elif event.res_outputs_event and self.run.verb in ("refresh", "drift"):
                # A refresh tells what it found only once a resource was read.
                self._resource(event.res_outputs_event.metadata)
            elif event.policy_event:
                found = event.policy_event
                self.run.violations.append(
                    Violation(
                        found.policy_name,
                        found.enforcement_level == "mandatory",
                        (found.resource_urn or "").rpartition("::")[2],
                        _plain(found.message),
                    )
                )
            elif event.diagnostic_event and event.diagnostic_event.severity == "error":
                message = _plain(event.diagnostic_event.message)
                # Policies report through events of their own.
                if message and message not in self.run.errors:
                    self.run.errors.append(message)

    def _resource(self, metadata: Any) -> None:
        operation = str(metadata.op.value)
        # Providers and components are nothing in the cloud: what they are made of is counted.
        if not metadata.provider or metadata.type.startswith("pulumi:providers:"):
            return
        if (operation, metadata.urn) in self._seen:
            return
        self._seen.add((operation, metadata.urn))
        if operation in ("same", "create", "update", "replace", "refresh", "import"):
            # A refresh tells of each resource twice: that it is read, and what was found.
            self._counted.add(metadata.urn)
            self.run.resources = len(self._counted)
        if operation in _CHANGING and operation not in _COUNTED:
            changed = metadata.diffs or list(metadata.detailed_diff or ())
            step = Step(operation, metadata.urn, metadata.type, tuple(changed))
            self.run.steps.append(step)
            self.progress(self.run, f"{operation} {step.name}")


def _plain(text: str) -> str:
    return text.replace("<{%reset%}>", "").replace("<{%fg 1%}>", "").strip()


def run_stack(
    stack: auto.Stack,
    verb: Verb,
    *,
    progress: Progress,
    policy_packs: Sequence[str],
    policy_pack_configs: Sequence[str] = (),
    plan: str | None = None,
    targets: Sequence[str] | None = None,
    previewed: bool = False,
    lookups: Mapping[str, recovery.Lookup] | None = None,
) -> StackRun:
    """Run one operation; errors end up in the result, never as an exception of the engine.

    An update's rules about whole stacks are judged by the engine once everything is made. With
    ``previewed`` it is previewed first, with the same packs, and a mandatory violation or an error
    ends it there.

    Args:
        stack: The stack.
        verb: What to do.
        progress: Takes every step.
        policy_packs: Folders of the policy packs; the engine runs them on previews and updates.
        policy_pack_configs: Files with their configurations, in their order; none for defaults.
        plan: File to save a preview's plan in, or of the plan that an update applies.
        targets: URNs that a destroy is limited to; None for the whole stack.
        previewed: Whether an update is previewed before anything is made.
        lookups: Type -> how one is found that an interrupted update was creating.
    """
    run = StackRun(stack.name, verb)
    if interruption.asked():
        run.skipped = interruption.WHY
        return run
    started = time.monotonic()
    recorder = _Recorder(run, progress)
    progress(run, "start")
    common: dict[str, Any] = {"on_event": recorder, "suppress_progress": True, "color": "never"}
    packs: dict[str, Any] = {"policy_packs": list(policy_packs)}
    if policy_packs and policy_pack_configs:
        packs["policy_pack_configs"] = list(policy_pack_configs)
    try:
        with interruption.at_work():
            run.note = "" if verb in ("preview", "drift") else recovery.before(stack, lookups)
            if verb == "up" and previewed and not _passes(run, stack, common, packs, progress):
                return _ended(run, started, progress)
            with recovery.retried_after_a_stale_lock(stack) as attempt:
                attempt(lambda: _operate(run, stack, common, packs, plan, targets))
    except CommandError as error:
        if not run.errors and not any(v.mandatory for v in run.violations):
            run.errors.append(_tail(str(error)))
    except recovery.RecoveryError as error:
        run.errors.append(str(error))
    return _ended(run, started, progress)


def _ended(run: StackRun, started: float, progress: Progress) -> StackRun:
    run.seconds = time.monotonic() - started
    progress(run, "end")
    return run


def _passes(
    run: StackRun,
    stack: auto.Stack,
    common: Mapping[str, Any],
    packs: Mapping[str, Any],
    progress: Progress,
) -> bool:
    """Whether an update's preview finds nothing that stops it; what it finds goes into the run."""
    found = StackRun(run.stack, "preview")
    progress(found, "start")
    try:
        stack.preview(**{**common, "on_event": _Recorder(found, progress)}, **packs)
    except CommandError as error:
        if found.ok:
            found.errors.append(_tail(str(error)))
    if found.ok and not interruption.asked():
        progress(run, "start")
        return True
    run.violations, run.errors = found.violations, found.errors
    if found.ok:
        run.skipped = interruption.WHY
    else:
        run.note = "; ".join(filter(None, (run.note, "its preview stopped it, nothing was made")))
    return False


def _operate(
    run: StackRun,
    stack: auto.Stack,
    common: dict[str, Any],
    packs: dict[str, Any],
    plan: str | None,
    targets: Sequence[str] | None,
) -> None:
    if run.verb == "preview":
        stack.preview(plan=plan, **packs, **common)
    elif run.verb == "up":
        done = stack.up(plan=plan, show_secrets=False, **packs, **common)
        run.outputs = plain_outputs(done.outputs)
    elif run.verb == "refresh":
        stack.refresh(show_secrets=False, **common)
    elif run.verb == "drift":
        stack.preview_refresh(show_secrets=False, **common)
    else:
        stack.destroy(
            show_secrets=False, target=list(targets) if targets is not None else None, **common
        )


def plain_outputs(outputs: auto.OutputMap) -> dict[str, Any]:
    """Outputs of a stack without those that are secret."""
    return {key: output.value for key, output in outputs.items() if not output.secret}


def _tail(text: str, lines: int = 12) -> str:
    kept = [line for line in text.splitlines() if line.strip()]
    return "\n".join(kept[-lines:])


def run_all(
    ordered: Sequence[Sequence[str]],
    operate: Callable[[str], StackRun],
    verb: Verb,
    *,
    side_by_side: int = 3,
    may_go_on: Callable[[StackRun], bool] = lambda run: run.ok,
) -> list[StackRun]:
    """Operate on stacks wave by wave; siblings of a failure finish, later waves are skipped.

    Running again goes on where it stopped: what is done needs no change.
    """
    done: list[StackRun] = []
    failed: list[str] = []
    for wave in ordered:
        if interruption.asked():
            done += [StackRun(name, verb, skipped=interruption.WHY) for name in wave]
            continue
        if failed:
            reason = f"{', '.join(failed)} failed; run the same command again once it is mended"
            done += [StackRun(name, verb, skipped=reason) for name in wave]
            continue
        with interruption.at_work(), ThreadPoolExecutor(max_workers=side_by_side) as pool:
            finished = list(pool.map(operate, wave))
        done += finished
        failed = [run.stack for run in finished if not may_go_on(run)]
    return done
