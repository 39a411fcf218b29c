"""The IAM evaluator on its own: semantics, explanations, and what it refuses to judge."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from localcloud.authorization import (
    Evaluator,
    EvaluatorError,
    NotInstalledError,
    Policies,
    PolicyError,
    Request,
    install,
)
from localcloud.paths import CHECKOUT

DEV, PROD = "222222222222", "333333333333"
SESSION = f"arn:aws:sts::{DEV}:assumed-role/reader/session"
OBJECT = "arn:aws:s3:::bucket/key"


@pytest.fixture(scope="module")
def evaluator() -> Iterator[Evaluator]:
    install(CHECKOUT.local)
    with Evaluator.start() as evaluator:
        yield evaluator


def policy(**statement: Any) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}


def read(owner: str = DEV, principal: str = SESSION, **context: str | list[str]) -> Request:
    keys = {key.replace("__", ":"): value for key, value in context.items()}
    return Request(principal, "s3:GetObject", OBJECT, owner, keys)


ALLOW = policy(Sid="Reads", Action="s3:GetObject", Resource=f"{OBJECT}")


def test_the_deciding_statements_are_named(evaluator: Evaluator) -> None:
    decision = evaluator.evaluate(read(), Policies({"readers": ALLOW}))
    assert decision.allowed
    assert decision.sids == ("Reads",)
    assert decision.statements[0].policy == "readers"


def test_nothing_allows_by_itself(evaluator: Evaluator) -> None:
    decision = evaluator.evaluate(read(), Policies())
    assert not decision.allowed
    assert not decision.explicit_deny
    assert decision.reason == "because no identity-based policy allows the s3:GetObject action"


@pytest.mark.parametrize(
    "where", ["identity", "resource", "boundary", "session", "scp", "endpoint"]
)
def test_an_explicit_deny_anywhere_wins(evaluator: Evaluator, where: str) -> None:
    everything = policy(Action="*", Resource="*")
    no = policy(Sid="No", Effect="Deny", Action="s3:*", Resource="*")
    attached: dict[str, Any] = {"identity": {"allow": everything}}
    if where == "identity":
        attached["identity"]["deny"] = no
    elif where == "scp":
        attached["scp"] = {
            "root": {**no, "Statement": [*no["Statement"], *everything["Statement"]]}
        }
    elif where in ("resource", "endpoint"):
        open_to_all = {**everything["Statement"][0], "Principal": "*"}
        closed = {**no["Statement"][0], "Principal": "*"}
        attached[where] = {"Version": "2012-10-17", "Statement": [open_to_all, closed]}
    else:
        attached[where] = {**no, "Statement": [*no["Statement"], *everything["Statement"]]}
    decision = evaluator.evaluate(read(), Policies(**attached))
    assert decision.explicit_deny
    assert decision.sids == ("No",)
    names = {
        "identity": "an identity-based policy",
        "resource": "a resource-based policy",
        "boundary": "a permissions boundary",
        "session": "a session policy",
        "scp": "a service control policy",
        "endpoint": "a VPC endpoint policy",
    }
    assert decision.reason == f"with an explicit deny in {names[where]}"


@pytest.mark.parametrize("where", ["boundary", "session", "scp", "endpoint"])
def test_each_guardrail_must_allow(evaluator: Evaluator, where: str) -> None:
    other = policy(Action="sqs:*", Resource="*")
    if where == "endpoint":
        other["Statement"][0]["Principal"] = "*"
    attached: dict[str, Any] = {where: {"root": other} if where == "scp" else other}
    decision = evaluator.evaluate(read(), Policies({"allow": ALLOW}, **attached))
    assert not decision.allowed
    assert not decision.explicit_deny
    assert decision.reason.endswith("allows the s3:GetObject action")
    assert "identity" not in decision.reason


def test_another_account_needs_both_sides(evaluator: Evaluator) -> None:
    shared = policy(Principal={"AWS": f"arn:aws:iam::{DEV}:root"}, Action="s3:*", Resource="*")
    assert not evaluator.evaluate(read(PROD), Policies({"allow": ALLOW})).allowed
    assert not evaluator.evaluate(read(PROD), Policies(resource=shared)).allowed
    assert evaluator.evaluate(read(PROD), Policies({"allow": ALLOW}, resource=shared)).allowed


def test_the_owner_is_found_in_the_arn(evaluator: Evaluator) -> None:
    request = Request(SESSION, "sqs:SendMessage", f"arn:aws:sqs:eu-west-1:{PROD}:queue")
    allow = policy(Action="sqs:*", Resource="*")
    assert not evaluator.evaluate(request, Policies({"allow": allow})).allowed


def test_policies_may_be_json(evaluator: Evaluator) -> None:
    text = (
        '{"Version": "2012-10-17", "Statement":'
        ' {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}'
    )
    assert evaluator.evaluate(read(), Policies({"json": text})).allowed
    with pytest.raises(PolicyError, match="json is not JSON"):
        evaluator.evaluate(read(), Policies({"json": "{"}))


def test_claims_and_encryption_contexts_count(evaluator: Evaluator) -> None:
    issuer = "token.actions.githubusercontent.com"
    provider = f"arn:aws:iam::{DEV}:oidc-provider/{issuer}"
    trust = policy(
        Principal={"Federated": provider},
        Action="sts:AssumeRoleWithWebIdentity",
        Condition={"StringLike": {f"{issuer}:sub": "repo:example/*"}},
    )
    for subject, allowed in (("repo:example/x", True), ("repo:other/x", False)):
        request = Request(
            provider,
            "sts:AssumeRoleWithWebIdentity",
            f"arn:aws:iam::{DEV}:role/ci",
            context={f"{issuer}:sub": subject},
        )
        assert evaluator.evaluate(request, Policies(resource=trust)).allowed is allowed
    key = f"arn:aws:kms:eu-west-1:{DEV}:key/1"
    decrypt = policy(
        Principal={"AWS": f"arn:aws:iam::{DEV}:role/reader"},
        Action="kms:Decrypt",
        Resource="*",
        Condition={"StringEquals": {"kms:EncryptionContext:purpose": "models"}},
    )
    for purpose, allowed in (("models", True), ("data", False)):
        request = Request(
            SESSION, "kms:Decrypt", key, context={"kms:EncryptionContext:purpose": purpose}
        )
        assert evaluator.evaluate(request, Policies(resource=decrypt)).allowed is allowed


@pytest.mark.parametrize("key", ["sagemaker:VolumeKmsKey", "sagemaker:VolumeKmsKeyArn"])
def test_replaced_condition_keys_still_count(evaluator: Evaluator, key: str) -> None:
    arn = f"arn:aws:kms:eu-west-1:{DEV}:key/1"
    encrypted = policy(
        Action="sagemaker:CreateTrainingJob",
        Resource="*",
        Condition={"ArnEquals": {key: arn}},
    )
    job = f"arn:aws:sagemaker:eu-west-1:{DEV}:training-job/job"
    for value, allowed in ((arn, True), (f"{arn}2", False)):
        request = Request(SESSION, "sagemaker:CreateTrainingJob", job, context={key: value})
        assert evaluator.evaluate(request, Policies({"jobs": encrypted})).allowed is allowed


def test_unknown_keys_actions_and_malformed_policies_are_errors(evaluator: Evaluator) -> None:
    with pytest.raises(PolicyError, match="no context key aws:sourceVpcee"):
        evaluator.evaluate(read(aws__sourceVpcee="vpce-1"), Policies({"allow": ALLOW}))
    with pytest.raises(PolicyError, match=r"invalid\.action"):
        evaluator.evaluate(Request(SESSION, "s3:GetObjekt", OBJECT), Policies())
    with pytest.raises(PolicyError, match=r"policy\.errors"):
        evaluator.evaluate(read(), Policies({"bad": policy(Actions="s3:*", Resource="*")}))
    assert evaluator.validate("identity", ALLOW) == []
    assert "Effekt" in " ".join(evaluator.validate("identity", {"Statement": [{"Effekt": "x"}]}))
    assert evaluator.validate("trust", "{") != []


def test_many_threads_get_their_own_answers(evaluator: Evaluator) -> None:
    def ask(number: int) -> bool:
        only = policy(
            Action="s3:GetObject",
            Resource="*",
            Condition={"StringEquals": {"aws:SourceVpce": f"vpce-{number}"}},
        )
        right = evaluator.evaluate(read(aws__SourceVpce=f"vpce-{number}"), Policies({"p": only}))
        wrong = evaluator.evaluate(read(aws__SourceVpce="vpce-x"), Policies({"p": only}))
        return right.allowed and not wrong.allowed

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(100)))


def test_a_dead_process_is_an_error_not_a_decision() -> None:
    evaluator = Evaluator.start()
    evaluator.close()
    with pytest.raises(EvaluatorError, match="has ended"):
        evaluator.evaluate(read(), Policies({"allow": ALLOW}))


def test_what_to_do_when_it_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="python -m localcloud install"):
        Evaluator.start(tmp_path)


def test_the_lock_file_names_no_registry() -> None:
    lock = (CHECKOUT.root / "localcloud/authorization/package-lock.json").read_text()
    assert "resolved" not in lock
    assert "http" not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/')
