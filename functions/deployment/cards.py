"""Writes approvals into a version's model card, beside what people wrote there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from ..promotion.aws import error_code
from ..promotion.model_card import SCHEMA, card_name, violations
from ..promotion.registry import missing
from .refusal import Refusal
from .versions import Version

_TRIES = 3
_MOST: int = SCHEMA["properties"]["additional_information"]["properties"]["custom_details"][
    "additionalProperties"
]["maxLength"]


def with_details(content: str, details: Mapping[str, str]) -> str:
    """A card's content with custom details added; the same text when it has them.

    Raises:
        Refusal: The card cannot take them.
    """
    try:
        card: Any = json.loads(content)
    except ValueError as error:
        raise Refusal(f"The model card is no JSON: {error}") from error
    # What people wrote may be older or newer than the schema known here: that is not undone.
    before = violations(card)
    try:
        custom = card.setdefault("additional_information", {}).setdefault("custom_details", {})
        told = {name: value[:_MOST] for name, value in details.items()}
        if all(custom.get(name) == value for name, value in told.items()):
            return content
        custom.update(told)
    except AttributeError as error:
        raise Refusal(f"The model card has no place for approvals: {error}") from error
    wrong = [item for item in violations(card) if item not in before]
    if wrong:
        raise Refusal(f"The model card would not be by its schema: {'; '.join(wrong[:5])}")
    return json.dumps(card, sort_keys=True)


def record_approval(
    sagemaker: Any, version: Version, environment: str, *, by: str, at: str, why: str, run: str
) -> None:
    """Writes into a version's card who approved it for an environment.

    Args:
        sagemaker: A SageMaker client of the hub.
        version: The version.
        environment: For which.
        by: Who.
        at: When.
        why: Why.
        run: The run that deploys it.

    Raises:
        Refusal: The card is gone, or cannot take it.
        ClientError: SageMaker's.
    """
    name = card_name(version.group, version.number)
    label = "".join(part.capitalize() for part in environment.split("-"))
    details = {
        f"{label}ApprovedBy": by,
        f"{label}ApprovedAt": at,
        f"{label}ApprovalReason": why,
        f"{label}Execution": run,
    }
    for attempt in range(_TRIES):
        try:
            standing = str(sagemaker.describe_model_card(ModelCardName=name)["Content"])
            content = with_details(standing, details)
            if content == standing:
                return
            sagemaker.update_model_card(ModelCardName=name, Content=content)
        except ClientError as error:
            if missing(error):
                raise Refusal(
                    f"The version has no model card {name}, which its approval would be recorded "
                    "on."
                ) from error
            if error_code(error) != "ConflictException" or attempt == _TRIES - 1:
                raise
        else:
            return
