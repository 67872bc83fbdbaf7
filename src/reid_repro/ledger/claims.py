"""What a paper shows and claims: the types of `workflow/papers/claims/*.yaml`.

An item is a table, a figure or a sentence of the paper, with a predicate that decides it. The same
predicate is evaluated on the paper's own cells and on what is measured here (predicates.py).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from reid_repro.checking import Strict, checked, read_yaml
from reid_repro.errors import UserError
from reid_repro.ledger.predicates import PredicateError, check

ItemKind = Literal["table", "figure", "claim"]
OnPaper = Literal["holds", "fails", "needs_evidence"]
ItemType = Literal[
    "ablation-all",
    "ablation-best",
    "algebra",
    "competitive",
    "consistency",
    "cost",
    "dataset-stat",
    "delta",
    "diagram",
    "direction",
    "equivalence",
    "hypothesis",
    "non-dominance",
    "ordering",
    "protocol",
    "qualitative-quantified",
    "ranking",
    "ranking-vs-quoted",
    "sensitivity",
    "trend",
    "value",
]

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class Item(Strict):
    """One table, figure or claim.

    `on_paper` is what the predicate comes to on the paper's own cells: it `holds`, it `fails`, or
    it `needs_evidence` that no cell holds (a figure's points, a test, a count of a dataset).
    `varied` says what differs between the things compared.
    """

    id: Text
    kind: ItemKind
    section: Text
    title: Text
    statement: Text
    predicate: Text
    type: ItemType
    datasets: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    on_paper: OnPaper
    varied: str = ""
    notes: str = ""

    @field_validator("predicate")
    @classmethod
    def _of_the_language(cls, value: str) -> str:
        try:
            check(value)
        except PredicateError as error:
            raise ValueError(str(error)) from None
        return value


class ClaimsFile(Strict):
    """One file of workflow/papers/claims."""

    items: tuple[Item, ...] = Field(min_length=1)


def read(file: Path) -> tuple[Item, ...]:
    """The items in the order of the file; UserError names a wrong key or a repeated id."""
    items = checked(ClaimsFile, read_yaml(file), str(file)).items
    twice = [name for name, count in Counter(item.id for item in items).items() if count > 1]
    if twice:
        raise UserError(f"{file}: id '{twice[0]}' stands there twice; give each item its own")
    return items
