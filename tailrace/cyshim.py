"""Stands in for the ``cython`` module where it is not installed, so that a module written in
Cython's pure-Python mode also runs uncompiled. Types are annotations only; nothing here computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

compiled = False

char = uchar = int = uint = long = longlong = ulonglong = Py_ssize_t = bint = void = double = object
p_char = p_uchar = p_int = p_longlong = object


def cclass(cls: T) -> T:
    return cls


cfunc = ccall = inline = final = nogil = cclass


def _with_options(*_: object, **__: object) -> Callable[[T], T]:
    return cclass


exceptval = boundscheck = wraparound = cdivision = initializedcheck = locals = _with_options


def cast(_: object, value: T, **__: object) -> T:
    return value


def __getattr__(name: str) -> Any:
    raise AttributeError(f"tailrace.cyshim does not stand in for cython.{name}")
