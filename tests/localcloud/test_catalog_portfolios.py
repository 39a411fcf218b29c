"""Service Catalog on the emulator: what an administrator makes, and what he is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.emulators import DEV, REGION, Cloud, checkout, running

UNIT = {"Type": "ORGANIZATIONAL_UNIT", "Value": "ou-abcd-12345678"}


TEMPLATE_URL = f"https://a-templates.s3.{REGION}.amazonaws.com/t.json"
TEMPLATE = {
    "Resources": {
        "Made": {
            "Type": "Custom::Thing",
            "Properties": {"ServiceToken": f"arn:aws:lambda:{REGION}:{DEV}:function:a"},
        }
    }
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("catalog"))) as cloud:
        s3 = cloud.client("s3")
        s3.create_bucket(
            Bucket="a-templates", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        s3.put_object(Bucket="a-templates", Key="t.json", Body=json.dumps(TEMPLATE))
        yield cloud


@pytest.fixture
def catalog(cloud: Cloud) -> Any:
    return cloud.client("servicecatalog")


@pytest.fixture
def portfolio(catalog: Any) -> str:
    made = catalog.create_portfolio(DisplayName="projects", ProviderName="team")
    return made["PortfolioDetail"]["Id"]


@pytest.fixture
def product(catalog: Any) -> str:
    made = catalog.create_product(
        Name="xgboost-realtime",
        Owner="team",
        ProductType="CLOUD_FORMATION_TEMPLATE",
        ProvisioningArtifactParameters={
            "Name": "1",
            "Type": "CLOUD_FORMATION_TEMPLATE",
            "Info": {"LoadTemplateFromURL": TEMPLATE_URL},
        },
        Tags=[{"Key": "sagemaker:studio-visibility", "Value": "true"}],
    )
    return made["ProductViewDetail"]["ProductViewSummary"]["ProductId"]


def refused(code: str) -> Any:
    return pytest.raises(ClientError, match=code)


def test_one_token_makes_one_portfolio(catalog: Any) -> None:
    given = {"DisplayName": "a", "ProviderName": "team", "IdempotencyToken": "t-1"}
    first, again = catalog.create_portfolio(**given), catalog.create_portfolio(**given)
    assert first["PortfolioDetail"]["Id"] == again["PortfolioDetail"]["Id"]
    changed = catalog.update_portfolio(
        Id=first["PortfolioDetail"]["Id"], Description="b", AddTags=[{"Key": "k", "Value": "v"}]
    )
    assert changed["PortfolioDetail"]["DisplayName"] == "a"
    found = catalog.describe_portfolio(Id=first["PortfolioDetail"]["Id"])
    assert found["PortfolioDetail"]["Description"] == "b"
    assert found["Tags"] == [{"Key": "k", "Value": "v"}]


def test_a_product_keeps_its_version_and_tags(catalog: Any, product: str) -> None:
    catalog.update_product(Id=product, Description="of all kinds")
    found = catalog.describe_product_as_admin(Id=product)
    assert found["ProductViewDetail"]["ProductViewSummary"]["ShortDescription"] == "of all kinds"
    assert found["Tags"] == [{"Key": "sagemaker:studio-visibility", "Value": "true"}]
    assert [item["Name"] for item in found["ProvisioningArtifactSummaries"]] == ["1"]


def test_a_product_leaves_in_order(catalog: Any, portfolio: str, product: str) -> None:
    both = {"PortfolioId": portfolio, "ProductId": product}
    launch = {"Parameters": json.dumps({"LocalRoleName": "launch"}), "Type": "LAUNCH"}
    with refused("ResourceNotFoundException"):
        catalog.create_constraint(**both, **launch)
    catalog.associate_product_with_portfolio(**both)
    held = catalog.list_portfolios_for_product(ProductId=product)["PortfolioDetails"]
    assert [item["Id"] for item in held] == [portfolio]
    made = catalog.create_constraint(**both, **launch)["ConstraintDetail"]["ConstraintId"]
    with refused("DuplicateResourceException"):
        catalog.create_constraint(**both, **launch)
    for remove in (
        lambda: catalog.delete_product(Id=product),
        lambda: catalog.delete_portfolio(Id=portfolio),
        lambda: catalog.disassociate_product_from_portfolio(**both),
    ):
        with refused("ResourceInUseException"):
            remove()
    told = catalog.describe_constraint(Id=made)
    assert json.loads(told["ConstraintParameters"]) == {"LocalRoleName": "launch"}
    catalog.delete_constraint(Id=made)
    catalog.disassociate_product_from_portfolio(**both)
    catalog.delete_product(Id=product)
    catalog.delete_portfolio(Id=portfolio)
    with refused("ResourceNotFoundException"):
        catalog.describe_portfolio(Id=portfolio)


def test_patterns_name_no_account(catalog: Any, portfolio: str) -> None:
    pattern = {"PrincipalARN": "arn:aws:iam:::role/acme-dev-*", "PrincipalType": "IAM_PATTERN"}
    catalog.associate_principal_with_portfolio(PortfolioId=portfolio, **pattern)
    assert catalog.list_principals_for_portfolio(PortfolioId=portfolio)["Principals"] == [pattern]
    with refused("InvalidParametersException"):
        catalog.associate_principal_with_portfolio(
            PortfolioId=portfolio, PrincipalARN=pattern["PrincipalARN"], PrincipalType="IAM"
        )
    catalog.disassociate_principal_from_portfolio(PortfolioId=portfolio, **pattern)
    assert not catalog.list_principals_for_portfolio(PortfolioId=portfolio)["Principals"]


def test_principals_are_shared_with_units_only(catalog: Any, portfolio: str) -> None:
    with refused("InvalidParametersException"):
        catalog.create_portfolio_share(
            PortfolioId=portfolio, AccountId="222222222222", SharePrincipals=True
        )
    catalog.create_portfolio_share(PortfolioId=portfolio, AccountId="222222222222")
    catalog.create_portfolio_share(
        PortfolioId=portfolio, OrganizationNode=UNIT, SharePrincipals=True
    )

    def shares(kind: str) -> list[tuple[str, bool]]:
        told = catalog.describe_portfolio_shares(PortfolioId=portfolio, Type=kind)
        return [(s["PrincipalId"], s["SharePrincipals"]) for s in told["PortfolioShareDetails"]]

    assert shares("ACCOUNT") == [("222222222222", False)]
    assert shares("ORGANIZATIONAL_UNIT") == [(UNIT["Value"], True)]
    catalog.delete_portfolio_share(PortfolioId=portfolio, OrganizationNode=UNIT)
    assert not shares("ORGANIZATIONAL_UNIT")


def test_one_account_does_not_see_anothers(cloud: Cloud, portfolio: str) -> None:
    with refused("ResourceNotFoundException"):
        cloud.client("servicecatalog", "111111111111").describe_portfolio(Id=portfolio)


def test_a_product_keeps_its_last_version(catalog: Any, product: str) -> None:
    def versions() -> dict[str, str]:
        told = catalog.list_provisioning_artifacts(ProductId=product)
        return {item["Name"]: item["Id"] for item in told["ProvisioningArtifactDetails"]}

    info = {"LoadTemplateFromURL": TEMPLATE_URL}
    given = {"ProductId": product, "Parameters": {"Name": "2", "Info": info}}
    for _ in range(2):
        catalog.create_provisioning_artifact(**given, IdempotencyToken="once")
    assert sorted(versions()) == ["1", "2"]
    catalog.delete_provisioning_artifact(ProductId=product, ProvisioningArtifactId=versions()["1"])
    with refused("ResourceInUseException"):
        catalog.delete_provisioning_artifact(
            ProductId=product, ProvisioningArtifactId=versions()["2"]
        )


def test_a_tag_option_is_one_pair_and_stays_while_it_is_used(catalog: Any, portfolio: str) -> None:
    pair = {"Key": "cost-centre", "Value": "ml"}
    option = catalog.create_tag_option(**pair)["TagOptionDetail"]["Id"]
    with refused("DuplicateResourceException"):
        catalog.create_tag_option(**pair)
    catalog.associate_tag_option_with_resource(ResourceId=portfolio, TagOptionId=option)
    shown = catalog.describe_portfolio(Id=portfolio)["TagOptions"]
    assert [(item["Key"], item["Value"]) for item in shown] == [("cost-centre", "ml")]
    held = catalog.list_resources_for_tag_option(TagOptionId=option)["ResourceDetails"]
    assert [item["Id"] for item in held] == [portfolio]
    for remove in (
        lambda: catalog.delete_tag_option(Id=option),
        lambda: catalog.delete_portfolio(Id=portfolio),
    ):
        with refused("ResourceInUseException"):
            remove()
    catalog.disassociate_tag_option_from_resource(ResourceId=portfolio, TagOptionId=option)
    catalog.delete_tag_option(Id=option)
