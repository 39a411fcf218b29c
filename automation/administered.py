"""What administrators vend, each a stack of its own: how it is made, changed, removed and listed.

What the platform's settings name is the platform's; what is vended comes and goes without a change
of its repository, by a product's launch or by command. What there is of a kind stands below the
hub's parameter ``{noun}s``.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import boto3
import pulumi
import pulumi_aws as aws
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from automation import recovery, vended
from automation.projects.program import read_parameters
from automation.projects.spec import SpecError, new_id
from automation.runs import Progress, StackRun, run_stack
from automation.vended import VendingError
from components import contract
from components.settings import PlatformSettings
from functions.vending.requests import a

Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""What a tag takes."""


class Spec(BaseModel):
    """What each is asked for by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    owner: Text
    """Team that answers for it."""
    cost_centre: Text
    """Where its cost goes."""
    id: Annotated[str, StringConstraints(pattern=r"^v-[a-z0-9]{12}$")] = Field(
        default_factory=lambda: new_id("v")
    )
    """Unique: a product that was launched knows by it what it made."""


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
                    f"There is {a(self.noun)} {spec.name} already, asked for differently; change it"
                    f" by: {self.noun}s update {spec.name}"
                )
            spec = self._read(held)
        else:
            self._check(spec)
        make = self._program(spec)
        self._tell_of_budget(spec)
        if not held:
            run = self._remember(spec)
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
                f"{', '.join(fixed)} of {a(self.noun)} cannot change: make another {self.noun}."
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

    def told(self, name: str) -> dict[str, str]:
        """What a product tells of one beside what it was asked for by: output -> value."""
        del name
        return {}

    def listed(self) -> list[dict[str, Any]]:
        """What the hub knows of each, by name."""
        return known_below(self.session("governance"), self._hub, f"{self.noun}s")

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

    def _settled_by(self, spec: S) -> Mapping[str, recovery.Lookup]:
        """Type token -> how one is found that an interrupted update was creating."""
        del spec
        return {}

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
        return run_stack(
            stack, "up", progress=self.progress, lookups=self._settled_by(spec), **packs
        )

    def _remember(self, spec: S) -> StackRun:
        """Keeps what was asked for, before anything is made of it."""
        # Without resources there is nothing for the policy pack to look at.
        stack = self._stacks.open(spec.name, vended.asked_for(spec))
        return run_stack(stack, "up", progress=self.progress, policy_packs=[])

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
        return read_parameters(client(self.session("dev"), "ssm"), self._dev.names, paths)

    def _unknown(self, name: str) -> VendingError:
        known = ", ".join(sorted(self._stacks.names())) or "none yet"
        return VendingError(f"There is no {self.noun} {name}; there are: {known}")


def validated(kind: type[S], given: Mapping[str, Any], noun: str) -> S:
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


def client(session: boto3.Session, service: str) -> Any:
    """A client of a service; typed as anything, as botocore makes them when it runs."""
    return session.client(service)  # type: ignore[call-overload]


def known_below(session: boto3.Session, hub: PlatformSettings, below: str) -> list[dict[str, Any]]:
    """What the hub knows below one of its parameters, by name."""
    pages = client(session, "ssm").get_paginator("get_parameters_by_path")
    found = [
        {"name": str(item["Name"]).rpartition("/")[2], **json.loads(item["Value"])}
        for page in pages.paginate(Path=hub.names.parameter(below))
        for item in page["Parameters"]
    ]
    return sorted(found, key=lambda known: known["name"])
