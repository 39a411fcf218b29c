"""What endpoints, pipelines, monitoring, rules and queues measure, and the alarms over it.

moto keeps metrics and alarms, and evaluates none. Alarms over a single metric of these namespaces
are evaluated here from what is measured: at once after each measurement and then every second,
over the time up to now instead of whole periods. An alarm whose metric was never measured keeps the
state that it was given.
"""

from __future__ import annotations

import collections
import operator
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from localcloud.emulator.jobs.place import Place, now

NAMESPACE = "AWS/SageMaker"
PIPELINES = "AWS/Sagemaker/ModelBuildingPipeline"
"""Source: SageMaker developer guide, "SageMaker Pipelines Metrics", spelt as there."""
EVENTS = "AWS/Events"
QUEUES = "AWS/SQS"
MONITORING: Mapping[str, str] = {
    "model-monitoring": "aws/sagemaker/Endpoints/data-metrics",
    "model-quality-monitoring": "aws/sagemaker/Endpoints/model-metrics",
    "model-bias-monitoring": "aws/sagemaker/Endpoints/bias-metrics",
    "model-explainability-monitoring": "aws/sagemaker/Endpoints/explainability-metrics",
}
"""What the names of monitoring jobs begin with -> the namespace of what they find of endpoints.

Sources: SageMaker developer guide, "CloudWatch Metrics for Bring Your Own Containers", "Monitoring
model quality metrics with CloudWatch", "CloudWatch Metrics for Bias Drift Analysis", "CloudWatch
Metrics for Feature Drift Analysis".
"""
MONITORING_BATCHES: Mapping[str, str] = {
    job: namespace.replace("/Endpoints/", "/ModelMonitoring/")
    for job, namespace in MONITORING.items()
}
"""The same, of what they find of batch transforms."""
_NAMESPACES = (
    NAMESPACE, PIPELINES, EVENTS, QUEUES, *MONITORING.values(), *MONITORING_BATCHES.values(),
)  # fmt: skip
_KEPT_SECONDS = 3600
_PAUSE_SECONDS = 1.0

Dimensions = tuple[tuple[str, str], ...]

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Average": lambda values: sum(values) / len(values),
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
}


def percentile(values: Sequence[float], text: str) -> float:
    """A percentile such as ``p99``, interpolated between its neighbours."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * float(text.removeprefix("p")) / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass
class Measurements:
    """The measurements of an account, and its alarms over them."""

    place: Place
    _values: dict[tuple[str, str, Dimensions], collections.deque[tuple[float, float]]] = field(
        default_factory=dict[Any, Any]
    )
    _states: dict[str, str] = field(default_factory=dict[str, str])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _watching: bool = False

    @classmethod
    def of(cls, place: Place) -> Measurements:
        """Those of an account and region."""
        return place.things("measurements").setdefault("all", cls(place))

    def add(
        self,
        dimensions: Mapping[str, str],
        values: Iterable[tuple[str, float, str]],
        *,
        namespace: str = NAMESPACE,
    ) -> None:
        """Keeps what was measured at once: name, value and unit of each metric."""
        given = list(values)
        stamp = now()
        self.place.client("cloudwatch").put_metric_data(
            Namespace=namespace,
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": k, "Value": v} for k, v in _key(dimensions)],
                    "Value": value,
                    "Unit": unit,
                    "Timestamp": stamp,
                }
                for name, value, unit in given
            ],
        )
        self.notice(dimensions, [(name, value) for name, value, _ in given], namespace=namespace)

    def notice(
        self,
        dimensions: Mapping[str, str],
        values: Iterable[tuple[str, float]],
        *,
        namespace: str,
    ) -> None:
        """Evaluates the alarms over what CloudWatch has already: name and value of each metric."""
        key, moment = _key(dimensions), time.time()
        with self._lock:
            for name, value in values:
                kept = self._values.setdefault((namespace, name, key), collections.deque())
                kept.append((moment, value))
                while kept[0][0] < moment - _KEPT_SECONDS:
                    kept.popleft()
            start, self._watching = not self._watching, True
        self.evaluate()
        if start:
            threading.Thread(target=self._watch, daemon=True, name="alarms").start()

    def _watch(self) -> None:
        while not self.place.compute.stopping.wait(_PAUSE_SECONDS):
            self.evaluate()

    def evaluate(self) -> None:
        """Sets the state of each alarm whose state has changed by what was measured."""
        cloudwatch = self.place.client("cloudwatch")
        for alarm in cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm"])["MetricAlarms"]:
            if alarm.get("Namespace") not in _NAMESPACES:
                continue
            found = self._state(alarm)
            name = alarm["AlarmName"]
            # A state that somebody set by hand stays until a measurement says otherwise.
            if found and found != self._states.get(name):
                self._states[name] = found
                if found != alarm["StateValue"]:
                    reason = f"Evaluated by the local cloud over {alarm['MetricName']}."
                    cloudwatch.set_alarm_state(AlarmName=name, StateValue=found, StateReason=reason)

    def _state(self, alarm: Mapping[str, Any]) -> str | None:
        key = (
            str(alarm.get("Namespace")),
            str(alarm.get("MetricName")),
            _key({item["Name"]: item["Value"] for item in alarm.get("Dimensions", [])}),
        )
        with self._lock:
            points = list(self._values.get(key, ()))
        if not points:
            return None
        period, count = int(alarm["Period"]), int(alarm["EvaluationPeriods"])
        needed = int(alarm.get("DatapointsToAlarm") or count)
        moment = time.time()
        verdicts: list[bool | None] = []
        for number in range(count):
            newest = moment - number * period
            values = [value for at, value in points if newest - period < at <= newest]
            verdicts.append(self._breaches(alarm, values) if values else None)
        missing = alarm.get("TreatMissingData", "missing")
        if missing in ("breaching", "notBreaching"):
            verdicts = [missing == "breaching" if v is None else v for v in verdicts]
        if verdicts.count(True) >= needed:
            return "ALARM"
        if all(verdict is None for verdict in verdicts):
            return None if missing == "ignore" else "INSUFFICIENT_DATA"
        return "OK"

    @staticmethod
    def _breaches(alarm: Mapping[str, Any], values: Sequence[float]) -> bool | None:
        compare = _COMPARE.get(str(alarm["ComparisonOperator"]))
        extended = str(alarm.get("ExtendedStatistic") or "")
        if compare is None or (extended and not extended.startswith("p")):
            return None
        found = (
            percentile(values, extended)
            if extended
            else _STATISTICS[str(alarm.get("Statistic", "Average"))](values)
        )
        return compare(found, float(alarm["Threshold"]))


def _key(dimensions: Mapping[str, str]) -> Dimensions:
    return tuple(sorted(dimensions.items()))
