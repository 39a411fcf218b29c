"""The Pulumi engine of local runs: an official one where there is one, else one built from source.

The official CLI comes from a download site. Build machines that reach only package registries get
none, so there the CLI is built from its Go modules, pinned by checksums in `go/`, and a language
host of ours runs the Python programs. Real AWS never uses any of this: it needs the official
plugins, so it uses the official CLI too.
"""

from localcloud.engine.ensure import Engine, ensure_engine
from localcloud.engine.errors import EngineError

__all__ = ["Engine", "EngineError", "ensure_engine"]
