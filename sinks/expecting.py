"""What the conformance suite is written with."""

from __future__ import annotations

from collections.abc import Callable


def raises(kind: type[Exception], action: Callable[[], object]) -> Exception:
    """The error that `action` ends in. Errors: AssertionError where it is none of `kind`."""
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")
