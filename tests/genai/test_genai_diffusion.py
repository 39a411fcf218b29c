"""The template ``diffusion-finetune``, from pictures to a picture, and what it refuses."""

from __future__ import annotations

import base64
import io
import json
import runpy
import statistics
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.genai.genai_kit import make_tiny, put_folder, steps
from tests.seed_code.template_kit import Run, TemplateProject, account, project
from tests.seed_code.template_refusals import prove, refusals

TEMPLATE = "diffusion-finetune"
JSON, PNG = "application/json", "image/png"
PROMPT = "a photo of sks shape"
# The base model of this test is below the similarity, and what it is taught above it. Of sixteen
# pictures the distance of features of random weights only tells noise apart.
GATE = {"gate_fid": 0.1, "gate_dino_similarity": 0.75}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateProject]:
    with account(tmp_path_factory.mktemp("cloud")) as jobs:
        made = project(jobs, tmp_path_factory.mktemp("team"), TEMPLATE, "pictures", GATE)
        make_tiny(made)
        steps(made, "sample_data.py", "--output", "pictures", "--side", "16")
        steps(made, "make_tiny_model.py", "--output", "base-model")
        put_folder(made, made.build / "pictures", "input")
        put_folder(made, made.build / "base-model", "base-model")
        yield made


@pytest.fixture(scope="module")
def trained(team: TemplateProject) -> Run:
    return team.run()


@pytest.fixture(scope="module")
def endpoint(team: TemplateProject, trained: Run) -> str:
    return team.serve(trained.version)


def test_the_version_draws_the_subject_and_the_base_model_does_not(
    team: TemplateProject, trained: Run
) -> None:
    report = team.report(trained.version)
    reached, before = report["image_metrics"], report["baseline_metrics"]
    assert reached["fid"]["value"] <= GATE["gate_fid"]
    assert (
        before["dino_similarity"]["value"]
        < GATE["gate_dino_similarity"]
        <= reached["dino_similarity"]["value"]
    )
    package = team.package(trained.version)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    told = package["CustomerMetadataProperties"]
    assert (told["Template"], told["BaseModel"]) == (TEMPLATE, "tiny-stable-diffusion")


def request(**parameters: object) -> str:
    """The body of a request."""
    given = {"num_inference_steps": 10, **parameters}
    return json.dumps({"inputs": PROMPT, "parameters": given})


def ask(team: TemplateProject, endpoint: str, accept: str = JSON, **parameters: object) -> bytes:
    return team.invoke(endpoint, request(**parameters), JSON, accept)


def first_row(picture: bytes) -> bytes:
    """The filtered bytes of a PNG file's first row, which its compressed data begin with."""
    start = picture.index(b"IDAT") + 4
    return zlib.decompressobj().decompress(picture[start:])[:49]


def test_the_endpoint_draws_a_picture(team: TemplateProject, endpoint: str) -> None:
    picture = ask(team, endpoint, PNG, seed=3)
    assert picture.startswith(b"\x89PNG")
    assert len(first_row(picture)) == 1 + 3 * 16
    (same,) = json.loads(ask(team, endpoint, seed=3))["images"]
    assert base64.b64decode(same) == picture
    assert " passed" in team.integration_tests(endpoint)


def test_prompts_that_are_asked_have_the_columns_of_the_versions_baseline(
    team: TemplateProject, trained: Run, endpoint: str
) -> None:
    kept = team.package(trained.version)["DriftCheckBaselines"]["ModelDataQuality"]
    told, rules = (
        {item["name"]: item for item in json.loads(team.jobs.get(kept[part]["S3Uri"]))["features"]}
        for part in ("Statistics", "Constraints")
    )
    config = yaml.safe_load((team.build / "config.yaml").read_text())
    lengths = [len(prompt) for prompt in config["evaluation"]["prompts"]]
    counted = told["prompt_characters"]["numerical_statistics"]
    assert counted["common"]["num_present"] == len(lengths)
    assert counted["mean"] == pytest.approx(statistics.mean(lengths))
    assert counted["std_dev"] == pytest.approx(statistics.pstdev(lengths))
    # What the endpoint is really asked, whatever it answers with.
    handler = runpy.run_path(str(team.deploy / "traffic.py"))["preprocess_handler"]
    for accept in (JSON, PNG):
        record = SimpleNamespace(
            endpoint_input=SimpleNamespace(data=request()),
            endpoint_output=SimpleNamespace(data=team.invoke(endpoint, request(), JSON, accept)),
        )
        seen = handler(record)
        assert set(seen) == set(told) == set(rules)
        assert seen["prompt_words"] == len(PROMPT.split())
    stack = yaml.safe_load((team.deploy / "Pulumi.preprod.yaml").read_text())["config"]
    assert set(stack["monitoring"]["columns"]) <= set(told)
    assert "schedule" not in stack["monitoring"], "it is off until a team turns it on"


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"num_images": 5}, "num_images is 5, expected a number from 1 to 4"),
        ({"height": 100_000}, "There is no parameter height"),
        ({"negative_prompt": "x" * 2001}, "negative_prompt is no text of 1 to 2000"),
    ],
    ids=["many pictures", "large picture", "long prompt"],
)
def test_requests_that_are_too_much_are_refused(
    team: TemplateProject, endpoint: str, parameters: dict[str, object], why: str
) -> None:
    with pytest.raises(ClientError, match=why) as refused:
        ask(team, endpoint, **parameters)
    assert refused.value.response["OriginalStatusCode"] == 400


@refusals(TEMPLATE)
def test_it_refuses(
    what: str, team: TemplateProject, trained: Run, endpoint: str, tmp_path: Path
) -> None:
    prove(what, team, trained.version, endpoint, tmp_path, steps=partial(steps, team))


def test_under_load_the_endpoint_keeps_its_budgets(team: TemplateProject, endpoint: str) -> None:
    team.keeps_its_budgets(endpoint, least=2)


WITHOUT_POOLING = """
import sys
from pathlib import Path

sys.path.insert(0, "steps")
import numpy as np
import torch
from evaluate import Eye
from PIL import Image
from safetensors.torch import load_file, save_file
from stepkit import RefusedError
from transformers import ViTConfig, ViTModel

folder = Path(sys.argv[1])
config = ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
                   intermediate_size=32, image_size=16, patch_size=8)
network = ViTModel(config, add_pooling_layer=False).eval()
network.save_pretrained(str(folder))
picture = Image.effect_noise((16, 16), 80).convert("RGB")
seen = [Eye(folder, torch.device("cpu")).features([picture]) for _ in range(2)]
values = (np.asarray(picture, dtype=np.float32) / 255 - (0.485, 0.456, 0.406)) / (
    0.229, 0.224, 0.225)
given = torch.from_numpy(values.astype(np.float32)).permute(2, 0, 1)[None]
with torch.no_grad():
    first = network(pixel_values=given).last_hidden_state[:, 0].numpy()
for row in seen:
    np.testing.assert_allclose(row, first, rtol=1e-4, atol=1e-5)
weights = load_file(folder / "model.safetensors")
del weights["layernorm.weight"]
save_file(weights, folder / "model.safetensors", {"format": "pt"})
try:
    Eye(folder, torch.device("cpu"))
except RefusedError as refused:
    print(refused)
"""


def test_a_network_without_a_pooling_layer_gives_its_first_token(
    team: TemplateProject, tmp_path: Path
) -> None:
    script = tmp_path / "without_pooling.py"
    script.write_text(WITHOUT_POOLING)
    told = steps(team, script, tmp_path / "dino")
    assert "dino lacks 1 of its weights: layernorm.weight" in told


def test_bad_pictures_end_the_run_with_their_names(team: TemplateProject) -> None:
    buffer = io.BytesIO((team.build / "pictures" / "instance" / "00000.png").read_bytes())
    team.put("bad/instance/half.png", buffer.getvalue()[: len(buffer.getvalue()) // 2])
    team.put("bad/instance/page.html", "<p>no picture</p>")
    url = team.put("bad/README.md", "Put here by a test.\n").rpartition("/")[0] + "/"
    done = team.run(InputDataUrl=url)
    assert done.code == 1
    assert "half.png is no picture that can be read" in done.output
    assert "page.html is no PNG, JPEG or WebP" in done.output
