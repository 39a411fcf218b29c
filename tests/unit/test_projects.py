"""What a project registers in each account: its stages, its settings, its tags, its safety."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from mlops_policy.model import Example

from components.naming import Names
from components.projects import project as projects
from functions.deployment.projects import read_project
from functions.vending.requests import PROJECT
from tests.policy import harness
from tests.unit.conftest import ACCOUNTS, Program, place
from tests.unit.projects import TARGETS, contract, program

HUB = Names.at(place("governance"))
CI = ("codepipeline", "github")
PIPELINE, BUILD = "aws:codepipeline/pipeline:Pipeline", "aws:codebuild/project:Project"


@pytest.fixture(scope="module")
def made() -> dict[str, Program]:
    return {ci: program(ci=ci) for ci in CI}


def pipeline(made: Program, name: str) -> dict[str, Any]:
    (found,) = [p.inputs for p in made.of(PIPELINE) if p.inputs["name"] == name]
    return found


def variables(action: dict[str, Any]) -> dict[str, str]:
    listed = json.loads(action["configuration"]["EnvironmentVariables"])
    return {item["name"]: item["value"] for item in listed}


@pytest.mark.parametrize("ci", CI)
def test_no_rule_is_violated(made: dict[str, Program], ci: str) -> None:
    count, violations = harness.judged(
        Example(resource.type, resource.inputs, resource.name) for resource in made[ci].resources
    )
    assert not violations, "\n".join(violations)
    assert count > 30


@pytest.mark.parametrize("ci", CI)
def test_every_role_is_under_the_boundary_of_its_account(made: dict[str, Program], ci: str) -> None:
    found = made[ci].of("aws:iam/role:Role")
    assert found
    for role in found:
        names = Names.at(place(role.inputs["name"].split("-")[1]))
        assert role.inputs["permissionsBoundary"] == names.policy_arn("boundary")


@pytest.mark.parametrize("ci", CI)
def test_a_project_needs_no_codecommit(made: dict[str, Program], ci: str) -> None:
    """AWS closed it to new customers; repositories are reached by connections."""
    for resource in made[ci].resources:
        assert not resource.type.startswith("aws:codecommit/"), resource.type
        assert "codecommit" not in json.dumps(resource.inputs, default=str).lower(), resource.name


@pytest.mark.parametrize(
    "targets", [("preprod", "prod"), ("dev", "preprod", "prod"), ("prod",)], ids="-".join
)
def test_before_prod_and_between_two_environments_somebody_approves(
    targets: tuple[str, ...],
) -> None:
    release = pipeline(program(targets=targets), "acme-governance-house-deploy")
    stages = {stage["name"]: stage["actions"] for stage in release["stages"]}
    # The function lets no version into prod without it, whatever was before.
    expected = ["Source"]
    for target in targets:
        approved = target == "prod" or target != targets[0]
        expected += [*([f"Approve-{target}"] if approved else []), f"Deploy-{target}"]
    assert list(stages) == expected
    for name, (action,) in stages.items():
        kind, _, target = name.partition("-")
        if kind == "Approve":
            assert (action["category"], action["provider"]) == ("Approval", "Manual")
            assert target in action["configuration"]["CustomData"]
            topic = contract("governance")["alerts_topic_arn"]
            assert action["configuration"]["NotificationArn"] == topic
        if kind == "Deploy":
            given = variables(action)
            assert action["configuration"]["ProjectName"].startswith(
                f"acme-governance-house-deploy-{target}"
            )
            assert given["ENVIRONMENT"] == target
            assert given["KIND"] == "deploy"
            assert given["MODEL_PACKAGE_ARN"] == "#{variables.MODEL_PACKAGE_ARN}"
            assert given["EXECUTION"] == "#{codepipeline.PipelineExecutionId}"


def test_releases_start_by_a_version_and_builds_by_a_commit(made: dict[str, Program]) -> None:
    starts: dict[str, str] = {}
    for found in made["codepipeline"].of(PIPELINE):
        source, *_ = found.inputs["stages"]
        (action,) = source["actions"]
        assert action["provider"] == "CodeStarSourceConnection"
        starts[found.inputs["name"]] = action["configuration"]["DetectChanges"]
        given = {item["name"] for item in found.inputs.get("variables", [])}
        # A variable without a default keeps a new pipeline from running before it is asked to.
        assert all("defaultValue" not in item for item in found.inputs.get("variables", []))
        assert ("MODEL_PACKAGE_ARN" in given) is (starts[found.inputs["name"]] == "false")
        # Two releases of one project never overtake each other.
        assert found.inputs["executionMode"] == "QUEUED"
        assert found.inputs["pipelineType"] == "V2"
    assert starts == {
        "acme-dev-house-build": "true",
        "acme-governance-house-deploy": "false",
        "acme-governance-house-restore-preprod": "false",
        "acme-governance-house-restore-prod": "false",
    }


def test_a_version_is_put_back_without_the_stages_in_between(made: dict[str, Program]) -> None:
    for target in TARGETS:
        restore = pipeline(made["codepipeline"], f"acme-governance-house-restore-{target}")
        assert [stage["name"] for stage in restore["stages"]] == ["Source", "Restore"]
        given = variables(restore["stages"][1]["actions"][0])
        asked = {item["name"] for item in restore["variables"]}
        assert asked == {"MODEL_PACKAGE_ARN", "KIND", "REASON"}
        # The reason is anybody's text, and CodePipeline does not escape it in a build's variables.
        handed = asked - {"REASON"}
        assert {key: given.get(key) for key in asked} == {
            key: f"#{{variables.{key}}}" if key in handed else None for key in asked
        }
        assert given["ENVIRONMENT"] == target


def test_builds_run_in_the_vpc_encrypted_and_logged(made: dict[str, Program]) -> None:
    found = made["codepipeline"].of(BUILD)
    assert {build.inputs["name"] for build in found} == {
        "acme-dev-house-build",
        "acme-governance-house-deploy-preprod",
        "acme-governance-house-deploy-prod",
    }
    for build in found:
        environment = build.inputs["name"].split("-")[1]
        known = contract(environment)
        assert build.inputs["encryptionKey"] == known["key_arns"]["data"]
        assert build.inputs["vpcConfig"]["subnets"] == known["subnet_ids"]
        assert build.inputs["logsConfig"]["cloudwatchLogs"]["status"] == "ENABLED"
        assert not build.inputs["environment"].get("privilegedMode")


def test_no_secret_is_a_build_variable(made: dict[str, Program]) -> None:
    for build in made["codepipeline"].of(BUILD):
        for variable in build.inputs["environment"].get("environmentVariables", []):
            assert not {"SECRET", "TOKEN", "PASSWORD", "KEY"} & set(variable["name"].split("_"))
    for target in TARGETS:
        release = next(
            build
            for build in made["codepipeline"].of(BUILD)
            if build.inputs["name"] == f"acme-governance-house-deploy-{target}"
        )
        listed = release.inputs["environment"]["environmentVariables"]
        given = {item["name"]: item["value"] for item in listed}
        accounts = {key: value for key, value in given.items() if key.startswith("MLOPS_ACCOUNT_")}
        assert accounts == {f"MLOPS_ACCOUNT_{target}": ACCOUNTS[target]}


@pytest.mark.parametrize("ci", CI)
def test_the_deployments_function_knows_how_to_start_it(made: dict[str, Program], ci: str) -> None:
    (parameter,) = made[ci].of("aws:ssm/parameter:Parameter")
    assert parameter.inputs["name"] == HUB.parameter("projects/house")
    known = json.loads(parameter.inputs["value"])
    assert known["group"] == "acme-governance-house"
    assert known["id"] == "p-abcdefghijkl"
    assert known["repository"] == "example/house-deploy"
    # The catalogue's function compares updates with these.
    assert PROJECT.fixed.keys() <= {"name", *known}
    assert (known["template"], known["organization"]) == ("xgboost-realtime", "example")
    assert known["ci"] == ci
    starts = {key: known[key] for key in ("pipeline", "restore", "workflow") if key in known}
    if ci == "github":
        assert starts == {"workflow": "deploy.yml"}
        assert known["token_secret"].startswith("arn:aws:secretsmanager:")
        assert known["people"] == {"grace": "grace.hopper"}
        read = read_project("house", parameter.inputs["value"])
        assert (read.ci, read.people) == ("github", {"grace": "grace.hopper"})
    else:
        assert starts == {
            "pipeline": "acme-governance-house-deploy",
            "restore": {target: f"acme-governance-house-restore-{target}" for target in TARGETS},
        }


def test_what_is_known_of_a_project_fits_a_parameter_with_all_its_people() -> None:
    """Source: quotas of Systems Manager, a standard parameter's value of 4 KB."""
    people = {f"{number:02}{'l' * 37}": f"{number:02}{'n' * 62}" for number in range(25)}
    longest = "a" * 20
    made = program(
        longest, "github", people=people, deploy_repository=f"{'o' * 39}/{longest}-deploy"
    )
    (parameter,) = made.of("aws:ssm/parameter:Parameter")
    assert len(parameter.inputs["value"].encode()) <= 4096
    assert read_project(longest, parameter.inputs["value"]).people == people


def test_a_project_has_a_group_in_dev_and_one_in_the_hub(made: dict[str, Program]) -> None:
    groups = made["codepipeline"].of("aws:sagemaker/modelPackageGroup:ModelPackageGroup")
    assert {group.inputs["modelPackageGroupName"] for group in groups} == {
        "acme-dev-house",
        "acme-governance-house",
    }


def test_a_group_that_is_there_already_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, pulumi.ResourceOptions] = {}
    make = aws.sagemaker.ModelPackageGroup

    def watch(name: str, *, opts: pulumi.ResourceOptions, **inputs: Any) -> Any:
        seen[name] = opts
        return make(name, opts=opts, **inputs)

    monkeypatch.setattr(aws.sagemaker, "ModelPackageGroup", watch)
    program(adopted=("acme-governance-house",))
    assert seen["house-governance"].import_ == "acme-governance-house"
    assert seen["house-dev"].import_ is None
    # Made or taken over, it stays when the project goes.
    assert all(opts.retain_on_delete for opts in seen.values())


@pytest.mark.parametrize("protect", [False, True])
def test_a_project_is_made_with_the_longest_name(protect: bool) -> None:
    longest = "a" * 20
    placement = place("governance", protect=protect)
    made = program(longest, placement=placement)
    buckets = [b.inputs["bucket"] for b in made.of("aws:s3/bucket:Bucket")]
    assert buckets
    assert all(len(name) <= 63 for name in buckets)
    assert len(Names.at(place("governance")).name(longest)) <= 63


@pytest.mark.parametrize("targets", [("preprod",), ("prod",), ("preprod", "prod")], ids="-".join)
def test_the_function_knows_the_targets(targets: tuple[str, ...]) -> None:
    (known,) = program(targets=targets).of("aws:ssm/parameter:Parameter")
    project = read_project("house", known.inputs["value"])
    assert project.targets == project.way(("preprod", "prod")) == targets


def test_only_targets_get_a_deploy_role() -> None:
    for targets in (("prod",), ("preprod", "prod")):
        made = program(targets=targets)
        deploy = {
            role.inputs["name"].split("-")[1]
            for role in made.of("aws:iam/role:Role")
            if role.inputs["name"].endswith("-house-deploy")
        }
        assert deploy == {*targets}


def test_pipelines_artifacts_end(made: dict[str, Program]) -> None:
    rules = made["codepipeline"].of(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    )
    assert len(rules) == len(made["codepipeline"].of("aws:s3/bucket:Bucket"))
    for rule in rules:
        days = [r["expiration"]["days"] for r in rule.inputs["rules"] if "expiration" in r]
        assert projects.ARTIFACT_DAYS in days
