"""Verdicts: the theorem, and its application to pairs of programs and batches of samples."""

from errbound.verdict.cascade import EFFORTS
from errbound.verdict.explain import Explanation, NodeWidth, explain
from errbound.verdict.issue import Batch, Certifier, Overflow, Verdict
from errbound.verdict.pair import Pair, pair_of
from errbound.verdict.shadow import Shadowed, Shadower
from errbound.verdict.theorem import Bounds, Ties, bounds
from errbound.verdict.watch import Escape, NodeSummary

__all__ = [
    "EFFORTS",
    "Batch",
    "Bounds",
    "Certifier",
    "Escape",
    "Explanation",
    "NodeSummary",
    "NodeWidth",
    "Overflow",
    "Pair",
    "Shadowed",
    "Shadower",
    "Ties",
    "Verdict",
    "bounds",
    "explain",
    "pair_of",
]
