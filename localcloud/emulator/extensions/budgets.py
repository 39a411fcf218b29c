"""Emulated Budgets operations that moto lacks: updates, subscribers."""

from __future__ import annotations

from typing import Any

from localcloud.emulator.extension import ApiError, Context, Params, operation


def _budget(ctx: Context, params: Params, name: str) -> Any:
    budgets = ctx.backend("budgets").budgets[params["AccountId"]]
    if name not in budgets:
        raise ApiError("NotFoundException", f"Unable to get budget: {name} does not exist.")
    return budgets[name]


@operation("budgets", "UpdateBudget")
def update_budget(ctx: Context, params: Params) -> Params:
    """Replaces a budget's definition; its notifications stay."""
    budget = _budget(ctx, params, params["NewBudget"]["BudgetName"])
    budget.budget.update(params["NewBudget"])
    return {}


@operation("budgets", "DescribeSubscribersForNotification")
def describe_subscribers(ctx: Context, params: Params) -> Params:
    """Who is told when a budget passes one of its thresholds."""
    budget = _budget(ctx, params, params["BudgetName"])
    for notification in budget.notifications:
        if notification.details == params["Notification"]:
            return {"Subscribers": notification.subscribers}
    raise ApiError("NotFoundException", "Unable to get subscribers: there is no such notification.")
