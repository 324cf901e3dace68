"""The ring's corners, with cursors set by hand."""

import numpy as np
import pytest

from farm.errors import CorruptDataError, SegmentError
from farm.shm import ring
from farm.shm.ring import RingConsumer, RingProducer
from farm.shm.ring_layout import (
    ATTEMPTED_EXPERIENCES_OFFSET,
    ATTEMPTED_RECORDS_OFFSET,
    CHECKPOINT_OFFSET,
    DATA_OFFSET,
    HEAD_OFFSET,
    LINE_BYTES,
    PARKED_OFFSET,
    SAVED_TAIL,
    STAMP,
    TAIL_OFFSET,
    RingView,
    attach_ring,
    create_ring,
    max_payload_bytes,
    ring_segment_bytes,
    unpublished,
)

CAPACITY = 4096
LARGEST = max_payload_bytes(CAPACITY)
# Where a ring wraps, and where signed and unsigned 64-bit positions do.
POSITIONS = [
    0,
    CAPACITY - 8,
    CAPACITY - 72,
    2**53 - 8,
    2**63 - CAPACITY,
    2**63 - 8,
    2**63,
    2**64 - CAPACITY,
    2**64 - 8,
]


@pytest.fixture(params=POSITIONS, ids=lambda position: f"at{position}")
def placed(request, make_ring):
    return make_ring(CAPACITY, request.param)


def put(producer, payload, n_experiences=0):
    room = producer.try_claim(len(payload), n_experiences)
    if room is None:
        return False
    room[:] = payload
    return True


def drain(consumer):
    payloads = []
    while (record := consumer.peek()) is not None:
        payloads.append(bytes(record))
    consumer.release()
    return payloads


def test_records_come_out_whole_and_in_order(placed):
    producer, consumer = RingProducer(placed), RingConsumer(placed)
    sent = []
    for n_bytes in [0, 1, 7, 8, 9, 63, 64, 65, 500, LARGEST, 3, LARGEST, 2000, 1] * 20:
        payload = bytes([len(sent) % 251]) * n_bytes
        assert put(producer, payload)
        producer.publish()
        sent.append(payload)
        assert drain(consumer) == sent[-1:]
    assert consumer.peek() is None


def test_nothing_is_visible_before_the_publish_and_everything_after(placed):
    producer, consumer = RingProducer(placed), RingConsumer(placed)
    for payload in (b"a", b"bb", b"ccc"):
        assert put(producer, payload)
        assert consumer.peek() is None
    producer.publish()
    assert drain(consumer) == [b"a", b"bb", b"ccc"]


def test_a_full_ring_refuses_and_takes_again_what_was_released(placed):
    producer, consumer = RingProducer(placed), RingConsumer(placed)
    n_put = 0
    while put(producer, b"x" * 56):
        n_put += 1
        producer.publish()
    assert n_put == CAPACITY // 64 - (placed.load(HEAD_OFFSET) % 64 != 0)
    assert consumer.peek() is not None
    assert not put(producer, b"x" * 56)
    consumer.release()
    assert put(producer, b"x" * 56)


def test_a_ring_is_filled_to_the_last_byte(make_ring):
    segment = make_ring(CAPACITY)
    producer, consumer = RingProducer(segment), RingConsumer(segment)
    for _ in range(CAPACITY // 8):
        assert put(producer, b"")
    producer.publish()
    assert not put(producer, b"")
    assert RingView(segment).used_bytes == CAPACITY
    assert drain(consumer) == [b""] * (CAPACITY // 8)
    assert RingView(segment).used_bytes == 0


@pytest.mark.parametrize("place", range(0, CAPACITY, 8))
def test_the_largest_record_fits_an_empty_ring_at_every_place(make_ring, place):
    segment = make_ring(CAPACITY, 2**63 - CAPACITY + place)
    producer, consumer = RingProducer(segment), RingConsumer(segment)
    payload = bytes(range(256)) * (LARGEST // 256) + b"z" * (LARGEST % 256)
    assert put(producer, payload)
    producer.publish()
    assert drain(consumer) == [payload]


@pytest.mark.parametrize("n_bytes", [LARGEST + 1, CAPACITY, 2**31, 2**62, -1])
def test_a_record_that_never_fits_is_said_to_be_too_large(make_ring, n_bytes):
    producer = RingProducer(make_ring(CAPACITY))
    assert ring.try_claim(producer.mem, producer.cursor, n_bytes, 0) == ring.TOO_LARGE
    with pytest.raises(ValueError, match=f"0 to {LARGEST}"):
        producer.try_claim(n_bytes)
    assert ring.next_sequence(producer.cursor) == 0


@pytest.mark.parametrize("n_bytes", [64, np.int32(64), np.uint32(64), np.uint64(64)])
def test_a_size_of_any_integer_type_is_taken(make_ring, n_bytes):
    producer = RingProducer(make_ring(CAPACITY))
    offset = ring.try_claim(producer.mem, producer.cursor, n_bytes, 0)
    assert offset == DATA_OFFSET + 8
    assert producer.cursor[ring.CLAIMED] == 72


def test_a_record_that_does_not_fit_before_the_end_starts_over_behind_a_skip(make_ring):
    segment = make_ring(CAPACITY, CAPACITY - 16)
    producer, consumer = RingProducer(segment), RingConsumer(segment)
    assert put(producer, b"123456789")
    producer.publish()
    assert segment.load(DATA_OFFSET + CAPACITY - 16) == (CAPACITY - 16) // 8 << 32 | 0xFFFF_FFFF
    assert segment.load(DATA_OFFSET) == CAPACITY // 8 << 32 | 9
    assert drain(consumer) == [b"123456789"]
    assert segment.load(HEAD_OFFSET) == CAPACITY + 24


def test_the_room_for_a_skip_counts(make_ring):
    producer = RingProducer(make_ring(CAPACITY, CAPACITY // 2 - 64))
    assert put(producer, b"x" * LARGEST)
    # Half the ring is free, yet 64 bytes of it are before the end.
    assert ring.free_bytes(producer.mem, producer.cursor) == CAPACITY // 2
    assert not put(producer, b"x" * LARGEST)
    assert put(producer, b"x" * (LARGEST - 64))


def test_the_last_claim_can_shrink(placed):
    producer, consumer = RingProducer(placed), RingConsumer(placed)
    for n_bytes in range(40):
        room = producer.try_claim(500)
        room[:n_bytes] = b"s" * n_bytes
        ring.shrink(producer.mem, producer.cursor, n_bytes)
        assert put(producer, b"next")
        producer.publish()
        assert drain(consumer) == [b"s" * n_bytes, b"next"]


def test_a_shrink_that_would_grow_or_has_no_claim_does_nothing(make_ring):
    producer = RingProducer(make_ring(CAPACITY))
    before = producer.cursor.copy()
    ring.shrink(producer.mem, producer.cursor, 0)
    assert np.array_equal(producer.cursor, before)
    assert put(producer, b"12345")
    before = producer.cursor.copy()
    for n_bytes in (6, 64, -1, 2**62):
        ring.shrink(producer.mem, producer.cursor, n_bytes)
        assert np.array_equal(producer.cursor, before)
    assert producer.segment.load(DATA_OFFSET) == 5


def test_abandoned_claims_never_happened(placed):
    producer, consumer = RingProducer(placed), RingConsumer(placed)
    put(producer, b"kept", 1)
    producer.publish()
    put(producer, b"lost", 5)
    put(producer, b"lost too", 6)
    assert ring.abandon(producer.mem, producer.cursor) == 2
    assert ring.next_sequence(producer.cursor) == 1
    put(producer, b"next", 1)
    producer.publish()
    assert drain(consumer) == [b"kept", b"next"]
    saved = RingView(placed).checkpoint()
    assert (saved.records, saved.experiences) == (2, 2)
    assert (saved.aborted_records, saved.aborted_experiences) == (2, 11)


def test_drops_use_up_sequences_and_are_counted(placed):
    producer = RingProducer(placed)
    view = RingView(placed)
    put(producer, b"one", 32)
    producer.publish()
    ring.drop(producer.mem, producer.cursor, ring.RING_FULL, 3, 96)
    assert (view.records, view.experiences, view.dropped) == (1, 32, 3)
    assert view.checkpoint().dropped_experiences == 96
    assert ring.next_sequence(producer.cursor) == 4
    put(producer, b"two", 32)
    ring.drop(producer.mem, producer.cursor, ring.RING_FULL, 1, 32)
    assert view.dropped == 3
    producer.publish()
    assert (view.records, view.experiences, view.dropped) == (2, 64, 4)
    assert ring.next_sequence(producer.cursor) == 6


def test_every_reason_to_drop_has_a_count_of_its_own(placed):
    producer = RingProducer(placed)
    ring.drop(producer.mem, producer.cursor, ring.RING_FULL, 1, 10)
    ring.drop(producer.mem, producer.cursor, ring.SAMPLED, 2, 30)
    saved = RingView(placed).checkpoint()
    assert (saved.dropped_records, saved.dropped_experiences) == (1, 10)
    assert (saved.sampled_records, saved.sampled_experiences) == (2, 30)
    assert (saved.sequence, saved.records, saved.experiences) == (3, 0, 0)


def test_what_a_living_producer_has_claimed_is_attempted_and_not_published(placed):
    producer = RingProducer(placed)
    put(producer, b"one", 32)
    put(producer, b"two", 32)
    saved = RingView(placed).checkpoint()
    assert unpublished(placed, saved) == (2, 64)
    producer.publish()
    assert unpublished(placed, RingView(placed).checkpoint()) == (0, 0)


def test_every_dead_producer_adds_its_claims_to_what_is_aborted_once(placed):
    for n_deaths in range(1, 4):
        producer = RingProducer(placed)
        put(producer, b"lost", 7)
        for _ in range(3):  # those who come and die without a claim add nothing
            RingProducer(placed)
        saved = RingView(placed).checkpoint()
        assert (saved.aborted_records, saved.aborted_experiences) == (n_deaths, 7 * n_deaths)
        assert (saved.sequence, saved.experiences) == (0, 0)


def test_attempts_that_a_stray_write_took_away_do_no_harm(placed):
    producer = RingProducer(placed)
    put(producer, b"one", 32)
    producer.publish()
    placed.store(ATTEMPTED_RECORDS_OFFSET, 0)
    placed.store(ATTEMPTED_EXPERIENCES_OFFSET, 0)
    again = RingProducer(placed)
    assert put(again, b"two", 32)
    again.publish()
    saved = RingView(placed).checkpoint()
    assert (saved.records, saved.experiences, saved.aborted_records) == (2, 64, 0)
    assert unpublished(placed, saved) == (0, 0)


def test_a_view_reads_what_both_sides_did(placed):
    producer, consumer = RingProducer(placed), RingConsumer(placed)
    start = placed.load(TAIL_OFFSET)
    put(producer, b"x" * 20, 10)
    put(producer, b"y" * 20, 30)
    producer.publish(n_games=2)
    consumer.peek()
    consumer.release()
    with RingView(placed).segment as segment:
        view = RingView(segment)
        used = (view.tail - view.head) % 2**64
        assert view.used_bytes == used == 32
        assert (view.tail - start) % 2**64 >= 64
        assert (view.records, view.experiences, view.games, view.dropped) == (2, 40, 2, 0)
        assert view.capacity == CAPACITY
        assert not view.parked


def test_free_bytes_is_never_more_than_there_is_and_exact_when_little_is_left(placed):
    producer, consumer = RingProducer(placed), RingConsumer(placed)
    view = RingView(placed)
    for round_number in range(200):
        if not put(producer, b"f" * (round_number * 37 % 300)):
            drain(consumer)
        producer.publish()
        free = ring.free_bytes(producer.mem, producer.cursor)
        actual = CAPACITY - view.used_bytes
        assert free <= actual
        if free < CAPACITY // 2:
            assert free == actual


def test_a_producer_parks_on_a_full_ring_only(placed):
    producer, consumer = RingProducer(placed), RingConsumer(placed)
    assert not ring.park(producer.mem, producer.cursor, CAPACITY)
    assert not ring.is_parked(consumer.mem)
    put(producer, b"p" * LARGEST)
    producer.publish()
    assert ring.park(producer.mem, producer.cursor, CAPACITY)
    assert ring.is_parked(consumer.mem)
    assert RingView(placed).parked
    drain(consumer)
    assert not ring.park(producer.mem, producer.cursor, CAPACITY)
    assert not RingView(placed).parked


def test_a_new_producer_takes_the_parked_flag_of_the_dead_one_away(make_ring):
    segment = make_ring(CAPACITY)
    segment.store(PARKED_OFFSET, 1)
    RingProducer(segment, generation=4)
    assert not RingView(segment).parked
    assert segment.generation == 4


def test_a_replaced_consumer_gets_again_what_was_not_released(placed):
    producer, first = RingProducer(placed), RingConsumer(placed)
    for payload in (b"1", b"2", b"3"):
        put(producer, payload)
    producer.publish()
    first.peek()
    first.release()
    first.peek()
    assert drain(RingConsumer(placed)) == [b"2", b"3"]


# A corrupted ring: never a read out of bounds, never an endless loop, and going on is possible.


@pytest.mark.parametrize(
    "word",
    [1, 17, 41, LARGEST, LARGEST + 1, CAPACITY, 2**32 - 2, 2**32 - 1, 2**32, 2**63, 2**64 - 1],
    ids=hex,
)
@pytest.mark.parametrize("position", [0, CAPACITY - 48, 2**63 - 48])
def test_garbage_in_place_of_a_length_is_reported_or_stays_within_what_is_published(
    make_ring, word, position
):
    segment = make_ring(CAPACITY, position)
    producer, consumer = RingProducer(segment), RingConsumer(segment)
    put(producer, b"x" * 16)
    put(producer, b"y" * 16)
    producer.publish()
    lap = position << 29 & 2**64 - 1
    segment.store(DATA_OFFSET + position % CAPACITY, word ^ lap)
    tail = ring.load_tail(consumer.mem)
    offset, n_bytes, after = ring.next_record(consumer.mem, consumer.position, tail)
    if word <= 40:
        assert (offset, n_bytes) == (DATA_OFFSET + position % CAPACITY + 8, word)
    else:
        assert (offset, n_bytes, after) == (ring.CORRUPT, 0, tail)


@pytest.mark.parametrize("laps", [1, 2, 2**20])
def test_a_record_of_another_lap_is_none(make_ring, laps):
    segment = make_ring(CAPACITY)
    producer = RingProducer(segment)
    put(producer, b"x" * 16)
    producer.publish()
    assert ring.next_record(segment.mem, 0, 24)[0] == DATA_OFFSET + 8
    later = laps * CAPACITY
    assert ring.next_record(segment.mem, later, later + 24)[0] == ring.CORRUPT


def test_a_corrupt_record_raises_once_and_the_next_published_is_read(make_ring):
    segment = make_ring(CAPACITY)
    producer, consumer = RingProducer(segment), RingConsumer(segment)
    put(producer, b"spoilt")
    put(producer, b"behind it")
    producer.publish()
    segment.store(DATA_OFFSET, 0xDEAD_BEEF)
    with pytest.raises(CorruptDataError, match="no record at position 0; skipped to 40"):
        consumer.peek()
    assert consumer.peek() is None
    put(producer, b"fine")
    producer.publish()
    assert drain(consumer) == [b"fine"]


@pytest.mark.parametrize("tail", [3, 8 * CAPACITY, CAPACITY + 8, 2**63, 2**64 - 8])
def test_a_garbage_tail_is_reported_and_the_ring_heals_with_the_next_publish(make_ring, tail):
    segment = make_ring(CAPACITY)
    producer, consumer = RingProducer(segment), RingConsumer(segment)
    segment.store(TAIL_OFFSET, tail)
    with pytest.raises(CorruptDataError):
        consumer.peek()
    put(producer, b"lost with it")
    producer.publish()
    with pytest.raises(CorruptDataError):
        consumer.peek()
    consumer.release()
    put(producer, b"fine")
    producer.publish()
    assert drain(consumer) == [b"fine"]


@pytest.mark.parametrize("head", [8, 2**63, 2**64 - 8 - CAPACITY])
def test_a_garbage_head_makes_the_ring_full_until_it_is_right_again(make_ring, head):
    segment = make_ring(CAPACITY)
    segment.store(HEAD_OFFSET, head)
    producer = RingProducer(segment)
    producer.cursor[ring.CACHED_HEAD] = -CAPACITY
    assert not put(producer, b"x")
    segment.store(HEAD_OFFSET, 0)
    assert put(producer, b"x")


def test_random_bytes_all_over_the_ring_never_lead_out_of_it(make_ring):
    segment = make_ring(CAPACITY)
    noise = np.random.default_rng(7)
    for _ in range(2_000):
        segment.mem[DATA_OFFSET:] = noise.integers(0, 256, CAPACITY, dtype=np.uint8)
        # Plausible lengths now and then, or every look would end at once.
        words = segment.mem[DATA_OFFSET:].view(np.uint64)
        words[noise.integers(0, words.size, 64)] = noise.integers(0, 64, 64)
        position = int(noise.integers(0, 2**40)) * 8
        tail = position + int(noise.integers(1, CAPACITY // 8 + 1)) * 8
        for _ in range(CAPACITY // 8 + 1):
            offset, n_bytes, after = ring.next_record(segment.mem, position, tail)
            if offset < 0:
                break
            assert offset >= DATA_OFFSET + 8
            assert offset + n_bytes <= DATA_OFFSET + CAPACITY
            assert position < after <= tail
            position = after
        assert offset in {ring.EMPTY, ring.CORRUPT}


# Checkpoints.


def test_a_checkpoint_that_disagrees_with_the_tail_is_not_in_force(make_ring):
    segment = make_ring(CAPACITY)
    producer = RingProducer(segment)
    put(producer, b"x", 1)
    producer.publish()
    assert ring.recover(segment)[ring.SEQUENCE] == 1
    segment.store(TAIL_OFFSET, 0)
    assert ring.recover(segment)[ring.SEQUENCE] == 0


def test_a_ring_whose_checkpoints_both_disagree_is_refused(make_ring):
    segment = make_ring(CAPACITY)
    for slot in range(2):
        segment.store(CHECKPOINT_OFFSET + slot * LINE_BYTES + SAVED_TAIL, 8)
    with pytest.raises(CorruptDataError, match="no checkpoint agrees"):
        RingProducer(segment)


def test_a_view_of_two_torn_checkpoints_says_so(make_ring):
    segment = make_ring(CAPACITY)
    for slot in range(2):
        segment.store(CHECKPOINT_OFFSET + slot * LINE_BYTES + STAMP, 0)
    with pytest.raises(CorruptDataError, match="torn"):
        RingView(segment).checkpoint()


# Segments of rings.


@pytest.mark.parametrize("capacity", [0, 4095, 4097, 6144, 2048, 1 << 35])
def test_a_capacity_that_is_no_power_of_two_in_bounds_is_refused(instance, capacity):
    with pytest.raises(SegmentError, match=f"{capacity} bytes"):
        create_ring(instance, 0, capacity)


def test_a_ring_is_attached_by_worker(instance):
    with create_ring(instance, 7, 8192) as made, attach_ring(instance, 7, readonly=True) as seen:
        assert made.mem.size == seen.mem.size == ring_segment_bytes(8192)
        assert RingView(seen).capacity == 8192
        assert seen.name == f"/farm-{instance}-ring7"
