"""The catalogue's function and its build: requests of CloudFormation, and the answers it gets."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import ANY, Stubber
from hypothesis import given
from hypothesis import strategies as st

from automation import account_factory, studio
from automation.projects.spec import ProjectSpec, SpecError, read_spec
from automation.projects.templates import load
from functions.vending import answer, build
from functions.vending.answer import Address, AnswerError, Result
from functions.vending.handler import Vendor, handle
from functions.vending.requests import (
    ACCOUNT,
    DOMAIN,
    ENVIRONMENTS,
    KINDS,
    PROJECT,
    USER,
    Kind,
    RequestError,
    launched_id,
    read_request,
    read_settings,
)

TEMPLATES = tuple(load())
IDENTITY, OTHER = "p-abcdefghij12", "p-zzzzzzzzzzzz"
STACK = "arn:aws:cloudformation:eu-west-1:222222222222:stack/SC-1/a"
WANTED = {
    "ServiceToken": "arn:aws:lambda:eu-west-1:111111111111:function:acme-governance-vending",
    "ProjectName": "houses",
    "ProjectId": IDENTITY,
    "Owner": "team",
    "CostCentre": "123",
    "Organization": "acme",
    "Template": "xgboost-realtime",
    "Targets": "preprod,prod",
    "Ci": "codepipeline",
    "TokenSecret": "",
}


ANN = {
    "ServiceToken": WANTED["ServiceToken"],
    "UserName": "ann",
    "Persona": "data-scientist",
    "Domain": "studio",
    "Owner": "team",
    "CostCentre": "123",
}
GROWTH = {
    "ServiceToken": WANTED["ServiceToken"],
    "DomainName": "growth",
    "BusinessUnit": "Growth",
    "FinanceOwner": "finance",
    "WorkloadEnvironment": "dev",
    "Owner": "team",
    "CostCentre": "123",
    "IdleTimeoutMinutes": "90",
}
SHOP = {
    "ServiceToken": WANTED["ServiceToken"],
    "AccountName": "shop-eu",
    "Email": "shop-eu@example.com",
    "Kind": "prod",
    "Owner": "team",
    "CostCentre": "123",
}
LAUNCHED = launched_id(STACK)


@dataclass
class CloudFormation:
    """Where answers go; ``statuses`` are given in order, 200 after them."""

    url: str
    statuses: list[int] = field(default_factory=list)
    puts: list[tuple[str | None, dict[str, Any]]] = field(default_factory=list)

    @property
    def said(self) -> dict[str, Any]:
        (put,) = self.puts
        return put[1]


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            status = there.statuses.pop(0) if there.statuses else 200
            if status == 200:
                there.puts.append((self.headers["Content-Type"], json.loads(content)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        there = CloudFormation(
            f"http://127.0.0.1:{server.server_address[1]}/answer?Signature=s3cr3t"
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield there
        server.shutdown()
        thread.join()


def request(kind: str, url: str, **changes: Any) -> dict[str, Any]:
    return about("Custom::Project", WANTED, IDENTITY, kind, url, **changes)


def about(
    resource: str, wanted: dict[str, str], identity: str, kind: str, url: str, **changes: Any
) -> dict[str, Any]:
    event = {
        "RequestType": kind,
        "RequestId": "r-1",
        "StackId": STACK,
        "LogicalResourceId": resource.rpartition("::")[2],
        "ResourceType": resource,
        "ResponseURL": url,
        "ResourceProperties": wanted | changes,
    }
    if kind != "Create":
        event["PhysicalResourceId"] = identity
    if kind == "Update":
        event["OldResourceProperties"] = wanted
    return event


class Hub:
    """A vendor on clients whose calls botocore checks against its models."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}  # pragma: allowlist secret
        self.codebuild = boto3.client("codebuild", region_name="eu-west-1", **keys)
        self.ssm = boto3.client("ssm", region_name="eu-west-1", **keys)
        self.builds, self.parameters = Stubber(self.codebuild), Stubber(self.ssm)
        self.builds.activate()
        self.parameters.activate()
        self.vendor = Vendor(
            self.codebuild,
            self.ssm,
            "acme-governance-vending",
            "/acme/governance",
            TEMPLATES,
        )
        self.started: list[dict[str, Any]] = []

    def has(self, identity: str | None, of: str = "projects/houses", **known: str) -> None:
        expected = {"Name": f"/acme/governance/{of}"}
        if identity is None:
            self.parameters.add_client_error(
                "get_parameter", "ParameterNotFound", expected_params=expected
            )
        else:
            value = json.dumps({"id": identity, **known})
            self.parameters.add_response("get_parameter", {"Parameter": {"Value": value}}, expected)

    def starts(self) -> None:
        def keep(params: dict[str, Any], **_: Any) -> None:
            self.started.append(params)

        self.codebuild.meta.events.register(
            "provide-client-params.codebuild.StartBuild", keep, "keep"
        )
        self.builds.add_response(
            "start_build",
            {"build": {"id": "acme-governance-vending:1"}},
            {
                "projectName": "acme-governance-vending",
                "idempotencyToken": ANY,
                "environmentVariablesOverride": ANY,
            },
        )

    def variables(self, index: int = 0) -> dict[str, str]:
        return {v["name"]: v["value"] for v in self.started[index]["environmentVariablesOverride"]}

    def done(self) -> None:
        self.builds.assert_no_pending_responses()
        self.parameters.assert_no_pending_responses()


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.done()


# --- what is asked for ---------------------------------------------------------------------------

_TEXT = st.one_of(
    st.sampled_from([*WANTED.values(), "", "preprod", "prod,preprod", "dev,preprod,prod", "github",
                     "a", "-a", "a--b", "A", "a" * 20, "a" * 21, "a b", "p-ABCDEFGHIJ12"]),
    st.text(max_size=25),
)  # fmt: skip


# The rules of a template's settings are the build's alone.
CHECKED = {name: told for name, told in PROJECT.properties.items() if name != "Settings"}


@given(changes=st.dictionaries(st.sampled_from(sorted(CHECKED)), _TEXT, max_size=3))
def test_it_refuses_what_the_command_line_refuses(changes: dict[str, str]) -> None:
    wanted = WANTED | changes
    try:
        settings = read_settings(PROJECT, wanted, TEMPLATES)
    except RequestError:
        settings = None
    asked: dict[str, Any] = {
        setting: wanted[name] for name, setting in CHECKED.items() if wanted[name] != ""
    }
    if "targets" in asked:
        asked["targets"] = [item.strip() for item in asked["targets"].split(",")]
        if asked["targets"] == [""]:
            del asked["targets"]
    try:
        # The command line has a default for these two: a product's form asks for them.
        spec = read_spec(asked) if {"id", "template"} <= set(asked) else None
    except SpecError:
        spec = None
    assert spec == (read_spec(settings) if settings is not None else None)


def test_every_mistake_is_told_at_once() -> None:
    wrong = {**WANTED, "ProjectName": "Houses", "Owner": "", "Targets": "prod,preprod", "Size": "1"}
    with pytest.raises(RequestError) as told:
        read_settings(PROJECT, wrong | {"Template": "no", "Ci": "github"}, TEMPLATES)
    for name in ("ProjectName", "Owner", "Targets", "Size", "Template", "TokenSecret"):
        assert f"{name}:" in str(told.value)


def test_environments_are_the_platforms() -> None:
    from components.naming import WORKLOAD_ENVIRONMENTS

    assert ENVIRONMENTS == WORKLOAD_ENVIRONMENTS


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a", "file:///etc/passwd", "http://169.254.169.254/latest",
     "https://amazonaws.com.example.com/", "https://user@x.amazonaws.com:1@example.com/", ""],
)  # fmt: skip
def test_it_answers_nobody_but_aws(url: str) -> None:
    with pytest.raises(AnswerError, match="no address of AWS"):
        read_request(request("Create", url))


# --- the function --------------------------------------------------------------------------------


def test_a_launch_starts_the_build_which_can_answer(
    hub: Hub, cloudformation: CloudFormation
) -> None:
    hub.has(None)
    hub.starts()
    assert hub.vendor.take(request("Create", cloudformation.url)) == "acme-governance-vending:1"
    variables = hub.variables()
    assert variables["ACTION"] == "create"
    assert (variables["COMMAND"], variables["NAME"]) == ("projects", "houses")
    settings = json.loads(variables["SETTINGS"])
    assert read_spec({"name": "houses", **settings}).id == IDENTITY
    assert not cloudformation.puts
    answer.send(Address.of(variables), Result(True, data={"ProjectId": IDENTITY}))
    kind, said = cloudformation.puts[0]
    assert not kind, "the address is signed without a type"
    assert said == {
        "Status": "SUCCESS",
        "PhysicalResourceId": IDENTITY,
        "StackId": STACK,
        "RequestId": "r-1",
        "LogicalResourceId": "Project",
        "Data": {"ProjectId": IDENTITY},
    }


def test_a_request_delivered_again_starts_the_same_build(
    hub: Hub, cloudformation: CloudFormation
) -> None:
    for identity in (None, IDENTITY, IDENTITY):
        hub.has(identity)
        hub.starts()
    event = request("Create", cloudformation.url)
    hub.vendor.take(event)
    hub.vendor.take(event)
    hub.vendor.take({**event, "RequestId": "r-2"})
    tokens = [params["idempotencyToken"] for params in hub.started]
    first, again, another = dict.fromkeys(tokens), tokens[1], tokens[-1]
    assert len(first) == 2
    assert tokens[0] == again != another


def test_a_wrong_launch_is_refused_at_once_and_its_removal_removes_nothing(
    hub: Hub, cloudformation: CloudFormation
) -> None:
    wrong = {"ProjectId": "p-1", "ProjectName": "Houses"}
    assert hub.vendor.take(request("Create", cloudformation.url, **wrong)) == "refused"
    assert cloudformation.said["Status"] == "FAILED"
    assert "ProjectName: expected" in cloudformation.said["Reason"]
    physical = cloudformation.said["PhysicalResourceId"]
    removal = request("Delete", cloudformation.url, **wrong) | {"PhysicalResourceId": physical}
    hub.vendor.take(removal)
    assert cloudformation.puts[1][1]["Status"] == "SUCCESS"
    assert cloudformation.puts[1][1]["PhysicalResourceId"] == physical


def test_a_name_that_is_taken_is_refused_and_the_other_project_stays(
    hub: Hub, cloudformation: CloudFormation
) -> None:
    hub.has(OTHER)
    hub.has(OTHER)
    hub.vendor.take(request("Create", cloudformation.url))
    assert "There is a project houses already" in cloudformation.said["Reason"]
    hub.vendor.take(request("Delete", cloudformation.url))
    assert cloudformation.puts[1][1]["Status"] == "SUCCESS"
    assert not hub.started


def test_an_update_sends_only_what_can_change(hub: Hub, cloudformation: CloudFormation) -> None:
    hub.has(IDENTITY)
    hub.starts()
    hub.vendor.take(request("Update", cloudformation.url, CostCentre="456", Targets="prod"))
    assert json.loads(hub.variables()["SETTINGS"]) == {
        "owner": "team",
        "cost_centre": "456",
        "targets": ["prod"],
    }


# What the hub's record of the project tells beside its id.
STANDS = {"template": "xgboost-realtime", "organization": "acme", "ci": "codepipeline"}


@pytest.mark.parametrize("known", [STANDS, {}], ids=["known", "made before its record told it"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("ProjectName", "homes"), ("ProjectId", OTHER), ("Organization", "others"),
     ("Template", "sentiment"), ("Ci", "github")],
)  # fmt: skip
def test_what_is_fixed_cannot_change(
    hub: Hub, cloudformation: CloudFormation, name: str, value: str, known: dict[str, str]
) -> None:
    event = request("Update", cloudformation.url, TokenSecret="arn", **{name: value})
    if name == "ProjectName":
        hub.parameters.add_client_error("get_parameter", "ParameterNotFound")
    else:
        hub.has(IDENTITY, **known)
    hub.vendor.take(event)
    assert cloudformation.said["Status"] == "FAILED"
    assert cloudformation.said["Reason"].startswith(f"{name} of a project cannot change")
    assert cloudformation.said["PhysicalResourceId"] == IDENTITY


@pytest.mark.parametrize(
    "refused",
    [{"ProjectName": "homes"}, {"ProjectId": OTHER}, {"Organization": "others"},
     {"Template": "sentiment", "Ci": "github"}, {"Owner": ""}],
    ids=lambda refused: ", ".join(refused),
)  # fmt: skip
def test_a_refused_update_is_taken_back(
    hub: Hub, cloudformation: CloudFormation, refused: dict[str, str]
) -> None:
    """CloudFormation asks for what stands, and tells the refused request as the one before."""
    event = request("Update", cloudformation.url)
    event["OldResourceProperties"] = WANTED | refused
    hub.has(IDENTITY, **STANDS)
    hub.starts()
    assert hub.vendor.take(event) == "acme-governance-vending:1"
    assert hub.variables()["ACTION"] == "update"
    assert not cloudformation.puts


@pytest.mark.parametrize("left_out", ["Ci", "Settings", "Targets"])
def test_what_a_form_leaves_out_is_no_change(
    hub: Hub, cloudformation: CloudFormation, left_out: str
) -> None:
    hub.has(IDENTITY, **STANDS)
    hub.starts()
    event = request("Update", cloudformation.url)
    event["ResourceProperties"] = {**WANTED, left_out: ""}
    assert hub.vendor.take(event) == "acme-governance-vending:1"


def test_what_is_left_out_is_what_the_command_line_makes() -> None:
    specs: dict[str, Any] = {
        "projects": ProjectSpec, "users": studio.UserSpec, "domains": studio.DomainSpec,
        "accounts": account_factory.AccountSpec,
    }  # fmt: skip
    for kind in KINDS.values():
        for setting, value in kind.fixed.items():
            if setting in kind.optional:
                assert specs[kind.command].model_fields[setting].default == value


def test_a_removal_starts_the_build(hub: Hub, cloudformation: CloudFormation) -> None:
    hub.has(IDENTITY)
    hub.starts()
    hub.vendor.take(request("Delete", cloudformation.url))
    assert hub.variables()["ACTION"] == "delete"
    assert hub.variables()["PHYSICAL_RESOURCE_ID"] == IDENTITY


def test_a_build_that_aws_refuses_is_told(hub: Hub, cloudformation: CloudFormation) -> None:
    hub.has(None)
    hub.builds.add_client_error("start_build", "AccountLimitExceededException", "too many builds")
    hub.vendor.take(request("Create", cloudformation.url))
    assert "too many builds" in cloudformation.said["Reason"]


def test_aws_out_of_reach_is_tried_again_by_lambda(
    hub: Hub, cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="codebuild")

    hub.has(None)
    monkeypatch.setattr(hub.codebuild, "start_build", broken)
    with pytest.raises(EndpointConnectionError):
        hub.vendor.take(request("Create", cloudformation.url))
    assert not cloudformation.puts, "the build may have started"


@pytest.mark.parametrize("status", ["FAILED", "STOPPED", "TIMED_OUT", "FAULT"])
def test_a_build_that_could_not_answer_is_answered_for(
    hub: Hub, cloudformation: CloudFormation, status: str
) -> None:
    address = Address(cloudformation.url, STACK, "r-1", "Project", IDENTITY)
    variables = [{"name": k, "value": v} for k, v in address.environment().items()]
    build = {
        "id": "acme-governance-vending:1",
        "currentPhase": "COMPLETED",
        "environment": {
            "type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL",
            "environmentVariables": variables,
        },
    }  # fmt: skip
    hub.builds.add_response("batch_get_builds", {"builds": [build]}, {"ids": [build["id"]]})
    detail = {"project-name": hub.vendor.build, "build-status": status, "build-id": build["id"]}
    hub.vendor.ended(detail)
    assert cloudformation.said["Status"] == "FAILED"
    assert f"ended {status}" in cloudformation.said["Reason"]
    assert hub.vendor.ended({**detail, "build-status": "SUCCEEDED"}) == "not a failed vending build"
    assert hub.vendor.ended({**detail, "project-name": "x"}) == "not a failed vending build"


def test_what_is_neither_is_an_error() -> None:
    with pytest.raises(ValueError, match="neither"):
        handle({"detail-type": "Scheduled Event"}, None)


# --- what administrators launch ------------------------------------------------------------------

_CHANGES = st.one_of(
    st.sampled_from(
        [*ANN.values(), *GROWTH.values(), *SHOP.values(), "", "lead-data-scientist", "59", "60",
         "525600", "525601", "1e3", " 60", "-a", "a--b", "A" * 63, "a" * 64, "a" * 21, "a" * 51,
         "a b", "ann\n", "a@b.c", "A+b@c.dd", "a@" + "b" * 60 + ".c", "a@b@c.dd", "\x1fa@bb.cc"]
    ),
    st.text(max_size=25),
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "wanted", "spec"),
    [
        (USER, ANN, studio.UserSpec),
        (DOMAIN, GROWTH, studio.DomainSpec),
        (ACCOUNT, SHOP, account_factory.AccountSpec),
    ],
    ids=["user", "domain", "account"],
)
def test_what_the_function_takes_the_command_line_takes(
    kind: Kind, wanted: dict[str, str], spec: Any
) -> None:
    @given(changes=st.dictionaries(st.sampled_from(sorted(kind.properties)), _CHANGES, max_size=3))
    def agree(changes: dict[str, str]) -> None:
        properties = wanted | changes
        try:
            settings = read_settings(kind, properties, TEMPLATES)
        except RequestError:
            settings = None
        asked = {
            setting: properties[name]
            for name, setting in kind.properties.items()
            if properties[name] != ""
        }
        try:
            read = spec.model_validate({**asked, "id": LAUNCHED})
        except ValueError:
            read = None
        # What is the platform's own the build tells, which knows its domain.
        if kind is DOMAIN and properties["DomainName"] == "studio":
            return
        # Numbers are written in more ways than a form sends.
        if kind is DOMAIN and not properties["IdleTimeoutMinutes"].isdecimal():
            return
        told = None if settings is None else spec.model_validate({**settings, "id": LAUNCHED})
        assert told == read

    agree()


@pytest.mark.parametrize(
    ("resource", "wanted", "command", "name"),
    [
        ("Custom::StudioUser", ANN, "users", "ann"),
        ("Custom::StudioDomain", GROWTH, "domains", "growth"),
        ("Custom::AwsAccount", SHOP, "accounts", "shop-eu"),
    ],
)
def test_administrators_launches_live_under_an_id_of_their_stack(
    hub: Hub,
    cloudformation: CloudFormation,
    resource: str,
    wanted: dict[str, str],
    command: str,
    name: str,
) -> None:
    for identity in (None, LAUNCHED, LAUNCHED):
        hub.has(identity, f"{command}/{name}")
        hub.starts()
    for kind in ("Create", "Update", "Delete"):
        changes = {"CostCentre": "456"} if kind == "Update" else {}
        event = about(resource, wanted, LAUNCHED, kind, cloudformation.url, **changes)
        assert hub.vendor.take(event) == "acme-governance-vending:1"
    created, updated, deleted = (hub.variables(number) for number in range(3))
    assert {v["COMMAND"] for v in (created, updated, deleted)} == {command}
    assert {v["NAME"] for v in (created, updated, deleted)} == {name}
    assert {v["PHYSICAL_RESOURCE_ID"] for v in (created, updated, deleted)} == {LAUNCHED}
    assert json.loads(created["SETTINGS"])["id"] == LAUNCHED
    settings = json.loads(updated["SETTINGS"])
    assert settings["cost_centre"] == "456"
    assert not {"id", "name", "domain", "email"} & set(settings)
    assert not cloudformation.puts


def test_a_user_of_another_launch_is_neither_made_nor_removed(
    hub: Hub, cloudformation: CloudFormation
) -> None:
    for _ in range(2):
        hub.has("v-zzzzzzzzzzzz", "users/ann")
    for kind in ("Create", "Delete"):
        hub.vendor.take(about("Custom::StudioUser", ANN, LAUNCHED, kind, cloudformation.url))
    (_, refused), (_, removed) = cloudformation.puts
    assert "There is a user ann already" in refused["Reason"]
    assert removed["Status"] == "SUCCESS"
    assert not hub.started


def test_a_user_stays_in_the_domain(hub: Hub, cloudformation: CloudFormation) -> None:
    hub.has(LAUNCHED, "users/ann", domain="studio")
    event = about(
        "Custom::StudioUser", ANN, LAUNCHED, "Update", cloudformation.url, Domain="growth"
    )
    hub.vendor.take(event)
    assert cloudformation.said["Reason"].startswith("Domain of a user cannot change")
    # Taken back, it is no change.
    hub.has(LAUNCHED, "users/ann", domain="studio")
    hub.starts()
    back = about("Custom::StudioUser", ANN, LAUNCHED, "Update", cloudformation.url)
    back["OldResourceProperties"] = event["ResourceProperties"]
    assert hub.vendor.take(back) == "acme-governance-vending:1"


def test_an_account_keeps_its_address_and_its_name(
    hub: Hub, cloudformation: CloudFormation
) -> None:
    for property_, value in (("Email", "other@example.com"), ("AccountName", "other")):
        renamed = property_ == "AccountName"
        known = {"email": "shop-eu@example.com", "kind": "prod"}
        hub.has(None, "accounts/other") if renamed else hub.has(
            LAUNCHED, "accounts/shop-eu", **known
        )
        event = about("Custom::AwsAccount", SHOP, LAUNCHED, "Update", cloudformation.url)
        event["ResourceProperties"] = {**SHOP, property_: value}
        assert hub.vendor.take(event) == "refused"
        told = cloudformation.puts[-1][1]["Reason"]
        assert told.startswith(f"{property_} of an account cannot change")
    # Another unit is no other account.
    hub.has(LAUNCHED, "accounts/shop-eu", **known)
    hub.starts()
    moved = about(
        "Custom::AwsAccount", SHOP, LAUNCHED, "Update", cloudformation.url, Kind="preprod"
    )
    assert hub.vendor.take(moved) == "acme-governance-vending:1"
    assert json.loads(hub.variables()["SETTINGS"])["kind"] == "preprod"


@pytest.mark.parametrize("name", ["", "-ann", "a" * 64])
def test_what_was_never_made_for_its_name_is_gone_at_once(
    hub: Hub, cloudformation: CloudFormation, name: str
) -> None:
    for kind in ("Create", "Delete"):
        event = about("Custom::StudioUser", ANN, LAUNCHED, kind, cloudformation.url, UserName=name)
        hub.vendor.take(event)
    (_, refused), (_, removed) = cloudformation.puts
    assert "UserName: " in refused["Reason"]
    assert removed["Status"] == "SUCCESS"


# --- answers -------------------------------------------------------------------------------------


def test_an_answer_waits_for_what_passes(cloudformation: CloudFormation) -> None:
    cloudformation.statuses[:] = [500, 503, 429]
    waited: list[float] = []
    address = Address(cloudformation.url, STACK, "r-1", "Project", IDENTITY)
    answer.send(address, Result(True), waited.append)
    assert cloudformation.said["Status"] == "SUCCESS"
    assert waited == sorted(waited)
    assert len(waited) == 3


def test_a_refused_answer_is_an_error_without_the_signature(
    cloudformation: CloudFormation,
) -> None:
    cloudformation.statuses[:] = [403]
    address = Address(cloudformation.url, STACK, "r-1", "Project", IDENTITY)
    with pytest.raises(AnswerError, match="HTTP 403") as told:
        answer.send(address, Result(True), lambda _: pytest.fail("tried again"))
    assert "s3cr3t" not in str(told.value)


@given(reason=st.text(max_size=9000))
def test_a_response_fits_and_a_failure_has_a_reason(reason: str) -> None:
    address = Address("https://x.amazonaws.com/a", STACK, "r-1", "Project", IDENTITY)
    content = answer.body(address, Result(False, reason))
    assert len(content) <= answer.MAX_BYTES
    assert json.loads(content)["Reason"]


def test_the_end_of_a_long_cause_is_kept() -> None:
    address = Address("https://x.amazonaws.com/a", STACK, "r-1", "Project", IDENTITY)
    content = answer.body(address, Result(False, '"\n' * 4000 + "the cause"))
    assert json.loads(content)["Reason"].endswith("the cause")


# --- the build -----------------------------------------------------------------------------------

BUILD = {
    "COMMAND": "projects",
    "ACTION": "create",
    "NAME": "houses",
    "IDENTITY": IDENTITY,
    "SETTINGS": json.dumps({"owner": "team; rm -rf /", "id": IDENTITY}),
    "OUTPUTS": json.dumps(PROJECT.outputs(WANTED)),
}


def nothing(*_: str) -> dict[str, str]:
    """Of what was made nothing is told beside what it was asked for by."""
    return {}


class Commands:
    def __init__(self, code: int = 0, said: str = "") -> None:
        self.code, self.said, self.files = code, said, dict[str, str]()
        self.ran: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> tuple[int, str]:
        self.ran.append(list(command[1:]))
        if "--file" in command:
            file = command[command.index("--file") + 1]
            self.files[file] = Path(file).read_text("utf-8")
        return self.code, self.said


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.command)
def test_the_build_runs_the_command_line_which_reads_its_settings(kind: Kind) -> None:
    from automation import cli

    commands = Commands()
    outputs = kind.outputs(WANTED | ANN | GROWTH | SHOP)
    environ = BUILD | {"COMMAND": kind.command, "OUTPUTS": json.dumps(outputs)}
    result = build.vend(environ, commands, lambda *_: None, nothing)
    assert result.ok
    assert result.data == outputs
    ((_, module, *arguments),) = commands.ran
    read = cli.parser().parse_args(arguments)
    assert (module, read.command) == ("automation", kind.command)
    assert (read.action, read.name) == ("create", "houses")
    assert json.loads(commands.files[str(read.file)])["owner"] == "team; rm -rf /"


def test_the_cause_of_a_failed_build_is_told() -> None:
    result = build.vend(
        BUILD, Commands(1, "The repository cannot be read"), lambda *_: None, nothing
    )
    assert not result.ok
    assert "The repository cannot be read" in result.reason


@pytest.mark.parametrize(
    ("action", "held", "ok", "runs"),
    [
        ("create", None, True, True),
        ("create", "", True, True),
        ("create", IDENTITY, True, True),
        ("create", OTHER, False, False),
        ("update", IDENTITY, True, True),
        ("delete", IDENTITY, True, True),
        ("delete", "", True, True),
        ("delete", None, True, False),
        ("delete", OTHER, True, False),
    ],
)
def test_no_other_project_is_touched(action: str, held: str | None, ok: bool, runs: bool) -> None:
    commands = Commands()
    result = build.vend({**BUILD, "ACTION": action}, commands, lambda *_: held, nothing)
    assert result.ok is ok
    assert bool(commands.ran) is runs


def test_an_accounts_id_is_told_once_it_is_made_and_that_it_stays_when_it_goes() -> None:
    commands, asked = Commands(), json.dumps(ACCOUNT.outputs(SHOP))
    environ = {**BUILD, "COMMAND": "accounts", "NAME": "shop-eu", "OUTPUTS": asked}

    def told(command: str, name: str) -> dict[str, str]:
        # Before it is made it has none, and once it was deleted neither.
        deleted = ["delete" in ran for ran in commands.ran]
        known = (command, name) == ("accounts", "shop-eu") and deleted == [False]
        return {"AccountId": "555555555555"} if known else {}

    made = build.vend(environ, commands, lambda *_: None, told)
    assert made.data == {"AccountName": "shop-eu", "AccountId": "555555555555"}
    assert set(made.data) == {*ACCOUNT.outputs(SHOP), *ACCOUNT.told}
    ending = {**environ, "ACTION": "delete", "OUTPUTS": "{}"}
    ended = build.vend(ending, commands, lambda *_: IDENTITY, told)
    assert ended.ok
    assert "The account is kept" in ended.reason
    # A creation that made none is rolled back: nothing stays.
    assert build.vend(ending, commands, lambda *_: IDENTITY, nothing).reason == ""


def test_a_command_is_shown_and_its_end_kept(capsys: pytest.CaptureFixture[str]) -> None:
    program = "for n in range(50): print(n)\nraise SystemExit(3)"
    code, said = build.run_command([sys.executable, "-c", program])
    assert code == 3
    assert said.splitlines()[-1] == "49"
    assert len(said.splitlines()) == 20
    assert capsys.readouterr().out.splitlines()[0] == "0"


def test_the_build_answers_at_its_end_whatever_happened(
    tmp_path: Path, cloudformation: CloudFormation
) -> None:
    address = Address(cloudformation.url, STACK, "r-1", "Project", IDENTITY)
    root = Path(build.__file__).parents[2]

    def run() -> None:
        subprocess.run(
            [sys.executable, "-m", "functions.vending.answer"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(root), **address.environment()},
            check=True,
        )

    run()
    answer.leave(Result(True, data={"ProjectName": "houses"}), tmp_path / answer.RESULT)
    run()
    first, second = (said for _, said in cloudformation.puts)
    assert first["Status"] == "FAILED"
    assert "ended before it could tell" in first["Reason"]
    assert (second["Status"], second["Data"]) == ("SUCCESS", {"ProjectName": "houses"})


def test_the_function_needs_only_boto3(tmp_path: Path) -> None:
    shutil.copytree(Path(build.__file__).parent, tmp_path / "functions" / "vending")
    shutil.copy(Path(build.__file__).parents[1] / "__init__.py", tmp_path / "functions")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import functions.vending.handler as handler\n"
        f"assert handler.__file__.startswith({str(tmp_path)!r})\n"
        "print({'pulumi', 'automation', 'pydantic'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/"
    )
    assert ran.stdout.strip() == "set()"
