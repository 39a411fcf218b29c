"""GitHub by a server on loopback: what is sent, what is tried again, and where no token goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from functions.deployment.approvals import ManualApprovals
from functions.deployment.github import GitHub, GitHubError
from functions.deployment.history import Attempt
from functions.deployment.machine import Kind, Status
from functions.deployment.projects import Project
from functions.deployment.refusal import Refusal
from functions.deployment.start import Runs
from tests.functions.deployment_model import Clock

TOKEN = "github_pat_" + "x1Y2" * 10
DISPATCH = "/repos/acme/houses/actions/workflows/deploy.yml/dispatches"
REVIEWS = "/repos/acme/houses/actions/runs/77/approvals"
ATTEMPT = Attempt(
    environment="prod",
    sequence=3,
    model_package_arn="arn:aws:sagemaker:eu-west-1:111111111111:model-package/houses/2",
    version=2,
    status=Status.REQUESTED,
    kind=Kind.DEPLOY,
    reason="better\nby far",
)


class Server(ThreadingHTTPServer):
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answers: list[tuple[int, Any, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def answer(self, status: int, body: Any = None, **headers: str) -> None:
        self.answers.append((status, body, headers))


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.asked.append(
            {
                "method": self.command,
                "path": self.path,
                "headers": dict(self.headers),
                "body": json.loads(body) if body else None,
            }
        )
        status, told, headers = self.server.answers.pop(0)
        text = b"" if told is None else json.dumps(told).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do  # noqa: N815 - the base's names

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


class Secrets:
    def __init__(self, text: str) -> None:
        self.text = text

    def get_secret_value(self, SecretId: str) -> dict[str, str]:  # noqa: N803 - AWS's name
        assert SecretId == "the-secret"
        return {"SecretString": self.text}


def project(**changes: Any) -> Project:
    return Project(
        "houses",
        "acme-governance-houses",
        "github",
        repository="acme/houses",
        workflow="deploy.yml",
        token_secret="the-secret",
        **changes,
    )


def github(server: Server, secret: str = TOKEN, waits: list[float] | None = None) -> GitHub:
    waited = [] if waits is None else waits
    return GitHub(Secrets(secret), server.url, waited.append)


@pytest.mark.parametrize("secret", [TOKEN, f"{TOKEN}\n", json.dumps({"token": TOKEN})])
def test_a_run_is_dispatched_with_the_token_of_the_secret(server: Server, secret: str) -> None:
    server.answer(204)
    runs = Runs(None, github(server, secret), ("preprod", "prod"))
    assert runs.start(project(branch="trunk"), ATTEMPT) == ""
    (asked,) = server.asked
    assert (asked["method"], asked["path"]) == ("POST", DISPATCH)
    assert asked["headers"]["Authorization"] == f"Bearer {TOKEN}"
    assert asked["body"] == {
        "ref": "trunk",
        "inputs": {
            "model_package_arn": ATTEMPT.model_package_arn,
            "environments": "preprod,prod",
            "kind": "deploy",
            "reason": "better by far",
        },
    }


def test_a_retreat_is_of_one_environment(server: Server) -> None:
    server.answer(204)
    retreat = Attempt(**{**vars(ATTEMPT), "kind": Kind.RETREAT})
    Runs(None, github(server), ("preprod", "prod")).start(project(), retreat)
    inputs = server.asked[0]["body"]["inputs"]
    assert (inputs["environments"], inputs["kind"]) == ("prod", "retreat")


def test_where_a_kind_has_more_environments_each_has_a_run_of_its_own(server: Server) -> None:
    way = ("preprod", "prod", "prod-eu")
    for _ in way:
        server.answer(204)
    for environment in way:
        attempt = Attempt(**{**vars(ATTEMPT), "environment": environment})
        Runs(None, github(server), way).start(project(), attempt)
    asked = [item["body"]["inputs"]["environments"] for item in server.asked]
    assert asked == list(way)
    server.asked.clear()
    server.answer(204)
    # A project that does not go to it has its one run.
    two = project(targets=("preprod", "prod"))
    Runs(None, github(server), way).start(two, ATTEMPT)
    assert server.asked[0]["body"]["inputs"]["environments"] == "preprod,prod"


def test_what_may_pass_is_tried_again_and_no_longer_than_that(server: Server) -> None:
    waits: list[float] = []
    for status in (502, 429, 204):
        server.answer(status, {"message": "busy"} if status > 299 else None)
    github(server, waits=waits).dispatch(project(), {})
    assert (len(server.asked), waits) == (3, [2.0, 4.0])
    for _ in range(4):
        server.answer(503, {"message": "down"})
    with pytest.raises(GitHubError, match="503 down"):
        github(server).dispatch(project(), {})
    assert len(server.asked) == 7
    server.answer(422, {"message": "Workflow does not have 'workflow_dispatch' trigger"})
    with pytest.raises(GitHubError, match="422 Workflow does not have"):
        github(server).dispatch(project(), {})
    assert len(server.asked) == 8


def shown(error: BaseException | None) -> str:
    """All that a traceback of an error could show."""
    told = ""
    while error is not None:
        told += f"{error!r} {error} {vars(error)}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return told


def test_a_token_is_nowhere_in_an_error(server: Server) -> None:
    # A server that says it, one that is not there, and one that sends it elsewhere.
    server.answer(403, {"message": f"bad credentials {TOKEN}"})
    gone = GitHub(Secrets(TOKEN), "http://127.0.0.1:1", lambda _: None)
    server.answer(302, None, Location=f"{server.url}/elsewhere")
    for one in (github(server), gone, github(server)):
        with pytest.raises(GitHubError) as error:
            one.dispatch(project(), {})
        assert TOKEN not in shown(error.value)
    assert [asked["path"] for asked in server.asked] == [DISPATCH, DISPATCH]


@pytest.mark.parametrize(
    "secret", ["", "tok en", f"{TOKEN}\r\nX-Evil: 1", '{"key": "x"}', "{half a token"]
)
def test_a_secret_that_is_no_token_is_never_sent_or_told(server: Server, secret: str) -> None:
    with pytest.raises(GitHubError, match="holds no token") as error:
        github(server, secret).dispatch(project(), {})
    assert server.asked == []
    assert not secret or secret not in shown(error.value)


VERSION = ATTEMPT.model_package_arn
PEOPLE = {"grace": "grace.hopper"}


def review(
    state: str, login: str, environment: str = "prod", comment: str = "good"
) -> dict[str, Any]:
    return {
        "state": state,
        "comment": comment,
        "user": {"login": login},
        "environments": [{"name": environment}],
    }


def run(**changes: Any) -> dict[str, Any]:
    """What GitHub tells of a run of the workflow, as far as it counts."""
    return {
        "id": 77,
        "path": ".github/workflows/deploy.yml",
        "head_branch": "main",
        "event": "workflow_dispatch",
        "display_title": f"{VERSION} deploy to preprod,prod, better by far",
        "status": "in_progress",
        **changes,
    }


def read(server: Server, reviews: Any, found: Any = None, **changes: Any) -> Any:
    server.answer(200, found or run())
    server.answer(200, reviews)
    approvals = ManualApprovals(None, github(server), Clock())
    return approvals.read(project(**{"people": PEOPLE, **changes}), "prod", "77", VERSION)


def test_an_approval_of_the_environment_is_read(server: Server) -> None:
    told = read(
        server,
        [
            review("approved", "bob", "preprod"),
            review("approved", "Grace", comment="tests are green"),
        ],
    )
    assert [asked["path"] for asked in server.asked] == [REVIEWS.rpartition("/")[0], REVIEWS]
    assert all(asked["headers"]["Authorization"] == f"Bearer {TOKEN}" for asked in server.asked)
    assert (told.by, told.person) == ("github:Grace (grace.hopper)", "grace.hopper")
    assert (told.why, told.at) == ("tests are green", "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    "reviews",
    [
        [],
        [review("approved", "grace", "preprod")],
        [review("pending", "grace")],
        [review("approved", "grace"), review("rejected", "bob")],
    ],
)
def test_without_an_approval_of_this_environment_there_is_none(
    server: Server, reviews: list[Any]
) -> None:
    with pytest.raises(Refusal, match="has no approval of the environment prod"):
        read(server, reviews)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        # An earlier run's approval is not this deployment's.
        ({"status": "completed"}, "is over"),
        ({"display_title": f"{VERSION}0 deploy to preprod,prod"}, "agreed to that, not to"),
        ({"display_title": f"deploy {VERSION}"}, "agreed to that, not to"),
        ({"display_title": None}, "agreed to that, not to"),
        # Nor is that of whatever else uses the environment.
        ({"path": ".github/workflows/other.yml"}, "is of .github/workflows/other.yml"),
        ({"path": None}, "is of an unknown workflow"),
        ({"head_branch": "feature"}, "is of the branch feature"),
        ({"event": "push"}, "was started by push"),
    ],
)
def test_reviews_of_another_run_count_for_nothing(
    server: Server, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(Refusal, match=told):
        read(server, [review("approved", "grace")], run(**changes))


@pytest.mark.parametrize("comment", ["", " \n"])
def test_who_approves_says_why(server: Server, comment: str) -> None:
    with pytest.raises(Refusal, match="approved prod without a reason: approve it again"):
        read(server, [review("approved", "grace", comment=comment)])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"head_branch": "feature"}, "is of the branch feature, not of main"),
        ({"path": ".github/workflows/other.yml"}, "is of .github/workflows/other.yml"),
        ({"display_title": f"{VERSION}0 deploy to preprod"}, "agreed to that, not to"),
    ],
)
def test_a_run_of_another_branch_deploys_nowhere_reviewed_or_not(
    server: Server, changes: dict[str, Any], told: str
) -> None:
    server.answer(200, run(**changes))
    approvals = ManualApprovals(None, github(server), Clock())
    if not told:
        approvals.require_own_run(project(), "77", VERSION)
    else:
        with pytest.raises(Refusal, match=told):
            approvals.require_own_run(project(), "77", VERSION)
    assert [asked["path"] for asked in server.asked] == [REVIEWS.rpartition("/")[0]]


def test_a_run_is_known_by_its_workflow_also_with_its_branch_behind_it(server: Server) -> None:
    found = run(path=".github/workflows/deploy.yml@main")
    assert read(server, [review("approved", "grace")], found).person == "grace.hopper"


@pytest.mark.parametrize("people", [PEOPLE, {}])
def test_a_login_that_stands_for_nobody_approves_nothing(
    server: Server, people: dict[str, str]
) -> None:
    """By another name at GitHub somebody would be another person there."""
    with pytest.raises(Refusal, match="eve approved prod at GitHub, and it is not known who"):
        read(server, [review("approved", "eve")], people=people)


@pytest.mark.parametrize("answers", [[[]], [run(), {}]])
def test_what_github_never_answers_is_no_approval(server: Server, answers: list[Any]) -> None:
    for answer in answers:
        server.answer(200, answer)
    approvals = ManualApprovals(None, github(server), Clock())
    with pytest.raises(Refusal, match="cannot be read"):
        approvals.read(project(people=PEOPLE), "prod", "77", VERSION)


def test_a_run_that_is_no_number_is_not_asked_for(server: Server) -> None:
    approvals = ManualApprovals(None, github(server), Clock())
    with pytest.raises(Refusal, match="not the id of a workflow run"):
        approvals.read(project(people=PEOPLE), "prod", "../../secrets", VERSION)
    assert server.asked == []
