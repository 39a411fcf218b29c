"""Stands in for AWS's Clarify: bias of data and of predictions, and attributions by Kernel SHAP.

Reads ``analysis_config.json`` and CSV, and writes ``analysis.json``. As a monitoring job it reads
what an endpoint captured, compares the result with a baseline (``constraint_violations.json``) and
leaves metrics for CloudWatch. Run by the seed environment's interpreter; ``/opt/ml`` is its
argument. Methods that are not served are refused by name.

Sources: SageMaker developer guide, "Configure a SageMaker Clarify Processing Job", "Analysis
Configuration Files", "Analysis Results", "Pre-training Bias Metrics", "Post-training Data and Model
Bias Metrics", "Bias Drift Violations", "Bias drift for models in production", "Model Feature
Attribution Drift Violations", "CloudWatch Metrics for Bias Drift Analysis", "CloudWatch Metrics for
Feature Drift Analysis". Labels count as favourable or not in all of the metrics; AWS's distances of
distributions (KL, JS, LP, TVD, KS) take more than two categories of a label one by one. Without a
baseline row SHAP takes the columns' means, where AWS looks for clusters. Decided here: that
disparate impact is fair at 1, where other metrics are at 0; that labels and predictions are both
compared with the threshold when one of them is continuous; what parts a text has; and that the
global value of texts is of whole ones, since no two have the same parts.
"""

from __future__ import annotations

import csv
import datetime as dt
import importlib
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

np: Any = importlib.import_module("numpy")
captured: Any = importlib.import_module("captured_records")
kernel_shap: Any = importlib.import_module("kernel_shap")
shadow_endpoint: Any = importlib.import_module("shadow_endpoint")
UserError: Any = captured.UserError

Json = dict[str, Any]
_INPUTS, _RESULT = ("analysis_config", "dataset"), "analysis_result"
"""What a job must call its inputs and its only output. Source: "Configure a SageMaker Clarify
Processing Job"."""
_CONTINUOUS = 0.05
"""Share of distinct values above which a column of numbers is compared with a threshold."""
_SERVED = ("pre_training_bias", "post_training_bias", "report", "shap")
_NDCG = 0.9
"""Least score of a ranking of attributions. Source: "Model Feature Attribution Drift
Violations"."""
_PARTS: Mapping[str, re.Pattern[str]] = {
    "token": re.compile(r"\w+|[^\w\s]"),
    "sentence": re.compile(r"\S[^.!?]*[.!?]*"),
    "paragraph": re.compile(r"\S[^\n]*"),
}
"""``granularity`` -> what a text's parts are; the language makes no difference here."""
_RESAMPLES = 200
_NORMAL = 1.96
"""Deviations around a value in which 95 of 100 samples' are."""
_INFINITE = 2.348543e108
"""As infinity is published. Source: "CloudWatch Metrics for Bias Drift Analysis"."""


def _divergence(left: Sequence[float], right: Sequence[float]) -> float:
    # Source: "Kullback-Leibler Divergence (KL)"; an outcome that one of them lacks says nothing.
    pairs = zip(left, right, strict=True)
    return sum(a * math.log(a / b) for a, b in pairs if a > 0 and b > 0)


def _mean_divergence(left: Sequence[float], right: Sequence[float]) -> float:
    middle = [(a + b) / 2 for a, b in zip(left, right, strict=True)]
    return (_divergence(left, middle) + _divergence(right, middle)) / 2


def _gaps(left: Sequence[float], right: Sequence[float]) -> list[float]:
    return [abs(a - b) for a, b in zip(left, right, strict=True)]


@dataclass(frozen=True)
class Groups:
    """The advantaged records and the others: how many, and their shares of favourable labels."""

    advantaged: int
    others: int
    share: float
    others_share: float

    @property
    def outcomes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Distributions of the two outcomes in both."""
        return (self.share, 1 - self.share), (self.others_share, 1 - self.others_share)


METRICS: Mapping[str, tuple[str, Callable[[Groups], float]]] = {
    "CI": (
        "Class Imbalance (CI)",
        lambda g: (g.advantaged - g.others) / (g.advantaged + g.others),
    ),
    "DPL": (
        "Difference in Positive Proportions in Labels (DPL)",
        lambda g: g.share - g.others_share,
    ),
    "JS": ("Jensen-Shannon Divergence (JS)", lambda g: _mean_divergence(*g.outcomes)),
    "KL": ("Kullback-Leibler Divergence (KL)", lambda g: _divergence(*g.outcomes)),
    "KS": ("Kolmogorov-Smirnov Distance (KS)", lambda g: max(_gaps(*g.outcomes))),
    "LP": ("L-p Norm (LP)", lambda g: math.hypot(*_gaps(*g.outcomes))),
    "TVD": ("Total Variation Distance (TVD)", lambda g: sum(_gaps(*g.outcomes)) / 2),
}
"""Metric -> its description, and its value."""


@dataclass(frozen=True)
class Side:
    """Records on one side of a facet by label and prediction: favourable ones are positive."""

    tp: int
    fp: int
    tn: int
    fn: int

    @classmethod
    def of(cls, label: Any, predicted: Any) -> Side:
        """Counted from labels and predictions."""
        return cls(
            int(np.sum(label & predicted)),
            int(np.sum(~label & predicted)),
            int(np.sum(~label & ~predicted)),
            int(np.sum(label & ~predicted)),
        )

    @property
    def size(self) -> int:
        """All of them."""
        return self.tp + self.fp + self.tn + self.fn

    @property
    def positives(self) -> int:
        """Predicted as favourable."""
        return self.tp + self.fp

    @property
    def negatives(self) -> int:
        """Predicted as not favourable."""
        return self.tn + self.fn


def _entropy(a: Side, d: Side) -> float:
    # A benefit is 1 where label and prediction agree, 2 where only the prediction is favourable.
    benefits = {1.0: a.tp + a.tn + d.tp + d.tn, 2.0: a.fp + d.fp, 0.0: a.fn + d.fn}
    size = a.size + d.size
    mean = sum(value * count for value, count in benefits.items()) / size
    return sum(count * ((value / mean) ** 2 - 1) for value, count in benefits.items()) / (2 * size)


OF_PREDICTIONS: Mapping[str, tuple[str, Callable[[Side, Side], float]]] = {
    "AD": (
        "Accuracy Difference (AD)",
        lambda a, d: (a.tp + a.tn) / a.size - (d.tp + d.tn) / d.size,
    ),
    "DAR": (
        "Difference in Acceptance Rates (DAR)",
        lambda a, d: a.tp / a.positives - d.tp / d.positives,
    ),
    "DCA": (
        "Difference in Conditional Acceptance (DCA)",
        lambda a, d: (a.tp + a.fn) / a.positives - (d.tp + d.fn) / d.positives,
    ),
    "DCR": (
        "Difference in Conditional Rejection (DCR)",
        lambda a, d: (d.tn + d.fp) / d.negatives - (a.tn + a.fp) / a.negatives,
    ),
    "DI": (
        "Disparate Impact (DI)",
        lambda a, d: (d.positives / d.size) / (a.positives / a.size),
    ),
    "DPPL": (
        "Difference in Positive Proportions in Predicted Labels (DPPL)",
        lambda a, d: a.positives / a.size - d.positives / d.size,
    ),
    "DRR": (
        "Difference in Rejection Rates (DRR)",
        lambda a, d: d.tn / d.negatives - a.tn / a.negatives,
    ),
    "GE": ("Generalized Entropy (GE)", _entropy),
    "RD": (
        "Recall Difference (RD)",
        lambda a, d: a.tp / (a.tp + a.fn) - d.tp / (d.tp + d.fn),
    ),
    "SD": (
        "Specificity Difference (SD)",
        lambda a, d: d.tn / (d.tn + d.fp) - a.tn / (a.tn + a.fp),
    ),
    "TE": ("Treatment Equality (TE)", lambda a, d: d.fn / d.fp - a.fn / a.fp),
}
"""Metric after training -> its description, and its value of the advantaged and of the others."""


def continuous(column: Sequence[str]) -> bool:
    """Whether a column has numbers of which many differ."""
    try:
        return len({float(value) for value in column}) > _CONTINUOUS * len(column)
    except ValueError:
        return False


def chosen(column: Sequence[str], values: Sequence[Any], *, above: bool) -> list[bool]:
    """Which records have one of some values, or lie above the only one.

    Args:
        column: Their values.
        values: Those looked for.
        above: Whether a single one is a threshold, for numbers.
    """
    try:
        numbers = [float(value) for value in column]
    except ValueError:
        wanted = {str(value) for value in values}
        return [value in wanted for value in column]
    if above and len(values) == 1:
        return [number > float(values[0]) for number in numbers]
    kept = {float(value) for value in values}
    return [number in kept for number in numbers]


def _listed(
    known: Mapping[str, Any], names: Sequence[str], value: Callable[[str], float]
) -> list[Json]:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UserError(f"The stand-in has no {', '.join(unknown)}, only {', '.join(known)}.")
    told: list[Json] = []
    for name in sorted(names):
        item: Json = {"name": name, "description": known[name][0]}
        try:
            item["value"] = value(name)
        except ZeroDivisionError:
            item |= {"value": None, "error": "Nothing of what it divides by is in the data."}
        told.append(item)
    return told


def measure(facet: Sequence[bool], label: Sequence[bool], names: Sequence[str]) -> list[Json]:
    """The metrics of a facet in the data.

    Args:
        facet: Whether each record is of those who may be disadvantaged.
        label: Whether each record's label is favourable.
        names: Metrics.

    Raises:
        UserError: A metric is none that is served here, or all or none are of the facet.
    """
    others = sum(facet)
    advantaged = len(facet) - others
    if not others or not advantaged:
        raise UserError("The facet has all records or none of them: there is nothing to compare.")
    pairs = list(zip(facet, label, strict=True))
    groups = Groups(
        advantaged,
        others,
        sum(good for of, good in pairs if not of) / advantaged,
        sum(good for of, good in pairs if of) / others,
    )
    return _listed(METRICS, names, lambda name: METRICS[name][1](groups))


def measure_predictions(
    facet: Sequence[bool], label: Sequence[bool], predicted: Sequence[bool], names: Sequence[str]
) -> list[Json]:
    """The metrics of a facet in a model's predictions; as :func:`measure`."""
    of, good, told = (np.array(values, dtype=bool) for values in (facet, label, predicted))
    if of.all() or not of.any():
        raise UserError("The facet has all records or none of them: there is nothing to compare.")
    sides = Side.of(good[~of], told[~of]), Side.of(good[of], told[of])
    return _listed(OF_PREDICTIONS, names, lambda name: OF_PREDICTIONS[name][1](*sides))


_STAGES: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "pre_training_bias": ("pre_training_bias_metrics", "Pre-training", METRICS),
    "post_training_bias": ("post_training_bias_metrics", "Post-Training", OF_PREDICTIONS),
}
"""Method -> its section in ``analysis.json``, its name for CloudWatch, its metrics."""


def columns(config: Mapping[str, Any], rows: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """The data set by the names of its columns.

    Raises:
        UserError: Its rows have another width than the headers.
    """
    headers: list[str] = list(config["headers"])
    if any(len(row) != len(headers) for row in rows) or not rows:
        raise UserError(f"The data has not {len(headers)} columns, or no records.")
    return {name: [row[place] for row in rows] for place, name in enumerate(headers)}


def analyze(
    config: Mapping[str, Any],
    table: Mapping[str, Sequence[str]],
    predicted: Sequence[str] | None = None,
) -> Json:
    """Bias in ``analysis.json``'s form, of a configuration and a data set.

    Args:
        config: The configuration.
        table: Column -> values.
        predicted: Predicted labels; None where the table has them as ``predicted_label``, or where
            there are none.

    Raises:
        UserError: It asks for what is not served here, or names columns that are not there.
    """
    methods: Mapping[str, Any] = config["methods"]

    def column(name: Any) -> Sequence[str]:
        if name not in table:
            raise UserError(f"There is no column {name}; there are {', '.join(table)}.")
        return table[name]

    favourable = config.get("label_values_or_threshold") or []
    told: Json = {"version": "1.0"}
    labels = column(config["label"])
    if predicted is None and "post_training_bias" in methods:
        predicted = column(config["predicted_label"])
    above = continuous(labels) or (predicted is not None and continuous(predicted))
    label = chosen(labels, favourable, above=above)
    answers = None if predicted is None else chosen(predicted, favourable, above=above)
    for method, (section, _, known) in _STAGES.items():
        if method not in methods:
            continue
        asked = methods[method]["methods"]
        names = list(known) if asked == "all" else list(asked)
        facets: dict[str, list[Json]] = {}
        for facet in config["facet"]:
            values = facet["value_or_threshold"]
            whose = column(facet["name_or_index"])
            of = chosen(whose, values, above=continuous(whose))
            if method == "post_training_bias" and answers is not None:
                found = measure_predictions(of, label, answers, names)
            else:
                found = measure(of, label, names)
            item = {"value_or_threshold": ",".join(map(str, values)), "metrics": found}
            facets.setdefault(str(facet["name_or_index"]), []).append(item)
        told[section] = {
            "label": config["label"],
            "facets": facets,
            "label_value_or_threshold": ",".join(map(str, favourable)),
        }
    return told


def _asked(config: Mapping[str, Any]) -> tuple[Json, list[str]]:
    """How SHAP is asked for, and the names of the features."""
    shap: Json = config["methods"]["shap"]
    if shap.get("agg_method", "mean_abs") != "mean_abs":
        raise UserError("The stand-in aggregates by mean_abs only.")
    if not config.get("predictor", {}).get("model_name"):
        raise UserError("predictor.model_name is missing: SHAP asks a model.")
    return shap, list(config["headers"])


def explain(config: Mapping[str, Any], rows: Sequence[Sequence[str]], answer: int) -> Json:
    """Attributions in ``analysis.json``'s form, by asking the configuration's model.

    Args:
        config: The configuration.
        rows: The features of the records that are explained.
        answer: Place of the number in the model's answers.

    Raises:
        UserError: The model cannot be asked, or features are no numbers.
    """
    shap, headers = _asked(config)
    if not rows or any(len(row) != len(headers) for row in rows):
        raise UserError(f"The data has not {len(headers)} columns, or no records.")
    try:
        table = np.array(rows, dtype=float)
        given = shap.get("baseline")
        baseline = np.array(given, dtype=float).mean(axis=0) if given else table.mean(axis=0)
    except ValueError as error:
        raise UserError(f"SHAP is served for numbers only: {error}") from error
    samples = int(shap.get("num_samples") or 2 * len(headers) + 2048)
    try:
        with shadow_endpoint.shadow(config["predictor"], answer) as model:

            def predict(asked: Any) -> Any:
                return np.array(model.ask([",".join(map(repr, row)) for row in asked.tolist()]))

            values, expected = kernel_shap.values(predict, table, baseline, samples)
    except shadow_endpoint.AskError as error:
        raise UserError(f"The model cannot be asked: {error}") from error
    means = np.abs(values).mean(axis=0)
    label = (config["predictor"].get("label_headers") or ["label0"])[0]
    told = {
        "global_shap_values": {n: float(m) for n, m in zip(headers, means, strict=True)},
        "expected_value": expected,
    }
    return {"explanations": {"kernel_shap": {label: told}}}


def _record(config: Mapping[str, Any], name: str, text: str) -> str:
    """A text as the model is asked about it: a line of CSV, or a value of JSON by a template."""
    template = config["predictor"].get("record_template")
    if template:
        return str(template).replace(f'"${{{name}}}"', json.dumps(text))
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([text])
    return line.getvalue()


def explain_texts(
    config: Mapping[str, Any], rows: Sequence[Sequence[str]], answer: int | str
) -> tuple[Json, list[Json]]:
    """As :func:`explain`, of texts: each part is kept, or the baseline's text takes its place.

    Args:
        config: The configuration, with ``text_config``; a part that is left out becomes the text of
            ``baseline``, or nothing.
        rows: The texts.
        answer: Place of the number in the model's answers, or JMESPath of all in an answer of JSON.

    Returns:
        The attributions of whole texts in ``analysis.json``'s form, and those of each text's parts
        as lines of ``explanations_shap/out.jsonl``.

    Raises:
        UserError: The model cannot be asked, or a record is no single text with words.
    """
    shap, headers = _asked(config)
    granularity = shap["text_config"]["granularity"]
    if granularity not in _PARTS:
        raise UserError(f"granularity is one of {', '.join(_PARTS)}, not {granularity}.")
    if len(headers) != 1 or not rows or any(len(row) != 1 for row in rows):
        raise UserError("The stand-in explains one text a record, and nothing beside it.")
    [[other]] = shap.get("baseline") or [[""]]
    totals: list[float] = []
    expected: list[float] = []
    lines: list[Json] = []
    try:
        with shadow_endpoint.shadow(config["predictor"], answer) as model:
            for number, [text] in enumerate(rows, 1):
                parts = list(_PARTS[granularity].finditer(text))
                if not parts:
                    raise UserError(f"Record {number} has no {granularity} to explain.")

                def predict(asked: Any, text: str = text, parts: Any = parts) -> Any:
                    made = [
                        _record(config, headers[0], _replaced(text, parts, kept, str(other)))
                        for kept in asked.tolist()
                    ]
                    return np.array(model.ask(made))

                count = len(parts)
                samples = int(shap.get("num_samples") or 2 * count + 2048)
                found, without = kernel_shap.values(
                    predict, np.ones((1, count)), np.zeros(count), samples
                )
                totals.append(float(found[0].sum()))
                expected.append(without)
                lines.append(_told(headers[0], parts, found[0]))
    except shadow_endpoint.AskError as error:
        raise UserError(f"The model cannot be asked: {error}") from error
    label = (config["predictor"].get("label_headers") or ["label0"])[0]
    told = {
        "global_shap_values": {headers[0]: float(np.abs(totals).mean())},
        "expected_value": float(np.mean(expected)),
    }
    return {"explanations": {"kernel_shap": {label: told}}}, lines


def _replaced(text: str, parts: Sequence[re.Match[str]], kept: Sequence[float], other: str) -> str:
    """A text with another one in place of the parts that are not kept."""
    made, end = "", 0
    for part, keep in zip(parts, kept, strict=True):
        made += text[end : part.start()] + (part.group() if keep else other)
        end = part.end()
    return made + text[end:]


def _told(name: str, parts: Sequence[re.Match[str]], values: Any) -> Json:
    attributions = [
        {
            "attribution": [float(value)],
            "description": {"partial_text": part.group(), "start_idx": part.start()},
        }
        for part, value in zip(parts, values, strict=True)
    ]
    feature = {"feature_name": name, "data_type": "free_text", "attributions": attributions}
    return {"explanations": [feature]}


# What no longer holds.


def _found(report: Mapping[str, Any], section: str) -> Iterator[tuple[str, str, Json]]:
    """Facet, its value and each of its metrics."""
    for facet, items in report.get(section, {}).get("facets", {}).items():
        for item in items:
            for metric in item["metrics"]:
                yield facet, item["value_or_threshold"], metric


def _away(name: str, value: float) -> float:
    """How far from fair: disparate impact is a ratio."""
    return abs(value - 1) if name == "DI" else abs(value)


def bias_violations(report: Json, baseline: Json, draw: Callable[[Any], Json]) -> list[Json]:
    """What is further from fair than in the baseline, by more than chance makes of the sample.

    Args:
        report: The analysis.
        baseline: That of the baseline.
        draw: ``draw(generator)`` gives the analysis of a sample drawn again from the same records.
    """
    limits = {
        (section, facet, value, metric["name"]): metric["value"]
        for section, _, _ in _STAGES.values()
        for facet, value, metric in _found(baseline, section)
        if metric["value"] is not None
    }
    suspects: dict[tuple[str, str, str, str], float] = {}
    for section, _, _ in _STAGES.values():
        for facet, value, metric in _found(report, section):
            key = (section, facet, value, metric["name"])
            if metric["value"] is not None and key in limits:
                away = _away(metric["name"], metric["value"])
                if away > _away(metric["name"], limits[key]):
                    suspects[key] = metric["value"]
    if not suspects:
        return []
    samples: dict[tuple[str, str, str, str], list[float]] = {key: [] for key in suspects}
    made = np.random.default_rng(0)
    for _ in range(_RESAMPLES):
        try:
            again = draw(made)
        except UserError:
            continue  # a sample without any of a facet
        for section, _, _ in _STAGES.values():
            for facet, value, metric in _found(again, section):
                key = (section, facet, value, metric["name"])
                if key in samples and metric["value"] is not None:
                    samples[key].append(metric["value"])
    found: list[Json] = []
    for (section, facet, value, name), told in suspects.items():
        drawn = samples[section, facet, value, name]
        margin = _NORMAL * float(np.std(drawn)) if drawn else 0.0
        limit = limits[section, facet, value, name]
        if _away(name, told) - margin > _away(name, limit):
            found.append(
                {
                    "facet": facet,
                    "facet_value": value,
                    "metric_name": name,
                    "constraint_check_type": "bias_drift_check",
                    "description": f"Value {told} does not meet the constraint requirement: the"
                    f" baseline has {limit}, and chance makes {margin:.6g}",
                }
            )
    return found


def attribution_violations(report: Json, baseline: Json) -> list[Json]:
    """Labels whose features rank otherwise than in the baseline."""
    found: list[Json] = []
    now = report["explanations"]["kernel_shap"]
    for label, told in baseline["explanations"]["kernel_shap"].items():
        wanted = told["global_shap_values"]
        current = now.get(label, {}).get("global_shap_values", {})
        if set(wanted) != set(current):
            raise UserError(
                f"The baseline explains {', '.join(sorted(wanted))}, the configuration's headers"
                f" are {', '.join(sorted(current))}."
            )
        score = kernel_shap.ndcg(list(wanted.values()), [current[name] for name in wanted])
        if score < _NDCG:
            found.append(
                {
                    "label": label,
                    "metric_name": "shap",
                    "constraint_check_type": "feature_attribution_drift_check",
                    "description": f"Feature attribution drift {score} exceeds threshold {_NDCG}",
                }
            )
    return found


# Metrics.


def metrics(report: Json) -> Iterator[tuple[str, float, dict[str, str]]]:
    """Name, value and own dimensions of all that CloudWatch gets."""
    for section, stage, _ in _STAGES.values():
        label = report.get(section, {})
        for facet, value, metric in _found(report, section):
            if metric["value"] is not None:
                infinite = math.copysign(_INFINITE, metric["value"])
                told = infinite if math.isinf(metric["value"]) else metric["value"]
                yield (
                    f"bias_metric_{metric['name']}",
                    told,
                    {
                        "BiasStage": stage,
                        "Label": str(label["label"]),
                        "LabelValue": label["label_value_or_threshold"],
                        "Facet": facet,
                        "FacetValue": value,
                    },
                )
    for label, told in report.get("explanations", {}).get("kernel_shap", {}).items():
        own = {"ExplainabilityMethod": "KernelShap", "Label": label}
        for name, value in told["global_shap_values"].items():
            yield f"feature_{name}", value, {**own, "ValueType": "GlobalShapValues"}
        yield "ExpectedValue", told["expected_value"], {**own, "ValueType": "ExpectedValue"}


def _publish(report: Json, given: Mapping[str, str], ml: Path) -> None:
    folder = ml / "output" / "metrics" / "cloudwatch"
    folder.mkdir(parents=True, exist_ok=True)
    moment = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    whole = {
        "Endpoint": given["sagemaker_endpoint_name"],
        "MonitoringSchedule": given["sagemaker_monitoring_schedule_name"],
    }
    lines = [
        json.dumps(
            {
                "MetricName": name,
                "Timestamp": moment,
                "Dimensions": [{"Name": k, "Value": v} for k, v in {**whole, **own}.items()],
                "Value": value,
            }
        )
        for name, value, own in metrics(report)
    ]
    (folder / "cloudwatch_metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


# The contract.


def _folders(ml: Path) -> Json:
    """The folders of configuration, data set and result, by the job's names of them.

    Raises:
        UserError: The job calls one of them otherwise.
    """
    job: Json = json.loads((ml / "config" / "processingjobconfig.json").read_text("utf-8"))
    inputs = {item["InputName"]: item["S3Input"] for item in job.get("ProcessingInputs") or []}
    kept = (job.get("ProcessingOutputConfig") or {}).get("Outputs") or []
    outputs = {item["OutputName"]: item["S3Output"] for item in kept}
    for kind, wanted, found in (("input", _INPUTS, inputs), ("output", (_RESULT,), outputs)):
        missing = [name for name in wanted if name not in found]
        if missing:
            named = ", ".join(found) or "none"
            raise UserError(f"There is no {kind} named {', '.join(missing)}; there are: {named}.")
    if len(outputs) > 1:
        raise UserError(f"The only output is {_RESULT}; there are: {', '.join(outputs)}.")
    return {
        name: ml / str(item["LocalPath"]).removeprefix("/opt/ml/")
        for name, item in {**inputs, **outputs}.items()
    }


def _config(folder: Path) -> Json:
    files = sorted(folder.rglob("*.json"))
    if len(files) != 1:
        raise UserError(f"There must be one analysis configuration, not {len(files)}.")
    config: Json = json.loads(files[0].read_text("utf-8"))
    refused = sorted(set(config["methods"]) - set(_SERVED))
    if refused:
        raise UserError(f"The local cloud's Clarify serves no {', '.join(refused)}.")
    return config


def _read(folder: Path) -> list[list[str]]:
    rows: list[list[str]] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                rows += [row for row in csv.reader(file) if row]
    return rows


def once(config: Json, rows: Sequence[Sequence[str]]) -> tuple[Json, list[Json]]:
    """The analysis of a data set: label, features, and predictions where the headers name them.

    Returns:
        It, and what is told of each record where that is asked for.
    """
    if "shap" not in config["methods"]:
        return analyze(config, columns(config, rows)), []
    if set(config["methods"]) & set(_STAGES):
        raise UserError("The stand-in explains in a job of its own, without methods of bias.")
    answer, shap = config["predictor"].get("label", 0), config["methods"]["shap"]
    if "text_config" not in shap:
        return {"version": "1.0", **explain(config, rows, int(answer))}, []
    told, lines = explain_texts(config, rows, answer)
    return {"version": "1.0", **told}, lines if shap.get("save_local_shap_values") else []


def monitor(config: Json, given: Mapping[str, str]) -> tuple[Json, list[Json] | None]:
    """The analysis of captured traffic, and what no longer holds; None without a baseline.

    Args:
        config: The configuration: its headers are those of the features in a request's order, and
            with labels that of the label among them.
        given: The job's environment.

    Raises:
        UserError: It cannot be done.
    """
    files = [p for p in sorted(Path(given["dataset_source"]).rglob("*")) if p.is_file()]
    times = (given["start_time"], given["end_time"])
    constraints = given.get("baseline_constraints")
    baseline: Json | None = (
        json.loads(Path(constraints).read_text("utf-8")) if constraints else None
    )
    answer = int(given.get("inference_attribute", 0))
    if given["analysis_type"] == "MODEL_EXPLAINABILITY":
        if "text_config" in config["methods"]["shap"]:
            raise UserError("Attributions of texts are told by a job of its own: no two are alike.")
        _, rows = captured.read(files, (captured.ASKED,), times)
        told = {"version": "1.0", **explain(config, [r[captured.ASKED] for r in rows], answer)}
        return told, None if baseline is None else attribution_violations(told, baseline)
    sides = (captured.LABELS, captured.ASKED, captured.ANSWERED)
    _, rows = captured.read(files, sides, times)
    if not rows:
        raise UserError("No captured record of the time has a label.")
    place = list(config["headers"]).index(config["label"])
    whole: list[list[str]] = []
    for row in rows:
        features = row[captured.ASKED]
        whole.append([*features[:place], row[captured.LABELS][0], *features[place:]])
    table = columns(config, whole)
    predicted = [row[captured.ANSWERED][answer] for row in rows]
    told = analyze(config, table, predicted)
    if baseline is None:
        return told, None

    def again(made: Any) -> Json:
        drawn = made.integers(0, len(rows), len(rows)).tolist()
        sample = {name: [values[n] for n in drawn] for name, values in table.items()}
        return analyze(config, sample, [predicted[n] for n in drawn])

    return told, bias_violations(told, baseline, again)


def _done(given: Mapping[str, str], ml: Path) -> str:
    if not given.get("sagemaker_monitoring_schedule_name"):
        folders = _folders(ml)
        config = _config(folders[_INPUTS[0]])
        (report, lines), violations = once(config, _read(folders[_INPUTS[1]])), None
        output = folders[_RESULT]
    else:
        # SageMaker itself made the job, and tells by variables where the traffic lies.
        config = _config(ml / "processing/input/config")
        (report, violations), lines = monitor(config, given), list[Json]()
        output = Path(given["output_path"])
        if given.get("publish_cloudwatch_metrics") == "Enabled":
            _publish(report, given, ml)
    written: dict[str, Json] = {"analysis.json": report}
    if violations is not None:
        written["constraint_violations.json"] = {"version": "1.0", "violations": violations}
    output.mkdir(parents=True, exist_ok=True)
    for name, content in written.items():
        text = json.dumps(content, indent=2, allow_nan=False)
        (output / name).write_text(text, encoding="utf-8")
    if lines:
        (output / "explanations_shap").mkdir(exist_ok=True)
        (output / "explanations_shap" / "out.jsonl").write_text(
            "".join(f"{json.dumps(line, allow_nan=False)}\n" for line in lines), encoding="utf-8"
        )
    if violations:
        return (
            "CompletedWithViolations: Job completed successfully with"
            f" {len(violations)} violations."
        )
    return "Completed: Job completed successfully with no violations."


def main(ml: Path) -> int:
    """Analyzes; gives the exit code and leaves the message where SageMaker takes it."""
    print("Stand-in of the local cloud for AWS's Clarify.", flush=True)
    (ml / "output").mkdir(exist_ok=True)
    try:
        message, code = _done(os.environ, ml), 0
    except (UserError, KeyError) as error:
        message = f"Error: {error}" if isinstance(error, UserError) else f"Error: no {error}"
        code = 1
    (ml / "output" / "message").write_text(message, encoding="utf-8")
    print(message, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
