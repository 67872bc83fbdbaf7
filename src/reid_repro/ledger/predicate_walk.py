"""The numbers, texts and lists of a predicate: the walker for everything that is no condition."""

from __future__ import annotations

import ast
import inspect
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from reid_repro.ledger.predicate_evidence import Asked
from reid_repro.ledger.predicate_functions import FUNCTIONS, METHODS, items_of, kind, number
from reid_repro.ledger.predicate_logic import Missing, Truth, reasons_of
from reid_repro.ledger.predicate_syntax import EVIDENCE, problem
from reid_repro.ledger.predicate_types import Evidence, PredicateError
from reid_repro.ledger.value import Value, joined

STEPS = 50_000  # nodes visited; the largest predicate of the five papers visits 1,500
DEPTH = 100
TEXT = 1_000  # characters of a text that a predicate makes
WHOLE = 2**53  # integers up to here are exact in a float
EXPONENT = 16

Scope = Mapping[str, Any]

OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


class Walker(ABC):
    """Evaluates the nodes of one predicate over one evidence; conditions are left to a subclass."""

    def __init__(self, predicate: str, evidence: Evidence) -> None:
        self.predicate = predicate
        self.asked = Asked(evidence)
        self._steps = 0
        self._depth = 0
        self._visits: dict[type[ast.AST], Callable[[Any, Scope], Any]] = {
            ast.Constant: lambda node, _: node.value,
            ast.Name: self._name,
            ast.Tuple: lambda node, scope: tuple(self.value(one, scope) for one in node.elts),
            ast.List: lambda node, scope: [self.value(one, scope) for one in node.elts],
            ast.JoinedStr: self._f_string,
            ast.BinOp: self._operation,
            ast.UnaryOp: self._sign,
            ast.Subscript: self._subscript,
            ast.GeneratorExp: self._comprehension,
            ast.ListComp: self._comprehension,
            ast.Lambda: lambda node, scope: _Function(node, scope),
            ast.IfExp: self._choice,
            ast.Call: self._call,
            ast.Compare: self.condition,
            ast.BoolOp: self.condition,
        }

    @abstractmethod
    def condition(self, node: ast.expr, scope: Scope) -> Truth:
        """A node as a condition; its elementary tests are recorded."""

    @abstractmethod
    def test_call(self, node: ast.Call, scope: Scope) -> Truth:
        """A call of all, any, near, gain or test."""

    @abstractmethod
    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Conditions in here decide what is read or counted; they are no tests of the claim."""

    def value(self, node: ast.expr, scope: Scope) -> Any:
        """What a node is worth: a number, Value, text, list, condition, or missing."""
        with self.level(node):
            return self._visits[type(node)](node, scope)

    @contextmanager
    def level(self, node: ast.expr) -> Iterator[None]:
        """A step, one level deeper; PredicateError where that is more than any claim needs.

        What goes wrong in here is named with the innermost node's place.
        """
        self._steps += 1
        self._depth += 1
        if self._steps > STEPS:
            raise self.problem(node, f"more than {STEPS} steps")
        if self._depth > DEPTH:
            raise self.problem(node, f"nested more than {DEPTH} levels deep")
        try:
            yield
        except (TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise self.problem(node, _message(error)) from error
        finally:
            self._depth -= 1

    def plain(self, node: ast.expr, scope: Scope) -> str | int | float | None:
        """The text or number of a node that asks no evidence and whose names are bound."""
        inner = list(ast.walk(node))
        names = {one.id for one in inner if isinstance(one, ast.Name)}
        if any(isinstance(one, ast.Call) for one in inner) or not names <= scope.keys():
            return None
        found = self.value(node, scope)
        return found if isinstance(found, str | int | float) else None

    def problem(self, node: ast.AST, what: str) -> PredicateError:
        """The error that names a node's place."""
        return problem(self.predicate, node, what)

    def _name(self, node: ast.Name, scope: Scope) -> Any:
        if node.id not in scope:
            raise self.problem(node, f"'{node.id}' has no value here")
        return scope[node.id]

    def _f_string(self, node: ast.JoinedStr, scope: Scope) -> str:
        parts = []
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            found = self.value(inner, scope)
            if not isinstance(found, str | int | float):
                raise self.problem(inner, f"{kind(found)} in a text")
            parts.append(str(found))
        return self._short(node, "".join(parts))

    def _short(self, node: ast.expr, text: str) -> str:
        if len(text) > TEXT:
            raise self.problem(node, f"a text of more than {TEXT} characters")
        return text

    def _operation(self, node: ast.BinOp, scope: Scope) -> Any:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        if isinstance(left, str) and isinstance(right, str) and isinstance(node.op, ast.Add):
            return self._short(node, left + right)
        if missing := reasons_of([left, right]):
            return Missing(missing)
        left, right = number(left), number(right)
        if isinstance(node.op, ast.Pow):
            return self._power(node, left, right)
        return self._bounded(node, OPERATIONS[type(node.op)](left, right))

    def _power(self, node: ast.BinOp, base: Any, exponent: Any) -> Any:
        if not isinstance(exponent, int | float) or abs(exponent) > EXPONENT:
            raise self.problem(node, f"an exponent is a number from -{EXPONENT} to {EXPONENT}")
        if isinstance(base, Value):
            return joined(np.power, base, float(exponent))
        result = float(base) ** exponent
        if isinstance(result, complex):
            raise self.problem(node, "a root of a negative number")
        return result

    def _bounded(self, node: ast.expr, found: Any) -> Any:
        if isinstance(found, int) and abs(found) > WHOLE:
            raise self.problem(node, f"a whole number beyond {WHOLE}")
        return found

    def _sign(self, node: ast.UnaryOp, scope: Scope) -> Any:
        if isinstance(node.op, ast.Not):
            return self.condition(node, scope)
        found = self.value(node.operand, scope)
        if isinstance(found, Missing):
            return found
        return -number(found) if isinstance(node.op, ast.USub) else number(found)

    def _subscript(self, node: ast.Subscript, scope: Scope) -> Any:
        found = self.value(node.value, scope)
        if isinstance(node.slice, ast.Slice):
            edges = (node.slice.lower, node.slice.upper, node.slice.step)
            place: Any = slice(*(None if e is None else self.value(e, scope) for e in edges))
        else:
            place = self.value(node.slice, scope)
        if isinstance(found, Missing):
            return found
        if not isinstance(found, list | tuple | dict | str):
            raise self.problem(node, f"{kind(found)} has no parts")
        return found[place]

    def _comprehension(self, node: ast.GeneratorExp | ast.ListComp, scope: Scope) -> list[Any]:
        return list(self._each(node, list(node.generators), scope))

    def _each(
        self, node: ast.GeneratorExp | ast.ListComp, loops: list[ast.comprehension], scope: Scope
    ) -> Iterator[Any]:
        """The items; where what is looped over is missing, that stands for them."""
        if not loops:
            yield self.value(node.elt, scope)
            return
        loop = loops[0]
        for item in items_of(self._read(loop.iter, scope)):
            if isinstance(item, Missing) and not isinstance(loop.target, ast.Name):
                yield item
                continue
            inner = self._bound(loop.target, item, scope)
            if all(self._decided(test, inner) for test in loop.ifs):
                yield from self._each(node, loops[1:], inner)

    def _read(self, node: ast.expr, scope: Scope) -> Any:
        with self.unrecorded():
            return self.value(node, scope)

    def _bound(self, target: ast.expr, item: Any, scope: Scope) -> Scope:
        """The scope with the names of a loop's target bound to an item."""
        if isinstance(target, ast.Name):
            return {**scope, target.id: item}
        if not isinstance(target, ast.Tuple):
            raise self.problem(target, "a loop binds names alone")
        parts = items_of(item)
        if len(parts) != len(target.elts):
            raise self.problem(target, f"{len(target.elts)} names for {len(parts)} values")
        for inner, part in zip(target.elts, parts, strict=True):
            scope = self._bound(inner, part, scope)
        return scope

    def _decided(self, node: ast.expr, scope: Scope) -> bool:
        """A condition that has to be the same in every resample: it says what is looked at."""
        with self.unrecorded():
            truth = self.condition(node, scope)
        if truth.true.size > 1 or truth.holds is None:
            raise self.problem(node, "an `if` cannot depend on measured values")
        return truth.holds

    def _choice(self, node: ast.IfExp, scope: Scope) -> Any:
        return self.value(node.body if self._decided(node.test, scope) else node.orelse, scope)

    def _call(self, node: ast.Call, scope: Scope) -> Any:
        if isinstance(node.func, ast.Lambda):
            return self._applied(node, _Function(node.func, scope), scope)
        if isinstance(node.func, ast.Attribute):
            return METHODS[node.func.attr](self._read(node.func.value, scope))
        assert isinstance(node.func, ast.Name)  # parsed() allows nothing else
        name = node.func.id
        if isinstance(scope.get(name), _Function):
            return self._applied(node, scope[name], scope)
        if name in EVIDENCE and name != "test":
            return self._asked(node, getattr(self.asked, name), scope)
        if name in FUNCTIONS:
            with self.unrecorded():
                arguments, named = self.arguments(node, scope)
            return self._bounded(node, _with(FUNCTIONS[name], arguments, named))
        return self.test_call(node, scope)

    def arguments(self, node: ast.Call, scope: Scope) -> tuple[list[Any], dict[str, Any]]:
        """What a function is called with."""
        plain = [self.value(one, scope) for one in node.args]
        return plain, {str(one.arg): self.value(one.value, scope) for one in node.keywords}

    def _asked(self, node: ast.Call, ask: Callable[..., Any], scope: Scope) -> Any:
        with self.unrecorded():
            arguments, named = self.arguments(node, scope)
        if missing := reasons_of([*arguments, *named.values()]):
            return Missing(missing)
        return _with(ask, arguments, named)

    def _applied(self, node: ast.Call, function: _Function, scope: Scope) -> Any:
        with self.unrecorded():
            arguments, named = self.arguments(node, scope)
        names = [one.arg for one in function.node.args.args]
        if named or len(names) != len(arguments):
            raise self.problem(node, f"the lambda takes {len(names)} values")
        inner = {**function.scope, **dict(zip(names, arguments, strict=True))}
        return self.value(function.node.body, inner)


class _Function:
    """A lambda and the names that it sees."""

    def __init__(self, node: ast.Lambda, scope: Scope) -> None:
        self.node, self.scope = node, scope


def _with(function: Callable[..., Any], arguments: Sequence[Any], named: dict[str, Any]) -> Any:
    """A call whose arguments fit; TypeError says which do not."""
    inspect.signature(function).bind(*arguments, **named)
    return function(*arguments, **named)


def _message(error: Exception) -> str:
    """An exception's words; a KeyError's are the key alone."""
    return f"there is no {error}" if isinstance(error, KeyError) else str(error)
