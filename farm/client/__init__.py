"""The client of a farm: subscribe, iterate trajectories, stack them into arrays.

    from farm.client import Client, stack

    with Client("127.0.0.1:50051") as client:
        for trajectories in client.batches(512):
            batch = stack(trajectories)  # .obs .action .reward .next_obs .terminated .legal_mask
            learn(batch.planes(), batch.action, batch.reward, batch.next_planes(), batch.terminated)

Needs grpcio, protobuf, numpy and lz4 and, of the farm, nothing that simulates. Errors are those of
`farm.errors` below ClientError, and CorruptDataError. These names are public and frozen by a test.
"""

from farm.client.aio import AsyncClient, AsyncSubscription
from farm.client.balance import Amount, Balance, Gap, GroupBalance, RingBalance
from farm.client.core import Received
from farm.client.decode import Shape, Trajectory
from farm.client.encode import make_trajectory
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
    "Amount",
    "AsyncClient",
    "AsyncSubscription",
    "Balance",
    "Batch",
    "ChildInfo",
    "Client",
    "ExperienceStats",
    "FarmInfo",
    "Gap",
    "GroupBalance",
    "GroupStats",
    "Received",
    "Rejection",
    "Retry",
    "RingBalance",
    "RingStats",
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
    "stack",
]
