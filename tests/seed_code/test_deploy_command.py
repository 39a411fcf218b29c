"""deploy.py: in which order it does what, what it records, and what it never says."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.session
import jsonschema
import pytest
import yaml
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from botocore.validate import validate_parameters

from tests.seed_code.deploy_repository import (
    ARN,
    BASE,
    ENVIRON,
    GROUP,
    MADE,
    REGION,
    TARGET,
    VERSION,
    render,
)

deploy, settings, verification = MADE.deploy, MADE.settings, MADE.verification
LAMBDA = botocore.session.get_session().get_service_model("lambda")
PLACE = settings.place("preprod", ENVIRON)
NEW = "acme-preprod-abalone-1111111"
WANTED = verification.Wanted(
    PLACE.endpoint, NEW, NEW, settings.Version.model_validate(VERSION), "package", "ml.m5.large"
)
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYSECRETKEY"
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLETOKEN"


class Functions:
    """The hub's function: keeps what it was asked, and answers as told."""

    def __init__(self, **answers: Any) -> None:
        self.answers: dict[str, Any] = {
            "begin": {"proceed": True, "sequence": 4, "version": VERSION},
            "finish": {"status": "Live"},
            **answers,
        }
        self.asked: list[dict[str, Any]] = []

    def invoke(self, **params: Any) -> dict[str, Any]:
        validate_parameters(params, LAMBDA.operation_model("Invoke").input_shape)
        assert params["FunctionName"] == PLACE.deployments_function_arn
        payload = json.loads(params["Payload"])
        self.asked.append(payload)
        answer = self.answers[payload["action"]]
        if isinstance(answer, Exception):
            raise answer
        error = {"FunctionError": "Unhandled"} if "errorMessage" in answer else {}
        return {"Payload": io.BytesIO(json.dumps(answer).encode()), **error}

    @property
    def finished(self) -> dict[str, Any]:
        [payload] = [asked for asked in self.asked if asked["action"] == "finish"]
        return payload


class SageMaker:
    """Lists and deletes configurations and models."""

    def __init__(self, *names: str, broken: tuple[str, ...] = ()) -> None:
        self.names, self.broken = list(names), broken
        self.deleted: list[tuple[str, str]] = []

    def get_paginator(self, operation: str) -> Any:
        items, member = {
            "list_endpoint_configs": ("EndpointConfigs", "EndpointConfigName"),
            "list_models": ("Models", "ModelName"),
        }[operation]
        pages = [{items: [{member: name}]} for name in self.names]
        return SimpleNamespace(paginate=lambda NameContains: pages)  # noqa: N803

    def delete_endpoint_config(self, EndpointConfigName: str) -> None:  # noqa: N803
        self._delete("config", EndpointConfigName)

    def delete_model(self, ModelName: str) -> None:  # noqa: N803
        self._delete("model", ModelName)

    def _delete(self, kind: str, name: str) -> None:
        if name in self.broken:
            raise client_error("AccessDeniedException", "no")
        self.deleted.append((kind, name))


def client_error(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


def request(arn: str = ARN, kind: str = "deploy") -> Any:
    return deploy.Request("preprod", arn, "run-1", kind)


def run(
    functions: Functions,
    carry_out: Callable[..., Any] | None = None,
    asked: Any = None,
) -> tuple[int, str]:
    said: list[str] = []
    sagemaker = SageMaker()
    code = deploy.deploy(
        PLACE,
        asked or request(),
        deploy.Hub(functions, None),
        {},
        said.append,
        carry_out or (lambda *_: (WANTED, sagemaker)),
    )
    return code, "\n".join(said)


def failing(error: BaseException) -> Callable[..., Any]:
    def carry_out(*_: Any) -> Any:
        raise error

    return carry_out


# -- begin and finish -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["deploy", "retreat", "rollback"])
def test_a_deployment_is_begun_carried_out_and_recorded(kind: str) -> None:
    functions = Functions()
    code, said = run(functions, asked=request(kind=kind))
    assert code == 0
    assert functions.asked == [
        {
            "action": "begin",
            "group": GROUP,
            "environment": "preprod",
            "model_package_arn": ARN,
            "execution": "run-1",
            "kind": kind,
        },
        {
            "action": "finish",
            "group": GROUP,
            "environment": "preprod",
            "sequence": 4,
            "outcome": "Live",
            "reason": "",
            "endpoint_config": NEW,
        },
    ]
    assert f"Live: {ARN}" in said


def test_a_refusal_is_told_and_nothing_is_done() -> None:
    functions = Functions(begin={"proceed": False, "status": "Refused", "reason": "no evidence"})
    code, said = run(functions, failing(AssertionError("not to be called")))
    assert (code, said) == (1, "Refused: no evidence")
    assert [asked["action"] for asked in functions.asked] == ["begin"]


@pytest.mark.parametrize(
    "answer",
    [
        {"proceed": "yes", "sequence": 1, "version": VERSION},
        {"errorMessage": "Task timed out"},
        {"proceed": True, "version": VERSION},
        {"proceed": True, "sequence": 1, "version": {}},
        client_error("AccessDeniedException", "may not invoke"),
    ],
)
def test_without_a_clear_yes_nothing_is_done(answer: Any) -> None:
    functions = Functions(begin=answer)
    code, _ = run(functions, failing(AssertionError("not to be called")))
    assert code == 1
    assert [asked["action"] for asked in functions.asked] == ["begin"]


@pytest.mark.parametrize(
    "arn",
    [
        ARN.replace("acme-governance-abalone", "acme-governance-other"),
        ARN.replace("111111111111", "999999999999"),
        ARN.replace("eu-west-1", "us-east-1"),
        ARN + "/x",
        "7",
    ],
)
def test_a_version_of_another_project_is_not_even_asked_for(arn: str) -> None:
    functions = Functions()
    code, said = run(functions, asked=request(arn))
    assert code == 1
    assert "no version of the project's group" in said
    assert functions.asked == []


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (deploy.DeploymentError("policy two-subnets: one"), "policy two-subnets: one"),
        (verification.NotLiveError("SageMaker rolled the update back"), "rolled the update back"),
        (client_error("AccessDenied", "may not assume"), "may not assume"),
        (KeyboardInterrupt(), "cancelled"),
        (RuntimeError("never thought of"), "never thought of"),
        (deploy.DeploymentError("x" * 5000), "x" * 900),
    ],
)
def test_any_failure_is_recorded_with_its_cause(error: BaseException, cause: str) -> None:
    functions = Functions(finish={"status": "RolledBack"})
    code, said = run(functions, failing(error))
    assert code == 1
    assert functions.finished["outcome"] == "Failed"
    assert cause in functions.finished["reason"]
    assert len(functions.finished["reason"]) <= 1000
    assert said.splitlines()[0].startswith("Failed (RolledBack)")


def test_another_version_than_asked_for_is_not_deployed() -> None:
    other = {**VERSION, "model_package_arn": ARN[:-1] + "8"}
    functions = Functions(begin={"proceed": True, "sequence": 4, "version": other})
    code, _ = run(functions, failing(AssertionError("not to be called")))
    assert code == 1
    assert "another version" in functions.finished["reason"]


@pytest.mark.parametrize(
    "answer", [{"status": "Failed"}, {"errorMessage": "broken"}, client_error("Throttled", "later")]
)
def test_what_is_not_recorded_as_live_is_no_success(answer: Any) -> None:
    assert run(Functions(finish=answer))[0] == 1


# -- carrying out ---------------------------------------------------------------------------------


def credentials() -> dict[str, Any]:
    return {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": SECRET, "SessionToken": TOKEN}


class Sts:
    """Gives the deploy role's credentials, and keeps which roles were asked for."""

    def __init__(self) -> None:
        self.roles: list[str] = []

    def assume_role(self, RoleArn: str, RoleSessionName: str) -> dict[str, Any]:  # noqa: N803
        self.roles.append(RoleArn)
        return {"Credentials": credentials()}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The steps of :func:`deploy.carry_out`, in the order in which they were done."""
    done: list[str] = []

    def step(name: str, result: Any = None) -> Callable[..., Any]:
        def take(*_: Any, **__: Any) -> Any:
            done.append(name)
            return result

        return take

    monkeypatch.setattr(deploy, "clear_failed_endpoint", step("clear"))
    monkeypatch.setattr(deploy, "bring_up", step("up", WANTED))
    monkeypatch.setattr(verification, "require_live", step("verify"))
    monkeypatch.setattr(deploy, "run_integration_tests", step("test"))
    return done


def carried_out() -> Any:
    hub = deploy.Hub(None, Sts())
    version = settings.Version.model_validate(VERSION)
    assert deploy.carry_out(PLACE, version, hub, {}, print)[0] == WANTED
    return hub


def test_update_then_verification_then_tests_as_the_deploy_role(steps: list[str]) -> None:
    hub = carried_out()
    assert steps == ["clear", "up", "verify", "test"]
    assert set(hub.sts.roles) == {f"arn:aws:iam::{TARGET}:role/acme-preprod-abalone-deploy"}


@pytest.mark.parametrize("broken", ["bring_up", "require_live", "run_integration_tests"])
def test_what_fails_stops_what_comes_after_it(
    steps: list[str], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise deploy.DeploymentError(broken)

    monkeypatch.setattr(verification if broken == "require_live" else deploy, broken, fail)
    with pytest.raises(deploy.DeploymentError, match=broken):
        carried_out()
    expected = {"bring_up": 1, "require_live": 2, "run_integration_tests": 3}
    assert len(steps) == expected[broken]


def stubbed(*answers: tuple[str, Any, Any]) -> tuple[Any, Stubber]:
    client = boto3.client(
        "sagemaker", region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
    )
    stub = Stubber(client)
    for operation, answer, params in answers:
        if isinstance(answer, str):
            stub.add_client_error(operation, "ValidationException", answer)
        else:
            stub.add_response(operation, answer, params)
    stub.activate()
    return client, stub


@pytest.mark.parametrize(("status", "deleted"), [("Failed", True), ("InService", False)])
def test_only_an_endpoint_that_failed_is_deleted_before(status: str, deleted: bool) -> None:
    now = time.time()
    answer = {
        "EndpointName": PLACE.endpoint,
        "EndpointArn": f"arn:aws:sagemaker:{REGION}:{TARGET}:endpoint/{PLACE.endpoint}",
        "EndpointStatus": status,
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    named = {"EndpointName": PLACE.endpoint}
    answers: list[tuple[str, Any, Any]] = [("describe_endpoint", answer, named)]
    if deleted:
        answers += [
            ("delete_endpoint", {}, named),
            ("describe_endpoint", 'Could not find endpoint "x".', None),
        ]
    client, stub = stubbed(*answers)
    deploy.clear_failed_endpoint(client, PLACE, timeout_seconds=1, say=lambda _: None)
    stub.assert_no_pending_responses()


def planned(type_: str, inputs: dict[str, Any] | None) -> Any:
    """An event of a preview: of a resource that is to be there, or to go."""
    new = inputs if inputs is None else SimpleNamespace(type=type_, inputs=inputs)
    metadata = SimpleNamespace(type=type_, new=new)
    return SimpleNamespace(resource_pre_event=SimpleNamespace(metadata=metadata))


CONFIGURED = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
SCALED = "aws:appautoscaling/target:Target"


def test_a_preview_tells_on_what_the_endpoint_is_to_run_and_whether_it_scales() -> None:
    variants = [{"variantName": "AllTraffic", "instanceType": "ml.m5.large", "modelName": "m"}]
    plan = deploy.Plan()
    for event in (
        SimpleNamespace(resource_pre_event=None),
        planned("aws:sagemaker/model:Model", {}),
        planned(CONFIGURED, {"productionVariants": variants}),
        planned(CONFIGURED, None),
        planned(SCALED, None),
    ):
        plan.note(event)
    assert plan == deploy.Plan({"AllTraffic": "ml.m5.large"}, scales=False)
    plan.note(planned(SCALED, {"minCapacity": 1}))
    assert plan.scales


class Target:
    """An account with an endpoint, by a session's clients; keeps what was deregistered."""

    def __init__(self, live: str | None, *, scaled: bool) -> None:
        self.live, self.scaled = live, scaled
        self.deregistered: list[str] = []

    def client(self, service: str) -> Any:
        assert service in ("sagemaker", "application-autoscaling")
        return self

    def describe_endpoint(self, **_: str) -> Any:
        if self.live is None:
            told = {"Code": "ValidationException", "Message": 'Could not find endpoint "x".'}
            raise ClientError({"Error": told}, "DescribeEndpoint")
        return {
            "EndpointStatus": "InService",
            "EndpointConfigName": "c",
            "ProductionVariants": [{"VariantName": "AllTraffic"}],
        }

    def describe_endpoint_config(self, **_: str) -> Any:
        if not self.live:
            told = {
                "Code": "ValidationException",
                "Message": 'Could not find endpoint configuration "c".',
            }
            raise ClientError({"Error": told}, "DescribeEndpointConfig")
        return {"ProductionVariants": [{"VariantName": "AllTraffic", "InstanceType": self.live}]}

    def describe_scalable_targets(self, **asked: Any) -> Any:
        [resource] = asked.pop("ResourceIds")
        return {"ScalableTargets": [{"ResourceId": resource, **asked}] if self.scaled else []}

    def deregister_scalable_target(self, **named: str) -> None:
        assert named["ServiceNamespace"] == "sagemaker"
        assert named["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
        self.deregistered.append(named["ResourceId"])


SAME = {"AllTraffic": "ml.m5.large"}


@pytest.mark.parametrize(
    ("live", "scaled", "wanted", "scales", "leaves"),
    [
        ("ml.m5.large", True, SAME, True, False),
        ("ml.m5.xlarge", True, SAME, True, True),
        ("ml.m5.large", True, SAME, False, True),
        ("ml.m5.large", True, {"Other": "ml.m5.large"}, True, True),
        ("ml.m5.xlarge", False, SAME, True, False),
        # The endpoint's configuration was deleted under it.
        ("", True, SAME, True, True),
        (None, False, SAME, True, False),
        # It is to go altogether.
        ("ml.m5.large", True, {}, False, False),
    ],
)
def test_an_endpoint_leaves_scaling_before_an_update_that_would_be_refused(
    live: str | None, scaled: bool, wanted: dict[str, str], scales: bool, leaves: bool
) -> None:
    target, said = Target(live, scaled=scaled), list[str]()
    plan = deploy.Plan(wanted, scales)
    deploy.leave_scaling(target, PLACE, plan, timeout_seconds=1, say=said.append)
    expected = [f"endpoint/{PLACE.endpoint}/variant/AllTraffic"] if leaves else []
    assert target.deregistered == expected
    assert len(said) == len(expected)


def test_only_what_earlier_versions_of_this_endpoint_left_is_deleted() -> None:
    sagemaker = SageMaker(
        NEW, "acme-preprod-abalone-0000000", "acme-preprod-abalone-2-0000000",
        "acme-preprod-abalone-extra", "other-acme-preprod-abalone-0000000",
        "acme-preprod-abalone-2222222", broken=("acme-preprod-abalone-2222222",),
    )  # fmt: skip
    said: list[str] = []
    deploy.tidy(sagemaker, PLACE, keep=[NEW], say=said.append)
    assert sagemaker.deleted == [
        ("config", "acme-preprod-abalone-0000000"), ("model", "acme-preprod-abalone-0000000"),
    ]  # fmt: skip
    assert all("acme-preprod-abalone-2222222 is left behind" in told for told in said)


def test_without_a_policy_pack_nothing_is_deployed(tmp_path: Path) -> None:
    with pytest.raises(deploy.DeploymentError, match="MLOPS_POLICY_PACK"):
        deploy.policy_pack({"MLOPS_POLICY_PACK": str(tmp_path)})
    (tmp_path / "PulumiPolicy.yaml").touch()
    assert deploy.policy_pack({"MLOPS_POLICY_PACK": str(tmp_path)}) == str(tmp_path)


def test_the_pack_allows_the_region_that_the_platform_is_in() -> None:
    afar = PLACE.model_copy(update={"region": "eu-south-1"})
    told = deploy.policy_configuration(afar)
    schema = json.loads((BASE.parents[2] / "policy" / "config.schema.json").read_text())
    jsonschema.validate(told, schema)
    assert told["allowed-regions"]["regions"] == ["eu-south-1"]


# -- the integration tests, against a server that answers like an endpoint -------------------------


class Runtime(BaseHTTPRequestHandler):
    """A model server: one number a row; what it cannot read it refuses."""

    fault = ""
    free = threading.Semaphore(1)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        accepted = self.headers["Content-Type"] == "text/csv" or self.fault == "any type"
        status = 200 if accepted else 415
        try:
            rows = body.decode().splitlines()
            answers = [str(10 * float(row.split(",")[3]) ** 0.5) for row in rows]
        except (UnicodeDecodeError, ValueError, IndexError):
            answers, status = ["0"], 400 if self.fault != "garbage" else status
        if len(body) > 6 * 1024 * 1024:
            status = 413 if self.fault != "size" else 200
        if self.fault == "range":
            answers = ["-1"] * len(answers)
        if self.fault == "rows":
            answers = answers[:1]
        if self.fault == "slow":
            time.sleep(0.6)
        if self.fault == "down":
            status = 500
        if self.fault == "busy":
            if self.free.acquire(blocking=False):
                time.sleep(0.01)
                self.free.release()
            else:
                status = 503
        told = "\n".join(answers) if status == 200 else json.dumps({"Message": "refused"})
        self.send_response(status)
        if status != 200:
            self.send_header("x-amzn-ErrorType", "ModelError")
        self.send_header("Content-Type", "text/csv" if status == 200 else "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("deploy"))


@pytest.fixture
def served(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Runs the integration tests against a server with a fault; gives what was said."""
    monkeypatch.setattr(deploy, "ROOT", repository)
    session = boto3.Session("AKIDEXAMPLE", SECRET, TOKEN, region_name=REGION)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Runtime)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environ = {
        **os.environ,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_PROFILE": "hub",
        "AWS_ROLE_ARN": "arn:aws:iam::111111111111:role/hub",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere",
    }

    def run_tests(fault: str) -> str:
        Runtime.fault = fault
        said: list[str] = []
        deploy.run_integration_tests(session, WANTED, environ, said.append)
        return "\n".join(said)

    yield run_tests
    server.shutdown()
    server.server_close()


def test_the_integration_tests_pass_against_a_good_endpoint(
    served: Callable[[str], str],
) -> None:
    said = served("")
    assert "6 passed" in said
    assert SECRET not in said
    assert TOKEN not in said


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("any type", "test_another_content_type_is_refused"),
        ("garbage", "test_garbage_is_refused"),
        ("size", "test_too_large_a_request_is_refused"),
        ("range", "test_every_sample_row_gets_one_plausible_prediction"),
        ("rows", "test_several_rows_get"),
        ("slow", "test_answers_keep_the_latency_budget"),
        ("down", "test_every_sample_row_gets"),
    ],
)
def test_each_integration_test_fails_for_its_fault(
    served: Callable[[str], str], fault: str, test: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(deploy.DeploymentError) as failed:
        served(fault)
    assert test in str(failed.value)
    assert SECRET not in str(failed.value)
    shown = capfd.readouterr()
    assert SECRET not in shown.out + shown.err


@pytest.fixture
def loaded(repository: Path) -> Iterator[Callable[..., None]]:
    """Changes the load test's settings."""
    file = repository / "integration_tests" / "samples.json"
    kept = file.read_text()

    def change(**load: Any) -> None:
        file.write_text(json.dumps({**json.loads(kept), "load": load}))

    yield change
    file.write_text(kept)


def test_a_deployment_is_tested_under_load_where_the_setting_says_so(
    served: Callable[[str], str], loaded: Callable[..., None]
) -> None:
    assert "6 passed, 1 skipped" in served("")
    patient = {"p95_milliseconds": 5000, "p99_milliseconds": 5000, "each_deployment": True}
    loaded(seconds=0.5, callers=8, **patient)
    said = served("")
    assert "7 passed" in said
    assert re.search(r"\d+ answers to 8 callers in \d\.\d s, .*; 0 failed", said)
    # One after the other it answers well.
    with pytest.raises(deploy.DeploymentError) as failed:
        served("busy")
    told = str(failed.value)
    assert told.count("FAILED") == 1
    assert "test_answers_keep_the_budgets_under_load" in told
    assert "of the requests failed" in told


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"seconds": 601}, "load.seconds is 601: more than 0 and at most 600"),
        ({"callers": 0}, "load.callers is 0: more than 0 and at most 64"),
        ({"users": 3}, "Load.__init__() got an unexpected keyword argument 'users'"),
    ],
)
def test_wrong_settings_of_the_load_test_are_told(
    served: Callable[[str], str], loaded: Callable[..., None], wrong: dict[str, Any], told: str
) -> None:
    loaded(**wrong)
    with pytest.raises(deploy.DeploymentError) as failed:
        served("")
    assert f"samples.json is wrong: {told}" in str(failed.value)


# -- the command line -----------------------------------------------------------------------------


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    given = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "AWS_"))}
    return subprocess.run(
        [sys.executable, str(BASE / "deploy.py"), *arguments],
        env={**given, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_command_needs_a_version_or_a_removal() -> None:
    done = command("--environment", "preprod")
    assert done.returncode == 2
    assert "--model-package-arn and --execution" in done.stderr
    assert command("--environment", "test", "--remove").returncode == 2


def test_one_more_of_a_kind_has_the_kinds_settings_unless_it_has_its_own(tmp_path: Path) -> None:
    kinds = tmp_path / "Pulumi.prod.yaml"
    kinds.write_text("config: {percent: 20}")
    assert deploy.settings_file("prod", tmp_path) == kinds
    further = deploy.settings_file("prod-eu", tmp_path)
    assert further.name == "Pulumi.prod-eu.yaml"
    assert further.read_text() == kinds.read_text()
    further.write_text("config: {percent: 50}")
    assert deploy.settings_file("prod-eu", tmp_path).read_text() == "config: {percent: 50}"
    with pytest.raises(deploy.DeploymentError, match=r"neither Pulumi\.preprod-eu\.yaml nor"):
        deploy.settings_file("preprod-eu", tmp_path)


def test_a_later_run_in_a_fresh_checkout_knows_what_encrypts_the_stacks_secrets(
    tmp_path: Path,
) -> None:
    """The engine asks for a passphrase where the stack's file names nothing."""
    own = tmp_path / "Pulumi.prod.yaml"
    own.write_text("# the team's\nconfig:\n  rollout: {percent: 20}\n")
    for _ in range(2):
        deploy.keep_secrets_by(own, "awskms://alias/one?region=eu-west-1")
    told = yaml.safe_load(own.read_text())
    assert told == {
        "config": {"rollout": {"percent": 20}},
        "secretsprovider": "awskms://alias/one?region=eu-west-1",
    }
    assert own.read_text().endswith("# the team's\nconfig:\n  rollout: {percent: 20}\n")
    deploy.keep_secrets_by(own, "awskms://alias/another")
    assert yaml.safe_load(own.read_text()) == told


def test_missing_variables_are_told_by_name() -> None:
    done = command(
        "--environment", "preprod", "--model-package-arn", ARN, "--execution", "x"
    )  # fmt: skip
    assert done.returncode == 1
    for name in settings.PLACE_VARIABLES.values():
        assert f"{name}: is missing" in done.stdout


def test_a_cancelled_pipeline_still_closes_the_record() -> None:
    """A SIGTERM in the middle becomes a failed record."""
    program = f"""
import json, os, signal, sys
sys.path.insert(0, {str(BASE)!r})
import deploy
from settings import place
class Functions:
    def invoke(self, **params):
        import io
        payload = json.loads(params["Payload"])
        print(json.dumps(payload), flush=True)
        answer = {{"proceed": True, "sequence": 4, "version": {VERSION!r}}}
        if payload["action"] == "finish":
            answer = {{"status": "Failed"}}
        return {{"Payload": io.BytesIO(json.dumps(answer).encode())}}
def wait(*_):
    print("waiting", flush=True)
    signal.pause()
signal.signal(signal.SIGTERM, deploy._cancelled)
where = place("preprod", {ENVIRON!r})
request = deploy.Request("preprod", {ARN!r}, "x", "deploy")
sys.exit(deploy.deploy(where, request, deploy.Hub(Functions(), None), {{}}, print, wait))
"""
    started = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    lines = iter(started.stdout.readline, "")
    while next(lines).strip() != "waiting":
        pass
    started.send_signal(signal.SIGTERM)
    told = "".join(lines)
    assert started.wait(30) == 1
    assert '"outcome": "Failed"' in told
    assert "cancelled" in told


def test_after_oidc_the_engine_gets_the_credentials_that_were_had() -> None:
    session = boto3.Session("AKIDEXAMPLE", SECRET, TOKEN, region_name=REGION)
    assert deploy.engine_credentials(session, {}) == {}
    given = deploy.engine_credentials(session, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"})
    assert given["AWS_SECRET_ACCESS_KEY"] == SECRET
