"""The public functions: ``errbound.certify``, ``errbound.export``, ``errbound.load_run``."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from errbound.arithmetic import arithmetic_named
from errbound.data import Dataset, Preprocess
from errbound.errors import InputError
from errbound.number import format_named
from errbound.program import trace
from errbound.report.files import write_whole
from errbound.report.run import Run, load_run
from errbound.session import Inputs, Progress, Session, Source, radius_of
from errbound.verdict import EFFORTS, Ties

__all__ = ["Run", "certify", "export", "load_run"]


def certify(
    model: nn.Module | ExportedProgram,
    inputs: Tensor | npt.NDArray[Any] | Dataset,
    format: str = "float16",
    arithmetic: str = "torch-cpu",
    labels: Tensor | npt.NDArray[Any] | None = None,
    output: str | None = None,
    batch_size: int | None = None,
    *,
    model16: nn.Module | ExportedProgram | None = None,
    on: str = "output",
    effort: str = "normal",
    time_limit: float | None = None,
    radius: float | Literal["pixel"] = 0.0,
    tree_height: int | None = None,
    ties: Literal["open", "first"] = "open",
    preprocess: Preprocess | None = None,
    offset: int = 0,
    limit: int | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Certify, per sample, that a 16-bit model answers as its 32-bit original.

    Args:
        model: in evaluation mode; only read: it is bit-identical afterwards.
        inputs: (N, ...), floating-point (used as binary32) or uint8 (divided by 255), or a
            :class:`errbound.data.Dataset`.
        format: of M16, as ``errbound formats`` lists them.
        arithmetic: an execution model, as ``errbound arithmetics`` lists them.
        labels: (N,) class indices, for accuracies; a data set brings its own.
        output: which output to certify if the model returns several ("0", "logits").
        batch_size: of the observed runs; kernels may depend on it. None: 256, or 32 at effort
            "max", so that an interruption loses little.
        model16: M16 is this model, with its own weights, instead of ``model`` rounded.
        on: "output", or "softmax" of it: what the certificate is about.
        effort: what follows for undecided samples: "fast" nothing, "normal" the backward pass and
            the refinement of inner nodes, "max" also the optimisation of slopes.
        time_limit: seconds per undecided sample, after which its bounds stay as they are.
        radius: certify all inputs within this distance of each sample, in every value and in the
            units of the data (of images in bytes: divided by 255), before ``preprocess``; "pixel"
            is 0.5/255. Runs, and what is called observed, are of the samples themselves.
        tree_height: assume that no sum is a tree higher than so many additions; the certificate
            says so.
        ties: "open": a sample whose outputs may be equal is not proved; "first": the first of equal
            outputs is the answer, as ``torch.argmax`` documents. The certificate says so.
        preprocess: applied in binary32, outside the program that is analysed.
        offset: first sample; ``limit``: number of samples, None for all.
        out: a run directory to write, as the command line does; ``resume`` or ``overwrite`` one.
        progress: called with (samples done, samples in all).

    Returns:
        The :class:`Run`, with ``summary``, ``verdicts``, ``samples``, ``nodes``.

    Raises:
        InputError: model, data, options or disk refuse; one line.
        ContainmentError: an observed value lies outside its enclosure.
    """
    try:
        fmt, machine = format_named(format), arithmetic_named(arithmetic)
    except KeyError as error:
        raise InputError(str(error.args[0])) from None
    if on not in ("output", "softmax"):
        raise InputError(f"on={on!r}: choose 'output' or 'softmax'")
    if effort not in EFFORTS:
        raise InputError(f"effort={effort!r}: choose {', '.join(EFFORTS)}")
    if ties not in list(Ties):
        raise InputError(f"ties={ties!r}: choose {', '.join(Ties)}")
    session = Session(
        _source(model),
        Inputs(
            dataset_of(inputs, labels),
            preprocess or Preprocess(),
            offset,
            limit,
            radius=radius_of(radius),
        ),
        fmt,
        machine,
        output,
        batch_size,
        source16=None if model16 is None else _source(model16),
        softmax=on == "softmax",
        effort=effort,
        limit=time_limit,
        tree_height=tree_height,
        ties=ties,
    )
    place = None if out is None else Path(out)
    return session.run(place, resume=resume, overwrite=overwrite, progress=progress)


def export(module: nn.Module, example: Tensor, path: str | os.PathLike[str]) -> None:
    """Write a module as a torch.export archive that ``errbound certify`` takes.

    The batch size is left free where the model's code allows it. Neither the example's values nor
    source lines, which quote file names of this machine, are kept; module paths are.

    Args:
        module: in evaluation mode; only read.
        example: one input or several, (N, ...), floating-point.
        path: of the archive; replaced as a whole or not at all.

    Raises:
        InputError: torch.export cannot trace the module, or the disk refuses.
    """
    exported = trace(module, example.new_zeros((2, *example.shape[1:])))
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    write_whole(Path(path), [buffer.getvalue()])


def _source(model: nn.Module | ExportedProgram) -> Source:
    return Source(model, "module" if isinstance(model, nn.Module) else "exported")


def dataset_of(inputs: Tensor | npt.NDArray[Any] | Dataset, labels: Any) -> Dataset:
    if isinstance(inputs, Dataset):
        if labels is not None:
            raise InputError("a data set brings its own labels: leave labels out")
        return inputs
    if isinstance(inputs, Tensor):
        inputs = inputs.detach().cpu()
        inputs = (inputs.float() if inputs.dtype is torch.bfloat16 else inputs).numpy()
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    return Dataset.from_arrays(np.asarray(inputs), None if labels is None else np.asarray(labels))
