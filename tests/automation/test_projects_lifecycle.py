"""The tables of a project's life: whole, told, and never a dead end."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automation import cli
from automation.projects import lifecycle
from automation.projects.lifecycle import WAYS, Command, State, Step
from automation.runs import StackRun

PAGE = Path(__file__).parents[2] / "docs" / "project-states.md"


def test_the_page_is_made_from_the_tables() -> None:
    assert PAGE.read_text("utf-8") == lifecycle.page(), (
        "make it anew: python -m automation.projects.lifecycle docs/project-states.md"
    )


def test_every_step_is_taken_somewhere() -> None:
    assert {step for way in WAYS.values() for step in way.steps} == set(Step)


@pytest.mark.parametrize(("command", "source"), WAYS)
def test_wherever_a_command_fails_it_or_its_end_goes_on(command: Command, source: State) -> None:
    way = WAYS[command, source]
    for failed in way.fails:
        assert failed == way.ends or (command, failed) in WAYS


def test_a_project_that_is_not_absent_can_always_be_deleted() -> None:
    for state in State:
        assert ((Command.DELETE, state) in WAYS) == (state is not State.ABSENT)


@pytest.mark.parametrize(
    ("held", "state"), [(None, State.ABSENT), ({}, State.BEGUN), ({"name": "a"}, State.KNOWN)]
)
def test_the_state_follows_from_what_the_stack_says(
    held: dict[str, str] | None, state: State
) -> None:
    assert lifecycle.state(held) is state


ADMIN = ["--profile", "prod=admin"]


@pytest.mark.parametrize(
    ("flags", "data", "models"),
    [
        ([], None, None),
        (["--delete-data"], ("prod's settings", None), None),
        (["--delete-data", *ADMIN], ("prod's settings", "admin"), None),
        (["--delete-data", "--profile", "preprod=admin"], ("prod's settings", None), None),
        (["--delete-models", *ADMIN], None, ("prod's settings", "admin")),
        (["--delete-models", "--delete-data"], *[("prod's settings", None)] * 2),
    ],
)
def test_data_and_models_go_only_when_told_and_by_whom_is_told(
    flags: list[str],
    data: tuple[str, str | None] | None,
    models: tuple[str, str | None] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions: list[Any] = []

    def delete(name: str, erase: Any, forget: Any) -> StackRun:
        assert name == "rings"
        sessions.extend(given and given("prod") for given in (erase, forget))
        return StackRun("project-rings", "destroy")

    platform = {"prod": "prod's settings"}
    vend = SimpleNamespace(delete=delete, platform=platform)
    monkeypatch.setattr(cli, "projects", lambda *_: vend)
    monkeypatch.setattr(cli, "_session", lambda *given: given)
    assert cli.main(["projects", "delete", "rings", *flags]) == cli.CLEAN
    assert sessions == [data, models]


@pytest.mark.parametrize("flag", ["--delete-data", "--delete-models"])
def test_nothing_is_deleted_by_another_command(
    flag: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "projects", lambda *_: SimpleNamespace())
    assert cli.main(["projects", "update", "rings", flag]) == cli.ERROR
    assert f"{flag} goes with delete only" in capsys.readouterr().err
