"""``python -m localcloud up``: the whole platform on this machine, ending in a summary.

Engine, emulator, bootstrap, then all stacks in order with the policy pack on, by the same commands
that run against AWS. Everything runs in a child process whose environment holds nothing of the
caller's AWS or Pulumi settings.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from components.settings import load_stack, stack_names
from localcloud.emulator import daemon
from localcloud.engine import ensure_engine
from localcloud.environment import (
    ensure_loopback,
    local_environment,
    running_instance,
    write_aws_files,
)
from localcloud.paths import CHECKOUT
from localcloud.preparation import prepare

REPORT = "platform.html"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def up() -> int:
    """Bring everything up; gives the exit code.

    Raises:
        EngineError: there is no engine and none can be built.
        EmulatorError: the emulator cannot be started, or runs for other accounts.
        SettingsError: a stack's settings are not valid.
        NotLocalError: something could leave this machine.
    """
    started = time.monotonic()
    loaded = {stack: load_stack(CHECKOUT.root, stack) for stack in stack_names(CHECKOUT.root)}
    hub = loaded["governance"]
    _say("1/4 engine")
    engine = ensure_engine(terminal=sys.stderr.isatty())
    _say(f"    {engine.executable}{' (official)' if engine.official else ''}")
    _say("2/4 emulated AWS")
    prepare()
    emulator = daemon.start(
        hub.accounts, organization_id=hub.organization.id or "o-localcloud", region=hub.region
    )
    _say("    " + emulator.message().replace("\n", "\n    "))
    instance = running_instance()
    write_aws_files(instance)
    environment = local_environment(os.environ, instance)
    ensure_loopback(environment)
    _say("3/4 bootstrap of the accounts")
    code = _automation(["bootstrap"], environment, quiet=True)
    if code == 0:
        _say("4/4 stacks, with the policy pack")
        report = CHECKOUT.local / REPORT
        # What is made here can be thrown away, and the preview would take half as long again.
        up = ["up", "--all", "--skip-preview", "--report", str(report)]
        code = _automation(up, environment)
    if code == 0:
        _say(
            f"\nThe platform is up ({time.monotonic() - started:.0f} s) at {instance.endpoint}.\n"
            f"  page     {CHECKOUT.local / REPORT}\n"
            "  shell    source localcloud/activate   (plain pulumi, aws and boto3)\n"
            "  changes  pulumi preview -s dev --policy-pack policy\n"
            "  end      make down"
        )
    return code


def _left_to_the_child(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal that the child gets as well."""


def _automation(arguments: list[str], environment: dict[str, str], *, quiet: bool = False) -> int:
    command = [sys.executable, "-m", "automation", *arguments]
    # Ctrl-C reaches the child as well: it ends once the engine has, and is waited for. A handler
    # that does nothing is, unlike an ignored signal, not inherited by the child.
    before = signal.signal(signal.SIGINT, _left_to_the_child)
    try:
        done = subprocess.run(
            command,
            cwd=CHECKOUT.root,
            env=environment,
            check=False,
            stdout=subprocess.PIPE if quiet else None,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    if quiet:
        lines = (done.stdout or "").splitlines()
        changes = [line for line in lines if line.startswith(tuple(stack_names(CHECKOUT.root)))]
        _say(f"    {len(changes)} changes" if done.returncode == 0 else "\n".join(lines))
    return done.returncode
