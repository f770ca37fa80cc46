"""Hypothesis strategies of numbers and tensors of a format."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor

from errbound.errors import InputError
from errbound.number import Format, format_named, stored
from errbound.testing.rounding import rounding

Shape = tuple[int, ...]


def format_of(format: str | Format) -> Format:
    """The format itself, or the one of this name. Raises ``InputError`` that lists the names."""
    if isinstance(format, Format):
        return format
    try:
        return format_named(format)
    except KeyError as error:
        raise InputError(str(error.args[0])) from None


def number_at(place: int, fmt: Format) -> float:
    """The number ``place`` steps above 0, below if negative; neighbours differ by one place."""
    exponent, significand = divmod(abs(place), 1 << (fmt.precision - 1))
    if exponent:
        significand += 1 << (fmt.precision - 1)
    size = math.ldexp(significand, fmt.emin - fmt.precision + max(exponent, 1))
    return -size if place < 0 else size


def place_of(value: float, fmt: Format) -> int:
    """The inverse of ``number_at``; both zeros are at 0."""
    exponent = max(math.frexp(value)[1] - 1, fmt.emin) if value else fmt.emin
    significand = int(math.ldexp(abs(value), fmt.precision - 1 - exponent))
    place = ((exponent - fmt.emin) << (fmt.precision - 1)) + significand
    return -place if value < 0 else place


def numbers(format: str | Format) -> st.SearchStrategy[float]:
    """Finite numbers of a format, as Python floats; the ones that hurt are frequent.

    Numbers about 1 and of any size; zeros of both signs; subnormals; powers of two and their
    neighbours; ties, that is midpoints of coarser formats; the ends of the range; any number.
    Shrinks to 0 or, if they will do, to small integers.

    Args:
        format: a format or its name ("float16", "bfloat16", ...).

    Raises:
        InputError: no format has this name.
    """
    fmt = format_of(format)
    fl, top = rounding(fmt), place_of(fmt.max_finite, fmt)
    width: Literal[16, 32, 64] = 16 if fmt.emin >= -14 else 32 if fmt.emin >= -126 else 64

    def number(x: float, kind: Kind) -> float:
        place = place_of(abs(float(fl(np.array(x)))), fmt)
        return math.copysign(number_at(abs(min(kind(place), top)), fmt), x)

    plain = st.floats(-fmt.max_finite, fmt.max_finite, width=width)
    return st.builds(number, plain, st.sampled_from(_kinds(fmt)))


Kind = Callable[[int], int]


def _kinds(fmt: Format) -> list[Kind]:
    """What is made of the place of a number: itself first, then numbers that hurt.

    Most stay close to it, so that what fails because of its size still fails without them.
    """
    p = fmt.precision
    fraction = p - 1  # bits of a place below the exponent

    def power(step: int) -> Kind:
        return lambda k: (k >> fraction << fraction) + step

    def tie(bits: int) -> Kind:
        """Halfway between two neighbours of ``bits`` bits: a last bit, and zeros after it."""
        rest = p - bits
        return lambda k: (k >> rest << rest) | (1 << (rest - 1))

    def unit(k: int) -> int:
        """From 1/8 to 2."""
        exponent = (k >> fraction) % 4 - 2 - fmt.emin
        return exponent << fraction | subnormal(k)

    def subnormal(k: int) -> int:
        return k % (1 << fraction)

    def neighbour(step: int) -> Kind:
        return lambda k: k + step

    steps = (0, -1, 1)
    return [
        *[lambda k: k] * p,
        *[unit] * p,
        *[power(step) for step in steps],
        *[tie(bits) for bits in range(1, p)],
        *[subnormal] * 3,
        *[neighbour(step) for step in steps],
    ]


def tensors(
    format: str | Format,
    shape: int | Shape | st.SearchStrategy[Shape],
    elements: st.SearchStrategy[float] | None = None,
) -> st.SearchStrategy[Tensor]:
    """Tensors of a format, in the dtype that holds it; shrinks to zeros, then to simple numbers.

    In a large tensor a few entries are drawn and the others are equal, often 0.

    Args:
        format: a format or its name; ``tensors("float32", ...)`` are inputs of a model.
        shape: of the tensors, or a strategy of shapes (``hypothesis.extra.numpy.array_shapes``).
        elements: of the entries, as Python floats; ``numbers(format)`` unless told.

    Raises:
        InputError: no format has this name; when drawn: an element is not a number of the format.
    """
    fmt = format_of(format)
    entries = numbers(fmt) if elements is None else elements

    def convert(values: np.ndarray[Any, np.dtype[np.float64]]) -> Tensor:
        exact = torch.from_numpy(values)
        found = stored(exact, fmt)
        found = torch.copysign(found, exact.to(found.dtype))
        wrong = found.double() != exact
        if bool(wrong.any()):
            value = float(exact[wrong][0])
            raise InputError(
                f"elements gave {value!r}, not a number of {fmt.name}: "
                f"give numbers({fmt.name!r}), filtered or mapped, or floats of its width"
            )
        return found

    fills = [entries] if elements is not None else [st.just(0.0), entries]
    drawn = [arrays.arrays(np.float64, shape, elements=entries, fill=fill) for fill in fills]
    return st.one_of(drawn).map(convert)
