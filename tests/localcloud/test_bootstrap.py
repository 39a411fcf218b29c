"""The bootstrap on empty accounts of the emulator, and what its policies decide by evaluation."""

from __future__ import annotations

import base64
import contextlib
import fnmatch
import functools
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.loaders import create_loader

from automation import ci
from automation.bootstrap import (
    BootstrapError,
    BootstrapResult,
    bootstrap,
    boundary_note,
    ci_trust,
)
from automation.deployer_policies import LIMIT
from components import baseline_policies, settings
from components.iam import Statement
from components.iam import document as policy_document
from components.naming import ENVIRONMENTS, Names
from components.settings import PlatformSettings
from localcloud.authorization import Evaluator, Policies, PolicyError, Request
from localcloud.authorization.installation import data_folder
from localcloud.emulator.callers import without_tls
from localcloud.paths import CHECKOUT
from tests.localcloud.emulators import REGION, Cloud, checkout, document, running

FOUR = {env: str(number) * 12 for number, env in enumerate(ENVIRONMENTS, 1)}
EMPTY = {env: str(number) * 12 for number, env in enumerate(ENVIRONMENTS, 5)}
ONE: dict[str, str] = dict.fromkeys(ENVIRONMENTS, "9" * 12)

REPOSITORY = "example/platform"
ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"

OWN_ROLES = ("deployer", "preview", "ci", "ci-preview")
EVERYTHING = json.loads(document({"Sid": "All", "Action": "*", "Resource": "*"}))


def token(subject: str) -> str:
    """A workflow's, as GitHub fills it."""
    claims = {"iss": f"https://{ISSUER}", "sub": subject, "aud": AUDIENCE}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.e30"


@contextlib.contextmanager
def github(subject: str) -> Iterator[dict[str, str]]:
    """The variables of a job, whose address gives its token to who has the job's secret."""

    class Tokens(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            granted = self.headers["Authorization"] == "bearer secret"
            granted = granted and self.path.endswith(f"&audience={AUDIENCE}")
            self.send_response(200 if granted else 403)
            self.end_headers()
            self.wfile.write(json.dumps({"value": token(subject)}).encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Tokens) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{server.server_port}/?v=1",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret",
                "AWS_REGION": REGION,
                "GITHUB_RUN_ID": "7",
            }
        finally:
            server.shutdown()


class Company:
    """Accounts to bootstrap, with sessions that remember what was asked of AWS."""

    def __init__(self, cloud: Cloud, accounts: Mapping[str, str], repository: str | None) -> None:
        self.cloud, self.accounts = cloud, dict(accounts)
        self.settings = [self._settings(env, repository) for env in ENVIRONMENTS]
        self.calls: list[str] = []
        self.sessions: dict[str, boto3.Session] = {}
        self._clients: dict[tuple[str, str], Any] = {}
        for env, account in accounts.items():
            self.use(env, cloud.session(account))

    def _settings(self, environment: str, repository: str | None) -> PlatformSettings:
        loaded = settings.load_stack(CHECKOUT.root, environment)
        organization = loaded.organization.model_copy(update={"accounts": self.accounts})
        pipeline = loaded.ci.model_copy(update={"github_repository": repository})
        services = loaded.security_services.model_copy(update={"config": environment == "dev"})
        return loaded.model_copy(
            update={"organization": organization, "ci": pipeline, "security_services": services}
        )

    def names(self, environment: str) -> Names:
        return next(s.names for s in self.settings if s.environment == environment)

    def client(self, service: str, environment: str) -> Any:
        """An administrator's client, whose calls are not counted."""
        key = (service, environment)
        if key not in self._clients:
            self._clients[key] = self.cloud.client(service, self.accounts[environment])
        return self._clients[key]

    def use(self, environment: str, session: boto3.Session) -> None:
        """Bootstraps an account by this session."""
        session.events.register("before-call", self._remember, unique_id="calls")
        self.sessions[environment] = session

    def run(self, *, dry_run: bool = False) -> BootstrapResult:
        self.calls.clear()
        told: list[str] = []
        result = bootstrap(
            self.settings, self.sessions.__getitem__, dry_run=dry_run, report=told.append
        )
        assert told == (result.changes or ["Everything stands already; nothing was changed."])
        return result

    def _remember(self, model: Any, **_: Any) -> None:
        self.calls.append(model.name)

    @property
    def writes(self) -> list[str]:
        """What the last run asked for, other than to read."""
        return [
            call for call in self.calls if not call.startswith(("Get", "List", "Head", "Describe"))
        ]

    def trust(self, environment: str, role: str) -> dict[str, Any]:
        name = self.names(environment).role(role)
        found = self.client("iam", environment).get_role(RoleName=name)
        return found["Role"]["AssumeRolePolicyDocument"]

    def policies(self, environment: str, role: str) -> dict[str, dict[str, Any]]:
        """The role's attached policies, by name, as they apply."""
        iam = self.client("iam", environment)
        attached = iam.list_attached_role_policies(RoleName=self.names(environment).role(role))
        return {
            each["PolicyName"]: self.policy(environment, each["PolicyArn"])
            for each in attached["AttachedPolicies"]
        }

    def policy(self, environment: str, arn: str) -> dict[str, Any]:
        iam = self.client("iam", environment)
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=arn, VersionId=version)
        return found["PolicyVersion"]["Document"]

    def boundary(self, environment: str) -> dict[str, Any] | None:
        """The permissions boundary, as it applies; None when there is none."""
        with contextlib.suppress(self.client("iam", environment).exceptions.NoSuchEntityException):
            return self.policy(environment, self.names(environment).policy_arn("boundary"))
        return None

    def roles(self, environment: str) -> set[str]:
        """All but service-linked ones, which are told by their path."""
        found = self.client("iam", environment).list_roles()["Roles"]
        linked = "/aws-service-role/"
        return {role["RoleName"] for role in found if not role["Path"].startswith(linked)}

    def providers(self) -> list[dict[str, Any]]:
        iam = self.client("iam", "governance")
        found = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
        return [
            iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider["Arn"])
            for provider in found
        ]

    def state_key(self) -> dict[str, Any]:
        """The key behind the alias."""
        alias = self.names("governance").alias("pulumi-state")
        kms = self.client("kms", "governance")
        key = kms.describe_key(KeyId=alias)["KeyMetadata"]
        rotation = kms.get_key_rotation_status(KeyId=key["KeyId"])
        return {**key, "Rotates": rotation["KeyRotationEnabled"]}

    @property
    def bucket(self) -> str:
        return self.names("governance").bucket("pulumi-state")

    def bucket_settings(self) -> dict[str, Any]:
        s3 = self.client("s3", "governance")
        found: dict[str, Any] = {}
        for operation, part in (
            ("get_bucket_versioning", "Status"),
            ("get_public_access_block", "PublicAccessBlockConfiguration"),
            ("get_bucket_encryption", "ServerSideEncryptionConfiguration"),
            ("get_bucket_policy", "Policy"),
        ):
            with contextlib.suppress(ClientError):
                found[part] = getattr(s3, operation)(Bucket=self.bucket).get(part)
        return found

    def standing(self, environment: str) -> dict[str, Any]:
        """All that the bootstrap made in an account, as AWS tells it."""
        there = self.roles(environment)
        found: dict[str, Any] = {
            role: (self.trust(environment, role), self.policies(environment, role))
            for role in OWN_ROLES
            if self.names(environment).role(role) in there
        }
        found["boundary"] = self.boundary(environment)
        if environment == "governance":
            found["providers"] = [
                (provider["Url"], provider["ClientIDList"]) for provider in self.providers()
            ]
            key = self.state_key()
            found["key"] = (key["Arn"], key["Rotates"])
            found["bucket"] = self.bucket_settings()
        return found

    def assume(self, session: boto3.Session, environment: str, role: str) -> str:
        """Assumes a role; gives the account that this leads to."""
        arn = self.names(environment).role_arn(role)
        sts = self.cloud.client("sts", session=self.cloud.assume(arn, by=session))
        return sts.get_caller_identity()["Account"]

    def workflow(self, role: str, subject: str) -> boto3.Session:
        """The session of a workflow that signs in with GitHub's token."""
        given = self.client("sts", "governance").assume_role_with_web_identity(
            RoleArn=self.names("governance").role_arn(role),
            RoleSessionName="workflow",
            WebIdentityToken=token(subject),
        )["Credentials"]
        return boto3.Session(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], REGION
        )


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    accounts = {
        f"{kind}-{env}": account
        for kind, some in (("four", FOUR), ("empty", EMPTY), ("one", ONE))
        for env, account in some.items()
    }
    with (
        running(checkout(tmp_path_factory.mktemp("bootstrap")), accounts) as cloud,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL", cloud.started.endpoint)
        # To read botocore's models anew for each session takes a third of all time.
        patch.setattr("botocore.session.create_loader", functools.cache(create_loader))
        yield cloud


@pytest.fixture(scope="module")
def first(cloud: Cloud) -> tuple[Company, BootstrapResult]:
    """Four accounts, bootstrapped once with CI, and what that run told."""
    company = Company(cloud, FOUR, REPOSITORY)
    return company, company.run()


@pytest.fixture(scope="module")
def company(first: tuple[Company, BootstrapResult]) -> Company:
    """The four bootstrapped accounts; a test leaves them as it found them."""
    return first[0]


@pytest.fixture(scope="module")
def single(cloud: Cloud) -> Company:
    """One account for all, without CI, bootstrapped by a role that has a path."""
    company = Company(cloud, ONE, None)
    iam = company.client("iam", "governance")
    arn = iam.create_role(
        Path="/people/",
        RoleName="administrator",
        AssumeRolePolicyDocument=document(
            {
                "Principal": {"AWS": f"arn:aws:iam::{ONE['dev']}:root"},
                "Action": "sts:AssumeRole",
            }
        ),
    )["Role"]["Arn"]
    iam.put_role_policy(
        RoleName=arn.rpartition("/")[2], PolicyName="all", PolicyDocument=json.dumps(EVERYTHING)
    )
    person = cloud.assume(arn)
    for env in ENVIRONMENTS:
        company.use(env, person)
    assert company.run().changes
    return company


@pytest.fixture(scope="module")
def evaluator(cloud: Cloud) -> Iterator[Evaluator]:
    with Evaluator.start() as evaluator:
        yield evaluator


def boundary_of(names: Names) -> dict[str, Any]:
    """The permissions boundary that the stacks of an environment count on."""
    return policy_document(baseline_policies.boundary_statements(names))


def refused(call: Callable[..., Any], *arguments: Any, **parameters: Any) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        call(*arguments, **parameters)


class TestFourEmptyAccounts:
    """The first run, seen through the API of AWS."""

    def test_each_gets_a_deployer_and_a_preview_role_which_only_the_hub_assumes(
        self, company: Company
    ) -> None:
        for env in ENVIRONMENTS:
            names = company.names(env)
            own = {names.role("deployer"), names.role("preview")}
            hub = env == "governance"
            assert company.roles(env) == own | (
                {names.role("ci"), names.role("ci-preview")} if hub else set()
            )
            for role in ("deployer", "preview"):
                policies = company.policies(env, role)
                assert policies
                assert all(
                    len(json.dumps(p, separators=(",", ":"))) <= LIMIT for p in policies.values()
                )
                assert company.assume(company.sessions["governance"], env, role) == FOUR[env]
                if not hub:
                    refused(company.assume, company.sessions[env], env, role)

    def test_each_gets_the_boundary_that_its_roles_are_to_have(self, company: Company) -> None:
        for env in ENVIRONMENTS:
            assert company.boundary(env) == boundary_of(company.names(env))

    def test_the_roles_policies_work(self, company: Company) -> None:
        """The deployer of dev makes and reads; the preview role only reads."""
        names = company.names("dev")
        hub = company.sessions["governance"]
        deployer, preview = (
            company.cloud.client("ssm", session=company.cloud.assume(names.role_arn(role), by=hub))
            for role in ("deployer", "preview")
        )
        name = names.parameter("bootstrap/test")
        refused(preview.put_parameter, Name=name, Value="1", Type="String")
        deployer.put_parameter(Name=name, Value="1", Type="String")
        assert preview.get_parameter(Name=name)["Parameter"]["Value"] == "1"
        refused(deployer.put_parameter, Name="/mlops/prod/x", Value="1", Type="String")

    def test_the_state_bucket_is_versioned_private_and_encrypted_with_the_state_key(
        self, company: Company
    ) -> None:
        key = company.state_key()
        assert key["Rotates"]
        assert key["Enabled"]
        found = company.bucket_settings()
        assert found["Status"] == "Enabled"
        assert found["PublicAccessBlockConfiguration"] == {
            "BlockPublicAcls": True,
            "BlockPublicPolicy": True,
            "IgnorePublicAcls": True,
            "RestrictPublicBuckets": True,
        }
        (rule,) = found["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["BucketKeyEnabled"]
        assert rule["ApplyServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": "aws:kms",
            "KMSMasterKeyID": key["Arn"],
        }
        s3 = company.client("s3", "governance")
        assert s3.get_bucket_location(Bucket=company.bucket)["LocationConstraint"] == REGION

    def test_state_is_reached_by_tls_only_and_cannot_be_lost(self, company: Company) -> None:
        """Not even by the administrator, as long as the bucket's policy stands."""
        s3 = company.client("s3", "governance")
        state = {"Bucket": company.bucket, "Key": ".pulumi/stacks/dev.json"}
        version = s3.put_object(**state, Body=b"{}")["VersionId"]
        assert s3.get_object(**state)["Body"].read() == b"{}"
        refused(s3.delete_object, **state, VersionId=version)
        refused(s3.delete_bucket, Bucket=company.bucket)
        insecure = without_tls(company.cloud.client("s3", FOUR["governance"]))
        refused(insecure.get_object, **state)
        refused(insecure.list_objects_v2, Bucket=company.bucket)

    def test_workflows_sign_in_by_oidc_and_reach_the_stacks_roles(self, company: Company) -> None:
        (provider,) = company.providers()
        assert provider["Url"].removeprefix("https://") == ISSUER
        assert provider["ClientIDList"] == [AUDIENCE]
        deploying = company.workflow("ci", f"repo:{REPOSITORY}:environment:prod")
        previewing = company.workflow("ci-preview", f"repo:{REPOSITORY}:pull_request")
        for env in ENVIRONMENTS:
            assert company.assume(deploying, env, "deployer") == FOUR[env]
            assert company.assume(deploying, env, "preview") == FOUR[env]
            assert company.assume(previewing, env, "preview") == FOUR[env]
            refused(company.assume, previewing, env, "deployer")

    def test_a_job_exchanges_its_token_once_and_leaves_it_nowhere(
        self,
        company: Company,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        subject = f"repo:{REPOSITORY}:pull_request"
        monkeypatch.chdir(tmp_path)
        kept = tmp_path / "env"
        hub = company.names("governance")
        with github(subject) as env:
            env |= {"GITHUB_ENV": str(kept), "AWS_ROLE_ARN": hub.role_arn("ci-preview")}
            assert ci.main(["sign-in"], env) == 0
            told = capsys.readouterr().out.splitlines()
            # The role of approved environments is not a pull request's.
            assert ci.main(["sign-in"], {**env, "AWS_ROLE_ARN": hub.role_arn("ci")}) == 1
            assert "AccessDenied" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == [kept]
        keys = dict(line.split("=", 1) for line in kept.read_text().splitlines())
        names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
        assert list(keys) == names
        # Nothing is said but what the runner has to keep out of its logs.
        assert told == [f"::add-mask::{each}" for each in (token(subject), *keys.values())]
        job = boto3.Session(*keys.values(), REGION)
        caller = company.cloud.client("sts", session=job).get_caller_identity()["Arn"]
        assert caller.endswith(":assumed-role/mlops-governance-ci-preview/github-7")
        assert company.assume(job, "prod", "preview") == FOUR["prod"]

    def test_the_result_names_the_backend_and_the_key(
        self, first: tuple[Company, BootstrapResult]
    ) -> None:
        company, result = first
        assert result.backend_url == f"s3://{company.bucket}?region={REGION}&awssdk=v2"
        alias = company.names("governance").alias("pulumi-state")
        assert result.secrets_provider == f"awskms://{alias}?region={REGION}&awssdk=v2"
        aliases = company.client("kms", "governance").list_aliases()["Aliases"]
        assert alias in [each["AliasName"] for each in aliases]


def test_config_has_its_service_linked_role_where_it_is_on(company: Company) -> None:
    for environment in ENVIRONMENTS:
        found = company.client("iam", environment).list_roles(
            PathPrefix="/aws-service-role/config.amazonaws.com/"
        )["Roles"]
        on = company.accounts[environment] == company.accounts["dev"]
        assert len(found) == (1 if on else 0)


def test_a_second_run_changes_nothing(company: Company) -> None:
    """Not a single call that writes."""
    result = company.run()
    assert result.changes == []
    assert company.writes == []
    assert len(company.calls) > 50


def test_a_dry_run_tells_what_the_run_does_and_makes_nothing(cloud: Cloud) -> None:
    company = Company(cloud, EMPTY, REPOSITORY)
    told = company.run(dry_run=True)
    assert company.writes == []
    assert all(not company.roles(env) for env in ENVIRONMENTS)
    done = company.run()
    assert company.writes
    assert told.changes == done.changes
    assert (told.backend_url, told.secrets_provider) == (done.backend_url, done.secrets_provider)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_session_of_a_wrong_account_stops_everything_before_the_first_change(
    cloud: Cloud, environment: str
) -> None:
    company = Company(cloud, EMPTY, REPOSITORY)
    company.use(environment, cloud.session(ONE["dev"]))
    with pytest.raises(BootstrapError, match=f"{environment} is of account {ONE['dev']}") as error:
        company.run()
    assert f"--profile {environment}=NAME" in str(error.value)
    assert set(company.calls) == {"GetCallerIdentity"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_endpoints_that_the_region_does_not_offer_stop_everything_before_the_first_change(
    cloud: Cloud, environment: str
) -> None:
    company = Company(cloud, EMPTY, None)
    stack = next(each for each in company.settings if each.environment == environment)
    network = stack.network.model_copy(update={"endpoints": ("kms", "notebook", "telegraph")})
    at = company.settings.index(stack)
    company.settings[at] = stack.model_copy(update={"network": network})
    with pytest.raises(BootstrapError, match="telegraph") as error:
        company.run()
    told = str(error.value)
    assert f"{REGION} offers no VPC endpoints for com.amazonaws.{REGION}.telegraph, " in told
    assert f"mlops:network.endpoints of Pulumi.{environment}.yaml" in told
    assert company.writes == []


@dataclass(frozen=True)
class Tampering:
    """A change by hand, what the next run tells of it, and by which calls it is put back."""

    environment: str
    act: Callable[[Company], Any]
    told: tuple[str, ...]
    writes: tuple[str, ...]


def _trust(environment: str, role: str, **statement: Any) -> Callable[[Company], Any]:
    return lambda company: company.client("iam", environment).update_assume_role_policy(
        RoleName=company.names(environment).role(role), PolicyDocument=document(statement)
    )


def _wider_policy(company: Company) -> None:
    company.client("iam", "prod").create_policy_version(
        PolicyArn=company.names("prod").policy_arn("preview-1"),
        PolicyDocument=json.dumps(EVERYTHING),
        SetAsDefault=True,
    )


def _wider_boundary(company: Company) -> None:
    company.client("iam", "dev").create_policy_version(
        PolicyArn=company.names("dev").policy_arn("boundary"),
        PolicyDocument=json.dumps(EVERYTHING),
        SetAsDefault=True,
    )


def _deleted_boundary(company: Company) -> None:
    client, arn = company.client("iam", "preprod"), company.names("preprod").policy_arn("boundary")
    for version in client.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            client.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])
    client.delete_policy(PolicyArn=arn)


def _foreign_policy(company: Company) -> None:
    iam = company.client("iam", "governance")
    made = iam.create_policy(PolicyName="foreign", PolicyDocument=json.dumps(EVERYTHING))
    iam.attach_role_policy(
        RoleName=company.names("governance").role("preview"), PolicyArn=made["Policy"]["Arn"]
    )


def _detached(company: Company) -> None:
    names = company.names("preprod")
    company.client("iam", "preprod").detach_role_policy(
        RoleName=names.role("deployer"), PolicyArn=names.policy_arn("deployer-2")
    )


def _deleted_role(company: Company) -> None:
    names, iam = company.names("dev"), company.client("iam", "dev")
    role = names.role("preview")
    for policy in ("preview-1", "preview-2"):
        iam.detach_role_policy(RoleName=role, PolicyArn=names.policy_arn(policy))
    iam.delete_role(RoleName=role)


def _deleted_provider(company: Company) -> None:
    company.client("iam", "governance").delete_open_id_connect_provider(
        OpenIDConnectProviderArn=PROVIDER
    )


def _bucket(operation: str, **arguments: Any) -> Callable[[Company], Any]:
    return lambda company: getattr(company.client("s3", "governance"), operation)(
        Bucket=company.bucket, **arguments
    )


PROVIDER = f"arn:aws:iam::{FOUR['governance']}:oidc-provider/{ISSUER}"
BUCKET = f"mlops-governance-{REGION}-{FOUR['governance']}-pulumi-state"

TAMPERINGS = {
    "a deployer's trust": Tampering(
        "dev",
        _trust("dev", "deployer", Principal={"AWS": "*"}, Action="sts:AssumeRole"),
        ("update the trust of role mlops-dev-deployer",),
        ("UpdateAssumeRolePolicy",),
    ),
    "the trust of CI": Tampering(
        "governance",
        _trust(
            "governance",
            "ci",
            Principal={"Federated": PROVIDER},
            Action="sts:AssumeRoleWithWebIdentity",
            Condition={"StringLike": {f"{ISSUER}:sub": f"repo:{REPOSITORY}:*"}},
        ),
        ("update the trust of role mlops-governance-ci",),
        ("UpdateAssumeRolePolicy",),
    ),
    "a policy document": Tampering(
        "prod", _wider_policy, ("update policy mlops-prod-preview-1",), ("CreatePolicyVersion",)
    ),
    "the boundary": Tampering(
        "dev", _wider_boundary, ("update policy mlops-dev-boundary",), ("CreatePolicyVersion",)
    ),
    "the boundary deleted": Tampering(
        "preprod", _deleted_boundary, ("create policy mlops-preprod-boundary",), ("CreatePolicy",)
    ),
    "a foreign policy attached": Tampering(
        "governance",
        _foreign_policy,
        (f"detach arn:aws:iam::{FOUR['governance']}:policy/foreign from mlops-governance-preview",),
        ("DetachRolePolicy",),
    ),
    "a policy detached": Tampering(
        "preprod",
        _detached,
        ("attach mlops-preprod-deployer-2 to mlops-preprod-deployer",),
        ("AttachRolePolicy",),
    ),
    "a role deleted": Tampering(
        "dev",
        _deleted_role,
        (
            "create role mlops-dev-preview",
            "attach mlops-dev-preview-1 to mlops-dev-preview",
            "attach mlops-dev-preview-2 to mlops-dev-preview",
        ),
        ("CreateRole", "AttachRolePolicy", "AttachRolePolicy"),
    ),
    "the OIDC provider deleted": Tampering(
        "governance",
        _deleted_provider,
        ("create GitHub's OIDC provider",),
        ("CreateOpenIDConnectProvider",),
    ),
    "rotation off": Tampering(
        "governance",
        lambda company: company.client("kms", "governance").disable_key_rotation(
            KeyId=company.state_key()["KeyId"]
        ),
        ("switch the state key's rotation on",),
        ("EnableKeyRotation",),
    ),
    "versioning suspended": Tampering(
        "governance",
        _bucket("put_bucket_versioning", VersioningConfiguration={"Status": "Suspended"}),
        (f"set the versioning of bucket {BUCKET}",),
        ("PutBucketVersioning",),
    ),
    "public access allowed": Tampering(
        "governance",
        _bucket("delete_public_access_block"),
        (f"set the public access block of bucket {BUCKET}",),
        ("PutPublicAccessBlock",),
    ),
    "another encryption": Tampering(
        "governance",
        _bucket(
            "put_bucket_encryption",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        ),
        (f"set the encryption of bucket {BUCKET}",),
        ("PutBucketEncryption",),
    ),
    "the bucket's policy deleted": Tampering(
        "governance",
        _bucket("delete_bucket_policy"),
        (f"set the policy of bucket {BUCKET}",),
        ("PutBucketPolicy",),
    ),
}


@pytest.mark.parametrize("tampering", TAMPERINGS.values(), ids=TAMPERINGS)
def test_what_was_changed_by_hand_is_put_back_and_nothing_else(
    company: Company, tampering: Tampering
) -> None:
    env = tampering.environment
    before = company.standing(env)
    tampering.act(company)
    assert company.standing(env) != before
    result = company.run()
    account = f"{env} ({FOUR[env]})"
    assert result.changes == [f"{account}: {told}" for told in tampering.told]
    assert company.writes == list(tampering.writes)
    assert company.standing(env) == before


def test_an_upgrade_that_changes_the_boundary_is_told_of_until_the_bootstrap_brought_it(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the preview roles may read, and in every account."""

    hub = company.sessions["governance"]

    def notes() -> set[str]:
        return {
            boundary_note(
                lambda names=names: company.cloud.assume(names.role_arn("preview"), by=hub), names
            )
            for names in map(company.names, ENVIRONMENTS)
        }

    def upgraded(names: Names) -> list[Statement]:
        return [s for s in baseline_policies.boundary_statements(names) if s.sid != "OwnRoles"]

    updates = [f"{e} ({FOUR[e]}): update policy mlops-{e}-boundary" for e in ENVIRONMENTS]
    assert notes() == {""}
    with monkeypatch.context() as patch:
        patch.setattr("automation.bootstrap.boundary_statements", upgraded)
        told = notes()
        assert len(told) == len(ENVIRONMENTS)
        assert all("-boundary is not the one of this checkout" in note for note in told)
        assert sorted(company.run().changes) == sorted(updates)
        for env in ENVIRONMENTS:
            names = company.names(env)
            assert company.boundary(env) == policy_document(upgraded(names)) != boundary_of(names)
        assert notes() == {""}
        assert company.run().changes == []
    assert sorted(company.run().changes) == sorted(updates)


def test_an_account_without_the_boundary_is_refused_and_one_that_cannot_be_read_is_not(
    company: Company,
) -> None:
    names = company.names("dev")
    other = replace(names, prefix="other")
    session = company.sessions["dev"]
    with pytest.raises(BootstrapError, match="python -m automation bootstrap") as error:
        boundary_note(lambda: session, other)
    assert f"no permissions boundary {other.policy_arn('boundary')}, " in str(error.value)
    stranger = company.cloud.session(EMPTY["dev"])

    def refused() -> boto3.Session:
        return company.cloud.assume(names.role_arn("deployer"), by=stranger)

    with pytest.raises(ClientError):
        refused()
    assert boundary_note(refused, names) == ""


def test_a_policy_with_five_versions_is_still_updated(company: Company) -> None:
    """The oldest goes, as IAM keeps no more than five."""
    iam, arn = company.client("iam", "prod"), company.names("prod").policy_arn("deployer-1")
    right = company.policy("prod", arn)
    for _ in range(4):
        iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=json.dumps(EVERYTHING), SetAsDefault=True
        )

    def versions() -> list[str]:
        return sorted(v["VersionId"] for v in iam.list_policy_versions(PolicyArn=arn)["Versions"])

    assert versions() == ["v1", "v2", "v3", "v4", "v5"]
    result = company.run()
    assert [change.partition(": ")[2] for change in result.changes] == [
        "update policy mlops-prod-deployer-1"
    ]
    assert versions() == ["v2", "v3", "v4", "v5", "v6"]
    assert company.policy("prod", arn) == right


class TestOneAccountForAll:
    """Names carry the environment, so that four bootstraps fit in one account."""

    def test_all_is_there_once_and_without_a_repository_nothing_for_ci(
        self, single: Company
    ) -> None:
        made = {role for role in single.roles("dev") if role.startswith("mlops-")}
        assert made == {
            f"mlops-{env}-{role}" for env in ENVIRONMENTS for role in ("deployer", "preview")
        }
        assert single.providers() == []
        for env in ENVIRONMENTS:
            assert all(f"mlops-{env}-" in name for name in single.policies(env, "deployer"))

    def test_a_second_run_changes_nothing(self, single: Company) -> None:
        assert single.run().changes == []
        assert single.writes == []

    def test_who_bootstrapped_may_assume_the_roles_also_with_a_role_that_has_a_path(
        self, single: Company
    ) -> None:
        """As those of IAM Identity Center have; a session's ARN does not tell it."""
        for env in ENVIRONMENTS:
            person = single.sessions["governance"]
            assert single.assume(person, env, "deployer") == ONE[env]
            # The account's other administrator is not the one who bootstrapped.
            refused(single.assume, single.cloud.session(ONE[env]), env, "deployer")

    def test_documents_in_the_form_that_aws_gives_them_back_are_no_change(
        self, single: Company
    ) -> None:
        """S3 and IAM turn a list of one into its element and keep no order."""

        def returned(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: returned(item) for key, item in value.items()}
            if isinstance(value, list):
                return returned(value[0]) if len(value) == 1 else [*map(returned, value[::-1])]
            return value

        s3, iam = single.client("s3", "governance"), single.client("iam", "dev")
        policy = json.loads(s3.get_bucket_policy(Bucket=single.bucket)["Policy"])
        trust = single.trust("dev", "preview")
        assert returned(policy) != policy
        assert returned(trust) != trust
        s3.put_bucket_policy(Bucket=single.bucket, Policy=json.dumps(returned(policy)))
        iam.update_assume_role_policy(
            RoleName="mlops-dev-preview", PolicyDocument=json.dumps(returned(trust))
        )
        assert single.run().changes == []


CI, CI_PREVIEW = frozenset({"ci"}), frozenset({"ci-preview"})
NOBODY: frozenset[str] = frozenset()

SUBJECTS = {
    f"repo:{REPOSITORY}:environment:dev": CI,
    f"repo:{REPOSITORY}:environment:preprod": CI,
    f"repo:{REPOSITORY}:environment:prod": CI,
    f"repo:{REPOSITORY}:environment:governance": CI,
    f"repo:{REPOSITORY}:pull_request": CI_PREVIEW,
    f"repo:{REPOSITORY}:ref:refs/heads/main": CI_PREVIEW,
    f"repo:{REPOSITORY}:ref:refs/heads/main-2": NOBODY,
    f"repo:{REPOSITORY}:ref:refs/heads/other": NOBODY,
    f"repo:{REPOSITORY}:ref:refs/tags/v1": NOBODY,
    f"repo:{REPOSITORY}:environment:staging": NOBODY,
    f"repo:{REPOSITORY}:environment:dev:more": NOBODY,
    f"repo:{REPOSITORY}:pull_request:more": NOBODY,
    f"repo:{REPOSITORY}-2:environment:dev": NOBODY,
    f"repo:{REPOSITORY}-2:pull_request": NOBODY,
    "repo:example/other:environment:dev": NOBODY,
    "repo:example/other:pull_request": NOBODY,
    "repo:example/other:ref:refs/heads/main": NOBODY,
    "repo:fork/platform:environment:dev": NOBODY,
    "repo:fork/platform:pull_request": NOBODY,
}
"""Subject of a workflow's token -> the roles that take it."""


@pytest.mark.parametrize("subject", SUBJECTS)
def test_which_workflow_signs_in_with_which_role(
    company: Company, evaluator: Evaluator, subject: str
) -> None:
    def taken(context: dict[str, str]) -> set[str]:
        return {
            role
            for role, trust in trusts.items()
            if evaluator.evaluate(
                Request(
                    PROVIDER,
                    "sts:AssumeRoleWithWebIdentity",
                    company.names("governance").role_arn(role),
                    context=context,
                ),
                Policies(resource=trust),
            ).allowed
        }

    trusts = {role: company.trust("governance", role) for role in ("ci", "ci-preview")}
    sub, aud = f"{ISSUER}:sub", f"{ISSUER}:aud"
    assert taken({sub: subject, aud: AUDIENCE}) == SUBJECTS[subject]
    assert taken({sub: subject}) == set()
    assert taken({sub: subject, aud: "https://github.com/example"}) == set()
    assert taken({aud: AUDIENCE}) == set()


BUILDS = f"arn:aws:iam::{FOUR['governance']}:role/builds/"
BUILD_ROLES = {"ci": f"{BUILDS}apply", "ci-preview": f"{BUILDS}preview"}
BUILD_CALLERS = {
    f"{BUILDS}apply": CI,
    f"{BUILDS}preview": CI_PREVIEW,
    f"{BUILDS}other": NOBODY,
    f"arn:aws:iam::{FOUR['governance']}:role/apply": NOBODY,
    f"arn:aws:iam::{FOUR['dev']}:role/builds/apply": NOBODY,
}
"""Role of a caller -> the roles that take it, where CodeBuild brings the platform up."""


@pytest.mark.parametrize("caller", BUILD_CALLERS)
def test_which_build_has_which_role(evaluator: Evaluator, caller: str) -> None:
    names = Names("mlops", "governance", REGION, FOUR["governance"])
    whole = {"all": json.loads(document({"Action": "sts:AssumeRole", "Resource": "*"}))}
    account, name = caller.split(":")[4], caller.rpartition("/")[2]
    session = f"arn:aws:sts::{account}:assumed-role/{name}/build"
    taken = {
        role
        for role, arn in BUILD_ROLES.items()
        if evaluator.evaluate(
            Request(
                session, "sts:AssumeRole", names.role_arn(role),
                context={"aws:PrincipalArn": caller},
            ),
            Policies(whole, ci_trust(names, role, ENVIRONMENTS, build_role=arn)),
        ).allowed
    }  # fmt: skip
    assert taken == BUILD_CALLERS[caller]


def test_builds_alone_get_roles_and_github_gets_no_provider(cloud: Cloud) -> None:
    company = Company(cloud, ONE, None)
    build_roles = {
        "preview_build_role": f"arn:aws:iam::{ONE['governance']}:role/preview",
        "deploy_build_role": f"arn:aws:iam::{ONE['governance']}:role/apply",
    }
    company.settings = [
        each.model_copy(update={"ci": each.ci.model_copy(update=build_roles)})
        for each in company.settings
    ]
    told = "\n".join(company.run(dry_run=True).changes)
    for role in ("ci", "ci-preview"):
        assert f"create role mlops-governance-{role}\n" in told
    assert "OIDC" not in told


STATE = f"arn:aws:s3:::{BUCKET}"
KEY = f"arn:aws:kms:{REGION}:{FOUR['governance']}:key/1"
PROD_ROLE = f"arn:aws:iam::{FOUR['prod']}:role/"

CI_MAY = {
    ("s3:ListBucket", STATE): CI | CI_PREVIEW,
    ("s3:GetObject", f"{STATE}/.pulumi/x"): CI | CI_PREVIEW,
    ("s3:PutObject", f"{STATE}/.pulumi/x"): CI,
    ("s3:DeleteObject", f"{STATE}/.pulumi/x"): CI,
    ("s3:DeleteObjectVersion", f"{STATE}/.pulumi/x"): NOBODY,
    ("s3:PutBucketPolicy", STATE): NOBODY,
    ("s3:GetObject", "arn:aws:s3:::other/x"): NOBODY,
    ("kms:Decrypt", KEY): CI | CI_PREVIEW,
    ("kms:GenerateDataKey", KEY): CI | CI_PREVIEW,
    ("kms:ScheduleKeyDeletion", KEY): NOBODY,
    ("sts:AssumeRole", f"{PROD_ROLE}mlops-prod-preview"): CI | CI_PREVIEW,
    ("sts:AssumeRole", f"{PROD_ROLE}mlops-prod-deployer"): CI,
    ("sts:AssumeRole", f"{PROD_ROLE}mlops-prod-ml-engineer"): NOBODY,
}
"""Action and resource -> CI's roles that may."""


@pytest.mark.parametrize(("action", "resource"), CI_MAY)
def test_what_the_policies_of_cis_roles_allow(
    company: Company, evaluator: Evaluator, action: str, resource: str
) -> None:
    """By evaluation, as the emulator does not tell a key's aliases to IAM."""
    names = company.names("governance")
    own = {
        # A trust in all of the hub, so that the role's own policy decides.
        "sts": document({"Principal": {"AWS": names.root_arn}, "Action": "sts:AssumeRole"}),
        "kms": account_key(names),
        "s3": company.bucket_settings()["Policy"] if STATE in resource else None,
    }[action.partition(":")[0]]

    def may(key_alias: str) -> set[str]:
        context = {"kms:ResourceAliases": [key_alias]} if resource == KEY else {}
        return {
            role
            for role in ("ci", "ci-preview")
            if evaluator.evaluate(
                Request(
                    f"arn:aws:sts::{names.account_id}:assumed-role/{names.role(role)}/workflow",
                    action,
                    resource,
                    "" if resource.startswith(PROD_ROLE) else names.account_id,
                    context,
                ),
                Policies(company.policies("governance", role), own),
            ).allowed
        }

    assert may(names.alias("pulumi-state")) == CI_MAY[action, resource]
    if resource == KEY:
        assert may(names.alias("models")) == set()


HUB_ROLE = f"arn:aws:iam::{FOUR['governance']}:role/"
BOTH = frozenset({"deployer", "preview"})

CALLERS = {
    f"{HUB_ROLE}mlops-governance-ci": BOTH,
    f"{HUB_ROLE}mlops-governance-ci-preview": frozenset({"preview"}),
    f"{HUB_ROLE}mlops-governance-platform-engineer": BOTH,
    f"arn:aws:iam::{FOUR['governance']}:user/administrator": BOTH,
    f"arn:aws:iam::{FOUR['governance']}:user/other": NOBODY,
    f"{HUB_ROLE}mlops-governance-ml-engineer": NOBODY,
    f"{HUB_ROLE}mlops-governance-ci-2": NOBODY,
    f"{HUB_ROLE}elsewhere/mlops-governance-ci": NOBODY,
    f"arn:aws:iam::{FOUR['dev']}:role/mlops-governance-ci": NOBODY,
    f"arn:aws:iam::{FOUR['prod']}:user/administrator": NOBODY,
}
"""Principal -> which roles of an environment it may assume, whatever its own policies allow."""


@pytest.mark.parametrize("caller", CALLERS)
def test_who_assumes_deployer_and_preview(
    company: Company, evaluator: Evaluator, caller: str
) -> None:
    account, kind = caller.split(":")[4], caller.rpartition("/")[2]
    session = (
        f"arn:aws:sts::{account}:assumed-role/{kind}/session" if ":role/" in caller else caller
    )
    for env in ("prod", "governance"):
        taken = {
            role
            for role in BOTH
            if evaluator.evaluate(
                Request(
                    session,
                    "sts:AssumeRole",
                    company.names(env).role_arn(role),
                    context={"aws:PrincipalArn": caller},
                ),
                Policies(identity={"all": EVERYTHING}, resource=company.trust(env, role)),
            ).allowed
        }
        assert taken == CALLERS[caller]


@functools.cache
def reference(kind: str, service: str) -> dict[str, Any]:
    """IAM's reference of a service: its actions, or its types of resources."""
    return json.loads((data_folder(CHECKOUT.local) / kind / f"{service}.json").read_text())


READING = {"Read", "List"}


def allowed_by_pattern(policies: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """All that the statements allow: action, what the reference says of it, resource."""
    for policy in policies.values():
        for statement in policy["Statement"]:
            for pattern in statement["Action"] if statement["Effect"] == "Allow" else ():
                service, _, name = pattern.lower().partition(":")
                matching = fnmatch.filter(reference("actions", service), name)
                assert matching, f"{pattern} allows nothing"
                for found in matching:
                    action = reference("actions", service)[found]
                    for resource in statement["Resource"]:
                        yield f"{service}:{action['name']}", action, resource


def examples(service: str, action: dict[str, Any], resource: str, names: Names) -> list[str]:
    """Resources that a statement's resource stands for."""
    if resource == "*":
        return [resource]
    if not resource.endswith(":*"):
        return [resource.replace("*", "x")]
    # The reference's own spelling of types differs between its parts.
    known = {name.lower(): each for name, each in reference("resourceTypes", service).items()}
    types = [known[each["name"].lower()] for each in action["resourceTypes"]]
    filled = {"Partition": "aws", "Region": names.region, "Account": names.account_id}
    return [
        "".join(
            filled.get(part[2:-1], "x") if part.startswith("${") else part
            for part in re.split(r"(\$\{\w+\})", each["arn"])
        )
        for each in types
    ]


def account_key(names: Names) -> str:
    """The policy of a key that leaves its use to IAM; without one nobody may use a key."""
    return document({"Principal": {"AWS": names.root_arn}, "Action": "kms:*", "Resource": "*"})


def decide(
    evaluator: Evaluator,
    policies: Mapping[str, Any],
    action: str,
    resource: str,
    names: Names,
    boundary: str | None = None,
) -> bool:
    """Whether a role with these policies may; by default the deployer's conditions all hold."""
    boundary = names.policy_arn("boundary") if boundary is None else boundary
    context: dict[str, str | list[str]] = {
        "aws:RequestedRegion": names.region,
        "kms:ViaService": f"s3.{names.region}.amazonaws.com",
        "iam:PassedToService": "sagemaker.amazonaws.com",
        "iam:AWSServiceName": "sagemaker.amazonaws.com",
        **({"iam:PermissionsBoundary": boundary} if boundary else {}),
    }
    session = f"arn:aws:sts::{names.account_id}:assumed-role/role/session"
    return evaluator.evaluate(
        Request(session, action, resource, names.account_id, context),
        Policies(policies, account_key(names) if action.startswith("kms:") else None),
        strict=False,
    ).allowed


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_preview_role_has_only_reading_actions(company: Company, environment: str) -> None:
    found = list(allowed_by_pattern(company.policies(environment, "preview")))
    assert len(found) > 100
    writing = {name for name, action, _ in found if action["accessLevel"] not in READING}
    assert writing == set()


def test_of_all_that_the_deployer_writes_a_preview_role_may_nothing(
    company: Company, evaluator: Evaluator
) -> None:
    """Writing is all that IAM's reference calls more than Read or List."""
    names = company.names("dev")
    deployer, preview = (company.policies("dev", role) for role in ("deployer", "preview"))
    writing = {
        (name, example)
        for name, action, resource in allowed_by_pattern(deployer)
        if action["accessLevel"] not in READING
        for example in examples(name.partition(":")[0], action, resource, names)
    }
    done: set[str] = set()
    for name, example in sorted(writing):
        # A statement's resources are not all of the type of each of its actions.
        with contextlib.suppress(PolicyError):
            if decide(evaluator, deployer, name, example, names):
                done.add(name)
            assert not decide(evaluator, preview, name, example, names), (name, example)
    assert done == {name for name, _ in writing}
    assert len(done) > 150


def test_a_preview_role_reads_what_the_deployer_made(
    company: Company, evaluator: Evaluator
) -> None:
    names = company.names("dev")
    preview = company.policies("dev", "preview")
    for action, resource in {
        "s3:GetBucketPolicy": names.bucket_arn("models"),
        "iam:GetRole": names.role_arn("model-execution"),
        "kms:DescribeKey": names.arn("kms", "key/x"),
        "ec2:DescribeVpcs": "*",
        "sagemaker:DescribeDomain": names.arn("sagemaker", "domain/d-x"),
        "ssm:GetParameter": names.arn("ssm", f"parameter{names.parameter('network/vpc')}"),
    }.items():
        assert decide(evaluator, preview, action, resource, names), action


@pytest.mark.parametrize("environment", ["dev", "governance"])
def test_the_deployer_may_not_touch_the_bootstraps_own_roles_and_policies(
    company: Company, evaluator: Evaluator, environment: str
) -> None:
    """With a new version of its own policy, or of the boundary, it could give itself anything."""
    names = company.names(environment)
    deployer = company.policies(environment, "deployer")
    made = [
        name for role in ("deployer", "preview") for name in company.policies(environment, role)
    ]
    own = {
        "role": [names.role_arn(role) for role in OWN_ROLES],
        "policy": [
            f"arn:aws:iam::{names.account_id}:policy/{name}"
            for name in (*made, *map(names.name, ("ci", "ci-preview", "boundary")))
        ],
    }
    ordinary = {
        "role": names.role_arn("model-execution"),
        "policy": names.policy_arn("studio-guards"),
    }
    possible: set[str] = set()
    for action in reference("actions", "iam").values():
        types = {each["name"] for each in action["resourceTypes"]} & set(own)
        name = f"iam:{action['name']}"
        # Handing a role to a service changes nothing in it, and no service is in its trust.
        if action["accessLevel"] in READING or name == "iam:PassRole":
            continue
        for kind in types:
            if decide(evaluator, deployer, name, ordinary[kind], names):
                possible.add(name)
            for arn in own[kind]:
                assert not decide(evaluator, deployer, name, arn, names), (name, arn)
    assert {
        "iam:AttachRolePolicy", "iam:CreatePolicyVersion", "iam:CreateRole", "iam:DeletePolicy",
        "iam:DeleteRole", "iam:PutRolePolicy", "iam:TagRole", "iam:UpdateAssumeRolePolicy",
    } <= possible  # fmt: skip


@pytest.mark.parametrize(
    "action",
    [
        "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutBucketPolicy", "s3:PutBucketVersioning",
        "s3:PutBucketPublicAccessBlock", "s3:PutEncryptionConfiguration",
        "s3:PutLifecycleConfiguration",
    ],
)  # fmt: skip
def test_the_hubs_deployer_may_change_its_buckets_but_not_that_of_the_state(
    company: Company, evaluator: Evaluator, action: str
) -> None:
    names, deployer = company.names("governance"), company.policies("governance", "deployer")
    assert decide(evaluator, deployer, action, names.bucket_arn("models"), names)
    assert not decide(evaluator, deployer, action, names.bucket_arn("pulumi-state"), names)


@pytest.mark.parametrize("action", ["kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"])
def test_the_hubs_deployer_may_change_its_keys_but_not_that_of_the_state(
    company: Company, action: str
) -> None:
    names = company.names("governance")
    kms = company.client("kms", "governance")
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    state = kms.describe_key(KeyId=names.alias("pulumi-state"))["KeyMetadata"]["KeyId"]
    deployer = company.cloud.assume(names.role_arn("deployer"))
    client = company.cloud.client("kms", session=deployer)
    policy = kms.get_key_policy(KeyId=other, PolicyName="default")["Policy"]

    def act(key: str) -> None:
        if action == "kms:PutKeyPolicy":
            client.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
        else:
            client.schedule_key_deletion(KeyId=key)

    with pytest.raises(ClientError, match="explicit deny"):
        act(state)
    act(other)


def test_the_deployer_makes_roles_only_within_the_boundary_and_takes_none_off(
    company: Company, evaluator: Evaluator
) -> None:
    names = company.names("dev")
    deployer, role = company.policies("dev", "deployer"), names.role_arn("model-execution")
    for action in (
        "iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy",
        "iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePolicy",
    ):  # fmt: skip
        assert decide(evaluator, deployer, action, role, names)
        for boundary in ("", names.policy_arn("other"), "arn:aws:iam::aws:policy/ReadOnlyAccess"):
            assert not decide(evaluator, deployer, action, role, names, boundary), action
    remove = "iam:DeleteRolePermissionsBoundary"
    assert not decide(evaluator, deployer, remove, role, names)
    other = company.names("prod").role_arn("model-execution")
    assert not decide(evaluator, deployer, "iam:CreateRole", other, names)


def test_the_deployer_makes_bounded_roles_and_never_writes_what_bounds_them(
    company: Company,
) -> None:
    """With the calls by which it would become the account's administrator."""
    names, hub = company.names("prod"), company.sessions["governance"]
    boundary, everything = names.policy_arn("boundary"), json.dumps(EVERYTHING)
    older = company.client("iam", "prod").create_policy_version(
        PolicyArn=boundary, PolicyDocument=everything, SetAsDefault=False
    )["PolicyVersion"]["VersionId"]
    client = company.cloud.client(
        "iam", session=company.cloud.assume(names.role_arn("deployer"), by=hub)
    )
    own = {"PolicyArn": boundary, "VersionId": older}
    for call, given in (
        (client.create_policy_version, {"PolicyDocument": everything, "SetAsDefault": True}),
        (client.set_default_policy_version, own),
        (client.delete_policy_version, own),
        (client.delete_policy, {}),
        (client.tag_policy, {"Tags": [{"Key": "owner", "Value": "nobody"}]}),
    ):
        refused(call, **{"PolicyArn": boundary, **given})
    refused(client.create_policy, PolicyName=names.name("boundary"), PolicyDocument=everything)
    company.client("iam", "prod").delete_policy_version(**own)
    assert company.boundary("prod") == boundary_of(names)

    trust = document({"Principal": {"AWS": names.root_arn}, "Action": "sts:AssumeRole"})
    role = {"RoleName": names.role("made"), "AssumeRolePolicyDocument": trust}
    refused(client.create_role, **role)
    arn = client.create_role(**role, PermissionsBoundary=boundary)["Role"]["Arn"]
    refused(client.delete_role_permissions_boundary, RoleName=role["RoleName"])
    client.put_role_policy(RoleName=role["RoleName"], PolicyName="all", PolicyDocument=everything)
    bounded = company.cloud.client("iam", session=company.cloud.assume(arn))
    assert bounded.list_roles()["Roles"]
    refused(bounded.create_user, UserName="somebody")
    guard = client.create_policy(PolicyName=names.name("guard"), PolicyDocument=everything)[
        "Policy"
    ]["Arn"]
    client.create_policy_version(PolicyArn=guard, PolicyDocument=everything, SetAsDefault=True)
    client.delete_policy_version(PolicyArn=guard, VersionId="v1")
    client.delete_policy(PolicyArn=guard)
    client.delete_role_policy(RoleName=role["RoleName"], PolicyName="all")
    client.delete_role(RoleName=role["RoleName"])


def test_in_one_account_a_deployer_may_not_touch_another_environments_roles(
    single: Company, evaluator: Evaluator
) -> None:
    """Prod's trust and policies are not dev's to change, although both are in one account."""
    deployer = single.policies("dev", "deployer")
    for env, allowed in (("dev", True), ("prod", False)):
        names = single.names(env)
        role, policy = names.role_arn("model-execution"), names.policy_arn("studio-guards")
        at = single.names("dev")
        assert decide(evaluator, deployer, "iam:UpdateAssumeRolePolicy", role, at) is allowed
        assert decide(evaluator, deployer, "iam:CreatePolicyVersion", policy, at) is allowed
        boundary = names.policy_arn("boundary")
        assert not decide(evaluator, deployer, "iam:CreatePolicyVersion", boundary, at)
        assert single.boundary(env) == boundary_of(names)
