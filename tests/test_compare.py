"""What changed between two results: folders, revisions, tests, intervals, verdicts, exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from reid_repro.cli import app
from reid_repro.cli_compare import WORSE
from reid_repro.comparing.changes import Change
from reid_repro.comparing.compare import compare
from reid_repro.comparing.output import written
from reid_repro.errors import UserError
from reid_repro.files import write_json, write_parquet

RUN = "pgan/pgan/cars"
FACTS: dict[str, Any] = {"scale": "demo", "n_query": 200, "n_gallery": 300, "trials": 1,
                         "method": "none", "options": {}, "protocol": {"ap": "step"}}  # fmt: skip

pytestmark = pytest.mark.usefixtures("repository")


def queries(shift: float = 0.0, *, seed: int = 0, first: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ap = np.clip(rng.uniform(0.2, 0.6, 200) + shift, 0, 1)
    return pd.DataFrame(
        {
            "query": np.arange(first, first + 200, dtype=np.int32),
            "identity": np.repeat(np.arange(50), 4).astype(np.int32),
            "AP": ap,
            "first_hit": np.where(ap > 0.4, 1, 3).astype(np.int32),
        }
    )


def write(
    results: Path,
    frame: pd.DataFrame,
    *,
    run: str = RUN,
    seed: int = 0,
    name: str = "none",
    parquet: bool = True,
    training: dict[str, Any] | None = None,
    **facts: Any,
) -> None:
    """A ranking's files, and run.json where `training` is given."""
    file = results / "metrics" / run / f"seed{seed}" / "test" / f"{name}.json"
    cmc = [float((frame["first_hit"] <= k).mean()) for k in range(1, 51)]
    write_json(file, FACTS | {"mAP": float(frame["AP"].mean()), "cmc": cmc} | facts)
    if parquet:
        write_parquet(file.with_name(f"{name}.per_query.parquet"), frame)
    if training is not None:
        write_json(
            results / "models" / run / f"seed{seed}" / "run.json",
            {"data_hash": "ab" * 32, "model": {"name": "pgan"}, "training": training},
        )


def only(before: Path, after: Path, metric: str = "mAP", **options: Any) -> Change:
    (change,) = compare(str(before), str(after), (metric,), **options).rankings
    return change


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "a", tmp_path / "b"


def test_a_gain_on_the_same_queries_is_tested_in_pairs(sides: tuple[Path, Path]) -> None:
    write(sides[0], queries())
    write(sides[1], queries(0.02))
    change = only(*sides)
    assert (change.outcome, change.basis) == ("improved", "paired test")
    assert change.p is not None
    assert change.p < 0.01
    assert change.difference == pytest.approx(0.02)
    assert change.ratio == pytest.approx((0.02 + change.before) / change.before)
    assert only(*sides[::-1]).outcome == "worse"
    assert change.item == "pgan/pgan/cars/test/none"


def test_noise_is_the_same_with_a_tilde_and_equal_files_are_equal(
    sides: tuple[Path, Path],
) -> None:
    write(sides[0], queries())
    write(sides[1], queries(seed=1))
    change = only(*sides)
    assert (change.outcome, change.basis) == ("same", "paired test")
    text = written(compare(*map(str, sides)), "text", everything=True)
    assert f"~{change.ratio:.3f}" in text
    assert only(sides[0], sides[0]).basis == "equal"
    text = written(compare(str(sides[0]), str(sides[0])), "text", everything=True)
    assert "~" not in text


def test_p_values_control_the_share_of_false_findings(sides: tuple[Path, Path]) -> None:
    rng = np.random.default_rng(3)
    alone = []
    for number in range(8):
        base = queries(seed=number)
        moved = base.assign(AP=base["AP"] + rng.normal(0.001 * number, 0.03, 200))
        for side in sides:
            shutil.rmtree(side, ignore_errors=True)
        write(sides[0], base, name=f"r{number}")
        write(sides[1], moved, name=f"r{number}")
        alone.append((only(*sides).p, base, moved))
    for number, (_, base, moved) in enumerate(alone):
        write(sides[0], base, name=f"r{number}")
        write(sides[1], moved, name=f"r{number}")
    found = [change.p for change in compare(*map(str, sides), ("mAP",)).rankings]
    p = [value or 0.0 for value, _, _ in alone]
    # Benjamini & Hochberg (1995): the smallest of p(j) m / rank(j) over all that are not smaller
    expected = [
        min(1.0, *(other * 8 / sum(third <= other for third in p) for other in p if other >= one))
        for one in p
    ]
    assert found == pytest.approx(expected)
    assert min(p) < 0.05 < max(p)


def test_seeds_are_averaged_a_query_and_only_common_ones_count(sides: tuple[Path, Path]) -> None:
    for seed in (0, 1):
        write(sides[0], queries(seed=seed), seed=seed)
        write(sides[1], queries(0.1 * seed, seed=seed), seed=seed)
    write(sides[1], queries(0.3, seed=2), seed=2)
    change = only(*sides)
    assert change.difference == pytest.approx(0.05, abs=1e-6)
    assert change.reason == "over the common seeds 0, 1"
    shutil.rmtree(sides[0] / "metrics" / RUN / "seed0")
    shutil.rmtree(sides[0] / "metrics" / RUN / "seed1")
    write(sides[0], queries(), seed=7)
    change = only(*sides)
    assert (change.outcome, change.reason) == ("not comparable", "other seeds: 7 and 0, 1, 2")


def test_of_other_queries_only_intervals_or_the_band_tell(sides: tuple[Path, Path]) -> None:
    for side, shift, parquet in ((sides[0], 0.0, False), (sides[1], 0.008, True)):
        write(side, queries(shift), parquet=parquet)
    change = only(*sides)
    assert (change.outcome, change.basis) == ("same", "band")  # 0.8 points of mAP
    write(sides[1], queries(0.02))
    assert only(*sides).outcome == "improved"
    for side, low, high in ((sides[0], 0.38, 0.42), (sides[1], 0.41, 0.44)):
        rows = {"variant": "pgan", "reranker": "none", "dataset": "cars", "subset": "test"}
        table = side / "tables" / "pgan" / "table1.csv"
        table.parent.mkdir(parents=True)
        pd.DataFrame([rows | {"metric": "mAP", "low": low, "high": high}]).to_csv(table)
    change = only(*sides)
    assert (change.outcome, change.basis) == ("same", "intervals")
    table.write_text(table.read_text().replace("0.41", "0.43"))
    assert only(*sides).outcome == "improved"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale": "paper"}, "other scale: demo and paper"),
        ({"n_query": 100}, "other queries: 200 and 100"),
        ({"protocol": {"ap": "trapezoid"}}, "other protocol: ap 'step' and 'trapezoid'"),
        ({"options": {"k1": 3}}, "other options of the re-ranker: k1 None and 3"),
        ({"training": {"epochs": 9}}, "other training settings: epochs 5 and 9"),
    ],
)
def test_other_data_and_settings_are_not_comparable(
    sides: tuple[Path, Path], changes: dict[str, Any], words: str
) -> None:
    write(sides[0], queries(), training={"epochs": 5})
    write(sides[1], queries(0.1), **({"training": {"epochs": 5}} | changes))
    change = only(*sides)
    assert (change.outcome, change.reason) == ("not comparable", words)
    across = only(*sides, across_settings=True)
    if {"options", "training"} & set(changes):
        assert (across.outcome, across.reason) == ("improved", words)
    else:
        assert across.outcome == "not comparable"


def test_how_a_training_was_run_is_no_other_setting(sides: tuple[Path, Path]) -> None:
    write(sides[0], queries(), training={"epochs": 5, "workers": 0, "devices": 1})
    write(sides[1], queries(0.1), training={"epochs": 5, "workers": 8, "devices": 2})
    assert only(*sides).outcome == "improved"


def test_what_one_side_lacks_is_named(sides: tuple[Path, Path]) -> None:
    write(sides[0], queries(), name="aqe")
    write(sides[1], queries(), name="none")
    changes = {c.item: c.reason for c in compare(*map(str, sides), ("mAP",)).rankings}
    assert changes == {
        "pgan/pgan/cars/test/aqe": "missing after",
        "pgan/pgan/cars/test/none": "missing before",
    }
    change = only(sides[0], sides[0], "R60")
    assert (change.outcome, change.reason) == ("not comparable", "the file does not reach R60")


def test_points_of_sweeps_are_rankings_of_their_own(sides: tuple[Path, Path]) -> None:
    for side, shift in ((sides[0], 0.0), (sides[1], 0.05)):
        file = side / "sweeps/gnn/k1/baseline/bnneck/cars/seed0/test.json"
        frames = {"k1_4": queries(), "k1_8": queries(shift)}
        points = {
            name: {"mAP": float(f["AP"].mean()), "cmc": [0.5], "method": "GNN", "options": {}}
            for name, f in frames.items()
        }
        write_json(file, {"scale": "demo", "points": points})
        write_parquet(
            file.with_name("test.per_query.parquet"),
            pd.concat([f.assign(point=name) for name, f in frames.items()]),
        )
    found = {c.item: c.outcome for c in compare(*map(str, sides), ("mAP",)).rankings}
    assert found == {
        "baseline/bnneck/cars/test/k1.k1_4": "same",
        "baseline/bnneck/cars/test/k1.k1_8": "improved",
    }


def claims(results: Path, digest: str = "ab", scale: str = "demo", **verdicts: str) -> None:
    items = [
        {"paper": "chca", "kind": "claim", "id": name, "verdict": verdict, "scaled": True,
         "predicate": "m() > 1"}
        for name, verdict in verdicts.items()
    ]  # fmt: skip
    write_json(results / "claims.json", {"settings_digest": digest, "scale": scale, "items": items})


def test_verdicts_rise_fall_or_cannot_be_compared(sides: tuple[Path, Path]) -> None:
    claims(sides[0], a="inconclusive", b="reproduced", c="not_run", d="partially", e="reproduced")
    claims(sides[1], a="reproduced", b="not_reproduced", c="reproduced", d="partially")
    comparison = compare(*map(str, sides))
    found = {c.item.split()[-1]: (c.outcome, c.reason) for c in comparison.claims}
    assert found == {
        "a": ("improved", ""),
        "b": ("worse", ""),
        "c": ("not comparable", "not run before, reproduced after"),
        "d": ("same", ""),
        "e": ("not comparable", "missing after"),
    }
    assert comparison.worse
    claims(sides[1], digest="cd", a="reproduced")
    (first, *_) = compare(*map(str, sides)).claims
    assert first.reason == "other thresholds of verdicts"
    claims(sides[1], scale="paper", a="reproduced")
    (first, *_) = compare(*map(str, sides)).claims
    assert first.reason == "other scale: demo and paper"


def test_printed_cells_that_are_reproduced_no_more_are_worse(sides: tuple[Path, Path]) -> None:
    for side, verdict in zip(sides, ("reproduced", "below"), strict=True):
        claims(side)
        row = {"table": "I", "row": "CHCA", "dataset": "V", "split": "", "metric": "mAP",
               "scale": "paper", "verdict": verdict}  # fmt: skip
        (side / "ledger").mkdir()
        pd.DataFrame([row, row | {"row": "x", "verdict": "quoted"}]).to_csv(
            side / "ledger/chca.csv", index=False
        )
    (change,) = compare(*map(str, sides)).cells
    assert (change.item, change.outcome) == ("chca: I, CHCA, V, mAP", "worse")


def test_text_markdown_and_json_say_the_same(sides: tuple[Path, Path]) -> None:
    write(sides[0], queries(), name="none")
    write(sides[1], queries(0.02), name="none")
    write(sides[0], queries(), name="a_b")
    claims(sides[0], a="reproduced")
    claims(sides[1], a="inconclusive")
    comparison = compare(*map(str, sides), ("mAP",))
    text, markdown = written(comparison, "text"), written(comparison, "markdown")
    assert "Rankings: 1 improved, 0 worse, 1 not comparable, 0 same" in text
    assert "claims: 0 improved, 1 worse" in text
    assert "+2.0" in text
    assert r"pgan/pgan/cars/test/a\_b mAP" in markdown
    widths = [line.replace(r"\|", "").count("|") for line in markdown.splitlines() if "|" in line]
    assert set(widths) == {9, 5}
    content = json.loads(written(comparison, "json"))
    assert content["counts"]["rankings"]["improved"] == 1
    assert [c["outcome"] for c in content["rankings"]] == ["not comparable", "improved"]
    assert content["claims"][0]["before"] == "reproduced"


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def test_a_revision_is_a_side_like_a_folder(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    results = repository / "results"
    write(results, queries(), training={"epochs": 5})
    claims(results, a="reproduced")
    git(repository, "init", "-q")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "one")
    write(results, queries(0.05), training={"epochs": 5})
    git(repository, "commit", "-q", "-am", "two")
    found = compare("HEAD~1", "HEAD", ("mAP",), repository=repository)
    assert found.rankings[0].outcome == "improved"
    assert found.rankings[0].basis == "paired test"
    assert found.claims[0].outcome == "same"
    assert found.before.startswith("HEAD~1 (")
    folder = compare("HEAD~1", str(repository), ("mAP",), repository=repository)
    assert folder.rankings[0].outcome == "improved"
    git(repository, "rm", "-rq", "--cached", "results")
    git(repository, "commit", "-q", "-m", "three")
    with pytest.raises(UserError, match=r"no metrics and no claims\.json in it"):
        compare("HEAD", "HEAD~1", repository=repository)
    with pytest.raises(UserError, match="'gone': neither a folder nor a git revision"):
        compare("gone", "HEAD~1", repository=repository)


def test_the_command_fails_on_worse_only_if_asked(sides: tuple[Path, Path]) -> None:
    write(sides[0], queries(0.05))
    write(sides[1], queries())
    names = [str(side) for side in sides]
    assert CliRunner().invoke(app, ["compare", *names]).exit_code == 0
    failed = CliRunner().invoke(app, ["compare", *names, "--fail-on-worse", "--format", "json"])
    assert failed.exit_code == WORSE
    assert json.loads(failed.stdout)["counts"]["rankings"]["worse"] > 0
    assert CliRunner().invoke(app, ["compare", *names[::-1], "--fail-on-worse"]).exit_code == 0
    for options, words in (
        (["--format", "html"], "--format: unknown 'html'; known: text, markdown, json"),
        (["--metrics", "map"], "--metrics: 'map'; expected such as mAP,R1,R5"),
    ):
        done = CliRunner().invoke(app, ["compare", *names, *options])
        assert done.exit_code == 1
        assert words in done.output


def test_damaged_files_are_named(sides: tuple[Path, Path]) -> None:
    write(sides[0], queries())
    file = sides[0] / "metrics" / RUN / "seed0/test/none.json"
    file.with_name("none.per_query.parquet").write_bytes(b"broken")
    write(sides[1], queries(0.1))
    with pytest.raises(UserError, match=r"none\.per_query\.parquet: not a readable parquet"):
        compare(*map(str, sides))
    file.write_text("{")
    with pytest.raises(UserError, match=r"none\.json: not valid JSON"):
        compare(*map(str, sides))
