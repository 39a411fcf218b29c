"""The command line of the image: ``train`` and ``serve``, as SageMaker starts images, and steps.

What the commands do is the image's own: its ``program/training.py`` has ``main(folder)``, its
``program/serving.py`` has ``main(folder, port)``.

Source: SageMaker developer guide, how SageMaker runs a training image and an inference image.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from program import serving, training

PORT = 8080
"""Source: SageMaker developer guide, custom inference code with hosting services."""


def main(description: str | None, steps: Sequence[str] = ()) -> int:
    """Does what the command line says; 0 when all went well.

    Args:
        description: Of the image, for ``--help``.
        steps: Modules with a command line of their own, which are commands too: each has
            ``main(arguments)``.
    """
    if sys.argv[1:2] and sys.argv[1] in steps:
        # Not above: what a version brings to serve it may have modules of the same names.
        return int(importlib.import_module(sys.argv[1]).main(sys.argv[2:]))
    parser = argparse.ArgumentParser(prog="program", description=description)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in steps:
        commands.add_parser(name, help=f"steps/{name}.py")
    train = commands.add_parser("train", help="train a model on the channels")
    serve = commands.add_parser("serve", help="answer /ping and /invocations")
    for command in (train, serve):
        command.add_argument("--folder", type=Path, default=Path("/opt/ml"))
    # SageMaker names the port where several containers share an instance.
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", PORT))
    serve.add_argument("--port", type=int, default=port)
    given = parser.parse_args()
    if given.command == "train":
        return training.main(given.folder)
    return serving.main(given.folder / "model", given.port)
