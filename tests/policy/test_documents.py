"""The reader of policy documents: what counts as everybody, as bound, and as TLS only."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlops_policy import iam

EVERYBODY: dict[str, Any] = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}


def parsed(**elements: Any) -> iam.Statement:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **elements}
    (found,) = iam.parse(json.dumps({"Statement": statement})).statements
    return found


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:PrincipalOrgID": "o-example1234"}},
        {"stringequals": {"AWS:principalorgid": ["o-example1234"]}},
        {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::111122223333:role/*"}},
        {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::acme-data"}},
        {"ArnLike": {"aws:SourceArn": "arn:aws:logs:*:111122223333:*"}},
        {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": ["o-example1234/r-1/ou-2/*"]}},
    ],
)
def test_a_condition_on_the_caller_binds(condition: dict[str, Any]) -> None:
    assert parsed(Condition=condition).bound_by(iam.CALLER_KEYS)


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"StringEquals": {"s3:prefix": "public/"}},
        {"StringNotEquals": {"aws:PrincipalOrgID": "o-example1234"}},
        {"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-example1234"}},
        {"ForAllValues:StringEquals": {"aws:PrincipalOrgPaths": "o-example1234/r-1/"}},
        {"StringLike": {"aws:PrincipalOrgID": "*"}},
        {"StringLike": {"aws:PrincipalOrgID": "o-*"}},
        {"StringEquals": {"aws:PrincipalAccount": ["111122223333", "*"]}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:*"}},
        {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/deployer"}},
        {"ArnLike": {"aws:SourceArn": "arn:aws:events:eu-west-1:*:rule/approved"}},
        {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}},
        {"ArnLike": {"aws:SourceArn": "arn:*"}},
        {"StringLike": {"aws:PrincipalArn": "*"}},
        {"StringLike": {"aws:PrincipalArn": "*:role/deployer"}},
        {"StringLike": {"aws:PrincipalArn": "ar*"}},
        {"StringLike": {"aws:PrincipalAccount": "1*"}},
        {"StringLike": {"aws:SourceVpce": "vpce-*"}},
        {"StringEquals": {"aws:PrincipalOrgID": []}},
        {"Null": {"aws:PrincipalOrgID": "false"}},
    ],
)
def test_a_condition_that_lets_strangers_through_does_not_bind(condition: dict[str, Any]) -> None:
    assert not parsed(Condition=condition).bound_by(iam.CALLER_KEYS)


@pytest.mark.parametrize(
    ("principal", "everybody"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": ["arn:aws:iam::111122223333:root", "*"]}, True),
        ({"AWS": "arn:aws:iam::111122223333:root"}, False),
        ({"Service": "sagemaker.amazonaws.com"}, False),
        ("arn:aws:iam::111122223333:root", False),
    ],
)
def test_everybody_is_recognised(principal: Any, everybody: bool) -> None:
    assert parsed(Principal=principal).any_principal is everybody


@pytest.mark.parametrize(
    ("elements", "action", "covered"),
    [
        ({"Action": "S3:Get*"}, "s3:GetObject", True),
        ({"Action": ["s3:PutObject", "*"]}, "iam:PassRole", True),
        ({"Action": "iam:Pass?ole"}, "iam:PassRole", True),
        ({"Action": "s3:*"}, "iam:PassRole", False),
        ({"Action": [], "NotAction": "s3:*"}, "iam:PassRole", True),
        ({"Action": [], "NotAction": "iam:*"}, "iam:PassRole", False),
    ],
)
def test_actions_are_matched_as_iam_does(
    elements: dict[str, Any], action: str, covered: bool
) -> None:
    assert parsed(**elements).covers(action) is covered


BUCKET = "arn:aws:s3:::acme-data"
PLAIN = {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(
    ("elements", "enforced"),
    [
        ({"Resource": [BUCKET, f"{BUCKET}/*"]}, True),
        ({"Resource": "*"}, True),
        ({"Resource": [BUCKET, f"{BUCKET}/*"], "Condition": {"Bool": {
            "aws:SecureTransport": False}}}, True),
        ({"Resource": f"{BUCKET}/*"}, False),
        ({"Resource": BUCKET}, False),
        ({"Resource": f"{BUCKET}*"}, True),
        ({"Resource": [BUCKET, f"{BUCKET}/inbox/*"]}, False),
        ({"Resource": [BUCKET, f"{BUCKET}/????*"]}, False),
        ({"Resource": [BUCKET, f"{BUCKET}/*", "arn:aws:s3:::other/*"]}, False),
        ({"Resource": "*", "Action": "s3:GetObject"}, False),
        ({"Resource": "*", "Action": "s3:List*"}, False),
        ({"Resource": "*", "Action": "s3:GetObjectTagg*"}, False),
        ({"Resource": "*", "Action": "kms:*"}, False),
        ({"Resource": "*", "Action": [], "NotAction": "s3:GetObject"}, False),
        ({"Resource": "*", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}}, False),
        ({"Resource": "*", "Effect": "Allow"}, False),
        ({"Resource": "*", "Condition": {**PLAIN, "StringEquals": {"aws:RequestTag/a": "b"}}},
         False),
        ({"Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False),
    ],
)  # fmt: skip
def test_tls_is_enforced_only_by_a_whole_deny(elements: dict[str, Any], enforced: bool) -> None:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Condition": PLAIN,
        **elements,
    }

    assert iam.parse({"Statement": [statement]}).tls_only(f"s3:{iam.ANY}") is enforced


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"Statement": [{"Action": "*"}]}', '{"Statement": ["Allow"]}', "null"]
)
def test_what_is_no_document_is_named_as_such(text: str) -> None:
    with pytest.raises(iam.DocumentError):
        iam.parse(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Statement", "Effect", "Action", "Principal", "Condition", "x"]),
            inner | st.sampled_from(["Allow", "Deny"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(VALUES)
def test_any_json_is_either_read_or_refused_by_name(value: Any) -> None:
    try:
        document = iam.parse(json.dumps(value))
    except iam.DocumentError:
        return
    for statement in document.statements:
        assert statement.allows in (True, False)


@pytest.mark.parametrize(
    ("principal", "account"),
    [
        ("111122223333", "111122223333"),
        ("arn:aws:iam::111122223333:root", "111122223333"),
        ("arn:aws-cn:sts::111122223333:assumed-role/a/b", "111122223333"),
        ("AIDAEXAMPLE", None),
    ],
)
def test_the_account_of_a_principal(principal: str, account: str | None) -> None:
    assert iam.account_of(principal) == account
