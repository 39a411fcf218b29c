"""Every row of the provider: made, read, changed, imported and removed against the emulator."""

from __future__ import annotations

import importlib.util
import io
import json
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import pytest
from pulumi.runtime.proto import provider_pb2 as pb
from pulumi.runtime.rpc import UNKNOWN

from automation import recovery
from localcloud.emulator.server import served_by
from localcloud.paths import CHECKOUT
from localcloud.provider import crud, schema, shapes, table
from localcloud.provider.server import Provider, decode, encode
from tests.localcloud.emulators import DEV, REGION, Cloud, checkout, running
from tests.localcloud.jobs_world import archive
from tests.localcloud.provider_samples import (
    ALWAYS_THERE,
    DELETED_FIRST,
    MODEL_DATA,
    NOT_REPLACED,
    REPLACED,
    SAMPLES,
)

ROWS = table.load()


class EngineError(Exception):
    """What the engine would show."""


class Context:
    def abort(self, code: Any, details: str) -> NoReturn:
        raise EngineError(details)


CONTEXT = Context()


def urn(token: str, name: str) -> str:
    return f"urn:pulumi:dev::mlops::{token}::{name}"


class Engine:
    """The engine's calls, in the engine's order; keeps which API calls each type made."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.calls: dict[str, set[tuple[str, str]]] = {}
        self._token = ""
        assert provider.session is not None
        self._call = provider.session.call
        provider.session.call = self._recorded

    def _recorded(self, service: str, operation: str, params: Any, region: str = "") -> Any:
        answer = self._call(service, operation, params, region)
        self.calls.setdefault(self._token, set()).add((service, operation))
        return answer

    def check(self, token: str, name: str, inputs: Mapping[str, Any], old: Any = None) -> Any:
        request = pb.CheckRequest(urn=urn(token, name), type=token, news=encode(inputs))
        if old is not None:
            request.olds.CopyFrom(encode(old))
        return self.provider.Check(request, CONTEXT)

    def checked(self, token: str, name: str, inputs: Any, old: Any = None) -> dict[str, Any]:
        answer = self.check(token, name, inputs, old)
        assert not answer.failures, [f"{f.property}: {f.reason}" for f in answer.failures]
        return decode(answer.inputs)

    def create(self, token: str, name: str, inputs: Any) -> tuple[str, dict[str, Any]]:
        self._token = token
        answer = self.provider.Create(
            pb.CreateRequest(urn=urn(token, name), properties=encode(inputs)), CONTEXT
        )
        return answer.id, decode(answer.properties)

    def diff(self, token: str, name: str, id_: str, old: Any, old_inputs: Any, new: Any) -> Any:
        request = pb.DiffRequest(
            id=id_,
            urn=urn(token, name),
            olds=encode(old),
            old_inputs=encode(old_inputs),
            news=encode(new),
        )
        return self.provider.Diff(request, CONTEXT)

    def read(self, token: str, name: str, id_: str, state: Any = None, inputs: Any = None) -> Any:
        self._token = token
        request = pb.ReadRequest(id=id_, urn=urn(token, name))
        if state is not None:
            request.properties.CopyFrom(encode(state))
            request.inputs.CopyFrom(encode(inputs))
        return self.provider.Read(request, CONTEXT)

    def update(self, token: str, name: str, id_: str, old: Any, new: Any) -> dict[str, Any]:
        self._token = token
        request = pb.UpdateRequest(id=id_, urn=urn(token, name), olds=encode(old), news=encode(new))
        return decode(self.provider.Update(request, CONTEXT).properties)

    def delete(self, token: str, name: str, id_: str, state: Any) -> None:
        self._token = token
        request = pb.DeleteRequest(id=id_, urn=urn(token, name), properties=encode(state))
        self.provider.Delete(request, CONTEXT)

    def invoke(self, token: str, **arguments: Any) -> dict[str, Any]:
        self._token = token
        request = pb.InvokeRequest(tok=token, args=encode(arguments))
        return decode(getattr(self.provider.Invoke(request, CONTEXT), "return"))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("cloud"))) as cloud:
        bucket, _, key = MODEL_DATA.removeprefix("s3://").partition("/")
        cloud.client("s3").create_bucket(
            Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        served = archive({"code/serve.py": b"def model_fn(folder): return 1"})
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=served)
        cloud.client("organizations").create_organization(FeatureSet="ALL")
        yield cloud


@pytest.fixture(scope="module")
def engine(cloud: Cloud) -> Iterator[Engine]:
    key = cloud.started.description["administrators"][DEV]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", cloud.started.endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", key["access_key_id"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", key["secret_access_key"])
        patch.delenv("AWS_PROFILE", raising=False)
        provider = Provider(ROWS)
        provider.Configure(
            pb.ConfigureRequest(
                args=encode(
                    {"region": "eu-west-1", "defaultTags": {"tags": {"owner": "team"}},
                     "allowedAccountIds": [DEV]}
                )
            ),
            CONTEXT,
        )  # fmt: skip
        yield Engine(provider)


class Made:
    """The samples that exist, in the order in which they were made, and others' ids."""

    def __init__(self, **others: str) -> None:
        self.things: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {}
        self.others = others

    def resolve(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.resolve(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.resolve(inner) for inner in value]
        if isinstance(value, str) and value.startswith("@"):
            name, _, prop = value[1:].partition(".")
            if name in self.others:
                return self.others[name]
            _, id_, outputs, _ = self.things[name]
            return outputs[prop] if prop else id_
        return value


@pytest.fixture(scope="module")
def made(cloud: Cloud) -> Made:
    organizations = cloud.client("organizations")
    (root,) = organizations.list_roots()["Roots"]
    unit = organizations.create_organizational_unit(ParentId=root["Id"], Name="prod")
    return Made(unit=unit["OrganizationalUnit"]["Id"])


IMPORTED_BY = {
    "aws:appautoscaling/policy:Policy": (
        "{serviceNamespace}/{resourceId}/{scalableDimension}/{name}"
    ),
    "aws:appautoscaling/target:Target": "{serviceNamespace}/{resourceId}/{scalableDimension}",
    "aws:cloudwatch/logMetricFilter:LogMetricFilter": "{logGroupName}:{name}",
    "aws:codebuild/project:Project": "{name}",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "{subnetId}/{routeTableId}",
    "aws:lambda/alias:Alias": "{functionName}/{name}",
    "aws:lambda/permission:Permission": "{function}/{statementId}",
}
"""How a type is imported whose id in the state is another. Source: the SDK's documentation."""

NOT_IMPORTED: dict[str, dict[str, str]] = {
    "aws:ec2/vpcEndpoint:VpcEndpoint": {
        "serviceRegion": "moto does not tell it of an endpoint, and it cannot be changed",
    },
    "aws:lambda/function:Function": {
        "code": "the real provider cannot compare what stands with files of this machine either",
    },
    "aws:organizations/account:Account": {"roleName": "no API tells it"},
    "aws:s3/bucket:Bucket": {"forceDestroy": "is the provider's own, no setting of the bucket"},
    "aws:s3/bucketObjectv2:BucketObjectv2": {
        "content": "the real provider reads no contents of objects either",
        "source": "the real provider reads no contents of objects either",
    },
    "aws:sagemaker/domain:Domain": {
        "retentionPolicy": "is the provider's own: what a delete does with the home file system",
    },
    "aws:servicecatalog/product:Product": {
        "provisioningArtifactParameters": "the first version is made with the product and then one "
        "of its versions; the real provider does not read it either",
    },
}
"""Type -> property that an import does not give as it was declared -> why."""


def documented_imports(token: str) -> list[str]:
    """The ids that the SDK's documentation of a type gives as examples of imports."""
    module, name = schema._classes()[token]
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    origin = importlib.util.find_spec("pulumi_aws").origin
    text = (pathlib.Path(origin).parent / module.rpartition(".")[2] / f"{snake}.py").read_text()
    return re.findall(rf"pulumi import (?:--\S+ )?{re.escape(token)} \S+ (\S+)", text)


def test_what_can_be_imported_is_what_the_sdk_documents() -> None:
    for token, row in ROWS.items():
        told = documented_imports(token)
        assert row.importable == bool(told), token
        if row.import_id:
            assert all(all(crud.named_by(row, example).values()) for example in told)


def test_an_id_of_another_form_is_refused_with_the_right_one(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"'alone'.*give \{functionName\}/\{name\}"):
        engine.read("aws:lambda/alias:Alias", "x", "alone")


@pytest.mark.parametrize(
    ("token", "usual", "other"),
    [
        ("aws:sqs/queue:Queue", {"visibilityTimeoutSeconds": 30}, {"visibilityTimeoutSeconds": 60}),
        ("aws:lambda/eventSourceMapping:EventSourceMapping", {"enabled": True}, {"enabled": False}),
        ("aws:ec2/subnet:Subnet", {"mapPublicIpOnLaunch": False}, {"mapPublicIpOnLaunch": True}),
        (
            "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
            {"productionVariants": [{"variantName": "a", "initialVariantWeight": 1}]},
            {"productionVariants": [{"variantName": "a", "initialVariantWeight": 2}]},
        ),
    ],
    ids=str,
)
def test_of_what_is_not_declared_only_what_aws_fills_in_is_no_difference(
    engine: Engine, token: str, usual: dict[str, Any], other: dict[str, Any]
) -> None:
    state = {"tagsAll": {"owner": "team"}}
    declared = {"productionVariants": [{"variantName": "a"}]} if "Variants" in str(usual) else {}
    assert none(engine.diff(token, "x", "x", state, usual, declared))
    assert list(engine.diff(token, "x", "x", state, other, declared).diffs) == list(other)


def test_every_row_has_a_sample() -> None:
    assert {token for token, *_ in SAMPLES} == set(ROWS)


def none(response: Any) -> bool:
    return response.changes == pb.DiffResponse.DIFF_NONE


# The samples build on each other, so the tests of one file run in this order.


def predecessors(token: str, name: str, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a sample is made with before it is replaced by what it declares."""
    row = ROWS[token]
    if name in REPLACED:
        return REPLACED[name]
    of_type = [sample for made, sample, *_ in SAMPLES if made == token]
    named = row.name in inputs and row.name in row.replace
    if not named or name != of_type[0] or set(of_type) & set(REPLACED):
        return []
    return [{row.name: f"{inputs[row.name]}-before"}]


def replaced(
    engine: Engine, token: str, name: str, old: tuple[str, Any, Any], declared: dict[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A replacement as the engine carries it out, with what the cloud says before and after."""
    row, (id_, state, inputs) = ROWS[token], old
    checked = engine.checked(token, name, declared, inputs)
    response = engine.diff(token, name, id_, state, inputs, checked)
    changed = set(crud.changed_properties(inputs, checked))
    assert set(response.replaces) == changed & set(row.replace) != set()
    assert all(
        response.detailedDiff[prop].kind == pb.PropertyDiff.UPDATE_REPLACE
        for prop in response.replaces
    )
    # The new one is checked without the old one's inputs: an automatic name is made anew.
    wanted = engine.checked(token, name, declared)
    if response.deleteBeforeReplace or name in DELETED_FIRST:
        if name in DELETED_FIRST:
            with pytest.raises(EngineError, match=f"create of {token}"):
                engine.create(token, name, wanted)
        engine.delete(token, name, id_, state)
        assert_gone(engine, token, name, old)
        new_id, new = engine.create(token, name, wanted)
    else:
        new_id, new = engine.create(token, name, wanted)
        assert engine.read(token, name, id_, state, inputs).id, "the old one went too early"
        engine.delete(token, name, id_, state)
        if new_id != id_:
            assert_gone(engine, token, name, old)
    found = crud.read(row, new_id, new, engine.provider.session.scope(None))
    assert found is not None, "what was made instead went with the old one"
    told = {prop: found[prop] for prop in response.replaces if prop in found and prop in wanted}
    assert shapes.canonical(told) == shapes.canonical({prop: wanted[prop] for prop in told})
    return new_id, new, wanted


def assert_gone(
    engine: Engine, token: str, name: str, old: tuple[str, dict[str, Any], dict[str, Any]]
) -> None:
    id_, state, inputs = old
    left = engine.read(token, name, id_, state, inputs)
    if token in ALWAYS_THERE:
        found = decode(left.inputs)
        if "policy" in found:
            found["policy"] = json.loads(found["policy"]).get("Id")
        assert {**inputs, **ALWAYS_THERE[token]} == {**inputs, **found}
    else:
        assert not left.id, f"{token} {id_} is still there"


def test_every_type_with_force_new_inputs_is_replaced() -> None:
    carried_out = {token for token, name, inputs, _ in SAMPLES if predecessors(token, name, inputs)}
    forced = {token for token, row in ROWS.items() if row.replace}
    assert carried_out == forced - set(NOT_REPLACED)
    assert set(NOT_REPLACED) <= forced
    assert {*REPLACED, *DELETED_FIRST} <= {name for _, name, *_ in SAMPLES}


@pytest.mark.parametrize(("token", "name", "inputs", "change"), SAMPLES, ids=lambda v: str(v)[:60])
def test_made_read_and_imported_without_a_difference(
    engine: Engine, made: Made, token: str, name: str, inputs: Any, change: Any
) -> None:
    row = ROWS[token]
    first, *following = [
        made.resolve({**inputs, **other}) for other in [*predecessors(token, name, inputs), {}]
    ]
    wanted = engine.checked(token, name, first)
    id_, state = engine.create(token, name, wanted)
    assert id_
    for declared in following:
        id_, state, wanted = replaced(engine, token, name, (id_, state, wanted), declared)
    made.things[name] = (token, id_, state, wanted)

    assert none(engine.diff(token, name, id_, state, wanted, wanted))

    read = engine.read(token, name, id_, state, wanted)
    assert read.id == id_, "a resource that was just made must be found"
    assert decode(read.inputs) == wanted
    assert decode(read.properties) == state
    found = crud.read(row, id_, state, engine.provider.session.scope(None)) or {}
    silent = {*row.unread, *row.ignored, *row.replace, row.name, "tags", "region"}
    untold = {
        key
        for key, value in wanted.items()
        if value and key not in found and value != row.defaults.get(key)
    }
    assert untold <= silent, "its removal would not be seen, or be seen where there was none"

    place = {"account": DEV, "region": REGION, "partition": "aws"}
    known = recovery.import_id(token, wanted, place)
    assert (known is not None) is (token in recovery.IDS)
    if known is not None:
        adopted = engine.read(token, name, known, {}, wanted)
        assert adopted.id == id_, "what an interrupted creation left must be found"
        assert decode(adopted.inputs) == wanted
        assert state == {
            key: value for key, value in decode(adopted.properties).items() if key in state
        }

    if not ROWS[token].importable:
        with pytest.raises(EngineError, match=f"imports no {token}"):
            engine.read(token, name, id_)
        return
    imported = engine.read(
        token, name, IMPORTED_BY.get(token, "{id}").format(**{**state, "id": id_})
    )
    assert imported.id == id_
    found, found_inputs = decode(imported.properties), decode(imported.inputs)
    excused = NOT_IMPORTED.get(token, {})
    failures = engine.check(token, name, found_inputs).failures
    assert {failure.property for failure in failures} <= set(excused), failures
    response = engine.diff(token, name, id_, found, found_inputs, wanted)
    assert set(response.diffs) <= set(excused), {
        prop: json.dumps((found_inputs.get(prop), wanted.get(prop))) for prop in response.diffs
    }
    for key, value in state.items():
        if key in found and key not in wanted:
            assert shapes.canonical(found[key]) == shapes.canonical(value), key


@pytest.mark.parametrize(
    ("token", "name", "change"),
    [(token, name, change) for token, name, _, change in SAMPLES if change is not None],
    ids=lambda v: str(v)[:60],
)
def test_changed_in_place(
    engine: Engine, made: Made, token: str, name: str, change: dict[str, Any]
) -> None:
    _, id_, state, inputs = made.things[name]
    wanted = engine.checked(token, name, {**inputs, **made.resolve(change)}, inputs)
    response = engine.diff(token, name, id_, state, inputs, wanted)
    assert response.changes == pb.DiffResponse.DIFF_SOME
    assert not response.replaces
    assert set(change) <= set(response.diffs)

    new = engine.update(token, name, id_, state, wanted)
    read = engine.read(token, name, id_, new, wanted)
    assert decode(read.inputs) == wanted
    assert decode(read.properties) == new
    # What was read is what was asked for, not only what is remembered.
    if not ROWS[token].importable:
        return
    by = IMPORTED_BY.get(token, "{id}").format(**{**new, "id": id_})
    fresh = decode(engine.read(token, name, by).inputs)
    assert set(change) - set(fresh) <= {"tags", *NOT_IMPORTED.get(token, {})}
    for key, value in made.resolve(change).items():
        if key in fresh and key != "tags":
            assert shapes.canonical(shapes.merge(value, fresh[key])) == shapes.canonical(value)
    made.things[name] = (token, id_, new, wanted)


@pytest.mark.parametrize("token", sorted(ROWS))
def test_a_forced_replacement_is_told(engine: Engine, made: Made, token: str) -> None:
    row = ROWS[token]
    samples = [name for sample, name, *_ in SAMPLES if sample == token]
    for name in samples[:1]:
        _, id_, state, inputs = made.things[name]
        for prop in row.replace:
            if prop in inputs and isinstance(inputs[prop], str):
                response = engine.diff(
                    token, name, id_, state, inputs, {**inputs, prop: "something-else"}
                )
                assert list(response.replaces) == [prop]
                assert response.detailedDiff[prop].kind == pb.PropertyDiff.UPDATE_REPLACE


def test_an_object_put_again_is_the_new_one_with_its_tags(cloud: Cloud, made: Made) -> None:
    s3, bucket = cloud.client("s3", DEV), "sample-objects"
    _, _, state, _ = made.things["sourcezip"]
    found = s3.get_object(Bucket=bucket, Key="code.zip")
    assert (found["VersionId"], found["ETag"]) == (state["versionId"], f'"{state["etag"]}"')
    assert len(s3.list_object_versions(Bucket=bucket, Prefix="code.zip")["Versions"]) == 2
    with zipfile.ZipFile(io.BytesIO(found["Body"].read())) as packed:
        assert {name: packed.read(name) for name in packed.namelist()} == {"main.py": b"print(2)"}
    tags = s3.get_object_tagging(Bucket=bucket, Key="code.zip")["TagSet"]
    assert tags == [{"Key": "owner", "Value": "team"}]
    template = s3.head_object(Bucket=bucket, Key="templates/product.json")
    assert template["ServerSideEncryption"] == "aws:kms"
    assert template["SSEKMSKeyId"] == made.things["key"][2]["arn"]


def test_an_asset_elsewhere_with_the_same_content_is_no_change(engine: Engine, made: Made) -> None:
    token, id_, state, inputs = made.things["sourcezip"]
    signed = {key: value for key, value in inputs["source"].items() if key != "assets"}
    moved = {**inputs, "source": {**signed, "path": "elsewhere/code.zip"}}
    assert none(engine.diff(token, "sourcezip", id_, state, inputs, moved))


def test_a_bucket_policy_changed_behind_pulumis_back_is_drift(
    cloud: Cloud, engine: Engine, made: Made
) -> None:
    token, id_, state, inputs = made.things["bucketpolicy"]
    s3 = cloud.client("s3", DEV)
    s3.put_bucket_policy(Bucket="sample-bucket", Policy=inputs["policy"].replace("Allow", "Deny"))
    read = engine.read(token, "bucketpolicy", id_, state, inputs)
    assert '"Deny"' in decode(read.inputs)["policy"]
    response = engine.diff(
        token, "bucketpolicy", id_, decode(read.properties), decode(read.inputs), inputs
    )
    assert list(response.diffs) == ["policy"]
    engine.update(token, "bucketpolicy", id_, decode(read.properties), inputs)


def test_tags_changed_behind_pulumis_back_are_drift(
    cloud: Cloud, engine: Engine, made: Made
) -> None:
    token, id_, state, inputs = made.things["role"]
    cloud.client("iam", DEV).tag_role(RoleName=id_, Tags=[{"Key": "a", "Value": "other"}])
    read = engine.read(token, "role", id_, state, inputs)
    assert decode(read.inputs)["tags"] == {"a": "other"}
    cloud.client("iam", DEV).tag_role(RoleName=id_, Tags=[{"Key": "a", "Value": "c"}])


def without_notifications(cloud: Cloud, id_: str) -> None:
    budgets, named = cloud.client("budgets", DEV), {"AccountId": DEV, "BudgetName": "sample"}
    for held in budgets.describe_notifications_for_budget(**named)["Notifications"]:
        budgets.delete_notification(**named, Notification=held)


TAKEN_AWAY: dict[str, tuple[set[str], Callable[[Cloud, str], Any]]] = {
    "buildrole": (
        {"permissionsBoundary"},
        lambda cloud, id_: cloud.client("iam").delete_role_permissions_boundary(RoleName=id_),
    ),
    "topic": (
        {"kmsMasterKeyId"},
        lambda cloud, id_: cloud.client("sns").set_topic_attributes(
            TopicArn=id_, AttributeName="KmsMasterKeyId", AttributeValue=""
        ),
    ),
    "queue": (
        {"kmsMasterKeyId"},
        lambda cloud, id_: cloud.client("sqs").set_queue_attributes(
            QueueUrl=id_, Attributes={"KmsMasterKeyId": ""}
        ),
    ),
    "function": (
        {"kmsKeyArn", "deadLetterConfig"},
        lambda cloud, id_: cloud.client("lambda").update_function_configuration(
            FunctionName=id_, KMSKeyArn="", DeadLetterConfig={"TargetArn": ""}
        ),
    ),
    "interfaceendpoint": (
        {"securityGroupIds"},
        lambda cloud, id_: cloud.client("ec2").modify_vpc_endpoint(
            VpcEndpointId=id_, RemoveSecurityGroupIds=groups_of(cloud, id_)
        ),
    ),
    "objectversioning": (
        {"versioningConfiguration"},
        lambda cloud, id_: cloud.client("s3").put_bucket_versioning(
            Bucket=id_, VersioningConfiguration={"Status": "Suspended"}
        ),
    ),
    "budget": ({"notifications"}, without_notifications),
    "project": (
        {"vpcConfig"},
        lambda cloud, id_: cloud.client("codebuild").update_project(name="sample", vpcConfig={}),
    ),
}
"""Sample -> the properties that somebody takes away with the API alone, and how."""


def groups_of(cloud: Cloud, endpoint: str) -> list[str]:
    asked = cloud.client("ec2").describe_vpc_endpoints(VpcEndpointIds=[endpoint])
    return [group["GroupId"] for group in asked["VpcEndpoints"][0]["Groups"]]


@pytest.mark.parametrize("name", TAKEN_AWAY)
def test_what_is_taken_away_behind_pulumis_back_is_drift_and_comes_back(
    cloud: Cloud, engine: Engine, made: Made, name: str
) -> None:
    token, id_, state, inputs = made.things[name]
    properties, take_away = TAKEN_AWAY[name]
    take_away(cloud, id_)

    read = engine.read(token, name, id_, state, inputs)
    found, found_inputs = decode(read.properties), decode(read.inputs)
    response = engine.diff(token, name, id_, found, found_inputs, inputs)
    assert set(response.diffs) == properties
    assert not response.replaces
    left = {key: value for key, value in inputs.items() if key not in properties}
    assert {key: found_inputs[key] for key in left} == left

    mended = engine.update(token, name, id_, found, inputs)
    read = engine.read(token, name, id_, mended, inputs)
    assert decode(read.inputs) == inputs
    told = crud.read(ROWS[token], id_, mended, engine.provider.session.scope(None))
    assert properties <= set(told)
    made.things[name] = (token, id_, mended, inputs)


@pytest.mark.parametrize(
    ("token", "inputs", "path", "hint"),
    [
        ("aws:s3/bucket:Bucket", {"buckt": "x"}, "buckt", "bucket"),
        (
            "aws:s3/bucketVersioning:BucketVersioning",
            {"bucket": "x", "versioningConfiguration": {"state": "Enabled"}},
            "versioningConfiguration.state",
            "status",
        ),
        (
            "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
            {"bucket": "x", "rules": [{"id": "a", "status": "Enabled", "expiry": {}}]},
            "rules[0].expiry",
            "expiration",
        ),
    ],
)
def test_a_misspelt_input_is_an_error_with_its_path(
    engine: Engine, token: str, inputs: Any, path: str, hint: str
) -> None:
    failures = engine.check(token, "x", inputs).failures
    assert [failure.property for failure in failures] == [path]
    assert hint in failures[0].reason


@pytest.mark.parametrize(
    ("token", "inputs", "told"),
    [
        (
            "aws:s3/bucketVersioning:BucketVersioning",
            {"bucket": "x", "versioningConfiguration": {"status": "On"}},
            "Enabled, Suspended",
        ),
        ("aws:kms/key:Key", {"keyUsage": "EVERYTHING"}, "ENCRYPT_DECRYPT"),
        (
            "aws:sagemaker/modelPackageGroup:ModelPackageGroup",
            {"modelPackageGroupName": "no spaces allowed"},
            "does not match",
        ),
    ],
)
def test_a_value_that_the_api_model_forbids_is_refused_before_anything_is_made(
    engine: Engine, token: str, inputs: Any, told: str
) -> None:
    [failure] = engine.check(token, "x", inputs).failures
    assert told in failure.reason


def test_a_property_that_no_call_takes_is_refused_with_the_file_to_change(engine: Engine) -> None:
    [failure] = engine.check(
        "aws:s3/bucket:Bucket", "x", {"bucket": "b", "acl": "private"}
    ).failures
    assert failure.property == "acl"
    assert "localcloud/provider/rows/s3.py" in failure.reason


ROUTE_TABLE, PARAMETER = "aws:ec2/routeTable:RouteTable", "aws:ssm/parameter:Parameter"
OF_TYPE = {"type": "String"}


@pytest.mark.parametrize(
    ("token", "inputs", "refused", "advice"),
    [
        (
            ROUTE_TABLE,
            {"vpcId": "vpc-1", "routes": [{"cidrBlock": "0.0.0.0/0", "gatewayId": "igw-1"}]},
            "routes",
            "make each route with aws.ec2.Route",
        ),
        (ROUTE_TABLE, {"vpcId": "vpc-1", "routes": []}, "routes", "aws.ec2.Route"),
        (ROUTE_TABLE, {"vpcId": "vpc-1", "propagatingVgws": ["vgw-1"]}, "propagatingVgws", "VPN"),
        (PARAMETER, {**OF_TYPE, "insecureValue": "x"}, "insecureValue", "use value"),
        (PARAMETER, {**OF_TYPE, "value": "x", "overwrite": True}, "overwrite", "import"),
        ("aws:cloudwatch/logGroup:LogGroup", {"skipDestroy": True}, "skipDestroy", "leave it out"),
        (
            "aws:lambda/function:Function",
            {"role": "arn:aws:iam::222222222222:role/x", "publish": True},
            "publish",
            "one version",
        ),
        (
            "aws:servicecatalog/portfolioShare:PortfolioShare",
            {
                "portfolioId": "port-1", "principalId": "333333333333", "type": "ACCOUNT",
                "waitForAcceptance": True,
            },
            "waitForAcceptance",
            "nothing waits",
        ),
    ],
)  # fmt: skip
def test_what_would_be_left_undone_is_refused_with_what_to_do_instead(
    engine: Engine, token: str, inputs: Any, refused: str, advice: str
) -> None:
    [failure] = engine.check(token, "x", inputs).failures
    assert failure.property == refused
    assert advice in failure.reason
    if inputs[refused] is True:
        assert not engine.check(token, "x", {**inputs, refused: False}).failures


@pytest.mark.parametrize(
    ("token", "inputs", "told"),
    [
        (
            "aws:guardduty/detector:Detector",
            {"enable": "yes"},
            "enable: guardduty:CreateDetector takes true or false here, not 'yes'",
        ),
        (
            "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
            {"bucket": "x", "blockPublicAcls": 1},
            "blockPublicAcls: s3:PutPublicAccessBlock takes true or false here, not 1",
        ),
        (
            "aws:iam/role:Role",
            {"assumeRolePolicy": "{}", "maxSessionDuration": "an hour"},
            "maxSessionDuration: iam:CreateRole takes a whole number here, not 'an hour'",
        ),
        (
            "aws:iam/role:Role",
            {"assumeRolePolicy": "{}", "maxSessionDuration": 3600.5},
            "maxSessionDuration: iam:CreateRole takes a whole number here, not 3600.5",
        ),
        (
            "aws:iam/role:Role",
            {"assumeRolePolicy": {"Version": "2012-10-17"}},
            "assumeRolePolicy: iam:CreateRole takes text here",
        ),
        (
            "aws:s3/bucketVersioning:BucketVersioning",
            {
                "bucket": "x",
                "versioningConfiguration": [{"status": "Enabled"}, {"status": "Suspended"}],
            },
            "versioningConfiguration: s3:PutBucketVersioning takes one object here",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_and_not_made_into_another(
    engine: Engine, token: str, inputs: Any, told: str
) -> None:
    [failure] = engine.check(token, "x", inputs).failures
    assert told in failure.reason


def test_text_that_says_true_or_false_is_taken(engine: Engine) -> None:
    token = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    inputs = {"bucket": "x", "blockPublicAcls": "true", "blockPublicPolicy": "false"}
    assert not engine.check(token, "x", inputs).failures


def test_a_required_property_is_asked_for(engine: Engine) -> None:
    properties = {f.property for f in engine.check("aws:ec2/subnet:Subnet", "x", {}).failures}
    assert properties == {"vpcId"}


def test_an_unknown_type_is_refused_with_the_file_to_change(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"aws:kinesis/stream:Stream.*rows/kinesis\.py"):
        engine.check("aws:kinesis/stream:Stream", "x", {})
    with pytest.raises(EngineError, match="no resource type"):
        engine.check("aws:kinesis/stream:Stram", "x", {})


def test_unknown_values_pass_the_check(engine: Engine) -> None:
    inputs = {"bucket": schema.UNKNOWN, "policy": schema.UNKNOWN}
    assert not engine.check("aws:s3/bucketPolicy:BucketPolicy", "x", inputs).failures


def test_a_name_is_made_once_and_kept(engine: Engine) -> None:
    token = "aws:sns/topic:Topic"
    first = engine.checked(token, "alerts", {})
    assert first["name"].startswith("alerts-")
    assert len(first["name"]) == len("alerts-") + 7
    assert engine.checked(token, "alerts", {}, first) == first


def test_a_wrong_account_is_refused(engine: Engine) -> None:
    arguments = encode({"region": "eu-west-1", "allowedAccountIds": ["999999999999"]})
    with pytest.raises(EngineError, match=f"{DEV}.*not allowed.*999999999999"):
        Provider(ROWS).Configure(pb.ConfigureRequest(args=arguments), CONTEXT)


def configured() -> Provider:
    provider = Provider(ROWS)
    provider.Configure(pb.ConfigureRequest(args=encode({"region": "eu-west-1"})), CONTEXT)
    return provider


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT_URL", ""),
        ("AWS_ENDPOINT_URL", "https://sts.amazonaws.com"),
        ("AWS_ENDPOINT_URL", "http://10.0.0.1:80"),
        ("AWS_ENDPOINT_URL_S3", "https://s3.amazonaws.com"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
        ("PULUMI_ACCESS_TOKEN", "pul-0123"),
        ("PULUMI_BACKEND_URL", "https://api.pulumi.com"),
        ("PULUMI_BACKEND_URL", "s3://company-state"),
        ("PULUMI_BACKEND_URL", "s3://state?awssdk=v2&endpoint=https://s3.amazonaws.com"),
    ],
)
def test_what_was_exported_since_and_leads_elsewhere_is_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(EngineError, match="only speaks to this machine") as refused:
        configured()
    assert f"  - {name}" in str(refused.value)


def test_a_job_may_take_its_token_to_the_local_cloud(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///tmp/state")
    assert configured().session


@pytest.mark.parametrize("backend", ["file:///tmp/state?metadata=skip", "s3://state?awssdk=v2"])
def test_builds_have_keys_of_their_own_and_a_backend_on_this_machine(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", backend)
    session = configured().session
    assert session is not None
    assert session.account == DEV


def test_a_shell_of_a_local_cloud_that_has_ended_is_refused(
    engine: Engine, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALCLOUD_INSTANCE", cloud.started.instance)
    assert configured().session
    monkeypatch.setenv("LOCALCLOUD_INSTANCE", "20250101-000000-abcd")
    with pytest.raises(EngineError, match=r"local cloud 20250101-000000-abcd, which has ended"):
        configured()


def test_every_property_of_every_row_exists_in_the_sdk() -> None:
    for token, row in ROWS.items():
        known = schema.schema(token)
        assert known is not None, token
        named = {*row.replace, *row.ignored, *row.refused, *row.defaults} | ({row.name} - {""})
        named |= set(row.unread)
        # What needs a new resource is no drift anyway: a reason beside it would say nothing.
        assert not set(row.unread) & {*row.replace, *row.ignored}, token
        assert named <= set(known.inputs), (token, named - set(known.inputs))
        for call in (row.create, *row.update, row.read, row.delete):
            if call is not None:
                shapes.operation(row.service, call.operation)


def test_functions_tell_of_a_network_what_was_made_of_it(engine: Engine, cloud: Cloud) -> None:
    ec2 = cloud.client("ec2", DEV)
    vpc = ec2.create_vpc(CidrBlock="10.90.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.90.0.0/24")["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    own = ec2.create_managed_prefix_list(
        PrefixListName="offices",
        MaxEntries=5,
        AddressFamily="IPv4",
        Entries=[{"Cidr": "203.0.113.0/24", "Description": "here"}],
    )["PrefixList"]["PrefixListId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    sources: tuple[dict[str, Any], ...] = (
        {"IpRanges": [{"CidrIp": "10.90.0.0/24"}]},
        {"Ipv6Ranges": [{"CidrIpv6": "fd00::/8"}]},
        {"PrefixListIds": [{"PrefixListId": own}]},
        {"UserIdGroupPairs": [{"GroupId": group}]},
    )
    for source in sources:
        https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **source}
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[https])
    made = [
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            VpcEndpointType="Gateway",
            ServiceName=f"com.amazonaws.{REGION}.s3",
            RouteTableIds=[table],
        )["VpcEndpoint"]["VpcEndpointId"]
        for _ in range(2)
    ]
    ec2.delete_vpc_endpoints(VpcEndpointIds=made[:1])

    tables = engine.invoke("aws:ec2/getRouteTables:getRouteTables", vpcId=vpc)["ids"]
    found = [
        engine.invoke("aws:ec2/getRouteTable:getRouteTable", routeTableId=each) for each in tables
    ]
    routed = {a["subnetId"] or a["main"]: t for t in found for a in t["associations"]}
    assert set(routed) == {subnet, True}
    # As the real provider does, without the VPC's own addresses and those of gateway endpoints.
    [route] = routed[subnet]["routes"]
    assert (route["cidrBlock"], route["gatewayId"]) == ("0.0.0.0/0", gateway)
    assert routed[True]["routes"] == []

    filters = [{"name": "group-id", "values": [group]}]
    ids = engine.invoke("aws:vpc/getSecurityGroupRules:getSecurityGroupRules", filters=filters)
    rules = [
        engine.invoke("aws:vpc/getSecurityGroupRule:getSecurityGroupRule", securityGroupRuleId=id_)
        for id_ in ids["ids"]
    ]
    peers = ("cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId")
    assert {
        (rule["isEgress"], rule["ipProtocol"], rule["fromPort"], *(rule[key] for key in peers))
        for rule in rules
    } == {
        (True, "-1", -1, "0.0.0.0/0", "", "", ""),
        (False, "tcp", 443, "10.90.0.0/24", "", "", ""),
        (False, "tcp", 443, "", "fd00::/8", "", ""),
        (False, "tcp", 443, "", "", own, ""),
        (False, "tcp", 443, "", "", "", group),
    }

    lists = "aws:ec2/getManagedPrefixList:getManagedPrefixList"
    assert engine.invoke(lists, id=own)["entries"] == [
        {"cidr": "203.0.113.0/24", "description": "here"}
    ]
    of_s3 = engine.invoke(lists, name=f"com.amazonaws.{REGION}.s3")
    assert of_s3["ownerId"] == "AWS"
    assert of_s3["entries"]
    endpoint = engine.invoke(
        "aws:ec2/getVpcEndpoint:getVpcEndpoint",
        vpcId=vpc, serviceName=f"com.amazonaws.{REGION}.s3", vpcEndpointType="Gateway",
    )  # fmt: skip
    assert (endpoint["id"], endpoint["routeTableIds"]) == (made[1], [table])
    with pytest.raises(EngineError, match="no matching"):
        engine.invoke(
            "aws:ec2/getVpcEndpoint:getVpcEndpoint", vpcId=vpc, vpcEndpointType="Interface"
        )


def test_what_is_forgotten_half_way_is_removed_again(
    engine: Engine, cloud: Cloud, monkeypatch: Any
) -> None:
    def fail(*arguments: Any) -> None:
        raise crud.ResourceError("no tags today")

    monkeypatch.setattr(crud, "_put_tags", fail)
    with pytest.raises(EngineError, match=r"create of aws:s3/bucket:Bucket 'half'.*no tags today"):
        engine.create("aws:s3/bucket:Bucket", "half", {"bucket": "half-made"})
    listed = cloud.client("s3", DEV).list_buckets()["Buckets"]
    assert "half-made" not in [bucket["Name"] for bucket in listed]


def test_a_bucket_with_objects_is_kept_unless_forced(
    engine: Engine, cloud: Cloud, made: Made
) -> None:
    token, id_, state, _ = made.things["bucket"]
    cloud.client("s3", DEV).put_object(Bucket="sample-bucket", Key="a", Body=b"x")
    with pytest.raises(EngineError, match=r"not empty.*forceDestroy"):
        engine.delete(token, "bucket", id_, state)
    made.things["bucket"] = (token, id_, {**state, "forceDestroy": True}, {})


def test_all_versions_of_an_object_are_removed_and_no_others(
    engine: Engine, cloud: Cloud, made: Made
) -> None:
    s3, bucket = cloud.client("s3", DEV), "sample-objects"
    s3.put_object(Bucket=bucket, Key="code.zip.other", Body=b"x")
    token, id_, state, _ = made.things["sourcezip"]
    for _ in range(2):  # the second finds nothing, and leaves no marker
        engine.delete(token, "sourcezip", id_, state)
        left = s3.list_object_versions(Bucket=bucket, Prefix="code.zip")
        assert [item["Key"] for item in left["Versions"]] == ["code.zip.other"]
        assert not left.get("DeleteMarkers")
    other = left["Versions"][0]["VersionId"]
    s3.delete_object(Bucket=bucket, Key="code.zip.other", VersionId=other)


def test_removed_in_reverse_and_gone_for_good(engine: Engine, made: Made) -> None:
    for name, (token, id_, state, _) in reversed(list(made.things.items())):
        engine.delete(token, name, id_, state)
        row = ROWS[token]
        if row.delete is not None and "Put" not in row.delete.operation:
            gone = engine.read(token, name, id_, state, {"x": "y"}).id
            if token not in ALWAYS_THERE:
                assert gone == "", f"{token} can still be read"
        engine.delete(token, name, id_, state)


def test_the_page_lists_which_calls_are_motos_and_which_ours(
    engine: Engine, cloud: Cloud, request: pytest.FixtureRequest
) -> None:
    """Runs last: what the samples made, read, changed and removed, they did by these calls."""
    counted = {
        (call["service"], call["operation"]): call["served_by"]
        for call in cloud.control("GET", "calls")
        if call["status"] < 300
    }
    lines = [
        "# Which API calls serve which resource type",
        "",
        "Derived by `tests/localcloud/test_provider.py` from the calls that the local cloud's AWS",
        "provider makes while it creates, reads, changes and removes one sample of each type;",
        "`pytest tests/localcloud/test_provider.py --update-golden` writes it anew. moto serves",
        "the calls in the second column, `localcloud/emulator/extensions/` those in the third.",
        "",
        "| type | moto | extensions |",
        "| --- | --- | --- |",
    ]
    for token in sorted(ROWS):
        by: dict[str, list[str]] = {"moto": [], "extension": []}
        for service, operation in sorted(engine.calls[token]):
            server = served_by(service, operation)
            # What answered is who the table says; an unserved call would have been an error.
            assert counted[service, operation] == server
            by[server].append(f"`{service}:{operation}`")
        lines.append(f"| `{token}` | {', '.join(by['moto'])} | {', '.join(by['extension'])} |")
    page = CHECKOUT.root / "docs" / "local-cloud-calls.md"
    text = "\n".join(lines) + "\n"
    if request.config.getoption("--update-golden"):
        page.write_text(text)
    assert page.read_text() == text


def test_what_is_not_known_yet_is_written_as_the_sdk_writes_it() -> None:
    assert schema.UNKNOWN == UNKNOWN
