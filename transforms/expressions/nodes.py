"""Nodes of trees that we make ourselves."""

from __future__ import annotations

from sqlglot import exp


def call(node: exp.Expr, name: str, *arguments: exp.Expr | None) -> exp.Expr:
    """A call that stands where `node` stood."""
    made = exp.Anonymous(this=name, expressions=[item for item in arguments if item is not None])
    made.meta.update(node.meta)
    return made
