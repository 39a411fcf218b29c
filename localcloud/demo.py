"""``python -m localcloud demo``: a model's way from a new project to a prediction in production.

Every step is taken by the commands and calls that a person would use, with that person's rights,
and shows what the platform made of it. Nothing is skipped or answered in advance: the seed model is
trained, promoted, approved, deployed and asked.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from components.naming import Names
from components.settings import PlatformSettings, load_stack, stack_names
from localcloud import environments, people
from localcloud.emulator import daemon
from localcloud.environment import Instance, ensure_loopback, local_environment, running_instance
from localcloud.paths import CHECKOUT, Paths

PAGE = "models.html"
TEMPLATE = "xgboost-realtime"
ORGANIZATION = "example"
_POLL_SECONDS = 0.5
_LONGEST_SECONDS = 900.0


class DemoError(RuntimeError):
    """A step did not come to its end; the message says which, why, and where to look."""


@dataclass
class Demo:
    """One run.

    Attributes:
        instance: The running local cloud.
        settings: Stack -> settings.
        project: The project's name.
        paths: The checkout.
        say: Takes lines of progress.
        clone_url: Where the project's repositories are cloned from, once it is vended.
    """

    instance: Instance
    settings: Mapping[str, PlatformSettings]
    project: str
    paths: Paths = CHECKOUT
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)
    started: float = field(default_factory=time.monotonic)
    clone_url: str = ""

    # Who does what.

    def names(self, environment: str) -> Names:
        """The names of an environment."""
        return self.settings[environment].names

    def administrator(self, environment: str, service: str) -> Any:
        """A client of an account's administrator."""
        return people.client(self.instance, environment, service)

    @property
    def lead(self) -> str:
        """The first lead data scientist of the settings."""
        return self.settings["dev"].studio.users.lead_data_scientists[0]

    def person(self, persona: str, service: str, environment: str = "governance") -> Any:
        """A client of a persona."""
        sign_in: Any = boto3.Session(profile_name=f"{persona}-sign-in")
        given = sign_in.client("sts").assume_role(
            RoleArn=self.names(environment).role_arn(persona), RoleSessionName=persona
        )["Credentials"]
        session: Any = boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=self.instance.region,
        )
        return session.client(service)

    def studio(self, profile: str, service: str) -> Any:
        """A client of an app in Studio: the profile's role, in the domain's network."""
        given = daemon.request(
            self.instance.endpoint, "POST", "studio-sessions", {"profile": profile}
        )
        session: Any = boto3.Session(
            aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=given["AWS_SESSION_TOKEN"],
            region_name=given["AWS_REGION"],
        )
        return session.client(service)

    def automation(self, *arguments: str) -> str:
        """``python -m automation …``.

        Raises:
            DemoError: It failed.
        """
        done = subprocess.run(
            [sys.executable, "-m", "automation", *arguments],
            cwd=self.paths.root,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DemoError(
                f"python -m automation {' '.join(arguments)}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """Waits for something.

        Raises:
            DemoError: It did not come.
        """
        end = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < end:
            found = look()
            if found:
                return found
            time.sleep(_POLL_SECONDS)
        raise DemoError(f"{what} did not come within {_LONGEST_SECONDS:.0f} s.")

    def step(self, who: str, what: str) -> None:
        """Announces a step."""
        self.say(f"{time.monotonic() - self.started:4.0f} s  {who:<20} {what}")

    def told(self, text: str) -> None:
        """Tells what came of a step."""
        for line in text.splitlines():
            self.say(f"{'':28}{line}")

    # The way.

    def run(self) -> Path:
        """Goes the whole way; gives the page of models.

        Raises:
            DemoError: A step failed.
        """
        self.vend()
        version = self.build()
        central = self.promote(version)
        self.release(central)
        self.predict()
        page = self.paths.local / PAGE
        self.automation("models", "page", str(page), "--profile", "ml-engineer")
        return page

    def vend(self) -> None:
        """A project with its repositories, and the data that it trains on."""
        self.step("platform engineer", f"vends the project {self.project} from {TEMPLATE}")
        for kind in ("build", "deploy"):
            name = f"{ORGANIZATION}/{self.project}-{kind}"
            made = daemon.request(self.instance.endpoint, "POST", "repositories", {"name": name})
            self.clone_url = str(made["clone_url"]).replace(name, "{repository}")
        interpreters = {
            "MLOPS_PYTHON": sys.executable,
            "PIPELINE_PYTHON": str(environments.python("pipeline", report=self.told)),
            "STEPS_PYTHON": str(environments.python("seed", report=self.told)),
        }
        self._data()
        given = {
            "owner": "demo",
            "cost_centre": self.settings["dev"].tags.cost_centre,
            "organization": ORGANIZATION,
            "template": TEMPLATE,
            "variables": json.dumps(interpreters),
        }
        told = self.automation(
            "projects", "create", self.project, "--clone-url", self.clone_url,
            *(part for key, value in given.items() for part in ("--set", f"{key}={value}")),
        )  # fmt: skip
        self.told("\n".join(line for line in told.splitlines() if line.startswith("project-")))

    def _data(self) -> None:
        file = self.paths.local / "demo.csv"
        script = self.paths.root / "seed_code" / TEMPLATE / "build" / "sample_data.py"
        subprocess.run([sys.executable, str(script), "--output", str(file)], check=True)
        key = f"{self.project}/input/{file.name}"
        self.studio(self.lead, "s3").upload_file(str(file), self.names("dev").bucket("data"), key)
        file.unlink()

    def build(self) -> str:
        """The build pipeline trains and registers; gives the version's ARN in dev."""
        self.step("CodePipeline (dev)", "tests the repository, trains, evaluates, registers")
        pipelines = self.administrator("dev", "codepipeline")
        name = self.names("dev").name(f"{self.project}-build")
        sagemaker = self.administrator("dev", "sagemaker")
        group = self.names("dev").name(self.project, "group")
        seen: set[str] = set()

        def registered() -> str:
            self._steps(sagemaker, seen)
            listed = sagemaker.list_model_packages(ModelPackageGroupName=group)
            versions = listed["ModelPackageSummaryList"]
            if versions:
                return str(versions[0]["ModelPackageArn"])
            self._not_failed(pipelines, "dev", name)
            return ""

        arn: str = self.until("A registered version", registered)
        version = sagemaker.describe_model_package(ModelPackageName=arn)
        self.told(f"version {version['ModelPackageVersion']}: {version['ModelApprovalStatus']}")
        return arn

    def _steps(self, sagemaker: Any, seen: set[str]) -> None:
        pipeline = self.names("dev").name(self.project)
        try:
            executions = sagemaker.list_pipeline_executions(PipelineName=pipeline)
        except sagemaker.exceptions.ClientError:
            return  # the build has not made it yet
        for execution in executions["PipelineExecutionSummaries"]:
            steps = sagemaker.list_pipeline_execution_steps(
                PipelineExecutionArn=execution["PipelineExecutionArn"], SortOrder="Ascending"
            )["PipelineExecutionSteps"]
            for item in steps:
                told = f"{item['StepName']}: {item['StepStatus']}"
                if item["StepStatus"] != "Starting" and told not in seen:
                    seen.add(told)
                    self.told(told)

    def _not_failed(self, pipelines: Any, environment: str, name: str) -> None:
        """A pipeline's first run finds its repository still empty; later ones must not fail.

        Raises:
            DemoError: The newest run failed and it was not the first.
        """
        runs = pipelines.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
        failed = [run for run in runs if run["status"] in ("Failed", "Stopped")]
        if failed and runs[0] in failed and runs[0].get("sourceRevisions"):
            group = f"/{self.names(environment).prefix}/{environment}/projects/{self.project}"
            raise DemoError(
                f"The run {runs[0]['pipelineExecutionId']} of {name} failed; its log is in {group}:"
                f"\n{self._log(environment, group)}"
            )

    def _log(self, environment: str, group: str) -> str:
        logs = self.administrator(environment, "logs")
        events = logs.filter_log_events(logGroupName=group)["events"]
        return "\n".join(str(event["message"]).rstrip() for event in events[-25:])

    def promote(self, version: str) -> str:
        """Approval in dev by a lead data scientist; gives the ARN of the hub's version."""
        hub = self.administrator("governance", "sagemaker")
        group = self.names("governance").name(self.project, "group")

        def versions() -> set[str]:
            listed = hub.list_model_packages(ModelPackageGroupName=group)
            return {str(item["ModelPackageArn"]) for item in listed["ModelPackageSummaryList"]}

        before = versions()
        self.step("lead data scientist", "approves the version in dev, from Studio")
        self.studio(self.lead, "sagemaker").update_model_package(
            ModelPackageArn=version,
            ModelApprovalStatus="Approved",
            ApprovalDescription="Better than the mean of the data",
        )
        self.step("promotion (hub)", "copies it, and registers it with its lineage and model card")
        (arn,) = self.until("The promoted version", lambda: versions() - before)
        self.told(arn)
        return arn

    def release(self, central: str) -> None:
        """Approval in the hub, preprod, the governance officer's approval, prod."""
        self.step("ML engineer", "approves it in the hub")
        self.automation(
            "models", "approve", f"{self.project}:{central.rpartition('/')[2]}",
            "--reason", "The error is within the project's gate", "--profile", "ml-engineer",
        )  # fmt: skip
        hub = self.names("governance")
        name = hub.name(f"{self.project}-deploy")
        pipelines = self.administrator("governance", "codepipeline")
        self.step("CodePipeline (hub)", "deploys to preprod, and tests the endpoint there")
        waiting = self.until("The approval for prod", lambda: self._waiting(pipelines, name))
        self.step("governance officer", "approves prod, and says why")
        officer = self.person("governance-officer", "codepipeline")
        officer.put_approval_result(
            pipelineName=name,
            stageName=waiting[0],
            actionName=waiting[1],
            token=waiting[2],
            result={"status": "Approved", "summary": "Tested in preprod, card is complete"},
        )
        self.step("CodePipeline (hub)", "deploys to prod, and tests the endpoint there")

        def live() -> bool:
            runs = pipelines.list_pipeline_executions(pipelineName=name)
            newest = runs["pipelineExecutionSummaries"][0]
            self._not_failed(pipelines, "governance", name)
            return newest["status"] == "Succeeded"

        self.until("The deployment to prod", live)

    def _waiting(self, pipelines: Any, name: str) -> tuple[str, str, str] | None:
        state = pipelines.get_pipeline_state(name=name)
        for stage in state["stageStates"]:
            for action in stage["actionStates"]:
                latest = action.get("latestExecution") or {}
                if latest.get("token") and latest["status"] == "InProgress":
                    return stage["stageName"], action["actionName"], latest["token"]
        self._not_failed(pipelines, "governance", name)
        return None

    def predict(self) -> None:
        """Asks the endpoint in prod."""
        samples = self.paths.root / "seed_code" / TEMPLATE / "deploy" / "integration_tests"
        row = json.loads((samples / "samples.json").read_text("utf-8"))["rows"][0]
        endpoint = self.names("prod").name(self.project)
        self.step("ML engineer", f"asks {endpoint}")
        runtime = self.person("ml-engineer", "sagemaker-runtime", "prod")
        answer = runtime.invoke_endpoint(EndpointName=endpoint, ContentType="text/csv", Body=row)
        self.told(f"{row} -> {answer['Body'].read().decode().strip()} rings")


def demo() -> int:
    """Runs the demo; gives the exit code.

    Raises:
        NotRunningError: The local cloud does not run.
        NotLocalError: Something could leave this machine.
    """
    instance = running_instance()
    environment = local_environment(os.environ, instance)
    ensure_loopback(environment)
    # boto3 and the commands of this process and its children see the local cloud, and nothing else.
    os.environ.clear()
    os.environ.update(environment)
    settings = {stack: load_stack(CHECKOUT.root, stack) for stack in stack_names(CHECKOUT.root)}
    people.sign_in(instance, settings["governance"].placement())
    run = Demo(instance, settings, f"abalone-{secrets.token_hex(2)}")
    try:
        page = run.run()
    except DemoError as error:
        run.say(f"\nThe demo stopped: {error}")
        return 1
    run.say(
        f"\nFrom nothing to a prediction in production in {time.monotonic() - run.started:.0f} s.\n"
        f"  page     {page}\n"
        f"  project  python -m automation models list --group {run.project} --profile ml-engineer\n"
        f"  delete   python -m automation projects delete {run.project} --clone-url \\\n"
        f"             '{run.clone_url}'"
    )
    return 0
