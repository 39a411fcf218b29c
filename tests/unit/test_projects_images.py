"""A project's image repositories: what they are, who pushes, who pulls, and who does not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlops_policy.model import Example

from components import iam
from components.baseline_policies import model_execution_statements
from components.naming import Names
from localcloud.authorization import Evaluator
from tests.policy import harness
from tests.unit.conftest import Program, place
from tests.unit.data_science import Role, boundary
from tests.unit.projects import key, program, roles

REPOSITORY, POLICY = "aws:ecr/repository:Repository", "aws:ecr/repositoryPolicy:RepositoryPolicy"
DEV, HUB = (Names.at(place(name)) for name in ("dev", "governance"))
PUSH = ("ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:PutImage")
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
CI = ("codepipeline", "github")
# Its name begins with the project's.
OTHER = "house-two"


@pytest.fixture(scope="module")
def made() -> dict[str, Program]:
    return {ci: program(ci=ci, image=True) for ci in CI}


def arn(names: Names, project: str = "house") -> str:
    return names.arn("ecr", f"repository/{names.name(project)}")


@pytest.mark.parametrize("ci", CI)
def test_no_rule_is_violated(made: dict[str, Program], ci: str) -> None:
    examples = (Example(item.type, item.inputs, item.name) for item in made[ci].resources)
    _, violations = harness.judged(examples)
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize("ci", CI)
def test_one_in_dev_for_the_build_and_one_in_the_hub_for_the_targets(
    made: dict[str, Program], ci: str
) -> None:
    found = {item.inputs["name"]: item.inputs for item in made[ci].of(REPOSITORY)}
    assert set(found) == {"acme-dev-house", "acme-governance-house"}
    for name, repository in found.items():
        assert repository["imageTagMutability"] == "IMMUTABLE"
        assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
        (encryption,) = repository["encryptionConfigurations"]
        assert encryption == {
            "encryptionType": "KMS", "kmsKey": key(name.split("-")[1], "models"),
        }  # fmt: skip


def test_only_the_build_that_makes_an_image_has_a_container_engine(
    made: dict[str, Program],
) -> None:
    engines = {
        build.inputs["name"]: bool(build.inputs["environment"].get("privilegedMode"))
        for build in made["codepipeline"].of("aws:codebuild/project:Project")
    }
    assert engines == {
        "acme-dev-house-build": True,
        "acme-governance-house-deploy-preprod": False,
        "acme-governance-house-deploy-prod": False,
    }


def test_a_project_without_an_image_has_none_of_it() -> None:
    plain = program()
    assert not plain.of(REPOSITORY)
    assert "ecr:PutImage" not in json.dumps([item.inputs for item in plain.resources], default=str)


@pytest.mark.parametrize("ci", CI)
def test_the_build_pushes_to_its_own_repository_and_to_no_other(
    made: dict[str, Program], evaluator: Evaluator, ci: str
) -> None:
    found = roles(evaluator, made[ci])
    build = found["dev/build" if ci == "codepipeline" else "dev/github"]
    for action in (*PUSH, *PULL, "ecr:DescribeImageScanFindings"):
        assert build.may(action, arn(DEV)), action
        assert not build.may(action, arn(DEV, OTHER)), action
        assert not build.may(action, arn(HUB), owner=HUB.account_id), action
    for action in ("ecr:DeleteRepository", "ecr:BatchDeleteImage", "ecr:PutImageTagMutability",
                   "ecr:SetRepositoryPolicy"):  # fmt: skip
        assert not build.may(action, arn(DEV)), action


def test_jobs_pull_their_own_image_and_push_none(
    made: dict[str, Program], evaluator: Evaluator
) -> None:
    jobs = roles(evaluator, made["codepipeline"])["dev/training"]
    assert all(jobs.may(action, arn(DEV)) for action in PULL)
    assert not any(jobs.may(action, arn(DEV)) for action in PUSH)
    assert not any(jobs.may(action, arn(DEV, OTHER)) for action in PULL)


def policy(made: Program) -> dict[str, Any]:
    (found,) = made.of(POLICY)
    assert found.inputs["repository"] == "acme-governance-house"
    return json.loads(found.inputs["policy"])


@pytest.mark.parametrize("environment", ["preprod", "prod"])
def test_deployed_models_of_the_targets_pull_from_the_hub(
    made: dict[str, Program], evaluator: Evaluator, environment: str
) -> None:
    names = Names.at(place(environment))
    statements = iam.document(model_execution_statements(place(environment), "house"))
    known = {"own": statements}
    role = Role(evaluator, names, "model-execution-house", known, boundary(environment))
    shared = policy(made["codepipeline"])
    for action in PULL:
        where = {"owner": HUB.account_id, "resource_policy": shared}
        assert role.may(action, arn(HUB), **where), action
        # Both sides have to say so, and the model's role says it of the hub alone.
        assert not role.may(action, arn(HUB), owner=HUB.account_id), action
        assert not role.may(action, arn(DEV), owner=DEV.account_id, resource_policy=shared)
    for action in PUSH:
        assert not role.may(action, arn(HUB), owner=HUB.account_id, resource_policy=shared)


def test_other_roles_of_a_target_do_not_pull(
    made: dict[str, Program], evaluator: Evaluator
) -> None:
    anything = {"own": iam.document([iam.Statement(sid="Any", actions=["ecr:*"], resources=["*"])])}
    for environment, role in (
        ("preprod", "house-deploy"),
        ("dev", "model-execution-house"),
        # Another project's models, and those of no project.
        ("preprod", "model-execution-houses"),
        ("preprod", "model-execution"),
    ):
        names = Names.at(place(environment))
        asked = Role(evaluator, names, role, anything, boundary(environment))
        for action in PULL:
            shared = policy(made["codepipeline"])
            assert not asked.may(
                action, arn(HUB), owner=HUB.account_id, resource_policy=shared
            ), (role, action)  # fmt: skip
