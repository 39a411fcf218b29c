"""What must happen around ``pulumi destroy``: what Studio and people made, and Pulumi knows not of.

Users start apps and make spaces, and a domain with any of them cannot be deleted. The domain itself
makes a home file system with mount targets and two security groups, which stay when it goes and
keep subnets and VPC from being deleted. Everything is found anew at each run, so a run that was
interrupted is gone on with by running it again; steps whose object is gone do nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import boto3
from botocore.exceptions import ClientError

MARK = "ManagedByAmazonSageMakerResource"
"""Tag on what Studio makes; its value is the ARN of the domain."""

_DOMAIN = "aws:sagemaker/domain:Domain"
_SPACE = "aws:sagemaker/space:Space"
_PROFILE = "aws:sagemaker/userProfile:UserProfile"
_BUCKET = "aws:s3/bucket:Bucket"
_TABLE = "aws:dynamodb/table:Table"
_VPC = "aws:ec2/vpc:Vpc"
_STACK = "pulumi:pulumi:Stack"

_GONE = frozenset(
    {
        "FileSystemNotFound", "InvalidGroup.NotFound", "InvalidPermission.NotFound",
        "MountTargetNotFound", "NoSuchBucket", "NoSuchBucketPolicy", "ResourceNotFound",
        "ResourceNotFoundException",
    }
)  # fmt: skip
_EMPTYING = (
    "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:DeleteObject", "s3:DeleteObjectVersion",
    "s3:ListBucketVersions", "s3:PutBucketPolicy",
)  # fmt: skip

When = Literal["before domains", "after domains", "left"]


class TeardownError(RuntimeError):
    """Something did not go away in time; the message names it."""


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        when: Before Pulumi deletes the domains, or after it and before it deletes the rest; what is
            ``left`` is only named.
        what: For a person, with the object's id.
        act: Does it, and returns once it is done.
        urn: Of the stack's resource that stays, for what is left of one.
    """

    when: When
    what: str
    act: Callable[[], None]
    urn: str = ""


@dataclass(frozen=True)
class Patience:
    """How long to wait for AWS: seconds in all, and between two looks."""

    timeout: float = 900.0
    interval: float = 5.0

    def until(self, gone: Callable[[], bool], what: str) -> None:
        """Return once ``gone()`` holds.

        Raises:
            TeardownError: not within the timeout.
        """
        deadline = time.monotonic() + self.timeout
        while not gone():
            if time.monotonic() >= deadline:
                raise TeardownError(
                    f"{what} is still there after {self.timeout:.0f} s; look at it in the console, "
                    "then run the same command again, it goes on from here"
                )
            time.sleep(self.interval)


def domains_to_go(deployment: Mapping[str, Any], *, include_protected: bool) -> list[str]:
    """URNs of the Studio domains in a stack's state that destroying it deletes."""
    return [
        str(domain["urn"])
        for domain in _of(deployment, _DOMAIN)
        if include_protected or not domain.get("protect")
    ]


def named(resource: Mapping[str, Any]) -> str:
    """``type name`` of a resource in a stack's state."""
    return f"{resource['type']} {str(resource['urn']).rpartition('::')[2]}"


def protected(deployment: Mapping[str, Any]) -> list[str]:
    """``type name`` of everything that is protected, in the state's order."""
    return [
        named(resource) for resource in deployment.get("resources") or [] if resource.get("protect")
    ]


def to_delete(
    deployment: Mapping[str, Any], *, include_protected: bool, staying: Collection[str] = ()
) -> list[Mapping[str, Any]]:
    """The resources and components that Pulumi deletes, in an order that respects dependencies.

    What a resource that stays needs, stays with it; so does what makes up a bucket that stays, its
    policy and its encryption first of all.

    Args:
        deployment: The stack's exported state.
        include_protected: Whether protected resources go too.
        staying: URNs of resources that hold data, and stay.
    """
    resources: Sequence[Mapping[str, Any]] = deployment.get("resources") or []
    kept = {
        str(resource["urn"])
        for resource in resources
        if resource["urn"] in staying or (resource.get("protect") and not include_protected)
    }
    buckets = {str(r["id"]) for r in resources if r["urn"] in kept and r["type"] == _BUCKET}
    chosen: list[Mapping[str, Any]] = []
    # The state lists a resource after everything that it depends on.
    for resource in reversed(resources):
        stays = resource["urn"] in kept or (
            resource["type"].startswith("aws:s3/bucket")
            and (resource.get("inputs") or {}).get("bucket") in buckets
        )
        if stays:
            kept |= {
                str(resource["urn"]),
                str(resource.get("parent")),
                *resource.get("dependencies", []),
            }
        elif not resource["type"].startswith("pulumi:"):
            chosen.append(resource)
    return chosen


def released(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The state with nothing protected and nothing kept when its resource goes."""
    return {
        **deployment,
        "resources": [
            {k: v for k, v in resource.items() if k not in ("protect", "retainOnDelete")}
            for resource in deployment.get("resources") or []
        ],
    }


def plan(
    session: boto3.Session,
    deployment: Mapping[str, Any],
    *,
    include_protected: bool = False,
    delete_data: bool = False,
    patience: Patience | None = None,
) -> list[Step]:
    """All steps in order; looks, and changes nothing.

    Args:
        session: Of the stack's account. The deployer suffices without ``delete_data``; with it an
            administrator is needed, as no deployer may delete objects.
        deployment: The stack's exported state.
        include_protected: Whether protected resources go too.
        delete_data: Whether objects in buckets, tables and people's home file systems go. Otherwise
            they are named and left.
        patience: How long to wait.
    """
    work = _Work(session, deployment, include_protected, delete_data, patience or Patience())
    return [*work.studio(), *work.buckets(), *work.tables(), *work.leftovers()]


def of_user(
    session: boto3.Session,
    domain_id: str,
    user: str,
    *,
    spaces: bool,
    patience: Patience | None = None,
) -> list[Step]:
    """The steps that end a user's apps, all of them before domains; looks, and changes nothing.

    Args:
        session: Of the domain's account; the deployer suffices.
        domain_id: The domain.
        user: Name of the user profile.
        spaces: Whether the user's private spaces go too.
        patience: How long to wait.

    Raises:
        TeardownError: Spaces are to go, and the user has some that others work in.
    """
    work = _Work(session, {}, False, False, patience or Patience())
    return list(work.of_user(domain_id, user, spaces=spaces))


def run(steps: Sequence[Step], when: When, tell: Callable[[str], None]) -> None:
    """Do the steps of one point in time, telling each.

    Raises:
        TeardownError: something did not go away in time.
    """
    for step in steps:
        if step.when == when:
            tell(step.what)
            step.act()


def _of(deployment: Mapping[str, Any], type_: str) -> Iterator[Mapping[str, Any]]:
    for resource in deployment.get("resources") or []:
        if resource["type"] == type_ and not resource.get("delete"):
            yield resource


def _outputs(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    return resource.get("outputs") or {}


def _nothing() -> None:
    """For what is only named."""


def _if_there(call: Callable[..., Any], **arguments: Any) -> Any:
    """The call's answer, None when its object is gone."""
    try:
        return call(**arguments)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _GONE:
            return None
        raise


@dataclass(frozen=True)
class _Work:
    session: boto3.Session
    deployment: Mapping[str, Any]
    include_protected: bool
    delete_data: bool
    patience: Patience

    def _client(self, service: str) -> Any:
        return self.session.client(service)  # type: ignore[call-overload]

    def _pages(self, service: str, operation: str, member: str, **query: Any) -> Iterator[Any]:
        for page in self._client(service).get_paginator(operation).paginate(**query):
            yield from page.get(member) or []

    def _going(self, type_: str) -> Iterator[Mapping[str, Any]]:
        for resource in _of(self.deployment, type_):
            if self.include_protected or not resource.get("protect"):
                yield resource

    # -- before Pulumi --------------------------------------------------------------------------

    def studio(self) -> Iterator[Step]:
        """Apps of every type, then spaces and profiles that Pulumi does not know."""
        for domain in self._going(_DOMAIN):
            yield from self._domain(str(domain["id"]))

    def _domain(self, domain_id: str) -> Iterator[Step]:
        sagemaker = self._client("sagemaker")
        yield from self._apps(domain_id)
        for kind, type_, listing in (
            ("Space", _SPACE, "list_spaces"),
            ("UserProfile", _PROFILE, "list_user_profiles"),
        ):
            member, verb = f"{kind}Name", "space" if kind == "Space" else "user_profile"
            known = {
                _outputs(resource).get(member[0].lower() + member[1:])
                for resource in _of(self.deployment, type_)
                if _outputs(resource).get("domainId") == domain_id
            }
            for thing in self._pages("sagemaker", listing, f"{kind}s", DomainIdEquals=domain_id):
                if thing[member] not in known:
                    yield self._delete(
                        f"{verb.replace('_', ' ')} {thing[member]} in {domain_id}",
                        getattr(sagemaker, f"delete_{verb}"),
                        getattr(sagemaker, f"describe_{verb}"),
                        {"DomainId": domain_id, member: thing[member]},
                    )

    def _apps(self, domain_id: str, **query: str) -> Iterator[Step]:
        sagemaker = self._client("sagemaker")
        for app in self._pages("sagemaker", "list_apps", "Apps", DomainIdEquals=domain_id, **query):
            # Deleted and failed apps stay listed for a day.
            if app["Status"] in ("Deleted", "Failed"):
                continue
            owner = "UserProfileName" if app.get("UserProfileName") else "SpaceName"
            key = {
                "DomainId": domain_id,
                owner: app[owner],
                "AppType": app["AppType"],
                "AppName": app["AppName"],
            }
            yield self._delete(
                f"app {app['AppType']}/{app['AppName']} of {app[owner]} in {domain_id}",
                sagemaker.delete_app,
                sagemaker.describe_app,
                key,
            )

    def of_user(self, domain_id: str, user: str, *, spaces: bool) -> Iterator[Step]:
        """The user's own apps, those of the private spaces, and these when asked."""
        owned = [
            space
            for space in self._pages("sagemaker", "list_spaces", "Spaces", DomainIdEquals=domain_id)
            if (space.get("OwnershipSettingsSummary") or {}).get("OwnerUserProfileName") == user
        ]
        shared = [
            space["SpaceName"]
            for space in owned
            if (space.get("SpaceSharingSettingsSummary") or {}).get("SharingType") == "Shared"
        ]
        if spaces and shared:
            raise TeardownError(
                f"{user} owns spaces of {domain_id} that others work in: {', '.join(shared)}. A"
                " space keeps its owner: save what is in them, delete them, then run this again."
            )
        private = [space["SpaceName"] for space in owned if space["SpaceName"] not in shared]
        yield from self._apps(domain_id, UserProfileNameEquals=user)
        for space in private:
            yield from self._apps(domain_id, SpaceNameEquals=space)
        sagemaker = self._client("sagemaker")
        for space in private if spaces else ():
            yield self._delete(
                f"space {space} in {domain_id}",
                sagemaker.delete_space,
                sagemaker.describe_space,
                {"DomainId": domain_id, "SpaceName": space},
            )

    def _delete(
        self,
        what: str,
        delete: Callable[..., Any],
        describe: Callable[..., Any],
        key: dict[str, Any],
    ) -> Step:
        def gone() -> bool:
            found = _if_there(describe, **key)
            return found is None or found.get("Status") == "Deleted"

        def act() -> None:
            found = _if_there(describe, **key)
            if found is not None and found.get("Status") not in ("Deleted", "Deleting"):
                _if_there(delete, **key)
            self.patience.until(gone, what)

        return Step("before domains", f"delete {what}", act)

    def buckets(self) -> Iterator[Step]:
        """Buckets with objects: emptied when data goes, else named."""
        s3 = self._client("s3")
        for resource in self._going(_BUCKET):
            bucket = str(resource["id"])
            found = _if_there(s3.list_object_versions, Bucket=bucket, MaxKeys=1)
            if not found or not (found.get("Versions") or found.get("DeleteMarkers")):
                continue
            if not self.delete_data:
                told = f"bucket {bucket} holds objects and stays; --delete-data empties it"
                yield Step("left", told, _nothing, str(resource["urn"]))
                continue
            locks = self._locks(bucket)
            if locks:
                yield Step(
                    "before domains",
                    f"take {', '.join(locks)} out of the policy of bucket {bucket}",
                    lambda bucket=bucket: self._unlock(bucket),
                )
            yield Step(
                "before domains",
                f"delete all objects and versions in bucket {bucket}",
                lambda bucket=bucket: self._empty(bucket),
            )

    def _policy(self, bucket: str) -> dict[str, Any]:
        found = _if_there(self._client("s3").get_bucket_policy, Bucket=bucket)
        return json.loads(found["Policy"]) if found else {"Statement": []}

    def _locks(self, bucket: str) -> list[str]:
        return [s.get("Sid", "a deny") for s in self._policy(bucket)["Statement"] if _locks_out(s)]

    def _unlock(self, bucket: str) -> None:
        policy = self._policy(bucket)
        kept = [statement for statement in policy["Statement"] if not _locks_out(statement)]
        s3 = self._client("s3")
        if not kept:
            _if_there(s3.delete_bucket_policy, Bucket=bucket)
        elif kept != policy["Statement"]:
            document = json.dumps({**policy, "Statement": kept})
            s3.put_bucket_policy(Bucket=bucket, Policy=document)

    def _empty(self, bucket: str) -> None:
        s3 = self._client("s3")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            objects = [
                {"Key": item["Key"], "VersionId": item["VersionId"]}
                for member in ("Versions", "DeleteMarkers")
                for item in page.get(member) or []
            ]
            if objects:
                answer = s3.delete_objects(
                    Bucket=bucket, Delete={"Objects": objects, "Quiet": True}
                )
                for error in answer.get("Errors") or []:
                    raise TeardownError(
                        f"{error.get('Key')} in bucket {bucket}: {error.get('Message')}"
                    )

    def tables(self) -> Iterator[Step]:
        """Tables are records: they go with the data only, and DynamoDB's own protection with them.

        How many records a table holds is not asked: DynamoDB counts them anew every six hours.
        """
        dynamodb = self._client("dynamodb")
        for resource in self._going(_TABLE):
            table = str(resource["id"])
            found = _if_there(dynamodb.describe_table, TableName=table)
            if not found:
                continue
            if not self.delete_data:
                told = f"table {table} holds records and stays; --delete-data deletes it"
                yield Step("left", told, _nothing, str(resource["urn"]))
            elif found["Table"].get("DeletionProtectionEnabled"):
                yield Step(
                    "before domains",
                    f"end the deletion protection of table {table}",
                    lambda table=table: _if_there(
                        dynamodb.update_table, TableName=table, DeletionProtectionEnabled=False
                    ),
                )

    # -- after Pulumi has deleted the domains ---------------------------------------------------

    def leftovers(self) -> Iterator[Step]:
        """Mount targets, home file systems and security groups of domains that go or are gone."""
        vpcs = self._vpcs()
        if not vpcs:
            return
        ec2, efs = self._client("ec2"), self._client("efs")
        staying = self._staying()
        groups = [
            group
            for group in self._pages(
                "ec2",
                "describe_security_groups",
                "SecurityGroups",
                Filters=[
                    {"Name": "vpc-id", "Values": sorted(vpcs)},
                    {"Name": "tag-key", "Values": [MARK]},
                ],
            )
            if _mark(group) not in staying
        ]
        for system in self._pages("efs", "describe_file_systems", "FileSystems"):
            domain = _mark(system)
            if domain is None or domain in staying:
                continue
            id_ = str(system["FileSystemId"])
            targets = efs.describe_mount_targets(FileSystemId=id_)["MountTargets"]
            # Of another stack in the same account, unless it is mounted here or its domain is ours.
            if not (
                any(target.get("VpcId") in vpcs for target in targets)
                or domain in {_mark(group) for group in groups}
            ):
                continue
            yield from self._home(efs, id_, targets)
        for group in groups:
            yield Step(
                "after domains",
                f"revoke the rules of security group {group['GroupId']} ({group['GroupName']})",
                lambda group=group: _revoke(ec2, group["GroupId"]),
            )
        for group in groups:
            yield Step(
                "after domains",
                f"delete security group {group['GroupId']} ({group['GroupName']})",
                lambda group=group: _if_there(ec2.delete_security_group, GroupId=group["GroupId"]),
            )

    def _home(self, efs: Any, id_: str, targets: Sequence[Mapping[str, Any]]) -> Iterator[Step]:
        for target in targets:
            yield Step(
                "after domains",
                f"delete mount target {target['MountTargetId']} of file system {id_}",
                lambda target=target: _if_there(
                    efs.delete_mount_target, MountTargetId=target["MountTargetId"]
                ),
            )

        def unmounted() -> bool:
            found = _if_there(efs.describe_mount_targets, FileSystemId=id_)
            return not found or not found["MountTargets"]

        what = f"the mount targets of file system {id_}"
        if targets:
            yield Step(
                "after domains",
                f"wait until {what} are gone",
                lambda: self.patience.until(unmounted, what),
            )
        if self.delete_data:
            yield Step(
                "after domains",
                f"delete home file system {id_}",
                lambda: _if_there(efs.delete_file_system, FileSystemId=id_),
            )
        else:
            told = f"home file system {id_} holds people's files and stays; --delete-data deletes"
            yield Step("left", f"{told} it", _nothing)

    def _vpcs(self) -> set[str]:
        """The stack's VPC, made or existing; known until the stack itself is gone."""
        found = {str(vpc["id"]) for vpc in _of(self.deployment, _VPC)}
        found |= {str(_outputs(domain).get("vpcId")) for domain in _of(self.deployment, _DOMAIN)}
        found |= {str(_outputs(stack).get("vpc_id")) for stack in _of(self.deployment, _STACK)}
        return {id_ for id_ in found if id_.startswith("vpc-")}

    def _staying(self) -> set[str | None]:
        going = {str(domain["id"]) for domain in self._going(_DOMAIN)}
        return {
            str(domain["DomainArn"])
            for domain in self._pages("sagemaker", "list_domains", "Domains")
            if domain["DomainId"] not in going
        }


def _mark(thing: Mapping[str, Any]) -> str | None:
    return next((tag["Value"] for tag in thing.get("Tags") or [] if tag["Key"] == MARK), None)


def _revoke(ec2: Any, group_id: str) -> None:
    """The two groups name each other, so neither can go before the rules of both."""
    found = _if_there(ec2.describe_security_groups, GroupIds=[group_id])
    for group in found["SecurityGroups"] if found else []:
        if group["IpPermissions"]:
            ec2.revoke_security_group_ingress(
                GroupId=group_id, IpPermissions=group["IpPermissions"]
            )
        if group["IpPermissionsEgress"]:
            ec2.revoke_security_group_egress(
                GroupId=group_id, IpPermissions=group["IpPermissionsEgress"]
            )


def _locks_out(statement: Mapping[str, Any]) -> bool:
    """Whether a deny could stop emptying; one of requests without TLS never does."""
    if statement["Effect"] != "Deny":
        return False
    if statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}:
        return False
    given = statement.get("Action", "*")
    actions = [given] if isinstance(given, str) else given
    return any(_matches(pattern, action) for pattern in actions for action in _EMPTYING)


def _matches(pattern: str, action: str) -> bool:
    start, star, _ = pattern.lower().partition("*")
    return action.lower().startswith(start) if star else action.lower() == start
