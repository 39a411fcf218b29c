"""The way of an approval: which events go, who may send them, and what keeps those that fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import pytest
from moto.events.models import EventPattern

from components import baseline_policies, events, iam, promotion
from components.naming import Names
from components.promotion import ApprovalForwarder, PromotionQueue
from components.registry import Sharing, group_statements
from functions.promotion.registry import GroupSettings
from localcloud.authorization import Evaluator, Policies, Request
from tests.unit.conftest import ACCOUNTS, Program, function_network, place

Run = Callable[..., Program]
HUB, DEV = Names.at(place("governance")), Names.at(place("dev"))
BUS = events.hub_bus_arn(place("governance"))
RULE = HUB.arn("events", "rule/acme-governance-models/acme-governance-approvals")


def forwarder(run: Run, **changes: Any) -> Program:
    return run(
        lambda: ApprovalForwarder(
            "approvals",
            {
                "placement": place("dev", **changes),
                "messages_key_arn": "key",
                "alerts_topic_arn": "topic",
                "boundary_arn": "boundary",
            },
        )
    )


def queue(run: Run, sharing: Sharing = "policy", **changes: Any) -> Program:
    return run(
        lambda: PromotionQueue(
            "promotion",
            {
                "placement": place("governance", **changes),
                "network": function_network(),
                "models_bucket": "models",
                "models_key_arn": "models-key",
                "environments": ["preprod", "prod"],
                "sharing": sharing,
                "tags": {"owner": "team"},
                "owner": "team",
            },
        )
    )


def event(**changes: Any) -> dict[str, Any]:
    detail = {
        "ModelPackageGroupName": "acme-dev-houses",
        "ModelApprovalStatus": "Approved",
        "ModelPackageVersion": 3,
    }
    return {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Package State Change",
        "account": ACCOUNTS["dev"],
        "detail": detail | changes.pop("detail", {}),
        **changes,
    }


@pytest.mark.parametrize(
    ("change", "goes"),
    [
        ({}, True),
        ({"detail": {"ModelApprovalStatus": "Rejected"}}, False),
        ({"detail": {"ModelApprovalStatus": "PendingManualApproval"}}, False),
        # In one account for all, the hub's own versions change state on the same bus.
        ({"detail": {"ModelPackageGroupName": "acme-governance-houses"}}, False),
        ({"detail": {"ModelPackageGroupName": "acme-development"}}, False),
        ({"account": ACCOUNTS["prod"]}, False),
        ({"source": "mallory"}, False),
        ({"detail-type": "SageMaker Model State Change"}, False),
    ],
)
def test_only_approvals_of_devs_own_versions_are_forwarded(
    run: Run, change: dict[str, Any], goes: bool
) -> None:
    for program in (forwarder(run), queue(run)):
        (rule,) = program.of("aws:cloudwatch/eventRule:EventRule")
        assert EventPattern.load(rule.inputs["eventPattern"]).matches_event(event(**change)) is goes


def may_put(
    evaluator: Evaluator,
    *,
    role: str = DEV.role_arn("model-events"),
    organization: str = "o-exampleorg1",
    source: list[str] | None = None,
    kind: list[str] | None = None,
    statements: list[iam.Statement] | None = None,
) -> bool:
    account, name = role.split(":")[4], role.rpartition("/")[2]
    context: dict[str, str | list[str]] = {
        "aws:PrincipalArn": role,
        "aws:PrincipalOrgID": organization,
        "events:source": ["aws.sagemaker"] if source is None else source,
        "events:detail-type": [events.DETAIL_TYPE] if kind is None else kind,
    }
    document = iam.document(statements or events.bus_statements(place("governance")))
    allow = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    return evaluator.evaluate(
        Request(
            f"arn:aws:sts::{account}:assumed-role/{name}/events",
            "events:PutEvents",
            BUS,
            HUB.account_id,
            {key: value for key, value in context.items() if value != []},
        ),
        Policies(identity={"all": {"Version": iam.VERSION, **allow}}, resource=document),
    ).allowed


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, True),
        ({"role": DEV.role_arn("deployer")}, False),
        ({"role": DEV.role_arn("data-scientist-execution")}, False),
        ({"role": Names.at(place("prod")).role_arn("model-events")}, False),
        ({"role": "arn:aws:iam::999999999999:role/acme-dev-model-events"}, False),
        ({"organization": "o-someoneelse"}, False),
        ({"source": ["aws.s3"]}, False),
        ({"source": ["aws.sagemaker", "mine"]}, False),
        ({"source": []}, False),
        ({"kind": ["SageMaker Endpoint State Change"]}, False),
        ({"kind": []}, False),
    ],
)
def test_only_devs_forwarder_puts_only_approvals_on_the_hubs_bus(
    evaluator: Evaluator, given: dict[str, Any], allowed: bool
) -> None:
    assert may_put(evaluator, **given) is allowed


def test_without_an_organisation_the_account_and_the_role_decide(evaluator: Evaluator) -> None:
    statements = events.bus_statements(place("governance", organization_id=None))
    assert may_put(evaluator, statements=statements)
    other = DEV.role_arn("deployer")
    assert not may_put(evaluator, statements=statements, role=other)


@pytest.mark.parametrize(
    ("rule", "account", "allowed"),
    [
        (RULE, HUB.account_id, True),
        (RULE.replace("approvals", "mine"), HUB.account_id, False),
        (RULE, DEV.account_id, False),
    ],
)
def test_queues_take_messages_of_their_rule_alone(
    run: Run, evaluator: Evaluator, rule: str, account: str, allowed: bool
) -> None:
    for policy in queue(run).of("aws:sqs/queuePolicy:QueuePolicy"):
        document = policy.document()
        (arn,) = document["Statement"][0]["Resource"]
        request = Request(
            "events.amazonaws.com",
            "sqs:SendMessage",
            arn,
            HUB.account_id,
            {"aws:SourceArn": rule, "aws:SourceAccount": account, "aws:SecureTransport": "true"},
        )
        assert evaluator.evaluate(request, Policies(resource=document)).allowed is allowed


def test_nothing_is_lost_and_somebody_is_told(run: Run) -> None:
    hub, dev = queue(run), forwarder(run)
    for program, targets in ((hub, 1), (dev, 1)):
        found = program.of("aws:cloudwatch/eventTarget:EventTarget")
        assert len(found) == targets
        assert all(target.inputs["deadLetterConfig"]["arn"] for target in found)
    (redrive,) = [
        json.loads(q.inputs["redrivePolicy"])
        for q in hub.of("aws:sqs/queue:Queue")
        if "redrivePolicy" in q.inputs
    ]
    assert redrive["maxReceiveCount"] == promotion.MAX_RECEIVES
    for program in (hub, dev):
        queues = {q.inputs["name"] for q in program.of("aws:sqs/queue:Queue")}
        watched = {
            alarm.inputs["dimensions"]["QueueName"]
            for alarm in program.of("aws:cloudwatch/metricAlarm:MetricAlarm")
            if alarm.inputs["alarmActions"] == ["topic"]
            and alarm.inputs["metricName"] == "ApproximateNumberOfMessagesVisible"
        }
        assert watched == queues


def test_by_ram_promotion_has_nothing_to_do_with_policies_of_groups(run: Run) -> None:
    for sharing in ("policy", "ram"):
        made = queue(run, sharing)
        (function,) = made.of("aws:lambda/function:Function")
        by_policy = sharing == "policy"
        named = function.inputs["environment"]["variables"].get("GROUP_POLICY_FILE")
        assert named == (promotion.GROUP_POLICY if by_policy else None)
        files = function.inputs["code"].assets
        assert (f"functions/promotion/{promotion.GROUP_POLICY}" in files) is by_policy
        for action in ("Put", "Get", "Delete"):
            name = f"sagemaker:{action}ModelPackageGroupPolicy"
            held = [document for _, _, document in made.documents() if name in str(document)]
            assert bool(held) is (by_policy and action != "Delete")


def test_a_group_that_promotion_makes_is_read_by_its_own_projects_deployments_alone(
    run: Run, evaluator: Evaluator
) -> None:
    (function,) = queue(run).of("aws:lambda/function:Function")
    variables = function.inputs["environment"]["variables"]
    # As the function finds it: beside its settings, under the name that a variable tells.
    folder = PurePath("functions/promotion/settings.py").parent
    asset = function.inputs["code"].assets[str(folder / variables["GROUP_POLICY_FILE"])]
    settings = GroupSettings(asset.text, {}, variables["GROUP_PREFIX"])
    policy = json.loads(settings.policy_of("acme-governance-house"))
    assert "${" not in json.dumps(policy)
    # As the project makes it, where its stack is there first.
    statements = group_statements(
        HUB,
        place("governance"),
        "acme-governance-house",
        ["preprod", "prod"],
        deployer="house-deploy",
    )
    assert policy == iam.document(statements)
    everything = iam.document([iam.Statement(sid="All", actions=["*"], resources=["*"])])
    version = HUB.arn("sagemaker", "model-package/acme-governance-house/1")
    prod = Names.at(place("prod"))
    for role, may in (
        ("house-deploy", True),
        ("houses-deploy", False),
        ("deployer", False),
        ("platform-engineer", False),
    ):
        arn = f"arn:aws:sts::{prod.account_id}:assumed-role/{prod.role(role)}/x"
        request = Request(
            arn,
            "sagemaker:DescribeModelPackage",
            version,
            HUB.account_id,
            {"aws:PrincipalArn": prod.role_arn(role)},
        )
        asked = Policies(identity={"work": everything}, resource=policy)
        assert evaluator.evaluate(request, asked).allowed is may, role


KEY = HUB.arn("kms", "key/models")
OF_CARDS = {
    "kms:CallerAccount": HUB.account_id,
    "kms:ViaService": "sagemaker.eu-west-1.amazonaws.com",
    "kms:GrantIsForAWSResource": "true",
}
XGBOOST = "arn:aws:ecr:eu-west-1:141502667606:repository/sagemaker-xgboost"
FOREIGN = "arn:aws:ecr:eu-west-1:999999999999:repository/mine"


def promoting(region: str = "eu-west-1") -> list[iam.Statement]:
    placement = place("governance", region=region)
    return promotion.promotion_statements(placement, KEY, HUB.arn("sqs", "promotions"))


@pytest.mark.parametrize(
    ("action", "resource", "context", "may"),
    [
        ("kms:CreateGrant", KEY, OF_CARDS, True),
        ("kms:CreateGrant", KEY, {**OF_CARDS, "kms:GrantIsForAWSResource": "false"}, False),
        # Other services may use the key, too: promotion makes no grants for them.
        (
            "kms:CreateGrant",
            KEY,
            {**OF_CARDS, "kms:ViaService": "s3.eu-west-1.amazonaws.com"},
            False,
        ),
        ("kms:CreateGrant", HUB.arn("kms", "key/messages"), OF_CARDS, False),
        ("ecr:BatchGetImage", XGBOOST, {}, True),
        ("ecr:DescribeImages", XGBOOST, {}, True),
        ("ecr:PutImage", XGBOOST, {}, False),
        ("ecr:BatchGetImage", FOREIGN, {}, False),
        ("ecr:DescribeImages", HUB.arn("ecr", "repository/acme-governance-scorer"), {}, True),
    ],
)
def test_promotion_has_what_sagemaker_asks_of_who_makes_cards_and_versions(
    evaluator: Evaluator, action: str, resource: str, context: dict[str, str], may: bool
) -> None:
    arn = f"arn:aws:sts::{HUB.account_id}:assumed-role/{HUB.role(promotion.PROMOTION)}/x"
    # The hub's models key, or a repository that lets everybody in: promotion's own policy decides.
    theirs = {
        "kms": baseline_policies.key_statements(HUB, "models"),
        "ecr": [iam.Statement(sid="All", principals="*", actions=["*"], resources=["*"])],
    }[action.partition(":")[0]]
    decided = evaluator.evaluate(
        Request(arn, action, resource, context=context),
        Policies(
            {"work": iam.document(promoting())},
            resource=None if ":repository/acme-" in resource else iam.document(theirs),
        ),
    )
    assert decided.allowed is may


def test_a_region_without_images_of_aws_names_none() -> None:
    assert not [s for s in promoting("xx-west-9") if s.sid == "LookAtAwsImages"]
    assert all(statement.resources for statement in promoting("xx-west-9"))


RUN = "pipeline/acme-dev-houses/execution/a1b2"


@pytest.mark.parametrize(
    ("action", "resource", "may"),
    [
        ("DescribeModelPackage", "model-package/acme-dev-houses/1", True),
        ("DescribePipelineExecution", RUN, True),
        ("ListPipelineExecutionSteps", RUN, True),
        ("ListPipelineExecutionSteps", RUN.replace("acme-dev", "acme-own"), False),
        ("DescribeTrainingJob", "training-job/pipelines-a1b2-Train-x", True),
        ("DescribeTrainingJob", "training-job/somebodys-own", False),
        ("DescribeHyperParameterTuningJob", "hyper-parameter-tuning-job/pipelines-a1-T-x", True),
        ("StopTrainingJob", "training-job/pipelines-a1b2-Train-x", False),
        ("UpdateModelPackage", "model-package/acme-dev-houses/1", False),
    ],
)
def test_the_reader_reads_versions_and_what_made_them_and_changes_nothing(
    evaluator: Evaluator, action: str, resource: str, may: bool
) -> None:
    policy = iam.document(promotion.reader_statements(place("dev")))
    arn = f"arn:aws:sts::{DEV.account_id}:assumed-role/{DEV.role(promotion.READER)}/x"
    request = Request(arn, f"sagemaker:{action}", DEV.arn("sagemaker", resource))
    assert evaluator.evaluate(request, Policies({"reader": policy})).allowed is may


def test_buses_and_queues_are_under_the_customers_key(run: Run) -> None:
    for program in (queue(run), forwarder(run)):
        for made in program.of("aws:sqs/queue:Queue"):
            assert made.inputs["kmsMasterKeyId"] == "key"
        for made in program.of("aws:cloudwatch/eventBus:EventBus"):
            assert made.inputs["kmsKeyIdentifier"] == "key"
