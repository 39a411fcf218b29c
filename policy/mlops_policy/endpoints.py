"""VPC endpoints: there for what ML work needs, and bound to the company."""

from __future__ import annotations

from collections.abc import Iterator

from pulumi_policy import Severity

from mlops_policy import iam
from mlops_policy.aws import VPC, VPC_ENDPOINT, VPC_ENDPOINT_POLICY, document, endpoint_service
from mlops_policy.model import Example, Family, Options, Resource, Stack, strings
from mlops_policy.values import listed

FAMILY = Family(
    "endpoints", "VPC endpoints are there for what ML work needs, and bound to the company."
)

_ORGANIZATION = {"StringEquals": {"aws:PrincipalOrgID": "o-example1234"}}
_CLOSED_ENDPOINT = document(
    {
        "Sid": "Organization",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "*",
        "Resource": "*",
        "Condition": _ORGANIZATION,
    }
)
_OPEN_ENDPOINT = document({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"})


@FAMILY.resource(
    "endpoint-policy-present",
    types=[VPC_ENDPOINT],
    severity=Severity.HIGH,
    title="A VPC endpoint is made with a policy of its own.",
    why="The policy that AWS puts on allows everything, to accounts of strangers as well.",
    fix="set policy to a document that is bound to the organisation's accounts",
    bad=[Example(VPC_ENDPOINT, {"serviceName": "com.amazonaws.eu-west-1.sts"})],
    good=[
        Example(
            VPC_ENDPOINT,
            {"serviceName": "com.amazonaws.eu-west-1.sts", "policy": _CLOSED_ENDPOINT},
        )
    ],
    options={
        "without_policy": strings("Services whose endpoints take no policy.", ["codepipeline"])
    },
)
def _endpoint_policy_present(endpoint: Resource, options: Options) -> Iterator[str]:
    if endpoint.has("policy"):
        return
    service = endpoint_service(endpoint.get("serviceName", ""))
    if service not in options["without_policy"]:
        yield f"the endpoint of {service} has no policy, so it allows everything"


_COMPANY_KEYS = frozenset(
    {"aws:principalorgid", "aws:principalorgpaths", "aws:principalaccount", "aws:principalarn"}
)


@FAMILY.resource(
    "endpoint-policy-bounded",
    types=[VPC_ENDPOINT, VPC_ENDPOINT_POLICY],
    severity=Severity.HIGH,
    title="The policy of a VPC endpoint is bound to the company's accounts.",
    why="Else anybody's credentials can carry data through it into a stranger's account.",
    fix="add a condition on aws:PrincipalOrgID, aws:PrincipalAccount, aws:ResourceOrgID or "
    "aws:ResourceAccount, or name the resources",
    bad=[Example(VPC_ENDPOINT, {"policy": _OPEN_ENDPOINT})],
    good=[Example(VPC_ENDPOINT, {"policy": _CLOSED_ENDPOINT})],
)
def _endpoint_policy_bounded(endpoint: Resource, _options: Options) -> Iterator[str]:
    policy = endpoint.document("policy")
    for statement in policy.allows if policy else ():
        named = (
            not statement.any_principal and statement.principals and (not statement.not_principals)
        )
        bound = statement.bound_by(_COMPANY_KEYS | iam.OWNER_KEYS)
        if not bound and not named and statement.any_resource:
            yield f"{statement.label} allows any account to reach any resource"


@FAMILY.resource(
    "endpoint-private-dns",
    types=[VPC_ENDPOINT],
    severity=Severity.MEDIUM,
    title="Interface endpoints answer for the service's public name.",
    why="Without private DNS, SDKs resolve the public address and go around the endpoint.",
    fix="set privateDnsEnabled to true",
    bad=[Example(VPC_ENDPOINT, {"vpcEndpointType": "Interface"})],
    good=[
        Example(VPC_ENDPOINT, {"vpcEndpointType": "Interface", "privateDnsEnabled": True}),
        Example(VPC_ENDPOINT, {"vpcEndpointType": "Gateway"}),
    ],
)
def _endpoint_private_dns(endpoint: Resource, _options: Options) -> Iterator[str]:
    if endpoint.get("vpcEndpointType", "Gateway") == "Interface" and not endpoint.get(
        "privateDnsEnabled", False
    ):
        yield "private DNS is off"


REQUIRED_ENDPOINTS = (
    "ecr.api",
    "ecr.dkr",
    "kms",
    "logs",
    "monitoring",
    "s3",
    "sagemaker.api",
    "sagemaker.runtime",
    "sts",
)


def _with_endpoints(*services: str) -> list[Example]:
    return [
        Example(VPC, name="vpc"),
        *(
            Example(
                VPC_ENDPOINT,
                {
                    "vpcId": "${vpc.id}",
                    "serviceName": f"com.amazonaws.eu-west-1.{service}",
                    "policy": _CLOSED_ENDPOINT,
                },
                service.replace(".", "-"),
            )
            for service in services
        ),
    ]


@FAMILY.stack(
    "required-endpoints",
    subjects=[VPC],
    severity=Severity.HIGH,
    title="A VPC has an endpoint for each service that ML work needs.",
    why="A missing endpoint either fails late, in a job, or sends the traffic over the internet.",
    fix="add a VPC endpoint, with a policy, for each service that is named",
    bad=[_with_endpoints("s3", "sts")],
    good=[_with_endpoints(*REQUIRED_ENDPOINTS)],
    options={"services": strings("Services that must have an endpoint.", REQUIRED_ENDPOINTS)},
)
def _required_endpoints(vpc: Resource, stack: Stack, options: Options) -> Iterator[str]:
    present = {
        endpoint_service(endpoint.get("serviceName", ""))
        for endpoint in stack.of(VPC_ENDPOINT)
        if stack.refers(endpoint, "vpcId", vpc)
    }
    missing = set(options["services"]) - present
    if missing:
        yield f"it has no endpoint for {listed(missing)}"
