"""How the ledger's numbers are written: printed ones as printed, ours with as many digits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reid_repro.reporting import formats

MINUS, THIN, TIMES = "\N{MINUS SIGN}", "\N{NO-BREAK SPACE}", "\N{MULTIPLICATION SIGN}"
HEADS = {
    "params": "Parameters",
    "flops": "FLOPs",
    "infer": "Inference, an image",
    "time": "Time",
    "time_phase1": "Phase 1",
    "time_phase2": "Phase 2",
    "time_total": "Total",
    "group_number": "Groups",
    "dimension": "Dimension",
    "part_number_D": "D",
    "theta": "\N{GREEK SMALL LETTER THETA}",
    "beta": "\N{GREEK SMALL LETTER BETA}",
    "gcn_depth_l": "l",
}
# A metric's name ends with its unit where one column mixes them.
UNITS = {"_ms": "ms", "_s": "s", "_s_per_img": "s"}
COUNTS = {"params": (1e6, "M"), "flops": (1e9, "G")}
COMPARED = ("time", "complexity")  # kinds whose ratio to the printed value is shown


def base_metric(metric: str) -> str:
    """'time_total_ms' -> 'time_total': milliseconds and seconds share a column."""
    return metric.removesuffix(unit_suffix(metric))


def unit_suffix(metric: str) -> str:
    """'_ms', '_s' or '_s_per_img' at the end of a time's name, else ''."""
    return next((s for s in ("_s_per_img", "_ms", "_s") if metric.endswith(s)), "")


def head(base: str) -> str:
    """The head of a column: 'R5' -> 'Rank-5'."""
    if base[:1] == "R" and base[1:].isdecimal():
        return f"Rank-{base[1:]}"
    return HEADS.get(base, base.replace("_", " "))


def printed(record: Mapping[str, Any]) -> str:
    """The printed value as the paper writes it, with its unit where the column has several.

    A blank cell is what stands in it: nothing, 'N/A' or '-'.
    """
    text = str(record["printed"])
    if not text:
        how = str(record["printed_as"])
        return "" if how == "blank" else how
    if record["metric"] in COUNTS or unit_suffix(record["metric"]):
        return _measure(float(text), str(record["metric"]), digits(text, str(record["metric"])))
    return text


def ours(record: Mapping[str, Any]) -> str:
    """Our value in the printed unit with the printed digits, one after the point at least."""
    return _number(float(record["value"]), record)


def interval(record: Mapping[str, Any]) -> str:
    """'58.0-64.5' with an en dash, or nothing where no interval is known."""
    low, high = float(record["low"]), float(record["high"])
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    places = _places(record)
    return f"{low:.{places}f}\N{EN DASH}{high:.{places}f}"


def spread(record: Mapping[str, Any]) -> str:
    """The standard deviation over seeds, or nothing where there was one."""
    sd = float(record["seed_sd"])
    return f"\N{PLUS-MINUS SIGN}{sd:.{_places(record)}f}" if math.isfinite(sd) else ""


def difference(record: Mapping[str, Any]) -> str:
    """Ours less the printed value, in points; of times and sizes the ratio to it."""
    text, value = str(record["printed"]), float(record["value"])
    if not text:
        return ""
    if record["kind"] in COMPARED:
        return f"{TIMES}{THIN}{ratio_of(value / float(text))}" if float(text) else ""
    gap = float(record["difference"])
    gap = value - float(text) if math.isnan(gap) else gap
    return signed(gap, _places(record))


def sort_key(record: Mapping[str, Any]) -> str:
    """The seconds of a printed time, whose unit varies within a column; else nothing."""
    text, metric = str(record["printed"]), str(record["metric"])
    if not text or not unit_suffix(metric):
        return ""
    return f"{float(text) / (1000 if metric.endswith('_ms') else 1):g}"


def signed(number: float, places: int) -> str:
    """'+1.2' or, with a minus sign, '-0.4'; what rounds to zero has no sign."""
    text = f"{abs(number):.{places}f}"
    if not float(text):
        return text
    return f"{'+' if number > 0 else MINUS}{text}"


def ratio_of(ratio: float) -> str:
    """A ratio with two or three digits: '0.67', '1.91', '31.0', '310'."""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"


def digits(text: str, metric: str) -> int:
    """Significant digits of a printed number that is shown with a unit."""
    mantissa = text.lower().partition("e")[0].replace(".", "").lstrip("0")
    return max(2, len(mantissa)) if metric in COUNTS or unit_suffix(metric) else len(mantissa)


def _number(value: float, record: Mapping[str, Any]) -> str:
    metric = str(record["metric"])
    if metric in COUNTS or unit_suffix(metric):
        return _measure(value, metric, 3)
    if metric == "group_number":
        return formats.count(value)
    return f"{value:.{_places(record)}f}"


def _measure(value: float, metric: str, significant: int) -> str:
    """A count in millions or billions, a time in ms or s, to so many digits."""
    if metric in COUNTS:
        size, unit = COUNTS[metric]
        return f"{_significant(value / size, significant)}{THIN}{unit}"
    seconds = value / 1000 if metric.endswith("_ms") else value
    shown, unit = (seconds, "s") if seconds >= 0.9995 else (1000 * seconds, "ms")  # as rounded
    return f"{_significant(shown, significant)}{THIN}{unit}"


def _significant(value: float, figures: int) -> str:
    if not value or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, figures - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{places}f}"


def _places(record: Mapping[str, Any]) -> int:
    """Digits after the point of the printed value; shares have one at least."""
    _, _, after = str(record["printed"]).partition(".")
    return max(1, len(after)) if after.isdecimal() or not after else 1
