"""API operations that moto lacks, one module per AWS service.

The contract is in :mod:`localcloud.emulator.extension`. A module is found by being in this folder.
"""

import importlib
import pkgutil


def load() -> None:
    """Imports every module of this package, which registers its operations."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
