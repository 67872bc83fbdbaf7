"""One process of a training, as `torchrun` or Fabric starts it: `python training_process.py FILE`.

FILE holds the resolved run, the data's folder and where to write. Beside the training every process
takes one step of a small network, whose gradients the test compares.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import nn

from reid_repro.config import TrainingConfig
from reid_repro.datasets.images import ImageStore
from reid_repro.files import read_parquet
from reid_repro.models.outputs import Outputs
from reid_repro.plan import ResolvedRun
from reid_repro.training import distributed
from reid_repro.training.loop import train
from reid_repro.training.losses import ReIDLoss


class Small(nn.Module):
    """Both kinds of normalisation that the networks have, and two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.neck = nn.BatchNorm1d(6)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(6, 4, bias=False)

    def forward(self, images: torch.Tensor) -> Outputs:
        maps = torch.relu(self.norm(self.first(images)))
        feature, peak = maps.mean((2, 3)), maps.amax((2, 3))
        logits = self.classifier(self.neck(feature))
        return Outputs({"mean": feature, "peak": peak}, {"mean": logits})


def small_batch() -> tuple[Small, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return Small(), torch.randn(8, 3, 6, 5) * 2 + 1, torch.arange(4).repeat_interleave(2)


def small_step(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, world: int) -> float:
    """The loss of the whole batch; leaves the gradients in `model`."""
    config = TrainingConfig(height=32, width=32, epochs=1)
    outputs = distributed.gathered(model(images), world)
    loss = ReIDLoss(config)(outputs, labels).total
    loss.backward()
    return float(loss.detach())


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def shared_step(rank: int, out: Path) -> None:
    """The small network in DistributedDataParallel, on this process's half of the batch."""
    model, images, labels = small_batch()
    distributed.synchronise(model, torch.device("cpu"))
    parallel = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    loss = small_step(parallel, images[4 * rank : 4 * rank + 4], labels, 2)
    torch.save((loss, gradients(model), model.state_dict()), out / f"rank{rank}.pt")


def main(file: Path) -> None:
    torch.set_num_threads(1)
    job = json.loads(file.read_text("utf-8"))
    data, out = Path(job["data"]), Path(job["out"])
    trained = train(
        ResolvedRun.model_validate(job["run"]),
        ImageStore.open(data),
        read_parquet(data / "splits.parquet"),
        data_hash="x",
        checkpoints=out / "checkpoints",
    )
    if trained.rank == 0:
        trained.history.to_csv(out / "history.csv", index=False)
        torch.save(trained.model.state_dict(), out / "weights.pt")
    shared_step(trained.rank, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
