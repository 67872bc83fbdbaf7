"""What real Snakemake plans for papers that point at another one's runs: dry runs, nothing made."""

from __future__ import annotations

import re

import pytest

from workspace import Workspace

pytestmark = pytest.mark.slow
PAPERS = {"papers": ["baseline", "gnn", "glad"]}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace.copied(tmp_path_factory.mktemp("papers"))
    made.configure(PAPERS)
    return made


def planned(output: str) -> dict[str, int]:
    """Rule to number of jobs; all rules of figures as one."""
    table = output.split("Job stats:")[1].split("total")[0]
    found: dict[str, int] = {}
    for line in re.finditer(r"^(\w+)\s+(\d+)\s*$", table, re.M):
        rule = "figures" if line[1].startswith("figures_") else line[1]
        found[rule] = found.get(rule, 0) + int(line[2])
    return found


def test_one_training_serves_two_papers(space: Workspace) -> None:
    jobs = planned(space.snakemake("-n"))
    # The baseline on two datasets, for two papers, and GLAD's own network.
    once = {"render_dataset": 3, "train": 3, "extract_features": 3, "figures": 3, "report": 1}
    # The rankings of a run are one job, and so are the sweeps of a paper on a run.
    more = {"score_baseline": 2, "score_glad": 1, "sweep_gnn": 2, "sweep_glad": 1}
    more |= {"timing": 2, "detect": 1}
    assert jobs.items() >= (once | more).items()


def test_a_table_needs_its_own_rankings_alone(space: Workspace) -> None:
    jobs = planned(space.snakemake("-n", "results/tables/gnn/table1.csv"))
    assert jobs.items() >= {"train": 2, "score_baseline": 2, "sweep_gnn": 2, "table": 1}.items()
    times = planned(space.snakemake("-n", "results/tables/gnn/table3.csv"))
    assert times == {"timing": 1, "table": 1}
    pointed = planned(space.snakemake("-n", "--config", "papers=[glad]"))
    assert pointed.items() >= {"train": 1, "sweep_glad": 1, "timing": 1}.items()


def test_a_wrong_row_stops_snakemake_with_one_line(space: Workspace) -> None:
    file = space.folder / "workflow/papers/gnn.yaml"
    kept = file.read_text()
    try:
        file.write_text(kept.replace("{ranking: layers.l2, ", "{ranking: layer.l2, "))
        output = space.snakemake("-n", check=False)
    finally:
        file.write_text(kept)
    words = (
        "workflow/papers/gnn.yaml: tables.table2.rows.1.ranking: unknown 'layer.l2'; known: none"
    )
    assert [line for line in output.splitlines() if words in line], output
    assert "Traceback" not in output
