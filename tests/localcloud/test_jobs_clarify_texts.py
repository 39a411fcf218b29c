"""Clarify explains texts: what each of their parts adds to the answer of a model that is asked."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.localcloud.jobs_world import BUCKET, SKLEARN, TRUST, World, archive, job_policy, world
from tests.localcloud.monitoring_world import CLARIFY, SHADOW, make_ways

BIAS = 0.25
WEIGHTS = {"good": 2.0, "bad": -3.0, "soup": 0.5, "UNK": 0.125, "!": 1.0}
TOGETHER = -4.0
"""What is added where a text has both ``not`` and ``fine``."""
# A linear model of counted words, but for one pair of them.
PROGRAM = f"""
import csv, json, re

WEIGHTS = {WEIGHTS!r}

def model_fn(folder):
    return WEIGHTS

def transform_fn(model, data, content_type, accept):
    assert content_type == accept, (content_type, accept)
    told = []
    csvs = content_type == "text/csv"
    given = [row[0] for row in csv.reader(data.splitlines())] if csvs else json.loads(data)["texts"]
    for text in given:
        words = re.findall(r"\\w+|[^\\w\\s]", text)
        score = {BIAS} + sum(model.get(word, 0.0) for word in words)
        told.append(score + {TOGETHER} * ("not" in words and "fine" in words))
    if csvs:
        return "".join(f"7,{{score!r}}\\n" for score in told), accept
    answers = [{{"scores": {{"good": score}}}} for score in told]
    return json.dumps({{"predictions": answers}}), accept
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("texts")) as made:
        make_ways(made)
        made.cloud.role("clarify", *job_policy(made.key), dict(SHADOW), trust=TRUST)
        made.sagemaker.create_model(
            ModelName="words",
            ExecutionRoleArn=made.role,
            PrimaryContainer={
                "Image": SKLEARN,
                "ModelDataUrl": made.put(
                    "artifacts/words.tar.gz", archive({"code/words.py": PROGRAM.encode()})
                ),
                "Environment": {"SAGEMAKER_PROGRAM": "words.py"},
            },
            VpcConfig=made.vpc_config,
        )
        yield made


def explained(
    jobs: World,
    name: str,
    rows: list[list[str]],
    *,
    isolated: bool = False,
    predictor: dict[str, Any] | None = None,
    **shap: Any,
) -> dict[str, Any]:
    """The job that explains texts, once it has ended."""
    config = {
        "dataset_type": "text/csv",
        "headers": ["text"],
        "methods": {
            "shap": {
                "agg_method": "mean_abs",
                "save_local_shap_values": True,
                "text_config": {"granularity": "token", "language": "english"},
                **shap,
            },
            "report": {"name": "report", "title": "Texts"},
        },
        "predictor": {
            "model_name": "words", "instance_type": "ml.m5.large", "initial_instance_count": 1,
            "content_type": "text/csv", "accept_type": "text/csv", "label": 1,
            "label_headers": ["score"], **(predictor or {}),
        },
    }  # fmt: skip
    table = io.StringIO()
    csv.writer(table).writerows(rows)
    inputs = {
        "config": jobs.put(f"{name}/config/analysis_config.json", json.dumps(config)),
        "data": jobs.put(f"{name}/data/texts.csv", table.getvalue()),
    }
    jobs.sagemaker.create_processing_job(
        ProcessingJobName=name,
        RoleArn=jobs.role.replace("role/jobs", "role/clarify"),
        AppSpecification={"ImageUri": CLARIFY},
        ProcessingResources={
            "ClusterConfig": {
                "InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 10,
            }
        },
        ProcessingInputs=[
            {
                "InputName": {"config": "analysis_config", "data": "dataset"}[part],
                "S3Input": {
                    "S3Uri": uri, "LocalPath": f"/opt/ml/processing/input/{part}",
                    "S3DataType": "S3Prefix", "S3InputMode": "File",
                },
            }
            for part, uri in inputs.items()
        ],
        ProcessingOutputConfig={
            "KmsKeyId": jobs.key,
            "Outputs": [
                {
                    "OutputName": "analysis_result",
                    "S3Output": {
                        "S3Uri": f"s3://{BUCKET}/{name}/out",
                        "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob",
                    },
                }
            ],
        },
        NetworkConfig={"VpcConfig": jobs.vpc_config, "EnableNetworkIsolation": isolated},
    )  # fmt: skip
    return jobs.wait_processing(name)


Parts = list[tuple[str, int, float]]


def parts(jobs: World, name: str) -> list[Parts]:
    """Of each text its parts, where they begin, and what they add."""
    lines = jobs.get(f"s3://{BUCKET}/{name}/out/explanations_shap/out.jsonl").decode()
    told: list[Parts] = []
    for line in lines.splitlines():
        [feature] = json.loads(line)["explanations"]
        assert (feature["feature_name"], feature["data_type"]) == ("text", "free_text")
        told.append(
            [
                (
                    item["description"]["partial_text"],
                    item["description"]["start_idx"],
                    *item["attribution"],
                )
                for item in feature["attributions"]
            ]
        )
    return told


def overall(jobs: World, name: str) -> dict[str, Any]:
    told = json.loads(jobs.get(f"s3://{BUCKET}/{name}/out/analysis.json"))
    return told["explanations"]["kernel_shap"]


def test_a_words_part_is_its_weight_and_a_pairs_is_shared(jobs: World) -> None:
    texts = ["good soup, no bad one!", "not that fine", 'a "good", good day']
    job = explained(jobs, "exact", [[text] for text in texts])
    assert job["ProcessingJobStatus"] == "Completed", job
    found = parts(jobs, "exact")
    for text, told in zip(texts, found, strict=True):
        assert "".join(part for part, _, _ in told) == text.replace(" ", "")
        assert all(text[start:].startswith(part) for part, start, _ in told)
    pair = {"not": TOGETHER / 2, "fine": TOGETHER / 2}
    for part, _, value in [item for told in found for item in told]:
        assert value == pytest.approx({**WEIGHTS, **pair}.get(part, 0.0), abs=1e-6), part
    # No part of a text is like another's: the global value is of whole texts.
    wholes = [abs(2 + 0.5 - 3 + 1), abs(TOGETHER), 2 + 2]
    [(label, told)] = overall(jobs, "exact").items()
    assert label == "score"
    assert told["global_shap_values"] == {"text": pytest.approx(sum(wholes) / 3)}
    assert told["expected_value"] == pytest.approx(BIAS)
    # What asked the model is gone.
    assert jobs.sagemaker.list_endpoints()["Endpoints"] == []


def test_of_a_long_text_samples_of_what_is_kept_tell_the_same(jobs: World) -> None:
    text = "good soup " + "some other words that say nothing at all of it " * 2 + "bad !"
    job = explained(jobs, "sampled", [[text]], num_samples=400, baseline=[["UNK"]])
    assert job["ProcessingJobStatus"] == "Completed", job
    [told] = parts(jobs, "sampled")
    # Of 24 parts there are more choices than were asked about.
    assert len(told) == 24
    for part, _, value in told:
        # What takes its place has a weight too.
        assert value == pytest.approx(WEIGHTS.get(part, 0.0) - WEIGHTS["UNK"], abs=1e-6), part


def test_sentences_are_parts_as_well(jobs: World) -> None:
    sentences = {"granularity": "sentence", "language": "english"}
    job = explained(
        jobs, "sentences", [["The soup was good. The rest was bad!"]], text_config=sentences
    )
    assert job["ProcessingJobStatus"] == "Completed", job
    [told] = parts(jobs, "sentences")
    assert told == [
        ("The soup was good.", 0, pytest.approx(2.5)),
        ("The rest was bad!", 19, pytest.approx(-2.0)),
    ]


AS_JSON = {
    "content_type": "application/json", "accept_type": "application/json",
    "content_template": '{"texts": $records}', "record_template": '"${text}"',
    "label": "predictions[*].scores.good",
}  # fmt: skip


def test_a_model_of_json_is_asked_by_the_templates(jobs: World) -> None:
    text = 'good "soup",\nbad'
    job = explained(jobs, "json", [[text]], predictor=AS_JSON)
    assert job["ProcessingJobStatus"] == "Completed", job
    [told] = parts(jobs, "json")
    assert {part: value for part, _, value in told} == pytest.approx(
        {"good": 2.0, '"': 0.0, "soup": 0.5, ",": 0.0, "bad": -3.0}, abs=1e-6
    )


@pytest.mark.parametrize(
    ("rows", "given", "told"),
    [
        ([["good", "day"]], {}, "explains one text a record"),
        ([["  "]], {}, "Record 1 has no token to explain"),
        (
            [["good"]],
            {"text_config": {"granularity": "letter", "language": "english"}},
            "granularity is one of token, sentence, paragraph",
        ),
        ([["good"]], {"isolated": True}, "it runs with network isolation"),
        ([["good"]], {"predictor": {**AS_JSON, "label": "nothing"}}, "no number a record"),
        ([["good"]], {"predictor": {**AS_JSON, "accept_type": "text/csv"}}, "are both"),
        (
            [["good"]],
            {"predictor": {**AS_JSON, "content_template": "{}"}},
            "needs content_template",
        ),
        ([["good"]], {"predictor": {"label": "score"}}, "no place in a line"),
    ],
    ids=["columns", "nothing", "granularity", "isolated", "path", "kinds", "template", "place"],
)
def test_what_cannot_be_explained_is_told(
    jobs: World,
    request: pytest.FixtureRequest,
    rows: list[list[str]],
    given: dict[str, Any],
    told: str,
) -> None:
    job = explained(jobs, f"refused-{request.node.callspec.id}", rows, **given)
    assert job["ProcessingJobStatus"] == "Failed"
    assert told in job["ExitMessage"]
    assert jobs.sagemaker.list_endpoints()["Endpoints"] == []
