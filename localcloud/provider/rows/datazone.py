"""DataZone: domains."""

from __future__ import annotations

from localcloud.provider.table import Call, Row, Tags

ROWS = [
    Row(
        token="aws:datazone/domain:Domain",
        service="datazone",
        create=Call("CreateDomain"),
        id="{domainId}",
        read=Call("GetDomain", by={"identifier": "{id}"}),
        update=(
            Call("UpdateDomain", by={"identifier": "{id}"}, only=("name", "description",
                 "domainExecutionRole", "serviceRole", "singleSignOn")),
        ),
        delete=Call("DeleteDomain", by={"identifier": "{id}"}),
        replace=("kmsKeyIdentifier", "domainVersion"),
        ignored={"skipDeletionCheck": "the emulator needs no deletion check"},
        computed={"domainId": "id", "arn": "arn", "portalUrl": "portalUrl"},
        parts=("domainId",),
        tags=Tags(member="tags", style="map", put_member="tags", remove_member="tagKeys",
                  arn="resourceArn", listed="tags"),
        gone=("ResourceNotFoundException",),
    ),
]  # fmt: skip
