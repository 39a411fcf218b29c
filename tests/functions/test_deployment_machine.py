"""The tables of the state machines, and the page that is made from them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from functions.deployment.documentation import page
from functions.deployment.gate import CHECKS
from functions.deployment.machine import (
    DEPLOYMENT,
    EFFECTS,
    MEANINGS,
    VERSION,
    Approval,
    Effect,
    ForbiddenMoveError,
    Kind,
    Status,
    Trigger,
    move,
)

PAGE = Path(__file__).parents[2] / "docs" / "state-machines.md"


def test_the_page_is_made_from_the_tables_that_run() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "make it anew: python -m functions.deployment.documentation docs/state-machines.md"
    )


def test_only_what_the_table_has_can_happen() -> None:
    rows = {(row.trigger, row.source): row.target for row in DEPLOYMENT}
    assert len(rows) == len(DEPLOYMENT)
    for trigger, source in itertools.product(Trigger, [None, *Status]):
        if (trigger, source) in rows:
            assert move(trigger, source) is rows[trigger, source]
        else:
            with pytest.raises(ForbiddenMoveError):
                move(trigger, source)


def test_each_status_is_reached_and_only_a_deployment_under_way_goes_live() -> None:
    reached: set[Status | None] = {None}
    for _ in Status:
        reached |= {row.target for row in DEPLOYMENT if row.source in reached}
    assert reached == {None, *Status} == {None, *MEANINGS}
    assert {row.source for row in DEPLOYMENT if row.target is Status.LIVE} == {Status.DEPLOYING}
    into = {row.source for row in DEPLOYMENT if row.target is Status.DEPLOYING}
    assert into == {Status.REQUESTED}


def test_only_an_approval_starts_and_only_a_rejection_retreats() -> None:
    assert set(EFFECTS) == set(Approval) == {row.target for row in VERSION}
    assert {state for state in Approval if Effect.START in EFFECTS[state]} == {Approval.APPROVED}
    assert {state for state in Approval if Effect.RETREAT in EFFECTS[state]} == {Approval.REJECTED}


def test_each_kind_is_checked_for_its_approval_and_for_changes() -> None:
    assert set(CHECKS) == set(Kind)
    assert all({"approved", "unchanged"} <= set(checks) for checks in CHECKS.values())
    assert {"duties", "evidence", "manual approval"} <= set(CHECKS[Kind.DEPLOY])
