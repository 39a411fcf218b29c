"""When the rules of EventBridge that have a schedule are due.

Source: EventBridge user guide, "Schedule types": ``rate(value unit)`` counts from when the rule was
made, ``cron(minutes hours day-of-month month day-of-week year)`` is in UTC.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_UNITS = {"minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minutes", 0, 59, ()),
    ("hours", 0, 23, ()),
    ("day-of-month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day-of-week", 1, 7, _DAYS),
    ("year", 1970, 2199, ()),
)
_EITHER = ("day-of-month", "day-of-week")
_PART = re.compile(r"(\*|[0-9A-Z]+)(?:-([0-9A-Z]+))?(?:/(\d+))?")
_TICK_SECONDS = 1.0


class ScheduleError(ValueError):
    """An expression is none; the message says why."""


class NotServedError(ScheduleError):
    """An expression is right, but the local cloud cannot follow it."""


@dataclass(frozen=True)
class Rate:
    """Every so many seconds."""

    seconds: int

    def due(self, since: dt.datetime, after: dt.datetime, until: dt.datetime) -> bool:
        """Whether one of its times lies after one moment and not after another.

        Args:
            since: When the rule was first seen.
            after: Begin of the span, not part of it.
            until: End of the span.
        """
        count = int((until - since).total_seconds() // self.seconds)
        return count > 0 and since + dt.timedelta(seconds=count * self.seconds) > after


@dataclass(frozen=True)
class Cron:
    """At each minute whose fields are all among these."""

    fields: tuple[frozenset[int], ...]

    def matches(self, moment: dt.datetime) -> bool:
        """Whether it is due at a minute."""
        weekday = moment.isoweekday() % 7 + 1
        values = (
            moment.minute, moment.hour, moment.day, moment.month, weekday, moment.year,
        )  # fmt: skip
        return all(value in kept for value, kept in zip(values, self.fields, strict=True))

    def due(self, since: dt.datetime, after: dt.datetime, until: dt.datetime) -> bool:
        """Whether one of its minutes begins in a span; see :meth:`Rate.due`."""
        del since
        moment = after.replace(second=0, microsecond=0) + dt.timedelta(minutes=1)
        while moment <= until:
            if self.matches(moment):
                return True
            moment += dt.timedelta(minutes=1)
        return False


def parse(expression: str) -> Rate | Cron:
    """A schedule of its expression.

    Raises:
        ScheduleError: It is none.
        NotServedError: It uses ``L``, ``W`` or ``#``.
    """
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)(s?)\)", expression)
    if rate:
        value, plural = int(rate[1]), bool(rate[3])
        # Source: the same page: a value of 1 has a singular unit, others a plural one.
        if not value or plural == (value == 1):
            raise ScheduleError(f"{expression}: expected such as rate(1 day) or rate(2 days)")
        return Rate(value * _UNITS[rate[2]])
    cron = re.fullmatch(r"cron\((.+)\)", expression)
    parts = cron[1].split() if cron else []
    if len(parts) != len(_FIELDS):
        raise ScheduleError(f"{expression}: expected rate(value unit) or cron with six fields")
    if (parts[2] == "?") == (parts[4] == "?"):
        raise ScheduleError(f"{expression}: one of day-of-month and day-of-week is ?, not both")
    return Cron(
        tuple(
            frozenset(
                range(low, high + 1)
                if part == "?" and name in _EITHER
                else _values(part, name, low, high, words)
            )
            for part, (name, low, high, words) in zip(parts, _FIELDS, strict=True)
        )
    )


def _values(part: str, name: str, low: int, high: int, words: tuple[str, ...]) -> set[int]:
    found: set[int] = set()
    for item in part.split(","):
        if re.search(r"[#?]|L$|W$|^L|\dL|\dW", item) and item not in words:
            if item == "?":
                raise ScheduleError(f"{name}: ? stands only for day-of-month or day-of-week")
            raise NotServedError(f"{name}: the local cloud has no {item} in schedules")
        match = _PART.fullmatch(item)
        if not match:
            raise ScheduleError(f"{name}: {item!r} is no value, range or step")
        first, last, step = match.groups()
        start = low if first == "*" else _number(first, name, words)
        end = _number(last, name, words) if last else (high if first == "*" or step else start)
        if not (low <= start <= end <= high) or step == "0":
            raise ScheduleError(f"{name}: {item} is not within {low} to {high}")
        found |= set(range(start, end + 1, int(step or 1)))
    return found


def _number(text: str, name: str, words: tuple[str, ...]) -> int:
    if text.isdigit():
        return int(text)
    if text in words:
        return words.index(text) + 1
    raise ScheduleError(f"{name}: {text} is no value")


@dataclass
class Clock:
    """Fires what is due, while it runs.

    Attributes:
        expressions: ``expressions()`` gives each enabled rule's ARN and schedule.
        fire: ``fire(arn)`` sends a rule's event to its targets.
        stopping: Set when the emulator ends.
    """

    expressions: Callable[[], Mapping[str, str]]
    fire: Callable[[str], None]
    stopping: threading.Event
    _since: dict[tuple[str, str], dt.datetime] = field(
        default_factory=dict[tuple[str, str], dt.datetime]
    )
    _last: dt.datetime | None = None

    def start(self) -> None:
        """Looks every second, in a thread of its own."""
        threading.Thread(target=self._run, daemon=True, name="schedules").start()

    def _run(self) -> None:
        while not self.stopping.wait(_TICK_SECONDS):
            self.tick(dt.datetime.now(dt.UTC))

    def tick(self, moment: dt.datetime) -> None:
        """Fires what became due since the last time."""
        last, self._last = self._last or moment, moment
        known = dict(self.expressions())
        self._since = {key: self._since.get(key, moment) for key in known.items()}
        for key, since in list(self._since.items()):
            if parse(key[1]).due(since, last, moment):
                self.fire(key[0])
