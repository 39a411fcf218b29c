"""The page of all versions: self-contained HTML, no scripts, nothing from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby

from automation.models import text
from automation.models.hub import Model, person
from automation.models.lineage import lineage
from automation.report import Markup, document, table


def page(models: Sequence[Model], now: datetime) -> str:
    """The page's HTML.

    Args:
        models: Versions with their cards, by project.
        now: The time.
    """
    body = [f"<p>As of {html.escape(text.moment(now))}.</p>"]
    body += [
        _project(project, list(versions), now)
        for project, versions in groupby(models, key=lambda model: model.project)
    ]
    if not models:
        body.append("<p>The hub has no versions.</p>")
    return document("Models", "".join(body))


def _anchor(model: Model) -> str:
    return html.escape(f"{model.project}-{model.version.number}")


def _project(project: str, models: Sequence[Model], now: datetime) -> str:
    head = ("version", "status", "serves", "metrics", "decided by", "age", "source")
    rows = [
        (
            Markup(f'<a href="#{_anchor(model)}">{html.escape(model.label)}</a>'),
            model.version.approval.value,
            ", ".join(model.serves),
            text.short_metrics(model),
            person(model.decided_by),
            text.age(model.created, now),
            model.source.partition(":model-package/")[2],
        )
        for model in models
    ]
    return (
        f"<h2>{html.escape(project)}</h2>{table(head, rows)}"
        f"{''.join(_details(model) for model in models)}"
    )


def _details(model: Model) -> str:
    sections = [
        f"<h3>{html.escape(title)}</h3>{table(('what', 'value'), items)}"
        for title, items in text.facts(model)
        if items
    ]
    origin = [(part.name, part.value or "missing", part.where) for part in lineage(model)]
    sections += [
        f"<h3>Lineage</h3>{table(('part', 'value', 'where to look'), origin)}",
        f"<h3>Deployments</h3>{table(text.HISTORY, text.history(model.attempts))}",
    ]
    return (
        f'<details id="{_anchor(model)}"><summary>{html.escape(model.label)} '
        f"{html.escape(_said(model))}</summary>{''.join(sections)}</details>"
    )


def _said(model: Model) -> str:
    parts: Iterable[str] = (
        model.version.approval.value,
        f"serves {', '.join(model.serves)}" if model.serves else "",
    )
    return ", ".join(part for part in parts if part)
