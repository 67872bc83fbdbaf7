"""Phase `models`: a run is trained into weights.safetensors, history.csv and run.json.

On several devices every process runs this; the first one writes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from reid_repro import devices, models
from reid_repro.datasets import places
from reid_repro.datasets.images import ImageStore
from reid_repro.errors import UserError
from reid_repro.files import read_json, read_parquet, whole, write_csv, write_json
from reid_repro.memory import starting
from reid_repro.networks import needs
from reid_repro.plan import Plan, ResolvedRun


def run(plan: Plan, name: str, results: Path, *, threads: int = 0) -> None:
    """Train run `name` (`PAPER/VARIANT/DATASET/seedN`); `threads` 0 leaves torch's own choice."""
    resolved = plan.resolve(name)
    # Here, since what only loads a network does not need what trains one (two seconds a job).
    with starting():
        from reid_repro.training.checkpoint import clear
        from reid_repro.training.loop import train

    if threads:
        torch.set_num_threads(max(1, threads // resolved.training.devices))
    data = results / "data" / resolved.dataset
    store = ImageStore.open(data)
    facts = read_json(data / "content.json")
    meter = devices.EnergyMeter()
    checkpoints = results / "checkpoints" / name
    trained = train(
        resolved,
        store,
        read_parquet(data / "splits.parquet"),
        data_hash=facts["content_hash"],
        checkpoints=checkpoints,
        places=places.load(
            results, resolved.dataset, needs(resolved.model), resolved.places, len(store)
        ),
    )
    if trained.rank > 0:
        return
    out = results / "models" / name
    with whole(out / "weights.safetensors") as beside:
        # safetensors keeps plain row-major tensors only
        state = {key: value.contiguous() for key, value in trained.model.state_dict().items()}
        save_file(state, beside)
    write_csv(out / "history.csv", trained.history)
    write_json(
        out / "run.json",
        {
            **resolved.model_dump(mode="json"),
            "num_classes": trained.num_classes,
            "config_digest": plan.digest,
            "data_hash": facts["content_hash"],
            **devices.commit(),
            "versions": devices.versions(),
            "machine": devices.machine(),
            "precision": trained.precision,
            "threads": torch.get_num_threads(),
            "world_size": trained.world_size,
            "started": trained.started,
            "wall_seconds": round(trained.wall_seconds, 1),
            "resumed": trained.resumed,
            "peak_memory_mib": trained.peak_memory_mib,
            # The counter of a killed process is lost with it.
            "energy": devices.NO_ENERGY if trained.resumed else meter.read(),
            "parameters": sum(p.numel() for p in trained.model.parameters()),
            "command": plan.command(f"results/models/{name}/weights.safetensors"),
        },
    )
    clear(checkpoints)


def load(name: str, results: Path) -> tuple[nn.Module, ResolvedRun]:
    """The trained network of a run and the settings it was trained with.

    Loading is strict: UserError names the file if a key or a shape does not fit.
    """
    folder = results / "models" / name
    facts = read_json(folder / "run.json")
    settings = ResolvedRun.model_validate(
        {key: facts[key] for key in ResolvedRun.model_fields if key in facts}
    )
    weights = folder / "weights.safetensors"
    try:
        state = load_file(weights)
        options = settings.model.model_dump(exclude={"name"}) | {"weights": "none"}
        network = models.build(settings.model.name, facts["num_classes"], **options)
        network.load_state_dict(state)
    except Exception as error:  # safetensors and torch raise many types for a damaged file
        reason = str(error).strip().splitlines()[0]
        message = f"{weights}: cannot be loaded ({reason}); delete it and run again"
        raise UserError(message) from None
    return network, settings
