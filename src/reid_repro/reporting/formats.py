"""How numbers are written in the report. All functions take what the results files hold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

MISSING = "\N{EN DASH}"


def percent(share: float | None) -> str:
    """0.6134 -> '61.3'; the unit stands in the column's head."""
    if share is None or not math.isfinite(share):
        return MISSING
    return f"{100 * share:.1f}"


def interval(low: float | None, high: float | None) -> str:
    """(0.58, 0.645) -> '58.0-64.5', with an en dash."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return MISSING
    return f"{percent(low)}\N{EN DASH}{percent(high)}"


def level(share: float) -> str:
    """0.95 -> '95 %', with a space that does not break."""
    return f"{100 * share:g}\N{NO-BREAK SPACE}%"


def duration(seconds: float | None) -> str:
    """Seconds as '412 ms', '8.3 s', '4 min 12 s' or '2 h 05 min'."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 0.9995:
        return f"{1000 * seconds:.0f}\N{NO-BREAK SPACE}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}\N{NO-BREAK SPACE}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}\N{NO-BREAK SPACE}min {whole % 60:02d}\N{NO-BREAK SPACE}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}\N{NO-BREAK SPACE}h {minutes % 60:02d}\N{NO-BREAK SPACE}min"


def short_time(seconds: float | None) -> str:
    """Seconds with two or three digits, as '3.40 ms', '412 ms', '8.35 s' or '135 s'."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    value, unit = (seconds, "s") if seconds >= 0.9995 else (1000 * seconds, "ms")
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f}\N{NO-BREAK SPACE}{unit}"


def printed_time(seconds: float) -> str:
    """A time with the digits that a paper prints, as '3.8 ms' or '135.9 s'."""
    value, unit = (seconds, "s") if seconds >= 1 else (1000 * seconds, "ms")
    return f"{value:.4g}\N{NO-BREAK SPACE}{unit}"


def memory(mebibytes: float | None) -> str:
    """MiB as '812 MiB' or '1.4 GiB'."""
    if mebibytes is None or not math.isfinite(mebibytes):
        return MISSING
    if mebibytes < 1000:
        return f"{mebibytes:.0f}\N{NO-BREAK SPACE}MiB"
    return f"{mebibytes / 1024:.1f}\N{NO-BREAK SPACE}GiB"


def count(number: float | None) -> str:
    """12936 -> '12,936'."""
    return MISSING if number is None else f"{number:,.0f}"


def millions(number: float | None) -> str:
    """1234567 -> '1.23 M'."""
    return MISSING if number is None else f"{number / 1e6:.2f}\N{NO-BREAK SPACE}M"


def day(stamp: str | None) -> str:
    """An ISO time as '2025-03-01 14:05 UTC'; what is no time is given back as it is."""
    if not stamp:
        return MISSING
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def commit(value: str | None, dirty: bool | None) -> str:
    """The first ten digits, and whether files differed from the commit."""
    if not value:
        return "not in a git checkout"
    return value[:10] + (" + uncommitted changes" if dirty else "")


def seeds(values: Iterable[int | str]) -> str:
    """'seed 0' or 'seeds 0, 1, 2'."""
    listed = [str(value) for value in values]
    return f"seed{'s' if len(listed) > 1 else ''} {', '.join(listed)}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """'1 run', '3 runs', '2 identities'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """A reason as a sentence: a capital and a full stop, unless it begins with a symbol."""
    first = text.partition(" ")[0].rstrip(",;:")
    if first.isalpha() and first.islower() and len(first) > 1:
        text = text[0].upper() + text[1:]
    return text if not text or text.endswith((".", "?", "!")) else f"{text}."
