"""The folder ``proofs/`` as text: what is stated where."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROOFS = ROOT / "proofs"

_COMMENT = re.compile(r"\(\*|\*\)")
_NAMED = re.compile(
    r"^\s*(?:Theorem|Lemma|Corollary|Definition|Fixpoint|Inductive|Record)\s+(\w+)", re.MULTILINE
)


def files() -> list[Path]:
    """The files of the theory, in reading order."""
    lines = (PROOFS / "_CoqProject").read_text().splitlines()
    return [PROOFS / line for line in lines if line.endswith(".v")]


def code(path: Path) -> str:
    """A file without its comments, which Coq nests."""
    kept, depth, at = [], 0, 0
    text = path.read_text()
    for mark in _COMMENT.finditer(text):
        if depth == 0:
            kept.append(text[at : mark.start()])
        depth += 1 if mark.group() == "(*" else -1
        at = mark.end()
    return "".join([*kept, text[at:]])


def names(path: Path) -> set[str]:
    """What a file states or defines."""
    return set(_NAMED.findall(code(path)))
