"""The registry of templates: what it refuses, and that everything that is told comes from it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from automation import cli
from automation.projects import rendering, templates
from automation.projects.templates import TemplateError

ENTRY: dict[str, Any] = {
    "title": "Counting",
    "description": "Counts.",
    "deploys": "A counter.",
    "needs": "Things.",
    "gate": "More than none.",
    "settings": {
        "least": {"description": "How many.", "type": "integer", "minimum": 1, "default": 3}
    },
}
MADE = re.compile(r"/(__pycache__|\.\w+_cache)/")
"""Folders that tools make."""
PAGE = Path(__file__).parents[2] / "docs" / "templates.md"


def registry(folder: Path, entries: dict[str, Any], *folders: str) -> Path:
    for name in ("_base", *folders):
        (folder / name / "build").mkdir(parents=True)
    (folder / templates.REGISTRY).write_text(yaml.safe_dump(entries))
    return folder


def test_every_template_here_is_whole() -> None:
    found = templates.load()
    assert found
    for template in found.values():
        assert template.with_defaults({})
        for kind in templates.REPOSITORIES:
            base, *own = templates.sources(template.id, kind)
            assert base.parent.name == templates.BASE
            assert own


def test_the_page_is_made_from_the_registry() -> None:
    assert PAGE.read_text("utf-8") == templates.page(templates.load()), (
        "make it anew: python -m automation.projects.templates docs/templates.md"
    )


def test_the_command_lists_all_and_shows_one_as_the_page_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = templates.load()
    assert cli.main(["templates", "list"]) == cli.CLEAN
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert lines == [[template.id, template.title] for template in known.values()]
    for template in known:
        assert cli.main(["templates", "show", template]) == cli.CLEAN
        told = capsys.readouterr().out.strip()
        assert told
        assert told in PAGE.read_text("utf-8")


def test_the_command_refuses_a_template_that_is_not_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["templates", "show", "xgboost"]) == cli.ERROR
    told = capsys.readouterr()
    assert told.err.startswith("there is no template 'xgboost', there are xgboost-realtime, ")
    assert not told.out


def test_a_folder_and_an_entry_are_a_template(tmp_path: Path) -> None:
    root = registry(tmp_path, {"counting": ENTRY}, "counting")
    (template,) = templates.load(root).values()
    assert template.id == "counting"
    assert template.with_defaults({}) == {"least": 3}
    assert "| `least` | integer, at least 1 | `3` | How many. |" in templates.page(
        templates.load(root)
    )


def test_features_are_told_and_come_with_what_is_extended(tmp_path: Path) -> None:
    counting = {**ENTRY, "feature_group": {"count": "Integral", "kind": "String"}}
    more = {**ENTRY, "extends": ["counting"], "feature_group": {"kind": "Integral"}}
    root = registry(tmp_path, {"counting": counting, "more": more}, "counting", "more")
    found = templates.load(root)
    assert found["counting"].feature_group == {"count": "Integral", "kind": "String"}
    assert found["more"].feature_group == {"count": "Integral", "kind": "Integral"}
    row = "| feature group | `record_id`, `event_time`, `count`, `kind` |"
    assert row in templates.section(found["counting"])


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ({"record_id": "String"}, "record_id is what every record has, leave it out"),
        ({"is_deleted": "String"}, "is_deleted is what every record has"),
        ({"count": "Vector"}, "counting.feature_group.count"),
        ({"a b": "String"}, "counting.feature_group"),
    ],
)
def test_features_that_cannot_be_are_refused(
    tmp_path: Path, features: dict[str, str], told: str
) -> None:
    root = registry(tmp_path, {"counting": {**ENTRY, "feature_group": features}}, "counting")
    with pytest.raises(TemplateError, match=told):
        templates.load(root)


def test_one_that_extends_others_has_their_settings_and_is_laid_over_their_files(
    tmp_path: Path,
) -> None:
    most = {"description": "How many.", "type": "integer", "default": 9}
    counting = {**ENTRY, "extends": ["_shared"]}
    more = {**ENTRY, "extends": ["_shared", "counting"], "settings": {"most": most}}
    entries = {"more": more, "counting": counting}
    root = registry(tmp_path, entries, "_shared", "counting", "more")
    assert templates.load(root)["more"].with_defaults({}) == {"least": 3, "most": 9}
    layers = {
        "_base": "base.txt",
        "_shared": "shared.txt",
        "counting": "a.txt.jinja",
        "more": "a.txt",
    }
    for layer, name in layers.items():
        (root / layer / "build" / "same.txt").write_text(layer)
        (root / layer / "build" / name).write_text(layer)
    with rendering.assembled("more", "build", root) as content:
        found = {path.name: path.read_text() for path in content.iterdir()}
    assert found == {
        "same.txt": "more",
        "base.txt": "_base",
        "shared.txt": "_shared",
        "a.txt": "more",
    }
    with rendering.assembled("counting", "build", root) as content:
        assert (content / "same.txt").read_text() == "counting"


def test_one_may_have_another_setting_in_place_of_an_inherited_one(tmp_path: Path) -> None:
    most = {"description": "How many.", "type": "integer", "default": 9}
    more = {**ENTRY, "extends": ["counting"], "without": ["least"], "settings": {"most": most}}
    entries = {"counting": ENTRY, "more": more}
    root = registry(tmp_path / "right", entries, *entries)
    assert templates.load(root)["more"].with_defaults({}) == {"most": 9}
    with pytest.raises(TemplateError, match="'least' was unexpected"):
        templates.load(root)["more"].with_defaults({"least": 4})
    more["without"] = ["lest"]
    root = registry(tmp_path / "wrong", entries, *entries)
    with pytest.raises(TemplateError, match="none of those that it extends has a setting lest"):
        templates.load(root)


def test_a_file_of_both_repositories_stands_once_and_comes_with_what_is_extended(
    tmp_path: Path,
) -> None:
    entries = {"counting": ENTRY, "more": {**ENTRY, "extends": ["counting"]}}
    root = registry(tmp_path, entries, *entries)
    for name in ("counting", "more"):
        (root / name / "deploy").mkdir()
    (root / "counting" / "build" / "steps").mkdir()
    (root / "counting" / "build" / "steps" / "both.py").write_text("counts = True\n")
    (root / "counting" / templates.SHARED).write_text("lib/both.py: steps/both.py\n")
    assert set(templates.load(root)) == set(entries)
    for template in entries:
        with rendering.assembled(template, "deploy", root) as content:
            assert (content / "lib" / "both.py").read_text() == "counts = True\n"
            assert not (content / "steps").exists()
            assert not (content / templates.SHARED).exists()
        with rendering.assembled(template, "build", root) as content:
            assert not (content / "lib").exists()
    # What is laid over another has the last word.
    (root / "more" / "deploy" / "lib").mkdir()
    (root / "more" / "deploy" / "lib" / "both.py").write_text("more = True\n")
    with rendering.assembled("more", "deploy", root) as content:
        assert (content / "lib" / "both.py").read_text() == "more = True\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("both.py: nowhere.py", "counting/shared.yaml: there is no build/nowhere.py"),
        ("twice.py: twice.py", "deploy/twice.py is there as well, remove one of them"),
        ("[both.py]", "counting/shared.yaml: expected paths in deploy with those in build"),
    ],
)
def test_a_shared_file_that_is_missing_or_stands_twice_is_refused(
    tmp_path: Path, content: str, told: str
) -> None:
    root = registry(tmp_path, {"counting": ENTRY}, "counting")
    (root / "counting" / "deploy").mkdir()
    for kind in templates.REPOSITORIES:
        (root / "counting" / kind / "twice.py").write_text("same\n")
    (root / "counting" / templates.SHARED).write_text(content)
    with pytest.raises(TemplateError, match=told):
        templates.load(root)


def test_no_file_stands_twice_in_the_folders_of_both_repositories() -> None:
    for folder in templates.SEED_CODE.iterdir():
        found = {
            kind: {
                hashlib.sha256(path.read_bytes()).digest()
                for path in (folder / kind).rglob("*")
                if path.is_file() and path.stat().st_size and not MADE.search(path.as_posix())
            }
            for kind in templates.REPOSITORIES
        }
        assert not found["build"] & found["deploy"], f"{folder.name}: name it in {templates.SHARED}"


@pytest.mark.parametrize(
    ("extends", "cause"),
    [
        ("_nothing", "more.extends: there is no shared folder .*/_nothing"),
        ("_base", "more.extends: there is no shared folder .*/_base"),
        ("nothing", "more.extends: there is no template nothing"),
        ("middle", "more.extends: middle extends another itself"),
        ("more", "more.extends: more extends another itself"),
    ],
)
def test_only_a_template_that_stands_alone_can_be_extended(
    tmp_path: Path, extends: str, cause: str
) -> None:
    entries = {
        "counting": ENTRY,
        "middle": {**ENTRY, "extends": ["counting"]},
        "more": {**ENTRY, "extends": [extends]},
    }
    with pytest.raises(TemplateError, match=cause):
        templates.load(registry(tmp_path, entries, *entries))


def test_the_entry_of_the_instructions_is_one(tmp_path: Path) -> None:
    told = (PAGE.parent / "adding-a-template.md").read_text("utf-8")
    entry = yaml.safe_load(textwrap.dedent(told.partition("```yaml\n")[2].partition("```")[0]))
    (template,) = templates.load(registry(tmp_path, entry, *entry)).values()
    assert template.with_defaults({"gate_auc": 0.85}) == {"gate_auc": 0.85}


def test_all_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    wrong = {
        **ENTRY,
        "settings": {
            "bare": {"type": "integer"},
            "broken": {"type": "no such type", "description": "x", "default": 1},
            "least": {**ENTRY["settings"]["least"], "default": 0},
        },
    }
    untold = {key: value for key, value in ENTRY.items() if key != "gate"}
    root = registry(
        tmp_path, {"wrong": wrong, "untold": untold, "nowhere": ENTRY}, "wrong", "untold", "unknown"
    )
    with pytest.raises(TemplateError) as refused:
        templates.load(root)
    told = str(refused.value)
    for part in (
        "unknown: there is a folder and no entry",
        "nowhere: there is an entry and no folder",
        "untold.gate: Field required",
        "wrong.settings.bare: has no description",
        "wrong.settings.bare: has no default",
        "wrong.settings.broken: ",
        "wrong.settings.least.default: 0 is less than the minimum of 1",
    ):
        assert part in told


@given(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
        st.integers().map(str),
    )
)
def test_a_setting_is_taken_exactly_when_its_schema_holds(value: Any) -> None:
    template = templates.Template.model_validate({**ENTRY, "id": "counting"})
    told = value
    if isinstance(value, str):
        # Command lines and CloudFormation have texts alone: one that tells a number is that number.
        with contextlib.suppress(ValueError):
            told = json.loads(value)
    number = isinstance(told, int | float) and not isinstance(told, bool) and math.isfinite(told)
    if number and told == int(told) and told >= 1:
        assert template.with_defaults({"least": value}) == {"least": told}
    else:
        with pytest.raises(TemplateError, match=r"settings\.least: "):
            template.with_defaults({"least": value})


def test_settings_that_a_template_does_not_have_are_refused_by_name() -> None:
    template = templates.Template.model_validate({**ENTRY, "id": "counting"})
    with pytest.raises(TemplateError, match=r"'most' was unexpected[\s\S]*has settings: least"):
        template.with_defaults({"most": 1})
