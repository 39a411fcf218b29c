"""Emulated Feature Store: groups, the online store, and an offline store of Parquet files in S3.

The offline store is written as the group's role, into the folders and with the columns that
SageMaker documents. SageMaker gathers records for up to 15 minutes; here a moment is enough. A role
that may not write leaves the group's offline store ``Blocked``, with the reason, and what was put
is written once it may. No table is made in Glue, and what else is missing is refused by name.

Source: SageMaker developer guide, "Amazon SageMaker Feature Store offline store data format".
"""

from __future__ import annotations

import datetime as dt
import importlib
import io
import logging
import secrets
import string
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from localcloud.emulator.compute import ComputeError
from localcloud.emulator.extension import ApiError, Context, Params, operation
from localcloud.emulator.jobs.job import page, refuse, select
from localcloud.emulator.jobs.place import Place, now
from localcloud.emulator.jobs.transfer import Transfer, TransferError

_SERVICE, _RUNTIME = "sagemaker", "sagemaker-featurestore-runtime"
_STORE = "feature_groups"
_GATHERED_SECONDS = 0.2
_ALPHABET = string.ascii_letters + string.digits
_BATCH = 100  # records of BatchGetRecord. Source: SageMaker API reference.

_READ: Mapping[str, Callable[[str], Any]] = {"String": str, "Fractional": float, "Integral": int}
_PARQUET = {"String": "string", "Fractional": "float64", "Integral": "int64"}
_FORMATS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ")
"""Of event times that are text. Source: CreateFeatureGroup in SageMaker's API reference."""

_log = logging.getLogger(__name__)


def _invalid(message: str) -> ApiError:
    return ApiError("ValidationError", message)


@dataclass(frozen=True)
class _Row:
    """A record, as the stores keep it.

    Attributes:
        values: Feature -> its value as text.
        moment: Its event time.
        called: When it was put.
        deleted: Whether it says that there is none any more.
    """

    values: Mapping[str, str]
    moment: dt.datetime
    called: dt.datetime
    deleted: bool = False


@dataclass
class _Group:
    """A feature group with what was put into it.

    Attributes:
        place: Where it is.
        description: What DescribeFeatureGroup answers.
        online: Record identifier -> its newest record.
        waiting: What is not in the offline store yet.
    """

    place: Place
    description: Params
    online: dict[str, _Row] = field(default_factory=dict[str, _Row])
    waiting: list[_Row] = field(default_factory=list[_Row])
    lock: threading.Lock = field(default_factory=threading.Lock)
    gathering: bool = False

    @property
    def types(self) -> dict[str, str]:
        """Feature -> type."""
        features = self.description["FeatureDefinitions"]
        return {item["FeatureName"]: item["FeatureType"] for item in features}

    @property
    def identifier(self) -> str:
        """The feature that tells records apart."""
        return str(self.description["RecordIdentifierFeatureName"])

    @property
    def time(self) -> str:
        """The feature that tells when a record came to be."""
        return str(self.description["EventTimeFeatureName"])

    @property
    def has_online(self) -> bool:
        """Whether it has an online store."""
        return bool((self.description.get("OnlineStoreConfig") or {}).get("EnableOnlineStore"))

    @property
    def has_offline(self) -> bool:
        """Whether it has an offline store."""
        return "OfflineStoreConfig" in self.description

    def stores(self, params: Params) -> tuple[bool, bool]:
        """Whether a call is for the online and for the offline store.

        Raises:
            ApiError: It names a store that the group does not have.
        """
        wanted = params.get("TargetStores")
        if not wanted:
            return self.has_online, self.has_offline
        for store, there in (("OnlineStore", self.has_online), ("OfflineStore", self.has_offline)):
            if store in wanted and not there:
                name = self.description["FeatureGroupName"]
                raise _invalid(f"Feature group {name} has no {store}.")
        return "OnlineStore" in wanted, "OfflineStore" in wanted

    def keep(self, row: _Row, *, online: bool, offline: bool, forget: bool = False) -> None:
        """Takes a record into its stores; an older one than the newest stays out of the online."""
        key = row.values[self.identifier]
        newest = self.online.get(key)
        if online and (newest is None or row.moment >= newest.moment):
            self.online[key] = row
            if forget:
                del self.online[key]
        if offline:
            with self.lock:
                self.waiting.append(row)
                begin, self.gathering = not self.gathering, True
            if begin:
                timer = threading.Timer(_GATHERED_SECONDS, self._write)
                timer.daemon = True
                timer.start()

    def _write(self) -> None:
        """Writes what waits, one file an hour of event time."""
        with self.lock:
            rows, self.waiting, self.gathering = self.waiting, [], False
        try:
            self._write_rows(rows)
        except (ApiError, ComputeError, TransferError) as error:
            with self.lock:
                self.waiting = rows + self.waiting
            self._tell({"Status": "Blocked", "BlockedReason": str(error)[:1024]})
        except Exception as error:
            _log.exception("The offline store of %s failed", self.description["FeatureGroupArn"])
            reason = f"The local cloud failed: {error!r}"
            self._tell({"Status": "Blocked", "BlockedReason": reason[:1024]})
        else:
            self._tell({"Status": "Active"})

    def _tell(self, status: Params) -> None:
        self.description = {**self.description, "OfflineStoreStatus": status}

    def _write_rows(self, rows: Sequence[_Row]) -> None:
        place, role = self.place, str(self.description["RoleArn"])
        task = place.task(role, "SageMaker", str(self.description["FeatureGroupArn"]), [])
        transfer = Transfer(place.compute.environment(task), role)
        store = self.description["OfflineStoreConfig"]["S3StorageConfig"]
        hours: dict[str, list[_Row]] = defaultdict(list)
        for row in rows:
            hours[row.moment.strftime("year=%Y/month=%m/day=%d/hour=%H")].append(row)
        for hour, found in hours.items():
            newest = max(row.moment for row in found).strftime("%Y%m%dT%H%M%SZ")
            mark = "".join(secrets.choice(_ALPHABET) for _ in range(16))
            uri = f"{store['ResolvedOutputS3Uri']}/{hour}/{newest}_{mark}.parquet"
            transfer.put(uri, self._parquet(found), store.get("KmsKeyId"))

    def _parquet(self, rows: Sequence[_Row]) -> bytes:
        # Half a second to load, and only who has an offline store needs it.
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
        columns: dict[str, Any] = {}
        for name, kind in self.types.items():
            values = [_READ[kind](row.values[name]) if name in row.values else None for row in rows]
            columns[name] = arrow.array(values, type=getattr(arrow, _PARQUET[kind])())
        moment = arrow.timestamp("ms")
        columns["write_time"] = arrow.array([now()] * len(rows), type=moment)
        columns["api_invocation_time"] = arrow.array([row.called for row in rows], type=moment)
        columns["is_deleted"] = arrow.array([row.deleted for row in rows], type=arrow.bool_())
        buffer = io.BytesIO()
        parquet.write_table(arrow.table(columns), buffer)
        return buffer.getvalue()


# -- groups ----------------------------------------------------------------------------------------


def _groups(ctx: Context) -> dict[str, _Group]:
    return Place.of(ctx).things(_STORE)


def _get(ctx: Context, name_or_arn: str) -> _Group:
    """A group by name or ARN; ARNs have names in lower case."""
    name = name_or_arn.rpartition("/")[2]
    for known, group in _groups(ctx).items():
        if name in (known, known.lower() if "/" in name_or_arn else known):
            return group
    raise ApiError("ResourceNotFound", f"FeatureGroup {name} does not exist.")


@operation(_SERVICE, "CreateFeatureGroup")
def create(ctx: Context, params: Params) -> Params:
    """A feature group, there at once."""
    place, name = Place.of(ctx), params["FeatureGroupName"]
    online, offline = params.get("OnlineStoreConfig"), params.get("OfflineStoreConfig")
    if not offline and not (online or {}).get("EnableOnlineStore"):
        raise ApiError("ValidationException", "Give an OnlineStoreConfig or OfflineStoreConfig.")
    refuse(online or {}, {"TtlDuration": "time to live"}, "feature groups")
    if (online or {}).get("StorageType") == "InMemory":
        refuse(online or {}, {"StorageType": "in-memory store"}, "feature groups")
    if (offline or {}).get("TableFormat") == "Iceberg":
        refuse(offline or {}, {"TableFormat": "Iceberg tables"}, "feature groups")
    features = params.get("FeatureDefinitions") or []
    for item in features:
        refuse(item, {"CollectionType": "collections"}, "feature groups")
    types = {item["FeatureName"]: item.get("FeatureType", "String") for item in features}
    for member in ("RecordIdentifierFeatureName", "EventTimeFeatureName"):
        if params[member] not in types:
            raise ApiError(
                "ValidationException", f"{member} {params[member]} is no feature of the group."
            )
    if types[params["EventTimeFeatureName"]] == "Integral":
        raise ApiError("ValidationException", "The event time is a String or a Fractional.")
    if offline and "RoleArn" not in params:
        raise ApiError("ValidationException", "An offline store needs a RoleArn.")
    if any(known.lower() == name.lower() for known in _groups(ctx)):
        raise ApiError("ResourceInUse", f"FeatureGroup {name} already exists.")
    arn, made = place.arn(f"feature-group/{name.lower()}"), now()
    description: Params = {
        "ThroughputConfig": {"ThroughputMode": "OnDemand"},
        **{member: value for member, value in params.items() if member != "Tags"},
        "FeatureGroupArn": arn,
        "FeatureGroupStatus": "Created",
        "CreationTime": made,
        "LastModifiedTime": made,
    }
    if offline:
        description["OfflineStoreConfig"] = _resolved(place, name, offline, made)
        description["OfflineStoreStatus"] = {"Status": "Active"}
    _groups(ctx)[name] = _Group(place, description)
    place.remember_tags(arn, params)
    return {"FeatureGroupArn": arn}


def _resolved(place: Place, name: str, given: Params, made: dt.datetime) -> Params:
    stamp = int(made.replace(tzinfo=dt.UTC).timestamp())
    store = given["S3StorageConfig"]
    folder = f"{place.account}/sagemaker/{place.region}/offline-store/{name}-{stamp}/data"
    catalog = {
        "TableName": f"{name.replace('-', '_').lower()}_{stamp}",
        "Catalog": "AwsDataCatalog",
        "Database": "sagemaker_featurestore",
    }
    told = {} if given.get("DisableGlueTableCreation") else {"DataCatalogConfig": catalog}
    return {
        **told,
        **given,
        "S3StorageConfig": {
            **store,
            "ResolvedOutputS3Uri": f"{store['S3Uri'].rstrip('/')}/{folder}",
        },
    }


@operation(_SERVICE, "DescribeFeatureGroup")
def describe(ctx: Context, params: Params) -> Params:
    """A feature group."""
    return _get(ctx, params["FeatureGroupName"]).description


@operation(_SERVICE, "UpdateFeatureGroup")
def update(ctx: Context, params: Params) -> Params:
    """Adds features; those that there are stay as they are."""
    refuse(params, {"OnlineStoreConfig": "time to live"}, "feature groups")
    group = _get(ctx, params["FeatureGroupName"])
    more = params.get("FeatureAdditions") or []
    for item in more:
        refuse(item, {"CollectionType": "collections"}, "feature groups")
        if item["FeatureName"] in group.types:
            raise ApiError(
                "ValidationException", f"Feature {item['FeatureName']} is in the group already."
            )
    changed = {
        "FeatureDefinitions": [*group.description["FeatureDefinitions"], *more],
        "LastModifiedTime": now(),
    }
    if "ThroughputConfig" in params:
        changed["ThroughputConfig"] = params["ThroughputConfig"]
    group.description = {**group.description, **changed}
    return {"FeatureGroupArn": group.description["FeatureGroupArn"]}


@operation(_SERVICE, "DeleteFeatureGroup")
def delete(ctx: Context, params: Params) -> Params | None:
    """Removes a group and its online store; the offline store's objects stay, as on AWS."""
    group = _get(ctx, params["FeatureGroupName"])
    del _groups(ctx)[str(group.description["FeatureGroupName"])]
    group.place.forget_tags(str(group.description["FeatureGroupArn"]))
    return None


@operation(_SERVICE, "ListFeatureGroups")
def list_groups(ctx: Context, params: Params) -> Params:
    """A page of feature groups."""
    members = ("FeatureGroupName", "FeatureGroupArn", "CreationTime", "FeatureGroupStatus",
               "OfflineStoreStatus")  # fmt: skip
    wanted = params.get("FeatureGroupStatusEquals")
    every = [group.description for group in _groups(ctx).values()]
    chosen = [item for item in every if wanted in (None, item["FeatureGroupStatus"])]
    items = [
        {member: item[member] for member in members if member in item}
        for item in select(chosen, params, "FeatureGroupName", "FeatureGroupStatus")
    ]
    return page(items, "FeatureGroupSummaries", params, 10)


# -- records ---------------------------------------------------------------------------------------


def _moment(text: str, kind: str) -> dt.datetime:
    """An event time.

    Raises:
        ApiError: It is none.
    """
    if kind == "Fractional":
        try:
            return dt.datetime.fromtimestamp(float(text), dt.UTC).replace(tzinfo=None)
        except (ValueError, OverflowError, OSError):
            raise _invalid(f"Event time {text!r} is no number of seconds.") from None
    for form in _FORMATS:
        try:
            return dt.datetime.strptime(text, form)
        except ValueError:
            continue
    raise _invalid(
        f"Event time {text!r} is none: expected yyyy-MM-dd'T'HH:mm:ssZ or"
        " yyyy-MM-dd'T'HH:mm:ss.SSSZ."
    )


def _row(group: _Group, record: Sequence[Params]) -> _Row:
    """A record, checked.

    Raises:
        ApiError: Features are unknown, doubled, missing, or not of their types.
    """
    values: dict[str, str] = {}
    for item in record:
        name = item["FeatureName"]
        refuse(item, {"ValueAsStringList": "collections"}, "feature groups")
        if name not in group.types:
            raise _invalid(
                f"Feature {name} is none of {group.description['FeatureGroupName']}, which has"
                f" {', '.join(group.types)}."
            )
        if name in values:
            raise _invalid(f"Feature {name} is given twice.")
        values[name] = item["ValueAsString"]
        try:
            _READ[group.types[name]](values[name])
        except ValueError:
            raise _invalid(
                f"Feature {name} is {group.types[name]}, and {values[name]!r:.60} is none."
            ) from None
    missing = [name for name in (group.identifier, group.time) if not values.get(name)]
    if missing:
        raise _invalid(f"The record has no {' and no '.join(missing)}.")
    return _Row(values, _moment(values[group.time], group.types[group.time]), now())


@operation(_RUNTIME, "PutRecord")
def put(ctx: Context, params: Params) -> Params | None:
    """Takes a record into the group's stores."""
    refuse(params, {"TtlDuration": "time to live"}, "feature groups")
    group = _get(ctx, params["FeatureGroupName"])
    online, offline = group.stores(params)
    group.keep(_row(group, params["Record"]), online=online, offline=offline)
    return None


@operation(_RUNTIME, "DeleteRecord")
def delete_record(ctx: Context, params: Params) -> Params | None:
    """Takes a record out of the online store; the offline store tells that it was."""
    group = _get(ctx, params["FeatureGroupName"])
    online, offline = group.stores(params)
    moment = _moment(params["EventTime"], group.types[group.time])
    values = {
        group.identifier: params["RecordIdentifierValueAsString"],
        group.time: params["EventTime"],
    }
    row = _Row(values, moment, now(), deleted=True)
    hard = params.get("DeletionMode") == "HardDelete"
    group.keep(row, online=online, offline=offline, forget=hard)
    return None


def _found(group: _Group, key: str, names: Sequence[str] | None) -> list[Params]:
    unknown = sorted(set(names or ()) - set(group.types))
    if unknown:
        raise _invalid(f"{', '.join(unknown)}: no such feature in the group.")
    row = group.online.get(key)
    if row is None or row.deleted:
        return []
    return [
        {"FeatureName": name, "ValueAsString": row.values[name]}
        for name in names or group.types
        if name in row.values
    ]


def _online(ctx: Context, name: str) -> _Group:
    group = _get(ctx, name)
    if not group.has_online:
        raise _invalid(f"Feature group {group.description['FeatureGroupName']} has no OnlineStore.")
    return group


@operation(_RUNTIME, "GetRecord")
def get(ctx: Context, params: Params) -> Params:
    """The newest record of an identifier; none is an answer without a record, as on AWS."""
    group = _online(ctx, params["FeatureGroupName"])
    key = params["RecordIdentifierValueAsString"]
    record = _found(group, key, params.get("FeatureNames"))
    return {"Record": record} if record else {}


@operation(_RUNTIME, "BatchGetRecord")
def get_batch(ctx: Context, params: Params) -> Params:
    """The newest records of many identifiers; those that there are not are left out."""
    records: list[Params] = []
    identifiers = cast("list[Params]", params["Identifiers"])
    if sum(len(item["RecordIdentifiersValueAsString"]) for item in identifiers) > _BATCH:
        raise _invalid(f"More than {_BATCH} records are asked for at once.")
    for item in identifiers:
        group = _online(ctx, item["FeatureGroupName"])
        for key in item["RecordIdentifiersValueAsString"]:
            record = _found(group, key, item.get("FeatureNames"))
            if record:
                records.append(
                    {
                        "FeatureGroupName": item["FeatureGroupName"],
                        "RecordIdentifierValueAsString": key,
                        "Record": record,
                    }
                )
    return {"Records": records, "Errors": [], "UnprocessedIdentifiers": []}
