"""Exactly one central version for one source version, whatever happens to its deliveries."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from functions.promotion.events import Source
from functions.promotion.ledger import Busy, Ledger
from functions.promotion.registry import client_token
from tests.functions.platform import (
    FRAMEWORK_IMAGE,
    LEASE_SECONDS,
    LEDGER,
    Crash,
    Platform,
    folder,
    message,
)
from tests.functions.storm import Storm

EVENTS, VERSIONS = 1000, 96


def assert_one(platform: Platform, arn: str) -> dict[str, Any]:
    """One version, one card with one content, recorded in the ledger."""
    (version,) = platform.central(arn)
    card = platform.card(version)
    assert card["ModelCardVersion"] == 1
    details = json.loads(card["Content"])["additional_information"]["custom_details"]
    assert details["CentralModelPackageArn"] == version["ModelPackageArn"]
    item = platform.ledger(arn)
    assert item["Outcome"] == "promoted"
    assert item["CentralModelPackageArn"] == version["ModelPackageArn"]
    return version


def test_a_crash_after_any_call_leaves_one_version(platform: Platform) -> None:
    """The process ends after its first call, its second, and so on until a delivery is whole."""
    worker = platform.make_worker(
        COPY_THRESHOLD_BYTES=str(5 * 1024**2), COPY_PART_BYTES=str(5 * 1024**2)
    )
    crashed: list[str] = []
    while True:
        digest = platform.push(f"layer {len(crashed)}".encode())
        group = platform.group()
        report = platform.upload(
            f"{folder(group)}report.json", b'{"metrics": {"auc": {"value": 0.9}}}'
        )
        model = platform.upload(f"{folder(group)}model.bin", bytes(6 * 1024**2))
        arn = platform.register(
            group,
            container={"Image": platform.image(digest), "ModelDataUrl": model},
            ModelMetrics={
                "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": report}}
            },
        )
        platform.wire.crash_after(len(crashed) + 1)
        try:
            platform.deliver(message(arn), worker=worker)
        except Crash as crash:
            crashed.append(str(crash))
        else:
            platform.wire.crash_after(None)
            break
        # Nobody else may have it while the process could still be alive.
        if crashed[-1] != "dynamodb:UpdateItem" or platform.ledger(arn)["Outcome"] != "promoted":
            early = message(arn)
            assert platform.deliver(early, worker=worker) == [early["messageId"]]
        platform.clock.ahead += LEASE_SECONDS + 1
        platform.wire.calls.clear()
        assert platform.deliver(message(arn, receives=2), worker=worker) == []
        assert_one(platform, arn)
        central = platform.central_group(arn)
        assert platform.hub.get_model_package_group_policy(ModelPackageGroupName=central)
        if "sagemaker:CreateModelPackage" in crashed:
            assert "sagemaker:CreateModelPackage" not in platform.wire.calls
    # Every step's writes are among the calls after which it ended.
    assert {
        "dynamodb:UpdateItem",
        "sagemaker:DescribeModelPackage",
        "s3:CreateMultipartUpload",
        "s3:CompleteMultipartUpload",
        "s3:CopyObject",
        "ecr:CompleteLayerUpload",
        "ecr:PutImage",
        "sagemaker:CreateModelPackageGroup",
        "sagemaker:PutModelPackageGroupPolicy",
        "sagemaker:CreateModelPackage",
        "sagemaker:CreateModelCard",
    } <= set(crashed)
    assert platform.dead() == []


def test_a_delivery_after_a_crash_keeps_what_people_wrote_meanwhile(platform: Platform) -> None:
    arn = platform.register(ModelPackageDescription="Prices of houses")
    platform.wire.calls.clear()
    for calls in range(1, 40):
        platform.wire.crash_after(calls)
        with pytest.raises(Crash):
            platform.deliver(message(arn))
        if "sagemaker:CreateModelCard" in platform.wire.calls:
            break
        platform.clock.ahead += LEASE_SECONDS + 1
    (version,) = platform.central(arn)
    made = platform.card(version)
    card = json.loads(made["Content"])
    card["intended_uses"] |= {"risk_rating": "High", "factors_affecting_model_efficiency": "Floods"}
    card["additional_information"]["custom_details"] |= {
        "PreprodApprovedBy": "alex",
        "SourceModelPackageArn": "of somebody's own",
    }
    del card["model_overview"]["model_description"]
    platform.hub.update_model_card(ModelCardName=made["ModelCardName"], Content=json.dumps(card))

    platform.clock.ahead += LEASE_SECONDS + 1
    assert platform.deliver(message(arn, receives=2)) == []
    found = json.loads(platform.card(version)["Content"])
    assert found["intended_uses"] == card["intended_uses"]
    details = found["additional_information"]["custom_details"]
    assert details["PreprodApprovedBy"] == "alex"
    # Where a version comes from is no matter of opinion, and what is missing is said.
    assert details["SourceModelPackageArn"] == arn
    assert found["model_overview"]["model_description"] == "Prices of houses"


def test_deliveries_at_the_same_time_make_one_version(platform: Platform) -> None:
    for _ in range(3):
        group = platform.group()
        model = platform.upload(f"{folder(group)}model.bin", b"weights")
        container = {"Image": FRAMEWORK_IMAGE, "ModelDataUrl": model}
        arn = platform.register(group, container=container)
        waiting = [message(arn) for _ in range(8)]
        rounds = 0
        while waiting:
            rounds += 1
            with ThreadPoolExecutor(8) as pool:
                failed = {item for each in pool.map(platform.deliver, waiting) for item in each}
            waiting = [record for record in waiting if record["messageId"] in failed]
        # Whoever was told to come again found it done.
        assert rounds <= 2
        assert_one(platform, arn)


def test_a_worker_that_lost_its_lease_just_before_registering_makes_no_second_version(
    platform: Platform,
) -> None:
    arn = platform.register()
    stopped, go_on = threading.Event(), threading.Event()
    late = threading.current_thread()

    def pause() -> None:
        if threading.current_thread() is late:
            stopped.set()
            assert go_on.wait(60)

    platform.wire.before["sagemaker:CreateModelPackage"] = pause
    first, second = message(arn), message(arn)
    answers: list[list[str]] = []

    def deliver() -> None:
        answers.append(platform.deliver(first))

    late = threading.Thread(target=deliver)
    late.start()
    assert stopped.wait(60)
    platform.clock.ahead += LEASE_SECONDS + 1
    assert platform.deliver(second) == []
    (version,) = platform.central(arn)
    go_on.set()
    late.join(60)
    # It was told that the version is another's now, and comes again.
    assert answers == [[first["messageId"]]]
    assert platform.wire.calls.count("sagemaker:CreateModelPackage") == 2
    assert assert_one(platform, arn)["ModelPackageArn"] == version["ModelPackageArn"]
    assert platform.ledger(arn)["Fence"] == "2"
    assert platform.deliver(first) == []
    assert platform.outcome(arn) == "already-promoted"


def test_a_worker_that_lost_its_lease_while_copying_does_not_register(platform: Platform) -> None:
    """Not even when whoever has the lease now is not there yet, so that nothing is to be found."""
    arn = platform.register()
    ledger = Ledger(platform.table, LEDGER, LEASE_SECONDS, platform.clock)

    def take_over() -> None:
        platform.clock.ahead += LEASE_SECONDS + 1
        assert ledger.claim(arn).fence == 2

    platform.wire.before["sagemaker:DescribeModelPackageGroup"] = take_over
    slow = message(arn)
    assert platform.deliver(slow) == [slow["messageId"]]
    assert "LeaseLost" in platform.logged[-1]["cause"]
    assert platform.central(arn) == []
    # It has not given back what is another's.
    with pytest.raises(Busy):
        ledger.claim(arn)
    platform.wire.before.clear()
    platform.clock.ahead += LEASE_SECONDS + 1
    assert platform.deliver(slow) == []
    assert_one(platform, arn)


def test_a_claim_whose_answer_was_lost_is_still_the_workers(platform: Platform) -> None:
    """The SDK repeats the request; the worker must not be kept out by itself."""

    class Repeating:
        def update_item(self, **request: Any) -> Any:
            platform.table.update_item(**request)
            return platform.table.update_item(**request)

    arn = platform.register()
    ledger = Ledger(Repeating(), LEDGER, LEASE_SECONDS, platform.clock)
    claim = ledger.claim(arn)
    with pytest.raises(Busy):
        Ledger(platform.table, LEDGER, LEASE_SECONDS, platform.clock).claim(arn)
    ledger.renew(claim)
    ledger.finish(claim, "arn:central", "card")
    again = ledger.claim(arn)
    assert (again.done, again.central_arn) == (True, "arn:central")


def test_a_version_that_the_ledger_does_not_know_is_found_in_the_group(platform: Platform) -> None:
    """Among more versions than a page holds, with ones that others made without our metadata."""
    arn = platform.register()
    group = platform.central_group(arn)
    platform.hub.create_model_package_group(ModelPackageGroupName=group)

    def make(**members: Any) -> str:
        return platform.hub.create_model_package(
            ModelPackageGroupName=group,
            InferenceSpecification={
                "Containers": [{"Image": FRAMEWORK_IMAGE}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            **members,
        )["ModelPackageArn"]

    make()
    standing = make(CustomerMetadataProperties={"SourceModelPackageArn": arn})
    make(CustomerMetadataProperties={"Team": "x"})
    for number in range(110):
        make(ModelPackageDescription=f"x [promoted from arn:aws:sagemaker:other/{number}]")
    platform.wire.calls.clear()
    assert platform.deliver(message(arn)) == []
    assert "sagemaker:CreateModelPackage" not in platform.wire.calls
    assert platform.ledger(arn)["CentralModelPackageArn"] == standing


def test_two_versions_never_share_a_token(platform: Platform) -> None:
    group = platform.group()
    arns = [platform.register(group) for _ in range(3)]
    tokens = {client_token(Source.parse(arn)) for arn in arns}
    assert len(tokens) == 3
    for arn in arns:
        assert platform.deliver(message(arn)) == []
    assert len({assert_one(platform, arn)["ModelPackageArn"] for arn in arns}) == 3


@pytest.mark.timeout(240)
def test_a_thousand_events_with_everything_that_goes_wrong(platform: Platform) -> None:
    """Nothing is lost and nothing is made twice, which :class:`Storm` makes sure of."""
    seen = Storm(platform, EVENTS, VERSIONS).weather()
    # What went wrong did go wrong.
    assert seen.crashed >= 60, seen
    assert seen.retried >= 150, seen
    assert seen.delivered >= EVENTS + 200, seen
