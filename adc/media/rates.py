"""Frame rates that containers of video can hold."""

from __future__ import annotations

from fractions import Fraction

FASTEST, FINEST = 10_000, 100_000
"""Frames per second, and the denominator of a rate, whose product the integers of containers hold."""


def checked_rate(rate: Fraction | float) -> Fraction:
    """Frames per second as a fraction that containers hold: 29.97002997 is 30000/1001.

    Raises:
        ValueError: If no container holds it.
    """
    found = Fraction(rate).limit_denominator(FINEST)
    if not 0 < found <= FASTEST:
        raise ValueError(f"rate: {float(rate):g} frames per second; above 0 and {FASTEST} at most.")
    return found
