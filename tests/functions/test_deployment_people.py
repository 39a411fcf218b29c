"""One person is known again by whatever way they come; a service is nobody."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.promotion.events import Source
from functions.promotion.identity import describe_user, read_build, read_person
from functions.promotion.registry import central_metadata, execution_of

DEV, HUB = "222222222222", "111111111111"
SOURCE = Source.parse(f"arn:aws:sagemaker:eu-west-1:{DEV}:model-package/acme-dev-houses/7")
EXECUTION = f"arn:aws:sagemaker:eu-west-1:{DEV}:pipeline/houses/execution/abc"


def session(role: str, name: str, account: str = DEV) -> str:
    return f"arn:aws:sts::{account}:assumed-role/{role}/{name}"


def user(**identity: str) -> dict[str, object]:
    return {"IamIdentity": identity}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (session("scientist", "ada"), session("engineer", "ada", HUB), True),
        (session("scientist", "Ada.Byron@corp.example"), session("engineer", "ada-byron"), True),
        (session("scientist", "ada@corp.example"), session("engineer", "ada@other.example"), False),
        (session("scientist", "ada"), session("scientist", "grace"), False),
        (session("scientist", "ada"), f"arn:aws:iam::{HUB}:user/people/ada", True),
        (session("scientist", "ada"), "ada", True),
        (f"UserProfileName=ada Arn={session('studio', 'SageMaker')}", session("x", "ada"), True),
        (f"SourceIdentity=ada Arn={session('pipeline-execution', 'run-1')}", "ada", True),
        (f"arn:aws:sagemaker:eu-west-1:{DEV}:user-profile/d-1/ada", "ada", True),
        (f"arn:aws:iam::{DEV}:root", f"arn:aws:iam::{DEV}:root", True),
        (f"arn:aws:iam::{DEV}:root", f"arn:aws:iam::{HUB}:root", False),
    ],
)
def test_people_are_known_by_their_names(one: str, other: str, same: bool) -> None:
    first, second = read_person(one), read_person(other)
    assert first.names
    assert first.is_same(second) == second.is_same(first) == same


@pytest.mark.parametrize(
    "told",
    [
        "",
        session("studio", "SageMaker"),
        session("build", "AWSCodeBuild-0f0e3c9e-1111-2222-3333-444444444444"),
        session("deploy", "botocore-session-1700000000"),
        session("acme-dev-pipeline-execution", "whatever"),
        f"arn:aws:iam::{DEV}:role/engineer",
        "arn:aws:nonsense",
    ],
)
def test_a_service_is_nobody_and_nobody_is_the_same_as_nobody(told: str) -> None:
    person = read_person(told, ["acme-*-pipeline-execution"])
    assert not person.names
    assert not person.is_same(person)


def test_the_central_version_records_who_registered_and_who_started() -> None:
    description = {
        "CreatedBy": user(Arn=session("acme-dev-pipeline-execution", "run"), SourceIdentity="ada"),
        "MetadataProperties": {"GeneratedBy": EXECUTION},
        "LastModifiedBy": {"UserProfileName": "lea", **user(Arn=session("studio", "SageMaker"))},
        # What a version says of itself does not count.
        "CustomerMetadataProperties": dict.fromkeys(
            ("RegisteredBy", "StartedBy", "SourceApprovedBy"), "grace"
        ),
    }
    assert execution_of(description, SOURCE) == EXECUTION
    starter = {"UserProfileName": "bob", **user(Arn=session("studio", "SageMaker"))}
    told = central_metadata(description, SOURCE, describe_user(starter))
    assert read_person(told["RegisteredBy"], ["*-execution"]).names == {"ada"}
    assert read_person(told["StartedBy"]).names == {"bob"}
    assert read_person(told["SourceApprovedBy"]).names == {"lea"}
    unknown = central_metadata({**description, "CreatedBy": {}, "LastModifiedBy": {}}, SOURCE)
    assert not {"RegisteredBy", "StartedBy", "SourceApprovedBy"} & set(unknown)


def test_an_execution_of_another_account_is_not_asked_for() -> None:
    foreign = EXECUTION.replace(DEV, "333333333333")
    assert execution_of({"MetadataProperties": {"GeneratedBy": foreign}}, SOURCE) == ""
    job = EXECUTION.partition("pipeline/")[0] + "training-job/x"
    assert execution_of({"MetadataProperties": {"GeneratedBy": job}}, SOURCE) == ""


NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_=,.@-]{1,60}", fullmatch=True).filter(
    lambda name: "@" not in name
)


@given(NAMES, NAMES, st.text("ab/", max_size=300))
def test_what_is_told_fits_and_keeps_whoever_it_names(name: str, source: str, path: str) -> None:
    arn = f"arn:aws:iam::{DEV}:user/{path}{name}"
    told = describe_user(user(Arn=arn, SourceIdentity=source))
    assert len(told) <= 256
    metadata = central_metadata({"CreatedBy": user(Arn=arn, SourceIdentity=source)}, SOURCE)
    person = read_person(metadata["RegisteredBy"])
    assert person.is_same(read_person(source))
    if len(told) > len(f"SourceIdentity={source}"):
        assert person.is_same(read_person(arn))


def test_a_build_is_somebody_and_nobody_else() -> None:
    pipeline = "Arn=arn:aws:sts::222222222222:assumed-role/acme-dev-houses-pipeline/SageMaker"
    by = "Arn=arn:aws:sts::222222222222:assumed-role/acme-dev-houses-build/AWSCodeBuild-0f0e3c9e"
    roles = ("acme-dev-*-build",)
    build = read_build(f"{pipeline} {by}", roles)
    assert build is not None
    assert build.names
    assert not build.is_same(read_person("arn:aws:iam::111111111111:user/ana"))
    assert read_build(pipeline, roles) is None
    # A name that somebody chose is no role.
    assert read_build("SourceIdentity=acme-dev-houses-build", roles) is None
    assert read_build("arn:aws:sts::222222222222:assumed-role/other-houses-build/x", roles) is None
