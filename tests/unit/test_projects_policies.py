"""A project's roles, asked as IAM would be: their own things, and nothing of another project."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from components import iam
from components.framework_images import BUILT_IN, CLARIFY, DEEP_LEARNING, MODEL_MONITOR
from components.images import PULL
from components.naming import Names
from components.projects import policies
from components.retraining import retraining_statements
from localcloud.authorization import Evaluator, Policies, Request
from tests.unit.conftest import ACCOUNTS, REGION, Program, place
from tests.unit.data_science import Role, role_policies
from tests.unit.projects import GROUPS, SUBNETS, key, program, roles

DEV, HUB, PROD = (Names.at(place(name)) for name in ("dev", "governance", "prod"))
DEPLOYMENTS = HUB.arn("lambda", "function:acme-governance-deployments")
OWN, OTHER = "house", "houses"
"""The names of one begin as those of the other do: that alone must not open anything."""


@dataclass(frozen=True)
class Cell:
    """One thing of a project, and which of its roles may do what with it."""

    environment: str
    resource: Callable[[str], str]
    may: Mapping[str, set[str]]
    """Action -> roles."""


def _ci(environment: str) -> Callable[[str], str]:
    return lambda project: (
        f"arn:aws:s3:::acme-{environment}-ci-{project}-{ACCOUNTS[environment]}/source/1.zip"
    )


def _all(actions: list[str], *roles: str) -> dict[str, set[str]]:
    return {action: set(roles) for action in actions}


BUILD_RUN = {"dev/build", "dev/build-pipeline"}
TARGETS = ("preprod", "prod")
RELEASES = {f"governance/deploy-{target}" for target in TARGETS}
RELEASING = {"governance/deploy-pipeline", *(f"governance/restore-{target}" for target in TARGETS)}
CELLS = {
    "data": Cell(
        "dev",
        lambda project: f"{DEV.bucket_arn('data')}/{project}/input/1.csv",
        {"s3:GetObject": {"dev/training"}, "s3:PutObject": set()},
    ),
    "artifacts": Cell(
        "dev",
        lambda project: f"{DEV.bucket_arn('models')}/{project}/1/model.tar.gz",
        {
            "s3:GetObject": {"dev/training", "dev/pipeline", "dev/build"},
            "s3:PutObject": {"dev/training", "dev/build"},
            "s3:DeleteObject": set(),
        },
    ),
    "experiment": Cell(
        "dev",
        lambda project: DEV.arn("sagemaker", f"experiment/acme-dev-{project}"),
        {"sagemaker:CreateExperiment": {"dev/pipeline"}, "sagemaker:DeleteExperiment": set()},
    ),
    "versions": Cell(
        "dev",
        lambda project: DEV.arn("sagemaker", f"model-package/acme-dev-{project}/1"),
        {
            "sagemaker:CreateModelPackage": {"dev/pipeline"},
            "sagemaker:UpdateModelPackage": set(),
            "sagemaker:DeleteModelPackage": set(),
        },
    ),
    "pipeline": Cell(
        "dev",
        lambda project: DEV.arn("sagemaker", f"pipeline/acme-dev-{project}"),
        {
            "sagemaker:StartPipelineExecution": {"dev/build"},
            "sagemaker:UpdatePipeline": {"dev/build"},
            "sagemaker:DeletePipeline": set(),
        },
    ),
    "image": Cell(
        "dev",
        lambda project: DEV.arn("ecr", f"repository/acme-dev-{project}"),
        {"ecr:BatchGetImage": {"dev/training"}, "ecr:PutImage": set()},
    ),
    "source of builds": Cell(
        "dev",
        _ci("dev"),
        {"s3:GetObject": BUILD_RUN, "s3:PutObject": {"dev/build-pipeline"}},
    ),
    "source of releases": Cell(
        "governance",
        _ci("governance"),
        # What runs in one stage writes nothing that the next one runs.
        {"s3:GetObject": RELEASES | RELEASING, "s3:PutObject": RELEASING},
    ),
    **{
        f"{what} of {target}": Cell(
            "governance",
            lambda project, path=path, target=target: (
                f"{HUB.bucket_arn('pulumi-state')}/projects/{project}/.pulumi/"
                + path.format(f"{project}-deploy", target)
            ),
            _all(
                ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], f"governance/deploy-{target}"
            ),
        )
        for target in TARGETS
        for what, path in {
            "state": "stacks/{}/{}.json",
            "state before": "stacks/{}/{}.json.bak",
            "tags of the state": "stacks/{}/{}.pulumi-tags",
            "history": "history/{0}/{1}/{1}-1.checkpoint.json",
            "backups": "backups/{0}/{1}/{1}.1.json",
            "locks": "locks/organization/{}/{}/1.json",
        }.items()
    },
    "backend's version": Cell(
        "governance",
        lambda project: f"{HUB.bucket_arn('pulumi-state')}/projects/{project}/.pulumi/meta.yaml",
        {"s3:GetObject": RELEASES, "s3:PutObject": set()},
    ),
    "state of another of the kind": Cell(
        "governance",
        lambda project: (
            f"{HUB.bucket_arn('pulumi-state')}/projects/{project}/.pulumi/stacks/{project}-deploy/"
            "prod-eu.json"
        ),
        {"s3:GetObject": set(), "s3:PutObject": set()},
    ),
    **{
        f"way into the deployments function for {target}": Cell(
            "governance",
            lambda project, target=target: f"{DEPLOYMENTS}:project-{project}_{target}",
            {
                "lambda:InvokeFunction": {f"governance/deploy-{target}"},
                "lambda:UpdateAlias": set(),
            },
        )
        for target in TARGETS
    },
    "central versions": Cell(
        "governance",
        lambda project: HUB.arn("sagemaker", f"model-package/acme-governance-{project}/1"),
        {"sagemaker:UpdateModelPackage": set(), "sagemaker:CreateModelPackage": set()},
    ),
    "deploy role": Cell(
        "prod",
        lambda project: PROD.role_arn(f"{project}-deploy"),
        {"iam:PassRole": set(), "iam:PutRolePolicy": set()},
    ),
    "training role": Cell(
        "dev", lambda project: DEV.role_arn(f"{project}-training"), {"iam:PutRolePolicy": set()}
    ),
    **{
        kind: Cell(
            "prod",
            lambda project, kind=kind, tail=tail: PROD.arn(
                "sagemaker", f"{kind}/acme-prod-{project}{tail}"
            ),
            _all(actions, "prod/deploy"),
        )
        for kind, tail, actions in (
            ("model", "-1a2b3c4", ["sagemaker:CreateModel", "sagemaker:DeleteModel"]),
            (
                "endpoint-config",
                "-1a2b3c4",
                ["sagemaker:CreateEndpointConfig", "sagemaker:DeleteEndpointConfig"],
            ),
            (
                "endpoint",
                "",
                [
                    "sagemaker:CreateEndpoint",
                    "sagemaker:UpdateEndpoint",
                    "sagemaker:DeleteEndpoint",
                    "sagemaker:InvokeEndpoint",
                ],
            ),
        )
    },
    "monitoring": Cell(
        "prod",
        lambda project: PROD.arn("sagemaker", f"monitoring-schedule/acme-prod-{project}-drift"),
        _all(
            ["sagemaker:CreateMonitoringSchedule", "sagemaker:DeleteMonitoringSchedule"],
            "prod/deploy",
        ),
    ),
    "captured traffic": Cell(
        "prod",
        lambda project: f"{PROD.bucket_arn('logs')}/data-capture/acme-prod-{project}/1.jsonl",
        {
            **{f"s3:{verb}Object": {f"prod/model-execution-{OWN}"} for verb in ("Get", "Put")},
            "s3:DeleteObject": set(),
        },
    ),
    "reports of monitoring": Cell(
        "prod",
        lambda project: f"{PROD.bucket_arn('logs')}/monitoring/acme-prod-{project}/1.json",
        {f"s3:{verb}Object": {f"prod/model-execution-{OWN}"} for verb in ("Get", "Put")},
    ),
    "labels of what was predicted": Cell(
        "prod",
        lambda project: f"{PROD.bucket_arn('logs')}/ground-truth/acme-prod-{project}/1.jsonl",
        {
            "s3:PutObject": {"prod/deploy"},
            "s3:GetObject": {"prod/deploy", f"prod/model-execution-{OWN}"},
        },
    ),
    "monitoring of bias": Cell(
        "prod",
        lambda project: PROD.arn(
            "sagemaker", f"model-bias-job-definition/acme-prod-{project}-bias-0123abcd"
        ),
        _all(
            ["sagemaker:CreateModelBiasJobDefinition", "sagemaker:DeleteModelBiasJobDefinition"],
            "prod/deploy",
        ),
    ),
    "endpoint that explains": Cell(
        "prod",
        lambda project: PROD.arn("sagemaker", f"endpoint/acme-prod-{project}-explain-0123abcd"),
        _all(
            ["sagemaker:CreateEndpoint", "sagemaker:InvokeEndpoint", "sagemaker:DeleteEndpoint"],
            "prod/deploy",
            f"prod/model-execution-{OWN}",
        ),
    ),
    "build that drift starts": Cell(
        "dev",
        lambda project: DEV.arn("codepipeline", f"acme-dev-{project}-build"),
        {
            "codepipeline:StartPipelineExecution": {"dev/retrain"},
            "codepipeline:UpdatePipeline": set(),
        },
    ),
    "alarm": Cell(
        "prod",
        lambda project: PROD.arn("cloudwatch", f"alarm:acme-prod-{project}-latency"),
        _all(["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms"], "prod/deploy"),
    ),
}
ASSUME_ALL = {"Version": "2012-10-17", "Statement": [
    {"Sid": "All", "Effect": "Allow", "Action": "sts:*", "Resource": "*"}]}  # fmt: skip
ASKED = [(name, action) for name, cell in CELLS.items() for action in cell.may]


@pytest.fixture(scope="module")
def made() -> Program:
    return program(OWN)


@pytest.fixture(scope="module")
def own(made: Program, evaluator: Evaluator) -> dict[str, Role]:
    return roles(evaluator, made, OWN)


def test_the_table_knows_every_role(own: dict[str, Role]) -> None:
    assert set(own) == {
        "dev/training", "dev/pipeline", "dev/build", "dev/build-pipeline",
        *RELEASES, *RELEASING,
        "preprod/deploy", "prod/deploy", "dev/retrain",
        f"preprod/model-execution-{OWN}", f"prod/model-execution-{OWN}",
    }  # fmt: skip


@pytest.mark.parametrize(("thing", "action"), ASKED)
def test_a_role_has_its_projects_thing_and_no_other_projects(
    own: dict[str, Role], thing: str, action: str
) -> None:
    cell = CELLS[thing]
    owner = ACCOUNTS[cell.environment]

    def allowed(project: str) -> set[str]:
        resource = cell.resource(project)
        return {name for name, role in own.items() if role.may(action, resource, owner=owner)}

    assert allowed(OWN) == set(cell.may[action])
    assert allowed(OTHER) == set()


@pytest.mark.parametrize("table", [BUILT_IN, CLARIFY, DEEP_LEARNING, MODEL_MONITOR])
def test_jobs_and_models_pull_the_images_of_awss_frameworks_and_of_no_other_account(
    own: dict[str, Role], table: Mapping[str, str]
) -> None:
    running = {
        "dev/training", f"preprod/model-execution-{OWN}", f"prod/model-execution-{OWN}",
    }  # fmt: skip

    def pull(region: str, account: str) -> set[str]:
        image = f"arn:aws:ecr:{region}:{account}:repository/sagemaker-image"
        return {
            name
            for name, role in own.items()
            # AWS's repositories let everybody pull: as if the image were the account's own.
            if all(
                role.may(action, image, owner=ACCOUNTS[name.partition("/")[0]]) for action in PULL
            )
        }

    assert pull(REGION, table[REGION]) == running
    assert pull("us-east-1", table["us-east-1"]) == set()
    assert pull(REGION, "999999999999") == set()


@pytest.mark.parametrize("ci", ["codepipeline", "github"])
def test_the_function_is_called_by_the_projects_own_alias_and_no_other_way(
    ci: str, evaluator: Evaluator
) -> None:
    made = program(OWN, ci)
    aliases = [alias.inputs for alias in made.of("aws:lambda/alias:Alias")]
    assert {(alias["functionName"], alias["functionVersion"]) for alias in aliases} == {
        ("acme-governance-deployments", "$LATEST")
    }
    kind = "github" if ci == "github" else "deploy"
    own = {
        f"governance/{kind}-{target}": f"{DEPLOYMENTS}:project-{OWN}_{target}" for target in TARGETS
    }
    assert {f"{DEPLOYMENTS}:{alias['name']}" for alias in aliases} == set(own.values())
    ways = [*own.values(), DEPLOYMENTS, f"{DEPLOYMENTS}:$LATEST", f"{DEPLOYMENTS}:1",
            f"{DEPLOYMENTS}:project-{OWN}", f"{DEPLOYMENTS}:project-{OWN}_prod-eu",
            f"{DEPLOYMENTS}:project-{OTHER}_prod",
            f"{DEPLOYMENTS}-other:project-{OWN}_prod"]  # fmt: skip
    for name, role in roles(evaluator, made, OWN).items():
        may = {way for way in ways if role.may("lambda:InvokeFunction", way)}
        assert may == ({own[name]} if name in own else set()), name
        for action in ("CreateAlias", "UpdateAlias", "DeleteAlias", "AddPermission"):
            assert not role.may(f"lambda:{action}", DEPLOYMENTS), name


@pytest.mark.parametrize(
    ("role", "passed"),
    [
        ("dev/pipeline", DEV.role_arn(f"{OWN}-training")),
        ("dev/build", DEV.role_arn(f"{OWN}-pipeline")),
        ("prod/deploy", PROD.role_arn(f"model-execution-{OWN}")),
    ],
)
def test_each_passes_one_role_to_sagemaker_and_nothing_else(
    own: dict[str, Role], role: str, passed: str
) -> None:
    def passes(arn: str, service: str = "sagemaker.amazonaws.com") -> set[str]:
        context = {"iam:PassedToService": service}
        return {name for name, who in own.items() if who.may("iam:PassRole", arn, context=context)}

    assert passes(passed) == {role}
    assert passes(passed, "lambda.amazonaws.com") == set()
    assert passes(passed.replace(OWN, OTHER).replace("model-exe", "another-exe")) == set()
    assert passes(passed.rpartition("/")[0] + "/acme-dev-deployer") == set()


def trust(made: Program, name: str) -> dict[str, Any]:
    (role,) = [r for r in made.of("aws:iam/role:Role") if r.inputs["name"] == name]
    return json.loads(role.inputs["assumeRolePolicy"])


@pytest.mark.parametrize("target", ["preprod", "prod"])
def test_only_the_projects_release_to_a_target_assumes_its_deploy_role(
    own: dict[str, Role], made: Program, target: str
) -> None:
    names = Names.at(place(target))
    theirs = trust(program(OTHER), names.role(f"{OTHER}-deploy"))
    mine = trust(made, names.role(f"{OWN}-deploy"))

    def assumes(project: str, document: dict[str, Any]) -> set[str]:
        arn = names.role_arn(f"{project}-deploy")
        return {
            name
            for name, role in own.items()
            if role.may("sts:AssumeRole", arn, resource_policy=document, owner=names.account_id)
        }

    assert assumes(OWN, mine) == {f"governance/deploy-{target}"}
    assert assumes(OTHER, theirs) == set()
    # Even what somebody granted by mistake does not open it: the trust names one role.
    for release in RELEASES:
        wide = own[release].with_policy("wide", ASSUME_ALL)
        arn = names.role_arn(f"{OTHER}-deploy")
        assert not wide.may("sts:AssumeRole", arn, resource_policy=theirs, owner=names.account_id)
        arn = names.role_arn(f"{OWN}-deploy")
        may = wide.may("sts:AssumeRole", arn, resource_policy=mine, owner=names.account_id)
        assert may is (release == f"governance/deploy-{target}")


def test_only_the_hubs_retraining_starts_a_build_by_its_role(
    own: dict[str, Role], made: Program, evaluator: Evaluator
) -> None:
    name = DEV.role(f"{OWN}-retrain")
    arn, document = DEV.role_arn(f"{OWN}-retrain"), trust(made, name)
    statements = retraining_statements(place("governance"), [])
    document_of = {"work": iam.document(statements)}
    mine = Role(evaluator, HUB, "retraining", document_of, None)
    assert mine.may("sts:AssumeRole", arn, resource_policy=document, owner=DEV.account_id)
    for who, role in own.items():
        wide = role.with_policy("wide", ASSUME_ALL)
        assert not wide.may(
            "sts:AssumeRole", arn, resource_policy=document, owner=DEV.account_id
        ), who
    for other in (f"{OWN}-training", f"{OWN}-pipeline", f"{OWN}-build", "deployer"):
        assert not mine.may("sts:AssumeRole", DEV.role_arn(other), owner=DEV.account_id)


@pytest.mark.parametrize("role", ["pipeline", "training"])
def test_who_starts_the_pipeline_from_studio_may_have_a_source_identity(
    made: Program, role: str
) -> None:
    (statement,) = trust(made, DEV.role(f"{OWN}-{role}"))["Statement"]
    assert set(statement["Action"]) == {"sts:AssumeRole", "sts:SetSourceIdentity"}
    assert statement["Principal"] == {"Service": ["sagemaker.amazonaws.com"]}


JOB = DEV.arn("sagemaker", "training-job/pipelines-abc-train")
GOOD: dict[str, str | list[str]] = {
    "sagemaker:VpcSubnets": SUBNETS,
    "sagemaker:VpcSecurityGroupIds": GROUPS,
    "sagemaker:VolumeKmsKeyArn": key("dev", "storage"),
    "sagemaker:OutputKmsKeyArn": key("dev", "models"),
    "sagemaker:InstanceTypes": ["ml.m5.xlarge"],
    "sagemaker:NetworkIsolation": "true",
    "sagemaker:InterContainerTrafficEncryption": "true",
}
ACTIONS = ("CreateTrainingJob", "CreateProcessingJob", "CreateHyperParameterTuningJob")
# Source: names that pipelines give to the jobs of their steps.
STARTED = {
    "Training": "training-job/pipelines-abc-step",
    "Processing": "processing-job/pipelines-abc-step",
    "HyperParameter": "hyper-parameter-tuning-job/abc-step-xyz",
}


def started(action: str) -> str:
    """ARN of what an action is about."""
    kind = next(kind for kind in reversed(STARTED) if kind in action)
    return DEV.arn("sagemaker", STARTED[kind])


@pytest.mark.parametrize("batch", [False, True])
def test_a_projects_models_read_its_own_central_artifacts_alone(
    own: dict[str, Role], evaluator: Evaluator, batch: bool
) -> None:
    """The hub's bucket lets all models in, so that their own policies have to tell them apart."""
    mine = roles(evaluator, program(OWN, batch=True), OWN) if batch else own
    bucket = HUB.bucket_arn("models")

    def readers(account: str, group: str) -> set[str]:
        kept = f"{bucket}/promoted/{account}/{group}/1/model.tar.gz"
        return {name for name, role in mine.items() if role.may("s3:GetObject", kept)}

    models = {f"{target}/model-execution-{OWN}" for target in TARGETS}
    dev = ACCOUNTS["dev"]
    assert readers(dev, f"acme-dev-{OWN}") == models
    for account, group in (
        (dev, f"acme-dev-{OTHER}"),
        (dev, f"acme-dev-{OWN}-2"),
        (ACCOUNTS["prod"], f"acme-dev-{OWN}"),
    ):
        assert readers(account, group) == set(), group

    def lists(prefix: str) -> set[str]:
        context = {"s3:prefix": prefix}
        return {n for n, role in mine.items() if role.may("s3:ListBucket", bucket, context=context)}

    assert lists(f"promoted/{dev}/acme-dev-{OWN}/1/") == models
    assert lists(f"promoted/{dev}/acme-dev-{OTHER}/1/") == lists("promoted/") == lists("") == set()


def test_the_model_role_of_all_projects_is_passed_by_none(own: dict[str, Role]) -> None:
    context = {"iam:PassedToService": "sagemaker.amazonaws.com"}
    for name, role in own.items():
        assert not role.may("iam:PassRole", PROD.role_arn("model-execution"), context=context), name


def test_jobs_start_nothing(own: dict[str, Role]) -> None:
    for action, thing in {
        "CreateTrainingJob": "training-job/pipelines-abc-train",
        "CreateProcessingJob": "processing-job/pipelines-abc-evaluate",
        "CreateHyperParameterTuningJob": "hyper-parameter-tuning-job/abc-tune-xyz",
        "CreateTransformJob": "transform-job/pipelines-abc-batch",
        "CreatePipeline": f"pipeline/acme-dev-{OWN}",
        "StartPipelineExecution": f"pipeline/acme-dev-{OWN}",
        "CreateModel": f"model/acme-dev-{OWN}",
        "CreateModelPackage": f"model-package/acme-dev-{OWN}/1",
        "CreateEndpoint": f"endpoint/acme-dev-{OWN}",
    }.items():
        arn = DEV.arn("sagemaker", thing)
        context = GOOD if action in ACTIONS else {}
        assert not own["dev/training"].may(f"sagemaker:{action}", arn, context=context), action
    pipeline = DEV.role_arn(f"{OWN}-pipeline")
    for action in ("sts:AssumeRole", "iam:PassRole"):
        assert not own["dev/training"].may(action, pipeline)


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    "change",
    [
        {"sagemaker:VpcSubnets": []},
        {"sagemaker:VpcSubnets": [SUBNETS[0], "subnet-other"]},
        {"sagemaker:VpcSecurityGroupIds": []},
        {"sagemaker:VpcSecurityGroupIds": ["sg-other"]},
        {"sagemaker:VolumeKmsKeyArn": []},
        {"sagemaker:VolumeKmsKeyArn": key("dev", "other")},
        {"sagemaker:OutputKmsKeyArn": []},
        {"sagemaker:OutputKmsKeyArn": key("dev", "data")},
        {"sagemaker:InstanceTypes": ["ml.p4d.24xlarge"]},
        {"sagemaker:InstanceTypes": ["ml.m5.xlarge", "ml.p4d.24xlarge"]},
        {"sagemaker:NetworkIsolation": "false"},
        {"sagemaker:NetworkIsolation": []},
        {"sagemaker:InterContainerTrafficEncryption": "false"},
        {"sagemaker:InterContainerTrafficEncryption": []},
    ],
    ids=json.dumps,
)
def test_pipelines_run_jobs_within_the_guards_only(
    own: dict[str, Role], action: str, change: dict[str, Any]
) -> None:
    arn = started(action)
    said = {key: value for key, value in {**GOOD, **change}.items() if value != []}
    role = own["dev/pipeline"]
    assert role.may(f"sagemaker:{action}", arn, context=GOOD)
    assert not role.may(f"sagemaker:{action}", arn, context=said)


TAG = "aws:ResourceTag/sagemaker:project-name"


@pytest.mark.parametrize(
    "action",
    ["DescribeTrainingJob", "StopTrainingJob", "DescribeProcessingJob", "StopProcessingJob",
     "DescribeHyperParameterTuningJob", "StopHyperParameterTuningJob",
     "ListTrainingJobsForHyperParameterTuningJob", "AddTags"],
)  # fmt: skip
def test_jobs_of_pipelines_are_told_apart_by_their_projects_tag(
    own: dict[str, Role], action: str
) -> None:
    job = started(action if action != "AddTags" else "TrainingJob")

    def allowed(project: str) -> set[str]:
        asked = (f"sagemaker:{action}", job)
        return {name for name, role in own.items() if role.may(*asked, context={TAG: project})}

    assert allowed(OWN) >= {"dev/pipeline"}
    assert allowed(OWN) <= {"dev/pipeline", "dev/build"}
    assert allowed(OTHER) == set()


SCALED = {
    "application-autoscaling:service-namespace": "sagemaker",
    "application-autoscaling:scalable-dimension": "sagemaker:variant:DesiredInstanceCount",
}


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        (SCALED, True),
        ({**SCALED, TAG: OWN}, True),
        ({**SCALED, TAG: OTHER}, False),
        ({**SCALED, "application-autoscaling:service-namespace": "dynamodb"}, False),
        ({**SCALED, "application-autoscaling:scalable-dimension":
          "sagemaker:variant:DesiredProvisionedConcurrency"}, False),
        ({TAG: OWN}, False),
        ({}, False),
    ],
    ids=json.dumps,
)  # fmt: skip
def test_the_deploy_role_scales_endpoints_of_its_project(
    own: dict[str, Role], context: dict[str, Any], allowed: bool
) -> None:
    target = PROD.arn("application-autoscaling", "scalable-target/0ec5a1b2")
    for action in ("RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy",
                   "DeleteScalingPolicy"):  # fmt: skip
        may = {
            name
            for name, role in own.items()
            if role.may(f"application-autoscaling:{action}", target, context=context)
        }
        assert may == ({"prod/deploy"} if allowed else set()), action
    tagging = {TAG: context[TAG]} if TAG in context else {}
    expected = tagging.get(TAG) != OTHER
    assert (
        own["prod/deploy"].may("application-autoscaling:UntagResource", target, context=tagging)
        is expected
    )
    assert not own["preprod/deploy"].may(
        "application-autoscaling:PutScalingPolicy", target, context=SCALED
    )


@pytest.mark.parametrize(
    ("status", "allowed"),
    [("PendingManualApproval", True), ("Rejected", True), ("Approved", False), ("", True)],
)
def test_pipelines_register_nothing_approved(
    own: dict[str, Role], status: str, allowed: bool
) -> None:
    context = {"sagemaker:ModelApprovalStatus": status} if status else {}
    version = DEV.arn("sagemaker", f"model-package/acme-dev-{OWN}/1")
    role = own["dev/pipeline"]
    assert role.may("sagemaker:CreateModelPackage", version, context=context) is allowed
    assert not role.may("sagemaker:UpdateModelPackage", version)


def test_only_its_own_deploy_roles_read_versions_of_the_central_group(
    own: dict[str, Role],
) -> None:
    for project in (OWN, OTHER):
        (policy,) = [
            found.document("resourcePolicy")
            for found in program(project).of(
                "aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy"
            )
            if found.inputs["modelPackageGroupName"].startswith("acme-governance")
        ]
        version = HUB.arn("sagemaker", f"model-package/acme-governance-{project}/1")
        for action in ("sagemaker:DescribeModelPackage", "sagemaker:UpdateModelPackage"):
            takes = {
                name
                for name, role in own.items()
                if role.may(action, version, resource_policy=policy, owner=HUB.account_id)
            }
            reads = action == "sagemaker:DescribeModelPackage" and project == OWN
            assert takes == ({"preprod/deploy", "prod/deploy"} if reads else set())


def test_by_ram_the_roles_own_policies_tell_whose_versions_they_read(own: dict[str, Role]) -> None:
    for project in (OWN, OTHER):
        made = program(project, sharing="ram")
        (share,) = made.of("aws:ram/resourceShare:ResourceShare")
        assert share.inputs["name"] == f"acme-governance-{project}"
        accounts = {
            found.inputs["principal"]
            for found in made.of("aws:ram/principalAssociation:PrincipalAssociation")
        }
        assert accounts == {ACCOUNTS[target] for target in TARGETS}
        (policy,) = made.of("aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy")
        assert policy.inputs["modelPackageGroupName"] == f"acme-dev-{project}"
        version = HUB.arn("sagemaker", f"model-package/acme-governance-{project}/1")
        roots = [f"arn:aws:iam::{account}:root" for account in accounts]
        granted = iam.document(
            [
                iam.Statement(
                    sid="Share",
                    principals={"AWS": roots},
                    actions=["sagemaker:*"],
                    resources=[version],
                )
            ]
        )
        for action in ("sagemaker:DescribeModelPackage", "sagemaker:UpdateModelPackage"):
            takes = {
                name
                for name, role in own.items()
                if role.may(action, version, resource_policy=granted, owner=HUB.account_id)
            }
            reads = action == "sagemaker:DescribeModelPackage" and project == OWN
            assert takes == ({"preprod/deploy", "prod/deploy"} if reads else set())


# --- GitHub ---------------------------------------------------------------------------------------

MAIN = "ref:refs/heads/main"


@pytest.fixture(scope="module")
def github() -> Program:
    return program(OWN, "github")


@pytest.mark.parametrize(
    ("environment", "subject", "signs_in"),
    [
        ("dev", f"repo:example/house-build:{MAIN}", {f"{OWN}-github"}),
        ("dev", f"repo:example/houses-build:{MAIN}", set()),
        ("dev", f"repo:example/house-deploy:{MAIN}", set()),
        ("dev", f"repo:mallory/house-build:{MAIN}", set()),
        ("dev", "repo:example/house-build:ref:refs/heads/mainly", set()),
        ("dev", "repo:example/house-build:ref:refs/heads/feature", set()),
        ("dev", "repo:example/house-build:ref:refs/tags/main", set()),
        ("dev", "repo:example/house-build:pull_request", set()),
        ("dev", "repo:example/house-build:environment:prod", set()),
        ("dev", "repo:Example/House-Build:ref:refs/heads/main", set()),
        ("governance", "repo:example/house-deploy:environment:preprod", {f"{OWN}-github-preprod"}),
        ("governance", "repo:example/house-deploy:environment:prod", {f"{OWN}-github-prod"}),
        ("governance", "repo:example/house-deploy:environment:dev", set()),
        ("governance", "repo:example/house-deploy:environment:production", set()),
        ("governance", f"repo:example/house-deploy:{MAIN}", set()),
        ("governance", "repo:example/house-deploy:pull_request", set()),
        ("governance", "repo:example/houses-deploy:environment:prod", set()),
        ("governance", "repo:example/house-build:environment:prod", set()),
        ("governance", "repo:mallory/house-deploy:environment:prod", set()),
        ("governance", "", set()),
    ],
)
def test_github_is_trusted_for_one_repository_and_branch_or_environment(
    github: Program, evaluator: Evaluator, environment: str, subject: str, signs_in: set[str]
) -> None:
    names = Names.at(place(environment))
    ours = [f"{OWN}-github"] if environment == "dev" else [f"{OWN}-github-{t}" for t in TARGETS]

    def decide(
        role: str, issuer: str = policies.GITHUB, audience: str = "sts.amazonaws.com"
    ) -> bool:
        claims = {f"{issuer}:aud": audience, "sts:RoleSessionName": "run"}
        if subject:
            claims[f"{issuer}:sub"] = subject
        request = Request(
            names.oidc_provider_arn(issuer),
            "sts:AssumeRoleWithWebIdentity",
            names.role_arn(role),
            names.account_id,
            claims,
        )
        document = trust(github, names.role(role))
        return evaluator.evaluate(request, Policies(resource=document), strict=False).allowed

    assert {role for role in ours if decide(role)} == signs_in
    assert not any(decide(role, audience="https://github.com/mallory") for role in ours)
    assert not any(decide(role, issuer="gitlab.example.com") for role in ours)


def test_with_github_the_release_is_trusted_by_the_targets_and_no_build_runs_here(
    github: Program, evaluator: Evaluator
) -> None:
    mine = roles(evaluator, github, OWN)
    assert set(mine) == {
        "dev/training", "dev/pipeline", "dev/github", "governance/github-preprod",
        "governance/github-prod", "preprod/deploy", "prod/deploy",
        f"preprod/model-execution-{OWN}", f"prod/model-execution-{OWN}",
    }  # fmt: skip
    for target in TARGETS:
        names = Names.at(place(target))
        document = trust(github, names.role(f"{OWN}-deploy"))
        arn = names.role_arn(f"{OWN}-deploy")
        assumes = {
            name
            for name, role in mine.items()
            if role.may("sts:AssumeRole", arn, resource_policy=document, owner=names.account_id)
        }
        assert assumes == {f"governance/github-{target}"}
    for token in ("aws:codebuild/project:Project", "aws:codepipeline/pipeline:Pipeline"):
        assert not github.of(token)


@pytest.mark.parametrize("ci", ["codepipeline", "github"])
def test_every_document_is_as_reviewed(ci: str, golden: Callable[[str, Any], None]) -> None:
    made = program(OWN, ci)
    names = sorted(role.inputs["name"] for role in made.of("aws:iam/role:Role"))
    golden(
        f"project-{ci}",
        {name: {"trust": trust(made, name), **role_policies(made, name)} for name in names},
    )


@pytest.mark.parametrize("ci", ["codepipeline", "github"])
def test_roles_fit_iams_limit_with_the_longest_name(ci: str) -> None:
    longest = "a" * 20
    made = program(longest, ci)
    for role in made.of("aws:iam/role:Role"):
        assert len(role.inputs["name"]) <= 64
        for document in role_policies(made, role.inputs["name"]).values():
            # Source: IAM quotas, inline policies of a role together, without white space.
            assert len(json.dumps(document, separators=(",", ":"))) <= 10_240
