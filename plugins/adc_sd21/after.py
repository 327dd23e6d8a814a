"""Something that is applied to what layers return, without the layers knowing what it is."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

After = Callable[[str, Tensor], Tensor]
"""Maps the path of a layer and what it returned to what the next layer gets instead, of the same shape."""


def unchanged(path: str, x: Tensor) -> Tensor:
    """Nothing is applied."""
    return x


def within(part: str, after: After) -> After:
    """The same for the layers of a part, which know their paths below it only."""
    return lambda path, x: after(f"{part}.{path}", x)
