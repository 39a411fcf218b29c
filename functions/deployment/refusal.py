"""What the gate says no with."""


class Refusal(Exception):  # noqa: N818 - an outcome that people read, not a failure of the code
    """A version may not be deployed as it is; the message tells why and what to do."""
