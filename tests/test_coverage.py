"""What is planned for print, what it costs, and how many printed cells it answers."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from reid_repro import plan
from reid_repro.cli import app
from reid_repro.errors import UserError
from reid_repro.files import write_json
from reid_repro.ledger import coverage
from reid_repro.ledger.times import time_table
from reid_repro.paths import timing_file
from reid_repro.phases.estimates import Estimates, summed, table_costs
from reid_repro.plan import Plan, Run
from reid_repro.rows import left_out, rows_of

GNN5 = {"market1501": 1, "veri776": 1, "university1652": 1}
TRAININGS = {
    "baseline": GNN5,
    # 11 rows of Table IV and 7 more points of Fig. 6; Tables II and III
    "chca": {"veri776": 18, "veriwild": 1, "vehicleid": 1},
    # Tables 1, 2, 5 and Fig. 3; the four networks of Table 3 on the others
    "pgan": {"veri776": 22, "vehicleid": 4, "vric": 4, "veriwild": 4},
    # Tables 2 and 6 are of VeRi-776 alone
    "ssrnet": {"veri776": 30, "vehicleid": 22},
    "glad": {"market1501": 5, "cuhk03-classic": 2, "cuhk03-classic-detected": 2, "viper": 2},
}


@pytest.fixture
def workflow(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of workflow/, read from by default."""
    shutil.copytree(repository / "workflow", tmp_path / "workflow")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "workflow"


def edited(file: Path, old: str, new: str) -> None:
    content = file.read_text()
    assert content.count(old) == 1
    file.write_text(content.replace(old, new))


def test_paper_scale_plans_what_print_shows(repository: Path) -> None:
    planned = plan.load({"scale": "paper"})
    assert planned.config.ablations == "printed"
    found = Counter((run.paper, run.dataset) for run in planned.runs)
    wanted = {(p, name): n for p, names in TRAININGS.items() for name, n in names.items()}
    assert found == wanted
    assert len(planned.runs) == 120
    assert Run("pgan", "plain_softmax", "veri776", 0) not in planned.runs
    reason = "not in print, run with --config ablations=all"
    assert planned.left_out("pgan", "plain_softmax", "veri776") == reason
    assert planned.left_out("chca", "s1", "veriwild") == "no table shows it on 'veriwild'"
    assert planned.left_out("chca", "chca", "veriwild") == ""


def test_the_three_values_of_ablations_at_paper_scale(repository: Path) -> None:
    plans = {
        name: plan.load({"scale": "paper", "ablations": name})
        for name in ("default", "printed", "all")
    }
    few, some, every = (set(planned.runs) for planned in plans.values())
    assert few < some < every
    assert {run.variant for run in few if run.paper == "chca"} == {"chca", "none"}
    # Own questions are asked on every dataset of the paper.
    extra = {run.dataset for run in every - some if run.variant == "plain_softmax"}
    assert extra == {"veri776", "vehicleid", "vric", "veriwild"}


def test_tables_show_their_datasets_at_paper_scale_alone(repository: Path) -> None:
    at_paper, demo = plan.load({"scale": "paper"}), plan.load()
    assert at_paper.datasets_of_table("chca", "table3") == ("vehicleid",)
    assert at_paper.datasets_of_table("pgan", "table3") == at_paper.datasets_of("pgan")
    assert demo.datasets_of_table("chca", "table3") == ("rendered-vehicles",)
    asked = plan.load({"scale": "paper", "evaluate_on": ["viper"]})
    assert asked.datasets_of_table("glad", "table3") == ("viper",)
    assert len(rows_of(at_paper, "ssrnet", "table5")) == 7
    assert "table8" in at_paper.tables_of("ssrnet")
    assert "table8" not in demo.tables_of("ssrnet")
    assert not left_out(at_paper, "ssrnet", "table5")


def test_printed_leaves_own_questions_out_at_every_scale(repository: Path) -> None:
    planned = plan.load({"ablations": "printed"})
    variants = {(run.paper, run.variant) for run in planned.runs}
    assert {("chca", "s1"), ("ssrnet", "beta_02"), ("pgan", "lambda_4")} <= variants
    own = {("pgan", "true_boxes"), ("glad", "true_joints"), ("chca", "keys"), ("chca", "strided")}
    assert not own & variants
    assert own <= {(r.paper, r.variant) for r in plan.load({"ablations": "all"}).runs}


def test_coverage_counts_cells_and_reasons(repository: Path) -> None:
    tables = list(coverage.coverage(plan.load({"scale": "paper"})))
    assert sum(one.own for one in tables) == 579
    assert sum(one.mapped for one in tables) == 571
    assert sum(one.planned for one in tables) == 559  # the buildings' features are not at hand
    assert [one.table for one in tables if one.paper == "chca"] == [
        "Table I", "Table II", "Table III", "Table IV",
    ]  # fmt: skip
    (table8,) = (one for one in tables if (one.paper, one.table) == ("ssrnet", "Table 8"))
    assert (table8.own, table8.mapped, table8.gaps) == (12, 6, ())
    ((reason, count),) = table8.why
    assert "HSS-GCN" in reason
    assert count == 6
    assert not list(coverage.dangling(plan.load()))


def test_the_command_fails_where_a_cell_has_no_answer(workflow: Path) -> None:
    whole = CliRunner().invoke(app, ["ledger", "coverage", "--config", "scale: paper"])
    assert whole.exit_code == 0, whole.output
    assert "571 of 579 cells are answered" in whole.stdout
    edited(workflow / "papers/chca.yaml", "{run: chca/s23, label: s2+s3}", "{run: chca/s23}")
    gap = CliRunner().invoke(app, ["ledger", "coverage", "chca"])
    assert gap.exit_code == 1
    assert "chca: nothing answers Table IV | s2+s3 | VeRi-776 | test | mAP" in gap.stdout
    assert "48 of 51 cells are answered" in gap.stdout
    edited(workflow / "papers/chca.yaml", "{run: chca/s23}", "{run: chca/s23, label: s2+s5}")
    lines = CliRunner().invoke(app, ["ledger", "coverage", "chca"]).stdout.splitlines()
    assert "chca.yaml: tables.table4.rows.6: Table IV prints no row 's2+s5'" in lines


def test_a_row_in_print_is_answered_once(workflow: Path) -> None:
    edited(workflow / "papers/chca.yaml", "{run: chca/s2, label: s2}", "{run: chca/s2, label: s1}")
    with pytest.raises(UserError, match=r"rows\.2: 's1' of Table IV is answered by .*rows\.1"):
        plan.load()


@pytest.mark.parametrize(
    ("paper", "old", "new", "words"),
    [
        ("gnn", "values: [10, 15,", "values: [11, 15,", "points.0.values: 11 is no value of 'k1'"),
        ("gnn", "    of: 26", "    of: 27", "of: 27 is none of the values"),
        ("gnn", "ranking: k1\n    dataset", "ranking: layers\n    dataset",
         "points.0.ranking: unknown 'layers'; known: k1, k2"),
        ("gnn", "    dataset: Market-1501\n    values: [10", "    dataset: Market\n    values: [10",
         "points.0.dataset: unknown 'Market'"),
        ("chca", "datasets: [veriwild]", "datasets: [vric]",
         "tables.table2.datasets: unknown 'vric'; known: veri776, vehicleid, veriwild"),
        ("ssrnet", "{run: ssrnet/global, title: GB, label: GB}", "{run: ssrnet/gb, label: GB}",
         "no variant 'ssrnet/gb'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(workflow: Path, paper: str, old: str, new: str, words: str) -> None:
    edited(workflow / f"papers/{paper}.yaml", old, new)
    with pytest.raises(UserError) as caught:
        plan.load()
    message = str(caught.value)
    assert f"{paper}.yaml" in message
    assert words in message


def test_options_of_a_dataset_are_checked(repository: Path) -> None:
    def load(over: dict[str, Any]) -> Plan:
        return plan.load({"rerankers_on": over})

    with pytest.raises(UserError, match="rerankers_on: unknown 'veri'"):
        load({"veri": {"gnn": {"k1": 3}}})
    with pytest.raises(UserError, match=r"rerankers_on\.veri776: unknown 'gn'"):
        load({"veri776": {"gn": {"k1": 3}}})
    with pytest.raises(UserError, match=r"rerankers_on\.veri776\.gnn: unknown key 'options\.k3'"):
        load({"veri776": {"gnn": {"k3": 3}}})


NAME = "baseline/bnneck/rendered-vehicles/seed0"


def measured(results: Path, planned: Plan, name: str, rate: float) -> None:
    """A training that passed `rate` images a second, but for a slow first epoch."""
    folder = results / "models" / name
    write_json(folder / "run.json", planned.resolve(name).model_dump(mode="json"))
    rows = ["epoch,images_per_second", "1,1", f"2,{rate}", f"3,{rate}"]
    (folder / "history.csv").write_text("\n".join(rows) + "\n")


def test_hours_come_from_what_was_measured(repository: Path, tmp_path: Path) -> None:
    planned = plan.load()
    run, other = Run.parse(NAME), Run("ssrnet", "ssrnet", "rendered-vehicles", 0)
    images = 96 * 6 * 3 * 7
    bare = Estimates(planned, tmp_path).cost(run)
    assert (bare.images, bare.epochs, bare.basis) == (images, 7, "stated")
    measured(tmp_path, planned, NAME, 100.0)
    estimates = Estimates(planned, tmp_path)
    cost = estimates.cost(run)
    assert (cost.basis, cost.hours) == ("measured", pytest.approx(images / 100 / 3600))
    carried = estimates.cost(other)
    share = estimates.macs(other) / estimates.macs(run)
    assert carried.basis == "carried over"
    assert carried.hours == pytest.approx(cost.hours * share)
    stated = Estimates(planned, tmp_path, tflops=2.0).cost(run)
    operations = images * estimates.macs(run) * 2 * 3
    assert stated.basis == "stated"
    assert stated.hours == pytest.approx(operations / 2e12 / 3600)
    with pytest.raises(UserError, match="--tflops"):
        Estimates(planned, tmp_path, tflops=0.0)


def test_other_settings_are_no_measurement(repository: Path, tmp_path: Path) -> None:
    measured(tmp_path, plan.load({"model": {"width": 8}}), NAME, 100.0)
    assert Estimates(plan.load(), tmp_path).cost(Run.parse(NAME)).basis == "stated"


def test_iterations_and_unknown_sizes(repository: Path, tmp_path: Path) -> None:
    planned = plan.load({"scale": "paper"})
    estimates = Estimates(planned, tmp_path, tflops=20)
    glad = estimates.cost(Run("glad", "glad", "cuhk03-classic", 0))
    assert (glad.epochs, glad.iterations, glad.images) == (0, 100_000, 100_000 * 32)
    assert estimates.train_images("market1501") == 12936
    assert estimates.train_images("cuhk03-classic") is None  # before it is indexed
    counts = {"train": {"images": 26264}}
    write_json(tmp_path / "data/cuhk03-classic/dataset.json", {"counts": counts})
    assert estimates.train_images("cuhk03-classic") == 26264


def test_each_training_is_new_once(repository: Path, tmp_path: Path) -> None:
    planned = plan.load({"scale": "paper"})
    tables = table_costs(planned)
    new = [run for one in tables for run in one.new]
    assert len(new) == len(set(new)) == 120
    assert set(new) == set(planned.runs)
    by_name = {(one.paper, one.table): one for one in tables}
    table7 = by_name["ssrnet", "table7"]
    assert (len(table7.runs), len(table7.new)) == (2, 0)
    (alone,) = table_costs(planned, "ssrnet/table5")
    assert len(alone.runs) == len(alone.new) == 14
    assert table_costs(planned, "gnn/table4")[0].runs == ()
    for wrong in ("ssrnet", "ssrnet/table99", "ssr/table5"):
        with pytest.raises(UserError):
            table_costs(planned, wrong)
    assert summed([])[3] == 0


def test_the_plan_command_shows_costs(workflow: Path) -> None:
    results = str(workflow.parent / "results")
    arguments = ["plan", "--results", results, "--table", "baseline/retrieval", "--tflops", "0.05"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    text = " ".join(shown.stdout.split())
    assert "baseline/retrieval" in text
    assert "14 epochs" in text
    assert "0.05 TFLOP/s sustained (as given)" in text
    runs = CliRunner().invoke(app, ["plan", "--runs", "--table", "gnn/table5"]).stdout.split()
    assert runs == [NAME, "baseline/bnneck/rendered-pedestrians/seed0"]


def test_the_mean_over_the_sizes_is_a_column(repository: Path, tmp_path: Path) -> None:
    planned = plan.load()
    timing = planned.papers["gnn"].timings["reranking"]
    sizes = [str(size) for size in timing.sizes]
    seconds = {size: 1.5**number for number, size in enumerate(sizes)}
    entries = [
        {"size": size, "of": name, "platform": "CPU", "seconds": {"total": seconds[size]}}
        for size in sizes
        for name in timing.methods
    ]
    facts = {"sizes": {key: {"queries": 1, "gallery": 2, "dim": 3} for key in sizes}}
    facts |= {"entries": entries, "shrink": 1, "scale": "demo"}
    write_json(timing_file(tmp_path, "gnn", "reranking"), facts)
    frame = time_table(planned, "gnn", "table4", tmp_path)
    means = frame[frame["column"] == "mean"].set_index("row")
    assert means.loc["2:sca", "seconds"] == pytest.approx(sum(seconds.values()) / 5, abs=1e-6)
    assert means.loc["2:sca", "printed_seconds"] == 40.5
    assert means.isna().loc["7:gnn2", "seconds"]  # no GPU
    assert "mean" not in set(time_table(planned, "gnn", "table3", tmp_path)["column"])


def test_a_sixth_paper_is_yaml_and_csv_alone(workflow: Path) -> None:
    """Its cell is answered by the baseline's run; no line of Python knows the paper."""
    paper = {
        "title": "Sixth",
        "summary": "S",
        "datasets": {"paper": ["market1501"], "demo": ["rendered-pedestrians"]},
        "rerankers": [],
        "tables": {
            "table1": {
                "title": "Table 1",
                "printed": "Tab. 1",
                "metrics": ["mAP"],
                "run": "baseline/bnneck",
                "rows": [{"ranking": "k_reciprocal", "label": "ours"}, {"ranking": "none"}],
            }
        },
    }
    (workflow / "papers/sixth.yaml").write_text(yaml.safe_dump(paper))
    shutil.copy(workflow / "papers/claims/chca.yaml", workflow / "papers/claims/sixth.yaml")
    columns = "table,row,dataset,split,metric,value,role,experiment,printed_as,note"
    (workflow / "papers/values/sixth.csv").write_text(
        f"{columns}\nTab. 1,ours,Market-1501,test,mAP,90.1,own,x,,\n"
        "Tab. 1,theirs,Market-1501,test,mAP,80.1,quoted,,,\n"
    )
    (one,) = coverage.coverage(plan.load({"papers": ["sixth"]}, workflow=workflow))
    assert (one.own, one.mapped, one.planned) == (1, 1, 1)
