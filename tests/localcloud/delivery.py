"""What tests of builds and pipelines need: repositories with content, roles, patience."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.localcloud.emulators import DEV, REGION, Cloud, trusting
from tests.localcloud.kit import until


def git(folder: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Plain git, as a developer has it, apart from this machine's settings."""
    return subprocess.run(
        ["git", "-c", "user.name=Ana", "-c", "user.email=ana@example.com", *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        },
        text=True,
        capture_output=True,
        check=check,
    )


def push(folder: Path, url: str, files: dict[str, str], branch: str = "main") -> str:
    """Commits files to a branch of a repository; gives the commit."""
    if not (folder / ".git").exists():
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "clone", "--quiet", url, ".")
    git(folder, "checkout", "--quiet", "-B", branch)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "A change")
    git(folder, "push", "--quiet", "origin", branch)
    return git(folder, "rev-parse", "HEAD").stdout.strip()


def logs(cloud: Cloud, build: dict[str, Any]) -> str:
    """What a build's log stream holds."""
    where = build["logs"]
    events = cloud.client("logs").get_log_events(
        logGroupName=where["groupName"], logStreamName=where["streamName"], startFromHead=True
    )["events"]
    return "\n".join(event["message"] for event in events)


def build_end(cloud: Cloud, id_: str) -> dict[str, Any]:
    """A build once it has ended."""
    codebuild = cloud.client("codebuild")

    def ended() -> Any:
        (build,) = codebuild.batch_get_builds(ids=[id_])["builds"]
        return build if build["buildComplete"] else None

    return until(ended)


def phase(build: dict[str, Any], name: str) -> dict[str, Any] | None:
    """A phase of a build, None when it did not come to it."""
    return next((item for item in build["phases"] if item["phaseType"] == name), None)


def queue_for(cloud: Cloud, name: str, pattern: dict[str, Any]) -> str:
    """A queue that gets what a rule matches; its URL."""
    sqs, events = cloud.client("sqs"), cloud.client("events")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue = f"arn:aws:sqs:{REGION}:{DEV}:{name}"
    rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
    statement = {
        "Effect": "Allow",
        **trusting("events"),
        "Action": "sqs:SendMessage",
        "Resource": queue,
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue}])
    return url


def received(cloud: Cloud, url: str) -> list[dict[str, Any]]:
    """The events in a queue, taken out."""
    sqs = cloud.client("sqs")
    found: list[dict[str, Any]] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(json.loads(message["Body"]))
    return found
