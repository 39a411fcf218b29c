"""The build repository of ``byoc-realtime`` stands on its own: its tests, its image, its CI."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.seed_code.build_repository import BASE, ROOT, render, run

OWN = ROOT / "seed_code" / "byoc-realtime" / "build"
SHARED = ROOT / "seed_code" / "_own-image" / "build"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("repository"), "byoc-realtime")


@pytest.mark.parametrize("kind", ["steps", "pipeline"])
def test_its_own_tests_pass(repository: Path, kind: str) -> None:
    found = [path for part in (OWN, SHARED) for path in (part / "tests" / kind).glob("test_*.py")]
    files = sorted(f"tests/{kind}/{path.name}" for path in found)
    command = f'exec "${kind.upper()}_PYTHON" -m pytest -q -p no:cacheprovider "$@"'
    done = run(repository, "sh", "-c", command, "sh", *files)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_comes_before_the_pipeline_in_every_ci(repository: Path) -> None:
    done = run(repository, "make", "--dry-run", "run")
    lines = [line for line in done.stdout.splitlines() if ".py" in line]
    assert [re.search(r"\w+\.py", line)[0] for line in lines] == [  # pyright: ignore[reportOptionalSubscript]
        "build_image.py",
        "run_pipeline.py",
    ]
    for ci in ("buildspec.yml", ".github/workflows/build.yml"):
        assert "make run" in (repository / ci).read_text()
    assert "make image" in (repository / "README.md").read_text()
    assert "image" in run(repository, "make", "help").stdout


@pytest.mark.parametrize("template", ["byoc-realtime", "sentiment"])
def test_the_image_installs_what_its_code_was_tested_with(template: str) -> None:
    def pins(file: Path) -> set[str]:
        return set(re.findall(r"^[\w-]+==[^\s;]+", file.read_text(), re.MULTILINE))

    image = ROOT / "seed_code" / template / "build" / "image"
    wanted = pins(image / "requirements.txt")
    assert wanted <= pins(BASE / "requirements" / "steps.txt")
    assert {"numpy", "scikit-learn"} <= {pin.split("==")[0] for pin in wanted}
