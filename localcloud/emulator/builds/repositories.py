"""Git repositories: what stands for GitHub, and CodeCommit's.

Each is a bare repository in a folder that goes with the emulator, served to any git client by git's
own smart HTTP protocol on loopback. Repositories of "GitHub" are open to everybody on this machine,
as there is no GitHub to ask who may do what; CodeCommit's take the credentials that
``aws codecommit credential-helper`` gives, and IAM decides on each pull and push.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from localcloud.emulator.events import Event
from localcloud.emulator.extension import ApiError

GITHUB, CODECOMMIT = "github", "codecommit"
_PART = r"[A-Za-z0-9._-]+"
_NAMES = {GITHUB: re.compile(rf"{_PART}/{_PART}"), CODECOMMIT: re.compile(_PART)}
_CREDENTIALS_REFUSED = 401, "CodeCommit takes the credentials of: aws codecommit credential-helper"


class RepositoryError(Exception):
    """What was asked for is not in a repository; the message says what."""


@dataclass(frozen=True)
class Commit:
    """A commit.

    Attributes:
        id: Its hash.
        message: Its whole message.
        author: The author's name.
        email: The author's address.
        date: When it was authored, ISO 8601.
    """

    id: str
    message: str
    author: str
    email: str
    date: str


def git(
    folder: Path, *arguments: str, stdin: bytes = b"", variables: Mapping[str, str] | None = None
) -> bytes:
    """Runs git apart from the user's and the machine's settings; gives its output.

    Raises:
        RepositoryError: git failed, with what it said.
    """
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**_environment(), **(variables or {})},
        input=stdin,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise RepositoryError(done.stderr.decode("utf-8", "replace").strip())
    return done.stdout


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }


@dataclass(frozen=True)
class Repository:
    """A bare repository.

    Attributes:
        kind: ``github`` or ``codecommit``.
        name: ``owner/name`` on GitHub, the repository's name in CodeCommit.
        folder: Where it lies.
        clone_url: What ``git clone`` takes.
        account: Account that owns it; empty for GitHub.
        region: Region of it; empty for GitHub.
    """

    kind: str
    name: str
    folder: Path
    clone_url: str
    account: str = ""
    region: str = ""

    @property
    def arn(self) -> str:
        """The ARN of a CodeCommit repository."""
        return f"arn:aws:codecommit:{self.region}:{self.account}:{self.name}"

    def branches(self) -> dict[str, str]:
        """Branch -> its newest commit's hash."""
        lines = git(
            self.folder, "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads"
        )
        return dict(line.split(" ", 1) for line in lines.decode().splitlines())

    def commit(self, specifier: str) -> Commit:
        """The commit that a branch, tag or hash stands for.

        Raises:
            RepositoryError: There is none.
        """
        # What begins with a dash would be an option.
        if not specifier or specifier.startswith("-"):
            raise RepositoryError(f"{specifier!r} names no commit of {self.name}.")
        try:
            text = git(
                self.folder,
                "log",
                "-1",
                "--format=%H%x00%an%x00%ae%x00%aI%x00%B",
                specifier,
                "--",
            ).decode("utf-8", "replace")
        except RepositoryError as error:
            raise RepositoryError(
                f"{self.name} has no branch, tag or commit {specifier}."
            ) from error
        commit, author, email, date, message = text.split("\0", 4)
        return Commit(commit, message.strip(), author, email, date)

    def archive(self, commit: str, target: Path) -> None:
        """Writes a zip of a commit's files."""
        git(self.folder, "archive", "--format=zip", f"--output={target}", commit)

    def checkout(self, commit: str, folder: Path) -> None:
        """Makes a fresh clone with a commit checked out."""
        git(self.folder, "clone", "--quiet", "--no-checkout", str(self.folder), str(folder))
        git(folder, "checkout", "--quiet", "--detach", commit)
        git(folder, "remote", "set-url", "origin", self.clone_url)

    def put(
        self,
        branch: str,
        files: Mapping[str, tuple[bytes, str]],
        *,
        deleted: Sequence[str] = (),
        parent: str | None = None,
        message: str = "",
        author: str = "",
        email: str = "",
    ) -> tuple[str, str]:
        """Commits files to a branch without a checkout.

        Args:
            branch: The branch; made when it is new.
            files: Path -> content and git's file mode.
            deleted: Paths to take away.
            parent: The commit that it is made upon, None for the first.
            message: The commit's message.
            author: The author's name.
            email: The author's address.

        Returns:
            The commit's and its tree's hash.

        Raises:
            RepositoryError: A path is not acceptable to git.
        """
        with tempfile.TemporaryDirectory() as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            if parent:
                git(self.folder, "read-tree", parent, variables=index)
            lines = [f"0 {'0' * 40}\t{path}" for path in deleted]
            for path, (content, mode) in files.items():
                blob = git(self.folder, "hash-object", "-w", "--stdin", stdin=content)
                lines.append(f"{mode} {blob.decode().strip()}\t{path}")
            git(
                self.folder,
                "update-index",
                "--add",
                "--index-info",
                stdin="".join(f"{line}\n" for line in lines).encode(),
                variables=index,
            )
            tree = git(self.folder, "write-tree", variables=index).decode().strip()
        people = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (
                ("NAME", author or "unknown"),
                ("EMAIL", email or "unknown@localhost"),
            )
        }
        commit = git(
            self.folder,
            "commit-tree",
            tree,
            *(("-p", parent) if parent else ()),
            stdin=message.encode() or b"\n",
            variables=people,
        )
        commit_id = commit.decode().strip()
        git(self.folder, "update-ref", f"refs/heads/{branch}", commit_id, parent or "0" * 40)
        return commit_id, tree

    def file(self, commit: str, path: str) -> tuple[str, str, bytes]:
        """A file of a commit: git's mode, the blob's hash, the content.

        Raises:
            RepositoryError: There is no such file.
        """
        listed = git(self.folder, "ls-tree", commit, "--", path).decode()
        if not listed:
            raise RepositoryError(f"{self.name} has no file {path} at {commit}.")
        mode, kind, blob = listed.split("\t", 1)[0].split(" ")
        if kind != "blob":
            raise RepositoryError(f"{path} is a folder of {self.name} at {commit}.")
        return mode, blob, git(self.folder, "cat-file", "blob", blob)


Watcher = Callable[[Repository, str, str], None]
"""``watcher(repository, branch, commit)``: called when a branch has moved."""


class Repositories:
    """All repositories of an emulator, and the server that git clients reach them by.

    Args:
        host: The emulator.
    """

    def __init__(self, host: Any) -> None:
        self._host = host
        self._known: dict[tuple[str, str, str, str], Repository] = {}
        self._lock = threading.Lock()
        self.watchers: list[Watcher] = [self._tell]

    @cached_property
    def _address(self) -> str:
        handler = type("_Handler", (_Git,), {"repositories": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    @cached_property
    def root(self) -> Path:
        """The folder of all repositories."""
        return Path(self._host.compute.folder) / "repositories"

    # What the control interface offers: repositories of "GitHub".

    def listed(self) -> list[dict[str, str]]:
        """Name and clone URL of each repository of GitHub."""
        return [
            {"name": found.name, "clone_url": found.clone_url}
            for found in list(self._known.values())
            if found.kind == GITHUB
        ]

    def made(self, name: str) -> dict[str, str]:
        """Makes an empty repository of GitHub, and gives its name and clone URL.

        Raises:
            ValueError: The name is no ``owner/name``, or there is one by that name.
        """
        made = self.create(GITHUB, name)
        return {"name": made.name, "clone_url": made.clone_url}

    def removed(self, name: str) -> dict[str, str]:
        """Removes a repository of GitHub.

        Raises:
            ValueError: There is none by that name.
        """
        self.delete(self.github(name))
        return {"name": name}

    # What the services ask for.

    def create(self, kind: str, name: str, account: str = "", region: str = "") -> Repository:
        """Makes an empty repository.

        Raises:
            ValueError: The name is not acceptable, or taken.
        """
        if not _NAMES[kind].fullmatch(name) or ".." in name or name.endswith(".git"):
            wanted = "owner/name" if kind == GITHUB else "letters, digits and . _ -"
            raise ValueError(f"{name!r} is no name of a {kind} repository: {wanted}.")
        path = "/".join(part for part in (kind, account, region, f"{name}.git") if part)
        folder = self.root / path
        made = Repository(kind, name, folder, f"{self._address}/{path}", account, region)
        with self._lock:
            if (kind, account, region, name) in self._known:
                raise ValueError(f"There is a {kind} repository {name} already.")
            folder.mkdir(parents=True)
            git(folder, "init", "--quiet", "--bare", "--initial-branch=main", ".")
            git(folder, "config", "http.receivepack", "true")
            self._known[kind, account, region, name] = made
        return made

    @property
    def github_url(self) -> str:
        """What stands for ``https://github.com/``."""
        return f"{self._address}/{GITHUB}/"

    def find(self, kind: str, name: str, account: str = "", region: str = "") -> Repository | None:
        """A repository, None when there is none."""
        return self._known.get((kind, account, region, name))

    def github(self, name: str) -> Repository:
        """A repository of GitHub.

        Raises:
            ValueError: There is none by that name.
        """
        found = self.find(GITHUB, name)
        if found is None:
            known = ", ".join(sorted(item["name"] for item in self.listed())) or "none"
            raise ValueError(
                f"The local cloud has no GitHub repository {name} (it has: {known}). Make it with"
                ' POST /_localcloud/repositories {"name": "owner/name"}.'
            )
        return found

    def delete(self, repository: Repository) -> None:
        """Removes a repository with its content."""
        with self._lock:
            key = (repository.kind, repository.account, repository.region, repository.name)
            self._known.pop(key, None)
            shutil.rmtree(repository.folder, ignore_errors=True)

    def at(self, path: str) -> Repository | None:
        """The repository that a URL's path leads to."""
        return next(
            (
                found
                for found in list(self._known.values())
                if path.startswith(urlsplit(found.clone_url).path + "/")
            ),
            None,
        )

    def moved(self, repository: Repository, before: Mapping[str, str]) -> None:
        """Tells the watchers which branches are not where they were."""
        now = repository.branches()
        for branch, commit in now.items():
            if before.get(branch) != commit:
                for watcher in self.watchers:
                    watcher(repository, branch, commit)

    def _tell(self, repository: Repository, branch: str, commit: str) -> None:
        """Source: CodeCommit user guide, monitoring CodeCommit events in EventBridge."""
        if repository.kind != CODECOMMIT:
            return
        detail = {
            "event": "referenceUpdated",
            "repositoryName": repository.name,
            "referenceType": "branch",
            "referenceName": branch,
            "referenceFullName": f"refs/heads/{branch}",
            "commitId": commit,
        }
        kind = "CodeCommit Repository State Change"
        account, region = repository.account, repository.region
        event = Event(account, region, "aws.codecommit", kind, detail, (repository.arn,))
        self._host.publish(event)

    def refusal(
        self, repository: Repository, authorization: str, *, push: bool
    ) -> tuple[int, str] | None:
        """Why a git client may not, as HTTP status and text; None when it may."""
        if repository.kind == GITHUB:
            return None
        try:
            user, _, _ = base64.b64decode(authorization.removeprefix("Basic ")).partition(b":")
            key, _, token = unquote(user.decode()).partition("%")
            principal = self._host.credentials.principal(key, token or None, None)
        except (ApiError, ValueError):
            return _CREDENTIALS_REFUSED
        action = "codecommit:GitPush" if push else "codecommit:GitPull"
        decision = self._host.decide(
            principal, action, repository.arn, repository.account, repository.region
        )
        if decision.allowed:
            return None
        who = principal.caller.arn
        return 403, f"{who} may not {action} on {repository.arn} {decision.reason}"


class _Git(BaseHTTPRequestHandler):
    """Hands requests to ``git http-backend``."""

    repositories: Repositories
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Serves a fetch's or a push's first request."""
        self._serve()

    def do_POST(self) -> None:
        """Serves packs."""
        self._serve()

    def _serve(self) -> None:
        body = b"".join(self._body())
        path, _, query = self.path.partition("?")
        path = unquote(path)
        repository = self.repositories.at(path)
        if repository is None or ".." in path:
            return self._answer(404, "There is no such repository.")
        push = "git-receive-pack" in path or "git-receive-pack" in query
        given = self.headers.get("Authorization", "")
        refused = self.repositories.refusal(repository, given, push=push)
        if refused:
            return self._answer(*refused)
        before = repository.branches()
        done = subprocess.run(
            ["git", "http-backend"],
            cwd=self.repositories.root,
            env={
                **_environment(),
                "GIT_PROJECT_ROOT": str(self.repositories.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": "git",
                "REMOTE_ADDR": "127.0.0.1",
            },
            input=body,
            capture_output=True,
            check=False,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if line]
        status = next((int(value.split()[0]) for name, value in headers if name == "Status"), 200)
        if done.returncode and not headers:
            return self._answer(500, done.stderr.decode("utf-8", "replace"))
        if push and self.command == "POST":
            # Before the answer: who has pushed finds done what the push sets off.
            self.repositories.moved(repository, before)
        self.send_response(status)
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    def _body(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            yield self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _answer(self, status: int, text: str) -> None:
        content = f"{text}\n".encode()
        self.send_response(status)
        if status == _CREDENTIALS_REFUSED[0]:
            self.send_header("WWW-Authenticate", 'Basic realm="CodeCommit"')
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
