"""Bytes and their digests. A value of type bytea is what PostgreSQL prints: \\x and hex digits."""

from __future__ import annotations

from dataclasses import replace

from transforms.expressions.arguments import Arguments, Build, Named, as_string, constant
from transforms.expressions.sql import checked, quoted
from transforms.expressions.typed import Refusal, Typed, derived, text
from transforms.types import TEXT, Kind, Type

BYTEA = Type(Kind.OTHER, name="bytea")
_LINE = 76
"""Characters of base64 before PostgreSQL breaks the line."""


def md5(arguments: Arguments, named: Named) -> Typed:
    """md5(text): of its UTF-8, in hex."""
    value = as_string(arguments[0])
    return derived(TEXT, f"md5({text(value)})", [value], chars=32)


def encoded_text(arguments: Arguments, named: Named) -> Typed:
    """convert_to(text, 'UTF8')."""
    value = as_string(arguments[0])
    _utf8(arguments[1])
    return _bytes(f"lower(hex(encode({text(value)})))", [value])


def decoded_text(arguments: Arguments, named: Named) -> Typed:
    """convert_from(bytea, 'UTF8')."""
    value = bytes_of(arguments[0])
    _utf8(arguments[1])
    digits = hex_digits(value)
    nul = f"regexp_matches({digits}, '^(..)*00')"
    sql = checked(nul, "malformed", f"decode(unhex({digits}))")
    return derived(TEXT, sql, [value], fails=True)


def sha(bits: int) -> Build:
    """sha256(bytea)."""

    def build(arguments: Arguments, named: Named) -> Typed:
        value = bytes_of(arguments[0])
        digest = f"sha{bits}(unhex({hex_digits(value)}))"
        return _bytes(digest, [value], chars=bits // 4)

    return build


def encoded(arguments: Arguments, named: Named) -> Typed:
    """encode(bytea, 'hex' | 'base64')."""
    value = bytes_of(arguments[0])
    form = constant(arguments[1], "the format of encode()")
    digits = hex_digits(value)
    if form == "hex":
        return derived(TEXT, digits, [value])
    if form == "base64":
        wrapped = f"'(.{{{_LINE}}})', '\\1' || chr(10), 'g'"
        sql = f"regexp_replace(to_base64(unhex({digits})), {wrapped})"
        return derived(TEXT, sql, [value], chars=2 * value.chars)
    raise Refusal("encode() knows hex and base64")


def decoded(arguments: Arguments, named: Named) -> Typed:
    """decode(text, 'hex' | 'base64'). Blanks in it are errors here."""
    value = as_string(arguments[0])
    form = constant(arguments[1], "the format of decode()")
    sql = text(value)
    if form == "hex":
        bad = f"NOT regexp_full_match({sql}, '([0-9a-fA-F][0-9a-fA-F])*')"
        return _bytes(checked(bad, "malformed", f"lower({sql})"), [value], fails=True)
    if form == "base64":
        quad = "[A-Za-z0-9+/]"
        form = f"({quad}{{4}})*({quad}{{2}}==|{quad}{{3}}=)?"
        bad = f"NOT regexp_full_match({sql}, {quoted(form)})"
        return _bytes(
            checked(bad, "malformed", f"lower(hex(from_base64({sql})))"), [value], fails=True
        )
    raise Refusal("decode() knows hex and base64")


def _utf8(value: Typed) -> None:
    if constant(value, "the encoding").upper().replace("-", "") != "UTF8":
        raise Refusal("the only encoding is 'UTF8'")


def bytes_of(value: Typed) -> Typed:
    """Errors: Refusal for what is no bytea."""
    if value.type.name != "bytea" or value.printed is None:
        raise Refusal(
            f"bytes are expected here, not {value.type}", fix="of a text: convert_to(x, 'UTF8')"
        )
    return value


def hex_digits(value: Typed) -> str:
    """SQL of the hex digits of bytes."""
    return f"substring({value.printed}, 3)"


def _bytes(
    digits: str, inputs: list[Typed], *, fails: bool = False, chars: int | None = None
) -> Typed:
    result = derived(BYTEA, None, inputs, fails=fails, chars=chars)
    return replace(result, printed=f"('\\x' || {digits})")
