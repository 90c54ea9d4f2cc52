"""What an operator declares of a target: what becomes of the fields of each class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema

from transforms.classes import CLASSES, PROTECTED, FieldClass

Action = Literal["pass", "mask", "hash", "tokenise", "drop"]
KEYED = ("hash", "tokenise")
_BARE = ("pass", "mask", "drop")


class Rule(BaseModel):
    """`key` names the key of ``hash`` and ``tokenise``; the others have none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Action
    key: str | None = None


_PASS = Rule(action="pass")
_DROP = Rule(action="drop")


def _rule(value: object) -> Rule:
    if isinstance(value, Rule):
        return value
    if value in _BARE:
        return Rule.model_validate({"action": value})
    if isinstance(value, dict) and len(value) == 1:
        ((action, key),) = value.items()
        if action in KEYED and isinstance(key, str) and key:
            return Rule.model_validate({"action": action, "key": key})
    raise ValueError("write pass, mask, drop, {hash: KEY} or {tokenise: KEY}")


_SCHEMA = {
    "anyOf": [
        {"enum": list(_BARE)},
        *(
            {
                "type": "object",
                "properties": {action: {"type": "string"}},
                "required": [action],
                "additionalProperties": False,
            }
            for action in KEYED
        ),
    ]
}
TargetRule = Annotated[Rule, PlainValidator(_rule), WithJsonSchema(_SCHEMA)]


class Protect(BaseModel):
    """By class the rule of one target. `public` and `internal` pass unless said otherwise; an
    entity with `personal` or `secret` fields is refused where their rule is missing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public: TargetRule | None = None
    internal: TargetRule | None = None
    personal: TargetRule | None = None
    secret: TargetRule | None = None

    @property
    def rules(self) -> list[Rule]:
        """One for each class."""
        return [self.rule(field_class) for field_class in CLASSES]

    def lacks(self, field_class: FieldClass) -> bool:
        """Whether a field of this class cannot be written to the target for want of a rule."""
        return field_class in PROTECTED and getattr(self, field_class) is None

    def rule(self, field_class: FieldClass) -> Rule:
        """What lacks a rule is not written, should anything ask."""
        found: Rule | None = getattr(self, field_class)
        return found or (_DROP if self.lacks(field_class) else _PASS)
