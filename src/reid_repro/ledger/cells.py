"""A printed cell, and what is measured here in its place.

A cell is named by the words that the paper prints: table, row, dataset, split and metric. Its
source says where this project finds the same quantity: a ranking of a run's features, a time, the
size of a network, a measure of a figure, or nothing and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

SourceKind = Literal["ranking", "time", "complexity", "measure", "none"]


class CellKey(NamedTuple):
    """A printed cell, in the printed words; `dataset` and `split` are empty where none is named."""

    table: str
    row: str
    dataset: str
    split: str
    metric: str


@dataclass(frozen=True)
class CellSource:
    """Where a printed quantity is measured here.

    `ours * factor` is in the printed unit. With `stand_in` the dataset is another one than the
    printed one. `reason` says why there is no source, or why it is not planned under this
    configuration, `code` says so in the vocabulary of the verdicts (not_run, other_scale,
    no_weights, not_implemented, ...), and `command` is what would make it. A `none` without a
    reason is a gap: nothing in workflow/papers answers the cell.
    """

    kind: SourceKind
    table: str = ""  # the table or figure of workflow/papers that shows it
    run: str = ""  # PAPER/VARIANT
    ranking: str = ""  # RERANKER, or SWEEP.POINT of this paper's sweeps
    dataset: str = ""
    subset: str = ""
    metric: str = ""  # mAP, R1, ..., params, flops, infer_s_per_img, group_number
    timing: str = ""
    time_table: str = ""
    time_row: int = -1
    column: str = ""  # of the time table: a size, mean, a phase, single; groups: its field
    factor: float = 1.0
    stand_in: bool = False
    reason: str = ""
    command: str = ""
    code: str = ""

    @property
    def planned(self) -> bool:
        """Whether the quantity is measured under this configuration."""
        return self.kind != "none" and not self.reason
