"""What launches of products and projects need: a function of the hub that is asked, a product."""

from __future__ import annotations

import json
from typing import Any

from tests.localcloud.emulators import DEV, HUB, REGION, Cloud, trusting
from tests.localcloud.kit import ROOT, zipped

LOGS = {"Action": "logs:*", "Resource": "*"}
LAMBDA = trusting("lambda")


def make_function(
    cloud: Cloud, name: str, handler: str, *policies: dict[str, Any], **arguments: Any
) -> None:
    """Makes a function of the hub that dev may invoke, with the vending function's answers.

    Args:
        cloud: The emulator.
        name: Of the function and its role.
        handler: Its module, with ``handle``; it prints ``ASKED`` and each request as JSON.
        policies: What its role may do beside logging.
        arguments: More of CreateFunction.
    """
    answer = ROOT / "functions" / "vending" / "answer.py"
    functions = cloud.client("lambda", HUB)
    functions.create_function(
        FunctionName=name,
        Role=cloud.role(name, LOGS, *policies, account=HUB, trust=LAMBDA),
        Runtime="python3.11",
        Handler="main.handle",
        Code={"ZipFile": zipped({"main.py": handler, "answer.py": answer.read_bytes()})},
        Timeout=20,
        **arguments,
    )
    let_dev_invoke(cloud, name)


def let_dev_invoke(cloud: Cloud, name: str) -> None:
    """Lets dev invoke a function of the hub."""
    cloud.client("lambda", HUB).add_permission(
        FunctionName=name, StatementId="Dev", Action="lambda:InvokeFunction", Principal=DEV
    )


def asked(cloud: Cloud, name: str) -> list[dict[str, Any]]:
    """Every request that such a function got, in order; its log comes after its answer."""
    logs = cloud.client("logs", HUB)
    try:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    lines = [e["message"] for e in sorted(events, key=lambda e: e["timestamp"])]
    return [json.loads(line[6:]) for line in lines if line.startswith("ASKED ")]


def make_product(cloud: Cloud, name: str, bucket: str, key: str) -> str:
    """Makes a product of the hub from a template in a bucket there; gives its id."""
    made = cloud.client("servicecatalog", HUB).create_product(
        Name=name,
        Owner="team",
        ProductType="CLOUD_FORMATION_TEMPLATE",
        ProvisioningArtifactParameters={
            "Name": "1",
            "Type": "CLOUD_FORMATION_TEMPLATE",
            "Info": {"LoadTemplateFromURL": f"https://{bucket}.s3.{REGION}.amazonaws.com/{key}"},
        },
    )
    return made["ProductViewDetail"]["ProductViewSummary"]["ProductId"]


def make_portfolio(
    cloud: Cloud, name: str, product: str, roles: str, node: tuple[str, str], **sharing: bool
) -> str:
    """Makes a portfolio of the hub with a product, and shares it; gives its id.

    Args:
        cloud: The emulator.
        name: Of the portfolio.
        product: Its product.
        roles: Pattern of the roles that may launch it.
        node: Type and value of the organization's node that it is shared with.
        sharing: More of CreatePortfolioShare.
    """
    catalog = cloud.client("servicecatalog", HUB)
    made = catalog.create_portfolio(DisplayName=name, ProviderName="team")["PortfolioDetail"]["Id"]
    catalog.associate_product_with_portfolio(ProductId=product, PortfolioId=made)
    catalog.associate_principal_with_portfolio(
        PortfolioId=made, PrincipalARN=f"arn:aws:iam:::role/{roles}", PrincipalType="IAM_PATTERN"
    )
    catalog.create_portfolio_share(
        PortfolioId=made,
        OrganizationNode={"Type": node[0], "Value": node[1]},
        SharePrincipals=True,
        **sharing,
    )
    return made


def constrain(cloud: Cloud, portfolio: str, product: str, role: str) -> None:
    """Makes a role the launch role of a product."""
    catalog = cloud.client("servicecatalog", HUB)
    parameters = json.dumps({"LocalRoleName": role})
    listed = catalog.list_constraints_for_portfolio(PortfolioId=portfolio, ProductId=product)
    for item in listed["ConstraintDetails"]:
        catalog.update_constraint(Id=item["ConstraintId"], Parameters=parameters)
        return
    catalog.create_constraint(
        PortfolioId=portfolio, ProductId=product, Parameters=parameters, Type="LAUNCH"
    )
