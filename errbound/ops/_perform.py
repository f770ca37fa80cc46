"""How one operator is executed under an arithmetic: by torch's kernel, or emulated exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.arithmetic import Arithmetic
from errbound.number import Format, nearest, stored
from errbound.ops._op import Op

TERMS = 2**24
"""Emulated sums are formed for about this many terms at a time, to bound memory."""


def perform(
    op: Op,
    arithmetic: Arithmetic,
    storage: Format | None,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """One execution of ``op`` on stored tensors; the result is held in ``storage.dtype``.

    Args:
        op: the operator.
        arithmetic: decides whether torch's kernel runs or an exact emulation.
        storage: format of the output; None where it is no floating-point number.
        args: as the record's ``call`` takes them; activations first dimension is the batch.
        kwargs: likewise.
    """
    if storage is None or op.moves:
        return op.call(*args, **kwargs)
    if arithmetic.emulated:
        return stored(_rounding_each(op, storage, args, kwargs), storage)
    value = op.call(*args, **kwargs)
    return stored(value, storage) if storage.emulated else value


def _rounding_each(op: Op, fmt: Format, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """Every single operation rounded to ``fmt``; binary64, computed without torch's own kernels.

    A binary64 operation +, -, *, / or root on two numbers of ``fmt``, then rounded, is one rounding
    (Figueroa 1995); a binary64 elementary function errs by less than 2^-45 relative, so that its
    rounding is the correct one except for arguments that no format meets but by accident.
    """
    fl = partial(nearest, fmt=fmt)
    if op.emulate is not None:
        found: Tensor = op.emulate(fl, *_wide(args, None), **_wide(kwargs, None))
        return found
    if op.terms is not None:
        return _in_order(op, fmt, _wide(args, None), _wide(kwargs, None))
    result: Tensor = op.call(*_wide(args, fl), **_wide(kwargs, fl))
    return result.double()


def _in_order(op: Op, fmt: Format, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tensor:
    """Products rounded, added one by one in the order of the weights, the bias last."""
    assert op.terms is not None
    x, rest = args[0], [_array(a) for a in args[1:]]
    named = {k: _array(v) for k, v in kwargs.items()}
    first = op.terms(_array(x[:1]), *rest, **named)
    size = max(1, int(np.prod(np.broadcast_shapes(first.left.shape, first.right.shape))))
    rows = max(1, TERMS // size)
    parts = []
    for start in range(0, x.shape[0], rows):
        t = op.terms(_array(x[start : start + rows]), *rest, **named)
        total: Tensor | None = None
        for k in range(t.left.shape[-1]):
            right = t.right[..., k if t.right.shape[-1] > 1 else 0]
            product = nearest(_tensor(t.left[..., k]) * _tensor(right), fmt)
            total = product if total is None else nearest(total + product, fmt)
        if total is None:
            total = torch.zeros(t.left.shape[:-1], dtype=torch.float64)
        if t.bias is not None:
            total = nearest(total + _tensor(t.bias), fmt)
        for divisor in t.divisors:
            total = nearest(total / _tensor(divisor), fmt)
        parts.append(total)
    return torch.cat(parts)


def _wide(value: Any, fl: Any) -> Any:
    """Tensors in binary64; they and Python numbers rounded by ``fl`` if there is one.

    Stored operands stay what they are; scalars, integers and other dtypes are rounded first.
    """
    if isinstance(value, Tensor):
        if fl is None:
            return value.double() if value.is_floating_point() else value
        return fl(value.double())
    if isinstance(value, Mapping):
        return {k: _wide(v, fl) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_wide(v, fl) for v in value]
    if fl is not None and isinstance(value, int | float) and not isinstance(value, bool):
        return float(fl(torch.tensor(float(value), dtype=torch.float64)))
    return value


def _array(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value


def _tensor(value: Any) -> Tensor:
    return torch.from_numpy(np.array(value, dtype=np.float64))  # a broadcast view is read-only
