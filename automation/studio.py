"""Studio's users and business units' domains, as administrators vend them: each is a stack.

What the platform's settings name is the platform's; here is what comes and goes without a change of
its repository. Both are made by the code that the platform makes its own by, ``components/studio``.

A person is known by the name of the user profile: it is the source identity of their sessions, by
which spaces are told apart, and those who register versions from those who approve them. So a name
is one person's in all domains of the account, whatever its case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import boto3
import pulumi
import pulumi_aws as aws
from pydantic import AfterValidator, Field, StringConstraints

from automation import destroy as destruction
from automation import teardown, vended
from automation.administered import Spec, Text, Vended, client, known_below, validated
from automation.projects.spec import NAME
from automation.runs import StackRun, run_stack
from automation.vended import VendingError
from components import personas
from components.naming import OWN_DOMAIN, NameTooLongError
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


def _not_own(name: str) -> str:
    if name == OWN_DOMAIN:
        raise ValueError("that is the platform's own domain, choose another name")
    return name


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
    business_unit: Text
    """Whose it is; a tag, as the three below."""
    finance_owner: Text
    """Who answers for its cost."""
    workload_environment: Text = "dev"
    """What is worked on there."""
    idle_timeout_minutes: Annotated[int, Field(ge=60, le=525600)] = 60
    """Idle minutes after which an app is shut down. Source: SageMaker API, IdleSettings."""


class Users(Vended[UserSpec]):
    """The users that are not in the platform's settings."""

    noun = "user"
    fixed = frozenset({"name", "id", "domain"})

    def _read(self, given: Mapping[str, Any]) -> UserSpec:
        return validated(UserSpec, given, self.noun)

    def _check(self, spec: UserSpec) -> None:
        users = self._dev.studio.users
        for configured in (*users.lead_data_scientists, *users.data_scientists):
            if configured.lower() == spec.name.lower():
                raise VendingError(
                    f"{configured} is one of mlops:studio.users in the settings of dev, and made"
                    " with the platform: change it there, or choose another name."
                )
        units = [
            known["name"] for known in known_below(self.session("governance"), self._hub, "domains")
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
        found = client(self.session("dev"), "ssm").get_parameters(Names=[path])["Parameters"]
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
        return validated(DomainSpec, given, self.noun)

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
        users = known_below(self.session("governance"), self._hub, "users")
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


def _pages(session: boto3.Session, operation: str, member: str, **query: Any) -> list[Any]:
    pages = client(session, "sagemaker").get_paginator(operation).paginate(**query)
    return [item for page in pages for item in page[member]]
