"""The platform's own pipeline as CI runs it: state in the hub's bucket, roles by OIDC, plans."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from components.naming import Names
from tests.e2e.conftest import Platform, local_cloud, make_copy, started

pytestmark = pytest.mark.e2e

REPOSITORY = "acme/platform"
HUB = Names("mlops", "governance", "eu-west-1", "111111111111")
PR = f"repo:{REPOSITORY}:pull_request"
MAIN = f"repo:{REPOSITORY}:ref:refs/heads/main"
PROD = f"repo:{REPOSITORY}:environment:prod"


class Pipeline:
    """Jobs of a repository's workflows, and the person who set them up."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.shared: dict[str, str] = {}

    def person(self, *arguments: str, code: int | None = 0) -> str:
        """``python -m automation …`` with the hub administrator's profile."""
        return self._automation({}, *arguments, code=code)

    def job(self, role: str, subject: str, *arguments: str, code: int | None = 0) -> str:
        """``python -m automation …`` of a job that signed in by OIDC.

        Raises:
            ClientError: the role does not trust the job.
        """
        # The job's tools would exchange the token themselves, but the engine's state backend asks
        # STS at its public address for that, whatever endpoint is set.
        given = self.sign_in(role, subject)
        keys = {
            "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
            "AWS_SESSION_TOKEN": given["SessionToken"],
        }
        return self._automation(keys, *arguments, code=code)

    def sign_in(self, role: str, subject: str) -> dict[str, str]:
        """Credentials of a hub role for a job's token."""
        claims = {
            "iss": "https://token.actions.githubusercontent.com",
            "aud": "sts.amazonaws.com",
            "sub": subject,
        }
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "none"}, claims, {})
        )
        return self.platform.client("sts", "governance").assume_role_with_web_identity(
            RoleArn=HUB.role_arn(role), RoleSessionName="job", WebIdentityToken=token
        )["Credentials"]

    def _automation(self, env: dict[str, str], *arguments: str, code: int | None) -> str:
        whole = {**self.platform.environment, **self.shared, **env}
        del whole["PULUMI_CONFIG_PASSPHRASE"]
        if env:
            del whole["AWS_PROFILE"]
        done = self.platform.run("python", "-m", "automation", *arguments, code=code, env=whole)
        return done.stdout + done.stderr

    def state(self) -> list[tuple[str, str]]:
        """Every object of the state bucket with its version."""
        s3 = self.platform.client("s3", "governance")
        versions = s3.list_object_versions(Bucket=HUB.bucket("pulumi-state")).get("Versions", [])
        return sorted((version["Key"], version["VersionId"]) for version in versions)


def everything(config: dict[str, Any]) -> None:
    """All that a target can have and has not by default."""
    config["mlops:network"] |= {"zones": 3, "nat": "per_zone"}
    config["mlops:securityServices"] = {"config": True, "guardduty": True, "security_hub": True}
    config["mlops:budget"]["emails"] = ["ml-costs@example.com"]
    config["mlops:tags"]["extra"] = {"data-class": "internal"}
    config["mlops:personas"] = {
        persona: [HUB.role_arn(f"corporate-{persona}")]
        for persona in ("platform_engineer", "ml_engineer", "governance_officer")
    }


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """prod made by a person as planned, with state and secrets where the bootstrap says."""
    platform = make_copy(tmp_path_factory.mktemp("ci"))
    platform.edit(None, lambda config: config["mlops:ci"].update(
        default={"github_repository": REPOSITORY}))  # fmt: skip
    platform.edit("prod", everything)
    try:
        started(platform)
        pipeline = Pipeline(platform)
        for line in platform.automation("bootstrap").splitlines():
            name, found, value = line.partition("export ")[2].partition("=")
            if found:
                pipeline.shared[name] = value
        assert set(pipeline.shared) == {"PULUMI_BACKEND_URL", "PULUMI_SECRETS_PROVIDER"}
        # The first creation of a network too, which the engine alone would refuse by its plan.
        pipeline.person(
            "preview", "--stack", "prod", "--read-only", "--save-plans", "first", code=2
        )
        assert "ok" in pipeline.person("up", "--stack", "prod", "--plans", "first")
        yield pipeline
    finally:
        local_cloud(platform, "stop")


def test_a_new_stack_is_made_by_its_plan_with_its_state_and_secrets_in_the_hub(
    pipeline: Pipeline,
) -> None:
    assert ".pulumi/stacks/mlops/prod.json" in [key for key, _ in pipeline.state()]
    kept = yaml.safe_load((pipeline.platform.root / "Pulumi.prod.yaml").read_text())
    assert kept["secretsprovider"].startswith("awskms://")
    assert "encryptionsalt" not in kept


def test_a_new_stack_has_every_option_that_was_asked_for(pipeline: Pipeline) -> None:
    def client(service: str) -> Any:
        return pipeline.platform.client(service, "prod")

    gateways = client("ec2").describe_nat_gateways()["NatGateways"]
    assert len({gateway["SubnetId"] for gateway in gateways}) == 3
    recorders = client("config").describe_configuration_recorder_status()
    assert [r["recording"] for r in recorders["ConfigurationRecordersStatus"]] == [True]
    assert len(client("guardduty").list_detectors()["DetectorIds"]) == 1
    assert client("securityhub").describe_hub()["HubArn"]
    role = client("iam").get_role(RoleName="mlops-prod-governance-officer")["Role"]
    trust = role["AssumeRolePolicyDocument"]
    assert HUB.role_arn("corporate-governance_officer") in json.dumps(trust)


def longer_logs(config: dict[str, Any]) -> None:
    config["mlops:retention"] = {"logs_days": 400}


def test_a_pull_request_previews_and_can_write_nothing(pipeline: Pipeline) -> None:
    pipeline.platform.edit("prod", longer_logs)
    before = pipeline.state()
    told = pipeline.job("ci-preview", PR, "preview", "--stack", "prod", "--read-only", code=2)
    assert "update" in told
    # Neither its own role nor the stacks' roles that it can reach lets it write.
    told = pipeline.job("ci-preview", PR, "up", "--stack", "prod", "--skip-preview", code=1)
    assert "AccessDenied" in told
    assert pipeline.state() == before
    for role, subject in (
        ("ci", PR),
        ("ci", MAIN),
        ("ci-preview", PROD),
        ("ci", PROD.replace("acme/", "other/")),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            pipeline.sign_in(role, subject)


def test_exactly_the_approved_plan_is_applied(pipeline: Pipeline) -> None:
    """Planned by a role that cannot write, applied by the one of the approved environment."""
    platform = pipeline.platform
    pipeline.job(
        "ci-preview", MAIN,
        "preview", "--stack", "prod", "--read-only", "--save-plans", "plans", code=2,
    )  # fmt: skip
    apply = ("up", "--stack", "prod", "--plans", "plans")

    settings = platform.root / "Pulumi.prod.yaml"
    approved = settings.read_text()
    platform.edit("prod", lambda config: config.update({"mlops:retention": {"logs_days": 545}}))
    before = pipeline.state()
    assert "not those that were previewed" in pipeline.job("ci", PROD, *apply, code=1)
    # The engine refuses as well, where nothing of ours stands before it.
    env = {**platform.environment, **pipeline.shared}
    plan = str(platform.root / "plans" / "prod.plan.json")
    done = platform.run(
        "pulumi", "up", "--stack", "prod", "--yes", "--skip-preview", "--non-interactive",
        "--plan", plan, code=None, env={**env, "PULUMI_EXPERIMENTAL": "true"},
    )  # fmt: skip
    assert done.returncode != 0
    assert "violates plan" in done.stdout + done.stderr
    settings.write_text(approved)

    assert before
    assert "update" in pipeline.job("ci", PROD, *apply)
    logs = platform.client("logs", "prod")
    groups = logs.describe_log_groups(logGroupNamePrefix="/mlops/prod/vpc-flow-logs")["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [400]
