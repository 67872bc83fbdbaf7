"""Lines of grouping and coarse-to-fine search (GLAD, Section 5), from `retrieval_groups.py`.

The peer of the clustering recomputes the products of every group that it splits; the peer of a
query compares it with every image. One query is the median of many, asked one at a time on one
thread; a query of a batch is the batch's time over its queries, on all threads.
"""

from __future__ import annotations

import time

from retrieval_groups import (
    PRINTED,
    batched,
    batched_exhaustive,
    clustering,
    clustering_by_group,
    one_at_a_time,
    one_at_a_time_exhaustive,
    pca_fit,
)
from retrieval_line import Facts, Line, Prepare, Task

CLUSTERING, SEARCH = "Two-fold divisive clustering", "Coarse-to-fine search"
GROUPS = 8509  # of the printed counts, the one that the targets are about (Table 7)
AT = ("small", "glad")
ALONE, TOGETHER = "one query: exhaustive", "a query of a batch: exact search"
BY_GROUP = "products of each group, 8509 groups"


def of_one_query(prepare: Prepare) -> Prepare:
    """The median query in place of all of them."""

    def prepare_one(split: object) -> Task:
        task = prepare(split)

        def one() -> Facts:
            facts = task()
            facts["seconds"] = facts.pop("seconds: one query (median)")
            return facts

        return one

    return prepare_one


def of_a_batch(prepare: Prepare) -> Prepare:
    """The batch's time over its queries."""

    def prepare_batch(split: object) -> Task:
        task = prepare(split)

        def shared() -> Facts:
            begin = time.perf_counter()
            facts = task()
            facts["seconds"] = (time.perf_counter() - begin) / float(facts["queries"])
            return facts

        return shared

    return prepare_batch


def named(groups: int, dim: int | None) -> str:
    return f"{groups} groups, {f'{dim}-d' if dim else 'all dimensions'}"


CASES: tuple[Line, ...] = (
    Line(BY_GROUP, CLUSTERING, clustering_by_group(GROUPS), "peer", AT),
    *(
        Line(
            f"TDC, {groups} groups",
            CLUSTERING,
            clustering(groups),
            sizes=AT,
            beside=BY_GROUP if groups == GROUPS else None,
        )
        for groups in PRINTED
    ),
    Line(f"TDC, {GROUPS} groups, fp32", CLUSTERING, clustering(GROUPS, "float32"), sizes=AT),
    Line("PCA to 128-d", SEARCH, pca_fit(128), sizes=AT),
    Line(ALONE, SEARCH, of_one_query(one_at_a_time_exhaustive), "peer", AT),
    *(
        Line(
            f"one query: {named(groups, dim)}",
            SEARCH,
            of_one_query(one_at_a_time(groups, dim)),
            sizes=AT,
            beside=ALONE,
        )
        for groups, dim in (
            *((groups, 128) for groups in PRINTED),
            (GROUPS, 512),
            (GROUPS, None),
        )
    ),
    Line(TOGETHER, SEARCH, of_a_batch(batched_exhaustive), sizes=AT),
    Line(
        f"a query of a batch: {named(GROUPS, 128)}",
        SEARCH,
        of_a_batch(batched(GROUPS, 128)),
        sizes=AT,
        beside=TOGETHER,
    ),
)
