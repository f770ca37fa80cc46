"""Tables of formats, arithmetics and operators, made from the records, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from errbound.arithmetic import ARITHMETICS, Arithmetic
from errbound.number import FORMATS, Format
from errbound.ops import OPS, Op


def formats() -> str:
    """One row per format."""
    head = ("format", "also", "p", "u", "emin", "emax", "largest", "smallest", "overflow", "torch")
    return _table(head, (_format(f) for f in FORMATS))


def _format(f: Format) -> Sequence[str]:
    kernels = "emulated" if f.emulated else "native"
    numbers = (f.precision, f"2^-{f.precision}", f.emin, f.emax)
    sizes = (f"{f.max_finite:.6g}", f"{2 * f.eta:.6g}")
    return (_code(f.name), f.alias, *map(str, numbers), *sizes, f"to {f.overflow}", kernels)


def sums() -> str:
    """How each arithmetic adds up products of two numbers of each format."""
    head = ("arithmetic", "storage", "partial sums", "an addition errs by", "a product errs by")
    return _table(head, (_sum(a, f) for a in ARITHMETICS for f in FORMATS))


def _sum(a: Arithmetic, f: Format) -> Sequence[str]:
    s = a.sums[f.name]
    addition = _error(s.addition, s.addition_absolute)
    product = _error(s.product, s.product_absolute)
    return (_code(a.name), f.alias, s.accumulator.alias, addition, product)


def _error(relative: float, absolute: float) -> str:
    parts = [f"{_power(relative)} relative"] if relative else []
    return " and ".join(parts + ([f"{_power(absolute)} absolute"] if absolute else [])) or "nothing"


def arithmetics() -> str:
    """Each arithmetic with everything that it assumes."""
    return "\n\n".join(map(_arithmetic, ARITHMETICS))


def _arithmetic(a: Arithmetic) -> str:
    if a.emulated:
        observed, probed = "emulated exactly", "there are none"
    else:
        observed = f"torch's kernels on {a.device}"
        probed = "yes" if a.probed else "**no**"
    lines = [
        f"### {a.name}",
        f"{a.summary}.",
        f"Observed values: {observed}. Sentences confronted with kernels: {probed}.",
        "\n".join(f"- {sentence}" for sentence in a.assumptions),
    ]
    return "\n\n".join(lines)


def rounding_operators() -> str:
    """Operators that compute."""
    return _operators(op for op in OPS if op.rounds != "never")


def moving_operators() -> str:
    """Operators that only move, select or compare stored numbers, or handle sizes."""
    return _operators(op for op in OPS if op.rounds == "never")


def _operators(ops: Iterable[Op]) -> str:
    head = ("operator", "exact meaning", "where it rounds", "why its enclosure holds", "domain")
    return _table(head, (_operator(op) for op in sorted(ops, key=lambda op: op.name)))


def _operator(op: Op) -> Sequence[str]:
    name = f"**{op.name}**<br>" + "<br>".join(map(_code, op.targets))
    return (name, op.meaning, op.rounds, op.lemma, op.domain)


def _power(x: float) -> str:
    """A power of two as such."""
    exponent = x.hex().partition("p")[2]
    return f"2^{int(exponent)}" if x == 2.0 ** int(exponent) else f"{x:.6g}"


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(c) for c in row)} |" for row in lines)


def _cell(text: str) -> str:
    """Text as it is: "*" and "_" stress nothing outside code, "|" ends no cell."""
    if text.startswith(("**", "`")):
        return text
    for sign in "\\*_|<":
        text = text.replace(sign, f"&#{ord(sign)};")
    return text


TABLES: dict[str, Callable[[], str]] = {
    "formats": formats,
    "sums": sums,
    "arithmetics": arithmetics,
    "rounding-operators": rounding_operators,
    "moving-operators": moving_operators,
}
"""What a page may ask for."""
