"""The function of the catalogue's products: starts the vending build, and answers what it refuses.

:func:`handle` takes CloudFormation's requests for the custom resources of :data:`.requests.KINDS`,
and EventBridge's ``CodeBuild Build State Change`` of vending builds that ended without success. A
request that is wrong is answered at once; one that is right is answered by the build at its end,
and by this function when the build could not.

Environment:

====================== ======================================================================
``VENDING_BUILD``      CodeBuild project that vends.
``PARAMETERS``         What the names of the hub's parameters begin with:
                       ``/acme/governance``.
``TEMPLATES``          JSON list of the templates that there are.
====================== ======================================================================

What its role needs: ``codebuild:StartBuild`` and ``codebuild:BatchGetBuilds`` on the build
project, ``ssm:GetParameter`` on ``{PARAMETERS}/projects/*``, ``users/*``, ``domains/*`` and
``accounts/*``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .answer import Address, Result, send
from .requests import Request, RequestError, a, check_changes, read_request, read_settings

_ENDED_BADLY = ("FAILED", "FAULT", "STOPPED", "TIMED_OUT")
_ADDRESS = ("RESPONSE_URL", "STACK_ID", "REQUEST_ID", "LOGICAL_RESOURCE_ID", "PHYSICAL_RESOURCE_ID")


@dataclass(frozen=True)
class Vendor:
    """What vends.

    Attributes:
        builds: A CodeBuild client.
        parameters: A Systems Manager client.
        build: CodeBuild project.
        below: What the names of the hub's parameters begin with.
        templates: Names of the templates.
    """

    builds: Any
    parameters: Any
    build: str
    below: str
    templates: tuple[str, ...]

    def take(self, event: Mapping[str, Any]) -> str:
        """Starts what a request asks for, or answers it; tells which.

        Raises:
            AnswerError: Nobody can be answered.
            KeyError: It is no request of CloudFormation.
            BotoCoreError: AWS could not be reached: to be delivered again.
        """
        request = read_request(event)
        try:
            settings = self._decided(request)
            if settings is None:
                told = f"There is nothing of this {request.kind.noun} to remove."
                send(request.address, Result(True, told))
                return "nothing to do"
            return self._start(request, settings)
        except RequestError as error:
            send(request.address, Result(False, str(error)))
            return "refused"
        except ClientError as error:
            # Throttling was waited for by the client itself: this is a no.
            send(request.address, Result(False, f"The vending build was not started: {error}"))
            return "refused"

    def _decided(self, request: Request) -> dict[str, Any] | None:
        """The settings to vend; None when there is nothing to remove."""
        kind = request.kind
        if request.action == "delete":
            # A launch that was refused for its name is rolled back: what has the name stays.
            mine = request.made and _id(self._held(request)) in (
                None,
                request.address.physical_id,
            )
            return {} if mine else None
        settings = read_settings(kind, request.properties, self.templates)
        held = self._held(request)
        mine = _id(held) == request.address.physical_id
        if request.action == "create":
            if held is not None and not mine:
                raise RequestError(
                    f"There is {a(kind.noun)} {request.name} already: choose another name."
                )
            return {**settings, "id": request.address.physical_id}
        check_changes(request, held if held is not None and mine else {})
        if not mine:
            raise RequestError(
                f"There is no {kind.noun} {request.name} with the id {request.address.physical_id}."
            )
        return {key: value for key, value in settings.items() if key not in kind.fixed}

    def _held(self, request: Request) -> dict[str, Any] | None:
        """What the hub knows of what has the name that is asked for."""
        name = f"{self.below}/{request.kind.command}/{request.name}"
        try:
            found = self.parameters.get_parameter(Name=name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        return dict(json.loads(found["Parameter"]["Value"]))

    def _start(self, request: Request, settings: Mapping[str, Any]) -> str:
        outputs = {} if request.action == "delete" else request.kind.outputs(request.properties)
        variables = {
            "COMMAND": request.kind.command,
            "ACTION": request.action,
            "NAME": request.name,
            "IDENTITY": request.address.physical_id,
            "SETTINGS": json.dumps({k: v for k, v in settings.items() if k != "name"}),
            "OUTPUTS": json.dumps(outputs),
            **request.address.environment(),
        }
        told = f"{request.address.stack_id} {request.address.request_id}"
        started = self.builds.start_build(
            projectName=self.build,
            idempotencyToken=hashlib.sha256(told.encode()).hexdigest(),
            environmentVariablesOverride=[
                {"name": name, "value": value, "type": "PLAINTEXT"}
                for name, value in variables.items()
            ],
        )
        return str(started["build"]["id"])

    def ended(self, detail: Mapping[str, Any]) -> str:
        """Answers for a build that ended without success, as it may not have been able to.

        A second answer to the same request changes nothing for CloudFormation.

        Raises:
            AnswerError: CloudFormation cannot be answered.
            ClientError: The build cannot be read.
        """
        if detail["project-name"] != self.build or detail["build-status"] not in _ENDED_BADLY:
            return "not a failed vending build"
        (build,) = self.builds.batch_get_builds(ids=[detail["build-id"]])["builds"]
        variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
        if not set(_ADDRESS) <= set(variables):
            return "not started by a product"
        reason = (
            f"The vending build {build['id']} ended {detail['build-status']} in its phase"
            f" {build.get('currentPhase', '?')}: see its log."
        )
        send(Address.of(variables), Result(False, reason))
        return "answered"


def _id(held: Mapping[str, Any] | None) -> str | None:
    return None if held is None else str(held["id"])


@cache
def _vendor() -> Vendor:
    config = Config(retries={"mode": "standard", "max_attempts": 6})
    clients: Any = boto3.client  # pyright: ignore[reportUnknownMemberType]
    return Vendor(
        clients("codebuild", config=config),
        clients("ssm", config=config),
        os.environ["VENDING_BUILD"],
        os.environ["PARAMETERS"],
        tuple(json.loads(os.environ["TEMPLATES"])),
    )


def handle(event: dict[str, Any], context: object) -> dict[str, str]:
    """Lambda's entry point.

    Raises:
        ValueError: The event is neither a request nor a build's end.
    """
    del context
    if "RequestType" in event:
        return {"result": _vendor().take(event)}
    if event.get("detail-type") == "CodeBuild Build State Change":
        return {"result": _vendor().ended(event["detail"])}
    raise ValueError("The event is neither a request of CloudFormation nor the end of a build.")
