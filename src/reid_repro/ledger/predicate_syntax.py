"""The language of the predicates: which part of Python's expressions they may use.

A predicate is parsed, never compiled or run: what is not in the whitelist is named with its place.
"""

from __future__ import annotations

import ast
from functools import lru_cache

from reid_repro.ledger.predicate_functions import FUNCTIONS, METHODS
from reid_repro.ledger.predicate_types import PredicateError

EVIDENCE = ("m", "col", "others", "f", "test", "stat")
TESTS = ("near", "gain")
QUANTIFIERS = ("all", "any")
NAMES = frozenset({*EVIDENCE, *TESTS, *QUANTIFIERS, *FUNCTIONS, "TOL"})

LENGTH = 4_000  # characters of a predicate
SHOWN = 70  # characters of it in a message

NODES = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.UAdd,
    ast.BinOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Pow,
    ast.Compare,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.Eq,
    ast.NotEq,
    ast.In,
    ast.NotIn,
    ast.Call,
    ast.keyword,
    ast.Name,
    ast.Load,
    ast.Store,
    ast.Constant,
    ast.Tuple,
    ast.List,
    ast.Subscript,
    ast.Slice,
    ast.Attribute,
    ast.GeneratorExp,
    ast.ListComp,
    ast.comprehension,
    ast.Lambda,
    ast.arguments,
    ast.arg,
    ast.IfExp,
    ast.JoinedStr,
    ast.FormattedValue,
)


def problem(predicate: str, node: ast.AST | None, what: str) -> PredicateError:
    """The error that names a place of a predicate: its text there, or the column."""
    shown = predicate if len(predicate) <= SHOWN else predicate[: SHOWN - 3] + "..."
    column = getattr(node, "col_offset", None)
    place = "" if column is None else f", column {column + 1}"
    return PredicateError(f"predicate `{shown}`{place}: {what}")


@lru_cache(maxsize=1024)
def parsed(predicate: str) -> ast.expr:
    """The syntax tree of a predicate; PredicateError where it is not of the language."""
    if len(predicate) > LENGTH:
        raise problem(predicate, None, f"longer than {LENGTH} characters")
    try:
        tree = ast.parse(predicate, mode="eval")
    except SyntaxError as error:
        place = ast.Constant(0, col_offset=max((error.offset or 1) - 1, 0))
        raise problem(predicate, place, f"not an expression ({error.msg})") from None
    except (RecursionError, MemoryError):
        raise problem(predicate, None, "nested too deeply") from None
    except ValueError as error:  # a null byte
        raise problem(predicate, None, str(error)) from None
    for node in ast.walk(tree):
        if complaint := _complaint(node):
            raise problem(predicate, node, complaint)
    _check_names(predicate, tree)
    return tree.body


def _complaint(node: ast.AST) -> str:
    """What is wrong with a node by itself; empty if nothing is."""
    if not isinstance(node, NODES):
        return f"{type(node).__name__} is not allowed in a predicate"
    if isinstance(node, ast.Constant) and not isinstance(node.value, str | int | float | None):
        return f"{type(node.value).__name__} is not allowed in a predicate"
    if isinstance(node, ast.Attribute) and node.attr not in METHODS:
        return f"'.{node.attr}' is not allowed; known: .{', .'.join(METHODS)}"
    if isinstance(node, ast.comprehension) and node.is_async:
        return "async is not allowed in a predicate"
    if isinstance(node, ast.FormattedValue) and (node.format_spec or node.conversion != -1):
        return "a format in an f-string is not allowed"
    if isinstance(node, ast.keyword) and node.arg is None:
        return "** is not allowed in a predicate"
    if isinstance(node, ast.Lambda) and _is_fancy(node.args):
        return "a lambda takes plain arguments alone"
    if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name | ast.Lambda):
        if not isinstance(node.func, ast.Attribute):
            return "only named functions and lambdas are called"
        if node.args or node.keywords:
            return f".{node.func.attr}() takes no arguments"
    return ""


def _is_fancy(arguments: ast.arguments) -> bool:
    more = (arguments.posonlyargs, arguments.kwonlyargs, arguments.defaults, arguments.kw_defaults)
    return any(more) or bool(arguments.vararg or arguments.kwarg)


def _check_names(predicate: str, tree: ast.Expression) -> None:
    """Every name is a function, or bound by a comprehension or a lambda; none is rebound."""
    called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
    bound: set[str] = set()
    for node in ast.walk(tree):
        stored = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        name = node.id if isinstance(node, ast.Name) and stored else getattr(node, "arg", None)
        if isinstance(node, ast.arg) or stored:
            if name in NAMES:
                raise problem(predicate, node, f"'{name}' is a function, no name for a value")
            bound.add(str(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id not in NAMES | bound:
                known = ", ".join(sorted(NAMES))
                raise problem(predicate, node, f"unknown name '{node.id}'; known: {known}")
            if node.id in NAMES - {"TOL"} and id(node) not in called:
                raise problem(predicate, node, f"'{node.id}' is a function: call it")
        if isinstance(node, ast.Attribute) and id(node) not in called:
            raise problem(predicate, node, f"'.{node.attr}' is a function: call it")
