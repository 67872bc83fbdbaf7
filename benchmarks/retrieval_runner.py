"""Run lines one after another, each in a process of its own with a limit on memory and on time.

A line that asks for too much, raises, or takes too long becomes a row that says so; the machine
and the other lines live on.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
from retrieval_line import Job, last_line, refusal

LINE = Path(__file__).with_name("retrieval_line.py")
FOLDERS = re.compile(r"(?<![\w.])/(?:[^\s/:'\"()]+/)+")  # of an absolute path
WATCH_SECONDS = 0.05  # how often the resident memory of a line is looked at
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


@dataclass(frozen=True)
class Limits:
    """What one line may take.

    Attributes:
        seconds: of the whole process, set-up included.
        memory_bytes: resident, and allocated.
        repeat: runs of the task, the best of which counts.
        budget: seconds of runs after which no further one starts.
    """

    seconds: float
    memory_bytes: int
    repeat: int
    budget: float


def default_memory() -> int:
    """Four fifths of the machine's memory, and what is available at most."""
    memory = psutil.virtual_memory()
    return min(int(memory.total * 0.8), int(memory.available))


def run_line(
    line: str, *, module: str, folder: Path, size: str | None, threads: int, limits: Limits
) -> dict[str, Any]:
    """Measure a line in a process of its own: its result, or why it has none.

    A line that breaks a limit after some runs keeps the best of those runs.
    """
    with tempfile.TemporaryDirectory(prefix="retrieval-") as scratch:
        result, errors = Path(scratch, "result.json"), Path(scratch, "errors")
        job = Job(
            module=module,
            folder=str(folder),
            line=line,
            size=size,
            threads=threads,
            repeat=limits.repeat,
            budget=limits.budget,
            limit_bytes=limits.memory_bytes,
            result=str(result),
        )
        fault = _supervise(json.dumps(asdict(job)), errors, threads, limits)
        if result.exists():
            measured: dict[str, Any] = json.loads(result.read_text())
            if fault is not None:
                measured["stopped"] = f"{fault['message']}; the runs before it count"
            return _without_paths(measured)
        if fault is None:
            fault = refusal("failed", "no result")
        return _without_paths(fault)


def _supervise(job: str, errors: Path, threads: int, limits: Limits) -> dict[str, Any] | None:
    """Start the process of a job and watch it to its end: what went wrong, if anything."""
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(LINE)],
            stdin=subprocess.PIPE,
            stdout=stderr,
            stderr=stderr,
            env=environment,
        )
        assert process.stdin is not None
        process.stdin.write(job.encode())
        process.stdin.close()
        fault = _watch(process, limits)
        process.wait()
    if fault is None and process.returncode:
        return _failure(process.returncode, errors.read_text(errors="replace"))
    return fault


def _watch(process: subprocess.Popen[bytes], limits: Limits) -> dict[str, Any] | None:
    """Wait for the process; end it when it breaks a limit, and say which."""
    watched = psutil.Process(process.pid)
    begin = time.monotonic()
    while True:
        try:
            process.wait(timeout=WATCH_SECONDS)
            return None
        except subprocess.TimeoutExpired:
            pass
        try:
            resident = watched.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        if resident > limits.memory_bytes:
            process.kill()
            return refusal(
                "out of memory",
                f"stopped at {resident / 1e9:.1f} GB resident, limit "
                f"{limits.memory_bytes / 1e9:.1f} GB",
            )
        if time.monotonic() - begin > limits.seconds:
            process.kill()
            return refusal("timed out", f"stopped after {limits.seconds:g} s")


def _failure(code: int, errors: str) -> dict[str, Any]:
    """What a process that ended by itself with an error died of."""
    message = last_line(errors)
    if "bad_alloc" in errors or "MemoryError" in message or "Cannot allocate memory" in errors:
        return refusal("out of memory", message)
    if code < 0:
        message = f"ended by signal {-code}: {message}"
        return refusal("out of memory" if code == -9 else "failed", message)
    return refusal("failed", message)


def _without_paths(result: dict[str, Any]) -> dict[str, Any]:
    """Messages without the folders of this machine."""
    for name in ("message", "stopped"):
        if name in result:
            result[name] = FOLDERS.sub("", result[name])[:300]
    return result
