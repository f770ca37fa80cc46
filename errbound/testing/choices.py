"""Who makes the choices of a random program: a seed, or hypothesis, which shrinks them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

Shape = tuple[int, ...]
"""Shape of one sample: (F,), (T, F) or (C, H, W)."""


class Choices:
    """What blocks draw from. A subclass chooses integers; all else follows.

    Attributes:
        unit: the size of activations.
        sharp: the first sum is to have operands from ``values.edges``.
        values: nested lists of numbers of the format, of a given shape.
    """

    unit: float = 1.0
    sharp: bool = False
    values: Callable[[Shape], Any]

    def integer(self, low: int, high: int) -> int:
        """One of low, ..., high."""
        raise NotImplementedError

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, the first one being the simplest."""
        return options[self.integer(0, len(options) - 1)]

    def chance(self, p: float) -> bool:
        """True with probability ``p``, to a hundredth."""
        return self.integer(0, 99) < 100 * p


class Seeded(Choices):
    """Choices from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        """As the seed has it."""
        return self.random.randint(low, high)


class Drawn(Choices):
    """Choices from hypothesis. ``source`` is the ``draw`` of a composite strategy."""

    def __init__(self, source: Callable[[st.SearchStrategy[int]], int]) -> None:
        self.source = source

    def integer(self, low: int, high: int) -> int:
        """As hypothesis has it; shrinks to ``low``."""
        return self.source(st.integers(low, high))
