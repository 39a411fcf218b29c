"""What is deployed, and where: the stack's configuration and the pipeline's environment, typed.

``Pulumi.yaml`` and ``Pulumi.<environment>.yaml`` say what the team decides. The pipeline's
environment variables say where it happens and which version it is about, so that the same files
serve every account. Both are checked before anything is made, and every mistake is told at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

ENVIRONMENTS: Final = ("dev", "preprod", "prod")
"""The first environment of each kind; its kind is called like it."""
ENVIRONMENT_PATTERN: Final = r"dev|(preprod|prod)(-[a-z][a-z0-9]*(-[a-z0-9]+)*)?"
"""What an environment may be called: ``prod-eu`` is one more of the kind ``prod``, in an account of
its own."""
ENDPOINT_NAME_CHARACTERS: Final = 63
"""Longest name of an endpoint, a configuration or a model. Source: SageMaker API reference."""
SUFFIX_CHARACTERS: Final = 8
"""What Pulumi appends to the name of a configuration or a model: a hyphen and seven digits."""

LOCAL_DISK_TYPES: Final = (
    "ml.*d.*", "ml.*dn.*", "ml.*ad.*", "ml.*de.*", "ml.dl1.*", "ml.g5.*", "ml.g6.*", "ml.g6e.*",
    "ml.p5.*", "ml.p5e.*", "ml.p5en.*", "ml.p6*", "ml.trn1.*", "ml.trn1n.*", "ml.trn2.*",
)  # fmt: skip
"""Instance types (patterns) with local NVMe disks, encrypted by the hardware: AWS refuses a volume
key there. Source: KmsKeyId of CreateEndpointConfig in the SageMaker API reference."""


def kind_of(environment: str) -> str:
    """The kind of an environment: ``prod`` of ``prod`` and of ``prod-eu``."""
    return environment.partition("-")[0]


def _environment(name: str) -> str:
    if not re.fullmatch(ENVIRONMENT_PATTERN, name):
        kinds = ", ".join(ENVIRONMENTS)
        raise ValueError(f"{name!r} should be {kinds}, or one more of a kind such as prod-eu")
    return name


def has_local_disks(instance_type: str) -> bool:
    """Whether an instance type stores on local disks, so that it takes no volume key."""
    return any(fnmatchcase(instance_type, pattern) for pattern in LOCAL_DISK_TYPES)


class SettingsError(ValueError):
    """The settings are wrong; the message names every wrong one and what it may be."""


class Tree(BaseModel):
    """A part of the settings: closed and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Account = Annotated[str, StringConstraints(pattern=r"^\d{12}$")]
InstanceType = Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]
Seconds = Annotated[int, Field(ge=0, le=3600)]
ContentType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.+-]+/[a-z0-9.+-]+$")]


class Tags(Tree):
    """Tags on every resource beside the project's own."""

    owner: Annotated[str, Field(min_length=1)]
    """Team that answers for the endpoint."""
    cost_centre: Annotated[str, Field(min_length=1)]
    """Where the cost goes."""
    extra: dict[str, str] = {}
    """More tags of the company's own."""

    @model_validator(mode="after")
    def _own_keys_only(self) -> Tags:
        taken = {"owner", "cost-centre", "environment", "managed-by"}
        wrong = sorted(
            key
            for key in self.extra
            if key in taken or key.lower().startswith(("aws:", "sagemaker:"))
        )
        if wrong:
            raise ValueError(f"{', '.join(wrong)} in extra: set here or reserved, choose others")
        return self


class Model(Tree):
    """How the SageMaker model is made from the approved version."""

    source: Literal["package", "artifacts"] = "package"
    """``package``: by the version's ARN in the central registry, which the account must be allowed
    to deploy from. ``artifacts``: by its image and model data, where it is not."""
    network_isolation: bool = True
    """Whether the container is cut off from every network."""
    no_isolation_because: str = ""
    """Why not, where it is not."""
    environment: dict[Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_]\w*$")], str] = {}
    """Variables of the container, over those of the version."""

    @model_validator(mode="after")
    def _reason(self) -> Model:
        if self.network_isolation == bool(self.no_isolation_because):
            raise ValueError(
                "network_isolation: false and no_isolation_because belong together: "
                "say why the container needs the network"
            )
        return self


class Instances(Tree):
    """What the endpoint runs on."""

    type: InstanceType = "ml.m5.large"
    """Instance type."""
    minimum: Annotated[int, Field(ge=1)] = 1
    """Least number of instances, also the first one; two or more survive the loss of a zone."""
    maximum: Annotated[int, Field(ge=1)] = 1
    """Largest number of instances; more than ``minimum`` turns scaling on."""
    invocations_per_minute: Annotated[int, Field(ge=1)] = 600
    """Invocations a minute of one instance that scaling aims at."""
    scale_in_seconds: Seconds = 300
    """Pause after a scale-in."""
    scale_out_seconds: Seconds = 60
    """Pause after a scale-out."""
    startup_seconds: Annotated[int, Field(ge=60, le=3600)] = 600
    """How long loading the model, and then the first health check, may take each."""

    @model_validator(mode="after")
    def _order(self) -> Instances:
        if self.maximum < self.minimum:
            raise ValueError(f"maximum {self.maximum} is below minimum {self.minimum}")
        return self

    @property
    def has_local_disks(self) -> bool:
        """Whether the type stores on local disks, so that it takes no volume key."""
        return has_local_disks(self.type)


class Capture(Tree):
    """What of the traffic is kept, encrypted, in the environment's bucket."""

    percent: Annotated[int, Field(ge=0, le=100)] = 100
    """Share of requests; 0 turns capture off."""
    requests: bool = True
    """Whether what was asked is kept."""
    responses: bool = True
    """Whether what was answered is kept."""

    @model_validator(mode="after")
    def _something(self) -> Capture:
        if self.percent and not (self.requests or self.responses):
            raise ValueError("keeps neither requests nor responses: set percent to 0 instead")
        return self


class Rollout(Tree):
    """How traffic moves from the old fleet to the new one."""

    strategy: Literal["all-at-once", "canary", "linear"] = "canary"
    """``all-at-once``; ``canary``: a share first, then the rest; ``linear``: share after share."""
    percent: Annotated[int, Field(ge=10, le=50)] = 20
    """The canary's share, or that of each linear step. Source: CanarySize and LinearStepSize in the
    SageMaker API reference."""
    wait_seconds: Seconds = 300
    """How long alarms are watched after each step."""
    termination_wait_seconds: Seconds = 120
    """How long the old fleet stays after the last step."""
    timeout_seconds: Annotated[int, Field(ge=600, le=28800)] = 3600
    """When the whole roll-out is given up and rolled back."""

    @property
    def steps(self) -> int:
        """After how many steps of traffic it waits."""
        return {"all-at-once": 1, "canary": 2, "linear": -(-100 // self.percent)}[self.strategy]

    @model_validator(mode="after")
    def _fits(self) -> Rollout:
        waits = self.steps * self.wait_seconds + self.termination_wait_seconds
        if waits >= self.timeout_seconds:
            raise ValueError(
                f"{self.strategy} waits {waits} seconds in all, timeout_seconds "
                f"{self.timeout_seconds} must be more"
            )
        return self


class Alarms(Tree):
    """When a roll-out is rolled back, and the owners are told."""

    server_errors: Annotated[int, Field(ge=1)] = 5
    """Answers 5XX of the endpoint in a period."""
    model_errors: Annotated[int, Field(ge=1)] = 5
    """Requests that the container did not answer well, in a period."""
    latency_milliseconds: Annotated[int, Field(ge=1)] = 1000
    """99th percentile of the model's latency."""
    period_seconds: Literal[60, 120, 180, 240, 300] = 60
    """Length of a period."""
    periods: Annotated[int, Field(ge=1, le=10)] = 1
    """How many periods in a row."""


HOURLY: Final = "cron(0 * ? * * *)"
"""The most frequent schedule of monitoring. Source: SageMaker developer guide, "The cron expression
for monitoring schedule"."""
_DAILY = re.compile(r"cron\(0 \d{1,2}(/\d{1,2})? \? \* \* \*\)")
DEFINITION_ENDS: Final[Mapping[str, str]] = {
    # Pulumi names it, the others are named by their content.
    "schedule": "-drift-0123456",
    "quality.schedule": "-quality-0123abcd",
    "bias.schedule": "-bias-0123abcd",
    "attributions.schedule": "-explain-0123abcd",
}
"""Schedule -> what the endpoint's name gets for the name of its definition of monitoring jobs, for
which :data:`ENDPOINT_NAME_CHARACTERS` hold too. Source: SageMaker API reference."""


def _schedule(text: str) -> str:
    if text and text != HOURLY and not _DAILY.fullmatch(text):
        raise ValueError(f"schedule {text!r} is neither {HOURLY} nor such as cron(0 3 ? * * *)")
    return text


Schedule = Annotated[str, AfterValidator(_schedule)]
"""``cron(0 * ? * * *)``: each hour; ``cron(0 3 ? * * *)``: each day at three, in UTC;
``cron(0 3/6 ? * * *)``: every six hours from three on. Empty: never."""
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*$")]
Hours = Annotated[int, Field(ge=0, le=720)]


def period_seconds(schedule: str) -> int:
    """Length of time that one run of a schedule stands for."""
    return 3600 if schedule == HOURLY else 86_400


class QualityMonitoring(Tree):
    """When predictions are compared with labels, which come below ``ground-truth/{endpoint}/``.

    For kind ``batch`` each prediction then has an id and a time as two more columns.
    """

    schedule: Schedule = ""
    problem: Literal["Regression", "BinaryClassification", "MulticlassClassification"] = (
        "Regression"
    )
    """What the model does; as the build's baseline was made."""
    prediction: str = "0"
    """Place of the prediction in an answer, or its name where answers have names; empty where a
    probability tells it."""
    probability: str = ""
    """Place or name of the probability of label 1, for ``BinaryClassification``."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The probability from which on label 1 is predicted."""
    labels_after_hours: Hours = 0
    """How long labels take: a run looks at what was predicted so much earlier."""
    limits: dict[Name, float] = {}
    """Metric -> where its alarm rings; above it for errors (mae, mse, rmse), else below it."""

    @model_validator(mode="after")
    def _told(self) -> QualityMonitoring:
        if not (self.prediction or self.probability):
            raise ValueError("neither prediction nor probability tells what was predicted")
        if self.probability and self.problem != "BinaryClassification":
            raise ValueError(f"probability is for BinaryClassification, not for {self.problem}")
        return self


DIFFERENCES: Final = ("AD", "DAR", "DCA", "DCR", "DPPL", "DRR", "RD", "SD")
"""Metrics of bias in predictions that are 0 when fair. Source: SageMaker developer guide,
"Post-training Data and Model Bias Metrics"."""


class Facet(Tree):
    """What metrics of bias are told for, as the build's configuration has it."""

    label: Annotated[str, Field(min_length=1)]
    """The label's column."""
    label_value: Annotated[str, Field(min_length=1)]
    """Its favourable values, or the value above which they lie; several with commas."""
    facet: Annotated[str, Field(min_length=1)]
    """The column that tells people apart."""
    facet_value: Annotated[str, Field(min_length=1)]
    """Its values of those who may be disadvantaged; several with commas."""


class BiasMonitoring(Tree):
    """When answers to some are compared with answers to others; with labels as model quality."""

    schedule: Schedule = ""
    prediction: Annotated[str, StringConstraints(pattern=r"^\d+$")] = "0"
    """Place of the prediction in an answer."""
    labels_after_hours: Hours = 0
    """How long labels take."""
    limits: dict[Name, Annotated[float, Field(gt=0)]] = {}
    """Metric -> how far from 0, either way, its alarms ring."""
    of: Facet | None = None
    """What the alarms are for; needed where there are limits."""

    @model_validator(mode="after")
    def _alarms(self) -> BiasMonitoring:
        wrong = sorted(set(self.limits) - set(DIFFERENCES))
        if wrong:
            raise ValueError(f"limits are for {', '.join(DIFFERENCES)}, not for {', '.join(wrong)}")
        if bool(self.limits) != bool(self.of):
            raise ValueError("limits and of belong together: alarms are of one facet")
        return self


class AttributionMonitoring(Tree):
    """When it is asked anew which features the model's answers come from.

    Clarify asks the deployed model behind an endpoint of its own, so the job has a network.
    """

    schedule: Schedule = ""
    features: list[Name] = []
    """Names of the features in a request's order, as the build's report has them."""
    samples: Annotated[int, Field(ge=10, le=100_000)] = 2048
    """Questions to the model for each captured request, at most."""
    instance_type: InstanceType = "ml.m5.large"
    """What the endpoint runs on meanwhile."""

    @model_validator(mode="after")
    def _named(self) -> AttributionMonitoring:
        if self.schedule and not self.features:
            raise ValueError("features are missing: the report is by their names")
        return self


class Monitoring(Tree):
    """When what is served is compared with what its version was trained on.

    What counts as drift is in the version's baselines, which its build makes.
    """

    schedule: Schedule = ""
    """Of data quality; for kind ``batch`` of the files that were predicted on."""
    columns: list[Name] = ["prediction"]
    """Columns of the baseline that have an alarm each; what the model answers is ``prediction``,
    which files that are predicted on do not have."""
    distance: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Largest distance of a column's distribution from the baseline's before its alarm rings."""
    quality: QualityMonitoring = QualityMonitoring()
    bias: BiasMonitoring = BiasMonitoring()
    attributions: AttributionMonitoring = AttributionMonitoring()
    instance_type: InstanceType = "ml.m5.xlarge"
    """What the jobs run on."""
    volume_gb: Annotated[int, Field(ge=5, le=1000)] = 20
    """Their disk: the traffic between two runs must fit."""
    timeout_minutes: Annotated[int, Field(ge=5, le=60)] = 30
    """How long they may take. Source: MonitoringStoppingCondition in the SageMaker API
    reference."""

    def needed(self) -> dict[str, tuple[str, ...]]:
        """Schedule that is on -> the baselines of the version that it compares with."""
        every = {
            "schedule": (self.schedule, ("constraints", "statistics")),
            "quality.schedule": (self.quality.schedule, ("quality",)),
            "bias.schedule": (self.bias.schedule, ("bias", "bias_config")),
            "attributions.schedule": (self.attributions.schedule, ("attributions",)),
        }
        return {name: baselines for name, (on, baselines) in every.items() if on}

    @model_validator(mode="after")
    def _once(self) -> Monitoring:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("columns names one twice")
        return self


RATE = re.compile(r"rate\(([1-9]\d*) (minute|hour|day)(s?)\)")
CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
OFTEN_MINUTES: Final = 15
"""Shortest time between two runs by a schedule: three jobs start their instances in each."""


class Batch(Tree):
    """Predictions on files in the project's bucket, by a schedule or as they arrive."""

    schedule: str = ""
    """``rate(1 day)`` or ``cron(0 3 * * ? *)``, in UTC: predicts on all that is below ``input/``.
    Empty: never."""
    on_arrival: bool = False
    """Whether each object that arrives below ``input/`` is predicted on at once."""
    columns: Annotated[int, Field(ge=1, le=10_000)]
    """Values in a row of the input, which is CSV without a header."""
    numeric: bool = True
    """Whether each of them must be a finite number."""
    values_per_row: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Numbers that the model answers to a row."""
    lowest: float
    """Least plausible prediction."""
    highest: float
    """Largest plausible prediction."""
    instance_type: InstanceType = "ml.m5.large"
    """What the transform runs on."""
    instances: Annotated[int, Field(ge=1, le=20)] = 1
    """How many of them."""
    check_instance_type: InstanceType = "ml.m5.large"
    """What input and output are checked on."""
    check_image: str = ""
    """Image with a Python from 3.9 on for the checks. Empty: the model's own."""
    volume_gb: Annotated[int, Field(ge=5, le=1000)] = 20
    """Disk of the checks: the input and the predictions of a run must fit."""
    payload_mb: Annotated[int, Field(ge=1, le=100)] = 6
    """Largest request to the model. Source: MaxPayloadInMB of CreateTransformJob."""
    timeout_minutes: Annotated[int, Field(ge=5, le=1440)] = 120
    """How long a check, or an integration test's run, may take."""

    @model_validator(mode="after")
    def _starts(self) -> Batch:
        if not (self.schedule or self.on_arrival):
            raise ValueError("nothing starts it: give a schedule, or on_arrival: true")
        if self.lowest >= self.highest:
            raise ValueError(f"lowest {self.lowest:g} is not below highest {self.highest:g}")
        rate, cron = RATE.fullmatch(self.schedule), CRON.fullmatch(self.schedule)
        if self.schedule and not (rate or cron):
            raise ValueError(
                f"schedule {self.schedule!r} is neither such as rate(1 day) nor such as "
                "cron(0 3 * * ? *)"
            )
        if rate and (rate[1] == "1") == bool(rate[3]):
            raise ValueError(f"schedule {self.schedule!r}: it is rate(1 day), but rate(2 days)")
        if rate and rate[2] == "minute" and int(rate[1]) < OFTEN_MINUTES:
            raise ValueError(
                f"schedule {self.schedule!r} is too often: {OFTEN_MINUTES} minutes at least"
            )
        if cron and (cron[3] == "?") == (cron[5] == "?"):
            raise ValueError(
                f"schedule {self.schedule!r}: one of day-of-month and day-of-week is ?, not both"
            )
        return self


class Place(Tree):
    """Where a project is deployed, by the pipeline's environment.

    The names are the platform's: ``{prefix}-{environment}-{thing}``.
    """

    environment: Annotated[str, AfterValidator(_environment)]
    """``dev``, ``preprod``, ``prod``, or one more of a kind."""
    prefix: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,14}[a-z0-9]$")]
    """Company-wide name prefix."""
    project: Annotated[
        str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=20)
    ]
    """The project's name."""
    region: Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]
    """AWS region."""
    hub_account: Account
    """Account of the central registry."""
    target_account: Account
    """Account that is deployed to."""

    @model_validator(mode="after")
    def _lengths(self) -> Place:
        most = ENDPOINT_NAME_CHARACTERS - SUFFIX_CHARACTERS
        if len(self.endpoint) > most:
            raise ValueError(
                f"the endpoint's name {self.endpoint!r} has {len(self.endpoint)} characters, "
                f"{most} are allowed: the names of its configurations are longer by "
                f"{SUFFIX_CHARACTERS}"
            )
        return self

    @property
    def partition(self) -> str:
        """AWS partition of the region."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def endpoint(self) -> str:
        """Name of the endpoint."""
        return f"{self.prefix}-{self.environment}-{self.project}"

    def monitoring(self, kind: Literal["drift", "quality", "bias", "explain"]) -> str:
        """Name of a schedule that compares the endpoint with a baseline of its version."""
        return f"{self.endpoint}-{kind}"

    @property
    def batch_pipeline(self) -> str:
        """Name of the pipeline of batch predictions."""
        return f"{self.endpoint}-batch"

    @property
    def batch_bucket(self) -> str:
        """The project's bucket of batch predictions, which the platform makes."""
        return f"{self.prefix}-{self.environment}-jobs-{self.project}-{self.target_account}"

    @property
    def missed_queue_arn(self) -> str:
        """The project's queue of events that could not start it, which the platform makes."""
        return (
            f"arn:{self.partition}:sqs:{self.region}:{self.target_account}:{self.endpoint}-missed"
        )

    def role_arn(self, name: str) -> str:
        """ARN of a role in the target account, named as the platform names them."""
        return (
            f"arn:{self.partition}:iam::{self.target_account}:role/"
            f"{self.prefix}-{self.environment}-{name}"
        )

    @property
    def group(self) -> str:
        """The project's group in the central registry."""
        return f"{self.prefix}-governance-{self.project}"

    @property
    def deploy_role_arn(self) -> str:
        """The role that deploys in the target account."""
        return self.role_arn(f"{self.project}-deploy")

    @property
    def deployments_function_arn(self) -> str:
        """The hub's function that allows, records and ends deployments, as this project calls it.

        The alias is the project's own in this environment: by it the function knows whose run asks.
        """
        return (
            f"arn:{self.partition}:lambda:{self.region}:{self.hub_account}:function:"
            f"{self.prefix}-governance-deployments:project-{self.project}_{self.environment}"
        )

    def parameter(self, path: str) -> str:
        """Name of an SSM parameter that the environment publishes."""
        return f"/{self.prefix}/{self.environment}/{path}"


class Version(Tree):
    """The approved version, as the hub's function gave it."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    model_package_arn: Annotated[str, StringConstraints(pattern=r"^arn:[^:]+:sagemaker:.+/\d+$")]
    image: str = ""
    model_data_url: str = ""
    environment: dict[str, str] = {}
    content_types: list[ContentType] = []
    response_types: list[ContentType] = []
    baselines: dict[str, str] = {}
    """What it is compared with -> S3 URI: ``statistics`` and ``constraints`` of the data that it
    was trained on; constraints of its ``quality``, ``bias`` and ``attributions``; ``bias_config``,
    how bias is measured."""


class Settings(Tree):
    """Everything that the program needs to know."""

    place: Place
    version: Version
    project_id: Annotated[str, StringConstraints(pattern=r"^p-[a-z0-9]{12}$")]
    """The project's id, a tag on all that belongs to it."""
    tags: Tags
    kind: Literal["realtime", "batch"] = "realtime"
    """``realtime``: an endpoint, by ``instances``, ``capture``, ``rollout``, ``alarms`` and
    ``monitoring``.
    ``batch``: predictions on files, by ``batch`` and ``monitoring``."""
    model: Model = Model()
    batch: Batch | None = None
    instances: Instances = Instances()
    capture: Capture = Capture()
    rollout: Rollout = Rollout()
    alarms: Alarms = Alarms()
    monitoring: Monitoring = Monitoring()

    @model_validator(mode="after")
    def _monitoring(self) -> Settings:
        needed = self.monitoring.needed()
        if not needed:
            return self
        on = f"monitoring.{next(iter(needed))}"
        if self.kind == "batch":
            self._batch_monitoring(needed)
        elif not (self.capture.percent and self.capture.requests and self.capture.responses):
            raise ValueError(
                f"{on} compares captured traffic: capture must keep requests and responses"
            )
        for name, baselines in needed.items():
            missing = sorted(set(baselines) - set(self.version.baselines))
            if missing:
                raise ValueError(
                    f"monitoring.{name} is set, but the version brings no baseline for it"
                    f" (DriftCheckBaselines, told as {', '.join(missing)}): register it with one,"
                    " or leave the schedule empty"
                )
        for name in needed:
            most = ENDPOINT_NAME_CHARACTERS - len(DEFINITION_ENDS[name])
            if len(self.place.endpoint) > most:
                raise ValueError(
                    f"monitoring.{name}: the endpoint's name {self.place.endpoint!r} has"
                    f" {len(self.place.endpoint)} characters, {most} are allowed with it"
                )
        return self

    def _batch_monitoring(self, needed: Mapping[str, object]) -> None:
        for name in needed:
            if name not in ("schedule", "quality.schedule"):
                raise ValueError(
                    f"monitoring.{name} compares an endpoint's traffic: kind batch has"
                    " monitoring.schedule and monitoring.quality.schedule only"
                )
        if "schedule" in needed and "prediction" in self.monitoring.columns:
            raise ValueError(
                "monitoring.columns: what is compared is the files that were predicted on, which"
                " have no prediction: name columns of theirs, or none by []"
            )

    @model_validator(mode="after")
    def _batch(self) -> Settings:
        if (self.kind == "batch") != (self.batch is not None):
            raise ValueError(
                f"kind is {self.kind}, but batch is {'set' if self.batch else 'missing'}: "
                "kind: batch and the settings below batch belong together"
            )
        if self.batch and "text/csv" not in (self.version.content_types or ["text/csv"]):
            raise ValueError(
                "kind: batch predicts on CSV, the version takes only "
                f"{', '.join(self.version.content_types)}"
            )
        if self.batch and not (self.batch.check_image or self.version.image):
            raise ValueError(
                "batch.check_image is missing, and the version names no image to check with"
            )
        return self

    @model_validator(mode="after")
    def _artifacts(self) -> Settings:
        if self.model.source == "artifacts" and not (
            self.version.image and self.version.model_data_url
        ):
            raise ValueError(
                "model.source is artifacts, but the version names no image or no model data: "
                "use source: package"
            )
        return self

    def all_tags(self) -> dict[str, str]:
        """Tags of every resource."""
        return {
            **self.tags.extra,
            "owner": self.tags.owner,
            "cost-centre": self.tags.cost_centre,
            "environment": self.place.environment,
            "managed-by": "pulumi",
            "sagemaker:project-name": self.place.project,
            "sagemaker:project-id": self.project_id,
        }


CONFIGURED: Final = (
    "tags", "model", "batch", "instances", "capture", "rollout", "alarms", "monitoring",
)  # fmt: skip
"""Settings that are objects in the stack's configuration."""

PLACE_VARIABLES: Final[Mapping[str, str]] = {
    "prefix": "MLOPS_PREFIX",
    "project": "MLOPS_PROJECT",
    "region": "MLOPS_REGION",
    "hub_account": "MLOPS_HUB_ACCOUNT",
    "target_account": "MLOPS_TARGET_ACCOUNT",
}
"""Part of :class:`Place` -> the environment variable that says it."""

VERSION_VARIABLE: Final = "MLOPS_VERSION"
"""The version as JSON; ``deploy.py`` sets it for the program."""


def place(environment: str, environ: Mapping[str, str]) -> Place:
    """Where a deployment goes.

    Raises:
        SettingsError: Naming every variable that is missing or wrong.
    """
    given = {key: environ[name] for key, name in PLACE_VARIABLES.items() if environ.get(name)}
    try:
        return Place.model_validate({"environment": environment, **given})
    except ValidationError as error:
        raise SettingsError(_told(error, _place_name)) from None


def load(config: Any, stack: str, environ: Mapping[str, str]) -> Settings:
    """The settings of a stack.

    Args:
        config: The project's ``pulumi.Config``.
        stack: Name of the stack, which is the environment.
        environ: The process's environment variables.

    Raises:
        SettingsError: Naming every setting that is missing or wrong.
    """
    problems: list[str] = []
    problems += _unknown_keys(config.name, environ)
    given: dict[str, Any] = {"project_id": config.get("project_id") or ""}
    if config.get("kind"):
        given["kind"] = config.get("kind")
    for key in CONFIGURED:
        try:
            value = config.get_object(key)
        except ValueError:
            problems.append(f"{key}: must be a map, not text")
            value = None
        # The project's file gives batch as an empty map: it has no defaults that fit every model.
        if value is not None and (value or key != "batch"):
            given[key] = _from_config(value)
    try:
        given["place"] = place(stack, environ)
    except SettingsError as error:
        problems.append(str(error))
    try:
        given["version"] = json.loads(environ.get(VERSION_VARIABLE) or "{}")
    except json.JSONDecodeError as error:
        problems.append(f"{VERSION_VARIABLE}: is no JSON: {error}")
        given["version"] = {}
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        kept = [p for p in error.errors() if p["loc"][:1] != ("place",)]
        problems += [_line(problem, _setting_name) for problem in kept]
        raise SettingsError("\n".join(problems)) from None
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _unknown_keys(namespace: str, environ: Mapping[str, str]) -> list[str]:
    """A misspelt key would be a default that nobody asked for."""
    known = {*CONFIGURED, "project_id", "kind"}
    configured: Mapping[str, Any] = json.loads(environ.get("PULUMI_CONFIG") or "{}")
    own = [key.partition(":")[2] for key in configured if key.startswith(f"{namespace}:")]
    return [
        f"{key}: there is no such setting; there are {', '.join(sorted(known))}"
        for key in sorted(set(own) - known)
    ]


def _from_config(value: Any) -> Any:
    """A configured value; the engine may hand over numbers as floats."""
    if isinstance(value, Mapping):
        return {str(k): _from_config(v) for k, v in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list):
        return [_from_config(item) for item in cast(list[Any], value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _place_name(path: tuple[int | str, ...]) -> str:
    name = str(path[0]) if path else ""
    return PLACE_VARIABLES.get(name, "the stack" if name == "environment" else name)


def _setting_name(path: tuple[int | str, ...]) -> str:
    if path[:1] == ("version",):
        return VERSION_VARIABLE + "".join(f".{part}" for part in path[1:])
    return ".".join(map(str, path))


def _told(error: ValidationError, name: Callable[[tuple[int | str, ...]], str]) -> str:
    return "\n".join(_line(problem, name) for problem in error.errors())


def _line(problem: Any, name: Callable[[tuple[int | str, ...]], str]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    where = name(problem["loc"])
    kind = problem["type"]
    if kind == "missing":
        return f"{where}: is missing"
    if kind == "extra_forbidden":
        return f"{where}: there is no such setting"
    shown = "" if kind == "value_error" else f", not {problem['input']!r}"
    text = re.sub(r"^(Input|String|Value) ", "", message)
    return f"{where}: {text}{shown}" if where else text
