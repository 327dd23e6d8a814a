"""What a training step alternates between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

Losses = dict[str, Tensor]
T = TypeVar("T")


def unique_names(terms: Iterable[tuple[str, T]]) -> dict[str, T]:
    """Losses, or other terms, by name; of those with one name the second is called ``name_2``, so that none is lost."""
    named: dict[str, T] = {}
    count: Counter[str] = Counter()
    for name, value in terms:
        count[name] += 1
        named[name if count[name] == 1 else f"{name}_{count[name]}"] = value
    return named


@dataclass(frozen=True)
class Phase:
    """One loss and the roles it updates.

    Attributes:
        loss: Maps the prepared batch to unique_names scalars; their sum is differentiated.
        updates: Roles whose parameters receive gradients and whose optimizers step.
    """

    loss: Callable[[Any], Losses]
    updates: tuple[str, ...]


@dataclass
class Role:
    """How one trainable role is optimised.

    Args:
        optimizer: Optimizer of the role's trainable parameters.
        scheduler: Learning-rate schedule, stepped after each update of the role; null keeps the rate.
        clip: Largest norm of the role's gradient; null leaves it as it is.
    """

    optimizer: OptimizerCallable
    scheduler: LRSchedulerCallable | None = None
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip: {self.clip}; above 0, or null to leave gradients as they are.")


def build(key: str, maker: Callable[[Any], T], argument: Any) -> T:
    """An optimizer of parameters, or a schedule of an optimizer.

    Raises:
        ValueError: If an option is not allowed there; begins with the recipe's key.
    """
    try:
        return maker(argument)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{key}: {error}") from error


def plain_state(state: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint keeps of a schedule's state: numbers, text, lists and tables, but no functions."""
    return {k: v for k, v in state.items() if isinstance(v, int | float | str | list | dict | bool | None)}
