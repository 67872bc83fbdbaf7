"""The options that several commands of `reid-repro` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
