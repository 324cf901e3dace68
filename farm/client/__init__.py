"""The client of a farm: subscribe, iterate trajectories, stack them into arrays.

    from farm.client import Client, stack

    with Client("127.0.0.1:50051") as client:
        for trajectories in client.batches(512):
            batch = stack(trajectories)  # .obs .action .reward .next_obs .terminated .legal_mask
            learn(batch.planes(), batch.action, batch.reward, batch.next_planes(), batch.terminated)

And of its games: make, join, watch and play them.

    from farm.client import ExpanderAgent, run

    print(run(ExpanderAgent(), "127.0.0.1:50051", map="20x20", bots={1: "hunter"}).won)

Needs grpcio, protobuf, numpy and lz4 and, of the farm, nothing that simulates. Errors are those of
`farm.errors` below ClientError, and CorruptDataError. These names are public and frozen by a test.
"""

from farm.client.aio import AsyncClient, AsyncSubscription
from farm.client.balance import Amount, Balance, Gap, GroupBalance, RingBalance
from farm.client.core import Received
from farm.client.decode import Shape, Trajectory
from farm.client.encode import make_trajectory
from farm.client.games.agent import Agent, AsyncAgent
from farm.client.games.aio import AsyncGameClient
from farm.client.games.aio_many import AsyncManySeats
from farm.client.games.aio_streams import AsyncGamePlay, AsyncGameStream
from farm.client.games.builtin import ExpanderAgent, RandomAgent
from farm.client.games.conduct import GameResult
from farm.client.games.many_arrays import ManyStep
from farm.client.games.many_sync import ManySeats
from farm.client.games.moves import Action, ActionResult, Move
from farm.client.games.observation import GameBoard, GameObservation, GameUpdate, Score
from farm.client.games.requests import GameOptions
from farm.client.games.run import play_game, run, run_many
from farm.client.games.run_aio import play_game_async, run_async
from farm.client.games.streams import GamePlay, GameStream
from farm.client.games.sync import GameClient
from farm.client.games.values import (
    CreatedGame,
    EventKind,
    GameEvent,
    GameInfo,
    GameStats,
    JoinedGame,
    Phase,
    PlayerStats,
    SeatInfo,
)
from farm.client.options import SubscribeOptions, Wanted
from farm.client.planes import MEMORY_PLANES, PLANES, planes
from farm.client.replies import (
    ChildInfo,
    ExperienceStats,
    FarmInfo,
    GroupStats,
    RingStats,
    Stall,
    Stats,
)
from farm.client.retry import NO_RETRY, Retry
from farm.client.stack import Batch, group_by_shape, stack
from farm.client.submit import Rejection, Submitted
from farm.client.sync import Client, Subscription
from farm.client.tls import Tls

__all__ = [
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
