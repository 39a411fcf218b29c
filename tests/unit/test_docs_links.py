"""What people read is so: links lead somewhere, commands parse, settings of projects are told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic_core import PydanticUndefined

from automation import cli
from automation.projects.spec import ProjectSpec
from automation.projects.templates import SEED_CODE
from components import settings
from components.naming import ENVIRONMENTS, in_order
from components.projects import policies, project

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
PROJECTS = ROOT / "docs" / "projects.md"

FENCE = re.compile(r"^( *)```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text())
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = sum(other == plain or other.startswith(f"{plain}-") for other in found)
        found.add(f"{plain}-{number}" if plain in found else plain)
    return found


def broken(page: Path) -> Iterator[str]:
    """The links of a page that lead nowhere in this repository."""
    text = CODE.sub("", FENCE.sub("", page.read_text()))
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_broken_links_and_anchors_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `b`: c\n[x](other.md) [y](#a-b-c) [z](#d) `[q](none)`\n")
    assert list(broken(page)) == ["other.md: there is no such file", "#d: there is no such heading"]


def commands(page: Path) -> Iterator[str]:
    """The invocations of the command line that a page shows whole, with what they are given."""
    text = page.read_text()
    blocks = "\n".join(match.group() for match in FENCE.finditer(text)).replace("\\\n", " ")
    shown = re.findall(r"^ *(python -m automation .+)$", blocks, re.MULTILINE)
    shown += re.findall(r"`(python -m automation [^`]+ --[^`]+)`", text)
    # What has optional parts is a synopsis.
    return (line for line in shown if not re.search(r" \[|…", line.partition("#")[0]))


@pytest.mark.parametrize(
    ("page", "command"),
    [pytest.param(page, line, id=line) for page in PAGES for line in dict.fromkeys(commands(page))],
)
def test_commands_are_those_of_the_command_line(
    page: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The pages' example of one more of a kind.
    there = in_order([*ENVIRONMENTS, "prod-eu"])
    monkeypatch.setattr(settings, "stack_names", lambda _: there)
    words = shlex.split(command, comments=True)[3:]
    assert words, f"{page.name}: {command}"
    assert cli.parser().parse_args(words).run


def test_commands_are_found() -> None:
    found = {line.split()[3] for page in PAGES for line in commands(page)}
    assert found >= {"destroy", "drift", "models", "preview", "projects", "promotions"}


def test_every_setting_of_a_project_is_told_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^\n]+) \|$", PROJECTS.read_text(), re.MULTILINE))
    assert set(ProjectSpec.model_fields) <= set(rows)
    for name, field in ProjectSpec.model_fields.items():
        told = rows[name].split(" | ")[1].strip(" |")
        if field.default_factory is not None:
            assert told == "made"
        elif field.default is PydanticUndefined:
            assert told == "required"
        else:
            value = field.default if isinstance(field.default, tuple) else [field.default]
            told_as = [
                f"`{yaml.safe_dump(item).split()[0]}`" for item in value if item or item is False
            ]
            assert told == ", ".join(told_as), name


def test_variables_of_projects_workflows_are_told() -> None:
    told = PROJECTS.read_text()
    used = {
        name
        for file in SEED_CODE.glob("_base/*/.github/workflows/*.yml")
        for name in re.findall(r"vars\.(\w+)", file.read_text())
    }
    assert {"MLOPS_RUNNER", "PULUMI_BACKEND_URL"} <= used
    assert sorted(name for name in used if f"`{name}`" not in told) == []


@pytest.mark.parametrize(("kind", "environment"), [("build", "dev"), ("deploy", "governance")])
def test_workflows_sign_in_as_the_roles_that_projects_make(kind: str, environment: str) -> None:
    (file,) = (SEED_CODE / "_base" / kind / ".github" / "workflows").glob("*.yml")
    workflow = yaml.safe_load(file.read_text())
    variables = {**workflow.get("env", {}), **workflow["jobs"].get("run", {}).get("env", {})}
    name = f"{environment}-${{{{ vars.MLOPS_PROJECT }}}}-github"
    role = f"role/${{{{ vars.MLOPS_PREFIX }}}}-{name}"
    if kind == "build":
        assert variables["AWS_ROLE_ARN"].endswith(role)
        assert Path(project.__file__).read_text().count('self.role("github", [trust]') == 1
    for called, job in workflow["jobs"].items():
        if kind == "deploy":
            # Each environment has a role of its own, whose name ends as the environment is called.
            assert "AWS_ROLE_ARN" not in variables
            assert job["env"]["AWS_ROLE_ARN"].endswith(f"{role}-{job['environment']}"), called
            assert policies.releaser("github", "P", "prod") == "P-github-prod"
    assert policies.GITHUB == "token.actions.githubusercontent.com"
