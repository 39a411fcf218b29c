"""The template ``byoc-realtime``: from a Dockerfile to an answer, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from components.projects import policies
from tests.localcloud.emulators import DEV, REGION
from tests.localcloud.jobs_world import BUCKET, channel
from tests.seed_code.template_kit import (
    COMMIT,
    PLACEMENT,
    ImageBuilder,
    Run,
    TemplateProject,
    abalone,
)
from tests.seed_code.template_refusals import prove, refusals

TEMPLATE = "byoc-realtime"
ROW = "0,0,1,0.455,0.365,0.095,0.514,0.2245,0.101,0.15"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateProject]:
    with abalone(tmp_path_factory.mktemp(TEMPLATE), TEMPLATE) as made:
        yield made


@pytest.fixture(scope="module")
def builder(team: TemplateProject, tmp_path_factory: pytest.TempPathFactory) -> ImageBuilder:
    made = ImageBuilder(team, tmp_path_factory.mktemp("builder"))
    made.build()
    return made


@pytest.fixture(scope="module")
def trained(team: TemplateProject, builder: ImageBuilder) -> Run:
    return team.run()


@pytest.fixture(scope="module")
def endpoint(team: TemplateProject, trained: Run) -> str:
    return team.serve(trained.version)


def test_what_is_there_is_not_built_again(team: TemplateProject, builder: ImageBuilder) -> None:
    before = builder.images()
    assert before == [f"{COMMIT[:12]}-{builder.built['content']}"]
    told = builder.build()
    assert "is there already" in told
    assert "FROM" not in told
    assert builder.images() == before


def test_the_version_names_the_image_by_the_digest_that_was_measured(
    team: TemplateProject, builder: ImageBuilder, trained: Run
) -> None:
    package = team.package(trained.version)
    (container,) = package["InferenceSpecification"]["Containers"]
    assert container["Image"] == builder.built["uri"]
    assert container["Image"].rpartition("@")[2].startswith("sha256:")
    sagemaker = team.jobs.sagemaker
    (training,) = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    job = sagemaker.describe_training_job(TrainingJobName=training["TrainingJobName"])
    assert job["AlgorithmSpecification"]["TrainingImage"] == container["Image"]
    report = team.report(trained.version)
    assert 1 < report["regression_metrics"]["rmse"]["value"] <= 2.45
    assert package["CustomerMetadataProperties"]["Template"] == TEMPLATE
    drift = package["DriftCheckBaselines"]
    statistics = json.loads(team.jobs.get(drift["ModelDataQuality"]["Statistics"]["S3Uri"]))
    names = [feature["name"] for feature in statistics["features"]]
    assert names[:2] == ["prediction", "sex_f"]
    assert set(drift) == {"Bias", "Explainability", "ModelDataQuality", "ModelQuality"}


def test_the_endpoint_answers_and_passes_the_teams_integration_tests(
    team: TemplateProject, endpoint: str
) -> None:
    assert 1 < float(team.invoke(endpoint, ROW, "text/csv", "text/csv")) < 30
    assert " passed" in team.integration_tests(endpoint)
    team.keeps_its_budgets(endpoint, least=10)


@refusals(TEMPLATE)
def test_it_refuses(
    what: str, team: TemplateProject, trained: Run, endpoint: str, tmp_path: Path
) -> None:
    prove(what, team, trained.version, endpoint, tmp_path)


def test_an_image_with_findings_is_refused_and_no_pipeline_runs_in_it(
    team: TemplateProject, builder: ImageBuilder
) -> None:
    advisory = {
        "name": "TEST-1", "package": "Scikit_Learn", "versions": "<99", "severity": "HIGH",
    }  # fmt: skip
    team.jobs.cloud.control("POST", "advisories", advisory)
    try:
        told = builder.build(code=2)
        assert "findings above MEDIUM: 1 HIGH" in told
        assert "HIGH TEST-1 scikit-learn 1." in told
        assert not (team.build / "image.json").exists()
    finally:
        team.jobs.cloud.control("DELETE", "advisories")
    builder.build()


def test_a_tag_never_names_another_image(team: TemplateProject, builder: ImageBuilder) -> None:
    uri = builder.built["uri"].partition("@")[0]
    tag = builder.built["tag"]
    digest = builder.built["uri"].partition("@")[2]
    other = team.build / "other"
    shutil.copytree(team.build / "image", other)
    (other / "program" / "model.py").write_text("# another\n")
    code, told = builder.docker(
        "build", "--build-arg", "BASE=other", "--tag", f"{uri}:{tag}", "other"
    )
    assert code == 0, told
    code, told = builder.docker("push", f"{uri}:{tag}")
    assert code == 1
    assert "immutable" in told
    (found,) = builder.ecr.describe_images(repositoryName=team.group, imageIds=[{"imageTag": tag}])[
        "imageDetails"
    ]
    assert found["imageDigest"] == digest


def test_another_projects_jobs_and_build_do_not_get_the_image(
    team: TemplateProject, builder: ImageBuilder
) -> None:
    jobs = team.jobs
    # Its name begins with this project's.
    other = f"{team.name}-other"
    role = jobs.cloud.role(
        "others",
        *(
            {"Action": list(item.actions), "Resource": list(item.resources)}
            for item in (
                *policies.job_statements(PLACEMENT, other, [jobs.key]),
                *policies.image_statements(PLACEMENT, other),
            )
            if any(str(action).startswith("ecr:") for action in item.actions)
        ),
        trust={"Principal": {"Service": "sagemaker.amazonaws.com", "AWS": DEV}},
    )
    job = jobs.train(
        "others-job",
        RoleArn=role,
        AlgorithmSpecification={
            "TrainingImage": builder.built["uri"], "TrainingInputMode": "File",
        },
    )  # fmt: skip
    assert job["TrainingJobStatus"] == "Failed"
    assert "not authorized to perform: ecr:BatchGetImage" in job["FailureReason"]
    ecr = jobs.cloud.assume(role).client(
        "ecr", endpoint_url=jobs.cloud.started.endpoint, region_name=REGION
    )
    with pytest.raises(ClientError, match="ecr:InitiateLayerUpload"):
        ecr.initiate_layer_upload(repositoryName=team.group)


def test_the_image_tells_why_it_did_not_train(team: TemplateProject, builder: ImageBuilder) -> None:
    jobs = team.jobs
    told = jobs.train(
        "refused",
        RoleArn=f"arn:aws:iam::{team.account}:role/{team.group}-training",
        AlgorithmSpecification={
            "TrainingImage": builder.built["uri"], "TrainingInputMode": "File",
        },
        HyperParameters={"degree": "7"},
        InputDataConfig=[channel("train", f"s3://{BUCKET}/{team.name}/input/")],
        OutputDataConfig={"S3OutputPath": f"s3://{BUCKET}/{team.name}/refused"},
    )  # fmt: skip
    assert told["TrainingJobStatus"] == "Failed"
    assert "The training was refused: degree: got 7, expected 1 to 3" in told["FailureReason"]
