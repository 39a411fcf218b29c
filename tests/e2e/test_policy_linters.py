"""Independent linters over every policy of the stacks, of a project and of their boundary.

parliament and cloudsplaining judge what was deployed, not what the code says; a project's policies
are judged as its program registers them, the boundary as the bootstrap writes it. No finding is
without an explanation: one that is accepted stands in ``accepted_findings.yaml`` with its reason,
and one that no longer occurs fails too.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import iam
from components.baseline_policies import boundary_statements
from components.naming import Names
from tests.e2e.policy_documents import PolicyDocument, policy_documents
from tests.unit import projects

pytestmark = pytest.mark.e2e

DEV = Names("mlops", "dev", "eu-west-1", "222222222222")
ACCEPTED = yaml.safe_load((Path(__file__).parent / "accepted_findings.yaml").read_text())

ATTACHED_TO = {
    ("aws:iam/role:Role", "assumeRolePolicy"): "arn:aws:iam::111111111111:role/any",
    ("aws:ecr/repositoryPolicy:RepositoryPolicy", "policy"): (
        "arn:aws:ecr:eu-west-1:111111111111:repository/any"
    ),
}
CLOUDSPLAINING = {
    "PRIVILEGE_ESCALATION": "allows_privilege_escalation",
    "DATA_EXFILTRATION": "allows_data_exfiltration_actions",
    "RESOURCE_EXPOSURE": "permissions_management_without_constraints",
    "CREDENTIALS_EXPOSURE": "credentials_exposure",
    "SERVICE_WILDCARD": "service_wildcard",
    "INFRASTRUCTURE_MODIFICATION": "infrastructure_modification",
}


@pytest.fixture(scope="module")
def documents(platform: Any) -> list[PolicyDocument]:
    found = [
        document
        for stack, deployment in platform.deployments().items()
        for document in policy_documents(stack, deployment)
    ]
    assert len(found) > 50, "the stacks hold far more policies than were found"
    return [*found, boundary_document(), *project_documents()]


def boundary_document() -> PolicyDocument:
    """The permissions boundary of dev's roles; other environments' have other ARNs."""
    document = iam.document(boundary_statements(DEV))
    return PolicyDocument("bootstrap", "boundary", "aws:iam/policy:Policy", "policy", document)


def project_documents() -> list[PolicyDocument]:
    """What a project registers with each kind of CI, in all accounts."""
    return [
        PolicyDocument(f"project-{ci}", resource.urn, resource.type, key, document)
        for ci in ("codepipeline", "github")
        for resource, key, document in projects.program(ci=ci).documents()
    ]


def parliament_findings(document: PolicyDocument) -> set[str]:
    # Here, as it takes seconds, and all workers collect all tests.
    import parliament

    # It prints what it does not know of; findings are what counts.
    with contextlib.redirect_stdout(io.StringIO()):
        policy = parliament.analyze_policy_string(
            json.dumps(judged(document)), include_community_auditors=False
        )
    return {finding.issue for finding in policy.findings}


def judged(document: PolicyDocument) -> dict[str, Any]:
    """The document as parliament takes it.

    What a trust or a repository's policy is about is what it is attached to. parliament reads no
    action and no condition of a statement without resources, so it is told one of that kind.
    """
    resource = ATTACHED_TO.get((document.type, document.property))
    if resource is None:
        return document.document
    assert not any("Resource" in statement for statement in document.statements), document.name
    statements = [statement | {"Resource": resource} for statement in document.statements]
    return document.document | {"Statement": statements}


def cloudsplaining_findings(document: PolicyDocument) -> set[str]:
    from cloudsplaining.scan.policy_document import PolicyDocument as SplainedPolicy

    if not document.identity or all(s["Effect"] == "Deny" for s in document.statements):
        return set()
    splained = SplainedPolicy(document.document)
    return {name for name, attribute in CLOUDSPLAINING.items() if getattr(splained, attribute)}


def is_accepted(finding: str, document: PolicyDocument) -> dict[str, Any] | None:
    for entry in ACCEPTED:
        if entry["finding"] == finding and any(
            fnmatch.fnmatch(document.name, pattern) for pattern in entry["policies"]
        ):
            return entry
    return None


def test_no_finding_without_a_written_reason(documents: list[PolicyDocument]) -> None:
    unexplained: list[str] = []
    used: list[int] = []
    for document in documents:
        for finding in sorted(parliament_findings(document) | cloudsplaining_findings(document)):
            entry = is_accepted(finding, document)
            if entry is None:
                unexplained.append(f"{finding}: {document.name}")
            else:
                used.append(id(entry))
    assert not unexplained, "\n".join(unexplained)
    stale = [entry for entry in ACCEPTED if id(entry) not in used]
    assert not stale, f"no longer found, drop it in accepted_findings.yaml: {stale}"


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({}, set()),
        ({"Action": "sts:AsumeRole"}, {"UNKNOWN_ACTION"}),
        ({"Condition": {"StringEquls": {"aws:SourceAccount": "1"}}}, {"UNKNOWN_OPERATOR"}),
        (
            {"Condition": {"StringEquals": {"aws:SourceAcount": "1"}}},
            {"UNKNOWN_CONDITION_FOR_ACTION"},
        ),
    ],
)
def test_a_misspelt_trust_policy_is_seen(change: dict[str, Any], finding: set[str]) -> None:
    statement = {
        "Sid": "Trust",
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": "1"}},
    }
    document = {"Version": "2012-10-17", "Statement": [statement | change]}
    trust = PolicyDocument("dev", "urn", "aws:iam/role:Role", "assumeRolePolicy", document)
    assert parliament_findings(trust) == finding


def test_every_accepted_finding_has_a_reason() -> None:
    for entry in ACCEPTED:
        assert len(entry["reason"]) > 30, entry


def test_every_statement_has_a_sid(documents: list[PolicyDocument]) -> None:
    without = [
        document.name
        for document in documents
        if not all(s.get("Sid") for s in document.statements)
    ]
    assert not without


def test_no_wildcard_principal_without_a_condition(documents: list[PolicyDocument]) -> None:
    open_to_all = [
        f"{document.name}: {statement['Sid']}"
        for document in documents
        for statement in document.statements
        if statement["Effect"] == "Allow"
        and statement.get("Principal") in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        and not statement.get("Condition")
    ]
    assert not open_to_all
