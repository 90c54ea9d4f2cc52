"""What is measured of an API, in base units: `tailrace run` serves it with everything else.

Labels are the pipeline, the tables that the target declares, their kinds of requests and classes of
statuses: their number does not grow with what is sent.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "tailrace_http_requests",
    "Requests by what was answered: 2xx, 3xx, 4xx, 5xx; none: there was no answer",
    ["pipeline", "table", "request", "status"],
)
RETRIES = Counter(
    "tailrace_http_retries",
    "Times a change or a batch was tried again after a passing fault",
    ["pipeline", "table"],
)
THROTTLED = Counter(
    "tailrace_http_throttled",
    "Answers with which the API asked for fewer requests: 429, or as `result` or Retry-After say",
    ["pipeline", "table"],
)
SECONDS = Histogram(
    "tailrace_http_request_seconds",
    "From a request's first byte to its answer's last; of those that got one",
    ["pipeline", "table"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60),
)
IN_FLIGHT = Gauge(
    "tailrace_http_in_flight",
    "Requests under way",
    ["pipeline"],
    multiprocess_mode="mostrecent",
)
IN_FLIGHT_LIMIT = Gauge(
    "tailrace_http_in_flight_limit",
    "How many may be: limits.concurrency, or fewer while the API is overloaded",
    ["pipeline"],
    multiprocess_mode="mostrecent",
)
BREAKER = Gauge(
    "tailrace_http_breaker",
    "Of an entity: 0 closed, 1 half open (one request goes ahead), 2 open (none)",
    ["pipeline", "table"],
    multiprocess_mode="mostrecent",
)

CLOSED, HALF_OPEN, OPEN = 0, 1, 2


class Meters:
    """Of one pipeline."""

    def __init__(self, pipeline: str) -> None:
        self._pipeline = pipeline
        self._answers: dict[tuple[str, str, str], Counter] = {}
        self._seconds: dict[str, Histogram] = {}
        self._in_flight = IN_FLIGHT.labels(pipeline)
        self._limit = IN_FLIGHT_LIMIT.labels(pipeline)
        self._shown = (-1, -1)

    def answered(self, table: str, request: str, status: int, took_s: float) -> None:
        self._count(table, request, f"{status // 100}xx")
        seconds = self._seconds.get(table)
        if seconds is None:
            seconds = self._seconds[table] = SECONDS.labels(self._pipeline, table)
        seconds.observe(took_s)

    def lost(self, table: str, request: str) -> None:
        self._count(table, request, "none")

    def retried(self, table: str) -> None:
        RETRIES.labels(self._pipeline, table).inc()

    def throttled(self, table: str) -> None:
        THROTTLED.labels(self._pipeline, table).inc()

    def flying(self, requests: int, limit: int) -> None:
        """Written where it changed: it is called twice a request."""
        if self._shown != (requests, limit):
            if self._shown[1] != limit:
                self._limit.set(limit)
            self._in_flight.set(requests)
            self._shown = (requests, limit)

    def breaker(self, table: str, state: int) -> None:
        BREAKER.labels(self._pipeline, table).set(state)

    def _count(self, table: str, request: str, status: str) -> None:
        key = (table, request, status)
        counter = self._answers.get(key)
        if counter is None:
            counter = self._answers[key] = REQUESTS.labels(self._pipeline, *key)
        counter.inc()
