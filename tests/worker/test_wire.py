"""What the kernels write is what zlib and the protobuf library would have written."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from farm.jit import kernel
from farm.rpc.v1 import experience_pb2
from farm.spec.trajectory import CHECKSUM_PREFIX, RECORD_HEADER
from farm.worker import wire

TABLES = wire.crc32_tables()


@kernel
def crc32_of(tables: NDArray[np.uint64], data: NDArray[np.uint8], crc: int) -> np.uint64:
    return wire.crc32(tables, data, data.shape[0], np.uint64(crc))


@kernel
def write_trajectory(
    out: NDArray[np.uint8],
    fields: NDArray[np.uint64],
    name: NDArray[np.uint8],
    checksum: int,
    payload: NDArray[np.uint8],
    head: NDArray[np.uint8],
) -> tuple[int, int]:
    n_head = wire.write_head(head, fields, name, np.uint64(checksum), payload.shape[0])
    end = wire.write_entry(out, 0, head, n_head, payload, payload.shape[0], fields)
    return end, wire.entry_bytes(n_head + payload.shape[0] + wire.tail_bytes(fields))


@kernel
def fill(
    prefix: NDArray[np.void],
    header: NDArray[np.void],
    fields: NDArray[np.uint64],
    policy_hash: int,
    reward: NDArray[np.float32],
) -> None:
    wire.fill_prefix(prefix, fields)
    wire.fill_header(header, fields, np.uint64(policy_hash), reward)


@given(data=st.binary(max_size=300), before=st.integers(0, 2**32 - 1))
def test_the_checksum_is_that_of_zlib(data, before):
    assert crc32_of(TABLES, np.frombuffer(data, np.uint8), before) == zlib.crc32(data, before)


def test_field_numbers_are_those_of_the_proto():
    numbers = {
        field.name.upper(): field.number for field in experience_pb2.Trajectory.DESCRIPTOR.fields
    }
    assert {name: getattr(wire, name) for name in numbers} == numbers


@given(
    values=st.lists(st.one_of(st.just(0), st.integers(0, 2**32 - 1)), min_size=17, max_size=17),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    name=st.text(max_size=8),
    checksum=st.one_of(st.just(0), st.integers(0, 2**32 - 1)),
    payload=st.binary(min_size=1, max_size=400),
)
def test_an_entry_is_byte_for_byte_what_protobuf_serialises(values, flags, name, checksum, payload):
    fields = np.zeros(wire.N_FIELDS, np.uint64)
    fields[wire.GAME_ID : wire.CHECKSUM] = values
    fields[wire.TERMINATED], fields[wire.TRUNCATED], fields[wire.HAS_MEMORY] = flags
    fields[wire.GAME_ID] <<= np.uint64(31)
    message = experience_pb2.Trajectory(policy=name, checksum=checksum, payload=payload)
    for field in message.DESCRIPTOR.fields:
        if field.name not in {"policy", "checksum", "payload"}:
            value = int(fields[field.number])
            setattr(
                message,
                field.name,
                bool(value) if field.type == field.TYPE_BOOL else value,
            )
    expected = experience_pb2.ExperienceBatch(trajectories=[message]).SerializeToString()

    out = np.zeros(1024, np.uint8)
    end, announced = write_trajectory(
        out,
        fields,
        np.frombuffer(name.encode(), np.uint8),
        checksum,
        np.frombuffer(payload, np.uint8),
        np.zeros(wire.MAX_HEAD_BYTES, np.uint8),
    )

    assert out[:end].tobytes() == expected
    assert announced == end


def test_header_and_prefix_carry_the_fields_and_the_reward():
    fields = np.arange(100, 100 + wire.N_FIELDS, dtype=np.uint64)
    fields[wire.N_STEPS] = 3
    prefix = np.zeros(1, CHECKSUM_PREFIX)
    header = np.zeros(1, RECORD_HEADER)
    fill(prefix, header, fields, 0xDEADBEEF, np.array([0.5, -1.0, 0.0], np.float32))
    for name in CHECKSUM_PREFIX.names or ():
        assert prefix[name][0] == fields[getattr(wire, name.upper())], name
    row = header[0]
    assert row["last_tick"] == fields[wire.FIRST_TICK] + 3
    assert row["policy_hash"] == 0xDEADBEEF
    assert (row["reward_sum"], row["reward_min"], row["reward_max"]) == pytest.approx(
        (-0.5, -1, 0.5)
    )
