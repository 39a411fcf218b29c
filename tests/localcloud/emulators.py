"""Emulators for tests: each in a folder of its own, ended with the test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from localcloud.authorization import install
from localcloud.emulator import daemon
from localcloud.emulator.daemon import Spawn, Started
from localcloud.paths import CHECKOUT, Paths
from tests.localcloud import forked

HUB, DEV, PROD = "111111111111", "222222222222", "333333333333"
ACCOUNTS = {"governance": HUB, "dev": DEV, "prod": PROD}
ORGANIZATION = "o-localcloud"
REGION = "eu-west-1"


@dataclass(frozen=True)
class Cloud:
    """A running emulator, as tests use it."""

    started: Started

    def session(self, account: str) -> boto3.Session:
        """A session of an account's administrator."""
        key = self.started.description["administrators"][account]
        return boto3.Session(
            aws_access_key_id=key["access_key_id"],
            aws_secret_access_key=key["secret_access_key"],
            region_name=REGION,
        )

    def client(
        self,
        service: str,
        account: str = DEV,
        session: boto3.Session | None = None,
        retries: int = 0,
    ) -> Any:
        """A client, by default of dev's administrator, by default without retries."""
        return (session or self.session(account)).client(
            service,
            endpoint_url=self.started.endpoint,
            config=Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}),
        )

    def role(
        self,
        name: str,
        *policies: dict[str, Any],
        account: str = DEV,
        trust: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> str:
        """Makes a role that its account's principals may assume; gives its ARN."""
        iam = self.client("iam", account)
        trust = trust or {"Principal": {"AWS": f"arn:aws:iam::{account}:root"}}
        arn = iam.create_role(
            RoleName=name,
            AssumeRolePolicyDocument=document({"Action": "sts:AssumeRole", **trust}),
            **arguments,
        )["Role"]["Arn"]
        for number, policy in enumerate(policies):
            iam.put_role_policy(
                RoleName=name, PolicyName=f"policy-{number}", PolicyDocument=document(policy)
            )
        return arn

    def assume(
        self, arn: str, by: boto3.Session | None = None, name: str = "test", **arguments: Any
    ) -> boto3.Session:
        """A session of a role, by default assumed by the administrator of its account."""
        sts = self.client("sts", session=by or self.session(arn.split(":")[4]))
        given = sts.assume_role(RoleArn=arn, RoleSessionName=name, **arguments)["Credentials"]
        return boto3.Session(
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            region_name=REGION,
        )

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Asks the emulator's control interface."""
        return daemon.request(self.started.endpoint, method, path, body)


def document(*statements: dict[str, Any]) -> str:
    """A policy document; statements are Allow unless they say otherwise."""
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", **statement} for statement in statements],
        }
    )


def trusting(service: str) -> dict[str, Any]:
    """What makes a role trust a service, as :meth:`Cloud.role` takes it."""
    return {"Principal": {"Service": f"{service}.amazonaws.com"}}


def checkout(folder: Path) -> Paths:
    """A folder as a checkout of its own, which shares the installed IAM evaluator."""
    install(CHECKOUT.local)
    paths = Paths(folder.resolve())
    paths.local.mkdir(parents=True, exist_ok=True)
    (paths.local / "node").symlink_to(CHECKOUT.local / "node")
    return paths


@contextmanager
def running(
    paths: Paths, accounts: dict[str, str] | None = None, spawn: Spawn = forked.spawn
) -> Iterator[Cloud]:
    """An emulator that runs for the time of a with block, by default a fork."""
    started = daemon.start(
        accounts or ACCOUNTS,
        organization_id=ORGANIZATION,
        region=REGION,
        paths=paths,
        spawn=spawn,
    )
    try:
        yield Cloud(started)
    finally:
        daemon.stop(paths)
