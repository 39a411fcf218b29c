"""Making, changing, listing and removing projects: each is a stack of its own.

A project's stack is kept in the hub's state bucket, whoever makes it: a person, or a product's
launch. It holds what was asked for as an output, from the first moment: so what failed half-way is
known, and a later update needs only what changes. Registered versions, their groups and cards stay
when a project goes, and so do the files of its batch predictions, unless asked otherwise; what its
repositories hold is never lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import boto3
from botocore.exceptions import ClientError
from pulumi import automation as auto

from automation import vended
from automation.projects import lifecycle, models, repositories, templates, upgrades
from automation.projects.codecommit import hub_archive
from automation.projects.lifecycle import WAYS, Command, Step
from automation.projects.program import program, release_targets, served, unserved
from automation.projects.spec import ProjectSpec, SpecError, read_spec
from automation.runs import StackRun, run_stack
from automation.vended import VendingError, nothing, policy_packs
from components.catalog import STATE
from components.naming import Names, NameTooLongError, in_order
from components.projects import batch
from components.projects.policies import STATES_VERSION
from components.projects.project import CODECOMMIT, repository_key
from components.settings import PlatformSettings

PULUMI_PROJECT = "mlops-projects"
_POLL_SECONDS = 2.0
_REMOVAL_SECONDS = 3600.0
_BUCKET = "aws:s3/bucket:Bucket"
_OUTLIVING = (_BUCKET, "aws:sagemaker/modelPackageGroup:ModelPackageGroup")
"""Types of what may stay when a project goes."""

_GROUPS = "aws:sagemaker/modelPackageGroup"
"""Beginning of the types of groups and their policies."""

_IMAGES = "aws:ecr/repository:Repository"

Tell = Callable[[str], None]
Session = Callable[[str], boto3.Session]


@dataclass
class _Work:
    """One command on a project.

    Attributes:
        name: The project.
        held: What its stack says was asked for; None without a stack.
        wanted: What it is to be; None when it is to go.
        erase: Environment -> a session that may delete its data; None when data stays.
        forget: Likewise its registered models; None when they stay.
        archived: What became of its repositories, for people.
        record: Where the record of deleted models is; empty when there is none.
        files: Buckets that stay with what they hold.
        run: The last run of its stack.
    """

    name: str
    held: Mapping[str, Any] | None
    wanted: ProjectSpec | None = None
    erase: Session | None = None
    forget: Session | None = None
    archived: str = ""
    record: str = ""
    files: Sequence[str] = ()
    run: StackRun = field(init=False)

    def __post_init__(self) -> None:
        self.run = StackRun(f"project-{self.name}", "up")

    @property
    def spec(self) -> ProjectSpec:
        """What it is to be."""
        # No way of a command that wants nothing has a step that asks for it.
        return cast("ProjectSpec", self.wanted)

    @property
    def before(self) -> ProjectSpec:
        """What it was asked for by until now."""
        return read_spec(self.held or {})


@dataclass(frozen=True)
class Vending:
    """The projects of a platform.

    Attributes:
        platform: Environment -> settings of its stack.
        session: Environment -> a session of its deployer.
        git: How repositories are reached.
        tell: Takes a line of progress.
        progress: Takes what a run does, as stacks' runs tell it.
    """

    platform: Mapping[str, PlatformSettings]
    session: Session
    git: repositories.Host
    tell: Tell
    progress: Callable[[StackRun, str], None]

    @property
    def hub(self) -> PlatformSettings:
        """The hub's settings."""
        return self.platform["governance"]

    def create(self, given: Mapping[str, Any]) -> StackRun:
        """Makes a project and fills its repositories.

        Everything that can be wrong is looked at before anything is made; run again after a
        failure, it goes on.

        Raises:
            SpecError: It is asked for wrongly.
            VendingError: There is one of this name already, or of one that cannot stand beside it.
            RepositoryError: A repository cannot be used.
            PlatformError: The platform is not up.
        """
        spec = read_spec(given)
        return self._walk(Command.CREATE, _Work(spec.name, self.held(spec.name), spec))

    def update(self, name: str, changes: Mapping[str, Any]) -> StackRun:
        """Changes a project.

        What it deployed to an environment that is no target any more is removed first, while the
        role that can is there.

        Raises:
            SpecError: The changes are wrong, or of what cannot change.
            VendingError: There is no such project, or what it deployed cannot be removed.
            PlatformError: The platform is not up.
        """
        work = _Work(name, self.held(name))
        fixed = sorted({"name", "id", "template", "organization", "ci"} & set(changes))
        if fixed:
            raise SpecError(
                f"{', '.join(fixed)} of a project cannot change: make another project instead."
            )
        if work.held:
            work.wanted = read_spec({**work.held, **changes})
        return self._walk(Command.UPDATE, work)

    def delete(
        self, name: str, erase: Session | None = None, forget: Session | None = None
    ) -> StackRun:
        """Removes a project: what it deployed, its pipelines, and then its stack.

        Removed half-way it is removed again by the same call.

        Args:
            name: The project.
            erase: Environment -> a session that may delete data, when the buckets of batch
                predictions are to go with all that they hold. Otherwise they stay, and a new
                project of the same name takes them over.
            forget: Likewise, when its registered versions are to go with their cards, promoted
                artifacts and groups. Otherwise they stay, and are taken over as well.

        Raises:
            VendingError: There is no such project, what it deployed cannot be removed, or a version
                of models that are to go is live elsewhere.
        """
        work = _Work(name, self.held(name), erase=erase, forget=forget)
        run = self._walk(Command.DELETE, work)
        if run.ok and work.held:
            kept = ["Its registered versions and their groups stay."]
            if forget is not None:
                kept = ["Its registered versions and their groups are gone too."]
            if work.record:
                kept.append(f"What they were is told by {work.record}.")
            if work.files:
                kept.append(f"So does what it predicted: {', '.join(work.files)}.")
            self.tell(" ".join([f"{name} is gone.", *kept, work.archived]).rstrip())
        return run

    def upgrade(self, name: str) -> list[upgrades.Upgrade]:
        """Brings a project's repositories to the present version of their template, as branches.

        Raises:
            VendingError: There is no such project, or the project failed before it was made.
            RenderingError: A repository does not tell its version, or that version is not kept.
            RepositoryError: A repository cannot be cloned or pushed to.
        """
        held = self.held(name)
        if not held:
            raise self._unknown(name)
        spec = read_spec(held)
        values = repositories.values(spec, self.hub)
        return [
            upgrades.upgrade(
                self.git, self.git.name(spec, kind), spec.template, kind, values, self._contents
            )
            for kind in templates.REPOSITORIES
        ]

    @property
    def _contents(self) -> upgrades.Contents:
        """The versions of templates, beside the projects' stacks, and reached as these are."""
        # Whoever runs this keeps the stacks' state by credentials of their own; deployers may not.
        s3: Any = boto3.Session(region_name=self.hub.region).client("s3")
        return upgrades.Contents(s3, self.hub.names.bucket("pulumi-state"), f"{STATE}/templates")

    def listed(self) -> list[dict[str, Any]]:
        """What is known of each project, by name."""
        ssm: Any = self.session("governance").client("ssm")
        below = self.hub.names.parameter("projects")
        found: list[dict[str, Any]] = []
        for page in ssm.get_paginator("get_parameters_by_path").paginate(Path=below):
            for parameter in page["Parameters"]:
                name = str(parameter["Name"]).rpartition("/")[2]
                found.append({"name": name, **json.loads(parameter["Value"])})
        return sorted(found, key=lambda project: project["name"])

    # Steps.

    def _walk(self, command: Command, work: _Work) -> StackRun:
        """Takes the steps of a command, to the first that fails."""
        way = WAYS.get((command, lifecycle.state(work.held)))
        if way is None:
            raise self._unknown(work.name)
        acts: Mapping[Step, Callable[[_Work], None]] = {
            Step.COMPARE: self._compare,
            Step.CHECK_NAME: self._check_names,
            Step.CHECK_REPOSITORIES: lambda work: repositories.check(self.git, work.spec),
            Step.NOTE: self._note,
            Step.CHECK_MODELS: self._check_models,
            Step.CLOSE: self._close,
            Step.UNDEPLOY: lambda work: self._undeploy_left(work, command),
            Step.MAKE: self._make,
            Step.FILL: self._fill,
            Step.FORGET_PIPELINE: lambda work: self._forget_pipeline(work.before),
            Step.FORGET_ARTIFACTS: lambda work: self._forget_artifacts(work.before),
            Step.ARCHIVE: self._archive,
            Step.ERASE: self._erase,
            Step.FORGET_MODELS: self._forget_models,
            Step.DESTROY: self._destroy,
            Step.FORGET: self._forget,
        }
        for step in way.steps:
            acts[step](work)
            if not work.run.ok:
                break
        return work.run

    def _check_names(self, work: _Work) -> None:
        self._check_name(work.name, release_targets(work.spec, self.platform))

    def _compare(self, work: _Work) -> None:
        """Asked for again is asked for the same, under the id that it has."""
        if read_spec({**(work.held or {}), "id": work.spec.id}) != work.spec:
            raise VendingError(
                f"There is a project {work.name} already, asked for differently; change it by:"
                f" projects update {work.name}"
            )
        work.wanted = work.before

    def _note(self, work: _Work) -> None:
        """Keeps what was asked for before anything is made."""
        stack = self._stack(work.spec.name, vended.asked_for(work.spec))
        work.run = run_stack(stack, "up", progress=self.progress, policy_packs=[])

    def _make(self, work: _Work) -> None:
        spec = work.spec
        reached = {"dev", "governance", *release_targets(spec, self.platform)}
        there = {name: self.platform[name] for name in in_order(reached)}
        if lacking := unserved(spec, self.platform):
            self.tell(
                f"{spec.name} is not deployed to {', '.join(lacking)}, which mlops:environments of"
                " governance leaves out"
            )
        if told := vended.without_budget(there, spec.cost_centre):
            self.tell(told)
        known = self._stack(spec.name, nothing)
        self._require_same_host(spec.name, known)
        held = _held(known)
        stack = self._stack(spec.name, program(spec, self.platform, self.session, held))
        packs = policy_packs(stack.name, self.platform, spec.instance_types)
        work.run = run_stack(stack, "up", progress=self.progress, **packs)

    def _fill(self, work: _Work) -> None:
        contents = self._contents
        # Which layout the project's deployments keep their state in: they only read it.
        key = f"projects/{work.spec.name}/{STATES_VERSION}"
        upgrades.put_once(contents.s3, contents.bucket, key, b"version: 1\n")
        repositories.seed(self.git, work.spec, self.hub, self.tell, contents.keep)

    def _undeploy_left(self, work: _Work, command: Command) -> None:
        left = self._left(work)
        if work.wanted and left:
            self.tell(
                f"{work.name} leaves {', '.join(left)}: what it deployed there is removed,"
                " endpoints with it"
            )
        for target in reversed(left):
            self._undeploy(work.before, target, command)

    def _archive(self, work: _Work) -> None:
        """Before the stack goes: it may have the repositories."""
        work.archived = self.git.leave(work.before)

    def _erase(self, work: _Work) -> None:
        """When that was asked, empties the buckets of predictions; they go with the stack then."""
        if not work.before.batch:
            return
        exported = self._stack(work.name, nothing).export_stack()
        kept = _kept(exported, "aws:s3/")
        buckets = [str(resource["id"]) for resource in kept if resource["type"] == _BUCKET]
        if work.erase is None:
            work.files = buckets
            return
        for environment, settings in self.platform.items():
            for bucket in buckets:
                if bucket.endswith(f"-{settings.account_id}"):
                    self.tell(f"deleting all that {bucket} holds")
                    models.empty(work.erase(environment), bucket)
        self._let_go(work.name, "aws:s3/")

    def _let_go(self, name: str, types: str) -> None:
        """Lets what a stack would leave behind go with it, of the types that begin so."""
        stack = self._stack(name, nothing)
        exported = stack.export_stack()
        for resource in _kept(exported, types):
            del resource["retainOnDelete"]
        stack.import_stack(exported)

    def _check_models(self, work: _Work) -> None:
        """Before anything is removed: what serves predictions elsewhere stays whole."""
        if work.forget is None:
            return
        live = models.Models(self.platform, work.forget, work.name).live(self._left(work))
        if live:
            raise VendingError(
                f"A version of {work.name} is live in {', '.join(live)}, which the project does not"
                " deploy to any more: deploy another in its place there, or delete the project"
                " without --delete-models."
            )

    def _forget_models(self, work: _Work) -> None:
        """When that was asked, deletes what is registered; the groups go with the stack then."""
        if work.forget is None:
            return
        registered = models.Models(self.platform, work.forget, work.name)
        record = registered.record()
        if record:
            archive = hub_archive(self.platform, self.session)
            work.record = archive.keep(work.before, models.record_name(), record)
        self.tell(f"deleting the registered models of {work.name}")
        registered.delete()
        self._let_go(work.name, _GROUPS)

    def _destroy(self, work: _Work) -> None:
        stack = self._stack(work.name, nothing)
        work.run = run_stack(stack, "destroy", progress=self.progress, policy_packs=[])

    def _forget(self, work: _Work) -> None:
        self._stacks.forget(work.name)

    # Stacks.

    @property
    def _stacks(self) -> vended.Stacks:
        return vended.Stacks(self.hub, "project", PULUMI_PROJECT)

    def _stack(self, name: str, make: Callable[[], None]) -> auto.Stack:
        return self._stacks.open(name, make)

    def _require_same_host(self, name: str, stack: auto.Stack) -> None:
        """Repositories that a stack has would go with an update, unread.

        Raises:
            VendingError: The project's repositories are hosted elsewhere than the settings say.
        """
        types = _types(stack)
        if "aws:codepipeline/pipeline:Pipeline" not in types:
            return
        has = "aws:codecommit/repository:Repository" in types
        provider = self.hub.projects.repository_provider
        if has != (provider == CODECOMMIT):
            raise VendingError(
                f"mlops:projects.repository_provider is {provider}, but the repositories of {name}"
                f" are {'' if has else 'not '}in CodeCommit, and a project stays with its host: set"
                " it back, or make another project."
            )

    def _names(self) -> set[str]:
        """The projects that have a stack, those that failed half-way among them."""
        return self._stacks.names()

    def held(self, name: str) -> dict[str, Any] | None:
        """What a project was asked for by; see :meth:`automation.vended.Stacks.held`.

        Raises:
            VendingError: The stacks cannot be read.
        """
        return self._stacks.held(name)

    def _check_name(self, name: str, targets: Iterable[str]) -> None:
        """Projects own what is called by their name, and what their name and a hyphen begin.

        Raises:
            VendingError: One project's name would begin another's, so that one owned the other; or
                it is too long beside the platform's prefix.
        """
        names = self.hub.names
        try:
            # The longest that a project makes: they must fail here, not midway.
            names.role(f"{name}-deploy-pipeline")
            for target in targets:
                names.role(f"{name}-restore-{target}")
            names.name(f"ci-{name}-{names.account_id}", "bucket")
        except NameTooLongError as error:
            raise VendingError(f"{error} Or choose a shorter name for the project.") from None
        known = self._names() | {str(project["name"]) for project in self.listed()}
        for other in sorted(known - {name}):
            shorter, longer = sorted((name, other), key=len)
            if longer.startswith(f"{shorter}-"):
                raise VendingError(
                    f"There is a project {other}, whose roles and those of {name} could"
                    f" not be told apart: {shorter} owns all that is called {shorter}-…; choose"
                    " another name."
                )

    def _unknown(self, name: str) -> VendingError:
        known = ", ".join(sorted(self._names())) or "none yet"
        return VendingError(f"There is no project {name}; there are: {known}")

    # What a project made by itself.

    def _close(self, work: _Work) -> None:
        """Tells the deployment function the targets, so that nothing more goes to the others."""
        targets = release_targets(work.spec, self.platform)
        known = self._known(work.name)
        if known is None or not self._left(work):
            return
        ssm: Any = self.session("governance").client("ssm")
        value = json.dumps({**known, "targets": list(targets)})
        ssm.put_parameter(Name=self._parameter(work.name), Value=value, Overwrite=True)

    def _parameter(self, name: str) -> str:
        return self.hub.names.parameter(f"projects/{name}")

    def _known(self, name: str) -> dict[str, Any] | None:
        """What the deployment function knows of a project; None when it knows nothing."""
        ssm: Any = self.session("governance").client("ssm")
        parameter = self._parameter(name)
        try:
            return dict(json.loads(ssm.get_parameter(Name=parameter)["Parameter"]["Value"]))
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise VendingError(f"{parameter} cannot be read: {error}") from None

    def _left(self, work: _Work) -> list[str]:
        """Targets that are none any more, of all that versions may have come to.

        Raises:
            VendingError: One of them is no environment of the platform any more.
        """
        known = self._known(work.name) or {}
        before = {*work.before.environments(self.platform), *known.get("targets", ())}
        gone = in_order(before - set(self.platform))
        if gone:
            raise VendingError(
                f"{work.name} was deployed to {', '.join(gone)}, which the settings do not have any"
                " more: put the account and the stack file back, take the environment from the"
                " project (projects update, without), and from the platform after that."
            )
        staying = served(work.wanted, self.platform) if work.wanted else ()
        return [target for target in in_order(before) if target not in staying]

    def _undeploy(self, spec: ProjectSpec, target: str, action: str) -> None:
        names = self.platform[target].names
        endpoint = _left_by_deployments(self.session(target).client("sagemaker"), names, spec.name)
        if not endpoint:
            return
        if spec.ci == "github":
            raise VendingError(
                f"{endpoint} is still there. Take it away by its workflow, then {action} the"
                f" project again: gh workflow run deploy.yml --repo {spec.repository('deploy')}"
                f" -f kind=remove -f environments={target} -f model_package_arn=-"
            )
        pipelines: Any = self.session("governance").client("codepipeline")
        restore = self.hub.names.name(f"{spec.name}-restore-{target}")
        values = {"KIND": "remove", "REASON": f"projects {action}"}
        execution = pipelines.start_pipeline_execution(
            name=restore,
            variables=[
                {"name": name, "value": value}
                for name, value in {**values, "MODEL_PACKAGE_ARN": "-"}.items()
            ],
        )["pipelineExecutionId"]
        self.tell(f"removing {endpoint}")
        end = time.monotonic() + _REMOVAL_SECONDS
        while time.monotonic() < end:
            status = pipelines.get_pipeline_execution(
                pipelineName=restore, pipelineExecutionId=execution
            )["pipelineExecution"]["status"]
            if status == "Succeeded":
                return
            if status not in ("InProgress", "Stopping"):
                break
            time.sleep(_POLL_SECONDS)
        raise VendingError(
            f"{endpoint} was not removed: see execution {execution} of {restore}; then {action} the"
            " project again."
        )

    def _forget_pipeline(self, spec: ProjectSpec) -> None:
        name = self.platform["dev"].names.name(spec.name)
        sagemaker: Any = self.session("dev").client("sagemaker")
        try:
            sagemaker.delete_pipeline(PipelineName=name, ClientRequestToken=spec.id.ljust(32, "0"))
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFound":
                raise VendingError(f"The pipeline {name} cannot be deleted: {error}") from None

    def _forget_artifacts(self, spec: ProjectSpec) -> None:
        """Empties the buckets of pipeline artifacts, which can all be made again."""
        if spec.ci == "github":
            return
        for environment in ("dev", "governance"):
            names = self.platform[environment].names
            bucket = names.name(f"ci-{spec.name}-{names.account_id}", "bucket")
            models.empty(self.session(environment), bucket)


def _kept(exported: auto.Deployment, types: str) -> list[dict[str, Any]]:
    """What a stack leaves behind when it goes, of the types that begin so."""
    return [
        resource
        for resource in (exported.deployment or {}).get("resources", [])
        if resource.get("retainOnDelete") and str(resource["type"]).startswith(types)
    ]


def _types(stack: auto.Stack) -> set[str]:
    """The types of what a stack has."""
    resources = (stack.export_stack().deployment or {}).get("resources", [])
    return {str(resource["type"]) for resource in resources}


def _held(stack: auto.Stack) -> set[str]:
    """The model package groups, buckets and image repositories that a stack has."""
    resources = (stack.export_stack().deployment or {}).get("resources", [])
    ids = [(resource["type"], str(resource.get("id", ""))) for resource in resources]
    return {
        repository_key(name) if kind == _IMAGES else name
        for kind, name in ids
        if kind in (*_OUTLIVING, _IMAGES)
    }


def _left_by_deployments(sagemaker: Any, names: Names, project: str) -> str:
    """The endpoint, or the pipeline of batch predictions, that is still there; else empty."""
    endpoint, pipeline = names.name(project), names.name(batch.PIPELINE.format(project))
    asked: tuple[tuple[str, Any, dict[str, str]], ...] = (
        (endpoint, sagemaker.describe_endpoint, {"EndpointName": endpoint}),
        (pipeline, sagemaker.describe_pipeline, {"PipelineName": pipeline}),
    )
    for name, describe, given in asked:
        try:
            describe(**given)
        except ClientError as error:
            gone = error.response["Error"]["Code"] == "ResourceNotFound"
            if gone or "Could not find" in str(error):
                continue
            raise VendingError(f"{name} cannot be looked at: {error}") from None
        return name
    return ""
