"""What a project is asked for by."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from automation.projects import templates
from automation.projects.templates import TemplateError
from components.naming import HUB, OWN_DOMAIN, in_order, is_environment, kind_of

MOST_PEOPLE = 25
"""What the deployment function knows of a project is one parameter, of 4 KB at most."""

NAME = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
_OF_THE_PLATFORM = (
    "alerts", "analysis", "approvals-undelivered", "audit", "boundary", "catalog-launch",
    "ci-preview", "config-recorder", "data-scientist", "datazone", "deployer", "deployments",
    "drift-events", "drift-undelivered", "endpoints", "feature-store", "glue-jobs",
    "governance-officer", "inference", "lake-formation", "lead-data-scientist",
    "ml-administration", "ml-engineer", "model-events", "model-execution", "models",
    "pipeline-execution", "pipelines", "platform-engineer", "preview", "promotion", "promotions",
    "recorder", "retraining", "sagemaker-projects", OWN_DOMAIN, "vending", "vpc-flow-logs",
    "workload",
)  # fmt: skip
"""What names of the platform's own roles, queues and functions begin with. A project owns all that
begins with its name, and some of the platform's know others by the beginning."""
_ID_CHARACTERS = string.ascii_lowercase + string.digits


class SpecError(ValueError):
    """A project cannot be made as it was asked for; every reason has a line."""


def new_id(prefix: str) -> str:
    """A prefix, a hyphen and 12 lower-case letters or digits, as SageMaker's project ids are."""
    return f"{prefix}-" + "".join(secrets.choice(_ID_CHARACTERS) for _ in range(12))


def _target(name: str) -> str:
    if name == HUB or not is_environment(name):
        raise ValueError("expected dev, preprod, prod, or one more of a kind, such as prod-eu")
    return name


Target = Annotated[str, AfterValidator(_target)]


class ProjectSpec(BaseModel):
    """A project, as a person asks for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=f"^{NAME}$", max_length=20)]
    """Known by it everywhere: group, pipeline, endpoint, roles."""
    template: str = "xgboost-realtime"
    """What its repositories start with."""
    settings: dict[str, Any] = {}
    """Of its template."""
    owner: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """Team that answers for it."""
    cost_centre: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """Where its cost goes."""
    organization: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")]
    """Who owns its repositories where they are hosted."""
    ci: Literal["codepipeline", "github"] = "codepipeline"
    """What builds and releases it."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1)] = ("preprod", "prod")
    """What it is deployed to, in order: a kind is all its environments, also those that join later;
    one more of a kind may be named by itself."""
    without: tuple[Target, ...] = ()
    """Environments that it is not deployed to, though ``targets`` names their kind."""
    instance_types: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "ml.m5.large",
        "ml.m5.xlarge",
    )
    """Instance types that its jobs may run on."""
    batch: bool = False
    """Whether its targets have what batch predictions need: a bucket, roles, a queue."""
    variables: dict[Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")], str] = {}
    """More environment variables of its builds, over those that all projects have."""
    token_secret: str = ""
    """ARN of the secret with GitHub's token; for ``ci: github``."""
    people: Annotated[
        dict[
            Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9](-?[A-Za-z0-9]){0,38}$")],
            Annotated[str, StringConstraints(pattern=r"^[\w+=,.@-]{2,64}$")],
        ],
        Field(max_length=MOST_PEOPLE),
    ] = {}
    """Who is who: login at GitHub -> name in AWS (source identity or session name), of those who
    approve an environment, over those that all projects have; for ``ci: github``."""
    id: Annotated[str, StringConstraints(pattern=r"^p-[a-z0-9]{12}$")] = Field(
        default_factory=lambda: new_id("p")
    )
    """Unique, as SageMaker's project ids are made."""

    def environments(self, there: Iterable[str]) -> tuple[str, ...]:
        """The environments that it is deployed to, in order, of those that there are."""
        named = set(self.targets)
        return tuple(
            environment
            for environment in in_order(there)
            if named & {environment, kind_of(environment)} and environment not in self.without
        )

    def repository(self, kind: str) -> str:
        """``owner/name`` of a repository: ``build`` or ``deploy``."""
        return f"{self.organization}/{self.name}-{kind}"


def read_spec(given: Mapping[str, Any]) -> ProjectSpec:
    """Checks what was asked for.

    Raises:
        SpecError: With every mistake.
    """
    problems: list[str] = []
    spec: ProjectSpec | None = None
    try:
        spec = ProjectSpec.model_validate(dict(given))
    except ValidationError as error:
        problems += [
            f"{'.'.join(map(str, item['loc'])) or 'project'}: {item['msg']}"
            for item in error.errors()
        ]
    known = templates.load()
    template = known.get(str(given.get("template", ProjectSpec.model_fields["template"].default)))
    if template is None:
        problems.append(
            f"template: there is no {given['template']!r}, there are {', '.join(known)}"
        )
    if spec is not None and template is not None:
        try:
            settings = template.with_defaults(spec.settings)
            spec = spec.model_copy(update={"settings": settings})
            if template.batch and given.get("batch", True) is True:
                spec = spec.model_copy(update={"batch": True})
            elif template.batch:
                problems.append(f"batch: {template.id} predicts in batches, leave it out")
        except TemplateError as error:
            problems += str(error).splitlines()
    if spec is not None:
        asked = f"{spec.name}-"
        if own := [
            name for name in _OF_THE_PLATFORM
            if f"{name}-".startswith(asked) or asked.startswith(f"{name}-")
        ]:  # fmt: skip
            problems.append(
                f"name: could not be told apart from the platform's own {', '.join(own)}, choose"
                " another"
            )
        order = in_order(spec.targets)
        if spec.targets != order:
            problems.append(f"targets: expected each once and in the order {', '.join(order)}")
        if spec.ci == "github" and not spec.token_secret:
            problems.append("token_secret: the hub starts workflows with it, give the secret's ARN")
    if problems or spec is None:
        raise SpecError("The project cannot be made:\n" + "\n".join(f"  {p}" for p in problems))
    return spec
