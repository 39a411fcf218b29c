"""IAM Access Analyzer."""

from __future__ import annotations

from localcloud.provider.table import Call, Row, Tags

ROWS = [
    Row(
        token="aws:accessanalyzer/analyzer:Analyzer",
        service="accessanalyzer",
        create=Call("CreateAnalyzer"),
        id="{analyzerName}",
        read=Call("GetAnalyzer", by={"analyzerName": "{id}"}, path="analyzer"),
        delete=Call("DeleteAnalyzer", by={"analyzerName": "{id}"}),
        rename={"analyzerName": "analyzerName"},
        parts=("analyzerName",),
        replace=("analyzerName", "type"),
        defaults={"type": "ACCOUNT"},
        computed={"arn": "arn"},
        tags=Tags(
            member="tags",
            style="map",
            put_member="tags",
            remove_member="tagKeys",
            arn="resourceArn",
            listed="tags",
        ),
        gone=("ResourceNotFoundException",),
    ),
]
