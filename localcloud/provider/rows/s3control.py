"""Account-wide S3 settings (``aws:s3/account…``), which live in an API of their own."""

from __future__ import annotations

from localcloud.provider.table import Call, Row

_CONFIGURATION = "PublicAccessBlockConfiguration"
_PUT = Call("PutPublicAccessBlock", by={"AccountId": "{accountId}"}, under=_CONFIGURATION)
_BY_ID = {"AccountId": "{id}"}

ROWS = [
    Row(
        token="aws:s3/accountPublicAccessBlock:AccountPublicAccessBlock",
        service="s3control",
        create=_PUT,
        id="{accountId}",
        read=Call("GetPublicAccessBlock", by=_BY_ID, path=_CONFIGURATION),
        update=(_PUT,),
        delete=Call("DeletePublicAccessBlock", by=_BY_ID),
        replace=("accountId",),
        parts=("accountId",),
    ),
]
