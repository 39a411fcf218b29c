"""Emulated SageMaker Runtime: predictions of the endpoints that run here."""

from __future__ import annotations

from collections.abc import Callable

from localcloud.emulator.extension import Context, Params, operation
from localcloud.emulator.jobs import endpoints
from localcloud.emulator.jobs.place import Place


@operation("sagemaker-runtime", "InvokeEndpoint")
def invoke(ctx: Context, params: Params) -> Callable[[], Params]:
    """Asks an endpoint's model."""
    return endpoints.invoke(Place.of(ctx), params)
