"""What is asked of an API for each change, in each style."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa
import pytest

from cdc.schema import TableName
from sinks.conformance import NOT_SENT, delete, upsert
from tailrace.errors import RowRefused, TargetRefused
from tests.http.conftest import Made
from tests.httprig import ITEM, PUT, before
from transforms.rows import CLEAR, PATCH, UPSERT, TargetColumn, TargetTable

EACH_TYPE = TargetTable(
    TableName("public", "item"),
    tuple(
        TargetColumn(name, type_)
        for name, type_ in (
            *(("id", "bigint"), ("amount", "numeric(20,4)"), ("ratio", "double precision")),
            *(("on", "boolean"), ("day", "date"), ("at", "timestamp with time zone")),
            *(("local", "timestamp"), ("doc", "jsonb"), ("text", "text"), ("no", "text")),
        )
    ),
    ("id",),
)


def test_a_row_as_json(rig: Made) -> None:
    one = rig(table=EACH_TYPE)
    one.apply(
        upsert(
            *("9007199254740993", "12.5000", "0.1", "t", "2024-02-29"),
            *("2024-02-29 12:00:00.5+00", "2024-02-29 12:00:00", '{"a": 1.50}', 'ü"\n', None),
        )
    )
    assert one.seen[0]["body"] == (
        '{"id":9007199254740993,"amount":"12.5000","ratio":0.1,"on":true,"day":"2024-02-29",'
        '"at":"2024-02-29T12:00:00.5Z","local":"2024-02-29T12:00:00","doc":{"a": 1.50},'
        '"text":"ü\\"\\n","no":null}'
    )
    assert one.seen[0]["headers"]["Content-Type"] == "application/json"


def test_decimals_as_numbers_and_what_json_has_no_number_for(rig: Made) -> None:
    one = rig(table=EACH_TYPE, decimals="number")
    values = ("1", "12.5000", "NaN", "f", None, "infinity", None, None, None, None)
    one.apply(upsert(*values))
    body = one.seen[0]["body"]
    assert '"amount":12.5000,"ratio":"NaN","on":false' in body
    assert '"at":"infinity"' in body


def test_put_by_key_and_delete(rig: Made) -> None:
    one = rig()
    written = one.apply(upsert("1", "a", "1"), upsert("2", "b", "2"), delete("1", None, None))
    assert (written["public.item"].upserted, written["public.item"].deleted) == (2, 1)
    assert one.records == {"/items/2": {"id": 2, "code": "b", "amount": "2"}}
    one.apply(delete("7", None, None), entry=2)  # is not there: that is what was wanted
    assert one.records.keys() == {"/items/2"}


def test_a_key_that_moves_is_a_delete_and_a_put(rig: Made) -> None:
    one = rig()
    one.apply(upsert("1", "a", "1"))
    one.apply((UPSERT, ("5", "a", "1"), ("1",)), entry=2)
    assert one.records.keys() == {"/items/5"}


def test_keys_in_urls_are_escaped(rig: Made) -> None:
    table = TargetTable(ITEM.table, (TargetColumn("id", "text"), *ITEM.columns[1:]), ("id",))
    one = rig(table=table)
    one.apply(upsert("a/b c?d#e%ü", "x", "1"))
    assert one.seen[0]["path"].endswith("/items/a%2Fb%20c%3Fd%23e%25%C3%BC")
    for entry, key in enumerate(("..", ".", ""), start=2):
        with pytest.raises(RowRefused, match="id is empty or made of dots"):
            one.write(upsert(key, "x", "1"), entry=entry)
    assert len(one.seen) == 1


def test_values_in_queries_may_be_dots_and_where_nothing_is_searched_empty(rig: Made) -> None:
    table = TargetTable(ITEM.table, (TargetColumn("id", "text"), *ITEM.columns[1:]), ("id",))
    one = rig({"put": {"url": "/items/x?id={id}&code={code}"}}, table=table)
    one.apply(upsert(".", "..", "1"), upsert("a&b", "", "1"))
    assert [seen["path"].removeprefix(one.root) for seen in one.seen] == [
        "/items/x?id=.&code=..",
        "/items/x?id=a%26b&code=",
    ]
    two = rig(SEARCHED, table=table)
    two.apply(upsert(".", "a", "1"))
    assert two.seen[0]["path"].endswith("/items?external=.")
    with pytest.raises(RowRefused, match="a search for nothing may find any record"):
        two.write(upsert("", "a", "1"), entry=2)


def test_templates_of_bodies_and_headers(rig: Made) -> None:
    body = '{"data": {"no": "{id}", "label": "item {code}", "all": "{row}"}, "source": true}'
    entity = {
        "put": {
            "url": "/items/{id}",
            "body": body,
            "headers": {"X-Code": "{code}"},
        },
    }
    one = rig(entity, headers={"X-Line": "erp"})
    one.apply(upsert("1", "a", "1"))
    assert json.loads(one.seen[0]["body"]) == {
        "data": {"no": 1, "label": "item a", "all": {"id": 1, "code": "a", "amount": "1"}},
        "source": True,
    }
    headers = one.seen[0]["headers"]
    assert (headers["X-Code"], headers["X-Line"]) == ("a", "erp")
    with pytest.raises(RowRefused, match="code has characters that no header can hold"):
        one.write(upsert("2", "a\r\nX-Other: b", "1"), entry=2)


def test_a_template_with_a_field_that_is_not_there_is_refused(rig: Made) -> None:
    with pytest.raises(TargetRefused, match="which this request does not have"):
        rig({"put": {"url": "/items/{nr}"}})
    with pytest.raises(TargetRefused, match=r"delete names \{code\}, which"):
        rig({**PUT, "delete": {"url": "/items/{code}"}})


PATCHED = {
    "upsert": "patch_then_post",
    "update": {"url": "/items/{id}"},
    "create": {"url": "/items"},
    "delete": {"url": "/items/{id}"},
}


def test_patch_then_post(rig: Made) -> None:
    one = rig(PATCHED)
    one.apply(upsert("1", "a", "1"))
    one.apply(upsert("1", "b", "1"), entry=2, before=before(ITEM, ("1", "a", "1")))
    assert [(seen["method"], seen["body"]) for seen in one.seen] == [
        ("PATCH", '{"code":"a","amount":"1"}'),
        ("POST", '{"id":1,"code":"a","amount":"1"}'),
        ("PATCH", '{"code":"b"}'),
    ]
    keys = [seen["headers"]["Idempotency-Key"] for seen in one.seen]
    assert len(set(keys)) == 3


def test_an_update_that_changed_nothing_here_is_not_sent(rig: Made) -> None:
    one = rig(PATCHED)
    written = one.apply(upsert("1", "a", "1"), before=before(ITEM, ("1", "a", "1")))
    assert (written["public.item"].unchanged, written["public.item"].upserted) == (1, 0)
    assert not one.seen


def test_by_operation(rig: Made) -> None:
    one = rig({**PATCHED, "upsert": "by_operation"})
    one.apply(upsert("1", "a", "1"), upsert("1", "b", "1"), created=pa.array([True, False]))
    assert [seen["method"] for seen in one.seen] == ["POST", "PATCH"]
    assert one.records["/items/1"]["code"] == "b"


def test_by_operation_creates_what_the_mapping_admits_only_now(rig: Made) -> None:
    """Until it admits others: then older rows may be there, and a PATCH tells."""
    table = replace(ITEM, admits="where a")
    one = rig({**PATCHED, "upsert": "by_operation"}, table=table)
    none, entered = pa.array([False]), pa.array([True])
    one.apply(upsert("1", "a", "1"), created=none, entered=entered)
    assert [seen["method"] for seen in one.seen] == ["POST"]
    one.sink.close()
    for entry, admits in enumerate(("where a", "where b", "where a"), start=2):
        one.sink.open("journal")
        one.table = replace(ITEM, admits=admits)
        one.sink.prepare([one.table])
        with suppress(RowRefused):
            one.write(upsert(str(entry), "a", "1"), entry=entry, created=none, entered=entered)
        one.sink.close()
    assert [seen["method"] for seen in one.seen] == ["POST", "POST", "PATCH", "PATCH"]


def test_by_operation_where_it_is_not_known_what_was_admitted(rig: Made) -> None:
    one = rig({**PATCHED, "upsert": "by_operation"})
    flags = {"created": pa.array([False]), "entered": pa.array([True])}
    with pytest.raises(RowRefused, match="status 404"):
        one.write(upsert("1", "a", "1"), **flags)


SEARCHED = {
    "upsert": "search",
    "search": {"url": "/items?external={id}", "found": "/items/0/id"},
    "update": {"url": "/items/{found}"},
    "create": {"url": "/items", "body": '{"external": "{id}", "code": "{code}"}'},
    "delete": {"url": "/items/{found}"},
}


def test_search_then_decide(rig: Made) -> None:
    one = rig(SEARCHED)
    one.apply(upsert("771", "a", "1"))
    one.apply(upsert("771", "b", "1"), entry=2)
    (record,) = one.records.values()
    assert (record["external"], record["code"]) == (771, "b")
    one.apply(delete("771", None, None), entry=3)
    assert not one.records
    one.apply(delete("771", None, None), entry=4)
    methods = [seen["method"] for seen in one.seen]
    assert methods == ["GET", "POST", "GET", "PATCH", "GET", "DELETE", "GET"]
    assert all("Idempotency-Key" not in seen["headers"] for seen in one.seen[::2])


def test_merge_patch(rig: Made) -> None:
    table = TargetTable(ITEM.table, (*ITEM.columns, TargetColumn("doc", "jsonb")), ("id",))
    one = rig({**PATCHED, "update": {"url": "/items/{id}", "send": "merge_patch"}}, table=table)
    new = pa.array([True])
    one.apply(upsert("1", "a", "1", '{"a": 1, "b": {"c": 1.50, "d": 2}}'), created=new)
    was = before(table, ("1", "a", "1", '{"a": 1, "b": {"c": 1.50, "d": 2}}'))
    one.apply(upsert("1", None, "1", '{"a": 2, "b": {"c": 1.50}}'), entry=2, before=was)
    assert one.seen[-1]["body"] == '{"code":null,"doc":{"a":2,"b":{"d":null}}}'
    assert one.seen[-1]["headers"]["Content-Type"] == "application/merge-patch+json"
    with pytest.raises(RowRefused, match="does not say what it was"):
        one.write(upsert("1", "a", "1", '{"a": 2}'), entry=3)


def test_what_is_not_sent_is_never_null(rig: Made) -> None:
    one = rig()
    one.apply(upsert("1", "a", "1"))
    with pytest.raises(RowRefused, match="does not carry code") as refused:
        one.write(upsert("2", "b", "1"), upsert("1", NOT_SENT, "2"), entry=2)
    assert refused.value.seq == 1
    assert one.records.keys() == {"/items/1", "/items/2"}
    two = rig({**PUT, "update": {"url": "/items/{id}"}})
    two.apply(upsert("1", "a", "1"), upsert("1", NOT_SENT, "2"))
    assert two.records["/items/1"] == {"id": 1, "code": "a", "amount": "2"}


def test_soft_deletes_mark_what_is_there(rig: Made) -> None:
    one = rig({**PUT, "update": {"url": "/items/{id}"}})
    one.apply(
        upsert("1", "a", "1"), (PATCH, ("1", "gone", NOT_SENT)), (PATCH, ("2", "gone", NOT_SENT))
    )
    assert one.records == {"/items/1": {"id": 1, "code": "gone", "amount": "1"}}


def test_a_truncate_pauses_unless_it_is_to_be_ignored(rig: Made) -> None:
    one = rig()
    one.apply(upsert("1", "a", "1"))
    with pytest.raises(TargetRefused, match="has no request that removes everything"):
        one.write((CLEAR, (None, None, None)), entry=2)
    two = rig(on_truncate="ignore")
    written = two.apply((CLEAR, (None, None, None)), upsert("1", "a", "1"))
    assert written["public.item"].cleared == 1
    assert two.records.keys() == {"/items/1"}


def test_coalescing_sends_the_last_of_what_waits(rig: Made) -> None:
    one = rig({**PUT, "coalesce": "true"}, limits={"concurrency": "1"})
    written = one.apply(*(upsert("1", str(n), "1") for n in range(50)), delete("2", None, None))
    item = written["public.item"]
    assert item.upserted + item.coalesced == 50
    assert item.coalesced > 40
    assert one.records == {"/items/1": {"id": 1, "code": "49", "amount": "1"}}
