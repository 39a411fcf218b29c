"""What every template refuses, and how that is shown: one table, in which no cell can be left out.

A test file of a template has one test with the marker :func:`refusals`, which calls :func:`prove`
for each of :data:`WHAT`; ``test_template_refusals.py`` looks that all templates have it. Each cell
is shown at the lowest level that is still the real thing: a step's own script by its command line,
the pipeline for the gate, the endpoint that is in service anyway for requests.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.localcloud.jobs_world import archive, until
from tests.seed_code.template_kit import BatchPipeline, Run, TemplateProject

DATA = ("missing columns", "wrong types", "empty file")
GATE, POISON, SIZE = "below the gate", "poisoned artifact", "oversized request"
WHAT = (*DATA, GATE, POISON, SIZE)
MOST_BYTES = 6 * 1024**2
"""Of a request. Source: InvokeEndpoint in SageMaker's API reference."""


@dataclass(frozen=True)
class BadData:
    """Records that nothing is made of.

    Attributes:
        content: Of the one file that is wrong.
        told: What the cause says.
        beside: Files that are right: name -> content.
    """

    content: str
    told: str
    beside: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Poison:
    """A file of a model that is a pickle instead, which runs a command when it is loaded.

    Attributes:
        file: Which one, in the archive of a version or in the base model.
        told: What the step that reads it says.
        base: Whether the base model has it, as what is trained here can only be as safe.
        served: What an endpoint says that is given such an archive. Empty where AWS's own image
            loads models, XGBoost's pickled ones too: there the evaluation alone is in the way.
    """

    file: str
    told: str
    base: bool = False
    served: str = ""


@dataclass(frozen=True)
class Refusals:
    """What a template refuses.

    Attributes:
        prepare: Command of the step that reads records, without its folders.
        sets: Those that it writes.
        file: Name of the file that is wrong, below the folder of records.
        data: Bad data by what it is, for each of :data:`DATA`.
        gate: Parameters of a run whose model is below the gate.
        gate_told: The cause that it fails with.
        poison: A poisoned artifact.
        size: A request that is no larger than an endpoint lets through, and that the model server
            refuses for its size; or a file to predict on.
        size_told: What it says.
        variables: Of the steps' environment.
    """

    prepare: tuple[str, ...]
    sets: tuple[str, ...]
    file: str
    data: Mapping[str, BadData]
    gate: Mapping[str, str]
    gate_told: str
    poison: Poison
    size: str
    size_told: str
    variables: Mapping[str, str] = field(default_factory=dict)


def _picture() -> bytes:
    """A PNG file of 16 times 16 pixels, all black."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        told = struct.pack(">I", len(content)) + kind + content
        return told + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress((b"\0" + bytes(3 * 16)) * 16)
    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


_ABALONE = (
    "sex,length,diameter,height,whole_weight,shucked_weight,viscera_weight,shell_weight,rings"
)
_ROW = "0,0,1,0.455,0.365,0.095,0.514,0.2245,0.101,0.15"
_XGBOOST = Refusals(
    prepare=("steps/preprocess.py",),
    sets=("train", "validation", "test"),
    file="part.csv",
    data={
        "missing columns": BadData("sex,length\nM,0.4\n", "part.csv has no column diameter"),
        "wrong types": BadData(
            f"{_ABALONE}\nM,long,0.36,0.09,0.5,0.22,0.1,0.15,9\n",
            "part.csv, length: not a number (row 1: 'long').",
        ),
        "empty file": BadData("", "part.csv is empty."),
    },
    gate={"RmseThreshold": "1.0"},
    gate_told="RMSE on the test set is above 1.0 rings",
    poison=Poison("xgboost-model", "Pickled models are not loaded: they can run code."),
    size=f"{_ROW},1\n",
    size_told="Feature size of inference data 11 is larger than that of the trained model 10",
)

REFUSALS: Mapping[str, Refusals] = {
    "xgboost-realtime": _XGBOOST,
    "abalone-pipeline": replace(
        _XGBOOST,
        gate={"MseThreshold": "1.0"},
        gate_told="MSE on the test set is above 1.0 squared rings",
    ),
    # Its training is that of the other, file for file: the data here are those to predict on.
    "xgboost-batch": replace(
        _XGBOOST,
        file="input/bad.csv",
        data={
            "missing columns": BadData("0,0,1,0.4\n", "line 1 has 4 columns, 10 are expected"),
            "wrong types": BadData(
                _ROW.replace("0.455", "long"),
                "line 1 has 'long' in column 4, which is no finite number",
            ),
            "empty file": BadData("", "has no rows"),
        },
        # A row of ten numbers, one of which alone would fill a request.
        size=f"{_ROW}{'0' * MOST_BYTES}\n",
        size_told="line 1 is not CSV: field larger than field limit",
    ),
    "byoc-realtime": replace(
        _XGBOOST,
        poison=Poison(
            "model.json",
            "models are numbers, nothing else is read",
            served="The model was refused: model.json is not JSON",
        ),
        size_told="expected 10 numbers a row; row 1 has 11",
        variables={"PYTHONPATH": "image"},
    ),
    "sentiment": Refusals(
        prepare=("steps/preprocess.py",),
        sets=("train", "validation", "test"),
        file="part.csv",
        data={
            "missing columns": BadData("text\nlovely\n", "part.csv has no column label"),
            "wrong types": BadData(
                "text,label\nlovely,great\n",
                "part.csv, label: expected negative, neutral, positive or 0 to 2 (row 1: 'great').",
            ),
            "empty file": BadData("", "part.csv is empty."),
        },
        gate={"MacroF1Threshold": "0.999"},
        gate_told="macro F1 is below 0.999",
        poison=Poison(
            "classifier.npz",
            "Pickled models are not loaded",
            served="Pickled models are not loaded",
        ),
        size='{"text": "lovely"}\n' * 1001,
        size_told="1001 texts: expected 1 to 1000",
    ),
    "llm-finetune": Refusals(
        prepare=("steps/prepare.py",),
        sets=("train", "validation", "test"),
        file="part.jsonl",
        data={
            "missing columns": BadData(
                '{"prompt": "a"}\n',
                "part.jsonl, line 1: has prompt, expected prompt and completion",
            ),
            "wrong types": BadData(
                '{"prompt": "a", "completion": 7}\n', "part.jsonl, line 1: completion is no text"
            ),
            "empty file": BadData("", "part.jsonl is empty."),
        },
        gate={"Epochs": "1", "LearningRate": "0.00000001"},
        gate_told="perplexity is above 0.8 times the base model's",
        poison=Poison(
            "model.safetensors",
            "model.safetensors is a pickle, which can run code",
            base=True,
            served="SafetensorError",
        ),
        size=json.dumps({"inputs": "word " * 400}),
        size_told="more than the model's 256",
    ),
    "diffusion-finetune": Refusals(
        prepare=("steps/prepare.py", "--prompt", "a shape", "--resolution", "16"),
        sets=("train", "test"),
        file="instance/metadata.jsonl",
        data={
            "missing columns": BadData(
                '{"file_name": "a.png"}\n',
                "metadata.jsonl, line 1: expected a prompt",
                {"instance/a.png": _picture()},
            ),
            "wrong types": BadData(
                "", "a.png is no picture that can be read", {"instance/a.png": b"a text"}
            ),
            "empty file": BadData(
                "", "a.png is no picture that can be read", {"instance/a.png": b""}
            ),
        },
        gate={"Steps": "1", "LearningRate": "0.00000001"},
        gate_told="Frechet distance above 0.1 or a DINO similarity below 0.75",
        poison=Poison(
            "unet/diffusion_pytorch_model.safetensors",
            "diffusion_pytorch_model.safetensors is a pickle, which can run code",
            base=True,
            served="Unable to load weights from checkpoint file",
        ),
        size=json.dumps({"inputs": "a shape", "parameters": {"num_images": 5}}),
        size_told="num_images is 5, expected a number from 1 to 4",
    ),
}
"""Template -> what it refuses."""


def refusals(template: str) -> pytest.MarkDecorator:
    """Marks the test of a template that takes ``what``: one case for each of :data:`WHAT`."""
    return pytest.mark.parametrize("what", WHAT, ids=[f"{template}: {what}" for what in WHAT])


@dataclass(frozen=True)
class Proof:
    """How a project of a template shows what it refuses.

    Attributes:
        team: The project.
        version: ARN of a version that it has registered.
        live: What serves that version.
        folder: An empty one.
        steps: Runs a script of the build repository; ``team.steps`` where it is not another's.
        run: Runs the pipeline; ``team.run`` where what came of it is not known already.
    """

    team: TemplateProject
    version: str
    live: str | BatchPipeline
    folder: Path
    steps: Callable[..., str]
    run: Callable[..., Run]

    @property
    def known(self) -> Refusals:
        """The template's row."""
        return REFUSALS[self.team.template]

    def data(self, what: str) -> None:
        """Bad records end the step that reads them with their reason; nothing is written."""
        bad = self.known.data[what]
        if isinstance(self.live, BatchPipeline):
            self._not_predicted(bad.content, f"{self.known.file} {bad.told}")
            return
        records, message = self.folder / "in", self.folder / "message"
        for name, content in {self.known.file: bad.content.encode(), **bad.beside}.items():
            file = records / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        sets = [part for name in self.known.sets for part in (f"--{name}", self.folder / name)]
        said = self._step(*self.known.prepare, "--input", records, "--message-file", message, *sets)
        assert bad.told in message.read_text("utf-8")
        assert "Traceback" not in said
        assert {path.name for path in self.folder.iterdir()} == {"in", "message"}

    def gate(self) -> None:
        """A model that is not good enough ends the run with the cause, and is not registered."""
        done = self.run(**self.known.gate)
        assert done.code == 1, done.output
        assert self.known.gate_told in done.output
        assert done.result["model_package"] in (None, "")

    def poison(self) -> None:
        """A pickle in place of a model's file is refused, and never loaded."""
        poison, ran = self.known.poison, self.folder / "ran"
        pickled = pickle.dumps(_Command(f"touch {ran}"))
        (container,) = self.team.package(self.version)["InferenceSpecification"]["Containers"]
        poisoned = _replaced(self.team.jobs.get(container["ModelDataUrl"]), poison.file, pickled)
        if poison.base:
            self._poisoned_base(pickled)
        else:
            (self.folder / "model.tar.gz").write_bytes(poisoned)
            said = self._step(
                "steps/evaluate.py", "--model", self.folder, "--test", self.folder,
                "--output", self.folder / "out",
            )  # fmt: skip
            assert poison.told in said
            assert not (self.folder / "out").exists()
        if poison.served:
            assert isinstance(self.live, str)
            self._not_served(self.live, container, poisoned)
        assert not ran.exists()

    def size(self) -> None:
        """A request that is too large is refused, by SageMaker or by the model server."""
        if isinstance(self.live, BatchPipeline):
            self._not_predicted(self.known.size, self.known.size_told)
            return
        for body, told in (
            (b"0" * (MOST_BYTES + 1), f"larger than {MOST_BYTES} bytes"),
            (self.known.size.encode(), self.known.size_told),
        ):
            with pytest.raises(ClientError) as refused:
                self._ask(self.live, body)
            assert told in str(refused.value)
        self._answers(self.live)

    def _step(self, *command: str | Path) -> str:
        return self.steps(*command, code=1, environment=dict(self.known.variables))

    def _ask(self, endpoint: str, body: bytes | str) -> bytes:
        samples = self._samples()
        return self.team.invoke(endpoint, body, samples["content_type"], samples["accept"])

    def _answers(self, endpoint: str) -> None:
        """What comes after a refusal is answered as before."""
        assert self._ask(endpoint, self._samples()["rows"][0])

    def _samples(self) -> dict[str, Any]:
        return json.loads((self.team.deploy / "integration_tests" / "samples.json").read_text())

    def _not_predicted(self, body: str, told: str) -> None:
        assert isinstance(self.live, BatchPipeline)
        ended = self.live.predict("input/bad.csv", body)
        assert ended["PipelineExecutionStatus"] == "Failed"
        assert "The input is refused, the cause is in s3://" in ended["FailureReason"]
        verdict = json.loads(self.live.left(ended, "check/verdict.json"))
        assert verdict["accepted"] == 0
        assert told in verdict["cause"]

    def _poisoned_base(self, pickled: bytes) -> None:
        """The training reads the base model, which is another under another URL."""
        base = self.team.build / "base-model"
        for path in sorted(path for path in base.rglob("*") if path.is_file()):
            name = path.relative_to(base).as_posix()
            poisoned = name == f"model/{self.known.poison.file}"
            self.team.put(f"poisoned/{name}", pickled if poisoned else path.read_bytes())
        url = self.team.put("poisoned/README.md", "Put here by a test.\n").rpartition("/")[0]
        done = self.team.run(BaseModelUrl=url)
        assert done.code == 1, done.output
        assert self.known.poison.told in done.output
        assert done.result["model_package"] in (None, "")

    def _not_served(self, endpoint: str, container: Mapping[str, Any], poisoned: bytes) -> None:
        """An update to it is taken back: the version that was there serves on."""
        sagemaker, name = self.team.jobs.sagemaker, f"{endpoint}-poisoned"
        sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.team.jobs.role,
            PrimaryContainer={
                "Image": container["Image"],
                "ModelDataUrl": self.team.put("poisoned/model.tar.gz", poisoned),
                "Environment": container.get("Environment", {}),
            },
            VpcConfig=self.team.jobs.vpc_config,
            EnableNetworkIsolation=True,
        )
        before = sagemaker.describe_endpoint(EndpointName=endpoint)["EndpointConfigName"]
        config = sagemaker.describe_endpoint_config(EndpointConfigName=before)
        (variant,) = config["ProductionVariants"]
        sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[{**variant, "ModelName": name}]
        )
        sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=name)
        said = until(
            lambda: sagemaker.describe_endpoint(EndpointName=endpoint),
            lambda said: said["EndpointStatus"] not in ("Updating", "RollingBack"),
            seconds=180,
        )
        assert (said["EndpointStatus"], said["EndpointConfigName"]) == ("InService", before)
        assert self.known.poison.served in said["FailureReason"]
        self._answers(endpoint)


class _Command:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (self._command,)


def _replaced(packed: bytes, name: str, content: bytes) -> bytes:
    """An archive with another content of one of its files."""
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as members:
        for member in members:
            opened = members.extractfile(member)
            if opened:
                files[member.name.removeprefix("./")] = opened.read()
    assert name in files, f"{name} is none of {', '.join(files)}"
    return archive({**files, name: content})


def prove(
    what: str,
    team: TemplateProject,
    version: str,
    live: str | BatchPipeline,
    folder: Path,
    *,
    steps: Callable[..., str] | None = None,
    run: Callable[..., Run] | None = None,
) -> None:
    """Shows one refusal.

    Args:
        what: One of :data:`WHAT`.
        team: The project.
        version: ARN of a version that it has registered.
        live: What serves that version: an endpoint, or a pipeline of batch predictions.
        folder: An empty one.
        steps: Runs a script of the build repository, where it is not ``team.steps``.
        run: Runs the pipeline, where it is not ``team.run``.
    """
    proof = Proof(team, version, live, folder, steps or team.steps, run or team.run)
    if what in DATA:
        proof.data(what)
    else:
        {GATE: proof.gate, POISON: proof.poison, SIZE: proof.size}[what]()
