"""The deployment's settings: what they accept, and what they say of mistakes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import botocore.session
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlops_policy.aws import NVME_INSTANCE_TYPES
from mlops_policy.machine_learning import INSTANCE_TYPES

from tests.seed_code.deploy_repository import ANSWERS, ARN, BASE, ENVIRON, MADE, VERSION, render

settings = MADE.settings
MODEL = botocore.session.get_session().get_service_model("sagemaker")
HOURLY = settings.HOURLY
GOOD: dict[str, Any] = {
    "project_id": ANSWERS["project_id"],
    "tags": {"owner": "ml-team", "cost_centre": "cc-1"},
}


BATCH: dict[str, Any] = {"schedule": "rate(1 day)", "columns": 10, "lowest": 0, "highest": 40}


class Config:
    """As ``pulumi.Config``."""

    name = "abalone-deploy"

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
        }

    def get(self, key: str) -> str | None:
        return self.values.get(key)

    def get_object(self, key: str) -> Any:
        return json.loads(self.values[key]) if key in self.values else None


def load(environ: Mapping[str, str] = ENVIRON, stack: str = "preprod", **values: Any) -> Any:
    version = json.dumps(VERSION)
    return settings.load(Config({**GOOD, **values}), stack, {"MLOPS_VERSION": version, **environ})


def problems(**values: Any) -> list[str]:
    with pytest.raises(settings.SettingsError) as refused:
        load(**values)
    return str(refused.value).splitlines()


def test_little_is_needed_and_the_names_are_the_platforms() -> None:
    loaded = load()
    where = loaded.place
    assert where.endpoint == "acme-preprod-abalone"
    assert where.group == "acme-governance-abalone"
    assert where.deploy_role_arn.endswith(":role/acme-preprod-abalone-deploy")
    assert where.deployments_function_arn == (
        "arn:aws:lambda:eu-west-1:111111111111:function:acme-governance-deployments"
        ":project-abalone_preprod"
    )
    assert loaded.version.model_package_arn == ARN


def test_one_more_of_a_kind_has_names_of_its_own() -> None:
    place = load(stack="prod-eu").place
    assert place.endpoint == "acme-prod-eu-abalone"
    assert place.deploy_role_arn.endswith(":role/acme-prod-eu-abalone-deploy")
    assert settings.kind_of(place.environment) == settings.kind_of("prod") == "prod"


def test_all_mistakes_are_told_at_once_by_the_names_of_their_keys() -> None:
    told = problems(
        project_id="nobody",
        tags={"owner": "", "cost_center": "x"},
        instances={"type": "m5", "minimum": "2"},
        rollout={"strategy": "big-bang"},
        alarms={"period_seconds": 61},
        environ={**ENVIRON, "MLOPS_HUB_ACCOUNT": "1", "MLOPS_REGION": ""},
    )
    keys = {line.partition(":")[0] for line in told}
    assert keys == {
        "project_id", "tags.owner", "tags.cost_centre", "tags.cost_center", "instances.type",
        "instances.minimum", "rollout.strategy", "alarms.period_seconds", "MLOPS_HUB_ACCOUNT",
        "MLOPS_REGION",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"batch": BATCH}, "kind is realtime, but batch is set"),
        ({"kind": "batch"}, "kind is batch, but batch is missing"),
        ({"rollout": "canary"}, "rollout: must be a map"),
        ({"instances": {"minimum": 3, "maximum": 2}}, "instances: maximum 2 is below minimum 3"),
        ({"model": {"network_isolation": False}}, "say why the container needs the network"),
        ({"model": {"no_isolation_because": "habit"}}, "belong together"),
        ({"capture": {"requests": False, "responses": False}}, "set percent to 0"),
        ({"tags": {**GOOD["tags"], "extra": {"sagemaker:project-id": "p"}}}, "reserved"),
        (
            {"rollout": {"strategy": "linear", "percent": 10, "wait_seconds": 600}},
            "linear waits 6120 seconds in all, timeout_seconds 3600 must be more",
        ),
        ({"stack": "staging"}, "'staging' should be dev, preprod, prod, or one more of a kind"),
        ({"stack": "prod-"}, "'prod-' should be dev, preprod, prod, or one more of a kind"),
        ({"stack": "dev-two"}, "'dev-two' should be dev, preprod, prod, or one more of a kind"),
    ],
)
def test_what_does_not_fit_together_says_why(values: dict[str, Any], told: str) -> None:
    assert any(told in line for line in problems(**values)), problems(**values)


@pytest.mark.parametrize(
    ("monitoring", "named", "most"),
    [
        ({"schedule": HOURLY}, "schedule", 49),
        ({"quality": {"schedule": HOURLY}}, "quality.schedule", 46),
        ({"schedule": HOURLY, "quality": {"schedule": HOURLY}}, "quality.schedule", 46),
        ({"bias": {"schedule": HOURLY}}, "bias.schedule", 49),
        (
            {"attributions": {"schedule": HOURLY, "features": ["a"]}},
            "attributions.schedule",
            46,
        ),
    ],
)
def test_names_of_definitions_have_room_whichever_schedule_is_on(
    monitoring: dict[str, Any], named: str, most: int
) -> None:
    kinds = ("statistics", "constraints", "quality", "bias", "bias_config", "attributions")
    version = {**VERSION, "baselines": {kind: f"s3://b/{kind}.json" for kind in kinds}}

    def loaded(length: int, **values: Any) -> Any:
        stack = "prod-" + "x" * (length - len("acme-prod--abalone"))
        environ = {**ENVIRON, "MLOPS_VERSION": json.dumps(version)}
        made = load(environ, stack, **values)
        assert len(made.place.endpoint) == length
        return made

    assert loaded(most, monitoring=monitoring).monitoring.needed()
    assert not loaded(most + 1).monitoring.needed()
    with pytest.raises(settings.SettingsError) as refused:
        loaded(most + 1, monitoring=monitoring)
    assert f"monitoring.{named}: the endpoint's name 'acme-prod-x" in str(refused.value)
    assert f"has {most + 1} characters, {most} are allowed with it" in str(refused.value)


def test_a_misspelt_key_is_no_default() -> None:
    environ = {**ENVIRON, "PULUMI_CONFIG": json.dumps({"abalone-deploy:instance": "{}"})}
    assert problems(environ=environ) == [
        "instance: there is no such setting; there are alarms, batch, capture, instances, "
        "kind, model, monitoring, project_id, rollout, tags"
    ]
    other = {**ENVIRON, "PULUMI_CONFIG": json.dumps({"aws:region": "x"})}
    assert load(environ=other)


def test_artifacts_need_an_image_and_model_data() -> None:
    bare = {"MLOPS_VERSION": json.dumps({"model_package_arn": ARN})}
    assert load(environ={**ENVIRON, **bare}).model.source == "package"
    told = problems(environ={**ENVIRON, **bare}, model={"source": "artifacts"})
    assert "use source: package" in told[0]


def test_without_a_version_nothing_is_loaded() -> None:
    told = problems(environ={**ENVIRON, "MLOPS_VERSION": ""})
    assert told == ["MLOPS_VERSION.model_package_arn: is missing"]
    assert "is no JSON" in problems(environ={**ENVIRON, "MLOPS_VERSION": "{"})[0]


@given(
    prefix=st.from_regex(r"[a-z][a-z0-9-]{0,14}[a-z0-9]", fullmatch=True),
    project=st.from_regex(r"[a-z][a-z0-9]{0,18}[a-z0-9]", fullmatch=True),
    environment=st.sampled_from(["dev", "preprod", "prod"]),
)
def test_every_name_of_a_place_is_one_that_sagemaker_takes(
    prefix: str, project: str, environment: str
) -> None:
    where = settings.place(
        environment, {**ENVIRON, "MLOPS_PREFIX": prefix, "MLOPS_PROJECT": project}
    )
    shape = MODEL.shape_for("EndpointConfigName")
    longest = f"{where.endpoint}-1a2b3c4"
    assert len(longest) <= shape.metadata["max"]
    assert where.endpoint.startswith(f"{prefix}-{environment}-")


@given(
    strategy=st.sampled_from(["all-at-once", "canary", "linear"]),
    percent=st.integers(0, 101),
    wait=st.integers(-1, 4000),
    termination=st.integers(-1, 4000),
    timeout=st.integers(500, 30000),
)
def test_an_accepted_rollout_ends_in_time_and_within_sagemakers_bounds(
    strategy: str, percent: int, wait: int, termination: int, timeout: int
) -> None:
    try:
        rollout = load(
            rollout={
                "strategy": strategy,
                "percent": percent,
                "wait_seconds": wait,
                "termination_wait_seconds": termination,
                "timeout_seconds": timeout,
            }
        ).rollout
    except settings.SettingsError:
        return
    policy = MODEL.shape_for("BlueGreenUpdatePolicy").members
    routing = MODEL.shape_for("TrafficRoutingConfig").members
    for value, shape in (
        (rollout.timeout_seconds, policy["MaximumExecutionTimeoutInSeconds"]),
        (rollout.termination_wait_seconds, policy["TerminationWaitInSeconds"]),
        (rollout.wait_seconds, routing["WaitIntervalInSeconds"]),
    ):
        assert shape.metadata["min"] <= value <= shape.metadata["max"]
    shares = {"all-at-once": 1, "canary": 2, "linear": len(range(0, 100, percent or 1))}
    assert shares[strategy] * wait + termination < timeout
    assert percent * 2 <= 100


@given(
    st.dictionaries(
        st.sampled_from(["type", "minimum", "percent", "source", "owner", "periods", "other"]),
        st.integers() | st.text("abc_.-") | st.none() | st.lists(st.booleans()),
        max_size=4,
    )
)
def test_any_map_is_loaded_or_refused_by_name(values: dict[str, Any]) -> None:
    for key in settings.CONFIGURED:
        told = ""
        try:
            load(**{key: values})
        except settings.SettingsError as error:
            told = str(error)
        assert all(line.startswith(key) for line in told.splitlines())


def test_local_disks_are_those_that_the_policy_pack_knows() -> None:
    assert set(settings.LOCAL_DISK_TYPES) == set(NVME_INSTANCE_TYPES)
    assert INSTANCE_TYPES


def test_the_variants_timeouts_and_type_are_ones_that_sagemaker_knows() -> None:
    variant = MODEL.shape_for("ProductionVariant").members
    assert settings.Instances().type in variant["InstanceType"].enum
    bounds = variant["ContainerStartupHealthCheckTimeoutInSeconds"].metadata
    [least, most] = settings.Instances.model_fields["startup_seconds"].metadata[:2]
    assert (least.ge, most.le) == (bounds["min"], bounds["max"])


def test_the_rendered_project_file_declares_every_setting_and_its_defaults_load(
    tmp_path: Any,
) -> None:
    project = yaml.safe_load((render(tmp_path) / "Pulumi.yaml").read_text())
    assert project["name"] == "abalone-deploy"
    declared = project["config"]
    assert set(declared) == {*settings.CONFIGURED, "kind", "project_id"}
    for entry in declared.values():
        assert entry["description"]
    defaults = {key: entry["default"] for key, entry in declared.items()}
    for environment in settings.ENVIRONMENTS:
        own = yaml.safe_load((BASE / f"Pulumi.{environment}.yaml").read_text())["config"]
        assert own.pop("pulumi:disable-default-providers") == ["aws"]
        assert load(stack=environment, **{**defaults, **own}).place.environment == environment


def test_what_the_project_file_says_of_a_setting_names_its_keys(tmp_path: Any) -> None:
    declared = yaml.safe_load((render(tmp_path) / "Pulumi.yaml").read_text())
    for key, cls in (
        ("model", settings.Model), ("instances", settings.Instances),
        ("capture", settings.Capture), ("rollout", settings.Rollout),
        ("alarms", settings.Alarms), ("tags", settings.Tags), ("batch", settings.Batch),
    ):  # fmt: skip
        for name in cls.model_fields:
            assert name in declared["config"][key]["description"], f"{key}.{name}"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"schedule": ""}, "nothing starts it"),
        ({"schedule": "daily"}, "neither such as rate(1 day)"),
        ({"schedule": "rate(1 days)"}, "it is rate(1 day), but rate(2 days)"),
        ({"schedule": "rate(2 day)"}, "it is rate(1 day), but rate(2 days)"),
        ({"schedule": "rate(5 minutes)"}, "too often: 15 minutes at least"),
        ({"schedule": "cron(0 3 * * * *)"}, "one of day-of-month and day-of-week is ?"),
        ({"highest": 0}, "lowest 0 is not below highest 0"),
        ({"columns": 0}, "batch.columns: should be greater than or equal to 1, not 0"),
        ({"instance_type": "m5.large"}, "batch.instance_type"),
        ({"colums": 3}, "batch.colums: there is no such setting"),
    ],
)
def test_what_is_wrong_with_a_batch_is_told(changed: dict[str, Any], told: str) -> None:
    found = problems(kind="batch", batch={**BATCH, **changed})
    assert any(told in line for line in found), found


def test_a_batch_is_what_the_settings_say() -> None:
    loaded = load(kind="batch", batch={**BATCH, "on_arrival": True, "lowest": -0.5})
    assert (loaded.kind, loaded.batch.lowest, loaded.batch.on_arrival) == ("batch", -0.5, True)
    assert load(batch={}).batch is None, "as the project's file has it"
    where = loaded.place
    assert where.batch_bucket == "acme-preprod-jobs-abalone-333333333333"
    assert where.batch_pipeline == "acme-preprod-abalone-batch"
