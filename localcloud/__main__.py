"""The local cloud's command: ``python -m localcloud install|up|demo|start|stop|status``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from localcloud.authorization import NotInstalledError
from localcloud.emulator import daemon
from localcloud.emulator.daemon import EmulatorError
from localcloud.paths import CHECKOUT
from localcloud.preparation import prepare


def _install(arguments: argparse.Namespace) -> int:
    del arguments
    print(f"The IAM evaluator is installed in {prepare()}.")
    return 0


def _accounts(text: str) -> dict[str, str]:
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError('expected {"<environment>": "<account id>", …}')
    return {str(name): str(account) for name, account in value.items()}


def _start(arguments: argparse.Namespace) -> int:
    prepare()
    started = daemon.start(
        arguments.accounts, organization_id=arguments.organization, region=arguments.region
    )
    print(started.message())
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    del arguments
    instance = daemon.stop()
    if instance is None:
        print("The local cloud did not run.")
        return 0
    print(f"The local cloud {instance} is stopped; what it held is gone.")
    kept = CHECKOUT.ended(instance)
    if kept.exists():
        print(f"Pulumi's state of it and its pages are kept in {kept}.")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    del arguments
    print(daemon.status())
    return 0 if daemon.running() else 1


def _up(arguments: argparse.Namespace) -> int:
    del arguments
    # Imported here: the other commands need neither the program's settings nor an engine.
    from components.settings import SettingsError
    from localcloud.engine import EngineError
    from localcloud.environment import NotLocalError
    from localcloud.up import up

    try:
        return up()
    except (EngineError, NotLocalError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1


def _demo(arguments: argparse.Namespace) -> int:
    del arguments
    # Imported here, as above.
    from localcloud.demo import demo
    from localcloud.environment import NotLocalError, NotRunningError

    try:
        return demo()
    except (NotLocalError, NotRunningError) as error:
        print(error, file=sys.stderr)
        return 1


def _run_server(arguments: argparse.Namespace) -> int:
    # Imported here: moto takes a second, which the other commands need not spend.
    from localcloud.emulator import process

    process.run(arguments.settings)
    return 0


def _parser() -> tuple[argparse.ArgumentParser, Mapping[str, Callable[[argparse.Namespace], int]]]:
    parser = argparse.ArgumentParser(prog="python -m localcloud", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="install the IAM evaluator's npm packages")
    commands.add_parser("up", help="bring the whole platform up")
    commands.add_parser("demo", help="bring a model from a new project to production")
    start = commands.add_parser("start", help="start the emulator unless it runs")
    start.add_argument(
        "--accounts", type=_accounts, required=True, help='JSON: {"governance": "111…", …}'
    )
    start.add_argument("--organization", default="o-localcloud")
    start.add_argument("--region", default="eu-west-1")
    for name in ("stop", "down"):
        commands.add_parser(name, help="end the emulator with all it holds")
    commands.add_parser("status", help="what runs, with the accounts and their keys")
    run_server = commands.add_parser("run-server")
    run_server.add_argument("settings")
    return parser, {
        "install": _install,
        "up": _up,
        "demo": _demo,
        "start": _start,
        "stop": _stop,
        "down": _stop,
        "status": _status,
        "run-server": _run_server,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; gives the exit code."""
    parser, commands = _parser()
    arguments = parser.parse_args(argv)
    try:
        return commands[arguments.command](arguments)
    except KeyboardInterrupt:
        print("localcloud: interrupted; run it again to go on", file=sys.stderr)
        return 1
    except (EmulatorError, NotInstalledError) as error:
        print(f"localcloud: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
