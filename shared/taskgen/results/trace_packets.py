"""The packets of a Perfetto trace: processes, tracks, slices and instants.

Source: protos/perfetto/trace/track_event/ in Perfetto's repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from taskgen.errors import SettingsError

_NS_PER_MS: Final = 1_000_000
_LATEST_MS: Final = 2**63 // _NS_PER_MS
"""Upper bound (292 years) for times from an implausible clock or deadline."""

Facts = Mapping[str, object]
"""Arguments of a slice or an instant; those that are None are left out."""


@contextmanager
def open_trace(path: Path) -> Iterator[TracePackets]:
    """Begin a file, and end it.

    Raises:
        SettingsError: the package `perfetto` is not installed.
        OSError: the file cannot be written.
    """
    try:
        from perfetto.trace_builder import proto_builder  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingsError("for Perfetto traces, install taskgen-events[perfetto]") from error
    with path.open("wb") as file:
        yield TracePackets(proto_builder.StreamingTraceProtoBuilder(file))


class TracePackets:
    """Writes packets as they come, so memory does not grow with their number.

    Args:
        builder: of the package `perfetto`, which has no types.
    """

    def __init__(self, builder: Any) -> None:  # noqa: ANN401 - of a package without types
        self._builder = builder
        self._tracks = 0
        self._processes = 0
        self._names: dict[str, int] = {}
        first = self._packet()
        first.sequence_flags = first.SEQ_INCREMENTAL_STATE_CLEARED
        self._builder.write_packet(first)

    def process(self, name: str) -> int:
        """Add a process; returns the id of its track."""
        self._processes += 1
        packet = self._track_packet()
        packet.track_descriptor.process.pid = self._processes
        packet.track_descriptor.process.process_name = name
        self._builder.write_packet(packet)
        return self._tracks

    def track(self, parent: int, name: str) -> int:
        """Add a track below another one; returns its id."""
        packet = self._track_packet()
        packet.track_descriptor.parent_uuid = parent
        packet.track_descriptor.name = _text(name)
        self._builder.write_packet(packet)
        return self._tracks

    def slice(self, track: int, span_ms: tuple[int, int], category: str, name: str, facts: Facts) -> None:
        """Add a slice; slices of one track must not overlap."""
        begin_ms, end_ms = span_ms
        self._event(track, begin_ms, "TYPE_SLICE_BEGIN", category, name, facts)
        self._event(track, end_ms, "TYPE_SLICE_END", category, name, {})

    def instant(self, track: int, at_ms: int, category: str, name: str, facts: Facts) -> None:
        """Add an instant."""
        self._event(track, at_ms, "TYPE_INSTANT", category, name, facts)

    def _packet(self) -> Any:  # noqa: ANN401 - as above
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = 1
        packet.sequence_flags = packet.SEQ_NEEDS_INCREMENTAL_STATE
        return packet

    def _track_packet(self) -> Any:  # noqa: ANN401 - as above
        self._tracks += 1
        packet = self._packet()
        descriptor = packet.track_descriptor
        descriptor.uuid = descriptor.sibling_order_rank = self._tracks
        descriptor.child_ordering = descriptor.EXPLICIT
        return packet

    def _event(self, track: int, at_ms: int, kind: str, category: str, name: str, facts: Facts) -> None:
        packet = self._packet()
        packet.timestamp = min(at_ms, _LATEST_MS) * _NS_PER_MS
        event = packet.track_event
        event.type = event.Type.Value(kind)
        event.track_uuid = track
        event.categories.append(category)
        event.name = _text(name)
        for key, value in facts.items():
            if value is not None:
                self._annotate(packet, key, value)
        self._builder.write_packet(packet)

    def _annotate(self, packet: Any, key: str, value: object) -> None:  # noqa: ANN401 - as above
        if key not in self._names:  # written once, and referred to by number from then on
            self._names[key] = len(self._names) + 1
            packet.interned_data.debug_annotation_names.add(iid=self._names[key], name=_text(key))
        annotation = packet.track_event.debug_annotations.add(name_iid=self._names[key])
        if isinstance(value, bool):
            annotation.bool_value = value
        elif isinstance(value, int) and -(2**63) <= value < 2**64:
            setattr(annotation, "int_value" if value < 0 else "uint_value", value)
        elif isinstance(value, float):
            annotation.double_value = value
        else:
            annotation.string_value = _text(value)


def _text(value: object) -> str:
    """A value as text that UTF-8 can represent; lists and dictionaries as JSON."""
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return text.encode(errors="backslashreplace").decode()
