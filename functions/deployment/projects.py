"""How each project is deployed: one parameter of Systems Manager a project."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from botocore.exceptions import ClientError

from ..promotion.aws import error_code

CODEPIPELINE, GITHUB = "codepipeline", "github"

# Which members a project's parameter must have, beside those of every project.
_NEEDED = {
    CODEPIPELINE: ("pipeline", "restore"),
    GITHUB: ("repository", "workflow", "token_secret"),
}


class ProjectError(ValueError):
    """A project's parameter is wrong; the message names it."""


@dataclass(frozen=True)
class Project:
    """A project's settings.

    Attributes:
        name: Its name.
        group: Its central group.
        ci: ``codepipeline`` or ``github``.
        pipeline: Pipeline of the full way.
        restore: Environment -> pipeline that puts a version back there.
        repository: ``owner/name`` at GitHub.
        workflow: File name of the workflow.
        branch: Branch that the workflow runs from.
        token_secret: ARN of the secret with the token.
        targets: Environments that it is deployed to; empty for all.
        people: Login at GitHub, in lower case -> name in AWS: source identity, or session name. A
            login that is not among them is nobody.
    """

    name: str
    group: str
    ci: str
    pipeline: str = ""
    restore: Mapping[str, str] = field(default_factory=dict[str, str])
    repository: str = ""
    workflow: str = ""
    branch: str = "main"
    token_secret: str = ""
    targets: tuple[str, ...] = ()
    people: Mapping[str, str] = field(default_factory=dict[str, str])

    def way(self, environments: tuple[str, ...]) -> tuple[str, ...]:
        """Its own way: of all environments, in their order, those that it is deployed to."""
        return tuple(item for item in environments if not self.targets or item in self.targets)

    def one_run(self, way: tuple[str, ...]) -> bool:
        """Whether one run takes a version all the way.

        A pipeline has a stage for each environment, a workflow a job for each kind of them: where
        there are more of a kind (``prod-eu``), each environment has a run of its own.
        """
        return self.ci == CODEPIPELINE or not any("-" in environment for environment in way)


def read_project(name: str, text: str) -> Project:
    """Reads a project's parameter.

    Raises:
        ProjectError: It is wrong.
    """
    try:
        loaded: Any = json.loads(text)
    except ValueError as error:
        raise ProjectError(f"The parameter of project {name} is no JSON: {error}") from error
    if not isinstance(loaded, dict):
        raise ProjectError(f"The parameter of project {name} is no JSON object.")
    told = cast("dict[str, Any]", loaded)
    needed = ("group", *_NEEDED.get(str(told.get("ci")), ()))
    if told.get("ci") not in _NEEDED:
        choices = " or ".join(_NEEDED)
        raise ProjectError(f"ci of project {name} is {told.get('ci')!r}, expected {choices}.")
    absent = [member for member in needed if not told.get(member)]
    if absent:
        raise ProjectError(f"The parameter of project {name} has no {', '.join(absent)}.")
    if told["ci"] == GITHUB and not re.fullmatch(r"[\w.-]+/[\w.-]+", told["repository"]):
        raise ProjectError(f"repository of project {name} is {told['repository']!r}.")
    if told["ci"] == GITHUB and not re.fullmatch(r"[\w.-]+", str(told["workflow"])):
        raise ProjectError(f"workflow of project {name} is {told['workflow']!r}.")
    restore: Any = told.get("restore") or {}
    if not isinstance(restore, dict):
        raise ProjectError(f"restore of project {name} is no map from environments to pipelines.")
    told["restore"] = {
        str(target): str(pipeline) for target, pipeline in cast("dict[str, Any]", restore).items()
    }
    targets: Any = told.get("targets") or []
    if not isinstance(targets, list):
        raise ProjectError(f"targets of project {name} is no list of environments.")
    told["targets"] = tuple(str(target) for target in cast("list[Any]", targets))
    people: Any = told.get("people") or {}
    if not isinstance(people, dict):
        raise ProjectError(f"people of project {name} is no map from logins to names in AWS.")
    # GitHub knows no capitals in logins.
    told["people"] = {
        str(login).lower(): str(person) for login, person in cast("dict[str, Any]", people).items()
    }
    members: dict[str, Any] = {
        member: told[member] for member in Project.__dataclass_fields__ if told.get(member)
    }
    members["name"] = name
    return Project(**members)


class Projects:
    """All projects' settings.

    Args:
        client: A client of Systems Manager in the hub.
        path: What the parameters' names begin with, without the slash at the end.
        group_prefix: What names of central groups begin with.
    """

    def __init__(self, client: Any, path: str, group_prefix: str) -> None:
        self._client = client
        self._path = path
        self._group_prefix = group_prefix

    def of_group(self, group: str) -> Project | None:
        """The project of a central group; None when no project deploys it.

        Raises:
            ProjectError: Its parameter is wrong.
            ClientError: Systems Manager's.
        """
        name = group.removeprefix(self._group_prefix)
        if name == group:
            return None
        try:
            told = self._client.get_parameter(Name=f"{self._path}/{name}", WithDecryption=True)
        except ClientError as error:
            if error_code(error) == "ParameterNotFound":
                return None
            raise
        project = read_project(name, told["Parameter"]["Value"])
        return project if project.group == group else None

    def all(self) -> Iterator[Project]:
        """All projects; one whose parameter is wrong is left out, it is told of when it is used.

        Raises:
            ClientError: Systems Manager's.
        """
        pages = self._client.get_paginator("get_parameters_by_path").paginate(
            Path=self._path, WithDecryption=True
        )
        for page in pages:
            for item in page["Parameters"]:
                try:
                    yield read_project(item["Name"].rpartition("/")[2], item["Value"])
                except ProjectError:
                    continue
