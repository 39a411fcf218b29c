"""What Service Catalog offers to a principal, and its launches, which run in threads.

A launch acts as the role of the product's launch constraint, else in the name of whoever asked for
it; its stack is CloudFormation's. Source: Service Catalog administrator guide.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import string
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from localcloud.emulator import acting
from localcloud.emulator.compute import Compute, ComputeError, Task
from localcloud.emulator.extension import ApiError, Caller, Context, Params
from localcloud.emulator.identity import Principal, Session

_log = logging.getLogger(__name__)

SERVICE = "servicecatalog"
PRINCIPAL = "servicecatalog.amazonaws.com"
_CHARACTERS = string.ascii_lowercase + string.digits
_POLL_SECONDS = 0.3
_SESSION_SECONDS = 12 * 3600

Items = dict[Any, dict[str, Any]]


def items(ctx: Context, kind: str, account: str | None = None) -> Items:
    """What an account has of a kind, by id."""
    return ctx.store(SERVICE, account=account).setdefault(kind, {})


def new_id(prefix: str) -> str:
    """A new id, such as ``prod-…``."""
    return f"{prefix}-" + "".join(secrets.choice(_CHARACTERS) for _ in range(13))


def get(ctx: Context, kind: str, key: Any) -> dict[str, Any]:
    """One of an account's things.

    Raises:
        ApiError: ``ResourceNotFoundException``.
    """
    found = items(ctx, kind).get(key)
    if found is None:
        raise ApiError("ResourceNotFoundException", f"No {kind} {key} was found.")
    return found


# What is offered.


@dataclass(frozen=True)
class Path:
    """A way by which a principal may launch a product: a portfolio that holds it.

    Attributes:
        owner: Account that owns the portfolio.
        portfolio: The portfolio.
        product: The product.
        constraints: The rules for it there.
        options: Tag key -> the values that a launch may have.
    """

    owner: str
    portfolio: Mapping[str, Any]
    product: Mapping[str, Any]
    constraints: Sequence[Mapping[str, Any]]
    options: Mapping[str, Sequence[str]]

    @property
    def id(self) -> str:
        """Its id, which follows from the portfolio's."""
        return "lpv3-" + str(self.portfolio["detail"]["Id"]).removeprefix("port-")

    @property
    def name(self) -> str:
        """The portfolio's name."""
        return str(self.portfolio["detail"]["DisplayName"])

    @property
    def product_id(self) -> str:
        """The product's id."""
        return str(self.product["detail"]["ProductViewSummary"]["ProductId"])

    @property
    def summaries(self) -> list[Params]:
        """The rules as people see them."""
        return [
            {"Type": rule["detail"]["Type"], "Description": rule["detail"]["Description"]}
            for rule in self.constraints
        ]

    def launch_role(self, account: str) -> str:
        """ARN of the role that launches in an account; empty: whoever asks does."""
        for rule in self.constraints:
            if rule["detail"]["Type"] == "LAUNCH":
                given = json.loads(rule["parameters"])
                local = given.get("LocalRoleName")
                return f"arn:aws:iam::{account}:role/{local}" if local else str(given["RoleArn"])
        return ""


def paths(ctx: Context) -> Iterator[Path]:
    """Every way by which the caller may launch something, in his account."""
    accounts = cast("frozenset[str]", cast(Any, ctx.host).accounts)
    for owner in sorted(accounts, key=lambda account: (account != ctx.account, account)):
        for identity, portfolio in items(ctx, "portfolio", owner).items():
            share = {} if owner == ctx.account else _share(ctx, owner, identity)
            if share is None or not _lets(ctx, owner, identity, share):
                continue
            for portfolio_id, product_id in items(ctx, "association", owner):
                if portfolio_id == identity:
                    yield Path(
                        owner,
                        portfolio,
                        items(ctx, "product", owner)[product_id],
                        [
                            rule
                            for rule in items(ctx, "constraint", owner).values()
                            if rule["key"] == (identity, product_id)
                        ],
                        _options(ctx, owner, (identity, product_id))
                        if owner == ctx.account or share.get("ShareTagOptions")
                        else {},
                    )


def shares_to(ctx: Context, owner: str, portfolio: str) -> list[dict[str, Any]]:
    """The shares of a portfolio that reach the caller's account, accepted or not."""
    return [
        share
        for (identity, kind, to), share in items(ctx, "share", owner).items()
        if identity == portfolio
        # Every account is in the organisation and in all its units.
        and (kind in ("ORGANIZATION", "ORGANIZATIONAL_UNIT") or to == ctx.account)
    ]


def _share(ctx: Context, owner: str, portfolio: str) -> dict[str, Any] | None:
    accepted = [share for share in shares_to(ctx, owner, portfolio) if share["Accepted"]]
    if not accepted:
        return None
    names = ("ShareTagOptions", "SharePrincipals")
    return {name: any(share[name] for share in accepted) for name in names}


def _lets(ctx: Context, owner: str, portfolio: str, share: Mapping[str, Any]) -> bool:
    own = [key for key in items(ctx, "principal") if key[0] == portfolio]
    if share.get("SharePrincipals"):
        # Names of principals are shared, and no ARNs.
        shared = [key for key in items(ctx, "principal", owner) if key[0] == portfolio]
        own += [key for key in shared if key[2] == "IAM_PATTERN"]
    return any(_is(ctx.caller, arn, kind) for _, arn, kind in own)


def _is(caller: Caller, arn: str, kind: str) -> bool:
    if kind != "IAM_PATTERN":
        return arn == caller.principal_arn
    pattern = re.escape(arn).replace(r"\*", ".*").replace(r"\?", ".")
    without_account = caller.principal_arn.replace(f"::{caller.account}:", ":::")
    return re.fullmatch(pattern, without_account) is not None


def _options(ctx: Context, owner: str, resources: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for option, resource in items(ctx, "tagged", owner):
        detail = items(ctx, "tag option", owner)[option]
        if resource in resources and detail["Active"]:
            found.setdefault(detail["Key"], []).append(detail["Value"])
    return found


def chosen_tags(path: Path, given: Mapping[str, str]) -> dict[str, str]:
    """The tags of a launch: those given, and those that the tag options ask for.

    Raises:
        ApiError: A value must be chosen, or is none that can be.
    """
    tags = dict(given)
    for key, values in path.options.items():
        if key in tags and tags[key] not in values:
            raise ApiError(
                "InvalidParametersException",
                f"The tag {key} has one of the values {', '.join(values)}, not {tags[key]!r}.",
            )
        if key not in tags and len(values) > 1:
            raise ApiError(
                "InvalidParametersException",
                f"The tag {key} is missing: choose one of {', '.join(values)}.",
            )
        tags.setdefault(key, values[0])
    return tags


# Launches.


@dataclass(frozen=True)
class Order:
    """What a launch, an update or a termination is to do.

    Attributes:
        call: ``create_stack``, ``update_stack`` or ``delete_stack`` of CloudFormation.
        params: Its parameters.
        end: Status of the stack that is a success.
        template: ARN of the template's copy, which is read first; empty when none is.
        role_arn: Role that acts; empty: the caller.
        session: The caller's credentials, for when no role acts.
    """

    call: str
    params: Mapping[str, Any]
    end: str
    template: str
    role_arn: str
    session: Session | None


class Launches:
    """Runs launches.

    Args:
        compute: Gives launch roles' credentials.
        decide: ``decide(principal, action, resource, owner, region, context)`` gives IAM's
            decision.
    """

    def __init__(self, compute: Compute, decide: Callable[..., Any]) -> None:
        self._compute = compute
        self._decide = decide

    @staticmethod
    def task(made: Mapping[str, Any], role_arn: str) -> Task:
        """What a launch role acts as."""
        detail = made["detail"]
        _, _, _, region, account, _ = str(detail["Arn"]).split(":", 5)
        return Task(
            account=account,
            region=region,
            service=PRINCIPAL,
            role_arn=role_arn,
            session="servicecatalog",
            source_arn=str(detail["Arn"]),
            seconds=_SESSION_SECONDS,
        )

    def check_role(self, made: Mapping[str, Any], role_arn: str) -> None:
        """Whether Service Catalog can have a launch role.

        Raises:
            ApiError: ``InvalidParametersException``: it cannot.
        """
        task = self.task(made, role_arn)
        if role_arn.split(":")[4] != task.account:
            raise ApiError(
                "InvalidParametersException",
                f"The local cloud launches in the account of whoever asks, and {role_arn} is in"
                " another: give LocalRoleName in the launch constraint.",
            )
        try:
            self._compute.principal(task)
        except ComputeError as error:
            raise ApiError(
                "InvalidParametersException",
                f"Access denied while assuming the role {role_arn}: {error}",
            ) from error

    def start(self, made: dict[str, Any], record: dict[str, Any], order: Order) -> None:
        """Carries an order out, and keeps in the record and the product what became of it."""
        threading.Thread(
            target=self._run,
            args=(made, record, order),
            name=f"launch-{made['detail']['Id']}",
            daemon=True,
        ).start()

    def _run(self, made: dict[str, Any], record: dict[str, Any], order: Order) -> None:
        record["detail"]["Status"] = "IN_PROGRESS"
        try:
            told = self._carried_out(made, record, order)
        except (ClientError, BotoCoreError, ComputeError, ApiError) as error:
            told = str(error)
        except Exception as error:
            _log.exception("%s failed", made["detail"]["Id"])
            told = f"The local cloud failed: {error!r}"
        _finish(made, record, order, told)

    def _carried_out(self, made: dict[str, Any], record: dict[str, Any], order: Order) -> str:
        """Does it; gives what went wrong, empty when nothing did."""
        stacks = self._client(made, order)
        if order.template:
            self._check_template(made, order)
            stacks.validate_template(TemplateBody=order.params["TemplateBody"])
        name = order.params["StackName"]
        try:
            answer = getattr(stacks, order.call)(**order.params)
        except ClientError as error:
            if "No updates are to be performed" not in str(error):
                raise
            answer = {}
        if order.call == "create_stack":
            made["stack"] = answer["StackId"]
        if not made["stack"]:
            return ""
        unchanged = order.call == "update_stack" and not answer
        stack = self._ended(stacks, made["stack"])
        record["outputs"] = [
            {
                "OutputKey": "CloudformationStackARN",
                "OutputValue": made["stack"],
                "Description": "The ARN of the launched Cloudformation Stack",
            },
            *(stack.get("Outputs") or []),
        ]
        if unchanged or stack["StackStatus"] == order.end:
            return ""
        events = stacks.describe_stack_events(StackName=made["stack"])["StackEvents"]
        since = next(
            index
            for index, event in enumerate(events)
            if event["LogicalResourceId"] == name
            and event.get("ResourceStatusReason") == "User Initiated"
        )
        causes = [
            f"{event['LogicalResourceId']}: {event['ResourceStatusReason']}"
            for event in reversed(events[:since])
            if event["ResourceStatus"].endswith("_FAILED") and event["LogicalResourceId"] != name
        ]
        reason = stack.get("StackStatusReason", "")
        return " ".join([f"{name} is {stack['StackStatus']}.", *(causes or [reason])])

    def _ended(self, stacks: Any, arn: str) -> dict[str, Any]:
        while not self._compute.stopping.is_set():
            (stack,) = stacks.describe_stacks(StackName=arn)["Stacks"]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                return stack
            time.sleep(_POLL_SECONDS)
        raise ComputeError("The local cloud ends.")

    def _check_template(self, made: Mapping[str, Any], order: Order) -> None:
        """The launch role reads the copy of the template that Service Catalog keeps."""
        if not order.role_arn:
            return
        task = self.task(made, order.role_arn)
        principal: Principal = self._compute.principal(task)
        tagged = {"s3:ExistingObjectTag/servicecatalog:provisioning": "true"}
        decision = self._decide(
            principal, "s3:GetObject", order.template, task.account, task.region, tagged
        )
        if not decision.allowed:
            raise ComputeError(
                f"S3 error: Access Denied: {principal.caller.arn} is not authorized to perform:"
                f" s3:GetObject on resource: {order.template} {decision.reason}"
            )

    def _client(self, made: Mapping[str, Any], order: Order) -> Any:
        region = str(made["detail"]["Arn"]).split(":")[3]
        if order.role_arn:
            given = self._compute.environment(self.task(made, order.role_arn))
            keys = tuple(given[name] for name in acting.CREDENTIALS)
        elif order.session:
            keys = (order.session.access_key, order.session.secret, order.session.token)
        else:
            raise ComputeError("Nobody is there to act for.")
        return acting.client("cloudformation", keys, region=region, endpoint=self._compute.endpoint)


def _finish(made: dict[str, Any], record: dict[str, Any], order: Order, told: str) -> None:
    detail, now = made["detail"], Context.now()
    kept = record["detail"]
    kept["UpdatedTime"] = now
    if told:
        kept["RecordErrors"] = [{"Code": "StackOperationFailed", "Description": told}]
        # A stack that never stood, or was left half made, is an error; one that was rolled back to
        # what it was is tainted.
        stands = order.call == "update_stack" and record["before"] != "ERROR"
        detail |= {"Status": "TAINTED" if stands else "ERROR", "StatusMessage": told}
    elif order.call == "delete_stack":
        made["gone"] = True
    else:
        made |= record["wanted"]
        detail |= {
            "Status": "AVAILABLE",
            "StatusMessage": "",
            "ProductId": kept["ProductId"],
            "ProvisioningArtifactId": kept["ProvisioningArtifactId"],
            "LastSuccessfulProvisioningRecordId": kept["RecordId"],
        }
    # Last: who sees it finds all the rest done.
    kept["Status"] = "FAILED" if told else "SUCCEEDED"
