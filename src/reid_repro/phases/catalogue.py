"""Every network that the configuration can train, and what it costs: `reid-repro models`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields

from rich.console import Console
from rich.table import Table

from reid_repro.models.complexity import complexity
from reid_repro.plan import Plan, Run

CLASSES = 2  # a test does without the classifier: their number changes nothing


@dataclass(frozen=True)
class Entry:
    """One variant of one paper at the plan's scale; `macs` are multiply-accumulates of an image."""

    run: str  # PAPER/VARIANT
    title: str
    network: str
    input: str  # height x width
    parameters: int
    macs: int
    descriptor: int
    planned: str  # `yes`, or why not
    source: str


def entries(plan: Plan) -> Iterator[Entry]:
    """Every variant of the plan's papers, in the order of their files."""
    known: dict[str, tuple[int, int, int]] = {}
    for name in plan.config.papers:
        for variant, settings in plan.papers[name].variants.items():
            datasets = plan.datasets_of(name) or tuple(plan.config.datasets)[:1]
            resolved = plan.resolve(Run(name, variant, datasets[0], 0))
            size = resolved.training.height, resolved.training.width
            options = resolved.model.model_dump(exclude={"name"})
            key = resolved.model.model_dump_json() + str(size)
            if key not in known:
                cost = complexity(resolved.model.name, options, num_classes=CLASSES, size=size)
                known[key] = cost.parameters, cost.macs, cost.dimension
            reasons = [plan.left_out(name, variant, one) for one in plan.datasets_of(name)]
            yield Entry(
                f"{name}/{variant}",
                settings.title,
                resolved.model.name,
                f"{size[0]} x {size[1]}",
                *known[key],
                planned="yes" if "" in reasons else (reasons or ["no dataset at this scale"])[0],
                source=settings.source,
            )


def show(plan: Plan, *, csv: bool) -> None:
    """Print the list as a table, or as CSV with plain numbers."""
    found = list(entries(plan))
    names = [field.name for field in fields(Entry)]
    if csv:
        print(",".join(names))
        for entry in found:
            print(",".join(_quoted(str(value)) for value in astuple(entry)))
        return
    table = Table(title=f"Networks at {plan.config.scale} scale", title_justify="left")
    heads = ["Run", "Title", "Network", "Input", "Parameters", "MACs", "Descriptor", "Source"]
    for head in heads:
        table.add_column(head, justify="right" if head in heads[4:7] else "left")
    for entry in found:
        table.add_row(
            entry.run if entry.planned == "yes" else f"[dim]{entry.run}[/dim]",
            entry.title,
            entry.network,
            entry.input,
            f"{entry.parameters / 1e6:.2f} M",
            f"{entry.macs / 1e9:.3f} G",
            str(entry.descriptor),
            entry.source,
        )
    console = Console()
    console.print(table)
    console.print(
        "Parameters and multiply-accumulates of one image's descriptor, without classifiers. "
        "Dim: not planned; `--config '{ablations: all}'` plans every variant."
    )


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text
