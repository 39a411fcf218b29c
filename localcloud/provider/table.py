"""What a row of the provider's table is: how one resource type lives in the AWS API.

A row is data. Functions stand only where an API is irregular::

    Row(
        token="aws:sns/topic:Topic",
        service="sns",
        create=Call("CreateTopic", only=("name", "tags")),
        id="{arn}",
        computed={"arn": "TopicArn"},
        read=Call("GetTopicAttributes", by={"TopicArn": "{id}"}, path="Attributes"),
        update=(Call("SetTopicAttributes", ...),),
        delete=Call("DeleteTopic", by={"TopicArn": "{id}"}),
        replace=("name",),
        name="name",
    )

``by`` templates are filled from the properties, ``id`` and the id's parts. A property that no call
of the row takes is refused when the resource is checked, unless ``ignored`` says why nothing needs
to be done with it; ``refused`` says what to do instead of asking for it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Props = dict[str, Any]


@dataclass
class Scope:
    """Where a resource lives, and the API there.

    Attributes:
        account: 12-digit account id of the provider's credentials.
        region: Region of the resource.
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``.
        call: ``call(service, operation, params)`` gives the API's answer, or raises botocore's
            ``ClientError``.
    """

    account: str
    region: str
    partition: str
    call: Callable[[str, str, Props], Props]

    def arn(self, service: str, resource: str, *, region: str | None = None) -> str:
        """ARN in this account; ``region=""`` for services without regions."""
        region = self.region if region is None else region
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"


@dataclass(frozen=True)
class Call:
    """One API call of a row.

    Attributes:
        operation: Name in the service's model, such as ``CreateKey``.
        by: Parameters that name the resource, as templates over properties and ``{id}``.
        only: Properties that go into the call; None takes every input that has a member.
        path: Where in the answer the resource's structure stands (dotted; ``Items[0]`` allowed).
        under: The parameter below which the properties go (``PublicAccessBlockConfiguration``).
        fixed: Parameters that are always the same.
        prepare: ``prepare(params, inputs, scope)`` for what names and paths cannot say.
        takes: The properties that ``prepare`` (or the row's ``after``) puts into the call.
        when: For updates: the properties whose change needs this call; None means any.
    """

    operation: str
    by: Mapping[str, Any] = field(default_factory=dict[str, Any])
    only: Sequence[str] | None = None
    path: str = ""
    under: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    prepare: Callable[[Props, Props, Scope], None] | None = None
    takes: Sequence[str] = ()
    when: Sequence[str] | None = None


@dataclass(frozen=True)
class Tags:
    """How a service takes tags.

    Attributes:
        member: Parameter of the create call; empty when tags are set by ``put`` afterwards.
        style: ``map`` or ``list`` of pairs.
        key, value: Names in a pair.
        put, remove: Operations that change tags; ``arn`` is their parameter that names the resource
            as a template in ``target``.
        put_arn: That parameter in the calls that change tags, where it differs.
        listing: Operation that lists tags (``by`` the same target), its tags at ``listed``.
        resource_type: EC2's name of the kind of resource, for tags given when it is created.
    """

    member: str = "Tags"
    style: str = "list"
    key: str = "Key"
    value: str = "Value"
    put: str = "TagResource"
    put_member: str = "Tags"
    remove: str = "UntagResource"
    remove_member: str = "TagKeys"
    remove_pairs: bool = False
    arn: str = "ResourceArn"
    put_arn: str = ""
    target: str = "{arn}"
    extra: Mapping[str, str] = field(default_factory=dict[str, str])
    listing: str = "ListTagsForResource"
    listed: str = "Tags"
    resource_type: str = ""

    def encode(self, tags: Mapping[str, str]) -> Any:
        """Tags in the service's form."""
        if self.style == "map":
            return dict(tags)
        return [{self.key: key, self.value: value} for key, value in tags.items()]

    def decode(self, tags: Any) -> dict[str, str]:
        """Tags from the service's form."""
        if isinstance(tags, Mapping):
            return dict(tags)
        return {tag[self.key]: tag[self.value] for tag in tags or []}


Observe = Callable[[Props, Props, Scope], None]
"""``observe(properties, answer, scope)``: completes what was read from the API."""


@dataclass(frozen=True)
class Row:
    """How one resource type lives in the API.

    Attributes:
        token: Pulumi type token.
        service: botocore's service name.
        create: The call that makes it.
        id: Template of the id (the real provider's form) over properties and the answer's parts.
        id_of: ``id_of(inputs)`` where the id is no template.
        read: The call that reads it; ``None``: ``find`` does.
        find: ``find(id, properties, scope)`` for irregular reads: properties, or None when gone; an
            error that ``gone`` names may go through.
        update: Calls for changes in place, in order; one whose ``when`` no change meets is skipped.
        delete: The call that removes it; None when there is nothing to remove.
        rename: Property path -> member, where names differ by more than case.
        computed: Output property -> path in the create call's answer, or template with ``{``.
        replace: Properties whose change needs a new resource.
        name: Property that gets an automatic name when absent.
        prefix: Property that gives that name's beginning instead.
        tags: How tags are set; None when the type has none.
        ignored: Property -> why nothing is to be done with it: whatever it says, what is made is as
            it would be on AWS, or a delete looks at it.
        refused: Property -> what to do instead. ``False`` asks for nothing, and is taken.
        unread: Property that may change in place -> why a read does not tell it. Every other one
            that was declared and that a read does not tell was taken away, and is drift.
        defaults: Inputs that the real provider fills in.
        parts: Names of the id's parts, split by ``separator``: for imports and ``by`` templates.
        gone: Error codes that mean that the resource does not exist.
        observe: Completes what was read.
        importable: Whether the real provider can import it (its documentation says how).
        import_id: Template of the id that an import takes, over properties, where it is not the id
            in the state: ``{functionName}/{name}``. The first property ends at the first
            separator, each other at the last that leaves enough for those after it.
        filled: Property path -> what AWS fills in where none is given, None for its own choice. One
            that nobody declares and that is so after an import is no difference, as with the real
            provider. What is not named here is false, zero or empty then.
        settled: ``settled(answer, scope)`` where the create call only begins: waits, and gives the
            answer that tells what was made; raises when nothing was.
        after: ``after(inputs, outputs, scope)`` more calls once it is made.
        before_delete: ``before_delete(outputs, scope)``.
        renewed: Outputs that a change by the create call gives anew, such as an object's version:
            they are read again, and the tags, which such a call takes off, put again.
        delete_first: Whether a replacement must delete the old one first (a fixed name).
    """

    token: str
    service: str
    create: Call
    id: str
    id_of: Callable[[Props], str] | None = None
    read: Call | None = None
    find: Callable[[str, Props, Scope], Props | None] | None = None
    update: Sequence[Call] = ()
    delete: Call | None = None
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    computed: Mapping[str, str] = field(default_factory=dict[str, str])
    replace: Sequence[str] = ()
    name: str = ""
    prefix: str = "namePrefix"
    tags: Tags | None = None
    ignored: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    unread: Mapping[str, str] = field(default_factory=dict[str, str])
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])
    parts: Sequence[str] = ()
    separator: str = ":"
    gone: Sequence[str] = ()
    observe: Observe | None = None
    settled: Callable[[Props, Scope], Props] | None = None
    after: Callable[[Props, Props, Scope], None] | None = None
    before_delete: Callable[[Props, Scope], None] | None = None
    renewed: Sequence[str] = ()
    delete_first: bool = True
    importable: bool = True
    import_id: str = ""
    filled: Mapping[str, Any] = field(default_factory=dict[str, Any])


def load() -> dict[str, Row]:
    """Every row, by token: the ``ROWS`` of each module in ``rows/``.

    Raises:
        ValueError: two rows for one type.
    """
    from localcloud.provider import rows

    table: dict[str, Row] = {}
    for module in pkgutil.iter_modules(rows.__path__):
        for row in importlib.import_module(f"{rows.__name__}.{module.name}").ROWS:
            if row.token in table:
                raise ValueError(f"{row.token} has two rows")
            table[row.token] = row
    return table


def file_for(token: str) -> str:
    """Where a row for a type belongs."""
    return f"localcloud/provider/rows/{token.split(':')[1].split('/')[0]}.py"
