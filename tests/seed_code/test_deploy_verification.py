"""The live configuration against the wanted one: a rollback never passes for a success."""

from __future__ import annotations

import datetime as dt
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from tests.seed_code.deploy_repository import MADE, REGION, VERSION

verification, settings = MADE.verification, MADE.settings
NAME, NEW, OLD = "acme-prod-abalone", "acme-prod-abalone-1111111", "acme-prod-abalone-0000000"
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def wanted(source: str = "package") -> Any:
    version = settings.Version.model_validate(VERSION)
    return verification.Wanted(NAME, NEW, NEW, version, source, "ml.m5.large")


def endpoint(status: str = "InService", configuration: str = NEW, **more: Any) -> dict[str, Any]:
    return {
        "EndpointName": NAME,
        "EndpointArn": f"arn:aws:sagemaker:{REGION}:333333333333:endpoint/{NAME}",
        "EndpointConfigName": configuration,
        "EndpointStatus": status,
        "ProductionVariants": [{"VariantName": "AllTraffic", "CurrentInstanceCount": 2}],
        "CreationTime": NOW,
        "LastModifiedTime": NOW,
        **more,
    }


def configuration(model: str = NEW, instance_type: str = "ml.m5.large") -> dict[str, Any]:
    return {
        "EndpointConfigName": NEW,
        "EndpointConfigArn": f"arn:aws:sagemaker:{REGION}:333333333333:endpoint-config/{NEW}",
        "ProductionVariants": [
            {"VariantName": "AllTraffic", "ModelName": model, "InstanceType": instance_type}
        ],
        "CreationTime": NOW,
    }


def model(**container: Any) -> dict[str, Any]:
    return {
        "ModelName": NEW,
        "ModelArn": f"arn:aws:sagemaker:{REGION}:333333333333:model/{NEW}",
        "PrimaryContainer": container,
        "CreationTime": NOW,
    }


PACKAGED = model(ModelPackageName=VERSION["model_package_arn"])
ANSWERS = {
    "describe_endpoint": endpoint(),
    "describe_endpoint_config": configuration(),
    "describe_model": PACKAGED,
}


class SageMaker:
    """A client whose answers are checked against SageMaker's model, given one after the other."""

    def __init__(self, *answers: tuple[str, Any]) -> None:
        self.client = boto3.client(
            "sagemaker", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
        )
        self.stub = Stubber(self.client)
        for operation, answer in answers:
            if isinstance(answer, str):
                self.stub.add_client_error(operation, "ValidationException", answer)
            else:
                self.stub.add_response(operation, answer)
        self.stub.activate()
        self.slept: list[float] = []

    def verify(self, wanted: Any, timeout_seconds: float = 60) -> None:
        verification.require_live(
            self.client, wanted, timeout_seconds=timeout_seconds, sleep=self.slept.append
        )
        self.stub.assert_no_pending_responses()

    def refusal(self, wanted: Any, **more: Any) -> str:
        with pytest.raises(verification.NotLiveError) as refused:
            self.verify(wanted, **more)
        return str(refused.value)


def live(**changed: Any) -> SageMaker:
    return SageMaker(*({**ANSWERS, **changed}).items())


def test_the_wanted_version_is_live() -> None:
    live().verify(wanted())


def test_a_version_deployed_from_its_artifacts_is_live() -> None:
    made = model(Image=VERSION["image"], ModelDataUrl=VERSION["model_data_url"])
    live(describe_model=made).verify(wanted("artifacts"))
    other = model(Image=VERSION["image"], ModelDataUrl="s3://elsewhere/model.tar.gz")
    told = live(describe_model=other).refusal(wanted("artifacts"))
    assert "s3://elsewhere/model.tar.gz" in told


@pytest.mark.parametrize("reason", ["", "Alarm acme-prod-abalone-latency went into ALARM"])
def test_an_endpoint_in_service_with_its_old_configuration_was_rolled_back(reason: str) -> None:
    answer = endpoint(configuration=OLD, **({"FailureReason": reason} if reason else {}))
    told = SageMaker(("describe_endpoint", answer)).refusal(wanted())
    assert OLD in told
    assert NEW in told
    assert "rolled the update back" in told
    assert reason in told


@pytest.mark.parametrize("status", ["Failed", "OutOfService", "UpdateRollbackFailed"])
def test_an_endpoint_that_does_not_serve_is_not_live(status: str) -> None:
    answer = endpoint(status, FailureReason="The container did not start")
    told = SageMaker(("describe_endpoint", answer)).refusal(wanted())
    assert f"it is {status}" in told
    assert "The container did not start" in told


def test_a_reason_is_a_failure_even_where_the_names_agree() -> None:
    answer = endpoint(FailureReason="Request to scale was refused")
    assert "Request to scale" in SageMaker(("describe_endpoint", answer)).refusal(wanted())


def test_an_update_under_way_is_waited_for() -> None:
    sagemaker = SageMaker(
        ("describe_endpoint", endpoint("Updating", OLD)),
        ("describe_endpoint", endpoint("RollingBack", OLD)),
        ("describe_endpoint", endpoint(configuration=OLD)),
    )
    assert "rolled the update back" in sagemaker.refusal(wanted())
    assert len(sagemaker.slept) == 2


def test_waiting_ends() -> None:
    answers = [("describe_endpoint", endpoint("Updating", OLD))] * 30
    told = SageMaker(*answers).refusal(wanted(), timeout_seconds=3)
    assert "still Updating after 3 seconds" in told


def test_another_update_is_told() -> None:
    pending = {"EndpointConfigName": "someone-elses"}
    answer = endpoint(PendingDeploymentSummary=pending)
    assert "someone-elses" in SageMaker(("describe_endpoint", answer)).refusal(wanted())


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"describe_endpoint_config": configuration(model=OLD)}, f"runs the model {OLD}"),
        ({"describe_endpoint_config": configuration(instance_type="ml.t2.medium")}, "ml.t2.medium"),
        ({"describe_endpoint": endpoint(ProductionVariants=[{"VariantName": "b"}])}, "variants b"),
    ],
)
def test_another_model_type_or_variant_is_not_what_was_wanted(
    changed: dict[str, Any], told: str
) -> None:
    answers = {k: v for k, v in {**ANSWERS, **changed}.items() if k != "describe_model"}
    sagemaker = SageMaker(*answers.items(), ("describe_model", PACKAGED))
    assert told in sagemaker.refusal(wanted())


def test_a_model_of_another_version_is_not_what_was_wanted() -> None:
    other = model(ModelPackageName=VERSION["model_package_arn"][:-1] + "6")
    assert "/6, not" in live(describe_model=other).refusal(wanted())


def test_no_endpoint_at_all() -> None:
    missing = f'Could not find endpoint "arn:aws:sagemaker:{REGION}:333333333333:endpoint/{NAME}".'
    assert "there is no endpoint" in SageMaker(("describe_endpoint", missing)).refusal(wanted())
