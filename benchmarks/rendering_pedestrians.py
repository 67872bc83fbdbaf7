"""Rendered pedestrians per second on one core, beside two bounds measured in the same run.

Every photograph ends in `cameras.develop` (resampling, noise, JPEG), which no renderer can do
without: its rate is the first bound. The second is JPEG alone, encoded and decoded once, what any
reader and writer of image files pays. Rates are of CPU time of this one thread, the best of
several rounds, so that other work on the machine disturbs little; wall-clock rates stand beside
them. Identities recur as in a data set of 20 photographs each; the time to dress them is in.

    taskset -c 0 python benchmarks/rendering_pedestrians.py
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from reid_repro.rendering.cameras import develop, draw_shot
from reid_repro.rendering.pedestrians import PedestrianRenderer

PHOTOGRAPHS = 20  # of each identity
CAMERAS = 6
SIZES = ((128, 64), (256, 128))  # (height, width) in pixels


def rate(work: Callable[[], int], rounds: int) -> tuple[float, float]:
    """Images per second of CPU time and of wall time, the best of `rounds`."""
    best_cpu = best_wall = 0.0
    for _ in range(rounds):
        cpu, wall = time.process_time(), time.perf_counter()
        images = work()
        best_cpu = max(best_cpu, images / (time.process_time() - cpu))
        best_wall = max(best_wall, images / (time.perf_counter() - wall))
    return best_cpu, best_wall


def render_all(size: tuple[int, int], identities: int) -> int:
    """Photograph `identities` pedestrians with a fresh renderer, caches empty."""
    renderer = PedestrianRenderer(cameras=CAMERAS)
    for identity in range(identities):
        for k in range(PHOTOGRAPHS):
            renderer.render(identity, k % CAMERAS, k // CAMERAS, size)
    return identities * PHOTOGRAPHS


def photographs(size: tuple[int, int], count: int) -> list[Image.Image]:
    """Finished photographs, for the bounds to work on what the renderer makes."""
    renderer = PedestrianRenderer(cameras=CAMERAS)
    return [Image.fromarray(renderer.render(k, k % CAMERAS, 0, size).image) for k in range(count)]


def develop_all(canvases: list[Image.Image], size: tuple[int, int]) -> int:
    """The camera model alone, on canvases that are already drawn."""
    cameras = PedestrianRenderer(cameras=CAMERAS).cameras
    rng = np.random.default_rng(0)
    for k, canvas in enumerate(canvases):
        camera = cameras[k % CAMERAS]
        develop(canvas, camera, draw_shot(camera, rng), rng, size)
    return len(canvases)


def jpeg_all(pictures: list[Image.Image]) -> int:
    """Encode and decode, nothing else."""
    quality = [camera.jpeg_quality for camera in PedestrianRenderer(cameras=CAMERAS).cameras]
    for k, picture in enumerate(pictures):
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality[k % CAMERAS])
        Image.open(buffer).load()
    return len(pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identities", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(
        f"{'size':>9} {'images/s':>9} {'wall':>7} {'camera alone':>13} {'ratio':>6} "
        f"{'JPEG alone':>11} {'ratio':>6}"
    )
    for size in SIZES:
        height, width = size
        # The renderer hands the camera a canvas of twice the size.
        canvases = photographs((2 * height, 2 * width), 100)
        pictures = photographs(size, 100)
        cpu, wall = rate(partial(render_all, size, options.identities), options.rounds)
        camera, _ = rate(partial(develop_all, canvases, size), options.rounds)
        jpeg, _ = rate(partial(jpeg_all, pictures), options.rounds)
        print(
            f"{f'{height}x{width}':>9} {cpu:9.0f} {wall:7.0f} {camera:13.0f} {cpu / camera:6.2f} "
            f"{jpeg:11.0f} {cpu / jpeg:6.2f}"
        )


if __name__ == "__main__":
    main()
