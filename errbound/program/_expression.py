"""The strings of a torch.export archive that torch evaluates, and all that they may say.

Symbolic sizes go to ``sympy.sympify``, which calls ``eval``; guards are pasted into a function and
compiled with ``exec`` (torch 2.13: ``_export/serde/serialize.py: _parse_sym_expr``,
``export/_unlift.py: _convert_guards_code_to_fn``). Both are read here as syntax trees and must
consist of numbers, symbols, arithmetic and a fixed list of functions; nothing is evaluated.
"""

import ast
import re
from collections.abc import Callable

from errbound.program._parsers import words

_LONGEST = 20_000
_LARGEST_POWER = 64
_ALPHABET = re.compile(r"[\w ()\[\]',.=+\-*/%<>!]*")
_SYMBOL = re.compile(r"(?:s|u|zf|zuf)\d{1,6}", re.ASCII)
_DECIMAL = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.ASCII)

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_SIGNS = (ast.UAdd, ast.USub, ast.Not)
_ASSUMPTIONS = frozenset({"integer", "positive", "nonnegative", "nonzero", "real"})
_SYMPY_CONSTANTS = frozenset({"true", "false", "oo"})
_SYMPY_POWERS = frozenset({"Pow", "PowByNatural", "LShift", "RShift"})
_SYMPY_FUNCTIONS = words(
    # what sympy.srepr writes
    "Add Mul Max Min Mod Abs floor ceiling And Or Not Equality Unequality Eq Ne "
    "LessThan StrictLessThan GreaterThan StrictGreaterThan "
    # torch.utils._sympy.functions, as _export/serde/serialize.py lists them
    "FloorDiv ModularIndexing Where PythonMod CleanDiv CeilToInt FloorToInt CeilDiv FloatPow "
    "FloatTrueDiv IntTrueDiv IsNonOverlappingAndDenseIndicator TruncToFloat TruncToInt RoundToInt "
    "RoundDecimal ToFloat Identity"
)
_GUARD_FUNCTIONS = words(
    "max min abs round math.floor math.ceil math.trunc "
    "torch.sym_float torch.sym_max torch.sym_min torch._sym_sqrt"
)


def _is_symbol(text: str) -> bool:
    """Whether the text is a name that torch gives to symbolic sizes, such as ``s77`` or ``u0``."""
    return _SYMBOL.fullmatch(text) is not None


def is_symbolic_size(text: str) -> bool:
    """Whether the text is an expression of symbols, as ``sympy.srepr`` writes it.

    For example ``Mul(Integer(2), Symbol('s77', positive=True, integer=True))``.
    """
    return _parses(text, _is_sympy)


def is_guard(text: str) -> bool:
    """Whether the text is a condition on input sizes, for example ``L['x'].size()[0] > 5``."""
    return _parses(text, _is_input_size)


def _parses(text: str, leaf: Callable[[ast.expr], bool]) -> bool:
    if len(text) > _LONGEST or not _ALPHABET.fullmatch(text):
        return False
    try:
        return _is_arithmetic(ast.parse(text, mode="eval").body, leaf)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_arithmetic(node: ast.expr, leaf: Callable[[ast.expr], bool]) -> bool:
    """Whether only numbers, arithmetic and what ``leaf`` accepts occur in the tree."""
    match node:
        case ast.Constant(value=bool()):
            return True
        case ast.Constant(value=int(number)):
            return abs(number) < 2**63
        case ast.Constant(value=float(number)):
            return number - number == 0
        case ast.UnaryOp(op=op, operand=operand):
            return isinstance(op, _SIGNS) and _is_arithmetic(operand, leaf)
        case ast.BinOp(left=left, op=ast.Pow(), right=power):
            return _is_small_power(left, power) and _is_arithmetic(left, leaf)
        case ast.BinOp(left=left, op=op, right=right):
            operands = (left, right)
            return isinstance(op, _OPERATORS) and all(_is_arithmetic(x, leaf) for x in operands)
        case ast.BoolOp(values=values):
            return all(_is_arithmetic(x, leaf) for x in values)
        case ast.Compare(left=left, ops=ops, comparators=rest):
            membership = any(isinstance(op, (ast.In, ast.NotIn)) for op in ops)
            return not membership and all(_is_arithmetic(x, leaf) for x in (left, *rest))
    return leaf(node)


def _is_sympy(node: ast.expr) -> bool:
    match node:
        case ast.Name(id=name):
            return name in _SYMPY_CONSTANTS or _is_symbol(name)
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str(name))]):
            return _is_symbol(name) and all(_is_assumption(word) for word in node.keywords)
        case ast.Call(func=ast.Name(id="Integer"), args=[number], keywords=[]):
            return _integer(number) is not None and _is_arithmetic(number, _nothing)
        case ast.Call(func=ast.Name(id="Rational"), args=[over, under], keywords=[]):
            return all(_integer(number) is not None for number in (over, under))
        case ast.Call(func=ast.Name(id="Float"), args=[ast.Constant(value=str(digits))]):
            return bool(_DECIMAL.fullmatch(digits)) and all(map(_is_precision, node.keywords))
        case ast.Call(func=ast.Name(id=name), args=[base, power], keywords=[]) if (
            name in _SYMPY_POWERS
        ):
            return _is_small_power(base, power) and _is_arithmetic(base, _is_sympy)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return name in _SYMPY_FUNCTIONS and all(_is_arithmetic(x, _is_sympy) for x in args)
    return False


def _is_input_size(node: ast.expr) -> bool:
    match node:
        case ast.Subscript(
            value=ast.Call(func=ast.Attribute(value=source, attr="size"), args=[], keywords=[]),
            slice=ast.Constant(value=int()),
        ):
            return _is_input(source)
        case ast.Call(func=function, args=args, keywords=[]):
            known = ast.unparse(function) in _GUARD_FUNCTIONS
            return known and all(_is_arithmetic(x, _is_input_size) for x in args)
        case ast.Attribute():
            return ast.unparse(node) == "math.inf"
    return _is_input(node)


def _is_input(node: ast.expr) -> bool:
    """Whether the node is ``L[...]...[...]`` with names and numbers in the brackets."""
    match node:
        case ast.Subscript(value=value, slice=ast.Constant(value=key)):
            plain = key.isidentifier() if isinstance(key, str) else type(key) is int
            return plain and (_is_input(value) or _is_named(value, "L"))
    return False


def _is_small_power(base: ast.expr, power: ast.expr) -> bool:
    """Whether the power is a small number and the base no power, so that the result stays small."""
    number = _integer(power)
    towers = (
        isinstance(node, ast.Pow) or _is_named(node, *_SYMPY_POWERS) for node in ast.walk(base)
    )
    return number is not None and abs(number) <= _LARGEST_POWER and not any(towers)


def _integer(node: ast.expr) -> int | None:
    """The value of ``3``, ``-3`` or ``Integer(3)``; ``None`` for anything else."""
    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(number))):
            return -number
        case ast.Call(func=ast.Name(id="Integer"), args=[number], keywords=[]):
            return _integer(number)
    return None


def _is_assumption(word: ast.keyword) -> bool:
    value = word.value
    constant = isinstance(value, ast.Constant) and isinstance(value.value, bool)
    return word.arg in _ASSUMPTIONS and constant


def _is_precision(word: ast.keyword) -> bool:
    return word.arg == "precision" and _integer(word.value) == 53


def _is_named(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _nothing(node: ast.expr) -> bool:
    return False
