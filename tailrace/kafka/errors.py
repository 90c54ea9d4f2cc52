"""What may go wrong with a broker. Sinks and sources say what it means for them.

TransportError
├── Unreachable   no answer, or one that says: not now; worth another try
├── Refused       the broker says no: a right, a setting, a topic
└── Superseded    another producer with this transactional id has begun, or the broker has
                  given this one up
"""

from __future__ import annotations


class TransportError(Exception):
    """`what` is one sentence with the broker's name of the error, without any content."""

    def __init__(self, what: str, *, topic: str | None = None) -> None:
        self.what = what
        self.topic = topic
        super().__init__(what)


class Unreachable(TransportError):
    pass


class Refused(TransportError):
    pass


class Superseded(TransportError):
    pass
