"""What a rollout kernel is told, as plain arrays: the settings of a config, and scratch memory."""

from typing import NamedTuple, cast

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from farm.config.board import read_map
from farm.config.schema import FarmConfig, MatchConfig, RulesConfig
from farm.engine import rewards
from farm.engine.rules import of_names
from farm.engine.settings import HEIGHT, WIDTH, Settings, named_settings
from farm.policies.lineup import lineup
from farm.policies.registry import POLICIES
from farm.spec.limits import TICKS_PER_TURN
from farm.spec.observation import frame_bytes, memory_bytes, score_offset
from farm.spec.trajectory import (
    CHECKSUM_PREFIX,
    RECORD_HEADER,
    STEP_BYTES,
    compressed_bound,
    payload_bytes,
    policy_hash,
)
from farm.worker import lz4, wire

BLOCK, DROP_NEWEST, SAMPLE = range(3)
"""Codes of `ring.when_full`."""
_WHEN_FULL = {"block": BLOCK, "drop_newest": DROP_NEWEST, "sample": SAMPLE}
_WORD_BITS = 64


class Plan(NamedTuple):
    """Settings of a rollout; read only."""

    seed: np.uint64
    """Farm seed: with a game's number it determines everything random in that game."""
    settings: Settings
    """Of new games."""
    max_steps: int
    """Steps of a trajectory at most (T)."""
    is_open: bool
    """Whether new games begin where others have ended (cohorts.py)."""
    memory: bool
    """Whether games keep what their seats have seen, and trajectories carry it."""
    record_every: np.uint64
    """Games of which the number is a multiple of this are recorded (tape.py); 0 records none."""
    chunk_bytes: int
    """Ring bytes one chunk of one game may take: a largest record a seat, and one to skip."""
    when_full: int
    """BLOCK, DROP_NEWEST or SAMPLE."""
    sample_below: np.uint64
    """SAMPLE keeps a record of which the hash is below this."""
    height: int
    width: int
    """Of the largest board, as above."""
    reward: NDArray[np.float32]
    """float32[N_WEIGHTS], what a step is worth (engine.rewards)."""
    shaped: bool
    """Whether what a step changed counts for it."""
    weights: NDArray[np.int32]
    """int32[n_seats, n_policies], the mix of policies on each seat (policies.lineup)."""
    versions: NDArray[np.uint64]
    """uint64[n_policies], the version of each policy, by its code (policies.registry)."""
    hashes: NDArray[np.uint64]
    """uint64[n_policies], the hash of its name, for filters."""
    names: NDArray[np.uint8]
    """uint8[n_policies, MAX_NAME_BYTES], its name in UTF-8."""
    name_bytes: NDArray[np.int64]
    """int64[n_policies], bytes of its name."""


class Scratch(NamedTuple):
    """Memory of a rollout kernel: the trajectories of the one game that it is playing.

    A chunk of one game is played and written to the ring before the next game's begins, so that
    this is all there is, however many games a worker has; it stays in the first-level cache.
    """

    out: NDArray[np.uint8]
    """uint8[n_seats, bound], the LZ4 block of each seat."""
    block: NDArray[np.int64]
    """int64[n_seats, BLOCK_WORDS], the state of each block."""
    score: NDArray[np.uint8]
    """uint8[n_seats, n], the scoreboard of the frame before."""
    memory: NDArray[np.uint8]
    """uint8[n_seats, memory_bytes or 0], what each seat remembered when the chunk began."""
    memory16: NDArray[np.uint16]
    """uint16[n_seats, n // 2]: the same memory."""
    reward: NDArray[np.float32]
    """float32[n_seats, max_steps]"""
    stock: NDArray[np.int32]
    """int32[n_seats, N_STOCK], what each seat had before the tick, where rewards are shaped."""
    log_prob: NDArray[np.float32]
    """float32[n_seats, max_steps]"""
    action: NDArray[np.uint16]
    """uint16[n_seats, max_steps]"""
    columns: NDArray[np.uint8]
    """uint8[n], the three above for one seat, as they stand in the payload."""
    columns32: NDArray[np.float32]
    """float32[n // 4]: the same memory."""
    columns16: NDArray[np.uint16]
    """uint16[n // 2]: the same memory."""
    n_steps: NDArray[np.int64]
    """int64[n_seats], steps of each trajectory; -1 where the seat was out before the chunk."""
    actions: NDArray[np.int32]
    """int32[n_seats], the actions of a tick."""
    codes: NDArray[np.int32]
    """int32[n_seats], the policies of the game."""
    head: NDArray[np.uint8]
    """uint8[MAX_HEAD_BYTES]"""
    prefix: NDArray[np.void]
    """CHECKSUM_PREFIX[1], and its bytes in the next field."""
    prefix_bytes: NDArray[np.uint8]
    header: NDArray[np.void]
    """RECORD_HEADER[1], and its bytes in the next field."""
    header_bytes: NDArray[np.uint8]
    fields: NDArray[np.uint64]
    """uint64[N_FIELDS], integer fields of the message (wire.py); the worker's are filled in."""
    tables: NDArray[np.uint64]
    """uint64[8, 256], for CRC-32."""


def make_plan(config: FarmConfig, seed: int) -> Plan:
    """The plan of a config that has been checked (config.check)."""
    names = np.zeros((len(POLICIES), wire.MAX_NAME_BYTES), np.uint8)
    for policy in POLICIES:
        encoded = policy.name.encode()
        names[policy.code, : len(encoded)] = np.frombuffer(encoded, np.uint8)
    game_settings = match_settings(config.match, config.rules)
    height, width = int(game_settings.numbers[HEIGHT]), int(game_settings.numbers[WIDTH])
    reward = rewards.of_names(structs.asdict(config.reward))
    n_seats, steps, memory = config.match.n_seats, config.worker.steps, config.worker.memory
    return Plan(
        seed=np.uint64(seed),
        settings=game_settings,
        max_steps=steps,
        is_open=True,
        memory=memory,
        record_every=np.uint64(config.worker.record_every),
        chunk_bytes=(n_seats + 1) * max_record_bytes(height * width, n_seats, steps, memory=memory),
        when_full=_WHEN_FULL[config.ring.when_full],
        sample_below=_threshold(config.ring.sample),
        height=height,
        width=width,
        reward=reward,
        shaped=rewards.is_shaped(reward),
        weights=lineup(config.match.seats),
        versions=np.array([policy.version for policy in POLICIES], np.uint64),
        hashes=np.array([policy_hash(policy.name) for policy in POLICIES], np.uint64),
        names=names,
        name_bytes=np.array([len(policy.name.encode()) for policy in POLICIES], np.int64),
    )


def match_settings(match: MatchConfig, rules: RulesConfig) -> Settings:
    """What games of a match are set up from, under these rules.

    Raises:
        ConfigError: the map file cannot be read any more.
    """
    return named_settings(
        match.map,
        match.n_seats,
        size=match.size,
        mountains=match.mountains,
        cities=match.cities,
        pad=match.pad,
        board=read_map(match) if match.map == "fixed" else None,
        max_ticks=TICKS_PER_TURN * match.max_turns,
        teams=match.teams,
        rules=of_names(structs.asdict(rules)),
    )


def make_scratch(plan: Plan, *, worker: int, generation: int, config_epoch: int) -> Scratch:
    """Scratch memory for a plan, with the identity of a worker filled in."""
    n_seats = plan.weights.shape[0]
    n_cells = plan.height * plan.width
    payload = payload_bytes(n_cells, n_seats, plan.max_steps, memory=plan.memory)
    memory = np.zeros((n_seats, plan.memory * memory_bytes(n_cells)), np.uint8)
    # Rounded up to whole float32s.
    columns = np.zeros(-(-STEP_BYTES * plan.max_steps // 4) * 4, np.uint8)
    prefix = np.zeros(1, CHECKSUM_PREFIX)
    header = np.zeros(1, RECORD_HEADER)
    fields = np.zeros(wire.N_FIELDS, np.uint64)
    fields[wire.WORKER] = worker
    fields[wire.GENERATION] = generation
    fields[wire.CONFIG_EPOCH] = config_epoch
    return Scratch(
        out=np.zeros((n_seats, compressed_bound(payload)), np.uint8),
        block=np.zeros((n_seats, lz4.BLOCK_WORDS), np.int64),
        score=np.zeros((n_seats, frame_bytes(n_cells, n_seats) - score_offset(n_cells)), np.uint8),
        memory=memory,
        memory16=memory.view(np.uint16),
        reward=np.zeros((n_seats, plan.max_steps), np.float32),
        stock=np.zeros((n_seats, rewards.N_STOCK), np.int32),
        log_prob=np.zeros((n_seats, plan.max_steps), np.float32),
        action=np.zeros((n_seats, plan.max_steps), np.uint16),
        columns=columns,
        columns32=columns.view(np.float32),
        columns16=columns.view(np.uint16),
        n_steps=np.zeros(n_seats, np.int64),
        actions=np.zeros(n_seats, np.int32),
        codes=np.zeros(n_seats, np.int32),
        head=np.zeros(wire.MAX_HEAD_BYTES, np.uint8),
        prefix=prefix,
        prefix_bytes=cast("NDArray[np.uint8]", prefix.view(np.uint8)),
        header=header,
        header_bytes=cast("NDArray[np.uint8]", header.view(np.uint8)),
        fields=fields,
        tables=wire.crc32_tables(),
    )


def max_record_bytes(n_cells: int, n_seats: int, max_steps: int, *, memory: bool) -> int:
    """The most that one record can take in a ring, its length word and padding included."""
    payload = compressed_bound(payload_bytes(n_cells, n_seats, max_steps, memory=memory))
    return RECORD_HEADER.itemsize + wire.MAX_HEAD_BYTES + payload + 16


def _threshold(share: float) -> np.uint64:
    """The word that this share of all words is below."""
    return np.uint64(min(int(share * (1 << _WORD_BITS)), (1 << _WORD_BITS) - 1))
