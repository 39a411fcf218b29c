"""Approves and rejects versions, and rolls deployments back.

Before an approval a person is told whether the deployment function will let the version pass: the
same functions look at the same evidence, by the deployed function's own settings, with the person's
rights. What a person may not see (artifacts are read only inside the hub's network) is said to be
unseen, and is the function's to check. Nothing here enforces anything.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from automation.models.hub import Hub, Model, ModelsError, full_group, person
from components.deployments import DEPLOYMENTS
from functions.deployment import history as deployments
from functions.deployment.evidence import Evidence
from functions.deployment.gate import read_makers, require_other
from functions.deployment.machine import Approval, Status
from functions.deployment.projects import CODEPIPELINE, Project, ProjectError, Projects
from functions.deployment.refusal import Refusal
from functions.deployment.settings import Settings, read_settings
from functions.deployment.signatures import endpoint_of, sign
from functions.deployment.versions import Versions
from functions.promotion.aws import error_code
from functions.promotion.identity import read_person
from functions.promotion.settings import SettingsError

# Source: ApprovalDescription of UpdateModelPackage in SageMaker's API reference.
_REASON = 1024
_DENIED = ("403", "AccessDenied", "AccessDeniedException")

Tell = Callable[[str], None]


class Outcome(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    REFUSED = "refused"
    UNSEEN = "unseen"
    """The caller may not see it; the deployment function will."""


@dataclass(frozen=True)
class Check:
    """A check of a version.

    Attributes:
        name: What was checked.
        outcome: What came of it.
        told: For people.
    """

    name: str
    outcome: Outcome
    told: str


def settings_of(hub: Hub) -> Settings:
    """The settings that the deployed function decides by.

    Raises:
        ModelsError: It is not deployed, or its settings cannot be read.
        ClientError: Lambda's.
    """
    name = hub.names.name(DEPLOYMENTS)
    try:
        told = hub.client("lambda").get_function_configuration(FunctionName=name)
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        raise ModelsError(
            f"The hub has no function {name}: bring the governance stack up."
        ) from error
    environment: dict[str, Any] = told.get("Environment") or {}
    if environment.get("Error"):
        message = environment["Error"].get("Message", "")
        raise ModelsError(f"The settings of {name} cannot be read: {message}")
    try:
        return read_settings(
            {"AWS_REGION": hub.names.region, **(environment.get("Variables") or {})}
        )
    except SettingsError as error:
        raise ModelsError(f"The function {name} is deployed wrongly. {error}") from error


def check(hub: Hub, model: Model, settings: Settings) -> list[Check]:
    """What the deployment function will look at, looked at now.

    Args:
        hub: The hub; its caller is who approves.
        model: The version.
        settings: The function's.

    Raises:
        ClientError: A service's, other than that the caller may not see something.
    """
    version = model.version

    def duties() -> str:
        makers = read_makers(version, settings)
        require_other(
            read_person(hub.caller, settings.service_roles), makers, "approves the version"
        )
        return makers.told

    def runnable() -> str:
        if not version.complete:
            raise Refusal(f"{version.arn} is not completed by SageMaker.")
        if len(version.containers) != 1:
            raise Refusal(
                f"{version.arn} has {len(version.containers)} containers, a deployment runs "
                "exactly one."
            )
        return str(version.containers[0].get("Image", ""))

    evidence = Evidence(
        hub.client("sagemaker"),
        hub.client("s3"),
        hub.client("ecr"),
        settings.hub_account,
        settings.image_accounts,
        settings.scan_severity,
    )
    # Each kind once, though more than one environment asks for it.
    kinds = list(dict.fromkeys(kind for kinds in settings.evidence.values() for kind in kinds))
    checks: list[tuple[str, Callable[[], str]]] = [
        ("runnable", runnable),
        ("separation of duties", duties),
        *((kind, lambda kind=kind: evidence.read((kind,), version)[0]) for kind in kinds),
    ]
    return [_checked(name, look) for name, look in checks]


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, Outcome.PASSED, look().removeprefix(f"{name}: "))
    except Refusal as refusal:
        cause = refusal.__cause__
        if isinstance(cause, ClientError) and error_code(cause) in _DENIED:
            return Check(name, Outcome.UNSEEN, str(refusal))
        return Check(name, Outcome.REFUSED, str(refusal))
    except ClientError as error:
        if error_code(error) in _DENIED:
            return Check(name, Outcome.UNSEEN, str(error))
        raise


def approve(hub: Hub, model: Model, reason: str, *, again: bool, tell: Tell) -> None:
    """Approves a version.

    Args:
        hub: The hub.
        model: The version.
        reason: Why.
        again: Even if it is approved or rejected already.
        tell: Gets a line for each check, and what happens next.

    Raises:
        ModelsError: It is decided already, or the deployment function would refuse it.
        ClientError: A service's; IAM's refusal among them.
    """
    said = _reason(reason)
    _require_open(model, again=again, same=(Approval.APPROVED, Approval.REJECTED))
    settings = settings_of(hub)
    checks = check(hub, model, settings)
    for item in checks:
        tell(f"{item.name}: {item.outcome.value}: {item.told}")
    wrong = [item for item in checks if item.outcome is Outcome.REFUSED]
    if wrong:
        told = " ".join(f"{item.told}" for item in wrong)
        raise ModelsError(f"{model.label} is not approved: it would not be deployed. {told}")
    if any(item.outcome is Outcome.UNSEEN for item in checks):
        tell("What is unseen from here, the deployment function checks before it deploys.")
    _decide(hub, model, Approval.APPROVED, said)
    tell(f"{model.label} is approved by {person(hub.caller)}.")
    if model.version.approval is Approval.APPROVED and not _joined(hub, model, settings):
        tell("It was approved before: one approval starts one deployment, and that was the first.")
        return
    tell(_next(hub, model, settings))


def reject(hub: Hub, model: Model, reason: str, *, again: bool, tell: Tell) -> None:
    """Rejects a version; where it serves, the version before it comes back.

    Args:
        hub: The hub.
        model: The version.
        reason: Why.
        again: Even if it is rejected already.
        tell: Gets what happens next.

    Raises:
        ModelsError: It is rejected already.
        ClientError: A service's; IAM's refusal among them.
    """
    said = _reason(reason)
    _require_open(model, again=again, same=(Approval.REJECTED,))
    _decide(hub, model, Approval.REJECTED, said)
    tell(f"{model.label} is rejected by {person(hub.caller)}; it is deployed nowhere any more.")
    history = hub.histories([model.version.group])[model.version.group]
    approval_of = Versions(hub.client("sagemaker")).approval
    for environment in model.serves:
        earlier = deployments.targets(history, environment, model.version.number, approval_of)
        target = next(earlier, None)
        tell(
            f"{environment} is put back to version {target.version} by the deployment function."
            if target is not None
            else f"{environment} has no earlier approved version that was live there: it serves "
            "this one until another is approved."
        )


def rollback(hub: Hub, project: str, environment: str, reason: str, tell: Tell) -> None:
    """Asks the deployment function for the previous approved version.

    Args:
        hub: The hub.
        project: The project, or its central group.
        environment: Where.
        reason: Why.
        tell: Gets what was started.

    Raises:
        ModelsError: The function refuses; the message says why.
        ClientError: Lambda's; IAM's refusal among them.
    """
    said = _reason(reason)
    name, group = hub.names.name(DEPLOYMENTS), full_group(project, hub.names)
    live = hub.histories([group])[group].live(environment)
    request = {
        "action": "rollback",
        "group": group,
        "environment": environment,
        "sequence": 0 if live is None else live.sequence,
        "reason": said,
    }
    signed = sign(
        request, hub.credentials(), endpoint_of(hub.client("sts"), hub.names.region),
        hub.names.region,
    )  # fmt: skip
    try:
        told = hub.client("lambda").invoke(FunctionName=name, Payload=json.dumps(signed))
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        raise ModelsError(
            f"The hub has no function {name}: bring the governance stack up."
        ) from error
    answer: dict[str, Any] = json.loads(told["Payload"].read() or b"{}")
    if told.get("FunctionError"):
        raise ModelsError(f"Not rolled back: {answer.get('errorMessage') or answer}")
    if answer.get("status") != Status.REQUESTED.value:
        raise ModelsError(f"Not rolled back: {answer.get('reason') or answer}")
    label = f"{hub.project(group)}:{answer['version']}"
    tell(
        f"{environment} is put back to {label} (attempt {answer['sequence']}), asked for by "
        f"{person(hub.caller)}. The version that is taken out stays on record. Follow it: "
        f"models show {label}"
    )


def _reason(text: str) -> str:
    said = " ".join(text.split())
    if not said:
        raise ModelsError("--reason is empty: whoever reads the record later needs to know why.")
    if len(said) > _REASON:
        raise ModelsError(f"--reason has {len(said)} characters, SageMaker keeps {_REASON}.")
    return said


def _require_open(model: Model, *, again: bool, same: tuple[Approval, ...]) -> None:
    approval = model.version.approval
    if approval in same and not again:
        when = f" on {model.decided_at:%Y-%m-%d %H:%M} UTC" if model.decided_at else ""
        because = f": {model.decided_because}" if model.decided_because else ""
        raise ModelsError(
            f"{model.label} was {approval.value.lower()} by "
            f"{person(model.decided_by) or 'nobody known'}{when}{because}. --again decides anew."
        )


def _decide(hub: Hub, model: Model, approval: Approval, reason: str) -> None:
    hub.client("sagemaker").update_model_package(
        ModelPackageArn=model.version.arn,
        ModelApprovalStatus=approval.value,
        ApprovalDescription=reason,
    )


def _joined(hub: Hub, model: Model, settings: Settings) -> str:
    """The environment that joined the way behind one where a version is live; empty without one."""
    project, group = project_of(hub, model.version.group, settings), model.version.group
    if project is None:
        return ""
    history = hub.histories([group])[group]
    return deployments.joined(history, project.way(settings.environments), model.version.arn)


def project_of(hub: Hub, group: str, settings: Settings) -> Project | None:
    """How a group's versions are deployed; None when no project deploys them.

    Raises:
        ModelsError: The project's settings are wrong.
        ClientError: Systems Manager's.
    """
    projects = Projects(hub.client("ssm"), settings.project_parameters, settings.group_prefix)
    try:
        return projects.of_group(group)
    except ProjectError as error:
        raise ModelsError(str(error)) from error


def _next(hub: Hub, model: Model, settings: Settings) -> str:
    project = project_of(hub, model.version.group, settings)
    if project is None:
        return f"No project deploys {model.version.group}: nothing is started."
    way = ", then ".join(
        f"{environment} after a manual approval there"
        if environment in settings.manual_approvals
        else environment
        for environment in project.way(settings.environments)
    )
    runner = (
        f"the pipeline {project.pipeline}"
        if project.ci == CODEPIPELINE
        else f"the workflow {project.workflow} of {project.repository}"
    )
    return f"Next, {runner} deploys it: {way}. Follow it: models show {model.label}"
