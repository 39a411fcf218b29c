"""What a project is asked for by, what its repositories become, and how git takes them."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from automation.projects import program, rendering, repositories, templates
from automation.projects.repositories import Archive, Git, RepositoryError
from automation.projects.spec import ProjectSpec, SpecError, read_spec
from automation.projects.templates import REPOSITORIES, SEED_CODE
from automation.projects.vending import Vending, VendingError
from components.naming import Names
from components.settings import PlatformSettings

ASKED: Mapping[str, Any] = {
    "name": "house-prices",
    "owner": "Team Ötztal <team@example.com>",
    "cost_centre": "4711 & more",
    "organization": "example",
}
HUB = cast("PlatformSettings", SimpleNamespace(
    prefix="acme", region="eu-west-1", names=Names("acme", "governance", "eu-west-1", "1" * 12)
))  # fmt: skip


# --- what is asked for ----------------------------------------------------------------------------


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(SpecError) as told:
        read_spec(
            {
                "name": "House",
                "owner": "",
                "organization": "exa/mple",
                "ci": "jenkins",
                "targets": ["moon"],
                "template": "cobol",
                "variables": {"lower": "x"},
                "colour": "red",
            }
        )
    text = str(told.value)
    for wrong in ("name", "owner", "cost_centre", "organization", "ci", "targets", "colour"):
        assert re.search(rf"^  {wrong}\b", text, re.MULTILINE), wrong
    assert "variables" in text
    assert "'cobol'" in text
    assert "xgboost-realtime" in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"targets": ["prod", "preprod"]}, "in the order preprod, prod"),
        ({"targets": ["prod", "prod"]}, "each once"),
        ({"targets": []}, "targets"),
        ({"ci": "github"}, "token_secret"),
        ({"people": {"-grace": "grace"}}, "people"),
        ({"people": {"grace": "Grace Hopper"}}, "people"),
        ({"people": {f"login{number}": "somebody" for number in range(26)}}, "people"),
        ({"name": "a" * 21}, "name"),
        ({"name": "a--b"}, "name"),
        ({"name": "a-"}, "name"),
        ({"name": "house\n"}, "name"),
        ({"id": "p-ABC"}, "id"),
        ({"instance_types": []}, "instance_types"),
    ],
)
def test_what_cannot_be_made_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        read_spec({**ASKED, **change})


def test_a_template_that_predicts_in_batches_brings_what_that_needs() -> None:
    asked = {**ASKED, "template": "xgboost-batch"}
    assert read_spec(asked).batch
    assert read_spec({**asked, "batch": True}).batch
    assert not read_spec(ASKED).batch
    with pytest.raises(SpecError, match="batch: xgboost-batch predicts in batches, leave it out"):
        read_spec({**asked, "batch": False})


@pytest.mark.parametrize("template", ["sentiment", "xgboost-realtime"])
def test_a_project_is_made_with_the_features_of_its_template(
    monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    made: dict[str, Any] = {}

    def make(name: str, args: Mapping[str, Any], providers: Any) -> None:
        made.update(args)

    for name, value in {
        "Project": make,
        "contract": lambda *_: ({}, ""),
        "state_key_arn": lambda *_: "key",
        "left_behind": lambda *_: [],
        "_provider": lambda *_: None,
    }.items():
        monkeypatch.setattr(program, name, value)
    monkeypatch.setattr(program.pulumi, "export", lambda *_: None)
    platform = {
        name: cast("PlatformSettings", SimpleNamespace(
            names=Names("acme", name, "eu-west-1", "1" * 12),
            projects=SimpleNamespace(repository_provider="GitHub", people={}, variables={}),
            placement=dict,
            retention=SimpleNamespace(logs_days=30),
            registry=SimpleNamespace(sharing="policy"),
            served=("dev", "preprod", "prod"),
        ))
        for name in ("dev", "preprod", "prod", "governance")
    }  # fmt: skip
    session = cast("Any", lambda _: None)
    program.program(read_spec({**ASKED, "template": template}), platform, session, ())()
    assert made["features"] == templates.load()[template].feature_group
    assert bool(made["features"]) == (template == "sentiment")


@given(st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", fullmatch=True).filter(lambda n: len(n) <= 20))
def test_a_name_that_is_taken_fits_every_service(name: str) -> None:
    spec = read_spec({**ASKED, "name": name})
    assert re.fullmatch(r"p-[a-z0-9]{12}", spec.id)
    for environment in ("preprod", "governance"):
        names = Names("a" * 15, environment, "ap-southeast-2", "1" * 12)
        # Source: SageMaker's API reference, names of endpoints and of model package groups.
        assert len(names.name(name)) <= 63
        assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", names.name(name))
        assert len(names.role(f"{name}-restore-preprod")) <= 64
        assert names.name(f"ci-{name}-{names.account_id}", "bucket")


def test_what_a_stack_keeps_is_read_back_the_same() -> None:
    spec = read_spec(ASKED)
    assert read_spec(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec


@pytest.mark.parametrize(
    ("own", "platforms", "known"),
    [
        ({}, {"grace": "grace.hopper"}, {"grace": "grace.hopper"}),
        ({"grace": "gh"}, {"grace": "grace.hopper", "ada": "ada"}, {"grace": "gh", "ada": "ada"}),
        ({"ada": "ada"}, {}, {"ada": "ada"}),
    ],
)
def test_who_is_who_is_told_once_for_all_projects_or_by_one(
    own: dict[str, str], platforms: dict[str, str], known: dict[str, str]
) -> None:
    spec = read_spec({**ASKED, "ci": "github", "token_secret": "arn", "people": own})
    hub = cast("PlatformSettings", SimpleNamespace(projects=SimpleNamespace(people=platforms)))
    assert program.people(spec, hub) == known
    assert program.people(read_spec(ASKED), hub) == {}


@pytest.mark.parametrize("count", [0, 26])
def test_where_nobody_could_approve_nothing_is_made(count: int) -> None:
    spec = read_spec({**ASKED, "ci": "github", "token_secret": "arn"})
    platforms = {f"login{number}": "somebody" for number in range(count)}
    hub = cast("PlatformSettings", SimpleNamespace(projects=SimpleNamespace(people=platforms)))
    with pytest.raises(program.PlatformError, match=f"{count} people are known at GitHub"):
        program.people(spec, hub)


# --- rendering ------------------------------------------------------------------------------------


def rendered(folder: Path, kind: str) -> tuple[ProjectSpec, Path]:
    spec = read_spec(ASKED)
    repositories.render(spec, HUB, kind, folder)
    return spec, folder


@pytest.fixture(scope="module", params=REPOSITORIES)
def repository(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("repository") / request.param
    rendered(folder, request.param)
    return request.param, folder


def texts(folder: Path) -> dict[Path, str]:
    return {
        path.relative_to(folder): path.read_text("utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_nothing_of_a_template_is_left(repository: tuple[str, Path]) -> None:
    _, folder = repository
    for path, text in texts(folder).items():
        assert path.suffix != ".jinja", path
        # GitHub's own expressions are ${{ … }}.
        assert not re.search(r"(?<!\$)\{\{[ -]|\{%-? ", text), path
    assert not [path for path in folder.rglob("*") if path.name in ("__pycache__", ".venv")]


def test_a_repository_refers_to_nothing_here(repository: tuple[str, Path]) -> None:
    _, folder = repository
    root = str(SEED_CODE.parent)
    foreign = re.compile(
        r"^\s*(?:from|import) (?:components|automation|localcloud|functions|seed_code)\b",
        re.MULTILINE,
    )
    for path, text in texts(folder).items():
        assert root not in text, path
        if path.suffix == ".py":
            assert not foreign.search(text), path


def test_settings_are_the_projects(repository: tuple[str, Path]) -> None:
    kind, folder = repository
    for path, text in texts(folder).items():
        if path.suffix in (".yaml", ".yml"):
            list(yaml.safe_load_all(text))
        if path.suffix == ".toml":
            tomllib.loads(text)
    told = (folder / {"build": "project.yaml", "deploy": "Pulumi.yaml"}[kind]).read_text("utf-8")
    loaded = json.dumps(yaml.safe_load(told), ensure_ascii=False)
    for value in ("house-prices", "4711 & more", "Team Ötztal <team@example.com>"):
        assert value in loaded


def test_a_deployment_has_the_policy_pack_and_it_runs_in_the_environment_on_path(
    tmp_path: Path,
) -> None:
    _, folder = rendered(tmp_path / "deploy", "deploy")
    described = yaml.safe_load((folder / "policy" / "PulumiPolicy.yaml").read_text())
    assert described["runtime"] == "python"
    packs = {p.relative_to(folder / "policy") for p in (folder / "policy").rglob("*.py")}
    here = Path(repositories.__file__).resolve().parents[2] / "policy"
    kept = {p.relative_to(here) for p in here.rglob("*.py") if ".venv" not in p.parts}
    assert packs == kept
    assert kept


def test_every_template_renders(tmp_path: Path) -> None:
    for template in templates.load():
        spec = read_spec({**ASKED, "template": template})
        for kind in REPOSITORIES:
            repositories.render(spec, HUB, kind, tmp_path / template / kind)
            assert (tmp_path / template / kind / "buildspec.yml").is_file()


# --- git ------------------------------------------------------------------------------------------


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Where the project's repositories are: empty ones, below a folder."""
    for kind in REPOSITORIES:
        make_bare(tmp_path, f"example/house-prices-{kind}")
    return Git(Archive("archive", nothing), f"{tmp_path.as_posix()}/{{repository}}.git")


def make_bare(folder: Path, name: str) -> None:
    subprocess.run(["git", "init", "--bare", "--quiet", str(folder / f"{name}.git")], check=True)


def log(git: Git, repository: str) -> list[str]:
    done = subprocess.run(
        ["git", "--git-dir", git.url(repository), "log", "--format=%an|%s", "main"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_repositories_are_filled_once_the_deployment_first(git: Git) -> None:
    spec, said = read_spec(ASKED), list[str]()
    repositories.check(git, spec)
    kept: list[str] = []

    def keep(content: Path) -> None:
        kept.append(rendering.version(content))

    repositories.seed(git, spec, HUB, said.append, keep)
    assert len(set(kept)) == len(REPOSITORIES)
    assert [line.split()[0] for line in said] == [
        "example/house-prices-deploy",
        "example/house-prices-build",
    ]
    for kind in REPOSITORIES:
        (commit,) = log(git, spec.repository(kind))
        assert "Start house-prices from xgboost-realtime" in commit
        assert git.heads(spec.repository(kind)) == 1
    # What the team wrote since is never overwritten.
    repositories.seed(git, spec, HUB, said.append, lambda _: None)
    assert all("left as it is" in line for line in said[2:])
    assert all(len(log(git, spec.repository(kind))) == 1 for kind in REPOSITORIES)
    with pytest.raises(RepositoryError, match="holds something already"):
        repositories.check(git, spec)


def test_after_a_crash_between_the_two_the_other_is_filled(git: Git, tmp_path: Path) -> None:
    spec = read_spec(ASKED)
    rendered(tmp_path / "crashed", "deploy")
    git.fill(spec.repository("deploy"), tmp_path / "crashed", "Start")
    said: list[str] = []
    repositories.seed(git, spec, HUB, said.append, lambda _: None)
    assert "left as it is" in said[0]
    assert len(log(git, spec.repository("build"))) == 1


def test_a_repository_that_is_not_there_is_named_with_gits_own_words(git: Git) -> None:
    spec = read_spec({**ASKED, "organization": "nobody"})
    with pytest.raises(RepositoryError, match=r"nobody/house-prices-build cannot be read.*git"):
        repositories.check(git, spec)


def test_a_refused_push_is_told(git: Git, tmp_path: Path) -> None:
    hook = Path(git.url("example/house-prices-build")) / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho this branch is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    rendered(tmp_path / "refused", "build")
    with pytest.raises(RepositoryError, match="this branch is protected"):
        git.fill("example/house-prices-build", tmp_path / "refused", "Start")
    assert git.heads("example/house-prices-build") == 0


# --- names beside each other ----------------------------------------------------------------------


class Known(Vending):
    """A platform with a project ``house``."""

    def listed(self) -> list[dict[str, Any]]:
        return [{"name": "house"}]

    def _names(self) -> set[str]:
        return {"house"}


def nothing(*_: Any) -> Any:
    raise AssertionError("nothing is looked up")


@pytest.mark.parametrize(
    ("name", "fits"),
    [("houses", True), ("hous", True), ("a-house", True), ("house-prices", False)],
)
def test_no_projects_name_begins_anothers(name: str, fits: bool) -> None:
    vending = Known(
        {"governance": HUB}, nothing, Git(Archive("archive", nothing)), nothing, nothing
    )
    if fits:
        vending._check_name(name, ("preprod", "prod"))
        return
    with pytest.raises(VendingError, match=r"house owns all that is called house-"):
        vending._check_name(name, ("preprod", "prod"))


def test_a_name_that_is_too_long_beside_the_prefix_is_refused_at_once() -> None:
    names = Names("a" * 16, "governance", "eu-west-1", "1" * 12)
    hub = cast("PlatformSettings", SimpleNamespace(names=names))
    vending = Known(
        {"governance": hub}, nothing, Git(Archive("archive", nothing)), nothing, nothing
    )
    vending._check_name("b" * 19, ("preprod", "prod"))
    for name, targets in (("b" * 20, ("prod",)), ("b" * 16, ("preprod-north",))):
        with pytest.raises(VendingError, match="a shorter name for the project"):
            vending._check_name(name, targets)
