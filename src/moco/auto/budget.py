"""The time that a person has, and what of it goes to what."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from moco.errors import MocoError

DEFAULT = {"cpu": 30 * 60.0, "cuda": 2 * 3600.0}
"""Seconds of a run for which no time is given, by the kind of device."""

LEAST = 60.0
"""Seconds below which nothing is learnt that is worth a run: the choices alone take as long."""

MOST = 365 * 86400.0
"""Seconds above which a number is taken for a mistake."""

SEARCH = 0.12
"""Share of the budget that the choice of views takes at most."""

CLOSING = 10.0
"""Seconds that are kept for what is made before the first step, the last measurements and the report."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Budget:
    """So many seconds from start to end."""

    seconds: float
    given: bool
    """Whether the user said so; if not, it is the default."""

    @property
    def search(self) -> float:
        """Seconds for the choice of views, at most."""
        return SEARCH * self.seconds

    def left(self, spent: float) -> float:
        """Seconds for the training, once so many have gone by since the start."""
        return max(1.0, self.seconds - CLOSING - spent)


def budget(text: str | None, device: str) -> Budget:
    """What `--time` names, or the default of this kind of device; raises MocoError where it makes no sense."""
    if text is None:
        return Budget(DEFAULT.get(device, DEFAULT["cuda"]), given=False)
    return Budget(seconds_of(text), given=True)


def seconds_of(text: str) -> float:
    """The seconds that a run may take in all; raises MocoError for what is no time or no sensible one."""
    seconds = duration("--time", text)
    if seconds < LEAST:
        raise MocoError(f"--time {text}: too short to learn anything; give {words(LEAST)} or more (5m is a fair start)")
    if seconds > MOST:
        raise MocoError(
            f"--time {text}: more than a year; give less, or the length of the run with --epochs or --steps"
        )
    return seconds


def duration(flag: str, text: str) -> float:
    """The seconds in `90s`, `20m`, `2h`, `1h30m` or `3d`; raises MocoError for what is no time."""
    parts = re.fullmatch(r"(?:(?:\d+(?:\.\d+)?)[smhd])+", text.strip().lower())
    if parts is None:
        raise MocoError(f"{flag} {text}: give a number with its unit, as in 90s, 20m, 2h, 1h30m or 3d")
    return sum(float(n) * _UNITS[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)([smhd])", parts[0]))


def words(seconds: float) -> str:
    """A time for people: "90 s", "20 min", "2.5 h", "4 days"."""
    if seconds < 150:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h".replace(".0 h", " h")
    return f"{seconds / 86400:.1f} days".replace(".0 days", " days")


def until(seconds: float) -> str:
    """When so many seconds from now are over, by the clock here: "29 November, 17:05"."""
    return f"{datetime.datetime.now().astimezone() + datetime.timedelta(seconds=seconds):%d %B, %H:%M}"
