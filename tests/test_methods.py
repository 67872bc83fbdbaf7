"""The options of the re-ranking methods: those of the classes, and checked without torch."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from reid_repro import plan
from reid_repro.errors import UserError
from reid_repro.methods import ReRankerConfig, written
from reid_repro.phases.metrics import reranker_of
from reid_repro.retrieval import groups, rerank

# What changes time and memory and no result, and what is no value of a YAML file.
NO_OPTIONS = {"block", "memory", "progress", "labels", "pca"}
OF_THE_PIPELINE = {"share"}
KINDS = [kind for kind in get_args(get_args(ReRankerConfig)[0]) if kind.__name__ != "BareDistance"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_options_are_the_keyword_arguments_of_the_class(kind: type[BaseModel]) -> None:
    method = get_args(kind.model_fields["method"].annotation)[0]
    room = groups if method == "CoarseToFine" else rerank
    parameters = inspect.signature(getattr(room, method)).parameters
    defaults = {name: p.default for name, p in parameters.items() if name not in NO_OPTIONS}
    options = kind.model_fields["options"].annotation
    assert options is not None
    mirrored = {name: field.default for name, field in options.model_fields.items()}
    assert {name: mirrored[name] for name in mirrored if name not in OF_THE_PIPELINE} == defaults


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
