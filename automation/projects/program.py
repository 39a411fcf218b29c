"""The inline program of a project's stack, and what it reads of the platform before."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import boto3
import pulumi
import pulumi_aws as aws
from botocore.exceptions import ClientError

from automation import bootstrap, vended
from automation.projects import templates
from automation.projects.spec import MOST_PEOPLE, ProjectSpec, SpecError
from components.naming import Names, NameTooLongError, kind_of
from components.projects import batch
from components.projects.project import (
    CODECOMMIT,
    EnvironmentContract,
    Project,
    repository_key,
)
from components.settings import PlatformSettings

_PATHS = {
    "subnet_ids": "vpc/private-subnet-ids",
    "security_group_ids": "vpc/security-group-ids",
    "vpc_id": "vpc/id",
    "s3_endpoint_id": "vpc/endpoints/s3",
    "boundary_arn": "iam/boundary-arn",
    "access_log_bucket": "buckets/access-logs",
    "alerts_topic_arn": "alerts/topic-arn",
}
_KEYS = ("data", "logs", "messages", "storage")
_MODELS_KEY = ("dev", "governance")
_CONNECTION = "ci/connection-arn"
_GITHUB = "ci/github-provider-arn"


class PlatformError(RuntimeError):
    """The platform does not offer what a project needs; the message says what to bring up."""


def read_parameters(ssm: Any, names: Names, paths: Mapping[str, str]) -> dict[str, str]:
    """Values of an environment's contract, by the given keys.

    Raises:
        PlatformError: Some are not there; all are named.
    """
    wanted = {names.parameter(path): key for key, path in paths.items()}
    found: dict[str, str] = {}
    ordered = sorted(wanted)
    try:
        # GetParameters takes ten names at once.
        for start in range(0, len(ordered), 10):
            answer = ssm.get_parameters(Names=ordered[start : start + 10])
            found |= {wanted[item["Name"]]: item["Value"] for item in answer["Parameters"]}
    except ClientError as error:
        raise PlatformError(
            f"The contract of {names.environment} cannot be read: {error}"
        ) from None
    missing = [name for name, key in wanted.items() if key not in found]
    if names.parameter(_GITHUB) in missing:
        raise PlatformError(
            f"{names.environment} does not know GitHub's workflows: set mlops:projects.github_oidc"
            f" of the stack {names.environment}, and bring it up."
        )
    if missing:
        raise PlatformError(
            f"{names.environment} does not publish {', '.join(sorted(missing))}: bring the platform"
            f" up first (python -m automation up --stack {names.environment})."
        )
    return found


_ARCHIVE = "ci/archive-bucket"


def contract(
    session: boto3.Session, names: Names, reached: Mapping[str, str]
) -> tuple[EnvironmentContract, str]:
    """What an environment publishes for projects, and its connection to repositories.

    Args:
        session: Of its deployer.
        names: The environment's.
        reached: What else is needed to reach the repositories.

    Raises:
        PlatformError: Something is missing.
    """
    keys = [*_KEYS, *(["models"] if names.environment in _MODELS_KEY else [])]
    paths = {**_PATHS, **{f"key:{key}": f"kms/{key}/arn" for key in keys}, **reached}
    client: Any = session.client("ssm")
    found = read_parameters(client, names, paths)
    return (
        EnvironmentContract(
            subnet_ids=found["subnet_ids"].split(","),
            security_group_ids=found["security_group_ids"].split(","),
            vpc_id=found["vpc_id"],
            s3_endpoint_id=found["s3_endpoint_id"],
            key_arns={key: found[f"key:{key}"] for key in keys},
            boundary_arn=found["boundary_arn"],
            access_log_bucket=found["access_log_bucket"],
            alerts_topic_arn=found["alerts_topic_arn"],
        ),
        found.get("connection", ""),
    )


def reaching(ci: str, provider: str, environment: str) -> dict[str, str]:
    """What an environment has to publish for a project's repositories to be reached.

    Args:
        ci: What builds and releases.
        provider: Who hosts them.
        environment: The environment.

    Raises:
        PlatformError: The two do not go together.
    """
    if ci == "github" and provider == CODECOMMIT:
        raise PlatformError(
            "GitHub Actions run for repositories at GitHub, but mlops:projects.repository_provider"
            " is CodeCommit: take ci codepipeline, or change the setting."
        )
    if environment not in _MODELS_KEY:
        return {}
    archive = {"archive": _ARCHIVE} if environment == "governance" else {}
    if ci == "github":
        return {"github": _GITHUB, **archive}
    return archive if provider == CODECOMMIT else {"connection": _CONNECTION, **archive}


def served(spec: ProjectSpec, platform: Mapping[str, PlatformSettings]) -> tuple[str, ...]:
    """The environments that a project is deployed to, of those that the hub serves, in order.

    Elsewhere the hub grants nothing: no model could be read there.
    """
    return spec.environments(set(platform) & set(platform["governance"].served))


def unserved(spec: ProjectSpec, platform: Mapping[str, PlatformSettings]) -> tuple[str, ...]:
    """The environments that a project asks for and that the hub does not serve, in order."""
    there = served(spec, platform)
    return tuple(name for name in spec.environments(platform) if name not in there)


def release_targets(spec: ProjectSpec, platform: Mapping[str, PlatformSettings]) -> tuple[str, ...]:
    """The environments that a project is deployed to, in the order of the way.

    Args:
        spec: What was asked for.
        platform: Environment -> settings of its stack.

    Raises:
        SpecError: It names environments that the platform does not have, that the hub does not
            serve, or that it cannot have.
    """
    targets, problems = served(spec, platform), list[str]()
    for key, named in (("targets", spec.targets), ("without", spec.without)):
        unknown = sorted(set(named) - set(platform))
        if unknown:
            problems.append(
                f"{key}: the platform has no {', '.join(unknown)}, it has {', '.join(platform)}"
            )
    # Kinds are what is served of them; what is named by itself is wanted there and nowhere else.
    if named := [
        one for one in unserved(spec, platform) if one in spec.targets and one != kind_of(one)
    ]:
        problems.append(
            f"targets: the hub does not serve {', '.join(named)}: add it to mlops:environments of"
            " governance, or leave it out"
        )
    if not targets:
        problems.append(
            "targets: without leaves none of them that the hub serves (mlops:environments)"
        )
    try:
        for target in targets:
            # The longest that a target has of a project: they must fail here, not midway.
            names = platform[target].names
            names.role(f"model-execution-{spec.name}")
            if spec.batch:
                batch.bucket_name(names, spec.name)
    except NameTooLongError as error:
        problems.append(f"name: {error}")
    if problems:
        raise SpecError("The project cannot be made:\n" + "\n".join(f"  {p}" for p in problems))
    return targets


def program(
    spec: ProjectSpec,
    platform: Mapping[str, PlatformSettings],
    session: Callable[[str], boto3.Session],
    held: Collection[str],
) -> Callable[[], None]:
    """The program that makes a project.

    Everything it needs to know is read here, before anything is made.

    Args:
        spec: What was asked for.
        platform: Environment -> settings of its stack.
        session: Environment -> a session of its deployer.
        held: Model package groups and buckets that the project's stack has already.

    Raises:
        PlatformError: The platform is not up, or :func:`unmixed` says so.
        SpecError: As :func:`release_targets`.
    """
    targets = release_targets(spec, platform)
    environments = list(dict.fromkeys(["dev", *targets, "governance"]))
    contracts: dict[str, EnvironmentContract] = {}
    connections: dict[str, str] = {}
    provider = platform["governance"].projects.repository_provider
    for environment in environments:
        names = platform[environment].names
        contracts[environment], connection = contract(
            session(environment), names, reaching(spec.ci, provider, environment)
        )
        if connection:
            connections[environment] = connection
    hub = platform["governance"]
    state_key = state_key_arn(session("governance"), hub.names)
    known_people = people(spec, hub)
    adopted = left_behind(spec, targets, platform, session, held)
    if hub.registry.sharing == "ram":
        unmixed(session("governance"), hub.names.name(spec.name, "group"))

    def make() -> None:
        providers = {name: _provider(spec, platform[name]) for name in environments}
        Project(
            spec.name,
            {
                "placement": {**hub.placement(), "protect": False},
                "project": spec.name,
                "project_id": spec.id,
                "template": spec.template,
                "ci": spec.ci,
                "build_repository": spec.repository("build"),
                "deploy_repository": spec.repository("deploy"),
                "targets": targets,
                "contracts": contracts,
                "provider": provider,
                "connection_arns": connections,
                "state_key_arn": state_key,
                "backend_url": bootstrap.backend_url(hub.names, f"projects/{spec.name}"),
                "secrets_provider": bootstrap.secrets_provider(hub.names),
                "token_secret_arn": spec.token_secret,
                "people": known_people,
                "batch": spec.batch,
                "image": builds_image(spec.template),
                "features": templates.load()[spec.template].feature_group,
                "instance_types": spec.instance_types,
                "log_retention_days": hub.retention.logs_days,
                "variables": {**hub.projects.variables, **spec.variables},
                "sharing": hub.registry.sharing,
                "adopted": adopted,
            },
            providers,
        )
        pulumi.export("spec", spec.model_dump(mode="json"))

    return make


def people(spec: ProjectSpec, hub: PlatformSettings) -> dict[str, str]:
    """Who is who at GitHub and in AWS.

    Raises:
        PlatformError: Nobody is known, so that nobody could approve, or too many are.
    """
    if spec.ci != "github":
        return {}
    known = {**hub.projects.people, **spec.people}
    if not 0 < len(known) <= MOST_PEOPLE:
        raise PlatformError(
            f"{len(known)} people are known at GitHub, expected 1 to {MOST_PEOPLE}: name those who"
            " approve, login and name in AWS, in people of the project or mlops:projects.people."
        )
    return known


def state_key_arn(session: boto3.Session, names: Names) -> str:
    """The key of the state bucket, which the bootstrap made.

    Raises:
        PlatformError: There is none.
    """
    kms: Any = session.client("kms")
    try:
        return str(kms.describe_key(KeyId=names.alias("pulumi-state"))["KeyMetadata"]["Arn"])
    except ClientError as error:
        raise PlatformError(
            f"The key {names.alias('pulumi-state')} cannot be found: {error}. It is made by: python"
            " -m automation bootstrap"
        ) from None


def left_behind(
    spec: ProjectSpec,
    targets: Collection[str],
    platform: Mapping[str, PlatformSettings],
    session: Callable[[str], boto3.Session],
    held: Collection[str],
) -> list[str]:
    """The groups, buckets and image repositories that an earlier project of this name left.

    Args:
        spec: What was asked for.
        targets: Where it is deployed.
        platform: Environment -> settings of its stack.
        session: Environment -> a session of its deployer.
        held: Those that the project's stack has already.

    Raises:
        PlatformError: It cannot be told.
    """
    kept: list[tuple[str, str, Callable[[boto3.Session, str], bool]]] = [
        (environment, platform[environment].names.name(spec.name, "group"), group_exists)
        for environment in ("dev", "governance")
    ]
    if spec.batch:
        kept += [
            (target, batch.bucket_name(platform[target].names, spec.name), bucket_exists)
            for target in targets
        ]
    if builds_image(spec.template):
        for environment in ("dev", "governance"):
            repository = repository_key(platform[environment].names.name(spec.name, "repository"))
            kept.append((environment, repository, image_repository_exists))
    return [
        name
        for environment, name, exists in kept
        if name not in held and exists(session(environment), name)
    ]


def builds_image(template: str) -> bool:
    """Whether a template's build makes an image of its own."""
    folders = templates.sources(template, "build")
    return any((folder / "image" / "Dockerfile").is_file() for folder in folders)


def image_repository_exists(session: boto3.Session, key: str) -> bool:
    """Whether an image repository is there.

    Args:
        session: Of the account's deployer.
        key: The repository, as :func:`~components.projects.project.repository_key` gives it.

    Raises:
        PlatformError: It cannot be told.
    """
    ecr: Any = session.client("ecr")
    name = key.removeprefix(repository_key(""))
    try:
        ecr.describe_repositories(repositoryNames=[name])
    except ecr.exceptions.RepositoryNotFoundException:
        return False
    except ClientError as error:
        raise PlatformError(f"The repository {name} cannot be looked at: {error}") from None
    return True


def bucket_exists(session: boto3.Session, bucket: str) -> bool:
    """Whether a bucket is there.

    Raises:
        PlatformError: It cannot be told, or it is somebody else's.
    """
    s3: Any = session.client("s3")
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
            return False
        raise PlatformError(f"The bucket {bucket} cannot be looked at: {error}") from None
    return True


def group_exists(session: boto3.Session, group: str) -> bool:
    """Whether a model package group is there.

    Raises:
        PlatformError: It cannot be told.
    """
    sagemaker: Any = session.client("sagemaker")
    try:
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)
    except ClientError as error:
        # SageMaker has no error of its own for this: it is a validation error with this text.
        if "does not exist" in str(error):
            return False
        raise PlatformError(f"The group {group} cannot be looked at: {error}") from None
    return True


def unmixed(session: boto3.Session, group: str) -> None:
    """Makes sure that a group to be shared by RAM has no policy, which would grant beside it.

    One is left where projects were made, or versions promoted, while groups were shared by policy.

    Raises:
        PlatformError: It has one, or it cannot be told.
    """
    sagemaker: Any = session.client("sagemaker")
    try:
        sagemaker.get_model_package_group_policy(ModelPackageGroupName=group)
    except ClientError as error:
        # Neither a missing policy nor a missing group has an error of its own.
        if any(text in str(error) for text in ("Cannot find", "does not exist")):
            return
        raise PlatformError(f"The policy of {group} cannot be looked at: {error}") from None
    raise PlatformError(
        f"mlops:registry.sharing of governance is ram, but the group {group} still has a policy of "
        "the time before: as the hub's deployer, run aws sagemaker "
        f"delete-model-package-group-policy --model-package-group-name {group}, then this again. "
        "In between, no other account reads its versions."
    )


def _provider(spec: ProjectSpec, settings: PlatformSettings) -> aws.Provider:
    tags = {
        "owner": spec.owner,
        "cost-centre": spec.cost_centre,
        "sagemaker:project-name": spec.name,
        "sagemaker:project-id": spec.id,
    }
    return vended.provider(settings, f"project-{spec.name}", tags)
