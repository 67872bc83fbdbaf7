"""A miniature `workflow/` and `results/`, written to the file contracts, for the report's tests.

Two datasets (vehicles with part boxes, pedestrians with joints), one paper with two variants and
three re-rankers, two seeds. Titles and summaries hold markup, quotes and dollar signs: a page that
fails to escape one of them breaks.
"""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import printed_world
import pyarrow as pa
import pyarrow.feather as feather
import yaml
from PIL import Image

from reid_repro.ledger.tables import retrieval_table
from reid_repro.plan import Plan, Run, load
from reid_repro.reporting.figures import cmc_figure, ranked_lists, samples, training_figure
from reid_repro.reporting.pages import build

import swept_world

HOSTILE = "<script>alert(\"x\")</script> & 'co' $x_1$"
SOURCES = Path(__file__).parents[1] / "report"
IDENTITIES, CAMERAS, SHOTS = 8, 4, 2
LABELS = ("front_window", "rear_light", "sign", "wheel")
RERANKERS = {"none": "Baseline", "aqe": "AQE", "k-reciprocal": f"k-reciprocal {HOSTILE}"}


@dataclass(frozen=True)
class World:
    """Where everything lies."""

    plan: Plan
    results: Path
    report: Path

    def metrics(
        self, dataset: str, *, variant: str = "plain", seed: int | None = None
    ) -> list[Path]:
        """Metrics files in the order of re-rankers, then seeds."""
        seeds = self.plan.config.seeds if seed is None else (seed,)
        return [
            self.results / f"metrics/ground/{variant}/{dataset}/seed{s}/test/{name}.json"
            for name in RERANKERS
            for s in seeds
        ]

    def rankings(self, dataset: str, *, variant: str = "plain") -> list[Path]:
        """Ranking files of the first seed."""
        folder = self.results / f"rankings/ground/{variant}/{dataset}/seed0/test"
        return [folder / f"{name}.parquet" for name in RERANKERS]


def make_world(
    root: Path, *, figures: bool = True, swept: bool = False, printed: bool = False
) -> World:
    """Write workflow and results below `root`; with figures and tables, as the pipeline would.

    `swept` adds a paper without networks of its own: sweeps, their figure, and times. `printed`
    gives the first paper printed cells and judged claims.
    """
    workflow = _workflow(root / "workflow")
    if swept:
        swept_world.write_paper(workflow)
    if printed:
        printed_world.write_facts(workflow)
    plan = load({"papers": ["ground", "swept"]} if swept else {}, workflow=workflow)
    results = root / "results"
    for dataset in plan.datasets:
        _dataset(results / "data" / dataset, dataset, pedestrian=dataset == "people")
    for run in plan.runs:
        _run(results, run)
        for strength, reranker in enumerate(RERANKERS):
            _metrics(results, run, reranker, strength)
    world = World(plan, results, root / "report")
    if swept:
        swept_world.write_results(plan, results, _made())
    if printed:
        printed_world.write_judged(results)
    if figures:
        _figures(world)
        if swept:
            swept_world.draw(plan, results)
    return world


@cache
def printed_site() -> World:
    """A world with print and its pages, made once a process: for tests that change nothing."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = make_world(Path(folder), printed=True)
    build(made.plan, made.results, made.report, sources=SOURCES)
    return made


def _workflow(folder: Path) -> Path:
    rendered = {"source": "rendered", "train_identities": 8, "test_identities": 8}
    _yaml(folder / "datasets/cars.yaml", rendered | {"title": HOSTILE, "subject": "vehicle"})
    _yaml(folder / "datasets/people.yaml", rendered | {"title": "People", "subject": "pedestrian"})
    _yaml(
        folder / "datasets/real.yaml",
        {"source": "market1501", "root": "data/real", "title": "A real benchmark"},
    )
    _yaml(
        folder / "papers/ground.yaml",
        {
            "title": f"Ground {HOSTILE}",
            "summary": f"What is run {HOSTILE}.",
            "datasets": {"demo": ["cars", "people"], "paper": ["real"]},
            "variants": {"plain": {"title": "Plain"}, "wide": {"title": f"Wide {HOSTILE}"}},
            "rerankers": list(RERANKERS),
            "tables": {"retrieval": {"title": f"Retrieval {HOSTILE}", "caption": "All rows."}},
        },
    )
    _yaml(
        folder / "config/demo.yaml",
        {
            "scale": "demo",
            "seeds": [0, 1],
            "papers": ["ground"],
            "training": {"height": 64, "width": 64, "epochs": 5},
            "statistics": {"resamples": 100},
            "detectors": {
                kind: {
                    "data": {"source": "rendered", "dataset": dataset},
                    "training": {"iterations": 1, "batch_size": 1, "learning_rate": 0.001},
                }
                for kind, dataset in (("parts", "cars"), ("keypoints", "people"))
            },
            "rerankers": {
                name: {"title": title, "method": "none"} for name, title in RERANKERS.items()
            },
        },
    )
    return folder


def _yaml(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content), "utf-8")


def _json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), "utf-8")


def _dataset(folder: Path, name: str, *, pedestrian: bool) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(pedestrian)
    width, height = (32, 64) if pedestrian else (64, 64)
    photographs = [
        (identity, camera, shot)
        for identity in range(1, IDENTITIES + 1)
        for camera in range(CAMERAS)
        for shot in range(SHOTS)
    ]
    pixels = [_jpeg(rng, identity, camera, width, height) for identity, camera, _ in photographs]
    feather.write_feather(pa.table({"jpeg": pa.array(pixels, type=pa.large_binary())}),
                          folder / "pixels.arrow", compression="uncompressed")  # fmt: skip
    pd.DataFrame(
        {
            "image": [f"{i:04d}_c{c}_{s}.jpg" for i, c, s in photographs],
            "identity": np.array([i for i, _, _ in photographs], dtype=np.int32),
            "camera": np.array([c for _, c, _ in photographs], dtype=np.int16),
            "width": width,
            "height": height,
            "group": [str((i - 1) // 2) for i, _, _ in photographs],
        }
    ).to_parquet(folder / "images.parquet")
    roles = ["query" if shot == 0 else "gallery" for _, _, shot in photographs]
    pd.DataFrame(
        {"subset": "test", "trial": 0, "role": roles, "image": np.arange(len(roles))}
    ).to_parquet(folder / "splits.parquet")
    notes = _joints if pedestrian else _boxes
    notes(rng, len(photographs)).to_parquet(folder / "annotations.parquet")
    counts = {"images": 32, "identities": IDENTITIES, "cameras": CAMERAS}
    content = {"content_hash": "ab" * 32, "root": None, "source": "rendered"}
    _json(folder / "content.json", content)
    _json(
        folder / "dataset.json",
        content
        | {
            "name": name,
            "title": "People" if pedestrian else HOSTILE,
            "subject": "pedestrian" if pedestrian else "vehicle",
            "counts": {"train": counts, "query": counts, "gallery": counts},
            "official": {"query": {"images": 99}},
            "protocol": {
                "same_camera": "remove", "ap": "step", "single_gallery_shot": False, "repeats": 1
            },
            "seed": 0,
        },
    )  # fmt: skip


def _jpeg(rng: np.random.Generator, identity: int, camera: int, width: int, height: int) -> bytes:
    image = np.full((height, width, 3), 60 + 30 * camera, dtype=np.float64)
    image[height // 4 : -height // 8, width // 6 : -width // 6] = np.random.default_rng(
        identity
    ).integers(40, 255, 3)
    image += rng.normal(0, 6, image.shape)
    buffer = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def _boxes(rng: np.random.Generator, images: int) -> pd.DataFrame:
    corner = rng.uniform(0, 0.7, (images * len(LABELS), 2))
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(images, dtype=np.int32), len(LABELS)),
            "label": LABELS * images,
            "x0": corner[:, 0],
            "y0": corner[:, 1],
            "x1": corner[:, 0] + 0.25,
            "y1": corner[:, 1] + 0.2,
            "visibility": 1.0,
        }
    )


def _joints(rng: np.random.Generator, images: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image": np.repeat(np.arange(images, dtype=np.int32), 14),
            "joint": np.tile(np.arange(14, dtype=np.int8), images),
            "x": rng.uniform(0.2, 0.8, images * 14),
            "y": rng.uniform(0.1, 0.9, images * 14),
            "visible": rng.random(images * 14) > 0.2,
        }
    )


def _run(results: Path, run: Run) -> None:
    folder = results / "models" / str(run)
    epochs = np.arange(1, 6)
    folder.mkdir(parents=True)
    pd.DataFrame(
        {
            "epoch": epochs,
            "learning_rate": 1e-3 / epochs,
            "loss": 3 / epochs + 0.1 * run.seed,
            "loss_identity": 2 / epochs,
            "loss_metric": 1 / epochs + 0.1 * run.seed,
            "accuracy": 1 - 0.9 / epochs,
            "images_per_second": 100.0,
            "seconds": 1.5,
        }
    ).to_csv(folder / "history.csv", index=False)
    _json(folder / "run.json", _run_facts(run))


def _run_facts(run: Run) -> dict[str, object]:
    return _made() | {
        "run": str(run),
        "scale": "demo",
        "seed": run.seed,
        "dataset": run.dataset,
        "model": {"name": "baseline", "width": 32},
        "training": {"epochs": 5, "milestones": [2, 4]},
        "data_hash": "ab" * 32,
        "precision": "32-true",
        "threads": 2,
        "started": f"2031-05-0{run.seed + 1}T10:20:30+00:00",
        "wall_seconds": 75.25,
        "peak_memory_mib": 812.4,
        "energy": {"method": "none", "watt_hours": None},
        "parameters": 1_234_567,
        "command": f"reid-repro train {run}",
    }


def _made() -> dict[str, object]:
    return {
        "config_digest": "0123456789ab",
        "commit": "c0ffee" * 6 + "c0ff",
        "dirty": False,
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "machine": {
            "cpu": f"Some processor {HOSTILE}",
            "cores": 2,
            "memory_gib": 7.8,
            "gpu": None,
            "os": "Linux x86_64",
        },
    }


def _metrics(results: Path, run: Run, reranker: str, strength: int) -> None:
    """Rankings of random distances from which the right answers are drawn nearer by `strength`."""
    images = pd.read_parquet(results / "data" / run.dataset / "images.parquet")
    rng = np.random.default_rng((run.seed, run.variant == "wide", run.dataset == "people"))
    queries, gallery = np.arange(0, len(images), 2), np.arange(1, len(images), 2)
    identity, camera = images["identity"].to_numpy(), images["camera"].to_numpy()
    distance = rng.random((len(queries), len(gallery)))
    right = identity[queries][:, None] == identity[gallery]
    distance -= 0.12 * strength * right * rng.random(right.shape)
    distance[right & (camera[queries][:, None] == camera[gallery])] = np.inf
    order = np.argsort(distance, axis=1)
    matches = np.take_along_axis(right, order, axis=1)[:, :-1]
    first = matches.argmax(axis=1) + 1
    precision = np.cumsum(matches, axis=1) / np.arange(1, matches.shape[1] + 1)
    ap = (precision * matches).sum(axis=1) / matches.sum(axis=1)
    file = results / "metrics" / str(run) / "test" / f"{reranker}.json"
    _json(file, _metrics_facts(run, reranker, ap, first, len(gallery)))
    pd.DataFrame(
        {
            "query": queries,
            "identity": identity[queries],
            "AP": ap.astype(np.float32),
            "first_hit": first.astype(np.int32),
        }
    ).to_parquet(file.with_name(f"{reranker}.per_query.parquet"))
    ranking = results / "rankings" / str(run) / "test" / f"{reranker}.parquet"
    ranking.parent.mkdir(parents=True, exist_ok=True)
    top = order[:, :10]
    pd.DataFrame(
        {
            "query": np.repeat(queries, 10),
            "rank": np.tile(np.arange(1, 11), len(queries)),
            "image": gallery[top].ravel(),
            "distance": np.take_along_axis(distance, top, axis=1).ravel(),
            "match": np.take_along_axis(right, top, axis=1).ravel(),
        }
    ).to_parquet(ranking)


def _metrics_facts(
    run: Run, reranker: str, ap: np.ndarray, first: np.ndarray, n_gallery: int
) -> dict[str, object]:
    return _made() | {
        "run": str(run),
        "subset": "test",
        "reranker": reranker,
        "title": RERANKERS[reranker],
        "method": "none",
        "options": {},
        "scale": "demo",
        "dataset": run.dataset,
        "seed": run.seed,
        "mAP": float(ap.mean()),
        "mINP": 0.5,
        "cmc": [float((first <= rank).mean()) for rank in range(1, 51)],
        "n_query": len(first),
        "n_valid": len(first),
        "n_gallery": n_gallery,
        "protocol": {"same_camera": "remove"},
        "seconds": {
            "distances": 0.0123,
            "graph": 1.25,
            "scoring": 0.5,
            "total": 1.7623,
            "recording": 0.4,
        }
        if reranker != "none"
        else {"ranking and scoring": 0.01, "total": 0.01, "recording": 0.2},
        "peak_memory_mib": 1536.0,
        "features_hash": "cd" * 32,
        "command": "reid-repro rerank",
    }


def _figures(world: World) -> None:
    plan, results = world.plan, world.results
    for dataset in plan.datasets:
        data = results / "data" / dataset
        samples(data, results / f"figures/samples/{dataset}.webp")
        for variant in plan.papers["ground"].variants:
            folder = results / f"figures/ground/{variant}/{dataset}"
            metrics = world.metrics(dataset, variant=variant)
            cmc_figure(metrics, folder / "cmc.svg", statistics=plan.config.statistics)
            histories = [
                results / f"models/ground/{variant}/{dataset}/seed{seed}/history.csv"
                for seed in plan.config.seeds
            ]
            training_figure(histories, folder / "training.svg")
            ranked_lists(
                data,
                world.metrics(dataset, variant=variant, seed=0),
                world.rankings(dataset, variant=variant),
                folder / "ranked.webp",
            )
    table = results / "tables/ground/retrieval.csv"
    table.parent.mkdir(parents=True)
    retrieval_table(plan, "ground", "retrieval", results).to_csv(table, index=False)
