"""The conditioning of Wan's transformer: LR's latents and rows of text."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import torch
from adc_sd21.folder import read_tensors
from adc_sd21.text import KEY, name_of
from torch import Tensor

from adc.interfaces import Autoencoder, Batch, Conditioner
from adc.ops.clip import upsample_bicubic


class WanConditioner(Conditioner):
    """Latents of the bicubically enlarged LR clip, and rows of a text padded with zeros.

    Wan's transformer was trained on UMT5's rows padded to 512 with zeros and without a mask; the empty text is one
    row, that of the end of a text. Rows are made once (``tools/embed_texts.py``) and read from a folder, so no text
    encoder is loaded.
    """

    text_rows: Tensor
    negative_rows: Tensor

    def __init__(
        self,
        autoencoder: Autoencoder,
        texts: str | None = None,
        text: str = "",
        negative: str = "",
        scale: int = 4,
        length: int = 512,
        width: int = 4096,
    ) -> None:
        """
        Args:
            autoencoder: Encodes LR and HR, and decodes.
            texts: A folder of rows, ``<sha256 of the text>.safetensors`` with ``prompt_embedding`` ``(L, D)``; null
                draws rows from each text, for a network that learns them anew. Empty in student folders: the rows of
                both texts are among the weights, and there are no others.
            text: The text of clips that have none.
            negative: The text that guidance leads away from; empty drops the text.
            scale: How many times larger HR is than LR.
            length: Rows of a text; shorter ones are padded with zeros.
            width: Numbers in a row; rows of a folder have their own.

        Raises:
            FileNotFoundError: If the folder has no rows for one of both texts.
            ValueError: If a file holds no rows, or too many.
        """
        super().__init__()
        self.autoencoder, self.text, self.negative, self.scale = autoencoder, text, negative, scale
        self.texts, self.length, self.width = Path(texts) if texts else None, length, width
        self._drawn_rows, self._others = texts is None, dict[str, Tensor]()
        for name, own in (("text_rows", text), ("negative_rows", negative)):
            self.register_buffer(name, torch.zeros(length, width) if texts == "" else self._made(own))
        self.width = self.text_rows.shape[1]
        self.init_args = {"autoencoder": autoencoder, "texts": None if texts is None else "", "text": text}
        self.init_args |= {"negative": negative, "scale": scale, "length": length, "width": self.text_rows.shape[1]}

    def condition(self, batch: Batch) -> dict[str, Tensor]:
        """``lr`` ``(B, T', Z, h, w)`` and ``text`` ``(B, length, width)``."""
        lr, cached = batch["lr"], batch.get("lr_latents")
        latents = self.autoencoder.encode(upsample_bicubic(lr, self.scale)) if cached is None else cached
        rows = [self.rows_of(text) for text in batch.get("text", [self.text] * len(lr))]
        return {"lr": latents, "text": torch.stack(rows)}

    def unconditional(self, condition: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same with the rows of the negative text."""
        text = condition["text"]
        return {**condition, "text": self.rows_of(self.negative).to(text).expand_as(text)}

    def rows_of(self, text: str) -> Tensor:
        """The rows of a text, padded with zeros, ``(length, width)``.

        Raises:
            FileNotFoundError: If the folder has no rows for it.
            ValueError: If the file holds none, or too many; or if a student folder holds no rows of it.
        """
        if text in (self.text, self.negative):
            return self.text_rows if text == self.text else self.negative_rows
        if text not in self._others:
            self._others[text] = self._made(text)
        return self._others[text].to(self.text_rows.device)

    def _made(self, text: str) -> Tensor:
        rows = self._drawn(text) if self._drawn_rows else self._read(text)
        if len(rows) > self.length:
            raise ValueError(f"length: {_short(text)} has {len(rows)} rows, more than {self.length}.")
        return torch.cat([rows, rows.new_zeros(self.length - len(rows), rows.shape[1])])

    def _read(self, text: str) -> Tensor:
        if self.texts is None:
            raise ValueError(
                f"text: {_short(text)} has no rows in this student folder, which holds those of {_short(self.text)} "
                f"and {_short(self.negative)}; leave the text out, or name a folder of rows as texts."
            )
        file = self.texts / name_of(text)
        if not file.is_file():
            raise FileNotFoundError(
                f"texts: {file}: no such file, the rows of {_short(text)}; tools/embed_texts.py makes it."
            )
        rows = read_tensors(file).get(KEY)
        if rows is None or rows.ndim != 2:
            raise ValueError(f"texts: {file}: holds no {KEY} (L, D); make it again with tools/embed_texts.py.")
        return rows

    def _drawn(self, text: str) -> Tensor:
        generator, count = torch.Generator().manual_seed(crc32(text.encode())), min(self.length, 4 if text else 1)
        return torch.randn(count, self.width, generator=generator, device="cpu")


def _short(text: str) -> str:
    return repr(text if len(text) < 60 else text[:57] + "...")
