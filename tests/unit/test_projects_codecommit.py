"""A project whose repositories are CodeCommit's: made with it, read by its pipelines only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mlops_policy.model import Example

from automation.projects.program import PlatformError, reaching
from components import iam, repositories
from components.naming import Names
from components.settings import parse
from localcloud.authorization import Evaluator, Policies, Request
from tests.policy import harness
from tests.unit.conftest import ACCOUNTS, Program, place, run_program
from tests.unit.data_science import Role
from tests.unit.projects import key, program, roles

DEV, HUB = (Names.at(place(environment)) for environment in ("dev", "governance"))
REPOSITORIES = {
    "build": DEV.arn("codecommit", "acme-dev-house-build"),
    "deploy": HUB.arn("codecommit", "acme-governance-house-deploy"),
}


@pytest.fixture(scope="module")
def made() -> Program:
    return program(provider="CodeCommit", connection_arns={})


@pytest.fixture(scope="module")
def own(made: Program, evaluator: Evaluator) -> dict[str, Role]:
    return roles(evaluator, made)


def test_no_rule_is_violated(made: Program) -> None:
    archive = run_program(
        lambda: repositories.RepositoryArchive(
            "repositories",
            {
                "placement": place("governance"),
                "key_arn": key("governance", "data"),
                "access_log_bucket": "logs",
            },
        )
    )
    for found in (made, archive):
        _, violations = harness.judged(
            Example(resource.type, resource.inputs, resource.name) for resource in found.resources
        )
        assert not violations, "\n".join(violations)


def test_each_account_has_its_repository_under_its_own_key(made: Program) -> None:
    found = {
        resource.inputs["repositoryName"]: resource.inputs["kmsKeyId"]
        for resource in made.of("aws:codecommit/repository:Repository")
    }
    assert found == {
        "acme-dev-house-build": key("dev", "data"),
        "acme-governance-house-deploy": key("governance", "data"),
    }
    (known,) = made.of("aws:ssm/parameter:Parameter")
    assert json.loads(known.inputs["value"])["repository"] == "acme-governance-house-deploy"


def test_pipelines_read_the_main_branch_and_poll_for_nothing(made: Program) -> None:
    pipelines = made.of("aws:codepipeline/pipeline:Pipeline")
    assert len(pipelines) == 4
    for pipeline in pipelines:
        (source,) = pipeline.inputs["stages"][0]["actions"]
        assert (source["provider"], source["owner"]) == ("CodeCommit", "AWS")
        environment = pipeline.inputs["name"].split("-")[1]
        kind = "build" if environment == "dev" else "deploy"
        assert source["configuration"] == {
            "RepositoryName": f"acme-{environment}-house-{kind}",
            "BranchName": "main",
            "PollForSourceChanges": "false",
            "OutputArtifactFormat": "CODE_ZIP",
        }


def test_only_pushes_to_the_builds_main_branch_start_anything(made: Program) -> None:
    (rule,) = made.of("aws:cloudwatch/eventRule:EventRule")
    assert json.loads(rule.inputs["eventPattern"]) == {
        "source": ["aws.codecommit"],
        "detail-type": ["CodeCommit Repository State Change"],
        "resources": [REPOSITORIES["build"]],
        "detail": {
            "event": ["referenceCreated", "referenceUpdated"],
            "referenceType": ["branch"],
            "referenceName": ["main"],
        },
    }
    (target,) = made.of("aws:cloudwatch/eventTarget:EventTarget")
    assert target.inputs["arn"].endswith(":acme-dev-house-build")
    # The mocks know one account.
    assert target.inputs["roleArn"].endswith(":role/acme-dev-house-build-starter")
    # A push that starts nothing is no silence.
    (letters,) = made.of("aws:sqs/queue:Queue")
    assert target.inputs["deadLetterConfig"]["arn"].endswith(f":{letters.inputs['name']}")
    (alarm,) = made.of("aws:cloudwatch/metricAlarm:MetricAlarm")
    assert alarm.inputs["dimensions"] == {"QueueName": letters.inputs["name"]}


def test_the_starter_starts_the_build_and_nothing_else(own: dict[str, Role]) -> None:
    starter = own["dev/build-starter"]
    pipeline = DEV.arn("codepipeline", "acme-dev-house-build")
    assert starter.may("codepipeline:StartPipelineExecution", pipeline)
    assert not starter.may("codepipeline:StartPipelineExecution", f"{pipeline}2")
    assert not starter.may("codepipeline:PutApprovalResult", f"{pipeline}/Build/Build")


READING = ("codecommit:GetBranch", "codecommit:GetCommit", "codecommit:UploadArchive",
           "codecommit:GetUploadArchiveStatus", "codecommit:CancelUploadArchive")  # fmt: skip


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        ("dev/build-pipeline", "build"),
        ("governance/deploy-pipeline", "deploy"),
        ("governance/restore-preprod", "deploy"),
        ("governance/restore-prod", "deploy"),
    ],
)
def test_a_pipeline_reads_its_own_repository(own: dict[str, Role], role: str, kind: str) -> None:
    for action in READING:
        assert own[role].may(action, REPOSITORIES[kind]), action
        assert not own[role].may(action, REPOSITORIES[kind].replace("house", "houses"))


def test_no_role_of_a_project_writes_what_it_is_made_of(own: dict[str, Role]) -> None:
    """Only who reads may: a build that could push would release what nobody has seen."""
    writing = ("codecommit:GitPush", "codecommit:CreateCommit", "codecommit:PutFile",
               "codecommit:MergePullRequestByFastForward", "codecommit:DeleteBranch",
               "codecommit:DeleteRepository")  # fmt: skip
    for name, role in own.items():
        for arn in REPOSITORIES.values():
            assert not any(role.may(action, arn) for action in writing), name


def test_elsewhere_nothing_of_it_is_made() -> None:
    made = program()
    for kind in ("codecommit/repository:Repository", "cloudwatch/eventRule:EventRule"):
        assert not made.of(f"aws:{kind}")


@pytest.mark.parametrize("who", ["deployer", "platform-engineer"])
def test_the_archive_loses_nothing(evaluator: Evaluator, who: str) -> None:
    policy = iam.document(repositories.archive_statements(HUB))
    allowed = {"anything": iam.document([iam.Statement("All", ["s3:*"], resources=["*"])])}
    for action, kept in (("s3:DeleteObjectVersion", False), ("s3:PutObject", True)):
        request = Request(
            HUB.role_arn(who), action, f"{HUB.bucket_arn('archive')}/house/build.bundle",
            HUB.account_id,
        )  # fmt: skip
        decided = evaluator.evaluate(request, Policies(allowed, resource=policy))
        assert decided.allowed is kept


@pytest.mark.parametrize(
    ("ci", "provider", "environment", "needed"),
    [
        ("codepipeline", "GitHub", "dev", {"connection": "ci/connection-arn"}),
        (
            "codepipeline",
            "GitLab",
            "governance",
            {"archive": "ci/archive-bucket", "connection": "ci/connection-arn"},
        ),
        ("codepipeline", "GitHub", "prod", {}),
        ("codepipeline", "CodeCommit", "dev", {}),
        ("codepipeline", "CodeCommit", "governance", {"archive": "ci/archive-bucket"}),
        ("github", "GitHub", "dev", {"github": "ci/github-provider-arn"}),
        (
            "github",
            "GitHub",
            "governance",
            {"archive": "ci/archive-bucket", "github": "ci/github-provider-arn"},
        ),
        ("github", "GitHub", "preprod", {}),
    ],
)
def test_what_is_needed_to_reach_repositories_is_asked_for(
    ci: str, provider: str, environment: str, needed: dict[str, str]
) -> None:
    assert reaching(ci, provider, environment) == needed


def test_github_actions_do_not_run_for_codecommit() -> None:
    with pytest.raises(PlatformError, match="take ci codepipeline, or change the setting"):
        reaching("github", "CodeCommit", "dev")


def test_the_setting_is_accepted() -> None:
    values: dict[str, Any] = {
        "region": "eu-west-1",
        "organization": {"accounts": ACCOUNTS},
        "tags": {"owner": "team", "cost_centre": "ml"},
        "projects": {"repository_provider": "CodeCommit"},
    }
    assert parse("dev", values).projects.repository_provider == "CodeCommit"
