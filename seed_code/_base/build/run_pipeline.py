"""Builds the pipeline, checks it, puts it into the account, and runs it.

    python run_pipeline.py validate [--offline]     check settings and definition, change nothing
    python run_pipeline.py upsert                   … and put the pipeline into the account
    python run_pipeline.py run [--wait]             … and start an execution

Exit codes: 0 all went well; 1 the execution did not succeed; 2 settings, definition, data or
arguments are wrong and nothing was started; 3 AWS refused a call, or an execution took too long.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from pipelinekit import contract, execution, sdk, settings, source, validation

_FOLDER = Path(__file__).resolve().parent
_RUNS = ("CODEBUILD_BUILD_ID", "GITHUB_RUN_ID")
_REFUSALS = (
    settings.SettingsError,
    contract.ContractError,
    validation.DefinitionError,
    execution.DataMissingError,
)
_FAILURES = (
    ClientError,
    BotoCoreError,
    execution.OtherCodeError,
    execution.TimeoutExceededError,
)


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("validate", "upsert", "run"))
    parser.add_argument("--offline", action="store_true", help="validate: without an account")
    parser.add_argument("--definition", type=Path, help="write the definition to this file")
    parser.add_argument("--wait", action="store_true", help="run: until the execution has ended")
    parser.add_argument("--timeout-minutes", type=float, default=120, help="of --wait (120)")
    parser.add_argument("--poll-seconds", type=float, default=15, help="of --wait (15)")
    parser.add_argument("--commit", help="run: what is built (from CI or git)")
    parser.add_argument("--data-version", help="run: version of the data (from its files)")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="run: a pipeline parameter; may be repeated",
    )
    parser.add_argument("--result", type=Path, help="run: write what came of it as JSON")
    given = parser.parse_args(words)
    if given.offline and given.command != "validate":
        parser.error("--offline goes with validate only")
    given.parameters = {}
    for item in given.parameter:
        name, equals, value = item.partition("=")
        if not equals or not name:
            parser.error(f"--parameter {item}: expected NAME=VALUE")
        given.parameters[name] = value
    return given


def _token(name: str) -> str:
    """The same for one CI run, so that its retries start nothing twice; else another each time."""
    run = next((os.environ[key] for key in _RUNS if os.environ.get(key)), "")
    attempt = os.environ.get("GITHUB_RUN_ATTEMPT", "")
    told = f"{name} {run} {attempt}" if run else uuid.uuid4().hex
    return hashlib.sha256(told.encode()).hexdigest()


class _Build:
    """One use of the command line."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self.project = settings.read(_FOLDER / "project.yaml", settings.Project)
        sdk.prepare(self.project.region)
        # The template's own code imports the SDK, which needs what prepare() sets.
        import pipeline

        self.settings = settings.read(_FOLDER / "config.yaml", pipeline.Config)
        self._aws = boto3.Session(region_name=self.project.region)
        self.platform = (
            contract.example(self.project)
            if given.offline
            else contract.read_contract(self._aws.client("ssm"), self.project)
        )
        self.built = pipeline.build(self.project, self.platform, self.settings, _FOLDER)

    def validate(self) -> None:
        """Checks the definition.

        Raises:
            DefinitionError: It is wrong.
        """
        definition: dict[str, Any] = json.loads(self.built.text)
        if self._given.definition:
            text = json.dumps(definition, indent=2, sort_keys=True) + "\n"
            self._given.definition.write_text(text, encoding="utf-8")
        found = validation.faults(definition) + validation.breaches(
            definition, self.platform, self.project.tags, self.project.pipeline
        )
        unknown = set(self._given.parameters) - {item["Name"] for item in definition["Parameters"]}
        found += [f"--parameter {name}: there is no such parameter" for name in sorted(unknown)]
        if found:
            raise validation.DefinitionError("\n".join(found))
        print(f"{self.project.pipeline}: {len(definition['Steps'])} steps, valid")

    def upsert(self) -> None:
        """Uploads the scripts and makes or updates the pipeline."""
        uploaded = execution.upload(
            self._aws.client("s3"), self.built.code, self.platform.models_key
        )
        arn, change = execution.upsert(
            self._aws.client("sagemaker"),
            name=self.project.pipeline,
            definition=self.built.text,
            description=self.settings.description,
            role_arn=self.platform.role_arn(self.project.pipeline_role),
            tags={**self.settings.tags, **self.project.tags},
        )
        print(f"{arn}: {change}, {uploaded} of {len(self.built.code)} scripts uploaded")

    def run(self) -> int:
        """Starts an execution, and waits for it if asked to."""
        given, sagemaker = self._given, self._aws.client("sagemaker")
        definition: dict[str, Any] = json.loads(self.built.text)
        defaults = {item["Name"]: item.get("DefaultValue") for item in definition["Parameters"]}
        url = given.parameters.get("InputDataUrl") or str(defaults["InputDataUrl"])
        version = given.data_version or execution.data_version(self._aws.client("s3"), url)
        parameters = {
            "CommitId": source.commit(_FOLDER, given.commit),
            "DataVersion": version,
            **given.parameters,
        }
        self.upsert()
        name = self.project.pipeline
        arn = execution.start(sagemaker, name, parameters, _token(name))
        print(f"{arn}: started with {parameters}", flush=True)
        result: dict[str, Any] = {"execution": arn, "parameters": parameters, "status": "Executing"}
        try:
            if given.wait:
                result |= self._waited(sagemaker, arn)
        finally:
            if given.result:
                given.result.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        return 0 if result["status"] in ("Executing", "Succeeded") else 1

    def _waited(self, sagemaker: Any, arn: str) -> dict[str, Any]:
        outcome = execution.wait(
            sagemaker,
            arn,
            lambda line: print(line, flush=True),
            poll_seconds=self._given.poll_seconds,
            timeout_seconds=60 * self._given.timeout_minutes,
        )
        for step in outcome.steps:
            if step.reason:
                print(f"{step.name} failed: {step.reason}", file=sys.stderr)
        if outcome.version:
            print(f"Registered {outcome.version}")
        if outcome.status != "Succeeded":
            print(f"The execution ended as {outcome.status}. {outcome.reason}", file=sys.stderr)
        return {
            "status": outcome.status,
            "model_package": outcome.version,
            "steps": {step.name: step.status for step in outcome.steps},
            "reasons": {step.name: step.reason for step in outcome.steps if step.reason},
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Args:
        arguments: Its words; None for those of the process.
    """
    given = _arguments(arguments)
    try:
        build = _Build(given)
        build.validate()
        if given.command == "upsert":
            build.upsert()
        return build.run() if given.command == "run" else 0
    except _REFUSALS as error:
        print(error, file=sys.stderr)
        return 2
    except _FAILURES as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
