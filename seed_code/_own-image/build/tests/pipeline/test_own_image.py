from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelinekit import own_image, settings

FOLDER = Path(__file__).parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER / "image", tmp_path / "image")
    shutil.copytree(FOLDER / "steps", tmp_path / "steps")
    return tmp_path


def write(folder: Path, config: Any, **changes: Any) -> own_image.Built:
    made = own_image.Built(
        **{
            "uri": f"111122223333.dkr.ecr.eu-west-1.amazonaws.com/acme-dev-x@sha256:{'a' * 64}",
            "tag": "0123456789ab-0",
            "content": own_image.content(folder, config.image),
            "findings": {},
            **changes,
        }
    )
    (folder / own_image.FILE).write_text(made.model_dump_json())
    return made


def test_the_pipeline_runs_in_what_was_built_of_these_files_for_this_project(
    repository: Path, project: settings.Project, platform: Any, config: Any
) -> None:
    there = replace(platform, made_up=False)

    def uri() -> str:
        return own_image.uri(project, there, config.image, repository)

    with pytest.raises(settings.SettingsError, match="make image builds it"):
        uri()
    write(repository, config)
    with pytest.raises(settings.SettingsError, match=f"is not in {project.pipeline} of account"):
        uri()
    own = f"{there.account}.dkr.ecr.{project.region}.amazonaws.com/{project.pipeline}"
    made = write(repository, config, uri=f"{own}@sha256:{'b' * 64}")
    assert uri() == made.uri
    (repository / "image" / "program" / "server.py").write_text("# changed\n")
    with pytest.raises(settings.SettingsError, match="has changed since it was built"):
        uri()


def test_another_base_mode_or_file_is_another_image_and_a_cache_is_not(
    repository: Path, config: Any
) -> None:
    first = own_image.content(repository, config.image)
    (repository / "image" / "program" / "__pycache__").mkdir(exist_ok=True)
    (repository / "image" / "program" / "__pycache__" / "x.pyc").write_text("x")
    assert own_image.content(repository, config.image) == first
    other = config.image.model_copy(update={"base": f"python@sha256:{'c' * 64}"})
    assert own_image.content(repository, other) != first
    file = repository / "image" / "program" / "server.py"
    file.chmod(0o755)
    moved = own_image.content(repository, config.image)
    assert moved != first
    file.rename(file.with_name("other.py"))
    assert own_image.content(repository, config.image) not in (first, moved)


def test_folders_that_are_included_are_part_of_it(repository: Path, config: Any) -> None:
    without = config.image.model_copy(update={"include": ()})
    beside = config.image.model_copy(update={"include": ("steps",)})
    assert own_image.content(repository, without) != own_image.content(repository, beside)
    assert "steps/evaluate.py" in own_image.files(repository, beside)
    assert not [name for name in own_image.files(repository, without) if "steps" in name]


@pytest.mark.parametrize(
    "base", ["python:3.11-slim", "python@sha256:abc", f"a b@sha256:{'0' * 64}"]
)
def test_a_base_that_can_change_is_refused(config: Any, base: str) -> None:
    with pytest.raises(ValueError, match="image"):
        type(config).model_validate(
            {**config.model_dump(), "image": {**config.image.model_dump(), "base": base}}
        )
