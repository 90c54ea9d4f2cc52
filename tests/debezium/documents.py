"""What a MongoDB server has and what happens to it while Debezium watches: every type of BSON as
value and as key, and every kind of event, in canonical Extended JSON.

https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/
https://www.mongodb.com/docs/manual/reference/change-events/
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]


def oid(number: int) -> Document:
    return {"$oid": f"65f0{number:020x}"}


def whole(number: int) -> Document:
    return {"$numberInt": str(number)}


def binary(encoded: str, kind: str = "00") -> Document:
    return {"$binary": {"base64": encoded, "subType": kind}}


def date(milliseconds: int) -> Document:
    return {"$date": {"$numberLong": str(milliseconds)}}


UUID = binary("oO68mZwLTvi7bWu5vTgKEQ==", "04")
"""a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11."""

VALUES: Document = {
    "i4": whole(-2147483648),
    "i8": {"$numberLong": "9223372036854775807"},
    "small": {"$numberLong": "5"},
    "d": {"$numberDouble": "0.1"},
    "big": {"$numberDouble": "1e+300"},
    "even": {"$numberDouble": "4.0"},
    "nan": {"$numberDouble": "NaN"},
    "inf": {"$numberDouble": "-Infinity"},
    "n": {"$numberDecimal": "1.50"},
    "wide": {"$numberDecimal": "1234567890123456789012345678.012345"},
    "b": True,
    "t": 'Grüße "NaN" \\ \t',
    "day": date(1_709_164_800_000),
    "ts": date(1_709_251_199_123),
    "early": date(-2_208_988_800_001),
    "late": date(253_402_300_800_000),
    "o": oid(7),
    "u": UUID,
    "y": binary("AP8="),
    "typed": binary("AP8=", "80"),
    "re": {"$regularExpression": {"pattern": "^a.*", "options": "i"}},
    "at": {"$timestamp": {"t": 1700000000, "i": 3}},
    "code": {"$code": "function() {}"},
    "lowest": {"$minKey": 1},
    "nothing": None,
    "tags": ["a", None, 'b "c"'],
    "numbers": [whole(1), {"$numberLong": "2"}],
    "nested": {
        "when": date(0),
        "n": {"$numberLong": "1"},
        "deep": [{"x": {"$numberDouble": "1.0"}}],
    },
    "id": "a field that is called so",
}
KEYS: tuple[Any, ...] = (
    oid(2),
    "65f000000000000000000002",
    whole(7),
    "7",
    {"$numberDouble": "7.5"},
    {"$numberLong": "9007199254740993"},
    {"$numberDecimal": "7.10"},
    UUID,
    {"a": whole(1), "b": "x"},
    date(1_700_000_000_123),
    True,
    "",
    'quoted "\u00fc"',
)
"""Of the collection ``shop.key``: all that may stand in one collection."""


def event(kind: str, collection: str, key: Any, **more: Any) -> Document:
    names = {"ns": {"db": "shop", "coll": collection}, "documentKey": {"_id": key}}
    return {"operationType": kind, **names, **more}


def insert(collection: str, key: Any, **fields: Any) -> Document:
    return event("insert", collection, key, fullDocument={"_id": key, **fields})


def update(
    collection: str,
    key: Any,
    before: Document,
    after: Document | None,
    updated: Document | None = None,
    removed: tuple[str, ...] = (),
    truncated: Document | None = None,
) -> Document:
    """`after`: what looking it up gives; None where it has been deleted by then."""
    said = {
        "updatedFields": updated or {},
        "removedFields": list(removed),
        "truncatedArrays": [
            {"field": name, "newSize": whole(size)} for name, size in (truncated or {}).items()
        ],
    }
    return event(
        "update",
        collection,
        key,
        updateDescription=said,
        fullDocument=None if after is None else {"_id": key, **after},
        fullDocumentBeforeChange={"_id": key, **before},
    )


def delete(collection: str, key: Any, **before: Any) -> Document:
    return event("delete", collection, key, fullDocumentBeforeChange={"_id": key, **before})


SESSION = {
    "lsid": {"id": UUID, "uid": binary("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")},
    "txnNumber": {"$numberLong": "4"},
}
ORDER = {"total": {"$numberDecimal": "9.90"}, "state": "new", "lines": [{"n": whole(1)}]}

DOCUMENTS: dict[str, list[Document]] = {
    "shop.value": [{"_id": oid(1), **VALUES}, {"_id": oid(2)}],
    "shop.key": [{"_id": key, "n": whole(n)} for n, key in enumerate(KEYS)],
    "shop.order": [{"_id": whole(1), **ORDER}, {"_id": whole(2), **ORDER}],
    "shop.mark": [{"_id": "snapshot"}],
}
EVENTS: list[Document] = [
    insert("order", whole(3), **ORDER),
    update("order", whole(1), ORDER, {**ORDER, "state": "paid"}, {"state": "paid"}),
    update("order", whole(2), ORDER, {"total": whole(3)}, {"total": whole(3)}, ("state", "lines")),
    event("replace", "order", whole(3), fullDocument={"_id": whole(3), "state": "replaced"}),
    delete("order", whole(2), total=whole(3)),
    *(delete("key", key, n=whole(n)) for n, key in enumerate(KEYS)),
    insert("value", oid(3), t="in a transaction") | SESSION,
    insert("order", whole(4), **ORDER) | SESSION,
    update(
        "value",
        oid(1),
        VALUES,
        {**VALUES, "i8": whole(6), "ts": date(0), "u": UUID},
        {
            "i8": {"$numberLong": "6"},
            "ts": date(0),
            "early": date(-1),
            "u": UUID,
            "y": binary("AA=="),
        },
    ),
]
NESTED: list[Document] = [
    update(
        "order", whole(4), ORDER, {**ORDER, "lines": [{"n": whole(2)}]}, {"lines.0.n": whole(2)}
    ),
    update("order", whole(4), ORDER, {**ORDER, "lines": []}, truncated={"lines": 0}),
]
GONE: list[Document] = [
    insert("order", whole(5), **ORDER),
    update("order", whole(5), ORDER, None, {"lines.0.n": whole(2)}),
    update("order", whole(5), ORDER, None, {"state": "late"}),
    delete("order", whole(5)),
]
"""A document that was deleted before it was looked up."""
END = insert("mark", "end")


def script(*parts: list[Document]) -> Document:
    return {"documents": DOCUMENTS, "events": [one for part in parts for one in part] + [END]}
