"""Budgets with their notifications."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope


def _budget(inputs: Props) -> Props:
    budget: Props = {
        "BudgetName": inputs["name"],
        "BudgetType": inputs["budgetType"],
        "TimeUnit": inputs["timeUnit"],
        "BudgetLimit": {
            "Amount": str(inputs["limitAmount"]),
            "Unit": inputs.get("limitUnit") or "USD",
        },
    }
    if inputs.get("costFilters"):
        budget["CostFilters"] = {
            item["name"]: list(item["values"]) for item in inputs["costFilters"]
        }
    return budget


_KINDS = {"subscriberEmailAddresses": "EMAIL", "subscriberSnsTopicArns": "SNS"}


def _subscribers(notification: Props) -> list[Props]:
    return [
        {"SubscriptionType": kind, "Address": address}
        for name, kind in _KINDS.items()
        for address in notification.get(name) or []
    ]


def _notifications(inputs: Props) -> list[Props]:
    return [
        {
            "Notification": {
                "NotificationType": item["notificationType"],
                "ComparisonOperator": item["comparisonOperator"],
                "Threshold": float(item["threshold"]),
                "ThresholdType": item["thresholdType"],
            },
            "Subscribers": _subscribers(item),
        }
        for item in inputs.get("notifications") or []
    ]


def _standing(named: Props, scope: Scope) -> list[Props]:
    """The notifications of a budget, with who is told."""
    found: list[Props] = []
    held = scope.call("budgets", "DescribeNotificationsForBudget", named)["Notifications"]
    for item in held:
        notification = {k: v for k, v in item.items() if k != "NotificationState"}
        asked = {**named, "Notification": notification}
        told = scope.call("budgets", "DescribeSubscribersForNotification", asked)["Subscribers"]
        by_kind = {
            name: [one["Address"] for one in told if one["SubscriptionType"] == kind]
            for name, kind in _KINDS.items()
        }
        found.append(
            {
                "notificationType": notification["NotificationType"],
                "comparisonOperator": notification["ComparisonOperator"],
                "threshold": notification["Threshold"],
                "thresholdType": notification.get("ThresholdType", "PERCENTAGE"),
                **{name: addresses for name, addresses in by_kind.items() if addresses},
            }
        )
    return found


def _create(params: Props, inputs: Props, scope: Scope) -> None:
    params["AccountId"] = scope.account
    params["Budget"] = _budget(inputs)
    params["NotificationsWithSubscribers"] = _notifications(inputs)


def _update(params: Props, inputs: Props, scope: Scope) -> None:
    params["AccountId"] = scope.account
    params["NewBudget"] = _budget(inputs)
    named = {"AccountId": scope.account, "BudgetName": inputs["name"]}
    standing = scope.call("budgets", "DescribeNotificationsForBudget", named)
    for notification in standing["Notifications"]:
        kept = {k: v for k, v in notification.items() if k != "NotificationState"}
        scope.call("budgets", "DeleteNotification", {**named, "Notification": kept})
    for wanted in _notifications(inputs):
        scope.call("budgets", "CreateNotification", {**named, **wanted})


def _delete(params: Props, props: Props, scope: Scope) -> None:
    params["AccountId"], _, params["BudgetName"] = props["id"].partition(":")


def _find(id_: str, props: Props, scope: Scope) -> Props | None:
    account, _, name = id_.partition(":")
    named = {"AccountId": account, "BudgetName": name}
    budget = scope.call("budgets", "DescribeBudget", named)["Budget"]
    filters = budget.get("CostFilters") or {}
    return {
        "accountId": account,
        "name": name,
        "budgetType": budget["BudgetType"],
        "timeUnit": budget["TimeUnit"],
        "limitAmount": f"{float(budget['BudgetLimit']['Amount']):g}",
        "limitUnit": budget["BudgetLimit"]["Unit"],
        "costFilters": [{"name": key, "values": values} for key, values in filters.items()],
        "notifications": _standing(named, scope),
    }


_PROPERTIES = (
    "name", "budgetType", "timeUnit", "limitAmount", "limitUnit", "costFilters", "notifications",
)  # fmt: skip

ROWS = [
    Row(
        token="aws:budgets/budget:Budget",
        service="budgets",
        create=Call("CreateBudget", only=(), prepare=_create, takes=_PROPERTIES),
        id="{accountId}:{name}",
        find=_find,
        update=(Call("UpdateBudget", only=(), prepare=_update, takes=_PROPERTIES),),
        delete=Call("DeleteBudget", prepare=_delete),
        name="name",
        replace=("name", "namePrefix"),
        computed={
            "accountId": "{account}",
            "arn": "arn:{partition}:budgets::{account}:budget/{name}",
        },
        ignored={"tags": "moto keeps no tags of budgets"},
        gone=("NotFoundException",),
    ),
]
