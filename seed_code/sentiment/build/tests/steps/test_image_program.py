"""The image does with a script of the job, and with its own, what SageMaker's images do."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

import sample_data

FOLDER = Path(__file__).parents[2]
CODE = "input/data/code/sourcedir.tar.gz"


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    place = os.pathsep.join(str(FOLDER / name) for name in ("image", "steps"))
    return subprocess.Popen(
        [sys.executable, "-m", "program", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": place, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments: str | Path) -> tuple[int, str]:
    process = start(*arguments)
    told, _ = process.communicate(timeout=120)
    return process.returncode, told


def ml(tmp_path: Path, **hyperparameters: str) -> Path:
    """An ``/opt/ml`` with the channels of a training job."""
    for name, seed in (("train", 1), ("validation", 2)):
        place = tmp_path / "input" / "data" / name
        place.mkdir(parents=True)
        rows = "".join(f'"{text}",{label}\n' for text, label in sample_data.records(300, seed))
        (place / f"{name}.csv").write_text(f"text,label\n{rows}")
    config = tmp_path / "input" / "config"
    config.mkdir()
    (config / "hyperparameters.json").write_text(json.dumps(hyperparameters))
    return tmp_path


def bring(folder: Path, **files: str) -> None:
    """Lays scripts where a job's channel has them."""
    place = folder / CODE
    place.parent.mkdir(parents=True)
    with gzip.open(place, "wb") as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{name}.py")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ``/opt/ml`` in which the image has trained by itself."""
    folder = ml(
        tmp_path_factory.mktemp("own"),
        # As SDK and tuning jobs write them.
        ngrams='"2"', buckets="12", strength="10.0", _tuning_objective_metric="validation:macro_f1",
    )  # fmt: skip
    code, told = run("train", "--folder", folder)
    assert code == 0, told
    assert "validation:macro_f1=0." in told
    return folder


def test_it_trains_by_itself_and_leaves_a_model(trained: Path) -> None:
    settings = json.loads((trained / "model" / "classifier.json").read_text())
    assert (settings["ngrams"], settings["buckets"]) == (2, 12)
    assert not (trained / "output" / "failure").exists()


def test_a_jobs_script_runs_instead_with_its_hyperparameters_and_folders(tmp_path: Path) -> None:
    folder = ml(
        tmp_path, depth="3", sagemaker_program='"mine.py"',
        sagemaker_submit_directory=str(tmp_path / CODE),
    )  # fmt: skip
    bring(
        folder,
        mine="import helper, os, sys\n"
        "print(helper.WORD, sys.argv[1:], os.environ['SM_CHANNEL_TRAIN'])\n"
        "raise KeyError('soup')\n",
        helper="WORD = 'brought'\n",
    )
    code, told = run("train", "--folder", folder)
    assert f"brought ['--depth', '3'] {folder}/input/data/train" in told
    assert code == 1
    # A script that tells no cause has it taken from its last words.
    assert "KeyError: 'soup'" in (folder / "output" / "failure").read_text()


@pytest.mark.parametrize(
    ("program", "directory", "told"),
    [
        ("mine.py", "s3://bucket/sourcedir.tar.gz", "takes scripts from a channel"),
        ("other.py", CODE, "has no other.py"),
    ],
)
def test_what_cannot_be_run_is_told_where_sagemaker_looks(
    tmp_path: Path, program: str, directory: str, told: str
) -> None:
    place = directory if ":" in directory else str(tmp_path / directory)
    folder = ml(tmp_path, sagemaker_program=program, sagemaker_submit_directory=place)
    bring(folder, mine="")
    code, said = run("train", "--folder", folder)
    assert code == 1
    assert told in said
    assert told in (folder / "output" / "failure").read_text()


def test_steps_have_their_own_command_lines(tmp_path: Path) -> None:
    code, told = run("preprocess", "--input", tmp_path, "--message-file", tmp_path / "no" / "m")
    assert code == 1
    assert "has no *.csv file" in told


# -- serving ---------------------------------------------------------------------------------------


def ask(port: int, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    content = None if body is None else json.dumps(body).encode()
    names = {key.replace("_", "-"): value for key, value in headers.items()}
    connection.request("POST" if content else "GET", path, body=content, headers=names)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


class Served:
    """A server of a folder's model, until the end of the block."""

    def __init__(self, folder: Path, **variables: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        variables["SAGEMAKER_BIND_TO_PORT"] = str(self.port)
        self.process = start("serve", "--folder", folder, **variables)

    def __enter__(self) -> int:
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            try:
                assert ask(self.port, "/ping")[0] == 200
                break
            except OSError:
                time.sleep(0.05)
        return self.port

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        told, _ = self.process.communicate(timeout=10)
        assert self.process.returncode == 0, told


def test_it_answers_and_refuses_as_the_script_of_the_repository_says(trained: Path) -> None:
    # What the archive brings is not run.
    code = trained / "model" / "code"
    kept = (code / "inference.py").read_text()
    (code / "inference.py").write_text("raise SystemExit(1)\n")
    try:
        with Served(trained) as port:
            status, text = ask(
                port, "/invocations", {"text": "today the soup was lovely for us"},
                Content_Type="application/json", Accept="*/*",
            )  # fmt: skip
            assert (status, json.loads(text)["predictions"][0]["label"]) == (200, "positive")
            assert ask(port, "/invocations", {"text": "so so"}, Accept="text/csv")[0] == 200
            for body, kind, told in (
                ({"text": ""}, "application/json", "expected words"),
                ({"text": "fine"}, "text/csv", "Content type text/csv"),
            ):
                status, text = ask(port, "/invocations", body, Content_Type=kind)
                assert (status, told in text) == (400, True)
    finally:
        (code / "inference.py").write_text(kept)


def test_a_version_that_names_its_script_is_served_by_it(trained: Path, tmp_path: Path) -> None:
    code = tmp_path / "model" / "code"
    code.mkdir(parents=True)
    (code / "classifier.py").write_text("WORD = 'brought'\n")
    (code / "mine.py").write_text(
        "from classifier import WORD\n"
        "model_fn = lambda folder: WORD\n"
        "input_fn = lambda body, kind: body.decode()\n"
        "predict_fn = lambda asked, model: model + asked\n"
        "output_fn = lambda answer, accept: (answer, 'text/plain')\n"
    )
    given = {"SAGEMAKER_PROGRAM": "mine.py", "SAGEMAKER_SUBMIT_DIRECTORY": str(code)}
    with Served(tmp_path, **given) as port:
        assert ask(port, "/invocations", 1) == (200, "brought1")


def test_without_a_model_or_its_script_there_is_no_server(tmp_path: Path) -> None:
    code, told = run("serve", "--folder", tmp_path)
    assert code == 1
    assert "The model was refused: The model has no classifier.npz" in told
    process = start("serve", "--folder", tmp_path, SAGEMAKER_PROGRAM="mine.py")
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"SAGEMAKER_PROGRAM: {tmp_path}/model/code has no mine.py" in told
