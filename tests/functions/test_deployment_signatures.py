"""Who asks is who signed: what a signature covers, and what is refused before STS is asked."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from functions.deployment import signatures
from functions.deployment.signatures import SignatureError, Signers, UnreachableError, sign

HUB, REGION = "111111111111", "eu-west-1"
KEY = Credentials("AKIDEXAMPLE", "secret", "token")
# Nothing listens there: who comes that far is told so.
NOWHERE = "http://127.0.0.1:9"
REQUEST = {
    "action": "rollback",
    "group": "acme-governance-houses",
    "environment": "prod",
    "sequence": 3,
    "reason": "wrong prices",
}


def signers(ahead: float = 0) -> Signers:
    return Signers(NOWHERE, REGION, HUB, lambda: datetime.now(UTC) + timedelta(seconds=ahead))


def signed(region: str = REGION, **changes: Any) -> dict[str, Any]:
    return sign({**REQUEST, **changes}, KEY, NOWHERE, region)


def test_a_good_signature_comes_to_sts() -> None:
    with pytest.raises(UnreachableError, match="STS cannot be asked who signed"):
        signers().name(signed())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("group", "acme-governance-cars"),
        ("environment", "preprod"),
        ("sequence", 4),
        ("reason", "because"),
        ("action", "sweep"),
        ("more", "of it"),
    ],
)
def test_a_signature_is_of_one_request(name: str, value: Any) -> None:
    request = signed()
    with pytest.raises(SignatureError, match="one of another request"):
        signers().name({**request, name: value})
    # The header alone is not enough: the signature covers it, and only STS can tell.
    other = signed(**{name: value})
    assert other["signature"]["authorization"] != request["signature"]["authorization"]


@pytest.mark.parametrize("seconds", [-301, 301, 86_400])
def test_a_signature_is_good_for_five_minutes(seconds: float) -> None:
    with pytest.raises(SignatureError, match="sign anew"):
        signers(seconds).name(signed())


@pytest.mark.parametrize(
    ("header", "value", "words"),
    [
        ("host", "sts.example.com", "signature has 'host'"),
        ("x-forwarded-for", "1", "signature has 'x-forwarded-for'"),
        ("x-amz-date", "20260101T000000Z\r\nhost: elsewhere", "signature has 'x-amz-date'"),
        ("x-amz-date", "yesterday", "no x-amz-date"),
        ("x-amz-security-token", 7, "signature has 'x-amz-security-token'"),
        ("authorization", "Bearer abc", "not one for STS in eu-west-1"),
        ("x-mlops-request", "0" * 64, "one of another request"),
    ],
)
def test_only_what_the_signature_needs_goes_to_sts(header: str, value: Any, words: str) -> None:
    request = signed()
    request["signature"][header] = value
    with pytest.raises(SignatureError, match=re.escape(words)):
        signers().name(request)


@pytest.mark.parametrize(
    "gone", ["host", "x-mlops-request", "x-amz-security-token", "content-type"]
)
def test_all_headers_are_covered(gone: str) -> None:
    request = signed()
    said = request["signature"]["authorization"]
    kept = [
        name for name in said.split("SignedHeaders=")[1].split(",")[0].split(";") if name != gone
    ]
    request["signature"]["authorization"] = re.sub(
        "SignedHeaders=[^,]*", f"SignedHeaders={';'.join(kept)}", said
    )
    with pytest.raises(SignatureError, match="expected all its headers"):
        signers().name(request)


def test_a_signature_for_elsewhere_is_none() -> None:
    with pytest.raises(SignatureError, match="not one for STS in eu-west-1"):
        signers().name(signed("us-east-1"))
    request = signed()
    request["signature"]["authorization"] = request["signature"]["authorization"].replace(
        "/sts/", "/s3/"
    )
    with pytest.raises(SignatureError, match="not one for STS"):
        signers().name(request)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.text(max_size=12) | st.sampled_from(["authorization", "x-amz-date"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=6,
    )
)
def test_whatever_is_given_as_a_signature_is_refused_and_nothing_else(given_: Any) -> None:
    with pytest.raises(SignatureError):
        signers().name({**REQUEST, "signature": given_})


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(), max_size=4))
def test_two_requests_have_one_digest_only_when_they_are_the_same(other: dict[str, Any]) -> None:
    other.pop("signature", None)
    same = other == REQUEST
    assert (signatures.digest(other) == signatures.digest(REQUEST)) is same
    # The signature is no part of what is signed, nor is the order of members.
    turned = dict(reversed(REQUEST.items()))
    assert signatures.digest({**turned, "signature": other}) == signatures.digest(REQUEST)


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://sts.amazonaws.com", "https://sts.eu-west-1.amazonaws.com"),
        ("https://sts.eu-west-1.amazonaws.com", "https://sts.eu-west-1.amazonaws.com"),
        ("http://127.0.0.1:4566", "http://127.0.0.1:4566"),
    ],
)
def test_sts_is_asked_in_the_region(url: str, asked: str) -> None:
    class Client:
        class meta:  # noqa: N801
            endpoint_url = url

    assert signatures.endpoint_of(Client, REGION) == asked
