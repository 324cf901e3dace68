"""A games host as a child of the farm: wiring, readiness, and how it stops.

Games that are not over when it stops stay in their journals, and the next host of its number goes
on with them.
"""

import asyncio
import os
import secrets
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc.aio

from farm.config.exposure import exposed
from farm.config.patterns import socket_path
from farm.errors import EXIT_OK, SegmentAbsentError
from farm.games.bus import EventBus
from farm.games.counting import Counting
from farm.games.creations import TOKEN_BYTES
from farm.games.desk import Desk
from farm.games.duty import Duty
from farm.games.game import HostedGame
from farm.games.host import Host, Sources
from farm.games.journal import Journal
from farm.games.journal_files import SUFFIX, JournalFiles
from farm.games.kernels import take_numbers
from farm.games.recorder import Recorder
from farm.games.recording import Recording
from farm.games.recovery import Recovery
from farm.games.service import GameService
from farm.games.slots import Slots
from farm.games.takeover import Takeover
from farm.games.warm_up import compile_kernels
from farm.replay.folders import state_folder
from farm.rpc.names import GAME_SERVICE
from farm.serve.access import AccessInterceptor
from farm.serve.interceptor import ErrorInterceptor
from farm.serve.limits import Limiter, LimitInterceptor
from farm.serve.server import bind, check_health, make_server
from farm.serve.tls import Certificates, certificates_of, check_handshake
from farm.serve.trace import TraceInterceptor, start_tracer, stop_tracer
from farm.shm.control import ChildState
from farm.shm.groups import FIRST_HOST_RING
from farm.shm.ring import RingProducer
from farm.shm.ring_layout import attach_ring
from farm.supervisor.child import ChildContext
from farm.telemetry.actions import ActionSpans

if TYPE_CHECKING:
    from grpc_health.v1 import health

MAX_CALLS = 10_240
"""Calls at once, of any kind. Above the bound of `games.max_streams`."""
HEALTH_S = 10.0
"""Time for the port to answer after it was bound."""
GRACE_S = 1.0
"""Time for calls to end after their streams were told to."""
SEED_BITS = 63


def main(ctx: ChildContext) -> int:
    """Host games until the farm stops."""
    compile_kernels()
    if ctx.stopping:
        return EXIT_OK
    with ExitStack() as stack:
        files = _journal_files(ctx, stack)
        bus = EventBus()
        host = _host(ctx, bus, files)
        _recover(ctx, host, files)
        recording = _recording(ctx, bus, host, stack)
        asyncio.run(_serve(ctx, bus, host, files, recording))
    return EXIT_OK


def _journal_files(ctx: ChildContext, stack: ExitStack) -> JournalFiles:
    """This host's journals.

    Raises:
        FileAccessError: their folder cannot be used.
    """
    games = ctx.config.games
    folder = state_folder(games.journal_dir, ctx.instance, os.environ) / f"host-{ctx.index}"
    files = JournalFiles(folder, keep=games.journal_keep, max_bytes=games.journal_bytes)
    stack.callback(files.close)
    return files


def _host(ctx: ChildContext, bus: EventBus, files: JournalFiles) -> Host:
    """A host without games, whose numbers begin behind those that the journals have."""
    mem = ctx.control.mem
    journals = (path.stem for path in files.folder.rglob(f"*{SUFFIX}"))
    # 0 stands for no game in messages.
    highest = max((int(stem) for stem in journals if stem.isdecimal()), default=0)
    number = int(take_numbers(mem, 1))
    if number < highest:
        take_numbers(mem, highest - number)
    sources = Sources(
        new_id=lambda: int(take_numbers(mem, 1)),
        new_seed=lambda: secrets.randbits(SEED_BITS),
        new_token=lambda: secrets.token_urlsafe(TOKEN_BYTES),
    )

    def report(game: HostedGame | None, error: BaseException) -> None:
        if game is None:
            ctx.log.error("listener_failed", exc_info=error)
        else:
            ctx.log.error("game_failed", game_id=game.game_id, exc_info=error)

    config = ctx.config
    return Host(config.games, config.reward, Slots(config.games), bus, sources, on_fault=report)


def _recover(ctx: ChildContext, host: Host, files: JournalFiles) -> None:
    """Go on with the games that the host before left.

    Raises:
        FileAccessError: a journal can neither be read nor set aside.
    """
    journal = Journal(files)
    takeover = Takeover(host, ctx.config.games)
    recovery = Recovery(files, journal, takeover, ctx.log)
    found = recovery.run(lambda _done, _all: ctx.slot.beat(time.monotonic_ns()))
    host.register.journal = journal
    takeover.settle(time.monotonic_ns(), time.time_ns())
    if any(found):
        ctx.log.info("games_taken_up", **found._asdict())


def _recording(ctx: ChildContext, bus: EventBus, host: Host, stack: ExitStack) -> Recording | None:
    """What takes experiences down; None where the farm made no ring for this host."""
    try:
        segment = attach_ring(ctx.instance, FIRST_HOST_RING + ctx.index)
    except SegmentAbsentError:
        return None
    stack.callback(segment.close)
    recorder = Recorder(
        RingProducer(segment, ctx.generation),
        ctx.slot,
        ring=FIRST_HOST_RING + ctx.index,
        generation=ctx.generation,
        steps=ctx.config.worker.steps,
        config_epoch=ctx.epoch,
        published=ctx.data_bell.ring,
        wall_ns=time.time_ns,
    )
    recording = Recording(recorder, host.register.slots, bus)
    for game in host.register.open_games():
        if game.has_board:
            recording.begin(game)
    return recording


async def _serve(
    ctx: ChildContext,
    bus: EventBus,
    host: Host,
    files: JournalFiles,
    recording: Recording | None,
) -> None:
    wake = asyncio.Event()
    limiter = Limiter(ctx.config.limits, ctx.slot.add, ctx.log)
    desk = _desk(ctx, bus, host, limiter, wake)
    tracer = start_tracer(ctx)
    if tracer is not None:
        desk.actions = ActionSpans(tracer)
    trace = None if tracer is None else TraceInterceptor(tracer)
    server, servicer = _server(ctx, desk, limiter, trace)
    certificates = _certificates(ctx)
    credentials = certificates and certificates.credentials
    wanted = ctx.config.games.addresses[ctx.index]
    address = bind(server, wanted, credentials, key="games.address")
    if "games.address" in exposed(ctx.config):
        ctx.log.warning("addresses_unguarded", address=address, setting="security.insecure")
    await server.start()
    try:
        await servicer.set(GAME_SERVICE, 1)
        if certificates is None:
            await check_health(address, HEALTH_S, GAME_SERVICE)
        else:
            await check_handshake(address, HEALTH_S)
        ctx.control.set_game_address(ctx.index, address)
        if not ctx.stopping:
            ctx.slot.state = ChildState.READY
        ctx.log.info("games_serving", address=address, games=host.register.n_open)
        counting = Counting(ctx.slot, host)
        await Duty(ctx, desk, wake, files, recording, counting).run()
    finally:
        desk.close()
        await servicer.enter_graceful_shutdown()
        await server.stop(GRACE_S)
        await stop_tracer(tracer, ctx.log)
    ctx.log.info("games_stopped", games=host.register.n_open)


def _desk(
    ctx: ChildContext, bus: EventBus, host: Host, limiter: Limiter, wake: asyncio.Event
) -> Desk:
    """What the handlers share; whoever watches a game hears of what the bus tells."""
    desk = Desk(
        host,
        ctx.config,
        limiter,
        wake=wake.set,
        on_streams=lambda n_streams: ctx.slot.set("streams", n_streams),
        on_action=lambda took_us: ctx.slot.observe("action_latency_us", took_us),
    )
    bus.subscribe(lambda game, _event: desk.watches.tell(game.game_id))
    bus.subscribe_ticks(
        lambda played: desk.watches.tell_each(game.game_id for game in played.games)
    )
    return desk


def _server(
    ctx: ChildContext, desk: Desk, limiter: Limiter, trace: TraceInterceptor | None
) -> tuple[grpc.aio.Server, "health.aio.HealthServicer"]:
    """The server, not bound yet, and its health."""
    tokens_file = ctx.config.security.tokens_file
    return make_server(
        GameService(desk).handlers(),
        GAME_SERVICE,
        ErrorInterceptor(ctx.log, lambda: ctx.slot.add("rpc_errors", 1)),
        ctx.config.serve.client_timeout_s,
        None if tokens_file is None else AccessInterceptor(tokens_file, ctx.log),
        LimitInterceptor(limiter),
        trace=trace,
        max_calls=MAX_CALLS,
    )


def _certificates(ctx: ChildContext) -> Certificates | None:
    """What the port answers handshakes with; None for plaintext, as on a unix socket."""
    if socket_path(ctx.config.games.address) is not None:
        return None
    return certificates_of(ctx.config.security, ctx.log)
