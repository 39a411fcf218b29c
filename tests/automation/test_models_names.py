"""What people call versions, and what a page does with hostile text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import example, given
from hypothesis import strategies as st

from automation.models import text
from automation.models.hub import (
    Card,
    Hub,
    Model,
    ModelsError,
    VersionName,
    full_group,
    person,
    read_version_name,
)
from automation.models.lineage import lineage
from automation.models.page import page
from components.naming import Names, Placement
from functions.deployment.history import Attempt
from functions.deployment.machine import Approval, Kind, Status
from functions.deployment.versions import Version

NAMES = Names("acme", "governance", "eu-west-1", "111111111111")
NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)
PROJECTS = st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", fullmatch=True).filter(
    lambda name: len(name) <= 20 and not name.startswith("acme-governance-")
)
NUMBERS = st.integers(1, 999_999_999)


@given(PROJECTS, NUMBERS)
def test_every_way_to_name_a_version_names_the_same(project: str, number: int) -> None:
    group = f"acme-governance-{project}"
    arn = NAMES.arn("sagemaker", f"model-package/{group}/{number}")
    ways = [f"{name}{mark}{number}" for name in (project, group) for mark in ":/"]
    assert {read_version_name(way, NAMES) for way in [*ways, arn]} == {VersionName(group, number)}


@given(st.text(max_size=40))
@example("abalone")
@example("abalone:")
@example("abalone:0")
@example("abalone:03")
@example("abalone:-1")
@example("abalone:٣")
@example("abalone:3:4")
@example("abalone/3/4")
@example(":3")
@example("-abalone:3")
@example("abalone:3\n")
@example("arn:aws:sagemaker:eu-west-1:111111111111:model-package/acme-governance-abalone")
@example("arn:aws:sagemaker:eu-west-1:111111111111:model-package-group/abalone/3")
def test_whatever_else_is_refused_by_a_sentence_or_read_unambiguously(given_: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}[:/][1-9][0-9]{0,8}", given_, re.ASCII):
        with pytest.raises(ModelsError, match="expected PROJECT:NUMBER"):
            read_version_name(given_, NAMES)
        return
    name = read_version_name(given_, NAMES)
    assert full_group(given_, NAMES) in {f"{name.group}{mark}{name.number}" for mark in ":/"}


@pytest.mark.parametrize(
    ("account", "region"), [("222222222222", "eu-west-1"), ("111111111111", "eu-west-2")]
)
def test_a_version_of_another_place_is_told_to_be_elsewhere(account: str, region: str) -> None:
    arn = f"arn:aws:sagemaker:{region}:{account}:model-package/acme-dev-abalone/3"
    with pytest.raises(ModelsError, match=r"not in the central registry.*111111111111, eu-west-1"):
        read_version_name(arn, NAMES)


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("Arn=arn:aws:sts::1:assumed-role/acme-governance-ml-engineer/ada", "ada"),
        ("SourceIdentity=ada Arn=arn:aws:sts::1:assumed-role/build/run-1", "ada"),
        ("UserProfileName=ada", "ada"),
        ("arn:aws:iam::1:user/people/ada", "ada"),
        ("github:ada", "github:ada"),
        ("", ""),
    ],
)
def test_people_are_shown_by_their_names(told: str, name: str) -> None:
    assert person(told) == name


@pytest.mark.parametrize(
    ("distance", "told"),
    [
        (timedelta(days=3, hours=5), "3 d"),
        (timedelta(hours=26), "1 d"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(0), "0 s"),
        (timedelta(seconds=-5), "0 s"),
    ],
)
def test_an_age_is_told_in_its_largest_unit(distance: timedelta, told: str) -> None:
    assert text.age(NOW - distance, NOW) == told


def model(say: str, **members: Any) -> Model:
    """A version that says the same everywhere that people can write."""
    group = "acme-governance-abalone"
    arn = NAMES.arn("sagemaker", f"model-package/{group}/1")
    description = {
        "CreationTime": NOW - timedelta(hours=2),
        "LastModifiedTime": NOW,
        "LastModifiedBy": {"IamIdentity": {"Arn": say}},
        "ModelPackageDescription": say,
        "ApprovalDescription": say,
        "CustomerMetadataProperties": {"CommitId": say, "SourceModelPackageArn": say},
        "MetadataProperties": {"Repository": say},
        "InferenceSpecification": {
            "Containers": [{"Image": say, "Environment": {say: say}}],
            "SupportedContentTypes": [say],
        },
    }
    card = Card(
        "card",
        1,
        "PendingReview",
        {
            "intended_uses": {"purpose_of_model": say, "risk_rating": say},
            "model_overview": {"model_owner": say},
            "evaluation_details": [
                {"metric_groups": [{"metric_data": [{"name": say, "value": say}]}]}
            ],
            "additional_information": {"custom_details": {f"{say}ApprovedBy": say}},
        },
    )
    attempt = Attempt("prod", 1, arn, 1, Status.LIVE, Kind.DEPLOY, say, say, say, "", say, say)
    whole = {
        "version": Version(arn, group, 1, Approval.APPROVED, True, description),
        "project": f"abalone{say}",
        "attempts": (attempt,),
        "serves": ("prod",),
        "card": card,
        "card_read": True,
    }
    return Model(**{**whole, **members})


class Read(HTMLParser):
    """A page as a browser takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</details></table><h2>owned</h2>",
    "&lt;b&gt;",
    "<!-- ",
    "]]><svg/onload=alert(1)>",
]


@pytest.mark.parametrize("say", HOSTILE)
def test_what_people_write_is_text_on_the_page(say: str) -> None:
    read = Read()
    read.feed(page([model(say)], NOW))
    read.close()
    plain = Read()
    plain.feed(page([model("x")], NOW))
    assert [tag for tag, _ in read.tags] == [tag for tag, _ in plain.tags]
    allowed = {"href", "id", "class", "lang", "charset", "name", "content", "data-label"}
    for tag, attributes in read.tags:
        assert {name for name, _ in attributes} <= allowed, tag
        for name, value in attributes:
            assert name != "href" or (value or "").startswith("#")
    assert "".join(read.text).count(say.strip()) >= 10


@given(st.text(max_size=30))
def test_any_text_leaves_the_page_as_it_is(say: str) -> None:
    read, plain = Read(), Read()
    read.feed(page([model(f"x{say}")], NOW))
    plain.feed(page([model("x")], NOW))
    assert [tag for tag, _ in read.tags] == [tag for tag, _ in plain.tags]


def test_the_page_needs_nothing_from_elsewhere_and_fits_a_phone() -> None:
    told = page([model("x")], NOW)
    assert not re.search(r"<(script|link|img|iframe|object|embed)|url\(|@import|src=", told)
    assert "https:" not in told.replace("http-equiv", "")
    assert '<meta name="viewport" content="width=device-width,initial-scale=1">' in told
    assert "@media(max-width:40rem)" in told
    # On a phone each value says what it is: the heads of the columns are not shown there.
    assert told.count("<td") == told.count("<td data-label=")


def test_missing_parts_are_named_as_missing() -> None:
    bare = model("x", card=None)
    bare = Model(
        Version(bare.version.arn, bare.version.group, 1, Approval.PENDING, True, {}), "abalone"
    )
    told = text.origin(bare, lineage(bare))
    for part in ("source version", "registered by", "pipeline execution", "training job",
                 "data version", "git commit", "artifacts", "model card"):  # fmt: skip
        assert f"  {part}: MISSING\n" in told, told


EXECUTION = "arn:aws:sagemaker:eu-west-1:222222222222:pipeline/abalone/execution/abc123def456"
JOB = "arn:aws:sagemaker:eu-west-1:222222222222:training-job/abalone-train-1"


class WithDev(Hub):
    """A hub whose caller can ask dev; dev's answers are checked by SageMaker's model."""

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        place = Placement(
            prefix="acme",
            environment="governance",
            region="eu-west-1",
            account_id=NAMES.account_id,
            accounts={"governance": NAMES.account_id, "dev": "222222222222"},
            protect=False,
        )
        session = boto3.Session("key", "secret", region_name="eu-west-1")
        super().__init__(place, {"governance": session, "dev": session})
        self.dev = session.client("sagemaker")
        self.stub = Stubber(self.dev)
        self.stub.add_response(
            "list_pipeline_execution_steps",
            {"PipelineExecutionSteps": steps},
            {"PipelineExecutionArn": EXECUTION},
        )

    def client(self, service: str, environment: str = "governance") -> Any:
        assert (service, environment) == ("sagemaker", "dev")
        return self.dev


@pytest.mark.parametrize(
    ("steps", "value", "where"),
    [
        (
            [
                {"StepName": "Prepare", "Metadata": {"ProcessingJob": {"Arn": JOB}}},
                {"StepName": "Train", "Metadata": {"TrainingJob": {"Arn": JOB}}},
                {"StepName": "Check"},
            ],
            JOB,
            "describe-training-job --training-job-name abalone-train-1",
        ),
        ([{"StepName": "Check"}], "", "has no training step"),
    ],
)
def test_the_training_job_is_asked_of_dev(
    steps: list[dict[str, Any]], value: str, where: str
) -> None:
    metadata = {"PipelineExecutionArn": EXECUTION}
    version = Version(
        NAMES.arn("sagemaker", "model-package/acme-governance-abalone/1"),
        "acme-governance-abalone",
        1,
        Approval.PENDING,
        True,
        {"CustomerMetadataProperties": metadata},
    )
    hub = WithDev(steps)
    with hub.stub:
        parts = {part.name: part for part in lineage(Model(version, "abalone"), hub)}
    assert parts["training job"].value == value
    assert where in parts["training job"].where
    alone = {part.name: part for part in lineage(Model(version, "abalone"))}
    assert "--profile dev=NAME" in alone["training job"].where


def test_metrics_are_told_in_short_the_main_ones_first() -> None:
    values = [("rmse.standard_deviation", 0.5), ("rmse", 2.123456), ("mae", 1.5), ("rows", 400)]
    metrics = [{"name": name, "value": value} for name, value in values]
    content = {"evaluation_details": [{"metric_groups": [{"metric_data": metrics}]}]}
    told = text.short_metrics(model("x", card=Card("card", 1, "Draft", content)))
    assert told == "rmse 2.123, mae 1.5, rows 400"
    assert text.short_metrics(model("x", card=None)) == ""
    assert text.short_metrics(model("x", card=None, card_read=False)) == "not read"
    assert text.short_metrics(model("x", card=Card("card", 1, "Draft", {}))) == ""


@pytest.mark.parametrize(
    "content",
    [
        {"evaluation_details": "none"},
        {"evaluation_details": [1, {"metric_groups": 3}]},
        {"evaluation_details": [{"metric_groups": [{"metric_data": [{"name": "x"}]}]}]},
        {"intended_uses": [], "additional_information": {"custom_details": []}},
        {"training_details": {"training_job_details": None}},
        {"training_details": {"training_job_details": [1]}},
    ],
)
def test_a_card_of_any_form_is_shown(content: dict[str, Any]) -> None:
    strange = model("x", card=Card("card", 1, "Draft", content))
    assert text.whole(strange)
    assert text.origin(strange, lineage(strange))
    assert page([strange], NOW)


def test_a_version_tells_how_it_was_trained_where_its_card_does() -> None:
    details = {
        "training_arn": "arn:x:training-job/t",
        "training_metrics": [{"name": "validation:rmse", "value": 2.123456}],
        "hyper_parameters": [{"name": "eta", "value": "0.2"}, "odd"],
    }
    content = {"training_details": {"training_job_details": details}}
    told = dict(text.facts(model("x", card=Card("card", 2, "Draft", content))))
    assert told["Training"] == [
        ("job", "arn:x:training-job/t"),
        ("metric validation:rmse", "2.123"),
        ("hyperparameter eta", "0.2"),
    ]
    assert dict(text.facts(model("x", card=Card("card", 2, "Draft", {}))))["Training"] == []
