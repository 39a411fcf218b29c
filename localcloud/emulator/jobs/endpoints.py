"""Endpoints: fleets of model servers, blue/green updates with rollback, invocations.

A variant's instances are one process, whatever their number. Waits of deployment configurations are
shortened: a minute takes a second, and none more than ten.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from botocore.exceptions import ClientError

from localcloud.emulator import acting
from localcloud.emulator.compute import ComputeError, Task
from localcloud.emulator.extension import ApiError, Params
from localcloud.emulator.jobs import models
from localcloud.emulator.jobs.capture import Capture
from localcloud.emulator.jobs.job import page, refuse, select, send_log
from localcloud.emulator.jobs.metrics import Measurements
from localcloud.emulator.jobs.models import Answer, Server, ServingError
from localcloud.emulator.jobs.place import Place, now
from localcloud.emulator.jobs.transfer import Transfer

_log = logging.getLogger(__name__)

INVOCATION_SECONDS = 60.0
PAYLOAD_BYTES = 6 * 1024 * 1024
_SHORTENED, _LONGEST_WAIT = 1 / 60, 10.0
_POLL_SECONDS = 0.1
_WEEK = 7 * 86_400
_SCALED = "sagemaker:variant:DesiredInstanceCount"
_REASON = 1024
_BUSY = ("Creating", "Updating", "RollingBack", "Deleting", "SystemUpdating")
_NOT_HERE = {
    "AsyncInferenceConfig": "asynchronous inference",
    "ExplainerConfig": "explainers",
    "ShadowProductionVariants": "shadow variants",
    "CrossRegionTrafficConfig": "traffic across regions",
}
_VARIANT_NOT_HERE = {"CoreDumpConfig": "core dumps", "ManagedInstanceScaling": "managed scaling"}


# -- endpoint configurations -----------------------------------------------------------------------


def create_config(place: Place, params: Params) -> Params:
    """Keeps an endpoint configuration."""
    refuse(params, _NOT_HERE, "endpoints")
    name = params["EndpointConfigName"]
    arn, configs = place.arn(f"endpoint-config/{name}"), place.things("endpoint_configs")
    if name in configs:
        raise ApiError(
            "ValidationException", f'Cannot create already existing endpoint configuration "{arn}".'
        )
    for variant in params["ProductionVariants"]:
        refuse(variant, _VARIANT_NOT_HERE, "endpoints")
        if not variant.get("ModelName"):
            refuse({"ModelName": True}, {"ModelName": "variants without a model"}, "endpoints")
        models.get(place, variant["ModelName"])
        if not variant.get("ServerlessConfig") and not variant.get("InstanceType"):
            raise ApiError(
                "ValidationException",
                f"Variant {variant['VariantName']} needs an InstanceType or a ServerlessConfig.",
            )
    names = [variant["VariantName"] for variant in params["ProductionVariants"]]
    if len(set(names)) < len(names):
        raise ApiError("ValidationException", "Two variants have one name.")
    kept = {key: value for key, value in params.items() if key != "Tags"}
    kept["ProductionVariants"] = [
        {"InitialVariantWeight": 1.0, **variant} for variant in params["ProductionVariants"]
    ]
    configs[name] = {
        "EnableNetworkIsolation": False,
        **kept,
        "EndpointConfigArn": arn,
        "CreationTime": now(),
    }
    place.remember_tags(arn, params)
    return {"EndpointConfigArn": arn}


def get_config(place: Place, name: str) -> Params:
    """An endpoint configuration.

    Raises:
        ApiError: There is none.
    """
    config = place.things("endpoint_configs").get(name)
    if config is None:
        arn = place.arn(f"endpoint-config/{name}")
        raise ApiError("ValidationException", f'Could not find endpoint configuration "{arn}".')
    return config


def delete_config(place: Place, name: str) -> None:
    """Removes an endpoint configuration; endpoints that use it go on."""
    arn = get_config(place, name)["EndpointConfigArn"]
    del place.things("endpoint_configs")[name]
    place.forget_tags(arn)


def list_configs(place: Place, params: Params) -> Params:
    """A page of endpoint configurations."""
    members = ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
    chosen = select(list(place.things("endpoint_configs").values()), params, "EndpointConfigName")
    return page([{m: item[m] for m in members} for item in chosen], "EndpointConfigs", params)


# -- fleets ----------------------------------------------------------------------------------------


@dataclass
class Variant:
    """A production variant with the processes that serve it."""

    name: str
    given: Params
    model: Params
    task: Task
    servers: Sequence[Server]
    weight: float
    count: int
    capture: Capture | None
    started: Any

    def summary(self) -> Params:
        """As DescribeEndpoint shows it."""
        images = [container["Image"] for container in models.containers_of(self.model)]
        known: Params = {
            "VariantName": self.name,
            "DeployedImages": [
                {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": self.started}
                for image in images
            ],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.weight,
        }
        serverless = self.given.get("ServerlessConfig")
        if serverless:
            return {
                **known,
                "CurrentServerlessConfig": serverless,
                "DesiredServerlessConfig": serverless,
            }
        return {**known, "CurrentInstanceCount": self.count, "DesiredInstanceCount": self.count}


@dataclass
class Fleet:
    """All that serves one endpoint configuration."""

    config: Params
    variants: list[Variant]
    asked: int = 0
    """Requests on their way; changed under the endpoint's lock."""

    def choose(self, wanted: str | None) -> Variant:
        """The variant of the next request, by weight unless one is named.

        Raises:
            ApiError: There is no such variant.
        """
        if wanted:
            for variant in self.variants:
                if variant.name == wanted:
                    return variant
            raise ApiError("ValidationError", f"Variant {wanted} does not exist.")
        weights = [variant.weight for variant in self.variants]
        if not sum(weights):
            weights = [1.0] * len(weights)
        return random.choices(self.variants, weights)[0]  # noqa: S311 -- traffic, not secrets

    def end(self) -> None:
        """Ends its processes."""
        for variant in self.variants:
            if variant.capture:
                variant.capture.end()
            models.end(variant.servers)


class RollbackError(Exception):
    """An update must be taken back; the message says why."""


class Endpoint:
    """One endpoint.

    Args:
        place: Where it is.
        name: Its name.
        config: The endpoint configuration that it is created with.
        deployment: ``DeploymentConfig``, if any.
    """

    def __init__(self, place: Place, name: str, config: Params, deployment: Params | None) -> None:
        self.place = place
        self.name = name
        self.arn = place.arn(f"endpoint/{name.lower()}")
        self.status = "Creating"
        self.failure: str | None = None
        self.created = self.modified = now()
        self.deployment = deployment
        self._config_name = str(config["EndpointConfigName"])
        self._live: Fleet | None = None
        self._next: Fleet | None = None
        self._pending: Params | None = None
        self._share = 0.0
        self._deleted = threading.Event()
        self._traffic = threading.Condition()

    # What it says about itself.

    def description(self) -> Params:
        """As DescribeEndpoint gives it."""
        live = self._live
        told: Params = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self._config_name,
            "EndpointStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
        }
        if live:
            told["ProductionVariants"] = [variant.summary() for variant in live.variants]
            told |= self._capture_summary(live)
        if self.failure:
            told["FailureReason"] = self.failure[:_REASON]
        if self.deployment:
            told["LastDeploymentConfig"] = self.deployment
        if self._pending:
            told["PendingDeploymentSummary"] = self._pending
        return told

    @staticmethod
    def _capture_summary(live: Fleet) -> Params:
        config = live.config.get("DataCaptureConfig")
        if not config:
            return {}
        failed = any(variant.capture and variant.capture.failure for variant in live.variants)
        stopped = failed or not config.get("EnableCapture")
        summary = {
            "EnableCapture": bool(config.get("EnableCapture")),
            "CaptureStatus": "Stopped" if stopped else "Started",
            "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
            "DestinationS3Uri": config["DestinationS3Uri"],
            "KmsKeyId": config.get("KmsKeyId", ""),
        }
        return {"DataCaptureConfig": summary}

    def become(self, status: str) -> None:
        """Changes its state, and sends the event of it."""
        self.status, self.modified = status, now()
        words = "".join(f"_{c}" if c.isupper() else c for c in status).lstrip("_").upper()
        detail = {
            **self.description(),
            "EndpointStatus": words,
            "Tags": self.place.tags(self.arn),
        }
        self.place.publish("SageMaker Endpoint State Change", detail, self.arn)

    # Its life.

    def begin(self, work: Callable[[], None]) -> None:
        """Does something in a thread of its own."""

        def run() -> None:
            try:
                work()
            except Exception as error:
                _log.exception("%s failed", self.arn)
                self.failure = f"The local cloud failed: {error!r}"
                self.become("Failed")

        threading.Thread(target=run, daemon=True, name=self.name).start()

    def create(self, config: Params) -> None:
        """Starts its first fleet."""
        self.become("Creating")
        try:
            self._live = self._start(config)
        except ServingError as error:
            self.failure = str(error)
            self.become("Failed")
            return
        if self._deleted.is_set():
            self._live.end()
            return
        self.become("InService")

    def update(self, config: Params, deployment: Params | None, keep: Params) -> None:
        """Starts a new fleet, moves the traffic to it, and ends the old one; or goes back.

        Args:
            config: The new endpoint configuration.
            deployment: How to move the traffic; None moves all at once.
            keep: Variant name -> ``weight`` and ``count`` to keep.
        """
        old, before = self._live, self.deployment
        self._pending = {
            "EndpointConfigName": config["EndpointConfigName"],
            "StartTime": now(),
        }
        self.deployment = deployment or before
        watched = alarms_of(deployment)
        fleet: Fleet | None = None
        try:
            self._check(watched)
            fleet = self._start(config, keep)
            self._pending["ProductionVariants"] = [_pending(v) for v in fleet.variants]
            self._next = fleet
            for share, seconds in traffic(deployment, fleet):
                self._share = share
                self._bake(seconds, watched)
        except (ServingError, RollbackError) as error:
            with self._traffic:
                self._share, self._next = 0.0, None
            self.deployment = before
            self.failure = str(error)
            self.become("RollingBack")
            if fleet:
                self._retire(fleet)
            self._pending = None
            if not self._deleted.is_set():
                self.become("InService")
            return
        with self._traffic:
            self._live, self._next, self._share = fleet, None, 0.0
        self._config_name = str(config["EndpointConfigName"])
        self._pending = None
        if old:
            self._retire(old)
        if self._deleted.is_set():
            fleet.end()
            return
        self.become("InService")

    def _retire(self, fleet: Fleet) -> None:
        """Ends a fleet once its last requests are answered."""
        with self._traffic:
            self._traffic.wait_for(
                lambda: not fleet.asked or self._deleted.is_set(), INVOCATION_SECONDS
            )
        fleet.end()

    @contextlib.contextmanager
    def _fleet(self) -> Generator[Fleet]:
        """The fleet of the next request, which it keeps until it is answered.

        Raises:
            ApiError: There is none.
        """
        with self._traffic:
            new = self._next if random.random() < self._share else None  # noqa: S311 -- traffic
            fleet = new or self._live
            if fleet is None or self._deleted.is_set():
                account = self.place.account
                raise ApiError("ValidationError", f"Endpoint {self.name} of {account} not found.")
            fleet.asked += 1
        try:
            yield fleet
        finally:
            with self._traffic:
                fleet.asked -= 1
                self._traffic.notify_all()

    def reweigh(self, wanted: Sequence[Params]) -> None:
        """Changes weights and instance counts."""
        for item in wanted:
            for variant in self._live.variants if self._live else ():
                if variant.name == item["VariantName"]:
                    variant.weight = float(item.get("DesiredWeight", variant.weight))
                    variant.count = int(item.get("DesiredInstanceCount", variant.count))
        self.become("InService")

    def delete(self) -> None:
        """Ends everything of it, and forgets it."""
        with self._traffic:
            self._deleted.set()
            self._traffic.notify_all()
        self.become("Deleting")
        for fleet in (self._live, self._next):
            if fleet:
                fleet.end()
        self.place.things("endpoints").pop(self.name, None)
        self.place.forget_tags(self.arn)

    def current(self) -> dict[str, Params]:
        """Variant name -> weight and count as they are."""
        live = self._live
        return (
            {v.name: {"weight": v.weight, "count": v.count} for v in live.variants} if live else {}
        )

    def instance_types(self) -> dict[str, str]:
        """Variant name -> instance type as it is; empty where it has no instances of its own."""
        live = self._live
        return {v.name: v.given.get("InstanceType", "") for v in live.variants} if live else {}

    @property
    def log_task(self) -> Task | None:
        """What its logs are written as."""
        return self._live.variants[0].task if self._live else None

    def _start(self, config: Params, keep: Params | None = None) -> Fleet:
        variants: list[Variant] = []
        try:
            for given in config["ProductionVariants"]:
                variants.append(
                    self._variant(config, given, (keep or {}).get(given["VariantName"]))
                )
        except ServingError:
            Fleet(config, variants).end()
            raise
        return Fleet(config, variants)

    def _variant(self, config: Params, given: Params, keep: Params | None) -> Variant:
        name = given["VariantName"]
        try:
            model = copy.deepcopy(models.get(self.place, given["ModelName"]))
        except ApiError as error:
            raise ServingError(str(error)) from error
        subnets = (model.get("VpcConfig") or {}).get("Subnets") or []
        role = str(model["ExecutionRoleArn"])
        task = self.place.task(role, "SageMaker", self.arn, subnets, seconds=_WEEK)
        servers: list[Server] = []
        try:
            servers = models.serve(self.place, model, task, f"production variant {name}")
        except ServingError as error:
            self._write_log(task, name, [], str(error))
            raise
        self._write_log(task, name, servers, "")
        captured = config.get("DataCaptureConfig") or {}
        capture = None
        if captured.get("EnableCapture"):
            environment = self.place.compute.environment(task)
            capture = Capture(self.name, name, captured, Transfer(environment, role))
        found = keep or {}
        return Variant(
            name,
            given,
            model,
            task,
            servers,
            float(found.get("weight", given.get("InitialVariantWeight", 1.0))),
            int(found.get("count", given.get("InitialInstanceCount", 1))),
            capture,
            now(),
        )

    def _write_log(self, task: Task, variant: str, servers: Sequence[Server], failure: str) -> None:
        text = "\n".join([*(server.container.output() for server in servers), failure])
        stream = f"{variant}/i-{uuid.uuid4().hex[:17]}"
        send_log(self.place, task, f"/aws/sagemaker/Endpoints/{self.name}", stream, text)

    # Alarms.

    def _check(self, alarms: Sequence[str]) -> None:
        firing = firing_alarms(self.place, alarms)
        if firing:
            raise RollbackError(
                "The deployment was rolled back: one or more of its alarms went into ALARM state:"
                f" {', '.join(firing)}."
            )
        if self._deleted.is_set() or self.place.compute.stopping.is_set():
            raise RollbackError("The endpoint was deleted during its deployment.")

    def _bake(self, seconds: float, alarms: Sequence[str]) -> None:
        end = time.monotonic() + min(seconds * _SHORTENED, _LONGEST_WAIT)
        while True:
            self._check(alarms)
            if time.monotonic() >= end:
                return
            time.sleep(_POLL_SECONDS)

    # Invocations.

    def invoke(self, params: Params) -> Params:
        """Answers InvokeEndpoint.

        Raises:
            ApiError: ``ModelError`` with what the container answered, or a refusal.
        """
        with self._fleet() as fleet:
            return self._asked(fleet, params)

    def _asked(self, fleet: Fleet, params: Params) -> Params:
        variant = fleet.choose(params.get("TargetVariant"))
        body = bytes(params.get("Body") or b"")
        headers = {
            "Content-Type": params.get("ContentType") or "application/octet-stream",
            "Accept": params.get("Accept") or "*/*",
        }
        if params.get("CustomAttributes"):
            headers["X-Amzn-SageMaker-Custom-Attributes"] = params["CustomAttributes"]
        begun = time.monotonic()
        try:
            answer = models.pass_through(variant.servers, body, headers, INVOCATION_SECONDS)
        except TimeoutError:
            answer = Answer(
                0, b"Your invocation timed out while waiting for a response", "text/plain"
            )
        except (OSError, ServingError) as error:
            answer = Answer(500, f"The container gave no answer: {error}".encode(), "text/plain")
        self._measure(variant, answer, time.monotonic() - begun)
        if not 200 <= answer.status < 300:
            raise self._model_error(variant, answer)
        if variant.capture:
            variant.capture.record(body, headers, answer, params.get("InferenceId"))
        return {
            "Body": answer.body,
            "ContentType": answer.content_type,
            "InvokedProductionVariant": variant.name,
        }

    def _measure(self, variant: Variant, answer: Answer, seconds: float) -> None:
        # Source: SageMaker developer guide, "Metrics for monitoring Amazon SageMaker AI".
        values = [
            ("Invocations", 1.0, "None"),
            ("InvocationsPerInstance", 1.0 / max(variant.count, 1), "None"),
            ("Invocation4XXErrors", float(400 <= answer.status < 500), "None"),
            ("Invocation5XXErrors", float(answer.status >= 500 or not answer.status), "None"),
            ("InvocationModelErrors", float(not 200 <= answer.status < 300), "None"),
            ("ModelLatency", seconds * 1e6, "Microseconds"),
            ("OverheadLatency", 0.0, "Microseconds"),
        ]
        dimensions = {"EndpointName": self.name, "VariantName": variant.name}
        Measurements.of(self.place).add(dimensions, values)

    def _model_error(self, variant: Variant, answer: Answer) -> ApiError:
        status = answer.status or 500
        text = answer.body.decode("utf-8", "replace")[:_REASON]
        group = f"/aws/sagemaker/Endpoints/{self.name}"
        region, account = self.place.region, self.place.account
        # Source: SageMaker runtime API reference, InvokeEndpoint, ModelError: HTTP status 424.
        return ApiError(
            "ModelError",
            f"Received {'server' if status >= 500 else 'client'} error ({answer.status}) from"
            f' {variant.name} with message "{text}". See {group} in account {account} for more'
            " information.",
            424,
            {
                "OriginalStatusCode": status,
                "OriginalMessage": text,
                "LogStreamArn": f"arn:aws:logs:{region}:{account}:log-group:{group}",
            },
        )


def _pending(variant: Variant) -> Params:
    return {k: v for k, v in variant.summary().items() if k != "VariantStatus"}


# -- how an update goes ----------------------------------------------------------------------------


def alarms_of(deployment: Params | None) -> list[str]:
    """The names of a deployment's alarms."""
    config = (deployment or {}).get("AutoRollbackConfiguration") or {}
    return [alarm["AlarmName"] for alarm in config.get("Alarms") or []]


def firing_alarms(place: Place, names: Sequence[str]) -> list[str]:
    """Which of some alarms are in ALARM."""
    if not names:
        return []
    found = place.client("cloudwatch").describe_alarms(
        AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    every = [*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]
    return [alarm["AlarmName"] for alarm in every if alarm["StateValue"] == "ALARM"]


def check_alarms(place: Place, role_arn: str, arn: str, names: Sequence[str]) -> None:
    """Makes sure that a deployment's alarms exist and that the model's role may look at them.

    Source: SageMaker developer guide, "Auto-Rollback Configuration and Monitoring".

    Raises:
        ApiError: One does not, or it may not.
    """
    if not names:
        return
    try:
        environment = place.compute.environment(place.task(role_arn, "SageMaker", arn, []))
        cloudwatch = acting.client_of("cloudwatch", environment)
        found = cloudwatch.describe_alarms(
            AlarmNames=list(names), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
    except (ComputeError, ClientError) as error:
        raise ApiError(
            "ValidationException",
            f"The execution role {role_arn} of the model must be allowed cloudwatch:DescribeAlarms"
            f" on the alarms of AutoRollbackConfiguration: {error}",
        ) from error
    every = [*found.get("MetricAlarms", []), *found.get("CompositeAlarms", [])]
    missing = sorted(set(names) - {alarm["AlarmName"] for alarm in every})
    if missing:
        raise ApiError("ValidationException", f"There is no alarm {', '.join(missing)}.")


def traffic(deployment: Params | None, fleet: Fleet) -> list[tuple[float, float]]:
    """The steps of an update: the new fleet's share of the traffic, and how long it is watched.

    A rolling update goes like a linear one, in steps of its batch size.
    Source: SageMaker API reference, TrafficRoutingConfig.

    Returns:
        Pairs of share (0 to 1) and seconds, as configured.
    """
    given = deployment or {}
    rolling = given.get("RollingUpdatePolicy")
    if rolling:
        return _linear(_part(rolling["MaximumBatchSize"], fleet), rolling["WaitIntervalInSeconds"])
    policy = given.get("BlueGreenUpdatePolicy")
    if not policy:
        return [(1.0, 0.0)]
    routing = policy["TrafficRoutingConfiguration"]
    wait = float(routing.get("WaitIntervalInSeconds", 0))
    last = float(policy.get("TerminationWaitInSeconds", 0))
    if routing["Type"] == "CANARY":
        steps = [(_part(routing["CanarySize"], fleet), wait), (1.0, wait)]
    elif routing["Type"] == "LINEAR":
        steps = _linear(_part(routing["LinearStepSize"], fleet), wait)
    else:
        steps = [(1.0, wait)]
    return [*steps, (1.0, last)]


def _linear(step: float, wait: float) -> list[tuple[float, float]]:
    shares: list[float] = []
    while not shares or shares[-1] < 1.0:
        shares.append(min(1.0, (len(shares) + 1) * step))
    return [(share, wait) for share in shares]


def _part(size: Mapping[str, Any], fleet: Fleet) -> float:
    if size["Type"] == "CAPACITY_PERCENT":
        return float(size["Value"]) / 100
    total = sum(variant.count for variant in fleet.variants)
    return min(1.0, float(size["Value"]) / max(total, 1))


# -- operations ------------------------------------------------------------------------------------


def create(place: Place, params: Params) -> Params:
    """Begins to create an endpoint."""
    name = params["EndpointName"]
    config = get_config(place, params["EndpointConfigName"])
    endpoints = place.things("endpoints")
    endpoint = Endpoint(place, name, config, params.get("DeploymentConfig"))
    if name in endpoints:
        raise ApiError(
            "ValidationException", f'Cannot create already existing endpoint "{endpoint.arn}".'
        )
    endpoints[name] = endpoint
    place.remember_tags(endpoint.arn, params)
    config = copy.deepcopy(config)
    endpoint.begin(lambda: endpoint.create(config))
    return {"EndpointArn": endpoint.arn}


def get(place: Place, name: str) -> Endpoint:
    """An endpoint.

    Raises:
        ApiError: There is none.
    """
    endpoint = place.things("endpoints").get(name)
    if endpoint is None:
        arn = place.arn(f"endpoint/{name.lower()}")
        raise ApiError("ValidationException", f'Could not find endpoint "{arn}".')
    return cast(Endpoint, endpoint)


def _ready(place: Place, name: str, what: str) -> Endpoint:
    endpoint = get(place, name)
    if endpoint.status != "InService":
        raise ApiError(
            "ValidationException",
            f'Cannot {what} endpoint "{endpoint.arn}": it is {endpoint.status}, and must be'
            " InService.",
        )
    return endpoint


def update(place: Place, params: Params) -> Callable[[], Params]:
    """Begins to update an endpoint; the alarms are looked at first, by the model's role."""
    endpoint = _ready(place, params["EndpointName"], "update")
    config = copy.deepcopy(get_config(place, params["EndpointConfigName"]))
    _check_scaled(endpoint, config)
    deployment = params.get("DeploymentConfig")
    if deployment is None and params.get("RetainDeploymentConfig"):
        deployment = endpoint.deployment
    keep: dict[str, Params] = {}
    if params.get("RetainAllVariantProperties"):
        dropped = {
            item["VariantPropertyType"]
            for item in params.get("ExcludeRetainedVariantProperties") or []
        }
        names = {"weight": "DesiredWeight", "count": "DesiredInstanceCount"}
        keep = {
            variant: {k: v for k, v in values.items() if names[k] not in dropped}
            for variant, values in endpoint.current().items()
        }
    model = models.get(place, config["ProductionVariants"][0]["ModelName"])
    role = str(model["ExecutionRoleArn"])
    # Looking takes a call, which takes the lock: nobody else may begin meanwhile.
    endpoint.status = "Updating"

    def begin() -> Params:
        try:
            check_alarms(place, role, endpoint.arn, alarms_of(deployment))
        except ApiError:
            endpoint.status = "InService"
            raise
        endpoint.failure = None
        endpoint.become("Updating")
        endpoint.begin(lambda: endpoint.update(config, deployment, keep))
        return {"EndpointArn": endpoint.arn}

    return begin


def _check_scaled(endpoint: Endpoint, config: Params) -> None:
    """Refuses what SageMaker does to no variant that is scaled.

    Source: SageMaker developer guide, "Update endpoints that use auto scaling".
    """
    place = endpoint.place
    backend = place.host.backend("applicationautoscaling", place.account, place.region)
    scaled: Mapping[str, Any] = backend.targets.get(_SCALED, {})
    wanted = {v["VariantName"]: v.get("InstanceType", "") for v in config["ProductionVariants"]}
    held = [
        name
        for name, instance_type in endpoint.instance_types().items()
        if f"endpoint/{endpoint.name}/variant/{name}" in scaled
        and wanted.get(name) != instance_type
    ]
    if held:
        raise ApiError(
            "ValidationException",
            f'The variant(s) "[{", ".join(held)}]" must be deregistered as scalable targets with'
            " AWS Auto Scaling before they can be removed or have their instance type updated.",
        )


def reweigh(place: Place, params: Params) -> Params:
    """Changes weights and instance counts of variants."""
    endpoint = _ready(place, params["EndpointName"], "update")
    wanted = params["DesiredWeightsAndCapacities"]
    unknown = {item["VariantName"] for item in wanted} - set(endpoint.current())
    if unknown:
        raise ApiError("ValidationException", f"There is no variant {', '.join(sorted(unknown))}.")
    endpoint.become("Updating")
    endpoint.begin(lambda: endpoint.reweigh(wanted))
    return {"EndpointArn": endpoint.arn}


def delete(place: Place, name: str) -> Callable[[], Params]:
    """Ends an endpoint, in whatever state it is; unlike on AWS the call waits for it."""
    endpoint = get(place, name)
    endpoint.status = "Deleting"

    def end() -> Params:
        endpoint.delete()
        return {}

    return end


def summaries(place: Place, params: Params) -> Params:
    """A page of endpoints."""
    members = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
    wanted = params.get("StatusEquals")
    every = [endpoint.description() for endpoint in place.things("endpoints").values()]
    fitting = [item for item in every if wanted in (None, item["EndpointStatus"])]
    chosen = select(fitting, params, "EndpointName", "EndpointStatus")
    return page([{m: item[m] for m in members} for item in chosen], "Endpoints", params)


def invoke(place: Place, params: Params) -> Callable[[], Params]:
    """Passes a request to an endpoint's model, outside the emulator's lock.

    Raises:
        ApiError: There is no such endpoint, it has no fleet, or the request is too large.
    """
    name = params["EndpointName"]
    endpoint = cast("Endpoint | None", place.things("endpoints").get(name))
    if endpoint is None or endpoint.status in ("Creating", "Failed", "Deleting"):
        raise ApiError("ValidationError", f"Endpoint {name} of account {place.account} not found.")
    if len(params.get("Body") or b"") > PAYLOAD_BYTES:
        raise ApiError(
            "ValidationError",
            f"The request is larger than {PAYLOAD_BYTES} bytes, which InvokeEndpoint takes.",
            413,
        )
    for member in ("TargetModel", "InferenceComponentName", "SessionId"):
        refuse(params, {member: "such targets"}, "endpoints")
    return lambda: endpoint.invoke(params)
