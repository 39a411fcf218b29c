"""GitHub's variant from an approval to its jobs, on the emulator.

GitHub is stood in for: a server on loopback takes dispatches, tells of runs and reviews, and
issues tokens that nobody signed (the emulator looks at claims only). What the rendered workflow's
jobs run is really run, as processes, and so are the function, its gate, and IAM's decisions.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.naming import Names
from functions.promotion.model_card import card_name
from localcloud.paths import CHECKOUT
from tests.functions.deployment_hub import (
    PARAMETERS,
    DeployingHub,
    deploy_function,
    function_statements,
)
from tests.functions.platform import ALGORITHMS_ACCOUNT, FRAMEWORK_ACCOUNT, MODELS
from tests.localcloud.emulators import (
    HUB,
    PROD,
    REGION,
    Cloud,
    checkout,
    document,
    running,
    trusting,
)
from tests.localcloud.jobs_world import XGBOOST
from tests.seed_code.deploy_repository import ROOT, filled, render
from tests.seed_code.deployment_target import archived, publish, trained
from tests.unit.projects import program

ISSUER = "token.actions.githubusercontent.com"
NAMES = Names("acme", "governance", REGION, HUB)
TOKEN = "github_pat_" + "x1Y2" * 10
ENGINE = {
    "PATH": f"{CHECKOUT.current_engine}{os.pathsep}{os.environ['PATH']}",
    "MLOPS_POLICY_PACK": str(ROOT / "policy"),
    "PULUMI_HOME": str(CHECKOUT.pulumi_home),
    "PULUMI_CONFIG_PASSPHRASE": "keep-this-to-yourself",
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
}
PEOPLE = {"Grace-GH": "grace", "alex-at-github": "alex", "ada-at-github": "ada"}


PREPROD = Names("acme", "preprod", REGION, PROD)
STORAGE_KEY = PREPROD.arn("kms", "key/storage")
MADE = cache(lambda: program("house", "github"))


def made(project: str, kind: str, logical: str) -> dict[str, str]:
    """What a project registers; one project's is another's but for the name."""
    text = json.dumps(MADE().one(kind, logical).inputs).replace(NAMES.bucket("models"), MODELS)
    return json.loads(text.replace("house", project))


class GitHub(ThreadingHTTPServer):
    """A stand-in of GitHub's API and token issuer, for one repository a project."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.reviews: dict[int, list[dict[str, Any]]] = {}
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def dispatched(self, workflow: str, body: Mapping[str, Any]) -> None:
        """A run of the workflow, with the name that the workflow gives it."""
        inputs = body["inputs"]
        number = len(self.runs) + 1001
        self.runs.append(
            {
                "id": number,
                "path": f".github/workflows/{workflow}",
                "head_branch": body["ref"],
                "event": "workflow_dispatch",
                "status": "in_progress",
                "inputs": inputs,
            }
        )
        self.reviews[number] = []

    def review(self, run: Mapping[str, Any], login: str, state: str = "approved") -> None:
        """A person's review of prod."""
        self.reviews[run["id"]].append(
            {
                "state": state,
                "comment": "looks good",
                "user": {"login": login},
                "environments": [{"name": "prod"}],
            }
        )


class Handler(BaseHTTPRequestHandler):
    server: GitHub
    server_version = "stand-in-of-github"

    def do_POST(self) -> None:
        found = re.fullmatch(r"/repos/[^/]+/[^/]+/actions/workflows/([^/]+)/dispatches", self.path)
        assert found
        assert self.headers["Authorization"] == f"Bearer {TOKEN}"
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.dispatched(found[1], body)
        self._answer(204, None)

    def do_GET(self) -> None:
        if self.path.startswith("/token?"):
            # The request's own token stands for the job: it says the job's subject.
            assert self.path.endswith("&audience=sts.amazonaws.com")
            subject = self.headers["Authorization"].removeprefix("bearer ")
            self._answer(200, {"value": token(subject)})
            return
        assert self.headers["Authorization"] == f"Bearer {TOKEN}"
        found = re.fullmatch(r"/repos/[^/]+/[^/]+/actions/runs/(\d+)(/approvals)?", self.path)
        assert found
        if found[2]:
            self._answer(200, self.server.reviews[int(found[1])])
            return
        (run,) = [run for run in self.server.runs if run["id"] == int(found[1])]
        self._answer(200, run)

    def _answer(self, status: int, told: Any) -> None:
        text = b"" if told is None else json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        return


def token(subject: str) -> str:
    claims = {"iss": f"https://{ISSUER}", "aud": "sts.amazonaws.com", "sub": subject}
    return ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "none"}, claims, {})
    )


@dataclass
class Way:
    """A hub with the function, a repository that GitHub would run, and who is at GitHub."""

    hub: DeployingHub
    cloud: Cloud
    github: GitHub
    repository: Path

    def project(self) -> str:
        """A project with its role for workflows, as it is deployed."""
        name = self.hub.project()
        known = {
            "id": "p-abcdefghijkl",
            "group": NAMES.name(name),
            "ci": "github",
            "repository": f"example/{name}-deploy",
            "workflow": "deploy.yml",
            "token_secret": self.secret,
            "people": PEOPLE,
        }
        self.cloud.client("ssm", HUB).put_parameter(
            Name=f"{PARAMETERS}/{name}", Value=json.dumps(known), Type="String", Overwrite=True
        )

        for target in ("preprod", "prod"):
            self.role(HUB, name, f"house-governance-release-{target}")
            alias = made(name, "aws:lambda/alias:Alias", f"house-{target}-caller")
            self.cloud.client("lambda", HUB).create_alias(
                FunctionName=alias["functionName"],
                Name=alias["name"],
                FunctionVersion=alias["functionVersion"],
            )
        return name

    def role(self, account: str, project: str, logical: str, key: str = "") -> None:
        """A project's role, as it is deployed."""
        iam = self.cloud.client("iam", account)
        role = made(project, "aws:iam/role:Role", logical)
        policy = made(project, "aws:iam/rolePolicy:RolePolicy", logical)["policy"]
        iam.create_role(RoleName=role["name"], AssumeRolePolicyDocument=role["assumeRolePolicy"])
        iam.put_role_policy(
            RoleName=role["name"],
            PolicyName="project",
            PolicyDocument=policy.replace(STORAGE_KEY, key) if key else policy,
        )

    def target(self, arn: str) -> str:
        """Makes preprod, which reads the version's group in the hub; gives the key of its disks."""
        key = publish(self.cloud, PREPROD)
        reader = {"Principal": {"AWS": PREPROD.root_arn}}
        platform = self.hub.platform
        platform.hub.put_model_package_group_policy(
            ModelPackageGroupName=arn.split("/")[1],
            ResourcePolicy=document(
                {
                    **reader,
                    "Action": ["sagemaker:CreateModel", "sagemaker:DescribeModelPackage"],
                    "Resource": arn.rpartition("/")[0] + "/*",
                }
            ),
        )
        bucket = f"arn:aws:s3:::{MODELS}"
        platform.hub_s3.put_bucket_policy(
            Bucket=MODELS,
            Policy=document(
                {
                    **reader,
                    "Action": ["s3:GetObject", "s3:ListBucket"],
                    "Resource": [bucket, f"{bucket}/*"],
                }
            ),
        )
        kms, every = self.cloud.client("kms", HUB), {"Resource": "*"}
        kms.create_alias(AliasName=NAMES.alias("models"), TargetKeyId=platform.key)
        kms.put_key_policy(
            KeyId=platform.key,
            PolicyName="default",
            Policy=document(
                {**every, "Principal": {"AWS": NAMES.root_arn}, "Action": "kms:*"},
                {**every, **reader, "Action": ["kms:Decrypt", "kms:DescribeKey"]},
            ),
        )
        return key

    @property
    def secret(self) -> str:
        client = self.cloud.client("secretsmanager", HUB)
        return str(client.describe_secret(SecretId="github-token")["ARN"])

    def invoke(self, event: Mapping[str, Any], project: str = "") -> Any:
        """What the function answers, by a project's alias for the environment, or by none."""
        where = {"Qualifier": f"project-{project}_{event['environment']}"} if project else {}
        answer = self.cloud.client("lambda", HUB).invoke(
            FunctionName=NAMES.name("deployments"), Payload=json.dumps(event).encode(), **where
        )
        told = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, told
        return told

    def approved(self, **version: Any) -> tuple[str, str, dict[str, Any]]:
        """A new project's version that alex approved: project, ARN, and the run it started."""
        project = self.project()
        arn = self.hub.promoted(project, **version)
        self.hub.session("acme-governance-ml-engineer", "alex").update_model_package(
            ModelPackageArn=arn,
            ModelApprovalStatus="Approved",
            ApprovalDescription="beats the last",
        )
        event = self.hub.event(arn)
        before = len(self.github.runs)
        self.invoke(event)
        (run,) = self.github.runs[before:]
        given = {"inputs": run["inputs"]}
        workflow = yaml.safe_load(
            (self.repository / ".github" / "workflows" / "deploy.yml").read_text()
        )
        run["display_title"] = filled(workflow["run-name"], given)
        return project, arn, run

    def in_prod_next(self) -> tuple[str, str, dict[str, Any]]:
        """As :meth:`approved`, and live in preprod."""
        project, arn, run = self.approved()
        request = {
            "group": NAMES.name(project),
            "environment": "preprod",
            "model_package_arn": arn,
            "execution": str(run["id"]),
        }
        begun = self.invoke({"action": "begin", "kind": "deploy", **request}, project)
        finished = {"sequence": begun["sequence"], "outcome": "Live", "endpoint_config": "c"}
        told = self.invoke({"action": "finish", **request, **finished}, project)
        assert told == {"status": "Live"}
        return project, arn, run

    def job(
        self,
        folder: Path,
        project: str,
        run: Mapping[str, Any],
        name: str,
        subject: str = "",
        engine: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """A job of the workflow: its steps, as processes, until one fails.

        Args:
            folder: Where it works.
            project: Whose it is.
            run: The run.
            name: The job.
            subject: Of its token; by default its environment's.
            engine: Environment of the engine that deploys; without it there is none.
        """
        checked_out, temporary, tools = folder / "repository", folder / "temp", folder / "tools"
        shutil.copytree(self.repository, checked_out)
        temporary.mkdir()
        tools.mkdir()
        if not engine:
            # Who may go on fails where it would deploy, and that is recorded.
            (tools / "pulumi").symlink_to("/bin/false")
        workflow = yaml.safe_load(
            (checked_out / ".github" / "workflows" / "deploy.yml").read_text()
        )
        given = {
            "inputs": run["inputs"],
            "github": {"run_id": str(run["id"])},
            "runner": {"temp": str(temporary)},
            "vars": {
                "MLOPS_PREFIX": "acme",
                "MLOPS_PROJECT": project,
                "MLOPS_REGION": REGION,
                "MLOPS_HUB_ACCOUNT": HUB,
                "MLOPS_TARGET_ACCOUNT": PROD,
                "PULUMI_BACKEND_URL": f"file://{temporary}",
                "PULUMI_SECRETS_PROVIDER": "passphrase",
            },
        }
        job = workflow["jobs"][name]
        environment = filled(job["environment"], given)
        subject = subject or f"repo:example/{project}-deploy:environment:{environment}"
        environ = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "HOME": str(temporary),
            "MLOPS_PYTHON": sys.executable,
            "AWS_ENDPOINT_URL": self.cloud.started.endpoint,
            "AWS_MAX_ATTEMPTS": "1",
            "RUNNER_TEMP": str(temporary),
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.github.url}/token?x=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": subject,
            **{key: filled(value, given) for key, value in workflow["env"].items()},
            **{key: filled(value, given) for key, value in job["env"].items()},
            **(engine or {}),
        }
        output, done = "", subprocess.CompletedProcess([], 0, "", "")
        for step in steps(checked_out, job["steps"]):
            own = {key: filled(value, given) for key, value in step.get("env", {}).items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=checked_out,
                env={**environ, **own},
                capture_output=True,
                text=True,
                check=False,
                timeout=240,
            )
            output += done.stdout + done.stderr
            if done.returncode:
                break
        # The job's token is in no log.
        assert token(subject) not in output
        return subprocess.CompletedProcess([], done.returncode, output, "")


def steps(folder: Path, listed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The steps with those of the repository's own actions in their places."""
    for step in listed:
        used = step.get("uses", "")
        if used.startswith("./"):
            action = yaml.safe_load((folder / used / "action.yml").read_text())
            yield from steps(folder, action["runs"]["steps"])
        elif used:
            # The folder is the checkout.
            assert used.startswith("actions/checkout@")
        else:
            yield step


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    github = GitHub()
    thread = threading.Thread(target=github.serve_forever)
    thread.start()
    try:
        with running(checkout(tmp_path_factory.mktemp("github"))) as cloud:
            hub = DeployingHub(cloud)
            cloud.client("iam", HUB).create_open_id_connect_provider(
                Url=f"https://{ISSUER}", ClientIDList=["sts.amazonaws.com"]
            )
            secret = cloud.client("secretsmanager", HUB).create_secret(
                Name="github-token", SecretString=TOKEN
            )["ARN"]
            role = cloud.role(
                "function",
                *function_statements(hub.platform.key),
                {"Action": "secretsmanager:GetSecretValue", "Resource": secret},
                {"Action": "logs:*", "Resource": "*"},
                account=HUB,
                trust=trusting("lambda"),
            )
            deploy_function(
                cloud,
                role,
                GITHUB_API_URL=github.url,
                IMAGE_ACCOUNTS=json.dumps([FRAMEWORK_ACCOUNT, ALGORITHMS_ACCOUNT]),
            )
            yield Way(hub, cloud, github, render(tmp_path_factory.mktemp("rendered")))
    finally:
        github.shutdown()
        thread.join()
        github.server_close()


@pytest.mark.engine
def test_an_approval_is_dispatched_once_and_its_job_makes_it_live(way: Way, tmp_path: Path) -> None:
    model = archived(trained(tmp_path, 1))
    project, arn, run = way.approved(model=model, image=XGBOOST, answers="text/csv")
    # Delivered twice, it is dispatched once.
    way.invoke(way.hub.event(arn))
    assert way.github.runs[-1] is run
    assert run["inputs"] == {
        "model_package_arn": arn,
        "environments": "preprod,prod",
        "kind": "deploy",
        "reason": "beats the last",
    }
    key = way.target(arn)
    way.role(PROD, project, "house-preprod-deploy", key)
    way.role(PROD, project, "house-preprod-monitor")
    done = way.job(tmp_path, project, run, "preprod", engine=ENGINE)
    assert done.returncode == 0, done.stdout
    assert f"Live: {arn} in preprod" in done.stdout
    (attempt,) = way.hub.ledger(arn, "preprod")
    assert (attempt["Execution"], attempt["Status"]) == (str(run["id"]), "Live")
    assert attempt["ApprovedBy"].endswith("/alex")
    endpoint = way.cloud.client("sagemaker", PROD).describe_endpoint(
        EndpointName=PREPROD.name(project)
    )
    assert endpoint["EndpointStatus"] == "InService"
    assert endpoint["EndpointConfigName"] == attempt["EndpointConfig"]


@pytest.mark.parametrize(
    ("login", "told"),
    [
        ("", "has no approval of the environment prod"),
        ("alex-at-github", "approved the version too: another person has to"),
        ("ada-at-github", "registered, trained or approved it in dev, too"),
    ],
)
def test_prod_waits_for_another_person_by_whatever_name(
    way: Way, tmp_path: Path, login: str, told: str
) -> None:
    project, arn, run = way.in_prod_next()
    if login:
        way.github.review(run, login)
    done = way.job(tmp_path, project, run, "prod")
    assert done.returncode
    assert told in done.stdout
    (attempt,) = way.hub.ledger(arn, "prod")
    assert attempt["Status"] == "Refused"
    assert told in attempt["Reason"]


def test_a_run_of_another_branch_is_let_through_nowhere(way: Way, tmp_path: Path) -> None:
    """Also where nobody reviews: preprod's branches may be open at GitHub."""
    project, arn, run = way.approved()
    run["head_branch"] = "feature"
    done = way.job(tmp_path, project, run, "preprod")
    assert done.returncode
    (attempt,) = way.hub.ledger(arn, "preprod")
    assert attempt["Status"] == "Refused", done.stdout
    assert "is of the branch feature, not of main" in attempt["Reason"]


def test_a_reviewer_of_prod_is_on_record_by_both_names(way: Way, tmp_path: Path) -> None:
    project, arn, run = way.in_prod_next()
    way.github.review(run, "grace-gh")
    done = way.job(tmp_path, project, run, "prod")
    (attempt,) = way.hub.ledger(arn, "prod")
    assert attempt["ApprovedBy"] == "github:grace-gh (grace)", done.stdout
    assert attempt["ApprovalReason"] == "looks good"
    # It was let through, and failed where it would have deployed: there is no engine here.
    assert (attempt["Execution"], attempt["Status"]) == (str(run["id"]), "Failed"), done.stdout
    name = card_name(arn.split("/")[1], 1)
    card = json.loads(way.hub.platform.hub.describe_model_card(ModelCardName=name)["Content"])
    details = card["additional_information"]["custom_details"]
    assert details["ProdApprovedBy"] == "github:grace-gh (grace)"
    assert details["ProdApprovalReason"] == "looks good"


def test_a_job_of_another_place_gets_no_further_than_its_sign_in(way: Way, tmp_path: Path) -> None:
    project, arn, run = way.approved()
    for folder, subject in {
        "repository": f"repo:mallory/{project}-deploy:environment:preprod",
        "event": f"repo:example/{project}-deploy:pull_request",
        # What anybody may start in preprod is not let into prod's role, nor the other way round.
        "environment": f"repo:example/{project}-deploy:environment:prod",
    }.items():
        done = way.job(tmp_path / folder, project, run, "preprod", subject)
        assert done.returncode
        assert "AccessDenied" in done.stdout
    (attempt,) = way.hub.ledger(arn, "preprod")
    assert attempt["Status"] == "Requested"
