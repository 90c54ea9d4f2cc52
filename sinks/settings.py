"""What an operator declares of any target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from transforms.protect.model import Protect


class TargetSettings(BaseModel):
    """`protect`: what becomes of fields of entities by their class."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    protect: Protect = Protect()
