from pathlib import Path

import pytest

from farm.shm.ring_layout import RingView, create_ring

SCRIPT = Path(__file__).parent / "ring_race.py"


# The smallest ring wraps and fills all the time; the larger one lets both run side by side.
@pytest.mark.parametrize("capacity", [4096, 1 << 17])
def test_every_byte_of_every_record_crosses_between_two_processes(
    start_process, instance, capacity
):
    with create_ring(instance, 0, capacity) as segment:
        consumer = start_process([SCRIPT, "consume", instance, 1.0])
        producer = start_process([SCRIPT, "produce", instance, 1.0])
        sent = producer.wait_for("done")["records"]
        got = consumer.wait_for("done")
        assert sent > 1_000
        assert got == {"event": "done", "records": sent, "wrong": 0}
        assert RingView(segment).records == sent
        assert RingView(segment).used_bytes == 0
