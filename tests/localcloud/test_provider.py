"""Every row of the provider: made, read, changed, imported and removed against the emulator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import pytest
from pulumi.runtime.proto import provider_pb2 as pb

from localcloud.emulator.server import served_by
from localcloud.paths import CHECKOUT
from localcloud.provider import crud, schema, shapes, table
from localcloud.provider.server import Provider, decode, encode, loopback_endpoint
from tests.localcloud.emulators import DEV, Cloud, checkout, running
from tests.localcloud.provider_samples import SAMPLES

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


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("cloud"))) as cloud:
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
    """The samples that exist, in the order in which they were made."""

    def __init__(self) -> None:
        self.things: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {}

    def resolve(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.resolve(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.resolve(inner) for inner in value]
        if isinstance(value, str) and value.startswith("@"):
            name, _, prop = value[1:].partition(".")
            _, id_, outputs, _ = self.things[name]
            return outputs[prop] if prop else id_
        return value


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


def test_every_row_has_a_sample() -> None:
    assert {token for token, *_ in SAMPLES} == set(ROWS)


def none(response: Any) -> bool:
    return response.changes == pb.DiffResponse.DIFF_NONE


# The samples build on each other, so the tests of one file run in this order.


@pytest.mark.parametrize(("token", "name", "inputs", "change"), SAMPLES, ids=lambda v: str(v)[:60])
def test_made_read_and_imported_without_a_difference(
    engine: Engine, made: Made, token: str, name: str, inputs: Any, change: Any
) -> None:
    wanted = engine.checked(token, name, made.resolve(inputs))
    id_, state = engine.create(token, name, wanted)
    assert id_
    made.things[name] = (token, id_, state, wanted)

    assert none(engine.diff(token, name, id_, state, wanted, wanted))

    read = engine.read(token, name, id_, state, wanted)
    assert read.id == id_, "a resource that was just made must be found"
    assert decode(read.inputs) == wanted
    assert decode(read.properties) == state

    if not ROWS[token].importable:
        return
    imported = engine.read(token, name, id_)
    assert imported.id == id_
    found, found_inputs = decode(imported.properties), decode(imported.inputs)
    response = engine.diff(token, name, id_, found, found_inputs, {**found_inputs})
    assert none(response)
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
    fresh = decode(engine.read(token, name, id_).inputs)
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


@pytest.mark.parametrize("endpoint", ["", "https://sts.amazonaws.com", "http://10.0.0.1:80"])
def test_an_endpoint_elsewhere_is_refused(monkeypatch: Any, endpoint: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(Exception, match="only speaks to this machine"):
        loopback_endpoint()


def test_every_property_of_every_row_exists_in_the_sdk() -> None:
    for token, row in ROWS.items():
        known = schema.schema(token)
        assert known is not None, token
        named = {*row.replace, *row.ignored, *row.defaults} | ({row.name} - {""})
        assert named <= set(known.inputs), (token, named - set(known.inputs))
        for call in (row.create, *row.update, row.read, row.delete):
            if call is not None:
                shapes.operation(row.service, call.operation)


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


def test_removed_in_reverse_and_gone_for_good(engine: Engine, made: Made) -> None:
    for name, (token, id_, state, _) in reversed(list(made.things.items())):
        engine.delete(token, name, id_, state)
        row = ROWS[token]
        if row.delete is not None and "Put" not in row.delete.operation:
            gone = engine.read(token, name, id_, state, {"x": "y"}).id
            if "ByDefault" not in token and "DefaultKmsKey" not in token:
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
