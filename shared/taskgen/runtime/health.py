"""A service's metrics for Prometheus, and its health."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from taskgen.run import now

log = logging.getLogger(__name__)

_LAG_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400)
_BATCH_BUCKETS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """The metrics of all services; a service leaves those that do not apply at zero."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        one = self.registry
        self.frames = Counter("taskgen_frames", "Profiles processed.", registry=one)
        self.events = Counter("taskgen_events", "Events processed.", registry=one)
        self.bytes = Counter("taskgen_bytes", "Bytes processed.", registry=one)
        self.lag = Histogram(
            "taskgen_lag_seconds",
            "Time from receiving a profile from the board to storing it.",
            buckets=_LAG_BUCKETS,
            registry=one,
        )
        self.batch = Histogram(
            "taskgen_batch_messages", "Messages in a commit.", buckets=_BATCH_BUCKETS, registry=one
        )
        self.redeliveries = Counter("taskgen_redeliveries", "Redelivered messages.", registry=one)
        self.dead_letters = Counter(
            "taskgen_parked", "Messages that could not be processed and were dead-lettered.", registry=one
        )
        self.store_retries = Counter("taskgen_store_retries", "Retried commits.", registry=one)
        self.reconnects = Counter(
            "taskgen_reconnects",
            "Losses of the connection to the broker; attempts to reconnect are not counted.",
            registry=one,
        )
        self.consuming = Gauge("taskgen_consuming", "1 if messages are consumed.", registry=one)
        self.outbox = Gauge("taskgen_outbox_messages", "Messages in the outbox.", registry=one)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format, version 0.0.4."""
        return generate_latest(self.registry)

    def observe_lag(self, received_at: str) -> None:
        """Observe the lag of a profile that was just stored; ignore an invalid time."""
        with suppress(ValueError):
            received = datetime.fromisoformat(received_at).timestamp()
            self.lag.observe(max(0.0, time.time() - received))  # the clock of the board's host may be ahead


@dataclass(frozen=True, slots=True)
class Part:
    """The state of something that the service depends on."""

    is_ok: bool
    reason: str = ""
    since: str = field(default_factory=now)
    """Host's time, UTC, ISO 8601."""


class Health:
    """Whether the service works, and if not, which part is to blame.

    A service is healthy if at least one part was set and all parts are ok. `set` may be called from any
    thread.
    """

    def __init__(self, metrics: Metrics | None = None) -> None:
        self.metrics = metrics or Metrics()
        self.parts: dict[str, Part] = {}

    def set(self, part: str, is_ok: bool, reason: str = "") -> None:
        """Set the state of a part; log it if it has changed.

        Args:
            part: such as `broker`, `consuming`, `store`.
            is_ok: whether it works.
            reason: why it does not, in one line.
        """
        before = self.parts.get(part)
        if before is not None and (before.is_ok, before.reason) == (is_ok, reason):
            return
        self.parts = {**self.parts, part: Part(is_ok, reason)}
        if part == "consuming":
            self.metrics.consuming.set(is_ok)
        level = logging.INFO if is_ok else logging.WARNING
        log.log(level, "%s: %s", part, "ok" if is_ok else reason, extra={"part": part})

    def set_broker(self, reason: str) -> None:
        """Set the part `broker`: an empty reason means that there is a connection."""
        before = self.parts.get("broker")
        if reason and before is not None and before.is_ok:
            self.metrics.reconnects.inc()
        self.set("broker", not reason, reason)

    @property
    def is_ok(self) -> bool:
        """Whether the service is healthy."""
        return bool(self.parts) and all(part.is_ok for part in self.parts.values())

    def text(self) -> bytes:
        """The parts as JSON: `{"ok": false, "parts": {"broker": {"ok": false, "reason": "...", ...}}}`."""
        parts = {
            name: {"ok": part.is_ok, "reason": part.reason, "since": part.since}
            for name, part in self.parts.items()
        }
        return json.dumps({"ok": self.is_ok, "parts": parts}).encode() + b"\n"
