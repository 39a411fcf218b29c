"""Models: what is served, by whom, and the processes that serve it."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from localcloud.emulator.compute import Compute, ComputeError, Task
from localcloud.emulator.extension import ApiError, Context, Params
from localcloud.emulator.jobs import standins, transfer
from localcloud.emulator.jobs.containers import ML, Bridge, Container
from localcloud.emulator.jobs.images import UnknownImageError, find
from localcloud.emulator.jobs.job import page, puller, refuse, select
from localcloud.emulator.jobs.place import Place, now
from localcloud.emulator.jobs.transfer import Transfer, TransferError

_HEALTH_SECONDS = 180.0
_POLL_SECONDS = 0.05
_SERVER = Path(str(standins.__file__)).parent / "model_server.py"
_OWN_PORT = 8080
"""That an image of one's own serves on. Source: SageMaker developer guide, "Custom inference code
with hosting services"."""
_NOT_HERE = {"AdditionalModelDataSources": "additional model data", "MultiModelConfig": "settings"}


# -- the model resource ----------------------------------------------------------------------------


def create(ctx: Context, params: Params) -> Params:
    """Keeps a model, with what its model package says where it names one."""
    place, name = Place.of(ctx), params["ModelName"]
    arn, models = place.arn(f"model/{name}"), Place.of(ctx).things("models")
    if name in models:
        raise ApiError("ValidationException", f'Cannot create already existing model "{arn}".')
    if params.get("PrimaryContainer") and params.get("Containers"):
        raise ApiError("ValidationException", "Give PrimaryContainer or Containers, not both.")
    given = params.get("Containers") or [params.get("PrimaryContainer") or {}]
    if "ExecutionRoleArn" not in params or not given[0]:
        raise ApiError("ValidationException", "ExecutionRoleArn and a container are required.")
    containers = [
        resolved for container in given for resolved in _resolved(place, _checked(container))
    ]
    task = place.task(params["ExecutionRoleArn"], "SageMaker", arn, [])
    place.environment(task)
    models[name] = {
        "EnableNetworkIsolation": False,
        **{k: v for k, v in params.items() if k not in ("Tags", "PrimaryContainer", "Containers")},
        **(
            {"PrimaryContainer": containers[0]}
            if "PrimaryContainer" in params and len(containers) == 1
            else {"Containers": containers}
        ),
        "ModelArn": arn,
        "CreationTime": now(),
    }
    place.remember_tags(arn, params)
    return {"ModelArn": arn}


def _checked(container: Params) -> Params:
    refuse(container, _NOT_HERE, "models")
    if container.get("Mode") == "MultiModel":
        refuse(container, {"Mode": "several models in one container"}, "models")
    if not container.get("Image") and not container.get("ModelPackageName"):
        raise ApiError("ValidationException", "A container needs an Image or a ModelPackageName.")
    return container


def _resolved(place: Place, container: Params) -> list[Params]:
    """A container, or those of the model package that it names.

    That the caller may use the package was asked with the call, whose account may be another one.
    """
    name = container.get("ModelPackageName")
    if not name:
        return [{"Mode": "SingleModel", **container}]
    parts = name.split(":")
    owner = Place(place.host, parts[4], parts[3]) if len(parts) > 5 else place
    package = owner.client("sagemaker").describe_model_package(ModelPackageName=name)
    if package.get("ModelApprovalStatus") == "Rejected":
        raise ApiError("ValidationException", f"Model package {name} is rejected.")
    members = ("Image", "ModelDataUrl", "ModelDataSource", "Environment", "ContainerHostname")
    return [
        {
            "Mode": "SingleModel",
            **{member: item[member] for member in members if item.get(member)},
            "Environment": {**item.get("Environment", {}), **container.get("Environment", {})},
            "ModelPackageName": name,
        }
        for item in package["InferenceSpecification"]["Containers"]
    ]


def get(place: Place, name: str) -> Params:
    """A model.

    Raises:
        ApiError: There is none.
    """
    model = place.things("models").get(name)
    if model is None:
        arn = place.arn(f"model/{name}")
        raise ApiError("ValidationException", f'Could not find model "{arn}".')
    return model


def delete(place: Place, name: str) -> None:
    """Removes a model; endpoints that serve it go on, as on AWS."""
    arn = get(place, name)["ModelArn"]
    del place.things("models")[name]
    place.forget_tags(arn)


def summaries(place: Place, params: Params) -> Params:
    """A page of models."""
    members = ("ModelName", "ModelArn", "CreationTime")
    chosen = select(list(place.things("models").values()), params, "ModelName")
    return page([{m: item[m] for m in members} for item in chosen], "Models", params)


def containers_of(model: Params) -> list[Params]:
    """The containers of a model, in the order in which a request passes them."""
    return model.get("Containers") or [model["PrimaryContainer"]]


# -- what serves it --------------------------------------------------------------------------------


class ServingError(Exception):
    """A model cannot be served; the message becomes the endpoint's ``FailureReason``."""


@dataclass(frozen=True)
class Answer:
    """What a container answered."""

    status: int
    body: bytes
    content_type: str


class _Connection(http.client.HTTPConnection):
    """HTTP on a Unix socket."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Server:
    """A container that serves a model.

    Args:
        container: With the model in it.
        command: Its program.
        environment: Of its task.
        variables: Its own.
        address: The Unix socket that it serves on.
        bridge: How that socket leads to it, when it serves on a port.
    """

    def __init__(
        self,
        container: Container,
        command: Sequence[str],
        environment: Mapping[str, str],
        variables: Mapping[str, str],
        address: Path,
        bridge: Bridge | None = None,
    ) -> None:
        self.container = container
        self.address = address
        self._start = lambda: container.start(command, environment, variables, bridge)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it is healthy.

        Raises:
            ServingError: It ends, or does not become healthy in time.
        """
        compute = self.container.compute
        self.address.unlink(missing_ok=True)
        self._process = self._start()
        end = time.monotonic() + _HEALTH_SECONDS
        while time.monotonic() < end and not compute.stopping.is_set():
            if self._process.poll() is not None:
                break
            try:
                if self.ask("GET", "/ping", b"", {}, 2.0).status == 200:
                    return
            except OSError:
                time.sleep(_POLL_SECONDS)
        self.end()
        raise ServingError(self.container.failure())

    def ensure(self) -> None:
        """Starts it again when it has ended, as SageMaker does.

        Raises:
            ServingError: It does not become healthy again.
        """
        with self._lock:
            if self._listens():
                return
            self.end()
            self.start()

    def _listens(self) -> bool:
        try:
            return self.ask("GET", "/ping", b"", {}, 2.0).status == 200
        except OSError:
            return False

    def ask(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Answer:
        """One HTTP request.

        Raises:
            OSError: No answer, or not in time (``TimeoutError``).
        """
        connection = _Connection(str(self.address), seconds)
        try:
            connection.request(method, path, body=body, headers=dict(headers))
            response = connection.getresponse()
            content_type = response.getheader("Content-Type") or "application/octet-stream"
            return Answer(response.status, response.read(), content_type)
        except http.client.HTTPException as error:
            raise ConnectionError(f"the container broke off: {error!r}") from error
        finally:
            connection.close()

    def end(self) -> None:
        """Ends it."""
        process, self._process = self._process, None
        if process is not None:
            self.container.compute.end(process)


def serve(place: Place, model: Params, task: Task, where: str, batch: bool = False) -> list[Server]:
    """Starts a model's containers.

    Args:
        place: Where.
        model: As :func:`get` gives it.
        task: What they run as.
        where: What serves it, for messages: ``production variant X``.
        batch: Whether it is for a transform job.

    Raises:
        ServingError: The artifact cannot be had, or a container does not become healthy.
    """
    try:
        environment = place.compute.environment(task)
    except ComputeError as error:
        raise ServingError(str(error)) from error
    servers: list[Server] = []
    try:
        for number, given in enumerate(containers_of(model), 1):
            server = _server(place, model, given, environment, task, number, batch=batch)
            servers.append(server)
            try:
                server.start()
            except ServingError as error:
                which = "primary" if number == 1 else f"{number}."
                raise ServingError(
                    f"The {which} container for {where} did not pass the ping health check."
                    f" Please check CloudWatch logs for this endpoint. Its last words: {error}"
                ) from error
    except ServingError:
        end(servers)
        raise
    return servers


def end(servers: Sequence[Server]) -> None:
    """Ends containers and forgets their files."""
    for server in servers:
        server.end()
        server.address.unlink(missing_ok=True)
        server.container.remove()


def pass_through(
    servers: Sequence[Server], body: bytes, headers: Mapping[str, str], seconds: float
) -> Answer:
    """Passes a request through the containers of a model, each given the answer of the last.

    Raises:
        OSError: No answer, or not in time (``TimeoutError``).
        ServingError: A container has ended and cannot be started again.
    """
    answer = Answer(200, body, headers.get("Content-Type", ""))
    for server in servers:
        given = {**headers, "Content-Type": answer.content_type}
        try:
            answer = server.ask("POST", "/invocations", answer.body, given, seconds)
        except (ConnectionRefusedError, FileNotFoundError):
            # The request did not get there: the container has ended, and is started again.
            server.ensure()
            answer = server.ask("POST", "/invocations", answer.body, given, seconds)
        if answer.status >= 400:
            break
    return answer


def _server(
    place: Place,
    model: Params,
    given: Params,
    environment: Mapping[str, str],
    task: Task,
    number: int,
    *,
    batch: bool,
) -> Server:
    compute: Compute = place.compute
    short = uuid.uuid4().hex[:12]
    try:
        image = find(given["Image"], puller(place, task))
    except UnknownImageError as error:
        raise ServingError(str(error)) from error
    isolated = bool(model.get("EnableNetworkIsolation"))
    container = Container(compute, image, compute.folder / "models" / short, isolated)
    read = Transfer(environment, task.role_arn)
    try:
        _fetch_model(read, given, container)
        variables = dict(given.get("Environment") or {})
        submitted = variables.get("SAGEMAKER_SUBMIT_DIRECTORY", "")
        if submitted.startswith("s3://"):
            archive = container.folder / "code.tar.gz"
            read.fetch(submitted, archive)
            transfer.unpack(archive, container.path(f"{ML}/code"))
    except TransferError as error:
        container.remove()
        url = given.get("ModelDataUrl") or given.get("ModelDataSource")
        raise ServingError(
            f'Failed to download model data for container "container_{number}" from URL: "{url}".'
            " Please ensure that there is an object located at the URL and that the role passed to"
            f" CreateModel has permissions to download the object. {error}"
        ) from error
    sockets = compute.folder / "s"
    sockets.mkdir(exist_ok=True)
    address = sockets / short
    if image.program is not None:
        # Where it has no network of its own, the port that images are told of is not free.
        port = _OWN_PORT if container.own_network else _free_port()
        told = {} if container.own_network else {"SAGEMAKER_BIND_TO_PORT": str(port)}
        return Server(
            container,
            # Source: SageMaker developer guide, "Custom inference code with hosting services".
            image.program.words("serve"),
            environment,
            {**variables, **told, "SAGEMAKER_BATCH": str(batch)},
            address,
            Bridge(address, port),
        )
    whole = {
        **variables,
        "LOCALCLOUD_MODEL": f"{ML}/model",
        "LOCALCLOUD_CODE": f"{ML}/code",
        "SM_MODEL_DIR": f"{ML}/model",
        "SAGEMAKER_BATCH": str(batch),
    }
    command = ["python", str(_SERVER), image.framework, str(address)]
    return Server(container, command, environment, whole, address)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_COMPRESSED = re.compile(r"\.tar\.gz$|\.tgz$")


def _fetch_model(read: Transfer, given: Params, container: Container) -> None:
    folder = container.path(f"{ML}/model")
    folder.mkdir(parents=True, exist_ok=True)
    source = cast("dict[str, Any]", (given.get("ModelDataSource") or {}).get("S3DataSource") or {})
    uri = str(given.get("ModelDataUrl") or source.get("S3Uri") or "")
    if not uri:
        return
    if source.get("CompressionType") == "None":
        read.download(uri, folder)
        return
    if not _COMPRESSED.search(uri):
        raise TransferError(f"{uri} is not a .tar.gz archive.")
    archive = container.folder / "model.tar.gz"
    read.fetch(uri, archive)
    transfer.unpack(archive, folder)
