"""The printed cells, claims and errata: counts, order, and mistakes named by file and line."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from reid_repro.errors import UserError
from reid_repro.ledger import printed
from reid_repro.ledger.printed import OWN_ROLES, Cell, PrintedPaper

PAPERS = ("chca", "pgan", "ssrnet", "gnn", "glad")
HEADER = "table,row,dataset,split,metric,value,role,experiment,printed_as,note"
CLAIM = """
items:
  - {id: A, kind: claim, section: "1", title: A, statement: A., type: value, on_paper: holds,
     predicate: "m('T','a','mAP')>1"}
"""


@pytest.fixture(scope="module")
def papers() -> dict[str, PrintedPaper]:
    return {name: printed.read(name) for name in PAPERS}


def test_every_printed_cell_is_there(papers: dict[str, PrintedPaper]) -> None:
    cells = [cell for paper in papers.values() for cell in paper.cells.values()]
    kinds = Counter("own" if cell.own else cell.role for cell in cells)
    assert kinds == {"own": 579, "quoted": 501, "config": 42}
    assert sum(len(paper.blanks) for paper in papers.values()) == 140
    assert {name: len(paper.tables) for name, paper in papers.items()} == {
        "chca": 4,
        "pgan": 4,  # Table 4 has no number
        "ssrnet": 9,
        "gnn": 5,
        "glad": 7,
    }
    assert set(printed.papers()) == set(PAPERS)


def test_items_and_errata_are_there(papers: dict[str, PrintedPaper]) -> None:
    items = [item for paper in papers.values() for item in paper.items]
    assert Counter(item.kind for item in items) == {"table": 30, "figure": 27, "claim": 150}
    assert Counter(item.on_paper for item in items) == {
        "holds": 105,
        "fails": 23,
        "needs_evidence": 79,
    }
    assert len(printed.read_errata()) == 33
    assert {len(papers[name].errata) for name in PAPERS} == {2, 10, 13, 9, 3}


def test_every_contradiction_of_a_claim_is_an_erratum(papers: dict[str, PrintedPaper]) -> None:
    for paper in papers.values():
        named = {erratum.id for erratum in paper.errata}
        failing = {item.id for item in paper.items if item.on_paper == "fails"}
        assert failing <= named, paper.name


def test_tables_are_whole_and_in_the_papers_order(papers: dict[str, PrintedPaper]) -> None:
    table = papers["chca"].tables["Table II"]
    assert len(table) == 13 * 9  # blanks included
    assert list(dict.fromkeys(cell.row for cell in table))[-4:] == [
        "DFLNet [24]",
        "PVEN* [25]",
        "SAVER [26]",
        "CHCA(Ours)",
    ]
    columns = dict.fromkeys((c.split, c.metric) for c in papers["ssrnet"].tables["Table 8"])
    assert list(columns) == [(s, k) for s in ("800", "1600", "2400") for k in ("R1", "mAP")]
    for paper in papers.values():
        for cells in paper.tables.values():
            rows = [cell.row for cell in cells]
            assert len(set(rows)) == 1 + sum(a != b for a, b in pairwise(rows))


def test_no_reading_is_left_open(papers: dict[str, PrintedPaper]) -> None:
    notes = [cell.note for paper in papers.values() for cell in paper.grid]
    assert not [note for note in notes if "uncertain" in note.lower()]
    assert sum("settled: " in note for note in notes) == 26


def test_settled_cells_agree_with_the_other_papers(papers: dict[str, PrintedPaper]) -> None:
    chca, ssr, gnn = papers["chca"], papers["ssrnet"], papers["gnn"]
    part = chca.cell("Table III", "Part-regularized Near-duplicate* [22]", "R1", split="1600")
    same = ssr.cell("Table 8", "Part Regularization[16]", "R1", split="1600")
    assert part.number == same.number == 75.0
    for split in ("800", "1600", "2400"):
        r1, ap = (ssr.cell("Table 5", "beta=0.5", k, "VehicleID", split) for k in ("R1", "mAP"))
        assert 5.9 < ap.number - r1.number < 6.2  # type: ignore[operator]
    row = [gnn.cell("Table 3", "k-reciprocal [52] (CPU)", k).number for k in ("R1", "mAP")]
    ours = [gnn.cell("Table 3", "ours (2 layers) (CPU)", k).number for k in ("mAP", "R1")]
    assert row == ours == [94.65, 96.11]  # as printed: exchanged


def test_one_experiment_prints_one_number(papers: dict[str, PrintedPaper]) -> None:
    """Cells of one run agree, but for what the errata say.

    In GLAD one run has several descriptors.
    """
    unequal = set()
    for name, paper in papers.items():
        if name == "glad":
            continue
        found: dict[tuple[str, ...], set[float]] = {}
        for cell in paper.cells.values():
            if cell.experiment and cell.unit == "percent":
                key = (cell.experiment, cell.dataset, cell.split, cell.metric)
                found.setdefault(key, set()).add(float(cell.value))
        unequal |= {(name, key[0]) for key, values in found.items() if len(values) > 1}
    assert unequal == {("pgan", "pgan:baseline-512"), ("gnn", "gnn:k-reciprocal")}


def test_units_follow_the_metric(papers: dict[str, PrintedPaper]) -> None:
    cell = papers["ssrnet"].cell("Table 7", "GB", "params")
    assert (cell.value, cell.number, cell.unit) == ("2.35e7", 2.35e7, "count")
    assert papers["gnn"].cell("Table 4", "ours (GPU)", "time_ms", split="mean").unit == "ms"
    assert papers["glad"].cell("Table 1", "Baseline", "mAP").unit == "percent"
    blank = papers["glad"].cell("Table 3", "WARCA [15]", "mAP")
    assert (blank.number, blank.printed_as, blank.own) == (None, "-", False)


def test_look_ups_say_what_there_is(papers: dict[str, PrintedPaper]) -> None:
    chca = papers["chca"]
    with pytest.raises(LookupError, match=r"no table 'Table V'; there are Table I, Table II"):
        chca.column("Table V", "mAP")
    with pytest.raises(LookupError, match="'mAP' is several columns: VERI-Wild large, VERI-Wild"):
        chca.column("Table II", "mAP")
    with pytest.raises(LookupError, match="Table I has no row 'CHCA' with mAP"):
        chca.cell("Table I", "CHCA", "mAP")
    with pytest.raises(LookupError, match="Table I has no column 'VRIC mAP'"):
        chca.column("Table I", "mAP", "VRIC")
    with pytest.raises(LookupError, match="no role 'mine'; known: own, own_variant"):
        chca.chosen("Table I", "mAP", None, None, (), None, ("mine",))
    with pytest.raises(LookupError, match="no row 'X'"):
        chca.chosen("Table I", "mAP", None, None, ("X",), None, None)
    own = chca.chosen("Table IV", "mAP", None, None, ("none",), None, OWN_ROLES)
    assert len(own) == 10


# --- mistakes in the files -------------------------------------------------------------------


def written(folder: Path, lines: str, claims: str = CLAIM, errata: str = "") -> Path:
    """A workflow folder with one paper."""
    (folder / "papers" / "values").mkdir(parents=True)
    (folder / "papers" / "claims").mkdir()
    (folder / "papers" / "values" / "tiny.csv").write_text(f"{HEADER}\n{lines}")
    (folder / "papers" / "claims" / "tiny.yaml").write_text(claims)
    if errata:
        (folder / "papers" / "errata.csv").write_text(errata)
    return folder


def test_a_paper_needs_no_errata(tmp_path: Path) -> None:
    workflow = written(tmp_path, "T,a,D,test,mAP,12.50,own,x,,\nT,b,D,test,mAP,,quoted,,N/A,\n")
    paper = printed.read("tiny", workflow)
    assert [cell.value for cell in paper.grid] == ["12.50", ""]
    assert (paper.errata, printed.papers(workflow)) == ((), ("tiny",))


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ("T,a,D,test,mAP,1,own,x,,\nT,a,D,test,mAP,2,own,x,,\n", "line 3: T · a · D · mAP stands"),
        ("T,a,D,test,mAP,1,mine,x,,\n", r"line 2: key 'role': .*'own', .*\(found 'mine'\)"),
        ("T,a,D,test,mAP,,own,x,,\n", "line 2: either 'value' or 'printed_as'"),
        ("T,a,D,test,mAP,1,own,x,-,\n", "line 2: either 'value' or 'printed_as'"),
        ("T,a,D,test,accuracy,1,own,x,,\n", "line 2: unknown metric 'accuracy'; known: mAP, R1"),
        ("T,a,D,test,mAP,130,own,x,,\n", "line 2: 130 percent of mAP"),
        ("T,a,D,test,mAP,~80,own,x,,\n", "line 2: key 'value'"),
        ("T,a,D,test,mAP,nan,own,x,,\n", "line 2: key 'value'"),
        ("T,,D,test,mAP,1,own,x,,\n", "line 2: key 'row'"),
        ("T,a,D,test,mAP,1,own,x,\n", "line 2: expected 10 fields, found 9"),
        ('"T,a,D,test,mAP,1,own,x,,\n', "not a readable CSV"),
    ],
)
def test_wrong_cells_are_named(tmp_path: Path, lines: str, what: str) -> None:
    with pytest.raises(UserError, match=rf"tiny\.csv.*{what}"):
        printed.read("tiny", written(tmp_path, lines))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("kind: claim", "kind: guess", "items.0.kind"),
        ("m('T','a','mAP')>1", "open('x')", "unknown name 'open'"),
        ("on_paper: holds,", "", "key 'items.0.on_paper' is missing"),
        ("statement: A.", "statement: ''", "items.0.statement"),
        (
            "type: value",
            "type: value, vary: x",
            "unknown key 'items.0.vary'; did you mean 'varied'",
        ),
    ],
)
def test_wrong_claims_are_named(tmp_path: Path, old: str, new: str, what: str) -> None:
    workflow = written(tmp_path, "T,a,D,test,mAP,1,own,x,,\n", CLAIM.replace(old, new))
    with pytest.raises(UserError, match=rf"tiny\.yaml: .*{what}"):
        printed.read("tiny", workflow)


def test_two_items_of_one_id_are_named(tmp_path: Path) -> None:
    twice = CLAIM + CLAIM.replace("items:", "").lstrip("\n")
    workflow = written(tmp_path, "T,a,D,test,mAP,1,own,x,,\n", twice)
    with pytest.raises(UserError, match="id 'A' stands there twice"):
        printed.read("tiny", workflow)


def test_other_files_are_named(tmp_path: Path) -> None:
    workflow = written(tmp_path, "T,a,D,test,mAP,1,own,x,,\n", errata="paper,id\ntiny,A\n")
    with pytest.raises(UserError, match=r"errata\.csv, line 1: expected the columns paper,id,sec"):
        printed.read("tiny", workflow)
    with pytest.raises(UserError, match=r"other\.csv: no such file"):
        printed.read("other", workflow)
    shutil.rmtree(workflow / "papers" / "claims")
    with pytest.raises(UserError, match=r"tiny\.yaml: no such file"):
        printed.read("tiny", workflow)


def test_a_cell_keeps_its_zeros() -> None:
    texts = ["T", "a", "", "", "R1", "95.40", "own", "", "", ""]
    cell = Cell.model_validate(dict(zip(Cell.model_fields, texts, strict=True)))
    assert (cell.value, cell.number, printed.label(cell.key)) == ("95.40", 95.4, "T · a · R1")
