"""The registry's bucket, key, group and image policies: truth tables, mutations, revocation."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from components import baseline_policies, iam
from components.naming import Names
from localcloud.authorization import Decision, Evaluator, Policies, Request
from tests.unit.conftest import ACCOUNTS, REGION, Program, place, run_program
from tests.unit.data_science import ENDPOINTS, make_data, make_registry, role_arn, session, without

HUB, DEV, PROD = (Names.at(place(name)) for name in ("governance", "dev", "prod"))
EVERYTHING = {
    "Version": "2012-10-17",
    "Statement": [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}],
}
ONE_ACCOUNT = dict.fromkeys(ACCOUNTS, "111111111111")
OUTSIDE = "999999999999"
VERSION = HUB.arn("sagemaker", "model-package/acme-governance-abalone/1")
GROUP = HUB.arn("sagemaker", "model-package-group/acme-governance-abalone")
REPOSITORY = HUB.arn("ecr", "repository/acme-governance-scikit")
KEY = HUB.arn("kms", "key/models")


@pytest.fixture(scope="module")
def hub() -> Program:
    return run_program(lambda: make_registry("governance"))


@pytest.fixture(scope="module")
def dev() -> Program:
    return run_program(lambda: make_registry("dev"))


@pytest.fixture(scope="module")
def data() -> Program:
    return run_program(make_data)


def bucket_policy(program: Program) -> dict[str, Any]:
    (policy,) = program.of("aws:s3/bucketPolicy:BucketPolicy")
    return policy.document()


def key_policy(program: Program) -> dict[str, Any]:
    (key,) = program.of("aws:kms/key:Key")
    return key.document()


def decide(
    evaluator: Evaluator,
    principal: str,
    action: str,
    resource: str,
    owner: str,
    resource_policy: dict[str, Any],
    identity: dict[str, Any] = EVERYTHING,
    **context: str | list[str],
) -> Decision:
    keys = {key.replace("__", ":").replace("_in_", "/"): value for key, value in context.items()}
    keys = {key: value for key, value in keys.items() if value}
    service = action.partition(":")[0]
    if service == "s3":
        keys.setdefault("aws:SecureTransport", "true")
    keys.setdefault("aws:ViaAWSService", "false")
    keys["aws:PrincipalArn"] = role_arn(principal)
    return evaluator.evaluate(
        Request(principal, action, resource, owner, keys),
        Policies(identity={"work": identity}, resource=resource_policy),
    )


# --- closed to all but VPC endpoints -------------------------------------------------------------

ON_OBJECTS = [
    "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:GetObjectAcl",
    "s3:GetObjectVersionAcl", "s3:PutObjectAcl", "s3:PutObjectVersionAcl",
]  # fmt: skip
ON_BUCKET = ["s3:ListBucket", "s3:GetBucketAcl", "s3:PutBucketAcl"]
BUCKETS = {
    # bucket -> names, purpose, known endpoints, exempt tags, denied actions
    "hub": (
        HUB,
        "models",
        ["vpce-governance-s3", "vpce-dev-s3", "vpce-preprod-s3", "vpce-prod-s3"],
        ["acme-governance-promotion"],
        [*ON_OBJECTS, *ON_BUCKET],
    ),
    "dev": (
        DEV,
        "models",
        ["vpce-dev-s3"],
        ["acme-dev-pipeline-execution", "acme-governance-promotion"],
        [*ON_OBJECTS, *ON_BUCKET],
    ),
    "data": (
        DEV,
        "data",
        ["vpce-dev-s3"],
        ["acme-dev-pipeline-execution", "acme-dev-lake-formation", "acme-dev-feature-store"],
        ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:ListBucket"],
    ),
}


def cells(bucket: str) -> Iterator[tuple[str, str, str, str, bool]]:
    """Action, endpoint, tag, via a service or a service's own, and whether it must be denied."""
    _, _, endpoints, tags, actions = BUCKETS[bucket]
    for action, endpoint, tag, via in itertools.product(
        actions, [*endpoints, "vpce-other", ""], [*tags, "other", ""], ["true", "false", "itself"]
    ):
        denied = endpoint not in endpoints and tag not in tags and via == "false"
        yield action, endpoint, tag, via, denied


def bucket_cell(
    evaluator: Evaluator, bucket: str, document: dict[str, Any], role: str, cell: tuple[str, ...]
) -> Decision:
    names, purpose, *_ = BUCKETS[bucket]
    action, endpoint, tag, via = cell
    arn = names.bucket_arn(purpose)
    return decide(
        evaluator,
        session(names, role),
        action,
        arn if action in ON_BUCKET else f"{arn}/object",
        names.account_id,
        document,
        aws__sourceVpce=endpoint,
        aws__PrincipalTag_in_Principal=tag,
        aws__ViaAWSService="true" if via == "true" else "false",
        aws__PrincipalIsAWSService="true" if via == "itself" else "false",
    )


@pytest.mark.parametrize("bucket", BUCKETS)
def test_a_bucket_is_closed_but_for_its_endpoints_its_tags_and_services(
    bucket: str, evaluator: Evaluator, request: pytest.FixtureRequest
) -> None:
    document = bucket_policy(request.getfixturevalue(bucket))
    for *cell, denied in cells(bucket):
        decision = bucket_cell(evaluator, bucket, document, "someone", tuple(cell))
        assert decision.explicit_deny is denied, cell
        assert decision.allowed is not denied, cell


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("sid", ["DenyNoVPC", "DenyBucketNoVPC"])
def test_every_condition_of_the_denial_matters(
    bucket: str, sid: str, evaluator: Evaluator, request: pytest.FixtureRequest
) -> None:
    document = bucket_policy(request.getfixturevalue(bucket))
    (statement,) = (item for item in document["Statement"] if item["Sid"] == sid)
    mutants = [without(document, sid)]
    for operator, keys in statement["Condition"].items():
        for key in keys:
            mutant = json.loads(json.dumps(document))
            (changed,) = (item for item in mutant["Statement"] if item["Sid"] == sid)
            del changed["Condition"][operator][key]
            mutants.append(mutant)
    roles = ["someone", "deployer"]
    for mutant in mutants:
        assert any(
            bucket_cell(evaluator, bucket, mutant, role, tuple(cell)).explicit_deny
            != bucket_cell(evaluator, bucket, document, role, tuple(cell)).explicit_deny
            for role in roles
            for *cell, _ in cells(bucket)
        ), mutant


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("role", ["deployer", "preview"])
def test_those_who_run_updates_see_the_bucket_but_no_object(
    bucket: str, role: str, evaluator: Evaluator, request: pytest.FixtureRequest
) -> None:
    document = bucket_policy(request.getfixturevalue(bucket))
    for action in BUCKETS[bucket][4]:
        decision = bucket_cell(evaluator, bucket, document, role, (action, "", "", "false"))
        assert decision.explicit_deny is (action in ON_OBJECTS), action


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("action", ["s3:GetObject", "s3:ListBucket", "s3:PutBucketPolicy"])
def test_nothing_goes_without_tls(
    bucket: str, action: str, evaluator: Evaluator, request: pytest.FixtureRequest
) -> None:
    document = bucket_policy(request.getfixturevalue(bucket))
    names, purpose, endpoints, *_ = BUCKETS[bucket]
    arn = names.bucket_arn(purpose)
    for tls, document_used, denied in (
        ("true", document, False),
        ("false", document, True),
        ("false", without(document, "DenyInsecureTransport"), False),
    ):
        decision = decide(
            evaluator,
            session(names, "someone"),
            action,
            f"{arn}/object" if action == "s3:GetObject" else arn,
            names.account_id,
            document_used,
            aws__sourceVpce=endpoints[0],
            aws__SecureTransport=tls,
        )
        assert decision.explicit_deny is denied


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize(
    ("encryption", "key", "denied_by"),
    [
        ("", "", None),  # the bucket's default key
        ("aws:kms", "", None),
        ("aws:kms", "right", None),
        ("aws:kms", "wrong", "DenyWrongKey"),
        ("AES256", "", "DenyWrongEncryption"),
        ("aws:kms:dsse", "", "DenyWrongEncryption"),
    ],
)
def test_uploads_name_no_other_key(
    bucket: str,
    encryption: str,
    key: str,
    denied_by: str | None,
    evaluator: Evaluator,
    request: pytest.FixtureRequest,
) -> None:
    program: Program = request.getfixturevalue(bucket)
    names, purpose, endpoints, *_ = BUCKETS[bucket]
    (default,) = program.of(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    )
    rule = default.inputs["rules"][0]["applyServerSideEncryptionByDefault"]
    keys = {"": "", "right": rule["kmsMasterKeyId"], "wrong": KEY}
    document = bucket_policy(program)

    def put(policy: dict[str, Any]) -> Decision:
        return decide(
            evaluator,
            session(names, "someone"),
            "s3:PutObject",
            f"{names.bucket_arn(purpose)}/object",
            names.account_id,
            policy,
            **{
                "aws__sourceVpce": endpoints[0],
                "s3__x-amz-server-side-encryption": encryption,
                "s3__x-amz-server-side-encryption-aws-kms-key-id": keys[key],
            },
        )

    decision = put(document)
    assert decision.explicit_deny is (denied_by is not None)
    if denied_by:
        assert decision.sids == (denied_by,)
        assert not put(without(document, denied_by)).explicit_deny


@pytest.mark.parametrize(
    ("key", "mark", "refused"),
    [
        ("house/code/0123456789abcdef/train.py", "", True),
        ("house/code/0123456789abcdef/train.py", "*", False),
        ("house/code/notes.txt", "", False),
        ("house/1/model.tar.gz", "", False),
    ],
)
def test_code_of_pipelines_is_put_once_by_whoever(
    key: str, mark: str, refused: bool, dev: Program, evaluator: Evaluator
) -> None:
    document = bucket_policy(dev)
    for role in ("data-scientist-execution", "house-build", "deployer"):
        decision = decide(
            evaluator,
            session(DEV, role),
            "s3:PutObject",
            f"{DEV.bucket_arn('models')}/{key}",
            DEV.account_id,
            document,
            aws__sourceVpce="vpce-dev-s3",
            **{"s3:if-none-match": mark},
        )
        assert ("DenyOtherCode" in decision.sids) is refused


# --- the models key ------------------------------------------------------------------------------

USES = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:GenerateDataKey"]


def key_cell(
    evaluator: Evaluator, document: dict[str, Any], names: Names, role: str, cell: tuple[str, ...]
) -> Decision:
    action, endpoint, via = cell
    return decide(
        evaluator,
        session(names, role),
        action,
        names.arn("kms", "key/models"),
        names.account_id,
        document,
        aws__sourceVpce=endpoint,
        aws__ViaAWSService="true" if via == "true" else "false",
        aws__PrincipalIsAWSService="true" if via == "itself" else "false",
    )


@pytest.mark.parametrize(
    ("place_", "endpoints"),
    [
        ("hub", ["vpce-governance-kms", "vpce-dev-kms", "vpce-preprod-kms", "vpce-prod-kms"]),
        ("dev", ["vpce-dev-kms"]),
    ],
)
@pytest.mark.parametrize("role", ["someone", "deployer", "preview"])
def test_the_key_is_used_through_known_endpoints_or_services(
    place_: str,
    endpoints: list[str],
    role: str,
    evaluator: Evaluator,
    request: pytest.FixtureRequest,
) -> None:
    document = key_policy(request.getfixturevalue(place_))
    names = HUB if place_ == "hub" else DEV
    gone = without(without(document, "DenyNoVPC"), "DenyDescribeNoVPC")
    for action, endpoint, via in itertools.product(
        [*USES, "kms:DescribeKey"], [*endpoints, "vpce-other", ""], ["true", "false", "itself"]
    ):
        denied = endpoint not in endpoints and via == "false"
        if action == "kms:DescribeKey" and role != "someone":
            denied = False
        cell = (action, endpoint, via)
        assert key_cell(evaluator, document, names, role, cell).explicit_deny is denied, cell
        assert not key_cell(evaluator, gone, names, role, cell).explicit_deny, cell


def test_a_tag_opens_no_key(hub: Program, evaluator: Evaluator) -> None:
    decision = decide(
        evaluator,
        session(HUB, "promotion"),
        "kms:Decrypt",
        KEY,
        HUB.account_id,
        key_policy(hub),
        aws__PrincipalTag_in_Principal="acme-governance-promotion",
    )
    assert decision.explicit_deny


# --- who reads across accounts -------------------------------------------------------------------

MODEL_ROLE = {
    name: iam.document(baseline_policies.model_execution_statements(place(name)))
    for name in ("dev", "preprod", "prod")
}


@pytest.mark.parametrize("environment", ENDPOINTS)
@pytest.mark.parametrize(
    ("role", "endpoint", "action", "allowed"),
    [
        ("model-execution", "own", "s3:GetObject", True),
        ("model-execution", "own", "s3:PutObject", False),
        ("model-execution", "vpce-other", "s3:GetObject", False),
        ("model-execution", "", "s3:GetObject", False),
        # That of a project that predicts in batches, with whatever its own policies let it do.
        ("model-execution-house", "own", "s3:GetObject", True),
        ("model-execution-house", "own", "s3:PutObject", False),
        ("model-execution-house", "vpce-other", "s3:GetObject", False),
        ("house-batch", "own", "s3:GetObject", False),
        ("someone", "own", "s3:GetObject", False),
    ],
)
def test_artifacts_are_read_by_the_environments_models_through_their_endpoint(
    environment: str,
    role: str,
    endpoint: str,
    action: str,
    allowed: bool,
    hub: Program,
    evaluator: Evaluator,
) -> None:
    decision = decide(
        evaluator,
        session(Names.at(place(environment)), role),
        action,
        f"{HUB.bucket_arn('models')}/abalone/model.tar.gz",
        HUB.account_id,
        bucket_policy(hub),
        identity=MODEL_ROLE[environment] if role == "model-execution" else EVERYTHING,
        aws__sourceVpce=f"vpce-{environment}-s3" if endpoint == "own" else endpoint,
    )
    assert decision.allowed is allowed


@pytest.mark.parametrize(
    ("role", "allowed"), [("promotion", True), ("someone", False), ("deployer", False)]
)
def test_the_hubs_promotion_reads_what_dev_made(
    role: str, allowed: bool, dev: Program, evaluator: Evaluator
) -> None:
    reading = decide(
        evaluator,
        session(HUB, role),
        "s3:GetObject",
        f"{DEV.bucket_arn('models')}/abalone/model.tar.gz",
        DEV.account_id,
        bucket_policy(dev),
        aws__PrincipalTag_in_Principal=HUB.role(role),
    )
    decrypting = decide(
        evaluator,
        session(HUB, role),
        "kms:Decrypt",
        DEV.arn("kms", "key/models"),
        DEV.account_id,
        key_policy(dev),
        aws__ViaAWSService="true",
        kms__ViaService=f"s3.{REGION}.amazonaws.com",
        kms__CallerAccount=HUB.account_id,
    )
    (policy,) = dev.of("aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy")
    describing = decide(
        evaluator,
        session(HUB, role),
        "sagemaker:DescribeModelPackage",
        DEV.arn("sagemaker", "model-package/acme-dev-abalone/1"),
        DEV.account_id,
        policy.document("resourcePolicy"),
    )
    assert (reading.allowed, decrypting.allowed, describing.allowed) == (allowed,) * 3


@pytest.mark.parametrize("role", ["deployer", "model-execution", "someone"])
@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("sagemaker:DescribeModelPackageGroup", GROUP, {"deployer", "model-execution"}),
        ("sagemaker:DescribeModelPackage", VERSION, {"deployer", "model-execution"}),
        ("sagemaker:UpdateModelPackage", VERSION, set[str]()),
        ("sagemaker:CreateModelPackage", VERSION, set[str]()),
        ("sagemaker:DeleteModelPackage", VERSION, set[str]()),
    ],
)
def test_no_environment_decides_on_a_version(
    role: str,
    action: str,
    resource: str,
    allowed: set[str],
    hub: Program,
    evaluator: Evaluator,
) -> None:
    (policy,) = hub.of("aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy")
    decision = decide(
        evaluator,
        session(PROD, role),
        action,
        resource,
        HUB.account_id,
        policy.document("resourcePolicy"),
    )
    assert decision.allowed is (role in allowed)


@pytest.mark.parametrize(("role", "allowed"), [("model-execution", True), ("someone", False)])
def test_images_are_pulled_by_the_environments_models(
    role: str, allowed: bool, hub: Program, evaluator: Evaluator
) -> None:
    (policy,) = hub.of("aws:ecr/repositoryPolicy:RepositoryPolicy")
    for action, may in (("ecr:BatchGetImage", allowed), ("ecr:PutImage", False)):
        decision = decide(
            evaluator,
            session(PROD, role),
            action,
            REPOSITORY,
            HUB.account_id,
            policy.document(),
        )
        assert decision.allowed is may


def test_nobody_outside_of_the_company_is_named(hub: Program, dev: Program) -> None:
    for program in (hub, dev):
        for resource, _, document in program.documents():
            for statement in document["Statement"]:
                if statement["Effect"] == "Allow" and "Principal" in statement:
                    assert statement["Principal"] != "*", resource.name
                    for principal in statement["Principal"].get("AWS", ()):
                        assert principal.split(":")[4] in ACCOUNTS.values(), resource.name


# --- taking an environment away, and one account for all -----------------------------------------


def texts(program: Program) -> str:
    return "\n".join(json.dumps(document) for _, _, document in program.documents())


@pytest.mark.parametrize("removed", ENDPOINTS)
def test_an_environment_taken_away_is_in_no_document(removed: str, evaluator: Evaluator) -> None:
    rest = {name: access for name, access in ENDPOINTS.items() if name != removed}
    before = texts(run_program(lambda: make_registry("governance")))
    program = run_program(lambda: make_registry("governance", rest))
    after = texts(program)
    principal = f"arn:aws:iam::{ACCOUNTS[removed]}:"
    for trace in (principal, *map(str, ENDPOINTS[removed].values())):
        assert trace in before
        assert trace not in after
    decision = decide(
        evaluator,
        session(Names.at(place(removed)), "model-execution"),
        "s3:GetObject",
        f"{HUB.bucket_arn('models')}/abalone/model.tar.gz",
        HUB.account_id,
        bucket_policy(program),
        aws__sourceVpce=f"vpce-{removed}-s3",
    )
    assert not decision.allowed


def test_without_environments_nobody_is_granted_anything() -> None:
    program = run_program(lambda: make_registry("governance", {}))
    assert not program.of("aws:ecr/repositoryPolicy:RepositoryPolicy")
    assert not program.of("aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy")
    assert "AllowCrossAccount" not in texts(program)


def shared(program: Program) -> dict[str, set[str]]:
    """Share -> the accounts that it is with."""
    shares = program.of("aws:ram/resourceShare:ResourceShare")
    return {
        share.inputs["name"]: {
            with_.inputs["principal"]
            for with_ in program.of("aws:ram/principalAssociation:PrincipalAssociation")
            if with_.name.startswith(f"{share.name}-")
        }
        for share in shares
    }


def test_by_ram_the_hubs_groups_are_shared_with_the_environments_accounts() -> None:
    program = run_program(lambda: make_registry("governance", sharing="ram"))
    others = {ACCOUNTS[environment] for environment in ENDPOINTS}
    assert shared(program) == {"acme-governance-abalone": others}
    (share,) = program.of("aws:ram/resourceShare:ResourceShare")
    assert share.inputs["allowExternalPrincipals"] is False
    assert share.inputs["permissionArns"] == [
        "arn:aws:ram::aws:permission/AWSRAMPermissionSageMakerModelPackageGroupAllowDeploy"
    ]
    (held,) = program.of("aws:ram/resourceAssociation:ResourceAssociation")
    (group,) = program.of("aws:sagemaker/modelPackageGroup:ModelPackageGroup")
    assert {group.urn, share.urn} <= held.needs
    assert held.inputs["resourceArn"].endswith(":model-package-group/acme-governance-abalone")
    for environment in ENDPOINTS:
        rest = {name: access for name, access in ENDPOINTS.items() if name != environment}
        without_it = run_program(lambda rest=rest: make_registry("governance", rest, "ram"))
        assert shared(without_it) == {"acme-governance-abalone": others - {ACCOUNTS[environment]}}


@pytest.mark.parametrize("sharing", ["policy", "ram"])
@pytest.mark.parametrize("environment", ["governance", "dev"])
@pytest.mark.parametrize("accounts", [None, ONE_ACCOUNT])
def test_a_group_is_shared_in_one_way_and_never_in_both(
    sharing: Any, environment: str, accounts: dict[str, str] | None
) -> None:
    given = {"accounts": accounts} if accounts else {}
    program = run_program(lambda: make_registry(environment, sharing=sharing, **given))
    policies = program.of("aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy")
    shares = program.of("aws:ram/resourceShare:ResourceShare")
    by_ram = sharing == "ram" and environment == "governance"
    assert len(policies) == (0 if by_ram else 1)
    # An account is not shared with itself.
    assert len(shares) == (1 if by_ram and not accounts else 0)


@pytest.mark.parametrize("environment", ["governance", "dev"])
def test_one_account_in_several_roles_is_one_principal(environment: str) -> None:
    program = run_program(lambda: make_registry(environment, accounts=ONE_ACCOUNT))
    for resource, _, document in program.documents():
        for statement in document["Statement"]:
            principals = statement.get("Principal")
            if isinstance(principals, dict):
                named = principals.get("AWS", [])
                assert len(named) == len(set(named)), (resource.name, statement["Sid"])
                if statement["Sid"].startswith(("AllowCross", "Deployers", "Models")):
                    assert named == ["arn:aws:iam::111111111111:root"]
            for keys in statement.get("Condition", {}).values():
                for values in keys.values():
                    if isinstance(values, list):
                        assert len(values) == len(set(values)), (resource.name, statement["Sid"])


def test_the_hub_and_dev_share_an_account_without_a_common_name() -> None:
    keys = {"bucket", "name", "modelPackageGroupName"}
    named = [
        {
            (resource.type, resource.inputs[key])
            for resource in run_program(
                lambda name=environment: make_registry(name, accounts=ONE_ACCOUNT)
            ).resources
            for key in keys & set(resource.inputs)
        }
        for environment in ("governance", "dev")
    ]
    assert all(named)
    assert not named[0] & named[1]


def test_a_shared_endpoint_is_named_once() -> None:
    shared = {
        name: {"s3_endpoint_id": "vpce-shared-s3", "kms_endpoint_id": "vpce-shared-kms"}
        for name in ENDPOINTS
    }
    program = run_program(lambda: make_registry("governance", shared))  # pyright: ignore[reportArgumentType]
    assert bucket_policy(program)["Statement"]
    assert texts(program).count("vpce-shared-s3") == 2
    assert texts(program).count("vpce-shared-kms") == 2


# --- what is made --------------------------------------------------------------------------------


def test_images_are_immutable_scanned_and_encrypted(hub: Program) -> None:
    (repository,) = hub.of("aws:ecr/repository:Repository")
    assert repository.inputs["imageTagMutability"] == "IMMUTABLE"
    assert repository.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    (encryption,) = repository.inputs["encryptionConfigurations"]
    assert encryption["encryptionType"] == "KMS"
    assert encryption["kmsKey"] == hub.one("aws:kms/key:Key", "registry-models").inputs.get(
        "arn", encryption["kmsKey"]
    )
    (lifecycle,) = hub.of("aws:ecr/lifecyclePolicy:LifecyclePolicy")
    assert (
        json.loads(lifecycle.inputs["policy"])["rules"][0]["selection"]["tagStatus"] == "untagged"
    )


def test_dev_keeps_its_images_in_the_hub(dev: Program) -> None:
    assert not dev.of("aws:ecr/repository:Repository")


@pytest.mark.parametrize("environment", ["governance", "dev"])
def test_the_contract_is_published(environment: str) -> None:
    program = run_program(lambda: make_registry(environment))
    paths = {parameter.inputs["name"] for parameter in program.of("aws:ssm/parameter:Parameter")}
    wanted = {"kms/models/arn", "registry/models-bucket", "registry/groups/abalone"}
    wanted |= {"registry/images/scikit"} if environment == "governance" else set()
    assert paths == {f"/acme/{environment}/{path}" for path in wanted}


@pytest.mark.parametrize("environment", ["governance", "dev"])
def test_every_document_is_as_reviewed(
    environment: str, golden: Callable[[str, Any], None]
) -> None:
    program = run_program(lambda: make_registry(environment))
    documents = {
        f"{resource.type.rpartition(':')[2]} {resource.name} {key}": document
        for resource, key, document in program.documents()
    }
    golden(f"registry-{environment}", documents)


@pytest.mark.parametrize("environment", ["governance", "dev"])
def test_a_preview_knows_enough(environment: str) -> None:
    program = run_program(lambda: make_registry(environment), preview=True)
    assert len(program.resources) == len(run_program(lambda: make_registry(environment)).resources)
