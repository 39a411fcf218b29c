"""The account's baseline: what is made in which account, and that nothing of it is left open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from components.baseline import AccountBaseline, AccountBaselineArgs
from tests.unit.conftest import ACCOUNTS, Program, place

Run = Callable[..., Program]

BUCKET = "aws:s3/bucket:Bucket"
SINGLETONS = {
    "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock",
    "aws:ebs/encryptionByDefault:EncryptionByDefault",
    "aws:ebs/defaultKmsKey:DefaultKmsKey",
    "aws:iam/accountPasswordPolicy:AccountPasswordPolicy",
    "aws:accessanalyzer/analyzer:Analyzer",
    "aws:guardduty/detector:Detector",
    "aws:securityhub/account:Account",
    "aws:cfg/recorder:Recorder",
    "aws:cfg/deliveryChannel:DeliveryChannel",
    "aws:cfg/recorderStatus:RecorderStatus",
}
"""What an account can have once."""

ALL_ON = {"access_analyzer": True, "config": True, "guardduty": True, "security_hub": True}
ALL_OFF = dict.fromkeys(ALL_ON, False)


def args(environment: str = "dev", **changes: Any) -> AccountBaselineArgs:
    made: dict[str, Any] = {
        "placement": place(environment),
        "owns_account": True,
        "log_retention_days": 365,
        "key_deletion_days": 30,
        "security_services": ALL_ON,
        "budgets": {"ml-dev": 2000, "ml-research": 500},
        "budget_emails": ["owner@example.com"],
        "personas": {},
        **changes,
    }
    return AccountBaselineArgs(**made)


def made(run: Run, environment: str = "dev", *, preview: bool = False, **changes: Any) -> Program:
    return run(lambda: AccountBaseline("baseline", args(environment, **changes)), preview=preview)


def test_every_key_rotates_and_has_an_alias(run: Run) -> None:
    program = made(run, key_deletion_days=14)
    keys = program.of("aws:kms/key:Key")
    assert {key.name for key in keys} == {
        "baseline-data",
        "baseline-logs",
        "baseline-storage",
        "baseline-messages",
    }
    for key in keys:
        assert key.inputs["enableKeyRotation"] is True
        assert key.inputs["deletionWindowInDays"] == 14
        alias = program.one("aws:kms/alias:Alias", key.name).inputs
        assert alias["targetKeyId"] == f"{key.name}-id"
        assert alias["name"] == f"alias/acme-dev-{key.name.removeprefix('baseline-')}"


@pytest.mark.parametrize("bucket", ["baseline-logs", "baseline-access-logs"])
def test_every_bucket_is_closed_versioned_and_tls_only(bucket: str, run: Run) -> None:
    program = made(run)
    assert {b.name for b in program.of(BUCKET)} == {"baseline-logs", "baseline-access-logs"}
    block = program.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", bucket).inputs
    assert all(value is True for key, value in block.items() if key != "bucket")
    assert len(block) == 5
    versioning = program.one("aws:s3/bucketVersioning:BucketVersioning", bucket).inputs
    assert versioning["versioningConfiguration"]["status"] == "Enabled"
    policy = program.one("aws:s3/bucketPolicy:BucketPolicy", bucket).document()
    (tls,) = [s for s in policy["Statement"] if s["Sid"] == "DenyInsecureTransport"]
    assert len(tls["Resource"]) == 2, "the bucket and its objects"


def test_logs_are_encrypted_by_the_customers_key_and_access_logs_by_s3(run: Run) -> None:
    program = made(run)

    def default(bucket: str) -> dict[str, Any]:
        (rule,) = program.one(
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            bucket,
        ).inputs["rules"]
        return rule["applyServerSideEncryptionByDefault"]

    assert default("baseline-logs")["kmsMasterKeyId"].endswith("key/baseline-logs-id")
    # S3 delivers server access logs to no bucket whose default is a customer key.
    assert default("baseline-access-logs") == {"sseAlgorithm": "AES256"}
    (logging,) = program.of("aws:s3/bucketLogging:BucketLogging")
    assert logging.name == "baseline-logs"
    assert logging.inputs["targetBucket"].endswith("-access-logs")


@pytest.mark.parametrize("environment", ACCOUNTS)
def test_every_role_is_under_the_boundary_and_trusts_on_a_condition(
    environment: str, run: Run
) -> None:
    """Which it only names: whoever makes the stacks does not write their limit."""
    program = made(run, environment)
    assert not program.of("aws:iam/policy:Policy")
    roles = program.of("aws:iam/role:Role")
    names = {role.name.removeprefix("baseline-") for role in roles}
    personas = {"platform-engineer", "ml-engineer", "governance-officer"}
    assert names == personas | ({"model-execution"} if environment != "governance" else set())
    for role in roles:
        boundary = role.inputs["permissionsBoundary"]
        assert boundary.endswith(f":policy/acme-{environment}-boundary")
        for statement in role.document("assumeRolePolicy")["Statement"]:
            assert statement["Condition"], role.name


def test_what_an_account_has_once_is_made_by_its_owner(run: Run) -> None:
    owner, guest = made(run), made(run, owns_account=False)
    assert Counter(r.type for r in owner.resources if r.type in SINGLETONS) == Counter(SINGLETONS)
    assert not [r.name for r in guest.resources if r.type in SINGLETONS]


def test_security_services_are_made_only_when_asked_for(run: Run) -> None:
    quiet = {r.type for r in made(run, security_services=ALL_OFF).resources}
    loud = {r.type for r in made(run).resources}
    assert loud - quiet == {
        "aws:accessanalyzer/analyzer:Analyzer",
        "aws:guardduty/detector:Detector",
        "aws:securityhub/account:Account",
        "aws:cfg/recorder:Recorder",
        "aws:cfg/deliveryChannel:DeliveryChannel",
        "aws:cfg/recorderStatus:RecorderStatus",
    }


NAMED_BY = {
    BUCKET: "bucket",
    "aws:accessanalyzer/analyzer:Analyzer": "analyzerName",
}


def test_all_environments_fit_into_one_account(run: Run) -> None:
    accounts = dict.fromkeys(ACCOUNTS, "222222222222")

    def program() -> None:
        for environment in ACCOUNTS:
            AccountBaseline(
                environment,
                args(
                    environment,
                    placement=place(environment, accounts=accounts),
                    owns_account=environment == "dev",
                ),
            )

    names = Counter(
        (resource.type, resource.inputs[key])
        for resource in run(program).resources
        if (key := NAMED_BY.get(resource.type, "name")) in resource.inputs
        and resource.type.startswith("aws:")
        and "rolePolicy" not in resource.type
        and "cfg" not in resource.type
    )
    assert len(names) > 50
    assert [name for name, count in names.items() if count > 1] == []


def test_a_role_that_assumes_deployers_names_each_once_in_one_account(run: Run) -> None:
    accounts = dict.fromkeys(ACCOUNTS, "222222222222")
    program = made(run, placement=place("dev", accounts=accounts))
    policy = program.one("aws:iam/rolePolicy:RolePolicy", "baseline-platform-engineer").document()
    (assume,) = [s for s in policy["Statement"] if s["Sid"] == "AssumeDeployers"]
    assert assume["Resource"] == [
        f"arn:aws:iam::222222222222:role/acme-{environment}-deployer"
        for environment in sorted(ACCOUNTS)
    ]


def test_each_cost_centre_has_a_budget_that_tells_people(run: Run) -> None:
    program = made(run)
    budgets = {
        b.inputs["costFilters"][0]["values"][0]: b for b in program.of("aws:budgets/budget:Budget")
    }
    assert set(budgets) == {"user:cost-centre$ml-dev", "user:cost-centre$ml-research"}
    budget = budgets["user:cost-centre$ml-dev"].inputs
    assert (budget["limitAmount"], budget["limitUnit"], budget["timeUnit"]) == (
        "2000",
        "USD",
        "MONTHLY",
    )
    assert {n["notificationType"] for n in budget["notifications"]} == {"ACTUAL", "FORECASTED"}
    for notification in budget["notifications"]:
        assert notification["subscriberEmailAddresses"] == ["owner@example.com"]
        assert notification["subscriberSnsTopicArns"][0].endswith(":acme-dev-alerts")


def test_alerts_are_encrypted_and_published_for_this_account_only(run: Run) -> None:
    program = made(run)
    (topic,) = program.of("aws:sns/topic:Topic")
    assert topic.inputs["kmsMasterKeyId"].endswith("key/baseline-messages-id")
    (policy,) = program.of("aws:sns/topicPolicy:TopicPolicy")
    allowed = [s for s in policy.document()["Statement"] if s["Effect"] == "Allow"]
    assert [s["Condition"] for s in allowed] == [
        {"StringEquals": {"aws:SourceAccount": ACCOUNTS["dev"]}}
    ]


def test_config_delivers_encrypted_into_the_log_bucket(run: Run) -> None:
    program = made(run)
    (channel,) = program.of("aws:cfg/deliveryChannel:DeliveryChannel")
    assert channel.inputs["s3BucketName"].endswith("-logs")
    assert channel.inputs["s3KmsKeyArn"].endswith("key/baseline-logs-id")
    statements = program.one("aws:kms/key:Key", "baseline-logs").document()["Statement"]
    (delivers,) = (s for s in statements if s["Sid"] == "ConfigDelivers")
    assert delivers["Principal"] == {"Service": ["config.amazonaws.com"]}
    assert set(delivers["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey"}
    assert delivers["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNTS["dev"]}}


def test_config_records_by_its_service_linked_role_which_no_boundary_limits(run: Run) -> None:
    (recorder,) = made(run).of("aws:cfg/recorder:Recorder")
    assert recorder.inputs["roleArn"] == (
        f"arn:aws:iam::{ACCOUNTS['dev']}:role/aws-service-role/config.amazonaws.com/"
        "AWSServiceRoleForConfig"
    )
    assert recorder.inputs["recordingGroup"]["allSupported"] is True


def test_no_statement_admits_everybody(run: Run) -> None:
    found = 0
    for resource, key, document in made(run).documents():
        for statement in document["Statement"]:
            found += 1
            if statement["Effect"] == "Allow":
                assert statement.get("Principal") not in ("*", {"AWS": ["*"]}), (resource.urn, key)
    assert found > 40


def test_the_contract_with_projects(run: Run, golden: Callable[[str, Any], None]) -> None:
    parameters = made(run).of("aws:ssm/parameter:Parameter")
    golden(
        "contract-baseline",
        {p.inputs["name"]: p.inputs["description"] for p in parameters},
    )
    assert all(parameter.inputs["value"] for parameter in parameters)


def test_a_preview_knows_every_document_that_names_no_id(run: Run) -> None:
    known, previewed = made(run), made(run, preview=True)
    assert {r.urn for r in known.resources} == {r.urn for r in previewed.resources}
    texts = {(r.urn, key) for r, key, _ in known.documents()}
    unknown = texts - {(r.urn, key) for r, key, _ in previewed.documents()}
    assert not unknown


def test_every_resource_is_a_child_of_the_component(run: Run) -> None:
    for resource in made(run).resources[1:]:
        assert "::mlops:index:AccountBaseline$" in resource.urn, resource.urn
