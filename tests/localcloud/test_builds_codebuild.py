"""CodeBuild: projects' commands run for real, with the service role's rights and no others."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from localcloud.paths import CHECKOUT
from tests.localcloud.delivery import build_end, logs, phase, push, queue_for, received
from tests.localcloud.emulators import DEV, REGION, Cloud, checkout, running, trusting
from tests.localcloud.kit import until

BASE = f"arn:aws:logs:{REGION}:{DEV}:log-group:/aws/codebuild"
LOGS = {
    "Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
    "Resource": [f"{BASE}/*", f"{BASE}/*:log-stream:*"],
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("cloud"))) as cloud:
        cloud.role("build", LOGS, trust=trusting("codebuild"))
        yield cloud


def project(cloud: Cloud, name: str, spec: Any = None, **settings: Any) -> str:
    """A project whose buildspec is given with it."""
    text = spec if isinstance(spec, str) else yaml.safe_dump(spec)
    cloud.client("codebuild").create_project(
        **{
            "name": name,
            "serviceRole": f"arn:aws:iam::{DEV}:role/build",
            "source": {"type": "NO_SOURCE", "buildspec": text},
            "artifacts": {"type": "NO_ARTIFACTS"},
            "environment": {
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL",
            },
            **settings,
        }
    )
    return name


def run(cloud: Cloud, name: str, **overrides: Any) -> dict[str, Any]:
    build = cloud.client("codebuild").start_build(projectName=name, **overrides)["build"]
    assert build["buildStatus"] == "IN_PROGRESS"
    return build_end(cloud, build["id"])


def phases(**commands: Any) -> dict[str, Any]:
    """A buildspec of phases; a list of commands, or the whole phase."""
    return {
        "version": 0.2,
        "phases": {
            name: given if isinstance(given, dict) else {"commands": given}
            for name, given in commands.items()
        },
    }


def test_commands_share_a_shell_and_their_output_is_in_the_log(cloud: Cloud) -> None:
    spec = phases(
        install=["mkdir sub && cd sub", "export EXPORTED=a", "plain='b  c'", "f() { echo f:$1; }"],
        build=["pwd", 'echo "$EXPORTED-$plain"', "f x", "echo $CODEBUILD_BUILD_NUMBER of $GIVEN"],
    )
    name = project(cloud, "shell", spec)
    variables = [{"name": "GIVEN", "value": "1"}]
    build = run(cloud, name, environmentVariablesOverride=variables)
    assert build["buildStatus"] == "SUCCEEDED"
    text = logs(cloud, build)
    assert "/src/sub" in text
    assert "a-b  c" in text
    assert "f:x" in text
    assert "1 of 1" in text
    assert run(cloud, name)["buildNumber"] == 2
    assert (
        cloud.client("codebuild").list_builds_for_project(projectName=name)["ids"][1]
        == (build["id"])
    )


def test_the_role_is_the_callers_identity_and_its_rights_are_the_builds(cloud: Cloud) -> None:
    python = (
        "python -c \"import boto3; print(boto3.client('sts').get_caller_identity()['Arn']);"
        " boto3.client('s3').list_buckets()\""
    )
    build = run(cloud, project(cloud, "identity", phases(build=[python])))
    text = logs(cloud, build)
    assert f"arn:aws:sts::{DEV}:assumed-role/build/AWSCodeBuild-" in text
    assert "AccessDenied" in text
    assert "s3:ListAllMyBuckets" in text
    assert build["buildStatus"] == "FAILED"


def test_nothing_of_this_machine_is_in_the_environment(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = run(cloud, project(cloud, "clean", phases(build=["env"])))
    text = logs(cloud, build)
    assert "AWS_PROFILE" not in text
    assert "AWS_ENDPOINT_URL=http://127.0.0.1" in text
    assert "AWS_ACCESS_KEY_ID=***" in text
    assert "AWS_SESSION_TOKEN=***" in text


# Source of the oracle: the table of phase transitions in CodeBuild's user guide.
TRANSITIONS = [
    ("install", "", ["INSTALL"]),
    ("pre_build", "", ["INSTALL", "PRE_BUILD"]),
    ("build", "", ["INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS"]),
    ("build", "ABORT", ["INSTALL", "PRE_BUILD", "BUILD"]),
    ("install", "CONTINUE",
     ["INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS"]),
    ("post_build", "", ["INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS"]),
]  # fmt: skip


@pytest.mark.parametrize(("failing", "on_failure", "reached"), TRANSITIONS)
def test_what_follows_a_failed_phase(
    cloud: Cloud, failing: str, on_failure: str, reached: list[str]
) -> None:
    given: dict[str, Any] = {
        name: {"commands": [f"echo in-{name} $CODEBUILD_BUILD_SUCCEEDING"]}
        for name in ("install", "pre_build", "build", "post_build")
    }
    given[failing]["commands"] += ["(exit 7)", "echo never-here"]
    given[failing]["finally"] = ["echo at-last"]
    if on_failure:
        given[failing]["on-failure"] = on_failure
    name = project(cloud, f"fails-{failing}-{on_failure}", phases(**given))
    build = run(cloud, name)
    assert build["buildStatus"] == "FAILED"
    names = [item["phaseType"] for item in build["phases"]]
    around = ["SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE"]
    assert names == [*around, *reached, "FINALIZING", "COMPLETED"]
    failed = phase(build, failing.upper())
    assert failed is not None
    assert failed["phaseStatus"] == "FAILED"
    (context,) = failed["contexts"]
    assert context["statusCode"] == "COMMAND_EXECUTION_ERROR"
    assert context["message"].endswith("(exit 7). Reason: exit status 7")
    text = logs(cloud, build)
    assert "\nnever-here" not in text
    assert "\nat-last" in text
    if failing == "build" and not on_failure:
        assert "\nin-post_build 0" in text


def test_a_command_that_exits_ends_itself_and_not_the_log(cloud: Cloud) -> None:
    spec = phases(build=["x=1", "exit 3"], post_build=["echo after $x"])
    build = run(cloud, project(cloud, "exits", spec))
    assert "\nafter 1" in logs(cloud, build)
    assert build["buildStatus"] == "FAILED"


def test_secrets_reach_the_commands_and_never_the_log(cloud: Cloud) -> None:
    secret = cloud.client("secretsmanager").create_secret(
        Name="token", SecretString=json.dumps({"github": "s3cr3t-of-github", "pem": "line-a\nz~z"})
    )["ARN"]
    cloud.client("ssm").put_parameter(Name="/p/key", Value="hidden-key", Type="SecureString")
    cloud.role(
        "build-secrets",
        LOGS,
        {"Action": "secretsmanager:GetSecretValue", "Resource": secret},
        {"Action": "ssm:GetParameter", "Resource": f"arn:aws:ssm:{REGION}:{DEV}:parameter/p/*"},
        trust=trusting("codebuild"),
    )
    spec = phases(
        build=[
            'test "$TOKEN" = s3cr3t-of-github && test "$KEY" = hidden-key && echo as-expected',
            "echo $TOKEN; echo ${KEY}x; printf '%s' \"$PEM\"; echo $AGAIN",
            "export SHOWN=v-$TOKEN",
            'false "$TOKEN" s3cr3t-of-github',
        ],
    )
    spec["env"] = {
        "secrets-manager": {"TOKEN": "token:github", "PEM": f"{secret}:pem"},
        "parameter-store": {"KEY": "/p/key"},
        "exported-variables": ["SHOWN"],
    }
    name = project(cloud, "secrets", spec, serviceRole=f"arn:aws:iam::{DEV}:role/build-secrets")
    again = [{"name": "AGAIN", "value": "token:github", "type": "SECRETS_MANAGER"}]
    build = run(cloud, name, environmentVariablesOverride=again)
    # The buildspec, which the build repeats, has the value in a command of this test.
    del build["source"]["buildspec"]
    text = logs(cloud, build) + json.dumps(build, default=str)
    assert "as-expected" in text
    for hidden in ("s3cr3t-of-github", "hidden-key", "line-a", "z~z"):
        assert hidden not in text
    assert build["exportedEnvironmentVariables"] == [{"name": "SHOWN", "value": "v-***"}]


def test_a_secret_that_the_role_may_not_read_fails_before_any_command(cloud: Cloud) -> None:
    cloud.client("secretsmanager").create_secret(Name="other", SecretString="x")
    spec = phases(build=["echo ran"]) | {"env": {"secrets-manager": {"A": "other"}}}
    build = run(cloud, project(cloud, "denied-secret", spec))
    failed = phase(build, "DOWNLOAD_SOURCE")
    assert failed is not None
    assert "secretsmanager:GetSecretValue" in failed["contexts"][0]["message"]
    assert phase(build, "BUILD") is None


def test_a_role_without_the_right_to_log_is_told(cloud: Cloud) -> None:
    arn = cloud.role("silent", trust=trusting("codebuild"))
    build = run(cloud, project(cloud, "silent", phases(build=["echo ran"]), serviceRole=arn))
    failed = phase(build, "PROVISIONING")
    assert failed is not None
    assert failed["contexts"][0]["statusCode"] == "ACCESS_DENIED"
    assert "logs:CreateLogStream" in failed["contexts"][0]["message"]


def test_a_role_that_does_not_trust_codebuild_is_refused(cloud: Cloud) -> None:
    arn = cloud.role("lambdas", trust=trusting("lambda"))
    with pytest.raises(ClientError, match=r"not authorized.*may not assume.*role/lambdas"):
        project(cloud, "untrusted", phases(build=["true"]), serviceRole=arn)


def test_a_running_build_is_stopped_with_all_its_processes(cloud: Cloud, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    spec = phases(
        build=[f"(while :; do date > {mark}; sleep 0.1; done) & sleep 600"],
        post_build=["echo never"],
    )
    codebuild = cloud.client("codebuild")
    name = project(cloud, "long", spec, concurrentBuildLimit=1)
    id_ = codebuild.start_build(projectName=name)["build"]["id"]
    until(mark.exists)
    with pytest.raises(ClientError, match="Cannot have more than 1 builds"):
        codebuild.start_build(projectName=name)
    codebuild.stop_build(id=id_)
    build = build_end(cloud, id_)
    assert build["buildStatus"] == "STOPPED"
    assert phase(build, "POST_BUILD") is None
    mark.unlink()
    with pytest.raises(AssertionError):
        until(mark.exists, seconds=1)


def test_a_repository_of_github_is_built_at_its_commit(cloud: Cloud, tmp_path: Path) -> None:
    made = cloud.control("POST", "repositories", {"name": "team/model"})
    spec = yaml.safe_dump(
        phases(build=["cat file", "echo at $CODEBUILD_RESOLVED_SOURCE_VERSION", "git log -1"])
    )
    first = push(tmp_path, made["clone_url"], {"buildspec.yml": spec, "file": "one\n"})
    push(tmp_path, made["clone_url"], {"file": "two\n"})
    connection = cloud.client("codeconnections").create_connection(
        ConnectionName="github", ProviderType="GitHub"
    )["ConnectionArn"]
    cloud.role(
        "build-github",
        LOGS,
        {"Action": "codeconnections:UseConnection", "Resource": connection,
         "Condition": {"StringEquals": {"codeconnections:FullRepositoryId": "team/model"}}},
        trust=trusting("codebuild"),
    )  # fmt: skip
    source = {
        "type": "GITHUB",
        "location": made["clone_url"],
        "auth": {"type": "CODECONNECTIONS", "resource": connection},
    }
    role = f"arn:aws:iam::{DEV}:role/build-github"
    name = project(cloud, "github", source=source, serviceRole=role)
    text = logs(cloud, run(cloud, name))
    assert "\ntwo" in text
    build = run(cloud, name, sourceVersion=first)
    assert build["resolvedSourceVersion"] == first
    assert f"at {first}" in logs(cloud, build)

    other = cloud.control("POST", "repositories", {"name": "team/other"})
    refused = run(cloud, name, sourceLocationOverride=other["clone_url"])
    failed = phase(refused, "DOWNLOAD_SOURCE")
    assert failed is not None
    assert failed["contexts"][0]["statusCode"] == "ACCESS_DENIED"


def test_github_is_the_local_clouds_for_gits_own_commands_too(cloud: Cloud, tmp_path: Path) -> None:
    made = cloud.control("POST", "repositories", {"name": "team/by-git"})
    push(tmp_path, made["clone_url"], {"file": "from here\n"})
    commands = ["git clone --quiet https://github.com/team/by-git.git", "cat by-git/file"]
    build = run(cloud, project(cloud, "by-git", phases(build=commands)))
    assert build["buildStatus"] == "SUCCEEDED"
    assert "from here" in logs(cloud, build)


def test_artifacts_go_to_s3_under_the_key_by_the_role(cloud: Cloud) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    cloud.client("s3").create_bucket(
        Bucket="artifacts", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    cloud.role(
        "build-artifacts",
        LOGS,
        {"Action": "s3:PutObject", "Resource": "arn:aws:s3:::artifacts/*"},
        {"Action": "kms:GenerateDataKey", "Resource": key},
        trust=trusting("codebuild"),
    )
    spec = phases(build=["mkdir -p out/deep", "echo a > out/a", "echo b > out/deep/b", "echo c >c"])
    spec["artifacts"] = {"base-directory": "out", "files": ["**/*"]}
    target = {"type": "S3", "location": "artifacts", "packaging": "ZIP", "name": "it.zip"}
    given = {"encryptionKey": key, "artifacts": target}
    role = f"arn:aws:iam::{DEV}:role/build-artifacts"
    name = project(cloud, "artifacts", spec, serviceRole=role, **given)
    build = run(cloud, name)
    assert build["buildStatus"] == "SUCCEEDED", build["phases"]
    found = cloud.client("s3").get_object(Bucket="artifacts", Key="it.zip")
    assert found["SSEKMSKeyId"] == key
    with zipfile.ZipFile(io.BytesIO(found["Body"].read())) as archive:
        assert sorted(archive.namelist()) == ["a", "deep/b"]

    refused = run(cloud, name, serviceRoleOverride=f"arn:aws:iam::{DEV}:role/build")
    assert refused["buildStatus"] == "FAILED"
    failed = phase(refused, "UPLOAD_ARTIFACTS")
    assert failed is not None
    assert "s3:PutObject" in failed["contexts"][0]["message"]


def test_a_build_in_a_vpc_leaves_it_by_its_endpoints_and_routes_only(
    cloud: Cloud, tmp_path: Path
) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="b", Description="b", VpcId=vpc)["GroupId"]
    network = {"vpcId": vpc, "subnets": [subnet], "securityGroupIds": [group]}
    call = "python -c \"import boto3; boto3.client('sts').get_caller_identity()\" && echo reached"
    name = project(cloud, "vpc", phases(build=[call]), vpcConfig=network)
    build = run(cloud, name)
    failed = phase(build, "PROVISIONING")
    assert failed is not None
    assert "neither a VPC endpoint for this service" in failed["contexts"][0]["message"]
    for endpoint in ("logs", "sts"):
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName=f"com.amazonaws.{REGION}.{endpoint}",
            VpcEndpointType="Interface",
            SubnetIds=[subnet],
        )
    build = run(cloud, name)
    assert build["buildStatus"] == "SUCCEEDED"
    assert "\nreached" in logs(cloud, build)

    # GitHub is out there: without a route to the internet no build in the VPC clones from it.
    url = cloud.control("POST", "repositories", {"name": "team/far"})["clone_url"]
    push(tmp_path, url, {"a": "b"})
    far = {"sourceTypeOverride": "GITHUB", "sourceLocationOverride": url}
    failed = phase(run(cloud, name, **far), "DOWNLOAD_SOURCE")
    assert failed is not None
    assert "GITHUB cannot be reached" in failed["contexts"][0]["message"]
    assert failed["contexts"][0]["statusCode"] == "GIT_CLONE_FAILED"
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    table = tables["RouteTables"][0]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    assert run(cloud, name, **far)["buildStatus"] == "SUCCEEDED"


def test_a_builds_states_are_events(cloud: Cloud) -> None:
    pattern = {
        "source": ["aws.codebuild"],
        "detail-type": ["CodeBuild Build State Change"],
        "detail": {"project-name": ["told"]},
    }
    url = queue_for(cloud, "build-events", pattern)
    build = run(cloud, project(cloud, "told", phases(build=["false"])))

    def both() -> Any:
        found.extend(received(cloud, url))
        return len(found) == 2

    found: list[dict[str, Any]] = []
    until(both)
    assert [item["detail"]["build-status"] for item in found] == ["IN_PROGRESS", "FAILED"]
    assert {item["detail"]["build-id"] for item in found} == {build["arn"]}
    assert found[1]["resources"] == [build["arn"]]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("version: 0.1\nphases: {build: {commands: [a]}}", "version is 0.1"),
        ("version: 0.2\nphases: {build: {commands: [a]}}\nbatch: {}\n", "no batch builds"),
        ("version: 0.2\nphases: {test: {commands: [a]}}\n", "phases/test"),
        ("version: 0.2\nphases:\n  build:\n    commands:\n      - echo a: b\n", "quotes"),
        ("version: 0.2\nphases: {build: {run-as: ana, commands: [a]}}\n", "other users"),
    ],
)
def test_a_wrong_buildspec_says_where(cloud: Cloud, spec: str, told: str) -> None:
    name = project(cloud, f"wrong-{abs(hash(spec))}", f"{spec}\n")
    build = run(cloud, name)
    failed = phase(build, "DOWNLOAD_SOURCE")
    assert failed is not None
    assert failed["contexts"][0]["statusCode"] == "YAML_FILE_ERROR"
    assert told in failed["contexts"][0]["message"]


def test_what_the_local_cloud_has_not_is_refused_by_name(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match=r"no buildBatchConfig"):
        project(cloud, "batches", phases(build=["a"]), buildBatchConfig={"timeoutInMins": 5})


def test_a_scoped_right_names_the_project_of_a_build(cloud: Cloud) -> None:
    arn = f"arn:aws:codebuild:{REGION}:{DEV}:project"
    actions = ["codebuild:StartBuild", "codebuild:BatchGetBuilds", "codebuild:StopBuild"]
    role = cloud.role("starter", {"Action": actions, "Resource": f"{arn}/mine"})
    for name in ("mine", "theirs"):
        project(cloud, name, phases(build=["true"]))
    session = cloud.assume(role)
    mine = cloud.client("codebuild", session=session)
    build = mine.start_build(projectName="mine")["build"]
    assert build["initiator"] == "starter/test"
    assert mine.batch_get_builds(ids=[build["id"]])["builds"]
    with pytest.raises(ClientError, match=f"{arn}/theirs"):
        mine.start_build(projectName="theirs")
    with pytest.raises(ClientError, match=f"{arn}/theirs"):
        mine.stop_build(id="theirs:x")
    build_end(cloud, build["id"])


def test_a_token_starts_once_and_a_build_is_retried(cloud: Cloud) -> None:
    name = project(cloud, "again", phases(build=["echo given $GIVEN"]))
    codebuild = cloud.client("codebuild")
    given = {
        "projectName": name,
        "idempotencyToken": "one",
        "environmentVariablesOverride": [{"name": "GIVEN", "value": "7"}],
    }
    first = codebuild.start_build(**given)["build"]["id"]
    assert codebuild.start_build(**given)["build"]["id"] == first
    with pytest.raises(ClientError, match="other parameters"):
        codebuild.start_build(projectName=name, idempotencyToken="one")
    build_end(cloud, first)
    second = build_end(cloud, codebuild.retry_build(id=first)["build"]["id"])
    assert second["id"] != first
    assert "given 7" in logs(cloud, second)


PROGRAM = """
import pulumi, pulumi_aws as aws
provider = aws.Provider("p", region="eu-west-1", allowed_account_ids=["222222222222"])
bucket = aws.s3.Bucket("b", bucket="by-a-build", opts=pulumi.ResourceOptions(provider=provider))
"""


@pytest.mark.skipif(
    not (CHECKOUT.current_engine / "pulumi").exists(),
    reason="needs the Pulumi engine of the local cloud: make up",
)
def test_pulumi_deploys_from_a_build_with_the_builds_rights(cloud: Cloud) -> None:
    spec = phases(
        build=[
            "mkdir state && export PULUMI_BACKEND_URL=file://$PWD/state",
            f"cat > __main__.py <<'END'\n{PROGRAM}END\n",
            "printf 'name: small\\nruntime: python\\n' > Pulumi.yaml",
            "pulumi stack init dev && pulumi up --yes --skip-preview --non-interactive",
        ]
    )
    spec["env"] = {"variables": {"PULUMI_CONFIG_PASSPHRASE": "made-up"}}
    ours = "arn:aws:s3:::by-a-build"
    role = cloud.role(
        "deployer", LOGS, {"Action": "s3:*", "Resource": ours}, trust=trusting("codebuild")
    )
    name = project(cloud, "deploys", spec, serviceRole=role)
    build = run(cloud, name)
    text = logs(cloud, build)
    assert build["buildStatus"] == "SUCCEEDED", text
    assert "by-a-build" in {
        bucket["Name"] for bucket in cloud.client("s3").list_buckets()["Buckets"]
    }
    cloud.client("s3").delete_bucket(Bucket="by-a-build")
    refused = run(cloud, name, serviceRoleOverride=f"arn:aws:iam::{DEV}:role/build")
    assert refused["buildStatus"] == "FAILED"
    assert "s3:CreateBucket" in logs(cloud, refused)
