"""Real Snakemake and DVC on a tiny copy of this repository.

Nearly all of their time is the start of programs, so every test here begins with the one
workspace that has been built, or with a copy of it, and calls each program as rarely as it can.
Whoever changes files of the built workspace works on a copy.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import write_image
from workspace import SNAKEMAKE, Workspace

pytestmark = pytest.mark.slow
NOTHING = "Nothing to be done"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the whole DAG has run once and DVC has recorded it."""
    space = Workspace.copied(tmp_path_factory.mktemp("made"))
    space.snakemake()
    space.run("dvc", "repro")
    space.commit("results")
    return space


def jobs(output: str) -> dict[str, int]:
    """Rule to number of jobs, from the table that Snakemake prints; all rules of figures as one."""
    table = output.split("Job stats:")[-1].split("total")[0]
    found: dict[str, int] = {}
    for line in re.finditer(r"^(\w+)\s+(\d+)\s*$", table, re.M):
        rule = "figures" if line[1].startswith("figures_") else line[1]
        found[rule] = found.get(rule, 0) + int(line[2])
    return found


def count(space: Workspace, pattern: str) -> int:
    """How many results of the workspace match."""
    return sum(1 for _ in space.folder.glob(f"results/{pattern}"))


def test_one_command_makes_the_report_and_the_second_nothing(made: Workspace) -> None:
    for page in ("index.html", "papers/baseline.html"):
        assert (made.folder / "report" / page).stat().st_size > 10_000
    began = time.monotonic()
    assert NOTHING in made.snakemake()
    assert time.monotonic() - began < 60  # a hang, not a speed: that is measured elsewhere


def test_the_report_has_every_row_with_its_interval(made: Workspace) -> None:
    table = (made.folder / "results/tables/baseline/retrieval.csv").read_text()
    page = (made.folder / "report/index.html").read_text()
    for dataset in ("rendered-vehicles", "rendered-pedestrians"):
        for reranker in ("none", "aqe", "k_reciprocal"):
            assert f"bnneck,ResNet + BNNeck,{reranker}," in table
            metrics = made.folder / f"results/metrics/baseline/bnneck/{dataset}/seed0/test"
            facts = json.loads((metrics / f"{reranker}.json").read_text())
            assert f"{100 * facts['mAP']:.1f}" in page
    for title in ("Baseline", "AQE", "k-reciprocal"):
        assert title in page


def test_every_output_lies_under_one_dvc_out(made: Workspace) -> None:
    stages = yaml.safe_load((made.folder / "dvc.yaml").read_text())["stages"]
    outs = [next(iter(out)) if isinstance(out, dict) else out
            for stage in stages.values() for out in stage["outs"]]  # fmt: skip
    outputs = {
        line.split("\t")[0]
        for line in made.run("snakemake", "--summary").stdout.splitlines()[1:]
        if "\t" in line
    }
    assert len(outputs) > 30
    outputs |= {
        str(file.relative_to(made.folder))
        for file in (made.folder / "results").rglob("*")
        if file.is_file()
    }
    for output in outputs:
        owners = [out for out in outs if output == out or output.startswith(f"{out}/")]
        assert len(owners) == 1, f"{output} lies under {owners}"


def test_a_clone_pulls_everything_and_has_nothing_to_do(made: Workspace, tmp_path: Path) -> None:
    add = ("dvc", "remote", "add", "--local", "--default", "--force", "there", str(tmp_path / "r"))
    made.run(*add)
    made.run("dvc", "push")
    made.git("clone", "-q", str(made.folder), str(tmp_path / "clone"))
    clone = Workspace(tmp_path / "clone")
    clone.run(*add)
    clone.run("dvc", "pull")
    assert NOTHING in clone.snakemake("-n")
    assert "up to date" in clone.run("dvc", "status").stdout
    assert clone.git("status", "--porcelain") == ""


def test_a_clone_without_a_remote_makes_everything_anew(made: Workspace, tmp_path: Path) -> None:
    """Metrics and tables are in git; they must not pass for results of this machine."""
    made.git("clone", "-q", str(made.folder), str(tmp_path / "clone"))
    planned = jobs(Workspace(tmp_path / "clone").snakemake("-n"))
    runs = count(made, "models/**/run.json")
    assert runs == 4
    whole = {"render_dataset": 4, "report": 1}
    whole |= dict.fromkeys(("train_detector", "detect", "score_places", "places_sheet"), 2)
    whole |= dict.fromkeys(("train", "extract_features"), runs)
    whole |= {
        "figures": 4,  # one a paper and dataset: the baseline's two, PGAN's, GLAD's
        "score_baseline": 2,
        "score_pgan": 1,
        "score_glad": 1,
        "sweep_gnn": 2,
        "sweep_glad": 1,
        "timing": count(made, "timings/*/*.json"),
        "table": count(made, "tables/*/*.csv"),
        "summary": 1,
    }
    assert min(whole.values()) > 0
    assert planned.items() >= whole.items()


def test_one_parameter_reruns_only_what_depends_on_it(made: Workspace, tmp_path: Path) -> None:
    space = made.copy(tmp_path / "changed")
    space.configure({"rerankers": {"aqe": {"options": {"k": 4}}}})
    planned = jobs(space.snakemake("-n"))
    assert planned["score_baseline"] == 2  # whose pages alone show AQE
    assert not planned.keys() & {"score_pgan", "score_glad"}
    assert not planned.keys() & {"sweep_gnn", "sweep_glad", "timing"}
    assert not planned.keys() & {"render_dataset", "train", "extract_features"}
    changed = re.findall(r"^(\w+):$", space.run("dvc", "status").stdout, re.M)
    assert "metrics" in changed
    assert not set(changed) & {"data", "models", "features"}
    space.run("dvc", "repro")
    assert NOTHING in space.snakemake("-n")
    assert "up to date" in space.run("dvc", "status").stdout
    old = json.loads(space.git("show", "HEAD:results/tables/summary.json"))
    new = json.loads((space.folder / "results/tables/summary.json").read_text())
    listed = space.run("dvc", "metrics", "diff", "--json").stdout
    differences = json.loads(listed or "{}").get("results/tables/summary.json", {})
    assert bool(differences) == (old != new)
    assert all(".aqe." in name for name in differences)


def test_a_protocol_scores_anew_and_trains_nothing(made: Workspace) -> None:
    protocol = '{"rendered-vehicles": {"protocol": {"ap": "trapezoid"}}}'
    planned = jobs(made.snakemake("-n", "--config", f"datasets={protocol}"))
    assert planned["describe_dataset"] == 1
    assert planned["score_baseline"] == planned["score_pgan"] == 1
    assert "score_glad" not in planned
    assert planned["sweep_gnn"] == 1
    assert "sweep_glad" not in planned
    assert "timing" not in planned
    assert not planned.keys() & {"render_dataset", "train", "extract_features"}


def test_a_wrong_input_never_passes_for_the_old_report(made: Workspace) -> None:
    own = {"mine": {"source": "csv", "root": "nowhere", "list": "nowhere/list.csv"}}
    options = ("--config", f"datasets={json.dumps(own)}", "evaluate_on=[mine]")
    output = made.snakemake("-n", *options, check=False)
    assert NOTHING not in output
    assert "nowhere/list.csv" in output


def test_dvc_shows_the_metrics(made: Workspace) -> None:
    shown = made.run("dvc", "metrics", "show", "--json").stdout
    summary = json.loads(shown)[""]["data"]["results/tables/summary.json"]["data"]
    run = summary["baseline/bnneck/rendered-vehicles/seed0"]
    assert set(run) == {"none", "aqe", "k_reciprocal"}
    assert 0 < run["none"]["mAP"] <= 1


def test_the_plan_can_be_drawn_and_reported(made: Workspace, tmp_path: Path) -> None:
    graph = made.run("snakemake", "--rulegraph").stdout
    for rule in ("render_dataset", "train", "extract_features", "score", "report"):
        assert rule in graph
    made.run("snakemake", "--report", str(tmp_path / "provenance.html"))
    assert (tmp_path / "provenance.html").stat().st_size > 100_000


def test_one_table_needs_only_its_own_runs(made: Workspace, tmp_path: Path) -> None:
    fresh = Workspace.copied(tmp_path / "fresh")
    planned = jobs(fresh.snakemake("-n", "results/tables/baseline/retrieval.csv"))
    assert planned.get("score_baseline") == 2
    assert "report" not in planned
    assert "figures" not in planned


RUN = "baseline/bnneck/rendered-pedestrians/seed0"
TARGET = f"results/models/{RUN}/run.json"
EPOCHS = 60  # time enough to be killed more than once


def test_kills_need_no_cleaning_up(made: Workspace, tmp_path: Path) -> None:
    """SIGKILL to Snakemake, to its job, to both: each next call goes on, the last one finishes.

    Where Snakemake alone dies, its job lives on; the next call must wait for it instead of
    writing beside it. The other two deaths leave a checkpoint, which the next call takes up.
    """
    space = made.copy(tmp_path / "killed")
    space.configure({"training": {"epochs": EPOCHS}})
    facts = space.folder / TARGET

    first = start(space)
    wait_until(lambda: checkpoints(space), first, "a checkpoint")
    first.kill()
    first.wait()
    assert left_locked(space)
    signal_training(space, signal.SIGSTOP)  # it must not end before the next call finds it
    try:
        second = start(space)
        wait_until(lambda: "waiting for another process" in log(space), second, "a wait")
    finally:
        signal_training(space, signal.SIGCONT)

    wait_until(lambda: not checkpoints(space), second, "an end of the orphan")
    assert json.loads(facts.read_text())["resumed"] == 0
    wait_until(lambda: checkpoints(space), second, "a checkpoint of its own")
    signal_training(space, signal.SIGKILL)
    assert second.wait(120) != 0
    assert not facts.exists()

    third = start(space)
    taken_up = re.compile(r"going on after epoch \d+\n.*: epoch \d+/")
    wait_until(lambda: taken_up.search(log(space)), third, "an epoch after the kill")
    os.killpg(third.pid, signal.SIGKILL)  # everything at once, as a power cut does
    third.wait()
    assert left_locked(space)

    space.snakemake(TARGET)
    assert json.loads(facts.read_text())["resumed"] == 2
    assert len(facts.with_name("history.csv").read_text().splitlines()) == 1 + EPOCHS
    assert "waiting for another process" not in log(space)
    assert not checkpoints(space)


def start(space: Workspace) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*SNAKEMAKE, TARGET],
        cwd=space.folder,
        env=space.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_until(happened: Callable[[], object], process: subprocess.Popen[bytes], what: str) -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert process.poll() is None, f"snakemake ended before {what}"
        assert time.monotonic() < deadline, f"not {what} in four minutes"
        time.sleep(0.02)


def checkpoints(space: Workspace) -> list[Path]:
    return list(space.folder.glob(f"results/checkpoints/{RUN}/*.pt"))


def log(space: Workspace) -> str:
    file = space.folder / f"logs/models/{RUN}.log"
    return file.read_text(errors="replace") if file.exists() else ""


def left_locked(space: Workspace) -> bool:
    return any((space.folder / ".snakemake" / "locks").glob("*.lock"))


def signal_training(space: Workspace, number: signal.Signals) -> None:
    command = ["pgrep", "-f", f"reid-repro train {RUN}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    for pid in found.stdout.split():
        if Path(f"/proc/{pid}/cwd").resolve() == space.folder.resolve():
            os.kill(int(pid), number)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("scale=demmo", "unknown scale 'demmo'"),
        ("traning={epochs: 3}", "unknown key 'traning'; did you mean 'training'?"),
        ("evaluate_on=[veri777]", "unknown dataset 'veri777'"),
    ],
)
def test_a_wrong_configuration_gives_one_clear_line(
    made: Workspace, config: str, words: str
) -> None:
    output = made.snakemake("-n", "--config", config, check=False)
    assert [line for line in output.splitlines() if words in line], output
    assert "Traceback" not in output


def test_bad_data_of_ones_own_give_one_clear_line(made: Workspace, tmp_path: Path) -> None:
    """An unreadable image and a missing column, each a dataset of its own in one call."""
    rows = ["a.jpg,anna,1,train", "b.jpg,ben,1,query", "c.jpg,ben,2,gallery"]
    for seed, row in enumerate(rows):
        write_image(tmp_path / row.split(",")[0], seed)
    (tmp_path / "b.jpg").write_bytes(b"no image")
    faults = {
        "image": ("path,identity,camera,role", f"{tmp_path / 'b.jpg'}: not a readable image"),
        "column": ("path,identity,role", f"{tmp_path / 'column.csv'}: column 'camera' is missing"),
    }
    own = {}
    for name, (header, _) in faults.items():
        listed = tmp_path / f"{name}.csv"
        listed.write_text("\n".join([header, *rows]) + "\n")
        own[name] = {"source": "csv", "root": str(tmp_path), "list": str(listed)}
    done = made.run(
        *SNAKEMAKE, "--keep-going",
        *(f"results/data/{name}/dataset.json" for name in faults),
        "--config", f"datasets={json.dumps(own)}", f"evaluate_on=[{','.join(faults)}]",
        check=False,
    )  # fmt: skip
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    lines = [line for line in output.splitlines() if line.startswith("error: ")]
    assert len(lines) == len(faults), output
    for name, (_, expected) in faults.items():
        found = [line for line in lines if line.startswith(f"error: {expected}")]
        assert len(found) == 1, output
        assert found[0] in (made.folder / f"logs/data/{name}.log").read_text()


def test_a_list_without_cameras_reaches_the_report(tmp_path: Path) -> None:
    """One's own images, several seeds, no camera, no annotation: every page is still made."""
    space = Workspace.copied(tmp_path / "own")
    space.configure({"rerankers": ["none", "k_reciprocal"]}, "papers/baseline.yaml")
    rows = []
    for person in range(8):
        for number, role in enumerate(("train", "train") if person < 4 else ("query", "gallery")):
            name = f"{person}_{number}.jpg"
            write_image(tmp_path / "images" / name, seed=person)
            rows.append(f"{name},person {person},,{role}")
    (tmp_path / "list.csv").write_text("\n".join(["path,identity,camera,role", *rows]) + "\n")
    own = {"source": "csv", "root": str(tmp_path / "images"), "list": str(tmp_path / "list.csv")}
    (space.folder / "mine.yaml").write_text(
        yaml.safe_dump(
            {
                "datasets": {"mine": own | {"title": "My images"}},
                "evaluate_on": ["mine"],
                "papers": ["baseline"],
                "seeds": [0, 1],
                "training": {"epochs": 1, "images_per_identity": 2},
            }
        )
    )
    space.snakemake("--configfile", "mine.yaml")
    page = (space.folder / "report/index.html").read_text()
    assert "My images" in page
    assert "seeds 0" in page
    assert "images drawn by this repository" not in page
    assert NOTHING in space.snakemake("--configfile", "mine.yaml")


def test_a_folder_in_market_layout_goes_all_the_way(
    made: Workspace, market: Path, tmp_path: Path
) -> None:
    space = made.copy(tmp_path / "with market")
    own = {"mine": {"source": "market1501", "root": str(market)}}
    out = "results/metrics/baseline/bnneck/mine/seed0/test/k_reciprocal.json"
    small = '{"identities_per_batch": 2, "images_per_identity": 2, "epochs": 1}'
    space.snakemake(
        out, "--config", f"datasets={json.dumps(own)}", "evaluate_on=[mine]", f"training={small}"
    )
    facts = json.loads((space.folder / out).read_text())
    assert facts["n_query"] == 6
    assert facts["n_gallery"] == 15
    for part in ("data/mine", "models/baseline/bnneck/mine", "features/baseline/bnneck/mine"):
        assert (space.folder / "results" / part).is_dir()
