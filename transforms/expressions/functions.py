"""The functions that expressions may call: one table, nothing else.

Each is here because a differential test holds it against a real PostgreSQL. `FUNCTIONS` is the
allow-list; `docs/mappings.md` documents exactly these.
"""

from __future__ import annotations

from transforms.expressions import (
    choices,
    digests,
    documents,
    moments,
    numbers,
    ours,
    regexes,
    strings,
)
from transforms.expressions.arguments import Function
from transforms.types import INT4

_TEXT_FUNCTIONS = {
    "ascii": Function("ascii(text)", strings.of_text("ascii({0})", INT4), 1, 1),
    "chr": Function("chr(code)", strings.character, 1, 1),
    "octet_length": Function("octet_length(text)", strings.octets, 1, 1),
    "repeat": Function("repeat(text, count)", strings.repeat, 2, 2),
    "reverse": Function("reverse(text)", strings.reverse, 1, 1),
    "starts_with": Function("starts_with(text, part)", strings.starts_with, 2, 2),
    "translate": Function("translate(text, from, to)", strings.translated, 3, 3),
    "btrim": Function("btrim(text [, characters])", strings.trim("trim"), 1, 2),
    "concat": Function("concat(value, …)", strings.concat, 1, None),
    "concat_ws": Function("concat_ws(separator, value, …)", strings.concat_ws, 2, None),
    "initcap": Function("initcap(text)", strings.initcap, 1, 1),
    "left": Function("left(text, count)", strings.part_of("left({}, {})"), 2, 2),
    "length": Function("length(text)", strings.of_text("CAST(length({0}) AS INTEGER)", INT4), 1, 1),
    "lower": Function("lower(text)", strings.of_text("lower({0})"), 1, 1),
    "lpad": Function("lpad(text, length [, fill])", strings.pad("lpad"), 2, 3),
    "ltrim": Function("ltrim(text [, characters])", strings.trim("ltrim"), 1, 2),
    "replace": Function("replace(text, from, to)", strings.replaced, 3, 3),
    "right": Function("right(text, count)", strings.part_of("right({}, {})"), 2, 2),
    "rpad": Function("rpad(text, length [, fill])", strings.pad("rpad"), 2, 3),
    "rtrim": Function("rtrim(text [, characters])", strings.trim("rtrim"), 1, 2),
    "split_part": Function("split_part(text, separator, number)", strings.split_part, 3, 3),
    "strpos": Function(
        "strpos(text, part)", strings.of_text("CAST(strpos({0}, {1}) AS INTEGER)", INT4), 2, 2
    ),
    "substring": Function("substring(text, start [, count])", strings.substring, 2, 3),
    "upper": Function("upper(text)", strings.upper, 1, 1),
}

_PATTERN_FUNCTIONS = {
    "regexp_like": Function("regexp_like(text, pattern [, flags])", regexes.like, 2, 3),
    "regexp_replace": Function(
        "regexp_replace(text, pattern, replacement [, flags])", regexes.replaced, 3, 4
    ),
    "regexp_substr": Function(
        "regexp_substr(text, pattern)", regexes.extracted(of_group=False), 2, 2
    ),
}

_DIGESTS = {
    "convert_from": Function("convert_from(bytea, 'UTF8')", digests.decoded_text, 2, 2),
    "convert_to": Function("convert_to(text, 'UTF8')", digests.encoded_text, 2, 2),
    "decode": Function("decode(text, format)", digests.decoded, 2, 2),
    "encode": Function("encode(bytea, format)", digests.encoded, 2, 2),
    "md5": Function("md5(text)", digests.md5, 1, 1),
    "sha256": Function("sha256(bytea)", digests.sha(256), 1, 1),
}

_DOCUMENTS = {
    "json_extract_path_text": Function(
        "json_extract_path_text(json, key, …)", documents.of_keys, 2, None
    ),
}

_CHOICES = {
    "coalesce": Function("coalesce(value, …)", choices.coalesce, 1, None),
    "greatest": Function("greatest(value, …)", choices.extreme("greatest"), 1, None),
    "least": Function("least(value, …)", choices.extreme("least"), 1, None),
    "nullif": Function("nullif(value, other)", choices.nullif, 2, 2),
}

_NUMBER_FUNCTIONS = {
    "abs": Function("abs(number)", numbers.absolute, 1, 1),
    "ceil": Function("ceil(numeric)", numbers.toward("ceil"), 1, 1),
    "floor": Function("floor(numeric)", numbers.toward("floor"), 1, 1),
    "mod": Function("mod(number, number)", numbers.remainder, 2, 2),
    "round": Function("round(numeric [, digits])", numbers.rounded, 1, 2),
    "sign": Function("sign(number)", numbers.sign, 1, 1),
    "sqrt": Function("sqrt(double)", numbers.square_root, 1, 1),
    "trunc": Function("trunc(numeric [, digits])", numbers.truncated, 1, 2),
}

_MOMENT_FUNCTIONS = {
    "date_part": Function("date_part(part, date)", moments.part, 2, 2),
    "date_trunc": Function("date_trunc(unit, timestamp)", moments.truncated, 2, 2),
    "extract": Function("extract(part FROM date)", moments.extracted, 2, 2),
    "make_date": Function("make_date(year, month, day)", moments.made, 3, 3),
    "to_char": Function("to_char(date or number, format)", moments.formatted, 2, 2),
}

FUNCTIONS: dict[str, Function] = {
    **_TEXT_FUNCTIONS,
    **_CHOICES,
    **_PATTERN_FUNCTIONS,
    **_DIGESTS,
    **_DOCUMENTS,
    **_NUMBER_FUNCTIONS,
    **_MOMENT_FUNCTIONS,
    **ours.FUNCTIONS,
}

SYNONYMS = {
    "ceiling": "ceil",
    "char_length": "length",
    "character_length": "length",
    "substr": "substring",
}
"""Other names PostgreSQL has for the same."""

VOLATILE = frozenset(
    {
        "age",
        "clock_timestamp",
        "current_date",
        "current_time",
        "current_timestamp",
        "current_user",
        "gen_random_uuid",
        "localtime",
        "localtimestamp",
        "nextval",
        "now",
        "random",
        "session_user",
        "statement_timestamp",
        "timeofday",
        "transaction_timestamp",
        "uuid_generate_v4",
        "uuidv4",
        "uuidv7",
    }
)
"""Refused with a reason: a replay must give the same row."""

AGGREGATES = frozenset(
    {"array_agg", "avg", "bool_and", "bool_or", "count", "every", "max", "min", "string_agg", "sum"}
)

INSTEAD = {
    "to_number": "parse_decimal(x, decimal => ',', group => '.')",
    "to_date": "parse_date(x, 'YYYYMMDD')",
    "to_timestamp": "parse_date(x, 'YYYYMMDDHH24MISS'), or x::timestamp",
    "regexp_match": "regexp_substr(x, pattern) or substring(x from 'a(b)c')",
    "regexp_matches": "regexp_substr(x, pattern) or substring(x from 'a(b)c')",
    "regexp_split_to_array": "split_part()",
    "json_extract_path": "->, ->> or json_extract_path_text()",
    "jsonb_extract_path_text": "json_extract_path_text()",
    "digest": "sha256(convert_to(x, 'UTF8'))",
    "format": "||",
    "power": "x * x",
    "timezone": "x AT TIME ZONE 'Europe/Berlin'",
    "quote_literal": "||",
}
"""What to write in place of functions that are asked for most."""
