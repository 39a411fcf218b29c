"""The part of the AWS package's schema that `pulumi import` needs to print a resource's code.

The real schema is some 50 MB. Printing code takes only the names of a type's properties, so here
every property is of any type; the values come from the resource that was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from localcloud.provider.schema import schema

_ANY = {"$ref": "pulumi.json#/Any"}


def package_schema(version: str, tokens: Iterable[str]) -> dict[str, Any]:
    """The Pulumi package schema of the given resource types.

    Args:
        version: Version of the AWS package.
        tokens: Resource type tokens; one that `pulumi_aws` does not have is left out.
    """
    known = {token: schema(token) for token in tokens}
    return {
        "name": "aws",
        "version": version,
        # The module of `aws:s3/bucket:Bucket` is `s3`.
        "meta": {"moduleFormat": "(.*)(?:/[^/]*)"},
        "language": {"python": {"respectSchemaVersion": True}},
        "resources": {
            token: {
                "inputProperties": dict.fromkeys(sorted(found.inputs), _ANY),
                "requiredInputs": sorted(found.required),
                "properties": dict.fromkeys(sorted({*found.inputs, *found.outputs}), _ANY),
            }
            for token, found in known.items()
            if found is not None
        },
    }
