"""What a run of the retrieval benchmark ran on: processor, memory, versions, load."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch
from retrieval_peers import REQUIREMENTS, SITE
from threadpoolctl import threadpool_info

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "bf16", "i8mm", "sve")
PACKAGES = ("torch", "numpy", "numba", "scipy")  # what does the work of this project


def processor() -> dict[str, Any]:
    """Model and the instruction sets that matter here."""
    model, flags = platform.processor() or platform.machine(), set[str]()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            if name.strip() in ("flags", "Features"):
                flags = set(value.split())
    return {"model": model, "flags": [flag for flag in FLAGS if flag in flags]}


def describe() -> dict[str, Any]:
    """The machine; equal for two runs whose times can be compared."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
        "torch_kernels": torch.backends.cpu.get_cpu_capability(),
    }


def versions() -> dict[str, str]:
    """Versions of what does the work, and of the peers that are installed."""
    found = {"python": platform.python_version()}
    found |= {name: metadata.version(name) for name in PACKAGES}
    pools = {(pool["internal_api"], pool["version"]) for pool in threadpool_info()}
    for name, version in sorted(pool for pool in pools if pool[1]):
        found[name] = f"{found[name]} and {version}" if name in found else version
    installed = {
        entry.name.lower().replace("_", "-"): entry.version
        for entry in metadata.distributions(path=[str(SITE)])
    }
    for line in REQUIREMENTS.read_text().splitlines():
        name = line.split("#")[0].split("==")[0].strip()
        if name in installed:
            found[name] = installed[name]
    return found


def commit() -> str:
    """The commit that is checked out, with a plus where the code differs from it."""
    try:
        head = _git("rev-parse", "--short=10", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--", "src", "benchmarks/*.py") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def load() -> float:
    """Mean number of running processes over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0


def slug(machine: dict[str, Any]) -> str:
    """A name for files: processor, cores, GPU."""
    parts = [machine["processor"]["model"], f"{machine['cores']}-cores", machine["gpu"] or ""]
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")
