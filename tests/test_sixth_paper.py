"""A sixth paper from YAML and CSV alone: schema, plan, coverage, predicates, verdicts, its page.

What docs/adding_a_paper.md tells to write is written here into a copy of workflow/, and goes
through the commands that the document names. Its rows are rankings of the strong baseline's
features, which stand in the results as the phases would have left them.
"""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from reid_repro.cli import app
from reid_repro.errors import UserError
from reid_repro.ledger import printed
from reid_repro.ledger.paper_evidence import PaperEvidence
from reid_repro.ledger.predicates import evaluate
from reid_repro.plan import Run, load
from reid_repro.reporting.figures import samples

import reporting_world
from conftest import ROOT

CONFIG = "{papers: [sixth], statistics: {resamples: 100}}"
RUN = Run("baseline", "bnneck", "rendered-vehicles", 0)

PAPER: dict[str, Any] = {
    "title": "Sixth: expansion of queries",
    "summary": "Query expansion on the features of the strong baseline, and a wider network.",
    "datasets": {"demo": ["rendered-vehicles"], "paper": ["veri776"]},
    "variants": {
        "wide": {
            "title": "Wide network",
            "source": "Table 2",
            "ablation": True,
            "scales": {"demo": {"model": {"width": 48}}},
        }
    },
    "tables": {
        "table1": {
            "title": "Table 1: expansion",
            "caption": "The same features, ranked twice.",
            "printed": ["Table 1"],
            "metrics": ["mAP", "R1"],
            "run": "baseline/bnneck",
            "rows": [
                {"ranking": "none", "title": "Baseline", "label": ["baseline"]},
                {"ranking": "aqe", "title": "Expanded", "label": ["ours"]},
            ],
        },
        "table2": {
            "title": "Table 2: width",
            "printed": ["Table 2"],
            "metrics": ["mAP"],
            "rows": [
                {"run": "baseline/bnneck", "label": ["normal"]},
                {"run": "sixth/wide", "label": ["wide"]},
            ],
        },
    },
    "points": [
        {
            "figure": "Fig. 1",
            "key": ["expanded", "metric"],
            "run": "baseline/bnneck",
            "ranking": "aqe",
            "dataset": "Parking-9",
            "metrics": ["mAP"],
        }
    ],
    "not_run": [
        {
            "printed": ["Table 1"],
            "label": ["learned"],
            "code": "not_implemented",
            "reason": "its network is not implemented here",
        }
    ],
}
CELLS = [  # table, row, metric, value, role, printed_as
    ("Table 1", "Old [3]", "mAP", "40.0", "quoted", ""),
    ("Table 1", "Old [3]", "R1", "", "quoted", "-"),
    ("Table 1", "baseline", "mAP", "70.0", "baseline", ""),
    ("Table 1", "baseline", "R1", "90.00", "baseline", ""),
    ("Table 1", "learned", "mAP", "74.0", "rerun", ""),
    ("Table 1", "ours", "mAP", "75.0", "own", ""),
    ("Table 1", "ours", "R1", "91.0", "own", ""),
    ("Table 2", "normal", "mAP", "75.0", "own_variant", ""),
    ("Table 2", "wide", "mAP", "74.5", "own_variant", ""),
]
CLAIMS: list[dict[str, Any]] = [
    {
        "id": "Table 1",
        "kind": "table",
        "statement": "Expansion has the better mAP and Rank-1.",
        "predicate": "all(m('Table 1','ours',k)>m('Table 1','baseline',k) for k in ('mAP','R1'))",
        "type": "ranking",
        "on_paper": "holds",
    },
    {
        "id": "Fig. 1",
        "kind": "figure",
        "statement": "The expanded ranking lies above the baseline of Table 1.",
        "predicate": "f('Fig. 1','expanded','mAP')>m('Table 1','baseline','mAP')",
        "type": "ranking",
        "on_paper": "needs_evidence",
    },
    {
        "id": "4-wide",
        "kind": "claim",
        "statement": "A wide network helps <b>more</b>.",
        "predicate": "m('Table 2','wide','mAP')>m('Table 2','normal','mAP')",
        "type": "ablation-best",
        "on_paper": "fails",
    },
    {
        "id": "5-learned",
        "kind": "claim",
        "statement": "Learned expansion is no better.",
        "predicate": "m('Table 1','learned','mAP')<m('Table 1','ours','mAP')",
        "type": "ranking",
        "on_paper": "holds",
    },
]
BENCHMARK = {
    "splits": {"test": {"dataset": "veri776", "subset": "test"}},
    "stand_in": {"demo": "rendered-vehicles"},
}


def command(*arguments: str) -> str:
    """What a command says; it must not fail."""
    done = CliRunner().invoke(app, [*arguments, "--config", CONFIG])
    assert done.exit_code == 0, done.output
    return done.output


def write_paper(workflow: Path) -> None:
    """The four files of docs/adding_a_paper.md."""
    papers = workflow / "papers"
    (papers / "sixth.yaml").write_text(yaml.safe_dump(PAPER, sort_keys=False), "utf-8")
    with (papers / "values" / "sixth.csv").open("w", encoding="utf-8", newline="") as stream:
        lines = csv.writer(stream, lineterminator="\n")
        lines.writerow(printed.Cell.model_fields)
        for table, row, metric, value, role, empty in CELLS:
            lines.writerow([table, row, "Parking-9", "test", metric, value, role, "", empty, ""])
    common = {"section": "4", "title": "A title", "datasets": ["Parking-9"], "metrics": ["mAP"]}
    items = {"items": [common | item for item in CLAIMS]}
    (papers / "claims" / "sixth.yaml").write_text(yaml.safe_dump(items), "utf-8")
    with (workflow / "benchmarks.yaml").open("a", encoding="utf-8") as stream:
        stream.write(yaml.safe_dump({"Parking-9": BENCHMARK}))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data files and the templates of the repository, with the sixth paper."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    for name in ("templates", "static"):
        shutil.copytree(ROOT / "report" / name, folder / "report" / name)
    write_paper(folder / "workflow")
    return folder


@pytest.fixture(autouse=True)
def _inside(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)


@pytest.fixture(scope="module")
def results(repository: Path) -> Path:
    """What the phases before the tables would have left: data, one training, two rankings."""
    folder = repository / "results"
    reporting_world._dataset(folder / "data" / RUN.dataset, RUN.dataset, pedestrian=False)
    reporting_world._run(folder, RUN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(reporting_world.RERANKERS, "k_reciprocal", "k-reciprocal")
        for strength, ranking in enumerate(("none", "aqe", "k_reciprocal")):
            reporting_world._metrics(folder, RUN, ranking, 4 * strength)
    samples(folder / "data" / RUN.dataset, folder / f"figures/samples/{RUN.dataset}.webp")
    return folder


def test_its_files_fit_the_schemas_and_a_wrong_key_is_named(repository: Path) -> None:
    schemas = repository / "workflow" / "schemas"
    for name, content in (("paper", PAPER), ("benchmarks", {"Parking-9": BENCHMARK})):
        schema = json.loads((schemas / f"{name}.schema.json").read_text("utf-8"))
        jsonschema.validate(content, schema)
    file = repository / "workflow" / "papers" / "sixth.yaml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("metrics:", "metric:", 1), "utf-8")
    try:
        with pytest.raises(UserError, match=r"sixth\.yaml: .*metric"):
            load({"papers": ["sixth"]})
    finally:
        file.write_text(text, "utf-8")


def test_it_shares_the_baselines_runs_and_trains_only_what_is_new() -> None:
    alone = load({"papers": ["sixth"]})
    assert alone.runs == (RUN,)
    beside = load({"papers": ["baseline", "sixth"]})
    assert set(beside.runs) == set(load({"papers": ["baseline"]}).runs)
    new = set(load({"papers": ["baseline", "sixth"], "ablations": "all"}).runs) - set(beside.runs)
    assert new == {Run("sixth", "wide", "rendered-vehicles", 0)}
    wide, normal = (alone.resolve(run) for run in (*new, RUN))
    assert (wide.model.name, wide.model.width) == (normal.model.name, 48)  # type: ignore[union-attr]
    paper = load({"papers": ["sixth"], "scale": "paper", "ablations": "all"})
    assert {run.dataset for run in paper.runs} == {"veri776"}
    assert command("plan", "--runs").split() == [str(RUN)]


def test_every_own_cell_is_answered_or_excused() -> None:
    said = command("ledger", "coverage", "sixth")
    assert "6 of 7 cells are answered" in said
    assert "sixth, Table 1: 1 cells: its network is not implemented here" in said
    assert "nothing answers" not in said


def test_its_print_is_read_and_its_claims_come_to_what_they_say() -> None:
    paper = printed.read("sixth")
    assert [len(paper.cells), len(paper.blanks)] == [8, 1]
    assert paper.cell("Table 1", "baseline", "R1").value == "90.00"
    words = {True: "holds", False: "fails", None: "needs_evidence"}
    for item in paper.items:
        assert words[evaluate(item.predicate, PaperEvidence(paper)).holds] == item.on_paper


def test_it_is_judged_and_shown(repository: Path, results: Path) -> None:
    command("table", "sixth", "table1")
    shown = pd.read_csv(results / "tables/sixth/table1.csv")
    assert list(shown["reranker_title"].unique()) == ["Baseline", "Expanded"]
    command("judge")
    ledger = pd.read_csv(results / "ledger/sixth.csv", dtype=str, keep_default_na=False)
    verdicts = {
        (r["table"], r["row"], r["metric"]): r["verdict"] for r in ledger.to_dict("records")
    }
    assert verdicts == {
        ("Table 1", "Old [3]", "mAP"): "quoted",
        ("Table 1", "Old [3]", "R1"): "blank",
        ("Table 1", "baseline", "mAP"): "scaled",
        ("Table 1", "baseline", "R1"): "scaled",
        ("Table 1", "learned", "mAP"): "not_run",
        ("Table 1", "ours", "mAP"): "scaled",
        ("Table 1", "ours", "R1"): "scaled",
        ("Table 2", "normal", "mAP"): "scaled",
        ("Table 2", "wide", "mAP"): "not_run",
    }
    measured = json.loads((results / f"metrics/{RUN}/test/aqe.json").read_text())["mAP"]
    (ours,) = ledger[(ledger["row"] == "ours") & (ledger["metric"] == "mAP")].to_dict("records")
    assert float(ours["value"]) == pytest.approx(100 * measured, abs=1e-3)
    items = {one["id"]: one for one in json.loads((results / "claims.json").read_text())["items"]}
    assert {name: (one["verdict"], one["reason_code"]) for name, one in items.items()} == {
        "Table 1": ("reproduced", ""),
        "Fig. 1": ("reproduced", ""),
        "4-wide": ("paper_inconsistent", ""),
        "5-learned": ("not_run", "not_implemented"),
    }
    assert items["Table 1"]["scaled"]
    said = command("report")
    assert "report/index.html" in said
    page = (repository / "report/papers/sixth.html").read_text("utf-8")
    for words in ("Sixth: expansion of queries", "Learned expansion is no better.", "Old [3]"):
        assert words in page
    assert "&lt;b&gt;more&lt;/b&gt;" in page
    assert 'id="sixth-claim-4-wide"' in page
    assert 'href="papers/sixth.html' in (repository / "report/index.html").read_text("utf-8")
    assert "sixth.html#sixth-claim-5-learned" not in (repository / "report/summary.md").read_text()
    assert (
        "| [Sixth](papers/sixth.html) | Claims |" in (repository / "report/summary.md").read_text()
    )
