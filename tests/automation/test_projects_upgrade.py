"""A template added on the spot is vended, and its projects follow its newer versions."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from automation.projects import rendering, repositories, templates
from automation.projects.rendering import RenderingError
from automation.projects.repositories import Archive, Git
from automation.projects.spec import read_spec
from automation.projects.upgrades import Contents, Upgrade, upgrade
from components.settings import load_stack
from localcloud.paths import CHECKOUT

TEMPLATE = "churn-realtime"
HUB = load_stack(CHECKOUT.root, "governance")
ASKED = {
    "name": "churn", "owner": "team", "cost_centre": "1", "organization": "acme",
    "template": TEMPLATE, "settings": {"gate_auc": 0.7}, "id": "p-abcdefghij12",
}  # fmt: skip


@pytest.fixture
def seed_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The templates of this checkout, and one more: a folder and the documentation's entry."""
    root = tmp_path / "seed_code"
    shutil.copytree(
        templates.SEED_CODE, root, ignore=shutil.ignore_patterns("__pycache__", ".*_cache")
    )
    told = (CHECKOUT.root / "docs" / "adding-a-template.md").read_text("utf-8")
    entry = told.partition("```yaml\n")[2].partition("```")[0]
    with (root / templates.REGISTRY).open("a", encoding="utf-8") as registry:
        registry.write(yaml.safe_dump(yaml.safe_load(entry)))
    write(root, "config.yaml.jinja", "gate: {{ gate_auc }}\ntrees: 10\n\nseed: 1\n")
    write(root, "pipeline.py", "STEPS = ()\n")
    monkeypatch.setattr(templates, "SEED_CODE", root)
    return root


def write(root: Path, name: str, text: str) -> None:
    path = root / TEMPLATE / "build" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def git(tmp_path: Path) -> Git:
    for kind in templates.REPOSITORIES:
        folder = tmp_path / "hosted" / "acme" / f"churn-{kind}"
        subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    return Git(Archive("archive", boto3.Session), f"{tmp_path}/hosted/{{repository}}")


@pytest.fixture
def kept() -> Any:
    with mock_aws():
        s3: Any = boto3.client("s3", "eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
        s3.create_bucket(
            Bucket="state", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield Contents(s3, "state", "vended/templates")


def brought(git: Git, kept: Contents, kind: str = "build") -> Upgrade:
    spec = read_spec(ASKED)
    repository = spec.repository(kind)
    return upgrade(git, repository, TEMPLATE, kind, repositories.values(spec, HUB), kept)


def vended(git: Git, kept: Contents) -> None:
    repositories.seed(git, read_spec(ASKED), HUB, lambda _: None, kept.keep)


def change(git: Git, folder: Path, name: str, old: str, new: str) -> None:
    """What the team does: a commit on main."""
    git.clone("acme/churn-build", folder)
    file = folder / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    author = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    subprocess.run(["git", *author, "commit", "-qam", "ours"], cwd=folder, check=True)
    git.push("acme/churn-build", folder, "main")


def branch(git: Git, folder: Path, name: str) -> Path:
    git.clone("acme/churn-build", folder)
    subprocess.run(["git", "checkout", "--quiet", name], cwd=folder, check=True)
    return folder


def test_a_template_added_on_the_spot_is_vended_and_its_newer_version_comes_as_a_branch(
    seed_code: Path, git: Git, kept: Contents, tmp_path: Path
) -> None:
    vended(git, kept)
    assert brought(git, kept) == Upgrade("acme/churn-build")
    change(git, tmp_path / "team", "config.yaml", "seed: 1", "seed: 7")
    write(seed_code, "config.yaml.jinja", "gate: {{ gate_auc }}\ntrees: 50\n\nseed: 1\n")
    write(seed_code, "steps/train.py", "print('train')\n")

    done = brought(git, kept)

    assert done.conflicts == ()
    folder = branch(git, tmp_path / "looked-at", done.branch)
    assert (folder / "config.yaml").read_text() == "gate: 0.7\ntrees: 50\n\nseed: 7\n"
    assert (folder / "steps" / "train.py").is_file()
    assert (folder / "pipelinekit").is_dir()
    origin = rendering.origin(folder)
    assert done.branch == f"template-{origin.version}"
    # Nothing but the branch: main is the team's.
    main = branch(git, tmp_path / "main", "main")
    assert "trees: 10" in (main / "config.yaml").read_text()
    # Merged, it is at the present version, from which the next one is brought.
    git.push("acme/churn-build", folder, "main")
    assert brought(git, kept) == Upgrade("acme/churn-build")
    assert brought(git, kept, "deploy") == Upgrade("acme/churn-deploy")


def test_where_both_changed_a_line_the_branch_shows_both_and_the_file_is_named(
    seed_code: Path, git: Git, kept: Contents, tmp_path: Path
) -> None:
    vended(git, kept)
    change(git, tmp_path / "team", "config.yaml", "trees: 10", "trees: 20")
    write(seed_code, "config.yaml.jinja", "gate: {{ gate_auc }}\ntrees: 50\n\nseed: 1\n")
    done = brought(git, kept)
    assert done.conflicts == ("config.yaml",)
    assert "config.yaml" in done.text()
    told = (branch(git, tmp_path / "looked-at", done.branch) / "config.yaml").read_text()
    assert "trees: 20" in told
    assert "trees: 50" in told
    assert "<<<<<<<" in told


def test_without_the_older_content_nothing_is_pushed(
    seed_code: Path, git: Git, kept: Contents
) -> None:
    repositories.seed(git, read_spec(ASKED), HUB, lambda _: None, lambda _: None)
    write(seed_code, "steps/train.py", "print('train')\n")
    with pytest.raises(RenderingError, match="cannot be read from s3://state/vended/templates/"):
        brought(git, kept)
    assert git.heads("acme/churn-build") == 1


def test_content_that_is_not_what_its_name_says_is_refused(
    seed_code: Path, git: Git, kept: Contents
) -> None:
    vended(git, kept)
    write(seed_code, "steps/train.py", "print('train')\n")
    with rendering.assembled("xgboost-realtime", "build") as other:
        version = kept.keep(other)
    listed = kept.s3.list_objects_v2(Bucket="state")["Contents"]
    other_key = next(item["Key"] for item in listed if version in item["Key"])
    body = kept.s3.get_object(Bucket="state", Key=other_key)["Body"].read()
    for item in listed:
        kept.s3.put_object(Bucket="state", Key=item["Key"], Body=body)
    with pytest.raises(RenderingError, match="is not version"):
        brought(git, kept)
    assert git.heads("acme/churn-build") == 1
