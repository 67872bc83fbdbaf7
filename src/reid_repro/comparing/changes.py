"""What became of each ranking: better, worse, the same, or not to be compared, and why.

Where both sides hold the values of the same queries, the difference is tested in pairs
(`ledger.tests_of_difference`). Hundreds are tested at once to find those that moved, so that the
share of false findings is controlled (Benjamini & Hochberg 1995). Where queries differ, intervals
that do not overlap part the sides; without intervals, only a difference beyond the band
that verdicts take for the noise of training does (`workflow/verdicts.yaml`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from scipy.stats import false_discovery_control

from reid_repro.comparing.rankings import Key, Rankings, Scored, values
from reid_repro.ledger.tests_of_difference import paired_difference
from reid_repro.verdict_settings import VerdictSettings

Outcome = Literal["improved", "worse", "same", "not comparable"]
Basis = Literal["paired test", "intervals", "band", "equal", "verdict", ""]
OUTCOMES: Final[tuple[Outcome, ...]] = ("improved", "worse", "not comparable", "same")

# Facts of metrics files and run.json that have to be equal -> what they are called.
OF_DATA: Final = {
    "scale": "scale",
    "data_hash": "data",
    "protocol": "protocol",
    "trials": "trials",
    "n_query": "queries",
    "n_gallery": "gallery",
}
OF_SETTINGS: Final = {
    "method": "re-ranker",
    "options": "options of the re-ranker",
    "model": "network",
    "training": "training settings",
}

# Settings of a training that say how it is run, not what comes out.
MACHINE: Final = frozenset({"devices", "workers"})


@dataclass(frozen=True)
class Change:
    """One quantity on both sides; `low` and `high` are the ends of the difference's interval."""

    item: str  # what is compared: a ranking, a claim, a printed cell
    metric: str
    before: float | str | None
    after: float | str | None
    outcome: Outcome
    basis: Basis = ""
    p: float | None = None  # corrected for the number of tests
    reason: str = ""

    @property
    def difference(self) -> float | None:
        """After minus before, of numbers."""
        if isinstance(self.before, float) and isinstance(self.after, float):
            return self.after - self.before
        return None

    @property
    def ratio(self) -> float | None:
        """After over before, of numbers."""
        if isinstance(self.before, float) and isinstance(self.after, float) and self.before:
            return self.after / self.before
        return None

    @property
    def significant(self) -> bool:
        """Whether the two sides differ by more than the noise."""
        return self.outcome in ("improved", "worse")


def ranking_changes(
    before: Rankings,
    after: Rankings,
    metrics: Sequence[str],
    settings: VerdictSettings,
    *,
    across_settings: bool = False,
) -> list[Change]:
    """One change a ranking and metric, in the order of their names; p-values are corrected.

    With `across_settings`, other settings of network, training or re-ranker are a note and no
    reason against comparing.
    """
    found = [
        _change(key, metric, before, after, settings, across_settings)
        for key in sorted({*before.found, *after.found})
        for metric in metrics
    ]
    tested = [place for place, change in enumerate(found) if change.p is not None]
    corrected = false_discovery_control([found[place].p for place in tested]) if tested else []
    for place, p in zip(tested, corrected, strict=True):
        change = found[place]
        outcome = change.outcome if p < settings.claims.alpha else "same"
        found[place] = replace(change, p=float(p), outcome=outcome)
    return found


def other_data(before: Scored, after: Scored) -> str:
    """Why two results were measured on different things; empty where they were not."""
    return _first_difference(before, after, OF_DATA)


def other_settings(before: Scored, after: Scored) -> str:
    """The first setting that differs, of what both sides know; empty where none does."""
    return _first_difference(before, after, OF_SETTINGS)


def _first_difference(before: Scored, after: Scored, names: Mapping[str, str]) -> str:
    for key, name in names.items():
        first, second = (_known(side, key) for side in (before, after))
        if first is not None and second is not None and first != second:
            return f"other {name}: {_shown(key, first, second)}"
    return ""


def _known(side: Scored, key: str) -> Any:
    """A fact of a ranking or its run; of the training, without what changes no weights."""
    value = side.facts.get(key, side.run.get(key))
    if key == "training" and isinstance(value, Mapping):
        return {name: given for name, given in value.items() if name not in MACHINE}
    return value


def _change(
    key: Key,
    metric: str,
    before: Rankings,
    after: Rankings,
    settings: VerdictSettings,
    across_settings: bool,
) -> Change:
    first, second = (side.found.get(key, {}) for side in (before, after))
    item = str(key)
    seeds = sorted(set(first) & set(second))
    if not seeds:
        return _alone(item, metric, first, second)
    pairs = [(first[seed], second[seed]) for seed in seeds]
    a, b = (_mean([pair[side].value(metric) for pair in pairs]) for side in (0, 1))
    reason = next(filter(None, (other_data(*pair) for pair in pairs)), "")
    changed = next(filter(None, (other_settings(*pair) for pair in pairs)), "")
    if not across_settings:
        reason = reason or changed
    if not reason and (a is None or b is None):
        reason = f"the file does not reach {metric}"
    if reason or a is None or b is None:
        return Change(item, metric, a, b, "not comparable", reason=reason)
    if set(first) != set(second):
        changed = f"over the common seeds {_listed(seeds)}{'; ' if changed else ''}{changed}"
    change = Change(item, metric, a, b, _direction(b - a), reason=changed)
    if a == b:
        return replace(change, basis="equal")
    tested = _paired(key, metric, pairs, settings)
    if tested is not None:
        return replace(change, basis="paired test", p=tested)
    ends = [side.intervals.get((key, metric)) for side in (before, after)]
    if ends[0] and ends[1]:
        apart = ends[0][1] < ends[1][0] or ends[1][1] < ends[0][0]
        return replace(change, basis="intervals", outcome=change.outcome if apart else "same")
    apart = 100 * abs(b - a) > settings.values.band.of(metric)
    return replace(change, basis="band", outcome=change.outcome if apart else "same")


def _alone(
    item: str, metric: str, first: Mapping[int, Scored], second: Mapping[int, Scored]
) -> Change:
    """A ranking without a seed that both sides have."""
    a, b = (_mean([one.value(metric) for one in side.values()]) for side in (first, second))
    if first and second:
        reason = f"other seeds: {_listed(first)} and {_listed(second)}"
    else:
        reason = "missing after" if first else "missing before"
    return Change(item, metric, a, b, "not comparable", reason=reason)


def _paired(
    key: Key, metric: str, pairs: Sequence[tuple[Scored, Scored]], settings: VerdictSettings
) -> float | None:
    """The p-value of the paired test; None where the same queries are not at hand."""
    frames = [one.per_query for pair in pairs for one in pair]
    if any(frame is None for frame in frames):
        return None
    known = [frame for frame in frames if frame is not None]
    for name in ("query", "identity"):
        if any(not np.array_equal(known[0][name], frame[name]) for frame in known):
            return None
    of_query = np.stack([values(frame, metric) for frame in known])
    return paired_difference(
        of_query[1::2].mean(axis=0),
        of_query[0::2].mean(axis=0),
        known[0]["identity"].to_numpy(),
        resamples=settings.permutations.resamples,
        seed=settings.permutations.seed,
        name=f"{key}|{metric}",
    ).p


def _mean(found: Sequence[float | None]) -> float | None:
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known and len(known) == len(found) else None


def _direction(difference: float) -> Outcome:
    return "improved" if difference > 0 else "worse" if difference < 0 else "same"


def _listed(seeds: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(seeds)))


def _shown(key: str, first: Any, second: Any) -> str:
    """Two values that differ; of settings, the first key that does."""
    if isinstance(first, dict) and isinstance(second, dict):
        name = next(k for k in [*first, *second] if first.get(k) != second.get(k))
        return f"{name} {first.get(name)!r} and {second.get(name)!r}"
    if key == "data_hash":
        first, second = str(first)[:10], str(second)[:10]
    return f"{first} and {second}"
