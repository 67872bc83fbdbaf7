"""How long the public datasets take to index, and how much memory, in their full size.

    python benchmarks/datasets.py                      all of them
    python benchmarks/datasets.py --only veriwild      one
    python benchmarks/datasets.py --shrink 100         with a hundredth of the identities

Each dataset is a stand-in (`datasets_trees.py`): the real layout, names and lists with the official
counts, in tiny files. It is indexed through `reid_repro.datasets.index` in fresh processes, whose
peak memory is taken, the writing of the tables included; the limit is 1 GB. The bound is a bare
walk over the same tree (scandir, and stat of every file) in the same process: an index that asks
for the length of every file cannot be quicker. The best of both is reported; `first_seconds` is the
index in the first process. The tree was written just before, so names come from memory, not from
the disk.

CUHK03 is `cuhk03-labelled` with crops of 80 x 30 pixels, a quarter of a usual one's, and without
the detected ones: the first index writes the crops as PNG files, the later ones find them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reid_repro import datasets, plan
from reid_repro.datasets.base import differences

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("results")
NAMES = (
    "veri776",
    "vehicleid",
    "vric",
    "veriwild",
    "market1501",
    "cuhk03-labelled",
    "viper",
    "oxford5k",
    "paris6k",
    "university1652",
)
LIMIT_MB = 1000.0
COLUMNS = (  # key, width, format
    ("images", 8, ","),
    ("first_seconds", 13, ".2f"),
    ("seconds", 8, ".2f"),
    ("images_per_second", 17, ",.0f"),
    ("walk_seconds", 12, ".2f"),
    ("times_walk", 10, ".1f"),
    ("write_seconds", 13, ".2f"),
    ("peak_mb", 7, ".0f"),
)


def peak_mb() -> float:
    """The peak memory of this process alone.

    `ru_maxrss` of Linux also counts what the parent held when it started this process, `VmHWM` does
    not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def walk(root: Path) -> int:
    """Every file below `root` is asked for its facts; how many there are."""
    files, waiting = 0, [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(entry.path)
                else:
                    entry.stat()
                    files += 1
    return files


def index(name: str, root: Path) -> dict[str, Any]:
    """Index the tree in this process, then write the tables, then walk over it."""
    config = plan.load().dataset(name).model_copy(update={"root": root})
    imported = peak_mb()
    began = time.perf_counter()
    found = datasets.index(name, config, root)
    indexed = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        datasets.write(found, Path(folder))
        written = time.perf_counter()
    peak = peak_mb()
    start = time.perf_counter()
    files = walk(root)
    return {
        "seconds": indexed - began,
        "write_seconds": written - indexed,
        "walk_seconds": time.perf_counter() - start,
        "peak_mb": peak,
        "imports_mb": imported,
        "files": files,
        "images": int(found.images["image"].nunique()),
        "counts": found.counts(),
    }


def in_fresh_process(name: str, root: Path) -> dict[str, Any]:
    """What `index` finds in a process of its own."""
    command = [sys.executable, __file__, "--index", name, str(root)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: indexing ended with {done.returncode}, see above")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(name: str, folder: Path, shrink: int, repeats: int) -> dict[str, Any]:
    """Build the tree in `folder`, index it several times, remove it."""
    from datasets_trees import build, shrunk

    config = plan.load().dataset(name)
    wanted = shrunk(config.official, shrink)
    place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
    try:
        began = time.perf_counter()
        build(name, place / "tree", wanted, unreadable=getattr(config, "unreadable", ()))
        built = time.perf_counter() - began
        runs = [in_fresh_process(name, place / "tree") for _ in range(1 + repeats)]
    finally:
        shutil.rmtree(place)
    first, *later = runs
    best = {
        key: min(run[key] for run in later) for key in ("seconds", "walk_seconds", "write_seconds")
    }
    return {
        "dataset": name,
        "images": first["images"],
        "files": later[-1]["files"],
        "first_seconds": round(first["seconds"], 3),
        "seconds": round(best["seconds"], 3),
        "images_per_second": round(first["images"] / best["seconds"]),
        "walk_seconds": round(best["walk_seconds"], 3),
        "times_walk": round(best["seconds"] / best["walk_seconds"], 2),
        "write_seconds": round(best["write_seconds"], 3),
        "peak_mb": round(max(run["peak_mb"] for run in runs)),
        "imports_mb": round(max(run["imports_mb"] for run in runs)),
        "build_seconds": round(built, 1),
        "counts": first["counts"],
        "differences": differences(name, first["counts"], wanted),
    }


def report(rows: list[dict[str, Any]]) -> str:
    """The table, and whether memory and counts are as they should be."""
    titles = [f"{'dataset':<15}", *(f"{key:>{width}}" for key, width, _ in COLUMNS)]
    lines = [" ".join(titles)]
    for row in rows:
        cells = [f"{row['dataset']:<15}"]
        cells += [f"{row[key]:>{width}{form}}" for key, width, form in COLUMNS]
        lines.append(" ".join(cells))
        lines += [f"  differs: {line}" for line in row["differences"]]
    over = [row["dataset"] for row in rows if row["peak_mb"] >= LIMIT_MB]
    unlike = [row["dataset"] for row in rows if row["differences"]]
    lines.append(f"memory under {LIMIT_MB:,.0f} MB: {'no: ' + ', '.join(over) if over else 'all'}")
    lines.append(f"counts as they should be: {'not ' + ', '.join(unlike) if unlike else 'all'}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=NAMES, help="one dataset")
    parser.add_argument("--shrink", type=int, default=1, help="so many times fewer identities")
    parser.add_argument("--repeats", type=int, default=3, help="after the first, all measured")
    parser.add_argument("--tree", type=Path, help="an existing folder to build the trees in")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the results")
    parser.add_argument("--index", nargs=2, metavar=("NAME", "ROOT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.chdir(ROOT)
    if options.index:
        name, root = options.index
        print(json.dumps(index(name, Path(root))))
        return
    from retrieval_machine import commit, describe, load, slug, versions

    found: dict[str, Any] = {
        "shrink": options.shrink,
        "repeats": options.repeats,
        "limit_mb": LIMIT_MB,
        "machine": describe(),
        "versions": versions(),
        "commit": commit(),
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
        "load": load(),
        "datasets": [],
    }
    with tempfile.TemporaryDirectory(dir=options.tree) as folder:
        for name in [options.only] if options.only else NAMES:
            row = measure(name, Path(folder), options.shrink, options.repeats)
            found["datasets"].append(row)
            print(json.dumps({k: v for k, v in row.items() if k != "counts"}), flush=True)
    print(report(found["datasets"]))
    name = "-".join(filter(None, ["datasets", options.only, slug(found["machine"])]))
    (options.out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
