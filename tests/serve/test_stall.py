"""Stalls: when one is told, how often, and what it is told with."""

import pytest

from farm.serve.stall import GAP_NS, Holder, Look, StallWatch
from farm.shm.groups import FIRST_HOST_RING

WARN_NS = 10_000_000_000
STEP_NS = 200_000_000


def look(*, is_full=True, worker=0, fill=1.0, holder=None):
    return Look(worker, is_full, fill, holder)


class Watched:
    """A watch that is given looks, one every STEP_NS."""

    def __init__(self):
        self.watch = StallWatch()
        self.now_ns = 0
        self.told = []

    def see(self, seconds, *looks):
        for _ in range(round(seconds * 1e9 / STEP_NS)):
            self.now_ns += STEP_NS
            self.told += self.watch.look(self.now_ns, looks, WARN_NS)
        return [event for event, _ in self.told]


def test_a_ring_that_is_full_for_a_moment_is_no_stall():
    watched = Watched()
    assert watched.see(9, look()) == []
    assert watched.watch.stalls == ()
    assert watched.see(9, look(is_full=False)) == []


def test_a_stall_is_told_once_then_at_ten_times_the_time_and_when_it_is_over():
    watched = Watched()
    assert watched.see(11, look()) == ["ring_stalled"]
    assert watched.see(80, look()) == ["ring_stalled"]
    assert watched.see(20, look()) == ["ring_stalled"] * 2
    assert [round(stall.full_s) for _, stall in watched.told] == [10, 100]
    assert watched.see(2, look(is_full=False)) == ["ring_stalled"] * 2 + ["ring_flowing"]
    assert watched.watch.stalls == ()


def test_while_it_lasts_a_stall_is_there_to_be_asked_for():
    watched = Watched()
    watched.see(12, look(fill=0.97), look(worker=1, is_full=False))
    (stall,) = watched.watch.stalls
    assert (stall.worker, stall.fill) == (0, 0.97)
    assert 11 < stall.full_s <= 12


def test_a_parked_worker_that_wakes_to_look_ends_no_stall():
    watched = Watched()
    for _ in range(20):
        watched.see(0.6, look())
        watched.see(STEP_NS / 1e9, look(is_full=False))
    assert [event for event, _ in watched.told] == ["ring_stalled"]


def test_a_ring_that_has_flowed_for_a_while_begins_anew():
    watched = Watched()
    watched.see(6, look())
    watched.see(GAP_NS / 1e9 + 0.4, look(is_full=False))
    assert watched.see(6, look()) == []


def test_rings_are_told_apart():
    watched = Watched()
    watched.see(8, look(worker=0), look(worker=1, is_full=False))
    watched.see(4, look(worker=0), look(worker=1))
    assert [stall.worker for _, stall in watched.told] == [0]


@pytest.mark.parametrize(
    ("holder", "advice"),
    [
        (None, "connect a client"),
        (Holder("eval", declared=False, members=0, last_ack_age_s=-1.0), "RemoveGroup"),
        (Holder("eval", declared=True, members=0, last_ack_age_s=90.0), "out of serve.groups"),
        (Holder("eval", declared=False, members=2, last_ack_age_s=-1.0), "no member of group eval"),
        (Holder("eval", declared=False, members=2, last_ack_age_s=50.0), "no member of group eval"),
        (Holder("eval", declared=False, members=2, last_ack_age_s=0.5), "take less"),
    ],
)
def test_who_holds_the_ring_and_what_to_change_is_part_of_it(holder, advice):
    watched = Watched()
    watched.see(12, look(holder=holder))
    (stall,) = watched.watch.stalls
    assert advice in stall.advice
    assert stall.group == (holder.group if holder else "")
    assert stall.members == (holder.members if holder else 0)
    assert stall.last_ack_age_s == (holder.last_ack_age_s if holder else -1.0)


def test_of_a_games_host_s_ring_it_is_said_that_no_game_waits():
    watched = Watched()
    watched.see(12, look(worker=FIRST_HOST_RING, holder=None))
    (stall,) = watched.watch.stalls
    assert "dropped by count" in stall.advice
    assert "ring.when_full" not in stall.advice
