"""What all that is vended has in common: stacks of its own, kept in the hub's state bucket.

Whoever makes it, a person or a product's launch, keeps its stack at the same place. The stack holds
what was asked for as its output ``spec``, from the first moment: so what failed half-way is known,
and a later update needs only what changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pulumi
import pulumi_aws as aws
import yaml
from pulumi import automation as auto
from pulumi.automation import CommandError, StackNotFoundError
from pydantic import BaseModel

from automation import bootstrap, policies, stacks
from automation.projects.spec import SpecError
from components.catalog import STATE
from components.naming import in_order
from components.settings import PROJECT, PlatformSettings, unbudgeted

_SESSION_NAME = 64
"""Characters. Source: AssumeRole in STS's API reference, RoleSessionName."""


class VendingError(RuntimeError):
    """Something cannot be made, changed or removed; the message says why and what to do."""


@dataclass(frozen=True)
class Stacks:
    """The stacks of a kind.

    Attributes:
        hub: The hub's settings.
        noun: What one is of, for people; their names begin with it and a hyphen.
        project: The Pulumi project.
    """

    hub: PlatformSettings
    noun: str
    project: str

    def open(self, name: str, make: Callable[[], None]) -> auto.Stack:
        """The stack of a name, made when it is not there.

        Args:
            name: What it is of.
            make: Its program.

        Raises:
            VendingError: It cannot be opened.
        """
        stack, options = self._place(name)
        try:
            return auto.create_or_select_stack(
                stack, project_name=self.project, program=make, opts=options
            )
        except CommandError as error:
            raise VendingError(f"The stack of {name} cannot be opened: {_said(error)}") from None

    def _place(self, name: str) -> tuple[str, auto.LocalWorkspaceOptions]:
        """The stack's own name, and where and how it is opened."""
        provider = bootstrap.secrets_provider(self.hub.names)
        stack = f"{self._begins}{name}"
        return stack, auto.LocalWorkspaceOptions(
            work_dir=str(stacks.work_folder()),
            secrets_provider=provider,
            # A stack that is only selected would ask for a passphrase.
            stack_settings={stack: auto.StackSettings(secrets_provider=provider)},
            env_vars=self._environment,
        )

    def names(self) -> set[str]:
        """What has a stack, what failed half-way included.

        Raises:
            VendingError: The stacks cannot be listed.
        """
        workspace = auto.LocalWorkspace(
            work_dir=str(stacks.work_folder()),
            project_settings=auto.ProjectSettings(name=self.project, runtime="python"),
            env_vars=self._environment,
        )
        try:
            listed = workspace.list_stacks()
        except CommandError as error:
            raise VendingError(
                f"The {self.noun}s' stacks cannot be listed: {_said(error)}"
            ) from None
        return {summary.name.removeprefix(self._begins) for summary in listed}

    def held(self, name: str) -> dict[str, Any] | None:
        """What something was asked for by.

        Returns:
            None when it has no stack; empty when its stack was left before it was told anything.

        Raises:
            VendingError: The stacks cannot be read.
        """
        called, options = self._place(name)
        try:
            # One is looked for by its name: a list reads the state of all of them.
            stack = auto.select_stack(
                called, project_name=self.project, program=nothing, opts=options
            )
        except StackNotFoundError:
            return None
        except CommandError as error:
            raise VendingError(f"The stack of {name} cannot be opened: {_said(error)}") from None
        try:
            output = stack.outputs().get("spec")
        except CommandError as error:
            raise VendingError(f"The stack of {name} cannot be read: {_said(error)}") from None
        return dict(output.value) if output is not None else {}

    def forget(self, name: str) -> None:
        """Removes a stack that holds nothing any more."""
        stack = self.open(name, nothing)
        stack.workspace.remove_stack(stack.name)

    @property
    def _begins(self) -> str:
        return f"{self.noun}-"

    @property
    def _environment(self) -> dict[str, str]:
        """Where the stacks are: below the bootstrap's bucket."""
        return {"PULUMI_BACKEND_URL": bootstrap.backend_url(self.hub.names, STATE)}


def nothing() -> None:
    """The program of a stack that is only looked at, or removed."""


def asked_for(spec: BaseModel) -> Callable[[], None]:
    """The program of a stack that holds what was asked for, and nothing yet that is made of it."""
    return lambda: pulumi.export("spec", spec.model_dump(mode="json"))


class Packs(TypedDict):
    """What :func:`automation.runs.run_stack` is told of policies."""

    policy_packs: Sequence[str]
    """Folders of the packs."""
    policy_pack_configs: Sequence[str]
    """Files with their configurations."""


def policy_packs(
    stack: str, platform: Mapping[str, PlatformSettings], instance_types: Sequence[str] = ()
) -> Packs:
    """The policy pack that every update of a stack runs with, as the platform's settings have it.

    Args:
        stack: The stack's name.
        platform: Environment -> its settings; of their policies, the hub's count.
        instance_types: What is allowed beside the personas' types.

    """
    ordered = [platform[name] for name in in_order(platform)]
    configured = policies.configuration(ordered, instance_types)
    return {
        "policy_packs": [str(stacks.PROJECT_DIR / stacks.POLICY_PACK)],
        "policy_pack_configs": [policies.write(stack, configured)],
    }


def without_budget(platform: Mapping[str, PlatformSettings], cost_centre: str) -> str:
    """What to tell who asks for something under a cost centre that no budget counts.

    Args:
        platform: Environment -> its settings.
        cost_centre: What is to be tagged with.

    Returns:
        Empty when each account that keeps budgets has one of the cost centre.
    """
    lacking = unbudgeted(platform.values(), cost_centre)
    if not lacking:
        return ""
    files = ", ".join(f"Pulumi.{environment}.yaml" for environment in lacking)
    return (
        f"no budget counts the cost centre {cost_centre} in {', '.join(lacking)}: add it to"
        f" mlops:budget.monthly_usd in {files}, and bring the platform up"
    )


def provider(settings: PlatformSettings, session: str, tags: Mapping[str, str]) -> aws.Provider:
    """The provider of an environment, acting as its deployer.

    Args:
        settings: Of the environment's stack.
        session: Name of its sessions, after the platform's.
        tags: What everything is tagged with, over the environment's own.
    """
    return aws.Provider(
        f"aws-{settings.environment}",
        region=settings.region,
        assume_roles=[
            aws.ProviderAssumeRoleArgs(
                role_arn=settings.names.role_arn("deployer"),
                session_name=f"{PROJECT}-{session}"[:_SESSION_NAME],
            )
        ],
        allowed_account_ids=[settings.account_id],
        default_tags=aws.ProviderDefaultTagsArgs(
            tags={**settings.tags.all(settings.environment), **tags}
        ),
    )


def read_file(path: Path) -> dict[str, Any]:
    """What a YAML file asks for.

    Raises:
        SpecError: It is no map.
    """
    loaded = yaml.safe_load(path.read_text("utf-8"))
    if not isinstance(loaded, dict):
        raise SpecError(f"{path} holds no map of settings.")
    return dict(loaded)  # pyright: ignore[reportUnknownArgumentType]


def _said(error: CommandError) -> str:
    return str(error).rpartition("stderr: ")[2].strip()
