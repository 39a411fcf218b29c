"""Emulated Model Monitor: schedules that really run their jobs over what endpoints captured."""

from __future__ import annotations

from localcloud.emulator.extension import Context, Params, operation
from localcloud.emulator.jobs import monitoring
from localcloud.emulator.jobs.monitoring_jobs import KINDS, Kind
from localcloud.emulator.jobs.place import Place

_SERVICE = "sagemaker"
_STATES = {"Start": "Scheduled", "Stop": "Stopped"}


def _kind(ctx: Context) -> Kind:
    return next(kind for kind in KINDS.values() if kind.name in ctx.operation)


@operation(_SERVICE, *(f"Create{name}JobDefinition" for name in KINDS))
def create_definition(ctx: Context, params: Params) -> Params:
    """Keeps what a monitoring job does."""
    return monitoring.create_definition(Place.of(ctx), _kind(ctx), params)


@operation(_SERVICE, *(f"Describe{name}JobDefinition" for name in KINDS))
def describe_definition(ctx: Context, params: Params) -> Params:
    """A definition."""
    return monitoring.definition(Place.of(ctx), _kind(ctx), params["JobDefinitionName"])


@operation(_SERVICE, *(f"Delete{name}JobDefinition" for name in KINDS))
def delete_definition(ctx: Context, params: Params) -> Params | None:
    """Removes a definition that no schedule uses."""
    monitoring.delete_definition(Place.of(ctx), _kind(ctx), params["JobDefinitionName"])
    return None


@operation(_SERVICE, *(f"List{name}JobDefinitions" for name in KINDS))
def list_definitions(ctx: Context, params: Params) -> Params:
    """Definitions of the account and region."""
    return monitoring.list_definitions(Place.of(ctx), _kind(ctx), params)


@operation(_SERVICE, "CreateMonitoringSchedule")
def create_schedule(ctx: Context, params: Params) -> Params:
    """Begins to monitor an endpoint."""
    return monitoring.create(Place.of(ctx), params)


@operation(_SERVICE, "DescribeMonitoringSchedule")
def describe_schedule(ctx: Context, params: Params) -> Params:
    """A schedule and its last execution."""
    return monitoring.get(Place.of(ctx), params["MonitoringScheduleName"]).description()


@operation(_SERVICE, "UpdateMonitoringSchedule")
def update_schedule(ctx: Context, params: Params) -> Params:
    """Changes when it runs, and by what."""
    return monitoring.update(Place.of(ctx), params)


@operation(_SERVICE, *(f"{verb}MonitoringSchedule" for verb in _STATES))
def switch_schedule(ctx: Context, params: Params) -> Params | None:
    """Starts or stops a schedule."""
    verb = ctx.operation.removesuffix("MonitoringSchedule")
    monitoring.switch(Place.of(ctx), params["MonitoringScheduleName"], _STATES[verb])
    return None


@operation(_SERVICE, "DeleteMonitoringSchedule")
def delete_schedule(ctx: Context, params: Params) -> Params | None:
    """Ends a schedule."""
    monitoring.delete(Place.of(ctx), params["MonitoringScheduleName"])
    return None


@operation(_SERVICE, "ListMonitoringSchedules")
def list_schedules(ctx: Context, params: Params) -> Params:
    """Schedules of the account and region."""
    return monitoring.list_schedules(Place.of(ctx), params)


@operation(_SERVICE, "ListMonitoringExecutions")
def list_executions(ctx: Context, params: Params) -> Params:
    """Executions of schedules."""
    return monitoring.list_executions(Place.of(ctx), params)
