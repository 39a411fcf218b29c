"""Containers as processes: images, folders, and machines without mount namespaces."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from components.framework_images import BUILT_IN, DEEP_LEARNING
from localcloud.emulator.jobs import containers, images, transfer
from localcloud.emulator.jobs.containers import MODE_VARIABLE, Container, Mode
from localcloud.emulator.jobs.images import Image, UnknownImageError
from localcloud.emulator.jobs.transfer import TransferError
from tests.localcloud.jobs_world import BUCKET, SKLEARN, XGBOOST, archive, given, world


def has_user_namespaces() -> bool:
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "true"], capture_output=True, check=False
    )
    return done.returncode == 0


SCRIPT = """
import argparse, json, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--data")
parser.add_argument("--out")
given = parser.parse_args()
rows = pathlib.Path(given.data, "a.csv").read_text().splitlines()
real = pathlib.Path(given.data).resolve()
config = os.environ["CONFIG_FOLDER"]
known = json.loads(pathlib.Path(config, "processingjobconfig.json").read_text())
found = {"rows": len(rows), "folder": given.data, "job": known["ProcessingJobName"]}
pathlib.Path(given.out, "found.json").write_text(json.dumps(found))
"""


@pytest.mark.parametrize("mode", [Mode.USER_NAMESPACE, Mode.PATHS])
def test_jobs_and_endpoints_run_without_root(
    mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode is Mode.USER_NAMESPACE and not has_user_namespaces():
        pytest.skip("this machine lets users have no namespaces")
    monkeypatch.setenv(MODE_VARIABLE, str(mode))
    with world(tmp_path) as jobs:
        uri = jobs.put("raw/a.csv", "1\n2\n").removesuffix("a.csv")
        # The script's own path is rewritten too, like all of the command.
        job = jobs.process(
            "copy",
            SCRIPT,
            inputs=[given("data", uri, "/opt/ml/processing/input/data")],
            arguments=[
                "--data", "/opt/ml/processing/input/data", "--out", "/opt/ml/processing/result",
            ],
            Environment={"CONFIG_FOLDER": "/opt/ml/config"},
        )  # fmt: skip
        assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
        found = json.loads(jobs.get(f"s3://{BUCKET}/out/copy/result/found.json"))
        assert (found["rows"], found["job"]) == (2, "copy")
        assert found["folder"].endswith("/processing/input/data")
        assert found["folder"].startswith("/opt/ml") == (mode is not Mode.PATHS)
        trained = jobs.train("trained", EnableNetworkIsolation=True)
        assert trained["TrainingJobStatus"] == "Completed", trained.get("FailureReason")


def test_a_mode_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MODE_VARIABLE, "docker")
    containers.mode.cache_clear()
    try:
        with pytest.raises(ValueError, match="docker"):
            containers.mode()
    finally:
        containers.mode.cache_clear()


@pytest.mark.parametrize("region", sorted(BUILT_IN))
def test_images_of_every_region_are_known(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.environments, "python", lambda name: Path("/python", name))
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    base = f"{BUILT_IN[region]}.dkr.ecr.{region}.{domain}"
    for rest, framework in (
        ("sagemaker-xgboost:3.0-5", "xgboost"),
        ("sagemaker-xgboost:1.0-1-cpu-py3", "xgboost"),
        ("sagemaker-scikit-learn:1.4-2-cpu-py3", "sklearn"),
        (f"sagemaker-scikit-learn@sha256:{'a' * 64}", "sklearn"),
    ):
        found = images.find(f"{base}/{rest}")
        assert (found.framework, found.interpreter) == (framework, Path("/python/seed"))


@pytest.mark.parametrize("region", sorted(DEEP_LEARNING))
@pytest.mark.parametrize("framework", ["pytorch", "huggingface-pytorch"])
def test_deep_learning_images_run_on_an_environment_that_has_torch(
    region: str, framework: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images.environments, "python", lambda name: Path("/python", name))
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    for use in ("training", "inference"):
        repository = f"{framework}-{use}"
        found = images.find(
            f"{DEEP_LEARNING[region]}.dkr.ecr.{region}.{domain}/{repository}:2.6.0-gpu-py312"
        )
        assert (found.framework, found.interpreter) == (
            framework.split("-")[0],
            Path("/python/genai"),
        )
        assert "genai environment" in found.origin


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "python:3.11",
        XGBOOST.replace("sagemaker-xgboost", "sagemaker-xgboost-other"),
        XGBOOST.replace("141502667606", "683313688378"),
        SKLEARN.replace("eu-west-1", "nowhere-1"),
    ],
)
def test_other_images_are_refused_with_where_to_add_them(uri: str) -> None:
    with pytest.raises(UnknownImageError, match=r"localcloud/emulator/jobs/images\.py"):
        images.find(uri)


@pytest.mark.parametrize("path", ["/etc/passwd", "/opt/ml/../../etc", "/opt/mlx", "/opt", "opt/ml"])
def test_a_container_s_folders_stay_in_it(path: str, tmp_path: Path) -> None:
    container = Container(object(), Image("x", "sklearn", Path("/p")), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not below /opt/ml"):
        container.path(path)
    assert container.path("/opt/ml/a/../b") == tmp_path / "ml" / "b"


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_archives_cannot_write_elsewhere(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(archive({name: b"x"}))
    folder = tmp_path / "inside"
    with pytest.raises(TransferError):
        transfer.unpack(tmp_path / "a.tar.gz", folder)
    assert not (tmp_path / "x").exists()


def test_archives_come_back_as_they_were(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "f.txt").write_text("text")
    (source / "g.bin").write_bytes(bytes(range(256)))
    transfer.pack(source, tmp_path / "a.tar.gz")
    transfer.unpack(tmp_path / "a.tar.gz", target)
    files: Any = {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()}
    assert files == {"sub/f.txt", "g.bin"}
    assert (target / "g.bin").read_bytes() == bytes(range(256))
