"""What an environment has that only serves models: what runs there belongs to the projects."""

from __future__ import annotations

from typing import Any

import pulumi

from components.baseline import AccountBaseline
from components.retraining import DriftForwarder
from components.settings import PlatformSettings


def target(
    settings: PlatformSettings, baseline: AccountBaseline, opts: pulumi.ResourceOptions
) -> dict[str, Any]:
    """Make what a target has beyond the others; gives its outputs."""
    DriftForwarder(
        "drift",
        {
            "placement": settings.placement(),
            "messages_key_arn": baseline.key_arns["messages"],
            "alerts_topic_arn": baseline.alerts_topic_arn,
            "boundary_arn": baseline.boundary_arn,
        },
        opts,
    )
    return {}
