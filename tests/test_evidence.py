"""Evidence of our own: where its numbers come from, what is unknown and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from judged_world import per_query, write_measures, write_rankings, write_times

from reid_repro import verdict_settings
from reid_repro.errors import UserError
from reid_repro.files import write_json, write_parquet
from reid_repro.ledger.cells import CellKey, CellSource
from reid_repro.ledger.evidence import OurEvidence
from reid_repro.ledger.evidence_rankings import Origin, values_of
from reid_repro.ledger.judging import evidence_of
from reid_repro.ledger.predicate_types import Unknown
from reid_repro.ledger.tables import summarise
from reid_repro.paths import metrics_file
from reid_repro.plan import Plan, Run, load

MEANS = {"pgan/pgan": 0.70, "pgan/uniform": 0.60, "pgan/grid": 0.50}
TABLE, FULL = "Table 2", "PGAN (dim=512)"


def wanted(source: CellSource, seed: int) -> float:
    return MEANS.get(source.run, 0.4) + 0.01 * seed


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of PGAN at demo scale, and a few measures."""
    folder = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(Path(__file__).resolve().parent.parent)
        write_rankings(planned(), "pgan", folder, wanted)
    points = {
        ("Fig. 4", "pgan", "attention_in_boxes"): [0.5, 0.7, 0.6],
        ("Fig. 4", "grid", "attention_in_boxes"): [0.2, 0.4, 0.3],
        ("cost", "refine", "s_per_iter"): [0.25],
    }
    write_measures(folder, "pgan", "rendered-vehicles", points)
    return folder


def planned(**overrides: object) -> Plan:
    return load({"papers": ["pgan"], "seeds": 2, **overrides})


def ours(results: Path, plan: Plan | None = None, paper: str = "pgan") -> OurEvidence:
    settings = verdict_settings.read()
    return evidence_of(plan or planned(), results, settings)[paper]


def reason(ask: Callable[..., object], *arguments: object) -> Unknown:
    with pytest.raises(Unknown) as caught:
        ask(*arguments)
    return caught.value


@pytest.mark.usefixtures("repository")
def test_an_own_cell_is_the_mean_over_seeds_in_percent(results: Path) -> None:
    found = ours(results).m(TABLE, FULL, "mAP", None, None)
    assert found.measured == pytest.approx(70.5, abs=1e-6)  # seeds 0 and 1: 70 and 71
    assert found.resamples == verdict_settings.read().resampling.resamples
    origin = Origin("ranking", "pgan/pgan", "none", "rendered-vehicles", "test", "mAP")
    assert found.origins == (str(origin),)
    assert Origin.parse(found.origins[0]) == origin


@pytest.mark.usefixtures("repository")
def test_a_cell_says_what_the_tables_say(results: Path) -> None:
    """The same mean and spread over seeds as the project's own tables compute."""
    plan = planned()
    evidence = ours(results, plan)
    runs = [Run("pgan", "pgan", "rendered-vehicles", seed) for seed in (0, 1)]
    files = [metrics_file(results, run, "test", "none") for run in runs]
    table = {row["metric"]: row for row in summarise(files, ("mAP", "R1"), plan.config.statistics)}
    for metric in ("mAP", "R1"):
        found = evidence.m(TABLE, FULL, metric, None, None)
        scored = evidence.scored(found.origins[0])
        assert scored is not None
        assert found.measured / 100 == pytest.approx(table[metric]["value"], abs=1e-6)
        assert scored.seed_sd == pytest.approx(100 * table[metric]["seed_sd"], abs=1e-3)
        assert scored.seeds == 2
        assert scored.trainings == {"pgan/pgan/rendered-vehicles"}


@pytest.mark.usefixtures("repository")
def test_stand_ins_read_the_same_numbers_as_values_of_their_own(results: Path) -> None:
    """Labels of values go by identity: two cells never share an object."""
    evidence = ours(results)
    cells = [evidence.m("Table 3", "PGAN", "R1", name, None) for name in ("VRIC", "VeRi-776")]
    assert cells[0] is not cells[1]
    assert cells[0].origins == cells[1].origins
    np.testing.assert_array_equal(cells[0].samples, cells[1].samples)


@pytest.mark.usefixtures("repository")
def test_differences_of_rankings_are_paired(results: Path) -> None:
    evidence = ours(results)
    better, plain = (
        evidence.m(TABLE, row, "mAP", None, None) for row in (FULL, "PGAN w/o PAM (dim=512)")
    )
    assert (better - plain).measured == pytest.approx(10)
    apart = (better - plain).samples[1:].std()
    assert apart < np.hypot(better.samples[1:].std(), plain.samples[1:].std()) + 0.2


@pytest.mark.usefixtures("repository")
def test_quoted_literature_stands_at_paper_scale_alone(results: Path) -> None:
    evidence = ours(results)
    cell = ("Table 3", "RNN-HA [10]", "R1", "VeRi-776", None)
    unknown = reason(evidence.m, *cell)
    assert (unknown.code, "quoted" in str(unknown)) == ("other_scale", True)
    paper = ours(results, planned(scale="paper"))
    found = paper.m(*cell)
    assert found.resamples == 0
    assert Origin.parse(found.origins[0]).kind == "printed"


@pytest.mark.usefixtures("repository")
def test_what_is_not_planned_is_unknown_with_its_command(results: Path) -> None:
    evidence = ours(results)
    unknown = reason(evidence.m, "Table 1", "Ff", "mAP", None, None)
    assert unknown.code == "not_run"
    assert any("ablations=all" in command for command in evidence.commands)
    evidence.ask(())
    assert not evidence.commands


@pytest.mark.usefixtures("repository")
def test_a_column_leaves_out_rows_that_are_not_planned(results: Path) -> None:
    evidence = ours(results)
    rows = evidence.others(TABLE, FULL, "mAP", None, None)
    assert set(rows) == {"PGAN w/o PAM (dim=512)", "Grid Attention (dim=512)"}
    left = {key.row for key in evidence.left_out}
    assert left == {"PGAN (dim=256)", "PGAN w/o PAM (dim=256)", "Grid Attention (dim=256)"}
    assert len(evidence.compared) == 2


@pytest.mark.usefixtures("repository")
def test_a_column_keeps_the_unknown_where_nothing_is_known(results: Path) -> None:
    evidence = ours(results)
    rows = evidence.others("Table 5", "D=8", "mAP", None, None)
    assert rows
    assert all(isinstance(value, Unknown) for value in rows.values())
    quoted = evidence.col("Table 3", "R1", "VeRi-776", None, (), None, ("quoted",))
    assert {value.code for value in quoted.values() if isinstance(value, Unknown)} == {
        "other_scale"
    }


@pytest.mark.usefixtures("repository")
def test_a_missing_file_of_a_planned_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pgan/pgan/rendered-vehicles/seed0/test/none\.json: no"):
        ours(tmp_path).m(TABLE, FULL, "mAP", None, None)


@pytest.mark.usefixtures("repository")
def test_other_queries_under_one_subset_are_refused(tmp_path: Path) -> None:
    plan = planned(seeds=1)
    write_rankings(plan, "pgan", tmp_path, wanted)
    run = Run("pgan", "grid", "rendered-vehicles", 0)
    file = metrics_file(tmp_path, run, "test", "none").with_name("none.per_query.parquet")
    write_parquet(file, per_query(0.5).iloc[:-4])
    evidence = ours(tmp_path, plan)
    evidence.m(TABLE, FULL, "mAP", None, None)
    with pytest.raises(UserError, match="other queries than the other rankings"):
        evidence.m(TABLE, "Grid Attention (dim=512)", "mAP", None, None)


@pytest.mark.usefixtures("repository")
def test_points_of_figures_are_measures_or_metrics_of_runs(results: Path) -> None:
    evidence = ours(results)
    evidence.ask(("VeRi-776",))
    pgan = evidence.f("Fig. 4", "pgan", "attention_in_boxes")
    grid = evidence.f("Fig. 4", "grid", "attention_in_boxes")
    assert [pgan.measured, grid.measured] == pytest.approx([0.6, 0.3])
    np.testing.assert_allclose((pgan - grid).samples, 0.3)  # the same items, drawn alike
    cost = evidence.f("cost", "refine", "s_per_iter")
    assert (cost.measured, cost.resamples) == (0.25, 0)
    curve = evidence.f("Fig. 3a", "pgan", "512", "mAP")
    assert curve.measured == pytest.approx(70.5)
    absent = reason(evidence.f, "A.9", "views")
    assert (absent.code, str(absent)) == ("not_run", "A.9: no views")


@pytest.mark.usefixtures("repository")
def test_times_are_in_the_printed_unit_and_a_gpu_is_not_made_up(tmp_path: Path) -> None:
    plan = load({"papers": ["gnn"]})
    times = {"gnn": 2.0, "k_reciprocal": 3.0}
    write_times(plan, "gnn", "reranking", tmp_path, lambda _, name: times.get(name, 1.0))
    evidence = ours(tmp_path, plan, "gnn")
    row = "k-reciprocal [52] (CPU)"
    total = evidence.m("Table 3", row, "time_total_s", None, None)
    assert (total.measured, total.resamples) == (3.0, 0)
    parts = [evidence.m("Table 3", row, f"time_phase{n}_s", None, None) for n in (1, 2)]
    assert (parts[0] + parts[1]).measured == pytest.approx(3.0)
    gpu = reason(evidence.m, "Table 4", "ours (GPU)", "time_ms", "VeRi-776", None)
    assert gpu.code == "no_gpu"
    shrunk = ours(tmp_path, load({"papers": ["gnn"], "timings": {"shrink": 50}}), "gnn")
    other = reason(shrunk.m, "Table 3", row, "time_total_s", None, None)
    assert other.code == "other_scale"


@pytest.mark.usefixtures("repository")
def test_sizes_of_networks_are_read_or_to_be_measured(tmp_path: Path) -> None:
    plan = load({"papers": ["ssrnet"]})
    cell = ("Table 7", "SSR-Net", "params", None, None)
    empty = ours(tmp_path, plan, "ssrnet")
    unknown = reason(empty.m, *cell)
    assert (unknown.code, "reid-repro complexity" in str(unknown)) == ("not_run", True)
    networks = {"ssrnet/ssrnet": {"params": 34_500_000, "flops": 1, "infer_s_per_img": 0.1}}
    write_json(tmp_path / "measures/ssrnet/networks.json", {"networks": networks})
    found = ours(tmp_path, plan, "ssrnet").m(*cell)
    assert (found.measured, found.resamples) == (34_500_000, 0)


@pytest.mark.usefixtures("repository")
def test_properties_are_those_that_tests_have_shown(tmp_path: Path) -> None:
    evidence = ours(tmp_path)
    assert reason(evidence.test, "pgan.mgap").code == "not_run"
    shown = {"pgan.mgap": {"passed": True, "statement": "A mean."}, "pgan.other": {"passed": False}}
    write_json(tmp_path / "properties.json", {"properties": shown})
    evidence = ours(tmp_path)
    assert evidence.test("pgan.mgap") is True
    assert evidence.test("pgan.other") is False
    said = [evidence.properties.statement(name) for name in ("pgan.mgap", "pgan.third")]
    assert said == ["A mean.", None]
    assert "pgan.third" in str(reason(evidence.test, "pgan.third"))


@pytest.mark.usefixtures("repository")
def test_counts_are_of_real_datasets_alone(tmp_path: Path) -> None:
    """VeRi-776 keeps its queries in the gallery, VERI-Wild does not: a split counts both once."""
    evidence = ours(tmp_path)
    absent = reason(evidence.stat, "VeRi-776.train")
    assert (absent.code, "veri776" in str(absent)) == ("no_data", True)
    folder = tmp_path / "data" / "veri776"
    images = pd.DataFrame({"identity": [1, 1, 2, 2, 3, 3, 0, -1]})
    roles = [
        ("train", "train", [0, 1]),
        ("test", "query", [2, 4]),
        ("test", "gallery", range(2, 8)),
    ]
    rows = [(subset, 0, role, image) for subset, role, images_ in roles for image in images_]
    splits = pd.DataFrame(rows, columns=["subset", "trial", "role", "image"])
    write_parquet(folder / "images.parquet", images)
    write_parquet(folder / "splits.parquet", splits)
    assert evidence.stat("VeRi-776.train") == (2, 1)
    assert evidence.stat("VeRi-776.test") == (6, 2)
    assert evidence.stat("VeRi-776.query") == 2
    assert evidence.stat("VeRi-776.all") == (8, 3)
    assert evidence.stat("VeRi-776.ids") == 3
    assert reason(evidence.stat, "VeRi-776.mean_confident_parts").code == "not_run"
    scores = pd.DataFrame({"image": [0, 0, 0, 1, 1], "score": [0.9, 0.6, 0.4, 0.5, 0.1]})
    write_parquet(tmp_path / "parts/veri776/parts.parquet", scores)
    assert evidence.stat("VeRi-776.mean_confident_parts") == 1.5


def test_per_query_values_of_each_metric() -> None:
    frame = pd.DataFrame({"AP": [0.25, 1.0], "first_hit": [5, 1]})
    np.testing.assert_array_equal(values_of(frame, "mAP"), [0.25, 1.0])
    np.testing.assert_array_equal(values_of(frame, "R1"), [0, 1])
    np.testing.assert_array_equal(values_of(frame, "R5"), [1, 1])


@pytest.mark.usefixtures("repository")
def test_a_source_without_an_answer_is_unknown(results: Path) -> None:
    evidence = ours(results)
    key = CellKey(TABLE, FULL, "VeRi-776", "test", "mAP")
    none = replace(evidence.sources[key], kind="none", reason="", code="")
    assert "nothing in workflow/papers answers it" in str(reason(evidence.measured, none))
    weights = replace(none, code="no_weights", reason="no features of buildings")
    assert reason(evidence.measured, weights).code == "no_weights"
