"""VeRi-776 (Liu, Liu, Mei & Ma, PROVID, ECCV 2016 and IEEE TMM 2018).

`image_{train,query,test}/` and `name_{train,query,test}.txt`, a line an image; its name holds
vehicle, camera, time and a number: `0001_c001_00016450_0.jpg`. The name lists say what is in which
half: `train_label.xml` lacks a vehicle, so from the XML only colour and type are taken.

The gallery is all of `image_test`, 11,579 images, though the queries are among them: the image
itself and all others of its vehicle and camera are removed when the ranking is scored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.parsers import expat

import pandas as pd

from reid_repro.dataset_config import Veri776Dataset
from reid_repro.datasets.base import Dataset
from reid_repro.datasets.folders import assemble, read_lines, require
from reid_repro.datasets.vehicle_lists import ImageList, image_rows, parse, tables, unique
from reid_repro.errors import UserError

FOLDERS = {"train": "image_train", "query": "image_query", "gallery": "image_test"}
NAMES = {"train": "name_train.txt", "query": "name_query.txt", "gallery": "name_test.txt"}
LINE = r"(?i)^(?P<image>(?P<vehicle>\d{4})_c(?P<camera>\d{3})_\d{8}_\d+\.jpg)$"
LABELS = ("train_label.xml", "test_label.xml")
WORDS = {"colour": ("colorID", "list_color.txt"), "type": ("typeID", "list_type.txt")}
DECLARED = re.compile(rb"""<\?xml[^>]*encoding\s*=\s*["']([\w.-]+)""")
CHINESE = ("gb2312", "gbk", "gb18030")


def load(name: str, config: Veri776Dataset) -> Dataset:
    """Index the name lists; UserError names the file and line that is wrong, or what is missing."""
    lists = []
    for role, folder in FOLDERS.items():
        require(name, config, folder)
        file = require(name, config, NAMES[role])
        lines = parse(file, LINE, "0001_c001_00016450_0.jpg")
        unique(file, lines["image"])
        rows = image_rows(f"{folder}/" + lines["image"], lines["vehicle"], lines["camera"])
        lists.append(ImageList("train" if role == "train" else "test", role, file, rows))
    images, splits = tables(name, lists)
    labels = [file for file in (config.root / each for each in LABELS) if file.exists()]
    words = [file for _, each in WORDS.values() if (file := config.root / each).exists()]
    if labels:
        images = images.assign(**_attributes(config.root, images["image"], labels))
    return assemble(
        name,
        config,
        images,
        splits,
        folders=list(FOLDERS.values()),
        listed=[*(each.file for each in lists), *labels, *words],
    )


def _attributes(root: Path, images: pd.Series, labels: list[Path]) -> dict[str, list[str]]:
    """Colour and type of every image, "" where the XML has none.

    Words where `list_color.txt` and `list_type.txt` explain the numbers, else the numbers. Number 0
    means none: version 1.0 of test_label.xml has it for the types of three vehicles.
    """
    items = {name: item for file in labels for name, item in read_items(file).items()}
    names = [path.rpartition("/")[2] for path in images]
    found = {}
    for column, (attribute, list_file) in WORDS.items():
        words = _words(root / list_file)
        numbers = [items.get(name, {}).get(attribute, "").strip().lstrip("0") for name in names]
        found[column] = [words.get(number, number) for number in numbers]
    return found


def _words(file: Path) -> dict[str, str]:
    """Number -> word of the lists of colours and types; what is no such line explains nothing."""
    lines = read_lines(file) if file.exists() else []
    matches = (re.match(r"^0*(\d+)\W+(\w.*)$", line) for line in lines)
    return {match[1]: match[2].strip() for match in matches if match}


def read_items(file: Path) -> dict[str, Mapping[str, str]]:
    """Image name -> attributes of every <Item> of a label file.

    The files are declared gb2312, which the XML parser does not know: the text is decoded first. A
    document type is refused, so that nothing can be expanded or fetched. UserError names the line.
    """
    items: dict[str, Mapping[str, str]] = {}
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == "Item":
            items[attributes.get("imageName", "")] = attributes

    def refuse(*_: object) -> None:
        raise UserError(
            f"{file}, line {parser.CurrentLineNumber}: a document type, which the dataset's own "
            "files do not have; get the file anew"
        )

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(_decoded(file), True)
    except expat.ExpatError as error:
        raise UserError(
            f"{file}, line {error.lineno}: not XML ({expat.ErrorString(error.code)}); "
            "get the file anew"
        ) from None
    return items


def _decoded(file: Path) -> str:
    content = file.read_bytes()
    declared = DECLARED.search(content[:200])
    encoding = declared[1].decode().lower() if declared else "utf-8"
    encoding = "gb18030" if encoding in CHINESE else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{file}, line {line}: not {encoding} text; get the file anew") from None
