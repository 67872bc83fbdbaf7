"""Rank-1 in galleries of one image an identity (SSR-Net, Section 4.7, Fig. 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from reid_repro.measures.source import LeftOutError, Measure, Source
from reid_repro.phases.inputs import Inputs

REPEATS = 10
KEYS = {"ssrnet/ssrnet": "ssr", "ssrnet/global": "gb"}


def of_ssrnet(source: Source) -> Iterator[Measure]:
    """Fig. 5: the share of the draws in which a query's first answer is right."""
    what = (
        f"share of {REPEATS} galleries of one image an identity, drawn with a fixed seed, in which "
        "the first answer is right"
    )
    for name, key in KEYS.items():
        inputs = Inputs.read(str(source.run(name)), source.subset, source.results)
        trial = inputs.trials[0]
        if trial.judgements is not None:
            raise LeftOutError(
                "where people judged, no gallery of one image an identity can be drawn"
            )
        shot = {"single_gallery_shot": True, "repeats": REPEATS}
        evaluation = replace(inputs, protocol=inputs.protocol | shot).evaluate(trial, None)
        assert evaluation.hits is not None
        queries = trial.rows_of_query["image"].to_numpy()[evaluation.query]
        values = evaluation.hits[:, 0]
        yield source.of("Fig. 5", (key, "R1_single_gallery"), queries, values, what)
