"""What is run and shown for one paper: the types of `workflow/papers/*.yaml`.

A paper has variants of its own (networks to be trained), or points at those of another one: a
row of a table names a run and a ranking of its features, so that nothing is trained twice. A
ranking is a re-ranker of the scale's configuration, or a point of one of the paper's sweeps: many
settings of one re-ranker that are scored together.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from reid_repro.checking import NAME, PLAIN_NAME, Scale, Strict
from reid_repro.methods import Options, OptionValue, Positive, ReRankerConfig

METRIC = r"^(mAP|R[1-9]\d?)$"
VARIANT = r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$"

Name = Annotated[str, Field(pattern=NAME)]
PlainName = Annotated[str, Field(pattern=PLAIN_NAME)]
Metric = Annotated[str, Field(pattern=METRIC)]
VariantName = Annotated[str, Field(pattern=VARIANT)]  # PAPER/VARIANT
SimulatedSize = Literal[
    "small", "market", "veri", "wild", "oxford", "paris", "university", "glad"
]  # of reid_repro.retrieval.simulation


class Overlay(Strict):
    """What is laid over the options of a network and its training."""

    model: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)


class VariantConfig(Overlay):
    """One variant of a paper's network: what differs from the paper's own options.

    `scales` lays a scale's over these. `source` says where the paper describes it. An `ablation` is
    planned under `ablations: all` only. `places` says which part boxes or joints a network that
    needs some is given: those that are detected, or the true ones, which rendered sets know.
    """

    title: str
    source: str = ""
    ablation: bool = False
    places: Literal["detected", "truth"] = "detected"
    scales: dict[Scale, Overlay] = Field(default_factory=dict)


class PointConfig(Strict):
    """One setting of a sweep; `scales` lays a scale's own options over `options`."""

    title: str
    options: Options = Field(default_factory=dict)
    scales: dict[Scale, Options] = Field(default_factory=dict)


class SweepConfig(Strict):
    """Settings of one re-ranker: each point changes options of `base`, a re-ranker of the scale.

    Either `points` are named one by one, or `vary` gives one option its values at each scale; these
    points are called `{option}_{value}`.
    """

    base: PlainName
    options: Options = Field(default_factory=dict)
    points: dict[PlainName, PointConfig] = Field(default_factory=dict)
    vary: dict[str, dict[Scale, tuple[OptionValue, ...]]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way_to_name_points(self) -> SweepConfig:
        if bool(self.points) == bool(self.vary) or len(self.vary) > 1:
            raise ValueError("a sweep has either 'points', or 'vary' with one option")
        return self


class RowConfig(Strict):
    """A row of a table: a ranking (RERANKER, SWEEP.POINT, or SWEEP for all its points)."""

    ranking: str = "none"
    title: str = ""
    run: VariantName | None = None


class TableConfig(Strict):
    """A table of accuracy: a group of rows a dataset, a column a metric.

    Without `rows` it shows every variant of the paper with every one of its re-rankers; with them,
    the rankings that they name, of the features of `run` or of their own run.
    """

    title: str
    caption: str = ""
    metrics: tuple[Metric, ...] = ("mAP", "R1", "R5", "R10")
    run: VariantName | None = None
    rows: tuple[RowConfig, ...] = ()


class SweepFigureConfig(Strict):
    """A panel a sweep over one option, a line a dataset."""

    title: str
    caption: str = ""
    metric: Metric = "mAP"
    run: VariantName
    sweeps: tuple[PlainName, ...] = Field(min_length=1)


class ReRankingTiming(Strict):
    """Time to re-rank simulated features of printed sizes.

    `settings` holds what differs at a size: size -> method -> options; `only`, the sizes of methods
    that are not timed at all of them.
    """

    measure: Literal["reranking"]
    sizes: tuple[SimulatedSize, ...] = Field(min_length=1)
    methods: dict[PlainName, ReRankerConfig]
    settings: dict[SimulatedSize, dict[str, Options]] = Field(default_factory=dict)
    only: dict[str, tuple[SimulatedSize, ...]] = Field(default_factory=dict)


class GroupsPoint(Strict):
    """A gallery in `groups` groups (null: one an image), in `dim` dimensions (null: all)."""

    groups: Positive | None = None
    dim: Positive | None = None


class GroupsTiming(Strict):
    """Time of one coarse-to-fine query on simulated features of a printed size."""

    measure: Literal["groups"]
    size: SimulatedSize
    returned: Positive = 100
    queries: Positive = 50
    points: dict[PlainName, GroupsPoint]


TimingConfig = Annotated[ReRankingTiming | GroupsTiming, Field(discriminator="measure")]


class Printed(Strict):
    """A time as a paper prints it, in seconds, and the platform it names."""

    seconds: float = Field(gt=0)
    platform: str = "CPU"


class TimeRowConfig(Strict):
    """A row of a table of times: a method or point of the timing, beside what the paper prints.

    `printed` maps a column (a size, a phase, `total`) to its printed time.
    """

    of: PlainName
    title: str
    platform: Literal["CPU", "GPU"] = "CPU"
    printed: dict[str, Printed] = Field(default_factory=dict)


class TimeTableConfig(Strict):
    """A table of times at the printed sizes, on simulated features.

    `columns` says what they are: the `sizes` of the timing, the `phases` of one size (`first` lists
    the phases that the paper counts as its first one), or what one query spends (`query`).
    """

    title: str
    caption: str = ""
    printed_on: str = ""
    timing: PlainName
    columns: Literal["sizes", "phases", "query"] = "sizes"
    size: SimulatedSize | None = None
    first: tuple[str, ...] = ()
    rows: tuple[TimeRowConfig, ...] = Field(min_length=1)


class PaperConfig(Overlay):
    """What is run and shown for one paper.

    `model` and `training` hold for all its variants at every scale, `scales` at one.
    """

    title: str
    summary: str
    datasets: dict[Scale, tuple[str, ...]]
    scales: dict[Scale, Overlay] = Field(default_factory=dict)
    variants: dict[Name, VariantConfig] = Field(default_factory=dict)
    rerankers: tuple[str, ...] = ("none",)
    sweeps: dict[PlainName, SweepConfig] = Field(default_factory=dict)
    tables: dict[Name, TableConfig] = Field(default_factory=dict)
    figures: dict[Name, SweepFigureConfig] = Field(default_factory=dict)
    timings: dict[PlainName, TimingConfig] = Field(default_factory=dict)
    time_tables: dict[Name, TimeTableConfig] = Field(default_factory=dict)

    @property
    def pointed(self) -> tuple[str, ...]:
        """The runs (PAPER/VARIANT) that rows and figures point at, each once."""
        named = [run for t in self.tables.values() for run in (t.run, *(r.run for r in t.rows))]
        named += [figure.run for figure in self.figures.values()]
        return tuple(dict.fromkeys(run for run in named if run))
