"""What the tests of all templates share: a project of a template in an account where jobs run.

The repositories are rendered as vending renders them. The definition is built by the SDK as the
build does, and the local cloud runs each step's real script on what the steps before it wrote; the
account's roles allow what a project's roles need, and nothing else.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import yaml

from automation.projects import templates
from components import iam
from components.naming import Names, Placement
from components.projects import features, policies
from localcloud.emulator.builds import docker
from tests.localcloud.emulators import DEV, HUB, ORGANIZATION, REGION
from tests.localcloud.jobs_world import BUCKET, TRUST, World, world
from tests.localcloud.kit import until
from tests.seed_code.batch_account import make_bucket, make_roles
from tests.seed_code.build_repository import ANSWERS, render, run
from tests.seed_code.deploy_repository import run_program

PREFIX = ANSWERS["prefix"]
COMMIT = "0123456789abcdef"
"""What images are built from."""
PLACEMENT: Placement = {
    "prefix": PREFIX,
    "environment": "dev",
    "region": REGION,
    "accounts": dict.fromkeys(("dev", "preprod", "prod", "governance"), DEV),
    "protect": False,
}
"""Of the account, as far as images go."""
_NOTEBOOKS = '''
"""Runs the code of notebooks, cell by cell, each with names of its own; prints their results."""
import json, os, sys
from pathlib import Path

results = {}
for file in map(Path, sys.argv[1:]):
    os.chdir(file.parent)
    known = {"__name__": "__main__"}
    for cell in json.loads(file.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{file.name} {cell['id']}", "exec"), known)
    results[file.stem] = known["result"]
print("RESULTS" + json.dumps(results))
'''
_JOBS = ("ProcessingJob", "TrainingJob", "TransformJob", "HyperParameterTuningJob")


@dataclass(frozen=True)
class Run:
    """What ``run_pipeline.py run --wait`` came to.

    Attributes:
        code: Its exit code.
        output: What it printed.
        result: What it left in ``result.json``; empty when nothing was started.
    """

    code: int
    output: str
    result: dict[str, Any]

    @property
    def version(self) -> str:
        """ARN of the registered version.

        Raises:
            AssertionError: None was.
        """
        assert self.code == 0, self.output
        return str(self.result["model_package"])


@dataclass(frozen=True)
class BatchPipeline:
    """A pipeline of batch predictions.

    Attributes:
        jobs: The account.
        name: The pipeline's name.
        bucket: The project's bucket.
        version: The version that predicts.
        deployer: A session of the project's deploy role, which may come from outside the networks.
    """

    jobs: World
    name: str
    bucket: str
    version: str
    deployer: boto3.Session

    def predict(self, key: str, body: str) -> dict[str, Any]:
        """Puts a file and runs the pipeline on it; the execution's description."""
        self.jobs.put(key, body, self.bucket)
        sagemaker = self.jobs.sagemaker
        arn = sagemaker.start_pipeline_execution(
            PipelineName=self.name, PipelineParameters=[{"Name": "InputKey", "Value": key}]
        )["PipelineExecutionArn"]
        return until(
            lambda: sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn),
            lambda run: run["PipelineExecutionStatus"] not in ("Executing", "Stopping"),
        )

    def left(self, run: Mapping[str, Any], file: str) -> bytes:
        """A file that a run left."""
        folder = run["PipelineExecutionArn"].rpartition("/")[2]
        s3 = self.jobs.cloud.client("s3", session=self.deployer)
        return s3.get_object(Bucket=self.bucket, Key=f"runs/{folder}/{file}")["Body"].read()

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which commands are the deploy role, as those of a release are."""
        key = self.deployer.get_credentials()
        assert key is not None
        return {
            "AWS_ACCESS_KEY_ID": key.access_key,
            "AWS_SECRET_ACCESS_KEY": key.secret_key,
            "AWS_SESSION_TOKEN": str(key.token),
        }


@dataclass(frozen=True)
class TemplateProject:
    """A project of a template.

    Attributes:
        jobs: The account.
        template: The template.
        name: The project.
        build: Its build repository.
        deploy: Its deployment repository.
    """

    jobs: World
    template: str
    name: str
    build: Path
    deploy: Path

    @property
    def group(self) -> str:
        """Its model package group, its pipeline and the beginning of its roles' names."""
        return f"{PREFIX}-dev-{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which commands reach the account, as its administrator."""
        key = self.jobs.cloud.started.description["administrators"][self.account]
        return {
            "AWS_ENDPOINT_URL": self.jobs.cloud.started.endpoint,
            "AWS_ACCESS_KEY_ID": key["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": key["secret_access_key"],
            "AWS_DEFAULT_REGION": ANSWERS["region"],
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def account(self) -> str:
        """The account's id."""
        return self.jobs.role.split(":")[4]

    def steps(
        self,
        *arguments: str | Path,
        code: int | None = 0,
        environment: dict[str, str] | None = None,
    ) -> str:
        """Runs a file of the build repository in the environment of its steps; what it printed.

        Args:
            arguments: The file and what it is given.
            code: The exit code that it must have; None takes any.
            environment: Variables beside those of the steps.
        """
        command = ("sh", "-c", 'exec "$STEPS_PYTHON" "$@"', "sh", *arguments)
        done = run(self.build, *command, environment=environment)
        assert code is None or done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def put(self, name: str, content: bytes | str) -> str:
        """Puts a file below the project's part of the data bucket; its URL."""
        return self.jobs.put(f"{self.name}/{name}", content)

    def clear(self, folder: str) -> None:
        """Empties a folder of the project's part of the data bucket."""
        s3 = self.jobs.client("s3")
        found = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.name}/{folder}")
        for item in found.get("Contents", []):
            s3.delete_object(Bucket=BUCKET, Key=item["Key"])

    def run(self, **parameters: Any) -> Run:
        """Builds, checks and runs the pipeline to its end, with some parameters."""
        result = self.build / "result.json"
        result.unlink(missing_ok=True)
        given = [
            part
            for name, value in parameters.items()
            for part in ("--parameter", f"{name}={value}")
        ]
        command = (
            'exec "$PIPELINE_PYTHON" run_pipeline.py run --wait --poll-seconds 0.5'
            ' --timeout-minutes 15 --commit abc1234 --result result.json "$@"'
        )
        done = run(self.build, "sh", "-c", command, "sh", *given, environment=self.environment)
        content = json.loads(result.read_text()) if result.is_file() else {}
        return Run(done.returncode, done.stdout + done.stderr, content)

    def package(self, version: str) -> dict[str, Any]:
        """The description of a version."""
        return self.jobs.sagemaker.describe_model_package(ModelPackageName=version)

    def report(self, version: str) -> dict[str, Any]:
        """The evaluation report of a version."""
        metrics = self.package(version)["ModelMetrics"]
        return json.loads(self.jobs.get(metrics["ModelQuality"]["Statistics"]["S3Uri"]))

    def serve(self, version: str, name: str = "") -> str:
        """An endpoint of a version, approved and in service; its name."""
        sagemaker, name = self.jobs.sagemaker, name or f"{self.group}-{version.rpartition('/')[2]}"
        self.model(version, name)
        sagemaker.create_endpoint_config(
            EndpointConfigName=name,
            ProductionVariants=[
                {
                    "VariantName": "AllTraffic",
                    "ModelName": name,
                    "InstanceType": "ml.m5.large",
                    "InitialInstanceCount": 1,
                }
            ],
        )
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        found = until(
            lambda: sagemaker.describe_endpoint(EndpointName=name),
            lambda said: said["EndpointStatus"] in ("InService", "Failed"),
            seconds=180,
        )
        assert found["EndpointStatus"] == "InService", found
        return name

    def approve(self, version: str) -> None:
        """Approves a version."""
        self.jobs.sagemaker.update_model_package(
            ModelPackageArn=version, ModelApprovalStatus="Approved"
        )

    def model(self, version: str, name: str) -> None:
        """Approves a version and makes a model of it."""
        self.approve(version)
        self.jobs.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.jobs.role,
            Containers=[{"ModelPackageName": version}],
            VpcConfig=self.jobs.vpc_config,
            EnableNetworkIsolation=True,
        )

    def invoke(self, endpoint: str, body: bytes | str, content_type: str, accept: str) -> bytes:
        """What an endpoint answers."""
        answer = self.jobs.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=endpoint, Body=body, ContentType=content_type, Accept=accept
        )
        return answer["Body"].read()

    def batch(self, version: str) -> BatchPipeline:
        """What the deployment repository makes in dev for a version that predicts on files.

        Its program says what there is to be; the account gets the model, the checks' script and the
        pipeline, under the roles that a project is vended with. What starts it is left out.
        """
        account, key = self.account, self.jobs.key
        placement = Placement(
            prefix=PREFIX,
            environment="dev",
            region=REGION,
            account_id=account,
            accounts={"governance": HUB, "dev": account},
            organization_id=ORGANIZATION,
            protect=False,
        )
        names = Names.at(placement)
        make_bucket(self.jobs.cloud, names, self.name, key)
        make_roles(
            self.jobs.cloud, placement, "dev", self.name,
            key=key, subnets=self.jobs.subnets, security_group=self.jobs.group,
            # Here no promotion has brought the artifacts into the hub.
            models=[iam.Statement(
                sid="Artifacts", actions=["s3:GetObject"], resources=[f"arn:aws:s3:::{BUCKET}/*"]
            )],
        )  # fmt: skip
        stack = yaml.safe_load((self.deploy / "Pulumi.dev.yaml").read_text("utf-8"))["config"]
        registered = self.package(version)["InferenceSpecification"]
        (container,) = registered["Containers"]
        ran = run_program(
            {name: value for name, value in stack.items() if ":" not in name},
            environment="dev",
            environ={
                "MLOPS_PREFIX": PREFIX,
                "MLOPS_PROJECT": self.name,
                "MLOPS_REGION": REGION,
                "MLOPS_HUB_ACCOUNT": HUB,
                "MLOPS_TARGET_ACCOUNT": account,
            },
            version={
                "model_package_arn": version,
                "image": container["Image"],
                "model_data_url": container["ModelDataUrl"],
                "content_types": registered["SupportedContentTypes"],
                "response_types": registered["SupportedResponseMIMETypes"],
            },
            parameters={
                "vpc/private-subnet-ids": ",".join(self.jobs.subnets),
                "vpc/security-group-ids": self.jobs.group,
                "kms/data/arn": key,
                "kms/storage/arn": key,
                "alerts/topic-arn": names.arn("sns", names.name("alerts")),
            },
        )
        self.approve(version)
        sagemaker = self.jobs.sagemaker
        model = ran.one("aws:sagemaker/model:Model")
        sagemaker.create_model(
            ModelName=ran.exports["model_name"],
            ExecutionRoleArn=model["executionRoleArn"],
            PrimaryContainer={"ModelPackageName": model["primaryContainer"]["modelPackageName"]},
            VpcConfig={
                "Subnets": model["vpcConfig"]["subnets"],
                "SecurityGroupIds": model["vpcConfig"]["securityGroupIds"],
            },
            EnableNetworkIsolation=model["enableNetworkIsolation"],
        )
        script = ran.one("aws:s3/bucketObjectv2:BucketObjectv2")
        deployer = self.jobs.cloud.assume(
            names.role_arn(f"{self.name}-deploy"), self.jobs.cloud.session(HUB)
        )
        self.jobs.cloud.client("s3", session=deployer).put_object(
            Bucket=script["bucket"], Key=script["key"], Body=script["content"]
        )
        pipeline = ran.one("aws:sagemaker/pipeline:Pipeline")
        sagemaker.create_pipeline(
            PipelineName=pipeline["pipelineName"],
            PipelineDefinition=pipeline["pipelineDefinition"],
            RoleArn=pipeline["roleArn"],
            ClientRequestToken=self.name.ljust(32, "0"),
        )
        return BatchPipeline(
            self.jobs, pipeline["pipelineName"], script["bucket"], version, deployer
        )

    def integration_tests(self, live: str | BatchPipeline, *more: str) -> str:
        """Runs the deployment repository's own integration tests.

        Args:
            live: An endpoint, or a pipeline of batch predictions.
            more: Files of the template's own, beside those that all have.

        Returns:
            Their output.
        """
        if isinstance(live, str):
            file, variables = "test_endpoint.py", {"ENDPOINT_NAME": live}
        else:
            file = "test_batch.py"
            variables = {
                "BATCH_PIPELINE": live.name,
                "BATCH_BUCKET": live.bucket,
                "BATCH_MODEL_PACKAGE": live.version,
                "BATCH_TIMEOUT_MINUTES": "2",
                **live.environment,
            }
        done = run(
            self.deploy, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            *(f"integration_tests/{each}" for each in (file, *more)),
            environment={**self.environment, **variables, **WITHOUT_OUR_OPTIONS},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def notebooks(
        self, part: str, names: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Runs notebooks of a repository in one process, as loading takes the longest.

        Args:
            part: ``build`` or ``deploy``.
            names: Of the notebooks, in the order in which they are run.
            environment: Variables beside those by which the account is reached.

        Returns:
            Name of a notebook -> what it calls ``result``.
        """
        folder = {"build": self.build, "deploy": self.deploy}[part]
        interpreter = {"build": '"$PIPELINE_PYTHON"', "deploy": f'"{sys.executable}"'}[part]
        runner = folder / ".run_notebooks.py"
        runner.write_text(_NOTEBOOKS)
        done = run(
            folder, "sh", "-c", f'exec {interpreter} -W ignore "$@"', "sh", runner,
            *(folder / "notebooks" / f"{name}.ipynb" for name in names),
            environment={**self.environment, **(environment or {}), "MPLBACKEND": "Agg"},
        )  # fmt: skip
        runner.unlink()
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.rpartition("RESULTS")[2])

    def load_test(self, endpoint: str, **load: Any) -> tuple[int, str]:
        """Runs ``make load-test`` of the deployment repository, for two seconds unless told.

        Args:
            endpoint: The endpoint.
            load: What differs from :data:`PATIENT`, and that from the repository's own ``load``.

        Returns:
            Its exit code and its output.
        """
        file = self.deploy / "integration_tests" / "samples.json"
        kept = file.read_text("utf-8")
        samples = json.loads(kept)
        file.write_text(
            json.dumps({**samples, "load": {**samples.get("load", {}), **PATIENT, **load}}), "utf-8"
        )
        variables = {"ENDPOINT_NAME": endpoint, "MLOPS_PYTHON": sys.executable}
        try:
            done = run(
                self.deploy, "make", "load-test",
                environment={**self.environment, **variables, **WITHOUT_OUR_OPTIONS},
            )  # fmt: skip
        finally:
            file.write_text(kept, "utf-8")
        return done.returncode, done.stdout + done.stderr

    def keeps_its_budgets(self, endpoint: str, least: int) -> None:
        """Two callers at once are answered without a failure, by what the load test measured.

        Args:
            endpoint: The endpoint.
            least: Answers that two seconds must have time for, on a machine that is busy.
        """
        code, said = self.load_test(endpoint)
        assert code == 0, said
        told = re.search(rf"{endpoint}: (\d+) answers to 2 callers in ([\d.]+) s", said)
        assert told, said
        assert int(told[1]) >= least, said
        # The last request is answered after the time is over.
        assert 2 <= float(told[2]) < 60, said
        assert "; 0 failed" in said


def notebook_is_thin(file: Path) -> None:
    """A notebook has no outputs, and little code of its own."""
    cells = json.loads(file.read_text("utf-8"))["cells"]
    assert not [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    assert sum(len(cell["source"]) for cell in cells) < 100, "a notebook calls code"


PATIENT = {"seconds": 2, "callers": 2, "p95_milliseconds": 50_000, "p99_milliseconds": 50_000}
"""What a load test asks here: the machine is no endpoint's, and others use it meanwhile."""

WITHOUT_OUR_OPTIONS = {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Variables by which pytest of a repository runs as its team has it."""


def project(
    jobs: World,
    folder: Path,
    template: str,
    name: str,
    settings: Mapping[str, Any] | None = None,
) -> TemplateProject:
    """A project of a template, with its repositories, group and roles.

    Args:
        jobs: The account; several projects may be in one.
        folder: An empty one.
        template: The template.
        name: The project's; roles and group are named by it.
        settings: Of the template, where they are not the defaults.
    """
    made = TemplateProject(
        jobs,
        template,
        name,
        render(folder / "build", template, settings=settings, project_name=name),
        render(folder / "deploy", template, part="deploy", settings=settings, project_name=name),
    )
    jobs.sagemaker.create_model_package_group(ModelPackageGroupName=made.group)
    bucket = f"arn:aws:s3:::{BUCKET}"
    data = {
        "Action": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"],
        "Resource": [bucket, f"{bucket}/{name}/*"],
    }
    keys = {"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": jobs.key}
    training = jobs.cloud.role(f"{made.group}-training", data, keys, trust=TRUST)
    making = [
        f"sagemaker:{verb}{noun}" for verb in ("Create", "Describe", "Stop") for noun in _JOBS
    ]
    other = (
        "CreateModelPackage", "DescribeModelPackage", "CreateModel", "AddTags",
        "ListTrainingJobsForHyperParameterTuningJob", "CreateExperiment", "CreateTrial",
        "CreateTrialComponent", "AssociateTrialComponent",
    )  # fmt: skip
    jobs.cloud.role(
        f"{made.group}-pipeline",
        {"Action": [*making, *(f"sagemaker:{action}" for action in other)], "Resource": "*"},
        {"Action": "iam:PassRole", "Resource": training},
        data,
        keys,
        trust=TRUST,
    )
    known = templates.load()[template].feature_group
    if known:
        _give_feature_group(made, known)
    return made


def _give_feature_group(made: TemplateProject, known: Mapping[str, str]) -> None:
    """The project's feature group, the role of its offline store, and its jobs' rights and way.

    The roles have the policies that vending gives them. The offline store is in a bucket that is
    called as the platform calls it.
    """
    jobs, names = made.jobs, Names.at(PLACEMENT)
    if not jobs.sagemaker.list_feature_groups()["FeatureGroupSummaries"]:
        jobs.client("s3").create_bucket(
            Bucket=names.bucket("data"), CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        jobs.client("ec2").create_vpc_endpoint(
            VpcId=jobs.vpc,
            ServiceName=f"com.amazonaws.{REGION}.sagemaker.featurestore-runtime",
            VpcEndpointType="Interface",
        )
    role = names.role(features.STORE.format(made.name))
    jobs.cloud.role(role, trust=TRUST)
    allowed = features.store_statements(PLACEMENT, made.name, [jobs.key])
    own = features.job_statements(PLACEMENT, made.name, jobs.vpc)
    may(made, f"{made.group}-training", own, policy="features")
    jobs.sagemaker.create_feature_group(
        FeatureGroupName=features.group_name(names, made.name),
        RecordIdentifierFeatureName=features.IDENTIFIER,
        EventTimeFeatureName=features.TIME,
        FeatureDefinitions=[
            {"FeatureName": name, "FeatureType": kind}
            for name, kind in features.definitions(known).items()
        ],
        OnlineStoreConfig={"EnableOnlineStore": True, "SecurityConfig": {"KmsKeyId": jobs.key}},
        OfflineStoreConfig={
            "S3StorageConfig": {
                "S3Uri": features.offline_folder(names, made.name),
                "KmsKeyId": jobs.key,
            },
            "DisableGlueTableCreation": True,
        },
        RoleArn=may(made, role, allowed, policy="features"),
    )


@contextmanager
def account(folder: Path) -> Iterator[World]:
    """An account that publishes what the platform publishes for projects."""
    with world(folder) as jobs:
        for path, value in {
            "vpc/private-subnet-ids": ",".join(jobs.subnets),
            "vpc/security-group-ids": jobs.group,
            "kms/storage/arn": jobs.key,
            "kms/models/arn": jobs.key,
            "registry/models-bucket": BUCKET,
            "data/bucket": BUCKET,
        }.items():
            jobs.client("ssm").put_parameter(
                Name=f"/{PREFIX}/dev/{path}", Value=value, Type="String"
            )
        yield jobs


@contextmanager
def abalone(folder: Path, template: str) -> Iterator[TemplateProject]:
    """A project of a tabular template in an account of its own, with invented records.

    Args:
        folder: For both.
        template: Id of the template.
    """
    (folder / "team").mkdir()
    with account(folder / "cloud") as jobs:
        made = project(jobs, folder / "team", template, "abalone")
        made.steps("sample_data.py", "--rows", "1500", "--output", "abalone.csv")
        made.put("input/abalone.csv", (made.build / "abalone.csv").read_bytes())
        yield made


def may(
    team: TemplateProject, role: str, statements: list[iam.Statement], policy: str = "images"
) -> str:
    """Gives a role statements of the platform's own policies; its ARN."""
    team.jobs.client("iam").put_role_policy(
        RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(iam.document(statements))
    )
    return f"arn:aws:iam::{team.account}:role/{role}"


class ImageBuilder:
    """The project's build, as far as images go: its commands with its role's rights.

    Jobs and endpoints may pull what it has pushed.
    """

    def __init__(self, team: TemplateProject, folder: Path) -> None:
        self.team = team
        home = folder / "home"
        home.mkdir()
        self.engine = {
            "HOME": str(home),
            "PATH": f"{docker.shim(folder / 'bin').parent}:/usr/local/bin:/usr/bin:/bin",
        }
        names = Names.at(PLACEMENT, "dev")
        role = team.jobs.cloud.role(f"{team.group}-build")
        may(team, role.rpartition("/")[2], policies.image_statements(PLACEMENT, team.name))
        pull = [
            statement
            for statement in policies.job_statements(PLACEMENT, team.name, [team.jobs.key])
            if any(str(action).startswith("ecr:") for action in statement.actions)
        ]
        for user in (f"{team.group}-training", team.jobs.role.rpartition("/")[2]):
            may(team, user, pull)
        self.ecr: Any = team.jobs.client("ecr")
        self.ecr.create_repository(
            repositoryName=names.name(team.name, "repository"),
            imageTagMutability="IMMUTABLE",
            imageScanningConfiguration={"scanOnPush": True},
        )
        self._session = team.jobs.cloud.assume(role)

    @property
    def environment(self) -> dict[str, str]:
        credentials = self._session.get_credentials().get_frozen_credentials()
        return {
            **self.team.environment,
            **self.engine,
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_SESSION_TOKEN": credentials.token,
        }

    def build(self, code: int = 0) -> str:
        """Runs ``build_image.py``; what it printed."""
        done = run(
            self.team.build, "sh", "-c",
            'exec "$PIPELINE_PYTHON" build_image.py --poll-seconds 0.1 --commit ' + COMMIT,
            environment=self.environment,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def docker(self, *words: str) -> tuple[int, str]:
        """Runs the engine as the build does."""
        done = run(self.team.build, "docker", *words, environment=self.environment)
        return done.returncode, done.stdout + done.stderr

    @property
    def built(self) -> dict[str, Any]:
        return json.loads((self.team.build / "image.json").read_text())

    def images(self) -> list[str]:
        found = self.ecr.describe_images(repositoryName=self.team.group)["imageDetails"]
        return sorted(tag for image in found for tag in image["imageTags"])
