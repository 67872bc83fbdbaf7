"""Cameras with fixed distributions of viewpoint, light and optics.

A camera is drawn once from (seed, kind, camera number); every photograph then jitters around
its camera's means. That is what makes two cameras differ *systematically*, as in the street
(VehicleX and PersonX vary the same attributes).
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from reid_repro.rendering.scene import Kind, camera_generator

_MIDDLE_GREY = 110.0  # what contrast leaves alone


@dataclass(frozen=True)
class Camera:
    """The fixed distribution of one camera. Angles are in degrees."""

    number: int
    azimuth: float  # mean azimuth of the object to the camera; 0 = seen from the front
    azimuth_spread: float
    elevation: float  # how far the camera looks down
    elevation_spread: float
    exposure: float  # factor on the linear-ish intensity
    exposure_spread: float
    contrast: float
    cast: tuple[float, float, float]  # colour cast, factors on R, G, B
    light_azimuth: float  # where the sun stands
    resolution: float  # share of the output resolution that the sensor really has
    blur: float  # Gaussian radius in output pixels at 128 px height
    noise: float  # standard deviation, 0..255
    jpeg_quality: int
    occlusion: float  # probability that something stands before the object
    ground: tuple[float, float, float]  # grey of the road, 0..255
    wall: tuple[float, float, float]  # grey of what stands behind


@dataclass(frozen=True)
class Shot:
    """One photograph's own values, drawn around its camera's means."""

    azimuth: float
    elevation: float
    exposure: float
    occluded: bool


def make_cameras(seed: int, kind: Kind, count: int) -> tuple[Camera, ...]:
    """The `count` cameras of a scene; camera k is the same whatever `count` is."""
    return tuple(_make_camera(seed, kind, number) for number in range(count))


def _make_camera(seed: int, kind: Kind, number: int) -> Camera:
    rng = camera_generator(seed, kind, number)
    # The golden angle spreads viewpoints evenly for any number of cameras.
    azimuth = (number * 137.508 + rng.uniform(-15, 15)) % 360
    warm = rng.uniform(-1, 1)
    grey = rng.uniform(85, 150)
    tint = rng.uniform(-6, 6, size=3)
    return Camera(
        number=number,
        azimuth=azimuth,
        azimuth_spread=rng.uniform(20, 40) if kind == "vehicle" else rng.uniform(12, 28),
        elevation=rng.uniform(8, 28) if kind == "vehicle" else rng.uniform(2, 18),
        elevation_spread=rng.uniform(2, 5),
        exposure=rng.uniform(0.72, 1.12 if kind == "vehicle" else 1.22),
        exposure_spread=rng.uniform(0.04, 0.10),
        contrast=rng.uniform(0.82, 1.12),
        cast=(1 + 0.10 * warm, 1 + 0.02 * float(rng.uniform(-1, 1)), 1 - 0.10 * warm),
        light_azimuth=rng.uniform(0, 360),
        resolution=rng.uniform(0.7 if kind == "vehicle" else 0.55, 1.0),
        blur=rng.uniform(0.0, 0.5 if kind == "vehicle" else 0.8),
        noise=rng.uniform(2, 6 if kind == "vehicle" else 8),
        jpeg_quality=int(rng.integers(45, 90)),
        occlusion=rng.uniform(0.05, 0.25),
        ground=_grey(grey, tint),
        wall=_grey(grey + rng.uniform(-30, 40), tint),
    )


def _grey(level: float, tint: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (level + tint).tolist()
    return red, green, blue


def draw_shot(camera: Camera, rng: np.random.Generator) -> Shot:
    """Viewpoint and light of one photograph."""
    return Shot(
        azimuth=(camera.azimuth + rng.normal(0, camera.azimuth_spread)) % 360,
        elevation=max(0.0, camera.elevation + rng.normal(0, camera.elevation_spread)),
        exposure=camera.exposure * float(np.exp(rng.normal(0, camera.exposure_spread))),
        occluded=bool(rng.random() < camera.occlusion),
    )


def develop(
    canvas: Image.Image,
    camera: Camera,
    shot: Shot,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> np.ndarray:
    """What the camera makes of a drawn scene: (height, width, 3) uint8 of `size` (height, width).

    In the order of a real one: optics (resolution, blur), sensor (exposure, cast, contrast,
    noise), file (JPEG).
    """
    height, width = size
    sensor = (
        max(8, round(width * camera.resolution)),
        max(8, round(height * camera.resolution)),
    )
    # A box filter is exact and cheap for a canvas well above the sensor; near the sensor's own
    # size it would drop or double rows.
    ample = canvas.width >= 1.5 * sensor[0]
    kernel = Image.Resampling.BOX if ample else Image.Resampling.BILINEAR
    image = canvas.resize(sensor, kernel)
    radius = camera.blur * camera.resolution * height / 128
    if radius > 0.15:
        image = image.filter(ImageFilter.GaussianBlur(radius))
    # (pixel * cast * exposure - middle) * contrast + middle, on top of the noise, in place.
    gain = np.array(camera.cast, dtype=np.float32) * np.float32(shot.exposure * camera.contrast)
    pixels = rng.standard_normal((*sensor[::-1], 3), dtype=np.float32)
    pixels *= np.float32(camera.noise)
    pixels += np.asarray(image) * gain
    pixels += np.float32(_MIDDLE_GREY * (1 - camera.contrast))
    np.clip(pixels, 0, 255, out=pixels)
    image = Image.fromarray(pixels.astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=camera.jpeg_quality)
    image = Image.open(buffer)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image.convert("RGB"))
