"""Reading configuration files, and naming a mistake in them by file and key."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from reid_repro.errors import UserError

Scale = Literal["demo", "bench", "paper"]
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"  # stands before a suffix in file names: no dots

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast

# Keys that stand above a value checked by itself, in no file.
WRAPPERS = {"benchmark", "dataset", "reranker"}


class Strict(BaseModel):
    """Every key is known and every value checked; nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; UserError names the file otherwise."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UserError(f"{path}{line}: not valid YAML") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mappings merged key by key, everything else replaced.

    Replaced whole are `steps`, a list in the form of a mapping, and `data` of another source, none
    of whose keys fit the old one.
    """
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and not _is_other(key, old, value):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged


def _is_other(key: str, old: dict[str, Any], value: dict[str, Any]) -> bool:
    other = value.get("source", old.get("source")) != old.get("source")
    return key == "steps" or (key == "data" and other)


M = TypeVar("M", bound=BaseModel)


def checked(model: type[M], values: Mapping[str, Any], where: str) -> M:
    """`values` as a `model`; UserError names the first wrong key and what it should be."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {_first_problem(error, model)}") from None


def _first_problem(error: ValidationError, model: type[BaseModel]) -> str:
    problem = error.errors()[0]
    keys, beside = _walked(model, problem["loc"])
    context = problem.get("ctx", {})
    if problem["type"].startswith("union_tag"):  # the key that tells the kinds apart
        keys = [*keys, context["discriminator"].strip("'")]
    key = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        guess = get_close_matches(keys[-1], beside, n=1)
        hint = f"did you mean '{guess[0]}'?" if guess else f"known: {', '.join(beside) or 'none'}"
        return f"unknown key '{key}'; {hint}"
    if problem["type"] in ("missing", "union_tag_not_found"):
        return f"key '{key}' is missing"
    if problem["type"] == "union_tag_invalid":
        known = context["expected_tags"].replace("'", "")
        return f"key '{key}': unknown value '{context['tag']}'; known: {known}"
    message = problem["msg"].removeprefix("Value error, ")
    if not key:
        return message
    return f"key '{key}': {message[0].lower()}{message[1:]} (found {problem['input']!r})"


def _walked(model: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[str], list[str]]:
    """The path of a key as the user wrote it, and the keys known where its last part stands.

    Pydantic puts the tag of a tagged value behind the value's name, and a value that is checked by
    itself (a dataset's file, a point of a sweep) has no key above its own.
    """
    current: Any = model
    beside: list[str] = []
    keys: list[str] = []
    for place, part in enumerate(location):
        tagged = [one for one in _models(current) if str(part) in _tags(one)]
        if get_origin(current) in (Union, UnionType, Annotated) and tagged:
            current = tagged[0]
            continue
        if place > 0 or part not in WRAPPERS:
            keys.append(str(part))
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = current.model_fields
            beside = sorted(fields)
            current = _annotation(fields[str(part)]) if part in fields else None
        elif get_origin(current) in (dict, tuple):
            current = next(one for one in get_args(current)[::-1] if one is not Ellipsis)
    return keys, beside


def _annotation(field: FieldInfo) -> Any:
    """A field's type with its discriminator, as it stands in the class."""
    return Annotated[field.annotation, field] if field.discriminator else field.annotation


def _tags(model: type[BaseModel]) -> set[str]:
    """The values of a model's literal fields, of which its tag is one."""
    annotations = [field.annotation for field in model.model_fields.values()]
    return {str(tag) for a in annotations if get_origin(a) is Literal for tag in get_args(a)}


def _models(annotation: Any) -> list[type[BaseModel]]:
    inner = get_args(annotation)
    if not inner:
        is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        return [annotation] if is_model else []
    return [model for part in inner for model in _models(part)]
