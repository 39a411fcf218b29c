"""GuardDuty: the account's detector."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope

_SOURCES: Props = {
    "s3Logs": ("S3Logs", {}),
    "kubernetes": ("Kubernetes", {"auditLogs": ("AuditLogs", {})}),
    "malwareProtection": (
        "MalwareProtection",
        {
            "scanEc2InstanceWithFindings": (
                "ScanEc2InstanceWithFindings",
                {"ebsVolumes": ("EbsVolumes", {})},
            )
        },
    ),
}
"""Property -> (member, the properties in it; none where it tells its status)."""


def _sources(told: Props, inside: Props) -> Props:
    return {
        name: _sources(told[member], further)
        if further
        else {"enable": told[member].get("Status") == "ENABLED"}
        for name, (member, further) in inside.items()
        if member in told
    }


def _observe(found: Props, answer: Props, scope: Scope) -> None:
    found["enable"] = answer["Status"] == "ENABLED"
    if "FindingPublishingFrequency" in answer:
        found["findingPublishingFrequency"] = answer["FindingPublishingFrequency"]
    # Told by a status, and taken by whether it is enabled.
    if "DataSources" in answer:
        found["datasources"] = _sources(answer["DataSources"], _SOURCES)


ROWS = [
    Row(
        token="aws:guardduty/detector:Detector",
        service="guardduty",
        create=Call("CreateDetector"),
        id="{detectorId}",
        read=Call("GetDetector", by={"DetectorId": "{id}"}),
        update=(Call("UpdateDetector", by={"DetectorId": "{id}"}),),
        delete=Call("DeleteDetector", by={"DetectorId": "{id}"}),
        observe=_observe,
        defaults={"enable": True},
        filled={"datasources": None, "findingPublishingFrequency": None},
        computed={
            "detectorId": "DetectorId",
            "arn": "arn:{partition}:guardduty:{region}:{account}:detector/{detectorId}",
            "accountId": "{account}",
        },
        parts=("detectorId",),
        ignored={"tags": "moto does not list a detector's tags"},
        gone=("BadRequestException",),
    ),
]
