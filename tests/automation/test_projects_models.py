"""The registered models of a project that goes with them: all of them, and nobody else's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import boto3
import pytest
from botocore.exceptions import ClientError

from automation.projects import vending
from automation.projects.lifecycle import Step
from automation.projects.models import Models
from automation.projects.vending import Vending, VendingError
from automation.runs import StackRun
from components.naming import Names
from functions.deployment.history import Attempt, History
from functions.deployment.ledger import Ledger
from functions.deployment.machine import Kind, Status
from functions.promotion.model_card import card_name
from tests.functions.deployment_hub import TABLE, make_ledger
from tests.functions.platform import MODELS, Platform, message
from tests.localcloud.emulators import DEV, HUB, PROD, REGION, checkout, running

ARCHIVE = "acme-governance-archive"
ACCOUNTS = {"dev": DEV, "preprod": PROD, "prod": PROD, "governance": HUB}


class Short(Names):
    """Buckets as the promotion's tests have them."""

    def bucket(self, purpose: str) -> str:
        return f"acme-{self.environment}-{purpose}"


SETTINGS: Any = {
    name: SimpleNamespace(names=Short("acme", name, REGION, account), account_id=account)
    for name, account in ACCOUNTS.items()
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with (
        running(checkout(tmp_path_factory.mktemp("models"))) as cloud,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AWS_ENDPOINT_URL", cloud.started.endpoint)
        made = Platform(cloud)
        make_ledger(made.table)
        where = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
        made.hub_s3.create_bucket(Bucket=ARCHIVE, **where)
        yield made


def models(platform: Platform, name: str) -> Models:
    return Models(SETTINGS, lambda e: platform.cloud.session(ACCOUNTS[e]), name)


def grown(platform: Platform, name: str, *environments: str, status: Status = Status.LIVE) -> None:
    """Two versions of a project, in dev and in the hub, which serve environments."""
    group = f"acme-dev-{name}"
    platform.dev.create_model_package_group(ModelPackageGroupName=group)
    for number in (1, 2):
        weights = platform.upload(f"{name}/{number}/model.bin", b"weights")
        arn = platform.register(group, container={"Image": IMAGE, "ModelDataUrl": weights})
        assert platform.deliver(message(arn)) == []
    ledger, before = Ledger(platform.table, TABLE), History(f"acme-governance-{name}")
    after = before
    for environment in environments:
        after = after.with_added(
            Attempt(environment, 0, platform.central(arn)[0]["ModelPackageArn"], 2,
                    status, Kind.DEPLOY, "wanted", "alex")
        )[0]  # fmt: skip
    if environments:
        ledger.write(before, after)


IMAGE = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/xgboost:1.7-1"


def traces(platform: Platform, name: str) -> dict[str, list[str]]:
    """All that there is of a project's models."""
    hub, dev = f"acme-governance-{name}", f"acme-dev-{name}"

    def versions(client: Any, group: str) -> list[str]:
        listed = client.list_model_packages(ModelPackageGroupName=group)
        return [item["ModelPackageArn"] for item in listed["ModelPackageSummaryList"]]

    cards = platform.hub.list_model_cards(NameContains=hub)["ModelCardSummaries"]
    kept = [
        json.dumps(item)
        for table in ("acme-governance-promotions", TABLE)
        for item in platform.table.scan(TableName=table)["Items"]
    ]
    return {
        "dev": versions(platform.dev, dev),
        "hub": versions(platform.hub, hub),
        "cards": [card["ModelCardName"] for card in cards if f"{hub}-v" in card["ModelCardName"]],
        "objects": list(platform.objects(f"promoted/{DEV}/{dev}/")),
        "ledgers": [item for item in kept if f"{hub}#" in item or f"/{dev}/" in item
                    or f'"{hub}"' in item],
    }  # fmt: skip


def test_all_of_a_project_is_recorded_and_gone_and_nothing_of_another(platform: Platform) -> None:
    grown(platform, "house", "preprod", "prod")
    grown(platform, "houses", "prod")
    others, before = traces(platform, "houses"), traces(platform, "house")
    assert {what: len(found) for what, found in before.items()} == {
        "dev": 2, "hub": 2, "cards": 2, "objects": 2, "ledgers": 5,
    }  # fmt: skip
    own = models(platform, "house")
    record = json.loads(own.record())
    assert [v["ModelPackageArn"] for v in record["versions"]["dev"]] == before["dev"]
    assert sorted(record["cards"]) == sorted(before["cards"])
    assert "model_overview" in json.loads(record["cards"][before["cards"][0]])
    assert sum(map(len, record["ledgers"].values())) == 5
    own.delete()
    assert not any(traces(platform, "house").values())
    assert traces(platform, "houses") == others
    # All versions of the objects are gone, not hidden.
    kept = platform.hub_s3.list_object_versions(Bucket=MODELS, Prefix="promoted/")
    assert all("/acme-dev-houses/" in item["Key"] for item in kept["Versions"])
    assert own.record() == b""
    own.delete()


def test_a_deletion_that_stopped_anywhere_is_gone_on_with(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card whose version is gone is found too."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for number, operation in enumerate(
        ("DeleteModelCard", "DeleteModelPackage", "DeleteItem", "DeleteObjects")
    ):
        name = f"stopped{number}"
        grown(platform, name, "prod")
        service = {"DeleteItem": "dynamodb", "DeleteObjects": "s3"}.get(operation, "sagemaker")
        platform.hub.delete_model_package(ModelPackageName=traces(platform, name)["hub"][0])
        fault = {"service": service, "operation": operation, "error": "server-error", "count": 1}
        platform.cloud.control("POST", "faults", fault)
        with pytest.raises((VendingError, ClientError)):
            models(platform, name).delete()
        assert any(traces(platform, name).values())
        models(platform, name).delete()
        assert not any(traces(platform, name).values())


@pytest.mark.parametrize(
    ("status", "environments", "leaving", "live"),
    [
        (Status.LIVE, ["preprod", "prod"], ["preprod", "prod"], []),
        (Status.LIVE, ["preprod", "prod"], ["preprod"], ["prod"]),
        (Status.DEPLOYING, ["prod"], [], ["prod"]),
        (Status.REMOVED, ["preprod", "prod"], [], []),
    ],
)
def test_what_serves_elsewhere_is_told(
    platform: Platform, status: Status, environments: list[str], leaving: list[str], live: list[str]
) -> None:
    name = f"live-{status.value.lower()}{len(leaving)}"
    group = f"acme-governance-{name}"
    history = History(group)
    for environment in environments:
        attempt = Attempt(environment, 0, f"arn:x/{group}/1", 1, status, Kind.DEPLOY, "w", "alex")
        history = history.with_added(attempt)[0]
    Ledger(platform.table, TABLE).write(History(group), history)
    assert models(platform, name).live(leaving) == live


class Standing(Vending):
    """A project whose stack is a dictionary, deployed to preprod."""

    state: ClassVar[dict[str, Any]] = {}

    def held(self, name: str) -> dict[str, Any]:
        return {"name": name, "owner": "team", "cost_centre": "1", "organization": "acme",
                "targets": ["preprod"], "id": "p-abcdefghij12"}  # fmt: skip

    def _known(self, name: str) -> dict[str, Any]:
        return {"targets": ["preprod"]}

    def _stack(self, name: str, make: Any) -> Any:
        return SimpleNamespace(
            export_stack=lambda: SimpleNamespace(deployment=self.state),
            import_stack=lambda exported: self.state.update(exported.deployment),
        )


@pytest.fixture
def vend(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Standing:
    # What is not of models is asked elsewhere.
    for step in (
        "_undeploy_left", "_forget_pipeline", "_forget_artifacts", "_archive", "_erase", "_forget",
    ):  # fmt: skip
        monkeypatch.setattr(Vending, step, lambda *_: None)
    monkeypatch.setattr(vending, "run_stack", lambda *_, **__: StackRun("project-x", "destroy"))

    def session(environment: str) -> boto3.Session:
        return platform.cloud.session(ACCOUNTS[environment])

    made = Standing(SETTINGS, session, SimpleNamespace(), said.append, lambda *_: None)
    said.clear()
    made.state.clear()
    made.state["resources"] = [
        {"type": f"aws:{kind}", "retainOnDelete": True}
        for kind in ("sagemaker/modelPackageGroup:ModelPackageGroup",
                     "sagemaker/modelPackageGroupPolicy:ModelPackageGroupPolicy",
                     "s3/bucket:Bucket")
    ]  # fmt: skip
    return made


said: list[str] = []


def retained(vend: Standing) -> list[bool]:
    return ["retainOnDelete" in resource for resource in vend.state["resources"]]


def test_told_to_a_project_goes_with_its_models_and_groups(
    platform: Platform, vend: Standing
) -> None:
    grown(platform, "told", "preprod")
    assert vend.delete("told", forget=vend.session).ok
    assert not any(traces(platform, "told").values())
    # Groups and their policies go with the stack, predictions stay.
    assert retained(vend) == [False, False, True]
    (told,) = [line for line in said if "told is gone" in line]
    key = told.partition(f"s3://{ARCHIVE}/")[2].rstrip(".")
    assert key.startswith("told/p-abcdefghij12/models-")
    record = json.loads(platform.hub_s3.get_object(Bucket=ARCHIVE, Key=key)["Body"].read())
    assert card_name("acme-governance-told", 2) in record["cards"]
    # Again, after the stack could not be destroyed: there is nothing left to record.
    assert vend.delete("told", forget=vend.session).ok
    assert "What they were" not in said[-1]


def test_not_told_to_they_stay(platform: Platform, vend: Standing) -> None:
    grown(platform, "untold", "preprod")
    before = traces(platform, "untold")
    assert vend.delete("untold").ok
    assert traces(platform, "untold") == before
    assert retained(vend) == [True, True, True]
    assert "versions and their groups stay" in said[-1]


def test_while_a_version_is_live_elsewhere_nothing_is_removed(
    platform: Platform, vend: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown(platform, "elsewhere", "preprod", "prod")
    before = traces(platform, "elsewhere")

    def removed(*_: Any) -> None:
        raise AssertionError(Step.UNDEPLOY)

    monkeypatch.setattr(Vending, "_undeploy_left", removed)
    with pytest.raises(VendingError, match="is live in prod, which the project does not deploy"):
        vend.delete("elsewhere", forget=vend.session)
    assert traces(platform, "elsewhere") == before
