"""What starts a build when the main branch of a CodeCommit repository moves.

Elsewhere the connection to the repository does that.
"""

from __future__ import annotations

import json

import pulumi_aws as aws
from pulumi import Input, ResourceOptions

from components import iam
from components.events import EventComponent, Handling
from components.naming import Names, Placement


class PushesArgs(Handling):
    """Inputs of :class:`Pushes`."""

    placement: Placement
    """Where it lives: dev."""
    project: str
    """The project's name."""
    repository: str
    """The repository's name."""
    branch: str
    """The branch that is built."""
    pipeline_arn: Input[str]
    """What is started."""
    boundary_arn: str
    """Permissions boundary of the role."""


class Pushes(EventComponent):
    """A rule for pushes, the role that it starts the pipeline by, and where its failures go."""

    def __init__(self, name: str, args: PushesArgs, opts: ResourceOptions | None = None) -> None:
        project, names = args["project"], Names.at(args["placement"], "dev")
        super().__init__("mlops:index:ProjectPushes", name, args, names, args, opts)
        called = names.name(f"{project}-build-pushes")
        letters = self._dead_letters(
            f"{project}-build-undelivered", [names.arn("events", f"rule/{called}")]
        )
        role = aws.iam.Role(
            name,
            name=names.role(f"{project}-build-starter"),
            assume_role_policy=iam.render(
                [iam.service_trust("events.amazonaws.com", account_id=names.account_id)]
            ),
            permissions_boundary=args["boundary_arn"],
            opts=self._child(),
        )
        policy = aws.iam.RolePolicy(
            name,
            name="project",
            role=role.name,
            policy=iam.render(
                [
                    iam.Statement(
                        sid="StartThePipeline",
                        actions=["codepipeline:StartPipelineExecution"],
                        resources=[args["pipeline_arn"]],
                    )
                ]
            ),
            opts=self._child(),
        )
        rule = aws.cloudwatch.EventRule(
            name,
            name=called,
            description=f"Pushes to {args['branch']} start the build of {project}",
            event_pattern=json.dumps(
                {
                    "source": ["aws.codecommit"],
                    "detail-type": ["CodeCommit Repository State Change"],
                    "resources": [names.arn("codecommit", args["repository"])],
                    "detail": {
                        "event": ["referenceCreated", "referenceUpdated"],
                        "referenceType": ["branch"],
                        "referenceName": [args["branch"]],
                    },
                }
            ),
            opts=self._child(),
        )
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            target_id="pipeline",
            arn=args["pipeline_arn"],
            role_arn=role.arn,
            dead_letter_config={"arn": letters.arn},
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.register_outputs({})
