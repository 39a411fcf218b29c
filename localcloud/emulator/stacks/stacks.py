"""CloudFormation stacks of custom resources: made, changed, removed and rolled back in threads.

A stack acts in the name of whoever made or changed it: the functions of its custom resources are
asked with those rights. Source: CloudFormation user guide, custom resources and stack status codes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import logging
import secrets
import string
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import acting, world
from localcloud.emulator.identity import Session
from localcloud.emulator.stacks.answers import Answer, Answers
from localcloud.emulator.stacks.templates import Resource, Template, TemplateError, resolve

_log = logging.getLogger(__name__)

SERVICE_TIMEOUT_SECONDS = 3600
"""Of a custom resource that tells none, and the most."""

_STACK_TYPE = "AWS::CloudFormation::Stack"
_HIDDEN = "****"
_CHARACTERS = string.ascii_uppercase + string.digits


class StackError(Exception):
    """A stack cannot do what it is asked for; the message says why."""


@dataclass
class Made:
    """A resource of a stack.

    Attributes:
        name: Its logical id.
        type: Its type.
        physical_id: Its id; what CloudFormation made up until the function told one.
        status: Such as ``CREATE_COMPLETE``.
        reason: Of that status.
        changed: When that was.
        properties: That it was asked for with.
        data: Its attributes.
        asked: Whether a function knows of it, so that it has to be asked to remove it.
    """

    name: str
    type: str
    physical_id: str
    status: str
    changed: dt.datetime
    properties: Mapping[str, Any]
    reason: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])
    asked: bool = False


@dataclass(frozen=True)
class Event:
    """One line of a stack's history."""

    id: str
    name: str
    physical_id: str
    type: str
    status: str
    reason: str
    time: dt.datetime
    properties: str = ""


@dataclass
class Stack:
    """A stack.

    Attributes:
        id: Its ARN.
        name: Its name.
        account: Account that it is in.
        region: Region that it is in.
        template: What it is made of.
        values: Of the template's parameters.
        tags: Its tags.
        session: Credentials of whoever it acts for.
        created: When it was made.
        role_arn: Role that it acts as from then on, once it was given one; empty: the caller.
        status: Such as ``CREATE_COMPLETE``.
        reason: Of that status.
        changed: When it was changed last.
        removed: When it was removed.
        resources: By name, in the order in which they were made.
        outputs: Name -> (value, description).
        events: Its history, oldest first.
    """

    id: str
    name: str
    account: str
    region: str
    template: Template
    values: Mapping[str, str]
    tags: Mapping[str, str]
    session: Session
    created: dt.datetime
    role_arn: str = ""
    status: str = ""
    reason: str = ""
    changed: dt.datetime | None = None
    removed: dt.datetime | None = None
    resources: dict[str, Made] = field(default_factory=dict[str, Made])
    outputs: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    events: list[Event] = field(default_factory=list[Event])

    @property
    def busy(self) -> bool:
        """Whether something is being done to it."""
        return self.status.endswith("_IN_PROGRESS")

    def turn(self, status: str, reason: str = "") -> None:
        """Changes the status, and keeps that it did."""
        self.status, self.reason = status, reason
        self._keep(self.name, self.id, _STACK_TYPE, status, reason, "")

    def turn_resource(self, made: Made, status: str, reason: str = "") -> None:
        """Changes a resource's status, and keeps that it did."""
        made.status, made.reason, made.changed = status, reason, _now()
        properties = json.dumps(dict(made.properties))
        self._keep(made.name, made.physical_id, made.type, status, reason, properties)

    def _keep(
        self, name: str, physical: str, kind: str, status: str, reason: str, properties: str
    ) -> None:
        identity = str(uuid.uuid4())
        self.events.append(
            Event(identity, name, physical, kind, status, reason, _now(), properties)
        )

    def shown(self, name: str) -> str:
        """A parameter's value as people may see it."""
        return _HIDDEN if self.template.parameters[name].hidden else self.values[name]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


class _FailedError(Exception):
    """A resource could not be made, changed or removed."""


class Stacks:
    """Runs the stacks of all accounts.

    Args:
        endpoint: The emulator's base URL.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.answers = Answers(endpoint)
        self._stacks: dict[str, Stack] = {}

    # What there is.

    def of(self, account: str, region: str) -> list[Stack]:
        """The stacks of an account in a region, those removed among them, newest first."""
        found = [s for s in self._stacks.values() if (s.account, s.region) == (account, region)]
        return sorted(found, key=lambda stack: stack.created, reverse=True)

    def find(self, account: str, region: str, given: str) -> Stack | None:
        """A stack by ARN, or one that stands by its name."""
        if given.startswith("arn:"):
            found = self._stacks.get(given)
            return found if found and found.account == account else None
        standing = [s for s in self.of(account, region) if s.status != "DELETE_COMPLETE"]
        return next((stack for stack in standing if stack.name == given), None)

    # What can be done.

    def create(
        self,
        name: str,
        account: str,
        region: str,
        template: Template,
        values: Mapping[str, str],
        tags: Mapping[str, str],
        session: Session,
        on_failure: str = "ROLLBACK",
        role_arn: str = "",
    ) -> Stack:
        """Begins to make a stack.

        Args:
            name: Its name.
            account: Account that it is in.
            region: Region that it is in.
            template: What it is made of.
            values: Of the template's parameters, checked.
            tags: Its tags.
            session: Credentials of whoever it acts for.
            on_failure: ``ROLLBACK``, ``DELETE`` or ``DO_NOTHING``.
            role_arn: Role that the session is of, if one was given.

        Raises:
            StackError: One of that name stands.
        """
        if self.find(account, region, name) is not None:
            raise StackError(f"Stack [{name}] already exists")
        arn = f"arn:aws:cloudformation:{region}:{account}:stack/{name}/{uuid.uuid4()}"
        stack = Stack(arn, name, account, region, template, values, tags, session, _now(), role_arn)
        self._stacks[arn] = stack
        stack.turn("CREATE_IN_PROGRESS", "User Initiated")
        self._in_thread(stack, lambda: self._create(stack, on_failure))
        return stack

    def update(
        self,
        stack: Stack,
        template: Template,
        values: Mapping[str, str],
        tags: Mapping[str, str],
        session: Session,
    ) -> None:
        """Begins to change a stack.

        Raises:
            StackError: It cannot be changed as it stands, or there is nothing to change.
        """
        if not stack.status.endswith("_COMPLETE") or stack.status in (
            "ROLLBACK_COMPLETE",
            "DELETE_COMPLETE",
        ):
            raise StackError(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")
        before = (stack.template.body, stack.values, stack.tags)
        if before == (template.body, values, tags):
            raise StackError("No updates are to be performed.")
        for name, resource in template.resources.items():
            if name in stack.resources and stack.resources[name].type != resource.type:
                raise StackError(f"Update of resource type is not permitted: {name}.")
        stack.session = session
        stack.changed = _now()
        stack.turn("UPDATE_IN_PROGRESS", "User Initiated")
        self._in_thread(stack, lambda: self._update(stack, template, values, tags))

    def delete(self, stack: Stack, session: Session) -> None:
        """Begins to remove a stack; one that is being removed goes on being so.

        Raises:
            StackError: Something else is being done to it.
        """
        if stack.status in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE"):
            return
        if stack.busy:
            raise StackError(
                f"Stack [{stack.name}] cannot be deleted while in status {stack.status}"
            )
        stack.session = session
        stack.turn("DELETE_IN_PROGRESS", "User Initiated")
        self._in_thread(stack, lambda: self._delete(stack))

    def _in_thread(self, stack: Stack, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:
                _log.exception("%s failed", stack.id)
                verb = stack.status.removesuffix("_IN_PROGRESS")
                stack.turn(f"{verb}_FAILED", f"The local cloud failed: {error!r}")

        threading.Thread(target=run, name=f"stack-{stack.name}", daemon=True).start()

    # How it is done.

    def _create(self, stack: Stack, on_failure: str) -> None:
        try:
            for resource in stack.template.resources.values():
                self._make(stack, resource)
            stack.outputs = _outputs(stack)
        except (_FailedError, TemplateError) as error:
            if on_failure == "DO_NOTHING":
                stack.turn("CREATE_FAILED", str(error))
            elif on_failure == "DELETE":
                stack.turn("DELETE_IN_PROGRESS", f"{error} Delete requested by user.")
                self._delete(stack)
            else:
                stack.turn("ROLLBACK_IN_PROGRESS", f"{error} Rollback requested by user.")
                left = self._remove(stack, reversed(list(stack.resources.values())))
                stack.turn("ROLLBACK_FAILED" if left else "ROLLBACK_COMPLETE", left)
            return
        stack.turn("CREATE_COMPLETE")

    def _delete(self, stack: Stack) -> None:
        left = self._remove(stack, reversed(list(stack.resources.values())))
        if left:
            stack.turn("DELETE_FAILED", left)
            return
        stack.removed = _now()
        stack.turn("DELETE_COMPLETE")

    def _update(
        self,
        stack: Stack,
        template: Template,
        values: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        before = (stack.template, stack.values, stack.tags)
        kept = {name: dataclasses.replace(made) for name, made in stack.resources.items()}
        # What a resource was before it got another id: it is removed at the end.
        replaced: list[Made] = []
        stack.template, stack.values, stack.tags = template, values, tags
        try:
            for resource in template.resources.values():
                if resource.name in stack.resources:
                    replaced += self._change(stack, resource)
                else:
                    self._make(stack, resource)
            stack.outputs = _outputs(stack)
        except (_FailedError, TemplateError) as error:
            stack.turn("UPDATE_ROLLBACK_IN_PROGRESS", str(error))
            stack.template, stack.values, stack.tags = before
            self._roll_back(stack, kept)
            return
        stack.turn("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        gone = [made for name, made in stack.resources.items() if name not in template.resources]
        # CloudFormation keeps the update even when its cleaning up fails.
        self._remove(stack, [*reversed(gone), *replaced])
        stack.turn("UPDATE_COMPLETE")

    def _roll_back(self, stack: Stack, kept: Mapping[str, Made]) -> None:
        replaced: list[Made] = []
        try:
            for name, old in kept.items():
                made = stack.resources[name]
                if made.properties != old.properties or made.status == "UPDATE_FAILED":
                    wanted = Resource(name, old.type, old.properties, frozenset())
                    replaced += self._change(stack, wanted, force=True)
            stack.outputs = _outputs(stack)
        except (_FailedError, TemplateError) as error:
            stack.turn("UPDATE_ROLLBACK_FAILED", str(error))
            return
        stack.turn("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        new = [made for name, made in stack.resources.items() if name not in kept]
        self._remove(stack, [*reversed(new), *replaced])
        stack.turn("UPDATE_ROLLBACK_COMPLETE")

    def _make(self, stack: Stack, resource: Resource) -> None:
        suffix = "".join(secrets.choice(_CHARACTERS) for _ in range(12))
        made_up = f"{stack.name}-{resource.name}-{suffix}"
        properties = _properties(stack, resource)
        made = Made(resource.name, resource.type, made_up, "", _now(), properties)
        stack.resources[resource.name] = made
        stack.turn_resource(made, "CREATE_IN_PROGRESS")
        answer = self._ask(stack, made, "Create", properties, {})
        made.physical_id, made.data = answer.physical_id or made_up, answer.data
        if not answer.ok:
            stack.turn_resource(made, "CREATE_FAILED", answer.reason)
            raise _FailedError(f"The following resource(s) failed to create: [{made.name}].")
        stack.turn_resource(made, "CREATE_COMPLETE")

    def _change(self, stack: Stack, resource: Resource, *, force: bool = False) -> list[Made]:
        """Changes a resource; gives what it was before when that is another one now."""
        made = stack.resources[resource.name]
        properties = _properties(stack, resource)
        if properties == made.properties and not force:
            return []
        old, made.properties = dataclasses.replace(made), properties
        stack.turn_resource(made, "UPDATE_IN_PROGRESS")
        told = {
            "PhysicalResourceId": old.physical_id,
            "OldResourceProperties": dict(old.properties),
        }
        answer = self._ask(stack, made, "Update", properties, told)
        if not answer.ok:
            stack.turn_resource(made, "UPDATE_FAILED", answer.reason)
            raise _FailedError(f"The following resource(s) failed to update: [{made.name}].")
        made.physical_id, made.data = answer.physical_id, answer.data
        stack.turn_resource(made, "UPDATE_COMPLETE")
        return [old] if old.physical_id != made.physical_id else []

    def _remove(self, stack: Stack, things: Iterable[Made]) -> str:
        """Removes resources; tells what could not be."""
        left: list[str] = []
        for made in things:
            if made.status == "DELETE_COMPLETE":
                continue
            stack.turn_resource(made, "DELETE_IN_PROGRESS")
            if made.asked:
                told = {"PhysicalResourceId": made.physical_id}
                answer = self._ask(stack, made, "Delete", made.properties, told)
                if not answer.ok:
                    stack.turn_resource(made, "DELETE_FAILED", answer.reason)
                    left.append(made.name)
                    continue
            stack.turn_resource(made, "DELETE_COMPLETE")
            if stack.resources.get(made.name) is made and stack.status != "DELETE_IN_PROGRESS":
                del stack.resources[made.name]
        failed = ", ".join(left)
        return f"The following resource(s) failed to delete: [{failed}]." if left else ""

    def _ask(
        self,
        stack: Stack,
        made: Made,
        kind: str,
        properties: Mapping[str, Any],
        told: Mapping[str, Any],
    ) -> Answer:
        """Asks a resource's function and waits for its answer."""
        token = str(properties["ServiceToken"])
        arn = world.Arn.parse(token)
        if arn is None or arn.service != "lambda" or arn.region != stack.region:
            return Answer(
                False,
                reason=f"ServiceToken {token} is no function in {stack.region}: the local cloud"
                " asks functions only, and a stack's are in its region.",
            )
        try:
            seconds = int(properties.get("ServiceTimeout", SERVICE_TIMEOUT_SECONDS))
        except ValueError:
            seconds = 0
        if not 1 <= seconds <= SERVICE_TIMEOUT_SECONDS:
            return Answer(
                False, reason=f"ServiceTimeout is 1 to {SERVICE_TIMEOUT_SECONDS} seconds."
            )
        awaited = self.answers.expect(
            {
                "RequestType": kind,
                "ServiceToken": token,
                "StackId": stack.id,
                "RequestId": str(uuid.uuid4()),
                "LogicalResourceId": made.name,
                "ResourceType": made.type,
                "ResourceProperties": dict(properties),
                **told,
            },
            stack.region,
        )
        try:
            self._client(stack).invoke(
                FunctionName=token,
                InvocationType="Event",
                Payload=json.dumps(dict(awaited.request)).encode(),
            )
        except (ClientError, BotoCoreError) as error:
            return Answer(False, reason=str(error))
        made.asked = True
        if not awaited.come.wait(seconds):
            return Answer(
                False,
                reason="CloudFormation did not receive a response from your Custom Resource. Please"
                f" check your logs for requestId [{awaited.request['RequestId']}].",
            )
        return awaited.answer or Answer(False, reason="The answer was lost.")

    def _client(self, stack: Stack) -> Any:
        keys = (stack.session.access_key, stack.session.secret, stack.session.token)
        return acting.client("lambda", keys, region=stack.region, endpoint=self._endpoint)


def _references(stack: Stack) -> tuple[Callable[[str], Any], Callable[[str, str], Any]]:
    pseudo: dict[str, Any] = {
        "AWS::AccountId": stack.account,
        "AWS::NotificationARNs": [],
        "AWS::NoValue": None,
        "AWS::Partition": "aws",
        "AWS::Region": stack.region,
        "AWS::StackId": stack.id,
        "AWS::StackName": stack.name,
        "AWS::URLSuffix": "amazonaws.com",
    }

    def reference(name: str) -> Any:
        if name in pseudo:
            return pseudo[name]
        parameter = stack.template.parameters.get(name)
        if parameter is not None:
            value = stack.values[name]
            lists = parameter.type not in ("String", "Number")
            return [item.strip() for item in value.split(",")] if lists else value
        if name in stack.resources:
            return stack.resources[name].physical_id
        raise TemplateError(f"Template error: there is no {name} to refer to.")

    def attribute(name: str, path: str) -> Any:
        value: Any = stack.resources[name].data
        if path in value:
            return _plain(value[path])
        for part in path.split("."):
            value = cast("dict[str, Any]", value).get(part) if isinstance(value, dict) else None
        if value is None:
            raise TemplateError(
                f"CustomResource attribute error: Vendor response doesn't contain {path} key in"
                f" object {stack.resources[name].physical_id}"
            )
        return _plain(value)

    return reference, attribute


def _plain(value: Any) -> Any:
    if isinstance(value, dict | list):
        return cast(Any, value)
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _properties(stack: Stack, resource: Resource) -> dict[str, Any]:
    return cast("dict[str, Any]", resolve(dict(resource.properties), *_references(stack)))


def _outputs(stack: Stack) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for name, (value, description) in stack.template.outputs.items():
        resolved = resolve(value, *_references(stack))
        if not isinstance(resolved, str):
            raise TemplateError(
                f"Template format error: Output {name} is malformed. The Value must be a string."
            )
        found[name] = (resolved, description)
    return found
