"""A project in all accounts: where its model is built, released from, and deployed to.

dev holds the build: a pipeline of CodePipeline and CodeBuild in dev's network (its buckets answer
to nobody outside), the roles of SageMaker's pipeline and jobs, and the group that versions are
registered in. The hub holds the central group and the release: a pipeline with an approval between
the environments, and one that puts an earlier version back. Each target holds the role that
the release deploys by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
from pulumi import Input, Output, ResourceOptions

from components import iam
from components.deployments import BY_HAND, DEPLOYMENTS, caller_alias
from components.events import RETENTION_SECONDS, queue_statements
from components.images import make_repository
from components.naming import Names, Placement, kind_of
from components.personas import JOB_TAG, Guards
from components.projects import batch, features, policies
from components.projects.pushes import Pushes
from components.registry import Sharing, pull_statements, share_group
from components.retraining import RETRAINING, STARTER
from components.storage import BucketSpec, make_bucket

IMAGE = "aws/codebuild/amazonlinux2023-x86_64-standard:5.0"
"""Image of builds. Source: CodeBuild user guide, Docker images provided by CodeBuild."""

BRANCH = "main"
"""The branch that builds and releases are made from."""

ARTIFACT_DAYS = 30
"""How long the artifacts of pipelines are kept: each run makes its own."""

EXECUTION = "#{codepipeline.PipelineExecutionId}"
"""Variable of CodePipeline: the execution's id."""

Ci = Literal["codepipeline", "github"]


def account_variable(environment: str) -> str:
    """The variable of a release that holds an environment's account; shells know no hyphens."""
    return f"MLOPS_ACCOUNT_{environment.replace('-', '_')}"


def repository_key(name: str) -> str:
    """How an image repository is told from a group of the same name."""
    return f"repository/{name}"


CODECOMMIT = "CodeCommit"
"""The provider whose repositories a project makes itself."""


class EnvironmentContract(TypedDict):
    """What an environment publishes, as far as projects need it."""

    subnet_ids: Sequence[str]
    """Private subnets."""
    security_group_ids: Sequence[str]
    """Security groups of workloads."""
    vpc_id: str
    """The VPC."""
    s3_endpoint_id: str
    """The VPC's endpoint of S3."""
    key_arns: Mapping[str, str]
    """Purpose -> key."""
    boundary_arn: str
    """Permissions boundary."""
    access_log_bucket: str
    """Bucket of access logs."""
    alerts_topic_arn: str
    """Where alerts go."""


class ProjectArgs(TypedDict):
    """Inputs of :class:`Project`."""

    placement: Placement
    """Where: the hub."""
    project: str
    """Name, at most 20 characters."""
    project_id: str
    """``p-`` and twelve characters, as SageMaker makes them."""
    template: str
    """What its repositories started with."""
    ci: Ci
    """What builds and releases."""
    build_repository: str
    """``owner/name`` of the build repository."""
    deploy_repository: str
    """``owner/name`` of the deployment repository."""
    targets: Sequence[str]
    """Environments that it is deployed to, in order."""
    contracts: Mapping[str, EnvironmentContract]
    """What dev, the hub and the targets publish."""
    provider: str
    """Who hosts the repositories: ``CodeCommit`` in dev and the hub, or somebody elsewhere."""
    connection_arns: Mapping[str, str]
    """``dev`` and ``governance`` -> connection to the repositories; empty with CodeCommit."""
    state_key_arn: str
    """Key of the state bucket."""
    backend_url: str
    """State backend of the deployments."""
    secrets_provider: str
    """Key of their secrets, ``awskms://…``."""
    token_secret_arn: str
    """Secret with GitHub's token; empty without GitHub Actions."""
    people: Mapping[str, str]
    """Login at GitHub -> name in AWS, of those who approve; empty without GitHub Actions."""
    batch: bool
    """Whether it predicts in batches in its targets."""
    image: NotRequired[bool]
    """Whether it builds an image of its own: its builds get a container engine."""
    features: NotRequired[Mapping[str, str]]
    """Feature -> type of its feature group, beside a record's id and time; without any there is no
    group."""
    instance_types: Sequence[str]
    """Instance types that jobs may run on."""
    log_retention_days: int
    """How long builds' logs are kept."""
    variables: Mapping[str, str]
    """More environment variables of builds: where the image keeps its interpreters."""
    sharing: Sharing
    """How the hub's group is shared with the targets' accounts."""
    adopted: Sequence[str]
    """What an earlier project of this name left: names of groups with versions and of buckets with
    data, and :func:`repository_key` of image repositories."""


class _Side(pulumi.ComponentResource):
    """What a project has in one environment."""

    def __init__(self, kind: str, args: ProjectArgs, environment: str, opts: ResourceOptions):
        self.project, self.environment = args["project"], environment
        super().__init__(f"mlops:index:{kind}", f"{self.project}-{environment}", {}, opts)
        self.args, self.placement = args, args["placement"]
        self.names = Names.at(self.placement, environment)
        self.contract = args["contracts"][environment]
        self.child = ResourceOptions(parent=self)

    def kept(self) -> ResourceOptions:
        """What outlives the project unless told otherwise."""
        protect = self.placement["protect"]
        return ResourceOptions(parent=self, protect=protect, retain_on_delete=True)

    def role(
        self,
        name: str,
        trust: Sequence[iam.Statement],
        statements: Sequence[iam.Statement],
        tags: Mapping[str, str] | None = None,
        called: str = "",
    ) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        """A role of the project under the boundary; by default called as it and the project."""
        role = aws.iam.Role(
            f"{self.project}-{self.environment}-{name}",
            name=self.names.role(called or f"{self.project}-{name}"),
            assume_role_policy=iam.render(trust),
            permissions_boundary=self.contract["boundary_arn"],
            tags=tags,
            opts=self.child,
        )
        policy = aws.iam.RolePolicy(
            f"{self.project}-{self.environment}-{name}",
            name="project",
            role=role.name,
            policy=iam.render(statements),
            opts=self.child,
        )
        return role, policy

    def group(self, readers: Sequence[str]) -> None:
        """The project's model package group; it and its policy outlive the project, a share not.

        One that is there already is taken over as it is; its tags follow with the next update.

        Args:
            readers: The environments that read the hub's.
        """
        name = self.names.name(self.project, "group")
        opts = self.kept()
        if name in self.args["adopted"]:
            found = ResourceOptions(import_=name, ignore_changes=["tags", "tagsAll"])
            opts = ResourceOptions.merge(opts, found)
        group = aws.sagemaker.ModelPackageGroup(
            f"{self.project}-{self.environment}",
            model_package_group_name=name,
            model_package_group_description=f"Versions of {self.project}",
            opts=opts,
        )
        share_group(
            f"{self.project}-{self.environment}",
            group,
            name,
            self.names,
            self.placement,
            {
                "environments": readers,
                "deployer": f"{self.project}-deploy",
                "sharing": self.args["sharing"],
            },
            opts=self.child,
            kept=self.kept(),
        )

    def images(self, readers: Sequence[iam.Statement]) -> None:
        """The project's image repository, which outlives the project as its versions do.

        Args:
            readers: Who of other accounts may pull.
        """
        if not self.args.get("image"):
            return
        name = self.names.name(self.project, "repository")
        kept = self.kept()
        if repository_key(name) in self.args["adopted"]:
            found = ResourceOptions(import_=name, ignore_changes=["tags", "tagsAll"])
            kept = ResourceOptions.merge(kept, found)
        make_repository(
            f"{self.project}-{self.environment}-images",
            name,
            self.contract["key_arns"]["models"],
            readers,
            opts=self.child,
            kept=kept,
        )

    def artifacts(self) -> aws.s3.Bucket:
        """The bucket of the pipelines' artifacts."""
        name = self.names.name(f"ci-{self.project}-{self.names.account_id}", "bucket")
        arn = f"arn:{self.names.partition}:s3:::{name}"
        bucket, _ = make_bucket(
            f"{self.project}-{self.environment}-ci",
            BucketSpec(
                name=name,
                arn=arn,
                key_arn=self.contract["key_arns"]["data"],
                log_bucket=self.contract["access_log_bucket"],
                expire_days=ARTIFACT_DAYS,
            ),
            self,
        )
        return bucket

    def logs(self) -> aws.cloudwatch.LogGroup:
        """Where builds are logged."""
        return aws.cloudwatch.LogGroup(
            f"{self.project}-{self.environment}-builds",
            name=policies.build_log_group(self.names, self.project),
            kms_key_id=self.contract["key_arns"]["logs"],
            retention_in_days=self.args["log_retention_days"],
            opts=self.child,
        )

    def build(
        self,
        name: str,
        role: aws.iam.Role,
        needs: Sequence[pulumi.Resource],
        logs: aws.cloudwatch.LogGroup,
        variables: Mapping[str, Input[str]],
        *,
        containers: bool = False,
    ) -> aws.codebuild.Project:
        """A CodeBuild project that pipelines run, on request with a container engine."""
        return aws.codebuild.Project(
            f"{self.project}-{self.environment}-{name}",
            name=self.names.name(f"{self.project}-{name}"),
            description=f"{name} of {self.project}",
            service_role=role.arn,
            build_timeout=480,
            encryption_key=self.contract["key_arns"]["data"],
            artifacts={"type": "CODEPIPELINE"},
            source={"type": "CODEPIPELINE"},
            environment={
                "type": "LINUX_CONTAINER",
                "compute_type": "BUILD_GENERAL1_SMALL",
                "image": IMAGE,
                # Without it a build cannot run an engine. Source: CodeBuild user guide, Docker
                # sample.
                "privileged_mode": containers,
                "environment_variables": [
                    {"name": key, "value": value}
                    for key, value in {**self.args["variables"], **variables}.items()
                ],
            },
            vpc_config={
                "vpc_id": self.contract["vpc_id"],
                "subnets": list(self.contract["subnet_ids"]),
                "security_group_ids": list(self.contract["security_group_ids"]),
            },
            logs_config={"cloudwatch_logs": {"status": "ENABLED", "group_name": logs.name}},
            opts=ResourceOptions(parent=self, depends_on=list(needs)),
        )

    def repository(self, kind: str, elsewhere: str) -> str:
        """The name of a repository; CodeCommit's is made.

        Args:
            kind: ``build`` or ``deploy``.
            elsewhere: Its name where somebody else hosts it.
        """
        if self.args["provider"] != CODECOMMIT:
            return elsewhere
        name = policies.codecommit_name(self.names, self.project, kind)
        aws.codecommit.Repository(
            f"{self.project}-{kind}",
            repository_name=name,
            description=f"{kind} of {self.project}",
            kms_key_id=self.contract["key_arns"]["data"],
            opts=self.child,
        )
        return name

    def source(self, repository: str, *, starts: bool) -> aws.codepipeline.PipelineStageArgsDict:
        """The first stage: the repository's main branch."""
        if self.args["provider"] == CODECOMMIT:
            provider, configuration = (
                "CodeCommit",
                {
                    "RepositoryName": repository,
                    "BranchName": BRANCH,
                    # A rule tells the pipeline of a push; nothing asks every minute.
                    "PollForSourceChanges": "false",
                    "OutputArtifactFormat": "CODE_ZIP",
                },
            )
        else:
            provider, configuration = (
                "CodeStarSourceConnection",
                {
                    "ConnectionArn": self.args["connection_arns"][self.environment],
                    "FullRepositoryId": repository,
                    "BranchName": BRANCH,
                    "DetectChanges": str(starts).lower(),
                    "OutputArtifactFormat": "CODE_ZIP",
                },
            )
        return {
            "name": "Source",
            "actions": [
                {
                    "name": "Source",
                    "category": "Source",
                    "owner": "AWS",
                    "provider": provider,
                    "version": "1",
                    "namespace": "SourceVariables",
                    "output_artifacts": ["source"],
                    "configuration": configuration,
                }
            ],
        }

    def _reading(self, repository: str) -> list[iam.Statement]:
        if self.args["provider"] != CODECOMMIT:
            return policies.connection_source(self.args["connection_arns"][self.environment])
        key = self.contract["key_arns"]["data"]
        return policies.codecommit_source(self.names, repository, key)

    def delivery(
        self,
        name: str,
        bucket: aws.s3.Bucket,
        builds: Sequence[aws.codebuild.Project],
        repository: str,
        stages: Sequence[aws.codepipeline.PipelineStageArgsDict],
        variables: Sequence[str] = (),
        topic: str | None = None,
        role: str = "",
    ) -> aws.codepipeline.Pipeline:
        """A pipeline with its role, by default called as it.

        A variable without a default keeps a new pipeline from starting by itself.
        """
        keys = [self.contract["key_arns"]["data"]]
        if topic:
            keys.append(self.contract["key_arns"]["messages"])
        made, policy = self.role(
            role or f"{name}-pipeline",
            [iam.service_trust("codepipeline.amazonaws.com", account_id=self.names.account_id)],
            policies.delivery_statements(
                bucket.arn,
                keys,
                self._reading(repository),
                [build.arn for build in builds],
                topic,
            ),
        )
        return aws.codepipeline.Pipeline(
            f"{self.project}-{self.environment}-{name}",
            name=self.names.name(f"{self.project}-{name}"),
            role_arn=made.arn,
            pipeline_type="V2",
            execution_mode="QUEUED",
            artifact_stores=[
                {
                    "type": "S3",
                    "location": bucket.id,
                    "encryption_key": {"type": "KMS", "id": self.contract["key_arns"]["data"]},
                }
            ],
            stages=list(stages),
            variables=[{"name": variable} for variable in variables],
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )


def _run(
    name: str, project: aws.codebuild.Project, variables: Mapping[str, str]
) -> aws.codepipeline.PipelineStageArgsDict:
    return {
        "name": name,
        "actions": [
            {
                "name": name,
                "category": "Build",
                "owner": "AWS",
                "provider": "CodeBuild",
                "version": "1",
                "input_artifacts": ["source"],
                "configuration": {
                    "ProjectName": project.name,
                    "EnvironmentVariables": json.dumps(
                        [
                            {"name": key, "value": value, "type": "PLAINTEXT"}
                            for key, value in variables.items()
                        ]
                    ),
                },
            }
        ],
    }


class BuildSide(_Side):
    """dev: the group, the roles of pipeline and jobs, and what builds."""

    def __init__(self, args: ProjectArgs, opts: ResourceOptions) -> None:
        super().__init__("ProjectBuild", args, "dev", opts)
        names, keys = self.names, self.contract["key_arns"]
        self.group([])
        sagemaker = [
            iam.service_trust(
                "sagemaker.amazonaws.com",
                account_id=names.account_id,
                # Who starts the pipeline from Studio has a source identity, which goes on.
                actions=["sts:AssumeRole", "sts:SetSourceIdentity"],
            )
        ]
        guards: Guards = {
            "subnets": self.contract["subnet_ids"],
            "security_groups": self.contract["security_group_ids"],
            "volume_key": keys["storage"],
            "output_keys": [keys["models"]],
            "instance_types": args["instance_types"],
            "isolate": True,
        }
        job_keys = [keys["data"], keys["models"], keys["storage"]]
        jobs = policies.job_statements(self.placement, self.project, job_keys)
        if args.get("features"):
            guards["connected"] = features.connected_jobs(names)
            jobs += features.job_statements(self.placement, self.project, self.contract["vpc_id"])
            self._features(sagemaker)
        self.role("training", sagemaker, jobs)
        self.role(
            "pipeline",
            sagemaker,
            policies.pipeline_statements(
                self.placement, self.project, guards, [keys["models"], keys["storage"]]
            ),
            # SageMaker reads reports for conditions from outside the VPC; the buckets know by this
            # tag who may.
            {"Principal": names.role(JOB_TAG)},
        )
        builder = policies.build_statements(
            self.placement, self.project, [keys["data"], keys["models"]]
        )
        if args.get("image"):
            builder = [*builder, *policies.image_statements(self.placement, self.project)]
        self.images([])
        if args["ci"] == "github":
            provider = names.oidc_provider_arn(policies.GITHUB)
            trust = policies.github_trust(
                provider, args["build_repository"], [f"ref:refs/heads/{BRANCH}"]
            )
            self.role("github", [trust], builder)
        else:
            bucket, logs = self.artifacts(), self.logs()
            role, policy = self.role(
                "build",
                [iam.service_trust("codebuild.amazonaws.com", account_id=names.account_id)],
                [
                    *builder,
                    *policies.runner_statements(names, self.project, bucket.arn, [keys["data"]]),
                ],
            )
            build = self.build(
                "build", role, [policy], logs, {}, containers=args.get("image", False)
            )
            repository = self.repository("build", args["build_repository"])
            pipeline = self.delivery(
                "build",
                bucket,
                [build],
                repository,
                [
                    self.source(repository, starts=True),
                    _run("Build", build, {"COMMIT_ID": "#{SourceVariables.CommitId}"}),
                ],
            )
            hub = Names.at(self.placement, "governance")
            self.role(
                "retrain",
                [
                    iam.only_role(
                        hub.root_arn,
                        [hub.role_arn(RETRAINING)],
                        sid="Drift",
                        actions=["sts:AssumeRole"],
                    )
                ],
                policies.retrain_statements(self.placement, self.project),
            )
            if args["provider"] == CODECOMMIT:
                Pushes(
                    f"{self.project}-pushes",
                    {
                        "placement": self.placement,
                        "project": self.project,
                        "repository": repository,
                        "branch": BRANCH,
                        "pipeline_arn": pipeline.arn,
                        "boundary_arn": self.contract["boundary_arn"],
                        "messages_key_arn": keys["messages"],
                        "alerts_topic_arn": self.contract["alerts_topic_arn"],
                    },
                    self.child,
                )
        self.register_outputs({})

    def _features(self, trust: Sequence[iam.Statement]) -> None:
        """The project's feature group; it can be filled again from the data, so it goes with it.

        What the offline store has stays in the bucket. No table in Glue tells of it: that would be
        Lake Formation's to grant, where an account has it.
        """
        names, key = self.names, self.contract["key_arns"]["data"]
        role, policy = self.role(
            "feature-store",
            trust,
            features.store_statements(self.placement, self.project, [key]),
            # SageMaker writes from outside the VPC; the data bucket knows by this tag who may.
            {"Principal": names.role("feature-store")},
            called=features.STORE.format(self.project),
        )
        aws.sagemaker.FeatureGroup(
            f"{self.project}-features",
            feature_group_name=features.group_name(names, self.project),
            description=f"Features of {self.project}",
            record_identifier_feature_name=features.IDENTIFIER,
            event_time_feature_name=features.TIME,
            role_arn=role.arn,
            feature_definitions=[
                {"feature_name": name, "feature_type": kind}
                for name, kind in features.definitions(self.args.get("features", {})).items()
            ],
            online_store_config={
                "enable_online_store": True,
                "security_config": {"kms_key_id": key},
            },
            offline_store_config={
                "s3_storage_config": {
                    "s3_uri": features.offline_folder(names, self.project),
                    "kms_key_id": key,
                },
                "disable_glue_table_creation": True,
            },
            # Two groups of one name cannot be, when other features need a new one.
            opts=ResourceOptions(parent=self, depends_on=[policy], delete_before_replace=True),
        )


class ReleaseSide(_Side):
    """The hub: the central group, what releases, and what the deployment function knows of it."""

    def __init__(self, args: ProjectArgs, opts: ResourceOptions) -> None:
        super().__init__("ProjectRelease", args, "governance", opts)
        names, keys = self.names, self.contract["key_arns"]
        group = names.name(self.project, "group")
        self.group(args["targets"])
        self.images(
            pull_statements(self.placement, args["targets"], policies.MONITOR.format(self.project))
        )
        repository = self.repository("deploy", args["deploy_repository"])
        known: dict[str, Input[str | dict[str, str]] | dict[str, Input[str]] | list[str]] = {
            "id": args["project_id"],
            "group": group,
            "template": args["template"],
            "organization": args["build_repository"].partition("/")[0],
            "ci": args["ci"],
            "repository": repository,
            "targets": list(args["targets"]),
            "retraining": self._retraining(),
        }
        if args["ci"] == "github":
            for target in args["targets"]:
                trust = policies.github_trust(
                    names.oidc_provider_arn(policies.GITHUB),
                    args["deploy_repository"],
                    [f"environment:{target}"],
                )
                self.releaser(target, trust, [])
            known |= {
                "workflow": "deploy.yml",
                "token_secret": args["token_secret_arn"],
                "people": dict(args["people"]),
            }
        else:
            bucket, logs = self.artifacts(), self.logs()
            trust = iam.service_trust("codebuild.amazonaws.com", account_id=names.account_id)
            running = policies.runner_statements(names, self.project, bucket.arn, [keys["data"]])
            builds: dict[str, aws.codebuild.Project] = {}
            for target in args["targets"]:
                role, policy = self.releaser(target, trust, running)
                builds[target] = self.build(
                    f"deploy-{target}", role, [policy], logs, self._variables(target)
                )
            source = self.source(repository, starts=False)
            release = self.delivery(
                "deploy",
                bucket,
                list(builds.values()),
                repository,
                [source, *self._stages(builds)],
                ["MODEL_PACKAGE_ARN", "REASON"],
                self.contract["alerts_topic_arn"],
            )
            # CodePipeline lays a variable's text into the JSON of a build's variables as it is: the
            # reason, which is anybody's text, is told by the pipeline and not handed on.
            handed = ("MODEL_PACKAGE_ARN", "KIND")
            put_back = {name: f"#{{variables.{name}}}" for name in handed}
            restores: dict[str, Input[str]] = {
                target: self.delivery(
                    f"restore-{target}",
                    bucket,
                    [build],
                    repository,
                    [
                        source,
                        _run(
                            "Restore",
                            build,
                            {**put_back, "ENVIRONMENT": target, "EXECUTION": EXECUTION},
                        ),
                    ],
                    [*handed, "REASON"],
                    role=f"restore-{target}",
                ).name
                for target, build in builds.items()
            }
            known |= {"pipeline": release.name, "restore": restores}
        for target in args["targets"]:
            aws.lambda_.Alias(
                f"{self.project}-{target}-caller",
                name=caller_alias(self.project, target),
                function_name=names.name(DEPLOYMENTS),
                # The function decides for all projects at once: an alias tells who asks, no more.
                function_version="$LATEST",
                description=f"Runs of {self.project} in {target}",
                opts=self.child,
            )
        aws.ssm.Parameter(
            f"{self.project}-known",
            name=names.parameter(f"projects/{self.project}"),
            type="String",
            value=Output.json_dumps(known),
            description="What the hub's functions know of the project",
            opts=self.child,
        )
        self.register_outputs({})

    def releaser(
        self, target: str, trust: iam.Statement, more: Sequence[iam.Statement]
    ) -> tuple[aws.iam.Role, aws.iam.RolePolicy]:
        """The role that deploys to one target."""
        return self.role(
            f"release-{target}",
            [trust],
            [
                *policies.release_statements(
                    self.placement, self.project, target, self.args["state_key_arn"]
                ),
                *more,
            ],
            called=policies.releaser(self.args["ci"], self.project, target),
        )

    def _retraining(self) -> dict[str, str]:
        """What drift starts: the project's build in dev."""
        if self.args["ci"] == "github":
            return {"repository": self.args["build_repository"], "workflow": "build.yml"}
        dev = Names.at(self.placement, "dev")
        return {
            "role": dev.role_arn(STARTER.format(self.project)),
            "pipeline": dev.name(f"{self.project}-build"),
        }

    def _variables(self, target: str) -> dict[str, Input[str]]:
        args, accounts = self.args, self.placement["accounts"]
        return {
            "MLOPS_PREFIX": self.names.prefix,
            "MLOPS_PROJECT": self.project,
            "MLOPS_REGION": self.names.region,
            "MLOPS_HUB_ACCOUNT": self.names.account_id,
            "PULUMI_BACKEND_URL": args["backend_url"],
            "PULUMI_SECRETS_PROVIDER": args["secrets_provider"],
            account_variable(target): accounts[target],
        }

    def _stages(
        self, builds: Mapping[str, aws.codebuild.Project]
    ) -> list[aws.codepipeline.PipelineStageArgsDict]:
        stages: list[aws.codepipeline.PipelineStageArgsDict] = []
        targets = self.args["targets"]
        kinds = [kind_of(target) for target in targets]
        for number, (target, kind) in enumerate(zip(targets, kinds, strict=True)):
            # One approval for all environments of a kind, before the first of them.
            if kind not in kinds[:number] and (number or kind in BY_HAND):
                every = [one for one in targets if kind_of(one) == kind]
                stages.append(
                    {
                        "name": f"Approve-{target}",
                        "actions": [
                            {
                                "name": "Approve",
                                "category": "Approval",
                                "owner": "AWS",
                                "provider": "Manual",
                                "version": "1",
                                "configuration": {
                                    "NotificationArn": self.contract["alerts_topic_arn"],
                                    "CustomData": (
                                        f"{self.project} to {', '.join(every)}:"
                                        " #{variables.MODEL_PACKAGE_ARN}. Say why in the comment;"
                                        " it goes into the model card."
                                    ),
                                },
                            }
                        ],
                    }
                )
            stages.append(
                _run(
                    f"Deploy-{target}",
                    builds[target],
                    {
                        "ENVIRONMENT": target,
                        "MODEL_PACKAGE_ARN": "#{variables.MODEL_PACKAGE_ARN}",
                        "KIND": "deploy",
                        "EXECUTION": EXECUTION,
                    },
                )
            )
        return stages


class TargetSide(_Side):
    """A target: the role that the release deploys by."""

    role_arn: Output[str]

    def __init__(self, args: ProjectArgs, environment: str, opts: ResourceOptions) -> None:
        super().__init__("ProjectTarget", args, environment, opts)
        hub = Names.at(self.placement, "governance")
        role, _ = self.role(
            "deploy",
            [
                iam.only_role(
                    hub.root_arn,
                    [hub.role_arn(policies.releaser(args["ci"], self.project, environment))],
                    sid="TheProjectsRelease",
                    actions=["sts:AssumeRole"],
                )
            ],
            [
                *policies.deploy_statements(
                    self.placement,
                    environment,
                    self.project,
                    [self.contract["key_arns"]["storage"]],
                ),
                *self._batch(),
                *self._monitoring(),
            ],
        )
        self.role_arn = role.arn
        self.register_outputs({"role_arn": self.role_arn})

    def _monitoring(self) -> list[iam.Statement]:
        """The role of monitoring jobs; what the deploy role may do for their schedule."""
        if self.args["batch"]:
            return []
        account = self.names.account_id
        self.role(
            "monitor",
            [iam.service_trust("sagemaker.amazonaws.com", account_id=account)],
            policies.monitor_statements(self.placement, self.environment, self.project),
            called=policies.MONITOR.format(self.project),
        )
        return policies.monitoring_statements(self.placement, self.environment, self.project)

    def _batch(self) -> list[iam.Statement]:
        """Bucket and roles of batch predictions; what the deploy role may do with them.

        The bucket outlives the project: what it holds can be made again by nobody.
        """
        if not self.args["batch"]:
            return []
        where = (self.placement, self.environment, self.project)
        keys, contract = self.contract["key_arns"], self.contract
        used = [keys["data"], keys["storage"]]
        name = batch.bucket_name(self.names, self.project)
        bucket, _ = make_bucket(
            f"{self.project}-{self.environment}-jobs",
            BucketSpec(
                name=name,
                arn=f"arn:{self.names.partition}:s3:::{name}",
                statements=batch.bucket_statements(
                    self.names, self.project, keys["data"], contract["s3_endpoint_id"]
                ),
                key_arn=keys["data"],
                log_bucket=contract["access_log_bucket"],
                retain=True,
                adopt=name in self.args["adopted"],
            ),
            self,
        )
        aws.s3.BucketNotification(
            f"{self.project}-{self.environment}-jobs",
            bucket=bucket.id,
            eventbridge=True,
            opts=self.child,
        )
        self._missed()
        guards: Guards = {
            "subnets": contract["subnet_ids"],
            "security_groups": contract["security_group_ids"],
            "volume_key": keys["storage"],
            "output_keys": [keys["data"]],
            "instance_types": self.args["instance_types"],
            "isolate": True,
        }
        account = self.names.account_id
        sagemaker = [iam.service_trust("sagemaker.amazonaws.com", account_id=account)]
        self.role(
            "model",
            sagemaker,
            batch.model_statements(*where, used),
            called=batch.MODEL.format(self.project),
        )
        self.role("batch", sagemaker, batch.pipeline_statements(*where, guards, used))
        self.role(
            "schedule",
            [iam.service_trust("events.amazonaws.com", account_id=account)],
            batch.schedule_statements(*where),
        )
        return batch.deploy_statements(*where, [keys["data"]])

    def _missed(self) -> None:
        """Where events wait that could not start the pipeline; its owners are told."""
        called = batch.queue_name(self.names, self.project)
        queue = aws.sqs.Queue(
            f"{self.project}-{self.environment}-missed",
            name=called,
            kms_master_key_id=self.contract["key_arns"]["messages"],
            message_retention_seconds=RETENTION_SECONDS,
            opts=self.child,
        )
        aws.sqs.QueuePolicy(
            f"{self.project}-{self.environment}-missed",
            queue_url=queue.url,
            policy=iam.render(
                queue_statements(self.names, called, batch.rule_arns(self.names, self.project))
            ),
            opts=self.child,
        )
        aws.cloudwatch.MetricAlarm(
            f"{self.project}-{self.environment}-missed",
            name=called,
            alarm_description=f"{self.project}: batch predictions were due and did not start",
            namespace="AWS/SQS",
            metric_name="ApproximateNumberOfMessagesVisible",
            dimensions={"QueueName": called},
            statistic="Maximum",
            period=60,
            evaluation_periods=1,
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            treat_missing_data="notBreaching",
            alarm_actions=[self.contract["alerts_topic_arn"]],
            opts=self.child,
        )


class Project(pulumi.ComponentResource):
    """All sides of a project.

    Args:
        name: Logical name.
        args: Inputs.
        providers: Environment -> provider of its account, tagged with the project's tags.
        opts: Pulumi's options.
    """

    def __init__(
        self,
        name: str,
        args: ProjectArgs,
        providers: Mapping[str, aws.Provider],
        opts: ResourceOptions | None = None,
    ) -> None:
        super().__init__("mlops:index:Project", name, {"project": args["project"]}, opts)

        def side(environment: str) -> ResourceOptions:
            return ResourceOptions(parent=self, providers=[providers[environment]])

        BuildSide(args, side("dev"))
        # The central group's policy names the deploy roles: the targets come first.
        targets = [TargetSide(args, target, side(target)) for target in args["targets"]]
        ReleaseSide(
            args,
            pulumi.ResourceOptions.merge(side("governance"), ResourceOptions(depends_on=targets)),
        )
        self.register_outputs({})
