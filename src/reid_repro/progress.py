"""Progress bars on a terminal, silence elsewhere (logs get plain lines from their callers)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


@contextmanager
def progress(*, shown: bool = True) -> Iterator[Progress]:
    """A rich progress display on standard error, `shown` only where that is a terminal."""
    columns = (
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    hidden = not shown or not sys.stderr.isatty()
    display = Progress(*columns, console=Console(file=sys.stderr), disable=hidden, transient=True)
    with display:
        yield display


def add_task(display: Progress, description: str, total: int) -> TaskID:
    """A task with an empty note."""
    return display.add_task(description, total=total, note="")
