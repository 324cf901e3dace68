"""Handing in: what is made from arrays, and the messages of a call."""

import numpy as np
import pytest
from handmade import Spec, contents, message

from farm.client import Trajectory, make_trajectory
from farm.client import submit as submit_module
from farm.client.submit import Rejection, Submission
from farm.errors import UsageError
from farm.rpc.v1 import experience_pb2 as pb
from farm.spec.observation import frame_dtype

FINGERPRINT = 0xABCD
SPEC = Spec(game_id=7, seat=1, n_seats=3, n_allies=1, first_tick=12, terminated=True)


def of_spec(spec, **changes):
    made = contents(spec)
    arrays = {
        "frames": made.frames.view(frame_dtype(spec.height, spec.width, spec.n_seats))[:, 0],
        "action": made.action,
        "reward": made.reward,
        "log_prob": made.log_prob,
    }
    facts = {name: getattr(spec, name) for name in ("game_id", "seat", "policy", "first_tick")}
    facts |= {"n_allies": spec.n_allies, "terminated": spec.terminated}
    return make_trajectory(**{**arrays, **facts, **changes})


def sent(trajectories):
    submission = Submission(trajectories, FINGERPRINT)
    return submission, [pb.SubmitRequest.FromString(wire) for wire in submission.messages()]


def test_arrays_go_in_and_come_out_again():
    made = of_spec(SPEC)
    expected = contents(SPEC)
    assert made.frames.tobytes() == expected.frames.tobytes()
    for name in ("action", "reward", "log_prob"):
        np.testing.assert_array_equal(getattr(made, name), getattr(expected, name))
    facts = ("game_id", "seat", "n_seats", "n_allies", "height", "width", "first_tick", "n_steps")
    for name in (*facts, "terminated", "truncated", "policy"):
        assert getattr(made, name) == getattr(SPEC, name), name
    made.verify()


def test_types_of_a_learner_are_taken():
    made = of_spec(
        SPEC,
        action=contents(SPEC).action.astype(np.int64),
        reward=contents(SPEC).reward.astype(np.float64),
    )
    assert made.decode() == of_spec(SPEC).decode()


@pytest.mark.parametrize("name", ["action", "reward", "log_prob", "frames"])
def test_arrays_of_different_lengths_are_refused_with_the_rule(name):
    whole = {
        "frames": of_spec(SPEC).frames,
        **{n: getattr(contents(SPEC), n) for n in ("action", "reward", "log_prob")},
    }
    with pytest.raises(UsageError, match=r"T steps have T \+ 1 frames"):
        of_spec(SPEC, **{name: whole[name][1:]})


def test_other_bytes_than_frames_are_refused_with_what_to_take():
    with pytest.raises(UsageError, match="frame_dtype"):
        of_spec(SPEC, frames=np.zeros(5, dtype=[("tile", "u1", (6, 5))]))


def test_a_call_opens_with_the_spec_and_goes_on_with_batches():
    trajectories = [Trajectory(message(Spec(sequence=k))) for k in range(3)]
    _, (opening, batch) = sent(trajectories)
    assert opening.open.spec_fingerprint == FINGERPRINT
    assert [t.wire() for t in trajectories] == [
        t.SerializeToString() for t in batch.batch.trajectories
    ]


def test_batches_are_bounded_and_keep_the_order(monkeypatch):
    trajectories = [Trajectory(message(Spec(sequence=k))) for k in range(10)]
    limit = 3 * len(trajectories[0].wire())
    monkeypatch.setattr(submit_module, "BATCH_BYTES", limit)
    _, (_, *batches) = sent(trajectories)
    assert len(batches) > 2
    for batch in batches:
        assert sum(len(t.SerializeToString()) for t in batch.batch.trajectories) <= limit
    numbers = [t.sequence for batch in batches for t in batch.batch.trajectories]
    assert numbers == list(range(10))


def test_nothing_is_an_opening_and_no_more():
    _, messages = sent([])
    assert [m.WhichOneof("kind") for m in messages] == ["open"]


def test_a_trajectory_too_long_for_a_message_is_refused_behind_what_could_be_sent(monkeypatch):
    good, large = (Trajectory(message(Spec(n_steps=n))) for n in (1, 60))
    monkeypatch.setattr(submit_module, "LARGEST_BYTES", len(large.wire()) - 1)
    submission, messages = sent([good, large, good])
    assert len(messages) == 1
    with pytest.raises(UsageError, match="hand in shorter ones"):
        submission.outcome(b"")


def test_what_the_iteration_raises_is_raised_in_the_end_and_ends_the_call_in_order():
    def trajectories():
        yield Trajectory(message(Spec()))
        raise RuntimeError("the game crashed")

    submission, messages = sent(trajectories())
    assert [m.WhichOneof("kind") for m in messages] == ["open"]
    with pytest.raises(RuntimeError, match="the game crashed"):
        submission.outcome(b"")


def test_the_outcome_names_what_was_rejected():
    reply = pb.SubmitResponse(
        accepted_records=3,
        accepted_experiences=12,
        rejected_records=1,
        rejections=[pb.Rejection(index=2, reason="checksum")],
    ).SerializeToString()
    submission, _ = sent([])
    outcome = submission.outcome(reply)
    assert (outcome.accepted_records, outcome.accepted_experiences) == (3, 12)
    assert outcome.rejected_records == 1
    assert outcome.rejections == (Rejection(2, "checksum"),)
