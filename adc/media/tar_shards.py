"""Random access to images inside tar files."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CAPTION = ".txt"


@dataclass(frozen=True)
class TarMember:
    """A file inside an uncompressed tar file.

    Attributes:
        shard: The tar file.
        member: Its path in there.
        start: Offset of its bytes.
        length: Number of its bytes.
        caption: Offset and length of the text beside it; None without a text.
    """

    shard: Path
    member: str
    start: int
    length: int
    caption: tuple[int, int] | None = None

    @property
    def stem(self) -> str:
        """Its path without the ending."""
        return PurePosixPath(self.member).with_suffix("").as_posix()

    def read(self) -> bytes:
        """Its bytes; fewer than `length` if the tar file is truncated."""
        return self._part(self.start, self.length)

    def text(self) -> str | None:
        """The text beside it (``photo.txt`` beside ``photo.png``)."""
        return None if self.caption is None else self._part(*self.caption).decode("utf-8")

    def _part(self, start: int, length: int) -> bytes:
        with self.shard.open("rb") as file:
            file.seek(start)
            return file.read(length)

    def __str__(self) -> str:
        """The tar file and the path in there."""
        return f"{self.shard}:{self.member}"


def members(shard: Path, extensions: tuple[str, ...]) -> list[TarMember]:
    """The files of a tar file that end in one of ``extensions`` (lower case), in their order there.

    Only the headers are read. Of a truncated file those before its end are listed.

    Raises:
        ValueError: If it is not a tar file, or a compressed one.
    """
    held: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if member.isfile():
                    held[member.name] = (member.offset_data, member.size)
    except (tarfile.TarError, EOFError) as error:
        if not held:
            raise ValueError(f"{shard}: cannot be read as an uncompressed tar file ({error}).") from None
    return [
        TarMember(shard, name, *place, held.get(str(PurePosixPath(name).with_suffix(CAPTION))))
        for name, place in held.items()
        if name.lower().endswith(extensions)
        and not any(part.startswith(".") and part not in (".", "..") for part in PurePosixPath(name).parts)
    ]
