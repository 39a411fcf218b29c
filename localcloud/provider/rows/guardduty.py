"""GuardDuty: the account's detector."""

from __future__ import annotations

from localcloud.provider.table import Call, Props, Row, Scope


def _observe(found: Props, answer: Props, scope: Scope) -> None:
    found["enable"] = answer["Status"] == "ENABLED"
    if "FindingPublishingFrequency" in answer:
        found["findingPublishingFrequency"] = answer["FindingPublishingFrequency"]


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
