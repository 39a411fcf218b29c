"""The archive as Lambda runs it: two packages under one root, with only boto3 beside them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.session import get_session

from components import deployments
from functions.deployment import handler, ledger
from functions.deployment.deployments import Caller, RequestError
from functions.deployment.projects import ProjectError, read_project
from functions.deployment.settings import SettingsError, read_settings
from tests.functions.deployment_hub import function_statements
from tests.functions.deployment_model import HubInMemory

FUNCTIONS = Path(handler.__file__).parents[1]
# What boto3 itself brings.
ALLOWED = {"boto3", "botocore", "certifi", "dateutil", "functions", "jmespath", "s3transfer", "six",
           "urllib3"}  # fmt: skip


def test_it_runs_from_an_archive_of_its_own_and_needs_only_boto3(tmp_path: Path) -> None:
    root = tmp_path / "functions"
    for package in ("promotion", "deployment"):
        shutil.copytree(FUNCTIONS / package, root / package)
    shutil.copy(FUNCTIONS / "__init__.py", root)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); before = set(sys.modules)\n"
        "import functions.deployment.handler as handler\n"
        f"assert handler.__file__.startswith({str(tmp_path)!r})\n"
        "own = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(own - set(sys.stdlib_module_names)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/"
    )
    found = {name for name in run.stdout.split() if not name.startswith("_")}
    assert found <= ALLOWED
    assert {"boto3", "functions"} <= found


def test_a_wrong_environment_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEDGER_TABLE", raising=False)
    with pytest.raises(SettingsError, match="LEDGER_TABLE is missing"):
        handler.handle({"action": "sweep"}, None)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("EVIDENCE", '{"prod": ["hope"]}', "'hope' is none of metrics, card, scan"),
        ("EVIDENCE", "[]", "JSON object with an environment"),
        ("MANUAL_APPROVALS", '["dev"]', "MANUAL_APPROVALS names dev"),
        ("SCAN_SEVERITY", "BAD", "INFORMATIONAL, LOW"),
        ("GITHUB_API_URL", "http://api.github.com", "begins with https://"),
        ("GITHUB_API_URL", "https://user:pass@evil.example", "begins with https://"),
        ("PROJECT_PARAMETERS", "acme", "expected a path"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        read_settings(
            {
                "AWS_REGION": "eu-west-1",
                "HUB_ACCOUNT": "1" * 12,
                "LEDGER_TABLE": "table",
                "GROUP_PREFIX": "acme-",
                "PROJECT_PARAMETERS": "/acme",
                name: value,
            }
        )


def test_every_variable_is_documented() -> None:
    documented = {
        line.split("``")[1]
        for line in str(handler.__doc__).splitlines()
        if re.match(r"``[A-Z_]+`` ", line)
    }
    source = (FUNCTIONS / "deployment" / "settings.py").read_text()
    assert set(re.findall(r'"([A-Z_]{6,})",? ', source)) - set("LOW") <= documented | {
        "INFORMATIONAL",
        "MEDIUM",
        "CRITICAL",
    }
    assert all(f'"{name}"' in source for name in documented)


def test_the_role_of_the_tests_is_the_one_that_is_documented() -> None:
    actions = {
        action
        for statement in function_statements("key")
        for action in (
            [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        )
    }
    documented = set(re.findall(r"``([a-z0-9]+:[A-Z][A-Za-z]+)``", str(handler.__doc__)))
    assert actions <= documented
    # Those of services that the tests stand in for, of Lambda itself, and of approvers.
    assert {action.partition(":")[0] for action in documented - actions} <= {
        "codepipeline",
        "lambda",
        "logs",
        "sagemaker",
        "secretsmanager",
        "sqs",
    }
    assert {item for item in documented - actions if item.startswith("sagemaker")} == {
        "sagemaker:UpdateModelPackage"
    }


@pytest.mark.parametrize("event", [{}, {"action": "explode"}, {"detail-type": "Something Else"}])
def test_what_is_for_nobody_is_told(event: dict[str, str]) -> None:
    with pytest.raises(RequestError, match="expected begin, finish, rollback, sweep"):
        handler.dispatch(HubInMemory().function, event)


@pytest.mark.parametrize("action", ["begin", "finish"])
def test_runs_come_by_their_projects_alias(action: str) -> None:
    with pytest.raises(RequestError, match="by the alias project-NAME_ENVIRONMENT of its project"):
        handler.dispatch(HubInMemory().function, {"action": action})


@pytest.mark.parametrize(
    "event",
    [
        {"action": "rollback"},
        {"action": "sweep"},
        {"detail-type": "SageMaker Model Package State Change", "action": "begin"},
        {"detail-type": "CodePipeline Pipeline Execution State Change", "action": "begin"},
    ],
)
def test_a_projects_alias_is_for_its_runs_alone(event: dict[str, str]) -> None:
    with pytest.raises(RequestError, match="has to come without an alias"):
        handler.dispatch(HubInMemory().function, event, Caller("houses", "prod"))


@pytest.mark.parametrize(
    ("qualifier", "caller"),
    [
        ("", None),
        (":project-houses_prod", Caller("houses", "prod")),
        (":project-houses_prod-eu", Caller("houses", "prod-eu")),
        (":project-a-project-b_preprod", Caller("a-project-b", "preprod")),
    ],
)
def test_the_caller_is_read_from_the_alias(qualifier: str, caller: Caller | None) -> None:
    arn = f"arn:aws:lambda:eu-west-1:111111111111:function:acme-governance-deployments{qualifier}"
    assert handler.read_caller(arn) == caller


@pytest.mark.parametrize(
    "qualifier",
    ["$LATEST", "7", "houses", "project-", "project-houses", "project-houses_", "project-_prod",
     "Project-houses_prod"],
)  # fmt: skip
def test_a_version_or_another_alias_names_no_caller(qualifier: str) -> None:
    arn = f"arn:aws:lambda:eu-west-1:111111111111:function:acme-governance-deployments:{qualifier}"
    with pytest.raises(RequestError, match="is no project's"):
        handler.read_caller(arn)


def test_the_alias_that_the_platform_makes_is_the_one_that_is_read() -> None:
    alias = deployments.caller_alias("houses", "prod-eu")
    arn = f"arn:aws:lambda:eu-west-1:111111111111:function:acme-governance-deployments:{alias}"
    assert handler.read_caller(arn) == Caller("houses", "prod-eu")
    # Source: Alias in Lambda's API reference, by botocore's model; the longest name of a project.
    shape = get_session().get_service_model("lambda").operation_model("CreateAlias").input_shape
    name = shape.members["Name"].metadata
    longest = deployments.caller_alias("a" * 20, "b" * 40)
    assert re.fullmatch(name["pattern"], longest)
    assert len(longest) <= name["max"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ci": "jenkins"}, "expected codepipeline or github"),
        ({"restore": {}}, "has no restore"),
        ({"restore": "r"}, "restore of project houses is no map"),
        ({"targets": "prod"}, "targets of project houses is no list"),
        ({"ci": "github"}, "has no repository, workflow, token_secret"),
        (
            {"ci": "github", "repository": "a/b/../c", "workflow": "w", "token_secret": "s"},
            "repository of project houses",
        ),
        (
            {"ci": "github", "repository": "a/b", "workflow": "../w", "token_secret": "s"},
            "workflow of project houses",
        ),
    ],
)
def test_a_wrong_project_is_named(change: dict[str, str], words: str) -> None:
    told = {"group": "g", "ci": "codepipeline", "pipeline": "p", "restore": {"prod": "r"}, **change}
    with pytest.raises(ProjectError, match=re.escape(words)):
        read_project("houses", json.dumps(told))


def test_the_ledger_has_the_names_that_others_read() -> None:
    assert {
        ledger.attribute(member)
        for member in (
            "model_package_arn", "version", "status", "reason", "requested_by", "approved_by",
            "requested_at", "changed_at", "execution", "kind",
        )
    } == {
        "ModelPackageArn", "Version", "Status", "Reason", "RequestedBy", "ApprovedBy",
        "RequestedAt", "ChangedAt", "Execution", "Kind",
    }  # fmt: skip
