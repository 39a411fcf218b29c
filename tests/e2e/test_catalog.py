"""Self-service on the deployed platform: a project is launched from the catalogue and terminated.

The product's stack, its function, the vending build with the policy pack, and the answers between
them are the deployed ones; only the repositories are made by hand, as a person makes them.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError
from mlops_policy.taggable import TAGGABLE

from automation import bootstrap
from automation.projects.vending import PULUMI_PROJECT
from components.catalog import STATE
from components.naming import ENVIRONMENTS, Names
from components.settings import load_stack
from localcloud import people
from localcloud.emulator import daemon
from localcloud.environment import local_environment, running_instance
from localcloud.paths import Paths
from tests.e2e.conftest import Platform, end_runs

pytestmark = pytest.mark.engine

PROJECT, IDENTITY = "houses", "p-abcdefghij12"
TEMPLATE = "xgboost-realtime"


@dataclass(frozen=True)
class Accounts:
    """Who is who on the platform."""

    platform: Platform

    def names(self, environment: str) -> Names:
        """An environment's names."""
        return load_stack(self.platform.root, environment).names

    def repository(self, name: str) -> str:
        """Makes an empty repository; gives its address."""
        endpoint = running_instance(Paths(self.platform.root)).endpoint
        return str(daemon.request(endpoint, "POST", "repositories", {"name": name})["clone_url"])

    def studio(self, profile: str) -> Any:
        """Service Catalog as a person in Studio has it: the profile's role and network."""
        instance = running_instance(Paths(self.platform.root))
        given = daemon.request(instance.endpoint, "POST", "studio-sessions", {"profile": profile})
        return boto3.Session().client(
            "servicecatalog",
            endpoint_url=instance.endpoint,
            region_name=given["AWS_REGION"],
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=given["AWS_SESSION_TOKEN"],
        )

    def engineer(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Service Catalog as a platform engineer has it, in the hub."""
        instance = running_instance(Paths(self.platform.root))
        people.sign_in(instance, load_stack(self.platform.root, "governance").placement())
        files = local_environment(os.environ, instance)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, files[name])
        session: Any = boto3.Session(profile_name="platform-engineer")
        return session.client("servicecatalog")

    def role(self, environment: str, name: str, service: str) -> Any:
        """A client of a new role, which may do everything there but is in no portfolio."""
        account = self.platform.client("iam", environment)
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Principal": {"AWS": self.names(environment).root_arn},
                }
            ],
        }
        every = {"Effect": "Allow", "Action": f"{service}:*", "Resource": "*"}
        made = account.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        account.put_role_policy(
            RoleName=name,
            PolicyName="all",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [every]}),
        )
        sts = self.platform.client("sts", environment)
        given = sts.assume_role(RoleArn=made["Role"]["Arn"], RoleSessionName="someone")
        instance = running_instance(Paths(self.platform.root))
        return boto3.Session().client(
            service,
            endpoint_url=instance.endpoint,
            region_name=instance.region,
            aws_access_key_id=given["Credentials"]["AccessKeyId"],
            aws_secret_access_key=given["Credentials"]["SecretAccessKey"],
            aws_session_token=given["Credentials"]["SessionToken"],
        )

    def made(self, project: str) -> list[dict[str, Any]]:
        """What the state of a project's stack has."""
        hub = self.names("governance")
        environment = {
            **self.platform.environment,
            "PULUMI_BACKEND_URL": bootstrap.backend_url(hub, STATE),
        }
        stack = f"organization/{PULUMI_PROJECT}/project-{project}"
        done = self.platform.run("pulumi", "stack", "export", "--stack", stack, env=environment)
        return list(json.loads(done.stdout)["deployment"]["resources"])

    def known(self, project: str) -> dict[str, Any] | None:
        """What the hub knows of a project."""
        ssm = self.platform.client("ssm", "governance")
        name = self.names("governance").parameter(f"projects/{project}")
        found = ssm.get_parameters(Names=[name])["Parameters"]
        return json.loads(found[0]["Value"]) if found else None


@pytest.fixture(scope="module")
def accounts(platform: Platform) -> Accounts:
    return Accounts(platform)


def offered(catalog: Any) -> dict[str, str]:
    """Name -> id of the products that somebody may launch."""
    found = catalog.search_products()["ProductViewSummaries"]
    return {product["Name"]: product["ProductId"] for product in found}


def launch(
    catalog: Any, product: str, project: str, identity: str = IDENTITY, **choices: str
) -> dict[str, Any]:
    """Launches a project from the newest version of a product, and waits for its end."""
    return launched(
        catalog, product, project, SageMakerProjectName=project, SageMakerProjectId=identity,
        Owner="team", CostCentre="ml-dev", Organization="example", **choices,
    )  # fmt: skip


def launched(catalog: Any, product: str, name: str, **values: str) -> dict[str, Any]:
    """Launches the newest version of a product, and waits for its end."""
    versions = catalog.describe_product(Id=product)["ProvisioningArtifacts"]
    (newest,) = [version for version in versions if version["Name"] != "first"]
    return ended(
        catalog,
        catalog.provision_product(
            ProductId=product,
            ProvisioningArtifactId=newest["Id"],
            ProvisionedProductName=f"{name}-{uuid.uuid4().hex[:6]}",
            ProvisioningParameters=[{"Key": k, "Value": v} for k, v in values.items()],
            ProvisionToken=uuid.uuid4().hex,
        ),
    )


def ended(catalog: Any, answer: dict[str, Any]) -> dict[str, Any]:
    """The record of a launch or termination, at its end."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        found = catalog.describe_record(Id=answer["RecordDetail"]["RecordId"])
        if found["RecordDetail"]["Status"] in ("SUCCEEDED", "FAILED"):
            return found
        time.sleep(0.5)
    raise AssertionError(f"It did not end: {answer}")


def causes(record: dict[str, Any]) -> str:
    """Why it failed."""
    assert record["RecordDetail"]["Status"] == "FAILED"
    return " ".join(error["Description"] for error in record["RecordDetail"]["RecordErrors"])


def bears_tags(resources: list[dict[str, Any]]) -> None:
    """That all of a project that takes tags says whose it is, and where its cost goes."""
    wanted = {
        "sagemaker:project-id": IDENTITY,
        "sagemaker:project-name": PROJECT,
        "owner": "team",
        "cost-centre": "ml-dev",
        "managed-by": "pulumi",
    }
    taking = [made for made in resources if made["type"] in TAGGABLE and not made.get("external")]
    kinds = {made["type"].rpartition(":")[2] for made in taking}
    assert kinds >= {"Role", "Project", "Pipeline", "ModelPackageGroup", "Parameter", "LogGroup"}
    for made in taking:
        tags = made["outputs"]["tagsAll"]
        assert tags.items() >= wanted.items(), made["urn"]
        assert tags["environment"] in ENVIRONMENTS, made["urn"]


def test_a_data_scientist_launches_a_project_and_terminates_it(
    accounts: Accounts, tmp_path: Path
) -> None:
    catalog = accounts.studio("data-scientist")
    products = offered(catalog)
    assert products.keys() >= {TEMPLATE}
    assert not any("every choice" in name for name in products), "that is for administrators"

    clones = {
        kind: accounts.repository(f"example/{PROJECT}-{kind}") for kind in ("build", "deploy")
    }
    record = launch(catalog, products[TEMPLATE], PROJECT, GateRmse="2.4")
    detail = record["RecordDetail"]
    assert detail["Status"] == "SUCCEEDED", detail["RecordErrors"]
    outputs = {item["OutputKey"]: item["OutputValue"] for item in record["RecordOutputs"]}
    assert outputs["ProjectId"] == IDENTITY
    assert outputs["BuildRepository"] == f"example/{PROJECT}-build"
    known = accounts.known(PROJECT)
    assert known is not None
    assert known["id"] == IDENTITY
    assert known["repository"] == outputs["DeployRepository"]
    end_runs(accounts.platform, "dev", accounts.names("dev").name(f"{PROJECT}-build"))
    for kind, file in (("build", "pipeline.py"), ("deploy", "policy/PulumiPolicy.yaml")):
        folder = tmp_path / kind
        accounts.platform.run("git", "clone", "--quiet", clones[kind], str(folder))
        assert (folder / file).is_file()
    config = yaml.safe_load((tmp_path / "build" / "config.yaml").read_text("utf-8"))
    assert config["gate"]["rmse"] == 2.4, "what the launch chose, not the template's default"
    listed = accounts.platform.automation("projects", "list")
    assert PROJECT in listed, "what was launched is a project like any other"

    bears_tags(accounts.made(PROJECT))

    # Its name is taken now, whoever launches.
    lead = accounts.studio("lead-data-scientist")
    again = launch(lead, offered(lead)[TEMPLATE], PROJECT, "p-zzzzzzzzzzzz")
    assert f"There is a project {PROJECT} already" in causes(again)
    gone = lead.terminate_provisioned_product(
        ProvisionedProductId=again["RecordDetail"]["ProvisionedProductId"],
        TerminateToken=uuid.uuid4().hex,
    )
    assert ended(lead, gone)["RecordDetail"]["Status"] == "SUCCEEDED"
    assert (accounts.known(PROJECT) or {}).get("id") == IDENTITY, "the other's project stays"

    with pytest.raises(ClientError, match="not authorized"):
        lead.terminate_provisioned_product(
            ProvisionedProductId=detail["ProvisionedProductId"], TerminateToken=uuid.uuid4().hex
        )
    gone = catalog.terminate_provisioned_product(
        ProvisionedProductId=detail["ProvisionedProductId"], TerminateToken=uuid.uuid4().hex
    )
    ending = ended(catalog, gone)
    assert ending["RecordDetail"]["Status"] == "SUCCEEDED", ending["RecordDetail"]["RecordErrors"]
    assert accounts.known(PROJECT) is None
    groups = accounts.platform.client("sagemaker", "dev").list_model_package_groups()
    kept = [group["ModelPackageGroupName"] for group in groups["ModelPackageGroupSummaryList"]]
    assert accounts.names("dev").name(PROJECT) in kept, "registered versions outlive a project"


def test_an_administrator_launches_a_user_who_changes_persona_and_goes(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = accounts.engineer(monkeypatch)
    products = offered(catalog)
    assert products.keys() >= {"Studio user", "Studio domain", f"{TEMPLATE}, every choice"}
    given = {"UserName": "Grace", "Owner": "team", "CostCentre": "ml-growth"}
    record = launched(
        catalog, products["Studio user"], "grace", Persona="lead-data-scientist", **given
    )
    detail = record["RecordDetail"]
    assert detail["Status"] == "SUCCEEDED", detail["RecordErrors"]
    outputs = {item["OutputKey"]: item["OutputValue"] for item in record["RecordOutputs"]}
    assert (outputs["UserName"], outputs["Domain"]) == ("Grace", "studio")

    sagemaker, dev = accounts.platform.client("sagemaker", "dev"), accounts.names("dev")
    ssm = accounts.platform.client("ssm", "dev")
    domain = ssm.get_parameter(Name=dev.parameter("studio/domain-id"))["Parameter"]["Value"]
    grace = {"DomainId": domain, "UserProfileName": "Grace"}

    def role() -> str:
        return str(sagemaker.describe_user_profile(**grace)["UserSettings"]["ExecutionRole"])

    assert role() == dev.role_arn("lead-data-scientist-execution")
    arn = sagemaker.describe_user_profile(**grace)["UserProfileArn"]
    tags = {tag["Key"]: tag["Value"] for tag in sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tags.items() >= {
        "owner": "team", "cost-centre": "ml-growth", "persona": "lead-data-scientist",
    }.items()  # fmt: skip
    app = {"DomainId": domain, "SpaceName": "graces", "AppType": "JupyterLab", "AppName": "default"}
    sagemaker.create_space(
        DomainId=domain,
        SpaceName="graces",
        OwnershipSettings={"OwnerUserProfileName": "Grace"},
        SpaceSharingSettings={"SharingType": "Private"},
    )
    sagemaker.create_app(**app)

    versions = catalog.describe_product(Id=products["Studio user"])["ProvisioningArtifacts"]
    changed = catalog.update_provisioned_product(
        ProvisionedProductId=detail["ProvisionedProductId"],
        ProductId=products["Studio user"],
        ProvisioningArtifactId=next(v["Id"] for v in versions if v["Name"] != "first"),
        ProvisioningParameters=[
            {"Key": key, "Value": value}
            for key, value in {**given, "Persona": "data-scientist"}.items()
        ],
        UpdateToken=uuid.uuid4().hex,
    )
    changing = ended(catalog, changed)["RecordDetail"]
    assert changing["Status"] == "SUCCEEDED", changing["RecordErrors"]
    assert role() == dev.role_arn("data-scientist-execution")
    assert not sagemaker.list_apps(DomainIdEquals=domain, SpaceNameEquals="graces")["Apps"]
    assert sagemaker.describe_space(DomainId=domain, SpaceName="graces"), "files stay"

    sagemaker.create_app(**app)
    gone = catalog.terminate_provisioned_product(
        ProvisionedProductId=detail["ProvisionedProductId"], TerminateToken=uuid.uuid4().hex
    )
    ending = ended(catalog, gone)["RecordDetail"]
    assert ending["Status"] == "SUCCEEDED", ending["RecordErrors"]
    listed = sagemaker.list_user_profiles(DomainIdEquals=domain)["UserProfiles"]
    assert "Grace" not in {profile["UserProfileName"] for profile in listed}
    spaces = sagemaker.list_spaces(DomainIdEquals=domain)["Spaces"]
    assert "graces" not in {space["SpaceName"] for space in spaces}


@pytest.mark.parametrize("project", ["Houses", "a-name-of-22-characters"])
def test_a_wrong_name_is_refused_with_its_cause(accounts: Accounts, project: str) -> None:
    catalog = accounts.studio("data-scientist")
    told = causes(launch(catalog, offered(catalog)[TEMPLATE], project))
    assert "SageMakerProjectName" in told
    assert accounts.known(project.lower()) is None


def test_a_role_that_no_portfolio_names_launches_nothing(accounts: Accounts) -> None:
    product = offered(accounts.studio("data-scientist"))[TEMPLATE]
    catalog = accounts.role("dev", "somebody", "servicecatalog")
    assert not offered(catalog)
    with pytest.raises(ClientError, match="No launch paths"):
        catalog.provision_product(
            ProductId=product,
            ProvisioningArtifactName="first",
            ProvisionedProductName="mine",
            ProvisionToken=uuid.uuid4().hex,
        )
