"""The work that every contestant is given: one table of twelve ordinary columns."""

from __future__ import annotations

TABLE = "bench.wide"

CREATE = """
create schema if not exists bench;
create table bench.wide (
    id bigint primary key,
    small_number int,
    name text,
    amount numeric(12,2),
    code char(3),
    description text,
    quantity int,
    ratio double precision,
    active boolean,
    changed_at timestamptz,
    booked_at timestamp,
    booked_on date
);
create table bench.done (number int primary key)
"""


def insert(first: int, rows: int) -> str:
    """One transaction of `rows` inserts with ids from `first` on."""
    return f"""
insert into bench.wide
select g, g % 1000, 'name ' || g, (g % 100000) / 100.0, 'abc',
       'description ' || lpad((g % 1000000)::text, 13, '0'), g % 70000, g / 3.0, g % 2 = 0,
       timestamptz '2026-01-01 00:00+00' + g * interval '1 second',
       timestamp '2026-01-01 00:00' + g * interval '1 minute', date '2026-01-01' + g % 365
from generate_series({first}, {first + rows - 1}) g
"""


def update(rows: int) -> str:
    """One transaction that updates the first `rows` rows."""
    return f"""
update bench.wide
set amount = amount + 1, description = 'changed ' || description, changed_at = changed_at
    + interval '1 hour', active = not active
where id <= {rows}
"""


def small_transactions(first: int, count: int) -> str:
    """`count` transactions of one insert each."""
    return f"""
do $$
begin
    for g in {first}..{first + count - 1} loop
        insert into bench.wide values (g, g % 1000, 'name ' || g, 12.34, 'abc',
            'one small transaction ...', 7, g / 3.0, true, now(), now()::timestamp, current_date);
        commit;
    end loop;
end $$
"""
