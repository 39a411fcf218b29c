"""What runs for an image: a table, because there are no containers here.

AWS's scikit-learn, XGBoost, Model Monitor and Clarify images run on the interpreter of the seed
environment (``requirements/seed.txt``), its PyTorch and Hugging Face images on that of the genai
environment (``requirements/genai.txt``), which is made when a job first asks for it. The versions
of libraries are those of the environment, whatever the tag says; the log's first line says so.
Images of the company's own registries are pulled and unpacked
(:mod:`localcloud.emulator.jobs.own_images`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from components.framework_images import BUILT_IN, CLARIFY, DEEP_LEARNING, MODEL_MONITOR
from localcloud import environments
from localcloud.emulator.jobs.own_images import Program, PullError, Reference


class _Runs(NamedTuple):
    """What runs for a repository of AWS's.

    Attributes:
        framework: Such as ``xgboost``.
        accounts: Region -> the registry that it is in.
        environment: Whose interpreter runs.
    """

    framework: str
    accounts: Mapping[str, str]
    environment: str = "seed"


_REPOSITORIES: Mapping[str, _Runs] = {
    "sagemaker-xgboost": _Runs("xgboost", BUILT_IN),
    "sagemaker-scikit-learn": _Runs("sklearn", BUILT_IN),
    "sagemaker-model-monitor-analyzer": _Runs("model-monitor", MODEL_MONITOR),
    "sagemaker-model-monitor-groundtruth-merger": _Runs("ground-truth-merge", MODEL_MONITOR),
    "sagemaker-clarify-processing": _Runs("clarify", CLARIFY),
    "pytorch-training": _Runs("pytorch", DEEP_LEARNING, "genai"),
    "pytorch-inference": _Runs("pytorch", DEEP_LEARNING, "genai"),
    "huggingface-pytorch-training": _Runs("huggingface", DEEP_LEARNING, "genai"),
    "huggingface-pytorch-inference": _Runs("huggingface", DEEP_LEARNING, "genai"),
}

PROGRAMS: Mapping[str, str] = {
    "model-monitor": "model_monitor.py",
    "ground-truth-merge": "ground_truth_merge.py",
    "clarify": "clarify.py",
}
"""Framework -> the stand-in that processing jobs of it run when they name no program."""

_OWN = "own"
_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+/(?P<repository>[^:@]+)"
    r"(:(?P<tag>[^@]+))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)


class UnknownImageError(Exception):
    """Nothing here can stand for an image; the message says where to add it."""


@dataclass(frozen=True)
class Image:
    """An image that can be run.

    Attributes:
        uri: Its URI.
        framework: Such as ``xgboost``; ``own`` for an image of the company's.
        interpreter: The Python that runs in its place.
        program: What an own image brings.
        environment: Whose interpreter it is.
    """

    uri: str
    framework: str
    interpreter: Path
    program: Program | None = None
    environment: str = "seed"

    @property
    def origin(self) -> str:
        """What the log says of it."""
        whose = f"{self.interpreter} of the {self.environment} environment"
        if self.program is None:
            return f"{whose} runs in place of {self.uri}"
        return (
            f"{whose} runs the program of {self.uri}; its base image {self.program.base} is not"
            " here"
        )


def find(uri: str, pull: Callable[[Reference], Program] | None = None) -> Image:
    """Finds what runs for an image.

    Args:
        uri: The image.
        pull: Gets an image of an own registry, as its user may; without it there are none.

    Raises:
        UnknownImageError: Nothing does, or the environment for it cannot be made.
    """
    match = _URI.fullmatch(uri)
    repository = match["repository"] if match else ""
    if match and pull and repository not in _REPOSITORIES and _own(match["account"]):
        return _pulled(uri, match, pull)
    runs = _REPOSITORIES.get(repository)
    if match is None or runs is None:
        raise UnknownImageError(
            f"The local cloud cannot run the image {uri}: it has no containers, and runs only"
            f" {', '.join(sorted(_REPOSITORIES))} of AWS's registries. Say what runs for it in"
            " localcloud/emulator/jobs/images.py."
        )
    registry = runs.accounts.get(match["region"])
    if registry != match["account"]:
        raise UnknownImageError(
            f"{match['account']} is not AWS's registry of {repository} in {match['region']}:"
            f" {registry or 'there is none'}. An own copy of the image is"
            " another image; say what runs for it in localcloud/emulator/jobs/images.py."
        )
    return Image(uri, runs.framework, _interpreter(uri, runs.environment), None, runs.environment)


def _interpreter(uri: str, environment: str) -> Path:
    try:
        return environments.python(environment)
    except environments.EnvironmentFailedError as error:
        raise UnknownImageError(f"What runs for {uri} is missing: {error}") from error


def _own(account: str) -> bool:
    """Whether a registry is the company's: none of AWS's."""
    return not any(account in runs.accounts.values() for runs in _REPOSITORIES.values())


def _pulled(uri: str, match: re.Match[str], pull: Callable[[Reference], Program]) -> Image:
    reference = Reference(
        uri,
        match["account"],
        match["region"],
        match["repository"],
        match["tag"] or "",
        match["digest"] or "",
    )
    try:
        program = pull(reference)
    except PullError as error:
        raise UnknownImageError(str(error)) from error
    return Image(uri, _OWN, _interpreter(uri, "seed"), program)
