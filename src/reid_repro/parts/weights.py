"""Weights of the part detector in one safetensors file that says what network they are for."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from reid_repro.detectors import PartsDetector
from reid_repro.errors import UserError
from reid_repro.files import whole
from reid_repro.parts.classes import ATTRIBUTES
from reid_repro.parts.network import PartsNetwork, build


def save(network: PartsNetwork, settings: PartsDetector, file: Path) -> None:
    """Write the weights of `network`, which `settings` built."""
    tensors = {key: value.contiguous() for key, value in network.ssd.state_dict().items()}
    facts = _facts(settings) | {"classes": json.dumps(network.classes)}
    with whole(file) as beside:
        save_file(tensors, beside, metadata=facts)


def load(file: Path, settings: PartsDetector) -> PartsNetwork:
    """The network of `settings` with the weights of `file`, for the classes that it was trained on.

    Raises UserError for a file that is missing, damaged, or of another network.
    """
    try:
        with safe_open(file, framework="pt") as content:
            facts = content.metadata() or {}
            state = {key: content.get_tensor(key) for key in list(content.keys())}
    except FileNotFoundError:
        raise UserError(f"{file}: no such file of weights") from None
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: not a readable safetensors file ({error})") from None
    for key, wanted in _facts(settings).items():
        if facts.get(key) != wanted:
            raise UserError(
                f"{file}: {key} is {facts.get(key, 'not told')}, but detectors.parts.{key} is "
                f"{wanted}; set it to what the weights were trained with"
            )
    try:
        classes = tuple(json.loads(facts["classes"]))
    except (KeyError, ValueError):
        raise UserError(f"{file}: does not tell its classes; save it by this project") from None
    if not classes or not set(classes) <= set(ATTRIBUTES):
        raise UserError(f"{file}: its classes are not the part detector's")
    network = build(settings.model_copy(update={"weights": "none"}), classes)
    own = network.ssd.state_dict()
    wrong = [
        f"'{key}' is {'missing' if key not in state else 'unexpected'}"
        for key in sorted(own.keys() ^ state.keys())
    ]
    wrong += [
        f"'{key}' has shape {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in sorted(own.keys() & state.keys())
        if own[key].shape != state[key].shape
    ]
    if wrong:
        raise UserError(f"{file}: does not fit the {settings.network} network: {wrong[0]}")
    network.ssd.load_state_dict(state)
    return network


def digest(network: PartsNetwork) -> str:
    """SHA-256 of all weights and of what else decides the answer: classes and size."""
    found = hashlib.sha256(json.dumps([network.classes, network.size]).encode())
    for key, value in sorted(network.ssd.state_dict().items()):
        found.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _facts(settings: PartsDetector) -> dict[str, str]:
    facts = {"network": settings.network, "size": str(settings.size)}
    return facts | ({"width": str(settings.width)} if settings.network == "small" else {})
