"""Which groups of records become one."""

from __future__ import annotations

from itertools import permutations

from sinks.clusters import Record, joined

RANKS = {"erp": 0, "crm": 1, "shop": 2}


def records(*given: str) -> list[Record]:
    """`erp1`: record 1 of erp, with an identity of the same name; `(erp1)`: it is gone."""
    found = []
    for text in given:
        name = text.strip("()")
        found.append(Record(name, name[:-1], name[-1], live=name == text))
    return found


def test_a_group_goes_on_in_the_record_of_lowest_rank() -> None:
    group = records("shop1", "erp1", "crm1")
    for pairs in permutations([("shop1", "crm1"), ("crm1", "erp1")]):
        assert joined(group, pairs, [], RANKS) == {"shop1": "erp1", "crm1": "erp1"}


def test_two_records_of_a_source_are_two() -> None:
    """Nothing of their group is joined; a record that is gone does not count."""
    pairs = [("shop1", "erp1"), ("shop1", "erp2"), ("crm1", "erp1")]
    assert joined(records("shop1", "erp1", "erp2", "crm1"), pairs, [], RANKS) == {}
    found = joined(records("shop1", "erp1", "(erp2)", "crm1"), pairs, [], RANKS)
    assert found == {"shop1": "erp1", "crm1": "erp1", "erp2": "erp1"}


def test_what_is_set_apart_is_not_joined_by_a_third() -> None:
    pairs = [("crm1", "erp1"), ("crm1", "shop1"), ("crm2", "shop2")]
    group = records("erp1", "shop1", "crm1", "crm2", "shop2")
    assert joined(group, pairs, [("erp1", "shop1")], RANKS) == {"shop2": "crm2"}
