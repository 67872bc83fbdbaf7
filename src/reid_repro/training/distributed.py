"""One training on several processes that takes the steps of a single one.

The batch is whole, whatever the number of processes: each runs the network on its share, the
outputs are gathered (so that mining sees every image), each computes the same loss, and batch
normalisation uses the statistics of the whole batch.

The gradient, in full: every process differentiates the same loss L of the gathered outputs. The
backward pass of `gather` adds up over `world` processes, which gives each world * dL/d(its
outputs); DistributedDataParallel takes the mean of the parameters' gradients. Together: dL/dw.

It waits for the gradient of every parameter that learns. Those that no loss reaches are frozen
before (`dry_run`), so that it need not search the graph for them in each step
(`find_unused_parameters`), and their gradient is None as on one process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from reid_repro.config import TrainingConfig
from reid_repro.errors import UserError
from reid_repro.models.outputs import Outputs


class Autocast(MixedPrecision):
    """Fabric's mixed precision, but inputs stay float32: boxes need more than bf16's 8 bits."""

    def convert_input(self, data: Any) -> Any:
        """`data` itself; autocast converts what it multiplies."""
        return data


def connect(config: TrainingConfig, precision: str) -> Fabric:
    """Fabric on `config.devices` devices, or on the processes that torchrun has started.

    Starts the other processes where torchrun has not: each runs this very command again. Raises
    UserError if there are too few GPUs or they do not divide the batch, and if another launcher
    (Slurm's srun) has started another number of processes.
    """
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    devices, nodes = config.devices, 1
    if torch.distributed.is_torchelastic_launched():
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    if accelerator == "cuda" and devices > torch.cuda.device_count():
        raise UserError(
            f"training.devices is {devices}, but this machine has "
            f"{torch.cuda.device_count()} GPUs; lower it"
        )
    batch = config.identities_per_batch * config.images_per_identity
    if batch % (devices * nodes):
        raise UserError(
            f"a batch of {batch} images cannot be shared by {devices * nodes} devices; change "
            "training.devices or training.identities_per_batch"
        )
    plugin = Precision() if precision == "32-true" else _autocast(precision, accelerator)
    # What batch normalisation has gathered is the same everywhere: there is nothing to send.
    strategy = DDPStrategy(broadcast_buffers=False) if devices * nodes > 1 else "auto"
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy=strategy,
        plugins=plugin,
    )
    try:
        fabric.launch()
    except ValueError as error:  # Slurm's tasks a node or nodes are not those asked for
        message = " ".join(str(error).split())
        raise UserError(f"training.devices is {config.devices}: {message}") from None
    if fabric.world_size != devices * nodes:
        raise UserError(
            f"training.devices asks for {devices * nodes} processes, but the launcher has started "
            f"{fabric.world_size}; start as many (under Slurm: tasks of srun), or change "
            "training.devices"
        )
    return fabric


def _autocast(precision: str, device: str) -> Autocast:
    return Autocast("16-mixed" if precision == "16-mixed" else "bf16-mixed", device)


class _Gather(torch.autograd.Function):
    """(n, ...) of every process, in the order of their ranks; the gradient adds up over them."""

    @staticmethod
    def forward(ctx: FunctionCtx, own: Tensor) -> Tensor:
        world = torch.distributed.get_world_size()
        parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(world)]
        torch.distributed.all_gather(parts, own.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        each = len(total) // torch.distributed.get_world_size()
        rank = torch.distributed.get_rank()
        return total[rank * each : (rank + 1) * each]


def gather(own: Tensor) -> Tensor:
    """The rows of all processes; differentiable. All must hold the same number of rows."""
    gathered: Tensor = _Gather.apply(own)
    return gathered


def gathered(outputs: Outputs, world: int) -> Outputs:
    """The outputs for the whole batch; with one process `outputs` themselves.

    Give it only what a loss reads: what is gathered has a gradient, if one of zeros.
    """
    if world == 1:
        return outputs
    branches = [*outputs.features.values(), *outputs.logits.values()]
    # One message for all branches.
    whole = gather(torch.cat([branch.float() for branch in branches], dim=1))
    parts = iter(torch.split(whole, [branch.shape[1] for branch in branches], dim=1))
    features = {name: next(parts) for name in outputs.features}
    return Outputs(features, {name: next(parts) for name in outputs.logits})


class SynchronisedBatchNorm(_BatchNorm):
    """Batch normalisation with the statistics of all processes' samples, on a CPU.

    torch's own takes GPU tensors only. Every process must hold the same number of samples.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected at least 2 dimensions, found {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        """`input` (n, channels, ...) normalised, in its own type; statistics in float32."""
        self._check_input_dim(input)
        if not self.training:
            return functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        values = input.float()
        over = [axis for axis in range(input.dim()) if axis != 1]
        own = torch.stack(torch.var_mean(values, dim=over, correction=0))
        variances, means = gather(own[None]).unbind(dim=1)
        mean = means.mean(dim=0)
        # Between processes and within: no difference of large squares.
        variance = variances.mean(dim=0) + (means - mean).square().mean(dim=0)
        self._remember(mean.detach(), variance.detach(), input.numel() // input.shape[1])
        shape = [1, -1] + [1] * (input.dim() - 2)
        scale = torch.rsqrt(variance + self.eps) * self.weight
        offset = self.bias - mean * scale
        return torch.addcmul(offset.view(shape), values, scale.view(shape)).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, each: int) -> None:
        """Move the running statistics towards a batch's; their variance is the unbiased one."""
        if self.running_mean is None or self.running_var is None:
            return
        count = each * torch.distributed.get_world_size()
        share = self.momentum if self.momentum is not None else 1.0
        with torch.no_grad():
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * count / max(1, count - 1), share)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)


def synchronise(model: nn.Module, device: torch.device) -> nn.Module:
    """`model` with batch normalisations over all processes; parameters and keys stay the same."""
    if device.type == "cuda":
        convert: Callable[[nn.Module], nn.Module] = nn.SyncBatchNorm.convert_sync_batchnorm
        return convert(model)
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            # The same object, of another class: whoever holds it, and its state, keep it.
            module.__class__ = SynchronisedBatchNorm
    return model
