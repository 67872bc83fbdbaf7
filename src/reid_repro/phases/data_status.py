"""What datasets there are, which of them lie here, and whether they are whole."""

from __future__ import annotations

from collections.abc import Iterable

from reid_repro import datasets
from reid_repro.config import DatasetConfig
from reid_repro.dataset_config import FolderDataset
from reid_repro.datasets import checks
from reid_repro.datasets import fetch as fetching
from reid_repro.errors import UserError
from reid_repro.phases.data import settings_of
from reid_repro.plan import Plan
from reid_repro.progress import add_task, progress


def table(plan: Plan) -> list[str]:
    """A line a dataset: name, status, images by official count, and how to get what is not here."""
    found = [("dataset", "status", "images", "")]
    for name, config in sorted(plan.config.datasets.items()):
        found.append((name, *_line(name, config)))
    widths = [max(len(row[column]) for row in found) for column in range(3)]
    return [
        f"{name:<{widths[0]}}  {status:<{widths[1]}}  {count:>{widths[2]}}  {how}".rstrip()
        for name, status, count, how in found
    ]


def _line(name: str, config: DatasetConfig) -> tuple[str, str, str]:
    if not isinstance(config, FolderDataset):
        return "drawn here", "", ""
    official = sum(roles.get("images", 0) for roles in config.official.values())
    count = f"{official:,}" if official else ""
    status = fetching.status(config)
    if status == "present":
        return status, count, str(config.root)
    return status, count, fetching.how(name, config)


def fetch(plan: Plan, name: str) -> str:
    """Download and unpack a dataset; UserError says how to get one that must be asked for."""
    config = _folder(plan, name)
    fetching.fetch(name, config)
    return f"{name}: in {config.root}; `reid-repro data check {name}` opens every image"


def check(plan: Plan, name: str, *, allow_partial: bool = False, workers: int = 1) -> list[str]:
    """What a whole dataset holds, as lines.

    Raises UserError with everything that is wrong; with `allow_partial`, only where the dataset
    cannot be indexed at all.
    """
    root = _folder(plan, name).root
    dataset = datasets.index(name, settings_of(plan, name, allow_partial=True), root)
    with progress() as display:
        task = add_task(display, f"{name} images", dataset.images["image"].nunique())
        wrong = checks.problems(
            dataset, workers=workers, advance=lambda count: display.advance(task, count)
        )
    wrong = [line.removeprefix(f"{name}: ") for line in wrong]
    if wrong and not allow_partial:
        raise UserError(f"dataset '{name}': " + "; ".join(wrong))
    counts = [
        f"{name}: {role}: " + ", ".join(f"{n:,} {what}" for what, n in found.items())
        for role, found in dataset.counts().items()
    ]
    return [*counts, *(f"note: {line}" for line in wrong)]


def absent(plan: Plan, names: Iterable[str]) -> list[str]:
    """A line for each of the datasets that does not lie here as a whole: how to get it."""
    found = []
    for name in names:
        config = plan.dataset(name)
        if isinstance(config, FolderDataset) and fetching.status(config) != "present":
            if fetching.status(config) == "partial" and config.allow_partial:
                continue
            found.append(f"{name}: {fetching.status(config)}; {fetching.how(name, config)}")
    return found


def _folder(plan: Plan, name: str) -> FolderDataset:
    config = plan.dataset(name)
    if not isinstance(config, FolderDataset):
        raise UserError(f"dataset '{name}' is drawn here: there is nothing to fetch or check")
    return config
