"""Builds and delivery pipelines that really run: CodeBuild, CodePipeline and their git sources.

``attach`` joins them to an emulator. Everything that they do on behalf of a project or a pipeline
they do as its role, by calls that are authorized like anybody's.
"""

from __future__ import annotations

from typing import Any

from localcloud.emulator.builds.builds import Builds
from localcloud.emulator.builds.pipelines import Pipelines
from localcloud.emulator.builds.repositories import Repositories

__all__ = ["Builds", "Delivery", "Pipelines", "Repositories", "attach"]


class Delivery:
    """Repositories, builds and pipelines of one emulator.

    Attributes:
        repositories: The git repositories, GitHub's and CodeCommit's.
        builds: Runs CodeBuild's builds.
        pipelines: Runs CodePipeline's executions.
    """

    def __init__(self, host: Any) -> None:
        self.repositories = Repositories(host)
        self.builds = Builds(host, self.repositories)
        self.pipelines = Pipelines(host, self.repositories)
        self.repositories.watchers.append(self.pipelines.pushed)


def attach(host: Any) -> Delivery:
    """Makes an emulator's repositories, builds and pipelines, and its rules' targets."""
    delivery = Delivery(host)
    host.events.targets["codebuild"] = delivery.builds.start_for_event
    host.events.targets["codepipeline"] = delivery.pipelines.start_for_event
    return delivery
