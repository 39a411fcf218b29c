"""The template ``sentiment``, from texts to an answer, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from tests.localcloud.emulators import REGION
from tests.localcloud.kit import until
from tests.localcloud.monitoring_world import make_ways
from tests.seed_code.build_repository import run
from tests.seed_code.template_kit import (
    WITHOUT_OUR_OPTIONS,
    ImageBuilder,
    Run,
    TemplateProject,
    account,
    notebook_is_thin,
    project,
)
from tests.seed_code.template_refusals import prove, refusals

TEMPLATE = "sentiment"
ROWS = 2000
JOBS = 2
METRICS = "multiclass_classification_metrics"
ORACLE = '''
"""Counted words and pairs with a vocabulary, and a logistic regression; and words alone."""
import json, sys
from pathlib import Path
import pandas
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

sys.path.insert(0, sys.argv[1])
from steps import preprocess

found = preprocess.read_records(Path(sys.argv[2]))
sets = preprocess.split(found, (0.7, 0.15, 0.15), 20)
train, test = (found[sets == name] for name in ("train", "test"))
told = {}
for name, words in (("pairs", 2), ("words", 1)):
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, words)), LogisticRegression(C=10))
    guessed = model.fit(train["text"], train["label"]).predict(test["text"])
    told[name] = {"accuracy": accuracy_score(test["label"], guessed),
                  "macro_f1": f1_score(test["label"], guessed, average="macro")}
told["rows"] = len(test)
told["constant"] = float(test["label"].value_counts(normalize=True).max())
print(json.dumps(told))
'''


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemplateProject]:
    with account(tmp_path_factory.mktemp("cloud")) as jobs:
        folder, settings = tmp_path_factory.mktemp("team"), {"tuning_jobs": JOBS}
        made = project(jobs, folder, TEMPLATE, "reviews", settings)
        config = made.build / "config.yaml"
        text = config.read_text("utf-8")
        assert "sets: [train, validation, test] #" in text
        # A record takes a call: those of one set tell as much.
        config.write_text(text.replace("sets: [train, validation, test] #", "sets: [test] #"))
        made.steps("sample_data.py", "--rows", str(ROWS), "--output", "reviews.csv")
        made.put("input/reviews.csv", (made.build / "reviews.csv").read_bytes())
        yield made


@pytest.fixture(scope="module")
def trained(team: TemplateProject, results: dict[str, Any]) -> Run:
    """The run of the last notebook, which is the command that CI uses."""
    result = json.loads((team.build / "result.json").read_text())
    return Run(results["09"]["code"], str(results["09"]), result)


@pytest.fixture(scope="module")
def endpoint(team: TemplateProject, trained: Run) -> str:
    return team.serve(trained.version)


def tunings(team: TemplateProject) -> list[dict[str, Any]]:
    """All tuning jobs, the newest first."""
    sagemaker = team.jobs.sagemaker
    found = sagemaker.list_hyper_parameter_tuning_jobs(
        SortBy="CreationTime", SortOrder="Descending"
    )
    return [
        sagemaker.describe_hyper_parameter_tuning_job(
            HyperParameterTuningJobName=item["HyperParameterTuningJobName"]
        )
        for item in found["HyperParameterTuningJobSummaries"]
    ]


def value(report: dict[str, Any], metric: str) -> float:
    return float(report[METRICS][metric]["value"])


def test_the_best_of_the_search_is_registered_with_its_metrics(
    team: TemplateProject, trained: Run
) -> None:
    package = team.package(trained.version)
    assert package["ModelApprovalStatus"] == "PendingManualApproval"
    assert package["CustomerMetadataProperties"]["Template"] == TEMPLATE
    [container] = package["InferenceSpecification"]["Containers"]
    assert trained.result["steps"]["Tune"] == "Succeeded"
    tuning = tunings(team)[0]
    best = tuning["BestTrainingJob"]
    artifact = team.jobs.sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"])
    assert container["ModelDataUrl"] == artifact["ModelArtifacts"]["S3ModelArtifacts"]
    assert tuning["TrainingJobStatusCounters"]["Completed"] == JOBS
    definition = tuning["TrainingJobDefinition"]
    assert definition["EnableNetworkIsolation"] is True
    assert definition["EnableInterContainerTrafficEncryption"] is True
    assert definition["ResourceConfig"]["VolumeKmsKeyId"] == team.jobs.key
    assert definition["VpcConfig"] == team.jobs.vpc_config


def test_an_execution_is_a_trial_of_the_projects_experiment(
    team: TemplateProject, trained: Run
) -> None:
    sagemaker = team.jobs.sagemaker
    trials = sagemaker.list_trials(ExperimentName=team.group)["TrialSummaries"]
    names = [found["TrialName"] for found in trials]
    assert str(trained.result["execution"]).rpartition("/")[2] in names
    # What came from the cache is a component of the trial that it ran in.
    steps = {
        sagemaker.describe_trial_component(TrialComponentName=found["TrialComponentName"])[
            "DisplayName"
        ]
        for name in names
        for found in sagemaker.list_trial_components(TrialName=name)["TrialComponentSummaries"]
    }
    assert {"Preprocess", "Evaluate"} <= steps


def test_it_is_as_good_as_scikit_learn_alone_and_as_the_labels_allow(
    team: TemplateProject, trained: Run, tmp_path: Path
) -> None:
    report = team.report(trained.version)
    (tmp_path / "oracle.py").write_text(ORACLE)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "reviews.csv").write_bytes((team.build / "reviews.csv").read_bytes())
    told = json.loads(team.steps(tmp_path / "oracle.py", team.build, tmp_path / "data"))
    assert report["dataset"]["rows"]["value"] == told["rows"]
    assert value(report, "accuracy_best_constant_classifier") == pytest.approx(told["constant"])
    for metric in ("accuracy", "macro_f1"):
        assert value(report, metric) == pytest.approx(told["pairs"][metric], abs=0.03)
    # Pairs of words tell "not bad" from "bad"; words alone do not.
    assert value(report, "accuracy") > told["words"]["accuracy"] + 0.1
    # No more than the noise of the labels leaves, three standard deviations for chance.
    highest = float(team.steps("-c", "import sample_data; print(sample_data.highest_accuracy())"))
    chance = 3 * (highest * (1 - highest) / told["rows"]) ** 0.5
    assert highest - 0.06 < value(report, "accuracy") <= highest + chance


def test_the_version_brings_baselines_of_texts_it_was_taught_and_tested_with(
    team: TemplateProject, trained: Run
) -> None:
    package = team.package(trained.version)
    drift = package["DriftCheckBaselines"]
    assert set(drift) == {"Bias", "Explainability", "ModelDataQuality", "ModelQuality"}

    def read(about: str, part: str) -> dict[str, Any]:
        return json.loads(team.jobs.get(drift[about][part]["S3Uri"]))

    statistics = read("ModelDataQuality", "Statistics")
    assert [item["name"] for item in statistics["features"]] == [
        "prediction",
        "characters",
        "words",
    ]
    quality = read("ModelQuality", "Statistics")[METRICS]
    report = team.report(trained.version)
    for here, there in (("accuracy", "accuracy"), ("weighted_f1", "weighted_f1"),
                        ("accuracy_best_constant_classifier",) * 2):  # fmt: skip
        assert quality[here]["value"] == pytest.approx(value(report, there))
    limits = read("ModelQuality", "Constraints")["multiclass_classification_constraints"]
    assert limits["accuracy"]["threshold"] == quality["accuracy"]["value"]
    explained = read("Explainability", "Constraints")["explanations"]["kernel_shap"]
    assert set(explained) == {"label0", "label1", "label2"}
    bias = read("Bias", "PreTrainingConstraints")["pre_training_bias_metrics"]
    assert list(bias["facets"]) == ["words"]


@refusals(TEMPLATE)
def test_it_refuses(
    what: str,
    team: TemplateProject,
    trained: Run,
    results: dict[str, Any],
    endpoint: str,
    tmp_path: Path,
) -> None:
    def run(**parameters: str) -> Run:
        """The notebook has run the pipeline with the same gate."""
        assert parameters == {"MacroF1Threshold": "0.999"}
        refused = results["09"]["refused"]
        return Run(refused["code"], refused["reasons"]["NotGoodEnough"], refused)

    prove(what, team, trained.version, endpoint, tmp_path, run=run)


def test_another_gate_searches_no_more(team: TemplateProject, trained: Run) -> None:
    # All but the gate came from the cache, the search with its best model too.
    assert trained.version
    assert len(tunings(team)) == len(["of 08", "of 09"])


def test_under_load_the_endpoint_keeps_its_budgets(team: TemplateProject, endpoint: str) -> None:
    team.keeps_its_budgets(endpoint, least=10)


def test_the_repositorys_own_tests_of_steps_and_definition_pass(team: TemplateProject) -> None:
    # Those that all repositories share are run with another template.
    for interpreter, tests in (
        ("STEPS_PYTHON", "tests/steps"),
        ("PIPELINE_PYTHON", "tests/pipeline/test_definition.py"),
    ):
        done = run(team.build, "sh", "-c", f'exec "${interpreter}" -m pytest -q {tests}')
        assert done.returncode == 0, done.stdout + done.stderr


# -- the notebooks, in the order in which people run them ------------------------------------------

NOTEBOOKS = {
    "build": [
        "00-Data-Visualization", "01-Prepare-Data-ML-Framework-Container",
        "02-Prepare-Data-ML-Custom-Script-Container", "03-Prepare-Data-ML-Custom-Container",
        "04-Store-Features", "05-Train-Build-Model-Framework-Container",
        "06-Train-Build-Model-Custom-Script-Container", "07-Train-Build-Model-Custom-Container",
        "08-Hyperparameter-Optimization", "09-SageMaker-Pipeline-Training",
    ],
    "deploy": [
        "00-Deploy-SageMaker-Endpoint", "01-Deploy-SageMaker-Endpoint-Custom-Container",
        "02-Clarify-Explainability", "03-Model-Monitor", "04-Pipeline-Deployment",
    ],
}  # fmt: skip


def notebooks(team: TemplateProject, part: str, environment: dict[str, str]) -> dict[str, Any]:
    """Number of a notebook -> what it calls result."""
    told = team.notebooks(part, NOTEBOOKS[part], environment)
    return {name[:2]: result for name, result in told.items()}


@pytest.fixture(scope="module")
def builder(team: TemplateProject, tmp_path_factory: pytest.TempPathFactory) -> ImageBuilder:
    return ImageBuilder(team, tmp_path_factory.mktemp("builder"))


@pytest.fixture(scope="module")
def results(team: TemplateProject, builder: ImageBuilder) -> dict[str, Any]:
    """Of the build repository's notebooks, run in their order."""
    jobs, prefix = team.jobs, team.group.removesuffix(f"-{team.name}")
    for path, value in {
        "roles/data-scientist-pipeline-execution/arn": jobs.role,
        "kms/data/arn": jobs.key,
    }.items():
        jobs.client("ssm").put_parameter(
            Name=f"/{prefix.replace('-dev', '/dev')}/{path}", Value=value, Type="String"
        )
    return notebooks(team, "build", builder.engine)


@pytest.fixture(scope="module")
def deployed(team: TemplateProject, trained: Run) -> dict[str, Any]:
    """Of the deployment repository's notebooks, run in their order."""
    assert trained.version
    jobs = team.jobs
    make_ways(jobs)
    # What Clarify's job needs, as the notebooks' README says.
    shadow = {
        "Effect": "Allow",
        "Action": [
            *(f"sagemaker:{verb}{thing}" for verb in ("Create", "Delete")
              for thing in ("Endpoint", "EndpointConfig")),
            "sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint",
        ],
        "Resource": [
            f"arn:aws:sagemaker:{REGION}:{team.account}:{kind}/{team.group}-lab-explain-*"
            for kind in ("endpoint", "endpoint-config")
        ],
    }  # fmt: skip
    jobs.client("iam").put_role_policy(
        RoleName=jobs.role.rpartition("/")[2],
        PolicyName="clarify",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [shadow]}),
    )
    return notebooks(team, "deploy", WITHOUT_OUR_OPTIONS)


def test_notebooks_have_no_outputs_and_are_all_run(team: TemplateProject) -> None:
    for part, names in NOTEBOOKS.items():
        folder = (team.build if part == "build" else team.deploy) / "notebooks"
        assert sorted(path.stem for path in folder.glob("*.ipynb")) == names
        for path in folder.glob("*.ipynb"):
            notebook_is_thin(path)


def test_the_data_is_looked_at_and_prepared_by_the_pipelines_own_step(
    results: dict[str, Any],
) -> None:
    assert sum(results["00"]["rows"].values()) == 4000
    assert results["00"]["texts_in_two_sets"] == 0
    assert sum(results["01"]["rows"].values()) == ROWS
    assert (
        "part.csv, label: expected negative, neutral, positive or 0 to 2 (row 1: 'great')"
        in results["01"]["refused"]
    )


def test_scripts_and_the_own_container_prepare_the_same_in_the_own_image(
    results: dict[str, Any], builder: ImageBuilder
) -> None:
    for number in ("02", "03"):
        assert results[number]["rows"] == results["01"]["rows"]
        assert results[number]["image"] == builder.built["uri"]
    assert results["02"]["entrypoint"][0] == "python3"
    assert results["03"]["entrypoint"] is None
    # One image for all of it: it is built once, and found then.
    assert len(builder.images()) == 1


def test_scripts_and_the_own_container_train_the_same_model(
    team: TemplateProject, results: dict[str, Any], builder: ImageBuilder
) -> None:
    assert results["06"]["macro_f1"] == results["07"]["macro_f1"] == results["05"]["macro_f1"]
    assert results["06"]["channels"] == ["train", "validation", "code"]
    assert results["07"]["channels"] == ["train", "validation"]
    for number, script in (("06", "inference.py"), ("07", None)):
        package = team.package(results[number]["version"])
        [container] = package["InferenceSpecification"]["Containers"]
        assert container["Image"] == results[number]["image"] == builder.built["uri"]
        assert container["Environment"].get("SAGEMAKER_PROGRAM") == script
        assert package["ModelApprovalStatus"] == "PendingManualApproval"


def test_features_are_online_and_offline_and_the_same_again_is_not_put(
    team: TemplateProject, results: dict[str, Any]
) -> None:
    told = results["04"]
    wanted = told["wanted"]
    assert told["first"] == {"stored": len(wanted), "unchanged": 0}
    assert told["again"] == {"stored": 0, "unchanged": len(wanted)}
    online = {
        key: {name: value for name, value in record.items() if name != "event_time"}
        for key, record in told["found"].items()
    }
    assert online == wanted
    bucket, _, prefix = told["offline"].removeprefix("s3://").partition("/")
    assert prefix.startswith(f"{team.name}/features/")
    s3 = team.jobs.client("s3")

    def offline() -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", []):
            body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            rows = pyarrow.parquet.read_table(io.BytesIO(body)).to_pylist()
            found |= {row["record_id"]: row for row in rows}
        return found

    kept = until(offline, lambda found: set(found) >= set(wanted))
    for key, record in wanted.items():
        assert {name: str(kept[key][name]) for name in record} == record


def test_the_pipelines_step_keeps_what_the_project_may_keep_through_the_vpc(
    team: TemplateProject, trained: Run, results: dict[str, Any]
) -> None:
    assert trained.result["steps"]["StoreFeatures"] == "Succeeded"
    sagemaker = team.jobs.sagemaker
    summaries = sagemaker.list_processing_jobs(NameContains="pipelines-", MaxResults=100)
    described = [
        sagemaker.describe_processing_job(ProcessingJobName=item["ProcessingJobName"])
        for item in summaries["ProcessingJobSummaries"]
    ]
    # The run that was refused has kept them; the one after it found the step in the cache.
    [job] = [item for item in described if "-StoreFeatures-" in item["ProcessingJobName"]]
    connected = [item for item in described if not item["NetworkConfig"]["EnableNetworkIsolation"]]
    assert connected == [job]
    [source] = [item for item in job["ProcessingInputs"] if item["InputName"] == "test"]
    url = source["S3Input"]["S3Uri"]
    rows = csv.DictReader(io.StringIO(team.jobs.get(f"{url}/test.csv").decode()))
    wanted = {
        row["record_id"]: {
            "record_id": row["record_id"],
            "characters": str(len(row["text"])),
            "words": str(row["text"].count(" ") + 1),
            "label": row["label"],
            "split": "test",
        }
        for row in rows
    }
    # What the notebook put was there already, where it is the same.
    before = sum(wanted.get(key) == record for key, record in results["04"]["wanted"].items())
    assert json.loads(job["ExitMessage"]) == {
        "group": f"{team.group}-records",
        "stored": len(wanted) - before,
        "unchanged": before,
    }
    runtime = team.jobs.client("sagemaker-featurestore-runtime")
    for key in list(wanted)[-5:]:
        answer = runtime.get_record(
            FeatureGroupName=f"{team.group}-records", RecordIdentifierValueAsString=key
        )
        found = {item["FeatureName"]: item["ValueAsString"] for item in answer["Record"]}
        del found["event_time"]
        assert found == wanted[key]


def test_training_tuning_and_the_pipeline_end_in_versions_that_wait(
    team: TemplateProject, results: dict[str, Any]
) -> None:
    assert 0.8 < results["05"]["macro_f1"] < 1
    single = team.package(results["05"]["version"])
    assert single["ModelApprovalStatus"] == "PendingManualApproval"
    assert results["08"]["best"] == results["08"]["first"]
    assert results["08"]["jobs"] == JOBS
    assert results["09"]["code"] == 0
    assert results["09"]["status"] == "Succeeded"
    assert {results["05"]["version"], results["09"]["version"]} <= set(results["09"]["waiting"])


def test_endpoints_of_ones_own_pass_the_integration_tests_and_are_gone_afterwards(
    results: dict[str, Any], deployed: dict[str, Any], builder: ImageBuilder
) -> None:
    assert deployed["00"]["version"] == results["09"]["version"]
    assert "sagemaker-scikit-learn" in deployed["00"]["image"]
    assert deployed["01"]["version"] == results["07"]["version"]
    assert deployed["01"]["image"] == builder.built["uri"]
    for number in ("00", "01"):
        assert deployed[number]["labels"] == ["positive", "negative"]
        assert deployed[number]["left"] == []
    assert " passed" in deployed["00"]["tests"]


def test_words_that_count_are_told_and_labels_that_drift_are_found(
    deployed: dict[str, Any],
) -> None:
    explained = deployed["02"]
    assert explained["decisive"] == "lovely"
    assert set(explained["added"]) == {"today", "the", "soup", "was", "lovely", "for", "us"}
    # Shapley values sum up to how far the answer is from that to nothing but unknown words.
    assert sum(explained["added"].values()) == pytest.approx(explained["apart"], abs=1e-5)
    assert deployed["03"]["accuracy"] == pytest.approx(deployed["03"]["expected"])
    assert "accuracy" in deployed["03"]["drifted"]
    assert len(deployed["03"]["violations"]) < len(deployed["03"]["drifted"])


def test_settings_of_each_environment_are_read_by_the_programs_own_code(
    deployed: dict[str, Any],
) -> None:
    strategies = {"dev": "all-at-once", "preprod": "all-at-once", "prod": "canary"}
    assert deployed["04"] == {"deployed": False, "strategies": strategies}
