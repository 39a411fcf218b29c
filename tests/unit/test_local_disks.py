"""Which instance types take no volume key: one answer, wherever it is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import util
from pathlib import Path

import botocore.session
import pytest
from mlops_policy.aws import NVME_INSTANCE_TYPES

from components.personas import LOCAL_DISKS

SEED = Path(__file__).parents[2] / "seed_code" / "_base"


def patterns(file: Path) -> tuple[str, ...]:
    """``LOCAL_DISK_TYPES`` of a file of the seed code."""
    name = f"local_disks_{file.parent.name}"
    spec = util.spec_from_file_location(name, file)
    assert spec
    assert spec.loader
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.LOCAL_DISK_TYPES


LISTS: dict[str, Callable[[], tuple[str, ...]]] = {
    "roles": lambda: LOCAL_DISKS,
    "policies": lambda: NVME_INSTANCE_TYPES,
    "build": lambda: patterns(SEED / "build" / "pipelinekit" / "settings.py"),
    "deploy": lambda: patterns(SEED / "deploy" / "settings.py"),
}
# Source: EC2's instance types; a "d" after the generation is local storage, as are these families.
WITH = ("ml.m5d.large", "ml.c6gdn.large", "ml.g4dn.xlarge", "ml.g5.xlarge", "ml.g6e.xlarge",
        "ml.p4d.24xlarge", "ml.p4de.24xlarge", "ml.p5.48xlarge", "ml.p5en.48xlarge",
        "ml.p6-b200.48xlarge", "ml.trn1.2xlarge", "ml.trn1n.32xlarge")  # fmt: skip
WITHOUT = ("ml.t3.medium", "ml.m5.large", "ml.c5.xlarge", "ml.r5.large", "ml.p2.xlarge",
           "ml.p3.2xlarge", "ml.inf1.xlarge", "ml.inf2.xlarge", "ml.m6g.large")  # fmt: skip


def every_type() -> list[str]:
    """All instance types of jobs and endpoints that SageMaker knows."""
    model = botocore.session.get_session().get_service_model("sagemaker")
    shapes = ("TrainingInstanceType", "ProcessingInstanceType", "TransformInstanceType",
              "ProductionVariantInstanceType")  # fmt: skip
    return sorted({name for shape in shapes for name in model.shape_for(shape).enum})


def local(name: str, given: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in given)


@pytest.mark.parametrize("name", LISTS)
def test_types_with_and_without_local_disks_are_told_apart(name: str) -> None:
    given = LISTS[name]()
    assert [item for item in WITH if not local(item, given)] == []
    assert [item for item in WITHOUT if local(item, given)] == []


@pytest.mark.parametrize("name", LISTS)
def test_all_lists_agree_on_every_type_that_there_is(name: str) -> None:
    given, policies = LISTS[name](), LISTS["policies"]()
    types = every_type()
    assert len(types) > 200
    assert [item for item in types if local(item, given) != local(item, policies)] == []
