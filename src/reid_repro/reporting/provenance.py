"""Where each item of the report comes from: files, hashes, commits, machines, commands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid_repro.errors import UserError
from reid_repro.files import read_json, sha256
from reid_repro.plan import Plan, Run
from reid_repro.reporting import formats

# What a page shows of run.json whatever else the file holds.
RUN_KEYS = (
    "parameters",
    "wall_seconds",
    "peak_memory_mib",
    "started",
    "config_digest",
    "data_hash",
    "precision",
    "threads",
    "command",
)


@dataclass(frozen=True)
class Source:
    """One results file that an item was made from."""

    path: str
    digest: str


@dataclass(frozen=True)
class Download:
    """A file beside the pages."""

    title: str
    href: str  # relative to the report folder


@dataclass(frozen=True)
class Item:
    """What stands behind one table or figure: its sources, downloads and the way to remake it."""

    sources: tuple[Source, ...]
    downloads: tuple[Download, ...]
    command: str


@dataclass(frozen=True)
class RunView:
    """One training run as the pages show it."""

    name: str
    paper: str
    dataset: str
    seed: int
    facts: dict[str, Any]  # run.json as it is
    source: Source

    @property
    def commit(self) -> str:
        """The short commit, and whether the tree differed from it."""
        return formats.commit(self.facts.get("commit"), self.facts.get("dirty"))

    @property
    def machine(self) -> str:
        """The hardware in words."""
        return machine(self.facts.get("machine") or {})

    @property
    def energy(self) -> str:
        """The energy with its method, or that it was not measured."""
        energy = self.facts.get("energy") or {}
        hours = energy.get("watt_hours")
        if hours is None:
            return "not measured"
        return f"{hours:.2f}\N{NO-BREAK SPACE}Wh ({energy.get('method', 'unknown method')})"

    @property
    def wall(self) -> str:
        """The wall time of the training, and how often it was taken up again after a kill."""
        duration = formats.duration(self.facts["wall_seconds"])
        resumed = int(self.facts.get("resumed") or 0)
        return f"{duration} (resumed {formats.plural(resumed, 'time')})" if resumed else duration

    @property
    def settings(self) -> list[tuple[str, str]]:
        """The resolved model and training settings, flat and in order."""
        return [
            (f"{section}.{key}", _plain(value))
            for section in ("model", "training")
            for key, value in (self.facts.get(section) or {}).items()
        ]


@dataclass(frozen=True)
class Summary:
    """The provenance box: what all runs of the report have in common, and their totals."""

    commits: tuple[str, ...]
    digest: str
    digests: tuple[str, ...]
    machines: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    started: str
    ended: str
    wall: float  # seconds of training
    ranking: float  # seconds of ranking and scoring
    peak_memory: float
    energy: str
    precision: tuple[str, ...]
    command: str


def source(results: Path, path: Path) -> Source:
    """A file under `results`, named as `results/...` wherever that folder lies."""
    return Source(shown(results, path), sha256(path)[:12])


def sources(results: Path, files: Sequence[Path]) -> tuple[Source, ...]:
    """Several of them; UserError names the first that is missing."""
    for file in files:
        if not file.is_file():
            raise UserError(f"{file}: no such file; `snakemake --cores all {file}` makes it")
    return tuple(source(results, file) for file in files)


def shown(results: Path, path: Path) -> str:
    """The path as the Snakefile names it."""
    return f"results/{path.relative_to(results).as_posix()}"


def command(plan: Plan, target: str = "") -> str:
    """The shell command that makes `target` (everything, if empty) under this plan."""
    return plan.command(target)


def _plain(value: Any) -> str:
    """A setting as one would type it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def machine(facts: dict[str, Any]) -> str:
    """'CPU name, 2 cores, 7.8 GiB, Linux x86_64'."""
    if not facts:
        return "not recorded"
    parts = [str(facts["gpu"])] if facts.get("gpu") else []
    parts.append(str(facts.get("cpu") or "unknown processor"))
    if facts.get("cores"):
        parts.append(formats.plural(int(facts["cores"]), "core"))
    if facts.get("memory_gib"):
        parts.append(f"{facts['memory_gib']:.1f}\N{NO-BREAK SPACE}GiB")
    parts.append(str(facts.get("os") or "unknown system"))
    return ", ".join(parts)


def read_runs(plan: Plan, results: Path) -> list[RunView]:
    """Every training of the plan; UserError names the first run.json that is missing."""
    return [_read_run(results, run) for run in plan.trainings]


def _read_run(results: Path, run: Run) -> RunView:
    file = results / "models" / str(run) / "run.json"
    facts = read_json(file)
    missing = [key for key in RUN_KEYS if key not in facts]
    if missing:
        raise UserError(f"{file}: no key '{missing[0]}'; delete it and run again")
    return RunView(str(run), run.paper, run.dataset, run.seed, facts, source(results, file))


def ranking_seconds(metrics: Mapping[str, Any]) -> float:
    """The time of ranking and scoring: what the file calls the total, else the sum of the phases.

    Recording the ranked lists for the report is no part of it.
    """
    seconds = metrics["seconds"]
    if "total" in seconds:
        return float(seconds["total"])
    return float(sum(value for phase, value in seconds.items() if phase != "recording"))


def summary(plan: Plan, runs: Sequence[RunView], metrics: Sequence[Mapping[str, Any]]) -> Summary:
    """What the provenance box says of runs and rankings; nothing in it is newer than they are."""
    facts = [run.facts for run in runs]
    both = [*facts, *metrics]
    versions: dict[str, list[str]] = {}
    for fact in both:
        for name, version in (fact.get("versions") or {}).items():
            versions.setdefault(str(name), []).append(str(version))
    started = sorted(str(fact["started"]) for fact in facts if fact.get("started"))
    energies = [(fact.get("energy") or {}).get("watt_hours") for fact in facts]
    known = [hours for hours in energies if hours is not None]
    energy = f"{sum(known):.2f}\N{NO-BREAK SPACE}Wh" if known else "not measured"
    if known and len(known) < len(energies):
        energy += f" ({len(known)} of {formats.plural(len(energies), 'run')})"
    return Summary(
        commits=_distinct(formats.commit(fact.get("commit"), fact.get("dirty")) for fact in both),
        digest=plan.digest,
        digests=_distinct(str(fact.get("config_digest", "")) for fact in both),
        machines=_distinct(machine(fact.get("machine") or {}) for fact in both),
        versions=tuple((name, ", ".join(_distinct(found))) for name, found in versions.items()),
        started=formats.day(started[0] if started else None),
        ended=formats.day(started[-1] if started else None),
        wall=sum(float(fact.get("wall_seconds") or 0) for fact in facts),
        ranking=sum(ranking_seconds(fact) for fact in metrics),
        peak_memory=max((float(fact.get("peak_memory_mib") or 0) for fact in facts), default=0.0),
        energy=energy,
        precision=_distinct(str(fact.get("precision", "")) for fact in facts),
        command=command(plan),
    )


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
