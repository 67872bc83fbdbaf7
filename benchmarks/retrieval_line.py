"""One line of a benchmark: what it is, and how the process of its own that runs it measures it.

The runner (`retrieval_runner.py`) starts this file as a script, with a job on its standard input.
The seconds of a line are the best wall time of several runs of its task, after an untimed set-up
and, for lines that compile or tune at their first call, a warm-up on a tiny set. The peak is that
of the whole process during the runs: libraries, features, what the set-up prepared, and the work.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # torch and numba take seconds to import: only lines with features do
    from reid_repro.retrieval.simulation import Split

Facts = dict[str, float | str]  # what a task tells: mAP, seconds of phases ("seconds: name"), ...
Task = Callable[[], Facts]
Prepare = Callable[[Any], Task]
Status = Literal["done", "out of memory", "timed out", "failed", "not installed", "no GPU here"]


class PeerMissingError(RuntimeError):
    """A peer that is not installed here, with the reason."""


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        name: as it stands in the table, unique.
        group: heading that it stands under.
        prepare: untimed set-up from the simulated features (None in a run without a size); the
            task that it returns is what is measured.
        kind: this project's own work, a bound that no method of its kind goes below, or a peer.
        sizes: sizes that it runs at.
        beside: name of the line whose time it is compared with.
        threads: threads, where they are part of the line.
        device: "cuda" where it needs a GPU.
        warm: whether it runs once on a tiny set before.
    """

    name: str
    group: str
    prepare: Prepare
    kind: Literal["own", "bound", "peer"] = "own"
    sizes: tuple[str, ...] = ("small", "market", "wild")
    beside: str | None = None
    threads: int | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    warm: bool = True


@dataclass(frozen=True)
class Job:
    """What a line's process is told.

    Attributes:
        module: module that holds `LINES`; `folder` the folder to import it from.
        line, size: names; size None for lines that need no features.
        threads: for BLAS, OpenMP, torch and numba.
        repeat: runs of the task; no further run starts after `budget` seconds of them.
        limit_bytes: of memory; an allocation beyond it fails.
        result: file for the result, written anew after each run.
    """

    module: str
    folder: str
    line: str
    size: str | None
    threads: int
    repeat: int
    budget: float
    limit_bytes: int
    result: str


def find(lines: Iterable[Line], name: str) -> Line:
    """The line of that name."""
    for line in lines:
        if line.name == name:
            return line
    raise ValueError(f"no line {name!r}: see --list")


def resident_bytes() -> tuple[int, int]:
    """Resident memory of this process now, and its peak since `forget_peak`."""
    status = Path("/proc/self/status")
    if not status.exists():  # not Linux: the peak since the start is all there is
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak, peak
    values = dict(line.split(":", 1) for line in status.read_text().splitlines())
    now, peak = (int(values[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return now, peak


def forget_peak() -> None:
    """Start the peak of `resident_bytes` afresh, where the system can."""
    control = Path("/proc/self/clear_refs")
    if control.exists():
        control.write_text("5")


def limit_memory(limit_bytes: int) -> None:
    """Make allocations beyond the limit fail (MemoryError) rather than the machine."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
    except (ImportError, ValueError, OSError):
        pass  # the runner's watch over the resident memory still holds


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Write JSON beside the file, then put it in place."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    beside.replace(path)


def features(size: str, threads: int) -> tuple[Split, Split]:
    """A tiny set to warm up on, and the set of that name."""
    import torch

    from reid_repro.retrieval.simulation import SIZES, Size, simulate

    torch.set_num_threads(threads)
    tiny = Size(40, 300, 20, 4, 64, 1.0, distractors=30, junk=30, strangers=10)
    return simulate(tiny), simulate(SIZES[size])


def measure(line: Line, job: Job) -> None:
    """Run a line's task `job.repeat` times and keep the best in `job.result`."""
    tiny, split = features(job.size, job.threads) if job.size is not None else (None, None)
    if line.warm:
        line.prepare(tiny)()
    task = line.prepare(split)
    forget_peak()
    before = resident_bytes()[0]
    best, spent = float("inf"), 0.0
    for run in range(job.repeat):
        begin = time.perf_counter()
        facts = task()
        wall = time.perf_counter() - begin
        spent += wall
        # A task that times a part of itself, such as one query of many, tells its seconds.
        seconds = float(facts.pop("seconds", wall))
        if run == 0 or seconds < best:
            best, kept = seconds, facts
        write_whole(
            Path(job.result),
            {
                "status": "done",
                "seconds": best,
                "runs": run + 1,
                "peak_bytes": resident_bytes()[1],
                "start_bytes": before,
                "facts": kept,
            },
        )
        if spent > job.budget:
            break


def refusal(status: Status, message: str) -> dict[str, Any]:
    """Result of a line that has no time."""
    return {"status": status, "message": message}


def main() -> None:
    """Run the job on standard input and leave its result in the job's file."""
    job = Job(**json.load(sys.stdin))
    sys.path.insert(0, job.folder)
    result = Path(job.result)
    try:
        line = find(importlib.import_module(job.module).LINES, job.line)
        if line.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                write_whole(result, refusal("no GPU here", "torch finds no CUDA device"))
                return
        else:  # a GPU's driver reserves more addresses than any machine has memory
            limit_memory(job.limit_bytes)
        measure(line, job)
    except PeerMissingError as missing:
        write_whole(result, refusal("not installed", str(missing)))
    except MemoryError as error:
        write_whole(result, refusal("out of memory", last_line(str(error))))
    except RuntimeError as error:
        if "can't allocate memory" not in str(error) and "out of memory" not in str(error).lower():
            raise
        write_whole(result, refusal("out of memory", last_line(str(error))))


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    # As a module, so that its classes are those that the benchmark's own modules import.
    from retrieval_line import main as run

    run()
