"""A project's repositories as files: rendered from a template, and brought to a newer one.

copier does both. A rendered repository refers to nothing here: in :data:`ORIGIN` it keeps what it
was rendered with, and the version of its template, which is a hash of the template's content. To
bring it to a newer version the content of the older one is needed too; whoever vends keeps it.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from automation.projects.templates import shared, sources

ORIGIN = ".template.yaml"
"""File of a rendered repository: what it was rendered with."""

_POLICY = Path(__file__).resolve().parents[2] / "policy"
_UNTRACKED = shutil.ignore_patterns("__pycache__", ".venv", ".*_cache", ".hypothesis")
_NOTE = """\
# What this repository was rendered with, for bringing it to a newer version of its template.
"""
# copier finds the versions of a template among a repository's tags.
_OLD, _NEW = "0.0.1", "0.0.2"
_RENDERED = ".jinja"
_ANSWERS = ".template-update.yml"
_GIT = ("git", "-c", "user.name=MLOps platform", "-c", "user.email=mlops-platform@localhost")


class RenderingError(RuntimeError):
    """A repository cannot be rendered or updated; the message says why and what to do."""


@dataclass(frozen=True)
class Origin:
    """What a repository was rendered with.

    Attributes:
        template: Id of the template.
        version: Of the template's content.
        values: What the template was given.
    """

    template: str
    version: str
    values: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Keeps it in a repository."""
        content = {
            "template": self.template,
            "version": self.version,
            "values": dict(self.values),
        }
        (folder / ORIGIN).write_text(_NOTE + yaml.safe_dump(content, sort_keys=False), "utf-8")


def origin(folder: Path) -> Origin:
    """What a repository was rendered with.

    Raises:
        RenderingError: It does not say.
    """
    try:
        content = yaml.safe_load((folder / ORIGIN).read_text("utf-8"))
        return Origin(content["template"], content["version"], content["values"])
    except (FileNotFoundError, KeyError, TypeError, yaml.YAMLError) as error:
        raise RenderingError(
            f"{ORIGIN} of the repository does not tell what it was rendered with ({error!r}): bring"
            " the file back from the repository's history."
        ) from None


@contextlib.contextmanager
def assembled(template: str, kind: str, root: Path | None = None) -> Generator[Path]:
    """A folder with a template's content: the shared parts, and its own files over them.

    The deployment repository gets the company's policy pack, without which it deploys nothing.

    Args:
        template: Id of the template.
        kind: ``build`` or ``deploy``.
        root: Folder with the templates; None for this checkout's.
    """
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text) / kind
        folder.mkdir()
        for source in sources(template, kind, root):
            _lay(source, folder)
            if kind == "deploy":
                for name, original in shared(source.parent).items():
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(original, folder / name)
        if kind == "deploy":
            shutil.copytree(_POLICY, folder / "policy", ignore=_UNTRACKED, dirs_exist_ok=True)
            # Here the pack runs in this checkout's environment, there in the one on PATH.
            pack = folder / "policy" / "PulumiPolicy.yaml"
            described = yaml.safe_load(pack.read_text("utf-8"))
            pack.write_text(yaml.safe_dump({**described, "runtime": "python"}, sort_keys=False))
        yield folder


def _lay(source: Path, folder: Path) -> None:
    """Lays a folder over another: what is rendered replaces what is copied, and the reverse."""
    for path in source.rglob("*"):
        own = folder / path.relative_to(source)
        rendered = own.suffix == _RENDERED
        other = own.with_suffix("") if rendered else own.with_name(own.name + _RENDERED)
        if path.is_file():
            other.unlink(missing_ok=True)
    shutil.copytree(source, folder, dirs_exist_ok=True, ignore=_UNTRACKED)


def version(folder: Path) -> str:
    """Version of a template's content: 16 characters of its SHA-256."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def render(content: Path, template: str, values: Mapping[str, Any], folder: Path) -> None:
    """Writes a repository.

    Args:
        content: The template's content, as :func:`assembled` makes it.
        template: Id of the template.
        values: What the template is given.
        folder: Where; made when it is not there.
    """
    _copy(content, folder, {**values, "template": template})
    Origin(template, version(content), values).write(folder)


def update(repository: Path, old: Path, new: Path, values: Mapping[str, Any]) -> list[str]:
    """Brings a repository to a newer version of its template, and keeps what its team changed.

    The result is left in the index, nothing is committed. Where the team and the template changed
    the same lines, both stand in the file between git's conflict markers.

    Args:
        repository: A clone with nothing uncommitted; its :data:`ORIGIN` names the older version.
        old: Content of the template's older version.
        new: Content of its newer version.
        values: What the newer version is given, beside what the repository was rendered with.

    Returns:
        The files with conflicts.

    Raises:
        RenderingError: The repository is not as described, or of another version.
    """
    # Imported here: copier takes a third of a second, which no other command need spend.
    import copier

    before = origin(repository)
    if version(old) != before.version:
        raise RenderingError(
            f"The repository was rendered from version {before.version} of {before.template}, and"
            f" not from {version(old)}."
        )
    if _git(repository, "status", "--porcelain"):
        raise RenderingError("The repository has changes that are not committed: commit them.")
    head = _git(repository, "rev-parse", "HEAD")
    given = {**before.values, **values}
    template = {"template": before.template}
    with tempfile.TemporaryDirectory() as text:
        source = _versions(Path(text), old, new)
        answers = {"_src_path": str(source), "_commit": _OLD, **before.values, **template}
        (repository / _ANSWERS).write_text(yaml.safe_dump(answers), "utf-8")
        try:
            _git(repository, "add", "--force", _ANSWERS)
            _git(repository, "commit", "--quiet", "--no-verify", "--message", "answers")
            copier.run_update(
                repository, data={**given, **template}, answers_file=_ANSWERS, vcs_ref=_NEW,
                defaults=True, overwrite=True, quiet=True, conflict="inline", unsafe=False,
                settings=None,
            )  # fmt: skip
        except Exception:
            _git(repository, "reset", "--quiet", "--hard", head)
            raise
    conflicts = _git(repository, "diff", "--name-only", "--diff-filter=U").splitlines()
    (repository / _ANSWERS).unlink()
    Origin(before.template, version(new), given).write(repository)
    # git resets nothing while files are in conflict.
    _git(repository, "add", "--all")
    _git(repository, "reset", "--quiet", "--soft", head)
    return conflicts


def _copy(content: Path, folder: Path, values: Mapping[str, Any]) -> None:
    # Imported here, as above.
    import copier

    copier.run_copy(
        str(content), folder, data=dict(values), defaults=True, overwrite=True, quiet=True,
        unsafe=False, settings=None,
    )  # fmt: skip


def _versions(folder: Path, *contents: Path) -> Path:
    """A repository whose tags are the versions of a template."""
    _git(folder, "init", "--quiet")
    for tag, content in zip((_OLD, _NEW), contents, strict=True):
        for path in folder.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        shutil.copytree(content, folder, dirs_exist_ok=True)
        # What the index knows of a file's size and age may fit the file that replaced it: a copy
        # keeps the age of what was copied.
        _git(folder, "read-tree", "--empty")
        _git(folder, "add", "--all", "--force")
        _git(folder, "commit", "--quiet", "--allow-empty", "--message", tag)
        _git(folder, "tag", tag)
    return folder


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*_GIT, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip()
        raise RenderingError(f"git {arguments[0]}: {said}")
    return done.stdout.strip()
