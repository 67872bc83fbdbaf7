"""The ledger of decisions: what the papers leave open, and where this project departs from them.

`workflow/deviations.yaml` holds one entry a decision. An entry names the configuration key that
takes it, where there is one, so that a reader can take it the other way.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from reid_repro.checking import PLAIN_NAME, Strict, checked, read_yaml
from reid_repro.errors import UserError

FILE = Path("workflow/deviations.yaml")
Text = Annotated[str, Field(min_length=3)]
DETECTOR = r"detectors\.(parts|keypoints)(\.(training|detection|data))?"
KEY = rf"^$|^(model|training|features|{DETECTOR})\.[a-z_0-9]+$"


class Deviation(Strict):
    """One decision: what a paper says, what is done here and why, and what else could be done.

    `paper` is the name of a file in workflow/papers, or `all`. `key` is a key of `model`,
    `training`, `features` or a detector, or empty where the decision is no option.
    """

    id: Annotated[str, Field(pattern=PLAIN_NAME)]
    paper: Literal["all", "chca", "pgan", "ssrnet", "glad", "gnn"]
    section: str
    says: Text
    does: Text
    why: Text
    effect: Text
    alternatives: tuple[Text, ...] = ()
    key: Annotated[str, Field(pattern=KEY)] = ""


class DeviationsFile(Strict):
    """The file workflow/deviations.yaml."""

    deviations: tuple[Deviation, ...]


def read(file: Path = FILE) -> tuple[Deviation, ...]:
    """Every entry in the order of the file; UserError names a wrong key or a repeated id."""
    entries = checked(DeviationsFile, read_yaml(file), str(file)).deviations
    twice = [name for name, count in Counter(entry.id for entry in entries).items() if count > 1]
    if twice:
        raise UserError(f"{file}: id '{twice[0]}' stands there twice; give each decision its own")
    return entries


def of_paper(entries: tuple[Deviation, ...], paper: str) -> tuple[Deviation, ...]:
    """The decisions that one paper leaves open; those of all papers are not among them."""
    return tuple(entry for entry in entries if entry.paper == paper)
