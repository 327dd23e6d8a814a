"""Published files to our folders: what ``tools/convert_dove.py`` runs."""

from __future__ import annotations

from typing import Literal

from adc_video.dove import DOVE


def dove(source: str, prompt: str, out: str, precision: Literal["float32", "bfloat16"] = "bfloat16") -> None:
    """DOVE's folder and the embedding of the empty prompt as one folder for `DOVE`, checked.

    Only transformer/, vae/ and scheduler/ are read, so that tokenizer and text encoder (9 GB) need not be there.

    Args:
        source: The published folder in diffusers' layout, ``pretrained_models/DOVE``.
        prompt: The published embedding, ``pretrained_models/prompt_embeddings/e3b0c442...b855.safetensors``.
        out: The folder to write, 12 GB.
        precision: Of the numbers written.
    """
    DOVE(source, prompt, precision=precision).save_pretrained(out)
