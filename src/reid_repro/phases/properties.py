"""Run the tests that show the papers' properties, and write which hold.

One process of pytest runs all of them. A test that fails, or is known to (`xfail`), is a result:
the property does not hold here. What keeps tests from running is an error, a skipped one too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from reid_repro import devices
from reid_repro.errors import UserError
from reid_repro.files import write_json
from reid_repro.ledger import properties as ledger

RAN = (0, 1)  # pytest's exit codes where tests ran: all passed, or some failed
SHOWN = 300  # characters of a failure


@dataclass(frozen=True)
class Ran:
    """One test under one set of parameters; `note` says why it did not pass."""

    node: str
    passed: bool
    seconds: float
    note: str = ""


def run(results: Path, *, file: Path = ledger.FILE, root: Path = Path()) -> dict[str, bool]:
    """Write results/properties.json; which property holds.

    UserError where pytest is not installed, or a test cannot be collected.
    """
    properties = ledger.read(file, root)
    ran = run_tests(ledger.nodes(properties), root)
    found = {name: _shown(one, ran) for name, one in properties.items()}
    write_json(
        results / "properties.json",
        {
            "properties": found,
            **devices.commit(),
            "versions": devices.versions(),
            "machine": devices.machine(),
            "command": "reid-repro properties",
        },
    )
    return {name: facts["passed"] for name, facts in found.items()}


def run_tests(nodes: Sequence[str], root: Path = Path()) -> list[Ran]:
    """Every test of `nodes`, below `root`, in one process; UserError where they cannot run."""
    if find_spec("pytest") is None:
        raise UserError("properties are shown by tests: install pytest, `pip install -e .[dev]`")
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += ["--no-header", "--tb=line", "-o", "junit_family=xunit1"]
        # The same commit shows the same: neither the options of a caller nor the plugins that other
        # packages bring change it.
        command += ["-p", "_hypothesis_pytestplugin", "--hypothesis-seed=0"]
        alone = {"PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        # Their arrays are too small for more than one thread, and the job has one core.
        environment = {**os.environ, **alone, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*command, f"--junit-xml={report}", *nodes],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in RAN or not report.exists():
            raise UserError(f"the tests of properties did not run: {_reason(done)}")
        return _read(report)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The line that says what went wrong, and how to see more."""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E ", "error"))]
    said = (errors or lines or ["nothing was said"])[0][:SHOWN]
    return f"{said} (pytest ended with status {done.returncode}; run it on the file to see more)"


def _read(report: Path) -> list[Ran]:
    """The tests of a JUnit report (xunit1, which names the file of each)."""
    found = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        outcomes = [each for each in case if each.tag in ("failure", "error", "skipped")]
        note = " ".join((outcomes[0].get("message") or outcomes[0].tag).split()) if outcomes else ""
        node = f"{case.get('file')}::{case.get('name')}"
        if any(each.tag == "error" or each.get("type") == "pytest.skip" for each in outcomes):
            raise UserError(f"the tests of properties did not run: {node}: {note[:SHOWN]}")
        found.append(Ran(node, not outcomes, float(case.get("time", 0)), note[:SHOWN]))
    return found


def _shown(one: ledger.Property, ran: Sequence[Ran]) -> dict[str, Any]:
    """What the tests say of a property, as it is written."""
    cases = [case for node in one.tests for case in ran if is_of(case.node, node)]
    missing = [node for node in one.tests if not any(is_of(case.node, node) for case in ran)]
    if missing:
        raise UserError(f"the tests of properties did not run: pytest says nothing of {missing[0]}")
    failed = [f"{case.node.split('::')[-1]}: {case.note}" for case in cases if not case.passed]
    return {
        "passed": not failed,
        "statement": one.statement,
        "tests": list(one.tests),
        "seconds": round(sum(case.seconds for case in cases), 3),
        **({"note": failed[0]} if failed else {}),
    }


def is_of(case: str, node: str) -> bool:
    """Whether a test that ran is the one named, under any parameters if it names none."""
    return case == node or ("[" not in node and case.startswith(f"{node}["))
