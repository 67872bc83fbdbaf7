"""Rendered vehicles per second on one core, beside the bound set by the camera model alone.

Every photograph ends in `cameras.develop` (resampling, noise, JPEG), which no renderer can do
without: its rate is the bound. Rates are of CPU time of this one thread, the best of several
rounds, so that other work on the machine disturbs little; wall-clock rates stand beside them.
Identities recur as in a data set of 20 photographs each; the time to build their meshes is in.

    python benchmarks/rendering_vehicles.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from reid_repro.rendering.cameras import develop, draw_shot
from reid_repro.rendering.vehicles import VehicleRenderer

TARGET = 150.0  # images/s at 128 x 128
PHOTOGRAPHS = 20  # of each identity
CAMERAS = 6


def rate(work: Callable[[], int], rounds: int) -> tuple[float, float]:
    """Images per second of CPU time and of wall time, the best of `rounds`."""
    best_cpu = best_wall = 0.0
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.perf_counter()
        images = work()
        best_cpu = max(best_cpu, images / (time.process_time() - cpu))
        best_wall = max(best_wall, images / (time.perf_counter() - wall))
    return best_cpu, best_wall


def render_all(size: int, identities: int) -> int:
    """Photograph `identities` vehicles with a fresh renderer, caches empty."""
    renderer = VehicleRenderer(cameras=CAMERAS)
    for identity in range(identities):
        for k in range(PHOTOGRAPHS):
            renderer.render(identity, k % CAMERAS, k // CAMERAS, (size, size))
    return identities * PHOTOGRAPHS


def develop_all(size: int, images: int) -> int:
    """The camera model alone, on a plain canvas."""
    cameras = VehicleRenderer(cameras=CAMERAS).cameras
    rng = np.random.default_rng(0)
    canvas = Image.new("RGB", (size, size), (120, 120, 120))
    for k in range(images):
        camera = cameras[k % CAMERAS]
        develop(canvas, camera, draw_shot(camera, rng), rng, (size, size))
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identities", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{'size':>9} {'images/s':>9} {'wall':>7} {'camera alone':>13} {'ratio':>6}")
    for size in (128, 224, 256):
        cpu, wall = rate(partial(render_all, size, options.identities), options.rounds)
        bound, _ = rate(partial(develop_all, size, 100), options.rounds)
        name = f"{size}x{size}"
        print(f"{name:>9} {cpu:9.0f} {wall:7.0f} {bound:13.0f} {cpu / bound:6.2f}")
        if size == 128:
            first = cpu
    print(f"target at 128x128: {TARGET:.0f} images/s, reached {first / TARGET:.2f} times")


if __name__ == "__main__":
    main()
