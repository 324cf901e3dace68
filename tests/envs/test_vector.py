"""The vector environment: frames of the engine, same-step autoreset, seeds, aliasing."""

import gc

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="farm[envs] is not installed")

from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import DictInfoToList, RecordEpisodeStatistics

from farm.engine.batch import Batch
from farm.envs.match import Match
from farm.envs.single import AgentEnv
from farm.envs.spaces import sample_legal
from farm.envs.vector import AgentsVectorEnv
from farm.spec import tiles
from farm.spec.boards import parse_board
from farm.spec.planes import planes

SOLO = Match(seats=("agent", "expander"), board=(5, 5), cities=0, mountains=0, max_turns=50)
SELF_PLAY = Match(seats=("agent", "agent"), board=(5, 5), cities=1, max_turns=300)
TEAMS = Match(
    seats=("agent", "agent", "agent", "agent"), board=(7, 7), teams=(0, 1, 0, 1), max_turns=100
)
MIXED = Match(seats=("agent", "random", "agent"), board=(6, 6), cities=0, max_turns=100)
OFFICIAL = Match(seats=("agent", "random"), map="official", max_turns=30)
TOY = Match(seats=("agent", "agent"), map="toy", board=(4, 5), max_turns=60)
MATCHES = pytest.mark.parametrize("match", [SOLO, SELF_PLAY, TEAMS, MIXED, OFFICIAL, TOY])


def rollout(env, n_steps, *, seed=7, actions_seed=1):
    """Steps of random legal actions, each as the environment returned it."""
    rng = np.random.default_rng(actions_seed)
    obs, infos = env.reset(seed=seed)
    yield obs, None, None, None, infos
    for _ in range(n_steps):
        step = env.step(sample_legal(obs["action_mask"], rng))
        obs = step[0]
        yield step


@MATCHES
@pytest.mark.parametrize("copy", [True, False])
def test_everything_returned_is_in_its_space_and_of_its_shape(match, copy):
    env = AgentsVectorEnv(12, match, copy=copy)
    for obs, *flags, _ in rollout(env, 80):
        assert obs in env.observation_space
        if flags[0] is not None:
            assert [(f.dtype.name, f.shape) for f in flags] == [
                ("float32", (12,)),
                ("bool", (12,)),
                ("bool", (12,)),
            ]
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.action_space.sample() in env.action_space


@MATCHES
@pytest.mark.parametrize("copy", [True, False])
def test_the_same_seed_gives_the_same_trajectory(match, copy):
    first = rollout(AgentsVectorEnv(12, match), 150)
    again = rollout(AgentsVectorEnv(12, match, copy=copy), 150)
    for one, other in zip(first, again, strict=True):
        assert data_equivalence(one, other, exact=True)


def test_another_seed_gives_another_game():
    env = AgentsVectorEnv(4, SOLO)
    assert not data_equivalence(env.reset(seed=1)[0], env.reset(seed=2)[0])


def test_a_reset_without_a_seed_goes_on_and_is_determined_by_the_seed_before():
    seen = []
    for _ in range(2):
        env = AgentsVectorEnv(4, SOLO)
        seen.append([env.reset(seed=s)[0]["tile"].tobytes() for s in (3, None, None)])
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 3


def test_environments_without_a_seed_differ():
    first, other = (AgentsVectorEnv(8, SOLO).reset()[0] for _ in range(2))
    assert not data_equivalence(first, other)


@pytest.mark.parametrize("match", [SELF_PLAY, TEAMS])
def test_frames_and_masks_are_those_of_a_batch_of_the_same_seed(match):
    n_seats, n_games = len(match.seats), 3
    env = AgentsVectorEnv(n_seats * n_games, match)
    batch = Batch(n_games, match.settings(), seed=7)
    rng = np.random.default_rng(2)
    obs, _ = env.reset(seed=7)
    for _ in range(60):
        for field in batch.frames.dtype.names:
            shape = (n_games * n_seats, *batch.frames[field].shape[2:])
            np.testing.assert_array_equal(obs[field], batch.frames[field].reshape(shape))
        mask = batch.legal_mask().reshape(n_games * n_seats, -1)
        np.testing.assert_array_equal(obs["action_mask"], mask)
        actions = sample_legal(obs["action_mask"], rng)
        batch.step(actions.reshape(n_games, n_seats).astype(np.int32))
        obs, _, terminated, truncated, _ = env.step(actions)
        if (terminated | truncated).any():
            break
    assert batch.tick[0] > 20


def test_the_next_games_are_those_that_a_farm_would_number_next():
    match = Match(seats=("agent", "agent"), board=(9, 9), max_turns=4)
    env = AgentsVectorEnv(6, match)
    *_, (obs, _, _, truncated, _) = rollout(env, 8, seed=3)
    assert truncated.all()
    following = Batch(3, match.settings(), seed=3, first_game=3)
    np.testing.assert_array_equal(obs["tile"], following.frames["tile"].reshape(6, 9, 9))


def test_games_do_not_depend_on_when_the_others_end():
    env = AgentsVectorEnv(4, SOLO)
    passing = np.full(4, env.single_action_space.n - 1)
    seen = []
    for _ in range(2):
        obs, _ = env.reset(seed=4)
        rng, rows = np.random.default_rng(len(seen)), []
        for _ in range(400):
            actions = np.where(
                [True, False, False, False], sample_legal(obs["action_mask"], rng), passing
            )
            obs, *flags, _ = env.step(actions)
            rows.append((obs["army"][1:].tobytes(), [f[1:].tolist() for f in flags], flags[1][0]))
        seen.append(rows)
    assert [row[:2] for row in seen[0]] == [row[:2] for row in seen[1]]
    assert [row[2] for row in seen[0]] != [row[2] for row in seen[1]], "row 0 made no difference"


def test_the_step_that_ends_a_game_shows_its_end_in_infos_and_begins_the_next():
    env, single = AgentsVectorEnv(1, SOLO), AgentEnv(SOLO)
    single.reset(seed=7)
    rng, n_ended = np.random.default_rng(3), 0
    obs, _ = env.reset(seed=7)
    for _ in range(320):
        action = sample_legal(obs["action_mask"], rng)
        obs, reward, terminated, truncated, infos = env.step(action)
        last = single.step(action[0])
        assert (reward[0], terminated[0], truncated[0]) == last[1:4]
        expected = last[0]
        if terminated[0] or truncated[0]:
            n_ended += 1
            assert infos["_final_obs"].all()
            assert data_equivalence(infos["final_obs"][0], last[0], exact=True)
            assert infos["final_info"]["tick"][0] == last[4]["tick"]
            assert infos["tick"][0] == 0
            expected, _ = single.reset()
        else:
            assert "final_obs" not in infos
        for name, value in expected.items():
            np.testing.assert_array_equal(obs[name][0], value)
    assert n_ended > 2


def test_a_duel_that_is_won_is_lost_by_the_other():
    n_won = 0
    for _, reward, terminated, truncated, infos in list(
        rollout(AgentsVectorEnv(64, SELF_PLAY), 800)
    )[1:]:
        rewards = reward.reshape(-1, 2)
        np.testing.assert_array_equal(rewards.sum(axis=1), 0)
        won = (rewards != 0).any(axis=1)
        np.testing.assert_array_equal(np.repeat(won, 2), terminated)
        assert not (terminated & truncated).any()
        if terminated.any():
            np.testing.assert_array_equal(
                infos["final_info"]["alive"][terminated], reward[terminated] > 0
            )
        n_won += won.sum()
    assert n_won > 5


def test_an_agent_that_is_out_waits_with_nothing_but_the_pass_until_the_game_ends():
    env = AgentsVectorEnv(16, MIXED)
    waited = 0
    was_alive = np.ones(16, bool)
    for obs, reward, terminated, truncated, infos in list(rollout(env, 1500))[1:]:
        over = terminated | truncated
        np.testing.assert_array_equal(
            over.reshape(-1, 2).all(axis=1), over.reshape(-1, 2).any(axis=1)
        )
        assert (reward[~was_alive] == 0).all()
        dead = ~infos["alive"]
        assert (obs["action_mask"][dead].sum(axis=1) == 1).all()
        assert (reward[was_alive & dead] == -1).all()
        assert not (truncated & ~was_alive).any()
        was_alive = infos["alive"]
        waited += dead.sum()
    assert waited > 20


def test_copies_belong_to_the_caller():
    env = AgentsVectorEnv(4, SOLO)
    (first, *_), (second, *_) = rollout(env, 1)
    for name in first:
        assert first[name].flags.writeable
        assert not np.shares_memory(first[name], second[name])


@pytest.mark.parametrize("match", [SOLO, SELF_PLAY])
def test_views_are_the_engines_memory_read_only_and_move_on_with_it(match):
    env = AgentsVectorEnv(4, match, copy=False)
    obs, _ = env.reset(seed=1)
    before = obs["total_army"].copy()
    assert not any(value.flags.writeable for value in obs.values())
    for _ in range(2):
        step = env.step(np.full(4, env.single_action_space.n - 1))
    for name, value in step[0].items():
        assert np.shares_memory(obs[name], value)
    assert (obs["total_army"] > before).all()


def test_views_outlive_their_environment():
    obs, _ = AgentsVectorEnv(4, SOLO, copy=False).reset(seed=1)
    gc.collect()
    assert obs["alive"].all()


def test_illegal_and_absurd_actions_pass():
    env = AgentsVectorEnv(5, SOLO)
    last = env.single_action_space.n - 1
    env.reset(seed=1)
    passed = [env.step(np.full(5, last))[0] for _ in range(10)]
    env.reset(seed=1)
    for expected in passed:
        obs, *_ = env.step(np.array([last, last + 1, -1, 1 << 40, -(1 << 40)]))
        assert data_equivalence(obs, expected, exact=True)


def test_actions_of_another_number_or_kind_are_refused():
    env = AgentsVectorEnv(4, SOLO)
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(4, int))
    env.reset(seed=1)
    with pytest.raises(ValueError, match="reshape"):
        env.step(np.zeros(5, int))
    with pytest.raises(TypeError, match="cast"):
        env.step(np.zeros(4))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="num_envs 3"):
        AgentsVectorEnv(3, SELF_PLAY)
    with pytest.raises(ValueError, match="0 games"):
        AgentsVectorEnv(0, SOLO)
    with pytest.raises(ValueError, match="reset_mask"):
        AgentsVectorEnv(2, SOLO).reset(options={"reset_mask": np.array([True, False])})


def test_gymnasium_makes_it_by_its_name():
    name = "farm.envs.registration:farm/Generals-v0"
    env = gymnasium.make_vec(name, num_envs=6, match=SELF_PLAY)
    assert isinstance(env, AgentsVectorEnv)
    assert env.num_envs == 6


def test_gymnasiums_statistics_see_the_episodes():
    env = RecordEpisodeStatistics(AgentsVectorEnv(8, SOLO))
    lengths = []
    for *_, infos in rollout(env, 200):
        if "episode" in infos:
            lengths += infos["episode"]["l"][infos["_episode"]].tolist()
    assert len(lengths) > 8
    assert max(lengths) <= 100


def test_infos_come_apart_as_gymnasium_does_it():
    env = DictInfoToList(AgentsVectorEnv(8, SOLO))
    for _, _, terminated, truncated, infos in list(rollout(env, 110))[1:]:
        ended = (terminated | truncated).tolist()
        assert [info["tick"] == 0 for info in infos] == ended
        assert ["final_obs" in info for info in infos] == ended
        assert ["final_info" in info for info in infos] == ended


def test_frames_make_planes_for_a_network():
    env = AgentsVectorEnv(8, SELF_PLAY)
    obs, _ = env.reset(seed=1)
    made = planes(env.frames, 0)
    assert made.shape[:1] + made.shape[2:] == obs["tile"].shape


def test_the_text_has_a_board_for_each_agent():
    env = AgentsVectorEnv(4, SELF_PLAY, render_mode="ansi")
    env.reset(seed=1)
    assert [board.splitlines()[0] for board in env.render()] == ["turn 0  A 1/1  B 1/1"] * 4
    assert AgentsVectorEnv(4, SELF_PLAY).render() is None


def test_legal_actions_are_drawn_uniformly_and_nothing_else():
    mask = np.zeros((30_000, 9), np.int8)
    mask[:, [2, 5, 8]] = 1
    mask[0] = [0] * 8 + [1]
    drawn = sample_legal(mask, np.random.default_rng(1))
    assert drawn[0] == 8
    counts = np.bincount(drawn, minlength=9)
    assert set(np.flatnonzero(counts)) == {2, 5, 8}
    assert abs(counts[[2, 5, 8]] - 10_000).max() < 400


def test_an_official_match_is_seen_on_the_largest_board_whatever_was_drawn():
    env = AgentsVectorEnv(6, OFFICIAL)
    assert OFFICIAL.size == (23, 23)
    corners = set()
    for obs, *_ in rollout(env, 130):
        assert obs["tile"].shape == (6, 23, 23)
        hidden = obs["tile"] >> 5 == tiles.OBSTACLE
        corners |= {int(rows.all(axis=1).sum()) for rows in hidden}
    assert len(corners) > 2


def test_a_fixed_match_is_played_on_the_given_board():
    board = parse_board("G0 . . .\n. . M .\n. M . .\n. . . G1\n")
    match = Match(seats=("agent", "random"), map="fixed", given=board, max_turns=20)
    env = AgentsVectorEnv(2, match)
    obs, _ = env.reset(seed=1)
    assert obs["tile"].shape == (2, 4, 4)
    assert (obs["tile"][:, 0, 0] == (tiles.GENERAL << tiles.OWNER_BITS | tiles.SELF)).all()
    with pytest.raises(ValueError, match="a general for each of 2 seats"):
        AgentsVectorEnv(2, Match(map="fixed"))
    with pytest.raises(ValueError, match="no map 'big'"):
        AgentsVectorEnv(2, Match(map="big"))
