"""A project stays with the host of its repositories, whatever the settings say later."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from automation.projects.codecommit import CodeCommit, hosting
from automation.projects.github import GitHub, signed_in
from automation.projects.repositories import CLONE_URL, Archive, Git, RepositoryError, run_git
from automation.projects.spec import read_spec
from automation.projects.vending import Vending, VendingError
from components.naming import Names

SPEC = read_spec({"name": "houses", "owner": "team", "cost_centre": "1", "organization": "acme"})
PIPELINE, REPOSITORY = "aws:codepipeline/pipeline:Pipeline", "aws:codecommit/repository:Repository"


def platform(provider: str) -> Any:
    projects = SimpleNamespace(repository_provider=provider, clone_url="https://a/{repository}")
    return {
        environment: SimpleNamespace(
            projects=projects, names=Names("acme", environment, "eu-west-1", "1" * 12)
        )
        for environment in ("dev", "governance")
    }


def stack(*types: str) -> Any:
    deployment = {"resources": [{"type": kind} for kind in types]}
    return SimpleNamespace(export_stack=lambda: SimpleNamespace(deployment=deployment))


@pytest.mark.parametrize(
    ("provider", "types", "moved"),
    [
        ("GitHub", [PIPELINE], False),
        ("GitLab", [PIPELINE], False),
        ("CodeCommit", [PIPELINE, REPOSITORY], False),
        # An update would delete what was pushed, without an archive.
        ("GitHub", [PIPELINE, REPOSITORY], True),
        # It would build from an empty repository.
        ("CodeCommit", [PIPELINE], True),
        # What failed before it had either, and GitHub's workflows, are at home anywhere.
        ("CodeCommit", [], False),
        ("GitHub", [], False),
    ],
)
def test_an_update_does_not_move_a_project(provider: str, types: list[str], moved: bool) -> None:
    nothing: Any = None
    vending = Vending(platform(provider), nothing, Git(nothing), nothing, nothing)
    if not moved:
        vending._require_same_host("houses", stack(*types))
        return
    with pytest.raises(VendingError, match=f"is {provider}, but the repositories of houses"):
        vending._require_same_host("houses", stack(*types))


def test_the_setting_says_who_hosts() -> None:
    nothing: Any = None
    host = hosting(platform("CodeCommit"), nothing)
    assert isinstance(host, CodeCommit)
    assert [host.name(SPEC, kind) for kind in ("build", "deploy")] == [
        "acme-dev-houses-build",
        "acme-governance-houses-deploy",
    ]
    git = hosting(platform("GitHub"), nothing)
    assert isinstance(git, Git)
    assert git.clone_url == "https://a/{repository}"
    assert git.archive.bucket == "acme-governance-eu-west-1-111111111111-archive"
    git = hosting(platform("GitLab"), nothing, "https://b/{repository}")
    assert isinstance(git, Git)
    assert git.clone_url == "https://b/{repository}"


OWN = {"GH_TOKEN": "token-of-alex", "GITHUB_API_URL": "https://git.example.com/api/v3/"}


@pytest.mark.parametrize(
    ("environ", "clone_url", "signed"),
    [
        ({}, CLONE_URL, None),
        ({"GH_TOKEN": "one", "GITHUB_TOKEN": "two"}, CLONE_URL, GitHub("one")),
        ({"GH_TOKEN": "", "GITHUB_TOKEN": "two"}, CLONE_URL, GitHub("two")),
        # A token of GitHub's is shown to nobody else.
        ({"GH_TOKEN": "one"}, "https://git.example.com/{repository}", None),
        (OWN, "https://git.example.com/{repository}",
         GitHub("token-of-alex", "https://git.example.com/api/v3")),
    ],
)  # fmt: skip
def test_repositories_are_archived_at_github_by_a_token_that_is_there(
    environ: dict[str, str], clone_url: str, signed: GitHub | None
) -> None:
    assert signed_in(environ, clone_url) == signed


class Answering(BaseHTTPRequestHandler):
    """GitHub's API of two repositories; the server holds who asked what, and what there is."""

    def _answer(self) -> None:
        server: Any = self.server
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        name = self.path.removeprefix("/repos/")
        server.asked.append((self.command, name, self.headers["Authorization"]))
        known = server.repositories.get(name)
        code = 404 if known is None else 403 if body and known["archived"] else 200
        if code == 200:
            known |= body
        self.send_response(code)
        self.end_headers()
        self.wfile.write(json.dumps(known or {}).encode())

    do_GET = do_PATCH = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def api() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        made: Any = server
        made.asked = []
        made.repositories = {f"acme/houses-{kind}": {"archived": False} for kind in KINDS}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


KINDS = ("build", "deploy")


@pytest.fixture
def hosted(tmp_path: Path) -> Iterator[Git]:
    """Repositories of which one holds two branches and a tag; an archive at moto."""
    for kind in KINDS:
        bare = tmp_path / "hosted" / "acme" / f"houses-{kind}"
        subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    with mock_aws():
        session = boto3.Session("a", "b", region_name="eu-west-1")
        s3: Any = session.client("s3")
        s3.create_bucket(
            Bucket="archive", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        git = Git(Archive("archive", lambda: session), f"{tmp_path}/hosted/{{repository}}")
        work = tmp_path / "work"
        work.mkdir()
        (work / "file").write_text("1")
        git.fill("acme/houses-build", work, "Start houses")
        run_git(work, "tag", "v1")
        run_git(work, "push", "--quiet", git.url("acme/houses-build"), "v1", "HEAD:refs/heads/try")
        yield git


def test_what_is_hosted_elsewhere_is_archived_with_all_its_history(
    hosted: Git, tmp_path: Path
) -> None:
    told = hosted.leave(SPEC)
    key = f"houses/{SPEC.id}/build.bundle"
    assert told == (
        f"Its repositories are archived (s3://archive/{key}): git clone reads such a file. They"
        " (acme/houses-build, acme/houses-deploy) stay where they are hosted, open: archive them"
        " there."
    )
    s3: Any = hosted.archive.session().client("s3")
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="archive")["Contents"]] == [key]
    bundle = tmp_path / "build.bundle"
    bundle.write_bytes(s3.get_object(Bucket="archive", Key=key)["Body"].read())
    run_git(None, "clone", "--quiet", "--branch", "main", str(bundle), str(tmp_path / "again"))
    names = run_git(tmp_path / "again", "for-each-ref", "--format=%(refname:short)").split()
    assert {"main", "origin/try", "v1"} <= set(names)
    assert run_git(tmp_path / "again", "log", "--format=%s") == "Start houses\n"


def test_at_github_they_are_read_only_then_however_often_the_project_is_deleted(
    hosted: Git, api: Any
) -> None:
    git = replace(hosted, closing=GitHub("secret", f"http://127.0.0.1:{api.server_port}"))
    for _ in range(2):
        assert git.leave(SPEC).endswith("stay where they are hosted, read-only.")
    assert all(item["archived"] for item in api.repositories.values())
    assert [method for method, *_ in api.asked] == ["GET", "PATCH"] * 2 + ["GET"] * 2
    assert {token for *_, token in api.asked} == {"Bearer secret"}


def test_what_cannot_be_archived_keeps_the_project(hosted: Git, api: Any) -> None:
    elsewhere = replace(hosted, archive=Archive("nowhere", hosted.archive.session))
    with pytest.raises(RepositoryError, match="cannot be archived in nowhere, which the gov"):
        elsewhere.leave(SPEC)
    other = read_spec({**SPEC.model_dump(), "name": "others"})
    with pytest.raises(RepositoryError, match="acme/others-build cannot be read"):
        hosted.leave(other)
    del api.repositories["acme/houses-deploy"]
    git = replace(hosted, closing=GitHub("secret", f"http://127.0.0.1:{api.server_port}"))
    with pytest.raises(RepositoryError, match=r"houses-deploy cannot be .*HTTP 404") as error:
        git.leave(SPEC)
    assert "secret" not in str(error.value)
