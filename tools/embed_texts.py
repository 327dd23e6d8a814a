"""Rows of texts by Wan's UMT5 encoder, so that training needs no text encoder.

python tools/embed_texts.py weights/wan weights/texts "" "sharp, detailed" "blurry, compressed"

Writes one file for each text, without the padding: WanConditioner pads with zeros.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _command import run


def embed_texts(encoder: str, out: str, texts: list[str], length: int = 512) -> None:
    """Write the rows of texts.

    Args:
        encoder: A folder with tokenizer/ and text_encoder/, as diffusers has Wan 2.1.
        out: Where the rows go; what is there already is left alone.
        texts: The texts; an empty one is one row.
        length: Longest text in tokens; longer ones are cut.
    """
    import torch
    from adc_sd21.folder import save_tensors
    from adc_sd21.text import KEY, name_of
    from transformers import AutoTokenizer, UMT5EncoderModel

    home = Path(out)
    home.mkdir(parents=True, exist_ok=True)
    missing = [text for text in dict.fromkeys(texts) if not (home / name_of(text)).is_file()]
    if missing:
        tokenizer = AutoTokenizer.from_pretrained(str(Path(encoder, "tokenizer")), local_files_only=True)
        model = UMT5EncoderModel.from_pretrained(
            str(Path(encoder, "text_encoder")), local_files_only=True, use_safetensors=True
        ).eval()
        for text in missing:
            tokens = tokenizer(text, truncation=True, max_length=length, return_tensors="pt")
            with torch.inference_mode():
                rows = model(tokens.input_ids, tokens.attention_mask).last_hidden_state[0]
            save_tensors({KEY: rows}, home / name_of(text), torch.float32)
    print(f"{len(set(texts))} texts, {len(missing)} of them new, in {home}")


if __name__ == "__main__":
    sys.exit(run(embed_texts))
