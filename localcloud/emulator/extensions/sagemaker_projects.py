"""Emulated SageMaker projects: from a template in S3, or from a product of Service Catalog.

SageMaker acts in the name of whoever asks: it makes, changes and removes a project's stack, whose
role it passes on, or launches, updates and terminates the product. The template or product gets the
project's name and id as the parameters ``SageMakerProjectName`` and ``SageMakerProjectId``; of a
template's parameters those that it declares, since CloudFormation refuses others.

Source: SageMaker API reference, CreateProject, UpdateProject and DescribeProject; names of stacks
and tags: SageMaker developer guide, projects.
"""

from __future__ import annotations

import logging
import secrets
import string
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import acting, stacks
from localcloud.emulator.compute import Compute, ComputeError
from localcloud.emulator.extension import ApiError, Caller, Context, Params, operation
from localcloud.emulator.identity import Session

_log = logging.getLogger(__name__)

_SERVICE = "sagemaker"
_CHARACTERS = string.ascii_lowercase + string.digits
_POLL_SECONDS = 0.2
_SESSION_SECONDS = 12 * 3600
_LONGEST_MESSAGE = 4096

Project = dict[str, Any]
Work = Callable[[Project, "_Acting"], str]
"""Does what is asked; gives what went wrong, empty when nothing did."""


def _wrong(message: str) -> ApiError:
    return ApiError("ValidationException", message)


def _projects(ctx: Context) -> dict[str, Project]:
    return ctx.store(_SERVICE).setdefault("projects", {})


def _tags(ctx: Context) -> dict[str, dict[str, str]]:
    return ctx.store(_SERVICE).setdefault("tags", {})


def _get(ctx: Context, params: Params) -> Project:
    project = _projects(ctx).get(params["ProjectName"])
    if project is None:
        raise _wrong(f"Project {params['ProjectName']} does not exist.")
    return project


def _free(project: Project) -> None:
    status = project["detail"]["ProjectStatus"]
    if status.endswith("InProgress"):
        raise ApiError(
            "ConflictException",
            f"Project {project['detail']['ProjectName']} is {status}: wait until that is done.",
        )


class _Acting:
    """Acts in a caller's name.

    Args:
        ctx: The call that asks.
    """

    def __init__(self, ctx: Context) -> None:
        host = cast(Any, ctx.host)
        self._session: Session = host.credentials.forwarded(ctx.caller, _SESSION_SECONDS)
        self.compute: Compute = host.compute
        self.stacks: stacks.Stacks = host.stacks
        self.account, self.region = ctx.account, ctx.region

    def client(self, service: str) -> Any:
        """A client with the caller's rights."""
        keys = (self._session.access_key, self._session.secret, self._session.token)
        return acting.client(service, keys, region=self.region, endpoint=self.compute.endpoint)

    def pause(self) -> None:
        """Waits a moment.

        Raises:
            ComputeError: The emulator ends.
        """
        if self.compute.stopping.is_set():
            raise ComputeError("The local cloud ends.")
        time.sleep(_POLL_SECONDS)


def _begin(ctx: Context, project: Project, verb: str, work: Work) -> None:
    """Runs work in a thread; the project's status tells how it goes."""
    acting, projects = _Acting(ctx), _projects(ctx)
    project["detail"]["ProjectStatus"] = f"{verb}InProgress"

    def run() -> None:
        try:
            told = work(project, acting)
        except (ClientError, BotoCoreError, ComputeError) as error:
            told = str(error)
        except Exception as error:
            _log.exception("%s failed", project["detail"]["ProjectArn"])
            told = f"The local cloud failed: {error!r}"
        _tell(project, told or f"{verb} completed.")
        if not told and verb == "Delete":
            projects.pop(project["detail"]["ProjectName"], None)
        # Last: who sees it finds all the rest done.
        project["detail"]["ProjectStatus"] = f"{verb}{'Failed' if told else 'Completed'}"

    threading.Thread(target=run, name=project["detail"]["ProjectId"], daemon=True).start()


def _tell(project: Project, message: str) -> None:
    message = " ".join(message.split())[:_LONGEST_MESSAGE]
    provider = _provider(project)
    if provider is not None:
        provider["StackDetail"] = {**provider["StackDetail"], "StatusMessage": message}
    else:
        member = "ServiceCatalogProvisionedProductDetails"
        product = project["detail"][member]
        project["detail"][member] = {**product, "ProvisionedProductStatusMessage": message}


def _provider(project: Project) -> dict[str, Any] | None:
    """What a project keeps of its template in S3; None for one of Service Catalog."""
    details = project["detail"].get("TemplateProviderDetails")
    return details[0]["CfnTemplateProviderDetail"] if details else None


def _who(caller: Caller) -> Params:
    identity = {"Arn": caller.arn, "PrincipalId": caller.principal_arn}
    if caller.source_identity:
        identity["SourceIdentity"] = caller.source_identity
    who: Params = {"IamIdentity": identity}
    if caller.user_profile:
        _, domain, profile = caller.user_profile.rsplit("/", 2)
        who |= {
            "UserProfileArn": caller.user_profile,
            "UserProfileName": profile,
            "DomainId": domain,
        }
    return who


def _given_tags(params: Params) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("Tags") or []}


def _listed(values: Mapping[str, str]) -> list[Params]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def _values(given: list[Params] | None) -> dict[str, str]:
    return {item["Key"]: item.get("Value", "") for item in given or []}


def _own(project: Project) -> dict[str, str]:
    """The parameters that SageMaker fills in itself."""
    return {
        "SageMakerProjectName": project["detail"]["ProjectName"],
        "SageMakerProjectId": project["detail"]["ProjectId"],
    }


@operation(_SERVICE, "CreateProject")
def create_project(ctx: Context, params: Params) -> Params:
    """Begins to make a project."""
    name = params["ProjectName"]
    ways = [w for w in ("TemplateProviders", "ServiceCatalogProvisioningDetails") if params.get(w)]
    if len(ways) != 1:
        raise _wrong(
            "A project is made from one of TemplateProviders and"
            " ServiceCatalogProvisioningDetails: give one."
        )
    if name in _projects(ctx):
        raise _wrong(f"Project {name} already exists.")
    identity = "p-" + "".join(secrets.choice(_CHARACTERS) for _ in range(12))
    arn = ctx.arn(f"project/{name}")
    detail: Params = {
        "ProjectArn": arn,
        "ProjectName": name,
        "ProjectId": identity,
        "ProjectStatus": "Pending",
        "CreatedBy": _who(ctx.caller),
        "CreationTime": ctx.now(),
    }
    if params.get("ProjectDescription"):
        detail["ProjectDescription"] = params["ProjectDescription"]
    project: Project = {"detail": detail, "tags": _given_tags(params)}
    work: Work
    if ways == ["TemplateProviders"]:
        given = params["TemplateProviders"][0].get("CfnTemplateProvider")
        if not given:
            raise _wrong("A template provider names a template: CfnTemplateProvider.")
        # Threads replace members while others are shown the project: they are all there from now.
        kept = {"Parameters": [], **given, "StackDetail": {"StatusMessage": "Pending."}}
        detail["TemplateProviderDetails"] = [{"CfnTemplateProviderDetail": kept}]
        work = _make_stack(ctx, project)
    else:
        detail["ServiceCatalogProvisioningDetails"] = params["ServiceCatalogProvisioningDetails"]
        detail["ServiceCatalogProvisionedProductDetails"] = {}
        work = _launch
    _projects(ctx)[name] = project
    _tags(ctx)[arn] = {**project["tags"], **_project_tags(project)}
    _begin(ctx, project, "Create", work)
    return {"ProjectArn": arn, "ProjectId": identity}


def _project_tags(project: Project) -> dict[str, str]:
    return {
        "sagemaker:project-name": project["detail"]["ProjectName"],
        "sagemaker:project-id": project["detail"]["ProjectId"],
    }


@operation(_SERVICE, "DescribeProject")
def describe_project(ctx: Context, params: Params) -> Params:
    """A project; what went wrong is the message of its stack or product."""
    return _get(ctx, params)["detail"]


@operation(_SERVICE, "ListProjects")
def list_projects(ctx: Context, params: Params) -> Params:
    """An account's projects, by name or by when they were made, in one page."""
    members = ("ProjectName", "ProjectDescription", "ProjectArn", "ProjectId", "CreationTime",
               "ProjectStatus")  # fmt: skip
    by = "ProjectName" if params.get("SortBy") == "Name" else "CreationTime"
    after, before = params.get("CreationTimeAfter"), params.get("CreationTimeBefore")
    found = [
        {member: detail[member] for member in members if member in detail}
        for detail in (project["detail"] for project in list(_projects(ctx).values()))
        if params.get("NameContains", "") in detail["ProjectName"]
        and (after is None or detail["CreationTime"] > after)
        and (before is None or detail["CreationTime"] < before)
    ]
    descending = params.get("SortOrder") == "Descending"
    return {"ProjectSummaryList": sorted(found, key=lambda d: d[by], reverse=descending)}


@operation(_SERVICE, "UpdateProject")
def update_project(ctx: Context, params: Params) -> Params:
    """Changes a project: its description and tags at once, what it is made from in a moment."""
    project = _get(ctx, params)
    _free(project)
    detail, provider = project["detail"], _provider(project)
    new = params.get("TemplateProvidersToUpdate")
    changed = params.get("ServiceCatalogProvisioningUpdateDetails")
    if (new and provider is None) or (changed and provider is not None):
        raise _wrong(f"Project {detail['ProjectName']} was not made from that: it stays with it.")
    work: Work | None = None
    if new:
        given = new[0].get("CfnTemplateProvider") or {}
        if given.get("TemplateName") != cast(Params, provider)["TemplateName"]:
            raise _wrong(f"Project {detail['ProjectName']} has no template of that name.")
        work = _change_stack(ctx, project, given)
    elif changed:
        work = _change_product(changed)
    if "ProjectDescription" in params:
        detail["ProjectDescription"] = params["ProjectDescription"]
    project["tags"] |= _given_tags(params)
    _tags(ctx)[detail["ProjectArn"]] |= _given_tags(params)
    detail |= {"LastModifiedTime": ctx.now(), "LastModifiedBy": _who(ctx.caller)}
    if work:
        _begin(ctx, project, "Update", work)
    return {"ProjectArn": detail["ProjectArn"]}


@operation(_SERVICE, "DeleteProject")
def delete_project(ctx: Context, params: Params) -> None:
    """Begins to remove a project with what it was made of."""
    project = _get(ctx, params)
    _free(project)
    _begin(ctx, project, "Delete", _terminate if _provider(project) is None else _remove_stack)


# From templates in S3.


def _stack_name(project: Project) -> str:
    return f"SP-{project['detail']['ProjectId']}"


def _declared(ctx: Context, url: str) -> tuple[frozenset[str], str]:
    """The parameters that a template declares; or what is wrong with it."""
    try:
        template = stacks.read(stacks.read_object(ctx, url))
    except stacks.TemplateError as error:
        return frozenset(), str(error)
    return frozenset(template.parameters), ""


def _parameters(values: Mapping[str, str]) -> list[Params]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]


def _make_stack(ctx: Context, project: Project) -> Work:
    provider = cast(Params, _provider(project))
    declared, wrong = _declared(ctx, provider["TemplateURL"])
    own = {name: value for name, value in _own(project).items() if name in declared}
    values = {**_values(provider.get("Parameters")), **own}

    def work(project: Project, acting: _Acting) -> str:
        if wrong:
            return wrong
        client, name = acting.client("cloudformation"), _stack_name(project)
        role = {"RoleARN": provider["RoleARN"]} if provider.get("RoleARN") else {}
        made = client.create_stack(
            StackName=name,
            TemplateURL=provider["TemplateURL"],
            Parameters=_parameters(values),
            Tags=_listed({**project["tags"], **_project_tags(project)}),
            **role,
        )
        provider["StackDetail"] = {
            "Name": name,
            "Id": made["StackId"],
            "StatusMessage": "CREATE_IN_PROGRESS",
        }
        return _ended(acting, client, made["StackId"], "CREATE_COMPLETE")

    return work


def _change_stack(ctx: Context, project: Project, given: Params) -> Work:
    provider = cast(Params, _provider(project))
    declared, wrong = _declared(ctx, given["TemplateURL"])
    kept = {k: v for k, v in _values(provider.get("Parameters")).items() if k in declared}
    own = {name: value for name, value in _own(project).items() if name in declared}
    values = {**kept, **_values(given.get("Parameters"))}

    def work(project: Project, acting: _Acting) -> str:
        if wrong:
            return wrong
        stack = provider["StackDetail"].get("Id")
        if not stack:
            return "The project has no stack that could be changed: delete it."
        client = acting.client("cloudformation")
        role = {"RoleARN": provider["RoleARN"]} if provider.get("RoleARN") else {}
        try:
            client.update_stack(
                StackName=stack,
                TemplateURL=given["TemplateURL"],
                Parameters=_parameters({**values, **own}),
                Tags=_listed({**project["tags"], **_project_tags(project)}),
                **role,
            )
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            return ""
        told = _ended(acting, client, stack, "UPDATE_COMPLETE")
        if not told:
            provider["TemplateURL"] = given["TemplateURL"]
            provider["Parameters"] = _listed(values)
        return told

    return work


def _remove_stack(project: Project, acting: _Acting) -> str:
    stack = cast(Params, _provider(project))["StackDetail"].get("Id")
    if not stack:
        return ""
    client = acting.client("cloudformation")
    client.delete_stack(StackName=stack)
    return _ended(acting, client, stack, "DELETE_COMPLETE")


def _ended(acting: _Acting, client: Any, arn: str, wanted: str) -> str:
    """Waits for a stack; gives what went wrong."""
    while True:
        (stack,) = client.describe_stacks(StackName=arn)["Stacks"]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            break
        acting.pause()
    if stack["StackStatus"] == wanted:
        return ""
    kept = acting.stacks.find(acting.account, acting.region, arn)
    events = kept.events if kept else []
    begun = max((n for n, e in enumerate(events) if e.reason == "User Initiated"), default=0)
    causes = [
        f"{event.name}: {event.reason}"
        for event in events[begun:]
        if event.status.endswith("_FAILED") and event.name != stack["StackName"]
    ]
    reason = stack.get("StackStatusReason", "")
    return " ".join([f"{stack['StackName']} is {stack['StackStatus']}.", *(causes or [reason])])


# From products of Service Catalog.


def _launch(project: Project, acting: _Acting) -> str:
    detail, catalog = project["detail"], acting.client("servicecatalog")
    given = detail["ServiceCatalogProvisioningDetails"]
    version = given.get("ProvisioningArtifactId")
    if not version:
        offered = catalog.describe_product(Id=given["ProductId"])["ProvisioningArtifacts"]
        if not offered:
            return f"The product {given['ProductId']} has no version to launch."
        # The latest. Source: ServiceCatalogProvisioningDetails in SageMaker's API reference.
        version = offered[-1]["Id"]
    path = {"PathId": given["PathId"]} if given.get("PathId") else {}
    record = catalog.provision_product(
        ProductId=given["ProductId"],
        ProvisioningArtifactId=version,
        ProvisionedProductName=f"{detail['ProjectName']}-{detail['ProjectId']}",
        ProvisioningParameters=_listed(
            {**_values(given.get("ProvisioningParameters")), **_own(project)}
        ),
        Tags=_listed({**project["tags"], **_project_tags(project)}),
        ProvisionToken=str(uuid.uuid4()),
        **path,
    )["RecordDetail"]
    detail["ServiceCatalogProvisionedProductDetails"] = {
        "ProvisionedProductId": record["ProvisionedProductId"]
    }
    return _carried_out(acting, catalog, record)


def _change_product(changed: Params) -> Work:
    def work(project: Project, acting: _Acting) -> str:
        detail, catalog = project["detail"], acting.client("servicecatalog")
        made = detail["ServiceCatalogProvisionedProductDetails"].get("ProvisionedProductId")
        if not made:
            return "The project has no product that could be changed: delete it."
        given = detail["ServiceCatalogProvisioningDetails"]
        values = {**_values(given.get("ProvisioningParameters")),
                  **_values(changed.get("ProvisioningParameters"))}  # fmt: skip
        version = (
            {"ProvisioningArtifactId": changed["ProvisioningArtifactId"]}
            if changed.get("ProvisioningArtifactId")
            else {}
        )
        record = catalog.update_provisioned_product(
            ProvisionedProductId=made,
            ProvisioningParameters=_listed({**values, **_own(project)}),
            UpdateToken=str(uuid.uuid4()),
            **version,
        )["RecordDetail"]
        told = _carried_out(acting, catalog, record)
        if not told:
            detail["ServiceCatalogProvisioningDetails"] = {
                **given,
                "ProvisioningParameters": _listed(values),
                **version,
            }
        return told

    return work


def _terminate(project: Project, acting: _Acting) -> str:
    product = project["detail"]["ServiceCatalogProvisionedProductDetails"]
    if not product.get("ProvisionedProductId"):
        return ""
    catalog = acting.client("servicecatalog")
    record = catalog.terminate_provisioned_product(
        ProvisionedProductId=product["ProvisionedProductId"], TerminateToken=str(uuid.uuid4())
    )["RecordDetail"]
    return _carried_out(acting, catalog, record)


def _carried_out(acting: _Acting, catalog: Any, record: Params) -> str:
    """Waits for a record of Service Catalog; gives what went wrong."""
    while True:
        found = catalog.describe_record(Id=record["RecordId"])["RecordDetail"]
        if found["Status"] in ("SUCCEEDED", "FAILED"):
            break
        acting.pause()
    return "" if found["Status"] == "SUCCEEDED" else found["RecordErrors"][0]["Description"]
