"""The public surface of the client, and what it costs to import."""

import json
import subprocess
import sys
from pathlib import Path

import farm.client

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("numba", "llvmlite", "hydra", "omegaconf", "structlog", "msgspec", "psutil", "rich")
OF_THE_FARM = ("farm.jit", "farm.shm", "farm.config", "farm.engine", "farm.telemetry")


def test_the_public_names_are_these():
    assert farm.client.__all__ == [
        "MEMORY_PLANES",
        "NO_RETRY",
        "PLANES",
        "Action",
        "ActionResult",
        "Agent",
        "Amount",
        "AsyncAgent",
        "AsyncClient",
        "AsyncGameClient",
        "AsyncGamePlay",
        "AsyncGameStream",
        "AsyncManySeats",
        "AsyncSubscription",
        "Balance",
        "Batch",
        "ChildInfo",
        "Client",
        "CreatedGame",
        "EventKind",
        "ExpanderAgent",
        "ExperienceStats",
        "FarmInfo",
        "GameBoard",
        "GameClient",
        "GameEvent",
        "GameInfo",
        "GameObservation",
        "GameOptions",
        "GamePlay",
        "GameResult",
        "GameStats",
        "GameStream",
        "GameUpdate",
        "Gap",
        "GroupBalance",
        "GroupStats",
        "JoinedGame",
        "ManySeats",
        "ManyStep",
        "Move",
        "Phase",
        "PlayerStats",
        "RandomAgent",
        "Received",
        "Rejection",
        "Retry",
        "RingBalance",
        "RingStats",
        "Score",
        "SeatInfo",
        "Shape",
        "Stall",
        "Stats",
        "Submitted",
        "SubscribeOptions",
        "Subscription",
        "Tls",
        "Trajectory",
        "Wanted",
        "group_by_shape",
        "make_trajectory",
        "planes",
        "play_game",
        "play_game_async",
        "run",
        "run_async",
        "run_many",
        "stack",
    ]


def test_every_public_name_is_there_and_documented():
    for name in farm.client.__all__:
        value = getattr(farm.client, name)
        assert value.__doc__ or isinstance(value, tuple), name


def test_every_method_and_property_of_them_is_documented():
    for name in farm.client.__all__:
        value = getattr(farm.client, name)
        if isinstance(value, type) and value.__module__.startswith("farm.client.games"):
            for member, what in vars(value).items():
                if not member.startswith("_") and (callable(what) or isinstance(what, property)):
                    assert what.__doc__, f"{name}.{member}"


def test_a_fresh_process_that_imports_the_client_loads_nothing_that_simulates():
    script = "import json, sys, farm.client; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = set(json.loads(done.stdout))
    assert not loaded & {*HEAVY, *OF_THE_FARM}
    assert {"grpc", "numpy", "lz4.block", "google.protobuf"} <= loaded
