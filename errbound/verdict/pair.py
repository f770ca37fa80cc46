"""From one model to two programs: M32 and M16, and what the conversion did."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from errbound.errors import InputError
from errbound.number import BINARY32, BY_DTYPE, Format
from errbound.ops import BY_TARGET
from errbound.program import Program, freeze, program_of


@dataclass(frozen=True)
class Pair:
    """The two programs that are compared.

    Attributes:
        m32: the 32-bit program; ``m16``: weights, buffers and input rounded to ``format``.
        format: the 16-bit format.
        notes: what a reader of the result must know of the conversion, one sentence each.
    """

    m32: Program
    m16: Program
    format: Format
    notes: tuple[str, ...]


def pair_of(
    model: nn.Module | ExportedProgram,
    shape: tuple[int, ...],
    fmt: Format,
    output: str | None = None,
    *,
    model16: nn.Module | ExportedProgram | None = None,
    softmax: bool = False,
) -> Pair:
    """Make M32 and M16 of a model, which is only read.

    A module is traced twice, once as binary32 and once as ``deepcopy(module).to(fmt.dtype)``; an
    exported program is frozen and its tensors are rounded. Models stored in 16 bits are widened,
    which is exact, so that rounding gives their own weights back; binary64 is rounded to binary32.
    Formats without kernels of their own are emulated: their M16 is the binary32 program, rounded.

    Args:
        model: in evaluation mode, one floating-point dtype.
        shape: of one sample.
        fmt: the 16-bit format.
        output: path of the output to certify where the model has several ("0", "logits").
        model16: M16 is made of this model instead: its own weights, perhaps another graph.
        softmax: certify softmax of the output, over its last dimension, each in its own format.

    Raises:
        InputError: the model cannot be traced, mixes dtypes, holds NaN or infinity, has no such
            output, or is not (yet) covered; one line.
    """
    if fmt is BINARY32:
        raise InputError("float32 is the reference: choose a narrower format")
    m32, m16, stored = _programs(model, shape, fmt)
    notes = [*_storage_notes(stored), *_output_notes(m32, output)]
    if model16 is not None:
        _, m16, stored16 = _programs(model16, shape, fmt)
        if stored16 not in (fmt.dtype, torch.float32):
            name = str(stored16).removeprefix("torch.")
            notes.append(f"M16: the weights are stored in {name} and were rounded to {fmt.name}")
    notes += _weight_notes(None if model16 is not None else m32, m16, fmt)
    m32 = m32.select(output or next(iter(m32.outputs)))
    m16 = m16.select(_same_output(m32, m16, output))
    if softmax:
        m32, m16 = (p.followed_by(BY_TARGET["aten.softmax.int"], -1) for p in (m32, m16))
        notes.append("softmax is appended to both programs: the certificate is about probabilities")
    return Pair(m32, m16, fmt, tuple(notes))


def _same_output(m32: Program, m16: Program, output: str | None) -> str:
    """The output of M16 that is compared: of the same name, or the only one where both have one."""
    name = output or next(iter(m32.outputs))
    if len(m32.outputs) == len(m16.outputs) == 1:
        name = next(iter(m16.outputs))
    if name not in m16.outputs:
        raise InputError(
            f"M32's output {name!r} has no counterpart in M16, whose outputs are: "
            f"{', '.join(m16.outputs)}; choose one of both with --output"
        )
    return name


def _programs(
    model: nn.Module | ExportedProgram, shape: tuple[int, ...], fmt: Format
) -> tuple[Program, Program, torch.dtype]:
    """M32 and M16 of one model, and the dtype that it is stored in."""
    if isinstance(model, nn.Module):
        stored = _one_dtype([*model.parameters(), *model.buffers()])
        wide = _copied(model).float()
        example = torch.zeros(2, *shape)
        m32, m16 = (program_of(wide, example, f.dtype) for f in (BINARY32, fmt))
        return _finite(m32), m16.cast(fmt) if fmt.emulated else m16, stored
    frozen = freeze(model)
    stored = _one_dtype(
        [t for k, t in frozen.constants.items() if k not in frozen.lifted],
        frozen.input_dtype,
    )
    m32 = frozen if stored is torch.float32 else frozen.cast(BINARY32)
    return _finite(m32), m32.cast(fmt), stored


def _finite(m32: Program) -> Program:
    for name, tensor in m32.constants.items():
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(f"the model's {name} holds NaN or infinity in binary32")
    return m32


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever the model's own attributes raise
        reason = " ".join(str(error).split())
        raise InputError(f"the model cannot be copied ({type(error).__name__}: {reason})") from None


def _one_dtype(tensors: Iterable[Tensor], start: torch.dtype | None = None) -> torch.dtype:
    """The one floating-point dtype of the tensors; binary32 if there are none."""
    found = {t.dtype for t in tensors if t.is_floating_point() or t.is_complex()}
    found |= {start} if start is not None else set()
    if len(found) > 1:
        names = ", ".join(sorted(str(d).removeprefix("torch.") for d in found))
        raise InputError(f"the model mixes {names}: convert it to one floating-point dtype first")
    dtype = found.pop() if found else torch.float32
    if dtype not in BY_DTYPE and dtype is not torch.float64:
        known = ", ".join([*(f.name for f in BY_DTYPE.values()), "float64"])
        raise InputError(f"the model is stored in {dtype}; errbound takes {known}")
    return dtype


def _storage_notes(stored: torch.dtype) -> Iterable[str]:
    if stored is torch.float64:
        yield "the weights are stored in float64 and were rounded to float32 for M32"
    elif stored is not torch.float32:
        yield f"the weights are stored in {BY_DTYPE[stored].name}; M32 is their exact widening"


def _weight_notes(m32: Program | None, m16: Program, fmt: Format) -> Iterable[str]:
    """What rounding did to the weights; without M32 those are M16's own."""
    if m32 is None:
        yield "M16 is a model of its own, not M32 rounded"
    else:
        pairs = [(m32.constants[k], m16.constants[k]) for k in m16.constants if k in m32.constants]
        if pairs and all(torch.equal(a.double(), b.double()) for a, b in pairs):
            yield f"weight rounding is zero: every weight is a {fmt.name} number"
    over = [k for k, t in m16.constants.items() if not bool(torch.isfinite(t).all())]
    if over:
        yield f"weights overflow in {fmt.name}: {', '.join(over)}"


def _output_notes(m32: Program, output: str | None) -> Iterable[str]:
    if output is None and len(m32.outputs) > 1:
        first, *_ = m32.outputs
        yield f"of the outputs {', '.join(m32.outputs)} the first, {first}, is certified"
