"""People of the local cloud: who signs in as an ML engineer or a governance officer.

In a company they come from its directory, with a tag that says who they are. Here they are IAM
users of the hub with that tag, and nothing but the right to assume their persona's roles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import boto3

from components.baseline_policies import PERSONAS
from components.naming import Names, Placement
from localcloud.environment import AccessKey, Instance, write_aws_files


def client(instance: Instance, environment: str, service: str) -> Any:
    """A client of an account's administrator."""
    key = instance.administrators[instance.accounts[environment]]
    session: Any = boto3.Session(
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        region_name=instance.region,
    )
    return session.client(service, endpoint_url=instance.endpoint)


def sign_in(instance: Instance, placement: Placement) -> None:
    """Makes the people, and a profile for each persona in the hub: ``ml-engineer`` and so on.

    Args:
        instance: The running local cloud.
        placement: The hub's.
    """
    iam = client(instance, "governance", "iam")
    hub = Names.at(placement, "governance")
    profiles: dict[str, tuple[AccessKey, str]] = {}
    for persona in PERSONAS:
        roles = sorted(
            {
                Names.at(placement, environment).role_arn(persona)
                for environment in instance.accounts
            }
        )
        key = _user(iam, persona, roles)
        profiles[persona] = (key, hub.role_arn(persona))
    write_aws_files(instance, profiles)


def _user(iam: Any, persona: str, roles: list[str]) -> AccessKey:
    try:
        iam.create_user(UserName=persona, Tags=[{"Key": "persona", "Value": persona}])
    except iam.exceptions.EntityAlreadyExistsException:
        for old in iam.list_access_keys(UserName=persona)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=persona, AccessKeyId=old["AccessKeyId"])
    statement = {"Sid": "Persona", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy(UserName=persona, PolicyName="persona", PolicyDocument=json.dumps(document))
    made: Mapping[str, Any] = iam.create_access_key(UserName=persona)["AccessKey"]
    return AccessKey(made["AccessKeyId"], made["SecretAccessKey"])
