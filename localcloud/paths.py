"""Where the local cloud keeps its things: all below this checkout, so two checkouts never meet.

```
.venv/                              the Python environment that `make` creates
.localcloud/                        git-ignored
  engine/<version>/                 a Pulumi CLI built from source, with its language host
  engine/current/pulumi             link to the engine in use
  pulumi-home/                      PULUMI_HOME: plugin cache, workspaces
  schemas/                          what the installed pulumi_aws says of the served types
  instance.json                     the running emulator (localcloud.environment.Instance)
  <instance>/pulumi/                Pulumi state of that emulator instance
  <instance>/aws/{config,credentials}   generated profiles with made-up keys
  <instance>/ended/                 state and pages of an instance that has ended
```
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The local paths of one checkout.

    Args:
        root: Absolute path of the checkout (the folder that holds Pulumi.yaml).
    """

    root: Path

    @property
    def local(self) -> Path:
        """Everything that is not in version control, except the Python environment."""
        return self.root / ".localcloud"

    @property
    def venv(self) -> Path:
        """The Python environment that `make` creates."""
        return self.root / ".venv"

    @property
    def engines(self) -> Path:
        """Engines built from source, one folder a version."""
        return self.local / "engine"

    @property
    def current_engine(self) -> Path:
        """Folder with a link to the `pulumi` in use, and nothing else; stable, for PATH."""
        return self.engines / "current"

    @property
    def pulumi_home(self) -> Path:
        """PULUMI_HOME of local runs."""
        return self.local / "pulumi-home"

    @property
    def plugins(self) -> Path:
        """The CLI's plugin cache, in which it finds the local AWS providers without a download."""
        return self.pulumi_home / "plugins"

    @property
    def instance_file(self) -> Path:
        """What the running emulator says about itself; absent when it does not run."""
        return self.local / "instance.json"

    def instance(self, instance_id: str) -> Path:
        """The folder of one emulator instance."""
        return self.local / instance_id

    def state(self, instance_id: str) -> Path:
        """Pulumi's file backend for one emulator instance."""
        return self.instance(instance_id) / "pulumi"

    def ended(self, instance_id: str) -> Path:
        """What is kept of an instance that has ended, out of the way of its shells."""
        return self.instance(instance_id) / "ended"

    def aws_config(self, instance_id: str) -> Path:
        """Generated AWS config file: one profile an environment."""
        return self.instance(instance_id) / "aws" / "config"

    def aws_credentials(self, instance_id: str) -> Path:
        """Generated AWS credentials file: made-up keys."""
        return self.instance(instance_id) / "aws" / "credentials"


CHECKOUT = Paths(Path(__file__).resolve().parent.parent)
"""The paths of the checkout that this module was imported from."""
