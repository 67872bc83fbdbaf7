"""Rows that point at runs and rankings: what they expand to, and mistakes named by file and key."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from reid_repro import plan
from reid_repro.checking import merge
from reid_repro.errors import UserError
from reid_repro.methods import written
from reid_repro.plan import Plan
from reid_repro.rows import every_single, left_out, points_of, rows_of, single_rankings, swept_runs

POINTERS = {"papers": ["baseline", "gnn"]}
POINTING: dict[str, Any] = {
    "title": "P",
    "summary": "S",
    "datasets": {"demo": ["rendered-vehicles"]},
    "rerankers": [],
    "sweeps": {
        "depth": {"base": "gnn", "points": {"one": {"title": "One", "options": {"layers": 1}}}},
        "k2": {"base": "gnn", "vary": {"k2": {"demo": [2, 4]}}},
    },
    "tables": {
        "t": {
            "title": "T",
            "run": "baseline/bnneck",
            "rows": [{"ranking": "none", "title": "Bare"}, {"ranking": "depth.one"}],
        }
    },
    "figures": {"f": {"title": "F", "run": "baseline/bnneck", "sweeps": ["k2"]}},
    "timings": {
        "clock": {
            "measure": "reranking",
            "sizes": ["small"],
            "methods": {"aqe": {"title": "AQE", "method": "AverageQueryExpansion"}},
        }
    },
    "time_tables": {
        "tt": {"title": "TT", "timing": "clock", "rows": [{"of": "aqe", "title": "A"}]}
    },
}


@pytest.fixture
def workflow(repository: Path, tmp_path: Path) -> Path:
    shutil.copytree(repository / "workflow", tmp_path / "workflow")
    return tmp_path / "workflow"


def pointing(workflow: Path, changes: dict[str, Any] | None = None, **overrides: Any) -> Plan:
    """A plan with a paper that points at the baseline's run."""
    content = merge(POINTING, changes or {})
    (workflow / "papers" / "pointing.yaml").write_text(yaml.safe_dump(content))
    return plan.load({"papers": ["pointing"], **overrides}, workflow=workflow)


def test_rows_point_at_another_papers_runs(workflow: Path) -> None:
    planned = pointing(workflow)
    assert [str(run) for run in planned.runs] == ["baseline/bnneck/rendered-vehicles/seed0"]
    first, second = rows_of(planned, "pointing", "t")
    assert (first.title, first.ranking, first.name) == ("Bare", "none", "baseline/bnneck")
    assert (second.title, second.ranking) == ("One", "depth.one")
    assert [row.ranking for row in rows_of(planned, "pointing", "f")] == ["k2.k2_2", "k2.k2_4"]
    run = planned.runs[0]
    assert single_rankings(planned, "pointing") == [(run, "none")]
    assert swept_runs(planned, "pointing") == [("depth", run), ("k2", run)]


def test_nothing_is_trained_or_scored_twice(repository: Path) -> None:
    alone, together = plan.load({"papers": ["baseline"]}), plan.load(POINTERS)
    assert together.runs == alone.runs
    singles = every_single(together)
    assert len(set(singles)) == len(singles)
    assert set(singles) > set(every_single(alone))


def test_a_point_lies_over_the_scales_re_ranker(workflow: Path) -> None:
    planned = pointing(workflow, rerankers={"gnn": {"options": {"k1": 9, "k2": 5}}})
    one = points_of(planned, "pointing", "depth")["one"]
    assert written(one) == {"k1": 9, "k2": 5, "layers": 1}
    varied = points_of(planned, "pointing", "k2")
    assert {name: written(point)["k2"] for name, point in varied.items()} == {"k2_2": 2, "k2_4": 4}
    assert varied["k2_4"].title == "k2 = 4"


def test_a_scale_lays_its_own_options_over_a_point(workflow: Path) -> None:
    scaled = {"options": {"layers": 8}, "scales": {"demo": {"layers": 4}, "paper": {"layers": 16}}}
    changes = {"sweeps": {"depth": {"points": {"one": scaled}}}}
    assert (
        written(points_of(pointing(workflow, changes), "pointing", "depth")["one"])["layers"] == 4
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sweeps": {"depth": {"points": {"one": {"options": {"layer": 1}}}}}},
         "sweeps.depth.points.one: unknown key 'options.layer'; did you mean 'layers'?"),
        ({"sweeps": {"k2": {"vary": {"k2": {"demo": [0]}}}}},
         "sweeps.k2.vary.k2: key 'options.k2': input should be greater"),
        ({"sweeps": {"k2": {"vary": {"k2": {"demo": []}}}}}, "sweeps.k2.vary.k2: no values"),
        ({"sweeps": {"depth": {"base": "gn"}}}, "sweeps.depth.base: unknown re-ranker 'gn'"),
        ({"sweeps": {"depth": {"vary": {"k2": {"demo": [2]}}}}}, "either 'points', or 'vary'"),
        ({"sweeps": {"gnn": {"base": "gnn", "vary": {"k2": {"demo": [2]}}}}},
         "sweeps.gnn: the name of a re-ranker"),
        ({"tables": {"t": {"rows": [{"ranking": "gn"}]}}},
         "tables.t.rows.0.ranking: unknown 'gn'; known: none"),
        ({"tables": {"t": {"rows": [{"ranking": "depth.two"}]}}},
         "tables.t.rows.0.ranking: unknown 'two'; known: one"),
        ({"tables": {"t": {"rows": [{"ranking": "k2.k2_3"}]}}},
         "tables.t.rows.0.ranking: unknown 'k2_3'; known: k2_2, k2_4"),
        ({"tables": {"t": {"run": None}}}, "tables.t.rows.0: no run"),
        ({"tables": {"t": {"rows": []}}}, "tables.t: no rows, and the paper has no variants"),
        ({"tables": {"t": {"run": "baseline/resnet"}}}, "no variant 'baseline/resnet'"),
        ({"tables": {"t": {"run": "base/bnneck"}}}, "unknown paper 'base'"),
        ({"tables": {"t": {"run": "bnneck"}}}, "key 'tables.t.run'"),
        ({"tables": {"t": {"rows": [{"rank": "none"}]}}}, "tables.t.rows.0.rank"),
        ({"figures": {"f": {"sweeps": ["depth"]}}}, "sweep 'depth' varies no option"),
        ({"figures": {"f": {"sweeps": ["k3"]}}}, "figures.f.sweeps: unknown 'k3'"),
        ({"figures": {"t": {"title": "F", "run": "baseline/bnneck", "sweeps": ["k2"]}}},
         "figures.t: a table has this name"),
        ({"timings": {"clock": {"methods": {"aqe": {"options": {"kk": 1}}}}}},
         "timings.clock.methods.aqe.options.kk"),
        ({"timings": {"clock": {"sizes": ["huge"]}}}, "timings.clock.sizes.0"),
        ({"timings": {"clock": {"measure": "energy"}}},
         "key 'timings.clock.measure': unknown value 'energy'; known: reranking, groups"),
        ({"timings": {"clock": {"settings": {"small": {"gnn": {"k1": 3}}}}}},
         "timings.clock.settings.small: unknown 'gnn'; known: aqe"),
        ({"timings": {"clock": {"only": {"sca": ["small"]}}}},
         "timings.clock.only: unknown 'sca'; known: aqe"),
        ({"timings": {"clock": {"sizes": ["small", "veri"], "only": {"aqe": ["small"]}}}},
         "time_tables.tt.rows.0.of: unknown 'aqe'"),
        ({"time_tables": {"tt": {"timing": "watch"}}}, "time_tables.tt.timing: unknown 'watch'"),
        ({"time_tables": {"tt": {"columns": "query"}}}, "time_tables.tt.columns: 'query'"),
        ({"time_tables": {"tt": {"columns": "phases", "size": "wild"}}},
         "time_tables.tt.size: unknown 'wild'"),
        ({"time_tables": {"tt": {"rows": [{"of": "sca", "title": "S"}]}}},
         "time_tables.tt.rows.0.of: unknown 'sca'; known: aqe"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_and_key(
    workflow: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as caught:
        pointing(workflow, changes)
    message = str(caught.value)
    assert words in message
    assert "pointing.yaml" in message or "unknown paper" in message
    assert "\n" not in message


@pytest.mark.parametrize("scale", ["demo", "bench", "paper"])
def test_every_row_of_the_papers_resolves_at_every_scale(repository: Path, scale: str) -> None:
    planned = plan.load({"scale": scale, "ablations": "all"})
    for paper in planned.config.papers:
        settings = planned.papers[paper]
        for table in [*settings.tables, *settings.figures]:
            rows = rows_of(planned, paper, table)
            if planned.datasets_of(paper) and table in settings.tables:
                assert rows or left_out(planned, paper, table)
            assert len({(row.name, row.ranking) for row in rows}) == len(rows)


def test_rows_that_are_not_planned_are_named_with_the_reason(repository: Path) -> None:
    few, all_ = plan.load(), plan.load({"ablations": "all"})
    assert [row.variant for row in rows_of(few, "chca", "table4")] == ["none", "chca"]
    assert len(rows_of(all_, "chca", "table4")) == 11
    ((reason, titles),) = left_out(few, "chca", "table4").items()
    assert "ablations=all" in reason
    assert len(titles) == 9
    assert not left_out(all_, "chca", "table4")
