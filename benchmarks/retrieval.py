"""Time and peak memory of search, evaluation and re-ranking, beside bounds and peers.

    python benchmarks/retrieval_peers.py                    the peers, once, into build/peers
    python benchmarks/retrieval.py --size market            every line of a size
    python benchmarks/retrieval.py --size market --resume   the lines that a cut run left out
    python benchmarks/retrieval.py --size market --only knn lines whose name holds a text, anew
    python benchmarks/retrieval.py --render                 docs/benchmarks.md from all results

Features are simulated (`reid_repro.retrieval.simulation`). Each line runs in a process of its own
with a limit on memory and time (`retrieval_runner.py`); its result is written as soon as it is
there, so a run that is cut loses one line. Lines: `retrieval_cases.py`; targets:
`retrieval_targets.py`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from retrieval_line import Line, write_whole
from retrieval_machine import PACKAGES, commit, describe, load, slug, versions
from retrieval_report import read_runs, render, row, target_rows
from retrieval_runner import Limits, default_memory, run_line

from reid_repro.retrieval.simulation import SIZES

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "docs" / "benchmarks.md"
SAME_RUN = ("size", "counts", "machine", "threads")  # what results of one file share


def chosen(lines: tuple[Line, ...], options: argparse.Namespace) -> list[Line]:
    """Lines of the size whose names hold an `--only` text and no `--skip` text."""
    return [
        line
        for line in lines
        if options.size in line.sizes
        and (not options.only or any(text in line.name for text in options.only))
        and not any(text in line.name for text in options.skip)
    ]


def header(options: argparse.Namespace, limits: Limits) -> dict[str, Any]:
    """What a run is, without its lines."""
    size = SIZES[options.size]
    return {
        "size": options.size,
        "counts": {"queries": size.queries, "gallery": size.gallery, "dim": size.dim},
        "machine": describe(),
        "versions": versions(),
        "threads": options.threads,
        "repeat": options.repeat,
        "limits": asdict(limits),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_at_start": load(),
        "lines": {},
    }


def start(path: Path, run: dict[str, Any], *, keep: bool) -> dict[str, Any]:
    """A new run, or the one in the file continued.

    Raises:
        ValueError: the file holds a run of another machine, number of threads or version.
    """
    if not keep or not path.exists():
        return run
    earlier: dict[str, Any] = json.loads(path.read_text())
    theirs, ours = (
        {name: one[name] for name in SAME_RUN}
        | {name: one["versions"].get(name) for name in ("python", *PACKAGES)}
        for one in (earlier, run)
    )
    for name in ours:
        if theirs[name] != ours[name]:
            raise ValueError(
                f"{path.name} has {name} {theirs[name]}, this run {ours[name]}: their times do "
                "not compare; run without --resume and --only, or with another --out"
            )
    return earlier | {"versions": run["versions"]}


def measure(line: Line, options: argparse.Namespace, limits: Limits) -> dict[str, Any]:
    """Run a line and say what and when it was."""
    about = {
        "group": line.group,
        "kind": line.kind,
        "beside": line.beside,
        "threads": line.threads,
        "commit": commit(),
        "load": load(),
    }
    result = run_line(
        line.name,
        module=options.cases,
        folder=options.folder,
        size=options.size,
        threads=line.threads or options.threads,
        limits=limits,
    )
    return about | result


def run_all(options: argparse.Namespace) -> Path:
    """Measure the chosen lines into the file of this size and machine."""
    limits = Limits(
        seconds=options.timeout,
        memory_bytes=int(options.memory_gb * 1e9) if options.memory_gb else default_memory(),
        repeat=options.repeat,
        budget=options.budget,
    )
    sys.path.insert(0, str(options.folder))
    lines: tuple[Line, ...] = importlib.import_module(options.cases).LINES
    fresh = header(options, limits)
    path: Path = options.out / f"retrieval-{options.size}-{slug(fresh['machine'])}.json"
    run = start(path, fresh, keep=options.resume or bool(options.only))
    done = run["lines"]
    options.out.mkdir(parents=True, exist_ok=True)
    _print_header(run)
    for line in chosen(lines, options):
        if options.resume and line.name in done:
            continue
        done[line.name] = measure(line, options, limits)
        print(row(line.name, done[line.name], done), flush=True)
        order = {known.name: place for place, known in enumerate(lines)}
        done = dict(sorted(done.items(), key=lambda item: order.get(item[0], len(order))))
        run["lines"] = done
        write_whole(path, run)
    for cells in target_rows(run):
        print("  ".join(cells))
    return path


def _print_header(run: dict[str, Any]) -> None:
    counts, machine = run["counts"], run["machine"]
    cpu = machine["processor"]
    print(
        f"{run['size']}: {counts['queries']} queries + {counts['gallery']} gallery x "
        f"{counts['dim']}, {run['threads']} threads, best of {run['repeat']}\n"
        f"{cpu['model']} ({' '.join(cpu['flags'])}), {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, GPU {machine['gpu']}, load {run['load_at_start']}\n"
        + ", ".join(f"{name} {number}" for name, number in run["versions"].items()),
        flush=True,
    )


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--repeat", type=int, default=3, help="best of so many runs a line")
    parser.add_argument("--budget", type=float, default=40, help="seconds of runs a line")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--timeout", type=float, default=300, help="seconds a line, set-up too")
    parser.add_argument("--memory-gb", type=float, help="limit of a line; default: 4/5 of all")
    parser.add_argument("--only", action="append", default=[], help="text of a line's name")
    parser.add_argument("--skip", action="append", default=[], help="text of a line's name")
    parser.add_argument("--resume", action="store_true", help="keep the lines that are there")
    parser.add_argument("--list", action="store_true", help="the lines of the size, and stop")
    parser.add_argument("--render", action="store_true", help="write docs/benchmarks.md, and stop")
    parser.add_argument("--out", type=Path, default=FOLDER / "results", help="folder of results")
    parser.add_argument("--page", type=Path, default=PAGE, help="page that --render writes")
    parser.add_argument("--cases", default="retrieval_cases", help="module with LINES")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="folder of that module")
    return parser


def main(words: list[str] | None = None) -> None:
    options = arguments().parse_args(words)
    if options.render:
        options.page.write_text(render(read_runs(options.out)))
    elif options.list:
        sys.path.insert(0, str(options.folder))
        lines = importlib.import_module(options.cases).LINES
        print(*(line.name for line in chosen(lines, options)), sep="\n")
    else:
        try:
            print(run_all(options))
        except ValueError as error:
            sys.exit(f"retrieval.py: {error}")


if __name__ == "__main__":
    main()
