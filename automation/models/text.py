"""Versions as text for people, and as values for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from automation.models.hub import Model, person
from automation.models.lineage import Part
from functions.deployment.history import Attempt

_SHOWN_METRICS = 3
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
Verified = Mapping[tuple[str, str], str]
"""(version's ARN, environment) -> what its endpoint says."""


def age(since: datetime, now: datetime) -> str:
    """A time as its distance from now, in its largest unit."""
    seconds = max(0, int((now - since).total_seconds()))
    size, unit = next(((s, u) for s, u in _UNITS if seconds >= s), _UNITS[-1])
    return f"{seconds // size} {unit}"


def number(value: Any) -> str:
    """A metric's value: four significant digits of a fraction, all of a whole number."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def short_metrics(model: Model) -> str:
    """A version's main metrics: those whose names have one part, before those that qualify them."""
    if model.card is None:
        return "" if model.card_read else "not read"
    metrics = model.card.metrics()
    main = [item for item in metrics if "." not in item[0]] or metrics
    return ", ".join(f"{name} {number(value)}" for name, value in main[:_SHOWN_METRICS])


def moment(time: datetime | None) -> str:
    """A time for people, in UTC; empty for none."""
    return f"{time:%Y-%m-%d %H:%M} UTC" if time is not None else ""


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def table(models: Sequence[Model], now: datetime, verified: Verified | None = None) -> str:
    """A list of versions, a line each."""
    if not models:
        return "There is no such version."
    rows = [("VERSION", "STATUS", "SERVES", "METRICS", "DECIDED BY", "AGE", "SOURCE")]
    rows += [
        (
            model.label,
            model.version.approval.value,
            ", ".join(model.serves) or "-",
            short_metrics(model) or "-",
            person(model.decided_by) or "-",
            age(model.created, now),
            model.source.partition(":model-package/")[2] or "-",
        )
        for model in models
    ]
    lines = _columns(rows)
    unread = sum(not model.card_read for model in models)
    if unread:
        lines.append(f"{unread} older versions' metrics were not read: --metrics all reads them.")
    for model in models:
        for environment in model.serves:
            told = (verified or {}).get((model.version.arn, environment))
            if told:
                lines.append(f"{model.label} in {environment}: {told}")
    return "\n".join(lines)


def values(model: Model, verified: Verified | None = None) -> dict[str, Any]:
    """A version as values that JSON can hold."""
    serves: dict[str, str | None] = {
        environment: (verified or {}).get((model.version.arn, environment))
        for environment in model.serves
    }
    return {
        "version": model.label,
        "arn": model.version.arn,
        "group": model.version.group,
        "status": model.version.approval.value,
        "source": model.source or None,
        "metrics": dict(model.card.metrics()) if model.card else ({} if model.card_read else None),
        "decided_by": model.decided_by or None,
        "decided_at": moment(model.decided_at) or None,
        "decided_because": model.decided_because or None,
        "serves": serves,
        "created": model.created.isoformat(),
    }


def facts(model: Model) -> list[tuple[str, list[tuple[str, str]]]]:
    """What there is to tell of a version: title -> name and value of each fact."""
    description = model.version.description
    specification: Mapping[str, Any] = description.get("InferenceSpecification") or {}
    runs: list[tuple[str, str]] = []
    for container in model.version.containers:
        data = (container.get("ModelDataSource") or {}).get("S3DataSource") or {}
        runs += [
            ("image", str(container.get("Image", ""))),
            ("image digest", str(container.get("ImageDigest", ""))),
            ("model data", str(container.get("ModelDataUrl") or data.get("S3Uri", ""))),
            ("environment", _pairs(container.get("Environment") or {})),
        ]
    for title, member in (
        ("takes", "SupportedContentTypes"),
        ("answers", "SupportedResponseMIMETypes"),
        ("instances", "SupportedRealtimeInferenceInstanceTypes"),
    ):
        runs.append((title, ", ".join(specification.get(member) or ())))
    about = [
        ("status", model.version.approval.value),
        ("SageMaker's status", str(description.get("ModelPackageStatus", ""))),
        ("ARN", model.version.arn),
        ("registered in the hub", moment(model.created)),
        ("description", str(description.get("ModelPackageDescription") or "")),
        ("serves", ", ".join(model.serves) or "nowhere"),
    ]
    decision = [
        ("by", model.decided_by),
        ("changed last", moment(model.decided_at)),
        ("why", model.decided_because),
    ]
    found = [("Version", about), ("Inference", runs), ("Approval in the registry", decision)]
    if model.card is not None:
        found += _card(model)
    else:
        absent = "it has none" if model.card_read else "not read"
        found.append(("Model card", [("card", absent)]))
    return [(title, [fact for fact in items if fact[1]]) for title, items in found]


def _card(model: Model) -> list[tuple[str, list[tuple[str, str]]]]:
    card = model.card
    assert card is not None  # noqa: S101 - asked for only with one
    uses, overview = card.section("intended_uses"), card.section("model_overview")
    own = card.section("additional_information", "custom_details")
    return [
        (
            "Model card",
            [
                ("card", f"{card.name} version {card.version} ({card.status})"),
                ("purpose", str(uses.get("purpose_of_model") or "")),
                ("intended uses", str(uses.get("intended_uses") or "")),
                ("risk", str(uses.get("risk_rating") or "")),
                ("risk explained", str(uses.get("explanations_for_risk_rating") or "")),
                ("owner", str(overview.get("model_owner") or "")),
                ("creator", str(overview.get("model_creator") or "")),
            ],
        ),
        ("Metrics", [(name, number(value)) for name, value in card.metrics()]),
        (
            "Training",
            [(name, number(value)) for name, value in card.training() if value is not None],
        ),
        (
            "Approvals on the card",
            [
                (name, str(value))
                for name, value in sorted(own.items())
                if name.endswith(("ApprovedBy", "ApprovedAt", "ApprovalReason", "Execution"))
            ],
        ),
    ]


def _pairs(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(told.items()))


HISTORY = ("requested", "environment", "kind", "status", "asked by", "approved by", "run", "why")
"""Columns of :func:`history`."""


def history(attempts: Sequence[Attempt]) -> list[tuple[str, ...]]:
    """Deployments as rows, oldest first."""
    return [
        (
            attempt.requested_at,
            f"{attempt.environment} #{attempt.sequence}",
            attempt.kind.value,
            attempt.status.value,
            person(attempt.requested_by) or "-",
            person(attempt.approved_by) or "-",
            attempt.execution or "-",
            " ".join((attempt.approval_reason or attempt.reason).split()) or "-",
        )
        for attempt in attempts
    ]


def whole(model: Model) -> str:
    """Everything of a version."""
    lines = [model.label]
    for title, items in facts(model):
        if items:
            lines += ["", title, *(f"  {name}: {value}" for name, value in items)]
    lines += ["", "Deployments"]
    rows = history(model.attempts)
    lines += (
        [f"  {line}" for line in _columns([tuple(name.upper() for name in HISTORY), *rows])]
        if rows
        else ["  none"]
    )
    return "\n".join(lines)


def origin(model: Model, parts: Sequence[Part]) -> str:
    """A version's lineage, each part with where to look it up."""
    lines = [model.label]
    for part in parts:
        lines += [f"  {part.name}: {part.value or 'MISSING'}", f"      {part.where}"]
    return "\n".join(lines)
