"""Entry point of the policy pack: serves the rules of :mod:`mlops_policy` to the Pulumi engine."""

import sys
from pathlib import Path

# The engine runs this file from the folder of the program that is checked.
sys.path.insert(0, str(Path(__file__).resolve().parent))

from mlops_policy.pack import NAME, policies
from pulumi_policy import EnforcementLevel, PolicyPack

if __name__ == "__main__":
    # The constructor serves until the engine ends the process: it never returns.
    PolicyPack(NAME, policies(), enforcement_level=EnforcementLevel.MANDATORY)
