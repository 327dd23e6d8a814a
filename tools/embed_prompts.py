"""Embeds prompts once, so that training needs no text encoder.

python tools/embed_prompts.py weights/sd21 weights/prompts --captions data/lsdir

Writes one small file for each different text: the empty one, the captions beside the photos, tags of a file.
"""

from __future__ import annotations

import sys
from pathlib import Path

from _command import run


def embed_prompts(
    encoder: str, out: str, captions: str | None = None, tags: str | None = None, batch: int = 32
) -> None:
    """Write the embeddings of the empty prompt and of all captions of a folder, or tags of a file.

    Args:
        encoder: A folder with tokenizer/ and text_encoder/, such as tools/convert_sd21.py writes.
        out: Where the embeddings go; what is there already is left alone.
        captions: A folder of photos or tar shards with captions; only the empty prompt if none.
        tags: A .jsonl file of tags, as `TextPrompt` reads it.
        batch: Texts that are embedded together.
    """
    import torch
    from adc_sd21.folder import save_tensors
    from adc_sd21.text import KEY, ClipText, name_of, read_tags
    from rich.progress import track

    from adc.media.images import caption_of, list_photos

    texts = {"", *(caption_of(photo) for photo in (list_photos(captions) if captions else ()))}
    texts |= set(read_tags(tags).values()) if tags else set()
    home = Path(out)
    home.mkdir(parents=True, exist_ok=True)
    missing = sorted(text for text in texts if not (home / name_of(text)).is_file())
    model = ClipText(encoder)
    for start in track(range(0, len(missing), batch), description="prompts"):
        some = missing[start : start + batch]
        with torch.inference_mode():
            embeddings = model(some)
        for text, embedding in zip(some, embeddings, strict=True):
            save_tensors({KEY: embedding}, home / name_of(text), torch.float32)
    print(f"{len(texts)} texts, {len(missing)} of them new, in {home}")


if __name__ == "__main__":
    sys.exit(run(embed_prompts))
