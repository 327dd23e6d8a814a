"""Former names in recipes and in folders of students, and those of now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

KEYS = {
    "recompute": "gradient_checkpointing",
    "codec": "autoencoder",
    "clips": "train_dir",
    "held_out": "val_dir",
    "held_out_lr": "val_lr",
    "held_out_hr": "val_hr",
}

CLASSES = {
    "Autoencoder": "AutoencoderRestorer",
    "CodecBackbone": "AutoencoderBackbone",
    "DegradedVideos": "DegradedClips",
    "PairedVideos": "PairedClips",
    "SDCodec": "SDAutoencoder",
    "TinyCodec": "TinyAutoencoder",
}

VALUES = {"softplus": "non_saturating"}


def key(word: str, accepted: Collection[str]) -> str | None:
    """The present name of a key, if it had another and its class takes it."""
    return KEYS[word] if word not in accepted and KEYS.get(word) in accepted else None


def component(class_path: str) -> str | None:
    """The present short name of a class given by short name or path; None if it never had another."""
    return CLASSES.get(class_path.rpartition(".")[2])


def sentence(old: str, new: str) -> str:
    """One line that names both."""
    return f"`{old}` was renamed to `{new}`."


def arguments(given: Mapping[str, Any], accepted: Collection[str]) -> dict[str, Any]:
    """The arguments of a class under the names that it takes now."""
    return {key(word, accepted) or word: value for word, value in given.items()}
