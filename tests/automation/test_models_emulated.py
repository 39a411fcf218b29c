"""``python -m automation models`` on an emulated hub, as its people in their deployed roles."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from botocore.exceptions import ClientError

from automation import cli, dead_letters
from automation.dead_letters import NotTakenError, QueueError
from automation.models import command
from automation.models.hub import CARDS, Hub, ModelsError
from automation.models.redrive import payload_of
from components import iam
from components.baseline_policies import persona_statements
from components.naming import Names, Placement
from functions.deployment.deployments import Deployments
from functions.promotion.model_card import card_name
from tests.functions.deployment_hub import ROLE, DeployingHub, deploy_function
from tests.functions.platform import (
    FRAMEWORK_IMAGE,
    MODELS,
    SOURCES,
    folder,
    message,
    raw_message,
)
from tests.localcloud.emulators import (
    DEV,
    HUB,
    PROD,
    REGION,
    Cloud,
    checkout,
    document,
    running,
    trusting,
)

PREPROD = "444444444444"
PLACEMENT = Placement(
    prefix="acme",
    environment="governance",
    region=REGION,
    account_id=HUB,
    accounts={"governance": HUB, "dev": DEV, "preprod": PREPROD, "prod": PROD},
    protect=False,
)
NAMES = Names.at(PLACEMENT)
REPORT = b'{"regression_metrics": {"rmse": {"value": 2.15, "standard_deviation": 0.3}}}'


@dataclass
class Desk:
    """The command line, at people's own profiles."""

    hub: DeployingHub
    function: Deployments
    folder: Path

    def run(self, *arguments: str, by: str | None = "alex") -> str:
        """Runs an action; gives what it said."""
        said: list[str] = []
        given = [*arguments, *(["--profile", by] if by else [])]
        command.run(cli.parser().parse_args(["models", *given]), PLACEMENT, said.append)
        return "\n".join(said)

    def version(self, project: str | None = None, **members: Any) -> str:
        """A promoted version; gives what people call it."""
        arn = self.hub.promoted(project or self.hub.project(), report=REPORT, **members)
        return label(arn)

    def live(self, project: str) -> str:
        """A promoted version that is brought to prod."""
        arn = self.hub.promoted(project, report=REPORT)
        self.hub.live_through(self.function, arn)
        return label(arn)

    def described(self, version: str) -> dict[str, Any]:
        return self.hub.platform.hub.describe_model_package(ModelPackageName=arn_of(version))


def label(arn: str) -> str:
    group, _, number = arn.partition("model-package/")[2].partition("/")
    return f"{group.removeprefix('acme-governance-')}:{number}"


def arn_of(version: str) -> str:
    project, _, number = version.partition(":")
    return NAMES.arn("sagemaker", f"model-package/acme-governance-{project}/{number}")


def profiles(cloud: Cloud, folder: Path) -> None:
    """A profile for each person: the roles have what the platform deploys."""
    # The emulated hub's bucket has a name of its own.
    bucket = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{MODELS}/promoted/*"}
    roles = {
        persona: cloud.role(
            NAMES.role(persona) + "-desk",
            *iam.document(persona_statements(PLACEMENT, persona))["Statement"],
            account=HUB,
        )
        for persona in ("ml-engineer", "governance-officer", "platform-engineer")
    }
    cloud.client("iam", HUB).put_role_policy(
        RoleName=roles["ml-engineer"].rpartition("/")[2],
        PolicyName="bucket",
        PolicyDocument=document(bucket),
    )
    roles["data-scientist"] = cloud.role("acme-dev-scientist-desk", account=DEV)
    roles["stranger"] = cloud.role("acme-prod-stranger", account=PROD)
    lines: list[str] = []
    for name, persona in (
        ("alex", "ml-engineer"),
        ("ada", "ml-engineer"),
        ("grace", "governance-officer"),
        ("paul", "platform-engineer"),
        ("dora", "data-scientist"),
        ("stranger", "stranger"),
    ):
        sts = cloud.client("sts", roles[persona].split(":")[4])
        given = sts.assume_role(RoleArn=roles[persona], RoleSessionName=name)["Credentials"]
        lines += [f"[{name}]", *_credentials(given)]
    for name, account in (("dev", DEV), ("prod", PROD)):
        frozen = cloud.session(account).get_credentials().get_frozen_credentials()
        lines += [
            f"[{name}]",
            f"aws_access_key_id={frozen.access_key}",
            f"aws_secret_access_key={frozen.secret_key}",
        ]
    (folder / "credentials").write_text("\n".join(lines))


def _credentials(given: dict[str, Any]) -> list[str]:
    return [
        f"aws_access_key_id={given['AccessKeyId']}",
        f"aws_secret_access_key={given['SecretAccessKey']}",
        f"aws_session_token={given['SessionToken']}",
    ]


def deploy(hub: DeployingHub) -> None:
    """The function itself, in the hub's Lambda."""
    cloud = hub.cloud
    trust = trusting("lambda")
    role = cloud.role("acme-governance-deployments-lambda", account=HUB, trust=trust)
    policies = cloud.client("iam", HUB)
    own = policies.get_role_policy(RoleName=ROLE, PolicyName="deployments")["PolicyDocument"]
    policies.put_role_policy(
        RoleName=role.rpartition("/")[2], PolicyName="own", PolicyDocument=json.dumps(own)
    )
    deploy_function(cloud, role)


@contextmanager
def opened(folder: Path) -> Iterator[Desk]:
    """A hub with its people."""
    with running(checkout(folder / "cloud")) as cloud:
        hub = DeployingHub(cloud)
        deploy(hub)
        profiles(cloud, folder)
        yield Desk(hub, hub.function(), folder)


@contextmanager
def seated(desk: Desk) -> Iterator[None]:
    """In here, the people's profiles are those of this process."""
    own = {
        "AWS_SHARED_CREDENTIALS_FILE": str(desk.folder / "credentials"),
        "AWS_CONFIG_FILE": str(desk.folder / "no-config"),
        "AWS_ENDPOINT_URL": desk.hub.cloud.started.endpoint,
    }
    others = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    with patch.dict(os.environ, others | own, clear=True):
        yield


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(tmp_path_factory.mktemp("models")) as desk:
        yield desk


@pytest.fixture
def desk(standing: Desk) -> Iterator[Desk]:
    with seated(standing):
        yield standing
    standing.hub.cloud.control("DELETE", "faults")


# What people see.


def test_a_list_tells_status_metrics_approver_and_where_a_version_serves(desk: Desk) -> None:
    project = desk.hub.project()
    first, second = desk.live(project), desk.version(project)
    lines = desk.run("list", "--group", project, by="grace").splitlines()
    assert lines[0].split() == ["VERSION", "STATUS", "SERVES", "METRICS", "DECIDED", "BY", "AGE",
                                "SOURCE"]  # fmt: skip
    newest, oldest = (re.split(r"\s{2,}", line) for line in lines[1:])
    assert newest[:3] == [second, "PendingManualApproval", "-"]
    assert newest[4] == "-"
    assert oldest[:3] == [first, "Approved", "preprod, prod"]
    assert oldest[4] == "alex"
    assert newest[3] == oldest[3] == "rmse 2.15"
    assert oldest[6] == f"acme-dev-{project}/1"


def test_a_list_is_filtered_and_told_to_programs(desk: Desk) -> None:
    project = desk.hub.project()
    first, second = desk.live(project), desk.version(project)
    told = json.loads(desk.run("list", "--group", project, "--json"))
    assert [item["version"] for item in told] == [second, first]
    assert told[1]["serves"] == {"preprod": None, "prod": None}
    assert told[1]["metrics"]["rmse"] == 2.15
    assert told[0]["decided_by"] is None
    pending = desk.run("list", "--group", project, "--status", "pending")
    assert second in pending
    assert first not in pending
    assert "There is no such version" in desk.run(
        "list", "--group", project, "--status", "rejected"
    )


def test_all_groups_are_listed_at_once_and_no_others(desk: Desk) -> None:
    one, other = desk.version(), desk.version()
    desk.hub.platform.hub.create_model_package_group(ModelPackageGroupName="acme-dev-stray")
    desk.hub.platform.hub.create_model_package(
        ModelPackageGroupName="acme-dev-stray", ModelPackageDescription="of a shared account"
    )
    told = desk.run("list")
    assert one in told
    assert other in told
    assert "stray" not in told


def test_a_version_is_shown_whole(desk: Desk) -> None:
    version = desk.live(desk.hub.project())
    told = desk.run("show", version, by="grace")
    for words in (
        "text/csv", "application/json", "THREADS=2", "s3://acme-governance-models/promoted/",
        "rmse: 2.15", "risk: Unknown", "why: beats the last", "by: Arn=arn:aws:sts::",
        "PreprodApprovedBy", "ProdApprovalReason: tests are green",
    ):  # fmt: skip
        assert words in told, words
    rows = told.partition("Deployments\n")[2].splitlines()[1:]
    assert [re.split(r"\s{2,}", row.strip())[1:4] for row in rows] == [
        ["preprod #1", "deploy", "Live"],
        ["prod #1", "deploy", "Live"],
    ]
    assert "grace" in rows[1]
    facts = json.loads(desk.run("show", arn_of(version), "--json"))
    assert facts["facts"]["Inference"]["environment"] == "THREADS=2"
    assert [item["environment"] for item in facts["deployments"]] == ["preprod #1", "prod #1"]


def test_lineage_names_each_part_and_where_it_is_and_what_is_missing(desk: Desk) -> None:
    project = desk.hub.project()
    execution = f"arn:aws:sagemaker:{REGION}:{DEV}:pipeline/{project}/execution/abc123def456"
    version = desk.version(
        project,
        CustomerMetadataProperties={"DataVersion": "2026-11-01", "CommitId": "0123abcd"},
        MetadataProperties={"GeneratedBy": execution},
    )
    told = desk.run("lineage", version)
    for words in (
        f"source version: arn:aws:sagemaker:{REGION}:{DEV}:model-package/acme-dev-{project}/1",
        f"registered by: Arn=arn:aws:sts::{DEV}:assumed-role/acme-dev-data-scientist/ada",
        f"pipeline execution: {execution}",
        "data version: 2026-11-01",
        "git commit: 0123abcd",
        "training job: MISSING",
        "pipeline started by: MISSING",
        f"model card: {card_name('acme-governance-' + project, 1)} version 1",
        "CRC",
    ):
        assert words in told, (words, told)
    parts = json.loads(desk.run("lineage", version, "--json"))
    assert {part["name"] for part in parts if part["missing"]} >= {"training job"}
    assert all(part["where"] for part in parts)
    artifacts = [part for part in parts if part["name"].startswith("artifact s3://")]
    assert len(artifacts) == 2
    assert all("bytes" in part["value"] for part in artifacts)


def test_a_deployed_versions_artifacts_have_the_digests_of_its_approval(desk: Desk) -> None:
    version = desk.live(desk.hub.project())
    data = desk.described(version)["InferenceSpecification"]["Containers"][0]["ModelDataUrl"]
    # The officer may read the artifacts only inside the network, and here under another name.
    told = desk.run("lineage", version, by="grace")
    item = desk.hub.ledger(arn_of(version), "prod")[-1]
    digest = json.loads(item["FingerprintParts"])[data]
    assert f"artifact {data}: fingerprint {digest} (ledger, at its approval)" in told
    assert "S3 does not show it to you here" in told


def test_the_page_has_every_version_with_its_lineage_and_deployments(desk: Desk) -> None:
    version = desk.live(desk.hub.project())
    file = desk.folder / "pages" / "models.html"
    assert "versions:" in desk.run("page", str(file), by="grace")
    told = file.read_text()
    assert f'id="{version.replace(":", "-")}"' in told
    assert "rmse 2.15" in told
    assert "<h3>Lineage</h3>" in told
    assert "preprod #1" in told


# What really serves.


def test_the_endpoints_are_asked_whether_they_serve_what_the_ledger_says(desk: Desk) -> None:
    project = desk.hub.project()
    version = desk.live(project)
    told = desk.run("list", "--group", project, "--verify", "--profile", "prod=prod")
    assert f"{version} in preprod: not asked: give a profile of preprod" in told
    assert f"{version} in prod: the endpoint acme-prod-{project} does not exist" in told
    serve(desk.hub.cloud, project, "config-1")
    told = desk.run("list", "--group", project, "--verify", "--profile", "prod=prod")
    assert re.search(rf"{version} in prod: \w+ with config-1, as the ledger says", told)
    assert f"{version} in prod: not asked: IAM refuses it" in desk.run(
        "list", "--group", project, "--verify", "--profile", "prod=stranger"
    )


def test_an_endpoint_that_serves_something_else_is_told(desk: Desk) -> None:
    project = desk.hub.project()
    version = desk.live(project)
    serve(desk.hub.cloud, project, "by-hand")
    told = desk.run("list", "--group", project, "--verify", "--profile", "prod=prod")
    assert f"{version} in prod: " in told
    assert "with by-hand, not with config-1 as the ledger says" in told


def serve(cloud: Cloud, project: str, config: str) -> None:
    """An endpoint in prod; whether it comes into service does not matter here."""
    sagemaker = cloud.client("sagemaker", PROD)
    trust = trusting("sagemaker")
    role = cloud.role(f"acme-prod-model-{project}", account=PROD, trust=trust)
    sagemaker.create_model(
        ModelName=project, PrimaryContainer={"Image": FRAMEWORK_IMAGE}, ExecutionRoleArn=role
    )
    if config not in {
        item["EndpointConfigName"] for item in sagemaker.list_endpoint_configs()["EndpointConfigs"]
    }:
        sagemaker.create_endpoint_config(
            EndpointConfigName=config,
            ProductionVariants=[
                {
                    "VariantName": "all",
                    "ModelName": project,
                    "InstanceType": "ml.m5.large",
                    "InitialInstanceCount": 1,
                }
            ],
        )
    sagemaker.create_endpoint(EndpointName=f"acme-prod-{project}", EndpointConfigName=config)


# What people decide.


def test_an_approval_tells_its_evidence_and_what_is_next(desk: Desk) -> None:
    version = desk.version()
    told = desk.run("approve", version, "--reason", "beats\nthe last")
    assert re.search(
        r"metrics: passed: s3://acme-governance-models/promoted/\S+ \(\d+ bytes\)", told
    )
    assert "card: passed: acme-governance-" in told
    assert "scan: passed: " in told
    assert "separation of duties: passed: registered: Arn=" in told
    project = version.partition(":")[0]
    assert (
        f"Next, the pipeline acme-governance-{project} deploys it: preprod, then prod after a "
        "manual approval there." in told
    )
    now = desk.described(version)
    assert (now["ModelApprovalStatus"], now["ApprovalDescription"]) == (
        "Approved",
        "beats the last",
    )
    assert now["LastModifiedBy"]["IamIdentity"]["Arn"].endswith("/alex")


def test_what_the_desk_lets_pass_passes_the_functions_gate(desk: Desk) -> None:
    version = desk.version()
    desk.run("approve", version, "--reason", "better")
    arn = arn_of(version)
    desk.function.version_event(desk.hub.event(arn))
    assert desk.hub.begin(desk.function, arn, "preprod")["proceed"]


def test_who_registered_a_version_is_told_before_and_nothing_is_changed(desk: Desk) -> None:
    version = desk.version()
    with pytest.raises(
        ModelsError, match=r"registered, trained or approved it in dev, too.*another person"
    ):
        desk.run("approve", version, "--reason", "mine", by="ada")
    assert desk.described(version)["ModelApprovalStatus"] == "PendingManualApproval"


def test_a_version_without_its_evidence_is_not_approved(desk: Desk) -> None:
    version = desk.version(ModelMetrics={})
    with pytest.raises(ModelsError, match=r"ModelMetrics\.ModelQuality\.Statistics"):
        desk.run("approve", version, "--reason", "trust me")
    card = desk.version()
    name = card_name(arn_of(card).split("/")[1], int(card.partition(":")[2]))
    desk.hub.platform.hub.update_model_card(ModelCardName=name, ModelCardStatus="Archived")
    with pytest.raises(ModelsError, match="is archived"):
        desk.run("approve", card, "--reason", "trust me")
    assert desk.described(card)["ModelApprovalStatus"] == "PendingManualApproval"


def test_evidence_that_is_not_shown_here_is_left_to_the_function(desk: Desk) -> None:
    version = desk.version()
    role = (NAMES.role("ml-engineer") + "-desk", "bucket")
    policies = desk.hub.cloud.client("iam", HUB)
    bucket = policies.get_role_policy(RoleName=role[0], PolicyName=role[1])["PolicyDocument"]
    policies.delete_role_policy(RoleName=role[0], PolicyName=role[1])
    try:
        told = desk.run("approve", version, "--reason", "seen inside the network")
    finally:
        policies.put_role_policy(
            RoleName=role[0], PolicyName=role[1], PolicyDocument=json.dumps(bucket)
        )
    assert "metrics: unseen: " in told
    assert "the deployment function checks before it deploys" in told
    assert desk.described(version)["ModelApprovalStatus"] == "Approved"


def test_a_decision_is_made_once_unless_again(desk: Desk) -> None:
    version = desk.version()
    desk.run("reject", version, "--reason", "too old")
    for action in ("approve", "reject"):
        with pytest.raises(ModelsError, match=r"was rejected by alex on .*: too old. --again"):
            desk.run(action, version, "--reason", "other")
    desk.run("approve", version, "--reason", "not so old", "--again")
    with pytest.raises(ModelsError, match="was approved by alex"):
        desk.run("approve", version, "--reason", "twice")
    told = desk.run("approve", version, "--reason", "twice", "--again")
    assert "one approval starts one deployment" in told


def test_a_rejection_tells_where_the_version_before_comes_back(desk: Desk) -> None:
    project = desk.hub.project()
    desk.live(project)
    second = desk.live(project)
    told = desk.run("reject", second, "--reason", "drifts")
    assert "preprod is put back to version 1" in told
    assert "prod is put back to version 1" in told
    alone = desk.live(desk.hub.project())
    assert "no earlier approved version" in desk.run("reject", alone, "--reason", "drifts")


@pytest.mark.parametrize(
    ("action", "by", "denied"),
    [
        ("approve", "grace", "sagemaker:UpdateModelPackage"),
        ("reject", "grace", "sagemaker:UpdateModelPackage"),
        ("approve", "dora", "sagemaker:DescribeModelPackage"),
        ("reject", "dora", "sagemaker:DescribeModelPackage"),
    ],
)
def test_who_may_not_decide_reads_the_refusal_as_a_sentence(
    desk: Desk, action: str, by: str, denied: str
) -> None:
    version = desk.version()
    with pytest.raises(ModelsError) as told:
        desk.run(action, version, "--reason", "please", by=by)
    assert re.match(
        rf"IAM refuses it: User: arn:aws:sts::\d+:assumed-role/\S+/{by} is not authorized to "
        rf"perform: {denied} on resource: \S+",
        str(told.value),
    )
    assert "ML engineers" in str(told.value)
    assert desk.described(version)["ModelApprovalStatus"] == "PendingManualApproval"


def test_a_rollback_is_started_by_the_function_for_who_asked(desk: Desk) -> None:
    project = desk.hub.project()
    desk.live(project)
    second = desk.live(project)
    told = desk.run("rollback", "--project", project, "--env", "prod", "--reason", "wrong prices")
    assert f"prod is put back to {project}:1 (attempt 3), asked for by alex" in told
    item = desk.hub.ledger(arn_of(second), "prod")[-1]
    assert (item["Status"], item["Kind"], item["Version"]) == ("Requested", "rollback", "1")
    assert item["RequestedBy"].endswith("/alex")
    assert item["Reason"] == "wrong prices"
    with pytest.raises(ModelsError, match="Not rolled back: A rollback to version 1 is requested"):
        desk.run("rollback", "--project", project, "--env", "prod", "--reason", "again")


def test_a_rollback_that_cannot_be_tells_why(desk: Desk) -> None:
    project = desk.hub.project()
    ask = ("rollback", "--reason", "why not", "--project")
    with pytest.raises(ModelsError, match=f"No version of acme-governance-{project} is live"):
        desk.run(*ask, project, "--env", "prod")
    with pytest.raises(ModelsError, match="environment is 'moon', expected one of preprod, prod"):
        desk.run(*ask, project, "--env", "moon")
    with pytest.raises(ModelsError, match="No project has the group 'acme-governance-nobody'"):
        desk.run(*ask, "nobody", "--env", "prod")
    with pytest.raises(ModelsError, match="--reason is empty"):
        desk.run("rollback", "--reason", " ", "--project", project, "--env", "prod")
    with pytest.raises(ModelsError, match=r"IAM refuses it.*lambda:InvokeFunction"):
        desk.run(*ask, project, "--env", "prod", by="grace")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulated queue is one server: what it does not answer at once is not there."""
    monkeypatch.setattr(dead_letters, "WAIT_SECONDS", 0)


@pytest.mark.usefixtures("at_once")
def test_events_that_the_function_failed_on_are_handed_to_it_again(desk: Desk) -> None:
    hub = desk.hub
    sqs = hub.cloud.client("sqs", HUB)
    url = sqs.create_queue(QueueName="acme-governance-deployments-failed")["QueueUrl"]
    version = desk.version()
    arn = arn_of(version)
    # Its approval was lost: the event of it waits with the cause.
    hub.session("acme-governance-ml-engineer", "alex").update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good"
    )
    cause = {"ErrorMessage": {"DataType": "String", "StringValue": "the ledger was full"}}
    run = {
        "detail-type": "CodePipeline Pipeline Execution State Change",
        "source": "aws.codepipeline",
        "account": HUB,
        "detail": {"pipeline": "acme-governance-gone", "execution-id": "r-1", "state": "FAILED"},
    }
    for body in (
        json.dumps(hub.event(arn)),
        json.dumps(run),
        json.dumps({"action": "begin", "group": f"acme-governance-{version.partition(':')[0]}"}),
        "no JSON",
    ):
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=cause)
    for _ in range(2):  # Listing takes nothing out.
        told = desk.run("redrive", "--list")
        assert "4 not handled" in told
        for words in (arn, "r-1", "begin", "no event: no JSON", "the ledger was full"):
            assert words in told
    assert hub.ledger(arn, "preprod") == []
    # The function takes it up, but this hub's may start no pipeline: the event is kept.
    told = desk.run("redrive", "--source", arn)
    assert f"failed again: {arn} (StartingError" in told
    assert "0 handled" in told
    (attempt,) = hub.ledger(arn, "preprod")
    assert (attempt["Status"], attempt["Kind"]) == ("Requested", "deploy")
    # What the registry says now counts, not what the event says.
    hub.session("acme-governance-ml-engineer", "alex").update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Rejected", ApprovalDescription="after all"
    )
    assert "1 handled" in desk.run("redrive", "--source", arn)
    assert hub.ledger(arn, "preprod")[0]["Status"] == "Refused"
    told = desk.run("redrive")
    assert "1 handled" in told
    assert "failed again: begin (RequestError: begin has to come by the alias" in told
    assert "failed again: no event: no JSON (the message is no JSON" in told
    assert "2 not handled" in desk.run("redrive", "--list")
    with pytest.raises(QueueError, match="used by its ML engineers"):
        desk.run("redrive", by="grace")
    sqs.delete_queue(QueueUrl=url)
    with pytest.raises(QueueError, match="acme-governance-deployments-failed cannot be used"):
        desk.run("redrive")


@pytest.mark.usefixtures("at_once")
def test_an_approval_that_was_refused_is_promoted_by_redrive_once_its_cause_is_gone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = desk.hub.platform
    hub = SimpleNamespace(names=NAMES, region=REGION)
    monkeypatch.setattr(cli, "load_settings", lambda *_: {"governance": hub})

    def promotions(*arguments: str) -> str:
        assert cli.main(["promotions", *arguments, "--profile", "alex"]) == cli.CLEAN
        return capsys.readouterr().out

    def approved(group: str) -> str:
        late = f"s3://{SOURCES}/{folder(group)}late.bin"
        arn = platform.register(group, container={"Image": FRAMEWORK_IMAGE, "ModelDataUrl": late})
        assert platform.deliver(message(arn)) == []
        return arn

    group = platform.group()
    key = f"{folder(group)}late.bin"
    first, second = approved(group), approved(platform.group())
    told = promotions("list")
    assert "2 not promoted" in told
    assert f"{first}\n  artifacts: There is nothing at s3://{SOURCES}/{key}" in told

    platform.upload(key, b"weights")
    assert "1 tried anew" in promotions("redrive", "--source", first)
    (waiting,) = platform.sqs.receive_message(QueueUrl=platform.queue)["Messages"]
    assert platform.deliver(raw_message(waiting["Body"])) == []
    assert len(platform.central(first)) == 1
    assert platform.ledger(first)["Outcome"] == "promoted"
    # The other one waits on, with its cause.
    told = promotions("list")
    assert "1 not promoted" in told
    assert f"\n{first}" not in told
    assert f"\n{second}" in told
    platform.dead()


def test_a_schedules_event_is_handed_on_as_the_sweep_that_it_was() -> None:
    event = {"detail-type": "Scheduled Event", "resources": ["the rule"], "detail": {}}
    assert payload_of(json.dumps(event)) == {"action": "sweep"}
    assert payload_of('{"action": "sweep"}') == {"action": "sweep"}
    with pytest.raises(NotTakenError, match="no JSON object"):
        payload_of("[]")


# What goes wrong.


def test_a_group_or_version_that_is_not_there_is_told_with_what_is(desk: Desk) -> None:
    version = desk.version()
    project = version.partition(":")[0]
    for arguments in (("list", "--group", "nobody"), ("show", "nobody:1")):
        with pytest.raises(ModelsError, match="no group acme-governance-nobody") as told:
            desk.run(*arguments)
        assert project in str(told.value)
    with pytest.raises(ModelsError, match="has no version 7: its newest is 1"):
        desk.run("show", f"{project}:7")
    with pytest.raises(ModelsError, match="expected PROJECT:NUMBER"):
        desk.run("show", project)
    empty = desk.hub.project()
    desk.hub.platform.hub.create_model_package_group(
        ModelPackageGroupName=f"acme-governance-{empty}"
    )
    assert "There is no such version" in desk.run("list", "--group", empty)


def test_an_unknown_profile_is_told_without_a_traceback(desk: Desk) -> None:
    with pytest.raises(ModelsError, match=r"profile \(nobody\) could not be found"):
        desk.run("list", by="nobody")
    with pytest.raises(SystemExit):
        desk.run("list", "--profile", "moon=alex")


@pytest.mark.parametrize("error", ["throttle", "server-error"])
def test_throttling_and_server_errors_are_tried_again(desk: Desk, error: str) -> None:
    version = desk.version()
    for operation in ("ListModelPackages", "Search", "DescribeModelCard"):
        desk.hub.cloud.control(
            "POST",
            "faults",
            {"service": "sagemaker", "operation": operation, "error": error, "count": 2},
        )
    assert version in desk.run("list", "--group", version.partition(":")[0])


def test_what_search_does_not_know_yet_is_described(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = desk.hub.project()
    approved, fresh = desk.version(project), desk.version(project)
    searched, listed = Hub._searched, Hub._listed

    def later(hub: Hub, group: str | None, status: Any) -> Any:
        # AWS's index follows the registry after a while: what it answers is older than the list.
        found = searched(hub, group)
        del found[arn_of(fresh)]
        monkeypatch.setattr(hub, "_searched", lambda _: found)
        desk.hub.session("acme-governance-ml-engineer", "alex").update_model_package(
            ModelPackageArn=arn_of(approved), ModelApprovalStatus="Approved"
        )
        return listed(hub, group, status)

    monkeypatch.setattr(Hub, "_listed", later)
    told = {item["version"]: item for item in json.loads(desk.run("list", "--json"))}
    assert told[approved]["status"] == "Approved"
    assert told[approved]["decided_by"].endswith("/alex")
    assert told[fresh]["status"] == "PendingManualApproval"
    assert told[fresh]["source"].endswith(f"acme-dev-{project}/2")


def test_the_emulated_search_refuses_what_it_cannot(desk: Desk) -> None:
    numbers = {"Name": "ModelPackageVersion", "Operator": "GreaterThan", "Value": "1"}
    for refused in ({"SearchExpression": {"Filters": [numbers]}}, {"SortBy": "CreationTime"}):
        with pytest.raises(ClientError, match="searches versions by Filters of Equals"):
            desk.hub.platform.hub.search(Resource="ModelPackage", **refused)


def test_calls_grow_with_pages_not_with_versions(desk: Desk) -> None:
    project = desk.hub.project()
    hub = desk.hub.platform.hub
    group = f"acme-governance-{project}"
    hub.create_model_package_group(ModelPackageGroupName=group)

    def register(number: int) -> None:
        hub.create_model_package(
            ModelPackageGroupName=group,
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [{"Image": FRAMEWORK_IMAGE}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            CustomerMetadataProperties={"CommitId": str(number)},
        )

    def measured() -> tuple[int, int, float]:
        desk.hub.cloud.control("DELETE", "calls")
        start = time.monotonic()
        found = json.loads(desk.run("list", "--group", project, "--json"))
        took = time.monotonic() - start
        calls = desk.hub.cloud.control("GET", "calls")
        return len(found), sum(item["count"] for item in calls), took

    standing = 0
    seen: list[tuple[int, int, float]] = []
    for count in (100, 250):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(register, range(standing, count)))
        standing = count
        seen.append(measured())
    print("versions, calls, seconds:", seen)
    assert [versions for versions, _, _ in seen] == [100, 250]
    # A page of the list and one of the search for each hundred; ledger and cards are the same.
    beyond = {calls - 2 * -(-versions // 100) for versions, calls, _ in seen}
    assert beyond == {CARDS + 3}


def test_the_command_says_errors_without_a_traceback(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "show", "nonsense"]) == cli.ERROR
    assert "expected PROJECT:NUMBER" in capsys.readouterr().err
