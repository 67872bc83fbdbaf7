"""What a command says: on the terminal, in its log, and one line for a mistake."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import typer

from reid_repro.errors import UserError
from reid_repro.locks import alone


@contextmanager
def logged(log: Path | None) -> Iterator[None]:
    """Print a UserError as one line and end with status 1; copy everything said into `log`."""
    if log is None:
        with _one_line():
            yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        out, err = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Tee(out, file), _Tee(err, file)
        try:
            with _one_line():
                yield
        finally:
            sys.stdout, sys.stderr = out, err


@contextmanager
def job(log: Path | None, *words: object) -> Iterator[None]:
    """A phase's work: said in `log` as well, and never done twice at once.

    Where several processes do it together, the first one takes the lock and writes the log for
    all; the others would wait for it forever.
    """
    if is_helper():
        with _one_line():
            yield
        return
    with logged(log), alone(" ".join(str(word) for word in words)):
        yield


def is_helper() -> bool:
    """Whether this process is one of several that do a job together, and not the first.

    `torchrun` numbers them in RANK, Lightning's own start in NODE_RANK and LOCAL_RANK.
    """
    ranks = (os.environ.get(name, "0") for name in ("RANK", "NODE_RANK", "LOCAL_RANK"))
    return any(rank.isdecimal() and int(rank) > 0 for rank in ranks)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    except Exception:
        # Here rather than at the interpreter's exit, so that the log has it too.
        traceback.print_exc()
        raise typer.Exit(1) from None


class _Tee:
    """A text stream that writes to two; in all else it is the first one."""

    def __init__(self, first: TextIO, second: TextIO) -> None:
        self._first, self._second = first, second

    def write(self, text: str) -> int:
        """Write to both, whole lines at once on disk."""
        if not self._first.isatty() or "\x1b" not in text:  # progress bars stay out of the log
            self._second.write(text)
            self._second.flush()
        return self._first.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._first, name)
