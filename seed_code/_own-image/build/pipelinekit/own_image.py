"""The project's own image: its settings, what it is made of, which one was built, who runs in it.

``build_image.py`` writes :data:`FILE`; the pipeline reads it and takes the image by its digest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from pipelinekit.contract import Platform
from pipelinekit.settings import Project, Section, SettingsError

FILE = "image.json"
"""Which image was built; no part of the repository."""

SEVERITIES = ("NONE", "UNDEFINED", "INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL")
"""Of findings, the least first. Source: FindingSeverity in ECR's API reference."""

_LEFT_OUT = ("__pycache__", ".pytest_cache", ".ruff_cache")


class ImageError(ValueError):
    """There is no image to use; the message says what to do."""


class ImageSettings(Section):
    """``image`` of ``config.yaml``."""

    base: Annotated[str, Field(pattern=r"^\S+@sha256:[0-9a-f]{64}$")]
    """What it is built on, by digest: a tag may name another image tomorrow."""
    worst_finding: Literal["NONE", "INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"]
    """The worst finding of a scan that is let through."""
    scan_minutes: Annotated[float, Field(gt=0, le=60)] = 15
    """How long its scan is waited for."""
    include: tuple[Annotated[str, Field(pattern=r"^\w[\w-]*$")], ...] = ()
    """Folders of the repository that go into it beside the files of ``image/``."""


Container = Literal["framework", "custom-script", "own-container"]
"""What runs, and in what: a script of the repository in SageMaker's image, such a script in the own
image, or what the own image itself has."""


class Containers(Section):
    """``containers`` of ``config.yaml``, where a template offers all of them."""

    processing: Container
    training: Container
    inference: Container

    @property
    def own(self) -> bool:
        """Whether anything runs in the own image."""
        return {self.processing, self.training, self.inference} != {"framework"}


class Built(Section):
    """An image in the project's repository, as :data:`FILE` keeps it."""

    uri: Annotated[str, Field(pattern=r"^\d{12}\.dkr\.ecr\.\S+/\S+@sha256:[0-9a-f]{64}$")]
    """By digest."""
    tag: str
    """The commit that it was first built from, and the hash of what it is made of."""
    content: str
    """That hash."""
    findings: dict[str, int]
    """Severity -> how many its scan has, all of them let through."""


def read_settings(folder: Path) -> tuple[ImageSettings, bool]:
    """The settings of the image, and whether any job runs in it.

    Without those of the pipeline, which need the SDK.

    Raises:
        SettingsError: They are missing or wrong.
    """
    try:
        whole: Any = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
        chosen = whole.get("containers")
        used = chosen is None or Containers.model_validate(chosen).own
        return ImageSettings.model_validate(whole["image"]), used
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"config.yaml: image: {error!r}") from error
    except ValidationError as error:
        raise SettingsError(f"config.yaml: {error}") from error


def files(folder: Path, given: ImageSettings) -> dict[str, Path]:
    """What the image is made of: path in the build's context -> file.

    Args:
        folder: The repository.
        given: The image's settings.
    """
    roots = [(folder / "image", folder / "image")]
    roots += [(folder / name, folder) for name in given.include]
    found = {
        path.relative_to(base).as_posix(): path
        for root, base in roots
        for path in sorted(root.rglob("*"))
        if path.is_file() and not set(path.relative_to(base).parts) & set(_LEFT_OUT)
    }
    return dict(sorted(found.items()))


def content(folder: Path, given: ImageSettings) -> str:
    """16 characters of the hash of what the image is made of: its base and :func:`files`.

    Args:
        folder: The repository.
        given: The image's settings.
    """
    digest = hashlib.sha256(f"{given.base}\0".encode())
    for name, path in files(folder, given).items():
        held = hashlib.sha256(path.read_bytes()).hexdigest()
        # Whether it can be run goes into the image too.
        mode = path.stat().st_mode & 0o100
        digest.update(f"{name}\0{mode}\0{held}\0".encode())
    return digest.hexdigest()[:16]


def uri(project: Project, platform: Platform, given: ImageSettings, folder: Path) -> str:
    """URI of the image that the pipeline runs in, by digest.

    Without an account there is none yet: then it is one of the right form.

    Args:
        project: The project.
        platform: The development environment.
        given: The image's settings.
        folder: The repository.

    Raises:
        SettingsError: None was built, it was built of something else, or it is in another registry.
    """
    if platform.made_up:
        registry = f"{platform.account}.dkr.ecr.{project.region}.amazonaws.com"
        return f"{registry}/{project.pipeline}@sha256:{'0' * 64}"
    try:
        built = Built.model_validate_json((folder / FILE).read_text("utf-8"))
    except (OSError, ValidationError) as error:
        raise SettingsError(f"{FILE}: there is no image yet; make image builds it.") from error
    if built.content != content(folder, given):
        raise SettingsError(
            f"{FILE}: what it is made of has changed since it was built; make image."
        )
    registry, _, rest = built.uri.partition("/")
    named = rest.partition("@")[0]
    if registry.split(".")[0] != platform.account or named != project.pipeline:
        raise SettingsError(
            f"{FILE}: {built.uri} is not in {project.pipeline} of account {platform.account};"
            " make image."
        )
    return built.uri
