"""What is written down about the machine, and that torch is imported only where it is asked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from reid_repro import devices


def after(*lines: str) -> str:
    """What a new process prints that imports `devices` alone and then runs `lines`."""
    program = "\n".join(["import sys", "from reid_repro import devices", *lines])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_without_a_gpu_torch_is_not_imported() -> None:
    said = after(
        "devices.GPU_FILES = ()", "print(devices.machine()['gpu'], 'torch' in sys.modules)"
    )
    assert said == ("None False" if sys.platform == "linux" else f"{devices._gpu_name()} True")


def test_where_a_gpu_may_be_torch_is_asked(tmp_path: Path) -> None:
    lines = f"devices.GPU_FILES = ({str(tmp_path)!r},)", "devices.machine()"
    assert after(*lines, "print('torch' in sys.modules)") == "True"


def test_a_process_with_torch_asks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "GPU_FILES", ())
    answers: dict[str, Any] = {"is_available": lambda: True, "get_device_name": lambda: "A GPU"}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    assert devices.machine()["gpu"] == "A GPU"
