"""``docker`` for emulated builds: makes real OCI images of Dockerfiles, and pushes them to ECR.

There is no container engine here, so this does what can be done without one, and refuses the rest
by name:

- ``docker login``, ``docker build`` and ``docker push``, with the options that are listed below;
- of a Dockerfile ``FROM`` (one stage), ``ARG``, ``ENV``, ``LABEL``, ``COPY``, ``WORKDIR``,
  ``USER``, ``EXPOSE``, ``ENTRYPOINT`` and ``CMD``, and ``RUN pip install -r``;
- the base image is not fetched: its name is kept in a label;
- what ``pip`` would install is not installed: jobs run on the environment of
  ``requirements/seed.txt``, so each pin has to be what that environment has.

The image is pushed by ECR's API with the credentials of the build, layer by layer, as an engine
does it by the registry's.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, cast

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from packaging.requirements import InvalidRequirement, Requirement

from localcloud import environments
from localcloud.emulator.jobs.own_images import BASE_LABEL, MANIFESTS

_MANIFEST = MANIFESTS[0]
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_PART_BYTES = 10 * 1024**2
_REFERENCE = re.compile(
    r"(?P<registry>(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+)"
    r"/(?P<repository>[a-z0-9._/-]+):(?P<tag>[\w.-]+)"
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:-)([^}]*))?\}|(\w+))")
_PIP_OPTIONS = {
    "--disable-pip-version-check", "--no-cache-dir", "--no-deps", "--only-binary=:all:",
    "--quiet", "--require-hashes", "-q",
}  # fmt: skip
_VERSIONS = (
    "import importlib.metadata as m, json;"
    " print(json.dumps({d.name: d.version for d in m.distributions()}))"
)


class DockerError(Exception):
    """What was asked for cannot be done; the message says what and why."""


def shim(folder: Path) -> Path:
    """Puts a program ``docker`` into a folder, for the search path of a build.

    Args:
        folder: Made when missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).resolve().parents[3]
    program = folder / "docker"
    program.write_text(
        f"#!{sys.executable} -I\n"
        "import sys\n"
        f"sys.path.insert(0, {str(root)!r})\n"
        f"from {__name__} import main\n"
        "sys.exit(main(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program


# -- Dockerfiles -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Instruction:
    """A line of a Dockerfile.

    Attributes:
        line: Its number.
        name: In capitals, such as ``COPY``.
        text: What follows.
    """

    line: int
    name: str
    text: str


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, continued lines joined and comments left out."""
    started, parts = 0, list[str]()
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#") or (not line and not parts):
            continue
        started = started or number
        parts.append(line.removesuffix("\\").rstrip())
        if not line.endswith("\\"):
            name, _, rest = " ".join(part for part in parts if part).partition(" ")
            yield Instruction(started, name.upper(), rest.strip())
            started, parts = 0, []
    if parts:
        raise DockerError(f"line {started}: the instruction goes on where the Dockerfile ends")


@dataclass
class Build:
    """A build of an image.

    Attributes:
        context: The folder that ``COPY`` reads.
        arguments: Those of ``--build-arg``.
        labels: Those of ``--label``.
        installed: Gives the packages of the environment that the image's programs run on.
        say: Takes lines of progress.
    """

    context: Path
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    installed: Callable[[], Mapping[str, str]]
    say: Callable[[str], object]
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    layers: list[bytes] = field(default_factory=list[bytes])
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    _values: dict[str, str] = field(default_factory=dict[str, str])
    _variables: dict[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    _base: str = ""
    _ignored: tuple[str, ...] = ()

    def run(self, dockerfile: str) -> None:
        """Carries out a Dockerfile.

        Raises:
            DockerError: It has something that cannot be done here, or that is wrong.
        """
        steps: dict[str, Callable[[Instruction], None]] = {
            "ARG": self._arg, "CMD": self._words("Cmd"), "COPY": self._copy,
            "ENTRYPOINT": self._words("Entrypoint"), "ENV": self._env, "EXPOSE": self._expose,
            "FROM": self._from, "LABEL": self._label, "RUN": self._run, "USER": self._user,
            "WORKDIR": self._workdir,
        }  # fmt: skip
        ignored = self.context / ".dockerignore"
        if ignored.is_file():
            lines = (line.strip() for line in ignored.read_text("utf-8").splitlines())
            self._ignored = tuple(line for line in lines if line and not line.startswith("#"))
        for step in instructions(dockerfile):
            known = steps.get(step.name)
            if known is None:
                raise DockerError(
                    f"line {step.line}: the local cloud's docker has no {step.name}; it has"
                    f" {', '.join(sorted(steps))}"
                )
            if not self._base and step.name not in ("ARG", "FROM"):
                raise DockerError(f"line {step.line}: {step.name} comes before FROM")
            self.say(f"{step.name} {step.text}")
            known(step)
            self.history.append(
                {
                    "created_by": f"{step.name} {step.text}",
                    **({} if step.name == "COPY" else {"empty_layer": True}),
                }
            )
        if not self._base:
            raise DockerError("the Dockerfile has no FROM")
        unknown = sorted(set(self.arguments) - set(self._values))
        if unknown:
            raise DockerError(f"--build-arg {', '.join(unknown)}: the Dockerfile has no such ARG")

    def image(self) -> tuple[dict[str, Any], bytes]:
        """The image's manifest and its configuration."""
        made = {
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {
                **self.config,
                "Env": [f"{name}={value}" for name, value in self._variables.items()],
                "Labels": {
                    **self.config.get("Labels", {}),
                    **self.labels,
                    BASE_LABEL: self._base,
                },
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in self.layers]},
            "history": self.history,
        }
        config = json.dumps(made, sort_keys=True).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest(config), "size": len(config)},
            "layers": [
                {"mediaType": _LAYER, "digest": digest(packed), "size": len(packed)}
                for packed in map(compressed, self.layers)
            ],
        }
        return manifest, config

    # Instructions.

    def _from(self, step: Instruction) -> None:
        if self._base:
            raise DockerError(f"line {step.line}: the local cloud's docker has one stage only")
        words = self._filled(step.text).split()
        if len(words) != 1:
            raise DockerError(f"line {step.line}: FROM takes an image here, and nothing else")
        self._base = words[0]
        self.say(f"  {words[0]} is not fetched: what runs here is requirements/seed.txt")

    def _arg(self, step: Instruction) -> None:
        name, equals, default = self._filled(step.text).partition("=")
        given = self.arguments.get(name)
        known = self._values.get(name, "") if not equals else default.strip("\"'")
        self._values[name] = known if given is None else given

    def _env(self, step: Instruction) -> None:
        self._variables |= _pairs(step, self._filled(step.text))

    def _label(self, step: Instruction) -> None:
        labels = self.config.setdefault("Labels", {})
        labels |= _pairs(step, self._filled(step.text))

    def _user(self, step: Instruction) -> None:
        self.config["User"] = self._filled(step.text)

    def _expose(self, step: Instruction) -> None:
        ports = self._filled(step.text).split()
        self.config["ExposedPorts"] = {
            port if "/" in port else f"{port}/tcp": dict[str, str]() for port in ports
        }

    def _workdir(self, step: Instruction) -> None:
        self.config["WorkingDir"] = self._inside(self._filled(step.text))

    def _words(self, member: str) -> Callable[[Instruction], None]:
        def keep(step: Instruction) -> None:
            try:
                words: Any = json.loads(step.text)
            except ValueError:
                words = None
            if not isinstance(words, list) or not all(
                isinstance(word, str) for word in cast(list[Any], words)
            ):
                raise DockerError(
                    f'line {step.line}: {step.name} takes a list such as ["python3", "main.py"]'
                    " here: a shell would not hand on the signals that SageMaker ends a job with"
                )
            self.config[member] = words

        return keep

    def _copy(self, step: Instruction) -> None:
        words = shlex.split(self._filled(step.text))
        options = [word for word in words if word.startswith("--")]
        if options:
            raise DockerError(f"line {step.line}: COPY has no {options[0]} here")
        if len(words) < 2:
            raise DockerError(f"line {step.line}: COPY takes sources and a target")
        *sources, target = words
        several = len(sources) > 1 or target.endswith("/")
        place, files = self._inside(target), dict[str, bytes]()
        modes: dict[str, int] = {}
        for source in sources:
            for path, name in self._found(step, source, several=several):
                inside = (PurePosixPath(place) / name if name else PurePosixPath(place)).as_posix()
                files[inside], modes[inside] = path.read_bytes(), path.stat().st_mode & 0o755
        self._files |= files
        self.layers.append(_tar(files, modes))

    def _found(
        self, step: Instruction, source: str, *, several: bool
    ) -> Iterator[tuple[Path, str]]:
        """Files of the context, each with its name below the target; empty for the target."""
        root = (self.context / source).resolve()
        if not root.is_relative_to(self.context.resolve()):
            raise DockerError(f"line {step.line}: {source} is outside of the build context")
        if root.is_file():
            yield root, root.name if several else ""
            return
        if not root.is_dir():
            raise DockerError(f"line {step.line}: COPY {source}: there is no such file")
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            if not self._is_ignored(path.relative_to(self.context.resolve())):
                yield path, path.relative_to(root).as_posix()

    def _is_ignored(self, path: Path) -> bool:
        return any(
            fnmatchcase(part, pattern.removeprefix("**/"))
            for pattern in self._ignored
            for part in (path.parts if pattern.startswith("**/") else path.parts[:1])
        )

    def _run(self, step: Instruction) -> None:
        words = shlex.split(self._filled(step.text))
        if words[:2] in (["python3", "-m"], ["python", "-m"]):
            words = words[2:]
        files: list[str] = []
        rest = iter(words[2:])
        for word in rest:
            if word in ("-r", "--requirement"):
                files.append(next(rest, ""))
            elif word not in _PIP_OPTIONS:
                files = []
                break
        if words[:2] not in (["pip", "install"], ["pip3", "install"]) or not files:
            raise DockerError(
                f"line {step.line}: RUN {step.text}: the local cloud's docker runs nothing; it"
                " knows pip install with -r alone"
            )
        for name in files:
            content = self._files.get(self._inside(name))
            if content is None:
                raise DockerError(f"line {step.line}: {name} was not copied into the image")
            self._installs(step, name, content.decode())

    def _installs(self, step: Instruction, name: str, text: str) -> None:
        """Compares pins with the environment that programs of the image run on."""
        has = {_normal(key): version for key, version in self.installed().items()}
        problems: list[str] = []
        for pin in pins(text):
            if pin.marker is not None and not pin.marker.evaluate():
                continue
            known = has.get(_normal(pin.name))
            if known is None or not pin.specifier.contains(known, prereleases=True):
                problems.append(f"{pin.name}{pin.specifier}: there is {known or 'none'}")
            else:
                self.say(f"  {pin.name} {known}: as in requirements/seed.txt")
        if problems:
            raise DockerError(
                f"line {step.line}: {name} wants what the environment of requirements/seed.txt does"
                " not have, on which the local cloud runs the image's programs:\n  "
                + "\n  ".join(problems)
            )

    def _inside(self, path: str) -> str:
        folder = PurePosixPath(str(self.config.get("WorkingDir") or "/"))
        return os.path.normpath((folder / path).as_posix())

    def _filled(self, text: str) -> str:
        known = {**self._values, **self._variables}

        def value(match: re.Match[str]) -> str:
            name = match[1] or match[4]
            return known.get(name) or (match[3] if match[2] else "") or ""

        return _VARIABLE.sub(value, text)


def pins(text: str) -> Iterator[Requirement]:
    """The requirements of a file; hashes and options of pip are left out.

    Raises:
        DockerError: A line is none.
    """
    for line in text.replace("\\\n", " ").splitlines():
        wanted = re.split(r"\s+--|\s#|^#", line.strip(), maxsplit=1)[0].strip()
        if not wanted or wanted.startswith("-"):
            continue
        try:
            yield Requirement(wanted)
        except InvalidRequirement as error:
            raise DockerError(f"{wanted!r} is no requirement: {error}") from error


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pairs(step: Instruction, text: str) -> dict[str, str]:
    words = shlex.split(text)
    if not words or not all("=" in word for word in words):
        raise DockerError(f"line {step.line}: {step.name} takes NAME=VALUE")
    return dict(word.split("=", 1) for word in words)


def _tar(files: Mapping[str, bytes], modes: Mapping[str, int]) -> bytes:
    """A layer: the same files give the same bytes, so no member has an age."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name.lstrip("/"))
            member.size, member.mode = len(files[name]), modes[name]
            archive.addfile(member, io.BytesIO(files[name]))
    return buffer.getvalue()


def compressed(layer: bytes) -> bytes:
    """A layer as it is pushed."""
    return gzip.compress(layer, mtime=0)


def digest(content: bytes) -> str:
    """What registries know a content by."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _installed() -> Mapping[str, str]:
    done = subprocess.run(
        [str(environments.python("seed")), "-c", _VERSIONS],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return cast(dict[str, str], json.loads(done.stdout))


# -- images on this machine, and registries --------------------------------------------------------


class _Machine:
    """What an engine keeps: images by name, and who signed in to which registry."""

    def __init__(self) -> None:
        self._folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")

    def _path(self, *parts: str) -> Path:
        path = self._folder.joinpath("localcloud", *parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _read(self, name: str) -> dict[str, str]:
        path = self._path(name)
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def _remember(self, name: str, key: str, value: str) -> None:
        path = self._path(name)
        path.write_text(json.dumps({**self._read(name), key: value}), encoding="utf-8")
        path.chmod(0o600)

    def sign_in(self, registry: str, password: str) -> None:
        self._remember("signed-in.json", registry, password)

    def signed_in(self, registry: str) -> bool:
        return registry in self._read("signed-in.json")

    def keep(self, names: Sequence[str], manifest: bytes, blobs: Sequence[bytes]) -> None:
        for blob in (manifest, *blobs):
            self._path("blobs", digest(blob).replace(":", "-")).write_bytes(blob)
        for name in names:
            self._remember("images.json", name, digest(manifest))

    def blob(self, name: str) -> bytes:
        return self._path("blobs", name.replace(":", "-")).read_bytes()

    def manifest(self, name: str) -> bytes:
        known = self._read("images.json").get(name)
        if known is None:
            raise DockerError(f"An image does not exist locally with the tag: {name}")
        return self.blob(known)


def push(ecr: Any, where: Mapping[str, str], tag: str, manifest: bytes, blob: Any) -> str:
    """Puts an image into a repository of ECR; gives its digest.

    Args:
        ecr: A client.
        where: ``registryId`` and ``repositoryName``.
        tag: The image's.
        manifest: Its manifest.
        blob: Gives the content of a digest.

    Raises:
        ClientError: ECR's.
    """
    content: dict[str, Any] = json.loads(manifest)
    parts = [content["config"]["digest"], *(layer["digest"] for layer in content["layers"])]
    told = ecr.batch_check_layer_availability(**where, layerDigests=sorted(set(parts)))
    there = {
        layer["layerDigest"]
        for layer in told.get("layers", ())
        if layer["layerAvailability"] == "AVAILABLE"
    }
    for name in dict.fromkeys(parts):
        if name in there:
            continue
        layer = cast(bytes, blob(name))
        upload = ecr.initiate_layer_upload(**where)["uploadId"]
        for first in range(0, len(layer), _PART_BYTES):
            part = layer[first : first + _PART_BYTES]
            ecr.upload_layer_part(
                **where,
                uploadId=upload,
                partFirstByte=first,
                partLastByte=first + len(part) - 1,
                layerPartBlob=part,
            )
        ecr.complete_layer_upload(**where, uploadId=upload, layerDigests=[name])
    ecr.put_image(
        **where,
        imageTag=tag,
        imageManifest=manifest.decode(),
        imageManifestMediaType=content["mediaType"],
    )
    return digest(manifest)


def _login(given: argparse.Namespace) -> None:
    password = sys.stdin.readline().strip()
    if given.username != "AWS" or not password:
        raise DockerError("ECR takes --username AWS and a password of ecr:GetAuthorizationToken")
    _Machine().sign_in(given.registry, password)
    print("Login Succeeded")


def _build(given: argparse.Namespace) -> None:
    if given.platform not in (None, "linux/amd64"):
        raise DockerError(f"--platform {given.platform}: the local cloud has linux/amd64 only")
    context = Path(given.context)
    file = Path(given.file) if given.file else context / "Dockerfile"
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise DockerError(f"failed to read dockerfile: {error}") from error
    build = Build(context, _named(given.build_arg), _named(given.label), _installed, print)
    build.run(text)
    manifest, config = build.image()
    written = json.dumps(manifest, sort_keys=True).encode()
    _Machine().keep(given.tag, written, [config, *map(compressed, build.layers)])
    print(f"writing image {digest(written)}")


def _named(words: Sequence[str]) -> dict[str, str]:
    return dict((word if "=" in word else f"{word}=").split("=", 1) for word in words)


def _push(given: argparse.Namespace) -> None:
    match = _REFERENCE.fullmatch(given.name)
    if match is None:
        raise DockerError(f"{given.name}: the local cloud pushes to Amazon ECR only, with a tag")
    machine = _Machine()
    manifest = machine.manifest(given.name)
    if not machine.signed_in(match["registry"]):
        raise DockerError(
            f"no basic auth credentials: docker login {match['registry']} comes before"
        )
    ecr = cast(Any, boto3.client("ecr", region_name=match["region"]))
    where = {"registryId": match["account"], "repositoryName": match["repository"]}
    try:
        pushed = push(ecr, where, match["tag"], manifest, machine.blob)
    except (BotoCoreError, ClientError) as error:
        raise DockerError(f"denied: {error}") from error
    print(f"{match['tag']}: digest: {pushed} size: {len(manifest)}")


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="docker", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True)
    login = commands.add_parser("login", allow_abbrev=False)
    login.add_argument("--username", "-u", required=True)
    login.add_argument("--password-stdin", action="store_true", required=True)
    login.add_argument("registry")
    login.set_defaults(work=_login)
    build = commands.add_parser("build", allow_abbrev=False)
    build.add_argument("--tag", "-t", action="append", required=True)
    build.add_argument("--file", "-f")
    build.add_argument("--build-arg", action="append", default=[])
    build.add_argument("--label", action="append", default=[])
    build.add_argument("--platform")
    # Engines add an attestation as a second manifest otherwise, which SageMaker does not take.
    build.add_argument("--provenance", choices=["false"])
    build.add_argument("context")
    build.set_defaults(work=_build)
    push_ = commands.add_parser("push", allow_abbrev=False)
    push_.add_argument("name")
    push_.set_defaults(work=_push)
    return parser.parse_args(list(arguments))


def main(arguments: Sequence[str]) -> int:
    """The command line; 1 when something cannot be done, 2 when it is not known at all."""
    given = _arguments(arguments)
    try:
        given.work(given)
    except DockerError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0
