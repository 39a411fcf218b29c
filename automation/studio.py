"""Studio's users and business units' domains, as administrators vend them: each is a stack.

What the platform's settings name is the platform's; here is what comes and goes without a change of
its repository. Both are made by the code that the platform makes its own by, ``components/studio``.

A person is known by the name of the user profile: it is the source identity of their sessions, by
which spaces are told apart, and those who register versions from those who approve them. So a name
is one person's in all domains of the account, whatever its case.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import boto3
import pulumi
import pulumi_aws as aws
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from automation import destroy as destruction
from automation import teardown, vended
from automation.projects.program import read_parameters
from automation.projects.spec import NAME, SpecError, new_id
from automation.runs import Progress, StackRun, run_stack
from automation.vended import VendingError
from components import contract, personas
from components.naming import OWN_DOMAIN, NameTooLongError
from components.settings import PlatformSettings
from components.studio import StudioDomain, domain_paths, make_user_profile, thing_of

_NETWORK = {
    "vpc_id": "vpc/id",
    "subnet_ids": "vpc/private-subnet-ids",
    "security_group_ids": "vpc/security-group-ids",
    "storage_key_arn": "kms/storage/arn",
    "data_key_arn": "kms/data/arn",
    "models_key_arn": "kms/models/arn",
    "boundary_arn": "iam/boundary-arn",
    **{f"jobs:{who}": f"roles/{personas.job_role(who)}/arn" for who in personas.PERSONAS},
}

_TABLES = {"database": "data/database"}

_Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _not_own(name: str) -> str:
    if name == OWN_DOMAIN:
        raise ValueError("that is the platform's own domain, choose another name")
    return name


class Spec(BaseModel):
    """What both are asked for by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    owner: _Text
    """Team that answers for it."""
    cost_centre: _Text
    """Where its cost goes."""
    id: Annotated[str, StringConstraints(pattern=r"^v-[a-z0-9]{12}$")] = Field(
        default_factory=lambda: new_id("v")
    )
    """Unique: a product that was launched knows by it what it made."""


class UserSpec(Spec):
    """A user of Studio."""

    # The rule of the names in the platform's settings, mlops:studio.users.
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", max_length=63)]
    """Of the profile; with SSO that of the company's directory."""
    persona: Literal["lead-data-scientist", "data-scientist"]
    """Whose execution role its private spaces have."""
    domain: Annotated[str, StringConstraints(pattern=f"^{NAME}$", max_length=20)] = OWN_DOMAIN
    """The platform's own, or that of a business unit."""


class DomainSpec(Spec):
    """A Studio domain of a business unit."""

    name: Annotated[
        str, StringConstraints(pattern=f"^{NAME}$", max_length=20), AfterValidator(_not_own)
    ]
    """Part of the names of all that it has of its own."""
    business_unit: _Text
    """Whose it is; a tag, as the three below."""
    finance_owner: _Text
    """Who answers for its cost."""
    workload_environment: _Text = "dev"
    """What is worked on there."""
    idle_timeout_minutes: Annotated[int, Field(ge=60, le=525600)] = 60
    """Idle minutes after which an app is shut down. Source: SageMaker API, IdleSettings."""


S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Vended(ABC, Generic[S]):
    """What is vended of a kind.

    Attributes:
        platform: Environment -> settings of its stack.
        session: Environment -> a session of its deployer.
        tell: Takes a line of progress.
        progress: Takes what a run does, as stacks' runs tell it.
    """

    platform: Mapping[str, PlatformSettings]
    session: Callable[[str], boto3.Session]
    tell: Callable[[str], None]
    progress: Progress

    noun: ClassVar[str]
    fixed: ClassVar[frozenset[str]]
    """Settings that it keeps."""

    def create(self, given: Mapping[str, Any]) -> StackRun:
        """Makes one; run again after a failure, it goes on.

        Raises:
            SpecError: It is asked for wrongly.
            VendingError: There is one of this name already, or it cannot be made.
            PlatformError: The platform is not up.
        """
        spec = self._read(given)
        held = self.held(spec.name)
        if held:
            if self._read({**held, "id": spec.id}) != spec:
                raise VendingError(
                    f"There is a {self.noun} {spec.name} already, asked for differently; change it"
                    f" by: {self.noun}s update {spec.name}"
                )
            spec = self._read(held)
        else:
            self._check(spec)
        make = self._program(spec)
        self._tell_of_budget(spec)
        if not held:
            run = self._up(spec, lambda: pulumi.export("spec", spec.model_dump(mode="json")))
            if not run.ok:
                return run
        return self._up(spec, make)

    def update(self, name: str, changes: Mapping[str, Any]) -> StackRun:
        """Changes one.

        Raises:
            SpecError: The changes are wrong, or of what cannot change.
            VendingError: There is none of this name.
            PlatformError: The platform is not up.
        """
        fixed = sorted(self.fixed & set(changes))
        if fixed:
            raise SpecError(
                f"{', '.join(fixed)} of a {self.noun} cannot change: make another {self.noun}."
            )
        held = self.held(name)
        if not held:
            raise self._unknown(name)
        wanted = self._read({**held, **changes})
        self._tell_of_budget(wanted)
        return self._change(self._read(held), wanted)

    def delete(self, name: str) -> StackRun:
        """Removes one; removed half-way it is removed again by the same call.

        Raises:
            VendingError: There is none of this name, or something keeps it.
            TeardownError: Something of it did not go away in time.
        """
        held = self.held(name)
        if held is None:
            raise self._unknown(name)
        run = self._remove(name, self._read(held) if held else None)
        if run.ok:
            self._stacks.forget(name)
        return run

    def held(self, name: str) -> dict[str, Any] | None:
        """What one was asked for by; see :meth:`automation.vended.Stacks.held`."""
        return self._stacks.held(name)

    def listed(self) -> list[dict[str, Any]]:
        """What the hub knows of each, by name."""
        return _known(self.session("governance"), self._hub, f"{self.noun}s")

    @abstractmethod
    def _read(self, given: Mapping[str, Any]) -> S:
        """Checks what was asked for."""

    @abstractmethod
    def _check(self, spec: S) -> None:
        """Raises when something new cannot be made."""

    @abstractmethod
    def _program(self, spec: S) -> Callable[[], None]:
        """The program of its stack; what it has to know is read before it runs."""

    @abstractmethod
    def _remove(self, name: str, spec: S | None) -> StackRun:
        """Takes away all that its stack has; without a spec that is nothing."""

    def _change(self, before: S, wanted: S) -> StackRun:
        """Makes what there is another."""
        del before
        return self._up(wanted, self._program(wanted))

    def _tell_of_budget(self, spec: S) -> None:
        """What costs is in dev; the hub only knows of it."""
        if told := vended.without_budget({"dev": self._dev}, spec.cost_centre):
            self.tell(told)

    @property
    def _hub(self) -> PlatformSettings:
        return self.platform["governance"]

    @property
    def _dev(self) -> PlatformSettings:
        return self.platform["dev"]

    @property
    def _stacks(self) -> vended.Stacks:
        return vended.Stacks(self._hub, self.noun, f"mlops-{self.noun}s")

    def _up(self, spec: S, make: Callable[[], None]) -> StackRun:
        stack = self._stacks.open(spec.name, make)
        packs = vended.policy_packs(stack.name, self.platform)
        return run_stack(stack, "up", progress=self.progress, **packs)

    def _tags(self, spec: S) -> dict[str, str]:
        return {"owner": spec.owner, "cost-centre": spec.cost_centre}

    def _provider(self, environment: str, spec: S) -> aws.Provider:
        session = f"{self.noun}-{spec.name}"
        return vended.provider(self.platform[environment], session, self._tags(spec))

    def _know(self, spec: S, known: Mapping[str, Any], needs: pulumi.Resource) -> None:
        """Tells the hub of it, once it is made, and keeps what was asked for."""
        path = f"{self.noun}s/{spec.name}"
        aws.ssm.Parameter(
            f"{spec.name}-known",
            name=self._hub.names.parameter(path),
            type="String",
            value=pulumi.Output.json_dumps({"id": spec.id, **known}),
            description=contract.meaning(path),
            opts=pulumi.ResourceOptions(
                provider=self._provider("governance", spec), depends_on=[needs]
            ),
        )
        pulumi.export("spec", spec.model_dump(mode="json"))

    def _contract(self, paths: Mapping[str, str]) -> dict[str, str]:
        return read_parameters(_client(self.session("dev"), "ssm"), self._dev.names, paths)

    def _unknown(self, name: str) -> VendingError:
        known = ", ".join(sorted(self._stacks.names())) or "none yet"
        return VendingError(f"There is no {self.noun} {name}; there are: {known}")


class Users(Vended[UserSpec]):
    """The users that are not in the platform's settings."""

    noun = "user"
    fixed = frozenset({"name", "id", "domain"})

    def _read(self, given: Mapping[str, Any]) -> UserSpec:
        return _validated(UserSpec, given, self.noun)

    def _check(self, spec: UserSpec) -> None:
        users = self._dev.studio.users
        for configured in (*users.lead_data_scientists, *users.data_scientists):
            if configured.lower() == spec.name.lower():
                raise VendingError(
                    f"{configured} is one of mlops:studio.users in the settings of dev, and made"
                    " with the platform: change it there, or choose another name."
                )
        units = [
            known["name"] for known in _known(self.session("governance"), self._hub, "domains")
        ]
        if spec.domain not in (OWN_DOMAIN, *units):
            raise VendingError(
                f"There is no domain {spec.domain}; there are: {', '.join([OWN_DOMAIN, *units])}"
            )
        # The listing's own filter knows cases, and names do not.
        for profile in _pages(self.session("dev"), "list_user_profiles", "UserProfiles"):
            if profile["UserProfileName"].lower() == spec.name.lower():
                raise VendingError(
                    f"There is a user profile {profile['UserProfileName']} in the domain"
                    f" {profile['DomainId']} already. A name is one person's in all domains,"
                    " because sessions carry it: choose another name."
                )

    def _program(self, spec: UserSpec) -> Callable[[], None]:
        found = self._contract(domain_paths(spec.domain))

        def make() -> None:
            profile = make_user_profile(
                spec.name,
                {
                    "user": spec.name,
                    "persona": spec.persona,
                    "domain_id": found["domain_id"],
                    "execution_role_arn": found[spec.persona],
                    "auth_mode": found["auth_mode"],
                },
                pulumi.ResourceOptions(provider=self._provider("dev", spec)),
            )
            self._know(spec, {"domain": spec.domain, "persona": spec.persona}, profile)

        return make

    def _change(self, before: UserSpec, wanted: UserSpec) -> StackRun:
        """A new persona is a new role: no app goes on under the one before.

        Apps take the role that they were started with. They end before the profile changes, and
        those that were started meanwhile after it; spaces and files stay.
        """
        if before.persona == wanted.persona:
            return super()._change(before, wanted)
        self._end(wanted, spaces=False)
        run = super()._change(before, wanted)
        if run.ok:
            self._end(wanted, spaces=False)
        return run

    def _remove(self, name: str, spec: UserSpec | None) -> StackRun:
        if spec is not None:
            self._end(spec, spaces=True)
        stack = self._stacks.open(name, vended.nothing)
        return run_stack(stack, "destroy", progress=self.progress, policy_packs=[])

    def _end(self, spec: UserSpec, *, spaces: bool) -> None:
        """Ends the user's apps; takes away the private spaces too, when asked."""
        path = self._dev.names.parameter(domain_paths(spec.domain)["domain_id"])
        found = _client(self.session("dev"), "ssm").get_parameters(Names=[path])["Parameters"]
        # Without its domain there is nothing of a user.
        for parameter in found:
            steps = teardown.of_user(
                self.session("dev"), str(parameter["Value"]), spec.name, spaces=spaces
            )
            teardown.run(steps, "before domains", self.tell)


class Domains(Vended[DomainSpec]):
    """The domains of business units, beside the platform's own."""

    noun = "domain"
    fixed = frozenset({"name", "id"})

    def _read(self, given: Mapping[str, Any]) -> DomainSpec:
        return _validated(DomainSpec, given, self.noun)

    def _check(self, spec: DomainSpec) -> None:
        names = self._dev.names
        try:
            for persona in personas.PERSONAS:
                # The longest that it makes: they must fail here, not midway.
                names.role(thing_of(spec.name, f"{persona}-execution"))
        except NameTooLongError as error:
            raise VendingError(f"{error} Or choose a shorter name for the domain.") from None

    def _tags(self, spec: DomainSpec) -> dict[str, str]:
        return {
            **super()._tags(spec),
            "business-unit": spec.business_unit,
            "finance-owner": spec.finance_owner,
            "workload-environment": spec.workload_environment,
        }

    def _program(self, spec: DomainSpec) -> Callable[[], None]:
        data, studio = self._dev.data_access, self._dev.studio
        asks_for_tables = data.athena and data.lake_formation
        found = self._contract({**_NETWORK, **(_TABLES if asks_for_tables else {})})

        def make() -> None:
            provider = self._provider("dev", spec)
            domain = StudioDomain(
                spec.name,
                {
                    "placement": {**self._dev.placement(), "protect": False},
                    "vpc_id": found["vpc_id"],
                    "subnet_ids": found["subnet_ids"].split(","),
                    "security_group_ids": found["security_group_ids"].split(","),
                    "storage_key_arn": found["storage_key_arn"],
                    "data_key_arn": found["data_key_arn"],
                    "models_key_arn": found["models_key_arn"],
                    "boundary_arn": found["boundary_arn"],
                    "auth_mode": studio.auth_mode.value,
                    "users": {"lead_data_scientists": (), "data_scientists": ()},
                    "instance_types": {
                        "lead_data_scientist": studio.instance_types.lead_data_scientist,
                        "data_scientist": studio.instance_types.data_scientist,
                    },
                    "default_instance_type": studio.default_instance_type,
                    "idle_timeout_minutes": spec.idle_timeout_minutes,
                    "isolate_containers": studio.isolate_containers,
                    "share_notebook_outputs": studio.share_notebook_outputs,
                    "projects_from_s3": self._dev.self_service.from_s3,
                    "unit": {
                        "domain": spec.name,
                        "pipeline_role_arns": {
                            who: found[f"jobs:{who}"] for who in personas.PERSONAS
                        },
                    },
                },
                pulumi.ResourceOptions(providers=[provider]),
            )
            for persona, role in domain.execution_role_arns.items() if asks_for_tables else ():
                # As the platform's own personas: Lake Formation lets nobody in by IAM alone.
                aws.lakeformation.Permissions(
                    f"{spec.name}-{persona}-database",
                    principal=role,
                    permissions=["DESCRIBE"],
                    database={"name": found["database"]},
                    opts=pulumi.ResourceOptions(provider=provider),
                )
            self._know(spec, {"domain_id": domain.domain_id, "url": domain.url}, domain)

        return make

    def _remove(self, name: str, spec: DomainSpec | None) -> StackRun:
        """Apps, spaces, profiles that people made, the domain; home files stay.

        Users that were vended keep it: they have stacks, and products that know them.
        """
        users = _known(self.session("governance"), self._hub, "users")
        inside = [user["name"] for user in users if user.get("domain") == name]
        if spec is not None and inside:
            raise VendingError(
                f"The domain {name} has users that were vended: delete them first, by the product"
                f" or by users delete: {', '.join(inside)}"
            )
        return destruction.destroy(
            self._stacks.open(name, vended.nothing),
            lambda: self.session("dev"),
            destruction.Options(),
            progress=self.progress,
            policy_packs=[],
            # What deletes data is an option of the platform's removal, and none of this.
            tell=lambda what: self.tell(what.partition("; --delete-data")[0]),
        )


def _validated(kind: type[S], given: Mapping[str, Any], noun: str) -> S:
    """What was asked for.

    Raises:
        SpecError: With every mistake.
    """
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        problems = [
            f"  {'.'.join(map(str, item['loc'])) or noun}: {item['msg']}" for item in error.errors()
        ]
    raise SpecError(f"The {noun} cannot be made:\n" + "\n".join(problems))


def _client(session: boto3.Session, service: str) -> Any:
    return session.client(service)  # type: ignore[call-overload]


def _pages(session: boto3.Session, operation: str, member: str, **query: Any) -> list[Any]:
    pages = _client(session, "sagemaker").get_paginator(operation).paginate(**query)
    return [item for page in pages for item in page[member]]


def _known(session: boto3.Session, hub: PlatformSettings, below: str) -> list[dict[str, Any]]:
    """What the hub knows below one of its parameters, by name."""
    pages = _client(session, "ssm").get_paginator("get_parameters_by_path")
    found = [
        {"name": str(item["Name"]).rpartition("/")[2], **json.loads(item["Value"])}
        for page in pages.paginate(Path=hub.names.parameter(below))
        for item in page["Parameters"]
    ]
    return sorted(found, key=lambda known: known["name"])
