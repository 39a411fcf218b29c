"""The documents of the account's baseline: their text, their invariants, and what IAM decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components import baseline_policies as policies
from components import iam
from components.naming import Names
from components.settings import Personas
from functions.promotion.identity import read_person
from localcloud.authorization import Decision, Evaluator, Policies, Request
from tests.unit.conftest import ACCOUNTS, REGION, place

DEV, HUB, OUTSIDE = ACCOUNTS["dev"], ACCOUNTS["governance"], "999999999999"
NAMES = Names.at(place("dev"))
SESSION = f"arn:aws:sts::{DEV}:assumed-role/acme-dev-someone/session"
KEY = NAMES.arn("kms", "key/00000000-0000-0000-0000-000000000000")

EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


def documents() -> dict[str, dict[str, Any]]:
    """Every document of the module, by name."""
    found = {
        f"key-{purpose}": iam.document(policies.key_statements(NAMES, purpose))
        for purpose in policies.KEY_SERVICES
    }
    found["boundary"] = iam.document(policies.boundary_statements(NAMES))
    found["model-execution"] = iam.document(policies.model_execution_statements(place("prod")))
    found["trust-studio-user"] = iam.document(policies.sign_in_trust(place("dev"), ()))
    found["studio-user"] = iam.document(policies.sign_in_statements(NAMES))
    for persona in policies.PERSONAS:
        found[f"trust-{persona}"] = iam.document(policies.persona_trust(place("dev"), persona, ()))
        for environment in ("dev", "governance"):
            found[f"{persona}-{environment}"] = iam.document(
                policies.persona_statements(place(environment), persona)
            )
    return found


@pytest.mark.parametrize("name", sorted(documents()))
def test_the_document_is_as_reviewed(name: str, golden: Callable[[str, Any], None]) -> None:
    golden(name, documents()[name])


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, document in documents().items():
        for statement in document["Statement"]:
            yield name, statement


def test_nobody_is_trusted_without_a_condition_or_an_account() -> None:
    for name, statement in statements():
        principal = statement.get("Principal")
        if statement["Effect"] == "Deny" or principal is None:
            continue
        assert principal != "*", (name, statement["Sid"])
        if "Service" in principal or name.startswith("trust-"):
            assert statement.get("Condition"), (name, statement["Sid"])


def test_no_role_may_do_everything_everywhere() -> None:
    for name, statement in statements():
        if statement["Effect"] == "Allow" and "Action" in statement and name != "boundary":
            wide = [action for action in statement["Action"] if action.endswith(":*")]
            assert not wide, (name, statement["Sid"], wide)


@pytest.mark.parametrize("name", sorted(documents()))
def test_the_document_fits_the_quota_of_its_kind(name: str) -> None:
    # Source: IAM and STS quotas, KMS quotas; white space does not count for IAM.
    limit = {"key": 32_768, "trust": 2_048, "boundary": 6_144}.get(name.partition("-")[0], 10_240)
    assert len(json.dumps(documents()[name], separators=(",", ":"))) <= limit


@pytest.mark.parametrize("name", sorted(documents()))
def test_iam_accepts_the_document(name: str, evaluator: Evaluator) -> None:
    kind = {"key": "resource", "trust": "trust"}.get(name.partition("-")[0], "identity")
    assert evaluator.validate(kind, documents()[name]) == []  # type: ignore[arg-type]


def bounded(
    evaluator: Evaluator, action: str, resource: str, context: dict[str, str], without: str = ""
) -> Decision:
    """What an administrator under the boundary may do; ``without`` drops one of its statements."""
    boundary = [s for s in policies.boundary_statements(NAMES) if s.sid != without]
    return evaluator.evaluate(
        Request(SESSION, action, resource, DEV, {"aws:RequestedRegion": REGION, **context}),
        Policies(
            {"administrator": EVERYTHING},
            boundary=iam.document(boundary),
            resource=iam.document(policies.key_statements(NAMES, "data"))
            if resource == KEY
            else None,
        ),
    )


OWN_ROLE, FOREIGN_ROLE = NAMES.role_arn("project"), f"arn:aws:iam::{DEV}:role/administrator"
BOUNDARY = {"iam:PermissionsBoundary": NAMES.policy_arn("boundary")}
TRAIL = NAMES.arn("cloudtrail", "trail/audit")
JOB = NAMES.arn("sagemaker", "training-job/job")

INSIDE = {
    "a job in the region": ("sagemaker:CreateTrainingJob", JOB, {}),
    "an object": ("s3:GetObject", "arn:aws:s3:::bucket/key", {}),
    "a role with the same boundary": ("iam:CreateRole", OWN_ROLE, BOUNDARY),
    "an own role for a service": ("iam:PassRole", OWN_ROLE, {}),
    "a global service from anywhere": (
        "sts:GetCallerIdentity",
        "*",
        {"aws:RequestedRegion": "us-east-1"},
    ),
}


@pytest.mark.parametrize("case", INSIDE)
def test_within_the_boundary(case: str, evaluator: Evaluator) -> None:
    decision = bounded(evaluator, *INSIDE[case])
    assert decision.allowed, decision.reason


OUTSIDE_LIMIT = {
    "an own user": ("iam:CreateUser", f"arn:aws:iam::{DEV}:user/me", {}),
    "a role without a boundary": ("iam:CreateRole", OWN_ROLE, {}),
    "a role with another boundary": (
        "iam:CreateRole",
        OWN_ROLE,
        {"iam:PermissionsBoundary": f"arn:aws:iam::{DEV}:policy/other"},
    ),
    "a role of another name": ("iam:CreateRole", FOREIGN_ROLE, BOUNDARY),
    "a policy on a role that has no boundary": ("iam:PutRolePolicy", OWN_ROLE, {}),
    "a foreign role for a service": ("iam:PassRole", FOREIGN_ROLE, {}),
    "an internet gateway": ("ec2:CreateInternetGateway", "*", {}),
    "an organisation left": ("organizations:LeaveOrganization", "*", {}),
}


@pytest.mark.parametrize("case", OUTSIDE_LIMIT)
def test_outside_the_boundary(case: str, evaluator: Evaluator) -> None:
    assert not bounded(evaluator, *OUTSIDE_LIMIT[case]).allowed


DENIED = {
    "another region": (
        "NoOtherRegion",
        "sagemaker:CreateTrainingJob",
        f"arn:aws:sagemaker:us-west-2:{DEV}:training-job/job",
        {"aws:RequestedRegion": "us-west-2"},
    ),
    "the deployer for a service": (
        "NoPersonsRolesForServices",
        "iam:PassRole",
        NAMES.role_arn("deployer"),
        {},
    ),
    "a persona's role for a service": (
        "NoPersonsRolesForServices",
        "iam:PassRole",
        NAMES.role_arn("platform-engineer"),
        {},
    ),
    "the encryption of a bucket changed": (
        "NoGuardrailOff",
        "s3:PutEncryptionConfiguration",
        NAMES.bucket_arn("data"),
        {},
    ),
    "a bucket opened": (
        "NoGuardrailOff",
        "s3:PutBucketPublicAccessBlock",
        NAMES.bucket_arn("data"),
        {},
    ),
    "a key given another policy": ("NoGuardrailOff", "kms:PutKeyPolicy", KEY, {}),
    "a key deleted": ("NoGuardrailOff", "kms:ScheduleKeyDeletion", KEY, {}),
    "logs deleted": (
        "NoGuardrailOff",
        "logs:DeleteLogGroup",
        NAMES.arn("logs", "log-group:/acme/dev/vpc-flow-logs"),
        {},
    ),
}


@pytest.mark.parametrize("case", DENIED)
def test_the_boundary_denies_by_the_statement_that_says_so(case: str, evaluator: Evaluator) -> None:
    sid, action, resource, context = DENIED[case]
    decision = bounded(evaluator, action, resource, context)
    assert decision.explicit_deny
    assert decision.sids == (sid,)
    assert bounded(evaluator, action, resource, context, without=sid).allowed


@pytest.mark.parametrize(
    "action",
    ["cloudtrail:StopLogging", "cloudtrail:DeleteTrail", "iam:DeleteRolePermissionsBoundary"],
)
def test_what_is_denied_twice_is_denied_in_words(action: str, evaluator: Evaluator) -> None:
    resource = TRAIL if action.startswith("cloudtrail") else OWN_ROLE
    assert bounded(evaluator, action, resource, {}).explicit_deny


def of_key(
    evaluator: Evaluator,
    purpose: str,
    action: str,
    context: dict[str, str],
    principal: str = SESSION,
    identity: dict[str, Any] | None = None,
) -> Decision:
    caller = principal.split(":")[4] or DEV
    return evaluator.evaluate(
        Request(principal, action, KEY, DEV, {"kms:CallerAccount": caller, **context}),
        Policies(
            {} if identity is None else {"own": identity},
            resource=iam.document(policies.key_statements(NAMES, purpose)),
        ),
    )


VIA_S3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}


def test_a_key_is_used_through_its_services_by_those_whom_iam_allows(
    evaluator: Evaluator,
) -> None:
    def use(context: dict[str, str], **who: Any) -> bool:
        return of_key(evaluator, "data", "kms:Decrypt", context, **who).allowed

    assert use(VIA_S3, identity=EVERYTHING)
    assert not use(VIA_S3), "the key alone grants nothing"
    assert not use({}, identity=EVERYTHING), "directly"
    assert not use({"kms:ViaService": f"sqs.{REGION}.amazonaws.com"}, identity=EVERYTHING)
    outsider = f"arn:aws:sts::{OUTSIDE}:assumed-role/administrator/session"
    assert not use(VIA_S3, identity=EVERYTHING, principal=outsider)


def test_grants_are_for_services_only(evaluator: Evaluator) -> None:
    def grant(context: dict[str, str]) -> bool:
        return of_key(evaluator, "storage", "kms:CreateGrant", context, identity=EVERYTHING).allowed

    via_ec2 = {"kms:ViaService": f"ec2.{REGION}.amazonaws.com"}
    assert grant({**via_ec2, "kms:GrantIsForAWSResource": "true"})
    assert not grant({**via_ec2, "kms:GrantIsForAWSResource": "false"})
    assert not grant({"kms:GrantIsForAWSResource": "true"})


@pytest.mark.parametrize("purpose", policies.KEY_SERVICES)
def test_an_administrator_of_keys_cannot_read_with_them(purpose: str, evaluator: Evaluator) -> None:
    for action, allowed in (
        ("kms:PutKeyPolicy", True),
        ("kms:ScheduleKeyDeletion", True),
        ("kms:EnableKeyRotation", True),
        ("kms:Decrypt", False),
        ("kms:GenerateDataKey", False),
        ("kms:CreateGrant", False),
    ):
        decision = of_key(evaluator, purpose, action, {}, identity=EVERYTHING)
        assert decision.allowed is allowed, (action, decision.reason)


def test_only_this_accounts_log_groups_use_the_logs_key(evaluator: Evaluator) -> None:
    def use(group: str) -> bool:
        return evaluator.evaluate(
            Request(
                f"logs.{REGION}.amazonaws.com",
                "kms:GenerateDataKey",
                KEY,
                DEV,
                {"kms:EncryptionContext:aws:logs:arn": group},
            ),
            Policies(resource=iam.document(policies.key_statements(NAMES, "logs"))),
        ).allowed

    assert use(NAMES.arn("logs", "log-group:/acme/dev/vpc-flow-logs"))
    assert not use(f"arn:aws:logs:{REGION}:{OUTSIDE}:log-group:/acme/dev/vpc-flow-logs")


VERSION = "model-package/acme-governance-abalone/1"
LEDGER = f"arn:aws:dynamodb:{REGION}:{HUB}:table/acme-governance-deployments"
FUNCTION = f"arn:aws:lambda:{REGION}:{HUB}:function:acme-governance-deployments"
LETTERS = f"arn:aws:sqs:{REGION}:{HUB}:acme-governance-deployments-failed"
PROMOTED = f"{Names.at(place('governance')).bucket_arn('models')}/promoted/x"
EXECUTION = "pipeline/abalone/execution/1"
STAGE = f"arn:aws:codepipeline:{REGION}:{{account}}:acme-deploy/prod/approve"

DEPLOYER = Names.at(place("prod")).role_arn("deployer")

PERSONA_CASES = [
    # persona, environment, action, resource, allowed
    ("ml-engineer", "governance", "sagemaker:UpdateModelPackage", VERSION, True),
    ("ml-engineer", "dev", "sagemaker:UpdateModelPackage", VERSION, False),
    ("ml-engineer", "governance", "sagemaker:UpdateModelPackage", "model-package/acme-dev-x/1",
     False),
    ("ml-engineer", "governance", "dynamodb:Query", LEDGER, True),
    ("ml-engineer", "governance", "dynamodb:PutItem", LEDGER, False),
    ("ml-engineer", "governance", "lambda:InvokeFunction", FUNCTION, True),
    ("ml-engineer", "governance", "lambda:InvokeFunction", FUNCTION + "-other", False),
    ("ml-engineer", "governance", "lambda:GetFunction", FUNCTION, False),
    ("ml-engineer", "governance", "sqs:ReceiveMessage", LETTERS, True),
    ("ml-engineer", "governance", "sqs:DeleteMessage", LETTERS, True),
    ("ml-engineer", "governance", "sqs:SendMessage", LETTERS, False),
    ("ml-engineer", "dev", "sqs:ReceiveMessage", LETTERS, False),
    ("governance-officer", "governance", "sqs:ReceiveMessage", LETTERS, False),
    ("ml-engineer", "governance", "lambda:InvokeFunction", f"{FUNCTION}:project-house", False),
    ("ml-engineer", "governance", "s3:GetObject", PROMOTED, True),
    ("ml-engineer", "governance", "s3:PutObject", PROMOTED, False),
    ("ml-engineer", "dev", "sagemaker:ListPipelineExecutionSteps", EXECUTION, True),
    ("ml-engineer", "prod", "dynamodb:Query", LEDGER, False),
    ("governance-officer", "governance", "dynamodb:Query", LEDGER, True),
    ("governance-officer", "governance", "lambda:GetFunctionConfiguration", FUNCTION, True),
    ("governance-officer", "governance", "lambda:InvokeFunction", FUNCTION, False),
    ("governance-officer", "dev", "sagemaker:ListPipelineExecutionSteps", EXECUTION, True),
    ("platform-engineer", "governance", "dynamodb:Query", LEDGER, False),
    ("ml-engineer", "prod", "sagemaker:InvokeEndpoint", "endpoint/acme-prod-abalone", True),
    ("ml-engineer", "prod", "sagemaker:InvokeEndpoint", "endpoint/other", False),
    ("ml-engineer", "prod", "sagemaker:CreateTrainingJob", "training-job/job", False),
    ("governance-officer", "governance", "sagemaker:DescribeModelPackage", VERSION, True),
    ("governance-officer", "governance", "sagemaker:UpdateModelPackage", VERSION, False),
    ("platform-engineer", "governance", "sagemaker:UpdateModelPackage", VERSION, False),
    ("governance-officer", "governance", "codepipeline:PutApprovalResult", STAGE, True),
    ("ml-engineer", "governance", "codepipeline:PutApprovalResult", STAGE, False),
    ("governance-officer", "prod", "s3:GetObject", "arn:aws:s3:::acme-data/key", False),
    ("platform-engineer", "prod", "s3:GetObject", "arn:aws:s3:::acme-data/key", False),
    ("platform-engineer", "dev", "sts:AssumeRole", DEPLOYER, True),
    ("ml-engineer", "dev", "sts:AssumeRole", DEPLOYER, False),
    ("platform-engineer", "dev", "sts:AssumeRole", FOREIGN_ROLE, False),
]  # fmt: skip


@pytest.mark.parametrize(("persona", "environment", "action", "resource", "allowed"), PERSONA_CASES)
def test_what_a_persona_may_do(
    persona: str,
    environment: str,
    action: str,
    resource: str,
    allowed: bool,
    evaluator: Evaluator,
) -> None:
    placement = place(environment)
    names = Names.at(placement)
    if not resource.startswith("arn:"):
        resource = names.arn("sagemaker", resource)
    resource = resource.format(account=names.account_id)
    decision = evaluator.evaluate(
        Request(
            f"arn:aws:sts::{names.account_id}:assumed-role/{names.role(persona)}/someone",
            action,
            resource,
            names.account_id,
            {"aws:RequestedRegion": REGION},
        ),
        Policies(
            {persona: iam.document(policies.persona_statements(placement, persona))},
            boundary=iam.document(policies.boundary_statements(names)),
        ),
    )
    assert decision.allowed is allowed, decision.reason


@pytest.mark.parametrize(
    ("context", "allowed"),
    [
        ({"sagemaker:ModelApprovalStatus": "Approved"}, True),
        ({"sagemaker:CustomerMetadataProperties/Reviewed": "yes"}, True),
        ({"sagemaker:CustomerMetadataPropertiesToRemove": ["Reviewed"]}, True),
        ({"sagemaker:CustomerMetadataProperties/RegisteredBy": "somebody else"}, False),
        ({"sagemaker:CustomerMetadataProperties/StartedBy": "somebody else"}, False),
        ({"sagemaker:CustomerMetadataProperties/SourceModelPackageArn": "arn"}, False),
        ({"sagemaker:CustomerMetadataPropertiesToRemove": ["Reviewed", "StartedBy"]}, False),
    ],
)
def test_an_approver_does_not_rewrite_who_registered(
    context: dict[str, Any], allowed: bool, evaluator: Evaluator
) -> None:
    placement = place("governance")
    names = Names.at(placement)
    decision = evaluator.evaluate(
        Request(
            f"arn:aws:sts::{HUB}:assumed-role/{names.role('ml-engineer')}/someone",
            "sagemaker:UpdateModelPackage",
            names.arn("sagemaker", VERSION),
            HUB,
            {"aws:RequestedRegion": REGION, **context},
        ),
        Policies(
            {"own": iam.document(policies.persona_statements(placement, "ml-engineer"))},
            boundary=iam.document(policies.boundary_statements(names)),
        ),
    )
    assert decision.allowed is allowed, decision.reason


def assume(
    evaluator: Evaluator,
    trust: list[iam.Statement],
    principal: str,
    action: str = "sts:AssumeRole",
    /,
    **tags: str,
) -> Decision:
    """Whether a user or session may assume a role, by default under its own name."""
    own = principal.rpartition("/")[2]
    known = {"sts:RoleSessionName": own} if action == "sts:AssumeRole" else {}
    known |= (
        {"aws:username": own, "aws:userid": "AIDAEXAMPLE"}
        if ":user/" in principal
        else {"aws:userid": f"AROAEXAMPLE:{own}"}
    )
    return evaluator.evaluate(
        Request(
            principal,
            action,
            NAMES.role_arn("ml-engineer"),
            DEV,
            {
                **known,
                **{
                    key if ":" in key else f"aws:PrincipalTag/{key}": value
                    for key, value in tags.items()
                },
            },
        ),
        Policies({"own": EVERYTHING}, resource=iam.document(trust)),
    )


def test_a_persona_is_assumed_from_the_hub_by_its_tag(evaluator: Evaluator) -> None:
    trust = policies.persona_trust(place("dev"), "ml-engineer", ())
    person = f"arn:aws:iam::{HUB}:user/someone"
    assert assume(evaluator, trust, person, persona="ml-engineer").allowed
    assert not assume(evaluator, trust, person, persona="data-scientist").allowed
    assert not assume(evaluator, trust, person).allowed
    outsider = f"arn:aws:iam::{OUTSIDE}:user/someone"
    assert not assume(evaluator, trust, outsider, persona="ml-engineer").allowed


USER = f"arn:aws:iam::{HUB}:user/people/{{}}"
SIGNED_IN = f"arn:aws:sts::{HUB}:assumed-role/AWSReservedSSO_ml_1/{{}}"


@pytest.mark.parametrize(
    ("who", "profile", "names"),
    [
        (USER.format("ada"), "", {"ada"}),
        (USER.format("a.byron"), "ada", {"ada"}),
        (SIGNED_IN.format("ada@corp.example"), "", {"ada@corp.example"}),
        (SIGNED_IN.format("ada@corp.example"), "ada", {"ada", "ada@corp.example"}),
        (SIGNED_IN.format("a.byron@corp.example"), "ada", {"ada"}),
        (f"arn:aws:iam::{HUB}:root", "", set[str]()),
    ],
)
def test_people_come_under_their_own_name_alone(
    who: str, profile: str, names: set[str], evaluator: Evaluator
) -> None:
    trust = policies.persona_trust(place("dev"), "ml-engineer", ())
    tags = {"persona": "ml-engineer"} | ({"studio-user": profile} if profile else {})
    for name in (
        "ada", "a.byron", "ada@corp.example", "ada@other.example", "a.byron@corp.example",
        "corp.example", "adam", "da", "AROAEXAMPLE", "bob", HUB,
    ):  # fmt: skip
        decision = assume(evaluator, trust, who, **tags, **{"sts:RoleSessionName": name})
        assert decision.allowed is (name in names), (name, decision.reason)


@settings(max_examples=25)
@given(
    who=st.sampled_from([USER, SIGNED_IN]),
    login=st.from_regex(r"[a-z0-9.@_-]{2,12}", fullmatch=True),
    profile=st.one_of(st.none(), st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,8}", fullmatch=True)),
    names=st.tuples(*[st.from_regex(r"[\w+=,.@-]{2,12}", fullmatch=True)] * 2),
    suffix=st.sampled_from(["", "@corp.example", "@other.example"]),
)
def test_all_names_that_somebody_may_take_are_known_as_one_person(
    who: str,
    login: str,
    profile: str | None,
    names: tuple[str, str],
    suffix: str,
    evaluator: Evaluator,
) -> None:
    """What the trust allows and what separation of duties compares agree."""
    trust = policies.persona_trust(place("dev"), "ml-engineer", ())
    tags = {"persona": "ml-engineer"} | ({"studio-user": profile} if profile else {})
    taken = [
        read_person(SIGNED_IN.format(name))
        for name in {*names, login, *([profile, f"{profile}{suffix}"] if profile else [])}
        if assume(
            evaluator, trust, who.format(login), **tags, **{"sts:RoleSessionName": name}
        ).allowed
    ]
    known = [person for person in taken if person.names]
    for one in known:
        for other in known:
            assert one.is_same(other)
        if profile:
            assert one.is_same(read_person(f"UserProfileName={profile}"))


def test_a_source_identity_goes_on_and_nobody_gives_themselves_one(evaluator: Evaluator) -> None:
    person = SIGNED_IN.format("ada")
    for trust in (
        policies.persona_trust(place("dev"), "ml-engineer", ()),
        policies.persona_trust(place("dev"), "ml-engineer", [f"arn:aws:iam::{HUB}:role/*"]),
    ):
        for own, allowed in (({}, False), ({"aws:SourceIdentity": "ada"}, True)):
            decision = assume(
                evaluator,
                trust,
                person,
                "sts:SetSourceIdentity",
                persona="ml-engineer",
                **{
                    "sts:SourceIdentity": "ada",
                    "aws:PrincipalArn": f"arn:aws:iam::{HUB}:role/AWSReservedSSO_ml_1",
                    **own,
                },
            )
            assert decision.allowed is allowed


@given(
    patterns=st.lists(
        st.tuples(st.sampled_from([HUB, DEV, OUTSIDE]), st.integers(1, 400)), max_size=12
    )
)
def test_a_trust_that_settings_accept_fits_iams_quota(patterns: list[tuple[str, int]]) -> None:
    arns = [f"arn:aws:iam::{account}:role/{'x' * length}" for account, length in patterns]
    try:
        Personas.model_validate({"governance_officer": arns})
    except ValidationError:
        return
    trust = policies.persona_trust(place("preprod"), "governance-officer", arns)
    assert len(iam.render(trust)) <= 2048  # Source: IAM quotas, role trust policy length


def opening(
    evaluator: Evaluator, tagged: str, profile: str, action: str = "CreatePresignedDomainUrl"
) -> bool:
    """Whether a session of the sign-in role, tagged so, may use a profile that is tagged so."""
    return evaluator.evaluate(
        Request(
            f"arn:aws:sts::{DEV}:assumed-role/{NAMES.role('studio-user')}/someone",
            f"sagemaker:{action}",
            NAMES.arn("sagemaker", f"user-profile/d-1/{profile or 'ann'}"),
            DEV,
            {
                "aws:RequestedRegion": REGION,
                **({"aws:PrincipalTag/studio-user": tagged} if tagged else {}),
                **({"sagemaker:ResourceTag/studio-user": profile} if profile else {}),
            },
        ),
        Policies(
            {"sign-in": iam.document(policies.sign_in_statements(NAMES))},
            boundary=iam.document(policies.boundary_statements(NAMES)),
        ),
    ).allowed


def test_people_open_their_own_profile_of_studio(evaluator: Evaluator) -> None:
    assert opening(evaluator, "ann", "ann")
    for tagged, profile in (("ann", "bob"), ("ann", "annie"), ("an*", "ann"), ("", "ann")):
        assert not opening(evaluator, tagged, profile), (tagged, profile)
    assert not opening(evaluator, "ann", ""), "a profile without the tag is nobody's"
    for action in ("UpdateUserProfile", "DescribeUserProfile", "AddTags"):
        assert not opening(evaluator, "ann", "ann", action), action


@pytest.mark.parametrize("action", ["sts:AssumeRole", "sts:TagSession"])
def test_nobody_signs_in_as_another(action: str, evaluator: Evaluator) -> None:
    trust = policies.sign_in_trust(place("dev"), ())
    person = f"arn:aws:iam::{HUB}:user/someone"
    ann = {
        "aws:PrincipalTag/persona": "data-scientist",
        "aws:PrincipalTag/studio-user": "ann",
        "aws:RequestTag/studio-user": "ann",
        "aws:TagKeys": "studio-user",
    }
    refused: list[dict[str, str]] = [
        {"aws:RequestTag/studio-user": "bob"},
        {"aws:RequestTag/studio-user": ""},
        {"aws:PrincipalTag/studio-user": ""},
        {"aws:PrincipalTag/persona": "ml-engineer"},
        {"aws:TagKeys": "persona"},
    ]
    for change in ({}, {"aws:PrincipalTag/persona": "lead-data-scientist"}):
        assert assume(evaluator, trust, person, action, **{**ann, **change}).allowed
    for change in refused:
        context = {key: value for key, value in {**ann, **change}.items() if value}
        assert not assume(evaluator, trust, person, action, **context).allowed, change


def test_configured_principals_replace_the_tag(evaluator: Evaluator) -> None:
    pattern = f"arn:aws:iam::{HUB}:role/aws-reserved/sso.amazonaws.com/*/AWSReservedSSO_ml_*"
    trust = policies.persona_trust(place("dev"), "ml-engineer", [pattern])
    role = f"arn:aws:iam::{HUB}:role/aws-reserved/sso.amazonaws.com/{REGION}/AWSReservedSSO_ml_1"
    session = f"arn:aws:sts::{HUB}:assumed-role/AWSReservedSSO_ml_1/someone"
    decision = assume(evaluator, trust, session, **{"aws:PrincipalArn": role})
    assert decision.allowed, decision.reason
    person = f"arn:aws:iam::{HUB}:user/someone"
    assert not assume(evaluator, trust, person, persona="ml-engineer").allowed


def test_a_deployed_model_decrypts_with_the_hubs_models_key_only(evaluator: Evaluator) -> None:
    placement = place("prod")
    hub_key = Names.at(placement, "governance").arn("kms", "key/1")
    document = iam.document(policies.model_execution_statements(placement))

    def decrypt(aliases: list[str], owner: str = HUB) -> bool:
        return evaluator.evaluate(
            Request(
                f"arn:aws:sts::{ACCOUNTS['prod']}:assumed-role/acme-prod-model-execution/s",
                "kms:Decrypt",
                hub_key.replace(HUB, owner),
                owner,
                {"kms:ResourceAliases": aliases},
            ),
            Policies({"own": document}, resource=EVERYTHING_FOR_EVERYBODY),
        ).allowed

    assert decrypt(["alias/acme-governance-models"])
    assert not decrypt(["alias/acme-governance-data"])
    assert not decrypt([])
    assert not decrypt(["alias/acme-governance-models"], owner=OUTSIDE)


EVERYTHING_FOR_EVERYBODY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}],
}
