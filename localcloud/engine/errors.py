"""The one error of the engine package that callers catch."""


class EngineError(Exception):
    """No usable engine; the message says what was found, where, and what to install."""
