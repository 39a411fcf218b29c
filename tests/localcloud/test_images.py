"""Own images: built of Dockerfiles, pushed to ECR, scanned, pulled as a role may, and run.

The emulator runs without namespaces here; the templates' tests run images with them.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from localcloud.emulator.builds import docker
from localcloud.emulator.builds.docker import Build, DockerError
from localcloud.emulator.jobs.containers import MODE_VARIABLE, Mode
from localcloud.emulator.scans import Advisories, Advisory
from tests.localcloud.delivery import build_end, logs
from tests.localcloud.emulators import DEV, REGION, trusting
from tests.localcloud.jobs_world import World, archive, world
from tests.localcloud.kit import until

REGISTRY = f"{DEV}.dkr.ecr.{REGION}.amazonaws.com"
DOCKERFILE = """
# A comment.
ARG BASE
FROM ${BASE}
WORKDIR /opt/app
COPY requirements.txt ./
RUN python3 -m pip install --no-cache-dir \\
    -r requirements.txt
COPY code/ code/
ENV GREETING="hello $BASE" PATH=/opt/app/bin:${PATH}
USER nobody
ENTRYPOINT ["python3", "/opt/app/code/main.py"]
CMD ["told"]
"""
MAIN = """
import http.server, os, pathlib, sys
word = sys.argv[1]
if word == "serve":
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(b"")
        def do_POST(self):
            self.answer(self.rfile.read(int(self.headers["Content-Length"]))[::-1])
        def answer(self, body):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080"))
    http.server.ThreadingHTTPServer(("", port), Handler).serve_forever()
out = pathlib.Path("/opt/ml/processing/result" if len(sys.argv) < 3 else sys.argv[2])
toolkit = [name for name in os.environ if name.startswith("SM_")]
(out / "told.txt").write_text(" ".join([word, os.environ["GREETING"], os.getcwd(), *toolkit]))
"""
PULL = {
    "Action": [
        "ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer",
    ],
    "Resource": "*",
}  # fmt: skip


# -- Dockerfiles -----------------------------------------------------------------------------------


def context(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"requirements.txt": "numpy==2.2.6\n", "code/main.py": MAIN, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def build(folder: Path, dockerfile: str = DOCKERFILE, **arguments: str) -> Build:
    made = Build(
        folder, {"BASE": "base", **arguments}, {"a": "b"}, lambda: {"NumPy": "2.2.6"}, str
    )  # fmt: skip
    made.run(dockerfile)
    return made


def test_an_image_is_what_the_oci_specification_says(tmp_path: Path) -> None:
    made = build(context(tmp_path))
    manifest, config = made.image()
    described = json.loads(config)
    assert manifest["schemaVersion"] == 2
    assert manifest["config"]["digest"] == f"sha256:{hashlib.sha256(config).hexdigest()}"
    assert manifest["config"]["size"] == len(config)
    packed = [docker.compressed(layer) for layer in made.layers]
    for part, layer in zip(manifest["layers"], packed, strict=True):
        assert part["digest"] == f"sha256:{hashlib.sha256(layer).hexdigest()}"
        assert part["size"] == len(layer)
    contents = [gzip.decompress(layer) for layer in packed]
    assert described["rootfs"]["diff_ids"] == [
        f"sha256:{hashlib.sha256(content).hexdigest()}" for content in contents
    ]
    # One layer for each entry of the history that is not said to be empty.
    layers = [item for item in described["history"] if not item.get("empty_layer")]
    assert len(layers) == len(contents)
    files: dict[str, bytes] = {}
    for content in contents:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                opened = tar.extractfile(member)
                files[member.name] = opened.read() if opened else b""
    assert files == {
        "opt/app/requirements.txt": b"numpy==2.2.6\n",
        "opt/app/code/main.py": MAIN.encode(),
    }
    runs = described["config"]
    assert runs["Entrypoint"] == ["python3", "/opt/app/code/main.py"]
    assert runs["Cmd"] == ["told"]
    assert runs["WorkingDir"] == "/opt/app"
    assert runs["User"] == "nobody"
    assert runs["Env"] == ["PATH=/opt/app/bin:/usr/local/bin:/usr/bin:/bin", "GREETING=hello base"]
    assert runs["Labels"] == {"a": "b", "localcloud.base": "base"}


@settings(deadline=None, max_examples=25)
@given(
    files=st.dictionaries(
        st.from_regex(r"code/[a-z]{1,8}\.py", fullmatch=True), st.text(max_size=40), max_size=4
    )
)
def test_the_same_files_give_the_same_image_and_others_another(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, str]
) -> None:
    folders = [context(tmp_path_factory.mktemp("context"), **files) for _ in range(2)]
    first, second = (build(folder).image() for folder in folders)
    assert first == second
    (folders[1] / "code" / "main.py").write_text(MAIN + "# changed\n")
    assert build(folders[1]).image()[0] != first[0]


def test_what_is_ignored_is_not_copied(tmp_path: Path) -> None:
    folder = context(
        tmp_path, **{".dockerignore": "# these\n**/__pycache__\n", "code/__pycache__/x.pyc": "x"}
    )
    (layer,) = [layer for layer in build(folder).layers if b"main.py" in layer]
    assert b"pycache" not in layer


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ("ADD code/ code/", "line 14: the local cloud's docker has no ADD; it has ARG"),
        ("HEALTHCHECK NONE", "has no HEALTHCHECK"),
        ("FROM other", "line 14: the local cloud's docker has one stage only"),
        ("COPY --from=base a b", "COPY has no --from=base"),
        ("COPY ../secret /opt/app/", "outside of the build context"),
        ("COPY nothing /opt/app/", "there is no such file"),
        ("RUN apt-get install curl", "RUN apt-get install curl: the local cloud's docker runs not"),
        ("RUN pip install numpy", "knows pip install with -r alone"),
        ("RUN pip install -r a.txt --index-url x", "knows pip install with -r alone"),
        ("RUN pip install -r other.txt", "other.txt was not copied into the image"),
        ("CMD python3 main.py", 'CMD takes a list such as ["python3", "main.py"]'),
        ("ENV A B", "ENV takes NAME=VALUE"),
        ("CMD [", "CMD takes a list"),
        ("COPY a \\", "goes on where the Dockerfile ends"),
    ],
)
def test_what_cannot_be_done_here_is_refused_with_its_line(
    tmp_path: Path, changed: str, told: str
) -> None:
    with pytest.raises(DockerError) as refused:
        build(context(tmp_path), DOCKERFILE + changed)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("pins", "told"),
    [
        ("numpy==2.2.5\n", "numpy==2.2.5: there is 2.2.6"),
        ("torch==2.6.0\n", "torch==2.6.0: there is none"),
        ("numpy==2.2.6 \\\n    --hash=sha256:ab\n# torch==1\n-i x\n", ""),
        ("torch==2.6.0 ; sys_platform == 'win32'\nNumPy==2.2.6\n", ""),
        ("a package\n", "is no requirement"),
    ],
)
def test_pins_have_to_be_what_the_image_runs_on(tmp_path: Path, pins: str, told: str) -> None:
    folder = context(tmp_path, **{"requirements.txt": pins})
    if not told:
        build(folder)
        return
    with pytest.raises(DockerError) as refused:
        build(folder)
    assert told in str(refused.value)


def test_an_argument_that_the_dockerfile_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DockerError, match="--build-arg OTHER: the Dockerfile has no such ARG"):
        build(context(tmp_path), OTHER="x")


# -- scans -----------------------------------------------------------------------------------------


def test_findings_are_the_advisories_that_concern_what_is_pinned() -> None:
    known = Advisories()
    layers = [
        gzip.compress(b"no archive"),
        archive({"opt/a/requirements-x.txt": b"NumPy==2.0 \\\n  --hash=x\nscipy==1.9\n"}),
    ]
    assert known.findings(layers)[0] == []
    known.add(Advisory("A-1", "num_py", "<9", "HIGH"))
    known.add(Advisory("A-2", "numpy", "<2.1", "LOW"))
    known.add(Advisory("A-3", "scipy", ">=1.10", "CRITICAL"))
    found, told = known.findings(layers)
    assert [(item["name"], item["severity"]) for item in found] == [("A-2", "LOW")]
    assert "2 pinned packages with the 3 advisories" in told


@pytest.mark.parametrize("changed", [{"severity": "BAD"}, {"versions": "all"}])
def test_an_advisory_that_means_nothing_is_refused(changed: dict[str, str]) -> None:
    whole = {"name": "A-1", "package": "numpy", "versions": "<2", "severity": "LOW"}
    with pytest.raises(ValueError, match="|".join(changed.values())):
        Advisory(**{**whole, **changed})


# -- on the emulator -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MODE_VARIABLE, str(Mode.PATHS))
        with world(tmp_path_factory.mktemp("cloud")) as made:
            yield made


def repository(jobs: World, name: str) -> Any:
    ecr = jobs.client("ecr")
    ecr.create_repository(
        repositoryName=name,
        imageTagMutability="IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
    )
    return ecr


def pushed(ecr: Any, name: str, made: Build, tag: str = "1") -> str:
    """Puts an image into a repository; its URI by digest."""
    manifest, config = made.image()
    parts = [config, *map(docker.compressed, made.layers)]
    blobs = {docker.digest(part): part for part in parts}
    where = {"registryId": DEV, "repositoryName": name}
    digest = docker.push(ecr, where, tag, json.dumps(manifest).encode(), blobs.__getitem__)
    return f"{REGISTRY}/{name}@{digest}"


@pytest.fixture(scope="module")
def image(jobs: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    ecr = repository(jobs, "app")
    return pushed(ecr, "app", build(context(tmp_path_factory.mktemp("context"))))


def processed(jobs: World, name: str, image: str, role: str, *arguments: str) -> dict[str, Any]:
    jobs.start_processing(
        name,
        "",
        RoleArn=role,
        AppSpecification={
            "ImageUri": image,
            **({"ContainerArguments": list(arguments)} if arguments else {}),
        },
    )
    return jobs.wait_processing(name)


@pytest.fixture(scope="module")
def puller(jobs: World) -> str:
    jobs.cloud.client("iam").put_role_policy(
        RoleName="jobs",
        PolicyName="pull",
        PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **PULL}]}
        ),
    )
    return jobs.role


def test_its_own_program_runs_in_its_folder_with_its_variables(
    jobs: World, image: str, puller: str
) -> None:
    job = processed(jobs, "own", image, puller, "run", "/opt/ml/processing/result")
    assert job["ProcessingJobStatus"] == "Completed", job.get("FailureReason")
    told = jobs.get("s3://jobs-data/out/own/result/told.txt").decode()
    assert told.startswith("run hello base /")
    assert told.endswith("/opt/app")


def test_an_endpoint_asks_the_port_that_it_serves_on(jobs: World, image: str, puller: str) -> None:
    sagemaker = jobs.sagemaker
    sagemaker.create_model(
        ModelName="own", ExecutionRoleArn=puller, PrimaryContainer={"Image": image}
    )
    variant = {"VariantName": "a", "ModelName": "own", "InstanceType": "ml.m5.large",
               "InitialInstanceCount": 1}  # fmt: skip
    sagemaker.create_endpoint_config(EndpointConfigName="own", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="own", EndpointConfigName="own")
    found = until(
        lambda: sagemaker.describe_endpoint(EndpointName="own"),
        lambda said: said["EndpointStatus"] in ("InService", "Failed"),
    )
    assert found["EndpointStatus"] == "InService", found
    runtime = jobs.client("sagemaker-runtime")
    body = bytes(range(256)) * 4000
    assert runtime.invoke_endpoint(EndpointName="own", Body=body)["Body"].read() == body[::-1]


def test_a_role_without_the_rights_to_pull_gets_nothing(
    jobs: World, image: str, puller: str
) -> None:
    assert puller
    for missing in ("ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage", "ecr:GetAuthorizationToken"):
        actions = [action for action in PULL["Action"] if action != missing]
        name = f"no-{missing[4:].lower()}"
        role = jobs.cloud.role(
            name,
            {"Action": actions, "Resource": "*"},
            {"Action": ["s3:*", "kms:*"], "Resource": "*"},
            trust=trusting("sagemaker"),
        )
        job = processed(jobs, name, image, role)
        assert job["ProcessingJobStatus"] == "Failed"
        assert f"not authorized to perform: {missing}" in job["FailureReason"]


@pytest.mark.parametrize(
    ("name", "member", "told"),
    [
        ("etc", "etc/passwd", "lays an image's files below /opt only"),
        ("ml", "opt/ml/model/x", "/opt/ml left out"),
        ("whiteout", "opt/app/.wh.code", "removes files of an earlier layer"),
    ],
)
def test_an_image_that_cannot_be_laid_out_here_is_refused(
    jobs: World, tmp_path: Path, puller: str, name: str, member: str, told: str
) -> None:
    made = build(context(tmp_path))
    made.layers.append(gzip.decompress(archive({member: b"x"})))
    uri = pushed(repository(jobs, name), name, made)
    job = processed(jobs, name, uri, puller)
    assert job["ProcessingJobStatus"] == "Failed"
    assert told in job["FailureReason"]


def test_an_image_that_is_not_there_is_told(jobs: World, image: str, puller: str) -> None:
    missing = f"{image.partition('@')[0]}@sha256:{'0' * 64}"
    job = processed(jobs, "missing", missing, puller)
    assert f"The image {missing} does not exist" in job["FailureReason"]


def test_what_is_pushed_is_scanned_and_an_immutable_tag_stays(
    jobs: World, image: str, tmp_path: Path
) -> None:
    ecr, wanted = jobs.client("ecr"), {"imageDigest": image.partition("@")[2]}

    def findings() -> dict[str, Any]:
        return ecr.describe_image_scan_findings(repositoryName="app", imageId=wanted)

    assert findings()["imageScanStatus"]["status"] == "COMPLETE"
    assert findings()["imageScanFindings"]["findings"] == []
    advisory = {"name": "A-1", "package": "numpy", "versions": "<9", "severity": "LOW"}
    jobs.cloud.control("POST", "advisories", advisory)
    assert findings()["imageScanFindings"]["findingSeverityCounts"] == {"LOW": 1}
    assert jobs.cloud.control("DELETE", "advisories") == []
    assert findings()["imageScanFindings"]["findings"] == []
    changed = build(context(tmp_path, **{"code/more.py": "1\n"}))
    with pytest.raises(ClientError, match=r"ImageTagAlreadyExists.*the tag is immutable"):
        pushed(ecr, "app", changed)


def test_a_privileged_build_has_an_engine_and_pushes_with_its_roles_rights(jobs: World) -> None:
    ecr, cloud = repository(jobs, "built"), jobs.cloud
    sign_in = (
        "python -c \"import base64, boto3; print(base64.b64decode(boto3.client('ecr')"
        ".get_authorization_token()['authorizationData'][0]['authorizationToken'])"
        f".decode().partition(':')[2])\" | docker login -u AWS --password-stdin {REGISTRY}"
    )
    spec = {
        "version": 0.2,
        "phases": {
            "build": {
                "commands": [
                    "mkdir context && cd context",
                    "printf 'FROM scratch\\nCOPY a.txt /opt/a.txt\\n' > Dockerfile",
                    "echo a > a.txt",
                    f"docker build -t {REGISTRY}/built:1 .",
                    f"! docker push {REGISTRY}/built:1",
                    sign_in,
                    f"docker push {REGISTRY}/built:1",
                ]
            }
        },
    }
    rights = [
        {"Action": ["ecr:GetAuthorizationToken", "logs:*"], "Resource": "*"},
        {"Action": "ecr:*", "Resource": f"arn:aws:ecr:{REGION}:{DEV}:repository/built"},
    ]
    cloud.role("builder", *rights, trust=trusting("codebuild"))

    def run(name: str, text: str, *, privileged: bool) -> tuple[str, str]:
        client = cloud.client("codebuild")
        client.create_project(
            name=name,
            serviceRole=f"arn:aws:iam::{DEV}:role/builder",
            source={"type": "NO_SOURCE", "buildspec": text},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0",
                "computeType": "BUILD_GENERAL1_SMALL", "privilegedMode": privileged,
            },
        )  # fmt: skip
        done = build_end(cloud, client.start_build(projectName=name)["build"]["id"])
        return done["buildStatus"], logs(cloud, done)

    text = yaml.safe_dump(spec)
    status, told = run("privileged", text, privileged=True)
    assert status == "SUCCEEDED", told
    assert "no basic auth credentials" in told
    (found,) = ecr.describe_images(repositoryName="built")["imageDetails"]
    assert found["imageTags"] == ["1"]
    assert f"1: digest: {found['imageDigest']}" in told
    repository(jobs, "others")
    status, told = run("elsewhere", text.replace("/built:1", "/others:1"), privileged=True)
    assert status == "FAILED"
    assert "not authorized to perform: ecr:" in told
    status, told = run("plain", text, privileged=False)
    assert status == "FAILED"
    assert "local cloud's docker" not in told
