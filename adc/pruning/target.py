"""What a pruned student may cost: a share of what the full one costs, or a number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from adc.errors import suggest

Kind = Literal["macs", "parameters", "latency"]
KINDS: tuple[Kind, ...] = get_args(Kind)
UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SECONDS = {"": 1.0, "s": 1.0, "ms": 1e-3}


@dataclass(frozen=True)
class Target:
    """What a pruned student may cost.

    Attributes:
        kind: What is counted, one of `KINDS`.
        text: How it was given.
        number: The cost; of a share, how much of the full student's.
        is_share: Whether it is a share.
    """

    kind: Kind
    text: str
    number: float
    is_share: bool

    def of(self, full: float) -> float:
        """The cost, for a full student's."""
        return self.number * full if self.is_share else self.number

    def as_text(self, cost: float) -> str:
        """A cost as text: ``1.20 G``, ``12.0 ms``."""
        if self.kind == "latency":
            return f"{cost * 1e3:.3g} ms"
        letter = next((letter for letter in "TGMk" if cost >= UNITS[letter]), "")
        return f"{cost / UNITS[letter]:.2f} {letter}" if letter else f"{cost:.0f}"


def read_target(given: Mapping[str, float | str]) -> Target:
    """A target as recipes state it: ``{macs: 25%}``, ``{parameters: 1.2M}``, ``{latency: 40ms}``.

    Raises:
        ValueError: If it has not exactly one of the three keys, or the value is no positive number.
    """
    if len(given) != 1:
        raise ValueError(f"target: {dict(given)!r}; give one of {', '.join(KINDS)}, as in `target: {{macs: 25%}}`.")
    ((name, value),) = given.items()
    kind: Kind | None = next((one for one in KINDS if one == name), None)
    if kind is None:
        raise ValueError(f"target: there is no {name!r}; {suggest(str(name), KINDS)}")
    text = str(value).strip()
    units = {"%": 0.01, **(SECONDS if kind == "latency" else UNITS)}
    found = re.fullmatch(r"(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)\s*([%a-zA-Z]*)", text)
    if found is None or found[2] not in units or isinstance(value, bool) or not float(found[1]) > 0:
        example = "25%, 40ms or 0.04 (seconds)" if kind == "latency" else "25%, 1.2M or 40G"
        raise ValueError(f"target: {kind} is {value!r}; expected what is left, as in {example}.")
    return Target(kind, text, float(found[1]) * units[found[2]], found[2] == "%")
