"""The options of the re-ranking methods: those of the classes, and checked without torch."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model

from reid_repro import plan
from reid_repro.errors import UserError
from reid_repro.methods import KReciprocalOptions, ReRankerConfig, written
from reid_repro.phases.metrics import reranker_of
from reid_repro.retrieval import groups, rerank

# What changes time and memory and no result, and what is no value of a YAML file.
NO_OPTIONS = {"block", "memory", "progress", "labels", "pca"}
OF_THE_PIPELINE = {"share"}
KINDS = [kind for kind in get_args(get_args(ReRankerConfig)[0]) if kind.__name__ != "BareDistance"]


def class_of(kind: type[BaseModel]) -> type:
    """The class that a method's name stands for."""
    method = get_args(kind.model_fields["method"].annotation)[0]
    named: type = getattr(groups if method == "CoarseToFine" else rerank, method)
    return named


def options_of(kind: type[BaseModel]) -> type[BaseModel]:
    options = kind.model_fields["options"].annotation
    assert options is not None
    return options


def differing_types(options: type[BaseModel], method: type) -> dict[str, tuple[Any, Any]]:
    """Options whose type, for words the allowed ones, is not that of the constructor's argument."""
    mirrored, own = get_type_hints(options), get_type_hints(method.__init__)
    names = options.model_fields.keys() - OF_THE_PIPELINE
    return {
        name: (mirrored[name], own.get(name)) for name in names if mirrored[name] != own.get(name)
    }


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_options_are_the_keyword_arguments_of_the_class(kind: type[BaseModel]) -> None:
    parameters = inspect.signature(class_of(kind)).parameters
    defaults = {name: p.default for name, p in parameters.items() if name not in NO_OPTIONS}
    fields = options_of(kind).model_fields
    mirrored = {name: field.default for name, field in fields.items()}
    assert {name: mirrored[name] for name in mirrored if name not in OF_THE_PIPELINE} == defaults


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_options_allow_what_the_class_allows(kind: type[BaseModel]) -> None:
    assert not differing_types(options_of(kind), class_of(kind))


def test_another_word_or_type_differs() -> None:
    wrong: dict[str, Any] = {
        "neighbourhood": (Literal["code", "paper"], "code"),
        "k1": (float, 20),
    }
    misspelt = create_model("Misspelt", __base__=KReciprocalOptions, **wrong)
    assert differing_types(misspelt, rerank.KReciprocal).keys() == {"neighbourhood", "k1"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_allowed_word_makes_the_class(kind: type[BaseModel]) -> None:
    needed = {"labels": [0]} if class_of(kind) is groups.CoarseToFine else {}
    for name, values in get_type_hints(options_of(kind)).items():
        if get_origin(values) is Literal:
            for value in get_args(values):
                assert getattr(class_of(kind)(**needed, **{name: value}), name) == value


def test_a_share_of_groups_becomes_their_number() -> None:
    kind = TypeAdapter(ReRankerConfig)
    values = {"title": "T", "method": "CoarseToFine", "options": {"share": 0.43, "dim": None}}
    made = reranker_of(kind.validate_python(values), (50, 64))
    assert isinstance(made, groups.CoarseToFine)
    assert (made.n_groups, made.dim, made.threshold) == (22, None, None)
    for wanted, gallery, dim in ((32, (50, 64), 32), (32, (20, 64), 20), (64, (90, 64), None)):
        options = {"n_groups": 9, "dim": wanted}
        made = reranker_of(kind.validate_python(values | {"options": options}), gallery)
        assert isinstance(made, groups.CoarseToFine)
        assert made.dim == dim
    with pytest.raises(ValidationError, match="give one of share"):
        kind.validate_python(values | {"options": {"share": 0.43, "n_groups": 3}})


def test_written_options_are_those_that_the_configuration_states(repository: Path) -> None:
    rerankers = plan.load({"rerankers": {"gnn": {"options": {"layers": 3}}}}).config.rerankers
    assert written(rerankers["none"]) == {}
    assert written(rerankers["gnn"])["layers"] == 3
    assert "alpha" not in written(rerankers["gnn"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": 2}, "unknown key 'rerankers.gnn.options.layer'; did you mean 'layers'?"),
        ({"k1": 0}, "key 'rerankers.gnn.options.k1': input should be greater"),
        ({"nodes": "A*"}, "key 'rerankers.gnn.options.nodes'"),
        ({"edge_weights": "perhaps"}, "key 'rerankers.gnn.options.edge_weights'"),
    ],
)
def test_a_wrong_option_is_named_when_the_configuration_is_read(
    repository: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError) as caught:
        plan.load({"rerankers": {"gnn": {"options": options}}})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_method_that_is_not_there_is_named_beside_those_that_are(repository: Path) -> None:
    with pytest.raises(UserError, match=r"'rerankers\.x\.method' is missing"):
        plan.load({"rerankers": {"x": {"title": "X"}}})
    with pytest.raises(UserError, match=r"'rerankers\.x\.method'.*'Gnn'; known: none, .*GNN"):
        plan.load({"rerankers": {"x": {"title": "X", "method": "Gnn"}}})


def test_the_configuration_is_read_without_torch(repository: Path) -> None:
    code = "import sys; from reid_repro import plan; plan.load(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
