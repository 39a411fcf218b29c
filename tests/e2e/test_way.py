"""A model's way from a new project to prod on the deployed platform, and what is refused on it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from components.naming import ENVIRONMENTS
from components.settings import load_stack
from functions.promotion.model_card import card_name
from localcloud import people
from localcloud.demo import PAGE, Demo
from localcloud.emulator import daemon
from localcloud.emulator.callers import through_vpc_endpoint
from localcloud.environment import running_instance
from localcloud.paths import Paths
from tests.e2e.conftest import Platform, end_runs
from tests.localcloud.kit import until

pytestmark = pytest.mark.e2e

PROJECT = "rings"
OFFICER = "assumed-role/mlops-governance-governance-officer/"
WHY = "Tested in preprod, card is complete"


@dataclass
class Way:
    """A project whose first version went the whole way, as the demo goes it."""

    platform: Platform
    demo: Demo
    said: list[str] = field(default_factory=list)

    @property
    def group(self) -> str:
        return self.demo.names("governance").name(PROJECT, "group")

    def versions(self) -> list[str]:
        """The hub's versions, newest first."""
        listed = self.hub("sagemaker").list_model_packages(
            ModelPackageGroupName=self.group, SortBy="CreationTime", SortOrder="Descending"
        )
        return [item["ModelPackageArn"] for item in listed["ModelPackageSummaryList"]]

    @property
    def live(self) -> str:
        """The version that went the way: the first."""
        return self.versions()[-1]

    def hub(self, service: str) -> Any:
        return self.platform.client(service, "governance")

    def attempts(self, environment: str) -> list[dict[str, Any]]:
        """The ledger's attempts of an environment, oldest first."""
        found = self.hub("dynamodb").query(
            TableName="mlops-governance-deployments",
            KeyConditionExpression="Deployment = :place",
            ExpressionAttributeValues={":place": {"S": f"{self.group}#{environment}"}},
        )["Items"]
        return [{key: next(iter(value.values())) for key, value in item.items()} for item in found]

    def followed(self, environment: str, attempts: int) -> list[dict[str, Any]]:
        """The last two attempts of an environment that had some, when one more has ended."""
        return until(
            lambda: self.attempts(environment),
            lambda found: (
                len(found) > attempts and found[-1]["Status"] not in ("Requested", "Deploying")
            ),
            seconds=300,
        )[-2:]

    def serves(self, environment: str) -> str:
        """The configuration that the project's endpoint runs."""
        endpoint = self.demo.names(environment).name(PROJECT)
        sagemaker = self.platform.client("sagemaker", environment)
        return sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]

    def served(self, environment: str) -> str:
        """The central version whose model an environment's endpoint runs, as SageMaker tells it."""
        sagemaker = self.platform.client("sagemaker", environment)
        (variant,) = sagemaker.describe_endpoint_config(
            EndpointConfigName=self.serves(environment)
        )["ProductionVariants"]
        model = sagemaker.describe_model(ModelName=variant["ModelName"])
        (container,) = model.get("Containers") or [model["PrimaryContainer"]]
        return container["ModelPackageName"]

    def register_by_hand(self) -> str:
        """The first version once more, as a data scientist registers it in Studio; its ARN in dev.

        The artifacts are the same: what they are does not matter to what is deployed when.
        """
        source = self.hub("sagemaker").describe_model_package(ModelPackageName=self.live)[
            "CustomerMetadataProperties"
        ]["SourceModelPackageArn"]
        scientist = self.demo.studio("data-scientist", "sagemaker")
        trained = scientist.describe_model_package(ModelPackageName=source)
        registered = scientist.create_model_package(
            ModelPackageGroupName=trained["ModelPackageGroupName"],
            ModelApprovalStatus="PendingManualApproval",
            **{
                member: trained[member]
                for member in ("InferenceSpecification", "ModelMetrics", "DriftCheckBaselines")
            },
        )["ModelPackageArn"]
        with pytest.raises(ClientError, match="AccessDenied"):
            scientist.update_model_package(
                ModelPackageArn=registered, ModelApprovalStatus="Approved"
            )
        return registered

    def card(self) -> dict[str, Any]:
        name = card_name(self.group, int(self.live.rpartition("/")[2]))
        described = self.hub("sagemaker").describe_model_card(ModelCardName=name)
        return json.loads(described["Content"])

    def ask(self, event: dict[str, Any], alias: str = "") -> dict[str, Any]:
        """The deployments' function, invoked as deployed."""
        name = f"mlops-governance-deployments{alias}"
        done = self.hub("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
        answer = json.loads(done["Payload"].read())
        assert "FunctionError" not in done, answer
        return answer

    def begin(self, arn: str, environment: str, kind: str = "deploy") -> dict[str, Any]:
        return self.ask(
            {
                "action": "begin",
                "group": self.group,
                "environment": environment,
                "model_package_arn": arn,
                "execution": "11111111-2222-3333-4444-555555555555",
                "kind": kind,
            },
            f":project-{PROJECT}_{environment}",
        )

    def runs(self) -> set[str]:
        """Every run of the project's pipelines in the hub."""
        pipelines = self.hub("codepipeline")
        return {
            run["pipelineExecutionId"]
            for pipeline in ("deploy", "restore-preprod", "restore-prod")
            for run in pipelines.list_pipeline_executions(
                pipelineName=f"mlops-governance-{PROJECT}-{pipeline}"
            )["pipelineExecutionSummaries"]
        }

    def s3(self, environment: str) -> Any:
        """S3 as an account's administrator from inside of its network."""
        return through_vpc_endpoint(
            self.platform.client("s3", environment), self.s3_endpoint(environment)
        )

    def s3_endpoint(self, environment: str) -> str:
        endpoints = self.platform.client("ec2", environment).describe_vpc_endpoints()
        return next(
            item["VpcEndpointId"]
            for item in endpoints["VpcEndpoints"]
            if item["ServiceName"].endswith(".s3")
        )


@pytest.fixture(scope="module")
def way(platform: Platform) -> Iterator[Way]:
    """The demo's own code, run on this platform."""
    with pytest.MonkeyPatch.context() as patch:
        environment = platform.environment
        # All but what pytest and its workers keep there.
        for name in [name for name in os.environ if not name.startswith("PYTEST_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        instance = running_instance(Paths(platform.root))
        settings = {stack: load_stack(platform.root, stack) for stack in ENVIRONMENTS}
        people.sign_in(instance, settings["governance"].placement())
        said: list[str] = []
        demo = Demo(instance, settings, PROJECT, Paths(platform.root), said.append)
        assert demo.run() == Paths(platform.root).local / PAGE
        yield Way(platform, demo, said)


def test_prod_answers_with_a_prediction(way: Way) -> None:
    (told,) = [line for line in way.said if line.endswith(" rings")]
    rings = float(told.partition("->")[2].split()[0])
    assert 1 < rings < 30


@pytest.mark.parametrize("environment", ["preprod", "prod"])
def test_the_ledger_has_the_deployment_and_who_approved_it(way: Way, environment: str) -> None:
    (attempt,) = way.attempts(environment)
    assert attempt["Status"] == "Live"
    assert attempt["Kind"] == "deploy"
    assert attempt["ModelPackageArn"] == way.live
    who = "ml-engineer" if environment == "preprod" else "governance-officer"
    assert f"assumed-role/mlops-governance-{who}/" in attempt["ApprovedBy"]


def test_the_card_says_who_approved_prod_when_and_why(way: Way) -> None:
    text = json.dumps(way.card())
    (attempt,) = way.attempts("prod")
    assert OFFICER in text
    assert WHY in text
    assert attempt["ApprovedBy"] in text
    assert re.search(r"20\d\d-\d\d-\d\dT\d\d:\d\d", text)


def test_the_card_says_by_which_job_it_was_trained_and_how(way: Way) -> None:
    told = way.card()["training_details"]["training_job_details"]
    job = way.platform.client("sagemaker", "dev").describe_training_job(
        TrainingJobName=told["training_arn"].rpartition("/")[2]
    )
    assert {item["name"]: item["value"] for item in told["hyper_parameters"]} == (
        job["HyperParameters"]
    )
    assert [item["name"] for item in told["training_metrics"]] == [
        metric["MetricName"] for metric in job["FinalMetricDataList"]
    ]


def test_the_command_line_and_the_page_tell_the_version(way: Way) -> None:
    told = way.platform.automation(
        "models", "show", f"{PROJECT}:{way.live.rpartition('/')[2]}", "--profile", "ml-engineer"
    )
    assert way.live in told
    assert "governance-officer" in told
    assert WHY in told
    assert re.search(r"prod\W.*Live", told, re.IGNORECASE)
    page = (Paths(way.platform.root).local / PAGE).read_text("utf-8")
    assert PROJECT in page
    assert "<script" not in page


def test_a_data_scientist_approves_nothing(way: Way) -> None:
    scientist = way.platform.as_role("dev", "data-scientist-execution").client("sagemaker")
    source = way.hub("sagemaker").describe_model_package(ModelPackageName=way.live)[
        "CustomerMetadataProperties"
    ]["SourceModelPackageArn"]
    # It is the version that is refused, and not the session that cannot see it.
    assert scientist.describe_model_package(ModelPackageName=source)["ModelPackageArn"] == source
    for arn in (source, way.live):
        with pytest.raises(ClientError, match="AccessDenied") as refused:
            scientist.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        assert "UpdateModelPackage" in str(refused.value)


def test_a_project_cannot_be_released_by_its_own_build(way: Way) -> None:
    build = way.platform.as_role("dev", f"{PROJECT}-build")
    with pytest.raises(ClientError, match="AccessDenied"):
        build.client("sagemaker").update_model_package(
            ModelPackageArn=way.live, ModelApprovalStatus="Approved"
        )
    deploy = way.demo.names("prod").role_arn(f"{PROJECT}-deploy")
    with pytest.raises(ClientError, match="AccessDenied"):
        build.client("sts").assume_role(RoleArn=deploy, RoleSessionName="build")


def test_prods_models_read_nothing_of_dev(way: Way) -> None:
    source = f"{PROJECT}/input/demo.csv"
    data, models = (way.demo.names("dev").bucket(purpose) for purpose in ("data", "models"))
    s3 = way.platform.as_role("prod", "model-execution").client("s3")
    through_vpc_endpoint(s3, way.s3_endpoint("prod"))
    assert way.s3("dev").head_object(Bucket=data, Key=source)["ContentLength"]
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket=data, Key=source)
    (kept, *_) = way.s3("dev").list_objects_v2(Bucket=models, Prefix=f"{PROJECT}/")["Contents"]
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.get_object(Bucket=models, Key=kept["Key"])
    # What it is for works: the hub's copy of the live version.
    container = way.hub("sagemaker").describe_model_package(ModelPackageName=way.live)[
        "InferenceSpecification"
    ]["Containers"][0]
    bucket, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
    assert s3.get_object(Bucket=bucket, Key=key)["ContentLength"]


def test_a_second_delivery_of_the_approval_starts_nothing(way: Way) -> None:
    before = way.runs(), way.attempts("preprod"), way.attempts("prod")
    arn, names = way.live, way.demo.names("governance")
    event = {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Package State Change",
        "account": names.account_id,
        "region": names.region,
        "time": "2026-01-01T00:00:00Z",
        "resources": [arn],
        "detail": {
            "ModelPackageGroupName": way.group,
            "ModelPackageArn": arn,
            "ModelPackageVersion": int(arn.rpartition("/")[2]),
            "ModelApprovalStatus": "Approved",
        },
    }
    for _ in range(3):
        way.ask(event)
    assert (way.runs(), way.attempts("preprod"), way.attempts("prod")) == before


def test_a_version_that_is_not_approved_is_not_deployed(way: Way) -> None:
    sagemaker = way.hub("sagemaker")
    described = sagemaker.describe_model_package(ModelPackageName=way.live)
    other = sagemaker.create_model_package(
        ModelPackageGroupName=way.group,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification=described["InferenceSpecification"],
    )["ModelPackageArn"]
    try:
        for environment in ("preprod", "prod"):
            answer = way.begin(other, environment)
            assert answer["proceed"] is False
            assert answer["status"] == "Refused"
            assert other in answer["reason"]
            assert "only an approval" in answer["reason"]
    finally:
        sagemaker.delete_model_package(ModelPackageName=other)


def test_a_live_version_is_rolled_back_in_one_environment_and_rejected_in_all(way: Way) -> None:
    """Both bring the first version back, by the record and at the endpoint; another way each."""
    first, places = way.live, ("preprod", "prod")
    second = way.demo.promote(way.register_by_hand())
    before, number = (version.rpartition("/")[2] for version in (first, second))
    metadata = way.hub("sagemaker").describe_model_package(ModelPackageName=second)[
        "CustomerMetadataProperties"
    ]
    assert "UserProfileName=data-scientist" in metadata["RegisteredBy"]
    way.demo.release(second)
    assert [way.served(place) for place in places] == [second, second]
    attempted = len(way.attempts("prod"))
    told = way.platform.automation(
        "models", "rollback", "--project", PROJECT, "--env", "prod",
        "--reason", "Complaints", "--profile", "ml-engineer",
    )  # fmt: skip
    assert f"prod is put back to {PROJECT}:{before}" in told
    taken_out, rollback = way.followed("prod", attempted)
    assert (taken_out["ModelPackageArn"], taken_out["Status"]) == (second, "RolledBack")
    assert (rollback["ModelPackageArn"], rollback["Status"]) == (first, "Live")
    assert (rollback["Kind"], rollback["Reason"]) == ("rollback", "Complaints")
    assert "assumed-role/mlops-governance-ml-engineer/" in rollback["RequestedBy"]
    assert [way.served(place) for place in places] == [second, first]
    # Taken out is not rejected: the version stays approved.
    package = way.hub("sagemaker").describe_model_package(ModelPackageName=second)
    assert package["ModelApprovalStatus"] == "Approved"
    way.demo.predict()

    attempts = {place: len(way.attempts(place)) for place in places}
    told = way.platform.automation(
        "models", "reject", f"{PROJECT}:{number}", "--reason", "Biased", "--profile", "ml-engineer"
    )
    assert f"preprod is put back to version {before}" in told
    taken_out, retreat = way.followed("preprod", attempts["preprod"])
    assert (taken_out["ModelPackageArn"], taken_out["Status"]) == (second, "RolledBack")
    assert (retreat["ModelPackageArn"], retreat["Status"]) == (first, "Live")
    assert retreat["Kind"] == "retreat"
    assert retreat["Leaves"] == taken_out["Sequence"]
    assert f"Version {number} was rejected while it was live" in retreat["Reason"]
    assert retreat["EndpointConfig"] == way.serves("preprod")
    assert [way.served(place) for place in places] == [first, first]
    # Where it is not live any more, nothing is done.
    assert "prod is put back" not in told.replace("preprod is put back", "")
    assert len(way.attempts("prod")) == attempts["prod"]


def test_a_version_changed_after_its_approval_is_not_deployed(way: Way) -> None:
    """Whoever can write to the hub's bucket still gets nothing else into an endpoint."""
    serving = {environment: way.serves(environment) for environment in ("preprod", "prod")}
    sagemaker = way.hub("sagemaker")
    described = sagemaker.describe_model_package(ModelPackageName=way.live)
    url = described["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    bucket, _, key = url.removeprefix("s3://").partition("/")
    reason = ""
    # The deployment may begin before the change; then it is refused for having no known registrant.
    for number in range(4):
        before = len(way.attempts("preprod"))
        other = sagemaker.create_model_package(
            ModelPackageGroupName=way.group,
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification=described["InferenceSpecification"],
        )["ModelPackageArn"]
        way.demo.person("ml-engineer", "sagemaker").update_model_package(
            ModelPackageArn=other, ModelApprovalStatus="Approved", ApprovalDescription="As good"
        )
        until(lambda before=before: len(way.attempts("preprod")) > before, seconds=60)
        weights = f"other weights {number}".encode()
        way.s3("governance").put_object(Bucket=bucket, Key=key, Body=weights)
        until(lambda: way.attempts("preprod")[-1]["Status"] != "Requested", seconds=180)
        attempt = way.attempts("preprod")[-1]
        assert attempt["ModelPackageArn"] == other
        assert attempt["Status"] == "Refused"
        reason = attempt["Reason"]
        if "It is not known who registered" not in reason:
            break
    assert "is not what was approved" in reason
    assert f"{url} changed" in reason
    assert {environment: way.serves(environment) for environment in serving} == serving


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a process and all that it started have ended."""
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_project_deleted_half_way_is_deleted_again_and_its_versions_stay(way: Way) -> None:
    """The project is gone after it."""
    pipelines, kept = way.hub("codepipeline"), way.versions()
    restore = f"mlops-governance-{PROJECT}-restore-prod"
    delete = ("projects", "delete", PROJECT, "--clone-url", way.demo.clone_url)

    def gone(pipeline: str) -> bool:
        return pipeline not in {item["name"] for item in pipelines.list_pipelines()["pipelines"]}

    first = subprocess.Popen(
        [sys.executable, "-m", "automation", *delete],
        cwd=way.platform.root,
        env=way.platform.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(lambda: gone(restore) or first.poll() is not None, seconds=240)
    assert first.poll() is None, "the deletion ended before it was interrupted"
    # Interrupted as by a person; a killed engine may leave half a file of its local state.
    os.killpg(first.pid, signal.SIGINT)
    until(lambda: ended(first), seconds=120)
    assert first.returncode != 0
    told = way.platform.automation(*delete)
    assert f"{PROJECT} is gone" in told
    archive = way.demo.names("governance").bucket("archive")
    for kind in ("build", "deploy"):
        (key,) = re.findall(rf"s3://{archive}/({PROJECT}/[\w-]+/{kind}\.bundle)", told)
        found = way.hub("s3").get_object(Bucket=archive, Key=key)["Body"].read()
        assert found.startswith(b"# v2 git bundle")
    for environment in ("preprod", "prod"):
        endpoints = way.platform.client("sagemaker", environment).list_endpoints()["Endpoints"]
        assert f"mlops-{environment}-{PROJECT}" not in {e["EndpointName"] for e in endpoints}
    for environment in ENVIRONMENTS:
        roles = way.platform.client("iam", environment).list_roles()["Roles"]
        assert not [r["RoleName"] for r in roles if f"-{PROJECT}-" in r["RoleName"]]
        listed = way.platform.client("codepipeline", environment).list_pipelines()["pipelines"]
        assert not [p["name"] for p in listed if f"-{PROJECT}-" in p["name"]]
    dev = way.platform.client("sagemaker", "dev")
    assert not dev.list_pipelines(PipelineNamePrefix=f"mlops-dev-{PROJECT}")["PipelineSummaries"]
    assert way.versions() == kept
    assert dev.list_model_packages(ModelPackageGroupName=f"mlops-dev-{PROJECT}")[
        "ModelPackageSummaryList"
    ]
    assert PROJECT not in way.platform.automation("projects", "list")


def test_a_new_project_of_the_same_name_takes_over_its_versions(way: Way) -> None:
    """It has repositories of its own, as the old ones hold what the old team wrote."""
    kept, url = way.versions(), ""
    for kind in ("build", "deploy"):
        name = f"another/{PROJECT}-{kind}"
        made = daemon.request(way.demo.instance.endpoint, "POST", "repositories", {"name": name})
        url = str(made["clone_url"]).replace(name, "{repository}")
    asked = {"owner": "demo", "cost_centre": "4711", "organization": "another"}
    create = [
        "projects", "create", PROJECT, "--clone-url", url,
        *(part for key, value in asked.items() for part in ("--set", f"{key}={value!r}")),
    ]  # fmt: skip
    assert "filled from" in way.platform.automation(*create)
    end_runs(way.platform, "dev", way.demo.names("dev").name(f"{PROJECT}-build"))
    assert way.versions() == kept
    assert PROJECT in way.platform.automation("projects", "list")
    # Asked for again, it is there already and nothing is adopted a second time.
    assert "left as it is" in way.platform.automation(*create)
