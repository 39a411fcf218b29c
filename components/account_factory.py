"""The role of the organisation's management account by which the hub vends accounts.

No stack of the platform is in that account: who administers the organisation makes the role, from
the two documents of :func:`documents`. It may make accounts that bear the tag :data:`VENDED_ID`,
move those between the root and the units of the platform's kinds, and change their tags. It may
neither close an account nor take one out of the organisation.

Source: service authorization reference, AWS Organizations; AWS Organizations user guide, "Tagging
AWS Organizations resources".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from components import iam
from components.naming import Names

VENDED_ID = "vended-id"
"""Tag of every account that is vended, with the id that its stack knows it by."""

ACCESS_ROLE = "OrganizationAccountAccessRole"
"""Role that a new account has for administrators of the management account."""

_IDS = "v-*"


def trust(build_role_arn: str, hub: Names) -> list[iam.Statement]:
    """Who vends: the hub's vending build, and who else is named there by hand.

    Args:
        build_role_arn: Role of the build; it need not exist yet.
        hub: The hub's names.
    """
    return [
        iam.only_role(
            hub.root_arn, [build_role_arn], sid="VendingBuild", actions=["sts:AssumeRole"]
        )
    ]


def statements(
    partition: str, management: str, organization: str, units: Iterable[str]
) -> list[iam.Statement]:
    """What the role may do.

    Args:
        partition: AWS's.
        management: The management account.
        organization: The organisation's id.
        units: The units that accounts are made for.
    """

    def arn(kind: str, name: str) -> str:
        return f"arn:{partition}:organizations::{management}:{kind}/{organization}/{name}"

    accounts = [arn("account", "*")]
    vended = {"StringLike": {f"aws:ResourceTag/{VENDED_ID}": _IDS}}
    asked = {"StringLike": {f"aws:RequestTag/{VENDED_ID}": _IDS}}
    return [
        iam.Statement(
            # These know no resources.
            sid="FindAccounts",
            actions=["organizations:DescribeCreateAccountStatus", "organizations:ListAccounts",
                     "organizations:ListCreateAccountStatus"],
            resources=["*"],
        ),
        iam.Statement(
            sid="ReadAccounts",
            actions=["organizations:DescribeAccount", "organizations:ListParents",
                     "organizations:ListTagsForResource"],
            resources=accounts,
        ),
        iam.Statement(
            sid="MakeAccounts",
            actions=["organizations:CreateAccount"],
            resources=["*"],
            conditions=asked,
        ),
        iam.Statement(
            # Making one with tags asks for this too, when it has none yet. It lets another be
            # tagged, so that what is moved is bounded by the units beside.
            sid="TagWhatIsMade",
            actions=["organizations:TagResource"],
            resources=accounts,
            conditions=asked,
        ),
        iam.Statement(
            sid="ChangeWhatIsVended",
            actions=["organizations:MoveAccount", "organizations:TagResource",
                     "organizations:UntagResource"],
            resources=accounts,
            conditions=vended,
        ),
        iam.Statement(
            # A new account is in the root. From other units and into them nothing is moved,
            # whatever tag it bears.
            sid="MoveBetweenTheUnits",
            actions=["organizations:MoveAccount"],
            resources=[arn("root", "r-*"),
                       *(arn("ou", unit) for unit in sorted(set(units)))],
        ),
    ]  # fmt: skip


def documents(
    role_arn: str, build_role_arn: str, hub: Names, organization: str, units: Iterable[str]
) -> dict[str, Any]:
    """Trust and rights of the role, for whoever makes it in the management account.

    Args:
        role_arn: The role.
        build_role_arn: Role of the hub's vending build.
        hub: The hub's names.
        organization: The organisation's id.
        units: The units that accounts are made for.
    """
    management = role_arn.split(":")[4]
    return {
        "trust": iam.document(trust(build_role_arn, hub)),
        "policy": iam.document(statements(hub.partition, management, organization, units)),
    }
