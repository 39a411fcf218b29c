"""Emulated Budgets operations that moto lacks: updates, subscribers."""

from __future__ import annotations

from localcloud.emulator.extension import ApiError, Context, Params, operation


def _budget(ctx: Context, params: Params, name: str) -> object:
    budgets = ctx.backend("budgets").budgets[params["AccountId"]]
    if name not in budgets:
        raise ApiError("NotFoundException", f"Unable to get budget: {name} does not exist.")
    return budgets[name]


@operation("budgets", "UpdateBudget")
def update_budget(ctx: Context, params: Params) -> Params:
    """Replaces a budget's definition; its notifications stay."""
    budget: object = _budget(ctx, params, params["NewBudget"]["BudgetName"])
    standing = getattr(budget, "budget")  # noqa: B009 - moto's class is not typed
    standing.update(params["NewBudget"])
    return {}
