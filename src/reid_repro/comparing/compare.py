"""Two results side by side: rankings, claims and printed cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reid_repro import verdict_settings
from reid_repro.comparing.changes import ranking_changes
from reid_repro.comparing.output import Comparison
from reid_repro.comparing.rankings import read_rankings
from reid_repro.comparing.sides import open_side
from reid_repro.comparing.verdicts import cell_changes, claim_changes


def compare(
    before: str,
    after: str,
    metrics: Sequence[str] = ("mAP", "R1"),
    *,
    across_settings: bool = False,
    repository: Path = Path(),
) -> Comparison:
    """Everything that both sides, or one of them, hold.

    A side is a results folder, a folder that holds one, or a git revision of `repository`. The
    thresholds are those of `workflow/verdicts.yaml`. Raises UserError for a side that is neither,
    and for a damaged file in it.
    """
    settings = verdict_settings.read()
    sides = [open_side(spec, repository) for spec in (before, after)]
    first, second = (read_rankings(side) for side in sides)
    return Comparison(
        before=sides[0].name,
        after=sides[1].name,
        rankings=tuple(
            ranking_changes(first, second, metrics, settings, across_settings=across_settings)
        ),
        claims=tuple(claim_changes(*sides)),
        cells=tuple(cell_changes(*sides)),
    )
