"""The deployment function: the one that decides which version is deployed where, and when.

Everything that deploys asks it, and nothing else writes the ledger. :func:`handle` is the entry
point, for events of EventBridge and for requests by ``lambda:InvokeFunction``. The states and
what moves them are tables in :mod:`.machine`, shown in docs/state-machines.md; decisions are pure
functions in :mod:`.history`; :mod:`.gate` has the checks of each deployment.

Events (asynchronous: when an event fails, Lambda delivers it again; give the function a dead-letter
queue or an on-failure destination):

- ``SageMaker Model Package State Change`` of the hub's own account,
- ``CodePipeline Pipeline Execution State Change`` of projects' pipelines that ended without success
  (``FAILED`` and the like).

Lambda does not tell a function who calls it, but by which alias: runs of a project come by its
alias ``project-{name}_{environment}``, which no role but its release's to that environment may
invoke, and by which nothing else is taken than to begin and finish that project's deployments
there. All the rest comes without an alias.

Requests, each answered with a JSON object; a request that is wrong raises ``RequestError``:

``{"action": "begin", "group", "environment", "model_package_arn", "execution", "kind"}``
    A run asks whether it may deploy. ``execution`` is the pipeline's execution id or the id of
    GitHub's workflow run; ``kind`` is ``deploy``, ``retreat`` or ``rollback``.
    Answer: ``{"proceed": true, "sequence", "version": {"model_package_arn", "image",
    "model_data_url", "model_data_source", "environment", "content_types", "response_types",
    "baselines"}}``, baselines as far as there are any by the names of ``versions.BASELINES``; or
    ``{"proceed": false, "status": "Refused", "reason"}``; with ``"retry": true`` when another
    deployment is under way in the environment and nothing was decided. Repeated by the same run it
    gives the same answer.
``{"action": "finish", "group", "environment", "sequence", "outcome", "reason", "endpoint_config"}``
    The run tells ``Live`` (deployed, verified, tested) or ``Failed``. With ``execution`` it is
    checked that the attempt is that run's. Answer: ``{"status"}``, the attempt's status: ``Failed``
    too when the version is not approved any more. Repeated it gives the same answer.
``{"action": "rollback", "group", "environment", "sequence", "reason", "signature"}``
    A person asks for the previous approved version in place of the live attempt ``sequence``.
    ``signature`` is theirs, made of the request by :func:`.signatures.sign`: who asks is who
    signed, as STS tells it. Answer: ``{"status": "Requested", "sequence", "model_package_arn",
    "version"}`` or ``{"status": "Refused", "reason"}``.
``{"action": "sweep"}``
    Ends what has been silent too long and starts what waits, in all projects: to be invoked by a
    schedule, every half hour, for what no event tells (a GitHub run that ended, a lost event).

Environment:

======================== ====================================================================
``AWS_REGION``           The hub's region; Lambda sets it.
``HUB_ACCOUNT``          The hub's account id.
``LEDGER_TABLE``         DynamoDB table, partition key ``Deployment`` (string), sort key
                         ``Sequence`` (number); :mod:`.ledger` has its items.
``GROUP_PREFIX``         What central groups' names begin with: ``acme-governance-``.
``PROJECT_PARAMETERS``   What the names of projects' parameters begin with:
                         ``/acme/governance/projects``; :mod:`.projects` has their content.
``EVIDENCE``             JSON, environment -> list of ``metrics``, ``card``, ``scan``, in the order
                         of the way. Optional, default ``{"preprod": ["metrics", "card"], "prod":
                         ["metrics", "card", "scan"]}``.
``MANUAL_APPROVALS``     JSON list of the environments that need a manual approval. Optional,
                         default ``["prod"]``.
``IMAGE_ACCOUNTS``       JSON list of accounts whose images AWS keeps: exempt from scans. Optional.
``SCAN_SEVERITY``        Findings of this severity or above refuse an image: ``INFORMATIONAL``,
                         ``LOW``, ``MEDIUM``, ``HIGH`` or ``CRITICAL``. Optional, default ``HIGH``.
``SERVICE_ROLES``        JSON list of names of roles that services and pipelines assume, ``*`` for
                         any characters: their session names name nobody. Optional.
``BUILD_ROLES``          JSON list of names of roles of projects' builds, ``*`` for any characters:
                         versions that they train may be approved by anybody who may approve.
                         Optional.
``GITHUB_API_URL``       GitHub's API. Optional, default ``https://api.github.com``.
``START_LEASE_SECONDS``  How long an invocation may be busy starting a run; not less than the
                         function's timeout. Optional, default 120.
``SILENCE_SECONDS``      After this time without a word a deployment has failed. Optional, default
                         14400; longer than any deployment takes.
======================== ====================================================================

What the function's role needs, and nothing else (``…`` stands for region and account of the hub):

- ``dynamodb:GetItem``, ``dynamodb:Query``, ``dynamodb:PutItem``, ``dynamodb:UpdateItem`` on
  ``LEDGER_TABLE``;
- ``ssm:GetParameter`` and ``ssm:GetParametersByPath`` on
  ``arn:aws:ssm:…:parameter{PROJECT_PARAMETERS}`` and ``{PROJECT_PARAMETERS}/*``;
- ``sagemaker:DescribeModelPackage`` on ``arn:aws:sagemaker:…:model-package/{GROUP_PREFIX}*``;
- ``sagemaker:DescribeModelCard`` and ``sagemaker:UpdateModelCard`` on
  ``arn:aws:sagemaker:…:model-card/{GROUP_PREFIX}*``;
- ``s3:GetObject`` on the hub's model bucket, ``promoted/*``; ``s3:ListBucket`` and
  ``s3:ListBucketVersions`` on the bucket; ``kms:Decrypt`` with its key (and that of the cards,
  ``kms:GenerateDataKey`` too);
- ``ecr:DescribeImageScanFindings`` on ``arn:aws:ecr:…:repository/{GROUP_PREFIX}*``;
- ``codepipeline:StartPipelineExecution``, ``codepipeline:GetPipelineExecution``,
  ``codepipeline:ListActionExecutions`` and ``codepipeline:GetPipelineState`` on
  ``arn:aws:codepipeline:…:{GROUP_PREFIX}*``;
- ``secretsmanager:GetSecretValue`` on the projects' token secrets, ``kms:Decrypt`` with their key;
- ``logs:CreateLogStream`` and ``logs:PutLogEvents`` on its own log group;
- ``sqs:SendMessage`` to its dead-letter queue.

The roles of approvers need a deny beside: ``sagemaker:UpdateModelPackage`` where the condition key
``sagemaker:CustomerMetadataProperties/RegisteredBy`` or ``…/StartedBy`` is present, so that nobody
rewrites who registered what they approve.

Worth an alarm: log lines of level ``ERROR`` (metric filter ``{ $.level = "ERROR" }``), by
``outcome``: ``no-retreat`` (a rejected version stays live), ``not-started`` (a run cannot be
started), ``finished`` (a deployment failed), ``refused`` (the gate refused a run),
``refused-event`` and ``not-swept``; the function's ``Errors``; messages in its dead-letter queue.
Log lines are JSON; they hold no token and no object's content.

The code is packaged as ``functions/__init__.py``, ``functions/promotion/`` (model cards, images,
identities and clients are shared with it) and ``functions/deployment/`` under the root of one
archive; the handler is ``functions.deployment.handler.handle``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

import boto3

from ..promotion.aws import Clients
from ..promotion.handler import write_log
from .approvals import ManualApprovals
from .deployments import EXECUTION_EVENT, Answer, Caller, Deployments, Log, RequestError
from .evidence import Evidence
from .gate import Checks
from .github import GitHub
from .ledger import Ledger
from .projects import Projects
from .settings import Settings, read_settings
from .signatures import Signers, endpoint_of
from .start import Runs
from .versions import Versions

ALIAS = "project-"
"""What the names of projects' aliases begin with."""

_ALIAS = f"{ALIAS}NAME_ENVIRONMENT"
_VERSION_EVENT = "SageMaker Model Package State Change"
_EXPECTED = "begin, finish, rollback, sweep"


def make_deployments(
    settings: Settings,
    client: Callable[[str], Any],
    log: Log = write_log,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Deployments:
    """The deployments of a hub.

    Args:
        settings: The deployment's settings.
        client: Service -> a client of the function's own role.
        log: Takes log lines.
        now: The time.
    """
    github = GitHub(client("secretsmanager"), settings.github_api_url)
    sagemaker, pipelines = client("sagemaker"), client("codepipeline")
    evidence = Evidence(
        sagemaker,
        client("s3"),
        client("ecr"),
        settings.hub_account,
        settings.image_accounts,
        settings.scan_severity,
    )
    approvals = ManualApprovals(pipelines, github, now)
    return Deployments(
        settings=settings,
        store=Ledger(client("dynamodb"), settings.ledger_table),
        registry=Versions(sagemaker),
        projects=Projects(client("ssm"), settings.project_parameters, settings.group_prefix),
        gate=Checks(settings, sagemaker, client("s3"), evidence, approvals),
        starter=Runs(pipelines, github, settings.environments),
        signers=Signers(
            endpoint_of(client("sts"), settings.region),
            settings.region,
            settings.hub_account,
            now,
        ),
        log=log,
        now=now,
    )


def read_caller(function_arn: str) -> Caller | None:
    """Project and environment by whose alias the function was called; None without an alias.

    Args:
        function_arn: The ARN that it was called by, as Lambda's context tells it.

    Raises:
        RequestError: It was called by a version, or by an alias of no project.
    """
    qualifier = function_arn.partition(":function:")[2].partition(":")[2]
    if not qualifier:
        return None
    project, _, environment = qualifier.removeprefix(ALIAS).partition("_")
    if not qualifier.startswith(ALIAS) or not project or not environment:
        raise RequestError(f"{function_arn} is no project's: expected {_ALIAS}, or no alias.")
    return Caller(project, environment)


def dispatch(
    deployments: Deployments, event: Mapping[str, Any], caller: Caller | None = None
) -> Answer:
    """Gives an event or a request to whom it is for.

    Args:
        deployments: Who decides.
        event: The event or request.
        caller: By whose alias it came; None without an alias.

    Raises:
        RequestError: It is for nobody, or wrong, or may not come this way.
        Exception: What failed and may work later.
    """
    of_runs: Mapping[str, Callable[[Mapping[str, Any], Caller], Answer]] = {
        "begin": deployments.begin,
        "finish": deployments.finish,
    }
    others: Mapping[str, Callable[[Mapping[str, Any]], Answer]] = {
        _VERSION_EVENT: deployments.version_event,
        EXECUTION_EVENT: deployments.execution_event,
        "rollback": deployments.rollback,
        "sweep": deployments.sweep,
    }
    kind = str(event.get("detail-type") or event.get("action"))
    if kind not in of_runs and kind not in others:
        told = f"detail-type {kind!r}" if event.get("detail-type") else f"action {kind!r}"
        raise RequestError(f"{told} is not known, expected {_EXPECTED}.")
    if kind in others and caller is None:
        return others[kind](event)
    if kind in of_runs and caller is not None:
        return of_runs[kind](event, caller)
    way = f"by the alias {_ALIAS} of its project" if kind in of_runs else "without an alias"
    raise RequestError(f"{kind} has to come {way}.")


@cache
def _deployments() -> Deployments:
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = read_settings(os.environ)
    return make_deployments(settings, Clients(boto3.Session(), settings.region, {}).own)


class Invocation(Protocol):
    """What Lambda tells of an invocation, as far as it is needed."""

    invoked_function_arn: str


def handle(event: Mapping[str, Any], context: Invocation) -> Answer:
    """Lambda's entry point.

    Raises:
        SettingsError: The function's environment is wrong.
        RequestError: A request is wrong.
        Exception: What failed and may work later.
    """
    return dispatch(_deployments(), event, read_caller(context.invoked_function_arn))
