"""Every printed cell of the papers' own leads to a run, a time or a size, or says why not."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from reid_repro import plan
from reid_repro.errors import UserError
from reid_repro.ledger import printed
from reid_repro.ledger.cells import CellKey, CellSource
from reid_repro.ledger.sources import point_sources, source, sources
from reid_repro.methods import written
from reid_repro.plan import Plan, Run
from reid_repro.references import labels
from reid_repro.rows import every_single, points_of, swept_runs

OWN = {"chca": 51, "pgan": 80, "ssrnet": 204, "gnn": 150, "glad": 94}
SCALES = {
    "paper": {"scale": "paper"},
    "demo": {},
    "every variant": {"ablations": "all"},
    "bench": {"scale": "bench"},
}


@pytest.fixture(scope="module")
def plans() -> dict[str, Plan]:
    folder = Path(__file__).resolve().parent.parent / "workflow"
    return {name: plan.load(over, workflow=folder) for name, over in SCALES.items()}


@pytest.fixture(scope="module")
def found(plans: dict[str, Plan]) -> dict[str, dict[str, dict[CellKey, CellSource]]]:
    """Scale -> paper -> cell -> source."""
    return {
        name: {paper: sources(planned, paper) for paper in OWN} for name, planned in plans.items()
    }


@pytest.mark.parametrize("scale", SCALES)
def test_every_own_cell_has_a_source_or_a_reason(
    scale: str, found: dict[str, dict[str, dict[CellKey, CellSource]]]
) -> None:
    assert {paper: len(cells) for paper, cells in found[scale].items()} == OWN
    nowhere = {
        (key.table, key.row): one
        for cells in found[scale].values()
        for key, one in cells.items()
        if one.kind == "none"
    }
    assert set(nowhere) == {("Table 8", "HSS-GCN*[69]"), ("Table 9", "HSS-GCN*[69]")}
    assert {one.code for one in nowhere.values()} == {"not_implemented"}
    kinds = Counter(one.kind for cells in found[scale].values() for one in cells.values())
    assert kinds == {"ranking": 501, "time": 64, "complexity": 6, "none": 8}


@pytest.mark.parametrize("scale", SCALES)
def test_a_planned_source_is_really_made(
    scale: str,
    plans: dict[str, Plan],
    found: dict[str, dict[str, dict[CellKey, CellSource]]],
) -> None:
    planned = plans[scale]
    singles = set(every_single(planned))
    for paper, cells in found[scale].items():
        swept = set(swept_runs(planned, paper))
        for one in [*cells.values(), *point_sources(planned, paper).values()]:
            if one.kind != "ranking" or not one.planned:
                assert one.reason or one.kind != "ranking"
                continue
            run = Run(*one.run.split("/"), one.dataset, 0)
            assert run in planned.runs
            assert one.subset in planned.subsets(one.dataset)
            assert one.stand_in == (planned.config.scale != "paper")
            sweep, _, point = one.ranking.partition(".")
            if point:
                assert (sweep, run) in swept
                assert point in points_of(planned, paper, sweep)
            else:
                assert (run, one.ranking) in singles


def ranking_of(planned: Plan, paper: str, one: CellSource) -> str:
    """Method and options of a ranking on its dataset, whatever it is called."""
    sweep, _, point = one.ranking.partition(".")
    if point:
        settings = points_of(planned, paper, sweep, one.dataset)[point]
    else:
        settings = planned.config.rerankers[sweep]
    if settings.method in ("none", "StreamFusion") and len(set(_weights(settings))) == 1:
        return "none"
    return f"{settings.method} {sorted(settings.options.model_dump().items())}"


def _weights(settings: object) -> tuple[float, ...]:
    return getattr(getattr(settings, "options", None), "weights", (1.0,))


def test_cells_of_one_experiment_come_from_one_run(plans: dict[str, Plan]) -> None:
    """The column `experiment` was written from the papers alone, without this mapping."""
    planned = plans["paper"]
    for paper in OWN:
        runs: dict[str, set[str]] = defaultdict(set)
        rankings: dict[tuple[str, str], set[str]] = defaultdict(set)
        for key, cell in printed.read(paper, planned.workflow).cells.items():
            one = source(planned, paper, key) if cell.own else CellSource("none")
            if one.kind != "ranking":
                continue
            runs[cell.experiment].add(one.run)
            if paper != "glad":  # whose experiments are trainings: many rows from one
                place = (one.run, one.dataset)
                rankings[(cell.experiment, one.dataset)].add(ranking_of(planned, paper, one))
                runs[f"{place}{ranking_of(planned, paper, one)}"].add(cell.experiment)
        assert {name: found for name, found in runs.items() if len(found) != 1} == {}
        assert {name: found for name, found in rankings.items() if len(found) != 1} == {}


def test_labels_are_rows_in_print(plans: dict[str, Plan]) -> None:
    for paper in OWN:
        rows = {(k.table, k.row) for k in printed.read(paper, plans["demo"].workflow).cells}
        named = [(t, label) for _, _, t, label in labels(plans["demo"].paper(paper))]
        assert named
        assert set(named) <= rows


def test_printed_splits_are_subsets(plans: dict[str, Plan]) -> None:
    planned = plans["paper"]
    cell = CellKey("Table III", "CHCA(Ours)", "VehicleID", "1600", "R1")
    one = source(planned, "chca", cell)
    assert (one.run, one.dataset, one.subset) == ("chca/chca", "vehicleid", "medium")
    assert (one.factor, one.table, one.stand_in) == (100.0, "table3", False)
    demo = source(plans["demo"], "chca", cell)
    assert (demo.dataset, demo.subset, demo.stand_in) == ("rendered-vehicles", "test", True)
    with pytest.raises(UserError, match=r"no split '3200'; known: 800, 1600, 2400"):
        source(planned, "chca", cell._replace(split="3200"))
    with pytest.raises(UserError, match=r"benchmarks\.yaml: no dataset 'VRID'"):
        source(planned, "chca", cell._replace(dataset="VRID"))


def test_times_have_a_row_a_column_and_a_unit(plans: dict[str, Plan]) -> None:
    planned = plans["demo"]

    def of(paper: str, *key: str) -> tuple[str, int, str, float]:
        one = source(planned, paper, CellKey(*key))
        assert one.planned
        assert one.kind == "time"
        return one.time_table, one.time_row, one.column, one.factor

    ours = ("ours (2 layers) (GPU)", "Market-1501", "test")
    assert of("gnn", "Table 3", *ours, "time_phase2_ms") == ("table3", 3, "phase 2", 1000.0)
    sca = ("Table 4", "SCA [1] (CPU)")
    assert of("gnn", *sca, "Oxford-5k", "test", "time_s") == ("table4", 2, "oxford", 1.0)
    assert of("gnn", *sca, "", "mean", "time_s") == ("table4", 2, "mean", 1.0)
    few = ("Table 7", "theta=0.0020, dim=128", "Market-1501", "test")
    assert of("glad", *few, "time_ms") == ("table7_time", 7, "single", 1000.0)
    assert of("glad", *few, "group_number") == ("table7_time", 7, "groups", 1.0)


def test_what_is_not_planned_says_why_and_what_would_make_it(plans: dict[str, Plan]) -> None:
    demo = plans["demo"]
    ablation = source(demo, "chca", CellKey("Table IV", "s1", "VeRi-776", "test", "mAP"))
    assert (ablation.code, ablation.reason) == ("not_run", "an ablation")
    target = "results/tables/chca/table4.csv"
    assert ablation.command == f"snakemake --cores all {target} --config ablations=all"
    buildings = CellKey("Table 5", "ours", "Paris-6k", "test", "mAP")
    far = source(demo, "gnn", buildings)
    assert far.code == "other_scale"
    assert "Paris-6k" in far.reason
    assert "--config scale=paper" in far.command
    bare = source(plans["paper"], "gnn", buildings)
    assert bare.code == "no_weights"
    assert "give its features" in bare.reason


def test_points_of_figures_answer_the_claims(plans: dict[str, Plan]) -> None:
    wanted = {
        "chca": [("Fig. 6", p, str(n), k) for p in ("MP", "AP") for n in (1, 2, 3, 4)
                 for k in ("mAP", "R1")],
        "pgan": [("Fig. 3a", m, d, "mAP") for m in ("pgan", "baseline") for d in ("256", "512")]
        + [("Fig. 3b", "pgan", x, "mAP") for x in ("0.5", "1", "2", "3", "4")],
        "ssrnet": [("Fig. 4", k, x) for k in ("R1", "mAP")
                   for x in ("1/8", "1/3", "1/2", "2/3", "3/4")],
        "gnn": [("Fig. 2a", "Market-1501", k, "mAP") for k in ("20", "26", "30", "40")]
        + [("Fig. 2b", "Market-1501", str(k), "mAP") for k in (5, 6, 7, 8, 9, 10, 20)],
    }  # fmt: skip
    for planned in (plans["paper"], plans["every variant"]):
        for paper, keys in wanted.items():
            points = point_sources(planned, paper)
            assert all(points[key].planned for key in keys)
            assert all(points[key].metric in key for key in keys)
    paper = point_sources(plans["paper"], "gnn")
    assert paper["Fig. 2a", "Market-1501", "40", "mAP"].ranking == "k1.k1_40"
    chca = point_sources(plans["paper"], "chca")
    assert chca["Fig. 6", "AP", "4", "R1"].run == "chca/average4"


def test_a_smaller_scale_answers_with_the_same_multiple(plans: dict[str, Plan]) -> None:
    """26 neighbours in print are the demo's 12; others the nearest value to 12/26 of theirs."""
    demo = plans["demo"]
    own = written(demo.config.rerankers["gnn"])
    points = point_sources(demo, "gnn")
    for figure, option, of in (("Fig. 2a", "k1", 26), ("Fig. 2b", "k2", 7)):
        swept = demo.papers["gnn"].sweeps[option].vary[option]["demo"]
        for key, one in points.items():
            if key[0] != figure:
                continue
            wanted = int(key[2]) * int(str(own[option])) / of
            taken = int(one.ranking.rpartition("_")[2])
            assert one.stand_in
            assert all(_apart(taken, wanted) <= _apart(int(str(v)), wanted) for v in swept)
        assert points[figure, "Market-1501", str(of), "mAP"].ranking.endswith(f"_{own[option]}")


def _apart(value: float, wanted: float) -> float:
    """How far two numbers are apart, as a ratio of at least 1."""
    return max(value / wanted, wanted / value)
