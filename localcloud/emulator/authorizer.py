"""Authorizes every call as IAM would, from the policies that the emulated accounts hold.

A call is allowed when all that it asks for is: its own actions, ``iam:PassRole`` for the roles it
hands over, and the use of keys that a service makes on the caller's behalf (S3 with KMS keys).
"""

from __future__ import annotations

import collections
import dataclasses
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

from localcloud.authorization import Decision, Evaluator, Policies, PolicyError, Request
from localcloud.emulator import conditions, world
from localcloud.emulator.actions import Access, Reference, UnmappedError, accesses, owner_of
from localcloud.emulator.conditions import Circumstances
from localcloud.emulator.extension import ApiError, Caller, Params
from localcloud.emulator.identity import Principal
from localcloud.emulator.protocol import Call

SAGEMAKER = "sagemaker.amazonaws.com"
"""The principal that runs jobs, pipelines, endpoints and Studio's apps."""

_DENIALS_KEPT = 200
_CLOCK_KEYS = ("aws:currenttime", "aws:epochtime", "aws:tokenissuetime")
# sts:GetCallerIdentity needs no permission; a web identity has no principal to authorize.
_OPEN = {
    ("sts", "GetCallerIdentity"),
    ("sts", "GetSessionToken"),
    ("sts", "AssumeRoleWithWebIdentity"),
}

PolicyLookup = Callable[[str], "Mapping[str, Any] | str | None"]
TagLookup = Callable[[str], Mapping[str, str]]
KeyLookup = Callable[[Call, Caller], Mapping[str, str]]


@dataclass(frozen=True)
class Denial:
    """A refused call, kept for people to look at.

    Attributes:
        principal: The caller's ARN.
        access: What was refused.
        decision: Why; its statements are what the message, which is AWS's, leaves out.
        context: The condition keys of the request.
    """

    principal: str
    access: Access
    decision: Decision
    context: Mapping[str, conditions.Value]


class Authorizer:
    """Decides calls.

    Args:
        evaluator: The IAM evaluator.
        reference: The service authorization reference.
        policy_of: Finds the policy attached to a resource.
        tags_of: Finds a resource's tags.
        keys_of: Finds condition keys that only a service's state tells.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        reference: Reference,
        policy_of: PolicyLookup,
        tags_of: TagLookup,
        keys_of: KeyLookup,
    ) -> None:
        self._evaluator = evaluator
        self._reference = reference
        self._policy_of = policy_of
        self._tags_of = tags_of
        self._keys_of = keys_of
        self._lock = threading.Lock()
        self.denials: collections.deque[Denial] = collections.deque(maxlen=_DENIALS_KEPT)

    def check(self) -> None:
        """Makes sure that the evaluator works.

        Raises:
            EvaluatorError: It does not.
        """
        request = Request("arn:aws:iam::000000000000:user/nobody", "s3:ListAllMyBuckets")
        self._evaluator.evaluate(request, Policies())

    def authorize(
        self,
        call: Call,
        principal: Principal,
        around: Circumstances,
        endpoint_policy: str | None,
    ) -> str:
        """Allows a call or raises.

        Returns:
            The account that owns the addressed resource, where the call is to be carried out.

        Raises:
            ApiError: The service's access-denied error; a 500 when IAM's reference lacks the call.
        """
        account = principal.caller.account
        if (call.service, call.operation) in _OPEN:
            return account
        if call.operation == "AssumeRole" and principal.caller.source_identity:
            # It goes on with its bearer, who needs the right to that as if it were asked for.
            call = dataclasses.replace(
                call, params={"SourceIdentity": principal.caller.source_identity, **call.params}
            )
        try:
            direct = accesses(call, account, self._reference)
        except UnmappedError as error:
            raise ApiError("InternalFailure", str(error), 500) from error
        for access in direct:
            self._check(call, access, principal, around, endpoint_policy)
        for access in _key_uses(call, account):
            self._check(call, access, principal, around, None)
        for access, service in conditions.passed_roles(call):
            if access.owner != account:
                raise ApiError(
                    "ValidationException",
                    f"Cross-account pass role is not allowed: {access.resource}",
                )
            self._check(call, access, principal, around, None, {"iam:PassedToService": service})
            if service == SAGEMAKER:
                self.keep_source_identity(principal.caller, access.resource)
        return direct[0].owner if direct else account

    def _check(
        self,
        call: Call,
        access: Access,
        principal: Principal,
        around: Circumstances,
        endpoint_policy: str | None,
        extra: Mapping[str, conditions.Value] | None = None,
    ) -> None:
        prefix, name = access.action.split(":", 1)
        context = conditions.context(
            call,
            access,
            principal,
            around,
            self._reference.condition_keys(prefix, name),
            self._tags_of(access.resource),
        )
        context |= {**self._keys_of(call, principal.caller), **(extra or {})}
        trust = access.action.startswith("sts:") and ":role/" in access.resource
        resource = (
            world.trust_policy(access.resource) if trust else self._policy_of(access.resource)
        )
        policies = Policies(
            identity=principal.identity,
            resource=resource,
            boundary=principal.boundary,
            session=principal.session_policy,
            endpoint=endpoint_policy,
        )
        if _mentions_the_clock(policies):
            context |= conditions.times(principal)
        request = Request(
            principal=principal.caller.arn,
            action=access.action,
            resource=access.resource,
            resource_account=access.owner,
            context=context,
        )
        try:
            decision = self._evaluator.evaluate(request, policies, strict=False)
        except PolicyError as error:
            raise ApiError(
                "InternalFailure",
                f"{error} If the resource is wrong, correct it in localcloud/emulator/actions.py.",
                500,
            ) from error
        if trust and resource is None:
            decision = Decision(
                False,
                False,
                f"because no resource-based policy allows the {access.action} action",
                (),
            )
        if not decision.allowed:
            self.denials.append(Denial(principal.caller.arn, access, decision, context))
            raise denied(call, access, principal, decision)

    def web_identity(
        self, params: Params, provider_arn: str, claims: Mapping[str, conditions.Value]
    ) -> Decision:
        """Decides whether a role's trust policy takes a web identity.

        Args:
            params: Input of ``AssumeRoleWithWebIdentity``.
            provider_arn: The identity provider that issued the token.
            claims: Condition keys from the token, such as ``<issuer>:sub``.
        """
        role_arn = str(params["RoleArn"])
        trust = world.trust_policy(role_arn)
        parsed = world.Arn.parse(role_arn)
        if trust is None or parsed is None:
            return Decision(False, False, f"because there is no role {role_arn}", ())
        return self._evaluator.evaluate(
            Request(
                principal=provider_arn,
                action="sts:AssumeRoleWithWebIdentity",
                resource=role_arn,
                resource_account=parsed.account,
                context={**claims, "sts:RoleSessionName": str(params["RoleSessionName"])},
            ),
            Policies(resource=trust),
            strict=False,
        )

    def keep_source_identity(self, caller: Caller, role_arn: str) -> None:
        """Checks that a role that SageMaker takes for a caller may have the caller's name.

        Source: SageMaker developer guide, "Turn on sourceIdentity in CloudTrail logs": without the
        right in the role's trust policy the call that creates a job fails.

        Args:
            caller: Who calls.
            role_arn: The role.

        Raises:
            ApiError: The caller has a source identity, and the role's trust does not let it be set.
        """
        if not caller.source_identity:
            return
        owner = owner_of(role_arn, caller.account)
        decision = self.delivery(
            "sts:SetSourceIdentity",
            role_arn,
            owner,
            SAGEMAKER,
            {"aws:SecureTransport": "true", "aws:SourceAccount": caller.account},
        )
        if not decision.allowed:
            raise ApiError(
                "ValidationException",
                f"{SAGEMAKER} may not perform sts:SetSourceIdentity on {role_arn}"
                f" {decision.reason}: its trust policy must let it, as {caller.arn} has a source"
                " identity.",
            )

    def delivery(
        self,
        action: str,
        resource: str,
        owner: str,
        principal: Principal | str,
        context: Mapping[str, conditions.Value],
    ) -> Decision:
        """Decides on what an AWS service does by itself, such as handing on an event.

        Args:
            action: What it does.
            resource: ARN of what it does it to; of the role for ``sts:AssumeRole``.
            owner: Account that owns the resource.
            principal: A role that the service was given, else the service principal
                (``events.amazonaws.com``) or an account's root ARN, which have no policies here.
            context: Condition keys of the delivery.
        """
        trust = action.startswith("sts:")
        policy = world.trust_policy(resource) if trust else self._policy_of(resource)
        policies, arn, whole = Policies(resource=policy), principal, dict(context)
        if isinstance(principal, Principal):
            arn = principal.caller.arn
            policies = Policies(
                identity=principal.identity, boundary=principal.boundary, resource=policy
            )
            whole |= {
                "aws:PrincipalArn": principal.caller.principal_arn,
                "aws:PrincipalAccount": principal.caller.account,
                **{f"aws:PrincipalTag/{key}": value for key, value in principal.tags.items()},
            }
        request = Request(str(arn), action, resource, owner, whole)
        decision = self._evaluator.evaluate(request, policies, strict=False)
        if policy is None and isinstance(principal, str):
            decision = Decision(
                False, False, f"because no resource-based policy allows the {action} action", ()
            )
        if not decision.allowed:
            self.denials.append(Denial(str(arn), Access(action, resource, owner), decision, whole))
        return decision

    def check_policies(self, call: Call, accounts: frozenset[str]) -> None:
        """Refuses a malformed policy document, or one that names a principal that does not exist.

        Raises:
            ApiError: The service's error for malformed policies.
        """
        entry = _POLICY_INPUTS.get((call.service, call.operation))
        if entry is None:
            return
        name, kind, code = entry
        document = call.params.get(name)
        if not isinstance(document, str) or not document:
            return
        errors = self._evaluator.validate(cast(Any, kind), document)
        if errors:
            raise ApiError(code, f"The policy in {name} is malformed: {'; '.join(errors)}", 400)
        if kind in ("trust", "resource"):
            for arn in _principals(json.loads(document)):
                parsed = world.Arn.parse(arn)
                if parsed and parsed.account in accounts and not _exists(parsed):
                    raise ApiError(code, f'Invalid principal in policy: "AWS":"{arn}"', 400)


def denied(call: Call, access: Access, principal: Principal, decision: Decision) -> ApiError:
    """The access-denied error of the call's service, in AWS's words."""
    message = (
        f"User: {principal.caller.arn} is not authorized to perform: {access.action}"
        f" on resource: {access.resource} {decision.reason}"
    )
    if call.protocol == "ec2":
        return ApiError(
            "UnauthorizedOperation",
            f"You are not authorized to perform this operation. {message}",
            403,
        )
    if call.service == "sns":
        return ApiError("AuthorizationError", message, 403)
    if call.protocol in ("query", "rest-xml") or call.service == "sqs":
        return ApiError("AccessDenied", message, 403)
    return ApiError("AccessDeniedException", message, 400 if call.protocol == "json" else 403)


def _mentions_the_clock(policies: Policies) -> bool:
    documents = [
        *policies.identity.values(),
        policies.resource,
        policies.boundary,
        policies.session,
        policies.endpoint,
    ]
    texts = (
        item if isinstance(item, str) else json.dumps(item)
        for item in documents
        if item is not None
    )
    return any(key in text.lower() for text in texts for key in _CLOCK_KEYS)


def _key_uses(call: Call, account: str) -> Iterator[Access]:
    """The use of KMS keys that S3 makes for the caller."""
    if call.service != "s3":
        return
    for action, bucket, given in _s3_keys(call):
        arn = world.key_arn(given, account, call.region)
        if arn is None:
            raise ApiError(
                "KMS.NotFoundException", f"The key {given} that {bucket} uses does not exist.", 400
            )
        parsed = world.Arn.parse(arn)
        yield Access(action, arn, parsed.account if parsed else account, via="s3")


def _s3_keys(call: Call) -> Iterator[tuple[str, str, str]]:
    """Action, bucket, and the key that it needs."""
    bucket, name = call.params.get("Bucket"), call.params.get("Key")
    if not isinstance(bucket, str):
        return
    read: list[tuple[str, str]] = []
    if call.operation == "GetObject" and isinstance(name, str):
        read = [(bucket, name)]
    elif call.operation in ("CopyObject", "UploadPartCopy"):
        source = unquote(str(call.params.get("CopySource", ""))).partition("?")[0]
        source_bucket, _, source_name = source.lstrip("/").partition("/")
        read = [(source_bucket, source_name)]
    for from_bucket, from_name in read:
        key = world.object_key(from_bucket, from_name)
        if key:
            yield "kms:Decrypt", from_bucket, key
    if call.operation in ("PutObject", "CreateMultipartUpload", "CopyObject"):
        algorithm = call.params.get("ServerSideEncryption")
        if algorithm is None or str(algorithm).startswith("aws:kms"):
            key = call.params.get("SSEKMSKeyId") or world.default_bucket_key(bucket)
            if key:
                yield "kms:GenerateDataKey", bucket, str(key)


# (service, operation) -> (input, kind of policy, error code)
_POLICY_INPUTS = {
    ("ec2", "CreateVpcEndpoint"): ("PolicyDocument", "endpoint", "InvalidParameter"),
    ("ec2", "ModifyVpcEndpoint"): ("PolicyDocument", "endpoint", "InvalidParameter"),
    ("iam", "CreatePolicy"): ("PolicyDocument", "identity", "MalformedPolicyDocument"),
    ("iam", "CreatePolicyVersion"): ("PolicyDocument", "identity", "MalformedPolicyDocument"),
    ("iam", "CreateRole"): ("AssumeRolePolicyDocument", "trust", "MalformedPolicyDocument"),
    ("iam", "PutGroupPolicy"): ("PolicyDocument", "identity", "MalformedPolicyDocument"),
    ("iam", "PutRolePolicy"): ("PolicyDocument", "identity", "MalformedPolicyDocument"),
    ("iam", "PutUserPolicy"): ("PolicyDocument", "identity", "MalformedPolicyDocument"),
    ("iam", "UpdateAssumeRolePolicy"): ("PolicyDocument", "trust", "MalformedPolicyDocument"),
    ("kms", "CreateKey"): ("Policy", "resource", "MalformedPolicyDocumentException"),
    ("kms", "PutKeyPolicy"): ("Policy", "resource", "MalformedPolicyDocumentException"),
    ("s3", "PutBucketPolicy"): ("Policy", "resource", "MalformedPolicy"),
    ("sagemaker", "PutModelPackageGroupPolicy"): (
        "ResourcePolicy",
        "resource",
        "ValidationException",
    ),
    ("secretsmanager", "PutResourcePolicy"): (
        "ResourcePolicy",
        "resource",
        "MalformedPolicyDocumentException",
    ),
}


def _principals(document: Params) -> Iterator[str]:
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = cast(dict[str, Any], statement).get("Principal", {})
        named = principal.get("AWS", []) if isinstance(principal, dict) else []
        yield from cast(list[str], named if isinstance(named, list) else [named])


def _exists(arn: world.Arn) -> bool:
    kind, _, path = arn.resource.partition("/")
    name = path.rsplit("/", 1)[-1]
    if kind == "role":
        whole = f"arn:aws:iam::{arn.account}:{arn.resource}"
        return world.role_arn(arn.account, name) == whole
    if kind == "user":
        return name in world.backend("iam", arn.account, "").users
    return True
