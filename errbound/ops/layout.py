"""Operators that only move numbers: reshapes, slices, joins, pads. Nothing is rounded.

The first dimension is the batch everywhere: an operator that would move it is refused, because
verdicts are per sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errbound.number import NATIVE, Format, Interval, nearest
from errbound.ops._op import Array, BatchMoved, Case, Op, Refused, Step
from errbound.ops._relation import moved
from errbound.ops._shapes import both_ends


def _moving(
    name: str,
    targets: tuple[str, ...],
    meaning: str,
    call: Callable[..., Any],
    args: Callable[[int], Sequence[tuple[Any, ...]]],
    *,
    check: Callable[..., None] | None = None,
    enclose: Callable[..., Any] | None = None,
    exact: Callable[..., Any] | None = None,
    inputs: int = 1,
    shares: bool = True,
    shaped: bool = False,
) -> Op:
    """A record of an operator that moves numbers; ``args(size)``: its other arguments in tests.

    The exact meaning is the torch call itself, on the numbered positions of the input.
    """

    def renumbered(x: Any, *rest: Any, **kwargs: Any) -> Any:
        parts = list(x) if isinstance(x, list | tuple) else [x]
        sizes = [0, *np.cumsum([p.size for p in parts])]
        numbered = [
            torch.arange(sizes[i], sizes[i + 1]).reshape(tuple(p.shape))
            for i, p in enumerate(parts)
        ]
        flat = np.concatenate([p.reshape(-1) for p in parts])
        moved = call(numbered if isinstance(x, list | tuple) else numbered[0], *rest, **kwargs)
        if isinstance(moved, Tensor):
            return flat[moved.numpy()]
        return [flat[m.numpy()] for m in moved]

    def cases(g: torch.Generator, dtype: torch.dtype, size: int) -> Iterator[Case]:
        for rest in args(size):
            x = [torch.randn(3, 4, size, generator=g).to(dtype) for _ in range(inputs)]
            yield Case((x, *rest) if inputs > 1 else (x[0], *rest))

    return Op(
        name=name,
        targets=targets,
        meaning=meaning,
        rounds="never",
        lemma="proved: moving, selection_accepted",
        call=call,
        enclose=enclose or both_ends(call),
        exact=exact or renumbered,
        cases=cases,
        check=check,
        moves=True,
        relate=lambda step, out, *args, **kwargs: moved(call, out, *args, **kwargs),
        shares=shares,
        shaped=shaped,
    )


def _along(x: Any, dim: int | Sequence[int] = 0, *_: Any, **__: Any) -> None:
    """Refuse an operator that works along dimension 0; ``x`` is a tensor or a list of tensors."""
    rank = (x[0] if isinstance(x, list | tuple) else x).dim()
    for d in [dim] if isinstance(dim, int) else dim:
        if d % rank == 0:
            raise BatchMoved("it works along dimension 0, which must stay the batch")


def _check_cat(tensors: Sequence[Any], dim: int = 0) -> None:
    _along(tensors, dim)
    if not all(t.is_floating_point() for t in tensors):
        raise ValueError("it joins integers, which are rounded, with other numbers")


def _check_transpose(x: Any, first: int, second: int) -> None:
    _along(x, (first, second))


def _check_permute(x: Any, dims: Sequence[int]) -> None:
    if dims[0] % x.dim() != 0:
        raise BatchMoved("it moves dimension 0, which must stay the batch")


def _check_flatten(x: Any, start: int = 0, end: int = -1) -> None:
    if start % x.dim() == 0 and end % x.dim() != 0:
        raise BatchMoved("it flattens dimension 0, which must stay the batch; use start_dim=1")


def _check_slice(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> None:
    whole = start in (None, 0) and (end is None or end == 2**63 - 1) and step == 1
    if not whole:
        _along(x, dim)


def _check_unsqueeze(x: Any, dim: int) -> None:
    if dim % (x.dim() + 1) == 0:
        raise BatchMoved("it inserts a dimension before the batch")


def _check_parts(x: Any, size: Any, dim: int = 0) -> None:
    _along(x, dim)


def _identity(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _pad(x: Tensor, amounts: Sequence[int], mode: str = "constant", value: Any = None) -> Tensor:
    return torch.nn.functional.pad(x, list(amounts), mode, value)


def _check_pad(x: Any, amounts: Any, mode: str = "constant", value: float | None = None) -> None:
    if len(amounts) >= 2 * x.dim() and any(amounts[2 * x.dim() - 2 :]):
        raise BatchMoved("it pads dimension 0, which must stay the batch")
    if value is not None and not np.isfinite(value):
        raise ValueError("it pads with a value that is not finite")
    if value is not None and not all(_is_number(value, f) for f in NATIVE):
        raise ValueError(f"it pads with {value}, which is rounded differently in each format")


def _is_number(value: float, fmt: Format) -> bool:
    exact = torch.tensor(value, dtype=torch.float64)
    return bool(nearest(exact, fmt) == exact)


def _enclose_pad(
    step: Step, x: Interval, amounts: Any, mode: str = "constant", value: float | None = None
) -> Any:
    """Emulated storage has fewer numbers than the formats for which the value was checked."""
    if value is not None and step.storage.emulated and not _is_number(value, step.storage):
        raise Refused(f"it pads with {value}, which is no number of {step.storage.name}")
    return both_ends(_pad)(step, x, amounts, mode, value)


def _exact_pad(
    x: Array, amounts: Sequence[int], mode: str = "constant", value: Any = None
) -> Array:
    pairs = [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts), 2)]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    names = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if mode == "constant":
        above, below = float(value or 0).as_integer_ratio()
        return np.pad(x, widths, "constant", constant_values=(x.flat[0] * 0 + above) / below)
    found: Array = np.pad(x, widths, names[mode])  # type: ignore[call-overload]
    return found


FLATTEN = _moving(
    "flatten",
    ("aten.flatten.using_ints",),
    "dimensions start..end joined",
    torch.flatten,
    lambda n: [(1,), (1, 2), (2, -1)],
    check=_check_flatten,
)
RESHAPE = _moving(
    "reshape",
    ("aten.view.default", "aten.reshape.default", "aten._unsafe_view.default"),
    "the same numbers in row-major order, another shape",
    torch.reshape,
    lambda n: [([3, 4 * n],), ([3, -1],), ([3, 2, 2, n],)],
    shaped=True,
)
UNFLATTEN = _moving(
    "unflatten",
    ("aten.unflatten.int",),
    "one dimension split into several",
    torch.unflatten,
    lambda n: [(1, [2, 2])],
    check=_along,
    shaped=True,
)
PERMUTE = _moving(
    "permute",
    ("aten.permute.default",),
    "dimensions reordered, the batch first",
    torch.permute,
    lambda n: [([0, 2, 1],)],
    check=_check_permute,
)
TRANSPOSE = _moving(
    "transpose",
    ("aten.transpose.int",),
    "two dimensions swapped",
    torch.transpose,
    lambda n: [(1, 2), (-1, 1)],
    check=_check_transpose,
)
SLICE = _moving(
    "slice",
    ("aten.slice.Tensor",),
    "every step-th entry of start..end",
    torch.ops.aten.slice.Tensor,
    lambda n: [(1, 0, 3, 2), (2, 0, 2**63 - 1)],
    check=_check_slice,
)
SELECT = _moving(
    "select",
    ("aten.select.int",),
    "one entry along a dimension",
    torch.select,
    lambda n: [(1, 2), (2, -1)],
    check=_along,
)
NARROW = _moving(
    "narrow",
    ("aten.narrow.default",),
    "a run of consecutive entries along a dimension",
    torch.narrow,
    lambda n: [(1, 1, 2), (2, 0, 1)],
    check=_along,
)
CHUNK = _moving(
    "chunk",
    ("aten.chunk.default",),
    "equal parts along a dimension",
    torch.chunk,
    lambda n: [(2, 1)],
    check=_check_parts,
)
SPLIT = _moving(
    "split",
    ("aten.split.Tensor", "aten.split_with_sizes.default", "aten.split.sizes"),
    "parts along a dimension",
    torch.split,
    lambda n: [(3, 1), ([1, 3], 1)],
    check=_check_parts,
)
CAT = _moving(
    "cat",
    ("aten.cat.default", "aten.concat.default", "aten.concatenate.default"),
    "tensors joined along a dimension",
    torch.cat,
    lambda n: [(1,), (-1,)],
    check=_check_cat,
    inputs=3,
    shares=False,
)
SQUEEZE = _moving(
    "squeeze",
    ("aten.squeeze.dim", "aten.squeeze_.dim", "aten.squeeze.dims"),
    "dimensions of size 1 dropped",
    torch.squeeze,
    lambda n: [(1,)],
    check=_along,
)
UNSQUEEZE = _moving(
    "unsqueeze",
    ("aten.unsqueeze.default", "aten.unsqueeze_.default"),
    "a dimension of size 1 inserted",
    torch.unsqueeze,
    lambda n: [(1,), (-1,)],
    check=_check_unsqueeze,
)
PAD = _moving(
    "pad",
    ("aten.pad.default",),
    "rows and columns added around the last dimensions",
    _pad,
    lambda n: [([1, 2],), ([0, 1, 2, 0], "constant", 1.5), ([1, 0], "replicate")],
    check=_check_pad,
    enclose=_enclose_pad,
    exact=_exact_pad,
    shares=False,
)
CONSTANT_PAD = _moving(
    "constant_pad",
    ("aten.constant_pad_nd.default",),
    "rows and columns of one value added around the last dimensions",
    torch.constant_pad_nd,
    lambda n: [([1, 2],), ([0, 1, 2, 0], 1.5)],
    check=lambda x, amounts, value=0: _check_pad(x, amounts, "constant", value),
    enclose=lambda step, x, amounts, value=0: _enclose_pad(step, x, amounts, "constant", value),
    exact=lambda x, amounts, value=0: _exact_pad(x, amounts, "constant", value),
    shares=False,
)
CLONE = _moving(
    "clone",
    ("aten.clone.default", "aten.lift_fresh_copy.default"),
    "y = x",
    torch.clone,
    lambda n: [()],
    shares=False,
)
CONTIGUOUS = _moving(
    "contiguous",
    ("aten.contiguous.default",),
    "y = x, stored in row-major order",
    torch.ops.aten.contiguous.default,
    lambda n: [()],
)
DETACH = _moving(
    "detach",
    ("aten.detach.default", "aten.detach_.default", "aten.alias.default"),
    "y = x",
    _identity,
    lambda n: [()],
)

OPS = (
    FLATTEN,
    RESHAPE,
    UNFLATTEN,
    PERMUTE,
    TRANSPOSE,
    SLICE,
    SELECT,
    NARROW,
    CHUNK,
    SPLIT,
    CAT,
    SQUEEZE,
    UNSQUEEZE,
    PAD,
    CONSTANT_PAD,
    CLONE,
    CONTIGUOUS,
    DETACH,
)
