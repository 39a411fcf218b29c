"""Stands in for the serving side of AWS's XGBoost, scikit-learn, PyTorch and Hugging Face images.

Serves ``GET /ping``, ``POST /invocations`` and ``GET /execution-parameters`` on a Unix socket, from
``/opt/ml/model``. Without a script it answers as the built-in XGBoost does; a script named by
``SAGEMAKER_PROGRAM`` may define ``model_fn``, ``input_fn``, ``predict_fn``, ``output_fn`` or
``transform_fn``. Run by the interpreter that stands for the image: ``model_server.py FRAMEWORK
SOCKET``. Source: SageMaker developer guide, "Input/Output Interface for the XGBoost Algorithm";
SageMaker Python SDK, "Deploy Open Source XGBoost Models"; SageMaker Hugging Face Inference Toolkit.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import os
import pickle
import socketserver
import sys
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

_CSV, _JSON, _NPY = "text/csv", "application/json", "application/x-npy"
_LIBSVM = ("text/libsvm", "text/x-libsvm")
_TEXTS = (_CSV, _JSON, *_LIBSVM, "text/plain", "application/jsonlines")
_MODEL_FILE = "xgboost-model"


class UnsupportedError(Exception):
    """A content type that nothing here reads or writes."""


class BadInputError(Exception):
    """An input that is not what its content type says."""


def _numbers(text: str) -> Any:
    numpy: Any = importlib.import_module("numpy")
    rows = [line.split(",") for line in text.strip().splitlines() if line.strip()]
    try:
        return numpy.array([[float(value or "nan") for value in row] for row in rows])
    except ValueError as error:
        raise BadInputError(f"The CSV is not a table of numbers: {error}") from error


def _libsvm(text: str, features: int | None) -> Any:
    datasets: Any = importlib.import_module("sklearn.datasets")
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    # A row to predict on may come with its label, or without one.
    labelled = [line if ":" not in line.split()[0] else f"0 {line}" for line in lines]
    try:
        return datasets.load_svmlight_file(
            io.BytesIO("\n".join(labelled).encode()), n_features=features, zero_based=True
        )[0]
    except ValueError as error:
        raise BadInputError(f"The rows are not libsvm: {error}") from error


class Xgboost:
    """What the XGBoost image does by itself."""

    default_accept = _CSV

    def model_fn(self, folder: str) -> Any:
        """Loads the model file, in xgboost's own format or pickled."""
        xgboost: Any = importlib.import_module("xgboost")
        files = sorted(path for path in Path(folder).iterdir() if path.is_file())
        named = [path for path in files if path.name == _MODEL_FILE]
        if not files:
            raise FileNotFoundError(f"The model archive has no {_MODEL_FILE}.")
        path = (named or files)[0]
        booster = xgboost.Booster()
        try:
            booster.load_model(bytearray(path.read_bytes()))
        except xgboost.core.XGBoostError:
            # The image takes pickled boosters too. It is the user's own model, in a sandbox.
            booster = pickle.loads(path.read_bytes())  # noqa: S301
        return booster

    def input_fn(self, data: Any, content_type: str) -> Any:
        """Rows, without label."""
        xgboost: Any = importlib.import_module("xgboost")
        if content_type == _CSV:
            return xgboost.DMatrix(_numbers(data))
        if content_type in _LIBSVM:
            return xgboost.DMatrix(_libsvm(data, None))
        raise UnsupportedError(f"Content-type {content_type} is not supported.")

    def predict_fn(self, data: Any, model: Any) -> Any:
        """Predictions; rows that lack the model's last features get them missing."""
        xgboost: Any = importlib.import_module("xgboost")
        if data.num_col() > model.num_features():
            raise BadInputError(
                f"Feature size of inference data {data.num_col()} is larger than that of the"
                f" trained model {model.num_features()}."
            )
        try:
            return model.predict(data, validate_features=False)
        except xgboost.core.XGBoostError as error:
            raise BadInputError(str(error).splitlines()[0]) from error

    def output_fn(self, prediction: Any, accept: str) -> Any:
        """CSV, or JSON with a score for each row."""
        values = prediction.tolist()
        if accept == _CSV:
            if os.environ.get("SAGEMAKER_BATCH") == "True":
                return "\n".join(_line(value) for value in values) + "\n"
            separator = "\n" if values and isinstance(values[0], list) else ","
            return separator.join(_line(value) for value in values)
        if accept == _JSON:
            return json.dumps({"predictions": [{"score": value} for value in values]})
        raise UnsupportedError(f"Accept type {accept} is not supported.")


class Sklearn:
    """What the scikit-learn image does by itself: everything but loading the model."""

    default_accept = _JSON

    def model_fn(self, folder: str) -> Any:
        """Left to the script, as in the image."""
        raise NotImplementedError("Please provide a model_fn implementation in your script.")

    def input_fn(self, data: Any, content_type: str) -> Any:
        """CSV, JSON or NumPy."""
        numpy: Any = importlib.import_module("numpy")
        if content_type == _CSV:
            return _numbers(data)
        if content_type == _JSON:
            return numpy.array(json.loads(data))
        if content_type == _NPY:
            return numpy.load(io.BytesIO(data), allow_pickle=False)
        raise UnsupportedError(f"Content-type {content_type} is not supported.")

    def predict_fn(self, data: Any, model: Any) -> Any:
        """Predictions."""
        return model.predict(data)

    def output_fn(self, prediction: Any, accept: str) -> Any:
        """JSON, CSV or NumPy."""
        numpy: Any = importlib.import_module("numpy")
        values = numpy.asarray(prediction)
        if accept == _JSON:
            return json.dumps(values.tolist())
        if accept == _CSV:
            return "\n".join(_line(value) for value in values.tolist())
        if accept == _NPY:
            buffer = io.BytesIO()
            numpy.save(buffer, values)
            return buffer.getvalue()
        raise UnsupportedError(f"Accept type {accept} is not supported.")


class Pytorch(Sklearn):
    """What the PyTorch image does by itself: a TorchScript model of tensors of numbers.

    Source: SageMaker PyTorch Inference Toolkit, default inference handler.
    """

    program = "inference.py"

    def model_fn(self, folder: str) -> Any:
        """Loads ``model.pth``, which is TorchScript: anything else needs a script."""
        torch: Any = importlib.import_module("torch")
        path = Path(folder) / "model.pth"
        if not path.is_file():
            raise FileNotFoundError(
                "The model archive has neither code/inference.py nor model.pth, a TorchScript model"
            )
        return torch.jit.load(str(path), map_location="cpu").eval()

    def input_fn(self, data: Any, content_type: str) -> Any:
        """CSV, JSON or NumPy, as a tensor."""
        torch: Any = importlib.import_module("torch")
        return torch.as_tensor(super().input_fn(data, content_type), dtype=torch.float32)

    def predict_fn(self, data: Any, model: Any) -> Any:
        """Predictions."""
        torch: Any = importlib.import_module("torch")
        with torch.no_grad():
            return model(data)


class Huggingface:
    """What the Hugging Face image does by itself, without its pipelines by ``HF_TASK``."""

    default_accept = _JSON
    program = "inference.py"
    # Whatever goes wrong in a script is the request's fault, says the image.
    failure = 400

    def model_fn(self, folder: str) -> Any:
        """Left to the script: the pipelines that the image chooses by a task are not here."""
        raise NotImplementedError(
            "The local cloud serves Hugging Face models by code/inference.py of their archive; it"
            " has no pipelines by HF_TASK."
        )

    def input_fn(self, data: Any, content_type: str) -> Any:
        """JSON."""
        if content_type != _JSON:
            raise UnsupportedError(f"Content-type {content_type} is not supported.")
        return json.loads(data)

    def predict_fn(self, data: Any, model: Any) -> Any:
        """The model is a function of what ``inputs`` holds."""
        return model(data.get("inputs", data), **data.get("parameters", {}))

    def output_fn(self, prediction: Any, accept: str) -> Any:
        """JSON."""
        if accept != _JSON:
            raise UnsupportedError(f"Accept type {accept} is not supported.")
        return json.dumps(prediction)


def _line(value: Any) -> str:
    return ",".join(str(item) for item in value) if isinstance(value, list) else str(value)


_IMAGES: dict[str, Callable[[], Any]] = {
    "xgboost": Xgboost,
    "sklearn": Sklearn,
    "pytorch": Pytorch,
    "huggingface": Huggingface,
}


def _script(program: str) -> Any:
    """The module of a script, None without one.

    Args:
        program: The script that the image takes when ``SAGEMAKER_PROGRAM`` names none.
    """
    program = os.environ.get("SAGEMAKER_PROGRAM") or program
    if not program:
        return None
    base = Path(os.environ["LOCALCLOUD_MODEL"])
    for folder in (Path(os.environ["LOCALCLOUD_CODE"]), base / "code", base):
        path = folder / program
        if path.is_file():
            sys.path.insert(0, str(path.parent))
            spec = importlib.util.spec_from_file_location(path.stem, path)
            if spec is None or spec.loader is None:
                break
            module = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = module
            spec.loader.exec_module(module)
            return module
    if not os.environ.get("SAGEMAKER_PROGRAM"):
        return None  # the image's own functions say what is missing
    raise FileNotFoundError(f"SAGEMAKER_PROGRAM {program} is neither in code/ nor in the archive.")


class Model:
    """The model with its four functions.

    Args:
        framework: Whose defaults it has.
        folder: The model's files.
    """

    def __init__(self, framework: str, folder: str) -> None:
        image = _IMAGES[framework]()
        script = _script(getattr(image, "program", ""))
        self.failure = int(getattr(image, "failure", 500))
        self._functions: dict[str, Callable[..., Any]] = {
            name: getattr(script, name, None) or getattr(image, name)
            for name in ("model_fn", "input_fn", "predict_fn", "output_fn")
        }
        self._transform = getattr(script, "transform_fn", None)
        self._default = os.environ.get(
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", str(image.default_accept)
        )
        self._model = self._functions["model_fn"](folder)

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """A response's body and content type."""
        kind = content_type.split(";")[0].strip().lower() or _CSV
        wanted = accept if accept not in ("", "*/*") else self._default
        data = body.decode() if kind in _TEXTS else body
        if self._transform:
            given = self._transform(self._model, data, kind, wanted)
        else:
            rows = self._functions["input_fn"](data, kind)
            result = self._functions["predict_fn"](rows, self._model)
            given = self._functions["output_fn"](result, wanted)
        # A script may return its body alone, or with the content type.
        written, wanted = given if isinstance(given, tuple) else (given, wanted)
        return written.encode() if isinstance(written, str) else bytes(written), wanted


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """HTTP on a Unix socket, so that a process without a network can be asked."""

    daemon_threads = True
    request_queue_size = 64
    model: Model


class Handler(BaseHTTPRequestHandler):
    """The container's three routes."""

    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        """Who asks: a Unix socket's peer has no address."""
        return "local"

    def log_message(self, format: str, *args: Any) -> None:
        """Writes requests to the log, health checks aside."""
        if "/ping" not in str(args[:1]):
            print(format % args, flush=True)

    def _send(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Health, and what batch transform may ask of the container."""
        if self.path == "/ping":
            self._send(200, b"", _JSON)
        elif self.path == "/execution-parameters":
            given = {
                "MaxConcurrentTransforms": 1,
                "BatchStrategy": "MULTI_RECORD",
                "MaxPayloadInMB": 6,
            }
            self._send(200, json.dumps(given).encode(), _JSON)
        else:
            self._send(404, b"", _JSON)

    def do_POST(self) -> None:
        """A prediction."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/invocations":
            self._send(404, b"", _JSON)
            return
        try:
            given, kind = cast(Server, self.server).model.answer(
                body, self.headers.get("Content-Type", ""), self.headers.get("Accept", "")
            )
            self._send(200, given, kind)
        except UnsupportedError as error:
            self._send(415, str(error).encode(), "text/plain")
        except (BadInputError, UnicodeDecodeError) as error:
            self._send(400, str(error).encode(), "text/plain")
        except Exception as error:
            traceback.print_exc()
            status = cast(Server, self.server).model.failure
            self._send(status, f"{type(error).__name__}: {error}".encode(), "text/plain")


def main() -> None:
    """Loads the model and serves it until the process is ended."""
    framework, socket_path = sys.argv[1:3]
    print(f"Stand-in of the local cloud for the serving of AWS's {framework} image", flush=True)
    model = Model(framework, os.environ["LOCALCLOUD_MODEL"])
    with Server(socket_path, Handler) as server:
        server.model = model
        print("The model is loaded.", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
