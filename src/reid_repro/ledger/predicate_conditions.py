"""The conditions of a predicate: comparisons, near, gain, test, and what joins them.

Each elementary test is recorded as an atom, in the order of the predicate. What only chooses or
counts (an `if`, the inside of `sum`) records none.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from reid_repro.ledger.predicate_functions import items_of, kind, number
from reid_repro.ledger.predicate_logic import (
    Missing,
    Truth,
    both,
    certain,
    compared,
    either,
    gain,
    near,
    reasons_of,
    unknown,
)
from reid_repro.ledger.predicate_syntax import parsed
from reid_repro.ledger.predicate_text import SIGNS, Wording
from reid_repro.ledger.predicate_types import Atom, Evidence, Operator, Outcome
from reid_repro.ledger.predicate_walk import Scope, Walker
from reid_repro.ledger.value import Number, Value, exact

TOLERANCE = 0.05  # TOL: half a unit of the last digit of numbers printed to one decimal


class Conditions(Walker):
    """A predicate over evidence; `outcome()` evaluates it."""

    def __init__(self, predicate: str, evidence: Evidence) -> None:
        super().__init__(predicate, evidence)
        self._atoms: list[Atom] = []
        self._recording = True

    def outcome(self) -> Outcome:
        """The predicate's truth, its atoms, and everything missing."""
        truth = self.condition(parsed(self.predicate), {"TOL": TOLERANCE})
        missing = (atom.unknown for atom in self._atoms if atom.unknown)
        reasons = tuple(dict.fromkeys([*missing, *truth.reasons]))
        return Outcome(truth.holds, truth.share, tuple(self._atoms), reasons)

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Nothing in here is an atom."""
        before, self._recording = self._recording, False
        try:
            yield
        finally:
            self._recording = before

    def condition(self, node: ast.expr, scope: Scope) -> Truth:
        """A node as a condition; a number or text is none."""
        with self.level(node):
            if isinstance(node, ast.BoolOp):
                parts = [self.condition(one, scope) for one in node.values]
                return both(parts) if isinstance(node.op, ast.And) else either(parts)
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                return ~self.condition(node.operand, scope)
            if isinstance(node, ast.Compare):
                return self._chain(node, scope)
            return self._truth(node, self.value(node, scope), scope)

    def _truth(self, node: ast.expr, found: Any, scope: Scope) -> Truth:
        if isinstance(found, Truth):
            return found
        if isinstance(found, Missing):
            truth = unknown(found.reasons)
            self._record(node, scope, Atom("", "unknown"), truth)
            return truth
        if isinstance(found, bool):
            return certain(found)
        raise self.problem(node, f"expected a condition, found {kind(found)}")

    def _chain(self, node: ast.Compare, scope: Scope) -> Truth:
        """`a < b < c`: one atom a sign."""
        sides = [node.left, *node.comparators]
        with self.unrecorded():
            found = [self.value(side, scope) for side in sides]
        parts = []
        for place, sign in enumerate(node.ops):
            pair = ast.Compare(sides[place], [sign], [sides[place + 1]])
            ast.copy_location(pair, sides[place])
            parts.append(self._compared(pair, found[place], found[place + 1], scope))
        return both(parts)

    def _compared(self, node: ast.Compare, left: Any, right: Any, scope: Scope) -> Truth:
        sign = cast(Operator, SIGNS[type(node.ops[0])])
        if reasons := reasons_of([left, right]):
            truth = unknown(reasons)
        elif sign in ("in", "not in"):
            truth = certain(_contains(right, left) == (sign == "in"))
        elif _is_number(left) and _is_number(right):
            left, right = number(left), number(right)
            truth = compared(sign, left, right)
        elif sign in ("==", "!=") and type(left) is type(right) and _is_plain((left, right)):
            truth = certain((left == right) == (sign == "=="))
        else:
            raise self.problem(node, f"{kind(left)} {sign} {kind(right)}")
        self._record(node, scope, _sides(sign, left, right), truth)
        return truth

    def test_call(self, node: ast.Call, scope: Scope) -> Truth:
        """all, any, near, gain, test."""
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        arguments, named = self.arguments(node, scope)
        if name in ("all", "any"):
            if named or len(arguments) != 1:
                raise self.problem(node, f"{name}() takes one list of conditions")
            parts = [self._truth(node.args[0], one, scope) for one in items_of(arguments[0])]
            return both(parts) if name == "all" else either(parts)
        if name == "test":
            return self._tested(node, arguments, named, scope)
        return self._close(node, {"near": near, "gain": gain}[name], arguments, named, scope)

    def _tested(
        self, node: ast.Call, arguments: list[Any], named: dict[str, Any], scope: Scope
    ) -> Truth:
        if named or len(arguments) != 1:
            raise self.problem(node, "test() takes one name")
        found = self.asked.test(arguments[0])
        truth = unknown(found.reasons) if isinstance(found, Missing) else certain(found)
        self._record(node, scope, Atom("", "test"), truth)
        return truth

    def _close(
        self,
        node: ast.Call,
        rule: Callable[[Number, Number, float], Truth],
        arguments: list[Any],
        named: dict[str, Any],
        scope: Scope,
    ) -> Truth:
        if set(named) - {"tol"} or not 2 <= len(arguments) <= (2 if named else 3):
            raise self.problem(node, f"{ast.unparse(node.func)}(x, y, tol) takes two numbers")
        tolerance = named.get("tol", arguments[2] if len(arguments) == 3 else TOLERANCE)
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float):
            raise self.problem(node, f"expected a tolerance, found {kind(tolerance)}")
        reasons = reasons_of(arguments[:2])
        name = cast(Operator, ast.unparse(node.func))
        if reasons:
            atom, truth = _sides(name, *arguments[:2]), unknown(reasons)
        else:
            left, right = (number(one) for one in arguments[:2])
            atom, truth = _sides(name, left, right), rule(left, right, float(tolerance))
        self._record(node, scope, replace(atom, tolerance=float(tolerance)), truth)
        return truth

    def _record(self, node: ast.expr, scope: Scope, atom: Atom, truth: Truth) -> None:
        if self._recording:
            text = Wording(scope, self.asked.labels, self.plain).of(node)
            reason = truth.reasons[0] if truth.holds is None and truth.reasons else None
            atom = replace(atom, text=text, holds=truth.holds, share=truth.share, unknown=reason)
            self._atoms.append(atom)


def _sides(sign: Operator, left: Any, right: Any) -> Atom:
    """An atom with its sides where these are numbers."""
    values = [_as_value(side) for side in (left, right)]
    seen = "" if values[0] is not None or isinstance(left, Missing) else str(left)
    return Atom("", sign, values[0], values[1], seen=seen)


def _as_value(side: Any) -> Value | None:
    if isinstance(side, Value):
        return side
    return exact(side) if isinstance(side, int | float) else None


def _is_number(what: Any) -> bool:
    return isinstance(what, Value | int | float | Truth)


def _is_plain(what: Any) -> bool:
    """Whether something is made of texts and numbers alone, whose equality is Python's own."""
    if isinstance(what, tuple | list):
        return all(_is_plain(one) for one in what)
    return isinstance(what, str | int | float) or what is None


def _contains(whole: Any, part: Any) -> bool:
    """`part in whole`, for texts and plain items."""
    if isinstance(whole, str) and isinstance(part, str):
        return part in whole
    if isinstance(whole, str) or not _is_plain(part):
        raise TypeError(f"{kind(part)} in {kind(whole)}")
    return part in [one for one in items_of(whole) if _is_plain(one)]
