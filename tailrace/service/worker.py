"""The body of one worker process: capture of a source, or delivery of a pipeline."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable

from tailrace.errors import UNEXPECTED, TailraceError
from tailrace.pipeline.policy import policy_of
from tailrace.pipeline.stopping import Stop
from tailrace.service.layout import Layout
from tailrace.service.logs import set_up_logs
from tailrace.state.processes import Reporter, Role

log = logging.getLogger("tailrace.worker")


def work(layout: Layout, role: Role, name: str, body: Callable[[Reporter, Stop], None]) -> None:
    """Run `body` until it ends or SIGTERM asks it to; report and log what stops it.

    Errors: those of `body`, after they were reported.
    """
    set_up_logs(f"{role}/{name}")
    stop = Stop()
    stop.listen()
    if os.environ.get("TAILRACE_SUPERVISED") == "1":
        threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    reporter = Reporter(layout.run, role, name)
    reporter.say("starting")
    try:
        body(reporter, stop)
    except TailraceError as error:
        log.error(str(error), extra={"code": error.code, "kind": type(error).__name__})
        passes = policy_of(error).action == "retry"
        reporter.say("retrying" if passes else "failed", error=error)
        raise
    except Exception as error:
        log.exception("unexpected error", extra={"code": UNEXPECTED})
        reporter.say("retrying", error=error)
        raise


def _stop_with_parent(stop: Stop) -> None:
    """The supervisor holds the other end of our standard input; its end is the supervisor's."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    stop.set()
