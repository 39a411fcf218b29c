"""Create, read, update and delete of any row, and what checks and diffs need."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from botocore.exceptions import ClientError
from botocore.model import ListShape, StructureShape
from botocore.validate import ParamValidator

from localcloud.provider import schema, shapes
from localcloud.provider.table import Call, Props, Row, Scope, Tags

_GONE = re.compile(
    r"NotFound|NoSuch|ResourceNotFound|DoesNotExist|NotExist|\.NotFound$|EntityNotFound|^404$"
)
_ALWAYS_IGNORED = frozenset({"tags", "region", "timeouts"})
"""Properties that every row handles by itself."""


class ResourceError(RuntimeError):
    """A resource operation failed; the message says which, where and why."""


@dataclass(frozen=True)
class Made:
    """What a create, a read or an update leaves: the id and every property."""

    id: str
    outputs: Props


class _Lenient(string.Formatter):
    """Templates over properties; a part that is missing is an error that names it."""

    def get_value(  # the names are those of the base class
        self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if key in kwargs and kwargs[cast(str, key)] is not None:
            return kwargs[cast(str, key)]
        raise ResourceError(f"the property {key!r} is needed here and is not set")


_TEMPLATES = _Lenient()


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """A ``by`` template filled; a list in the template stays a list, other values as they are."""
    if isinstance(template, list):
        return [fill(item, values) for item in template]
    if not isinstance(template, str):
        return template
    whole = re.fullmatch(r"\{(\w+)\}", template)
    if whole and not isinstance(values.get(whole[1], ""), str):
        return values[whole[1]]
    return _TEMPLATES.vformat(template, (), values)


def dig(value: Any, path: str) -> Any:
    """A part of an answer by dotted path, such as ``Domains[0].Arn``; None when it is not there."""
    for part in [part for part in re.split(r"\.|(?=\[)", path) if part]:
        if value is None:
            return None
        index = re.fullmatch(r"\[(\d+)\]", part)
        if index:
            value = value[int(index[1])] if len(value) > int(index[1]) else None
        else:
            value = value.get(part)
    return value


def is_gone(row: Row, error: ClientError) -> bool:
    """Whether an error means that the resource does not exist."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code in row.gone if row.gone else bool(_GONE.search(code))


def merged_tags(inputs: Mapping[str, Any], defaults: Mapping[str, str]) -> dict[str, str]:
    """The resource's tags over the provider's default tags."""
    return {**defaults, **(inputs.get("tags") or {})}


def id_values(row: Row, id_: str, props: Mapping[str, Any]) -> Props:
    """What templates are filled from: properties, the id, and the id's named parts."""
    parts = dict(zip(row.parts, id_.split(row.separator), strict=False)) if row.parts else {}
    return {**parts, **{k: v for k, v in props.items() if v is not None}, "id": id_}


def taken_properties(row: Row) -> set[str]:
    """Input properties that some call of the row takes."""
    known = schema.schema(row.token)
    assert known is not None
    taken = set(_ALWAYS_IGNORED) | set(row.ignored) | {row.name, row.prefix}
    for call in (row.create, *row.update):
        taken |= set(_selected(row, call, dict.fromkeys(known.inputs)))
        taken |= {
            name
            for template in call.by.values()
            for text in (template if isinstance(template, list) else [template])
            for _, name, _, _ in string.Formatter().parse(str(text))
            if name
        }
        taken |= set(call.takes)
    return taken - set(row.refused)


def _input_shape(row: Row, call: Call) -> StructureShape:
    shape: Any = shapes.operation(row.service, call.operation).input_shape
    for part in [part for part in call.under.split(".") if part]:
        shape = shape.members[part]
    return cast(StructureShape, shape)


def _selected(row: Row, call: Call, inputs: Mapping[str, Any]) -> list[str]:
    if call.only is not None:
        return [name for name in call.only if name in inputs]
    shape = _input_shape(row, call)
    return [
        name
        for name in inputs
        if name not in _ALWAYS_IGNORED
        and name not in row.ignored
        and not name.startswith("__")
        and shapes.member_of(shape, name, row.rename, name) in shapes.members(shape)
    ]


def parameters(row: Row, call: Call, inputs: Props, values: Props, scope: Scope) -> Props:
    """The parameters of a call.

    Raises:
        UnmappedError: a nested property has no member.
    """
    shape = _input_shape(row, call)
    body = shapes.to_api(
        {name: inputs[name] for name in _selected(row, call, inputs)},
        shape,
        row.rename,
        "",
        f"{row.service}:{call.operation}",
    )
    params: Props = {}
    target = params
    for part in [part for part in call.under.split(".") if part]:
        target = target.setdefault(part, {})
    target.update(body)
    params.update({name: fill(template, values) for name, template in call.by.items()})
    params.update(call.fixed)
    if call.prepare is not None:
        call.prepare(params, inputs, scope)
    return params


def check_parameters(row: Row, inputs: Props, scope: Scope) -> list[str]:
    """What botocore's model of the create call says against the inputs; empty when all is well."""
    placeholders = dict.fromkeys(row.computed, "placeholder") | {"id": "placeholder"}
    try:
        params = parameters(row, row.create, inputs, {**placeholders, **inputs}, scope)
    except (shapes.UnmappedError, ResourceError) as error:
        return [str(error)]
    shape = shapes.operation(row.service, row.create.operation).input_shape
    report = ParamValidator().validate(params, shape)
    problems = report.generate_report().splitlines() if report.has_errors() else []
    return problems + shapes.constraint_violations(params, cast(Any, shape), row.create.operation)


def create(row: Row, inputs: Props, tags: dict[str, str], scope: Scope) -> Made:
    """Make a resource. When a later call fails, what was made is removed again."""
    params = parameters(row, row.create, inputs, dict(inputs), scope)
    if row.tags is not None and row.tags.member and tags:
        encoded = row.tags.encode(tags)
        if row.tags.resource_type:
            encoded = [{"ResourceType": row.tags.resource_type, "Tags": encoded}]
        _set_member(params, row.tags.member, encoded)
    answer = scope.call(row.service, row.create.operation, params)
    if row.settled is not None:
        answer = row.settled(answer, scope)
    outputs = {**inputs, **_computed(row, inputs, answer, scope)}
    if row.tags is not None:
        outputs["tagsAll"] = tags
    outputs.setdefault("region", scope.region)
    id_ = _state_id(row, outputs, scope)
    outputs = _with_templates(row, outputs, id_, scope)
    made = Made(id_, outputs)
    try:
        if row.tags is not None and not row.tags.member and tags:
            _put_tags(row, row.tags, made, tags, scope)
        if row.after is not None:
            row.after(inputs, outputs, scope)
    except Exception:
        # Nothing half-made: the engine will not know of it.
        delete(row, made.id, outputs, scope)
        raise
    return made


def adopt(row: Row, id_: str, inputs: Props, scope: Scope) -> Made | None:
    """What a creation left whose answer nobody saw; None when there is nothing.

    Args:
        row: The type's row.
        id_: Its id for an import, which may not be the id that it has in the state.
        inputs: What it was to be made of.
        scope: Where it lives.
    """
    found = read(row, row.id_of(inputs) if row.id_of is not None else id_, inputs, scope)
    if found is None:
        return None
    known = schema.schema(row.token)
    assert known is not None
    # What AWS fills in by itself was never declared, and is no drift.
    made = {
        name: value
        for name, value in found.items()
        if name in ("region", "tagsAll", *row.computed, *inputs) or name not in known.inputs
    }
    for name, value in inputs.items():
        made[name] = shapes.merge(value, made[name]) if name in made else value
    return Made(_state_id(row, made, scope), made)


def _state_id(row: Row, props: Props, scope: Scope) -> str:
    if row.id_of is not None:
        return row.id_of(props)
    where = {"account": scope.account, "region": scope.region}
    return str(fill(row.id, where | _with_templates(row, props, "", scope)))


def _set_member(params: Props, path: str, value: Any) -> None:
    *outer, last = path.split(".")
    for part in outer:
        params = params.setdefault(part, {})
    params[last] = value


def _computed(row: Row, inputs: Props, answer: Props, scope: Scope) -> Props:
    found = {
        name: shapes.plain(dig(answer, path))
        for name, path in row.computed.items()
        if "{" not in path
    }
    return {name: value for name, value in found.items() if value is not None}


def _with_templates(row: Row, outputs: Props, id_: str, scope: Scope) -> Props:
    values = {
        **outputs,
        "id": id_,
        "account": scope.account,
        "region": outputs.get("region") or scope.region,
        "partition": scope.partition,
    }
    made = {
        name: fill(template, values)
        for name, template in row.computed.items()
        if "{" in template and _fillable(template, values)
    }
    return {**outputs, **made}


def _unless_gone(row: Row, ask: Callable[[], Props | None]) -> Props | None:
    try:
        return ask()
    except ClientError as error:
        if is_gone(row, error):
            return None
        raise


def read(row: Row, id_: str, props: Props, scope: Scope) -> Props | None:
    """What the cloud says of a resource: the properties that can be read; None when it is gone."""
    find = row.find
    if find is not None:
        found = _unless_gone(row, lambda: find(id_, props, scope))
        if found is None:
            return None
        answer: Props = {}
    else:
        read_call = row.read
        assert read_call is not None
        params = {
            name: fill(template, id_values(row, id_, props))
            for name, template in read_call.by.items()
        } | dict(read_call.fixed)
        asked = _unless_gone(row, lambda: scope.call(row.service, read_call.operation, params))
        if asked is None:
            return None
        answer = asked
        structure = dig(answer, read_call.path) if read_call.path else answer
        # EC2 shows some things for a while after their deletion.
        if structure is None or str(structure.get("State")).lower() in ("deleted", "deleting"):
            return None
        shape = _output_shape(row, read_call)
        known = schema.schema(row.token)
        assert known is not None
        found = shapes.properties(structure, shape, {**known.outputs, **known.inputs}, row.rename)
        found.pop("tags", None)
        for name, path in row.computed.items():
            # Answers to a read name the same things as the answer to the create call.
            value = dig(structure, path.rpartition(".")[2]) if "{" not in path else None
            if value is not None:
                found.setdefault(name, shapes.plain(value))
        if row.parts:
            found = {**dict(zip(row.parts, id_.split(row.separator), strict=False)), **found}
    if row.observe is not None:
        row.observe(found, answer, scope)
    found.setdefault("region", scope.region)
    found = _with_templates(row, found, id_, scope)
    if row.tags is not None and "tagsAll" not in found:
        found["tagsAll"] = read_tags(row, row.tags, id_, {**props, **found}, answer, scope)
    return found


def named_by(row: Row, id_: str) -> Props:
    """The properties in the id of an import, by the row's template.

    Raises:
        ResourceError: The id has another form.
    """
    pattern, lazy = "", "?"
    for text, name, _, _ in _TEMPLATES.parse(row.import_id):
        pattern += re.escape(text)
        if name:
            pattern += f"(?P<{name}>.+{lazy})"
            lazy = ""
    match = re.fullmatch(pattern, id_)
    if match is None:
        raise ResourceError(
            f"{id_!r} is no id that an import of {row.token} takes: give {row.import_id}"
        )
    return match.groupdict()


def read_import(row: Row, id_: str, scope: Scope) -> Made | None:
    """What an import by its id finds: the id that the state keeps, and what can be read.

    Args:
        row: The type's row.
        id_: The id in the real provider's form for imports.
        scope: Where.

    Raises:
        ResourceError: The real provider imports no such type, or the id has another form.
    """
    if not row.importable:
        raise ResourceError(
            f"the AWS provider imports no {row.token}: declare it, and let it be made"
        )
    if not row.import_id:
        found = read(row, id_, {}, scope)
        return None if found is None else Made(id_, found)
    named = named_by(row, id_)
    try:
        asked = _state_id(row, named, scope)
    except ResourceError:
        # The cloud alone tells the state's id; what the import's id names finds the resource.
        asked = id_
    found = read(row, asked, named, scope)
    if found is None:
        return None
    found = {**named, **found}
    return Made(_state_id(row, found, scope), found)


def _fillable(template: str, values: Mapping[str, Any]) -> bool:
    return all(values.get(name) for _, name, _, _ in _TEMPLATES.parse(template) if name)


def _output_shape(row: Row, call: Call) -> StructureShape:
    shape: Any = shapes.operation(row.service, call.operation).output_shape
    for part in [part for part in re.split(r"\.|\[\d+\]", call.path) if part]:
        shape = shapes.members(cast(StructureShape, shape))[part]
        while not isinstance(shape, StructureShape):
            shape = shape.member
    return cast(StructureShape, shape)


def read_tags(
    row: Row, tags: Tags, id_: str, props: Props, answer: Props, scope: Scope
) -> dict[str, str]:
    """The tags that stand on a resource, without AWS's own."""
    if not tags.listing:
        found = dig(answer, tags.listed) or []
    else:
        params = _tag_target(row, tags, id_, props)
        try:
            found = dig(scope.call(row.service, tags.listing, params), tags.listed) or []
        except ClientError as error:
            if not is_gone(row, error) and "NoSuchTagSet" not in str(error):
                raise
            found = []
    return {k: v for k, v in tags.decode(found).items() if not k.startswith("aws:")}


def _tag_target(row: Row, tags: Tags, id_: str, props: Props, *, write: bool = False) -> Props:
    target = fill(tags.target, id_values(row, id_, props))
    name = (tags.put_arn if write else "") or tags.arn
    shape = shapes.operation(row.service, tags.put if write else tags.listing).input_shape
    several = isinstance(shapes.members(cast(StructureShape, shape))[name], ListShape)
    params = {name: [target] if several else target}
    return params | {n: fill(t, id_values(row, id_, props)) for n, t in tags.extra.items()}


def _put_tags(row: Row, tags: Tags, made: Made, wanted: dict[str, str], scope: Scope) -> None:
    params = _tag_target(row, tags, made.id, made.outputs, write=True)
    _set_member(params, tags.put_member, tags.encode(wanted))
    scope.call(row.service, tags.put, params)


def update(
    row: Row, id_: str, old: Props, inputs: Props, tags: dict[str, str], scope: Scope
) -> Props:
    """Change a resource in place, by the calls that the changed properties need."""
    known = schema.schema(row.token)
    assert known is not None
    changed = {
        name
        for name in {*old, *inputs}
        if (name in inputs or (name in known.inputs and name not in row.filled))
        and shapes.canonical(old.get(name)) != shapes.canonical(inputs.get(name))
    }
    values = id_values(row, id_, {**old, **inputs})
    anew = False
    for call in row.update:
        relevant = set(call.when) if call.when is not None else set(_selected(row, call, inputs))
        relevant |= set(call.takes)
        if changed & relevant:
            params = parameters(row, call, inputs, values, scope)
            scope.call(row.service, call.operation, params)
            anew = anew or (bool(row.renewed) and call.operation == row.create.operation)
    outputs = {**{k: v for k, v in old.items() if k not in changed or k in row.computed}, **inputs}
    if row.tags is not None:
        before = {} if anew else old.get("tagsAll") or {}
        _sync_tags(row, row.tags, Made(id_, outputs), before, tags, scope)
        outputs["tagsAll"] = tags
    outputs.setdefault("region", scope.region)
    if anew:
        found = read(row, id_, outputs, scope) or {}
        outputs |= {name: found[name] for name in row.renewed if name in found}
    return _with_templates(row, outputs, id_, scope)


def _sync_tags(
    row: Row, tags: Tags, made: Made, old: dict[str, str], new: dict[str, str], scope: Scope
) -> None:
    if old == new:
        return
    removed = sorted(set(old) - set(new))
    if removed and tags.remove:
        params = _tag_target(row, tags, made.id, made.outputs, write=True)
        params[tags.remove_member] = (
            [{tags.key: key} for key in removed] if tags.remove_pairs else removed
        )
        scope.call(row.service, tags.remove, params)
    if new:
        _put_tags(row, tags, made, new, scope)


def delete(row: Row, id_: str, props: Props, scope: Scope) -> None:
    """Remove a resource; one that is already gone is no error."""
    try:
        if row.before_delete is not None:
            row.before_delete({**props, "id": id_}, scope)
        if row.delete is not None:
            values = id_values(row, id_, props)
            params = {name: fill(value, values) for name, value in row.delete.by.items()}
            params.update(row.delete.fixed)
            if row.delete.prepare is not None:
                row.delete.prepare(params, {**props, "id": id_}, scope)
            scope.call(row.service, row.delete.operation, params)
    except ClientError as error:
        if not is_gone(row, error):
            raise


def without_filled(row: Row, old: Any, new: Any, path: str = "") -> Any:
    """Old inputs without what is declared no more and is what AWS fills in by itself."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        standing, wanted = cast(Props, old), cast(Props, new)
        kept: Props = {}
        for name, value in standing.items():
            inner = f"{path}.{name}" if path else name
            if name in wanted:
                kept[name] = without_filled(row, value, wanted[name], inner)
            elif not _is_filled(row, value, inner):
                kept[name] = value
        return kept
    if isinstance(old, list) and isinstance(new, list):
        items, others = cast("list[Any]", old), cast("list[Any]", new)
        if len(items) == len(others):
            pairs = zip(items, others, strict=True)
            return [without_filled(row, one, other, path) for one, other in pairs]
    return old


def _is_filled(row: Row, value: Any, path: str) -> bool:
    if path in row.filled:
        usual = row.filled[path]
        return usual is None or shapes.canonical(value) == shapes.canonical(usual)
    # Further down, what an absent one means is not the same everywhere.
    return _is_empty(value) or ("." not in path and value in (False, 0))


def _is_empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_empty, cast(Props, value).values()))
    return value in (None, "", [])


def inputs_of(row: Row, found: Props, default_tags: Mapping[str, str]) -> Props:
    """For an import: the inputs that describe what was read, without those that no call takes."""
    known = schema.schema(row.token)
    assert known is not None
    taken = taken_properties(row)
    inputs = {
        name: value
        for name, value in row.defaults.items()
        if name not in found or name in row.ignored
    }
    inputs |= {
        name: value
        for name, value in found.items()
        if name in known.inputs
        and name in taken
        and name not in row.ignored
        and name not in row.refused
        and name not in ("region", "tagsAll")
        and value not in (None, "", [], {})
    }
    own = {k: v for k, v in (found.get("tagsAll") or {}).items() if default_tags.get(k) != v}
    if own and "tags" in known.inputs:
        inputs["tags"] = own
    return inputs


def standing(row: Row, declared: Props, found: Props) -> Props:
    """What stands in the cloud of what was declared, in its words where they mean the same.

    A declared property that the cloud does not tell was taken away, and is left out, unless its
    absence says nothing: it is one of the row's ``unread``, the row does nothing with it, its
    change would need a new resource (so nobody can have taken it from this one), or to say nothing
    means the same (a default, ``False``, what is empty).

    Args:
        row: Its row.
        declared: The inputs as they were declared.
        found: What ``read`` gave.
    """
    silent = {*_ALWAYS_IGNORED, *row.ignored, *row.unread, *row.replace, row.name, row.prefix}
    kept: Props = {}
    for name, value in declared.items():
        if name in found:
            kept[name] = shapes.merge(value, found[name])
        elif (
            name in silent or name.startswith("__") or not value or value == row.defaults.get(name)
        ):
            kept[name] = value
    return kept


def changed_properties(old: Props, new: Props) -> list[str]:
    """Top-level properties whose meaning differs."""
    return sorted(
        name
        for name in {*old, *new}
        if not name.startswith("__")
        and shapes.canonical(old.get(name)) != shapes.canonical(new.get(name))
    )
