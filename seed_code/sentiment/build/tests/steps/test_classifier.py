from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import evaluate
import inference
import numpy as np
import pandas as pd
import pytest
import train
from classifier import FILES, NUMBERS, SETTINGS, Classifier, Features, ModelError
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import sample_data

ROWS = list(sample_data.records(600, 1))
TEXTS, LABELS = [text for text, _ in ROWS], [label for _, label in ROWS]


@pytest.fixture(scope="module")
def model() -> Classifier:
    return Classifier.fit(TEXTS, LABELS, Features(2, 14), 5.0)


@pytest.fixture(scope="module")
def saved(model: Classifier, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("model")
    model.save(folder)
    return {name: (folder / name).read_bytes() for name in FILES}


def test_what_was_saved_answers_as_scikit_learns_own_pipeline(saved: dict[str, bytes]) -> None:
    oracle = make_pipeline(
        HashingVectorizer(n_features=2**14, ngram_range=(1, 2), alternate_sign=False, norm=None),
        TfidfTransformer(),
        LogisticRegression(C=5.0, max_iter=300),
    ).fit(TEXTS, LABELS)
    held = [text for text, _ in sample_data.records(200, 2)] + ["?!", "not", "entirely new words"]
    scores = Classifier.read(saved).scores(held)
    np.testing.assert_allclose(scores, oracle.predict_proba(held), atol=1e-9)
    np.testing.assert_allclose(scores.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({NUMBERS: b"\x80\x04\x95cos\nsystem\n"}, "Pickled models are not loaded"),
        ({NUMBERS: b"PK\x03\x04rest"}, "does not hold a model's numbers"),
        ({SETTINGS: b"{}"}, "does not hold a model's settings"),
        ({SETTINGS: b'{"ngrams": 2, "buckets": 15, "labels": '
          b'["negative", "neutral", "positive"]}'}, r"expected finite numbers"),
        ({SETTINGS: b'{"ngrams": 2, "buckets": 14, "labels": ["no", "yes"]}'}, "The model knows"),
        ({SETTINGS: b'{"ngrams": 2, "buckets": 60, "labels": []}'}, "settings"),
    ],
)  # fmt: skip
def test_what_is_no_model_is_refused(
    saved: dict[str, bytes], change: dict[str, bytes], told: str
) -> None:
    with pytest.raises(ModelError, match=told):
        Classifier.read({**saved, **change})


def test_an_archive_that_unpacks_to_too_much_is_refused(saved: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rarity=np.zeros(10**7))
    assert len(buffer.getvalue()) < 10**5
    with pytest.raises(ModelError, match="80000"):
        Classifier.read({**saved, NUMBERS: buffer.getvalue()})


def test_objects_inside_of_the_arrays_are_refused(saved: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    wicked = np.array([{"any": "object"}], dtype=object)
    np.savez(buffer, rarity=wicked, weights=wicked, biases=wicked)
    with pytest.raises(ModelError, match="does not hold a model's numbers"):
        Classifier.read({**saved, NUMBERS: buffer.getvalue()})


def test_all_labels_must_occur() -> None:
    with pytest.raises(ModelError, match="expected 0, 1 and 2"):
        Classifier.fit(["a", "b"], [0, 2], Features(1, 8), 1.0)


def test_training_leaves_a_model_that_serves_and_prints_its_objective(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seed in (("train", 1), ("validation", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.csv").write_text(sample_numbers(400, seed))
    given = ["--train", str(tmp_path / "train"), "--validation", str(tmp_path / "validation"),
             "--model", str(tmp_path / "model"), "--buckets", "12"]  # fmt: skip
    assert train.main(given) == 0
    assert train.OBJECTIVE + "=0." in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "model" / "code").iterdir()} == {
        "inference.py", "classifier.py"
    }  # fmt: skip
    served = inference.model_fn(str(tmp_path / "model"))
    [answer] = inference.predict_fn(["today the soup was lovely for us"], served)
    assert answer["label"] == "positive"


def test_wrong_hyperparameters_are_told_where_sagemaker_looks(tmp_path: Path) -> None:
    failure = tmp_path / "failure"
    assert train.main(["--ngrams", "9", "--failure-file", str(failure)]) == 1
    assert "ngrams 9 and buckets 16: expected 1 to 3 and 8 to 20" in failure.read_text()


def sample_numbers(rows: int, seed: int) -> str:
    lines = [f'"{text}",{label}' for text, label in sample_data.records(rows, seed)]
    return "\n".join(["text,label", *lines]) + "\n"


# -- evaluation ------------------------------------------------------------------------------------


def packed(folder: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder


def test_the_metrics_are_those_of_the_confusion_matrix() -> None:
    report = evaluate.measure([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 0])
    found = report["multiclass_classification_metrics"]
    assert found["accuracy"]["value"] == pytest.approx(4 / 6)
    assert found["accuracy_best_constant_classifier"]["value"] == pytest.approx(3 / 6)
    assert found["lift"]["value"] == pytest.approx(1 / 6)
    # By hand: F1 of negative 2/4, of neutral 2/3, of positive 4/5.
    assert found["macro_f1"]["value"] == pytest.approx((2 / 4 + 2 / 3 + 4 / 5) / 3)
    assert found["confusion_matrix"]["positive"] == {"negative": 1, "neutral": 0, "positive": 2}


def test_evaluation_reads_the_archive_in_memory_and_runs_none_of_it(
    saved: dict[str, bytes], tmp_path: Path
) -> None:
    wicked = {**saved, "code/inference.py": b"raise SystemExit(1)", "../escape": b"x"}
    packed(tmp_path, wicked)
    (tmp_path / "test.csv").write_text(sample_numbers(300, 5))
    report = evaluate.run(tmp_path, tmp_path, tmp_path / "out", 100)
    assert report["dataset"]["rows"]["value"] == 300
    assert report == json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert not (tmp_path.parent / "escape").exists()


@pytest.mark.parametrize(
    ("rows", "told"), [("text,label\nfine,2\n", "1 rows"), ("text,label\nfine,7\n", "labels")]
)
def test_a_test_set_that_means_nothing_is_refused(
    saved: dict[str, bytes], tmp_path: Path, rows: str, told: str
) -> None:
    packed(tmp_path, saved)
    (tmp_path / "test.csv").write_text(rows)
    with pytest.raises(evaluate.RefusedError, match=told):
        evaluate.run(tmp_path, tmp_path, tmp_path / "out", 100)


def test_a_poisoned_archive_is_refused_and_nothing_is_written(
    saved: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed(tmp_path, {**saved, NUMBERS: b"\x80\x04\x95cos\nsystem\n"})
    (tmp_path / "test.csv").write_text(sample_numbers(100, 5))
    given = [f"--{name}={tmp_path}" for name in ("model", "test")]
    assert evaluate.main([*given, f"--output={tmp_path / 'out'}"]) == 1
    assert "Pickled models are not loaded" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_attributions_of_a_text_add_up_to_its_distance_from_the_mean(model: Classifier) -> None:
    known, asked = TEXTS[:200], ["the soup was not bad", "?!"]
    used, values = evaluate.attributions(model, asked, known)
    linear = [model.weighted(texts) @ model.weights.T + model.biases for texts in (known, asked)]
    apart = linear[1] - linear[0].mean(axis=0)
    assert values.shape == (3, 2, len(used))
    np.testing.assert_allclose(values.sum(axis=2), apart.T, atol=1e-9)


def test_the_words_that_tell_a_label_count_most_for_it(model: Classifier) -> None:
    told = evaluate.explain(model, TEXTS[:300], TEXTS)["explanations"]["kernel_shap"]
    assert set(told) == {"label0", "label1", "label2"}
    for label, wanted in (("label0", sample_data.BAD), ("label2", sample_data.GOOD)):
        values = told[label]["global_shap_values"]
        assert list(values.values()) == sorted(values.values(), reverse=True)
        assert len(set(wanted) & set(list(values)[:20])) >= 3


def test_baselines_are_of_what_the_endpoint_would_have_said(
    saved: dict[str, bytes], model: Classifier, tmp_path: Path
) -> None:
    packed(tmp_path, saved)
    for name, seed in (("train", 7), ("test", 8)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.csv").write_text(sample_numbers(150, seed))
    given = [
        "--model",
        str(tmp_path),
        "--output",
        str(tmp_path / "evaluation"),
        "--message-file",
        str(tmp_path / "none" / "message"),
        "--baselines",
        str(tmp_path),
    ]
    for name in ("train", "test"):
        given += [f"--{name}", str(tmp_path / name)]
    assert evaluate.main(given) == 0
    rows = list(sample_data.records(150, 7))
    traffic = pd.read_csv(tmp_path / "traffic" / "traffic.csv")
    assert list(traffic.columns) == ["prediction", "characters", "words"]
    guessed = model.scores([text for text, _ in rows]).argmax(axis=1)
    assert list(traffic["prediction"]) == list(guessed)
    records = pd.read_csv(tmp_path / "records" / "records.csv", header=None)
    assert records.values.tolist() == [
        [label, len(text), len(text.split())] for text, label in rows
    ]
    compared = pd.read_csv(tmp_path / "compared" / "compared.csv")
    report = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    accuracy = report["multiclass_classification_metrics"]["accuracy"]["value"]
    assert (compared["label"] == compared["prediction"]).mean() == pytest.approx(accuracy)


# -- the endpoint ----------------------------------------------------------------------------------


def test_requests_and_answers_have_the_documented_forms(model: Classifier) -> None:
    texts = inference.input_fn('{"texts": ["a soup", "b"]}', "application/json")
    assert texts == ["a soup", "b"]
    lines = inference.input_fn(b'{"text": "a"}\n\n{"text": "b"}\n', "application/jsonlines")
    assert lines == ["a", "b"]
    answers = inference.predict_fn(texts, model)
    body, kind = inference.output_fn(answers, "application/json")
    assert kind == "application/json"
    assert [one["class"] for one in json.loads(body)["predictions"]] == [
        int(n) for n in model.scores(texts).argmax(axis=1)
    ]
    numbers, _ = inference.output_fn(answers, "text/csv")
    assert numbers == "\n".join(str(one["class"]) for one in answers)
    assert len(inference.output_fn(answers, "application/jsonlines")[0].splitlines()) == 2


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"text": ""}', "application/json"),
        ('{"text": 5}', "application/json"),
        ('{"texts": []}', "application/json"),
        ('{"words": "a"}', "application/json"),
        ('["a"]', "application/json"),
        ("not json", "application/json"),
        (json.dumps({"text": "x" * 2001}), "application/json"),
        (json.dumps({"texts": ["x"] * 1001}), "application/json"),
        ("a,b", "text/csv"),
        (b"\xff", "application/json"),
    ],
)
def test_other_requests_are_refused(body: str | bytes, kind: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        inference.input_fn(body, kind)


def test_other_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="image/png"):
        inference.output_fn([], "image/png")
