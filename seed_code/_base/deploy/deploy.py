"""Deploys one approved version to one environment.

    python deploy.py --environment preprod --model-package-arn ARN --execution ID --kind deploy

The hub's function decides whether the version may go there (``begin``) and keeps the record
(``finish``). In between the Pulumi program is brought up with the company's policy pack, what is
live is compared with what was wanted, and the integration tests call the endpoint, or run the batch
pipeline. The exit code is 0 only when the wanted version is live, tested and recorded.

    python deploy.py --environment preprod --remove

takes the endpoint or the pipeline, and all that belongs to it, away.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pulumi import automation as auto

import verification
from settings import (
    ENVIRONMENT_PATTERN,
    ENVIRONMENTS,
    VERSION_VARIABLE,
    Place,
    SettingsError,
    Version,
    kind_of,
    place,
)

ROOT: Final = Path(__file__).resolve().parent
KINDS: Final = ("deploy", "retreat", "rollback")
TESTS_OF_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "realtime": ("integration_tests/test_endpoint.py", "integration_tests/test_load.py"),
    "batch": ("integration_tests/test_batch.py",),
}
"""Integration tests that fit one kind of deployment only."""
REASON_CHARACTERS: Final = 1000
"""Longest reason in the record."""

WAIT_SECONDS: Final = 3600.0
"""How long a run waits for another deployment in the same environment."""
RETRY_SECONDS: Final = 15.0
"""Between two questions whether it is over."""

Say = Callable[[str], None]
Wanted = verification.Wanted | verification.WantedBatch


class DeploymentError(Exception):
    """The deployment failed; the message is the cause, for people."""


class RefusedError(DeploymentError):
    """The hub does not let this version go there; nothing was changed."""


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        environment: Where.
        model_package_arn: The version in the central registry.
        execution: Id of the pipeline's run.
        kind: ``deploy``, ``retreat`` or ``rollback``.
    """

    environment: str
    model_package_arn: str
    execution: str
    kind: str


# -- the hub --------------------------------------------------------------------------------------


def ask(functions: Any, function_arn: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the hub's deployments function.

    Args:
        functions: A Lambda client of the hub.
        function_arn: The function.
        payload: What to ask.

    Raises:
        DeploymentError: The function failed, or answered what is no object.
        ClientError: It may not be called.
    """
    answer = functions.invoke(
        FunctionName=function_arn,
        InvocationType="RequestResponse",
        Payload=json.dumps(payload).encode(),
    )
    text = answer["Payload"].read().decode()
    try:
        told = json.loads(text)
    except json.JSONDecodeError:
        told = None
    if answer.get("FunctionError") or not isinstance(told, dict):
        cause = cast(dict[str, Any], told).get("errorMessage") if isinstance(told, dict) else text
        raise DeploymentError(f"{function_arn} failed at {payload['action']}: {cause}")
    return cast(dict[str, Any], told)


def begin(functions: Any, where: Place, request: Request) -> tuple[int, Version]:
    """Asks whether the version may go there, and opens the record.

    Returns:
        The record's number and the version.

    Raises:
        RefusedError: It may not; with the hub's reason.
        DeploymentError: The hub's answer cannot be used.
    """
    asked = {
        "action": "begin",
        "group": where.group,
        "environment": where.environment,
        "model_package_arn": request.model_package_arn,
        "execution": request.execution,
        "kind": request.kind,
    }
    told = ask(functions, where.deployments_function_arn, asked)
    end = time.monotonic() + WAIT_SECONDS
    while told.get("retry") is True and time.monotonic() < end:
        time.sleep(RETRY_SECONDS)
        told = ask(functions, where.deployments_function_arn, asked)
    if told.get("proceed") is not True:
        raise RefusedError(str(told.get("reason") or "the hub gave no reason"))
    try:
        return int(told["sequence"]), Version.model_validate(told["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise DeploymentError(f"the answer to begin cannot be used: {error}") from None


def finish(
    functions: Any,
    where: Place,
    sequence: int,
    *,
    outcome: str,
    reason: str = "",
    endpoint_config: str = "",
) -> str:
    """Closes the record.

    Returns:
        Its status then: ``Live``, ``Failed`` or ``RolledBack``.

    Raises:
        DeploymentError: The hub's function failed.
    """
    told = ask(
        functions,
        where.deployments_function_arn,
        {
            "action": "finish",
            "group": where.group,
            "environment": where.environment,
            "sequence": sequence,
            "outcome": outcome,
            "reason": reason[:REASON_CHARACTERS],
            "endpoint_config": endpoint_config,
        },
    )
    return str(told.get("status"))


# -- the target account ---------------------------------------------------------------------------


def target_session(sts: Any, where: Place) -> boto3.Session:
    """A session of the project's deploy role in the target account.

    Raises:
        ClientError: The role may not be assumed.
    """
    given = sts.assume_role(
        RoleArn=where.deploy_role_arn, RoleSessionName=f"deploy-{where.project}"
    )["Credentials"]
    return boto3.Session(
        given["AccessKeyId"],
        given["SecretAccessKey"],
        given["SessionToken"],
        region_name=where.region,
    )


def clear_failed_endpoint(
    sagemaker: Any, where: Place, *, timeout_seconds: float, say: Say
) -> None:
    """Waits for what is under way, and deletes an endpoint that failed.

    A failed endpoint serves nothing and can be neither updated nor described as anything else:
    deleting it is all that SageMaker allows. Source: EndpointStatus of DescribeEndpoint.
    """
    found = verification.settled(sagemaker, where.endpoint, timeout_seconds=timeout_seconds)
    if found is not None and found["EndpointStatus"] == "Failed":
        say(f"{where.endpoint} failed before ({found.get('FailureReason')}): it is deleted")
        sagemaker.delete_endpoint(EndpointName=where.endpoint)
        verification.settled(sagemaker, where.endpoint, timeout_seconds=timeout_seconds)


def left_over(sagemaker: Any, where: Place, *, keep: Sequence[str]) -> dict[str, list[str]]:
    """Configurations and models of this endpoint other than those to keep.

    Names of other endpoints may begin with the name of this one: only what Pulumi named counts.
    """
    own = re.compile(re.escape(where.endpoint) + "-[0-9a-f]{7}")
    found: dict[str, list[str]] = {}
    for kind, operation, items, member in (
        ("EndpointConfigName", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
        ("ModelName", "list_models", "Models", "ModelName"),
    ):
        pages = sagemaker.get_paginator(operation).paginate(NameContains=where.endpoint)
        names = [item[member] for page in pages for item in page[items]]
        found[kind] = sorted(name for name in names if own.fullmatch(name) and name not in keep)
    return found


def tidy(sagemaker: Any, where: Place, *, keep: Sequence[str], say: Say) -> None:
    """Deletes what earlier versions left behind; what cannot be deleted now is left for later."""
    found = left_over(sagemaker, where, keep=keep)
    for member, delete in (
        ("EndpointConfigName", sagemaker.delete_endpoint_config),
        ("ModelName", sagemaker.delete_model),
    ):
        for name in found[member]:
            try:
                delete(**{member: name})
            except ClientError as error:
                say(f"{name} is left behind: {error}")


# -- Pulumi ---------------------------------------------------------------------------------------


def policy_pack(environ: Mapping[str, str]) -> str:
    """Folder of the company's policy pack.

    Raises:
        DeploymentError: There is none: nothing is deployed without it.
    """
    folder = Path(environ.get("MLOPS_POLICY_PACK") or ROOT / "policy")
    if not (folder / "PulumiPolicy.yaml").is_file():
        raise DeploymentError(
            f"there is no policy pack in {folder}: set MLOPS_POLICY_PACK to its folder"
        )
    return str(folder.resolve())


def policy_configuration(where: Place) -> dict[str, Any]:
    """What the pack is told beside its own defaults: the region, which is the platform's choice."""
    return {"allowed-regions": {"regions": [where.region]}}


def settings_file(environment: str, root: Path = ROOT) -> Path:
    """The stack file of an environment; one that has none of its own gets its kind's.

    Raises:
        DeploymentError: There is none of its kind either.
    """
    own, kinds = (root / f"Pulumi.{name}.yaml" for name in (environment, kind_of(environment)))
    if not own.is_file():
        if not kinds.is_file():
            raise DeploymentError(f"there is neither {own.name} nor {kinds.name}")
        shutil.copyfile(kinds, own)
    return own


def keep_secrets_by(settings: Path, provider: str) -> None:
    """Has a stack's file name what encrypts its secrets, unless it does already.

    The engine writes that when it makes a stack. A later run has a checkout without it, and would
    ask for a passphrase.
    """
    text = settings.read_text("utf-8")
    if not re.search(r"^secretsprovider:", text, re.MULTILINE):
        settings.write_text(f"secretsprovider: {provider}\n{text}", "utf-8")


def open_stack(
    where: Place,
    environ: Mapping[str, str],
    engine: Mapping[str, str],
    version: Version | None,
) -> auto.Stack:
    """The stack of an environment, with the interpreter that this runs in.

    Raises:
        DeploymentError: The backend or the secrets provider cannot be reached, or the environment
            has no settings.
    """
    provider = environ.get("PULUMI_SECRETS_PROVIDER", "")
    settings = settings_file(where.environment)
    if provider:
        keep_secrets_by(settings, provider)
    variables = {**engine, "PULUMI_PYTHON_CMD": sys.executable}
    if version is not None:
        variables[VERSION_VARIABLE] = version.model_dump_json()
    options = auto.LocalWorkspaceOptions(secrets_provider=provider or None, env_vars=variables)
    try:
        return auto.create_or_select_stack(where.environment, work_dir=str(ROOT), opts=options)
    except auto.CommandError as error:
        raise DeploymentError(f"the stack cannot be opened: {last_lines(str(error))}") from None


@dataclass
class Plan:
    """What an update is about to make of the endpoint, as its preview tells.

    Attributes:
        instance_types: Of each variant; empty where there is to be no endpoint.
        scales: Whether the number of instances is to follow the load.
    """

    instance_types: dict[str, str] = field(default_factory=dict[str, str])
    scales: bool = False

    def note(self, event: auto.EngineEvent) -> None:
        """Takes up what one of the preview's events says."""
        step = event.resource_pre_event
        wanted = step.metadata.new if step else None
        if wanted is None:
            return
        if wanted.type == "aws:sagemaker/endpointConfiguration:EndpointConfiguration":
            self.instance_types = {
                item["variantName"]: item["instanceType"]
                for item in (wanted.inputs or {})["productionVariants"]
            }
        if wanted.type == "aws:appautoscaling/target:Target":
            self.scales = True


def leave_scaling(
    session: boto3.Session, where: Place, plan: Plan, *, timeout_seconds: float, say: Say
) -> None:
    """Takes the endpoint out of scaling before an update that SageMaker would refuse within it.

    It refuses other instance types for variants that are scalable targets. The update registers
    them again, with their policy, where they are to scale; until it is through, and where it is
    rolled back until the next deployment, the number of instances stays as it is. Source: SageMaker
    developer guide, "Update endpoints that use auto scaling".
    """
    if not plan.instance_types:
        return
    live = verification.live_instance_types(
        session.client("sagemaker"), where.endpoint, timeout_seconds=timeout_seconds
    )
    if live is None or (plan.scales and live == plan.instance_types):
        return
    scaling = session.client("application-autoscaling")
    for variant in live:
        resource = f"endpoint/{where.endpoint}/variant/{variant}"
        found = scaling.describe_scalable_targets(
            ServiceNamespace="sagemaker",
            ResourceIds=[resource],
            ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        )
        for target in found["ScalableTargets"]:
            say(f"{resource} is taken out of scaling for the update")
            # Its policies go with it.
            scaling.deregister_scalable_target(
                ServiceNamespace=target["ServiceNamespace"],
                ResourceId=target["ResourceId"],
                ScalableDimension=target["ScalableDimension"],
            )


def bring_up(
    where: Place,
    version: Version,
    environ: Mapping[str, str],
    engine: Mapping[str, str],
    say: Say,
    prepare: Callable[[Plan], None],
) -> Wanted:
    """The Pulumi update, with the policy pack.

    What is there is read first: after a rollback the state believes in a configuration that is not
    live, and an update from belief would change nothing.

    Args:
        where: The environment.
        version: What is deployed.
        environ: The process's environment variables.
        engine: What the engine signs in with.
        say: Tells people.
        prepare: Does what the update needs done before it, once its preview was in order.

    Returns:
        What must be live now.

    Raises:
        DeploymentError: With the engine's last words.
        ClientError: What ``prepare`` raises.
    """
    stack = open_stack(where, environ, engine, version)
    told: list[str] = []
    plan = Plan()

    def look(event: auto.EngineEvent) -> None:
        note(event)
        plan.note(event)

    def note(event: auto.EngineEvent) -> None:
        found = event.diagnostic_event
        if found and found.severity == "error" and found.message.strip():
            told.append(re.sub(r"<\{%.*?%\}>", "", found.message).strip())
        policy = event.policy_event
        if policy and policy.enforcement_level == "mandatory":
            told.append(f"policy {policy.policy_name}: {policy.message.strip()}")

    common: dict[str, Any] = {
        "policy_packs": [policy_pack(environ)],
        "color": "never",
        "suppress_progress": True,
        "on_output": say,
        "on_event": note,
    }
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as configuration:
            json.dump(policy_configuration(where), configuration)
            configuration.flush()
            common["policy_pack_configs"] = [configuration.name]
            # Only a preview judges everything before anything is made.
            looking: dict[str, Any] = {**common, "on_event": look}
            stack.preview(**looking)
            prepare(plan)
            done = stack.up(refresh=True, show_secrets=False, **common)
    except auto.CommandError as error:
        raise DeploymentError("; ".join(dict.fromkeys(told)) or last_lines(str(error))) from None
    outputs = {name: output.value for name, output in done.outputs.items()}
    if outputs["kind"] == "batch":
        return verification.WantedBatch(
            outputs["pipeline_name"],
            outputs["pipeline_definition"],
            outputs["pipeline_role"],
            outputs["model_name"],
            version,
            outputs["model_source"],
            outputs["bucket"],
            outputs["rules"],
            int(outputs["timeout_minutes"]),
        )
    return verification.Wanted(
        outputs["endpoint_name"],
        outputs["endpoint_config_name"],
        outputs["model_name"],
        version,
        outputs["model_source"],
        outputs["instance_type"],
    )


def last_lines(text: str, lines: int = 8) -> str:
    """The end of what a command said."""
    return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])


# -- tests ----------------------------------------------------------------------------------------


def what_to_test(wanted: Wanted) -> tuple[str, dict[str, str]]:
    """The kind of what was deployed, and the variables that its integration tests read."""
    if isinstance(wanted, verification.WantedBatch):
        return "batch", {
            "BATCH_PIPELINE": wanted.pipeline_name,
            "BATCH_BUCKET": wanted.bucket,
            "BATCH_MODEL_PACKAGE": wanted.version.model_package_arn,
            "BATCH_TIMEOUT_MINUTES": str(wanted.timeout_minutes),
        }
    return "realtime", {
        "ENDPOINT_NAME": wanted.endpoint_name,
        "ENDPOINT_CONTENT_TYPES": ",".join(wanted.version.content_types),
    }


def run_integration_tests(
    session: boto3.Session, wanted: Wanted, environ: Mapping[str, str], say: Say
) -> None:
    """Runs ``integration_tests`` on what is live, with the deploy role's credentials.

    The template's own files for the kind of deployment, and all others that the team has added.

    Raises:
        DeploymentError: Naming the tests that failed.
    """
    credentials = cast(Any, session.get_credentials()).get_frozen_credentials()
    # Other ways to sign in would lead back to the hub.
    kept = {k: v for k, v in environ.items() if not re.match(r"AWS_(PROFILE|ROLE|WEB|CONT)", k)}
    kind, variables = what_to_test(wanted)
    others = [
        f"--ignore={name}"
        for other, names in TESTS_OF_KINDS.items()
        for name in names
        if other != kind
    ]
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "integration_tests", "-q", "--tb=short", "-rfE",
            "-p", "no:cacheprovider", *others,
        ],
        cwd=ROOT,
        env={
            **kept,
            # Elsewhere pytest cuts causes to the width of a screen.
            "CI": "true",
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_SESSION_TOKEN": credentials.token,
            "AWS_REGION": str(session.region_name),
            "AWS_DEFAULT_REGION": str(session.region_name),
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )  # fmt: skip
    say(done.stdout)
    if done.returncode != 0:
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        raise DeploymentError(
            "the integration tests failed: " + ("; ".join(failed) or last_lines(done.stdout))
        )


# -- the whole ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hub:
    """Clients with the pipeline's own credentials, which are the hub's.

    Attributes:
        functions: A Lambda client.
        sts: An STS client.
        engine: Variables that the Pulumi engine signs in with, where it cannot do so by itself.
    """

    functions: Any
    sts: Any
    engine: Mapping[str, str] = field(default_factory=dict[str, str])


def require_own_version(where: Place, request: Request) -> None:
    """The version must be one of the project's group in the hub.

    Raises:
        RefusedError: It is another's.
    """
    own = (
        f"arn:{where.partition}:sagemaker:{where.region}:{where.hub_account}:model-package/"
        f"{where.group}/"
    )
    if not re.fullmatch(re.escape(own) + r"\d+", request.model_package_arn):
        raise RefusedError(
            f"{request.model_package_arn!r} is no version of the project's group: {own}<number>"
        )


def carry_out(
    where: Place,
    version: Version,
    hub: Hub,
    environ: Mapping[str, str],
    say: Say,
    *,
    timeout_seconds: float = 900,
) -> tuple[Wanted, Any]:
    """Update, verification and integration tests.

    Returns:
        What is live now, and a SageMaker client of the target account.

    Raises:
        DeploymentError, NotLiveError, ClientError: With the cause.
    """
    before = target_session(hub.sts, where)
    clear_failed_endpoint(
        before.client("sagemaker"), where, timeout_seconds=timeout_seconds, say=say
    )

    def prepare(plan: Plan) -> None:
        leave_scaling(before, where, plan, timeout_seconds=timeout_seconds, say=say)

    wanted = bring_up(where, version, environ, hub.engine, say, prepare)
    # A roll-out may take longer than a session of an assumed role lasts.
    session = target_session(hub.sts, where)
    sagemaker = session.client("sagemaker")
    if isinstance(wanted, verification.WantedBatch):
        verification.require_batch(sagemaker, session.client("events"), wanted)
        say(f"{wanted.pipeline_name} predicts with {wanted.model_name}, as wanted")
    else:
        verification.require_live(sagemaker, wanted, timeout_seconds=timeout_seconds)
        say(f"{wanted.endpoint_name} runs {wanted.endpoint_config_name}, as wanted")
    run_integration_tests(session, wanted, environ, say)
    return wanted, sagemaker


def recorded_as(wanted: Wanted) -> str:
    """What the record names beside the version: the configuration, or ``batch:`` and the model."""
    if isinstance(wanted, verification.WantedBatch):
        return f"batch:{wanted.model_name}"
    return wanted.endpoint_config_name


def busy(sagemaker: Any, wanted: Wanted) -> bool:
    """Whether a run of the batch pipeline is under way: it may need an earlier model yet."""
    if not isinstance(wanted, verification.WantedBatch):
        return False
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName=wanted.pipeline_name
    )
    return any(
        item["PipelineExecutionStatus"] in ("Executing", "Stopping")
        for page in pages
        for item in page["PipelineExecutionSummaries"]
    )


def deploy(
    where: Place,
    request: Request,
    hub: Hub,
    environ: Mapping[str, str],
    say: Say,
    carry_out: Callable[..., tuple[Wanted, Any]] = carry_out,
) -> int:
    """One deployment from begin to finish.

    Returns:
        0 when the wanted version is live, tested and recorded as such; else 1.
    """
    try:
        require_own_version(where, request)
        sequence, version = begin(hub.functions, where, request)
    except RefusedError as error:
        say(f"Refused: {error}")
        return 1
    except (DeploymentError, ClientError, BotoCoreError) as error:
        say(f"The hub could not be asked: {error}")
        return 1
    cause = ""
    wanted: Wanted | None = None
    sagemaker: Any = None
    try:
        if version.model_package_arn != request.model_package_arn:
            raise DeploymentError(f"the hub answered with another version, {version}")  # noqa: TRY301
        wanted, sagemaker = carry_out(where, version, hub, environ, say)
    except KeyboardInterrupt:
        cause = "the pipeline was cancelled"
    except Exception as error:
        # Whatever happened: a record that stays open would block the next deployment.
        cause = f"{type(error).__name__}: {error}"
    try:
        status = finish(
            hub.functions,
            where,
            sequence,
            outcome="Failed" if cause else "Live",
            reason=cause,
            endpoint_config=recorded_as(wanted) if wanted else "",
        )
    except (DeploymentError, ClientError, BotoCoreError) as error:
        say(f"The record could not be closed: {error}")
        status = "unknown"
    if cause or wanted is None:
        say(f"Failed ({status}): {cause}")
        return 1
    if status != "Live":
        say(f"The version is live, but recorded as {status}")
        return 1
    try:
        if busy(sagemaker, wanted):
            say("A run is under way: models of earlier versions are left until the next deployment")
        else:
            keep = [recorded_as(wanted), wanted.model_name]
            tidy(sagemaker, where, keep=keep, say=say)
    except (ClientError, BotoCoreError) as error:
        say(f"Configurations of earlier versions are left behind: {error}")
    say(f"Live: {request.model_package_arn} in {where.environment}")
    return 0


def remove(where: Place, hub: Hub, environ: Mapping[str, str], say: Say) -> int:
    """Takes everything of one environment away.

    Returns:
        0 when nothing is left, else 1.
    """
    try:
        stack = open_stack(where, environ, hub.engine, None)
        stack.destroy(
            show_secrets=False, color="never", suppress_progress=True, on_output=say, remove=True
        )
        sagemaker = target_session(hub.sts, where).client("sagemaker")
        tidy(sagemaker, where, keep=(), say=say)
        left = left_over(sagemaker, where, keep=())
    except (DeploymentError, auto.CommandError, ClientError, BotoCoreError) as error:
        say(f"{where.endpoint} could not be removed: {last_lines(str(error))}")
        return 1
    names = [name for kind in left.values() for name in kind]
    say(f"Left behind: {', '.join(names)}" if names else f"{where.endpoint} is gone")
    return 1 if names else 0


def _environment(text: str) -> str:
    if not re.fullmatch(ENVIRONMENT_PATTERN, text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(ENVIRONMENTS)}")
    return text


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--environment",
        required=True,
        type=_environment,
        help=f"{', '.join(ENVIRONMENTS)}, or one more of a kind, such as prod-eu",
    )
    parser.add_argument("--model-package-arn", help="the approved version in the central registry")
    parser.add_argument("--execution", help="id of the pipeline's run")
    parser.add_argument("--kind", choices=KINDS, default="deploy")
    parser.add_argument("--remove", action="store_true", help="take what is deployed away")
    given = parser.parse_args(arguments)
    if not given.remove and not (given.model_package_arn and given.execution):
        parser.error("--model-package-arn and --execution are needed, or --remove")
    return given


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command.

    Returns:
        Its exit code.
    """
    given = parse(arguments)
    try:
        where = place(given.environment, environ)
    except SettingsError as error:
        say_line(f"The environment variables are wrong:\n{error}")
        return 1
    session = boto3.Session(region_name=where.region)
    # begin reads and compares the version's artifacts, which may take minutes.
    patient = Config(read_timeout=600, retries={"mode": "standard", "total_max_attempts": 5})
    hub = Hub(
        session.client("lambda", config=patient),
        session.client("sts"),
        engine_credentials(session, environ),
    )
    if given.remove:
        return remove(where, hub, environ, say_line)
    request = Request(given.environment, given.model_package_arn, given.execution, given.kind)
    return deploy(where, request, hub, environ, say_line)


def engine_credentials(session: boto3.Session, environ: Mapping[str, str]) -> dict[str, str]:
    """What the engine signs in with after OIDC: the token has expired before the engine is done."""
    if not environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return {}
    credentials = cast(Any, session.get_credentials()).get_frozen_credentials()
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.token,
    }


def say_line(text: str) -> None:
    """Print a line at once: pipelines show what they get."""
    sys.stdout.write(f"{text.rstrip()}\n")
    sys.stdout.flush()


def _cancelled(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # A pipeline cancels with SIGTERM; the record is to be closed then too.
    signal.signal(signal.SIGTERM, _cancelled)
    sys.exit(main(sys.argv[1:], os.environ))
