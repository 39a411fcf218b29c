"""``make bench``: what is slower than it must be, measured in one run.

``python -m tests.benchmarks [engine] [models] [promotion] [projects] [templates]``; all of them
without arguments.
Times are wall-clock; only the ratios of one run mean anything.
"""

from __future__ import annotations

import sys

from tests.benchmarks import engine, models, projects, promotion, templates

BENCHMARKS = {
    "engine": engine.main,
    "models": models.main,
    "promotion": promotion.main,
    "projects": projects.main,
    "templates": templates.main,
}


def main() -> None:
    """Runs what was asked for.

    Raises:
        SystemExit: There is no such benchmark.
    """
    asked = sys.argv[1:] or list(BENCHMARKS)
    unknown = sorted(set(asked) - set(BENCHMARKS))
    if unknown:
        sys.exit(f"{', '.join(unknown)}: no benchmark; there are: {', '.join(BENCHMARKS)}")
    for name in asked:
        print(f"== {name}", flush=True)
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
