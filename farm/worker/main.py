"""A rollout worker as a process: plays in duty cycles, and parks while its ring is full.

Counters and heartbeat are written by the loop that does the work: what they say is true of it.
"""

import time
from typing import Final

from farm.errors import ConfigError
from farm.shm.control import ChildSlot, ChildState
from farm.shm.ring import (
    ABORTED_RECORDS,
    DROPPED_EXPERIENCES,
    DROPPED_RECORDS,
    SAMPLED_RECORDS,
    RingProducer,
    next_sequence,
    park,
    unpark,
)
from farm.shm.ring_layout import attach_ring
from farm.shm.wake import MAX_WAIT_S, Doorbell
from farm.supervisor.child import ChildContext
from farm.worker import rollout
from farm.worker.plan import Plan, Scratch, make_plan, make_scratch
from farm.worker.recording import Keeper
from farm.worker.rollout import Rollout

_MIRRORED: Final = {
    "dropped_records": DROPPED_RECORDS,
    "dropped_experiences": DROPPED_EXPERIENCES,
    "sampled_records": SAMPLED_RECORDS,
    "aborted_records": ABORTED_RECORDS,
}
"""Counters that are the ring's own, over all generations, by their words in the cursor."""


def main(context: ChildContext) -> int:
    """Play until told to stop; the batch in hand is finished and published."""
    plan, scratch = _planned(context)
    segment = attach_ring(context.instance, context.index)
    try:
        ring = RingProducer(segment, context.generation)
        games = context.config.worker.games
        player = Rollout(plan, scratch, games, context.control.mem, ring)
        _mirror(context.slot, ring)
        context.log.info(
            "worker_started", games=games, ring_records=int(next_sequence(ring.cursor))
        )
        _play(context, player, ring)
    finally:
        segment.close()
    return 0


def _planned(context: ChildContext) -> tuple[Plan, Scratch]:
    """What the config in force comes to.

    Raises:
        ConfigError: the map file is gone.
    """
    plan = make_plan(context.config, context.seed)
    scratch = make_scratch(
        plan,
        worker=context.index,
        generation=context.generation,
        config_epoch=context.epoch,
    )
    return plan, scratch


def _follow(context: ChildContext, player: Rollout) -> None:
    """Play by a newer config, if there is one, and say so once it is in force."""
    if context.try_follow():
        try:
            player.follow(*_planned(context))
        except ConfigError as error:
            # It passed the checks, and the machine changed since: what is played on is the old one.
            context.log.error("config_not_applied", error=str(error))  # noqa: TRY400 - see child.py
    if player.cohorts.epoch != context.slot.config_epoch:
        context.slot.config_epoch = player.cohorts.epoch


def _play(context: ChildContext, player: Rollout, ring: RingProducer) -> None:
    slot = context.slot
    bell = context.space_bells[context.index]
    keeper = Keeper(context.instance, context.index, context.seed, context.log)
    while not context.stopping:
        now_ns = time.monotonic_ns()
        slot.beat(now_ns)
        _follow(context, player)
        if player.poll(now_ns, time.time_ns()):
            if player.counts[rollout.RECORDS]:
                context.data_bell.ring()
            if player.counts[rollout.RECORDED]:
                keeper.keep(player.take_recorded(), context.config)
            if player.counts[rollout.UNRECORDED]:
                keeper.miss(int(player.counts[rollout.UNRECORDED]))
            _count(slot, player)
            _mirror(slot, ring)
        else:
            _wait_for_room(slot, player, ring, bell)
        # Parked is as good as having played: the ring is full of what was played before.
        if slot.state == ChildState.STARTING:
            slot.state = ChildState.READY


def _wait_for_room(slot: ChildSlot, player: Rollout, ring: RingProducer, bell: Doorbell) -> None:
    """Sleep until the consumer has made room, or a little while."""
    began_ns = time.monotonic_ns()
    if park(ring.mem, ring.cursor, player.room_bytes):
        bell.wait(MAX_WAIT_S)
        unpark(ring.mem)
    slot.add("blocked_ns", time.monotonic_ns() - began_ns)


def _count(slot: ChildSlot, player: Rollout) -> None:
    counts = player.counts
    slot.add("env_steps", int(counts[rollout.TICKS]))
    slot.add("experiences", int(counts[rollout.EXPERIENCES]))
    slot.add("records", int(counts[rollout.RECORDS]))
    slot.add("games_started", int(counts[rollout.GAMES_STARTED]))
    slot.add("games_finished", int(counts[rollout.GAMES_FINISHED]))


def _mirror(slot: ChildSlot, ring: RingProducer) -> None:
    for counter, word in _MIRRORED.items():
        slot.set(counter, int(ring.cursor[word]))
