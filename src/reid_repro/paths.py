"""Where files that several phases name lie under the results folder."""

from __future__ import annotations

from pathlib import Path

from reid_repro.plan import Run


def metrics_file(results: Path, run: Run, subset: str, reranker: str) -> Path:
    """Where the metrics of one ranking lie."""
    return results / "metrics" / str(run) / subset / f"{reranker}.json"


def per_query_file(metrics: Path) -> Path:
    """The per-query values beside a metrics file."""
    return metrics.with_name(f"{metrics.stem}.per_query.parquet")
