"""``assert_certified``: enough samples are proved, or the first that is not is shown and shrunk."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from errbound.api import certify, dataset_of
from errbound.arithmetic import arithmetic_named
from errbound.data import Dataset, Preprocess
from errbound.errors import ContainmentError, InputError
from errbound.report.decimals import lower, observed, percent, upper
from errbound.report.run import Run
from errbound.report.tables import Sample
from errbound.session import Inputs
from errbound.testing.numbers import format_of
from errbound.testing.shrink import smaller
from errbound.verdict import Certifier, Escape, Verdict, pair_of

SHOWN = 12
"""Entries of a shrunk input that a message spells out."""

ADVICE = {
    Verdict.REFUTED: "the two models do give different answers here: choose a format with more "
    "bits, or accept it with at_least",
    Verdict.OVERFLOW: "the range of the format may be left: scale what comes before that node, or "
    "choose bfloat16",
    Verdict.UNDECIDED: "nothing is wrong for certain, but nothing is proved: see where intervals "
    "widen (errbound certify --out writes nodes.csv), choose a format with more bits, or accept it "
    "with at_least",
}


class NotCertified(AssertionError):
    """Fewer samples are proved than were asked.

    Attributes:
        run: the whole result.
        smallest: (...), the first failing sample made smaller, binary32, as the model takes it;
            None if it was not shrunk.
    """

    def __init__(self, message: str, run: Run, smallest: Tensor | None) -> None:
        super().__init__(message)
        self.run, self.smallest = run, smallest


def assert_certified(
    model: nn.Module | ExportedProgram,
    inputs: Tensor | npt.NDArray[Any] | Dataset,
    format: str = "float16",
    *,
    at_least: float = 1.0,
    arithmetic: str = "torch-cpu",
    output: str | None = None,
    model16: nn.Module | ExportedProgram | None = None,
    on: str = "output",
    preprocess: Preprocess | None = None,
    batch_size: int = 256,
    shrink: bool = True,
) -> Run:
    """Assert that a share of the samples is proved to get the same answer in both formats.

    Args:
        model: in evaluation mode; only read.
        inputs: (N, ...), as :func:`errbound.certify` takes them; finite.
        format: of M16.
        at_least: share of the samples that must be proved, from 0 to 1.
        arithmetic: an execution model.
        output: which output, if the model returns several.
        model16: M16 is this model instead of ``model`` rounded.
        on: "output", or "softmax" of it.
        preprocess: applied in binary32, outside the models.
        batch_size: of the observed runs.
        shrink: look for a smaller input that fails in the same way, some seconds at most.

    Returns:
        The :class:`errbound.Run`.

    Raises:
        NotCertified: an ``AssertionError``; says how many are proved and shows the first failing
            sample: verdict, margin, bounds, what to do.
        InputError: what :func:`errbound.certify` refuses; a sample with NaN or infinity; an output
            without classes.
        ContainmentError: an observed value lies outside its enclosure.
    """
    if not 0.0 <= at_least <= 1.0:
        raise InputError(f"at_least={at_least!r}: it is a share of the samples, from 0 to 1")
    data = dataset_of(inputs, None) if not isinstance(inputs, Dataset) else inputs
    run = certify(
        model,
        data,
        format,
        arithmetic,
        output=output,
        batch_size=batch_size,
        model16=model16,
        on=on,
        preprocess=preprocess,
    )
    _require_answers(run)
    if run.verdicts["proved"] / len(run) >= at_least:
        return run
    first = next(s for s in run.each_sample() if s.verdict != Verdict.PROVED)
    lines = _story(run, first, format, arithmetic, at_least)
    smallest = None
    if shrink:
        x = Inputs(data, preprocess or Preprocess()).batch(first.index, first.index + 1)[0]
        fmt, softmax = format_of(format), on == "softmax"
        pair = pair_of(model, tuple(x.shape), fmt, output, model16=model16, softmax=softmax)
        certifier = Certifier(pair.m32, pair.m16, pair.format, arithmetic_named(arithmetic))
        smallest = _shrunk(certifier, x, Verdict(first.verdict), lines)
    raise NotCertified("\n".join(lines), run, smallest)


def _require_answers(run: Run) -> None:
    if run.verdicts["domain"]:
        first = next(s for s in run.each_sample() if s.verdict == Verdict.DOMAIN)
        raise InputError(
            f"sample {first.index} holds NaN or infinity, for which nothing is claimed: take it "
            "out of the inputs"
        )
    if run.certified_fraction is None:
        raise InputError(
            "the model's output is not (samples, two or more classes), so there is no answer to "
            "certify: choose another with output=, or use errbound.certify for distances"
        )


def _story(run: Run, first: Sample, format: str, arithmetic: str, at_least: float) -> list[str]:
    counts = run.verdicts
    kinds = ("proved", "undecided", "refuted", "overflow")
    lines = [
        f"{percent(counts['proved'], len(run))} of {len(run)} samples are proved, "
        f"{100 * at_least:g} % were asked ({format} against float32, {arithmetic})",
        "  " + ", ".join(f"{kind} {counts[kind]}" for kind in kinds),
        f"first failing sample: {first.index}, {first.verdict}",
        f"  class       {first.prediction_m32} in float32, {first.prediction_m16} in {format}",
        f"  margin      {observed(first.margin)} observed; in every execution of float32 "
        f"{_bound('at least', lower(first.margin_lower))}",
        f"  difference  {observed(first.observed_delta)} observed; in every execution of both "
        f"{_bound('at most', upper(first.proved_delta))}",
        f"  lead        over the closest rival in every execution of {format} "
        f"{_bound('at least', lower(first.pairwise_lower))}; a proof needs more than 0",
    ]
    advice = ADVICE[Verdict(first.verdict)]
    if first.overflow_node:
        lines.append(f"  overflow    {first.overflow}, first at {first.overflow_node}")
        advice = ADVICE[Verdict.OVERFLOW]
    return [*lines, f"  {advice}"]


def _bound(relation: str, decimal: str) -> str:
    return "not bounded" if decimal.endswith("inf") else f"{relation} {decimal}"


def _shrunk(certifier: Certifier, x: Tensor, verdict: Verdict, lines: list[str]) -> Tensor | None:
    """A smaller input with the same verdict, and what to say of it; None if there is none."""

    def fails(batch: Tensor) -> Tensor:
        found = certifier.batch_of(batch)
        if found.escapes:
            _alarm(batch, found.escapes[0])
        return torch.tensor([v is verdict for v in found.verdict])

    small = smaller(x, fails, rows=certifier.batch or 256)
    alone = certifier.batch_of(small[None])  # kernels may depend on the batch size
    if torch.equal(small, x) or alone.verdict[0] is not verdict:
        lines.append("no smaller input with the same verdict was found")
        return None
    at = small.nonzero().tolist()
    entries = ", ".join(f"{k} = {float(small[tuple(k)])!r}" for k in at[:SHOWN])
    more = f", and {len(at) - SHOWN} more" if len(at) > SHOWN else ""
    lines.append(
        f"smallest input found that is {verdict} too: {len(at)} of {small.numel()} entries are "
        f"not 0"
    )
    lines.append(f"  {entries}{more}" if at else "  every entry is 0")
    return small


def _alarm(batch: Tensor, escape: Escape) -> NoReturn:
    """Be loud: soundness matters more than shrinking."""
    raise ContainmentError(
        f"{escape.model} {escape.node}: the value {escape.value!r} lies outside its enclosure "
        f"[{escape.lo!r}, {escape.hi!r}] for the input {batch[escape.sample].tolist()}, met while "
        "shrinking; an assumption does not hold on this machine or errbound is wrong"
    )
