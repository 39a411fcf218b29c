"""One page of the platform as it stands, from the stacks' real state.

Self-contained HTML: no scripts, no assets from elsewhere, light and dark. Secret values are never
in it: only the properties named here are read, and none of them is secret.
"""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from automation.runs import StackRun
from automation.summary import changes_text

Resources = Sequence[Mapping[str, Any]]

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--accent:#2563eb}
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}
td,th{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid var(--line)}
code{font-size:.85em;overflow-wrap:anywhere}svg{width:100%;height:auto}
svg text{fill:currentColor;font:13px system-ui}svg rect{fill:var(--soft);stroke:var(--line)}
svg path{stroke:var(--accent);fill:none}svg marker path{fill:var(--accent)}
details{margin:.4rem 0;padding-left:.6rem;border-left:2px solid var(--line)}
summary{cursor:pointer;font-weight:600}
@media(max-width:40rem){
table,tbody,tr,td{display:block}tr:first-child{display:none}
tr{margin:.6rem 0;border:1px solid var(--line);border-radius:.4rem}
td{border:0;overflow-wrap:anywhere}td::before{content:attr(data-label) ": ";font-weight:600}
}
"""


def _resources(deployment: Mapping[str, Any]) -> Resources:
    return deployment.get("resources") or []


def _of(deployment: Mapping[str, Any], type_: str) -> Iterator[Mapping[str, Any]]:
    for resource in _resources(deployment):
        if resource["type"] == type_:
            yield {**(resource.get("inputs") or {}), **(resource.get("outputs") or {})}


class Markup(str):
    """HTML that is safe as it is: everything else is escaped."""

    __slots__ = ()


def cell(value: Any) -> str:
    """A value as HTML: each item of a list on a line of its own, identifiers as code."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, (list, tuple)):
        return "<br>".join(cell(item) for item in value)
    text = html.escape(str(value))
    return f"<code>{text}</code>" if text.startswith(("arn:", "vpc", "subnet-", "sg-")) else text


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table as HTML; on a narrow screen each row is a block that names its columns.

    Args:
        head: The columns' names.
        rows: Their values, for :func:`cell`.
    """
    if not rows:
        return "<p>none</p>"
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{html.escape(name)}">{cell(value)}</td>'
            for name, value in zip(head, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{html.escape(h)}</th>' for h in head)}</tr>{body}</table>"


def document(title: str, body: str) -> str:
    """A whole page.

    Args:
        title: Its title and heading, not yet escaped.
        body: What follows the heading, as HTML.
    """
    known_as = html.escape(title)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{known_as}</title><style>{_STYLE}</style><h1>{known_as}</h1>{body}</html>\n"
    )


def _listed(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _who(statement: Mapping[str, Any]) -> list[str]:
    condition = statement.get("Condition") or {}
    for operator in ("ArnEquals", "ArnLike"):
        if "aws:PrincipalArn" in condition.get(operator, {}):
            return _listed(condition[operator]["aws:PrincipalArn"])
    principal = statement.get("Principal")
    if isinstance(principal, dict):
        return [who for kind in principal.values() for who in _listed(kind)]
    return ["everybody in the condition"] if principal else []


_CARRIERS = {
    "aws:s3/bucketPolicy:BucketPolicy": ("policy", "bucket"),
    "aws:kms/key:Key": ("policy", "description"),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": ("policy", "repository"),
    "aws:sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy": (
        "resourcePolicy",
        "modelPackageGroupName",
    ),
}
"""Type -> the property with its policy, and the one that names what is guarded."""


def across_accounts(
    deployment: Mapping[str, Any], account: str
) -> list[tuple[str, list[str], list[str], str]]:
    """Grants to other accounts in one stack: what, to whom, which actions, by which statement."""
    found: list[tuple[str, list[str], list[str], str]] = []
    for statement, name in _allowed(deployment):
        foreign = [
            who
            for who in _who(statement)
            if who.startswith("arn:") and who.split(":")[4] not in ("", account)
        ]
        if foreign:
            found.append(
                (name, foreign, _listed(statement["Action"]), str(statement.get("Sid", "")))
            )
    return found


def _allowed(deployment: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Every statement that allows something, in a policy or a share, with the resource's name."""
    for type_, (policy, name) in _CARRIERS.items():
        for resource in _of(deployment, type_):
            document = json.loads(resource.get(policy) or "{}")
            for statement in document.get("Statement", []):
                if statement["Effect"] == "Allow":
                    yield statement, str(resource.get(name))
    for share in _of(deployment, "aws:ram/resourceShare:ResourceShare"):
        yield from _shared(deployment, share)


def _shared(
    deployment: Mapping[str, Any], share: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, Any], str]]:
    """What a share of AWS RAM allows, as a statement for each resource in it."""
    partition = str(share.get("arn", "arn:aws")).split(":")[1]
    accounts = [
        f"arn:{partition}:iam::{held['principal']}:root"
        for held in _of(deployment, "aws:ram/principalAssociation:PrincipalAssociation")
        if held["resourceShareArn"] == share.get("arn")
    ]
    allowed = {
        "Sid": "AWS RAM",
        "Principal": {"AWS": accounts},
        "Action": [arn.rpartition("/")[2] for arn in share["permissionArns"]],
    }
    for held in _of(deployment, "aws:ram/resourceAssociation:ResourceAssociation"):
        if held["resourceShareArn"] == share.get("arn"):
            yield allowed, str(held["resourceArn"]).rpartition("/")[2]


def granted(hub: Mapping[str, Any], accounts: Mapping[str, str]) -> list[str]:
    """The environments that the hub's policies grant something to, in the order of the accounts.

    An account that several environments share is told apart by the role's name, which carries the
    environment; a grant to such an account as a whole is one to all of them.

    Args:
        hub: What the hub's stack holds.
        accounts: Environment -> account id.
    """
    found: set[str] = set()
    for statement, _ in _allowed(hub):
        for who in _who(statement):
            parts = who.split(":", 5)
            if len(parts) < 6:
                continue
            there = [env for env, account in accounts.items() if account == parts[4]]
            named = [env for env in there if f"-{env}-" in parts[5]]
            whole = parts[5] == "root" and "governance" not in there
            found |= set(there if len(there) == 1 or whole else named)
    return [env for env in accounts if env in found and env != "governance"]


def _picture(accounts: Mapping[str, str], readers: Collection[str]) -> str:
    others = [name for name in accounts if name != "governance"]
    width = max(930, 310 * len(others))
    boxes = [_box(width // 2 - 135, 10, "governance (hub)", accounts.get("governance", ""))]
    arrows: list[str] = []
    for index, name in enumerate(others):
        x = 20 + index * 310
        boxes.append(_box(x, 180, name, accounts[name]))
        if name in readers:
            arrows.append(
                f'<path d="M{x + 120},180 L{width // 2 - 15},84" marker-end="url(#tip)">'
                f"<title>{html.escape(name)} is granted access by the hub</title></path>"
            )
    return (
        f'<svg viewBox="0 0 {width} 260" role="img" '
        'aria-label="Accounts, and to whom the hub grants access">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
        + "".join(arrows)
        + "".join(boxes)
        + "</svg>"
    )


def _box(x: int, y: int, name: str, account: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="240" height="70" rx="8"/>'
        f'<text x="{x + 16}" y="{y + 30}" font-weight="600">{html.escape(name)}</text>'
        f'<text x="{x + 16}" y="{y + 52}">{html.escape(account)}</text>'
    )


def _given_network(
    deployment: Mapping[str, Any],
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows of a network that the company had before: the stack's outputs alone know it."""
    for outputs in _of(deployment, "pulumi:pulumi:Stack"):
        if outputs.get("vpc_id"):
            endpoints = ", ".join(sorted(outputs.get("endpoint_ids") or {}))
            had = "the company's own"
            return (
                [(outputs["vpc_id"], had, endpoints)],
                [(subnet, had, "") for subnet in outputs.get("private_subnet_ids") or []],
            )
    return [], []


def _environment(name: str, deployment: Mapping[str, Any], account: str) -> str:
    roles = [
        (
            role["name"],
            str(role.get("permissionsBoundary", "none")).rpartition("/")[2],
            sorted(
                {
                    who
                    for statement in json.loads(role["assumeRolePolicy"])["Statement"]
                    for who in _who(statement)
                }
            ),
        )
        for role in _of(deployment, "aws:iam/role:Role")
    ]
    keys = [
        (key.get("description", ""), "yes" if key.get("enableKeyRotation") else "no", key["arn"])
        for key in _of(deployment, "aws:kms/key:Key")
    ]
    endpoints = sorted(
        str(endpoint["serviceName"]).partition("com.amazonaws.")[2] or endpoint["serviceName"]
        for endpoint in _of(deployment, "aws:ec2/vpcEndpoint:VpcEndpoint")
    )
    network: list[tuple[Any, ...]] = [
        (vpc.get("id") or vpc.get("vpcId", ""), vpc["cidrBlock"], ", ".join(endpoints))
        for vpc in _of(deployment, "aws:ec2/vpc:Vpc")
    ]
    subnets: list[tuple[Any, ...]] = [
        (subnet.get("subnetId", ""), subnet["cidrBlock"], subnet["availabilityZone"])
        for subnet in _of(deployment, "aws:ec2/subnet:Subnet")
    ]
    if not network:
        network, subnets = _given_network(deployment)
    buckets = [(bucket["bucket"],) for bucket in _of(deployment, "aws:s3/bucket:Bucket")]
    groups = [
        (group["modelPackageGroupName"], group["arn"])
        for group in _of(deployment, "aws:sagemaker/modelPackageGroup:ModelPackageGroup")
    ]
    images = [(image["name"],) for image in _of(deployment, "aws:ecr/repository:Repository")]
    shared = across_accounts(deployment, account)
    sections = (
        ("Network", table(("VPC", "block", "endpoints"), network)),
        ("Subnets", table(("subnet", "block", "zone"), subnets)),
        ("Roles", table(("role", "boundary", "who may assume it"), roles)),
        ("Keys", table(("purpose", "rotated", "key"), keys)),
        ("Buckets", table(("bucket",), buckets)),
        ("Model package groups", table(("group", "ARN"), groups)),
        ("Image repositories", table(("repository",), images)),
        (
            "Read from other accounts",
            table(("what", "by whom", "actions", "statement"), shared),
        ),
    )
    return f"<h2>{html.escape(name)} <small>{html.escape(account)}</small></h2>" + "".join(
        f"<h3>{title}</h3>{content}" for title, content in sections
    )


def page(
    deployments: Mapping[str, Mapping[str, Any]],
    accounts: Mapping[str, str],
    runs: Sequence[StackRun],
) -> str:
    """The page's HTML."""
    summary = table(
        ("stack", "resources", "changes", "policies", "time"),
        [
            (
                run.stack,
                run.resources,
                changes_text(run),
                f"{sum(v.mandatory for v in run.violations)} broken, "
                f"{sum(not v.mandatory for v in run.violations)} notes",
                f"{run.seconds:.0f} s",
            )
            for run in runs
        ],
    )
    body = "".join(
        _environment(name, deployment, accounts[name]) for name, deployment in deployments.items()
    )
    return document(
        "The platform as it stands",
        "<p>From the stacks' state. Arrows: to whom the hub's policies grant access.</p>"
        f"{_picture(accounts, granted(deployments.get('governance', {}), accounts))}"
        f"{summary}{body}",
    )


def write(
    path: Path,
    deployments: Mapping[str, Mapping[str, Any]],
    accounts: Mapping[str, str],
    runs: Sequence[StackRun],
) -> None:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(deployments, accounts, runs), encoding="utf-8")
