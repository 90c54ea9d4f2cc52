"""The collations of a server: what a DDL statement means by the names of character sets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from cdc.mysql import charsets
from tailrace.errors import DecodeError

BINARY = 63


@dataclass(frozen=True, slots=True)
class Collations:
    """`numbers`: name → number; `charset_of`: number → character set; `defaults`: character set →
    number of its own collation."""

    numbers: Mapping[str, int]
    charset_of: Mapping[int, str]
    defaults: Mapping[str, int]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, int, str, bool]]) -> Self:
        """From (collation, its number, its character set, whether it is that one's default)."""
        numbers, charset_of, defaults = {}, {}, {}
        for name, number, charset, default in rows:
            numbers[name], charset_of[number] = number, charset
            if default:
                defaults[charset] = number
        return cls(numbers, charset_of, defaults)

    def charset(self, name: str) -> int:
        """The number of a character set's own collation. Errors: DecodeError."""
        found = self.defaults.get(_modern(name, self.defaults))
        if found is None:
            raise DecodeError(f"the server knows no character set {name}")
        return found

    def collation(self, name: str, charset: int) -> int:
        """By its name, which may lack its character set. Errors: DecodeError."""
        name = name.lower()
        if name == "default":
            return self.charset(self.charset_of[charset])
        for full in (_modern(name, self.numbers), f"{self.charset_of.get(charset)}_{name}"):
            if full in self.numbers:
                return self.numbers[full]
        raise DecodeError(f"the server knows no collation {name}")

    def bytewise(self, number: int) -> int:
        """The collation by bytes of the same character set."""
        if number == BINARY:
            return number
        return self.collation(f"{self.charset_of[number]}_bin", number)

    def bytes_max(self, number: int) -> int:
        return charsets.bytes_max(self.charset_of[number])


def _modern(name: str, known: Mapping[str, int]) -> str:
    """``utf8`` and ``utf8mb3`` are one; which of them a server knows depends on its version."""
    name = name.lower()
    for ours, theirs in (("utf8", "utf8mb3"), ("utf8mb3", "utf8")):
        head, _, rest = name.partition("_")
        if name not in known and head == ours:
            return f"{theirs}_{rest}" if rest else theirs
    return name
