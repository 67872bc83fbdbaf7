"""From the files in workflow/ and the user's overrides to the runs that have to be made.

One run (`{paper}/{variant}/{dataset}/seed{n}`) is trained once and serves every table that
shows it. The Snakefile asks this module what there is to do; the command line asks it what a
run's settings are. Neither torch nor snakemake is imported here.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from reid_repro import references, shown
from reid_repro.benchmarks import Benchmarks
from reid_repro.config import (
    NAME,
    Config,
    DatasetConfig,
    DatasetFile,
    PaperConfig,
    RenderedDataset,
    checked,
    merge,
    read_yaml,
)
from reid_repro.dataset_config import FeatureFiles
from reid_repro.detectors import Kind, RenderedSource
from reid_repro.errors import UserError
from reid_repro.networks import needs
from reid_repro.runs import ResolvedRun, Run, resolve

__all__ = ["NAME", "Plan", "ResolvedRun", "Run", "load"]

WORKFLOW = Path("workflow")


@dataclass(frozen=True)
class Plan:
    """A checked configuration and what follows from it."""

    config: Config
    papers: Mapping[str, PaperConfig]
    overrides: Mapping[str, Any]
    workflow: Path = WORKFLOW

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Every run of every paper, each once, in a fixed order."""
        runs = (run for paper in self.config.papers for run in self.runs_of(paper))
        return tuple(dict.fromkeys(runs))

    def runs_of(self, paper: str) -> tuple[Run, ...]:
        """The runs behind one paper's pages: its own variants, then those its rows point at."""
        settings = self.papers[paper]
        names = [f"{paper}/{variant}" for variant in settings.variants]
        found: list[Run] = []
        for name in [*names, *settings.pointed]:
            other, variant = name.split("/")
            found += self.runs_of_variant(other, variant, self.datasets_of(paper))
        return tuple(dict.fromkeys(found))

    def runs_of_variant(self, paper: str, variant: str, datasets: Iterable[str]) -> list[Run]:
        """The planned runs of one variant: one a dataset and seed."""
        return [
            Run(paper, variant, dataset, seed)
            for dataset in datasets
            if not self.left_out(paper, variant, dataset)
            for seed in self.config.seeds
        ]

    def variants_on(self, paper: str, dataset: str) -> list[str]:
        """The variants of a paper that are trained on a dataset."""
        return [
            name
            for name in self.papers[paper].variants
            if not self.left_out(paper, name, dataset)
            and not self.features_of(Run(paper, name, dataset, 0))
        ]

    def left_out(self, paper: str, variant: str, dataset: str) -> str:
        """Why a variant is not planned on a dataset; empty where it is."""
        key = (paper, variant, dataset)
        if key not in self._reasons:
            self._reasons[key] = shown.why_not(self, paper, variant, dataset)
        return self._reasons[key]

    @cached_property
    def _reasons(self) -> dict[tuple[str, str, str], str]:
        """What `left_out` has found: the workflow asks of every variant again and again."""
        return {}

    @cached_property
    def shown(self) -> Mapping[str, frozenset[str]]:
        """The datasets on which tables show each PAPER/VARIANT."""
        return shown.shown(self)

    @cached_property
    def benchmarks(self) -> Benchmarks:
        """The datasets as the papers print them."""
        return Benchmarks.read(self.workflow)

    def features_of(self, run: Run) -> Mapping[str, FeatureFiles]:
        """The descriptors that a run takes over, by subset; empty where it is trained."""
        return self.dataset(run.dataset).features.get(f"{run.paper}/{run.variant}", {})

    def lacks_features(self, paper: str, variant: str, dataset: str) -> bool:
        """Whether a variant can neither be trained on a dataset nor takes descriptors over."""
        brought = self.features_of(Run(paper, variant, dataset, 0))
        return not brought and not self.dataset(dataset).trains

    @cached_property
    def trainings(self) -> tuple[Run, ...]:
        """The runs that are trained; the others take their descriptors over."""
        return tuple(run for run in self.runs if not self.features_of(run))

    @cached_property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that the runs need."""
        return tuple(dict.fromkeys(run.dataset for run in self.runs))

    @cached_property
    def places(self) -> tuple[tuple[Kind, str, Literal["detected", "truth"]], ...]:
        """The part boxes and joints that the runs need: kind, dataset, where they come from."""
        found = set()
        for run in map(self.resolve, self.trainings):
            kind = needs(run.model)
            if kind != "none" and run.places != "none":
                found.add((kind, run.dataset, run.places))
        return tuple(sorted(found))

    @cached_property
    def detected(self) -> tuple[tuple[Kind, str], ...]:
        """The datasets whose parts or keypoints are detected (or imported)."""
        return tuple((kind, dataset) for kind, dataset, source in self.places if source != "truth")

    @cached_property
    def detectors(self) -> tuple[Kind, ...]:
        """The detectors that are needed: some dataset brings no boxes or joints of its own."""
        own = {kind for kind, name in self.detected if not getattr(self.dataset(name), kind)}
        return tuple(sorted(own))

    def trained_on(self, kind: Kind) -> str:
        """The rendered dataset that a detector learns from; empty where it is another source."""
        data = getattr(self.config.detectors, kind).data
        return data.dataset if isinstance(data, RenderedSource) else ""

    def datasets_of(self, paper: str) -> tuple[str, ...]:
        """The datasets on which a paper is run at this scale."""
        if self.config.evaluate_on:
            return self.config.evaluate_on
        return self.papers[paper].datasets.get(self.config.scale, ())

    def dataset(self, name: str) -> DatasetConfig:
        """A dataset's settings; UserError lists the known names."""
        try:
            return self.config.datasets[name]
        except KeyError:
            known = ", ".join(sorted(self.config.datasets))
            raise UserError(f"unknown dataset '{name}'; known: {known}") from None

    def paper(self, name: str) -> PaperConfig:
        """A paper's settings; UserError lists the known names."""
        try:
            return self.papers[name]
        except KeyError:
            raise UserError(f"unknown paper '{name}'; known: {', '.join(self.papers)}") from None

    def subsets(self, dataset: str) -> tuple[str, ...]:
        """The test subsets of a dataset, in the order of tables."""
        return self.dataset(dataset).subsets

    def is_rendered(self, name: str) -> bool:
        """Whether the dataset is drawn here, not read from a folder."""
        return isinstance(self.dataset(name), RenderedDataset)

    def resolve(self, run: Run | str) -> ResolvedRun:
        """A run's settings: the scale's, with the paper's variant laid over."""
        run = Run.parse(run) if isinstance(run, str) else run
        paper = self.papers.get(run.paper)
        if paper is None or run.variant not in paper.variants:
            raise UserError(
                f"run '{run}': no variant '{run.variant}' of paper '{run.paper}' in workflow/papers"
            )
        self.dataset(run.dataset)
        return resolve(run, self.config, paper, self.overrides)

    def rerankers_of(self, paper: str) -> tuple[str, ...]:
        """The names of the re-rankers that a paper's tables show."""
        return self.papers[paper].rerankers

    def tables_of(self, paper: str) -> tuple[str, ...]:
        """The CSV files of a paper: tables, what its figures draw, tables of times."""
        return shown.tables_of(self, paper)

    def datasets_of_table(self, paper: str, table: str) -> tuple[str, ...]:
        """The datasets that a table or figure shows at this scale."""
        return shown.datasets_of_table(self, paper, table)

    def settings(self, *sections: str) -> str:
        """Sections of the configuration as one line of JSON: what a rule depends on."""
        values = self.config.model_dump(mode="json")
        return json.dumps({name: values[name] for name in sections}, sort_keys=True)

    def command(self, target: str = "") -> str:
        """The shell command that makes `target` (everything, if empty) under this plan."""
        words = ["snakemake", "--cores", "all", *([target] if target else [])]
        if self.overrides:
            words.append("--config")
            words += [f"{key}={_typed(value)}" for key, value in self.overrides.items()]
        return shlex.join(words)

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name this configuration."""
        values = self.config.model_dump(mode="json")
        papers = {name: paper.model_dump(mode="json") for name, paper in self.papers.items()}
        text = json.dumps([values, papers], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _typed(value: Any) -> str:
    """A setting as one would type it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def load(overrides: Mapping[str, Any] | None = None, *, workflow: Path = WORKFLOW) -> Plan:
    """Read workflow/, lay `overrides` over the scale's configuration, check everything.

    Raises UserError with the file and the key for any mistake.
    """
    overrides = dict(overrides or {})
    scale = str(overrides.get("scale", "demo"))
    scale_file = workflow / "config" / f"{scale}.yaml"
    if not scale_file.is_file():
        known = ", ".join(sorted(f.stem for f in (workflow / "config").glob("*.yaml")))
        raise UserError(f"config: key 'scale': unknown scale '{scale}'; known: {known}")
    values = read_yaml(scale_file)
    values["datasets"] = merge(_dataset_facts(workflow), values.get("datasets") or {})
    where = f"{scale_file}" + (" with --config" if overrides else "")
    values = merge(values, overrides)
    _check_dataset_sources(values["datasets"], where)
    config = checked(Config, values, where)
    papers = {name: _paper(workflow, name) for name in config.papers}
    pointed = {run.split("/")[0]: None for paper in papers.values() for run in paper.pointed}
    papers |= {other: _paper(workflow, other) for other in pointed if other not in papers}
    plan = Plan(config=config, papers=papers, overrides=overrides, workflow=workflow)
    _check_references(plan, workflow)
    return plan


def _dataset_facts(workflow: Path) -> dict[str, Any]:
    """The facts of every dataset file, each checked by itself so that mistakes name the file."""
    files = sorted((workflow / "datasets").glob("*.yaml"))
    facts = {file.stem: read_yaml(file) for file in files}
    for file in files:
        checked(DatasetFile, {"dataset": facts[file.stem]}, str(file))
    return facts


def _check_dataset_sources(datasets: Any, where: str) -> None:
    """A dataset without a source is nearly always a misspelt name: say that."""
    if not isinstance(datasets, dict):
        raise UserError(f"{where}: key 'datasets': expected a mapping of name to settings")
    known = sorted(name for name, value in datasets.items() if _has_source(value))
    for name, value in datasets.items():
        if not _has_source(value):
            raise UserError(
                f"{where}: key 'datasets.{name}': unknown dataset '{name}' (known: "
                f"{', '.join(known)}); a new one needs 'source: market1501' or 'source: csv'"
            )


def _has_source(value: Any) -> bool:
    return isinstance(value, dict) and "source" in value


def _paper(workflow: Path, name: str) -> PaperConfig:
    file = workflow / "papers" / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(f.stem for f in (workflow / "papers").glob("*.yaml")))
        raise UserError(f"config: key 'papers': unknown paper '{name}'; known: {known}")
    return checked(PaperConfig, read_yaml(file), str(file))


def _check_references(plan: Plan, workflow: Path) -> None:
    references.check(plan, workflow)
    for name in plan.papers:
        for dataset in plan.datasets_of(name):
            plan.dataset(dataset)
    if not plan.runs:
        raise UserError(
            f"config: no paper names a dataset at scale '{plan.config.scale}'; "
            "set 'evaluate_on' to the datasets to run on"
        )
    for name, paper in plan.papers.items():  # of variants that are not planned, too
        for variant in paper.variants:
            for dataset in plan.datasets_of(name) or tuple(plan.config.datasets)[:1]:
                plan.resolve(Run(name, variant, dataset, 0))
