from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.stub import Stubber

import build_image
from pipelinekit import own_image

DIGEST = f"sha256:{'a' * 64}"
WHERE = {"repositoryName": "acme-dev-x", "imageId": {"imageDigest": DIGEST}}


@pytest.fixture
def ecr() -> Any:
    return boto3.client(
        "ecr", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
    )


def repository(ecr: Any) -> build_image.Repository:
    return build_image.Repository(ecr, "acme-dev-x", build_image.engine)


def scan(status: str, **found: Any) -> dict[str, Any]:
    return {"imageScanStatus": {"status": status, "description": "why"}, "imageScanFindings": found}


def test_a_scan_is_waited_for(ecr: Any) -> None:
    with Stubber(ecr) as stub:
        stub.add_client_error("describe_image_scan_findings", "ScanNotFoundException")
        for status in ("PENDING", "IN_PROGRESS"):
            stub.add_response("describe_image_scan_findings", scan(status), WHERE)
        done = scan("COMPLETE", findingSeverityCounts={"LOW": 2})
        stub.add_response("describe_image_scan_findings", done, WHERE)
        found = repository(ecr).scanned(DIGEST, 10, 0)
        stub.assert_no_pending_responses()
    assert found == {"findingSeverityCounts": {"LOW": 2}}


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED"])
def test_a_scan_that_tells_nothing_lets_nothing_through(ecr: Any, status: str) -> None:
    with Stubber(ecr) as stub:
        stub.add_response("describe_image_scan_findings", scan(status), WHERE)
        with pytest.raises(build_image.RefusedError, match=f"ended as {status}. why"):
            repository(ecr).scanned(DIGEST, 10, 0)


def test_a_scan_that_does_not_end_is_refused(ecr: Any) -> None:
    with Stubber(ecr) as stub:
        stub.add_response("describe_image_scan_findings", scan("IN_PROGRESS"), WHERE)
        with pytest.raises(build_image.RefusedError, match="is IN_PROGRESS after"):
            repository(ecr).scanned(DIGEST, -1, 0)


@pytest.mark.parametrize("worst", own_image.SEVERITIES)
def test_findings_are_let_through_up_to_the_setting(worst: str) -> None:
    for severity in own_image.SEVERITIES[1:]:
        found = {"findingSeverityCounts": {severity: 1}}
        if own_image.SEVERITIES.index(severity) <= own_image.SEVERITIES.index(worst):
            assert build_image.judge(found, worst) == {severity: 1}
        else:
            with pytest.raises(build_image.RefusedError, match=f"above {worst}: 1 {severity}"):
                build_image.judge(found, worst)


def test_a_severity_that_is_not_known_is_as_bad_as_any() -> None:
    with pytest.raises(build_image.RefusedError, match="1 UNTRIAGED"):
        build_image.judge({"findingSeverityCounts": {"UNTRIAGED": 1}}, "CRITICAL")


def test_without_a_container_engine_the_reason_is_told() -> None:
    with pytest.raises(build_image.EngineError, match="need a container engine"):
        build_image.engine(["no-such-container-engine", "build"], "")


def test_a_project_without_a_repository_is_told(ecr: Any) -> None:
    with Stubber(ecr) as stub:
        stub.add_client_error("describe_repositories", "RepositoryNotFoundException")
        with pytest.raises(own_image.ImageError, match="no image repository acme-dev-x"):
            repository(ecr).uri()


def test_the_settings_of_the_image_are_those_of_the_pipeline() -> None:
    folder = Path(build_image.__file__).parent
    given, used = build_image.read_settings(folder)
    assert given.worst_finding in own_image.SEVERITIES
    chosen = yaml.safe_load((folder / "config.yaml").read_text()).get("containers")
    assert used is (chosen is None or set(chosen.values()) != {"framework"})
