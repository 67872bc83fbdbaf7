"""A paper that trains nothing, for the report's tests: sweeps, a figure over them, and times.

Its values are functions of the varied option and of the query, so that a test can tell them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from reid_repro.files import read_json, read_parquet, write_csv, write_json, write_parquet
from reid_repro.ledger.tables import retrieval_table
from reid_repro.ledger.times import time_table
from reid_repro.paths import metrics_file, per_query_file, sweep_file, timing_file
from reid_repro.plan import Plan
from reid_repro.reporting.figures import sweep_figure
from reid_repro.rows import points_of, swept_runs

PAPER: dict[str, Any] = {
    "title": "Swept & <b>timed</b>",
    "summary": "Points at the other paper's runs.",
    "datasets": {"demo": ["cars", "people"]},
    "rerankers": [],
    "sweeps": {
        "layers": {
            "base": "gnn",
            "points": {
                "l1": {"title": "1 layer <i>", "options": {"layers": 1}},
                "l2": {"title": "2 layers"},
            },
        },
        "k1": {"base": "gnn", "vary": {"k1": {"demo": [4, 8, 16]}}},
    },
    "tables": {
        "rows": {
            "title": "Rows",
            "metrics": ["mAP", "R1"],
            "run": "ground/plain",
            "rows": [{"ranking": "aqe", "title": "Expanded"}, {"ranking": "layers"}],
        }
    },
    "figures": {
        "curve": {
            "title": "Over k1",
            "caption": "A sweep.",
            "run": "ground/plain",
            "sweeps": ["k1"],
        }
    },
    "timings": {
        "clock": {
            "measure": "reranking",
            "sizes": ["small", "market"],
            "methods": {
                "slow": {"title": "Slow", "method": "KReciprocal"},
                "fast": {"title": "Fast", "method": "AverageQueryExpansion"},
            },
        },
        "groups": {
            "measure": "groups",
            "size": "small",
            "points": {"all": {}, "few": {"groups": 50, "dim": 16}},
        },
    },
    "time_tables": {
        "sizes": {
            "title": "By size",
            "printed_on": "an old machine",
            "timing": "clock",
            "rows": [
                {"of": "slow", "title": "Slow", "printed": {"market": {"seconds": 89.2}}},
                {"of": "fast", "title": "Fast", "platform": "GPU"},
            ],
        },
        "phases": {
            "title": "By phase",
            "timing": "clock",
            "columns": "phases",
            "size": "market",
            "first": ["neighbours", "reciprocal"],
            "rows": [{"of": "slow", "title": "Slow"}],
        },
        "query": {
            "title": "One query",
            "timing": "groups",
            "columns": "query",
            "rows": [
                {"of": "all", "title": "Each image", "printed": {"single": {"seconds": 0.368}}},
                {"of": "few", "title": "Few groups"},
            ],
        },
    },
}
GNN = {"title": "GNN", "method": "GNN", "options": {"k1": 8, "k2": 3}}
SIZE = {"queries": 400, "gallery": 3000, "dim": 256}


def write_paper(workflow: Path) -> None:
    """The paper's file, and the re-ranker that its sweeps start from."""
    (workflow / "papers" / "swept.yaml").write_text(yaml.safe_dump(PAPER), "utf-8")
    scale = workflow / "config" / "demo.yaml"
    content = yaml.safe_load(scale.read_text("utf-8"))
    content["rerankers"]["gnn"] = GNN
    scale.write_text(yaml.safe_dump(content), "utf-8")


def write_results(plan: Plan, results: Path, made: dict[str, object]) -> None:
    """The metrics of every sweep, from those of the bare distance, and the times."""
    for sweep, run in swept_runs(plan, "swept"):
        bare = metrics_file(results, run, "test", "none")
        facts, queries = read_json(bare), read_parquet(per_query_file(bare))
        points, frames = {}, []
        for number, (name, point) in enumerate(points_of(plan, "swept", sweep).items()):
            frame = queries.assign(AP=queries["AP"] * (1 + 0.1 * number), point=name)
            frames.append(frame)
            points[name] = {
                "title": point.title,
                "mAP": float(frame["AP"].mean()),
                "cmc": facts["cmc"],
                "n_query": facts["n_query"],
                "n_valid": facts["n_valid"],
            }
        file = sweep_file(results, "swept", sweep, run, "test")
        write_parquet(per_query_file(file), pd.concat(frames))
        common = {"run": str(run), "sweep": sweep, "seconds": {"total": 2.0}}
        write_json(file, made | common | {"points": points})
    phases = {"neighbours": 1.0, "reciprocal": 0.5, "encoding": 0.25, "total": 2.0}
    clock = [
        {"size": size, "of": of, "platform": "CPU", "seconds": phases}
        for size in ("small", "market")
        for of in ("slow", "fast")
    ]
    query = {"single": 0.015, "batch": 0.003}
    groups = [
        {
            "size": "small",
            "of": of,
            "platform": "CPU",
            "seconds": query,
            "groups": made_,
            "dim": dim,
        }
        for of, made_, dim in (("all", 3000, 256), ("few", 51, 16))
    ]
    common = {"scale": "demo", "shrink": 1, "threads": 2, "load": 0.25}
    for name, entries in (("clock", clock), ("groups", groups)):
        sizes = {str(entry["size"]): SIZE for entry in entries}
        content = made | common | {"sizes": sizes, "entries": entries}
        write_json(timing_file(results, "swept", name), content)


def draw(plan: Plan, results: Path) -> None:
    """Tables and the figure, as the pipeline would."""
    settings = plan.papers["swept"]
    for name in [*settings.tables, *settings.figures]:
        frame = retrieval_table(plan, "swept", name, results)
        write_csv(results / "tables" / "swept" / f"{name}.csv", frame)
    for name in settings.time_tables:
        frame = time_table(plan, "swept", name, results)
        write_csv(results / "tables" / "swept" / f"{name}.csv", frame)
    for name in settings.figures:
        sweep_figure(plan, "swept", name, results)
