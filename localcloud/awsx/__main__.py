"""``pulumi-resource-awsx``: serves the component to the engine."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from pulumi import ResourceOptions
from pulumi.provider import ConstructResult, Provider, main

from localcloud.awsx.vpc import TOKEN, Vpc
from localcloud.engine.parent import end_with_the_cli

VERSION = "3.11.0"
"""Version of ``pulumi_awsx`` whose component is served."""


class Awsx(Provider):
    """Constructs ``awsx:ec2:Vpc`` and refuses every other component by name."""

    def __init__(self) -> None:
        super().__init__(VERSION, f'{{"name": "awsx", "version": "{VERSION}"}}')

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: Any,
        options: ResourceOptions | None = None,
    ) -> ConstructResult:
        """Make the component's children in the program's stack."""
        if resource_type != TOKEN:
            raise NotImplementedError(
                f"The local cloud does not serve the component {resource_type}: "
                "add it in localcloud/awsx/"
            )
        vpc = Vpc(name, inputs, options or ResourceOptions())
        return ConstructResult(vpc.urn, vpc.outputs())


def _end(*_: object) -> None:
    # Nothing is left to tidy up: the engine has closed the connection, or is gone itself.
    os._exit(0)


if __name__ == "__main__":
    # SIGINT is how the engine ends a plugin; it waits five seconds for that, and meanwhile other
    # plugins miss their turn.
    signal.signal(signal.SIGINT, _end)
    end_with_the_cli(_end)
    main(Awsx(), sys.argv[1:])
