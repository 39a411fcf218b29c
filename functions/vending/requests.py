"""What a product's custom resource asks for: plain functions from CloudFormation's event.

The rules of what is asked for are those of ``automation/`` (``projects/spec.py``, ``studio.py``,
``account_factory.py``),
which the build applies again; here a wrong one is answered at once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from .answer import Address, check_url

Action = Literal["create", "update", "delete"]

ACTIONS: Mapping[str, Action] = {"Create": "create", "Update": "update", "Delete": "delete"}
"""CloudFormation's request types."""

ENVIRONMENTS = ("dev", "preprod", "prod")
"""That projects deploy to, in their order."""

_OF_CLOUDFORMATION = frozenset({"ServiceToken", "ServiceTimeout"})

Check = Callable[[str], str]
"""What is wrong with a value; empty when nothing is."""


class RequestError(ValueError):
    """Nothing can be made or changed as it was asked for; every reason has a line."""


def a(noun: str) -> str:
    """A noun of :data:`KINDS` with its article."""
    return f"an {noun}" if noun.startswith("a") else f"a {noun}"


def _matching(pattern: str, told: str, most: int) -> Check:
    def check(value: str) -> str:
        return "" if len(value) <= most and re.fullmatch(pattern, value) else told

    return check


def _between(least: int, most: int) -> Check:
    def check(value: str) -> str:
        fits = re.fullmatch(r"[0-9]{1,9}", value) and least <= int(value) <= most
        return "" if fits else f"expected a number from {least} to {most}"

    return check


_TEXT = _matching(r"(?s).+", "expected at most 256 characters", 256)
_SHORT_NAME = _matching(
    r"[a-z][a-z0-9]*(-[a-z0-9]+)*",
    "expected at most 20 lower-case letters, digits and single hyphens, a letter first",
    20,
)


def _targets(value: Any) -> str:
    order = [target for target in ENVIRONMENTS if isinstance(value, list) and target in value]
    return "" if order == value else f"expected each once, in the order {', '.join(ENVIRONMENTS)}"


def _template_settings(value: Any) -> str:
    given = cast("Mapping[Any, Any]", value) if isinstance(value, Mapping) else {"": ""}
    named = all(isinstance(name, str) and re.fullmatch(r"[a-z]\w*", name) for name in given)
    text = all(isinstance(told, str) and len(told) <= 4096 for told in given.values())
    return "" if named and text else "expected names of the template's settings, each with a text"


@dataclass(frozen=True)
class Kind:
    """A kind of what products make.

    Attributes:
        noun: For people.
        command: Of ``python -m automation``; the hub knows what there is below a parameter of this
            name.
        name: The property that names it.
        identity: The property with its id; empty where the launch makes one.
        pattern: What ids look like.
        properties: Property of the custom resource -> setting of the command.
        fixed: Settings that it keeps -> what they are when they are left out.
        optional: Settings that may be left out.
        checks: Setting -> the check of its text.
        outputs: Properties -> outputs of the resource.
        told: Outputs that only the build knows, when it is made.
        kept: What a removal leaves, for people; empty when that is nothing of note.
    """

    noun: str
    command: str
    name: str
    identity: str
    pattern: str
    properties: Mapping[str, str]
    fixed: Mapping[str, str]
    optional: tuple[str, ...]
    checks: Mapping[str, Check]
    outputs: Callable[[Mapping[str, Any]], dict[str, str]]
    told: tuple[str, ...] = ()
    kept: str = ""

    def is_id(self, text: object) -> bool:
        """Whether it is the id of one."""
        return isinstance(text, str) and re.fullmatch(self.pattern, text, re.ASCII) is not None


_LAUNCHED = r"v-[a-z0-9]{12}"

PROJECT = Kind(
    noun="project",
    command="projects",
    name="ProjectName",
    identity="ProjectId",
    pattern=r"p-[a-z0-9]{12}",
    properties={
        "ProjectName": "name",
        "ProjectId": "id",
        "Owner": "owner",
        "CostCentre": "cost_centre",
        "Organization": "organization",
        "Template": "template",
        "Targets": "targets",
        "Ci": "ci",
        "TokenSecret": "token_secret",
        "Settings": "settings",
    },
    fixed={"name": "", "id": "", "template": "", "organization": "", "ci": "codepipeline"},
    optional=("ci", "settings", "targets", "token_secret"),
    checks={
        "name": _SHORT_NAME,
        "id": _matching(r"p-[a-z0-9]{12}", "expected p- and 12 lower-case letters or digits", 14),
        "owner": _TEXT,
        "cost_centre": _TEXT,
        "organization": _matching(r"[A-Za-z0-9_.-]+", "expected an owner of repositories", 256),
        "ci": _matching(r"codepipeline|github", "expected codepipeline or github", 12),
    },
    outputs=lambda given: {
        "ProjectId": str(given["ProjectId"]),
        "ProjectName": str(given["ProjectName"]),
        "BuildRepository": f"{given['Organization']}/{given['ProjectName']}-build",
        "DeployRepository": f"{given['Organization']}/{given['ProjectName']}-deploy",
    },
)

USER = Kind(
    noun="user",
    command="users",
    name="UserName",
    identity="",
    pattern=_LAUNCHED,
    properties={
        "UserName": "name",
        "Persona": "persona",
        "Domain": "domain",
        "Owner": "owner",
        "CostCentre": "cost_centre",
    },
    fixed={"name": "", "id": "", "domain": "studio"},
    optional=("domain",),
    checks={
        "name": _matching(
            r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", "expected at most 63 letters, digits and hyphens",
            63,
        ),
        "persona": _matching(
            r"lead-data-scientist|data-scientist", "expected lead-data-scientist or data-scientist",
            20,
        ),
        "domain": _SHORT_NAME,
        "owner": _TEXT,
        "cost_centre": _TEXT,
    },
    outputs=lambda given: {
        "UserName": str(given["UserName"]),
        "Domain": str(given.get("Domain") or USER.fixed["domain"]),
    },
)  # fmt: skip

DOMAIN = Kind(
    noun="domain",
    command="domains",
    name="DomainName",
    identity="",
    pattern=_LAUNCHED,
    properties={
        "DomainName": "name",
        "BusinessUnit": "business_unit",
        "FinanceOwner": "finance_owner",
        "WorkloadEnvironment": "workload_environment",
        "Owner": "owner",
        "CostCentre": "cost_centre",
        "IdleTimeoutMinutes": "idle_timeout_minutes",
    },
    fixed={"name": "", "id": ""},
    optional=("idle_timeout_minutes", "workload_environment"),
    checks={
        "name": _SHORT_NAME,
        "business_unit": _TEXT,
        "finance_owner": _TEXT,
        "workload_environment": _TEXT,
        "owner": _TEXT,
        "cost_centre": _TEXT,
        "idle_timeout_minutes": _between(60, 525600),
    },
    outputs=lambda given: {"DomainName": str(given["DomainName"])},
)

ACCOUNT = Kind(
    noun="account",
    command="accounts",
    name="AccountName",
    identity="",
    pattern=_LAUNCHED,
    properties={
        "AccountName": "name",
        "Email": "email",
        "Kind": "kind",
        "Owner": "owner",
        "CostCentre": "cost_centre",
    },
    fixed={"name": "", "id": "", "email": ""},
    optional=(),
    checks={
        "name": _matching(
            r"[a-z][a-z0-9]*(-[a-z0-9]+)*",
            "expected at most 50 lower-case letters, digits and single hyphens, a letter first",
            50,
        ),
        # Source: AWS Organizations API reference, CreateAccount.
        "email": _matching(
            r"(?=.{6})[!-?A-~]+@[!-?A-~]+\.[!-?A-~]+",
            "expected an email address of 6 to 64 characters",
            64,
        ),
        # The build knows which of them has a unit.
        "kind": _matching(r"preprod|prod", "expected preprod or prod", 7),
        "owner": _TEXT,
        "cost_centre": _TEXT,
    },
    outputs=lambda given: {"AccountName": str(given["AccountName"])},
    told=("AccountId",),
    kept="The account is kept: it stays in its unit of the organisation, and only the platform"
    " forgets that it was vended. Whoever administers the organisation closes it, if it is to go.",
)

KINDS: Mapping[str, Kind] = {
    "Custom::AwsAccount": ACCOUNT,
    "Custom::Project": PROJECT,
    "Custom::StudioUser": USER,
    "Custom::StudioDomain": DOMAIN,
}
"""Type of the custom resource -> what it makes."""


@dataclass(frozen=True)
class Request:
    """One request of CloudFormation, its settings not yet checked."""

    kind: Kind
    action: Action
    address: Address
    properties: Mapping[str, Any]
    before: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What it is about; empty when that can be nothing's name."""
        name = self.properties.get(self.kind.name)
        return name if isinstance(name, str) and not self.kind.checks["name"](name) else ""

    @property
    def made(self) -> bool:
        """Whether this resource can have made something: one refused at once never has."""
        return bool(self.name) and self.kind.is_id(self.address.physical_id)


def read_request(event: Mapping[str, Any]) -> Request:
    """Reads an event.

    The id of the resource is that of what it makes, for as long as that lives. A request without an
    id of its kind gets one that nothing has, so that its removal is known to remove nothing.

    Raises:
        KeyError: It is no request of CloudFormation, or about a kind that there is not.
        AnswerError: Nobody can be answered.
    """
    kind = KINDS[event["ResourceType"]]
    properties = _map(event.get("ResourceProperties"))
    asked = properties.get(kind.identity) if kind.identity else launched_id(str(event["StackId"]))
    physical = str(event.get("PhysicalResourceId") or "") or (
        str(asked) if kind.is_id(asked) else f"refused-{event['RequestId']}"
    )
    address = Address(
        url=check_url(str(event["ResponseURL"])),
        stack_id=str(event["StackId"]),
        request_id=str(event["RequestId"]),
        logical_id=str(event["LogicalResourceId"]),
        physical_id=physical,
    )
    return Request(
        kind,
        ACTIONS[event["RequestType"]],
        address,
        properties,
        _map(event.get("OldResourceProperties")),
    )


def launched_id(stack_id: str) -> str:
    """The id of what a stack makes, where nobody gives one: a stack never has two."""
    return f"v-{hashlib.sha256(stack_id.encode()).hexdigest()[:12]}"


def _map(value: Any) -> dict[str, Any]:
    return dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else {}


def read_settings(
    kind: Kind, properties: Mapping[str, Any], templates: Sequence[str]
) -> dict[str, Any]:
    """Checks what was asked for and gives it as settings.

    Optional settings that are empty are left out: a form of Service Catalog has no absent fields.

    Args:
        kind: What is asked for.
        properties: Of the custom resource.
        templates: Names of the templates that projects can start from.

    Raises:
        RequestError: With every mistake.
    """
    unknown = sorted(set(properties) - set(kind.properties) - _OF_CLOUDFORMATION)
    problems = [f"{name}: there is no such property" for name in unknown]
    settings: dict[str, Any] = {}
    for name, setting in kind.properties.items():
        value = properties.get(name, "")
        if setting == "targets" and isinstance(value, str):
            value = [item.strip() for item in value.split(",")] if value.strip() else ""
        if value in ("", [], {}):
            if setting not in kind.optional:
                problems.append(f"{name}: it is missing")
            continue
        wrong = _wrong(kind, setting, value, templates)
        if wrong:
            problems.append(f"{name}: {wrong}")
        else:
            settings[setting] = value
    if properties.get("Ci") == "github" and not properties.get("TokenSecret"):
        problems.append("TokenSecret: the hub starts workflows with it, give the ARN of the secret")
    if problems:
        raise RequestError(f"The {kind.noun} cannot be made: " + "; ".join(problems) + ".")
    return settings


def _wrong(kind: Kind, setting: str, value: Any, templates: Sequence[str]) -> str:
    if setting == "targets":
        return _targets(value)
    if setting == "settings":
        return _template_settings(value)
    if not isinstance(value, str):
        return "expected text"
    if setting == "template":
        known = value in templates
        return "" if known else f"there is no {value!r}, there are {', '.join(templates)}"
    check = kind.checks.get(setting)
    return check(value) if check else ""


def check_changes(request: Request, stands: Mapping[str, Any]) -> None:
    """Whether what there is may become what an update asks for.

    It is compared with what stands, and not with what was last asked for: when CloudFormation takes
    a refused update back, what it asks for stands already, and the update before it is what was
    refused. What the record does not tell, as one that was made before it told all of it, is
    compared with the last request; the next update of a project's stack completes its record.

    Source: AWS CloudFormation User Guide, custom resource request types, Update.

    Args:
        request: An update.
        stands: What the hub knows of what has the name that is asked for, when its id is that of
            the resource; empty when nothing does.

    Raises:
        RequestError: Something that is fixed would change.
    """
    kind = request.kind
    known = {**stands, "name": request.name} if stands else {}

    def changes(name: str, setting: str) -> bool:
        left_out = kind.fixed[setting]
        asked = request.properties.get(name) or left_out
        last = request.before.get(name) or left_out if request.before else asked
        return known.get(setting, last) != asked

    changed = sorted(
        name
        for name, setting in kind.properties.items()
        if setting in kind.fixed and changes(name, setting)
    )
    asked = request.properties.get(kind.identity)
    if kind.identity and asked != request.address.physical_id and kind.identity not in changed:
        changed.append(kind.identity)
    if changed:
        raise RequestError(
            f"{', '.join(changed)} of {a(kind.noun)} cannot change: launch the product again for"
            f" another {kind.noun}."
        )
