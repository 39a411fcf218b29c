"""Stands in for AWS's Model Monitor analyzer: the same contract, files and rules, computed here.

Without a baseline it describes a data set (``statistics.json``) and suggests what holds for it
(``constraints.json``); with one it also tells what no longer holds (``constraint_violations.json``)
and leaves metrics for CloudWatch. ``analysis_type`` chooses data quality, which is the default, or
model quality. Run by the seed environment's interpreter; ``/opt/ml`` is its argument.

Sources: SageMaker developer guide, "Container Contract Inputs", "Schema for Statistics", "Schema
for Constraints", "Schema for Violations", "Model quality metrics". Drift of numbers is the largest
distance of two distribution functions; ``Robust`` takes off what chance alone makes of samples of
these sizes, ``Simple`` does not. What differs from AWS's: quantile sketches keep every so many-th
value instead of KLL's random ones, and ``is_non_negative`` is told but not checked.
"""

from __future__ import annotations

import csv
import datetime as dt
import importlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

np: Any = importlib.import_module("numpy")
captured: Any = importlib.import_module("captured_records")

Json = dict[str, Any]
Column = list[str]

BUCKETS = 10
SKETCH = 2048
"""Values that a sketch keeps at most."""
DOMAIN = 20
"""Distinct texts up to which the observed ones are taken for all that there are."""
ROBUST = 1.8
"""Scale of what chance alone makes of the distance of two samples; a distance beyond it is by
chance in fewer than 4 of 1000 pairs (two-sample Kolmogorov-Smirnov)."""
LABEL = "label"
"""Column of the labels that were merged into captured answers."""
_RESAMPLES = 50
_INTEGRAL = re.compile(r"[-+]?\d+")
_MISSING = ("", "nan", "null", "none", "na")

MONITORING: Json = {
    "evaluate_constraints": "Enabled",
    "emit_metrics": "Enabled",
    "datatype_check_threshold": 1.0,
    "domain_content_threshold": 1.0,
    "distribution_constraints": {
        "perform_comparison": "Enabled",
        "comparison_threshold": 0.1,
        "comparison_method": "Robust",
        "categorical_comparison_threshold": 0.1,
        "categorical_drift_method": "LInfinity",
    },
}


UserError: Any = captured.UserError


# Data sets.


@dataclass(frozen=True)
class Table:
    """A data set as text.

    Attributes:
        names: Names of the columns; empty when there are none.
        columns: Values of each; an empty text is a missing value.
    """

    names: tuple[str, ...]
    columns: list[Column]

    @property
    def rows(self) -> int:
        """How many records it has."""
        return len(self.columns[0]) if self.columns else 0


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    if not rows:
        raise UserError("The data set has no records.")
    widths = Counter(len(row) for row in rows)
    if len(widths) > 1 or (names and len(names) not in widths):
        raise UserError(f"Records have different numbers of columns: {sorted(widths)}.")
    cleaned = [["" if v.strip().lower() in _MISSING else v.strip() for v in row] for row in rows]
    return Table(tuple(names), [list(column) for column in zip(*cleaned, strict=True)])


def read(
    folder: Path,
    form: Mapping[str, Any],
    times: tuple[str, str] | None = None,
    script: str | None = None,
) -> Table:
    """The data set of a folder.

    Args:
        folder: Its files.
        form: ``dataset_format`` of the contract.
        times: Begin and end of the captured traffic that counts, as ISO 8601; None for all.
        script: Path of what makes a row of each captured record; None for what is captured.

    Raises:
        UserError: There is none, or it is of no format that is served here.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise UserError(f"There is no file below {folder}.")
    if script:
        if "sagemakerCaptureJson" not in form:
            raise UserError("The stand-in preprocesses captured traffic only.")
        return _table(*captured.preprocessed(files, Path(script), times))
    if "sagemakerCaptureJson" in form:
        return _captured(files, times)
    if "sagemakerMergeJson" in form:
        return _merged(files, form["sagemakerMergeJson"]["captureIndexNames"], times)
    if "csv" not in form:
        raise UserError(f"The stand-in reads CSV and captured traffic, not {sorted(form)}.")
    headed = bool(form["csv"].get("header", True))
    names: list[str] = []
    rows: list[list[str]] = []
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            lines = [line for line in csv.reader(file) if line]
        if headed and lines:
            names = [name.strip() for name in lines.pop(0)]
        rows += lines
    return _table(names, rows)


def _captured(files: Sequence[Path], times: tuple[str, str] | None) -> Table:
    """Captured traffic: what was answered first, then what was asked, as the analyzer has it."""
    sides = (captured.ANSWERED, captured.ASKED)
    names, rows = captured.read(files, sides, times)
    return _table(
        [name for side in sides for name in names.get(side, ())],
        [[value for side in sides for value in row.get(side, ())] for row in rows],
    )


def _merged(files: Sequence[Path], sides: Sequence[str], times: tuple[str, str] | None) -> Table:
    """Labelled answers: the label is called ``label``, answers by name or else by their place."""
    [answers] = [side for side in sides if side != captured.ASKED]
    if answers == captured.TRANSFORMED:
        # Which transforms count is told by their manifests; their rows have the job's start.
        times = None
    names, rows = captured.read(files, (captured.LABELS, answers), times)
    if not rows:
        raise UserError("No captured record of the time has a label.")
    answered = names.get(answers) or [str(place) for place in range(len(rows[0][answers]))]
    return _table(
        [LABEL, *answered],
        [[row[captured.LABELS][0], *row[answers]] for row in rows],
    )


# Columns.


def _kind(value: str) -> str:
    if _INTEGRAL.fullmatch(value):
        return "Integral"
    try:
        return "Fractional" if np.isfinite(float(value)) else "String"
    except ValueError:
        return "String"


def _present(column: Column) -> Column:
    return [value for value in column if value]


def inferred(column: Column) -> str:
    """``Integral``, ``Fractional``, ``String``, or ``Unknown`` for a column without values."""
    kinds = {_kind(value) for value in _present(column)}
    for kind in ("String", "Fractional", "Integral"):
        if kind in kinds:
            return kind
    return "Unknown"


def _numbers(column: Column) -> Any:
    kept = [float(value) for value in _present(column) if _kind(value) != "String"]
    return np.array(kept, dtype=float)


def sketch(values: Any) -> list[list[float]]:
    """Sorted values by levels; one of level ``n`` stands for ``2 ** n``."""
    ordered, level = np.sort(values), 0
    levels: list[list[float]] = []
    while len(ordered) > SKETCH:
        # An odd one is kept at its level, so that the weights sum to all values.
        levels.append([float(ordered[-1])] if len(ordered) % 2 else [])
        ordered, level = ordered[: len(ordered) // 2 * 2 : 2], level + 1
    return [*levels, [float(value) for value in ordered]]


def _weighted(levels: Sequence[Sequence[float]]) -> tuple[Any, Any]:
    values = np.array([value for level in levels for value in level], dtype=float)
    weights = np.array([2.0**n for n, level in enumerate(levels) for _ in level], dtype=float)
    order = np.argsort(values, kind="stable")
    return values[order], weights[order]


def distance(
    baseline: Sequence[Sequence[float]], current: Sequence[Sequence[float]], method: str
) -> float:
    """The largest difference of two distribution functions, given by sketches."""
    (left, left_weights), (right, right_weights) = _weighted(baseline), _weighted(current)
    points = np.concatenate([left, right])
    shares = [
        np.concatenate([[0.0], np.cumsum(weights)])[np.searchsorted(values, points, side="right")]
        / weights.sum()
        for values, weights in ((left, left_weights), (right, right_weights))
    ]
    found = float(np.max(np.abs(shares[0] - shares[1])))
    return _corrected(found, float(left_weights.sum()), float(right_weights.sum()), method)


def _corrected(found: float, left: float, right: float, method: str) -> float:
    if method == "Simple":
        return found
    return max(0.0, found - ROBUST * float(np.sqrt((left + right) / (left * right))))


def _categorical_distance(
    baseline: Mapping[str, int], current: Mapping[str, int], method: str
) -> float:
    left, right = sum(baseline.values()), sum(current.values())
    found = max(
        abs(baseline.get(value, 0) / left - current.get(value, 0) / right)
        for value in {*baseline, *current}
    )
    return _corrected(found, left, right, method)


def describe(name: str, column: Column) -> Json:
    """A column's entry in ``statistics.json``."""
    kind, present = inferred(column), _present(column)
    common = {"num_present": len(present), "num_missing": len(column) - len(present)}
    if kind == "Unknown":
        return {"name": name, "inferred_type": kind}
    if kind == "String":
        counts = Counter(present)
        return {
            "name": name,
            "inferred_type": kind,
            "string_statistics": {
                "common": common,
                "distinct_count": float(len(counts)),
                "distribution": {
                    "categorical": {
                        "buckets": [
                            {"value": value, "count": counts[value]} for value in sorted(counts)
                        ]
                    }
                },
            },
        }
    values = _numbers(column)
    counted, edges = np.histogram(values, bins=BUCKETS, range=_range(values))
    return {
        "name": name,
        "inferred_type": kind,
        "numerical_statistics": {
            "common": common,
            "mean": float(values.mean()),
            "sum": float(values.sum()),
            "std_dev": float(values.std()),
            "min": float(values.min()),
            "max": float(values.max()),
            "distribution": {
                "kll": {
                    "buckets": [
                        {
                            "lower_bound": float(edges[n]),
                            "upper_bound": float(edges[n + 1]),
                            "count": float(counted[n]),
                        }
                        for n in range(BUCKETS)
                    ],
                    "sketch": {
                        "parameters": {"c": 0.5, "k": float(SKETCH)},
                        "data": sketch(values),
                    },
                }
            },
        },
    }


def _range(values: Any) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    # All values equal: a histogram needs a width.
    return (low, high) if high > low else (low, low + max(abs(low), 1.0) * 1e-9)


def suggest(feature: Mapping[str, Any]) -> Json:
    """A column's entry in ``constraints.json``, of its statistics."""
    kind = feature["inferred_type"]
    if kind == "Unknown":
        return {"name": feature["name"], "inferred_type": kind, "completeness": 0.0}
    told = feature["string_statistics" if kind == "String" else "numerical_statistics"]
    common = told["common"]
    made: Json = {
        "name": feature["name"],
        "inferred_type": kind,
        "completeness": common["num_present"] / (common["num_present"] + common["num_missing"]),
    }
    if kind != "String":
        return {**made, "num_constraints": {"is_non_negative": told["min"] >= 0}}
    values = [item["value"] for item in told["distribution"]["categorical"]["buckets"]]
    return {**made, "string_constraints": {"domains": values}} if len(values) <= DOMAIN else made


# What no longer holds.


def _fits(kind: str, wanted: str) -> bool:
    return wanted == "String" or kind == wanted or (wanted, kind) == ("Fractional", "Integral")


def check(
    column: Column, constraint: Mapping[str, Any], baseline: Mapping[str, Any], config: Json
) -> tuple[list[tuple[str, str]], float]:
    """Violations of a column's constraint, as check and description, and the drift's distance."""
    present, wanted = _present(column), constraint["inferred_type"]
    found: list[tuple[str, str]] = []
    if wanted == "Unknown":
        return found, 0.0
    completeness = len(present) / len(column)
    if completeness < constraint["completeness"]:
        found.append(
            ("completeness_check", f"{completeness:.2%} of the values are present, the baseline has"
             f" {constraint['completeness']:.2%}")
        )  # fmt: skip
    if not present:
        return found, 0.0
    match = sum(_fits(_kind(value), wanted) for value in present) / len(present)
    if match < config["datatype_check_threshold"]:
        found.append(
            ("data_type_check", f"{match:.2%} of the values are {wanted},"
             f" {config['datatype_check_threshold']:.2%} are needed")
        )  # fmt: skip
    domains = (constraint.get("string_constraints") or {}).get("domains")
    if domains:
        known = sum(value in domains for value in present) / len(present)
        if known < config["domain_content_threshold"]:
            found.append(
                ("categorical_values_check", f"{known:.2%} of the values are among the baseline's,"
                 f" {config['domain_content_threshold']:.2%} are needed")
            )  # fmt: skip
    apart = _drift(column, wanted, baseline, config)
    rules = config["distribution_constraints"]
    limit = rules["comparison_threshold"]
    if wanted == "String":
        limit = rules.get("categorical_comparison_threshold", limit)
    if rules["perform_comparison"] == "Enabled" and apart > limit:
        found.append(
            ("baseline_drift_check", f"the distance from the baseline is {apart:.4f}, above the"
             f" threshold {limit}")
        )  # fmt: skip
    return found, apart


def _drift(column: Column, wanted: str, baseline: Mapping[str, Any], config: Json) -> float:
    rules = config["distribution_constraints"]
    method = rules.get("comparison_method", "Robust")
    if wanted == "String":
        if rules.get("categorical_drift_method", "LInfinity") != "LInfinity":
            raise UserError("The stand-in compares categories by LInfinity only, not ChiSquared.")
        buckets = baseline["string_statistics"]["distribution"]["categorical"]["buckets"]
        counts = {item["value"]: item["count"] for item in buckets}
        return _categorical_distance(counts, Counter(_present(column)), method)
    values = _numbers(column)
    if not len(values):
        return 0.0
    known = baseline["numerical_statistics"]["distribution"]["kll"]["sketch"]["data"]
    return distance(known, sketch(values), method)


def compare(table: Table, statistics: Json, constraints: Json) -> tuple[list[Json], Json]:
    """All violations of a data set, and each feature's distance from the baseline."""
    config = {**MONITORING, **(constraints.get("monitoring_config") or {})}
    if config["evaluate_constraints"] != "Enabled":
        return [], {}
    features = {item["name"]: item for item in statistics["features"]}
    wanted = [item["name"] for item in constraints["features"]]
    names = list(table.names or wanted)
    if table.names:
        missing, extra = set(wanted) - set(names), set(names) - set(wanted)
    else:
        # Without names columns are known by their place.
        count = len(table.columns)
        missing, extra = set(wanted[count:]), {f"_c{n}" for n in range(len(wanted), count)}
    found: list[Json] = []
    for kind, columns in (("missing_column_check", missing), ("extra_column_check", extra)):
        found += [
            {
                "feature_name": name,
                "constraint_check_type": kind,
                "description": f"the data set has {len(table.columns)} columns, the baseline"
                f" {len(wanted)}",
            }
            for name in sorted(columns)
        ]
    distances: Json = {}
    for constraint in constraints["features"]:
        name = constraint["name"]
        if name in missing or ((missing or extra) and not table.names):
            continue
        column = table.columns[names.index(name)]
        told, distances[name] = check(column, constraint, features[name], config)
        found += [
            {"feature_name": name, "constraint_check_type": kind, "description": text}
            for kind, text in told
        ]
    return found, distances


# Model quality.


def _by_label(ratio: Callable[[float, float, float], float]) -> Callable[[Any, Any], float]:
    """A metric of several labels: the mean of each label's, weighted by how often it is true.

    Args:
        ratio: The metric of one label, of its right predictions, its predictions, its records.
    """

    def measure(truth: Any, told: Any) -> float:
        return float(
            sum(
                ratio(np.sum((truth == n) & (told == n)), np.sum(told == n), np.sum(truth == n))
                * np.mean(truth == n)
                for n in np.unique(truth)
            )
        )

    return measure


def _f(beta: float) -> Callable[[float, float, float], float]:
    return lambda right, told, true: _ratio((1 + beta**2) * right, told + beta**2 * true)


def _constant(measure: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
    """A metric of always saying the most frequent label."""

    def of(truth: Any, told: Any) -> float:
        labels, counts = np.unique(truth, return_counts=True)
        return measure(truth, np.full(len(told), labels[counts.argmax()]))

    return of


def _explained(truth: Any, told: Any) -> float:
    """R2; of labels that are all the same it is 1 when all are right, and else 0."""
    missed, spread = np.sum((truth - told) ** 2), np.sum((truth - truth.mean()) ** 2)
    if not spread:
        return float(not missed)
    return 1 - float(missed / spread)


def _accuracy(truth: Any, told: Any) -> float:
    return float(np.mean(truth == told))


_MULTICLASS: Mapping[str, Callable[[Any, Any], float]] = {
    "accuracy": _accuracy,
    "weighted_recall": _by_label(lambda right, _told, true: _ratio(right, true)),
    "weighted_precision": _by_label(lambda right, told, _true: _ratio(right, told)),
    "weighted_f0_5": _by_label(_f(0.5)),
    "weighted_f1": _by_label(_f(1)),
    "weighted_f2": _by_label(_f(2)),
}
_BEST_CONSTANT = "_best_constant_classifier"
_MEASURES: Mapping[str, Mapping[str, Callable[[Any, Any], float]]] = {
    "Regression": {
        "mae": lambda y, p: float(np.mean(np.abs(y - p))),
        "mse": lambda y, p: float(np.mean((y - p) ** 2)),
        "rmse": lambda y, p: float(np.sqrt(np.mean((y - p) ** 2))),
        "r2": _explained,
    },
    "BinaryClassification": {
        "accuracy": _accuracy,
        "precision": lambda y, p: _ratio(np.sum((y == 1) & (p == 1)), np.sum(p == 1)),
        "recall": lambda y, p: _ratio(np.sum((y == 1) & (p == 1)), np.sum(y == 1)),
        "f1": lambda y, p: _ratio(2 * np.sum((y == 1) & (p == 1)), np.sum(y == 1) + np.sum(p == 1)),
    },
    "MulticlassClassification": {
        **_MULTICLASS,
        **{f"{name}{_BEST_CONSTANT}": _constant(of) for name, of in _MULTICLASS.items()},
    },
}


def _area(labels: Any, scores: Any) -> float:
    """Share of pairs of a positive and a negative that their scores order rightly, ties halved."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positives = int(np.sum(labels == 1))
    negatives = len(labels) - positives
    if not positives or not negatives:
        return 0.5
    above = float(np.sum(ranks[labels == 1])) - positives * (positives + 1) / 2
    return above / (positives * negatives)


_SCORED: Mapping[str, Mapping[str, Callable[[Any, Any], float]]] = {
    "BinaryClassification": {"auc": _area}
}
_GROUPS = {
    "Regression": "regression",
    "BinaryClassification": "binary_classification",
    "MulticlassClassification": "multiclass_classification",
}
_ERRORS = ("mae", "mse", "rmse")


def _ratio(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else 0.0


def quality(
    table: Table,
    problem: str,
    truth: str,
    prediction: str,
    probability: str = "",
    threshold: float = 0.5,
) -> Json:
    """``statistics.json`` of model quality; deviations are of samples drawn again from the data.

    Args:
        table: Labels and predictions.
        problem: What the model does.
        truth: The column of the labels.
        prediction: The column of the predictions; empty where a probability tells them.
        probability: The column of the probability of label 1; empty for none.
        threshold: The probability from which on label 1 is predicted.

    Raises:
        UserError: The problem is none that is served here, or a column is missing or no number.
    """
    if problem not in _MEASURES:
        raise UserError(f"The stand-in measures {' and '.join(_MEASURES)}, not {problem}.")
    if not (prediction or probability):
        raise UserError("Neither inference_attribute nor probability_attribute is given.")
    labels = _whole(table, truth)
    scores: Any = _whole(table, probability) if probability else None
    predictions = _whole(table, prediction) if prediction else scores >= threshold
    measured = [(name, f, predictions) for name, f in _MEASURES[problem].items()]
    if scores is not None:
        measured += [(name, f, scores) for name, f in _SCORED.get(problem, {}).items()]
    draws = np.random.default_rng(0).integers(0, len(labels), (_RESAMPLES, len(labels)))
    return {
        "version": 0.0,
        "dataset": {"item_count": len(labels), "evaluation_time": _now()},
        f"{_GROUPS[problem]}_metrics": {
            name: {
                "value": measure(labels, given),
                "standard_deviation": float(
                    np.std([measure(labels[draw], given[draw]) for draw in draws])
                ),
            }
            for name, measure, given in measured
        },
    }


def _whole(table: Table, name: str) -> Any:
    if name not in table.names:
        raise UserError(f"The data set has no column {name}; it has {list(table.names)}.")
    column = table.columns[table.names.index(name)]
    if inferred(column) not in ("Integral", "Fractional") or "" in column:
        raise UserError(f"The column {name} has values that are missing or no numbers.")
    return _numbers(column)


def quality_constraints(statistics: Json, problem: str) -> Json:
    """``constraints.json`` of model quality: no worse than the baseline."""
    group = _GROUPS[problem]
    return {
        "version": 0.0,
        f"{group}_constraints": {
            name: {
                "threshold": told["value"],
                "comparison_operator": (
                    "GreaterThanThreshold" if name in _ERRORS else "LessThanThreshold"
                ),
            }
            for name, told in statistics[f"{group}_metrics"].items()
            # What a model is compared with says nothing about the model.
            if not name.endswith(_BEST_CONSTANT)
        },
    }


def quality_violations(statistics: Json, constraints: Json, problem: str) -> list[Json]:
    """What is worse than the constraints allow."""
    group, found = _GROUPS[problem], list[Json]()
    for name, rule in constraints[f"{group}_constraints"].items():
        if name not in statistics[f"{group}_metrics"]:
            continue  # such as auc, where the baseline had probabilities and this has none
        value = statistics[f"{group}_metrics"][name]["value"]
        over = rule["comparison_operator"] == "GreaterThanThreshold"
        if value > rule["threshold"] if over else value < rule["threshold"]:
            found.append(
                {
                    "constraint_check_type": rule["comparison_operator"],
                    "metric_name": name,
                    "description": f"{name} is {value:.6g}, its threshold {rule['threshold']:.6g}",
                }
            )
    return found


# The contract.


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(path: str) -> Json:
    given = Path(path)
    # The contract gives a file; an input that is one file comes as its folder.
    if given.is_dir():
        given = next(path for path in sorted(given.rglob("*.json")))
    return json.loads(given.read_text("utf-8"))


def analyze(given: Mapping[str, str], ml: Path) -> str:
    """Does what the environment variables of the contract ask for; gives the exit message.

    Raises:
        UserError: It cannot be done.
    """
    output = Path(given["output_path"])
    output.mkdir(parents=True, exist_ok=True)
    times = (given["start_time"], given["end_time"]) if given.get("start_time") else None
    table = read(
        Path(given["dataset_source"]),
        json.loads(given.get("dataset_format") or "{}"),
        times,
        given.get("record_preprocessor_script"),
    )
    baseline = given.get("baseline_constraints")
    violations: list[Json] | None = None
    metrics: list[tuple[str, float]] = []
    if given.get("analysis_type", "DATA_QUALITY") == "MODEL_QUALITY":
        problem = given["problem_type"]
        statistics = quality(
            table,
            problem,
            given.get("ground_truth_attribute", LABEL),
            given.get("inference_attribute", ""),
            given.get("probability_attribute", ""),
            float(given.get("probability_threshold_attribute", 0.5)),
        )
        constraints = _json(baseline) if baseline else quality_constraints(statistics, problem)
        if baseline:
            violations = quality_violations(statistics, constraints, problem)
        measured = statistics[f"{_GROUPS[problem]}_metrics"]
        metrics = [(name, told["value"]) for name, told in measured.items()]
    else:
        before = _json(given["baseline_statistics"]) if baseline else None
        constraints = _json(baseline) if baseline else {}
        names = table.names or tuple(
            item["name"] for item in constraints.get("features", [])[: len(table.columns)]
        )
        names = (*names, *(f"_c{n}" for n in range(len(names), len(table.columns))))
        features = [describe(n, c) for n, c in zip(names, table.columns, strict=True)]
        statistics = {
            "version": 0.0,
            "dataset": {"item_count": table.rows},
            "features": features,
        }
        if before is not None:
            violations, distances = compare(table, before, constraints)
            metrics = list(_feature_metrics(features, distances))
        else:
            constraints = {
                "version": 0.0,
                "features": [suggest(feature) for feature in features],
                "monitoring_config": MONITORING,
            }
    written = {"statistics.json": statistics, "constraints.json": constraints}
    if violations is not None:
        written["constraint_violations.json"] = {"violations": violations}
    for name, content in written.items():
        text = json.dumps(content, indent=2, allow_nan=False)
        (output / name).write_text(text, encoding="utf-8")
    if given.get("publish_cloudwatch_metrics") == "Enabled":
        _publish(metrics, given, ml)
    if violations:
        return (
            "CompletedWithViolations: Job completed successfully with"
            f" {len(violations)} violations."
        )
    return "Completed: Job completed successfully with no violations."


def _feature_metrics(features: Sequence[Json], distances: Json) -> Iterator[tuple[str, float]]:
    for feature in features:
        name = feature["name"]
        told = feature.get("numerical_statistics") or feature.get("string_statistics")
        if told is None:
            continue
        common = told["common"]
        share = common["num_present"] / (common["num_present"] + common["num_missing"])
        yield f"feature_non_null_{name}", share
        if "mean" in told:
            yield f"feature_data_{name}", told["mean"]
        if name in distances:
            yield f"feature_baseline_drift_{name}", distances[name]


def _publish(metrics: Sequence[tuple[str, float]], given: Mapping[str, str], ml: Path) -> None:
    folder = ml / "output" / "metrics" / "cloudwatch"
    folder.mkdir(parents=True, exist_ok=True)
    named = {
        "Endpoint": given.get("sagemaker_endpoint_name", ""),
        "MonitoringSchedule": given.get("sagemaker_monitoring_schedule_name", ""),
    }
    # What batch transforms captured is of no endpoint.
    dimensions = [{"Name": name, "Value": value} for name, value in named.items() if value]
    lines = [
        json.dumps(
            {"MetricName": name, "Timestamp": _now(), "Dimensions": dimensions, "Value": value}
        )
        for name, value in metrics
    ]
    (folder / "cloudwatch_metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(ml: Path) -> int:
    """Analyzes; gives the exit code and leaves the message where SageMaker takes it."""
    print("Stand-in of the local cloud for AWS's Model Monitor analyzer.", flush=True)
    folder = ml / "output"
    folder.mkdir(exist_ok=True)
    try:
        message = analyze(os.environ, ml)
    except UserError as error:
        (folder / "message").write_text(f"Error: {error}", encoding="utf-8")
        print(f"Error: {error}", flush=True)
        return 1
    (folder / "message").write_text(message, encoding="utf-8")
    print(message, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
