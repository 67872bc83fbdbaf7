"""Right answers among the first ones (PGAN Fig. 5, SSR-Net Fig. 6, GLAD Fig. 5).

What counts as an answer is what the evaluation ranks: junk and images of the query's own identity
in its own camera are dropped where the protocol says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from reid_repro.measures.source import Measure, Rows, Source


def right_answers(ranking: pd.DataFrame, first: int) -> tuple[Rows, npt.NDArray[np.float64]]:
    """The queries in order, and of each the number of right answers among the `first` ones.

    `ranking` has query, rank (from 1) and match. Raises ValueError where fewer ranks are kept.
    """
    if len(ranking) and ranking["rank"].max() < first:
        raise ValueError(f"{ranking['rank'].max()} ranks are kept, {first} are needed")
    counted = (ranking["match"] & (ranking["rank"] <= first)).groupby(ranking["query"]).sum()
    return counted.index.to_numpy(np.int64), counted.to_numpy(np.float64)


def _counts(
    source: Source, figure: str, keys: Mapping[str, tuple[str, str]], first: Mapping[str, int]
) -> Iterator[Measure]:
    for name, key in keys.items():
        queries, values = right_answers(source.first_ranks(name), first[name])
        what = f"right answers among the first {first[name]}, by query"
        yield source.of(figure, key, queries, values, what)


def of_pgan(source: Source) -> Iterator[Measure]:
    """PGAN Fig. 5: of five."""
    keys = {f"pgan/{name}": (name, "correct_in_top5") for name in ("pgan", "grid")}
    return _counts(source, "Fig. 5", keys, dict.fromkeys(keys, 5))


def of_ssrnet(source: Source) -> Iterator[Measure]:
    """SSR-Net Fig. 6: of ten."""
    keys = {
        "ssrnet/ssrnet": ("ssr", "mean_correct_top10"),
        "ssrnet/global": ("gb", "mean_correct_top10"),
    }
    return _counts(source, "Fig. 6", keys, dict.fromkeys(keys, 10))


def example(source: Source) -> Iterator[Measure]:
    """SSR-Net Fig. 6 (b), one query that the paper does not name: five ranks against ten.

    An example says that there is such a query: shown is the one that gains most, with both counts.
    """
    sides = {"ssr": ("ssrnet/ssrnet", 5), "gb": ("ssrnet/global", 10)}
    counts = {
        key: right_answers(source.first_ranks(name), first) for key, (name, first) in sides.items()
    }
    queries = counts["ssr"][0]
    best = int(np.argmax(counts["ssr"][1] - counts["gb"][1]))
    for key, (_, first) in sides.items():
        what = (
            f"right answers among the first {first} of one query, as in print: the one where the "
            "first five of SSR-Net hold most more than the first ten of the baseline"
        )
        value = counts[key][1][best : best + 1]
        yield source.of(
            "Fig. 6b", (key, f"correct_top{first}"), queries[best : best + 1], value, what
        )


def of_glad(source: Source) -> Iterator[Measure]:
    """GLAD Fig. 5: of ten."""
    keys = {f"glad/{name}": (name, "mean_correct_top10") for name in ("glad", "baseline")}
    return _counts(source, "Fig. 5", keys, dict.fromkeys(keys, 10))
