"""What the tests of the templates with torch share: their environment, and tiny models in S3."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from localcloud import environments
from tests.seed_code.build_repository import run
from tests.seed_code.template_kit import TemplateProject


def steps(
    team: TemplateProject,
    *arguments: str | Path,
    code: int | None = 0,
    environment: dict[str, str] | None = None,
) -> str:
    """Runs a file of the build repository where its jobs run here; what it printed."""
    done = run(
        team.build, "sh", "-c", 'exec "$STEPS_PYTHON" "$@"', "sh", *arguments,
        environment={
            "STEPS_PYTHON": str(environments.python("genai")),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            **(environment or {}),
        },
    )  # fmt: skip
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def make_tiny(team: TemplateProject) -> None:
    """Takes the settings of ``tiny.yaml`` over into ``config.yaml``, as the README tells to."""
    config = team.build / "config.yaml"
    content = yaml.safe_load(config.read_text("utf-8"))
    tiny = yaml.safe_load((team.build / "tiny.yaml").read_text("utf-8"))
    config.write_text(yaml.safe_dump(_over(content, tiny)), "utf-8")


def _over(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(old)
    for key, value in new.items():
        assert key in old, f"tiny.yaml sets {key}, which config.yaml does not have"
        made[key] = _over(old[key], value) if isinstance(value, Mapping) else value
    return made


def put_folder(team: TemplateProject, folder: Path, name: str) -> str:
    """Puts a folder below the project's part of the data bucket; its URL."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        team.put(f"{name}/{path.relative_to(folder).as_posix()}", path.read_bytes())
    return team.put(f"{name}/README.md", "Put here by a test.\n").rpartition("/")[0]
