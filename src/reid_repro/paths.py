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


def sweep_file(results: Path, paper: str, sweep: str, run: Run, subset: str) -> Path:
    """Where the metrics of all points of a sweep on one run lie."""
    return results / "sweeps" / paper / sweep / str(run) / f"{subset}.json"


def timing_file(results: Path, paper: str, timing: str) -> Path:
    """Where the times of one timing lie."""
    return results / "timings" / paper / f"{timing}.json"
