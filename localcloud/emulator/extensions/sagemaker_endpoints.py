"""Emulated SageMaker models, endpoint configurations and endpoints, which really serve."""

from __future__ import annotations

from collections.abc import Callable

from localcloud.emulator.extension import Context, Params, operation
from localcloud.emulator.jobs import endpoints, models
from localcloud.emulator.jobs.place import Place

_SERVICE = "sagemaker"


@operation(_SERVICE, "CreateModel")
def create_model(ctx: Context, params: Params) -> Params:
    """Keeps a model; nothing is read before an endpoint or a job serves it."""
    return models.create(ctx, params)


@operation(_SERVICE, "DescribeModel")
def describe_model(ctx: Context, params: Params) -> Params:
    """A model."""
    return models.get(Place.of(ctx), params["ModelName"])


@operation(_SERVICE, "DeleteModel")
def delete_model(ctx: Context, params: Params) -> Params | None:
    """Removes a model."""
    models.delete(Place.of(ctx), params["ModelName"])
    return None


@operation(_SERVICE, "ListModels")
def list_models(ctx: Context, params: Params) -> Params:
    """Models of the account and region."""
    return models.summaries(Place.of(ctx), params)


@operation(_SERVICE, "CreateEndpointConfig")
def create_config(ctx: Context, params: Params) -> Params:
    """Keeps an endpoint configuration."""
    return endpoints.create_config(Place.of(ctx), params)


@operation(_SERVICE, "DescribeEndpointConfig")
def describe_config(ctx: Context, params: Params) -> Params:
    """An endpoint configuration."""
    return endpoints.get_config(Place.of(ctx), params["EndpointConfigName"])


@operation(_SERVICE, "DeleteEndpointConfig")
def delete_config(ctx: Context, params: Params) -> Params | None:
    """Removes an endpoint configuration."""
    endpoints.delete_config(Place.of(ctx), params["EndpointConfigName"])
    return None


@operation(_SERVICE, "ListEndpointConfigs")
def list_configs(ctx: Context, params: Params) -> Params:
    """Endpoint configurations of the account and region."""
    return endpoints.list_configs(Place.of(ctx), params)


@operation(_SERVICE, "CreateEndpoint")
def create_endpoint(ctx: Context, params: Params) -> Params:
    """Begins to serve an endpoint configuration."""
    return endpoints.create(Place.of(ctx), params)


@operation(_SERVICE, "UpdateEndpoint")
def update_endpoint(ctx: Context, params: Params) -> Callable[[], Params]:
    """Begins a blue/green update."""
    return endpoints.update(Place.of(ctx), params)


@operation(_SERVICE, "UpdateEndpointWeightsAndCapacities")
def update_weights(ctx: Context, params: Params) -> Params:
    """Changes weights and instance counts of variants."""
    return endpoints.reweigh(Place.of(ctx), params)


@operation(_SERVICE, "DescribeEndpoint")
def describe_endpoint(ctx: Context, params: Params) -> Params:
    """An endpoint as it is now."""
    return endpoints.get(Place.of(ctx), params["EndpointName"]).description()


@operation(_SERVICE, "DeleteEndpoint")
def delete_endpoint(ctx: Context, params: Params) -> Callable[[], Params]:
    """Ends an endpoint."""
    return endpoints.delete(Place.of(ctx), params["EndpointName"])


@operation(_SERVICE, "ListEndpoints")
def list_endpoints(ctx: Context, params: Params) -> Params:
    """Endpoints of the account and region."""
    return endpoints.summaries(Place.of(ctx), params)
