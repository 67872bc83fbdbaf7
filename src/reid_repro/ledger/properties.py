"""Properties that tests show: the types of `workflow/properties.yaml`.

A paper says of its method what no accuracy shows: an identity, a shape, a setting. A predicate
names such a property by test('...'); this file says what it means here and which tests show it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from reid_repro.checking import Strict, checked, read_yaml
from reid_repro.errors import UserError

FILE = Path("workflow/properties.yaml")
NODE = r"^tests/[A-Za-z0-9_/]+\.py::test_[A-Za-z0-9_]+(\[[^\]]+\])?$"
NAMED = re.compile(r"\btest\(\s*'([^']+)'")

Node = Annotated[str, Field(pattern=NODE)]


class Property(Strict):
    """One property: a sentence, and the ids of the tests that show it, all of which have to pass.

    The id of a test with parameters stands for it under all of them.
    """

    statement: Annotated[str, Field(min_length=3)]
    tests: tuple[Node, ...] = Field(min_length=1)


class PropertiesFile(Strict):
    """The file workflow/properties.yaml."""

    properties: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+\.[A-Za-z0-9_]+$")], Property]


def read(file: Path = FILE, root: Path = Path()) -> dict[str, Property]:
    """Every property; UserError names a wrong key, or a test that `root` does not have."""
    properties = checked(PropertiesFile, read_yaml(file), str(file)).properties
    known: dict[str, set[str]] = {}
    for name, one in properties.items():
        for node in one.tests:
            path, function = node.split("[")[0].split("::")
            if path not in known:
                known[path] = _tests_of(root / path, f"{file}: '{name}'")
            if function not in known[path]:
                raise UserError(f"{file}: '{name}': {path} has no test '{function}'")
    return properties


def _tests_of(path: Path, where: str) -> set[str]:
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{where}: there is no file {path}") from None
    except SyntaxError as error:
        raise UserError(f"{where}: {path}, line {error.lineno}: not valid Python") from None
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def named(predicate: str) -> tuple[str, ...]:
    """The properties that a predicate asks for, each once."""
    return tuple(dict.fromkeys(NAMED.findall(predicate)))


def nodes(properties: Mapping[str, Property]) -> tuple[str, ...]:
    """Every test, each once, in the order of the file."""
    return tuple(dict.fromkeys(node for one in properties.values() for node in one.tests))


def files(properties: Mapping[str, Property]) -> tuple[str, ...]:
    """The files of the tests, each once."""
    return tuple(dict.fromkeys(node.split("::")[0] for node in nodes(properties)))
