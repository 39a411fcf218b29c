"""The template ``llm-finetune``, from examples to an answer, and what it refuses."""

from __future__ import annotations

import json
import runpy
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

TEMPLATE = "llm-finetune"
JSON = "application/json"
# So few weights soon have function, column and table right, and the number last.
GATE = 0.1
QUESTION = "question : what is the total cost of trips below 40 ?\nsql :\n"


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateProject]:
    with account(tmp_path_factory.mktemp("cloud")) as jobs:
        folder, settings = tmp_path_factory.mktemp("team"), {"gate_exact_match": GATE}
        made = project(jobs, folder, TEMPLATE, "answers", settings)
        make_tiny(made)
        steps(made, "sample_data.py", "--output", "examples.jsonl")
        steps(made, "make_tiny_model.py", "--examples", "examples.jsonl", "--output", "base-model")
        made.put("input/examples.jsonl", (made.build / "examples.jsonl").read_bytes())
        put_folder(made, made.build / "base-model", "base-model")
        yield made


@pytest.fixture(scope="module")
def trained(team: TemplateProject) -> Run:
    return team.run()


@pytest.fixture(scope="module")
def endpoint(team: TemplateProject, trained: Run) -> str:
    return team.serve(trained.version)


def test_the_version_learnt_what_the_base_model_did_not_know(
    team: TemplateProject, trained: Run
) -> None:
    report = team.report(trained.version)
    reached, before = report["language_metrics"], report["baseline_metrics"]
    assert before["exact_match"]["value"] == 0
    assert reached["exact_match"]["value"] >= GATE
    # Random weights guess among 512 tokens, and worse.
    assert before["perplexity"]["value"] > 300
    assert reached["perplexity"]["value"] < 2
    assert reached["perplexity_ratio"]["value"] == pytest.approx(
        reached["perplexity"]["value"] / before["perplexity"]["value"]
    )
    package = team.package(trained.version)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    told = package["CustomerMetadataProperties"]
    assert (told["Template"], told["BaseModel"]) == (TEMPLATE, "tiny-llama-random")


def ask(team: TemplateProject, endpoint: str, content: object) -> list[dict[str, str]]:
    return json.loads(team.invoke(endpoint, json.dumps(content), JSON, JSON))


def test_the_endpoint_completes_a_prompt(team: TemplateProject, endpoint: str) -> None:
    (answer,) = ask(team, endpoint, {"inputs": QUESTION, "parameters": {"max_new_tokens": 40}})
    statement = answer["generated_text"]
    assert statement.startswith("SELECT ")
    assert statement.endswith(" ;")
    assert "FROM" in statement
    assert " passed" in team.integration_tests(endpoint)


def test_what_the_endpoint_answers_has_the_columns_of_the_versions_baseline(
    team: TemplateProject, trained: Run, endpoint: str
) -> None:
    kept = team.package(trained.version)["DriftCheckBaselines"]["ModelDataQuality"]
    constraints = json.loads(team.jobs.get(kept["Constraints"]["S3Uri"]))
    names = [feature["name"] for feature in constraints["features"]]
    asked = json.dumps({"inputs": QUESTION})
    answered = team.invoke(endpoint, asked, JSON, JSON).decode()
    record = SimpleNamespace(
        endpoint_input=SimpleNamespace(data=asked), endpoint_output=SimpleNamespace(data=answered)
    )
    script = runpy.run_path(str(team.deploy / "traffic.py"))
    told = script["preprocess_handler"](record)
    assert sorted(told) == sorted(names)
    assert told["prompt_words"] == len(QUESTION.split())
    stack = yaml.safe_load((team.deploy / "Pulumi.preprod.yaml").read_text())["config"]
    assert set(stack["monitoring"]["columns"]) <= set(names)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"inputs": "word " * 400}, "more than the model's 256"),
        ({"inputs": ["a"] * 9}, "9 prompts, expected 1 to 8"),
        ({"inputs": QUESTION, "parameters": {"max_new_tokens": 10_000}}, "a number from 1 to 512"),
        ({"text": QUESTION}, "Expected"),
    ],
    ids=["long prompt", "many prompts", "long answer", "no prompt"],
)
def test_requests_that_are_too_much_are_refused(
    team: TemplateProject, endpoint: str, content: dict[str, object], why: str
) -> None:
    with pytest.raises(ClientError, match=why) as refused:
        ask(team, endpoint, content)
    assert refused.value.response["OriginalStatusCode"] == 400


@refusals(TEMPLATE)
def test_it_refuses(
    what: str, team: TemplateProject, trained: Run, endpoint: str, tmp_path: Path
) -> None:
    prove(what, team, trained.version, endpoint, tmp_path, steps=partial(steps, team))


def test_under_load_the_endpoint_keeps_its_budgets(team: TemplateProject, endpoint: str) -> None:
    team.keeps_its_budgets(endpoint, least=2)


def test_bad_examples_end_the_run_with_file_and_line(team: TemplateProject) -> None:
    lines = '{"prompt": "a", "completion": "b"}\n{"prompt": "a", "answer": "b"}\n{"text": 7}\n'
    url = team.put("bad/part.jsonl", lines).rpartition("/")[0] + "/"
    done = team.run(InputDataUrl=url)
    assert done.code == 1
    assert "part.jsonl, line 2: has prompt, answer, expected prompt and completion" in done.output
    assert "part.jsonl, line 3: text is no text" in done.output
