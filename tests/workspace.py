"""A copy of the working tree as a repository of its own, its demo scale made tiny."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from reid_repro.config import merge

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

TINY: dict[str, Any] = {
    "papers": ["baseline", "pgan", "gnn", "glad"],
    "datasets": {
        name: {
            "train_identities": 8,
            "test_identities": 8,
            "cameras": 2,
            "train_images_per_camera": 2,
            "test_images_per_camera": 2,
            "height": 64,
            "width": width,
        }
        for name, width in (
            ("rendered-vehicles", 64),
            ("rendered-pedestrians", 32),
            ("rendered-parts", 64),
            ("rendered-joints", 32),
        )
    },
    "detectors": {
        "parts": {"width": 8, "size": 64, "training": {"iterations": 4, "batch_size": 4}},
        "keypoints": {
            "width": 8,
            "height": 96,
            "image_width": 48,
            "training": {"iterations": 4, "batch_size": 4},
        },
    },
    "model": {"width": 8},
    "training": {"epochs": 2, "identities_per_batch": 4, "images_per_identity": 2},
    "statistics": {"resamples": 100},
    "timings": {"shrink": 50},
}
# Of the papers with networks of their own one run each, as small as the baseline's.
TINY_PAPERS: dict[str, dict[str, Any]] = {
    "papers/pgan.yaml": {
        "variants": {"grid": {"ablation": True}, "uniform": {"ablation": True}},
        "scales": {"demo": {"model": {"dimension": 16}}},
    },
    "papers/glad.yaml": {
        "variants": {"baseline": {"ablation": True}},
        "scales": {
            "demo": {
                "model": {"width": 8, "maps": 16},
                "training": {"epochs": 2, "height": 128, "width": 64},  # smaller: no head is left
            }
        },
    },
}
# Two jobs at a time, each on one thread: on several, networks this small mostly wait for them.
SNAKEMAKE = ("snakemake", "--cores", "2", "--max-threads", "1")


class Workspace:
    """A repository in `folder`, and the programs of this environment run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def copied(cls, folder: Path, changes: dict[str, Any] = TINY) -> Workspace:
        """The working tree as it is now, committed, without its results."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            source = ROOT / name
            if source.is_file() and not name.startswith(("results/", "dvc.lock")):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        space = cls(folder)
        space.configure(changes)
        for name, paper in TINY_PAPERS.items():
            space.configure(paper, name)
        space.git("init", "-q", "-b", "main")
        space.commit("tiny")
        return space

    def copy(self, folder: Path) -> Workspace:
        """The same repository with the same results, times and records in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workspace(folder)

    def configure(self, changes: dict[str, Any], name: str = "config/demo.yaml") -> None:
        """Lay `changes` over a file of workflow/, the demo scale's if not named."""
        file = self.folder / "workflow" / name
        settings = merge(yaml.safe_load(file.read_text()), changes)
        file.write_text(yaml.safe_dump(settings, sort_keys=False))

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment; its output in the error if it fails."""
        done = subprocess.run(
            list(command), cwd=self.folder, env=self.environment(), capture_output=True, text=True
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def environment(self) -> dict[str, str]:
        """PATH with this environment first; git and DVC without the user's own settings."""
        return {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            "OMP_WAIT_POLICY": "PASSIVE",
            "COLUMNS": "200",
        }

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        """Output and errors of Snakemake with two jobs at a time."""
        done = self.run(*SNAKEMAKE, *arguments, check=check)
        return done.stdout + done.stderr

    def git(self, *arguments: str) -> str:
        """Output of git, with a committer of its own."""
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        return self.run("git", *who, *arguments).stdout

    def commit(self, message: str) -> None:
        """Commit everything that is not ignored."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
