"""Verdicts: the theorem, and its application to pairs of programs and batches of samples."""

from errbound.verdict.issue import Batch, Certifier, Overflow, Verdict
from errbound.verdict.pair import Pair, pair_of
from errbound.verdict.theorem import Bounds, bounds
from errbound.verdict.watch import Escape, NodeSummary

__all__ = [
    "Batch",
    "Bounds",
    "Certifier",
    "Escape",
    "NodeSummary",
    "Overflow",
    "Pair",
    "Verdict",
    "bounds",
    "pair_of",
]
