"""Which source owns which field of an entity, as an operator declares it (`system_of_record`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from transforms.words import PlainName, plain_name

Rule = Literal["first", "newest"]
ROWS, DEFAULT = "rows", "default"


class Owners(BaseModel):
    """The sources that own a field, in order, and the rule that chooses among them.

    ``first``   the first that has a value
    ``newest``  the one whose row was committed last; of two at one time the first in the list
    """

    model_config = ConfigDict(frozen=True)

    rule: Rule
    sources: tuple[str, ...]

    @property
    def held(self) -> tuple[str, ...]:
        """Those of which a value may be required: the last that others fall back to, or each where
        any of them may count."""
        return self.sources if self.rule == "newest" else self.sources[-1:]


def _owners(value: object) -> Owners:
    if isinstance(value, Owners):
        return value
    rule: Rule = "first"
    if isinstance(value, dict) and len(value) == 1:
        ((word, value),) = value.items()
        if word not in ("first", "newest") or not isinstance(value, list):
            raise ValueError(_FORMS)
        rule = word
    given = value if isinstance(value, list) else [value]
    names = tuple(plain_name(name) for name in given if isinstance(name, str))
    if not names or len(names) < len(given):
        raise ValueError(_FORMS)
    if len(set(names)) < len(names):
        raise ValueError("a source is named twice")
    return Owners(rule=rule, sources=names)


_FORMS = "write a source, a list of sources, {first: [S1, S2]} or {newest: [S1, S2]}"
_NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1}
OwnersRule = Annotated[
    Owners,
    PlainValidator(_owners),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                _NAMES,
                *(
                    {
                        "type": "object",
                        "properties": {word: _NAMES},
                        "required": [word],
                        "additionalProperties": False,
                    }
                    for word in ("first", "newest")
                ),
            ]
        }
    ),
]


class SystemOfRecord(BaseModel):
    """`rows`: the source whose rows make and remove the entity. `default`: who owns the fields that
    are not named. Every other key is a field."""

    model_config = ConfigDict(extra="allow", frozen=True)

    rows: PlainName
    default: OwnersRule | None = None
    __pydantic_extra__: dict[str, OwnersRule] = Field(init=False)

    @property
    def named(self) -> dict[str, Owners]:
        """Owners of the fields that are named."""
        return dict(self.__pydantic_extra__)

    def owners(self, field: str) -> Owners | None:
        return self.named.get(field, self.default)

    @property
    def sources(self) -> set[str]:
        """All that are named anywhere."""
        lists = [owners.sources for owners in self.named.values()]
        lists.append(self.default.sources if self.default else ())
        return {self.rows, *(name for names in lists for name in names)}
