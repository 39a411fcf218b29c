"""Emulated CloudFormation: stacks of custom resources; ``localcloud/emulator/stacks`` runs them.

moto's own stacks would make resources of every kind past IAM, and its custom resources ask its own
functions: none of its operations that make something are served.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from localcloud.emulator import stacks
from localcloud.emulator.compute import ComputeError, Task
from localcloud.emulator.extension import ApiError, Context, Params, operation
from localcloud.emulator.identity import Session
from localcloud.emulator.stacks import Stack, StackError, Stacks, Template, TemplateError

_SERVICE = "cloudformation"
_SESSION_SECONDS = 12 * 3600
_PRINCIPAL = "cloudformation.amazonaws.com"
_NOT_SERVED = ("StackPolicyURL", "StackPolicyDuringUpdateURL", "RollbackConfiguration",
               "ResourceTypes", "RetainResources", "DeploymentConfig", "DisableRollback",
               "TimeoutInMinutes", "EnableTerminationProtection", "RetainExceptOnCreate",
               "StackPolicyBody", "StackPolicyDuringUpdateBody", "DeletionMode",
               "StackSetName")  # fmt: skip


def _stacks(ctx: Context) -> Stacks:
    return cast(Stacks, cast(Any, ctx.host).stacks)


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationError", message, 400)


def _refuse_unserved(params: Params) -> None:
    unserved = [name for name in _NOT_SERVED if params.get(name)]
    if unserved:
        raise _invalid(f"The local cloud does not serve {', '.join(unserved)} of stacks.")


def _template(ctx: Context, params: Params) -> Template:
    given = [name for name in ("TemplateBody", "TemplateURL") if params.get(name)]
    if len(given) != 1:
        raise _invalid("Either Template URL or Template Body must be specified.")
    try:
        body = params.get("TemplateBody") or stacks.read_object(ctx, params["TemplateURL"])
        return stacks.read(body)
    except TemplateError as error:
        raise _invalid(str(error)) from error


def _values(template: Template, params: Params, before: Mapping[str, str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for item in params.get("Parameters") or []:
        name = item["ParameterKey"]
        if item.get("UsePreviousValue"):
            if name not in before:
                raise _invalid(f"Parameter {name} has no previous value.")
            given[name] = before[name]
        else:
            given[name] = item.get("ParameterValue", "")
    try:
        return template.values(given)
    except TemplateError as error:
        raise _invalid(str(error)) from error


def _tags(params: Params) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}


def _find(ctx: Context, name: str) -> Stack:
    found = _stacks(ctx).find(ctx.account, ctx.region, name)
    if found is None:
        raise _invalid(f"Stack with id {name} does not exist")
    return found


def _session(ctx: Context, params: Params, stack: Stack | None = None) -> tuple[Session, str]:
    """Who the stack acts as: its role, once one was given, else the caller. With the role's ARN."""
    host = cast(Any, ctx.host)
    role_arn = str(params.get("RoleARN") or (stack.role_arn if stack else ""))
    if not role_arn:
        return host.credentials.forwarded(ctx.caller, _SESSION_SECONDS), ""
    source = stack.id if stack else ctx.arn(f"stack/{params['StackName']}/*")
    task = Task(
        account=ctx.account,
        region=ctx.region,
        service=_PRINCIPAL,
        role_arn=role_arn,
        session="AWSCloudFormation",
        source_arn=source,
    )
    try:
        host.compute.principal(task)
    except ComputeError as error:
        raise _invalid(f"Role {role_arn} is invalid or cannot be assumed: {error}") from error
    session = host.credentials.issue(
        role_arn.split(":")[4],
        role_name=role_arn.rsplit("/", 1)[-1],
        name=task.session,
        seconds=_SESSION_SECONDS,
    )
    return session, role_arn


@operation(_SERVICE, "CreateStack")
def create_stack(ctx: Context, params: Params) -> Params:
    """Begins to make a stack, in the name of the caller or as the role that it passes."""
    _refuse_unserved(params)
    template = _template(ctx, params)
    values = _values(template, params, {})
    session, role_arn = _session(ctx, params)
    try:
        stack = _stacks(ctx).create(
            params["StackName"],
            ctx.account,
            ctx.region,
            template,
            values,
            _tags(params),
            session,
            params.get("OnFailure", "ROLLBACK"),
            role_arn,
        )
    except StackError as error:
        raise ApiError("AlreadyExistsException", str(error), 400) from error
    return {"StackId": stack.id}


@operation(_SERVICE, "UpdateStack")
def update_stack(ctx: Context, params: Params) -> Params:
    """Begins to change a stack, in the name of the caller or as its role."""
    _refuse_unserved(params)
    stack = _find(ctx, params["StackName"])
    previous = bool(params.get("UsePreviousTemplate"))
    template = stack.template if previous else _template(ctx, params)
    values = _values(template, params, stack.values)
    tags = _tags(params) if "Tags" in params else stack.tags
    session, role_arn = _session(ctx, params, stack)
    try:
        _stacks(ctx).update(stack, template, values, tags, session)
    except StackError as error:
        raise _invalid(str(error)) from error
    stack.role_arn = role_arn
    return {"StackId": stack.id}


@operation(_SERVICE, "DeleteStack")
def delete_stack(ctx: Context, params: Params) -> None:
    """Begins to remove a stack, in the caller's name or as its role; none is a removed one."""
    _refuse_unserved(params)
    stack = _stacks(ctx).find(ctx.account, ctx.region, params["StackName"])
    if stack is None:
        return
    session, _ = _session(ctx, params, stack)
    try:
        _stacks(ctx).delete(stack, session)
    except StackError as error:
        raise _invalid(str(error)) from error


def _shown(stack: Stack) -> Params:
    shown: Params = {
        "StackId": stack.id,
        "StackName": stack.name,
        "Description": stack.template.description,
        "CreationTime": stack.created,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "RoleARN": stack.role_arn,
        "DisableRollback": False,
        "NotificationARNs": [],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": stack.shown(name)}
            for name in stack.template.parameters
        ],
        "Outputs": [
            {
                "OutputKey": name,
                "OutputValue": value,
                **({"Description": description} if description else {}),
            }
            for name, (value, description) in stack.outputs.items()
        ],
        "Tags": [{"Key": key, "Value": value} for key, value in stack.tags.items()],
        "LastUpdatedTime": stack.changed,
        "DeletionTime": stack.removed,
    }
    return {name: value for name, value in shown.items() if value not in (None, "")}


@operation(_SERVICE, "DescribeStacks")
def describe_stacks(ctx: Context, params: Params) -> Params:
    """One stack, or all that stand, in one page."""
    if params.get("StackName"):
        return {"Stacks": [_shown(_find(ctx, params["StackName"]))]}
    standing = _stacks(ctx).of(ctx.account, ctx.region)
    return {"Stacks": [_shown(stack) for stack in standing if stack.status != "DELETE_COMPLETE"]}


@operation(_SERVICE, "ListStacks")
def list_stacks(ctx: Context, params: Params) -> Params:
    """All stacks, those removed among them, in one page."""
    wanted = params.get("StackStatusFilter")
    kept = ("StackId", "StackName", "CreationTime", "LastUpdatedTime", "DeletionTime",
            "StackStatus", "StackStatusReason")  # fmt: skip
    return {
        "StackSummaries": [
            {name: value for name, value in _shown(stack).items() if name in kept}
            for stack in _stacks(ctx).of(ctx.account, ctx.region)
            if not wanted or stack.status in wanted
        ]
    }


@operation(_SERVICE, "DescribeStackEvents")
def describe_events(ctx: Context, params: Params) -> Params:
    """A stack's history, newest first, in one page."""
    stack = _find(ctx, params["StackName"])
    shown: list[Params] = []
    for event in reversed(stack.events):
        item = {
            "StackId": stack.id,
            "EventId": event.id,
            "StackName": stack.name,
            "LogicalResourceId": event.name,
            "PhysicalResourceId": event.physical_id,
            "ResourceType": event.type,
            "Timestamp": event.time,
            "ResourceStatus": event.status,
            "ResourceStatusReason": event.reason,
            "ResourceProperties": event.properties,
        }
        shown.append({name: value for name, value in item.items() if value != ""})
    return {"StackEvents": shown}


@operation(_SERVICE, "DescribeStackResources")
def describe_resources(ctx: Context, params: Params) -> Params:
    """A stack's resources."""
    if not params.get("StackName"):
        raise _invalid("The local cloud lists the resources of one stack: give StackName.")
    stack = _find(ctx, params["StackName"])
    shown: list[Params] = []
    for made in list(stack.resources.values()):
        if params.get("LogicalResourceId") in (None, made.name):
            item = {
                "StackName": stack.name,
                "StackId": stack.id,
                "LogicalResourceId": made.name,
                "PhysicalResourceId": made.physical_id,
                "ResourceType": made.type,
                "Timestamp": made.changed,
                "ResourceStatus": made.status,
                "ResourceStatusReason": made.reason,
            }
            shown.append({name: value for name, value in item.items() if value != ""})
    return {"StackResources": shown}


@operation(_SERVICE, "GetTemplate")
def get_template(ctx: Context, params: Params) -> Params:
    """A stack's template."""
    if not params.get("StackName"):
        raise _invalid("The local cloud has no change sets: give StackName.")
    stack = _find(ctx, params["StackName"])
    return {"TemplateBody": stack.template.body, "StagesAvailable": ["Original", "Processed"]}


def described_parameters(template: Template) -> list[Params]:
    """A template's parameters as ``GetTemplateSummary`` shows them."""
    shown: list[Params] = []
    for parameter in template.parameters.values():
        item: Params = {
            "ParameterKey": parameter.name,
            "ParameterType": parameter.type,
            "NoEcho": parameter.hidden,
        }
        if parameter.default is not None:
            item["DefaultValue"] = parameter.default
        if parameter.rules.get("Description"):
            item["Description"] = str(parameter.rules["Description"])
        allowed = [str(value) for value in parameter.rules.get("AllowedValues", [])]
        item["ParameterConstraints"] = {"AllowedValues": allowed} if allowed else {}
        shown.append(item)
    return shown


@operation(_SERVICE, "GetTemplateSummary")
def get_template_summary(ctx: Context, params: Params) -> Params:
    """What a template asks for and holds."""
    _refuse_unserved(params)
    name = params.get("StackName")
    template = _find(ctx, name).template if name else _template(ctx, params)
    return {
        "Parameters": described_parameters(template),
        "Description": template.description,
        "ResourceTypes": sorted({item.type for item in template.resources.values()}),
        "Version": "2010-09-09",
    }


@operation(_SERVICE, "ValidateTemplate")
def validate_template(ctx: Context, params: Params) -> Params:
    """Whether a template can be made, and its parameters."""
    template = _template(ctx, params)
    kept = ("ParameterKey", "DefaultValue", "NoEcho", "Description")
    return {
        "Description": template.description,
        "Parameters": [
            {name: value for name, value in item.items() if name in kept}
            for item in described_parameters(template)
        ],
    }


@operation(_SERVICE, "SetStackPolicy")
def set_stack_policy(ctx: Context, params: Params) -> None:
    """Refused: updates here ask no stack policy."""
    _find(ctx, params["StackName"])
    raise _invalid("The local cloud does not serve stack policies.")


@operation(
    _SERVICE,
    "CreateChangeSet", "ExecuteChangeSet", "CreateStackSet", "UpdateStackSet",
    "CreateStackInstances", "UpdateStackInstances",
)  # fmt: skip
def not_served(ctx: Context, params: Params) -> None:
    """Refused by name."""
    raise _invalid(
        f"The local cloud does not serve {ctx.operation}, but stacks of custom resources"
        " (CreateStack, UpdateStack, DeleteStack)."
    )
