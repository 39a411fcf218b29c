"""All stacks in order, from a person's shell or from CI: ``python -m automation --help``."""
