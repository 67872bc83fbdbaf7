"""Simulated features at the sizes of the papers' test sets, for what depends on size alone.

Time, memory and group counts at a printed size need no images. A feature is an identity's centre,
a shift of its camera and noise, L2-normalised; images are of uneven difficulty, and distractors
and junk show people and places of their own. The noise of each size is set so that ranking by
distance gives a step mAP near 0.8, which leaves a re-ranker something to do, as real features do.

The counts are those of the test sets (GNN re-ranking, Section 4.1; GLAD, Section 4; for VERI-Wild
its largest list). Positive images of Oxford5k and Paris6k stand for the good and ok ones of all
queries together, shared evenly among eleven landmarks.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

STREAM_ELEMENTS = 1 << 22  # features of one stream of random numbers: threads share the streams out
BLOCK_ELEMENTS = 1 << 18  # features drawn at a time: 1 MiB, so the intermediate copies stay small
CAMERA_SHIFT = 0.5  # beside identity centres of standard deviation 1
EASIEST, HARDEST = 0.4, 1.6  # the noise of an image, as a share of the size's


@dataclass(frozen=True)
class Size:
    """Counts of a simulated test set.

    Attributes:
        queries: images asked for; `matches` gallery images of the queries' identities.
        distractors, junk: gallery images of identity 0 and -1, of `strangers` other centres.
        identities: identities of the queries, all about equally frequent.
        cameras: cameras, drawn evenly; 0 where the protocol knows none (every camera is -1).
        dim: dimensions of a feature.
        noise: standard deviation of the noise in a dimension.
    """

    queries: int
    matches: int
    identities: int
    cameras: int
    dim: int
    noise: float
    distractors: int = 0
    junk: int = 0
    strangers: int = 0

    @property
    def gallery(self) -> int:
        """Number of gallery images."""
        return self.matches + self.distractors + self.junk


SIZES = {
    "small": Size(400, 2000, 100, 6, 256, 1.6, distractors=400, junk=600, strangers=100),
    "market": Size(3368, 13115, 750, 6, 1536, 2.3, distractors=2798, junk=3819, strangers=750),
    "veri": Size(1678, 11579, 200, 20, 2048, 3.0),
    "wild": Size(10000, 128517, 10000, 174, 512, 1.7),
    "oxford": Size(55, 567, 11, 0, 2048, 3.1, distractors=4440, strangers=1000),
    "paris": Size(55, 1790, 11, 0, 2048, 3.5, distractors=4567, strangers=1000),
    "university": Size(37855, 701, 701, 0, 512, 2.0, distractors=250, strangers=250),
    "glad": Size(3368, 13115, 750, 6, 4096, 3.0, distractors=2798, junk=3819, strangers=750),
}


@dataclass(frozen=True)
class Split:
    """Features of queries and gallery in one matrix, queries first, with their labels.

    Attributes:
        nodes: L2-normalised features, (queries + gallery, d) float32.
        query_ids, gallery_ids: identities from 1; 0 distractor, -1 junk.
        query_cameras, gallery_cameras: cameras from 0; -1 unknown.
    """

    nodes: FloatArray
    query_ids: IntArray
    gallery_ids: IntArray
    query_cameras: IntArray
    gallery_cameras: IntArray

    @property
    def query(self) -> FloatArray:
        """Features of the queries, (q, d): a view."""
        return self.nodes[: len(self.query_ids)]

    @property
    def gallery(self) -> FloatArray:
        """Features of the gallery, (g, d): a view."""
        return self.nodes[len(self.query_ids) :]

    @property
    def labels(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Identities and cameras in the order in which `evaluate` takes them."""
        return self.query_ids, self.gallery_ids, self.query_cameras, self.gallery_cameras


def simulate(size: Size, seed: int = 0, *, threads: int = 1) -> Split:
    """Draw a test set; the same size and seed give the same one, on any number of threads.

    Raises:
        ValueError: counts that cannot make a test set.
    """
    _check(size)
    rng = np.random.default_rng(seed)
    n = size.queries + size.gallery
    centres = rng.standard_normal((size.identities + size.strangers, size.dim), dtype=np.float32)
    shifts = rng.standard_normal((max(size.cameras, 1), size.dim), dtype=np.float32)
    shifts *= CAMERA_SHIFT
    known = np.arange(size.queries) % size.identities
    entry = np.arange(size.gallery)
    entry_centre = entry % size.identities
    entry_centre[size.matches :] = size.identities + rng.integers(
        max(size.strangers, 1), size=size.distractors + size.junk
    )
    identity = np.where(entry < size.matches, entry_centre + 1, 0)
    identity[size.matches + size.distractors :] = -1
    order = rng.permutation(size.gallery)
    centre = np.concatenate([known, entry_centre[order]])
    camera = rng.integers(size.cameras, size=n) if size.cameras else np.full(n, -1)
    level = size.noise * rng.uniform(EASIEST, HARDEST, size=(n, 1)).astype(np.float32)
    nodes = np.empty((n, size.dim), dtype=np.float32)

    def draw(first: int, stream: np.random.Generator) -> None:
        for start, stop in _parts(first, min(first + rows, n), BLOCK_ELEMENTS // size.dim):
            block, at = nodes[start:stop], slice(start, stop)
            stream.standard_normal(out=block, dtype=np.float32)
            block *= level[at]
            block += centres[centre[at]]
            block += shifts[camera[at]]  # -1, no camera, takes the only shift there is
            block /= np.sqrt(np.einsum("nd,nd->n", block, block))[:, None]

    rows = max(1, STREAM_ELEMENTS // size.dim)
    firsts = range(0, n, rows)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(draw, firsts, rng.spawn(len(firsts))))
    return Split(
        nodes,
        known + 1,
        identity[order],
        camera[: size.queries],
        camera[size.queries :],
    )


def _parts(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    """The range start:stop in ranges of at most `step`, which is taken as 1 at least."""
    for first in range(start, stop, max(1, step)):
        yield first, min(first + max(1, step), stop)


def _check(size: Size) -> None:
    if min(size.queries, size.matches, size.identities, size.dim) < 1:
        raise ValueError(f"{size}: queries, matches, identities and dim start at 1")
    if min(size.distractors, size.junk, size.cameras, size.strangers, size.noise) < 0:
        raise ValueError(f"{size}: distractors, junk, cameras, strangers and noise start at 0")
    if size.distractors + size.junk and not size.strangers:
        raise ValueError(f"{size}: distractors and junk need strangers, centres of their own")
