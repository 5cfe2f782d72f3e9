"""The arithmetic that GSM8K's solutions annotate, `<<48/2=24>>`, checked step by step. Plain Python.

This is the correctness of each calculation, not of the reasoning: a right sum of the wrong numbers counts as right.
"""

from __future__ import annotations

import ast
import operator
import re
from fractions import Fraction

_STEP = re.compile(r"<<([^<>=\n]{1,80})=([^<>=\n]{1,40})>>")
_NUMBER = re.compile(r"\d[\d,]*\.?\d*|\.\d+")
_OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
_MOST_DIGITS = 12  # longer numbers are no school arithmetic, and cost time
# GSM8K rounds results such as 1/3 to the cent.
_ROUNDING = Fraction(1, 200)


def right_steps(text: str) -> list[bool]:
    """Return for each annotated calculation of a solution whether its result is right."""
    return [_is_right(calculation, result) for calculation, result in _STEP.findall(text)]


def _is_right(calculation: str, result: str) -> bool:
    try:
        difference = _value(calculation) - _value(result)
    except (ValueError, SyntaxError, ZeroDivisionError, RecursionError, MemoryError):
        return False
    return abs(difference) <= _ROUNDING


def _value(text: str) -> Fraction:
    """Return the exact value of sums, differences, products and quotients of numbers.

    Raises:
        ValueError, SyntaxError, ZeroDivisionError: it is none.
    """
    plain = text.replace("$", "").replace("×", "*").replace("x", "*").replace("%", "/100").strip()
    if any(len(number) > _MOST_DIGITS for number in _NUMBER.findall(plain)):
        raise ValueError("a number is too long")
    without_commas = _NUMBER.sub(lambda number: number[0].replace(",", "").lstrip("0") or "0", plain)
    return _of(ast.parse(without_commas, mode="eval").body)


def _of(node: ast.AST) -> Fraction:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_of(node.left), _of(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_of(node.operand)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Fraction(str(node.value))
    raise ValueError("is no arithmetic")
