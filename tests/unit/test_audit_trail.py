"""The audit trail: one for each account, written by nobody else, deleted by nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pulumi_aws as aws
import pytest

from components import audit_trail, iam
from components.audit_trail import AuditTrail
from components.naming import Names
from localcloud.authorization import Evaluator, Policies, Request
from tests.unit.conftest import ACCOUNTS, REGION, Program, place

Run = Callable[..., Program]
TRAIL = "aws:cloudtrail/trail:Trail"
HUB = ACCOUNTS["governance"]
NAMES = Names.at(place("governance"))
BUCKET = NAMES.bucket_arn("audit-logs")
ARNS = {
    a: f"arn:aws:cloudtrail:{REGION}:{a}:trail/acme-governance-audit" for a in ACCOUNTS.values()
}


def made(run: Run, accounts: set[str], *, preview: bool = False) -> Program:
    def program() -> None:
        providers = {account: aws.Provider(account, region=REGION) for account in accounts}
        AuditTrail(
            "audit",
            {
                "placement": place("governance"),
                "access_log_bucket": "access-logs",
                "retention_days": 2557,
                "key_deletion_days": 30,
            },
            providers,
        )

    return run(program, preview=preview)


def test_each_account_has_one_trail_that_misses_nothing(run: Run) -> None:
    program = made(run, set(ACCOUNTS.values()))
    trails = program.of(TRAIL)
    assert {trail.name for trail in trails} == {f"audit-{a}" for a in ACCOUNTS.values()}
    for trail in trails:
        assert trail.inputs["isMultiRegionTrail"] is True
        assert trail.inputs["includeGlobalServiceEvents"] is True
        assert trail.inputs["enableLogFileValidation"] is True
        assert trail.inputs["enableLogging"] is True
        assert trail.inputs["kmsKeyId"].endswith("key/audit-key-id")
        assert trail.inputs["s3BucketName"] == NAMES.bucket("audit-logs")


def test_one_account_for_all_has_one_trail(run: Run) -> None:
    assert len(made(run, {HUB}).of(TRAIL)) == 1


def test_an_account_that_is_removed_may_no_longer_write(run: Run) -> None:
    without = ACCOUNTS["prod"]
    program = made(run, set(ACCOUNTS.values()) - {without})
    for _, _, document in program.documents():
        assert without not in json.dumps(document)


def test_the_key_rotates_and_the_bucket_is_logged_and_kept(run: Run) -> None:
    program = made(run, {HUB})
    (key,) = program.of("aws:kms/key:Key")
    assert key.inputs["enableKeyRotation"] is True
    (logging,) = program.of("aws:s3/bucketLogging:BucketLogging")
    assert logging.inputs["targetBucket"] == "access-logs"
    (lifecycle,) = program.of("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration")
    assert lifecycle.inputs["rules"][0]["expiration"]["days"] == 2557


def test_the_documents_are_as_reviewed(golden: Callable[[str, Any], None]) -> None:
    accounts = sorted(ACCOUNTS.values())
    arns = [ARNS[account] for account in accounts]
    golden("audit-key", iam.document(audit_trail.key_statements(NAMES, arns, accounts)))
    golden("audit-bucket", iam.document(audit_trail.bucket_statements(BUCKET, arns, accounts)))


@pytest.fixture
def allowed(evaluator: Evaluator) -> Callable[..., bool]:
    accounts = [HUB, ACCOUNTS["dev"]]
    arns = [ARNS[account] for account in accounts]
    document = iam.document(audit_trail.bucket_statements(BUCKET, arns, accounts))
    everything = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }

    def ask(principal: str, action: str, path: str, **context: str) -> bool:
        keys = {key.replace("__", ":"): value for key, value in context.items()}
        identity = {"own": everything} if principal.startswith("arn:") else {}
        return evaluator.evaluate(
            Request(principal, action, f"{BUCKET}{path}", HUB, keys),
            Policies(identity, resource=document),
        ).allowed

    return ask


SERVICE = "cloudtrail.amazonaws.com"


def test_only_our_trails_write_each_under_its_account(allowed: Callable[..., bool]) -> None:
    def write(account: str, trail: str, acl: str = "bucket-owner-full-control") -> bool:
        keys = {"aws__SourceArn": trail, "s3__x-amz-acl": acl}
        return allowed(SERVICE, "s3:PutObject", f"/AWSLogs/{account}/CloudTrail/1.gz", **keys)

    dev, prod = ACCOUNTS["dev"], ACCOUNTS["prod"]
    assert write(dev, ARNS[dev])
    assert not write(prod, ARNS[dev]), "under another account's prefix"
    assert not write(dev, ARNS[prod]), "by the trail of an account that is not ours"
    assert not write(dev, f"arn:aws:cloudtrail:{REGION}:{dev}:trail/other")
    assert not write(dev, ARNS[dev], acl="public-read")


@pytest.mark.parametrize("action", ["s3:DeleteObject", "s3:DeleteObjectVersion"])
def test_not_even_the_hubs_administrator_deletes_records(
    action: str, allowed: Callable[..., bool]
) -> None:
    administrator = f"arn:aws:iam::{HUB}:user/administrator"
    record = f"/AWSLogs/{HUB}/CloudTrail/1.gz"
    assert not allowed(administrator, action, record)
    assert allowed(administrator, "s3:GetObject", record)
