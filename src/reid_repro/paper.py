"""What is run and shown for one paper: the types of `workflow/papers/*.yaml`.

A paper has variants of its own (networks to be trained), or points at those of another one: a
row of a table names a run and a ranking of its features, so that nothing is trained twice. A
ranking is a re-ranker of the scale's configuration, or a point of one of the paper's sweeps: many
settings of one re-ranker that are scored together.

`printed` names the table or figure in print that a table answers, `label` the printed row or rows
that a row answers (docs/experiments.md).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from reid_repro.checking import NAME, PLAIN_NAME, Scale, Strict
from reid_repro.methods import Options, OptionValue, Positive, ReRankerConfig

METRIC = r"^(mAP|R[1-9]\d?)$"
VARIANT = r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$"

Name = Annotated[str, Field(pattern=NAME)]
PlainName = Annotated[str, Field(pattern=PLAIN_NAME)]
Metric = Annotated[str, Field(pattern=METRIC)]
VariantName = Annotated[str, Field(pattern=VARIANT)]  # PAPER/VARIANT
Labels = Annotated[
    tuple[str, ...],
    BeforeValidator(
        lambda v: (v,) if isinstance(v, str) else v, json_schema_input_type=str | tuple[str, ...]
    ),
]
Text = Annotated[
    str,
    BeforeValidator(
        lambda v: f"{v}" if isinstance(v, int | float) else v,
        json_schema_input_type=str | int | float,
    ),
]
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
    not planned under `ablations: default`. `places` says which part boxes or joints a network that
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
    """A row of a table: a ranking (RERANKER, SWEEP.POINT, or SWEEP for all its points).

    `label` is the printed row that it answers, or several of them.
    """

    ranking: str = "none"
    title: str = ""
    run: VariantName | None = None
    label: Labels = ()


class TableConfig(Strict):
    """A table of accuracy: a group of rows a dataset, a column a metric.

    Without `rows` it shows every variant of the paper with every one of its re-rankers; with them,
    the rankings that they name, of the features of `run` or of their own run. `datasets` are those
    of the paper scale that it shows, all if empty. `scales` are those at which it is shown, all if
    empty: where one dataset stands in for many, tables that differ in nothing else are the same.
    """

    title: str
    caption: str = ""
    printed: Labels = ()
    datasets: tuple[Name, ...] = ()
    scales: tuple[Scale, ...] = ()
    metrics: tuple[Metric, ...] = ("mAP", "R1", "R5", "R10")
    run: VariantName | None = None
    rows: tuple[RowConfig, ...] = ()


class SweepFigureConfig(Strict):
    """A panel a sweep over one option, a line a dataset; `datasets` as in a table."""

    title: str
    caption: str = ""
    printed: Labels = ()
    datasets: tuple[Name, ...] = ()
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

    `printed` maps a column (a size, a phase, `total`) to its printed time; `label` is the printed
    row.
    """

    of: PlainName
    title: str
    platform: Literal["CPU", "GPU"] = "CPU"
    label: Labels = ()
    printed: dict[str, Printed] = Field(default_factory=dict)


class TimeTableConfig(Strict):
    """A table of times at the printed sizes, on simulated features.

    `columns` says what they are: the `sizes` of the timing (and with `mean` their mean), the
    `phases` of one size (`first` lists the phases that the paper counts as its first one), or what
    one query spends (`query`).
    """

    title: str
    caption: str = ""
    printed: Labels = ()
    printed_on: str = ""
    timing: PlainName
    columns: Literal["sizes", "phases", "query"] = "sizes"
    size: SimulatedSize | None = None
    first: tuple[str, ...] = ()
    mean: bool = False
    rows: tuple[TimeRowConfig, ...] = Field(min_length=1)


class CostRowConfig(Strict):
    """A network whose size and speed a paper prints, and the printed row."""

    run: VariantName
    title: str = ""
    label: Labels = ()


class CostTableConfig(Strict):
    """A table of parameters, multiply-accumulates and inference time (SSR-Net, Table 7).

    Measured on networks with the paper scale's options at every scale: nothing is trained for it.
    """

    title: str
    caption: str = ""
    printed: Labels = ()
    rows: tuple[CostRowConfig, ...] = Field(min_length=1)


class PointsConfig(Strict):
    """Points of a figure in print, by the keys that claims ask for: `f(figure, *key)`.

    In `key` the word `metric` stands for each of `metrics`, and `point` for each of `values`: those
    of the one option that the sweep `ranking` varies. `of` is the value that the paper itself
    settles on; another scale, whose sets are smaller, answers with its own value of the same ratio
    to what it settles on. `dataset` and `split` are the printed ones.
    """

    figure: str
    key: tuple[Text, ...] = Field(min_length=1)
    run: VariantName
    ranking: str = "none"
    dataset: str
    split: str = "test"
    metrics: tuple[Metric, ...] = ("mAP", "R1")
    values: tuple[int | float, ...] = ()
    of: int | float | None = None

    @model_validator(mode="after")
    def _values_are_of_a_sweep(self) -> PointsConfig:
        if ("point" in self.key) != bool(self.values) or bool(self.values) != bool(self.of):
            raise ValueError("'point' in the key, 'values' and 'of' go together")
        if self.values and self.of not in self.values:
            raise ValueError(f"of: {self.of} is none of the values")
        return self


class NotRunConfig(Strict):
    """Printed rows that this project does not measure at all, and why.

    `code` is the reason in the words of the verdicts.
    """

    printed: Labels = Field(min_length=1)
    label: Labels = Field(min_length=1)
    code: Literal["not_implemented", "no_weights", "no_data", "unspecified"]
    reason: str


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
    cost_tables: dict[Name, CostTableConfig] = Field(default_factory=dict)
    points: tuple[PointsConfig, ...] = ()
    not_run: tuple[NotRunConfig, ...] = ()

    @property
    def of_rankings(self) -> dict[str, TableConfig | SweepFigureConfig]:
        """The tables and figures that rankings fill, in the order of the file."""
        return {**self.tables, **self.figures}

    @property
    def pointed(self) -> tuple[str, ...]:
        """The runs (PAPER/VARIANT) that rows, figures and points name, each once."""
        named = [run for t in self.tables.values() for run in (t.run, *(r.run for r in t.rows))]
        named += [figure.run for figure in self.figures.values()]
        named += [row.run for table in self.cost_tables.values() for row in table.rows]
        named += [points.run for points in self.points]
        return tuple(dict.fromkeys(run for run in named if run))
