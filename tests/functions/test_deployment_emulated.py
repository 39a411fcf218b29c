"""The function under its own role, in a hub with a promotion function, from dev to prod."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from functions.deployment.deployments import Deployments, RequestError, StartingError
from functions.deployment.handler import dispatch
from functions.deployment.signatures import HEADER
from functions.promotion.model_card import card_name, violations
from tests.functions.deployment_hub import MODELS, DeployingHub
from tests.functions.platform import Crash, message
from tests.localcloud.emulators import checkout, running, trusting
from tests.localcloud.jobs_world import archive
from tests.localcloud.kit import until


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployingHub]:
    with running(checkout(tmp_path_factory.mktemp("deployments"))) as cloud:
        yield DeployingHub(cloud)


@pytest.fixture
def hub(standing: DeployingHub) -> Iterator[DeployingHub]:
    yield standing
    standing.platform.wire.crash_after(None)
    standing.platform.wire.calls.clear()
    standing.logged.clear()


@pytest.fixture
def function(hub: DeployingHub) -> Deployments:
    return hub.function()


def content(hub: DeployingHub, arn: str) -> dict[str, Any]:
    name = card_name(arn.split("/")[1], int(arn.rpartition("/")[2]))
    return json.loads(hub.platform.hub.describe_model_card(ModelCardName=name)["Content"])


def refused(answer: dict[str, Any], *words: str) -> None:
    assert (answer["proceed"], answer["status"]) == (False, "Refused")
    for word in words:
        assert word in answer["reason"]


def test_a_version_goes_from_its_approval_to_prod(hub: DeployingHub, function: Deployments) -> None:
    project = hub.project()
    arn = hub.promoted(project)
    # People write into the card before it is approved.
    name = card_name(arn.split("/")[1], 1)
    card = content(hub, arn)
    card["additional_information"]["custom_details"]["Reviewed"] = "by the model board"
    hub.platform.hub.update_model_card(ModelCardName=name, Content=json.dumps(card))

    hub.decide(function, arn)
    (run,) = hub.runs_of(arn)
    assert run["name"] == f"acme-governance-{project}"
    assert {"name": "REASON", "value": "beats the last"} in run["variables"]
    begun = hub.begin(function, arn, "preprod")
    version = begun["version"]
    assert begun["proceed"]
    assert version["model_package_arn"] == arn
    assert version["model_data_url"].startswith(f"s3://{MODELS}/promoted/")
    assert version["environment"] == {"THREADS": "2"}
    assert version["content_types"] == ["text/csv"]
    assert version["response_types"] == ["application/json"]
    assert hub.finish(function, arn, "preprod", 1, "Live") == {"status": "Live"}

    hub.pipelines.approve(run["id"], hub.person("grace"), "canary looks good")
    assert hub.begin(function, arn, "prod")["proceed"]
    assert hub.finish(function, arn, "prod", 1, "Live") == {"status": "Live"}

    (preprod,), (prod,) = hub.ledger(arn, "preprod"), hub.ledger(arn, "prod")
    assert (preprod["Status"], preprod["Version"], preprod["Kind"]) == ("Live", "1", "deploy")
    assert prod["ModelPackageArn"] == arn
    assert prod["Execution"] == preprod["Execution"] == run["id"]
    assert prod["ApprovedBy"] == hub.person("grace")
    assert prod["ApprovalReason"] == "canary looks good"
    assert prod["EndpointConfig"] == "config-1"
    assert preprod["ApprovedBy"].endswith("assumed-role/acme-governance-ml-engineer/alex")
    evidence = json.loads(prod["Evidence"])
    assert [line.partition(":")[0] for line in evidence] == ["metrics", "card", "scan"]
    assert "exempt" in evidence[2]

    card = content(hub, arn)
    details = card["additional_information"]["custom_details"]
    assert violations(card) == []
    assert details["Reviewed"] == "by the model board"
    assert details["ProdApprovedBy"] == hub.person("grace")
    assert details["ProdApprovalReason"] == "canary looks good"
    assert details["ProdApprovedAt"] == prod["ApprovedAt"]
    assert details["PreprodApprovedBy"] == preprod["ApprovedBy"]
    assert details["PreprodApprovalReason"] == "beats the last"
    assert "acme-dev-data-scientist/ada" in details["RegisteredBy"]


def test_prod_needs_a_manual_approval_in_this_run(hub: DeployingHub, function: Deployments) -> None:
    arn = hub.promoted(hub.project())
    hub.decide(function, arn)
    hub.finish(function, arn, "preprod", hub.begin(function, arn, "preprod")["sequence"], "Live")
    # An approval of another run, and a rejection after an approval, are none of this run.
    hub.pipelines.approve("00000000-0000-0000-0000-000000000000", hub.person("grace"))
    hub.pipelines.approve(hub.execution(arn), hub.person("grace"))
    hub.pipelines.approve(hub.execution(arn), hub.person("grace"), status="Failed")
    refused(hub.begin(function, arn, "prod"), "no manual approval for prod")
    assert hub.ledger(arn, "prod")[0]["Status"] == "Refused"
    assert "ProdApprovedBy" not in content(hub, arn)["additional_information"]["custom_details"]


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ("alex", "approved the version too"),
        ("ada", "registered, trained or approved it in dev, too"),
        ("botocore-session-1700000000", "not known who"),
    ],
)
def test_prod_is_approved_by_somebody_else(
    hub: DeployingHub, function: Deployments, who: str, words: str
) -> None:
    arn = hub.promoted(hub.project())
    hub.decide(function, arn)
    hub.finish(function, arn, "preprod", hub.begin(function, arn, "preprod")["sequence"], "Live")
    hub.pipelines.approve(hub.execution(arn), hub.person(who))
    refused(hub.begin(function, arn, "prod"), words)


def test_who_approved_it_in_dev_approves_nothing_after(
    hub: DeployingHub, function: Deployments
) -> None:
    """An approval can change what a version runs."""
    project = hub.project()
    made = hub.session("acme-dev-data-scientist", "ada").create_model_package(
        **hub.version(project), ModelApprovalStatus="PendingManualApproval"
    )["ModelPackageArn"]
    specification = hub.version(project)["InferenceSpecification"]
    specification["Containers"][0]["Environment"] = {"CHANGED": "true"}
    hub.session("acme-dev-data-scientist", "lea").update_model_package(
        ModelPackageArn=made,
        ModelApprovalStatus="Approved",
        InferenceSpecification=specification,
    )
    arn = hub.arrived(made)
    told = hub.platform.hub.describe_model_package(ModelPackageName=arn)
    (container,) = told["InferenceSpecification"]["Containers"]
    assert container["Environment"] == {"CHANGED": "true"}
    assert told["CustomerMetadataProperties"]["SourceApprovedBy"].endswith("/lea")
    hub.decide(function, arn, by="lea")
    refused(hub.begin(function, arn, "preprod"), "approved it in dev, too")
    hub.decide(function, arn, "Rejected")
    hub.decide(function, arn, by="alex")
    run = hub.runs_of(arn)[-1]["id"]
    answer = hub.begin(function, arn, "preprod", run)
    assert answer["proceed"]
    hub.finish(function, arn, "preprod", answer["sequence"], "Live")
    hub.pipelines.approve(run, hub.person("lea"))
    refused(hub.begin(function, arn, "prod", run), "approved it in dev, too")


def test_what_dev_does_to_a_version_after_its_promotion_changes_nothing_in_the_hub(
    hub: DeployingHub, function: Deployments
) -> None:
    """Defined so in docs/model-lifecycle.md: who wants it out of service rejects it in the hub."""
    arn = hub.promoted(hub.project())
    told = hub.platform.hub.describe_model_package(ModelPackageName=arn)
    source = told["CustomerMetadataProperties"]["SourceModelPackageArn"]
    hub.decide(function, arn)
    before = hub.platform.hub.describe_model_package(ModelPackageName=arn)
    dev = hub.platform.dev
    dev.update_model_package(ModelPackageArn=source, ModelApprovalStatus="Rejected")
    # Not forwarded; were it delivered all the same, promotion would take no notice.
    assert hub.platform.deliver(message(source, "Rejected")) == []
    dev.update_model_package(ModelPackageArn=source, ModelApprovalStatus="Approved")
    assert hub.platform.deliver(message(source)) == []
    dev.delete_model_package(ModelPackageName=source)
    group = arn.split("/")[1]
    (version,) = hub.platform.hub.list_model_packages(ModelPackageGroupName=group)[
        "ModelPackageSummaryList"
    ]
    assert version["ModelPackageArn"] == arn
    now = hub.platform.hub.describe_model_package(ModelPackageName=arn)
    assert {**now, "ResponseMetadata": {}} == {**before, "ResponseMetadata": {}}
    assert hub.begin(function, arn, "preprod")["proceed"]


def test_who_approves_says_why(hub: DeployingHub, function: Deployments) -> None:
    project = hub.project()
    silent, arn = hub.promoted(project), hub.promoted(project)
    hub.session("acme-governance-ml-engineer", "alex").update_model_package(
        ModelPackageArn=silent, ModelApprovalStatus="Approved"
    )
    dispatch(function, hub.event(silent))
    refused(hub.begin(function, silent, "preprod"), "was approved without a reason")
    hub.decide(function, arn)
    hub.finish(function, arn, "preprod", hub.begin(function, arn, "preprod")["sequence"], "Live")
    hub.pipelines.approve(hub.execution(arn), hub.person("grace"), why="")
    refused(hub.begin(function, arn, "prod"), "approved prod without a reason")


def test_the_approver_by_the_pipelines_state(hub: DeployingHub, function: Deployments) -> None:
    """Where the list of actions does not tell who it was."""
    arn = hub.promoted(hub.project())
    hub.decide(function, arn)
    hub.finish(function, arn, "preprod", hub.begin(function, arn, "preprod")["sequence"], "Live")
    run = hub.execution(arn)
    hub.pipelines.approve(run, "")
    action = hub.pipelines.actions[-1]
    hub.pipelines.states = [
        {
            "stageName": "ApproveProd",
            "latestExecution": {"pipelineExecutionId": run, "status": "Succeeded"},
            "actionStates": [
                {
                    "actionName": "Approve",
                    "latestExecution": {
                        "actionExecutionId": action["actionExecutionId"],
                        "lastUpdatedBy": hub.person("grace"),
                    },
                }
            ],
        }
    ]
    assert hub.begin(function, arn, "prod")["proceed"]
    assert hub.ledger(arn, "prod")[0]["ApprovedBy"] == hub.person("grace")


def test_who_registered_a_version_cannot_approve_it(
    hub: DeployingHub, function: Deployments
) -> None:
    arn = hub.promoted(hub.project(), by="alex")
    hub.decide(function, arn, by="alex")
    refused(hub.begin(function, arn, "preprod"), "acme-dev-data-scientist/alex", "another person")


def test_a_version_that_nobody_registered_is_refused(
    hub: DeployingHub, function: Deployments
) -> None:
    arn = hub.promoted(hub.project(), by="botocore-session-1700000000")
    hub.decide(function, arn)
    refused(hub.begin(function, arn, "preprod"), "not known who registered or trained")


def test_a_version_without_its_evidence_is_refused(
    hub: DeployingHub, function: Deployments
) -> None:
    bare = hub.promoted(hub.project(), ModelMetrics={})
    hub.decide(function, bare)
    refused(hub.begin(function, bare, "preprod"), "has no metrics")
    empty = hub.promoted(hub.project(), report=b"")
    hub.decide(function, empty)
    refused(hub.begin(function, empty, "preprod"), "are empty")
    lost = hub.promoted(hub.project())
    metrics = hub.platform.hub.describe_model_package(ModelPackageName=lost)["ModelMetrics"]
    hub.decide(function, lost)
    uri = metrics["ModelQuality"]["Statistics"]["S3Uri"]
    key = uri.removeprefix(f"s3://{MODELS}/")
    hub.platform.hub_s3.delete_object(Bucket=MODELS, Key=key)
    refused(hub.begin(function, lost, "preprod"), uri, "cannot be read")
    cardless = hub.promoted(hub.project())
    hub.platform.hub.delete_model_card(ModelCardName=card_name(cardless.split("/")[1], 1))
    hub.decide(function, cardless)
    refused(hub.begin(function, cardless, "preprod"), "has no model card")


def test_an_own_image_is_scanned_and_without_severe_findings(hub: DeployingHub) -> None:
    function = hub.function(EVIDENCE='{"preprod": ["scan"]}', MANUAL_APPROVALS="[]")
    platform = hub.platform
    layer = archive({"opt/scorer/requirements.txt": b"scorer==1.2\n"})
    arn = hub.promoted(hub.project(), image=platform.image(platform.push(layer)))
    hub.decide(function, arn)
    refused(hub.begin(function, arn, "preprod"), "is not scanned")
    image = platform.hub.describe_model_package(ModelPackageName=arn)["InferenceSpecification"][
        "Containers"
    ][0]["Image"]
    digest = image.partition("@")[2]
    platform.hub_ecr.start_image_scan(
        repositoryName="acme-governance-scorer", imageId={"imageDigest": digest}
    )
    advisory = {"name": "TEST-1", "package": "scorer", "versions": "<2", "severity": "HIGH"}
    platform.cloud.control("POST", "advisories", advisory)
    hub.decide(function, arn, "Rejected")
    hub.decide(function, arn)
    second = hub.runs_of(arn)[-1]["id"]
    refused(hub.begin(function, arn, "preprod", second), "has findings: 1 HIGH")
    tolerant = hub.function(
        EVIDENCE='{"preprod": ["scan"]}', MANUAL_APPROVALS="[]", SCAN_SEVERITY="CRITICAL"
    )
    hub.decide(tolerant, arn, "Rejected")
    hub.decide(tolerant, arn)
    third = hub.runs_of(arn)[-1]["id"]
    assert hub.begin(tolerant, arn, "preprod", third)["proceed"]
    assert "without findings of CRITICAL" in hub.ledger(arn, "preprod")[-1]["Evidence"]
    platform.cloud.control("DELETE", "advisories")


def test_what_changed_after_its_approval_is_refused(
    hub: DeployingHub, function: Deployments
) -> None:
    arn = hub.promoted(hub.project())
    hub.decide(function, arn)
    told = hub.platform.hub.describe_model_package(ModelPackageName=arn)
    uri = told["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    key = uri.removeprefix(f"s3://{MODELS}/")
    body = hub.platform.hub_s3.get_object(Bucket=MODELS, Key=key)["Body"].read()
    # The same bytes again are another object: who put them there?
    hub.platform.hub_s3.put_object(Bucket=MODELS, Key=key, Body=body)
    refused(hub.begin(function, arn, "preprod"), "not what was approved", f"{uri} changed")


def test_a_specification_that_comes_with_the_approval_is_refused(
    hub: DeployingHub, function: Deployments
) -> None:
    arn = hub.promoted(hub.project())
    told = hub.platform.hub.describe_model_package(ModelPackageName=arn)["InferenceSpecification"]
    told["Containers"][0]["Environment"] = {"SAGEMAKER_PROGRAM": "other.py"}
    hub.platform.hub.update_model_package(ModelPackageArn=arn, InferenceSpecification=told)
    hub.decide(function, arn)
    refused(hub.begin(function, arn, "preprod"), "not what was promoted")


def test_a_version_whose_specification_grew_is_refused(
    hub: DeployingHub, function: Deployments
) -> None:
    arn = hub.promoted(hub.project())
    hub.decide(function, arn)
    hub.platform.hub.update_model_package(
        ModelPackageArn=arn,
        AdditionalInferenceSpecificationsToAdd=[
            {"Name": "other", "Containers": [{"Image": "x.dkr.ecr.y.amazonaws.com/z"}]}
        ],
    )
    refused(hub.begin(function, arn, "preprod"), "AdditionalInferenceSpecifications is new")


def test_rejecting_the_live_version_retreats_in_each_environment(
    hub: DeployingHub, function: Deployments
) -> None:
    project = hub.project()
    first, second = hub.promoted(project), hub.promoted(project)
    for arn in (first, second):
        hub.live_through(function, arn)
    before = set(hub.pipelines.runs)
    event = hub.decide(function, second, "Rejected")
    dispatch(function, event)
    runs = [run for key, run in hub.pipelines.runs.items() if key not in before]
    assert [run["name"] for run in runs] == [
        f"acme-governance-{project}-restore-{environment}" for environment in ("preprod", "prod")
    ]
    given = [{item["name"]: item["value"] for item in run["variables"]} for run in runs]
    assert {values["KIND"] for values in given} == {"retreat"}
    assert {values["MODEL_PACKAGE_ARN"] for values in given} == {first}
    for run, environment in zip(runs, ("preprod", "prod"), strict=True):
        begun = hub.begin(function, first, environment, run["id"], "retreat")
        assert begun["proceed"]
        hub.finish(function, first, environment, begun["sequence"], "Live")
        states = [(item["Version"], item["Status"]) for item in hub.ledger(first, environment)]
        assert states == [("1", "Superseded"), ("2", "RolledBack"), ("1", "Live")]


def test_a_rollback_and_a_failed_test_bring_the_previous_version_back(
    hub: DeployingHub, function: Deployments
) -> None:
    project = hub.project()
    first, second, third = (hub.promoted(project) for _ in range(3))
    for arn in (first, second):
        hub.live_through(function, arn)
    request = hub.signed(
        "grace",
        {
            "action": "rollback",
            "group": f"acme-governance-{project}",
            "environment": "prod",
            "sequence": 2,
            "reason": "slow",
        },
    )
    answer = dispatch(function, request)
    assert (answer["status"], answer["model_package_arn"]) == ("Requested", first)
    grace = hub.person("grace", "acme-governance-ml-engineer")
    assert hub.ledger(first, "prod")[-1]["RequestedBy"] == grace
    hub.decide(function, third)
    begun = hub.begin(function, third, "preprod")
    assert hub.finish(function, third, "preprod", begun["sequence"], "Failed") == {
        "status": "Failed"
    }
    last = hub.ledger(third, "preprod")[-1]
    assert (last["Version"], last["Kind"], last["Status"]) == ("2", "retreat", "Requested")
    assert "a test failed" in last["Reason"]


def test_sts_tells_who_signed_and_nobody_else_can_be_named(
    hub: DeployingHub, function: Deployments
) -> None:
    arn = hub.promoted(hub.project())
    hub.live_through(function, arn)
    request = {
        "action": "rollback",
        "group": arn.split("/")[1],
        "environment": "prod",
        "sequence": 1,
        "reason": "slow",
    }
    signed = hub.signed("grace", request)
    other = hub.signed("grace", {**request, "reason": "fast"})

    def refused(request: dict[str, Any], words: str) -> None:
        with pytest.raises(RequestError, match=words):
            dispatch(function, request)

    # Another request under this signature, with the digest that belongs to it.
    moved = {**signed["signature"], HEADER: other["signature"][HEADER]}
    refused({**other, "signature": moved}, "SignatureDoesNotMatch")
    # Another person's token beside this signature.
    theirs = hub.signed("alex", request)["signature"]["x-amz-security-token"]
    mixed = {**signed["signature"], "x-amz-security-token": theirs}
    refused({**request, "signature": mixed}, "STS does not know who signed")
    made_up = re.sub("[0-9a-f]{64}$", "0" * 64, signed["signature"]["authorization"])
    forged = {**signed["signature"], "authorization": made_up}
    refused({**request, "signature": forged}, "SignatureDoesNotMatch")
    stranger = hub.signed("ada", request, role="acme-dev-data-scientist")
    refused(stranger, "not of the hub's account")
    assert len(hub.ledger(arn, "prod")) == 1
    # The signature itself is good: what is refused is the wish.
    assert "No version before 1" in dispatch(function, signed)["reason"]


def test_one_approval_delivered_by_many_at_once_starts_one_run(hub: DeployingHub) -> None:
    arn = hub.promoted(hub.project())
    functions = [hub.function() for _ in range(6)]
    event = hub.event(arn)
    hub.session("acme-governance-ml-engineer", "alex").update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good"
    )

    def deliver(function: Deployments) -> str:
        for _ in range(3):
            try:
                dispatch(function, event)
            except StartingError as busy:
                told = str(busy)
            else:
                return "done"
        return told

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(deliver, functions))
    assert "done" in outcomes
    assert len(hub.runs_of(arn)) == 1
    (attempt,) = hub.ledger(arn, "preprod")
    assert (attempt["Sequence"], attempt["Execution"]) == ("1", hub.execution(arn))


def test_one_attempt_is_begun_by_one_run(hub: DeployingHub, function: Deployments) -> None:
    arn = hub.promoted(hub.project())
    hub.decide(function, arn)
    functions = [hub.function() for _ in range(4)]
    runs = [hub.execution(arn), hub.execution(arn), "stranger-1", "stranger-2"]
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda pair: hub.begin(pair[0], arn, "preprod", pair[1]),
                zip(functions, runs, strict=True),
            )
        )
    assert [answer["proceed"] for answer in answers] == [True, True, False, False]
    assert answers[0] == answers[1]


def test_a_crash_after_any_call_leaves_one_run_and_one_attempt(hub: DeployingHub) -> None:
    """The process ends after its first call, its second, and so on until the event is handled."""
    arn = hub.promoted(hub.project())
    function = hub.function(START_LEASE_SECONDS="1")
    calls = 0
    while True:
        calls += 1
        hub.session("acme-governance-ml-engineer", "alex").update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good"
        )
        event = hub.event(arn)
        hub.platform.wire.crash_after(calls)
        try:
            dispatch(function, event)
        except Crash:
            crashed = True
        else:
            crashed = False
        hub.platform.wire.crash_after(None)
        for _ in range(40):
            try:
                dispatch(function, event)
            except StartingError:
                time.sleep(0.1)
            else:
                break
        runs = [run["id"] for run in hub.runs_of(arn)]
        attempts = hub.ledger(arn, "preprod")
        assert len(runs) == calls
        assert [item["Execution"] for item in attempts] == runs
        assert {item["Status"] for item in attempts[:-1]} <= {"Refused"}
        assert attempts[-1]["Status"] == "Requested"
        if not crashed:
            break
        hub.decide(function, arn, "Rejected")
    assert calls > 8


def test_the_role_can_do_no_more_than_it_needs(hub: DeployingHub) -> None:
    """What the documentation of the handler lists is what the tests ran with."""
    client = hub.cloud.client("sagemaker", session=hub.cloud.assume(hub.role))
    arn = hub.promoted(hub.project())
    with pytest.raises(Exception, match="AccessDenied"):
        client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")


def test_a_version_of_a_pipeline_is_its_starters(hub: DeployingHub, function: Deployments) -> None:
    """What a pipeline's role registers is of whoever started it, who may not approve it."""
    project = hub.project()
    registering = {
        "Action": ["sagemaker:CreateModelPackage", "sagemaker:DescribeModelPackage"],
        "Resource": "*",
    }
    role = hub.cloud.role(f"acme-dev-{project}-pipeline", registering, trust=trusting("sagemaker"))
    pending = hub.version(project, ModelApprovalStatus="PendingManualApproval")
    token = f"token-{project}-0123456789012345678901"
    bob = hub.session("acme-dev-data-scientist", "bob")
    bob.create_pipeline(
        PipelineName=f"acme-dev-{project}",
        PipelineDefinition=json.dumps(
            {
                "Version": "2020-12-01",
                "Steps": [{"Name": "Register", "Type": "RegisterModel", "Arguments": pending}],
            }
        ),
        ClientRequestToken=token,
        RoleArn=role,
    )
    run = bob.start_pipeline_execution(
        PipelineName=f"acme-dev-{project}", ClientRequestToken=token
    )["PipelineExecutionArn"]
    ended = until(
        lambda: hub.platform.dev.describe_pipeline_execution(PipelineExecutionArn=run),
        lambda told: told["PipelineExecutionStatus"] not in ("Executing", "Stopping"),
    )
    assert ended["PipelineExecutionStatus"] == "Succeeded", ended
    (step,) = hub.platform.dev.list_pipeline_execution_steps(PipelineExecutionArn=run)[
        "PipelineExecutionSteps"
    ]
    source = step["Metadata"]["RegisterModel"]["Arn"]
    hub.platform.dev.update_model_package(ModelPackageArn=source, ModelApprovalStatus="Approved")
    arn = hub.arrived(source)
    told = hub.platform.hub.describe_model_package(ModelPackageName=arn)
    assert "/bob" in told["CustomerMetadataProperties"]["StartedBy"]
    hub.decide(function, arn, by="bob")
    refused(hub.begin(function, arn, "preprod"), "another person")
    hub.decide(function, arn, "Rejected")
    hub.decide(function, arn, by="alex")
    assert hub.begin(function, arn, "preprod", hub.runs_of(arn)[-1]["id"])["proceed"]

    # Session names that a service chose name nobody: what such a version says, that bob's
    # execution made it, is not so.
    claimed = hub.promoted(hub.project(), by="SageMaker", MetadataProperties={"GeneratedBy": run})
    told = hub.platform.hub.describe_model_package(ModelPackageName=claimed)
    assert "StartedBy" not in told["CustomerMetadataProperties"]
    hub.decide(function, claimed, by="alex")
    refused(hub.begin(function, claimed, "preprod"), "It is not known who registered")


def test_one_approval_of_a_run_is_for_all_of_a_kind_and_each_passes_its_own_gate(
    hub: DeployingHub,
) -> None:
    way = ("preprod", "prod", "prod-eu")
    evidence = {"preprod": ["card"], "prod": ["card"], "prod-eu": ["card", "metrics"]}
    function = hub.function(
        EVIDENCE=json.dumps(evidence), MANUAL_APPROVALS=json.dumps(["prod", "prod-eu"])
    )
    arn = hub.promoted(hub.project())
    hub.decide(function, arn)
    refused(hub.begin(function, arn, "prod-eu"), "nothing has requested it")
    hub.finish(function, arn, "preprod", hub.begin(function, arn, "preprod")["sequence"], "Live")
    hub.pipelines.approve(hub.execution(arn), hub.person("grace"), "good for both")
    for environment in ("prod", "prod-eu"):
        begun = hub.begin(function, arn, environment)
        assert begun["proceed"], begun
        hub.finish(function, arn, environment, begun["sequence"], "Live")
    assert [hub.ledger(arn, name)[0]["Status"] for name in way] == ["Live"] * 3
    assert json.loads(hub.ledger(arn, "prod-eu")[0]["Evidence"])[1].startswith("metrics")
    details = content(hub, arn)["additional_information"]["custom_details"]
    for environment in ("Prod", "ProdEu"):
        assert details[f"{environment}ApprovedBy"] == hub.person("grace")
        assert details[f"{environment}ApprovalReason"] == "good for both"
    assert violations(content(hub, arn)) == []
