"""Security Hub in the account."""

from __future__ import annotations

from localcloud.provider.table import Call, Row

ROWS = [
    Row(
        token="aws:securityhub/account:Account",
        service="securityhub",
        create=Call("EnableSecurityHub"),
        id="{account}",
        read=Call("DescribeHub"),
        delete=Call("DisableSecurityHub"),
        defaults={
            "enableDefaultStandards": True,
            "autoEnableControls": True,
            "controlFindingGenerator": "SECURITY_CONTROL",
        },
        replace=("enableDefaultStandards", "controlFindingGenerator", "autoEnableControls"),
        ignored={"autoEnableControls": "the emulated hub evaluates no controls"},
        computed={"arn": "arn:{partition}:securityhub:{region}:{account}:hub/default"},
        gone=("InvalidAccessException", "ResourceNotFoundException"),
    ),
]
