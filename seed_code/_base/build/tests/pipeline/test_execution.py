from __future__ import annotations

import io
import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from pipelinekit import execution

ARN = "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/acme-dev-shells"
RUN = f"{ARN}/execution/abcdefghijkl"
ROLE = "arn:aws:iam::111122223333:role/acme-dev-shells-pipeline"
TAGS = {"sagemaker:project-id": "p-0123456789ab"}
LISTED = [{"Key": "sagemaker:project-id", "Value": "p-0123456789ab"}]
EXISTS = ("create_pipeline", "ValidationException", None)
WANTED: dict[str, Any] = {
    "name": "acme-dev-shells",
    "definition": '{"Version": "2020-12-01", "Steps": []}',
    "description": "Shells",
    "role_arn": ROLE,
    "tags": TAGS,
}


def client(service: str) -> Any:
    return boto3.client(
        service, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )


def standing(**other: Any) -> dict[str, Any]:
    return {
        "PipelineName": "acme-dev-shells",
        "PipelineArn": ARN,
        "PipelineDefinition": json.dumps(json.loads(WANTED["definition"]), indent=3),
        "PipelineDescription": "Shells",
        "RoleArn": ROLE,
        **other,
    }


def upsert(answers: list[tuple[str, Any, Any]]) -> str:
    sagemaker = client("sagemaker")
    with Stubber(sagemaker) as stub:
        for method, answer, expected in answers:
            if isinstance(answer, str):
                stub.add_client_error(method, answer)
            else:
                stub.add_response(method, answer, expected)
        arn, change = execution.upsert(sagemaker, **WANTED)
        stub.assert_no_pending_responses()
    assert arn == ARN
    return change


def test_a_new_pipeline_is_made_with_its_tags() -> None:
    expected = {
        "PipelineName": "acme-dev-shells",
        "PipelineDisplayName": "acme-dev-shells",
        "PipelineDescription": "Shells",
        "PipelineDefinition": WANTED["definition"],
        "RoleArn": ROLE,
        "Tags": LISTED,
    }
    answers = [
        ("create_pipeline", {"PipelineArn": ARN}, expected),
    ]
    assert upsert(answers) == "created"


def test_the_same_pipeline_is_left_alone_however_its_text_is_spaced() -> None:
    answers = [
        EXISTS,
        ("describe_pipeline", standing(), None),
        ("list_tags", {"Tags": [*LISTED, {"Key": "other", "Value": "kept"}]}, None),
    ]
    assert upsert(answers) == "unchanged"


@pytest.mark.parametrize(
    "other",
    [
        {"PipelineDefinition": '{"Version": "2020-12-01", "Steps": [1]}'},
        {"RoleArn": "arn:aws:iam::111122223333:role/another"},
        {"PipelineDescription": "Old"},
    ],
)
def test_another_definition_role_or_description_is_updated(other: dict[str, str]) -> None:
    answers = [
        EXISTS,
        ("describe_pipeline", standing(**other), None),
        ("update_pipeline", {"PipelineArn": ARN}, None),
        ("list_tags", {"Tags": LISTED}, None),
    ]
    assert upsert(answers) == "updated"


def test_missing_tags_are_added() -> None:
    answers = [
        EXISTS,
        ("describe_pipeline", standing(), None),
        ("list_tags", {"Tags": []}, None),
        ("add_tags", {"Tags": LISTED}, {"ResourceArn": ARN, "Tags": LISTED}),
    ]
    assert upsert(answers) == "updated"


def test_a_refused_pipeline_that_is_not_there_is_told() -> None:
    answers = [
        ("create_pipeline", "AccessDeniedException", None),
        ("describe_pipeline", "ResourceNotFound", None),
    ]
    with pytest.raises(ClientError, match="AccessDeniedException"):
        upsert(answers)


def test_a_refused_update_is_told() -> None:
    answers = [
        EXISTS,
        ("describe_pipeline", standing(RoleArn="arn:aws:iam::111122223333:role/another"), None),
        ("update_pipeline", "ValidationException", None),
    ]
    with pytest.raises(ClientError, match="UpdatePipeline"):
        upsert(answers)


def listing(*objects: tuple[str, int, str]) -> str:
    s3 = client("s3")
    contents = [{"Key": key, "Size": size, "ETag": tag} for key, size, tag in objects]
    with Stubber(s3) as stub:
        expected = {"Bucket": "data", "Prefix": "shells/input/"}
        stub.add_response("list_objects_v2", {"Contents": contents}, expected)
        return execution.data_version(s3, "s3://data/shells/input/")


def test_the_datas_version_changes_with_any_file_and_with_nothing_else() -> None:
    a, b = ("shells/input/a.csv", 10, '"e1"'), ("shells/input/b.csv", 20, '"e2"')
    version = listing(a, b)
    assert version == listing(b, a) == listing(a, b, ("shells/input/", 0, '"folder"'))
    others = {
        listing(a),
        listing(a, ("shells/input/b.csv", 20, '"e3"')),
        listing(a, ("shells/input/c.csv", 20, '"e2"')),
    }
    assert len(others | {version}) == 4


def test_no_data_is_refused() -> None:
    with pytest.raises(execution.DataMissingError, match="s3://data/shells/input/"):
        listing(("shells/input/", 0, '"folder"'))


def test_scripts_are_uploaded_once_and_encrypted() -> None:
    code = {"s3://models/shells/code/1/a.py": b"pass"}
    s3 = client("s3")
    expected = {
        "Bucket": "models",
        "Key": "shells/code/1/a.py",
        "Body": b"pass",
        "ContentType": "text/x-python",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "key",
        "IfNoneMatch": "*",
    }
    place = {name: expected[name] for name in ("Bucket", "Key")}
    with Stubber(s3) as stub:
        stub.add_response("put_object", {}, expected)
        for there in (b"pass", b"import os"):
            stub.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
            body = StreamingBody(io.BytesIO(there), len(there))
            stub.add_response("get_object", {"Body": body}, place)
        stub.add_client_error("put_object", "AccessDenied", http_status_code=403)
        assert execution.upload(s3, code, "key") == 1
        assert execution.upload(s3, code, "key") == 0
        with pytest.raises(execution.OtherCodeError, match="not the script of this repository"):
            execution.upload(s3, code, "key")
        with pytest.raises(ClientError, match="AccessDenied"):
            execution.upload(s3, code, "key")


def waited(*looks: tuple[dict[str, Any], list[dict[str, Any]]], seconds: float = 100) -> Any:
    sagemaker, lines, clock = client("sagemaker"), [], iter(range(0, 1000, 10))
    with Stubber(sagemaker) as stub:
        for described, steps in looks:
            stub.add_response("describe_pipeline_execution", described)
            stub.add_response("list_pipeline_execution_steps", {"PipelineExecutionSteps": steps})
            for step in steps:
                job = step.get("Metadata", {}).get("ProcessingJob")
                if job and step["StepStatus"] == "Failed":
                    expected = {"ProcessingJobName": job["Arn"].rpartition("/")[2]}
                    answer = {
                        "ProcessingJobName": "j",
                        "ProcessingJobArn": job["Arn"],
                        "ProcessingJobStatus": "Failed",
                        "ProcessingResources": {
                            "ClusterConfig": {
                                "InstanceCount": 1,
                                "InstanceType": "ml.m5.large",
                                "VolumeSizeInGB": 1,
                            }
                        },
                        "AppSpecification": {"ImageUri": "i"},
                        "CreationTime": 0,
                        "ExitMessage": "a.csv is empty.",
                    }
                    stub.add_response("describe_processing_job", answer, expected)
        outcome = execution.wait(
            sagemaker,
            RUN,
            lines.append,
            poll_seconds=1,
            timeout_seconds=seconds,
            sleep=lambda _: None,
            clock=lambda: next(clock),
        )
        stub.assert_no_pending_responses()
    return outcome, lines


def step(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {"StepName": name, "StepStatus": status, **more}


def test_each_change_is_told_once_and_the_version_is_found() -> None:
    package = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/acme-dev-shells/3"
    outcome, lines = waited(
        ({"PipelineExecutionStatus": "Executing"}, [step("Train", "Executing")]),
        ({"PipelineExecutionStatus": "Executing"}, [step("Train", "Executing")]),
        (
            {"PipelineExecutionStatus": "Succeeded"},
            [
                step("Train", "Succeeded", CacheHitResult={"SourcePipelineExecutionArn": RUN}),
                step("Register", "Succeeded", Metadata={"RegisterModel": {"Arn": package}}),
            ],
        ),
    )
    assert lines == [
        "Train: Executing",
        "Train: Succeeded (from the cache)",
        "Register: Succeeded",
    ]
    assert (outcome.status, outcome.version) == ("Succeeded", package)


def test_a_failed_job_is_told_with_what_its_container_said() -> None:
    arn = "arn:aws:sagemaker:eu-west-1:111122223333:processing-job/j"
    outcome, _ = waited(
        (
            {"PipelineExecutionStatus": "Failed", "FailureReason": "Step failure"},
            [
                step(
                    "Preprocess",
                    "Failed",
                    FailureReason="ClientError: exit code 1",
                    Metadata={"ProcessingJob": {"Arn": arn}},
                )
            ],
        )
    )
    assert outcome.steps[0].reason == "ClientError: exit code 1\na.csv is empty."
    assert outcome.version == ""


def test_a_fail_step_tells_its_message() -> None:
    outcome, _ = waited(
        (
            {"PipelineExecutionStatus": "Failed"},
            [step("NotGoodEnough", "Failed", Metadata={"Fail": {"ErrorMessage": "RMSE above 2"}})],
        )
    )
    assert outcome.steps[0].reason == "RMSE above 2"


def test_waiting_ends() -> None:
    look = ({"PipelineExecutionStatus": "Executing"}, [step("Train", "Executing")])
    with pytest.raises(execution.TimeoutExceededError, match="It goes on"):
        waited(look, look, look, seconds=25)
