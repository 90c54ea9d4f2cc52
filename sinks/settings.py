"""What an operator declares of any target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from transforms.protect.model import Protect


class Strict(BaseModel):
    """Unknown keys are errors, which do not show what was written; nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TargetSettings(Strict):
    """`protect`: what becomes of fields of entities by their class."""

    protect: Protect = Protect()
