"""Who did something is told by the emulator as AWS tells it; what a transaction needs of IAM."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.emulators import DEV, REGION, Cloud, checkout, running

GROUP = "acme-dev-callers"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("callers"))) as started:
        yield started


def test_a_version_knows_who_made_it_and_who_changed_it(cloud: Cloud) -> None:
    allowed = {"Action": "sagemaker:*", "Resource": "*"}
    sessions = {
        name: cloud.client("sagemaker", session=cloud.assume(cloud.role(name, allowed)))
        for name in ("acme-dev-scientist", "acme-dev-engineer")
    }
    scientist, engineer = sessions.values()
    scientist.create_model_package_group(ModelPackageGroupName=GROUP)
    arn = scientist.create_model_package(
        ModelPackageGroupName=GROUP,
        InferenceSpecification={"Containers": [{"Image": "1.dkr.ecr.x.amazonaws.com/y"}]},
    )["ModelPackageArn"]

    def who(member: str) -> dict[str, Any]:
        return engineer.describe_model_package(ModelPackageName=arn).get(member, {})

    def identity(session: Any, role: str) -> dict[str, str]:
        role_id = cloud.client("iam").get_role(RoleName=role)["Role"]["RoleId"]
        principal = f"arn:aws:sts::{DEV}:assumed-role/{role}/test"
        return {"Arn": principal, "PrincipalId": f"{role_id}:test"}

    made = {"IamIdentity": identity(scientist, "acme-dev-scientist")}
    assert (who("CreatedBy"), who("LastModifiedBy")) == (made, {})
    engineer.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    changed = {"IamIdentity": identity(engineer, "acme-dev-engineer")}
    assert (who("CreatedBy"), who("LastModifiedBy")) == (made, changed)


def test_a_transaction_needs_what_its_parts_need(cloud: Cloud) -> None:
    admin = cloud.client("dynamodb")
    for name in ("ledger", "secret"):
        admin.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    table = f"arn:aws:dynamodb:{REGION}:{DEV}:table/ledger"
    role = cloud.role("writer", {"Action": "dynamodb:PutItem", "Resource": table})
    writer = cloud.client("dynamodb", session=cloud.assume(role))
    item = {"Id": {"S": "1"}}

    def put(name: str) -> dict[str, Any]:
        return {"Put": {"TableName": name, "Item": item}}

    writer.transact_write_items(TransactItems=[put("ledger")])
    assert admin.get_item(TableName="ledger", Key=item)["Item"] == item
    deleting = {"Delete": {"TableName": "ledger", "Key": item}}
    for parts in ([put("ledger"), put("secret")], [deleting]):
        with pytest.raises(ClientError) as error:
            writer.transact_write_items(TransactItems=parts)
        assert error.value.response["Error"]["Code"] == "AccessDeniedException"
    assert admin.get_item(TableName="ledger", Key=item)["Item"] == item
    assert "Item" not in admin.get_item(TableName="secret", Key=item)


def test_a_cards_update_changes_what_it_names(cloud: Cloud) -> None:
    client = cloud.client("sagemaker")
    name = {"ModelCardName": "acme-dev-card"}
    client.create_model_card(**name, Content="{}", ModelCardStatus="PendingReview")
    client.update_model_card(**name, Content='{"a": 1}')
    client.update_model_card(**name, ModelCardStatus="Approved")
    told = client.describe_model_card(**name)
    assert (told["Content"], told["ModelCardStatus"]) == ('{"a": 1}', "Approved")
    assert told["ModelCardVersion"] == 3
