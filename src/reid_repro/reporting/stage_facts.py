"""What the files of a detector and of its detections say, in words and figures for the pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from reid_repro.detectors import Kind
from reid_repro.plan import Plan
from reid_repro.reporting import formats, provenance
from reid_repro.reporting.provenance import Source

SOURCES = {
    "detector": "found by this detector",
    "masks": "imported: masks that PGAN's authors published",
    "points": "imported: a published set of 14 points an image",
    "hdf5": "imported: a published set of 14 points an image",
    "csv": "imported: a CSV file of one's own",
}
PGAN_BOXES = 8  # its D

Facts = Mapping[str, Any]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Record:
    """Who made a results file, on what machine, with what."""

    id: str
    title: str
    facts: Pairs
    settings: Pairs
    command: str
    source: Source


def input_of(facts: Facts) -> str:
    """'128 x 64': height and width of what the network reads."""
    height = facts.get("height") or facts["size"]
    width = facts.get("image_width") or facts.get("size") or height
    return f"{height} \N{MULTIPLICATION SIGN} {width}"


def learnt_from(plan: Plan, data: Facts) -> str:
    """What the detector learnt from, in words; files by name, not by where they lay."""
    match data["source"]:
        case "rendered":
            words = f"the exact annotations of '{data['dataset']}', drawn by this repository"
            apart = data["dataset"] not in plan.datasets
            return words + (": no identity of it is in the sets below" if apart else "")
        case "coco":
            return f"the boxes of {_name(data['annotations'])} (COCO format)"
        case "mpii":
            return f"the people of MPII ({_name(data['annotations'])})"
        case "tensorflow":
            name = _name(data["checkpoint"])
            return f"nothing here: the released TensorFlow weights {name} were taken over"
        case _:
            return "nothing here: weights trained elsewhere were taken over"


def _name(path: str) -> str:
    return PurePath(path).name


def keys_of(kind: Kind, summary: Facts, evaluation: Facts | None) -> Pairs:
    """The figures that head a dataset, also on the front page."""
    images = int(summary["images"])
    keys: list[tuple[str, str]] = []
    depth = str(max((int(d) for d in summary.get("filled", ()) if int(d) <= PGAN_BOXES), default=0))
    if kind == "parts":
        if evaluation is not None:
            prior = evaluation.get("prior_recall") or {}
            keys += [
                (f"Recall@{depth}", _percent(evaluation["recall"].get(depth))),
                ("Fixed boxes", _percent(prior.get(depth))),
                (f"mAP@{evaluation['iou']:g}", _percent(evaluation["mAP50"])),
            ]
        keys.append((f"Images filled, D = {depth}", _of(summary["filled"].get(depth), images)))
    else:
        if evaluation is not None:
            prior = evaluation.get("prior") or {}
            keys += [
                (f"PCK@{evaluation['threshold']:g}", _percent(evaluation["mean"])),
                ("Mean pose", _percent(prior.get("mean"))),
                ("Visible joints", _percent(evaluation["mean_visible"])),
            ]
        keys.append(("Lacking one of GLAD's four", _of(summary["lacking"], images)))
    speed = summary.get("images_per_second")
    if speed:
        keys.append(("Speed", f"{formats.count(speed)} images/s"))
    return tuple((term, value) for term, value in keys if value)


def _percent(value: float | None) -> str:
    """'61.3 %', or nothing."""
    return "" if value is None else f"{formats.percent(value)}\N{NO-BREAK SPACE}%"


def _of(number: float | None, images: int) -> str:
    return f"{formats.count(number)} of {formats.count(images)}"


def notes_of(kind: Kind, summary: Facts) -> tuple[str, ...]:
    """How the detector was asked, and at which scales it answered best."""
    detection = summary.get("detection") or {}
    words = []
    if kind == "parts" and "overlap" in detection:
        words.append(
            f"Of two boxes that overlap by more than {detection['overlap']:g} (intersection over "
            "union) the less confident one goes, whatever their classes."
        )
    if kind == "keypoints" and detection.get("least"):
        words.append(f"A joint of confidence below {detection['least']:g} counts as missing.")
    scales = summary.get("scales") or {}
    if scales:
        chosen = ", ".join(
            f"{scale} for {formats.plural(int(number), 'image')}"
            for scale, number in scales.items()
        )
        words.append(f"The scale whose least sure joint was surest: {chosen}.")
    if summary.get("seconds") is not None:
        words.append(
            f"{formats.count(summary['images'])} images took "
            f"{formats.duration(summary['seconds'])}, measured once."
        )
    return tuple(words)


def record_of(results: Path, file: Path, id: str, title: str, facts: Facts) -> Record:
    """The provenance that a detector.json or summary.json holds."""
    weights = str(facts.get("weights_digest") or "")
    seconds = facts.get("wall_seconds", facts.get("seconds"))
    resumed = int(facts.get("resumed") or 0)
    time = formats.duration(seconds)
    memory = facts.get("peak_memory_mib")
    versions = (f"{name} {version}" for name, version in (facts.get("versions") or {}).items())
    known = [
        ("Commit", formats.commit(facts.get("commit"), facts.get("dirty"))),
        ("Configuration", str(facts.get("config_digest") or "")),
        ("Weights", weights[:12]),
        ("Machine", provenance.machine(facts.get("machine") or {})),
        ("Precision", str(facts.get("precision") or "")),
        ("Threads", str(facts.get("threads") or "")),
        ("Wall time", f"{time} (resumed {formats.plural(resumed, 'time')})" if resumed else time),
        ("Peak memory", formats.memory(memory) if memory else ""),
        ("Versions", ", ".join(versions)),
    ]
    settings = [
        (f"{section}.{key}", value if isinstance(value, str) else json.dumps(value))
        for section in ("training", "detection")
        for key, value in (facts.get(section) or {}).items()
    ]
    return Record(
        id=id,
        title=title,
        facts=tuple((term, value) for term, value in known if value),
        settings=tuple(settings),
        command=str(facts.get("command") or ""),
        source=provenance.source(results, file),
    )
