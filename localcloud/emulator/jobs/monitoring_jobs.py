"""The jobs of Model Monitor: what each kind of monitoring runs, over what, with which settings.

Data quality and attributions take what an endpoint captured. Model quality and bias take it
together with labels: a job of its own merges them first, by the inference's id. Data quality and
model quality take what batch transforms captured as well, which their manifests name: what they
were given, or what they answered, with ids. Sources: SageMaker API reference
(``Create...JobDefinition``); developer guide, "Container Contract Inputs", "Ingest Ground Truth
labels and merge them with predictions", "Parameters to Monitor Bias Drift", "Parameters to Monitor
Attribution Drift", "Capture data from batch transform job".
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.framework_images import MODEL_MONITOR
from localcloud.emulator.extension import ApiError, Params
from localcloud.emulator.jobs.containers import ML
from localcloud.emulator.jobs.job import refuse
from localcloud.emulator.jobs.place import Place, now
from localcloud.emulator.jobs.transfer import split

_PROCESSING = f"{ML}/processing"
_CONSTRAINTS = f"{_PROCESSING}/baseline/constraints"
_STATISTICS = f"{_PROCESSING}/baseline/stats"
_CONFIG = f"{_PROCESSING}/input/config"
_CAPTURED, _TRUTH, _MERGED = (
    f"{_PROCESSING}/input_data",
    f"{_PROCESSING}/groundtruth",
    f"{_PROCESSING}/output",
)
_PREPROCESSOR = f"{_PROCESSING}/input/record_preprocessor_script_input"
_PREPROCESSING = {"RecordPreprocessorSourceUri": "preprocessing scripts"}
_POSTPROCESSING = {"PostAnalyticsProcessorSourceUri": "postprocessing scripts"}
_FORMATS = {"Json": "batch transforms of JSON", "Parquet": "batch transforms of Parquet"}
BATCH = "BATCH_TRANSFORM_INPUT"
"""``monitoring_input_type`` of a job over what batch transforms captured."""
_NAME = 63
"""Longest name of a processing job. Source: SageMaker API reference."""
_OFFSET = re.compile(r"-P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?)?")


@dataclass(frozen=True)
class Kind:
    """A kind of monitoring.

    Attributes:
        name: Its ``MonitoringType``; members of its API begin so.
        resource: Of a definition's ARN.
        jobs: What names of its jobs begin with.
        sides: Of a captured record, those that it looks at.
        transforms: What it looks at of batch transforms, ``input`` or ``output``; empty where they
            are not served here.
        labelled: Whether traffic is merged with labels first.
        analysis: ``analysis_type`` of its analyzer, where that has more than one.
    """

    name: str
    resource: str
    jobs: str
    sides: tuple[str, ...] = ("endpointInput", "endpointOutput")
    transforms: str = ""
    labelled: bool = False
    analysis: str = ""

    @property
    def store(self) -> str:
        """Where its definitions are kept."""
        return f"{self.name} job definitions"

    def part(self, definition: Params, part: str) -> Params:
        """A member of a definition that begins with the kind's name."""
        return definition.get(f"{self.name}{part}") or {}

    def source(self, definition: Params) -> Params:
        """What a definition looks at: an endpoint, or where batch transforms capture."""
        given = self.part(definition, "JobInput")
        return given.get("EndpointInput") or given["BatchTransformInput"]

    def endpoint(self, definition: Params) -> Params:
        """``EndpointName``, where a definition looks at an endpoint."""
        name = self.source(definition).get("EndpointName")
        return {"EndpointName": name} if name else {}

    def check(self, definition: Params) -> None:
        """Refuses what is not served here.

        Raises:
            ApiError: The definition asks for it.
        """
        source, app = self.part(definition, "JobInput"), self.part(definition, "AppSpecification")
        if not self.transforms:
            batch = {"BatchTransformInput": "inputs of batch transform jobs"}
            refuse(source, batch, f"{self.name} jobs")
        if bool(source.get("EndpointInput")) == bool(source.get("BatchTransformInput")):
            raise ApiError(
                "ValidationException",
                f"{self.name}JobInput has either EndpointInput or BatchTransformInput.",
            )
        refuse(app, _POSTPROCESSING, "monitoring jobs")
        if self.name != "DataQuality" or "EndpointName" not in self.source(definition):
            refuse(app, _PREPROCESSING, "monitoring jobs over anything but captured traffic")
        form = self.source(definition).get("DatasetFormat") or {}
        # A format is told by a member that may be empty.
        refuse(dict.fromkeys(form, True), _FORMATS, "monitoring jobs")
        delay(self.source(definition))
        if self.name == "ModelQuality" and not app.get("ProblemType"):
            raise ApiError("ValidationException", "ModelQualityAppSpecification needs ProblemType.")


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("DataQuality", "data-quality-job-definition", "model-monitoring", transforms="input"),
        Kind(
            "ModelQuality",
            "model-quality-job-definition",
            "model-quality-monitoring",
            ("endpointOutput",),
            transforms="output",
            labelled=True,
            analysis="MODEL_QUALITY",
        ),
        Kind(
            "ModelBias",
            "model-bias-job-definition",
            "model-bias-monitoring",
            labelled=True,
            analysis="MODEL_BIAS",
        ),
        Kind(
            "ModelExplainability",
            "model-explainability-job-definition",
            "model-explainability-monitoring",
            ("endpointInput",),
            analysis="MODEL_EXPLAINABILITY",
        ),
    )
}
"""``MonitoringType`` -> its kind."""


@dataclass(frozen=True)
class Window:
    """The captured time that an execution looks at.

    Attributes:
        start: Its begin, in UTC without a zone.
        end: Its end, which does not belong to it.
    """

    start: dt.datetime
    end: dt.datetime

    def variables(self) -> dict[str, str]:
        """As jobs are told."""
        return {"start_time": _stamp(self.start), "end_time": _stamp(self.end)}


def delay(source: Params) -> dt.timedelta:
    """How long before an execution the time ends that it looks at, so that labels can come.

    Args:
        source: ``EndpointInput``; of its offsets only that of the end counts here, the time begins
            where that of the execution before it ended.

    Raises:
        ApiError: An offset is none of whole days and hours into the past.
    """
    text = source.get("EndTimeOffset") or "-P0D"
    for given in (text, source.get("StartTimeOffset") or text):
        if not _OFFSET.fullmatch(given):
            raise ApiError("ValidationException", f"{given} is no offset such as -PT6H or -P1D.")
    found = _OFFSET.fullmatch(text)
    told = found.groupdict("0") if found else {}
    return dt.timedelta(days=int(told["days"]), hours=int(told["hours"]))


def captured(place: Place, kind: Kind, definition: Params, window: Window) -> list[str]:
    """Folders of the hours with traffic of a time, below the endpoint's own; and their root's URI.

    Returns:
        The root's URI first, then ``variant/yyyy/mm/dd/hh`` of each; of batch transforms the
        manifests' names, ``yyyy/mm/dd/hh/...``. Empty when there are none.
    """
    source = kind.source(definition)
    if window.end <= window.start:
        return []
    if "EndpointName" not in source:
        root = f"{source['DataCapturedDestinationS3Uri'].rstrip('/')}/{kind.transforms}/"
        found = sorted(name for name, at in _objects(place, root) if _within(at, window))
        return [root, *found] if found else []
    name = source["EndpointName"]
    sagemaker = place.client("sagemaker")
    endpoint = sagemaker.describe_endpoint(EndpointName=name)
    config = sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    capture = config.get("DataCaptureConfig") or {}
    if not capture.get("EnableCapture"):
        return []
    root = f"{capture['DestinationS3Uri'].rstrip('/')}/{name}/"
    last = f"{window.end:%Y/%m/%d/%H}"
    hours = sorted(
        hour for hour in _hours(place, root, since=window.start) if hour.partition("/")[2] <= last
    )
    return [root, *hours] if hours else []


def labelled(
    place: Place, kind: Kind, definition: Params, window: Window, traffic: Sequence[str]
) -> list[str]:
    """As :func:`captured`, of labels: below ``yyyy/mm/dd/hh`` of when was predicted.

    Args:
        place: Where.
        kind: Of monitoring.
        definition: Its definition.
        window: The time that counts.
        traffic: Of :func:`captured`.
    """
    uri = kind.part(definition, "JobInput")["GroundTruthS3Input"]["S3Uri"]
    root = f"{uri.rstrip('/')}/"
    first, last = f"{window.start:%Y/%m/%d/%H}", f"{window.end:%Y/%m/%d/%H}"
    if "EndpointName" not in kind.source(definition):
        # A transform's manifests are of the hour that it began in, whenever it ended.
        first = min([first, *(name[: len(first)] for name in traffic[1:])])
    hours = sorted(hour for hour in _hours(place, root) if first <= hour <= last)
    return [root, *hours] if hours else []


def _hours(place: Place, root: str, since: dt.datetime | None = None) -> Iterable[str]:
    return {
        name.rpartition("/")[0]
        for name, at in _objects(place, root)
        if since is None or at >= since.replace(microsecond=0)
    }


def _objects(place: Place, root: str) -> Iterator[tuple[str, dt.datetime]]:
    """Names below a folder, and when each was written, in whole seconds."""
    # SageMaker looks by itself what there is; the job reads it as its role.
    bucket, prefix = split(root)
    pages = place.client("s3").get_paginator("list_objects_v2")
    for found in pages.paginate(Bucket=bucket, Prefix=prefix):
        for item in found.get("Contents", []):
            written = item["LastModified"].replace(tzinfo=None, microsecond=0)
            yield item["Key"].removeprefix(prefix), written


def _within(at: dt.datetime, window: Window) -> bool:
    return window.start.replace(microsecond=0) <= at < window.end


def merge_job(
    place: Place,
    kind: Kind,
    definition: Params,
    traffic: Sequence[str],
    labels: Sequence[str],
    window: Window,
) -> Params:
    """The job that puts labels to the captured records that they belong to.

    Args:
        place: Where.
        kind: Of monitoring.
        definition: Its definition.
        traffic: Of :func:`captured`.
        labels: Of :func:`labelled`.
        window: The time that counts.
    """
    source, account = kind.source(definition), MODEL_MONITOR[place.region]
    app: Params = {
        "ImageUri": f"{account}.dkr.ecr.{place.region}.amazonaws.com"
        "/sagemaker-model-monitor-groundtruth-merger"
    }
    variables = {
        "dataset_source": _CAPTURED,
        "ground_truth_source": _TRUTH,
        "output_path": _MERGED,
    }
    inputs = _folders("groundtruth_input", labels, _TRUTH)
    if "EndpointName" in source:
        inputs += _folders("endpoint_input", traffic, f"{_CAPTURED}/{source['EndpointName']}")
    else:
        answers, told = _transformed(source, traffic, _CAPTURED)
        inputs, variables = [*inputs, *answers], {**variables, **told}
    target = _merged(kind, definition, window)
    return _job("groundtruth-merge", kind, definition, app, variables, inputs, (target, _MERGED))


def analysis_job(
    schedule: tuple[str, str],
    kind: Kind,
    definition: Params,
    traffic: Sequence[str],
    window: Window,
) -> Params:
    """The job that analyzes.

    Args:
        schedule: The schedule's name, and its ARN.
        kind: Of monitoring.
        definition: Its definition.
        traffic: Of :func:`captured`.
        window: The time that counts.
    """
    source, app = kind.source(definition), kind.part(definition, "AppSpecification")
    output = _output(kind, definition)
    inputs, about = _dataset(kind, definition, traffic, window)
    variables = {
        **(app.get("Environment") or {}),
        **about,
        "dataset_source": source["LocalPath"].rstrip("/"),
        "output_path": output["LocalPath"],
        "sagemaker_monitoring_schedule_name": schedule[0],
        **window.variables(),
    }
    variables.setdefault("publish_cloudwatch_metrics", "Enabled")
    told = {
        "analysis_type": kind.analysis,
        "problem_type": app.get("ProblemType"),
        "inference_attribute": source.get("InferenceAttribute"),
        "probability_attribute": source.get("ProbabilityAttribute"),
        "probability_threshold_attribute": source.get("ProbabilityThresholdAttribute"),
    }
    variables |= {name: str(value) for name, value in told.items() if value not in (None, "")}
    if app.get("ConfigUri"):
        inputs.append(_input("analysis_config", app["ConfigUri"], _CONFIG))
    script = app.get("RecordPreprocessorSourceUri")
    if script:
        inputs.append(_input("record_preprocessor_script_input", script, _PREPROCESSOR))
        variables["record_preprocessor_script"] = f"{_PREPROCESSOR}/{script.rpartition('/')[2]}"
    baseline = kind.part(definition, "BaselineConfig")
    for member, name, place in (
        ("ConstraintsResource", "constraints", _CONSTRAINTS),
        ("StatisticsResource", "statistics", _STATISTICS),
    ):
        uri = (baseline.get(member) or {}).get("S3Uri")
        if uri:
            inputs.append(_input(f"baseline_{name}", uri, place))
            variables[f"baseline_{name}"] = f"{place}/{uri.rpartition('/')[2]}"
    below = "/".join([*kind.endpoint(definition).values(), schedule[0]])
    target = f"{output['S3Uri'].rstrip('/')}/{below}/{now():%Y/%m/%d/%H}"
    job = _job(kind.jobs, kind, definition, app, variables, inputs, (target, output["LocalPath"]))
    return {**job, "MonitoringScheduleArn": schedule[1]}


def _dataset(
    kind: Kind, definition: Params, traffic: Sequence[str], window: Window
) -> tuple[list[Params], dict[str, str]]:
    """The inputs with what was captured, and what the job is told of them."""
    source, (root, *names) = kind.source(definition), traffic
    folder, form, sides = source["LocalPath"].rstrip("/"), "sagemakerCaptureJson", kind.sides
    if not (kind.labelled or "EndpointName" in source):
        return _transformed(source, traffic, folder)
    if kind.labelled:
        form, root = "sagemakerMergeJson", f"{_merged(kind, definition, window)}/"
    if "EndpointName" in source:
        name = source["EndpointName"]
        about = {"monitoring_input_type": "ENDPOINT_INPUT", "sagemaker_endpoint_name": name}
        inputs = _folders(
            "endpoint_input",
            [f"{root}{name}/" if kind.labelled else root, *names],
            f"{folder}/{name}",
        )
    else:
        about, sides = {"monitoring_input_type": BATCH}, ("batchTransformOutput",)
        inputs = [_input("batch_transform_input", root, folder)]
    formats = json.dumps({form: {"captureIndexNames": list(sides)}})
    return inputs, {**about, "dataset_format": formats}


def _transformed(
    source: Params, manifests: Sequence[str], folder: str
) -> tuple[list[Params], dict[str, str]]:
    """The inputs with what manifests name, which stays where it was; and what a job is told."""
    root, *names = manifests
    inputs = [
        _input(
            f"batch_transform_input_{number}",
            f"{root}{name}",
            f"{folder}/{number}",
            "ManifestFile",
        )
        for number, name in enumerate(names, 1)
    ]
    header = bool((source["DatasetFormat"].get("Csv") or {}).get("Header"))
    return inputs, {
        "dataset_format": json.dumps({"csv": {"header": header}}),
        "monitoring_input_type": BATCH,
    }


def _merged(kind: Kind, definition: Params, window: Window) -> str:
    """The folder of captured records that have labels.

    Those of an endpoint lie in it by its name and their hours. Batch transforms have one for each
    time that is looked at: a transform without any label leaves nothing there to read.
    """
    root = f"{_output(kind, definition)['S3Uri'].rstrip('/')}/merge"
    return root if kind.endpoint(definition) else f"{root}/{window.end:%Y/%m/%d/%H/%M%S}"


def _output(kind: Kind, definition: Params) -> Params:
    (given,) = kind.part(definition, "JobOutputConfig")["MonitoringOutputs"]
    return given["S3Output"]


def _job(
    prefix: str,
    kind: Kind,
    definition: Params,
    app: Params,
    variables: Mapping[str, str],
    inputs: Sequence[Params],
    output: tuple[str, str],
) -> Params:
    config: Params = {
        "Outputs": [
            {
                "OutputName": "result",
                "S3Output": {
                    "S3Uri": output[0],
                    "LocalPath": output[1],
                    "S3UploadMode": _output(kind, definition).get("S3UploadMode", "EndOfJob"),
                },
            }
        ]
    }
    key = kind.part(definition, "JobOutputConfig").get("KmsKeyId")
    name = f"{prefix}-{now():%Y%m%d%H%M}-"
    job: Params = {
        "ProcessingJobName": name + uuid.uuid4().hex[: min(24, _NAME - len(name))],
        "RoleArn": definition["RoleArn"],
        "AppSpecification": {
            member: app[member]
            for member in ("ImageUri", "ContainerEntrypoint", "ContainerArguments")
            if app.get(member)
        },
        "Environment": dict(variables),
        "ProcessingInputs": list(inputs),
        "ProcessingOutputConfig": {**config, "KmsKeyId": key} if key else config,
        "ProcessingResources": definition["JobResources"],
    }
    for member in ("NetworkConfig", "StoppingCondition"):
        if definition.get(member):
            job[member] = definition[member]
    return job


def _folders(name: str, found: Sequence[str], path: str) -> list[Params]:
    root, *hours = found
    return [
        _input(f"{name}_{number + 1}", f"{root}{hour}", f"{path}/{hour}")
        for number, hour in enumerate(hours)
    ]


def _input(name: str, uri: str, path: str, data_type: str = "S3Prefix") -> Params:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri": uri,
            "LocalPath": path,
            "S3DataType": data_type,
            "S3InputMode": "File",
            "S3DataDistributionType": "FullyReplicated",
        },
    }


def _stamp(moment: dt.datetime) -> str:
    return moment.replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
