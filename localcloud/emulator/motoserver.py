"""moto, as the emulator uses it: its settings, its WSGI application, what it implements."""

from __future__ import annotations

import importlib
import inspect
import os
import tempfile
from collections.abc import Iterable
from functools import cache
from typing import Any, cast

# moto reads these when it is imported: this module is imported before any of it.
os.environ.update(
    {
        "MOTO_DISABLE_GLOBAL_CORS": "true",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
        "MOTO_EVENTS_INVOKE_HTTP": "false",
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        "MOTO_LAMBDA_DATA_DIR": os.path.join(tempfile.gettempdir(), "localcloud-lambda"),  # noqa: PTH118
        "MOTO_S3_ALLOW_CROSSACCOUNT_ACCESS": "true",
    }
)
os.environ.pop("MOTO_ACCOUNT_ID", None)

from moto import backends
from moto.core import responses
from moto.core.routing import get_service_router
from moto.core.utils import camelcase_to_underscores, method_names_from_class
from moto.iam.access_control import PermissionResult
from moto.kms import models as kms_models
from moto.kms.utils import generate_private_key
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import FakeBucket
from werkzeug.test import run_wsgi_app

# moto's S3 weighs bucket policies by itself, without conditions and principals. IAM has decided
# before a request gets there.
FakeBucket.get_permission = lambda *_: PermissionResult.PERMITTED  # type: ignore[method-assign]

# moto makes an RSA key for every KMS key, a tenth of a second each, which symmetric ones never use.
_unused_private_key = cache(lambda: generate_private_key("SYMMETRIC_DEFAULT"))


def _needed_private_key(key_spec: str) -> Any:
    if key_spec == "SYMMETRIC_DEFAULT":
        return _unused_private_key()
    return generate_private_key(key_spec)


cast(Any, kms_models).generate_private_key = _needed_private_key

# moto asks a class for its methods, and the disk for moto's own folders, at every request.
cast(Any, responses).method_names_from_class = cache(method_names_from_class)
_folders = tuple(backends.list_of_moto_modules())
cast(Any, backends).list_of_moto_modules = lambda: _folders

ACCOUNT_HEADER = "HTTP_X_MOTO_ACCOUNT_ID"
_MODULES = {"lambda": "awslambda"}

RequestHandler = MotoRequestHandler


class NotServedError(Exception):
    """moto does not implement the operation."""


@cache
def _method_names(service: str) -> frozenset[str] | None:
    name = _MODULES.get(service, service.replace("-", ""))
    try:
        module = importlib.import_module(f"moto.{name}.responses")
    except ModuleNotFoundError:
        return None
    return frozenset(
        method
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__.startswith("moto.") and not cls.__module__.startswith("moto.core")
        for method in dir(cls)
    )


def serves(service: str, operation: str) -> bool:
    """Whether moto implements an operation. For S3, which it routes by hand, always true."""
    names = _method_names(service)
    if names is None:
        return False
    return service in ("s3", "s3control") or camelcase_to_underscores(operation) in names


def warm(services: Iterable[str]) -> None:
    """Reads services' models and modules ahead of the first calls, which would wait for them."""
    for service in services:
        get_service_router(service)
        _method_names(service)


class Moto:
    """moto's server application."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)

    def respond(
        self, environ: dict[str, Any], account: str, service: str, operation: str
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Carries out a request in an account.

        Raises:
            NotServedError: moto does not implement the operation.
        """
        if not serves(service, operation):
            raise NotServedError(f"moto has no method for {service}:{operation}.")
        environ = {**environ, ACCOUNT_HEADER: account}
        try:
            chunks, status, headers = run_wsgi_app(self._app, environ, buffered=True)
        except NotImplementedError as error:
            raise NotServedError(str(error)) from error
        body = b"".join(chunks)
        code = int(status.split(" ", 1)[0])
        # An answer to HEAD has no body, and moto gives it the type of a page.
        head = environ["REQUEST_METHOD"] == "HEAD"
        if code == 404 and not head and headers.get("Content-Type", "").startswith("text/html"):
            raise NotServedError("moto has no route for the request.")
        return code, list(headers.items()), body
