"""The Studio domain as AWS will get it."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.conftest import Program, place, run_program
from tests.unit.data_science import (
    DATA_KEY,
    GROUPS,
    STORAGE_KEY,
    SUBNETS,
    make_studio,
    role_policies,
)

DOMAIN = "aws:sagemaker/domain:Domain"
PROFILE = "aws:sagemaker/userProfile:UserProfile"
SCRIPT = "aws:sagemaker/studioLifecycleConfig:StudioLifecycleConfig"
ROLE = "aws:iam/role:Role"
EXECUTION_ROLES = (
    "acme-dev-data-scientist-execution",
    "acme-dev-lead-data-scientist-execution",
    "acme-dev-data-scientist-pipeline-execution",
    "acme-dev-lead-data-scientist-pipeline-execution",
)
SIGN_IN = "acme-dev-studio-user"


@pytest.fixture(scope="module")
def studio() -> Program:
    return run_program(make_studio)


def domain(program: Program) -> dict[str, Any]:
    (found,) = program.of(DOMAIN)
    return found.inputs


def test_the_domain_is_in_the_vpc_only_and_encrypted(studio: Program) -> None:
    inputs = domain(studio)
    assert inputs["appNetworkAccessType"] == "VpcOnly"
    assert inputs["kmsKeyId"] == STORAGE_KEY
    assert inputs["subnetIds"] == SUBNETS
    assert inputs["domainSettings"]["securityGroupIds"] == GROUPS
    for settings in (inputs["defaultUserSettings"], inputs["defaultSpaceSettings"]):
        assert settings["securityGroups"] == GROUPS


def test_sessions_carry_the_name_of_their_profile(studio: Program) -> None:
    """What the spaces' owner is told by: the identity, and roles that let it be set."""
    assert domain(studio)["domainSettings"]["executionRoleIdentityConfig"] == "USER_PROFILE_NAME"
    roles = {role.inputs["name"]: role for role in studio.of(ROLE)}
    for name in EXECUTION_ROLES:
        (trust,) = roles[name].document("assumeRolePolicy")["Statement"]
        assert "sts:SetSourceIdentity" in trust["Action"]
        assert trust["Principal"] == {"Service": ["sagemaker.amazonaws.com"]}
        assert trust["Condition"] == {
            "StringEquals": {"aws:SourceAccount": place("dev")["account_id"]}
        }


def test_every_role_is_bounded_and_known_by_its_tag(studio: Program) -> None:
    roles = studio.of(ROLE)
    assert {role.inputs["name"] for role in roles} == {*EXECUTION_ROLES, SIGN_IN}
    for role in roles:
        assert role.inputs["permissionsBoundary"].endswith(":policy/acme-dev-boundary")
        # Jobs of both personas are one to the buckets.
        known = role.inputs["name"]
        known = "acme-dev-pipeline-execution" if known.endswith("-pipeline-execution") else known
        assert role.inputs.get("tags", {}) == ({} if known == SIGN_IN else {"Principal": known})


def test_who_comes_by_a_directory_needs_no_role_to_sign_in() -> None:
    by_directory = run_program(lambda: make_studio({"auth_mode": "SSO"}))
    assert SIGN_IN not in {role.inputs["name"] for role in by_directory.of(ROLE)}


@pytest.mark.parametrize("app", ["jupyterLabAppSettings", "codeEditorAppSettings"])
def test_idle_apps_end(app: str, studio: Program) -> None:
    settings = domain(studio)["defaultUserSettings"][app]
    assert settings["appLifecycleManagement"]["idleSettings"] == {
        "lifecycleManagement": "ENABLED",
        "idleTimeoutInMinutes": 90,
        "minIdleTimeoutInMinutes": 60,
        "maxIdleTimeoutInMinutes": 90,
    }
    assert settings["defaultResourceSpec"]["instanceType"] == "ml.t3.medium"


def test_shared_spaces_end_idle_apps_too(studio: Program) -> None:
    settings = domain(studio)["defaultSpaceSettings"]["jupyterLabAppSettings"]
    assert settings["appLifecycleManagement"]["idleSettings"]["lifecycleManagement"] == "ENABLED"


def test_studio_classic_is_neither_configured_nor_shown(studio: Program) -> None:
    user = domain(studio)["defaultUserSettings"]
    assert user["studioWebPortal"] == "ENABLED"
    assert user["defaultLandingUri"] == "studio::"
    assert user["studioWebPortalSettings"]["hiddenAppTypes"] == ["JupyterServer", "KernelGateway"]
    for settings in (user, domain(studio)["defaultSpaceSettings"]):
        assert not {"jupyterServerAppSettings", "kernelGatewayAppSettings"} & set(settings)


def test_containers_of_others_are_not_started_in_studio(studio: Program) -> None:
    docker = domain(studio)["domainSettings"]["dockerSettings"]
    assert docker == {"enableDockerAccess": "DISABLED"}


def test_outputs_of_notebooks_stay_unless_sharing_is_asked_for(studio: Program) -> None:
    sharing = domain(studio)["defaultUserSettings"]["sharingSettings"]
    assert sharing == {"notebookOutputOption": "Disabled"}
    shared = run_program(lambda: make_studio({"share_notebook_outputs": True}))
    assert domain(shared)["defaultUserSettings"]["sharingSettings"] == {
        "notebookOutputOption": "Allowed",
        "s3OutputPath": "s3://acme-dev-eu-west-1-222222222222-data/notebook-outputs/",
        "s3KmsKeyId": DATA_KEY,
    }


@pytest.mark.parametrize("protect", [False, True])
def test_homes_are_kept(protect: bool) -> None:
    made = run_program(lambda: make_studio(protect=protect))
    assert domain(made)["retentionPolicy"] == {"homeEfsFileSystem": "Retain"}


def test_projects_are_on(studio: Program) -> None:
    (status,) = studio.of(
        "aws:sagemaker/servicecatalogPortfolioStatus:ServicecatalogPortfolioStatus"
    )
    assert status.inputs["status"] == "Enabled"


def test_every_user_has_the_role_of_the_persona(studio: Program) -> None:
    roles = {
        profile.inputs["userProfileName"]: (
            profile.inputs["userSettings"]["executionRole"].rpartition("/")[2],
            profile.inputs["tags"]["persona"],
            profile.inputs["tags"]["studio-user"],
        )
        for profile in studio.of(PROFILE)
    }
    assert roles == {
        "lead": ("acme-dev-lead-data-scientist-execution", "lead-data-scientist", "lead"),
        "ann": ("acme-dev-data-scientist-execution", "data-scientist", "ann"),
        "bob": ("acme-dev-data-scientist-execution", "data-scientist", "bob"),
    }


def test_users_sign_in_by_the_companys_directory_where_that_is_chosen(studio: Program) -> None:
    for profile in studio.of(PROFILE):
        assert "singleSignOnUserValue" not in profile.inputs
    by_sso = run_program(lambda: make_studio({"auth_mode": "SSO"}))
    assert domain(by_sso)["authMode"] == "SSO"
    for profile in by_sso.of(PROFILE):
        assert profile.inputs["singleSignOnUserIdentifier"] == "UserName"
        assert profile.inputs["singleSignOnUserValue"] == profile.inputs["userProfileName"]


def run_script(program: Program, app: str, home: Path, told: dict[str, str]) -> dict[str, Any]:
    """Runs an app's start-up script where SageMaker told it something, if anything.

    Returns:
        The SDK's defaults that it wrote.
    """
    (script,) = (
        item for item in program.of(SCRIPT) if item.inputs["studioLifecycleConfigAppType"] == app
    )
    content = base64.b64decode(script.inputs["studioLifecycleConfigContent"])
    assert len(script.inputs["studioLifecycleConfigContent"]) <= 16_384  # AWS's limit
    metadata = home / "resource-metadata.json"
    if told:
        metadata.write_text(json.dumps(told))
    known = b"/opt/ml/metadata/resource-metadata.json"
    assert known in content
    content = content.replace(known, str(metadata).encode())
    subprocess.run(
        ["bash"], input=content, check=True, env={"HOME": str(home), "PATH": "/usr/bin:/bin"}
    )
    return yaml.safe_load((home / ".config/sagemaker/config.yaml").read_text())


@pytest.mark.parametrize(
    ("role", "jobs"),
    [
        (EXECUTION_ROLES[0], EXECUTION_ROLES[2]),
        (EXECUTION_ROLES[1], EXECUTION_ROLES[3]),
        ("", EXECUTION_ROLES[2]),
        # A unit that is called so.
        ("acme-dev-studio-growth-lead-data-scientist-execution", EXECUTION_ROLES[2]),
    ],
)
@pytest.mark.parametrize("app", ["JupyterLab", "CodeEditor"])
def test_apps_start_with_defaults_that_the_guards_accept(
    app: str, role: str, jobs: str, studio: Program, tmp_path: Path
) -> None:
    arn = f"arn:aws:iam::{place('dev')['account_id']}:role/{role}"
    told = {"ResourceName": "default", "ExecutionRoleArn": arn} if role else {}
    defaults = run_script(studio, app, tmp_path, told)["SageMaker"]
    network = {"Subnets": SUBNETS, "SecurityGroupIds": GROUPS}
    training, processing = defaults["TrainingJob"], defaults["ProcessingJob"]
    assert training["VpcConfig"] == network
    assert training["ResourceConfig"] == {"VolumeKmsKeyId": STORAGE_KEY}
    assert training["OutputDataConfig"] == {"KmsKeyId": DATA_KEY}
    assert training["EnableInterContainerTrafficEncryption"] is True
    assert processing["NetworkConfig"] == {
        "EnableInterContainerTrafficEncryption": True,
        "VpcConfig": network,
    }
    assert processing["ProcessingOutputConfig"] == {"KmsKeyId": DATA_KEY}
    assert processing["ProcessingResources"] == {"ClusterConfig": {"VolumeKmsKeyId": STORAGE_KEY}}
    assert defaults["Model"]["VpcConfig"] == network
    assert {
        training["RoleArn"].rpartition("/")[2],
        processing["RoleArn"].rpartition("/")[2],
        defaults["Pipeline"]["RoleArn"].rpartition("/")[2],
        defaults["Model"]["ExecutionRoleArn"].rpartition("/")[2],
    } == {jobs}
    assert defaults["PythonSDK"]["Modules"] == {"TelemetryOptOut": True}


def test_scripts_belong_to_the_apps_that_run_them(studio: Program) -> None:
    types = {script.inputs["studioLifecycleConfigAppType"] for script in studio.of(SCRIPT)}
    assert types == {"JupyterLab", "CodeEditor"}


def test_the_contract_is_published(studio: Program) -> None:
    values = {
        parameter.inputs["name"]: parameter.inputs["value"]
        for parameter in studio.of("aws:ssm/parameter:Parameter")
    }
    old = "/acme/dev/roles/pipeline-execution/arn"
    assert values[old] == values["/acme/dev/roles/data-scientist-pipeline-execution/arn"]
    assert set(values) == {
        "/acme/dev/studio/auth-mode",
        "/acme/dev/studio/domain-id",
        "/acme/dev/roles/pipeline-execution/arn",
        "/acme/dev/roles/data-scientist-pipeline-execution/arn",
        "/acme/dev/roles/lead-data-scientist-pipeline-execution/arn",
        "/acme/dev/roles/data-scientist-execution/arn",
        "/acme/dev/roles/lead-data-scientist-execution/arn",
    }


@pytest.mark.parametrize(
    ("role", "from_s3"),
    [*((role, False) for role in EXECUTION_ROLES), (EXECUTION_ROLES[1], True)],
)
def test_roles_fit_iams_limits_with_real_ids(role: str, from_s3: bool) -> None:
    """Source: IAM quotas; 10 240 characters inline in all, 6 144 a managed policy."""
    subnets = [f"subnet-{number:017x}" for number in range(6)]
    key = STORAGE_KEY.replace("storage", "0" * 36)
    program = run_program(
        lambda: make_studio(
            {
                "subnet_ids": subnets,
                "security_group_ids": [f"sg-{number:017x}" for number in range(5)],
                **dict.fromkeys(("storage_key_arn", "data_key_arn", "models_key_arn"), key),
                "projects_from_s3": from_s3,
                "instance_types": {
                    persona: [f"ml.m5.{number}24xlarge" for number in range(30)]
                    for persona in ("lead_data_scientist", "data_scientist")
                },
            },
            # The longest prefix with which a bucket's name still fits.
            prefix="a" * 20,
        )
    )
    name = role.replace("acme", "a" * 20)
    sizes = {
        policy: len(json.dumps(document, separators=(",", ":")))
        for policy, document in role_policies(program, name).items()
    }
    assert sizes.pop(f"{name}-guards") <= 6_144
    assert sum(sizes.values()) <= 10_240


@pytest.mark.parametrize("role", EXECUTION_ROLES)
def test_every_document_is_as_reviewed(
    role: str, studio: Program, golden: Callable[[str, Any], None]
) -> None:
    golden(f"studio-{role.removeprefix('acme-dev-')}", role_policies(studio, role))


def test_a_preview_knows_enough() -> None:
    assert run_program(make_studio, preview=True).of(DOMAIN)
