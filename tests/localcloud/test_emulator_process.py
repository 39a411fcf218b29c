"""The emulator as a process: start, stop, two side by side, faults, and what it cannot do."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError

from localcloud.emulator import daemon
from localcloud.emulator.daemon import EmulatorError
from localcloud.environment import (
    AccessKey,
    local_environment,
    running_instance,
    write_aws_files,
)
from tests.localcloud.emulators import (
    ACCOUNTS,
    DEV,
    ORGANIZATION,
    PROD,
    REGION,
    Cloud,
    checkout,
    running,
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with running(checkout(tmp_path_factory.mktemp("cloud"))) as cloud:
        yield cloud


@pytest.fixture
def no_faults(cloud: Cloud) -> Iterator[Cloud]:
    cloud.control("DELETE", "calls")
    yield cloud
    cloud.control("DELETE", "faults")


class TestLife:
    def test_start_is_idempotent_and_described_and_stop_ends_everything(
        self, tmp_path: Path
    ) -> None:
        paths = checkout(tmp_path)
        arguments: dict[str, Any] = {
            "organization_id": ORGANIZATION,
            "region": REGION,
            "paths": paths,
        }
        first = daemon.start(ACCOUNTS, **arguments)
        try:
            again = daemon.start(ACCOUNTS, **arguments)
            assert first.fresh
            assert not again.fresh
            assert again.description == first.description
            with pytest.raises(EmulatorError, match="runs with other accounts"):
                daemon.start({"dev": DEV}, **arguments)
            assert first.endpoint in daemon.status(paths)
            instance = running_instance(paths)
            assert instance.id == first.instance
            assert instance.accounts == ACCOUNTS
            assert set(instance.administrators) == set(ACCOUNTS.values())
            assert stat.S_IMODE(paths.instance_file.stat().st_mode) == 0o600
        finally:
            ended = daemon.stop(paths)
        assert ended == first.instance
        assert not paths.instance_file.exists()
        assert daemon.running(paths) is None
        assert daemon.stop(paths) is None
        with pytest.raises(ProcessLookupError):
            os.kill(first.description["pid"], 0)

    def test_after_a_stop_or_a_crash_there_is_a_new_instance_that_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        paths = checkout(tmp_path)
        page = paths.local / "platform.html"
        with running(paths) as old:
            old.client("ssm").put_parameter(Name="/x", Value="y", Type="String")
            assert "start anew" not in old.started.message()
            instance = running_instance(paths)
            write_aws_files(instance, {"ml-engineer": (AccessKey("LKIAML", "made-up"), "arn")})
            paths.state(instance.id).joinpath("dev.json").write_text("of the old one")
            page.write_text("of the old one")
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                monkeypatch.delenv(name)
            for name, value in local_environment({}, instance).items():
                if name.startswith("AWS_"):
                    monkeypatch.setenv(name, value)
            who = boto3.Session().client("sts").get_caller_identity()["Arn"]
            assert who.endswith(":user/administrator")
        ended = paths.ended(instance.id)
        assert (ended / "pulumi" / "dev.json").read_text() == "of the old one"
        assert (ended / "platform.html").read_text() == "of the old one"
        assert "LKIAML" in (ended / "credentials").read_text()
        assert not paths.state(instance.id).exists()
        assert not page.exists()
        # A shell of the old one writes state again, which is kept as well.
        paths.state(instance.id).mkdir()
        with running(paths, spawn=daemon.spawn) as new:
            assert new.started.instance != old.started.instance
            assert new.started.lost == (old.started.instance,)
            assert "The local stacks start anew" in new.started.message()
            assert str(paths.ended("*").relative_to(paths.root)) in new.started.message()
            assert sorted(path.name for path in ended.glob("pulumi*")) == ["pulumi", "pulumi2"]
            for profile in ("governance", "ml-engineer"):
                with pytest.raises(CredentialRetrievalError) as told:
                    boto3.Session(profile_name=profile).client("sts").get_caller_identity()
                assert f"to local cloud {instance.id}, which has ended" in str(told.value)
            assert new.client("ssm").describe_parameters()["Parameters"] == []
            os.kill(new.started.description["pid"], signal.SIGKILL)
            os.waitpid(new.started.description["pid"], 0)
            assert "ended unexpectedly" in daemon.status(paths)
            paths.state(new.started.instance).mkdir()
            with running(paths) as next_one:
                assert next_one.started.fresh
                assert next_one.started.lost == (old.started.instance, new.started.instance)

    def test_another_beside_it_with_its_port_taken_and_one_account_for_all(
        self, cloud: Cloud, tmp_path: Path
    ) -> None:
        paths = checkout(tmp_path)
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", daemon.port(paths)))
            taken.listen()
            with running(paths, dict.fromkeys(ACCOUNTS, DEV)) as other:
                assert urlsplit(other.started.endpoint).port != daemon.port(paths)
                assert other.started.endpoint != cloud.started.endpoint
                assert other.client("sts").get_caller_identity()["Account"] == DEV
                assert list(other.started.description["administrators"]) == [DEV]
                other.client("ssm").put_parameter(Name="/only/there", Value="y", Type="String")
                with pytest.raises(ClientError, match="ParameterNotFound"):
                    cloud.client("ssm").get_parameter(Name="/only/there")

    def test_an_error_at_the_start_shows_the_log(self, tmp_path: Path) -> None:
        paths = checkout(tmp_path)
        # Its packages are installed by name, but empty: the evaluator cannot start.
        node = paths.local / "node"
        target = node.resolve()
        node.unlink()
        node.mkdir()
        for folder in target.iterdir():
            (node / folder.name).mkdir()
        with pytest.raises(EmulatorError, match=r"(?s)ended at its start.*emulator\.log.*Error"):
            daemon.start(ACCOUNTS, organization_id=ORGANIZATION, region=REGION, paths=paths)

    def test_account_ids_are_checked(self, tmp_path: Path) -> None:
        with pytest.raises(EmulatorError, match="12 digits"):
            daemon.start(
                {"dev": "12345"},
                organization_id=ORGANIZATION,
                region=REGION,
                paths=checkout(tmp_path),
            )

    def test_it_is_of_its_organization_and_listens_on_loopback_only(self, cloud: Cloud) -> None:
        assert cloud.control("GET", "instance")["organization_id"] == ORGANIZATION
        assert urlsplit(cloud.started.endpoint).hostname == "127.0.0.1"
        port = f"{urlsplit(cloud.started.endpoint).port:04X}"
        sockets = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        bound = {address for address in sockets if address.endswith(f":{port}")}
        assert {address.split(":")[0] for address in bound} == {"0100007F"}


class TestFaults:
    @pytest.mark.parametrize(
        ("service", "operation", "code"),
        [
            ("s3", "list_buckets", "SlowDown"),
            ("ec2", "describe_vpcs", "RequestLimitExceeded"),
            ("iam", "list_roles", "Throttling"),
            ("ssm", "describe_parameters", "ThrottlingException"),
        ],
    )
    def test_throttling_looks_like_the_service_s(
        self, no_faults: Cloud, service: str, operation: str, code: str
    ) -> None:
        no_faults.control("POST", "faults", {"service": service, "error": "throttle"})
        call = getattr(no_faults.client(service), operation)
        with pytest.raises(ClientError) as error:
            call()
        assert error.value.response["Error"]["Code"] == code
        call()

    def test_clients_retry(self, no_faults: Cloud) -> None:
        no_faults.control("POST", "faults", {"error": "throttle", "count": 2})
        no_faults.control("POST", "faults", {"error": "server-error"})
        assert no_faults.client("sts", retries=4).get_caller_identity()["Account"] == DEV
        statuses = {
            call["status"]: call["count"]
            for call in no_faults.control("GET", "calls")
            if call["operation"] == "GetCallerIdentity"
        }
        assert statuses == {200: 1, 400: 2, 500: 1}

    def test_only_matching_calls_are_struck(self, no_faults: Cloud) -> None:
        fault = {"service": "ssm", "operation": "Put*", "error": "server-error", "count": 5}
        no_faults.control("POST", "faults", fault)
        no_faults.client("ssm").describe_parameters()
        with pytest.raises(ClientError, match="InternalFailure"):
            no_faults.client("ssm").put_parameter(Name="/f", Value="y", Type="String")
        assert no_faults.control("GET", "faults")[0]["count"] == 4

    def test_latency(self, no_faults: Cloud) -> None:
        client = no_faults.client("sts")
        no_faults.control("POST", "faults", {"error": "none", "latency_seconds": 0.4})
        begin = time.monotonic()
        client.get_caller_identity()
        assert time.monotonic() - begin >= 0.4

    def test_a_wrong_fault_is_refused(self, no_faults: Cloud) -> None:
        with pytest.raises(EmulatorError, match="allowed: throttle"):
            no_faults.control("POST", "faults", {"error": "explode"})
        with pytest.raises(EmulatorError, match="unexpected keyword"):
            no_faults.control("POST", "faults", {"servise": "s3"})


class TestCalls:
    def test_an_operation_that_nobody_serves_says_where_to_add_it(self, cloud: Cloud) -> None:
        with pytest.raises(ClientError) as error:
            cloud.client("sagemaker").describe_algorithm(AlgorithmName="a")
        assert error.value.response["Error"]["Code"] == "NotImplemented"
        assert (
            "does not serve sagemaker:DescribeAlgorithm: neither moto nor an extension has it."
            " Add it to localcloud/emulator/extensions/sagemaker.py"
        ) in error.value.response["Error"]["Message"]

    def test_a_service_that_moto_lacks_altogether(self, cloud: Cloud) -> None:
        with pytest.raises(ClientError, match=r"amplify:ListApps.*extensions/amplify\.py"):
            cloud.client("amplify").list_apps()

    def test_who_served_what_is_on_record(self, no_faults: Cloud) -> None:
        no_faults.client("sts").get_caller_identity()
        no_faults.client("sagemaker").list_domains()
        served = {
            (call["service"], call["operation"]): call["served_by"]
            for call in no_faults.control("GET", "calls")
        }
        assert served["sts", "GetCallerIdentity"] == "extension"
        assert served["sagemaker", "ListDomains"] in ("moto", "extension")
        assert "sts:AssumeRole" in no_faults.control("GET", "extensions")

    def test_many_clients_at_once(self, cloud: Cloud) -> None:
        clients = [cloud.client("ssm", account) for account in (DEV, PROD) for _ in range(4)]

        def write(number: int) -> None:
            client = clients[number % len(clients)]
            name = f"/parallel/{number}"
            client.put_parameter(Name=name, Value=str(number), Type="String")
            assert client.get_parameter(Name=name)["Parameter"]["Value"] == str(number)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(120)))
        for account in (DEV, PROD):
            pages = cloud.client("ssm", account).get_paginator("get_parameters_by_path")
            names = [
                item["Name"]
                for page in pages.paginate(Path="/parallel")
                for item in page["Parameters"]
            ]
            assert len(names) == 60

    def test_bodies_survive(self, cloud: Cloud) -> None:
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="bodies", CreateBucketConfiguration={"LocationConstraint": REGION})
        content = os.urandom(3_000_000)
        key = "Ordner mit ä/50% + more=&.bin"
        s3.put_object(Bucket="bodies", Key=key, Body=content, Metadata={"under_score": "1"})
        answer = s3.get_object(Bucket="bodies", Key=key)
        assert answer["Body"].read() == content
        assert answer["Metadata"] == {"under_score": "1"}
        assert s3.head_object(Bucket="bodies", Key=key)["ContentLength"] == len(content)
        upload = s3.create_multipart_upload(Bucket="bodies", Key="parts")["UploadId"]
        part = s3.upload_part(
            Bucket="bodies", Key="parts", UploadId=upload, PartNumber=1, Body=content
        )
        s3.complete_multipart_upload(
            Bucket="bodies",
            Key="parts",
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        )
        assert s3.get_object(Bucket="bodies", Key="parts")["Body"].read() == content
        copied = {"Bucket": "bodies", "Key": "parts"}
        s3.copy_object(Bucket="bodies", Key="copy", CopySource=copied)
        deleted = s3.delete_objects(
            Bucket="bodies", Delete={"Objects": [{"Key": "copy"}, {"Key": "parts"}]}
        )
        assert {item["Key"] for item in deleted["Deleted"]} == {"copy", "parts"}

    def test_a_presigned_url(self, cloud: Cloud) -> None:
        import urllib.error
        import urllib.request

        s3 = cloud.client("s3")
        s3.create_bucket(
            Bucket="presigned", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        s3.put_object(Bucket="presigned", Key="k", Body=b"x")
        url = s3.generate_presigned_url("get_object", {"Bucket": "presigned", "Key": "k"})
        with urllib.request.urlopen(url) as answer:  # noqa: S310 -- loopback
            assert answer.read() == b"x"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url.split("?")[0])  # noqa: S310 -- loopback

    def test_the_control_interface_names_what_it_has(self, cloud: Cloud) -> None:
        with pytest.raises(EmulatorError, match="GET /_localcloud/health"):
            cloud.control("GET", "helth")

    def test_calls_are_quick(self, cloud: Cloud) -> None:
        """A loose bound: some milliseconds a call, authorization included."""
        client = cloud.client("ssm")
        client.put_parameter(Name="/quick", Value="y", Type="String")
        client.get_parameter(Name="/quick")
        begin = time.monotonic()
        for _ in range(50):
            client.get_parameter(Name="/quick")
        assert (time.monotonic() - begin) / 50 < 0.05

    def test_the_log_holds_no_failure(self, cloud: Cloud) -> None:
        log = Path(cloud.started.description["log"]).read_text()
        assert "Traceback" not in log, log[-3000:]


def test_settings_are_json() -> None:
    """The command line takes accounts as JSON and says what is wrong with others."""
    from localcloud.__main__ import main

    with pytest.raises(SystemExit) as error:
        main(["start", "--accounts", json.dumps(["111111111111"])])
    assert error.value.code == 2
