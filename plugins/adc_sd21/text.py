"""Prompts as Stable Diffusion 2.1 reads them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adc.interfaces import Batch, Prompt

KEY = "prompt_embedding"


class TextPrompt(Prompt):
    """Embeddings by the CLIP text encoder of a Stable Diffusion folder, or ready-made ones.

    A text longer than the tokenizer allows (77 tokens) is cut off there. Every text is embedded
    once per process and kept. With a cache, embeddings are looked up as ``<sha256 of the text>.safetensors``,
    key ``prompt_embedding`` ``(L, D)``; ``tools/embed_prompts.py`` writes it, and then no text encoder is needed.
    """

    def __init__(
        self, folder: str | None = None, cache: str | None = None, text: str | None = None, tags: str | None = None
    ) -> None:
        """
        Args:
            folder: A folder in diffusers' layout with ``tokenizer/`` and ``text_encoder/``; null takes
                embeddings from the cache alone.
            cache: A folder of embeddings; null embeds every text here.
            text: One text for all clips, perhaps empty; null takes each clip's tags, or else its caption (data:
                ``captions: true``).
            tags: A file of lines ``{"name": "0001", "text": "dog, grass"}``, for one tags of the degraded photos, by
                the names of clips; only without a text.

        Raises:
            FileNotFoundError: If there is no such file or folder.
            ValueError: If neither folder nor cache is named, or tags and a text, or a line of tags is no such line.
        """
        super().__init__()
        if folder is None and cache is None:
            raise ValueError("prompt: name the folder of a text encoder, a cache of embeddings, or both.")
        if text is not None and tags is not None:
            raise ValueError("prompt: tags and one text for all clips; set text: null, or leave tags out.")
        self.text, self.cache = text, None if cache is None else Path(cache)
        self.tags, self._tags = tags, {} if tags is None else read_tags(tags)
        self.encoder = None if folder is None else ClipText(folder)
        if self.encoder is not None:
            self.encoder.requires_grad_(False)
        self._kept: dict[str, Tensor] = {}

    def forward(self, batch: Batch) -> Tensor:
        """``(B, L, D)``."""
        lr = batch["lr"]
        if self.text is not None:
            return self._one(self.text).to(lr.device).expand(len(lr), -1, -1)
        if self.tags is not None:
            return torch.stack([self._one(self._tags_of(name)) for name in batch["name"]]).to(lr.device)
        if "text" not in batch:
            raise ValueError("prompt: the data has no captions; set captions: true, or give one text for all clips.")
        return torch.stack([self._one(text) for text in batch["text"]]).to(lr.device)

    def _tags_of(self, name: str) -> str:
        if name not in self._tags:
            raise ValueError(f"prompt: {self.tags}: no line has the name {name!r}; add its tags, perhaps empty ones.")
        return self._tags[name]

    @torch.no_grad()
    def _one(self, text: str) -> Tensor:
        if text not in self._kept:
            stored = None if self.cache is None else self.cache / name_of(text)
            if stored is not None and stored.is_file():
                self._kept[text] = _read(stored)
            elif self.encoder is not None:
                self._kept[text] = self.encoder([text])[0].float().cpu()
            else:
                short = text if len(text) < 60 else text[:57] + "..."
                raise FileNotFoundError(
                    f"{stored}: no such embedding, of the text {short!r}; make it with tools/embed_prompts.py, "
                    "or name the folder of a text encoder."
                )
        return self._kept[text]


class ClipText(nn.Module):
    """Tokenizer and text encoder of a Stable Diffusion folder."""

    def __init__(self, folder: str) -> None:
        """
        Args:
            folder: Holds ``tokenizer/`` and ``text_encoder/``, the latter with safetensors.

        Raises:
            FileNotFoundError: If one of them is missing.
        """
        super().__init__()
        from transformers import CLIPTextModel, CLIPTokenizer

        for part in ("tokenizer", "text_encoder"):
            if not Path(folder, part).is_dir():
                raise FileNotFoundError(f"{Path(folder, part)}: no such folder; a text encoder needs it.")
        self.tokenizer = CLIPTokenizer.from_pretrained(str(Path(folder, "tokenizer")), local_files_only=True)
        self.model: Any = CLIPTextModel.from_pretrained(
            str(Path(folder, "text_encoder")), local_files_only=True, use_safetensors=True
        ).eval()

    def forward(self, texts: Sequence[str]) -> Tensor:
        """The last hidden states of texts, padded or cut to the tokenizer's length; ``(N, L, D)``."""
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        device = next(self.model.parameters()).device
        return self.model(tokens.input_ids.to(device))[0]


def read_tags(path: str) -> dict[str, str]:
    """Texts by name, of a file of lines ``{"name": ..., "text": ...}``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is none of these; the message names it.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("name", "text")):
            raise ValueError(f'{path}: line {number} is no object with the texts "name" and "text".')
        if entry["name"] in found:
            raise ValueError(f"{path}: line {number}: the name {entry['name']!r} was there already.")
        found[entry["name"]] = entry["text"]
    return found


def name_of(text: str) -> str:
    """The file of a text's embedding."""
    return hashlib.sha256(text.encode()).hexdigest() + ".safetensors"


def _read(path: Path) -> Tensor:
    from safetensors.torch import load_file

    held = load_file(path)
    if KEY not in held or held[KEY].ndim != 2:
        raise ValueError(f"{path}: holds no {KEY} (L, D); make it again with tools/embed_prompts.py.")
    return held[KEY].float()
