"""The caller's trace goes along with its calls, as W3C trace context; nothing is loaded for it.

A program that traces has OpenTelemetry loaded by itself: then the span that is current where a call
is made, or a stream is asked for, becomes the parent of the farm's.
"""

import sys

from farm.client.token import Metadata


def traced(metadata: Metadata) -> Metadata:
    """What goes with a call, and the current span with it, if there is one."""
    api = sys.modules.get("opentelemetry.trace")
    current = getattr(api, "get_current_span", None)  # not there while another thread imports it
    if current is None:
        return metadata
    span = current().get_span_context()
    if not span.is_valid:
        return metadata
    parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
    state = span.trace_state.to_header()
    passed = (("traceparent", parent), ("tracestate", state))
    return (*metadata, *passed) if state else (*metadata, passed[0])
