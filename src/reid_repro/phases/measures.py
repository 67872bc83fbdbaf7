"""Phase `tables`, its measures: what a paper's figures show, and picture sheets of a few queries.

One job a paper and dataset: images, networks and rankings are read once. The values go to
`results/measures/{paper}/{dataset}.parquet`, one row an item; what was measured and what was left
out, and why, to the JSON beside it; the sheets to `results/looks/{paper}/{dataset}/`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from reid_repro import devices
from reid_repro.errors import UserError
from reid_repro.files import write_json, write_parquet
from reid_repro.measures.recipes import (
    RECIPES,
    Recipe,
    left_out,
    looks_folder,
    looks_of,
    measures_file,
    recipes_of,
)
from reid_repro.measures.source import COLUMNS, LeftOutError, Measure, Source
from reid_repro.plan import Plan
from reid_repro.reporting.looks import draw


def run(plan: Plan, paper: str, dataset: str, results: Path, *, threads: int = 0) -> None:
    """Measure and draw everything that a paper's figures show on a dataset.

    Raises UserError for a paper or dataset of which nothing is measured.
    """
    if threads:
        torch.set_num_threads(threads)
    plan.paper(paper)
    if dataset not in plan.datasets_of(paper) or not recipes_of(plan, paper, dataset):
        raise UserError(f"nothing is measured of paper '{paper}' on dataset '{dataset}'")
    began = time.perf_counter()
    source = Source(plan, paper, dataset, results)
    measures, missing, seconds = _measured(source)
    file = measures_file(results, paper, dataset)
    write_parquet(file, table(measures))
    folder = looks_folder(results, paper, dataset)
    drawn = []
    for look in looks_of(plan, paper, dataset):
        draw(_function(look.compose)(source), folder / f"{look.name}.webp")
        drawn.append(look.name)
    write_json(
        file.with_suffix(".json"),
        {
            "paper": paper,
            "dataset": dataset,
            "subset": source.subset,
            "scale": plan.config.scale,
            "measures": [_summary(measure) for measure in measures],
            "left_out": missing,
            "looks": drawn,
            "runs": _runs(source),
            "seconds": {**seconds, "total": round(time.perf_counter() - began, 2)},
            "threads": torch.get_num_threads(),
            "peak_memory_mib": devices.peak_memory_mib(),
            "config_digest": plan.digest,
            **devices.commit(),
            "versions": devices.versions(),
            "machine": devices.machine(),
            "command": plan.command(measures_file(Path("results"), paper, dataset).as_posix()),
        },
    )
    for summary in map(_summary, measures):
        print(f"{summary['figure']} {' '.join(summary['key'])}: {summary['value']}")


def _measured(
    source: Source,
) -> tuple[list[Measure], list[dict[str, str]], dict[str, float]]:
    """The measures, what is left out and why, and the seconds of each figure."""
    found: list[Measure] = []
    missing: list[dict[str, str]] = []
    seconds: dict[str, float] = {}
    for recipe in RECIPES[source.paper]:
        reason = left_out(source.plan, source.paper, source.dataset, recipe)
        if not reason:
            began = time.perf_counter()
            try:
                found += [*_function(recipe.measure)(source)]
            except LeftOutError as error:
                reason = str(error)
            else:
                seconds[recipe.figure] = round(time.perf_counter() - began, 2)
        if reason:
            missing.append({"figure": recipe.figure, "reason": reason})
    return found, missing, seconds


def _function(name: str) -> Callable[[Source], Any]:
    """A function of the package `measures` by MODULE:NAME; imported when it is asked for."""
    module, _, function = name.partition(":")
    found: Callable[[Source], Any] = getattr(
        import_module(f"reid_repro.measures.{module}"), function
    )
    return found


def table(measures: Iterable[Measure]) -> pd.DataFrame:
    """figure, key (a JSON list), item, identity, value, what: one row an item."""
    frames = [
        pd.DataFrame(
            {
                "figure": measure.figure,
                "key": json.dumps(list(measure.key)),
                "item": measure.items.astype(np.int32),
                "identity": measure.identities.astype(np.int32),
                "value": measure.values,
                "what": measure.what,
            }
        )
        for measure in measures
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS)


def _summary(measure: Measure) -> dict[str, Any]:
    return {
        "figure": measure.figure,
        "key": list(measure.key),
        "value": round(float(measure.values.mean()), 6) if len(measure.values) else None,
        "items": len(measure.values),
        "what": measure.what,
    }


def _runs(source: Source) -> list[str]:
    """The runs behind the measures, each once."""
    names = [name for one in _planned(source) for name in one.runs]
    return [str(source.run(name)) for name in dict.fromkeys(names)]


def _planned(source: Source) -> Iterator[Recipe]:
    yield from recipes_of(source.plan, source.paper, source.dataset)
