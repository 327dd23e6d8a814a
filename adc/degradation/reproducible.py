"""The same numbers whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible() -> Iterator[None]:
    """Compute on one thread and without gradients.

    Sums that several threads share differ in their last bit from those of one thread, and
    rounding to 8 bits makes that visible: a worker process (one thread) and the main process
    (many) would make different pictures from the same draw.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(threads)
