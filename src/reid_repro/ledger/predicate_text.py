"""An elementary test in words: what a part of a predicate stands for, its variables filled in."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from reid_repro.ledger.predicate_logic import Missing
from reid_repro.ledger.value import Value

SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "x",
    ast.Div: "/",
    ast.Pow: "^",
    ast.And: "and",
    ast.Or: "or",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}
CLOSE = {"near": "is near", "gain": "is a gain of"}
CELL = ("table", "row", "metric", "dataset", "split")
COLUMN = ("table", "metric", "dataset", "split", "exclude", "only", "roles")

Labels = Mapping[int, str]
Plain = Callable[[ast.expr, Mapping[str, Any]], str | int | float | None]


def cell_label(table: str, row: str, metric: str, dataset: str | None, split: str | None) -> str:
    """A cell's name: table, row, data, metric; the split `test` goes without saying."""
    data = " ".join(part for part in (dataset, split) if part and part != "test")
    return " · ".join(part for part in (table, row, data, metric) if part)


class Wording:
    """Describes nodes under one scope.

    `labels` name what variables hold, by id; `plain` computes a text or number that
    needs no evidence, and gives None for anything else.
    """

    def __init__(self, scope: Mapping[str, Any], labels: Labels, plain: Plain) -> None:
        self.scope = scope
        self.labels = labels
        self._plain = plain

    def of(self, node: ast.AST) -> str:
        """The words for a node."""
        by_type: dict[type[ast.AST], Callable[[Any], str]] = {
            ast.Constant: lambda n: str(n.value),
            ast.Name: self._name,
            ast.Call: self._call,
            ast.BinOp: self._operation,
            ast.JoinedStr: lambda n: "".join(self.of(part) for part in n.values),
            ast.FormattedValue: lambda n: self.of(n.value),
            ast.UnaryOp: lambda n: (
                ("not " if isinstance(n.op, ast.Not) else "-") + self.of(n.operand)
            ),
            ast.Compare: self._comparison,
            ast.Tuple: lambda n: self._list(n.elts),
            ast.List: lambda n: self._list(n.elts),
            ast.GeneratorExp: self._each,
            ast.ListComp: self._each,
            ast.Subscript: self._subscript,
        }
        return by_type.get(type(node), ast.unparse)(node)

    def _list(self, nodes: list[ast.expr]) -> str:
        words = (f"({self.of(n)})" if isinstance(n, ast.Tuple) else self.of(n) for n in nodes)
        return ", ".join(words)

    def _name_of(self, node: ast.expr) -> str:
        """A part of a label; where it is computed (`2*n`, `rows[0]`), what comes out."""
        computed = isinstance(node, ast.BinOp | ast.Subscript)
        found = self._plain(node, self.scope) if computed else None
        return self.of(node) if found is None else str(found)

    def _name(self, node: ast.Name) -> str:
        return self._held(self.scope[node.id], node.id) if node.id in self.scope else node.id

    def _held(self, what: Any, otherwise: str) -> str:
        if isinstance(what, Value | Missing):
            return self.labels.get(id(what), otherwise)
        return str(what) if isinstance(what, str | int | float) else otherwise

    def _subscript(self, node: ast.Subscript) -> str:
        """`g[0]`: the value it holds, where `g` is a list of values."""
        if isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Constant):
            try:
                return self._held(self.scope[node.value.id][node.slice.value], ast.unparse(node))
            except (LookupError, TypeError):
                pass
        return ast.unparse(node)

    def _operation(self, node: ast.BinOp) -> str:
        left, right = self.of(node.left), self.of(node.right)
        if isinstance(node.op, ast.Add) and self._is_text(node):
            return left + right
        loose = (ast.Add, ast.Sub)
        tight = not isinstance(node.op, loose)
        power = isinstance(node.op, ast.Pow)
        if isinstance(node.left, ast.BinOp) and (
            power or (tight and isinstance(node.left.op, loose))
        ):
            left = f"({left})"
        if isinstance(node.right, ast.BinOp) and not isinstance(node.op, ast.Add):
            right = f"({right})"
        return f"{left} {SIGNS[type(node.op)]} {right}"

    def _is_text(self, node: ast.expr) -> bool:
        if isinstance(node, ast.BinOp):
            return self._is_text(node.left) or self._is_text(node.right)
        if isinstance(node, ast.Name):
            return isinstance(self.scope.get(node.id), str)
        return isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, str)
        )

    def _comparison(self, node: ast.Compare) -> str:
        words = [self.of(node.left)]
        for sign, right in zip(node.ops, node.comparators, strict=True):
            words += [SIGNS[type(sign)], self.of(right)]
        return " ".join(words)

    def _each(self, node: ast.GeneratorExp | ast.ListComp) -> str:
        words = [self.of(node.elt)]
        for loop in node.generators:
            words.append(f"for {self.of(loop.target)} in {self.of(loop.iter)}")
            words += [f"if {self.of(test)}" for test in loop.ifs]
        return " ".join(words)

    def _call(self, node: ast.Call) -> str:
        if isinstance(node.func, ast.Attribute):
            return self.of(node.func.value)
        if not isinstance(node.func, ast.Name):
            return ast.unparse(node)
        name = node.func.id
        if name in ("m", "others"):
            return self._cell(node, name)
        if name == "col":
            return self._column(node)
        if name == "f":
            return " · ".join(self._name_of(one) for one in node.args)
        if name in ("test", "stat"):
            return self._list(node.args)
        if name in CLOSE and len(node.args) >= 2:
            return f"{self.of(node.args[0])} {CLOSE[name]} {self.of(node.args[1])}"
        return f"{name}({self._list(node.args)})"

    def _named(self, node: ast.Call, names: tuple[str, ...]) -> dict[str, str]:
        found = {name: self._name_of(one) for name, one in zip(names, node.args, strict=False)}
        return found | {one.arg: self._name_of(one.value) for one in node.keywords if one.arg}

    def _cell(self, node: ast.Call, name: str) -> str:
        parts = dict.fromkeys(CELL) | self._named(node, CELL)
        row = "other rows" if name == "others" else str(parts["row"])
        dataset, split = parts["dataset"], parts["split"]
        return cell_label(str(parts["table"]), row, str(parts["metric"]), dataset, split)

    def _column(self, node: ast.Call) -> str:
        parts: dict[str, str | None] = dict.fromkeys(COLUMN) | self._named(node, COLUMN)
        rows = [
            f"rows {parts['only']}" if parts["only"] else "",
            f"{parts['roles']} rows" if parts["roles"] else "",
            f"without {parts['exclude']}" if parts["exclude"] else "",
        ]
        row = " ".join(part for part in rows if part) or "all rows"
        dataset, split = parts["dataset"], parts["split"]
        return cell_label(str(parts["table"]), row, str(parts["metric"]), dataset, split)
