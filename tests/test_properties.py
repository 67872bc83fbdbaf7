"""The list of properties, the claims that name them, and the command that runs their tests."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from reid_repro.errors import UserError
from reid_repro.ledger import printed, properties
from reid_repro.phases import properties as phase

TESTS = """
import pytest


@pytest.mark.parametrize("number", [1, 2])
def test_small(number):
    assert number < 3


@pytest.mark.parametrize("number", [1, 5])
def test_some(number):
    assert number < 3, "five is not small"


@pytest.mark.xfail(strict=True, reason="not done here")
def test_known():
    assert False


@pytest.mark.skip(reason="no time")
def test_skipped():
    pass


@pytest.fixture
def broken():
    raise RuntimeError("no fixture")


def test_broken(broken):
    pass
"""


def written(root: Path, *nodes: str, tests: str = TESTS) -> Path:
    """A repository with a file of tests, and a list with a property for each node."""
    (root / "tests").mkdir()
    (root / "tests" / "test_tiny.py").write_text(tests)
    (root / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    listed = {
        f"a.p{place}": {"statement": "It holds.", "tests": [node]}
        for place, node in enumerate(nodes)
    }
    file = root / "properties.yaml"
    file.write_text(json.dumps({"properties": listed}))
    return file


def test_every_property_of_a_claim_is_listed_and_no_other() -> None:
    asked = [
        name
        for paper in printed.papers()
        for item in printed.read(paper).items
        for name in properties.named(item.predicate)
    ]
    assert set(asked) == set(properties.read())
    assert len(set(asked)) == 38


def test_statements_end_as_sentences() -> None:
    for name, one in properties.read().items():
        assert one.statement.endswith("."), name
        assert len(set(one.tests)) == len(one.tests), name


def test_names_are_found_in_predicates() -> None:
    predicate = "test('a.b') and latest('no') and all(test( 'c.d') for x in ('test',))"
    assert properties.named(predicate) == ("a.b", "c.d")


def test_results_say_which_hold(tmp_path: Path) -> None:
    nodes = ["tests/test_tiny.py::test_small", "tests/test_tiny.py::test_some",
             "tests/test_tiny.py::test_some[1]", "tests/test_tiny.py::test_known"]  # fmt: skip
    file = written(tmp_path, *nodes)
    held = phase.run(tmp_path / "results", file=file, root=tmp_path)
    assert held == {"a.p0": True, "a.p1": False, "a.p2": True, "a.p3": False}
    facts = json.loads((tmp_path / "results" / "properties.json").read_text())
    assert {"properties", "commit", "versions", "machine", "command"} <= set(facts)
    first, second, _, known = facts["properties"].values()
    assert first["tests"] == nodes[:1]
    assert first["statement"] == "It holds."
    assert first["seconds"] >= 0
    assert "note" not in first
    assert second["note"].startswith("test_some[5]: AssertionError: five is not small")
    assert known["note"] == "test_known: not done here"


def test_what_keeps_tests_from_running_is_an_error(tmp_path: Path) -> None:
    file = written(tmp_path, "tests/test_tiny.py::test_some[7]")
    with pytest.raises(UserError, match=r"did not run: .*not found: .*test_tiny.py::test_some"):
        phase.run(tmp_path, file=file, root=tmp_path)
    assert not (tmp_path / "properties.json").exists()


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ("test_skipped", "test_tiny.py::test_skipped: no time"),
        ("test_broken", "test_tiny.py::test_broken: .*no fixture"),
    ],
)
def test_a_test_without_a_result_is_an_error(tmp_path: Path, test: str, message: str) -> None:
    file = written(tmp_path, f"tests/test_tiny.py::{test}")
    with pytest.raises(UserError, match=f"did not run: tests/{message}"):
        phase.run(tmp_path, file=file, root=tmp_path)


def test_without_pytest_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phase, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"install pytest, `pip install -e \.\[dev\]`"):
        phase.run_tests(["tests/test_tiny.py::test_small"])


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("tests/test_tiny.py::test_none", "'a.p0': tests/test_tiny.py has no test 'test_none'"),
        ("tests/test_other.py::test_small", "'a.p0': there is no file .*test_other.py"),
        ("test_small", r"key 'properties\.a\.p0\.tests\.0'"),
        ("tests/../x.py::test_small", r"key 'properties\.a\.p0\.tests\.0'"),
    ],
)
def test_tests_that_there_are_not_are_named(tmp_path: Path, node: str, message: str) -> None:
    file = written(tmp_path, node)
    with pytest.raises(UserError, match=rf"properties\.yaml: {message}"):
        properties.read(file, tmp_path)


def test_a_broken_file_of_tests_is_named(tmp_path: Path) -> None:
    tests = dedent("def test_small(:\n    pass\n")
    file = written(tmp_path, "tests/test_tiny.py::test_small", tests=tests)
    with pytest.raises(UserError, match=r"test_tiny\.py, line 1: not valid Python"):
        properties.read(file, tmp_path)


def test_a_test_is_of_its_own_name_alone() -> None:
    node = "tests/test_a.py::test_b"
    assert phase.is_of(f"{node}[1-x]", node)
    assert phase.is_of(node, node)
    assert not phase.is_of(f"{node}_c", node)
    assert phase.is_of(f"{node}[1]", f"{node}[1]")
    assert not phase.is_of(f"{node}[2]", f"{node}[1]")
