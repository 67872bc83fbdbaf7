"""The detectors' pages: numbers from results files, what is missing named, the unknown said."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from reid_repro.errors import UserError
from reid_repro.files import read_json
from reid_repro.keypoints.joints import GLAD, NAMES
from reid_repro.reporting.pages import build
from reid_repro.reporting.stage_sheets import keypoints_sheet, parts_sheet

from reporting_world import World
from stages_world import PRECISION, PRIOR, RECALL, make_stages, with_detections

SOURCES = Path(__file__).parents[1] / "report"
PAGES = ("stages/parts.html", "stages/keypoints.html")
BOTH = pytest.mark.parametrize("name", PAGES)
SPACE, DASH = "\N{NO-BREAK SPACE}", "\N{EN DASH}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = make_stages(tmp_path_factory.mktemp("world"))
    build(made.plan, made.results, made.report, sources=SOURCES)
    return made


@pytest.fixture
def copy(world: World, tmp_path: Path) -> World:
    """The same results, free to be changed."""
    shutil.copytree(world.results, tmp_path / "results")
    return replace(world, results=tmp_path / "results", report=tmp_path / "report")


def rebuilt(world: World, name: str) -> str:
    build(world.plan, world.results, world.report, sources=SOURCES)
    return (world.report / name).read_text("utf-8")


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(read_json(file) | values))


def cells(page: str, table: str) -> dict[str, list[str]]:
    """Row head -> the values that are seen in its cells, of the table with that id."""
    body = page[page.index(f'id="{table}"') :]
    body = body[: body.index("</table>")]
    rows = {}
    for row in re.findall(r"<tr>(<th scope=\"row\".*?)</tr>", body, re.S):
        head = re.sub(r"<span.*?</span>", "", re.search(r"<th[^>]*>(.*?)</th>", row, re.S)[1])
        rows[head.strip()] = re.findall(r'class="value">([^<]*)<', row)
    return rows


def test_recall_stands_beside_its_prior_and_the_images_filled(world: World) -> None:
    page = (world.report / PAGES[0]).read_text("utf-8")
    filled = {"4": "1", "6": "13", "8": "57", "10": "64"}
    assert cells(page, "table-parts-cars-recall") == {
        f"D = {d}": [
            f"{100 * RECALL[d]:.1f}",
            f"{100 * PRIOR[d]:.1f}",
            f"+{100 * (RECALL[d] - PRIOR[d]):.1f}",
            filled[d],
        ]
        for d in RECALL
    }


def test_precision_by_class_ends_with_what_is_not_known(world: World) -> None:
    page = (world.report / PAGES[0]).read_text("utf-8")
    found = cells(page, "table-parts-cars-classes")
    assert list(found) == ["wheel", "front_window", "rear_light", "sign", "Mean (mAP@0.5)"]
    for label, value in PRECISION.items():
        assert found[label][0] == (DASH if value is None else f"{100 * value:.1f}")
    assert found["wheel"] == ["91.9", "60", "61"]
    assert found["sign"] == [DASH, "0", "1,234"]
    assert found["Mean (mAP@0.5)"] == ["74.3", "187", "1,295"]


def test_pck_by_joint_with_the_images_that_lack_it(world: World) -> None:
    page = (world.report / PAGES[1]).read_text("utf-8")
    found = cells(page, "table-keypoints-people-pck")
    assert list(found) == [*NAMES, "Mean", "Mean pose"]
    for joint, name in enumerate(NAMES):
        share = round(0.5 + joint / 40, 4)
        shown = [f"{100 * share:.1f}", f"{100 * (share + 0.1):.1f}", "59", str(3 * joint)]
        assert found[name] == shown
    assert found["Mean"] == ["67.9", "78.9", str(14 * 59), "37"]
    assert found["Mean pose"][0] == "13.6"
    marked = re.findall(r'row">([^<]*)<span class="variant">for GLAD', page)
    assert sorted(marked) == sorted(NAMES[joint] for joint in GLAD)


CHANGES: list[tuple[str, str, dict[str, object], str]] = [
    ("parts", "parts/cars/summary.json", {"images_per_second": 4567.8}, "4,568 images/s"),
    ("parts", "parts/cars/evaluation.json", {"mAP50": 0.1234}, f"12.3{SPACE}%"),
    ("parts", "parts/cars/summary.json", {"detection": {"overlap": 0.77}}, "more than 0.77"),
    ("parts", "detectors/parts/detector.json", {"parameters": 98_760_000}, f"98.76{SPACE}M"),
    ("parts", "detectors/parts/detector.json", {"wall_seconds": 86400}, f"24{SPACE}h 00"),
    ("parts", "detectors/parts/detector.json", {"commit": "feedface" * 5}, "feedfacefe"),
    ("parts", "detectors/parts/detector.json", {"images": 55_555}, "55,555"),
    ("keypoints", "keypoints/people/summary.json", {"lacking": 41}, "41 of 64"),
    ("keypoints", "keypoints/people/summary.json", {"scales": {"0.8": 63}}, "0.8 for 63 images"),
    ("keypoints", "keypoints/people/evaluation.json", {"mean": 0.8777}, f"87.8{SPACE}%"),
    ("keypoints", "keypoints/people/evaluation.json", {"reference": "a foot"}, "(a foot)"),
    ("keypoints", "keypoints/people/evaluation.json", {"threshold": 0.35}, "PCK@0.35"),
]


def test_a_change_of_a_file_is_a_change_of_its_page(world: World, copy: World) -> None:
    for kind, file, values, shown in CHANGES:
        assert shown not in (world.report / f"stages/{kind}.html").read_text("utf-8")
        change(copy.results / file, **values)
    rebuilt(copy, PAGES[0])
    for kind, _, _, shown in CHANGES:
        assert shown in (copy.report / f"stages/{kind}.html").read_text("utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "detectors/parts/detector.json",
        "detectors/keypoints/history.csv",
        "parts/cars/summary.json",
        "parts/cars/evaluation.json",
        "parts/cars/parts.parquet",
        "figures/parts/cars.webp",
        "figures/keypoints/people.json",
    ],
)
def test_a_missing_file_is_named_and_nothing_written(copy: World, name: str) -> None:
    (copy.results / name).unlink()
    with pytest.raises(UserError) as caught:
        rebuilt(copy, PAGES[0])
    assert f"{copy.results / name}: no such file" in str(caught.value)
    assert not copy.report.exists()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("a,b\n1,2\n", "no column 'iteration'"), ("iteration,learning_rate,loss\n", "no row")],
)
def test_a_damaged_history_is_named(copy: World, content: str, complaint: str) -> None:
    file = copy.results / "detectors/parts/history.csv"
    file.write_text(content)
    with pytest.raises(UserError, match=re.escape(f"{file}: {complaint}")):
        rebuilt(copy, PAGES[0])


def test_pages_come_with_detections_alone(copy: World) -> None:
    rebuilt(copy, PAGES[1])
    plain = replace(copy, plan=with_detections(copy.plan, (("parts", "cars"),)))
    index = rebuilt(plain, "index.html")
    assert "stages/parts.html" in index
    assert "stages/keypoints.html" not in index
    assert not (copy.report / PAGES[1]).exists()
    none = replace(copy, plan=with_detections(copy.plan, ()))
    assert "Detectors" not in rebuilt(none, "index.html")
    assert not (copy.report / "stages/parts.html").exists()
    assert not list(copy.report.glob("assets/figures/parts/*"))


def without_truth(world: World) -> World:
    plan = replace(world.plan)
    vars(plan)["detected"] = world.plan.detected
    own = dict.fromkeys(("cars", "people"), world.plan.config.datasets["real"])
    config = world.plan.config.model_copy(update={"datasets": world.plan.config.datasets | own})
    object.__setattr__(plan, "config", config)
    for kind, dataset, sheet in (("parts", "cars", parts_sheet),
                                 ("keypoints", "people", keypoints_sheet)):  # fmt: skip
        (world.results / kind / dataset / "evaluation.json").unlink()
        (world.results / "data" / dataset / "annotations.parquet").unlink()
        sheet(world.results, dataset, world.results / f"figures/{kind}/{dataset}.webp")
    return replace(world, plan=plan)


def test_what_has_no_truth_cannot_be_scored_and_says_so(copy: World) -> None:
    own = without_truth(copy)
    page = html.unescape(rebuilt(own, PAGES[0]))
    assert "nothing can be scored" in page
    assert cells(page, "table-parts-cars-recall")["D = 8"] == ["57"]
    assert cells(page, "table-parts-cars-classes") == {"sign": ["1,234"], "wheel": ["61"]}
    assert not re.search("Recall@|mAP@|no detector has seen", page)
    page = html.unescape((copy.report / PAGES[1]).read_text("utf-8"))
    assert "nothing can be scored" in page
    found = cells(page, "table-keypoints-people-pck")
    assert list(found) == [*NAMES, "Any of the four"]
    assert (found[NAMES[5]], found["Any of the four"]) == (["15"], ["37"])
    assert "PCK@" not in page


def test_scores_that_could_not_be_computed_leave_no_number(copy: World) -> None:
    nothing = {
        "mAP50": None,
        "prior_recall": None,
        "average_precision": dict.fromkeys(PRECISION),
        "recall": dict.fromkeys(RECALL),
    }
    change(copy.results / "parts/cars/evaluation.json", **nothing)
    page = rebuilt(copy, PAGES[0])
    assert cells(page, "table-parts-cars-recall")["D = 8"] == [DASH, "57"]
    assert cells(page, "table-parts-cars-classes")["Mean (mAP@0.5)"][0] == DASH
    assert "None" not in re.sub(r"<(style|script)>.*?</\1>", "", page, flags=re.S)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"source": "tensorflow", "checkpoint": "/home/me/mpii-101"}, "weights mpii-101 were"),
        ({"source": "weights", "file": "/home/me/w.safetensors"}, "weights trained elsewhere"),
    ],
)
def test_weights_from_elsewhere_have_no_training(
    copy: World, data: dict[str, str], said: str
) -> None:
    facts = {"data": data, "images": 0, "precision": None, "wall_seconds": 0.0}
    change(copy.results / "detectors/keypoints/detector.json", **facts)
    (copy.results / "detectors/keypoints/history.csv").write_text("iteration,learning_rate,loss\n")
    page = rebuilt(copy, PAGES[1])
    assert said in page
    assert "/home/me" not in page
    assert 'id="training-keypoints"' not in page
    assert "Training time" not in page


def test_imported_boxes_need_no_detector(copy: World) -> None:
    change(copy.results / "parts/cars/summary.json", source="masks", detection=None)
    shutil.rmtree(copy.results / "detectors/parts")
    page = rebuilt(copy, PAGES[0])
    assert "Imported: masks that pgan" in page
    assert 'href="#detector"' not in page
    assert 'id="detector"' not in page


def test_a_detector_trained_on_a_set_of_the_report_claims_no_other_identities(copy: World) -> None:
    words = "no identity of it is in the sets below"
    assert words in rebuilt(copy, PAGES[0])
    data = {"source": "rendered", "dataset": "cars"}
    change(copy.results / "detectors/parts/detector.json", data=data)
    assert words not in rebuilt(copy, PAGES[0])
