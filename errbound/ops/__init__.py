"""Operators: one record each. A file here that defines ``OPS`` is found by itself."""

from importlib import import_module
from pkgutil import iter_modules

from errbound.ops._op import BatchMoved, Case, Constant, Op, Operand, Refused, Step, Terms
from errbound.ops._perform import perform
from errbound.ops._relation import Centred, Functionals, Pull, Relation

_FAMILIES = sorted(m.name for m in iter_modules(__path__) if not m.name.startswith("_"))

OPS: tuple[Op, ...] = tuple(
    op for family in _FAMILIES for op in import_module(f"{__name__}.{family}").OPS
)
BY_TARGET: dict[str, Op] = {target: op for op in OPS for target in op.targets}

__all__ = [
    "BY_TARGET",
    "OPS",
    "BatchMoved",
    "Case",
    "Centred",
    "Constant",
    "Functionals",
    "Op",
    "Operand",
    "Pull",
    "Refused",
    "Relation",
    "Step",
    "Terms",
    "perform",
]
