"""The options that several commands of `reid-repro` share, and the plan that they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from reid_repro import plan as planning
from reid_repro.checking import LOADER
from reid_repro.errors import UserError
from reid_repro.plan import Plan

Overrides = Annotated[
    str,
    typer.Option(
        "--config",
        metavar="YAML",
        envvar="REID_REPRO_CONFIG",
        help="Overrides of workflow/config, as YAML.",
    ),
]
Log = Annotated[Path | None, typer.Option("--log", help="Write what is said here as well.")]
Results = Annotated[Path, typer.Option("--results", help="The folder of results.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0: all.")]

DEFAULT_RESULTS = Path("results")


def plan_of(config: str) -> Plan:
    """The plan under the overrides of `--config`; UserError where these are no mapping."""
    try:
        overrides: Any = yaml.load(config, LOADER)
    except yaml.YAMLError:
        overrides = None
    if not isinstance(overrides, dict):
        raise UserError(f"--config: expected YAML like '{{scale: bench}}', found {config!r}")
    return planning.load(overrides)
