"""Serves a model: what a request means is said by the image, or by the script of a version.

A version whose container has the variable ``SAGEMAKER_PROGRAM`` is served by that script of its own
archive, in the folder ``SAGEMAKER_SUBMIT_DIRECTORY``, as SageMaker's framework images do. Without
it ``steps/inference.py`` of the image is what runs, and no code of the archive.

Source: SageMaker Inference Toolkit.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Any

from program.server import Answer, RequestError, serve

_JSON = "application/json"


class RefusedError(ValueError):
    """A model cannot be served; the message says why."""


def script(folder: Path, variables: Mapping[str, str]) -> ModuleType:
    """What reads requests and writes answers.

    Args:
        folder: Of the model.
        variables: The container's.

    Raises:
        RefusedError: The version names a script that is not there.
    """
    name = variables.get("SAGEMAKER_PROGRAM", "")
    if name:
        code = Path(variables.get("SAGEMAKER_SUBMIT_DIRECTORY") or folder / "code")
        if not (code / name).is_file():
            raise RefusedError(f"SAGEMAKER_PROGRAM: {code} has no {name}")
        # Before the image's own steps, some of which have the same names.
        sys.path.insert(0, str(code))
    return importlib.import_module(Path(name or "inference.py").stem)


def answering(module: Any, model: Any) -> Answer:
    """What answers requests by the functions of a script.

    Args:
        module: Has ``input_fn``, ``predict_fn`` and ``output_fn``.
        model: What its ``model_fn`` gave.
    """

    def answer(body: bytes, kind: str, accept: str) -> tuple[str, str]:
        try:
            asked = module.input_fn(body, kind or _JSON)
            wanted = "" if accept == "*/*" else accept
            text, told = module.output_fn(module.predict_fn(asked, model), wanted)
        except ValueError as error:
            raise RequestError(HTTPStatus.BAD_REQUEST, str(error)) from error
        return text, told

    return answer


def main(folder: Path, port: int) -> int:
    """Serves the model of a folder until it is told to end; 1 when there is no model to serve.

    Args:
        folder: Of the model.
        port: What it listens on.
    """
    try:
        module: Any = script(folder, os.environ)
        model = module.model_fn(str(folder))
    except ValueError as error:
        print(f"The model was refused: {error}", file=sys.stderr)
        return 1
    return serve(answering(module, model), port)
