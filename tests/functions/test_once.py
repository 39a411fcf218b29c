"""Exactly one central version for one source version, whatever happens to its deliveries."""

from __future__ import annotations

import collections
import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from functions.promotion.events import Source
from functions.promotion.ledger import Busy, Ledger
from functions.promotion.registry import client_token
from tests.functions.platform import (
    FOREIGN,
    FRAMEWORK_IMAGE,
    LEASE_SECONDS,
    LEDGER,
    Crash,
    Platform,
    message,
)

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
    report = platform.upload("crash/report.json", b'{"metrics": {"auc": {"value": 0.9}}}')
    model = platform.upload("crash/model.bin", bytes(6 * 1024**2))
    worker = platform.make_worker(
        COPY_THRESHOLD_BYTES=str(5 * 1024**2), COPY_PART_BYTES=str(5 * 1024**2)
    )
    crashed: list[str] = []
    while True:
        digest = platform.push(f"layer {len(crashed)}".encode())
        arn = platform.register(
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
        group = platform.central_group(arn)
        assert platform.hub.get_model_package_group_policy(ModelPackageGroupName=group)
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


def test_deliveries_at_the_same_time_make_one_version(platform: Platform) -> None:
    for _ in range(3):
        arn = platform.register(
            container={
                "Image": FRAMEWORK_IMAGE,
                "ModelDataUrl": platform.upload("at-once/model.bin", b"weights"),
            }
        )
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
    """Duplicates, any order, four at a time, throttling, server errors and ended processes.

    The queue is Lambda's as far as it matters: a message is delivered until the function has dealt
    with it, after the end of a process once its lease is over. The versions share a few artifacts,
    and their groups: what is counted is versions, cards and messages, not bytes.
    """
    chance = random.Random(7)  # noqa: S311 - to be repeated, not to be secret
    models = [platform.upload(f"thousand/{n}.bin", b"%d" % n) for n in range(4)]
    poison = platform.upload("poison.bin", b"secret", bucket=FOREIGN)
    groups = [platform.group() for _ in range(8)]
    expected: dict[str, str] = {}
    for number in range(VERSIONS):
        kind = {0: "superseded", 1: "gone", 2: "refused"}.get(number % 16, "promoted")
        model = poison if kind == "refused" else models[number % 4]
        arn = platform.register(
            groups[number % 8], container={"Image": FRAMEWORK_IMAGE, "ModelDataUrl": model}
        )
        expected[arn] = kind
        if kind == "superseded":
            platform.dev.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected")
        elif kind == "gone":
            platform.dev.delete_model_package(ModelPackageName=arn)
    arns = list(expected)
    events = [message(arn) for arn in arns]
    while len(events) < EVENTS:
        status = chance.choices(("Approved", "PendingManualApproval"), (8, 1))[0]
        events.append(message(chance.choice(arns), status))
    chance.shuffle(events)
    tally: collections.Counter[str] = collections.Counter()
    handled: collections.Counter[str] = collections.Counter()
    # No message may be given up here: what is lost by trying too often is another test's.
    worker = platform.make_worker(MAX_RECEIVES="1000")

    def deliver(numbered: tuple[int, dict[str, Any]]) -> dict[str, Any] | None:
        number, record = numbered
        dice = random.Random(number)  # noqa: S311 - as above
        if dice.random() < 0.15:
            platform.wire.crash_after(dice.randint(1, dice.choice((1, 16))))
        if dice.random() < 0.12:
            error = dice.choice(("throttle", "server-error"))
            platform.cloud.control("POST", "faults", {"error": error, "count": 1})
        try:
            again = platform.deliver(record, worker=worker)
        except Crash:
            tally["crashed"] += 1
            again = [record["messageId"]]
        finally:
            platform.wire.crash_after(None)
        if again:
            return record
        handled[record["messageId"]] += 1
        return None

    waiting, number = events, 0
    while waiting:
        numbered = list(enumerate(waiting, number))
        number += len(waiting)
        with ThreadPoolExecutor(4) as pool:
            waiting = [record for record in pool.map(deliver, numbered) if record]
        platform.clock.ahead += LEASE_SECONDS + 1
        tally["delivered"] += len(numbered)
    platform.cloud.control("DELETE", "faults")
    tally["retried"] = sum(line["outcome"] == "retried" for line in platform.logged)

    # Nothing is lost: each message is dealt with, and once.
    assert handled == {record["messageId"]: 1 for record in events}
    assert len(events) == EVENTS
    # What went wrong did go wrong.
    assert tally["crashed"] >= 60, tally
    assert tally["retried"] >= 150, tally
    assert tally["delivered"] >= EVENTS + 200, tally
    # One version and one card for each that was to be promoted, none for the others.
    central: collections.Counter[str] = collections.Counter()
    for group in groups:
        name = group.replace("acme-dev-", "acme-governance-")
        pages = platform.hub.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=name
        )
        for page in pages:
            for item in page["ModelPackageSummaryList"]:
                described = item["ModelPackageDescription"]
                central[described.partition("promoted from ")[2].rstrip("]")] += 1
    assert central == {arn: 1 for arn, kind in expected.items() if kind == "promoted"}
    cards = platform.hub.get_paginator("list_model_cards").paginate()
    names = [item["ModelCardName"] for page in cards for item in page["ModelCardSummaries"]]
    stems = tuple(group.replace("acme-dev-", "acme-governance-") + "-v" for group in groups)
    assert sum(name.startswith(stems) for name in names) == len(central)
    for arn, kind in expected.items():
        assert platform.ledger(arn)["Outcome"] == kind
    # Every approved event of what cannot be promoted is in the dead-letter queue, with its cause.
    dead = platform.dead()
    poisoned = collections.Counter(
        record["messageId"]
        for record in events
        if json.loads(record["body"])["detail"]["ModelApprovalStatus"] == "Approved"
        and expected[json.loads(record["body"])["detail"]["ModelPackageArn"]] == "refused"
    )
    assert len(dead) >= len(poisoned) > 0
    assert {item["Body"] for item in dead} == {
        record["body"] for record in events if record["messageId"] in poisoned
    }
    assert all(FOREIGN in item["Cause"] and item["Step"] == "plan" for item in dead)
