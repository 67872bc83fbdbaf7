"""Every loss against a literal loop over anchors, pairs or images; their sum over branches."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reid_repro.config import TrainingConfig
from reid_repro.models.outputs import Outputs
from reid_repro.training.losses import ReIDLoss

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MARGIN = 0.3


def unit(features: FloatArray) -> FloatArray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def distance(one: FloatArray, other: FloatArray) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def literal_cross_entropy(logits: FloatArray, labels: IntArray, smoothing: float = 0.0) -> float:
    """Szegedy et al. 2016: the target is (1 - e) on the right class plus e / C on each."""
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        log_sum = math.log(sum(math.exp(value) for value in row))
        for k, value in enumerate(row):
            target = (1 - smoothing) * (k == label) + smoothing / len(row)
            total -= target * (value - log_sum)
    return total / len(logits)


def literal_triplet(features: FloatArray, labels: IntArray) -> float:
    """Hermans et al. 2017, Eq. 5, anchor after anchor, divided by the number of anchors."""
    total = 0.0
    for a, label in enumerate(labels):
        to = [distance(features[a], other) for other in features]
        farthest = max(d for i, d in enumerate(to) if labels[i] == label and i != a)
        nearest = min(d for i, d in enumerate(to) if labels[i] != label)
        total += max(0.0, MARGIN + farthest - nearest)
    return total / len(features)


def literal_circle(features: FloatArray, labels: IntArray) -> float:
    """Sun et al. 2020, on pairs, with relaxation 0.25 and scale 128."""
    m, gamma = 0.25, 128.0
    similar = unit(features) @ unit(features).T
    terms = []
    for a, label in enumerate(labels):
        negatives = [s for i, s in enumerate(similar[a]) if labels[i] != label]
        positives = [s for i, s in enumerate(similar[a]) if labels[i] == label and i != a]
        negative = [gamma * max(0.0, s + m) * (s - m) for s in negatives]
        positive = [-gamma * max(0.0, 1 + m - s) * (s - (1 - m)) for s in positives]
        exponent = np.logaddexp.reduce(negative) + np.logaddexp.reduce(positive)
        terms.append(np.logaddexp(0, exponent))
    return float(np.mean([term for term in terms if term > 0]))


def literal_contrastive(features: FloatArray, labels: IntArray) -> float:
    """Distances of positive pairs, hinges of negative ones; each averaged where not zero."""
    near, far = [], []
    for i, one in enumerate(unit(features)):
        for j, other in enumerate(unit(features)):
            if labels[i] == labels[j] and i != j:
                near.append(distance(one, other))
            elif labels[i] != labels[j]:
                far.append(max(0.0, 1 - distance(one, other)))
    means = [np.mean([x for x in part if x > 0]) if any(part) else 0.0 for part in (near, far)]
    return float(sum(means))


def literal_lifted(features: FloatArray, labels: IntArray) -> float:
    """Oh Song et al. 2016: every positive pair against all negatives of both its images."""
    points, total, pairs = unit(features), 0.0, 0
    for i in range(len(labels)):
        for j in range(i + 1, len(labels)):
            if labels[i] != labels[j]:
                continue
            pairs += 1
            inside = sum(
                math.exp(1 - distance(points[end], points[k]))
                for end in (i, j)
                for k in range(len(labels))
                if labels[k] != labels[end]
            )
            total += max(0.0, math.log(inside) + distance(points[i], points[j])) ** 2
    return total / (2 * pairs)


def literal_instance(features: FloatArray, labels: IntArray) -> float:
    """Softmax over the batch's images, each its own class, with scale 64."""
    similar = 64 * unit(features) @ unit(features).T
    return literal_cross_entropy(similar, np.arange(len(labels)))


LITERAL: dict[str, Callable[[FloatArray, IntArray], float]] = {
    "triplet": literal_triplet,
    "contrastive": literal_contrastive,
    "lifted": literal_lifted,
    "instance": literal_instance,
    "circle": literal_circle,
}


def configuration(**training: object) -> TrainingConfig:
    settings = {"height": 32, "width": 32, "epochs": 1, "margin": MARGIN} | training
    return TrainingConfig.model_validate(settings)


def tensors(arrays: dict[str, FloatArray]) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(array).float().requires_grad_() for name, array in arrays.items()
    }


@given(
    name=st.sampled_from(["triplet", "contrastive", "lifted", "instance"]),
    identities=st.integers(2, 4),
    images=st.integers(2, 4),
    spread=st.floats(0.05, 3),
    seed=st.integers(0, 1000),
)
def test_metric_losses_are_their_papers(
    name: str, identities: int, images: int, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(identities), images))
    features = np.eye(6)[labels] + spread * rng.normal(size=(len(labels), 6))
    outputs = Outputs(tensors({"one": features}), {})
    criterion = ReIDLoss(configuration(identity_loss="none", metric_loss=name))
    parts = criterion(outputs, torch.from_numpy(labels))
    # Float32 distances come out of squares: a few digits are lost where they are small.
    assert float(parts.metric.detach()) == pytest.approx(
        LITERAL[name](features, labels), rel=2e-3, abs=1e-4
    )
    assert float(parts.identity) == 0
    parts.total.backward()
    gradient = outputs.features["one"].grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_its_definition(smoothing: float) -> None:
    rng = np.random.default_rng(3)
    logits, labels = rng.normal(size=(7, 5)), rng.integers(0, 5, 7)
    criterion = ReIDLoss(configuration(metric_loss="none", label_smoothing=smoothing))
    parts = criterion(Outputs({}, tensors({"one": logits})), torch.from_numpy(labels))
    expected = literal_cross_entropy(logits, labels, smoothing)
    assert float(parts.total.detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_the_circle_loss_is_its_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), 3)
    features = rng.normal(size=(9, 4)) + np.eye(4)[labels]
    criterion = ReIDLoss(configuration(identity_loss="circle", metric_loss="none"))
    outputs = Outputs(tensors({"one": features}), {})
    parts = criterion(outputs, torch.from_numpy(labels))
    assert float(parts.identity.detach()) == pytest.approx(
        literal_circle(features, labels), rel=1e-4
    )
    parts.total.backward()
    gradient = outputs.features["one"].grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("identity", "metric"),
    [
        ("cross_entropy", "triplet"),
        ("cross_entropy", "none"),
        ("circle", "triplet"),
        ("circle", "none"),
        ("none", "triplet"),
    ],
)
def test_branches_are_summed_and_weighed(identity: str, metric: str) -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(3), 2)
    features = {name: rng.normal(size=(6, d)) for name, d in (("a", 4), ("b", 7), ("c", 3))}
    logits = {name: rng.normal(size=(6, 3)) for name in ("a", "z")}
    criterion = ReIDLoss(
        configuration(
            identity_loss=identity,
            metric_loss=metric,
            identity_weight=2.0,
            metric_weight=0.5,
            label_smoothing=0.0,
        )
    )
    parts = criterion(Outputs(tensors(features), tensors(logits)), torch.from_numpy(labels))
    first = {
        "cross_entropy": sum(literal_cross_entropy(x, labels) for x in logits.values()),
        "circle": sum(literal_circle(x, labels) for x in features.values()),
        "none": 0.0,
    }[identity]
    second = sum(literal_triplet(x, labels) for x in features.values()) * (metric != "none")
    expected = 2 * first + 0.5 * second, first, second
    np.testing.assert_allclose([float(part.detach()) for part in parts], expected, rtol=1e-4)


def test_triplet_anchors_without_violation_count_in_the_mean() -> None:
    """Of two identities far apart, and a third torn in two: only the third's anchors violate."""
    features = np.array([[0.0, 0], [0.1, 0], [50, 0], [50.1, 0], [0, 90], [0, 130.0]])
    labels = np.repeat(np.arange(3), 2)
    criterion = ReIDLoss(configuration(identity_loss="none", margin=60.0))
    value = criterion(Outputs(tensors({"one": features}), {}), torch.from_numpy(labels)).metric
    terms = []
    for a in range(6):
        to = np.linalg.norm(features - features[a], axis=1)
        terms.append(max(0, 60 + to[labels == labels[a]].max() - to[labels != labels[a]].min()))
    assert float(value.detach()) == pytest.approx(sum(terms) / 6, rel=1e-4)
    assert sum(term == 0 for term in terms) > 0


def test_images_repeated_in_a_batch_keep_the_gradient_finite() -> None:
    """An identity with one image fills its group with it: distances of exactly zero."""
    features = np.array([[1.0, 2, 3], [1, 2, 3], [4, 5, 7], [4, 5, 7]])
    labels = torch.tensor([0, 0, 1, 1])
    for name in ("triplet", "contrastive", "lifted", "instance"):
        outputs = Outputs(tensors({"one": features}), {})
        criterion = ReIDLoss(configuration(identity_loss="none", metric_loss=name, margin=9.0))
        criterion(outputs, labels).total.backward()
        gradient = outputs.features["one"].grad
        assert gradient is not None
        assert torch.isfinite(gradient).all(), name


def test_half_precision_outputs_are_read_in_float32() -> None:
    rng = np.random.default_rng(5)
    features = torch.from_numpy(rng.normal(size=(6, 4))).bfloat16()
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    criterion = ReIDLoss(configuration())
    parts = criterion(Outputs({"a": features}, {"a": features}), labels)
    exact = criterion(Outputs({"a": features.float()}, {"a": features.float()}), labels)
    assert parts.total.dtype == torch.float32
    assert parts.total == exact.total


def test_no_loss_has_parameters_that_nothing_would_train() -> None:
    for identity in ("cross_entropy", "circle"):
        for metric in ("triplet", "contrastive", "lifted", "instance", "none"):
            loss = ReIDLoss(configuration(identity_loss=identity, metric_loss=metric))
            assert not list(loss.parameters())
            assert not loss.state_dict()


def test_a_loss_without_a_branch_to_read_is_refused() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    features, logits = {"a": torch.randn(4, 3)}, {"a": torch.randn(4, 2)}
    with pytest.raises(ValueError, match=r"training.metric_loss is 'triplet'.* set .* to none"):
        ReIDLoss(configuration())(Outputs({}, logits), labels)
    with pytest.raises(ValueError, match=r"training.identity_loss is 'cross_entropy'"):
        ReIDLoss(configuration())(Outputs(features, {}), labels)
    criterion = ReIDLoss(configuration(identity_loss="circle", metric_loss="none"))
    with pytest.raises(ValueError, match=r"training.identity_loss is 'circle'"):
        criterion(Outputs({}, logits), labels)


@pytest.mark.parametrize(
    ("identity", "metric", "features", "logits"),
    [
        ("cross_entropy", "triplet", True, True),
        ("cross_entropy", "none", False, True),
        ("circle", "none", True, False),
        ("circle", "instance", True, False),
        ("none", "lifted", True, False),
    ],
)
def test_what_no_loss_reads_is_left_out(
    identity: str, metric: str, features: bool, logits: bool
) -> None:
    outputs = Outputs({"a": torch.randn(4, 3)}, {"a": torch.randn(4, 2)})
    read = ReIDLoss(configuration(identity_loss=identity, metric_loss=metric)).read(outputs)
    assert read == Outputs(outputs.features if features else {}, outputs.logits if logits else {})
