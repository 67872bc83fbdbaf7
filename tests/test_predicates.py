"""The evaluator of predicates: the papers' split, Python's `eval` as oracle, hostile input."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_repro.ledger import predicates, printed
from reid_repro.ledger.claims import Item
from reid_repro.ledger.paper_evidence import PaperEvidence
from reid_repro.ledger.predicates import TOLERANCE, Outcome, PredicateError, Unknown, evaluate
from reid_repro.ledger.printed import PrintedPaper
from reid_repro.ledger.value import Value, aligned, exact, largest, mean, smallest

PAPERS = ("chca", "pgan", "ssrnet", "gnn", "glad")
RESAMPLES = 4
NOT_RUN = Unknown("not_run", "It was not run.")


@pytest.fixture(scope="module")
def papers() -> dict[str, PrintedPaper]:
    return {name: printed.read(name) for name in PAPERS}


def items(papers: dict[str, PrintedPaper]) -> list[tuple[PrintedPaper, Item]]:
    return [(paper, item) for paper in papers.values() for item in paper.items]


# --- Python's eval as the oracle -------------------------------------------------------------


def oracle_functions(tolerance: float = TOLERANCE) -> dict[str, Any]:
    """The vocabulary on plain numbers."""

    def near(x: float, y: float, tol: float = tolerance) -> bool:
        return abs(x - y) <= tol + 1e-9

    def gain(x: float, y: float, tol: float = tolerance) -> bool:
        same_sign = (x > 0) - (x < 0) == (y > 0) - (y < 0)
        return same_sign and near(x, y, tol)

    return {
        "near": near,
        "gain": gain,
        "mean": lambda several: sum(several) / len(several),
        "floor": math.floor,
        "TOL": tolerance,
    }


def oracle_of(evidence: Any) -> dict[str, Any]:
    """The vocabulary with an evidence's measured values."""

    def m(t: str, r: str, k: str, dataset: str | None = None, split: str | None = None) -> float:
        return evidence.m(t, r, k, dataset, split).measured

    def others(
        t: str, r: str, k: str, dataset: str | None = None, split: str | None = None
    ) -> list[float]:
        return [value.measured for value in evidence.others(t, r, k, dataset, split).values()]

    def col(
        t: str,
        k: str,
        dataset: str | None = None,
        split: str | None = None,
        exclude: tuple[str, ...] = (),
        only: tuple[str, ...] | None = None,
        roles: tuple[str, ...] | None = None,
    ) -> dict[str, float]:
        found = evidence.col(t, k, dataset, split, exclude, only, roles)
        return {row: value.measured for row, value in found.items()}

    def f(*key: object) -> float:
        return evidence.f(*[str(part) for part in key]).measured

    asked = {"m": m, "others": others, "col": col, "f": f}
    return oracle_functions() | asked | {"test": evidence.test, "stat": evidence.stat}


def test_the_papers_own_cells_give_the_known_split(papers: dict[str, PrintedPaper]) -> None:
    found: Counter[str] = Counter()
    for paper, item in items(papers):
        holds = evaluate(item.predicate, PaperEvidence(paper)).holds
        word = {True: "holds", False: "fails", None: "needs_evidence"}[holds]
        assert word == item.on_paper, f"{paper.name} {item.id}"
        found[word] += 1
    assert found == {"holds": 105, "fails": 23, "needs_evidence": 79}


def test_predicates_on_cells_agree_with_python(papers: dict[str, PrintedPaper]) -> None:
    for paper, item in items(papers):
        evidence = PaperEvidence(paper)
        if item.on_paper != "needs_evidence":
            expected = bool(eval(item.predicate, oracle_of(evidence)))
            assert evaluate(item.predicate, evidence).holds is expected, item.id


class Drawn:
    """Made-up evidence: a value with resamples for every question, always the same one.

    `at` makes it the evidence of one sample alone.
    """

    def __init__(self, paper: PrintedPaper, at: int | None = None) -> None:
        self._printed = PaperEvidence(paper)
        self._at = at

    def _drawn(self, centre: float, *names: str) -> Value:
        seed = int.from_bytes(hashlib.sha256("|".join(names).encode()).digest()[:8], "big")
        noise = np.random.default_rng(seed).normal(0, 0.02 * centre, 1 + RESAMPLES)
        samples = np.round(centre + noise, 2)
        return Value(samples if self._at is None else samples[[self._at]], names)

    def _column(self, *asked: Any) -> dict[str, Value]:
        column = self._printed.col(*asked)
        return {row: self._drawn(v.measured, *v.origins) for row, v in column.items()}

    def m(self, *asked: Any) -> Value:
        value = self._printed.m(*asked)
        return self._drawn(value.measured, *value.origins)

    def others(self, table: str, row: str, *asked: Any) -> dict[str, Value]:
        return self._column(table, *asked, (row,), None, None)

    def col(self, *asked: Any) -> dict[str, Value]:
        return self._column(*asked)

    def f(self, *key: str) -> Value:
        return self._drawn(50.0, *key)

    def test(self, name: str) -> bool:
        return len(name) % 2 == 0

    def stat(self, name: str) -> int | tuple[int, ...]:
        single = name.endswith((".ids", ".query", "parts"))
        return 632 if single else (12936, 751)


def test_resamples_are_evaluated_as_if_each_were_alone(papers: dict[str, PrintedPaper]) -> None:
    decided = 0
    for paper, item in items(papers):
        together = evaluate(item.predicate, Drawn(paper))
        alone = [evaluate(item.predicate, Drawn(paper, at)) for at in range(1 + RESAMPLES)]
        assert together.holds is alone[0].holds, item.id
        if together.share is not None:
            assert together.share == np.mean([one.holds for one in alone[1:]]), item.id
            decided += 0 < together.share < 1
        for place, atom in enumerate(together.atoms):
            flags = [one.atoms[place].holds for one in alone]
            assert atom.holds is flags[0]
            assert atom.share is None or atom.share == np.mean(flags[1:])
    assert decided > 30  # the noise is such that many predicates hold in some resamples alone


def test_drawn_evidence_agrees_with_python(papers: dict[str, PrintedPaper]) -> None:
    for paper, item in items(papers):
        evidence = Drawn(paper, 1)
        expected = bool(eval(item.predicate, oracle_of(evidence)))
        assert evaluate(item.predicate, evidence).holds is expected, item.id


# --- expressions made by hypothesis ----------------------------------------------------------

ROWS = ("r0", "r1", "r2", "r3")


class Rows:
    """One table of one column, given row by row."""

    def __init__(self, rows: dict[str, Any], tests: dict[str, Any] | None = None) -> None:
        self.rows, self.tests = rows, tests or {}

    def _row(self, row: str) -> Value:
        if row not in self.rows:
            raise LookupError(f"T has no row '{row}'")
        if isinstance(self.rows[row], Unknown):
            raise self.rows[row]
        return self.rows[row]

    def m(self, table: str, row: str, *_: Any) -> Value:
        return self._row(row)

    def others(self, table: str, row: str, *_: Any) -> dict[str, Any]:
        return {name: value for name, value in self.rows.items() if name != row}

    def col(self, *_: Any) -> dict[str, Any]:
        return dict(self.rows)

    def f(self, *key: str) -> Value:
        raise Unknown("not_run", f"{key} was not run.")

    def test(self, name: str) -> bool:
        if isinstance(self.tests[name], Unknown):
            raise self.tests[name]
        return self.tests[name]

    def stat(self, name: str) -> Any:
        return {"S.pair": (3, 4), "S.one": 7}[name]


CELLS = st.sampled_from([f"m('T','{row}','mAP')" for row in ROWS])
COLUMNS = st.sampled_from(["others('T','r1','mAP')", "col('T','mAP').values()"])
NUMBERS = st.recursive(
    st.one_of(CELLS, st.sampled_from(["1", "2.5", "-3"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})"),
        st.tuples(st.sampled_from(["max", "min", "mean"]), inner, inner).map(
            lambda t: f"{t[0]}([{t[1]},{t[2]}])"
        ),
        st.tuples(st.sampled_from(["max", "min", "mean", "sum"]), COLUMNS).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
        st.tuples(inner, COLUMNS).map(lambda t: f"sum(v>{t[0]} for v in {t[1]})"),
        st.tuples(inner, COLUMNS).map(lambda t: f"sorted({t[1]})[1]-{t[0]}"),
        inner.map(lambda x: f"abs({x})"),
        inner.map(lambda x: f"floor({x})"),
        inner.map(lambda x: f"(lambda q: q*2)({x})"),
    ),
    max_leaves=5,
)
ELEMENTARY = st.one_of(
    st.tuples(NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), NUMBERS).map("".join),
    st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda t: f"{t[0]}<{t[1]}<={t[2]}"),
    st.tuples(st.sampled_from(["near", "gain"]), NUMBERS, NUMBERS).map(
        lambda t: f"{t[0]}({t[1]},{t[2]},0.5)"
    ),
    st.tuples(st.sampled_from(["all", "any"]), NUMBERS, COLUMNS).map(
        lambda t: f"{t[0]}(v<={t[1]} for v in {t[2]})"
    ),
)
CONDITIONS = st.recursive(
    ELEMENTARY,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" and ", " or "]), inner).map(
            lambda t: f"({t[0]}{t[1]}{t[2]})"
        ),
        inner.map(lambda x: f"(not {x})"),
    ),
    max_leaves=4,
)
SAMPLES = st.lists(
    st.lists(st.integers(-3, 6), min_size=4, max_size=4), min_size=4, max_size=4
).map(lambda rows: {name: np.array(row) / 2 for name, row in zip(ROWS, rows, strict=True)})


@settings(max_examples=100, deadline=None)
@given(CONDITIONS, SAMPLES)
def test_any_condition_is_python_s_in_every_resample(
    condition: str, samples: dict[str, np.ndarray]
) -> None:
    found = evaluate(condition, Rows({row: Value(values) for row, values in samples.items()}))
    flags = []
    for place in range(4):
        alone = Rows({row: exact(values[place]) for row, values in samples.items()})
        flags.append(bool(eval(condition, oracle_of(alone))))
    assert found.holds is flags[0]
    assert found.share in (None, np.mean(flags[1:]))
    assert (found.share is None) == ("T" not in condition)  # constants alone have no resamples


@settings(max_examples=100, deadline=None)
@given(CONDITIONS, SAMPLES, st.sets(st.sampled_from(ROWS), min_size=1, max_size=2), st.data())
def test_what_is_decided_in_spite_of_unknowns_holds_whatever_these_are(
    condition: str, samples: dict[str, np.ndarray], hidden: set[str], data: st.DataObject
) -> None:
    known: dict[str, Any] = {row: exact(values[0]) for row, values in samples.items()}
    found = evaluate(condition, Rows(known | dict.fromkeys(hidden, NOT_RUN)))
    for _ in range(3):
        guess = {row: exact(data.draw(st.integers(-9, 9)) / 2) for row in sorted(hidden)}
        completed = evaluate(condition, Rows(known | guess))
        assert found.holds in (None, completed.holds)
    if found.holds is None:
        assert found.unknown == (NOT_RUN,)
        assert any(atom.unknown for atom in found.atoms)
    elif not any(row in condition for row in hidden) and "col" not in condition:
        assert "others" in condition or not found.unknown


# --- atoms, unknowns, origins ----------------------------------------------------------------


def rows(**values: float | Unknown) -> Rows:
    return Rows({k: v if isinstance(v, Unknown) else exact(v, k) for k, v in values.items()})


def test_every_atom_is_kept_beside_one_that_decides() -> None:
    found = evaluate(
        "all(m('T','ours','mAP')>v for v in others('T','ours','mAP')) and 2<1",
        rows(ours=5, a=7, b=3, c=NOT_RUN),
    )
    assert found.holds is False
    assert [atom.holds for atom in found.atoms] == [False, True, None, False]
    assert [atom.unknown for atom in found.atoms] == [None, None, NOT_RUN, None]
    assert found.unknown == (NOT_RUN,)
    assert [atom.text for atom in found.atoms[:2]] == [
        "T · ours · mAP > T · a · mAP",
        "T · ours · mAP > T · b · mAP",
    ]


def test_unknown_decides_where_the_known_ones_do_not() -> None:
    predicate = "all(m('T','ours','mAP')>v for v in others('T','ours','mAP'))"
    assert evaluate(predicate, rows(ours=9, a=7, c=NOT_RUN)).holds is None
    assert evaluate(predicate, rows(ours=9, a=7)).holds is True
    whole = evaluate("m('T','a','mAP')>max(others('T','a','mAP'))", rows(a=1, b=2, c=NOT_RUN))
    assert whole.holds is None
    assert len(whole.atoms) == 1


def test_a_column_that_is_unknown_as_a_whole_is_one_atom() -> None:
    class Nothing(Rows):
        def others(self, *_: Any) -> Any:
            raise NOT_RUN

    found = evaluate("all(v>1 for v in others('T','a','mAP'))", Nothing({}))
    assert (found.holds, [atom.op for atom in found.atoms]) == (None, [">"])
    assert found.atoms[0].text == "T · other rows · mAP > 1"
    pairs = evaluate("all(a<b for a,b in zip(others('T','a','mAP'),(1,)))", Nothing({}))
    assert [(atom.op, atom.unknown) for atom in pairs.atoms] == [("unknown", NOT_RUN)]


def test_atoms_say_what_was_compared() -> None:
    evidence = rows(ours=5, a=7, b=3)
    [atom] = evaluate("m('T','ours','mAP','D')>=max(others('T','ours','mAP','D'))", evidence).atoms
    assert atom.text == "T · ours · D · mAP >= max(T · other rows · D · mAP)"
    assert (atom.op, atom.left.measured, atom.right.measured) == (">=", 5, 7)  # type: ignore[union-attr]
    assert atom.right.origins == ("a",)  # type: ignore[union-attr]
    [atom] = evaluate("gain(m('T','a','mAP')-m('T','b','mAP'),4.1,0.2)", evidence).atoms
    assert atom.text == "T · a · mAP - T · b · mAP is a gain of 4.1"
    assert (atom.op, atom.tolerance, atom.holds) == ("gain", 0.2, True)
    assert atom.left.origins == ("a", "b")  # type: ignore[union-attr]
    [atom] = evaluate("stat('S.pair')==(3,5)", evidence).atoms
    assert (atom.text, atom.seen, atom.holds) == ("S.pair == 3, 5", "(3, 4)", False)
    [atom] = evaluate("stat('S.one')<8", evidence).atoms
    assert (atom.left.measured, atom.holds) == (7, True)  # type: ignore[union-attr]
    two = evaluate("all(m('T',f'{x}','mAP')<m('T','ou'+'rs','mAP')<9 for x in ('b',))", evidence)
    assert [atom.text for atom in two.atoms] == [
        "T · b · mAP < T · ours · mAP",
        "T · ours · mAP < 9",
    ]


def test_what_only_chooses_or_counts_is_no_atom() -> None:
    evidence = rows(ours=5, a=7, b=3)
    found = evaluate(
        "sum(v>4 for r,v in col('T','mAP').items() if r!='ours')==(1 if 'x' in 'xy' else 2)",
        evidence,
    )
    assert [atom.op for atom in found.atoms] == ["=="]
    assert found.holds is True


def test_tests_hold_fail_or_are_unknown() -> None:
    evidence = Rows({}, {"good": True, "bad": False, "later": NOT_RUN})
    outcomes = [evaluate(f"test('{name}')", evidence) for name in ("good", "bad", "later")]
    assert [one.holds for one in outcomes] == [True, False, None]
    assert [one.atoms[0].op for one in outcomes] == ["test"] * 3
    assert evaluate("test('good') and test('later')", evidence).holds is None
    assert evaluate("test('good') or test('later')", evidence).holds is True


# --- what is no predicate --------------------------------------------------------------------

HOSTILE = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "m.__globals__",
    "max.__self__",
    "(lambda: 0).__code__ == 1",
    "[x for x in ().__class__.__mro__]",
    "eval('1')",
    "open('/etc/passwd').read() == ''",
    "f'{m.__class__}' == ''",
    "f'{1:>999999999}' == ''",
    "f'{1!r}' == ''",
    "9**9**9 > 1",
    "2**10000 > 1",
    "(lambda x: x(x))(lambda x: x(x)) > 1",
    "(lambda a: a*a*a*a)((lambda a: a*a*a*a)((lambda a: a*a*a*a)(99999))) > 1",
    "all(1<2 for a in 'abc' for b in 'abc')",
    "len([1 for a in [1]*99999]) > 1",
    "+".join(["'" + "x" * 300 + "'"] * 9) + " == ''",
    "(y := 5) > 3",
    "{1: 2}[1] == 2",
    "{x for x in (1,)} == 1",
    "print('x')",
    "max = 3",
    "import os",
    "1 if",
    "yield 1",
    "await f()",
    "m(*('a','b','c')) > 1",
    "m(**{}) > 1",
    "'abc'.upper() == 'ABC'",
    "others('T','a','mAP').sort() == 1",
    "any(max < 1 for max in (1,))",
    "all",
    "1",
    "'text'",
    "(1).real == 1",
    "1j == 1",
    "b'x' == b'x'",
    "... == 1",
    "\0",
    "(" * 500 + "1" + ")" * 500 + ">0",
    "-" * 3000 + "1 > 0",
    "1 > 0" + " and 1 > 0" * 1000,
    "not " * 300 + "1 > 0",
]


@pytest.mark.parametrize("predicate", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_predicates_are_named_and_refused(predicate: str) -> None:
    with pytest.raises(PredicateError, match=r"^predicate `"):
        evaluate(predicate, rows(a=1, b=2))


def test_work_is_bounded() -> None:
    numbers = "(" + "1," * 10 + ")"
    loops = " ".join(f"for x{place} in {numbers}" for place in range(6))
    with pytest.raises(PredicateError, match="more than 50000 steps"):
        evaluate(f"all(1 < 2 {loops})", rows(a=1))


@pytest.mark.parametrize(
    ("predicate", "what"),
    [
        ("m('T','x','mAP')>1", "column 1: T has no row 'x'"),
        ("m('T',3,'mAP')>1", "column 1: expected a text, found a number"),
        ("m('T')>1", "missing a required argument: 'row'"),
        ("m('T','a','mAP',color='x')>1", "unexpected keyword argument 'color'"),
        ("m('T','a','mAP')>'x'", "column 1: a number > a text"),
        ("m('T','a','mAP')+1", "expected a condition, found a number"),
        ("1 if m('T','a','mAP')>m('T','r','mAP') else 2", "cannot depend on measured values"),
        ("(1,) in 'text'", "column 1: tuple in a text"),
        ("m('T','r','mAP')>m('T','s','mAP')", r"column 1: values of \[1, 2\] resamples"),
        ("max(())>1", r"column 1: max\(\)"),
        ("mean([])>1", r"mean\(\) of no values"),
        ("1/0>1", "column 1: division by zero"),
        ("(1,2)[5]>1", "column 1: tuple index out of range"),
        ("near(1,2,m('T','a','mAP'))", "expected a tolerance"),
        ("near(1)", "takes two numbers"),
        ("all(1<2, 2<3)", "takes one list"),
        ("x>1", "unknown name 'x'; known: TOL, abs, all, any"),
        ("any(x>1 for x in (1,)) and x>1", "'x' has no value here"),
        ("all(a>b for a,b in zip((1,2),(3,)) for c in ((1,2,3),) if 1) and 2>1", "condition"),
        ("any(1>2 for a,b in ((1,2,3),))", "2 names for 3 values"),
    ],
)
def test_mistakes_are_named_with_their_place(predicate: str, what: str) -> None:
    evidence = Rows({"a": exact(1), "r": Value(np.zeros(2)), "s": Value(np.zeros(3))})
    with pytest.raises(PredicateError, match=what):
        evaluate(predicate, evidence)


def test_check_refuses_what_evaluate_would(papers: dict[str, PrintedPaper]) -> None:
    for _, item in items(papers):
        predicates.check(item.predicate)
    with pytest.raises(PredicateError, match="unknown name 'exec'"):
        predicates.check("exec('x')")


# --- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("over", "expected"), [(largest, 1), (smallest, 0)])
def test_extremes_keep_the_origin_of_the_measured_one(
    over: Callable[[list[Value]], Value], expected: int
) -> None:
    several = [Value(np.array([1.0, 9.0]), ("a",)), Value(np.array([2.0, 3.0]), ("b",))]
    found = over(several)
    assert found.origins == several[expected].origins
    assert found.samples.tolist() == [[1.0, 3.0], [2.0, 9.0]][expected]


def test_values_of_other_resamples_do_not_join() -> None:
    with pytest.raises(ValueError, match=r"values of \[1, 2\] resamples do not join"):
        aligned([Value(np.zeros(2)), Value(np.zeros(3))])
    with pytest.raises(ValueError, match=r"expected \(1 \+ B,\)"):
        Value(np.zeros((2, 2)))
    joined = mean([exact(1, "a"), Value(np.array([3.0, 5.0]), ("b",))])
    assert (joined.samples.tolist(), joined.origins) == ([2.0, 3.0], ("a", "b"))


def test_an_outcome_without_resamples_has_no_share() -> None:
    found: Outcome = evaluate("m('T','a','mAP')>0", rows(a=1))
    assert (found.holds, found.share) == (True, None)
