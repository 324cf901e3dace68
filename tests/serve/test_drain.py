"""The kernels against plain Python, on real rings with records of all kinds and with garbage."""

import numpy as np
import pytest
from handmade import HandMadeRing, Spec, contents, entry, header, record
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.rpc.v1 import experience_pb2
from farm.serve import drain as kernels
from farm.serve.filters import RecordFilter, compile_filter
from farm.shm.ring import release
from farm.shm.ring_layout import DATA_OFFSET, TAIL_OFFSET
from farm.spec.trajectory import RECORD_HEADER, policy_hash

POLICIES = ("random", "expander", "learner")
ALL = RecordFilter()
JUNK = "junk"


def drain(
    ring, start=0, *, wanted=ALL, filled=0, limit=1 << 20, tail=None, sample=kernels.ALL_OF_THEM
):
    """One call of the kernel; its result words and the buffer."""
    result = np.zeros(kernels.RESULT_WORDS, dtype=np.int64)
    out = np.full(1 << 20, 0xEE, dtype=np.uint8)
    tail = ring.segment.load(TAIL_OFFSET) if tail is None else tail
    kernels.drain(
        ring.segment.mem,
        start,
        tail,
        out,
        filled,
        limit,
        wanted.game_ids,
        wanted.seats,
        wanted.min_last_tick,
        wanted.policies,
        sample,
        result,
    )
    return result, out


def wanted_filter(**fields):
    return compile_filter(experience_pb2.Filter(**fields))


def specs_of(n):
    return [
        Spec(game_id=k % 3, seat=k % 2, first_tick=4 * k, worker=0, sequence=k) for k in range(n)
    ]


def test_what_comes_out_is_a_batch_of_the_same_trajectories(ring):
    specs = specs_of(5)
    ring.write(*specs)
    result, out = drain(ring)
    batch = experience_pb2.ExperienceBatch.FromString(out[: result[kernels.END]].tobytes())
    assert [t.sequence for t in batch.trajectories] == [0, 1, 2, 3, 4]
    assert out[: result[kernels.END]].tobytes() == b"".join(entry(spec) for spec in specs)
    assert result[kernels.EXPERIENCES] == sum(spec.n_steps for spec in specs)


def test_an_empty_ring_gives_nothing_and_stays_where_it_is(ring):
    result, _ = drain(ring)
    assert result.tolist() == [0] * kernels.RESULT_WORDS


def test_a_record_that_does_not_fit_is_left_whole_and_says_its_size(ring):
    ring.write(*specs_of(3))
    size = len(entry(specs_of(1)[0]))
    result, out = drain(ring, limit=size + 5)
    assert result[kernels.RECORDS] == 1
    assert result[kernels.WANTED] == len(entry(specs_of(2)[1]))
    assert (out[size:] == 0xEE).all()
    again, _ = drain(ring, int(result[kernels.POSITION]))
    assert again[kernels.RECORDS] == 2


def test_entries_go_behind_what_the_buffer_has_already(ring):
    ring.write(*specs_of(1))
    result, out = drain(ring, filled=10)
    assert out[10 : result[kernels.END]].tobytes() == entry(specs_of(1)[0])
    assert (out[:10] == 0xEE).all()


def test_nothing_behind_the_given_tail_is_read(ring):
    ring.write(*specs_of(1))
    tail = ring.segment.load(TAIL_OFFSET)
    ring.write(*specs_of(1))
    result, _ = drain(ring, tail=tail)
    assert (result[kernels.RECORDS], result[kernels.POSITION]) == (1, tail)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, range(12)),
        ({"seats": [1]}, range(1, 12, 2)),
        ({"seats": [0, 1]}, range(12)),
        ({"seats": [7]}, []),
        ({"game_ids": [2]}, range(2, 12, 3)),
        ({"game_ids": [9, 0, 2]}, [0, 2, 3, 5, 6, 8, 9, 11]),
        ({"min_turn": 12}, range(5, 12)),
        ({"policies": ["random"]}, []),
        ({"policies": ["expander", "random"]}, range(12)),
        ({"game_ids": [1], "seats": [0], "min_turn": 9}, [4, 10]),
    ],
)
def test_a_filter_lets_through_what_it_names(ring, fields, expected):
    ring.write(*specs_of(12))
    result, out = drain(ring, wanted=wanted_filter(**fields))
    batch = experience_pb2.ExperienceBatch.FromString(out[: result[kernels.END]].tobytes())
    assert [t.sequence for t in batch.trajectories] == list(expected)
    assert result[kernels.WALKED] == 12


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"x" * 63,
        b"x" * 64,
        bytes(64) + b"\x0a",
        bytes(64) + b"\x12\x00",
        bytes(64) + b"\x0a\x05abcd",
        bytes(64) + b"\x0a\x03abcd",
        bytes(64) + b"\x0a\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_a_record_that_is_no_entry_is_left_out_and_counted(ring, junk):
    ring.write(Spec())
    ring.write_bytes(junk)
    ring.write(Spec())
    result, out = drain(ring)
    assert (result[kernels.RECORDS], result[kernels.CORRUPTED], result[kernels.WALKED]) == (2, 1, 3)
    batch = experience_pb2.ExperienceBatch.FromString(out[: result[kernels.END]].tobytes())
    assert [t.sequence for t in batch.trajectories] == [0, 2]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_kernel_agrees_with_plain_python(shared_ring, data):
    ring = shared_ring
    start = ring.segment.load(TAIL_OFFSET)
    release(ring.segment.mem, start)
    kinds = data.draw(st.lists(kinds_of_records(), max_size=12))
    written = []
    for kind in kinds:
        spec = kind if kind == JUNK else kind.but(sequence=ring.n_written)
        payload = b"?" * 70 if kind == JUNK else record(spec)
        if ring.write_bytes(payload):
            written.append((spec, payload))
    fields = data.draw(filters())
    sample = data.draw(st.sampled_from([1 << 32, 1 << 31, 1 << 29, 1]))
    limit = data.draw(st.integers(0, 4000))
    wanted = wanted_filter(**fields)
    result, out = drain(ring, start, wanted=wanted, limit=limit, sample=sample)
    expected = drained_by_hand(written, fields, sample, limit)
    assert out[: result[kernels.END]].tobytes() == expected.pop("bytes")
    for word, value in expected.items():
        assert result[getattr(kernels, word)] == value, word


@pytest.fixture(scope="module")
def shared_ring(shared_instance):
    made = HandMadeRing(shared_instance, 0, 1 << 16)
    yield made
    made.close()


def kinds_of_records():
    return st.just(JUNK) | st.builds(
        Spec,
        game_id=st.integers(0, 3),
        seat=st.integers(0, 3),
        n_seats=st.just(4),
        first_tick=st.integers(0, 40),
        n_steps=st.integers(1, 6),
        policy=st.sampled_from(POLICIES),
    )


def filters():
    return st.fixed_dictionaries(
        {},
        optional={
            "game_ids": st.lists(st.integers(0, 4), max_size=3),
            "seats": st.lists(st.integers(0, 4), max_size=3),
            "min_turn": st.integers(0, 25),
            "policies": st.lists(st.sampled_from(POLICIES), max_size=2),
        },
    )


def drained_by_hand(written, fields, sample, limit):
    names = ("RECORDS", "FILTERED", "PASSED", "CORRUPTED", "WALKED")
    expected = {"bytes": b"", "WANTED": 0}
    expected |= dict.fromkeys(names, 0)
    expected |= {"EXPERIENCES": 0} | {f"{name}_EXPERIENCES": 0 for name in names[1:]}
    for spec, payload in written:
        kind = fate(spec, fields, sample)
        if kind == "RECORDS":
            if len(expected["bytes"]) + len(payload) - 64 > limit:
                expected["WANTED"] = len(payload) - 64
                break
            expected["bytes"] += payload[64:]
        n_steps = 0 if spec == JUNK else spec.n_steps
        steps = "EXPERIENCES" if kind == "RECORDS" else f"{kind}_EXPERIENCES"
        for word, n in (
            (kind, 1),
            (steps, n_steps),
            ("WALKED", 1),
            ("WALKED_EXPERIENCES", n_steps),
        ):
            expected[word] += n
    return expected


def fate(spec, fields, sample):
    if spec == JUNK:
        return "CORRUPTED"
    if mixed(spec.sequence, spec.worker) >> 32 >= sample:
        return "PASSED"
    return "RECORDS" if passes(spec, fields) else "FILTERED"


def mixed(sequence, worker):
    """SplitMix64 of Steele, Lea and Flood, seeded with a record's name."""
    word = ((sequence ^ worker << 48) + 0x9E3779B97F4A7C15) % 2**64
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    return word ^ word >> 31


def passes(spec, fields):
    return (
        spec.game_id in (fields.get("game_ids") or [spec.game_id])
        and spec.seat in (fields.get("seats") or [spec.seat])
        and spec.policy in (fields.get("policies") or [spec.policy])
        and spec.first_tick + spec.n_steps >= 2 * fields.get("min_turn", 0)
    )


@settings(max_examples=200, deadline=None)
@given(
    garbage=st.binary(min_size=8, max_size=64),
    place=st.integers(0, 90),
    position=st.integers(-64, 4096),
)
def test_no_garbage_makes_the_kernels_read_out_of_bounds_or_hang(
    shared_ring, garbage, place, position
):
    ring = shared_ring
    start = ring.segment.load(TAIL_OFFSET)
    release(ring.segment.mem, start)
    ring.write(*specs_of(4))
    at = DATA_OFFSET + (start + 8 * place) % (1 << 16)
    room = ring.segment.mem[at : at + len(garbage)]
    room[:] = np.frombuffer(garbage, dtype=np.uint8)[: len(room)]
    result, _ = drain(ring, start + position)
    assert result[kernels.END] <= 1 << 20
    headers = np.zeros(64 * 16, dtype=np.uint8)
    kernels.scan(ring.segment.mem, start, headers, result)
    assert result[kernels.WALKED] <= 4
    at_the_end = result[kernels.POSITION] == ring.segment.load(TAIL_OFFSET)
    assert at_the_end != bool(result[kernels.STRETCH])


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_sample_is_the_part_that_was_asked_for_and_always_the_same(ring, part):
    ring.write(*specs_of(150))
    taken, out = drain(ring, sample=round(part * 2**32))
    again, out_again = drain(ring, sample=round(part * 2**32))
    assert taken.tolist() == again.tolist()
    assert out.tobytes() == out_again.tobytes()
    assert abs(taken[kernels.RECORDS] / 150 - part) < 0.12
    assert taken[kernels.RECORDS] + taken[kernels.PASSED] == 150


def test_a_smaller_sample_is_part_of_a_larger_one(ring):
    ring.write(*specs_of(100))
    chosen = []
    for part in (0.2, 0.6):
        result, out = drain(ring, sample=round(part * 2**32))
        raw = out[: result[kernels.END]].tobytes()
        batch = experience_pb2.ExperienceBatch.FromString(raw)
        chosen.append({trajectory.sequence for trajectory in batch.trajectories})
    assert chosen[0] < chosen[1]


def test_where_the_bytes_are_no_record_a_walk_stops_and_says_so(ring):
    ring.write(Spec())
    broken = ring.segment.load(TAIL_OFFSET)
    ring.write(Spec())
    ring.segment.mem[DATA_OFFSET + broken : DATA_OFFSET + broken + 8] = 0x55
    result, _ = drain(ring)
    assert (result[kernels.RECORDS], result[kernels.STRETCH]) == (1, 1)
    assert result[kernels.POSITION] == broken


def test_scan_copies_the_headers(ring):
    specs = specs_of(3)
    ring.write(*specs)
    headers = np.zeros(64 * 8, dtype=np.uint8)
    result = np.zeros(kernels.RESULT_WORDS, dtype=np.int64)
    kernels.scan(ring.segment.mem, 0, headers, result)
    rows = headers.view(RECORD_HEADER)[: result[kernels.END]]
    assert rows["sequence"].tolist() == [0, 1, 2]
    assert rows["policy_hash"].tolist() == [policy_hash("expander")] * 3
    made = np.concatenate([header(spec, contents(spec).reward) for spec in specs])
    assert rows.tobytes() == made.tobytes()


def test_scan_goes_on_where_the_buffer_was_full(ring):
    ring.write(*specs_of(5))
    headers = np.zeros(64 * 2, dtype=np.uint8)
    result = np.zeros(kernels.RESULT_WORDS, dtype=np.int64)
    position, seen = 0, []
    for _ in range(3):
        kernels.scan(ring.segment.mem, position, headers, result)
        position = int(result[kernels.POSITION])
        seen += headers.view(RECORD_HEADER)[: result[kernels.END]]["sequence"].tolist()
    assert seen == [0, 1, 2, 3, 4]
