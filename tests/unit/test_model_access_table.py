"""``docs/model-access.md``, derived from the policies that the stacks and the bootstrap deploy."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from automation.deployer_policies import deployer_statements, numbered
from components import deployments, iam, promotion, retraining
from components.baseline import AccountBaseline
from components.naming import ENVIRONMENTS, Names
from components.personas import PERSONAS
from localcloud.authorization import Evaluator, Policies, Request
from tests.unit import projects
from tests.unit.conftest import ACCOUNTS, REGION, Program, place, run_program
from tests.unit.data_science import (
    MODELS_KEY,
    boundary,
    make_registry,
    make_studio,
    role_arn,
    role_policies,
    session,
)

PAGE = Path(__file__).parents[2] / "docs" / "model-access.md"

FUNCTIONS: Mapping[tuple[str, str], list[iam.Statement]] = {
    ("governance", "promotion"): promotion.promotion_statements(
        place("governance"),
        Names.at(place("governance")).arn("kms", MODELS_KEY.rpartition(":")[2]),
        Names.at(place("governance")).arn("sqs", "acme-governance-promotions"),
    ),
    ("dev", promotion.READER): promotion.reader_statements(place("governance")),
    ("governance", deployments.DEPLOYMENTS): deployments.control_statements(
        Names.at(place("governance")),
        Names.at(place("governance")).arn("kms", MODELS_KEY.rpartition(":")[2]),
        [],
    ),
    ("governance", retraining.RETRAINING): retraining.retraining_statements(
        place("governance"), []
    ),
}
"""Roles of the hub's functions -> what they are deployed with."""

PROJECT = "abalone"

ROLES: tuple[tuple[str, str], ...] = (
    ("dev", "data-scientist-execution"),
    ("dev", "lead-data-scientist-execution"),
    ("dev", "data-scientist-pipeline-execution"),
    ("dev", "lead-data-scientist-pipeline-execution"),
    ("dev", "model-execution"),
    ("dev", "ml-engineer"),
    ("dev", "governance-officer"),
    ("dev", "platform-engineer"),
    ("dev", "deployer"),
    ("dev", promotion.READER),
    ("governance", "promotion"),
    ("governance", deployments.DEPLOYMENTS),
    ("governance", retraining.RETRAINING),
    ("governance", "ml-engineer"),
    ("governance", "governance-officer"),
    ("governance", "platform-engineer"),
    ("governance", "deployer"),
    ("preprod", "model-execution"),
    ("preprod", "ml-engineer"),
    ("preprod", "deployer"),
    ("prod", "model-execution"),
    ("prod", "ml-engineer"),
    ("prod", "deployer"),
)

LIST = "sagemaker:ListModelPackages"

ACTIONS: Mapping[str, str] = {
    "describe": "sagemaker:DescribeModelPackage",
    "list": LIST,
    "approve": "sagemaker:UpdateModelPackage",
    "create version": "sagemaker:CreateModelPackage",
    "read artifact": "s3:GetObject",
    "write artifact": "s3:PutObject",
    "decrypt": "kms:Decrypt",
    "pull image": "ecr:BatchGetImage",
}

TEXT = """# Who can do what to a model

Derived from the policies of all accounts by `tests/unit/test_model_access_table.py`, which fails
when this page and the policies differ; `--update-golden` writes the page anew, for review.

Each cell is what IAM decides with the role's own policies, its permissions boundary and the policy
of the group, bucket, key or repository together:

- **yes**: from anywhere; **no**: from nowhere;
- **endpoint**: only through the VPC endpoint of the role's own environment;
- **service**: only by an AWS service that acts for the role, as S3 does when it reads an encrypted
  object. The request to S3 itself still needs what *read artifact* says.

Nobody approves a version in the same call that registers it. Artifacts are a project's folder in
dev's bucket, and what was promoted of it in the hub's. *promotion*, *promotion-reader*,
*deployments* and *retraining* are the hub's functions; the first assumes the second, in dev.

The first two tables are of the groups that the platform's settings name, the last two of a
project's own groups, with the roles that come with the project `abalone`: those of both ways of
CI, and those of predictions in batches.

Where the hub's groups are shared by AWS RAM (`mlops:registry.sharing`), the same roles reach the
same: a share names accounts, in which a role's own policies decide.
"""


@dataclass(frozen=True)
class Registry:
    """A registry's resources and their policies."""

    names: Names
    group: dict[str, Any] | None
    bucket: dict[str, Any]
    key: dict[str, Any]
    repository: dict[str, Any] | None

    def of(self, action: str) -> tuple[str, dict[str, Any] | None]:
        """The resource of an action, with its policy."""
        if action.startswith("s3:"):
            kept = f"promoted/{ACCOUNTS['dev']}/acme-dev-abalone/1"
            folder = kept if self.names.environment == "governance" else "abalone"
            return f"{self.names.bucket_arn('models')}/{folder}/model.tar.gz", self.bucket
        if action.startswith("kms:"):
            return self.names.arn("kms", MODELS_KEY.rpartition(":")[2]), self.key
        if action.startswith("ecr:"):
            return self.names.arn("ecr", f"repository/{self.names.name('scikit')}"), self.repository
        version = f"model-package/{self.names.name('abalone')}/1"
        return self.names.arn("sagemaker", version), self.group


def registry(environment: str) -> Registry:
    program = run_program(lambda: make_registry(environment))

    def only(token: str, key: str = "policy") -> dict[str, Any] | None:
        found = program.of(token)
        return found[0].document(key) if found else None

    bucket, key = only("aws:s3/bucketPolicy:BucketPolicy"), only("aws:kms/key:Key")
    assert bucket
    assert key
    return Registry(
        Names.at(place(environment)),
        only("aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy", "resourcePolicy"),
        bucket,
        key,
        only("aws:ecr/repositoryPolicy:RepositoryPolicy"),
    )


def of_project(at: Registry) -> Registry:
    """The same with the policy of the project's group."""
    group = project("codepipeline").one(
        "aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy",
        f"{PROJECT}-{at.names.environment}",
    )
    assert group.inputs["modelPackageGroupName"] == at.names.name(PROJECT)
    return replace(at, group=group.document("resourcePolicy"))


@functools.cache
def project(ci: str) -> Program:
    contracts = {environment: projects.contract(environment) for environment in ENVIRONMENTS}
    for environment in ("dev", "governance"):
        key = Names.at(place(environment)).arn("kms", MODELS_KEY.rpartition(":")[2])
        keys = {**contracts[environment]["key_arns"], "models": key}
        contracts[environment] = {**contracts[environment], "key_arns": keys}
    return projects.program(PROJECT, ci=ci, batch=True, contracts=contracts)


@functools.cache
def project_roles() -> dict[tuple[str, str], Program]:
    """Environment and name of each role of a project -> the program that makes it."""
    found: dict[tuple[str, str], Program] = {}
    for ci in ("codepipeline", "github"):
        for made in project(ci).of("aws:iam/role:Role"):
            _, environment, role = made.inputs["name"].split("-", 2)
            found.setdefault((environment, role), project(ci))
    order = list(ACCOUNTS)
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


@functools.cache
def baseline(environment: str) -> Program:
    return run_program(
        lambda: AccountBaseline(
            "baseline",
            {
                "placement": place(environment),
                "owns_account": False,
                "log_retention_days": 365,
                "key_deletion_days": 30,
                "security_services": {
                    "access_analyzer": False,
                    "config": False,
                    "guardduty": False,
                    "security_hub": False,
                },
                "budgets": {},
                "budget_emails": [],
                "personas": {},
            },
        )
    )


@functools.cache
def studio() -> Program:
    return run_program(make_studio)


def identity(environment: str, role: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A role's policies and its boundary."""
    names = Names.at(place(environment))
    if (environment, role) in FUNCTIONS:
        return {"work": iam.document(FUNCTIONS[environment, role])}, boundary(environment)
    if (environment, role) in project_roles():
        made = project_roles()[environment, role]
        return role_policies(made, names.role(role)), boundary(environment)
    if role == "deployer":
        return dict(numbered("deployer", deployer_statements(names))), None
    program = (
        studio()
        if role.endswith("-execution") and role != "model-execution"
        else baseline(environment)
    )
    return role_policies(program, names.role(role)), boundary(environment)


def tagged(names: Names, role: str) -> str:
    """What buckets know a role by, where it has the tag."""
    made = studio().of("aws:iam/role:Role")
    tags = {role.inputs["name"]: role.inputs.get("tags", {}) for role in made}
    return str(tags.get(names.role(role), {}).get("Principal", names.role(role)))


def ways(environment: str, action: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Ways to make a request, from the most open to the least: its word and its context."""
    service = action.partition(":")[0]
    yield "yes", {"aws:ViaAWSService": "false"}
    if service in ("s3", "kms"):
        endpoint = f"vpce-{environment}-{service}"
        yield "endpoint", {"aws:ViaAWSService": "false", "aws:sourceVpce": endpoint}
    if service == "kms":
        yield (
            "service",
            {"aws:ViaAWSService": "true", "kms:ViaService": f"s3.{REGION}.amazonaws.com"},
        )


def cell(evaluator: Evaluator, environment: str, role: str, action: str, at: Registry) -> str:
    names = Names.at(place(environment))
    caller = session(names, role)
    resource, resource_policy = at.of(action)
    policies, limit = identity(environment, role)
    if action == LIST:
        # IAM's reference names a version as its resource, which a call has none of: the role's side
        # is judged for all resources, by the statements that are about this registry, and across
        # accounts the group's policy must name the role as well.
        own = evaluator.evaluate(
            Request(caller, action, "*", names.account_id, {"aws:RequestedRegion": REGION}),
            Policies(
                identity={name: about(at, document) for name, document in policies.items()},
                boundary=limit,
            ),
        )
        named = at.names.account_id == names.account_id or names_role(at.group, caller)
        return "yes" if own.allowed and named else "no"
    for word, way in ways(environment, action):
        context = {
            "aws:PrincipalArn": role_arn(caller),
            "aws:PrincipalTag/Principal": tagged(names, role),
            "aws:RequestedRegion": REGION,
            **way,
        }
        if action.startswith("s3:"):
            context["aws:SecureTransport"] = "true"
        keys: dict[str, str | list[str]] = dict(context)
        if action.startswith("kms:"):
            keys["kms:CallerAccount"] = names.account_id
            keys["kms:ResourceAliases"] = [at.names.alias("models")]
        decision = evaluator.evaluate(
            Request(caller, action, resource, at.names.account_id, keys),
            Policies(identity=policies, boundary=limit, resource=resource_policy),
        )
        if decision.allowed:
            return word
    return "no"


def about(at: Registry, document: dict[str, Any]) -> dict[str, Any]:
    """The statements that know the registry's group, or any of its versions."""
    group = at.names.name(PROJECT)
    things = [
        at.names.arn("sagemaker", f"{kind}/{group}{rest}")
        for kind, rest in (("model-package-group", ""), ("model-package", "/1"))
    ]
    kept = [
        statement
        for statement in document["Statement"]
        if any(fnmatch.filter(things, pattern) for pattern in statement["Resource"])
    ]
    return {**document, "Statement": kept}


def names_role(document: dict[str, Any] | None, caller: str) -> bool:
    """Whether a group's policy lets a role list its versions."""
    return any(
        LIST in statement["Action"]
        and role_arn(caller) in statement["Condition"]["ArnEquals"]["aws:PrincipalArn"]
        for statement in (document or {"Statement": []})["Statement"]
    )


def table(
    evaluator: Evaluator, at: Registry, roles: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, str]]:
    """Role -> column -> cell, for the registry of an environment."""
    environment = at.names.environment
    columns = [
        column
        for column, action in ACTIONS.items()
        # Images live in the hub only.
        if environment == "governance" or not action.startswith("ecr:")
    ]
    return {
        (where, role): {
            column: cell(evaluator, where, role, ACTIONS[column], at) for column in columns
        }
        for where, role in roles
    }


def page(tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]]) -> str:
    parts = [TEXT]
    for title, rows in tables.items():
        columns = list(next(iter(rows.values())))
        parts.append(f"\n## {title}\n\n| account | role | {' | '.join(columns)} |\n")
        parts.append("|" + " --- |" * (len(columns) + 2) + "\n")
        parts += [
            f"| {where} | {role} | {' | '.join(cells[column] for column in columns)} |\n"
            for (where, role), cells in rows.items()
        ]
    return "".join(parts)


@pytest.fixture(scope="module")
def tables(evaluator: Evaluator) -> dict[str, dict[tuple[str, str], dict[str, str]]]:
    dev, hub = registry("dev"), registry("governance")
    rows = [*FUNCTIONS, *project_roles()]
    return {
        "Versions in dev": table(evaluator, dev, ROLES),
        "Versions in the hub": table(evaluator, hub, ROLES),
        "A project's versions in dev": table(evaluator, of_project(dev), rows),
        "A project's versions in the hub": table(evaluator, of_project(hub), rows),
    }


def test_the_page_says_what_the_policies_do(
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]],
    request: pytest.FixtureRequest,
) -> None:
    text = page(tables)
    if request.config.getoption("--update-golden", default=False):
        PAGE.write_text(text)
    assert PAGE.read_text() == text, f"{PAGE.name} differs: review, then --update-golden"


@pytest.mark.parametrize(
    ("title", "environments"),
    [
        ("Versions in the hub", ("dev", "preprod", "prod")),
        ("A project's versions in the hub", ("preprod", "prod")),
    ],
)
def test_by_ram_the_same_roles_reach_the_hubs_versions(
    title: str,
    environments: tuple[str, ...],
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]],
    evaluator: Evaluator,
) -> None:
    """Whatever the share's permission, which is AWS's, says: here it is everything."""
    hub = Names.at(place("governance"))
    name = hub.name(PROJECT)
    share = iam.Statement(
        sid="Share",
        principals={"AWS": [Names.at(place(where)).root_arn for where in environments]},
        actions=["sagemaker:*"],
        resources=[
            hub.arn("sagemaker", f"model-package-group/{name}"),
            hub.arn("sagemaker", f"model-package/{name}/*"),
        ],
    )
    at = replace(registry("governance"), group=iam.document([share]))
    differing = {
        (where, role, column): found
        for (where, role), cells in tables[title].items()
        for column in ("describe", "approve", "create version")
        if (found := cell(evaluator, where, role, ACTIONS[column], at)) != cells[column]
    }
    assert not differing


def test_versions_of_the_hub_are_decided_on_in_the_hub(
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]],
) -> None:
    approving = {
        key for key, cells in tables["Versions in the hub"].items() if cells["approve"] != "no"
    }
    assert approving == {("governance", "ml-engineer")}


def test_nothing_that_runs_for_a_project_decides_on_its_versions(
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]],
) -> None:
    """Neither what registers a version in dev or the hub, nor what deploys it."""
    of = {where: tables[f"A project's versions in {where}"] for where in ("dev", "the hub")}
    for rows in of.values():
        assert {cells["approve"] for cells in rows.values()} == {"no"}
    registering = {
        where: {key for key, cells in rows.items() if cells["create version"] != "no"}
        for where, rows in of.items()
    }
    assert registering == {
        "dev": {("dev", "abalone-pipeline")},
        "the hub": {("governance", "promotion")},
    }


def test_versions_of_dev_are_decided_on_by_the_lead(
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]],
) -> None:
    approving = {
        key for key, cells in tables["Versions in dev"].items() if cells["approve"] != "no"
    }
    assert approving == {("dev", "lead-data-scientist-execution")}


def test_who_reads_an_artifact_can_decrypt_it_too(
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]],
) -> None:
    for rows in tables.values():
        for key, cells in rows.items():
            if cells["read artifact"] != "no":
                assert cells["decrypt"] != "no", key


def test_no_artifact_is_read_from_anywhere(
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]],
) -> None:
    """Only tagged roles reach a bucket from outside of the endpoints."""
    for rows in tables.values():
        anywhere = {key for key, cells in rows.items() if cells["read artifact"] == "yes"}
        jobs = {("dev", f"{persona}-pipeline-execution") for persona in PERSONAS}
        assert anywhere <= {*jobs, ("governance", "promotion")}


def test_promotion_describes_versions_of_dev_by_the_role_that_it_assumes(
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]],
) -> None:
    for title in ("Versions in dev", "A project's versions in dev"):
        assert tables[title]["dev", promotion.READER]["describe"] == "yes"
        assert tables[title]["governance", "promotion"]["read artifact"] == "yes"


def test_running_models_read_the_hub_and_change_nothing(
    tables: Mapping[str, Mapping[tuple[str, str], Mapping[str, str]]],
) -> None:
    for environment in ("dev", "preprod", "prod"):
        cells = tables["Versions in the hub"][environment, "model-execution"]
        assert cells["read artifact"] == "endpoint"
        assert cells["pull image"] == "yes"
        assert cells["decrypt"] in ("endpoint", "service")
        assert {cells[column] for column in ("approve", "create version", "write artifact")} == {
            "no"
        }
