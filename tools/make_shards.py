"""Packs a folder of photos into tar files, which a network drive reads much faster than many small files.

python tools/make_shards.py data/lsdir data/lsdir_shards

Recipes name the folder of shards as they would name the folder of photos. Captions (photo.txt beside
photo.png) are packed with their photos. Photos are copied as they are, in their order; a broken one is
met, skipped and named when a recipe with ``broken: skip`` comes to it.
"""

from __future__ import annotations

import argparse
import sys
import tarfile
from pathlib import Path

from adc.media.images import list_images
from adc.media.tar_shards import CAPTION


def pack(folder: Path, out: Path, photos: int) -> list[Path]:
    """Write ``00000.tar`` and so on; each appears when it is whole.

    Args:
        folder: Searched with its sub-folders.
        out: Where the shards go; must hold none yet.
        photos: Photos in each shard.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it holds no photo, or ``out`` holds shards already.
    """
    from rich.progress import track

    found = list_images(folder)
    if photos < 1:
        raise ValueError(f"photos: {photos} is less than 1.")
    if list(out.glob("*.tar")):
        raise ValueError(f"{out}: holds shards already; remove them, or name another folder.")
    out.mkdir(parents=True, exist_ok=True)
    shards = []
    for number in track(range(-(-len(found) // photos)), description="shards"):
        shard = out / f"{number:05}.tar"
        partial = shard.with_suffix(".tmp")
        with tarfile.open(partial, "w") as archive:
            for path in found[number * photos : (number + 1) * photos]:
                for file in (path, path.with_suffix(CAPTION)):
                    if file.is_file():
                        archive.add(file, file.relative_to(folder).as_posix(), recursive=False)
        shards.append(partial.replace(shard))
    return shards


def main(argv: list[str] | None = None) -> int:
    """Pack a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds the photos")
    parser.add_argument("out", type=Path, help="where the shards go")
    parser.add_argument("--photos", type=int, default=1000, help="photos in each shard (1000)")
    options = parser.parse_args(argv)
    try:
        shards = pack(options.folder, options.out, options.photos)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"make_shards: error: {error}\n")
        return 1
    print(f"wrote {len(shards)} shards to {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
