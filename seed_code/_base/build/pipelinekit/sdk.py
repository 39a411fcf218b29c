"""The SageMaker SDK as a compiler of definitions: it writes JSON, and calls nobody.

Measured with version 3.27: it wants a region at import, asks IAM about roles, reports usage, lists
the account's buckets and would create one. None of that belongs to writing a definition, and a
build's role need not be allowed any of it.
"""

from __future__ import annotations

import functools
import logging
import os
import warnings
from typing import Any

import boto3
from botocore import loaders

_CONFIG = {
    "SchemaVersion": "1.0",
    "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}},
}


class UnexpectedCallError(RuntimeError):
    """The SDK wanted to call AWS while writing a definition."""


def prepare(region: str) -> None:
    """Makes the process ready for importing the SDK; call it before anything imports ``sagemaker``.

    Args:
        region: Of the project. The SDK makes clients when it is imported.
    """
    os.environ["AWS_DEFAULT_REGION"] = region
    os.environ["SAGEMAKER_VALIDATE_ROLE"] = "false"
    # One warning a step says that no job is started now, which is the point.
    warnings.filterwarnings("ignore", message="Running within a PipelineSession")
    # The SDK gives its loggers levels and handlers of their own, down to debugging.
    logging.disable(logging.WARNING)
    # The SDK makes sessions for each step, and each of them reads the same files of botocore's:
    # half of the time of a build. Clients of one session share what was read, so none changes it.
    loaders.JSONFileLoader.load_file = _load_file


_read = loaders.JSONFileLoader.load_file


@functools.cache
def _once(path: str) -> Any:
    return _read(loaders.JSONFileLoader(), path)


def _load_file(self: loaders.JSONFileLoader, file_path: str) -> Any:
    del self
    return _once(file_path)


def session(region: str, bucket: str) -> Any:
    """A ``PipelineSession`` that can write definitions and do nothing else.

    Its settings are these, whatever defaults Studio or the user has in files: the same repository
    gives the same definition everywhere.

    Args:
        region: Of the project.
        bucket: What the SDK takes for its default bucket, without looking at it.
    """
    from sagemaker.core.config.config_manager import SageMakerConfig
    from sagemaker.core.workflow.pipeline_context import PipelineSession

    # The constructor below checks the settings; the SDK would do so again at each of some fifty
    # look-ups, which took 4 of the 5 seconds of a build.
    SageMakerConfig.validate_sagemaker_config = staticmethod(_checked_already)

    class DefinitionSession(PipelineSession):
        def default_bucket(self) -> str:
            # The SDK's own would look the bucket up, and create it.
            return bucket

    # Keys of nobody: with none at all, boto3 would look for some.
    nobody = "unused"
    boto = boto3.Session(region_name=region, aws_access_key_id=nobody, aws_secret_access_key=nobody)
    boto.events.register("before-call", _refuse)
    return DefinitionSession(
        boto_session=boto, default_bucket=bucket, sagemaker_config=dict(_CONFIG)
    )


def _checked_already(sagemaker_config: Any = None) -> None:
    del sagemaker_config


def _refuse(model: Any, **_: Any) -> None:
    raise UnexpectedCallError(
        f"The SDK wanted to call {model.service_model.service_name}:{model.name} while it wrote the"
        " definition. Pass what it looks for, or upload files through Workbench.script()."
    )
