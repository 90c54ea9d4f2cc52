"""The entity that the mapping bench makes of its table, and what plain SQL says it must be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

ENTITY = """
entity: item
key: [item_no]
fields:
  item_no: {type: text, required: true, pattern: "I-[0-9]+"}
  name: {type: text, required: true, length: {max: 40}, class: personal}
  shout: {type: text, class: secret}
  amount: {type: "decimal(12,2)", range: {min: 0, max: 1000000}}
  gross: {type: "decimal(14,2)", check: "gross >= amount"}
  label: {type: text, length: {min: 3, max: 20}}
  size: {type: text, one_of: [small, middle, large]}
  month: {type: text, pattern: "[0-9]{4}-[0-9]{2}"}
  short: {type: text, required: true, length: {max: 20}}
  state: {type: text, one_of: [live, retired]}
  quantity: {type: integer, range: {min: 0}}
  changed_at: {type: timestamptz}
"""
"""Ten demands beside those of being there and of protection."""

MAPPING = """
mapping: item
entity: item
table: bench.wide
key:
  item_no: "'I-' || id"
fields:
  name: "trim(name)"
  shout: "upper(name)"
  amount: "coalesce(amount, 0)"
  gross: "round(amount * 1.19, 2)"
  label: "code || '-' || quantity"
  size: |
    case when quantity < 1000 then 'small' when quantity < 20000 then 'middle' else 'large' end
  month: "to_char(booked_on, 'YYYY-MM')"
  short: "left(description, 20)"
  state: {from: active, values: {true: live, false: retired}}
  quantity: quantity
  changed_at: changed_at
where: "small_number < 990"
"""
"""Eight expressions beside the key, a value map, a condition, and two columns as they are."""

PIPELINE = """    replicate:
      - {tables: [bench.done], into: "{schema}.{table}"}
    mappings: [item]
"""

TARGET = """
    select item_no, name, shout, amount, gross, label, size, month, short, state, quantity,
           changed_at
    from public.item"""
SOURCE = """
    select 'I-' || id, trim(name), upper(name), coalesce(amount, 0)::numeric(12,2),
           round(amount * 1.19, 2)::numeric(14,2), code || '-' || quantity,
           case when quantity < 1000 then 'small' when quantity < 20000 then 'middle'
                else 'large' end,
           to_char(booked_on, 'YYYY-MM'), left(description, 20),
           case active when true then 'live' when false then 'retired' end, quantity::bigint,
           changed_at
    from bench.wide where small_number < 990"""


def checksum(rows: str) -> str:
    """SQL that gives the number of rows of a query, and a sum that tells them from others."""
    return (
        "select count(*), coalesce(sum(hashtextextended(found::text, 0)::numeric), 0)"
        f" from ({rows}) found"
    )


def write(directory: Path) -> str:
    """Write entity, mapping and a key into a project; returns the `keys` for its tailrace.yml."""
    for folder, text in (("entities", ENTITY), ("mappings", MAPPING)):
        (directory / folder).mkdir(parents=True)
        (directory / folder / "item.yml").write_text(text)
    key = directory / "key"
    key.write_text(hashlib.sha512(b"a key of the bench").hexdigest())
    key.chmod(0o600)
    return f'keys:\n  bench: {{current: "${{file:{key}}}"}}\n'


def models() -> tuple[object, object]:
    """Entity and mapping as plain values."""
    return yaml.load(ENTITY, yaml.BaseLoader), yaml.load(MAPPING, yaml.BaseLoader)
