"""What a stack costs each month however little it is used, before and after an update.

Prices are data (``prices.yaml``), and so is what each resource type pays for: one row a type in
:data:`PRICED`, :data:`BY_USE` or :data:`FREE`. What is paid by use is named and not in the figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pulumi.automation import StepEventMetadata
from pulumi.runtime.rpc import UNKNOWN

PRICE_FILE = Path(__file__).with_name("prices.yaml")

Inputs = Mapping[str, Any]


@dataclass(frozen=True)
class Amount:
    """How much of a priced unit one resource is.

    Attributes:
        unit: Key in ``prices.yaml``.
        count: How many, at least.
        exact: False when the inputs do not tell, so that it may be more.
    """

    unit: str
    count: int = 1
    exact: bool = True


@dataclass(frozen=True)
class Priced:
    """A type with a fixed cost.

    Attributes:
        amount: ``amount(inputs, subnets)``; ``subnets`` is how many subnets the workloads have once
            the update is done, None when the run does not tell.
        needs: The inputs that it looks at; no others are kept.
    """

    amount: Callable[[Inputs, int | None], Amount]
    needs: tuple[str, ...] = ()


def _one(unit: str) -> Priced:
    return Priced(lambda _inputs, _subnets: Amount(unit))


def _endpoint(inputs: Inputs, subnets: int | None) -> Amount:
    unit, kind = "interface_endpoint", inputs.get("vpcEndpointType", "Gateway")
    if kind != "Interface":
        # Gateways are free; other kinds, and one that is not known yet, have no price here.
        return Amount(unit, 0, exact=kind == "Gateway")
    given = inputs.get("subnetIds")
    # The ids of subnets made in the same run are unknown as one value, not one by one.
    zones = len(given) if isinstance(given, list) else subnets
    return Amount(unit, 1 if zones is None else zones, exact=zones is not None)


def _nat_gateway(inputs: Inputs, _subnets: int | None) -> Amount:
    # A regional gateway is paid for in each zone that it has grown into.
    return Amount("nat_gateway", exact=inputs.get("availabilityMode", "zonal") == "zonal")


def _alarm(inputs: Inputs, _subnets: int | None) -> Amount:
    given = inputs.get("metricQueries", [])
    queries = [q for q in given if isinstance(q, dict)] if isinstance(given, list) else []
    metrics = [query["metric"] for query in queries if isinstance(query.get("metric"), dict)]
    periods = [inputs.get("period"), *(metric.get("period") for metric in metrics)]
    return Amount(
        "high_resolution_alarm" if any(p in (10, 20, 30) for p in periods) else "alarm",
        max(1, len(metrics)),
        exact=isinstance(given, list) and len(queries) == len(given),
    )


def _parameter(inputs: Inputs, _subnets: int | None) -> Amount:
    tier = inputs.get("tier", "Standard")
    return Amount("advanced_parameter", int(tier == "Advanced"), tier in ("Standard", "Advanced"))


def _scaling_policy(inputs: Inputs, _subnets: int | None) -> Amount:
    # Target tracking makes one alarm for each direction. Source: Application Auto Scaling guide.
    kind = inputs.get("policyType", "StepScaling")
    return Amount("alarm", 2 if kind == "TargetTrackingScaling" else 0, exact=kind != UNKNOWN)


PRICED: Mapping[str, Priced] = {
    "aws:appautoscaling/policy:Policy": Priced(_scaling_policy, ("policyType",)),
    "aws:cloudwatch/metricAlarm:MetricAlarm": Priced(_alarm, ("metricQueries", "period")),
    "aws:ec2/eip:Eip": _one("public_ipv4"),
    "aws:ec2/natGateway:NatGateway": Priced(_nat_gateway, ("availabilityMode",)),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Priced(_endpoint, ("vpcEndpointType", "subnetIds")),
    "aws:kms/key:Key": _one("kms_key"),
    "aws:secretsmanager/secret:Secret": _one("secret"),
    "aws:ssm/parameter:Parameter": Priced(_parameter, ("tier",)),
}
"""Type -> what it pays for each month."""

BY_USE: Mapping[str, str] = {
    "aws:athena/workgroup:Workgroup": "Athena",
    "aws:cfg/recorder:Recorder": "Config",
    "aws:cloudtrail/trail:Trail": "CloudTrail",
    "aws:cloudwatch/logGroup:LogGroup": "CloudWatch Logs",
    "aws:codebuild/project:Project": "CodeBuild",
    "aws:codecommit/repository:Repository": "CodeCommit",
    "aws:codepipeline/pipeline:Pipeline": "CodePipeline",
    "aws:cloudwatch/eventBus:EventBus": "EventBridge",
    "aws:datazone/domain:Domain": "DataZone",
    "aws:dynamodb/table:Table": "DynamoDB",
    "aws:ec2/flowLog:FlowLog": "VPC flow logs",
    "aws:ecr/repository:Repository": "ECR",
    "aws:glue/catalogDatabase:CatalogDatabase": "Glue",
    "aws:guardduty/detector:Detector": "GuardDuty",
    "aws:s3/bucket:Bucket": "S3",
    "aws:s3/bucketObjectv2:BucketObjectv2": "S3",
    "aws:sagemaker/domain:Domain": "SageMaker Studio",
    "aws:sagemaker/endpoint:Endpoint": "SageMaker endpoints",
    "aws:sagemaker/featureGroup:FeatureGroup": "Feature Store",
    "aws:sagemaker/monitoringSchedule:MonitoringSchedule": "SageMaker Model Monitor",
    "aws:lambda/function:Function": "Lambda",
    "aws:sqs/queue:Queue": "SQS",
    "aws:sagemaker/space:Space": "SageMaker Studio",
    "aws:sagemaker/userProfile:UserProfile": "SageMaker Studio",
    "aws:securityhub/account:Account": "Security Hub",
    "aws:sns/topic:Topic": "SNS",
}
"""Type -> the name under which people know what they pay for."""

FREE: frozenset[str] = frozenset(
    {
        # Findings of outside access are free; those of unused access, which are not, are not used.
        "aws:accessanalyzer/analyzer:Analyzer",
        "aws:appautoscaling/target:Target",
        "aws:budgets/budget:Budget",
        "aws:cfg/deliveryChannel:DeliveryChannel",
        "aws:cfg/recorderStatus:RecorderStatus",
        "aws:cloudwatch/eventBusPolicy:EventBusPolicy",
        "aws:cloudwatch/eventRule:EventRule",
        "aws:cloudwatch/eventTarget:EventTarget",
        "aws:codeconnections/connection:Connection",
        "aws:ebs/defaultKmsKey:DefaultKmsKey",
        "aws:ebs/encryptionByDefault:EncryptionByDefault",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        "aws:ec2/internetGateway:InternetGateway",
        "aws:ec2/route:Route",
        "aws:ec2/routeTable:RouteTable",
        "aws:ec2/routeTableAssociation:RouteTableAssociation",
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/subnet:Subnet",
        "aws:ec2/vpc:Vpc",
        "aws:ecr/lifecyclePolicy:LifecyclePolicy",
        "aws:ecr/repositoryPolicy:RepositoryPolicy",
        "aws:glue/dataCatalogEncryptionSettings:DataCatalogEncryptionSettings",
        "aws:glue/securityConfiguration:SecurityConfiguration",
        "aws:iam/accountPasswordPolicy:AccountPasswordPolicy",
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        "aws:iam/policy:Policy",
        "aws:iam/role:Role",
        "aws:iam/rolePolicy:RolePolicy",
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        "aws:kms/alias:Alias",
        "aws:lakeformation/dataLakeSettings:DataLakeSettings",
        "aws:lakeformation/permissions:Permissions",
        "aws:lakeformation/resource:Resource",
        # Its metric is charged for only while lines match: far below what a report shows.
        "aws:cloudwatch/logMetricFilter:LogMetricFilter",
        "aws:lambda/alias:Alias",
        "aws:lambda/eventSourceMapping:EventSourceMapping",
        "aws:lambda/permission:Permission",
        "aws:organizations/account:Account",
        "aws:ram/principalAssociation:PrincipalAssociation",
        "aws:ram/resourceAssociation:ResourceAssociation",
        "aws:ram/resourceShare:ResourceShare",
        "aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock",
        "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration",
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        "aws:s3/bucketLogging:BucketLogging",
        "aws:s3/bucketNotification:BucketNotification",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        "aws:s3/bucketPolicy:BucketPolicy",
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "aws:s3/bucketVersioning:BucketVersioning",
        # Job definitions of monitoring, in deployment repositories: its schedules are what costs.
        "aws:cloudcontrol/resource:Resource",
        "aws:sagemaker/dataQualityJobDefinition:DataQualityJobDefinition",
        "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        "aws:sagemaker/model:Model",
        # Its jobs are what costs; when they run is not known here.
        "aws:sagemaker/pipeline:Pipeline",
        "aws:sagemaker/modelPackageGroup:ModelPackageGroup",
        "aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy",
        "aws:sagemaker/servicecatalogPortfolioStatus:ServicecatalogPortfolioStatus",
        "aws:sagemaker/studioLifecycleConfig:StudioLifecycleConfig",
        # Launches by the API are paid for by use, far below what a report shows.
        "aws:servicecatalog/constraint:Constraint",
        "aws:servicecatalog/portfolio:Portfolio",
        "aws:servicecatalog/portfolioShare:PortfolioShare",
        "aws:servicecatalog/principalPortfolioAssociation:PrincipalPortfolioAssociation",
        "aws:servicecatalog/product:Product",
        "aws:servicecatalog/productPortfolioAssociation:ProductPortfolioAssociation",
        "aws:servicecatalog/provisioningArtifact:ProvisioningArtifact",
        "aws:servicecatalog/tagOption:TagOption",
        "aws:servicecatalog/tagOptionResourceAssociation:TagOptionResourceAssociation",
        "aws:sns/topicPolicy:TopicPolicy",
        "aws:sns/topicSubscription:TopicSubscription",
        "aws:sqs/queuePolicy:QueuePolicy",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    }
)
"""Types that cost nothing by themselves."""


@dataclass(frozen=True)
class Holding:
    """One resource of a stack, as far as its price depends on it.

    Attributes:
        type: Its type.
        region: AWS region; empty when it is not known.
        inputs: Those that :data:`PRICED` needs.
    """

    type: str
    region: str = ""
    inputs: Inputs = field(default_factory=dict[str, Any])


_SUBNET, _PROVIDER = "aws:ec2/subnet:Subnet", "pulumi:providers:"
_HELD = frozenset(
    {
        "same", "create", "update", "replace", "create-replacement", "delete", "delete-replaced",
        "import", "import-replacement",
    }
)  # fmt: skip
"""Operations on what a stack owns: not what it reads, nor what is already gone."""


class Ledger:
    """What a stack holds before and after an update, told by the engine's events.

    A replacement is told in several events: what was is known by its id, what will be has none, so
    each is counted once whatever the order. No input is kept that no price depends on.
    """

    def __init__(self) -> None:
        self._before: dict[str, tuple[str, Holding]] = {}
        self._after: dict[str, tuple[str, Holding]] = {}

    def __bool__(self) -> bool:
        """Whether any event was recorded."""
        return bool(self._before or self._after)

    def record(self, metadata: StepEventMetadata) -> None:
        """Take the step of a ``resource_pre_event``; components are made of other resources."""
        type_, urn, old, new = metadata.type, metadata.urn, metadata.old, metadata.new
        is_provider = type_.startswith(_PROVIDER)
        if metadata.op.value not in _HELD or not (is_provider or metadata.provider):
            return
        if old is not None:
            self._before[f"{urn}::{old.id}"] = (old.provider, _holding(type_, old.inputs))
        if new is not None:
            self._after[urn] = (new.provider, _holding(type_, new.inputs))

    @property
    def before(self) -> list[Holding]:
        """What the stack holds now."""
        return _located(self._before, lambda reference: reference)

    @property
    def after(self) -> list[Holding]:
        """What it holds once the update is done."""
        return _located(self._after, lambda reference: reference.rpartition("::")[0])


def _holding(type_: str, given: Inputs | None) -> Holding:
    inputs = given or {}
    if type_ == _SUBNET:
        tags = inputs.get("tags")
        kept = {"tier": tags.get("SubnetType")} if isinstance(tags, Mapping) else {}
    else:
        needs = PRICED[type_].needs if type_ in PRICED else ()
        kept = {key: inputs[key] for key in needs if key in inputs}
    region = inputs.get("region")
    known = isinstance(region, str) and region != UNKNOWN
    return Holding(type_, str(region) if known else "", kept)


def _located(
    side: Mapping[str, tuple[str, Holding]], provider_key: Callable[[str], str]
) -> list[Holding]:
    """The resources of a side without its providers, in the region of their providers."""
    nowhere = ("", Holding(""))
    return [
        Holding(
            held.type,
            held.region or side.get(provider_key(provider), nowhere)[1].region,
            held.inputs,
        )
        for provider, held in side.values()
        if not held.type.startswith(_PROVIDER)
    ]


@dataclass(frozen=True)
class Estimate:
    """What resources cost; estimates add up.

    Attributes:
        counts: (unit, region) -> how many.
        by_use: What is paid by use besides, by name.
        unpriced: Types of which nothing is known here.
        exact: False when it may be more.
    """

    counts: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    by_use: frozenset[str] = frozenset()
    unpriced: frozenset[str] = frozenset()
    exact: bool = True

    def __add__(self, other: Estimate) -> Estimate:
        counts = Counter(self.counts)
        counts.update(other.counts)
        return Estimate(
            dict(counts),
            self.by_use | other.by_use,
            self.unpriced | other.unpriced,
            self.exact and other.exact,
        )


def estimate(holdings: Iterable[Holding], subnets: int | None = None) -> Estimate:
    """What resources pay for.

    Args:
        holdings: The resources.
        subnets: How many subnets an interface endpoint has whose subnets are not known yet.
    """
    return sum((_estimate(held, subnets) for held in holdings), Estimate())


def _estimate(held: Holding, subnets: int | None) -> Estimate:
    if held.type in PRICED:
        amount = PRICED[held.type].amount(held.inputs, subnets)
        counts = {(amount.unit, held.region): amount.count} if amount.count else {}
        return Estimate(counts, exact=amount.exact)
    if held.type in BY_USE:
        return Estimate(by_use=frozenset({BY_USE[held.type]}))
    return Estimate() if held.type in FREE else Estimate(unpriced=frozenset({held.type}))


def compare(ledger: Ledger) -> tuple[Estimate, Estimate]:
    """The estimates before and after an update."""
    before, after = ledger.before, ledger.after
    return estimate(before), estimate(after, _workload_subnets(after))


def _workload_subnets(holdings: Iterable[Holding]) -> int | None:
    tiers = [held.inputs.get("tier") for held in holdings if held.type == _SUBNET]
    # With a NAT gateway the workloads are in the private tier, and the isolated one is there too.
    return tiers.count("Private") or tiers.count("Isolated") or None


@dataclass(frozen=True)
class Prices:
    """List prices.

    Attributes:
        as_of: The day they were looked up, ``YYYY-MM-DD``.
        fallback: The region whose prices stand in for those of a region without.
        counted: Unit -> what it counts, for people, in plural.
        monthly: Region -> unit -> US dollars a month.
    """

    as_of: str
    fallback: str
    counted: Mapping[str, str]
    monthly: Mapping[str, Mapping[str, Decimal]]

    def price(self, unit: str, region: str) -> Decimal:
        """US dollars a month for one of a unit."""
        return self.monthly.get(region, self.monthly[self.fallback])[unit]

    def total(self, estimated: Estimate) -> Decimal:
        """US dollars a month."""
        return sum(
            (count * self.price(*where) for where, count in estimated.counts.items()), Decimal(0)
        )

    def source(self, *estimates: Estimate) -> str:
        """Which prices were used, such as ``list prices of eu-west-1 as of 2025-10-01``."""
        regions = {region for one in estimates for _, region in one.counts}
        used = sorted({region if region in self.monthly else self.fallback for region in regions})
        missing = sorted(region or "an unknown region" for region in regions - set(self.monthly))
        of = f" of {', '.join(used)}" if used else ""
        without = f" (none here of {', '.join(missing)})" if missing else ""
        return f"list prices{of}{without} as of {self.as_of}"


@cache
def prices(path: Path = PRICE_FILE) -> Prices:
    """The prices of a file.

    Raises:
        ValueError: a region lacks a price or has one of a unit that there is not.
    """
    content = yaml.safe_load(path.read_text())
    units: dict[str, dict[str, str]] = content["units"]
    periods = {"hour": content["hours_a_month"], "month": 1}
    for region, listed in content["regions"].items():
        if wrong := sorted(units.keys() ^ listed.keys()):
            raise ValueError(f"{path.name}, {region}: missing or unknown: {', '.join(wrong)}")
    return Prices(
        str(content["as_of"]),
        content["fallback"],
        {unit: told["counted"] for unit, told in units.items()},
        {
            region: {
                # By way of text: 0.011 is a decimal there, and no longer one as a float.
                unit: Decimal(str(price)) * periods[units[unit]["per"]]
                for unit, price in listed.items()
            }
            for region, listed in content["regions"].items()
        },
    )


def _usd(amount: Decimal, sign: str = "") -> str:
    # Cents matter only where there is little else.
    digits = 0 if abs(amount) >= 100 or amount == amount.to_integral_value() else 2
    return f"{amount:{sign},.{digits}f}"


def text(stack: str, ledger: Ledger) -> str:
    """One line for a terminal: what the stack costs after the update, and the difference."""
    listed, (before, after) = prices(), compare(ledger)
    now, then = listed.total(before), listed.total(after)
    line = (
        f"{stack}: {'about' if after.exact else 'at least'} {_usd(then)} USD a month fixed "
        f"({_usd(then - now, '+')}), {listed.source(before, after)}"
    )
    for label, names in (("by use", after.by_use), ("no price known", after.unpriced)):
        if names:
            line += f"; {label}: {', '.join(sorted(names))}"
    return line


def markdown(ledgers: Mapping[str, Ledger]) -> list[str]:
    """Lines of a table: stack -> what it costs before and after the update, and for what."""
    listed = prices()
    compared = {stack: compare(ledger) for stack, ledger in ledgers.items()}
    lines = [
        "### Fixed cost, USD a month",
        "",
        "| stack | now | after | difference | for | paid by use, not in the figures |",
        "| --- | ---: | ---: | ---: | --- | --- |",
    ]
    for stack, (before, after) in compared.items():
        now, then = listed.total(before), listed.total(after)
        least = "" if after.exact else "at least "
        unknown = [f"{type_} (no price known)" for type_ in sorted(after.unpriced)]
        lines.append(
            f"| {stack} | {now:,.2f} | {least}{then:,.2f} | {then - now:+,.2f} | "
            f"{_parts(after, listed)} | {', '.join([*sorted(after.by_use), *unknown])} |"
        )
    source = listed.source(*(one for pair in compared.values() for one in pair))
    return [*lines, "", f"{source[0].upper()}{source[1:]}, without free tiers and discounts."]


def _parts(estimated: Estimate, listed: Prices) -> str:
    parts = sorted(
        ((count, listed.counted[unit], listed.price(unit, region))
         for (unit, region), count in estimated.counts.items()),
        key=lambda part: (-part[0] * part[2], part),
    )  # fmt: skip
    return ", ".join(f"{what}: {count} at {price:,.2f}" for count, what, price in parts)
