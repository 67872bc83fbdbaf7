"""The machine: which device, which precision pays there, what to write down about it.

Torch is imported where it is asked: some jobs only say which machine they ran on.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import psutil

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
PACKAGES = ("torch", "torchvision", "lightning-fabric", "pytorch-metric-learning", "numpy")
NO_ENERGY: dict[str, Any] = {"method": "none", "watt_hours": None}
RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
# What Linux has of a GPU that torch can use: Nvidia's drivers, their Jetson's, AMD's, Windows'.
GPU_FILES = (
    "/proc/driver/nvidia/version",  # there before /dev/nvidiactl, which the first use makes
    "/dev/nvidiactl",
    "/dev/nvmap",
    "/dev/kfd",
    "/dev/dxg",
)


def best_precision() -> Precision:
    """bf16 where the device multiplies in it, fp16 on older GPUs, else float32.

    Decided by what the hardware says of itself, not by a timing, so that the same machine always
    chooses the same: a seed would mean little otherwise.
    """
    import torch

    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if native else "16-mixed"
    return "bf16-mixed" if _cpu_flags() & {"amx_bf16", "avx512_bf16"} else "32-true"


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux: nothing is known, float32 is always right
        return set()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return set(line.split())


def machine() -> dict[str, Any]:
    """The hardware and system, without anything that names this very host."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 1024**3, 1),
        "gpu": _gpu_name(),
        "os": f"{platform.system()} {platform.machine()}",
    }


def _gpu_name() -> str | None:
    """The GPU that torch sees; where a process is without torch and there is none, it stays so."""
    if (
        "torch" not in sys.modules
        and sys.platform == "linux"
        and not any(map(_is_there, GPU_FILES))
    ):
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def _is_there(file: str) -> bool:
    return Path(file).exists()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions() -> dict[str, str]:
    """The versions of what decides the numbers."""
    found = {"python": platform.python_version(), "reid-repro": version("reid-repro")}
    return found | {name: version(name) for name in PACKAGES}


def commit() -> dict[str, Any]:
    """The commit of the working tree and whether code or workflow differ from it."""
    try:
        head = _git("rev-parse", "HEAD")
        dirty = _git("status", "--porcelain", "--", "src", "workflow", "rules", "Snakefile")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head, "dirty": bool(dirty)}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def peak_memory_mib() -> float:
    """The largest memory this process has held: the GPU's where it was used, else the machine's."""
    import torch

    if torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0:
        return round(torch.cuda.max_memory_allocated() / 1024**2, 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)


@dataclass
class EnergyMeter:
    """Energy from the processor's own counter (RAPL), where Linux lets it be read.

    An estimate: it holds whatever else ran on that package meanwhile, and no GPU's share.
    """

    _start: float | None = field(init=False)

    def __post_init__(self) -> None:
        self._start = self._joules()

    def read(self) -> dict[str, Any]:
        """{method, watt_hours}; "none" and None without a counter, or when it wrapped around."""
        now = self._joules()
        if now is None or self._start is None or now < self._start:
            return NO_ENERGY
        return {"method": "rapl", "watt_hours": round((now - self._start) / 3600, 3)}

    @staticmethod
    def _joules() -> float | None:
        try:
            return int(RAPL.read_text()) / 1e6
        except (OSError, ValueError):
            return None
