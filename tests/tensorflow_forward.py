"""A literal forward of TensorFlow's operations, on images (rows, columns, channels).

`variables` are a checkpoint's, in TensorFlow's layout: kernels (rows, columns, in, out), of
transposed convolutions (rows, columns, out, in).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

EPSILON = 1e-5  # of the batch normalisation of slim's ResNets


def taps(size: int, out: int, kernel: int, stride: int, rate: int, begin: int) -> Iterator[
    tuple[int, int, int]
]:  # fmt: skip
    """(output, tap, input) for every tap of every output that lies on the input."""
    for to in range(out):
        for tap in range(kernel):
            source = to * stride + tap * rate - begin
            if 0 <= source < size:
                yield to, tap, source


def convolution(
    image: np.ndarray, weights: np.ndarray, stride: int = 1, rate: int = 1
) -> np.ndarray:
    """slim's `conv2d_same`: zeros of half the dilated kernel at either side, whatever the size."""
    kernel = weights.shape[0]
    begin = (kernel - 1) * rate // 2
    rows, columns = image.shape[:2]
    out = np.zeros((math.ceil(rows / stride), math.ceil(columns / stride), weights.shape[3]))
    for i, u, y in taps(rows, out.shape[0], kernel, stride, rate, begin):
        for j, v, x in taps(columns, out.shape[1], kernel, stride, rate, begin):
            out[i, j] += image[y, x] @ weights[u, v]
    return out


def layer(
    image: np.ndarray, variables: dict[str, np.ndarray], name: str, stride: int = 1, rate: int = 1
) -> np.ndarray:
    found = convolution(image, variables[f"{name}/weights"], stride, rate)
    gamma, beta, mean, variance = (
        variables[f"{name}/BatchNorm/{part}"]
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return gamma * (found - mean) / np.sqrt(variance + EPSILON) + beta


def unit(
    image: np.ndarray, variables: dict[str, np.ndarray], name: str, stride: int, rate: int
) -> np.ndarray:
    name = f"resnet_v1_101/{name}/bottleneck_v1"
    if f"{name}/shortcut/weights" in variables:
        shortcut = layer(image, variables, f"{name}/shortcut", stride)
    else:
        shortcut = image[::stride, ::stride]  # max pooling of one cell
    residual = np.maximum(layer(image, variables, f"{name}/conv1"), 0)
    residual = np.maximum(layer(residual, variables, f"{name}/conv2", stride, rate), 0)
    return np.maximum(shortcut + layer(residual, variables, f"{name}/conv3"), 0)


def head(image: np.ndarray, variables: dict[str, np.ndarray], name: str) -> np.ndarray:
    """`conv2d_transpose`, "SAME": the transpose of the convolution from twice the size to this one.

    That convolution of kernel 3 and stride 2 pads (n - 1) 2 + 3 - 2n = 1 in all, none of it at the
    beginning.
    """
    weights = variables[f"pose/{name}/block4/weights"]
    rows, columns = image.shape[:2]
    out = np.zeros((2 * rows, 2 * columns, weights.shape[2]))
    for i, u, y in taps(2 * rows, rows, 3, 2, 1, 0):
        for j, v, x in taps(2 * columns, columns, 3, 2, 1, 0):
            out[y, x] += weights[u, v] @ image[i, j]
    return out + variables[f"pose/{name}/block4/biases"]
