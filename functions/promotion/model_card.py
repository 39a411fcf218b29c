"""The content of a central version's model card, by SageMaker's model card schema.

What people wrote into the source version's own card is kept. Purpose, risk and owners come from its
customer metadata where the card does not say them, evaluation from its metric reports. The same
source gives the same content, byte for byte, so that a repeated promotion changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from .events import Source

Json = dict[str, Any]

_NAME_MAX = 63  # of a model card's name, in SageMaker's API
_CONTENT_MAX = 100_000  # characters of a card's content
_METRICS_PER_GROUP = 50
_DATASETS = 15
_PARAMETERS = 100
_GROUPS_PER_REPORT = 20
_RATINGS = ("High", "Medium", "Low", "Unknown")

# (customer metadata of the source version, card's section, field in it)
_FROM_METADATA = (
    ("Purpose", "intended_uses", "purpose_of_model"),
    ("IntendedUses", "intended_uses", "intended_uses"),
    ("RiskExplanation", "intended_uses", "explanations_for_risk_rating"),
    ("ModelOwner", "model_overview", "model_owner"),
    ("ModelCreator", "model_overview", "model_creator"),
    ("AlgorithmType", "model_overview", "algorithm_type"),
    ("BusinessProblem", "business_details", "business_problem"),
    ("BusinessStakeholders", "business_details", "business_stakeholders"),
    ("LineOfBusiness", "business_details", "line_of_business"),
    ("EthicalConsiderations", "additional_information", "ethical_considerations"),
    ("Caveats", "additional_information", "caveats_and_recommendations"),
)


def _text(most: int) -> Json:
    return {"type": "string", "maxLength": most}


def _object(properties: Json, *required: str) -> Json:
    made: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**made, "required": list(required)} if required else made


def _array(items: Json, most: int | None = None) -> Json:
    return {"type": "array", "items": items} | ({} if most is None else {"maxItems": most})


def _metric(kind: list[str], value: Json) -> Json:
    return _object(
        {
            "name": {"type": "string", "pattern": "^.{1,255}$"},
            "notes": _text(1024),
            "type": {"type": "string", "enum": kind},
            "value": value,
            "x_axis_name": {"type": ["string", "array"]},
            "y_axis_name": {"type": ["string", "array"]},
        },
        "name",
        "type",
        "value",
    )


_TRAINING_METRIC = _object({"name": _text(255), "notes": _text(1024), "value": {"type": "number"}},
                           "name", "value")  # fmt: skip
_HYPER_PARAMETER = _object({"name": _text(255), "value": _text(1024)}, "name", "value")

SCHEMA: Json = _object(
    {
        "model_overview": _object(
            {
                "model_id": _text(1024),
                "model_name": _text(1024),
                "model_description": _text(1024),
                "model_version": {"type": "number", "minimum": 1},
                "problem_type": _text(1024),
                "algorithm_type": _text(1024),
                "model_creator": _text(1024),
                "model_owner": _text(1024),
                "model_artifact": _array(_text(1024), 15),
                "inference_environment": _object({"container_image": _array(_text(1024), 15)}),
            }
        ),
        "business_details": _object(
            {
                "business_problem": _text(2048),
                "business_stakeholders": _text(2048),
                "line_of_business": _text(2048),
            }
        ),
        "intended_uses": _object(
            {
                "purpose_of_model": _text(2048),
                "intended_uses": _text(2048),
                "factors_affecting_model_efficiency": _text(2048),
                "risk_rating": {"type": "string", "enum": list(_RATINGS)},
                "explanations_for_risk_rating": _text(2048),
            }
        ),
        "training_details": _object(
            {
                "objective_function": _object(
                    {
                        "function": _object(
                            {
                                "function": {"type": "string", "enum": ["Maximize", "Minimize"]},
                                "facet": _text(63),
                                "condition": _text(63),
                            }
                        ),
                        "notes": _text(1024),
                    }
                ),
                "training_observations": _text(1024),
                "training_job_details": _object(
                    {
                        "training_arn": _text(1024),
                        "training_datasets": _array(_text(1024), 15),
                        "training_environment": _object(
                            {"container_image": _array(_text(1024), 15)}
                        ),
                        "training_metrics": _array(_TRAINING_METRIC, 50),
                        "user_provided_training_metrics": _array(_TRAINING_METRIC, 50),
                        "hyper_parameters": _array(_HYPER_PARAMETER, 100),
                        "user_provided_hyper_parameters": _array(_HYPER_PARAMETER, 100),
                    }
                ),
            }
        ),
        "evaluation_details": _array(
            _object(
                {
                    "name": {"type": "string", "pattern": "^.{1,63}$"},
                    "evaluation_observation": _text(2096),
                    "evaluation_job_arn": _text(256),
                    "datasets": _array(_text(1024), 10),
                    "metadata": {"type": "object", "additionalProperties": _text(1024)},
                    "metric_groups": _array(
                        _object(
                            {
                                "name": {"type": "string", "pattern": "^.{1,63}$"},
                                "metric_data": _array(
                                    {
                                        "anyOf": [
                                            _metric(
                                                ["number", "string", "boolean"],
                                                {"type": ["number", "string", "boolean"]},
                                            ),
                                            _metric(
                                                ["linear_graph", "bar_chart", "matrix"],
                                                {"type": "array"},
                                            ),
                                        ]
                                    }
                                ),
                            },
                            "name",
                            "metric_data",
                        )
                    ),
                },
                "name",
            )
        ),
        "additional_information": _object(
            {
                "ethical_considerations": _text(2048),
                "caveats_and_recommendations": _text(2048),
                "custom_details": {"type": "object", "additionalProperties": _text(1024)},
            }
        ),
    }
)
"""SageMaker's model card schema, in the parts that a card about a version has.

Source: "Model card JSON schema" in the SageMaker developer guide.
"""


def violations(value: Any, schema: Json = SCHEMA, path: str = "card") -> list[str]:
    """What of a value the schema does not allow; it knows the keywords that :data:`SCHEMA` uses."""
    if "anyOf" in schema:
        choices = [violations(value, choice, path) for choice in schema["anyOf"]]
        return [] if [] in choices else min(choices, key=len)
    kinds = schema.get("type", [])
    if kinds and not any(
        _is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)
    ):
        return [f"{path} is not of type {kinds}"]
    found: list[str] = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path} is none of {', '.join(schema['enum'])}")
    if isinstance(value, str):
        if len(value) > schema.get("maxLength", len(value)):
            found.append(f"{path} has more than {schema['maxLength']} characters")
        if "pattern" in schema and not re.search(schema["pattern"], value):
            found.append(f"{path} does not match {schema['pattern']}")
    elif isinstance(value, list):
        items = cast(list[Any], value)
        if len(items) > schema.get("maxItems", len(items)):
            found.append(f"{path} has more than {schema['maxItems']} items")
        for index, item in enumerate(items if "items" in schema else ()):
            found += violations(item, schema["items"], f"{path}[{index}]")
    elif isinstance(value, dict):
        members = cast(Json, value)
        found += [
            f"{path} has no {name}" for name in schema.get("required", ()) if name not in members
        ]
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for name, item in members.items():
            if name in known:
                found += violations(item, known[name], f"{path}.{name}")
            elif others is False:
                found.append(f"{path} must not have {name}")
            else:
                found += violations(item, others, f"{path}.{name}")
    elif "minimum" in schema and value < schema["minimum"]:
        found.append(f"{path} is less than {schema['minimum']}")
    return found


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    types: dict[str, Any] = {"string": str, "number": (int, float), "array": list, "object": dict}
    return kind in types and isinstance(value, types[kind])


def card_name(group: str, version: int) -> str:
    """The card's name: central group and version, and a hash where the group's name is too long."""
    name = f"{group}-v{version}"
    if len(name) > _NAME_MAX:
        mark = hashlib.sha256(group.encode()).hexdigest()[:8]
        tail = f"-{mark}-v{version}"
        name = group[: _NAME_MAX - len(tail)].rstrip("-") + tail
    return name


@dataclass(frozen=True)
class Report:
    """A metric report of a version.

    Attributes:
        name: Such as ``ModelQuality.Statistics``.
        uri: Where its copy is.
        content: The parsed JSON; None when it is none, or too large to read.
    """

    name: str
    uri: str
    content: Any


def metric_groups(content: Any) -> list[Json]:
    """A report's numbers by its uppermost names; the schema has no place for deeper ones.

    ``{"regression_metrics": {"mse": {"value": 4.5}}}`` becomes the group ``regression_metrics``
    with the metric ``mse``.
    """
    if not isinstance(content, dict):
        return []
    groups: list[Json] = []
    loose: list[Json] = []
    for name, value in cast(Json, content).items():
        if isinstance(value, dict):
            found = [_named(path, leaf) for path, leaf in _leaves(cast(Json, value))]
            data = [metric for metric in found if metric is not None]
            if data and name:
                groups.append({"name": name[:63], "metric_data": data[:_METRICS_PER_GROUP]})
        elif (metric := _named(name, value)) is not None:
            loose.append(metric)
    if loose:
        groups.append({"name": "metrics", "metric_data": loose[:_METRICS_PER_GROUP]})
    return [group for group in groups if not violations(group, _GROUP)][:_GROUPS_PER_REPORT]


_GROUP: Json = SCHEMA["properties"]["evaluation_details"]["items"]["properties"]["metric_groups"][
    "items"
]


def _leaves(value: Json, path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, item in value.items():
        # A metric's own number is its "value"; what else is said of it keeps its name.
        below = path if name == "value" and path else f"{path}.{name}".strip(".")
        if isinstance(item, dict):
            found += _leaves(cast(Json, item), below)
        else:
            found.append((below, item))
    return found


def _named(name: str, value: Any) -> Json | None:
    name = " ".join(name.split())[:255]
    if not name:
        return None
    if isinstance(value, bool):
        return {"name": name, "type": "boolean", "value": value}
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return {"name": name, "type": "number", "value": value}
    if isinstance(value, float) or value in ("NaN", "Infinity", "-Infinity"):
        # JSON has no such numbers.
        return {"name": name, "type": "string", "value": str(value)}
    return None


def training_job_details(job: Mapping[str, Any]) -> Json:
    """What a card says of the job that trained a model.

    Args:
        job: As ``DescribeTrainingJob`` tells it.
    """
    channels: list[Mapping[str, Any]] = job.get("InputDataConfig") or []
    places = (channel.get("DataSource", {}).get("S3DataSource", {}) for channel in channels)
    datasets = [str(place["S3Uri"])[:1024] for place in places if place.get("S3Uri")]
    image = (job.get("AlgorithmSpecification") or {}).get("TrainingImage")
    parameters: Mapping[str, str] = job.get("HyperParameters") or {}
    metrics = [
        {"name": str(metric["MetricName"])[:255], "value": float(metric["Value"])}
        for metric in job.get("FinalMetricDataList") or []
        # JSON has no other numbers.
        if math.isfinite(float(metric["Value"]))
    ]
    told: Json = {
        "training_arn": str(job["TrainingJobArn"])[:1024],
        "training_datasets": datasets[:_DATASETS],
        "training_environment": {"container_image": [image[:1024]] if image else []},
        "training_metrics": metrics[:_METRICS_PER_GROUP],
        "hyper_parameters": [
            {"name": name[:255], "value": value[:1024]}
            for name, value in sorted(parameters.items())
        ][:_PARAMETERS],
    }
    return {name: value for name, value in told.items() if value}


def merged(standing: str, made: str) -> str:
    """A standing card with what it does not say yet; the same text when nothing is missing.

    Where both say something, the standing card keeps it: people and the approvals of deployments
    write there too, and a promotion may be repeated after them. The exception is where a version
    comes from (``custom_details`` that the function writes), which is no matter of opinion.

    Args:
        standing: The content that the card has.
        made: The content that the function would make it with.
    """
    try:
        before: Any = json.loads(standing)
    except ValueError:
        return standing
    if not isinstance(before, dict):
        return standing
    known = cast(Json, before)
    new: Json = json.loads(made)
    after = _joined(known, new)
    information = after.get("additional_information")
    if isinstance(information, dict):
        kept = cast(Json, information)
        details = kept.get("custom_details")
        facts: Json = new["additional_information"]["custom_details"]
        if isinstance(details, dict):
            kept["custom_details"] = {**cast(Json, details), **facts}
    text = json.dumps(after, sort_keys=True)
    # A card may be older or newer than the schema known here: it is not made worse.
    worse = set(violations(after)) - set(violations(known))
    return standing if after == known or worse or len(text) > _CONTENT_MAX else text


def _joined(standing: Json, made: Json) -> Json:
    """Two objects as one; lists of what has names are joined by them."""
    found = dict(standing)
    for name, value in made.items():
        have = found.get(name)
        if name not in found:
            found[name] = value
        elif isinstance(have, dict) and isinstance(value, dict):
            found[name] = _joined(cast(Json, have), cast(Json, value))
        elif name == "evaluation_details" and isinstance(have, list):
            items = cast(list[Any], have)
            names = {cast(Json, item).get("name") for item in items if isinstance(item, dict)}
            found[name] = items + [item for item in value if item["name"] not in names]
    return found


def card_content(
    description: Mapping[str, Any],
    source: Source,
    *,
    central: Mapping[str, str],
    artifacts: list[str],
    images: list[str],
    reports: list[Report],
    owner: str,
    training: Mapping[str, Any] | None = None,
) -> str:
    """The content of a card, as JSON text that satisfies the schema.

    Args:
        description: The source version.
        source: Its ARN.
        central: What the central version records about it, as ``CommitId``; see
            :func:`.registry.central_metadata`.
        artifacts: S3 URIs of the central version's model data.
        images: Its container images.
        reports: Its metric reports.
        owner: Who owns models that do not say so.
        training: ``DescribeTrainingJob`` of the job that trained it, where that is known.
    """
    card = _inherited(description)
    metadata: Mapping[str, str] = description.get("CustomerMetadataProperties") or {}
    for key, section, name in _FROM_METADATA:
        _say(card, section, name, metadata.get(key))
    rating = str(metadata.get("RiskRating", "")).capitalize()
    _say(card, "intended_uses", "risk_rating", rating if rating in _RATINGS else "Unknown")
    _say(card, "intended_uses", "purpose_of_model", description.get("ModelPackageDescription"))
    _say(card, "model_overview", "model_description", description.get("ModelPackageDescription"))
    _say(card, "model_overview", "problem_type", description.get("Task"))
    creator: Mapping[str, Any] = description.get("CreatedBy") or {}
    _say(card, "model_overview", "model_creator", creator.get("UserProfileName"))
    _say(card, "model_overview", "model_owner", owner)
    overview = card.setdefault("model_overview", {})
    # Places of the source account mean nothing to readers of the hub.
    overview["model_artifact"] = artifacts[:15]
    overview["inference_environment"] = {"container_image": images[:15]}
    told = ", ".join(
        f"{label} {central[key]}"
        for key, label in (
            ("PipelineExecutionArn", "pipeline execution"),
            ("CommitId", "commit"),
            ("DataVersion", "data version"),
            ("ProjectId", "project"),
        )
        if key in central
    )
    _say(card, "training_details", "training_observations", told)
    if training:
        section = card.setdefault("training_details", {})
        # What people add has names of its own there (user_provided_…), and stays.
        section["training_job_details"] = {
            **section.get("training_job_details", {}),
            **training_job_details(training),
        }
    names = {report.name for report in reports}
    kept = [item for item in card.get("evaluation_details", ()) if item["name"] not in names]
    card["evaluation_details"] = kept + [
        {
            "name": report.name[:63],
            "datasets": [report.uri],
            "metric_groups": metric_groups(report.content),
        }
        for report in reports
    ]
    details = card.setdefault("additional_information", {}).setdefault("custom_details", {})
    details.update({key: value[:1024] for key, value in central.items()})
    details["SourceAccount"] = source.account
    return _fitted(card, [*central, "SourceAccount"])


def _inherited(description: Mapping[str, Any]) -> Json:
    """What of the source version's card the schema allows."""
    text = (description.get("ModelCard") or {}).get("ModelCardContent") or "{}"
    try:
        card: Any = json.loads(text)
    except ValueError:
        return {}
    known: Json = SCHEMA["properties"]
    sections = cast(Json, card) if isinstance(card, dict) else {}
    kept: Json = {}
    for name, value in sections.items():
        if name not in known:
            continue
        if not violations(value, known[name]):
            kept[name] = value
        elif isinstance(value, dict):
            fields: Json = known[name].get("properties", {})
            kept[name] = {
                field: item
                for field, item in cast(Json, value).items()
                if field in fields and not violations(item, fields[field])
            }
    return kept


def _say(card: Json, section: str, name: str, value: Any) -> None:
    """Sets a field that nothing has said yet."""
    if value:
        schema = SCHEMA["properties"][section]["properties"][name]
        text = str(value)[: schema.get("maxLength", len(str(value)))]
        card.setdefault(section, {}).setdefault(name, text)


def _fitted(card: Json, own: list[str]) -> str:
    """The card's text, without the largest metric groups where it would be too long."""
    text = json.dumps(card, sort_keys=True, allow_nan=False)
    while len(text) > _CONTENT_MAX:
        groups = [item for item in card["evaluation_details"] if item.get("metric_groups")]
        if groups:
            largest = max(groups, key=lambda item: len(json.dumps(item["metric_groups"])))
            largest["metric_groups"].pop()
        else:
            # What the function knows must stay; what people wrote is in the source's card too.
            details: Json = card["additional_information"]["custom_details"]
            card = {
                "model_overview": card["model_overview"],
                "additional_information": {"custom_details": {key: details[key] for key in own}},
            }
        text = json.dumps(card, sort_keys=True, allow_nan=False)
    wrong = violations(card)
    if wrong:
        raise ValueError(f"The model card is not by the schema: {'; '.join(wrong[:5])}")
    return text
