"""`farm play`: one agent, or the person at the terminal, through one game after another."""

import argparse
import asyncio
import importlib
import json
import os
import sys
from typing import Final

from farm.cli.arguments_play import AGENTS, HUMAN_TICK_MS, LOCKSTEP_MS, NOBODY
from farm.client import (
    Agent,
    AsyncAgent,
    AsyncGameClient,
    ExpanderAgent,
    GameClient,
    GameOptions,
    GameResult,
    JoinedGame,
    RandomAgent,
    Retry,
    play_game,
    play_game_async,
)
from farm.errors import EXIT_OK, UsageError

RETRY: Final = Retry(deadline_s=60.0)
_DEFAULT_OPPONENT: Final = "expander"


def run(args: argparse.Namespace) -> int:
    """Play the games that were asked for.

    Raises:
        UsageError: options that do not go together, or no agent of that name.
        ClientError: there is no farm, or it refuses.
    """
    _check(args)
    if args.human:
        from farm.cli.play_human import play_human  # noqa: PLC0415 - it loads what draws

        return play_human(
            args.address,
            name=args.name or os.environ.get("USER") or "human",
            game_id=args.game,
            seat=args.seat,
            seat_token=args.seat_token,
            options=game_options(args, 0),
        )
    agent = load_agent(args.agent, args.seed)
    if args.name:
        agent.name = args.name
    results = []
    for number in range(args.games):
        result = _play(args, agent, number)
        results.append(result)
        _print(result, as_json=args.json)
    if len(results) > 1 and not args.json:
        n_won = sum(result.won for result in results)
        n_lost = sum(bool(result.winners) and not result.won for result in results)
        n_rest = len(results) - n_won - n_lost
        print(f"{len(results)} games: {n_won} won, {n_lost} lost, {n_rest} undecided")
    return EXIT_OK


def game_options(args: argparse.Namespace, number: int) -> GameOptions:
    """The options of a new game.

    Args:
        args: of the command.
        number: of the game in its row.
    """
    given = args.opponent or [_DEFAULT_OPPONENT]
    own = args.seat or 0
    is_board = args.map is not None and "\n" in args.map
    n_seats = args.seats or (sum(cell[0] == "G" for cell in args.map.split()) if is_board else 0)
    n_seats = n_seats or max(2, own + 1, 1 + len(given))
    others = [seat for seat in range(n_seats) if seat != own]
    if len(given) > len(others):
        raise UsageError(f"{len(given)} opponents for {len(others)} seats: ask for more --seats")
    bots = dict(zip(others, given + given[-1:] * len(others), strict=False))
    default_ms = HUMAN_TICK_MS if args.human else LOCKSTEP_MS
    options = GameOptions(
        map=args.board or args.map or "official",
        seats=n_seats,
        bots={seat: policy for seat, policy in bots.items() if policy != NOBODY},
        tick_ms=default_ms if args.tick_ms is None else args.tick_ms,
        fog=not args.no_fog,
        collect=args.collect,
    )
    if args.seed is not None:
        options["seed"] = (args.seed + number) % (1 << 64)
    return options


def load_agent(name: str, seed: int | None) -> Agent | AsyncAgent:
    """An agent by its short name, or by module and class.

    Raises:
        UsageError: there is none of that name. What the module raises comes out as it is.
    """
    if name in AGENTS:
        return {"random": RandomAgent, "expander": ExpanderAgent}[name](seed)
    module_name, colon, class_name = name.partition(":")
    if not (module_name and colon and class_name):
        raise UsageError(f"no agent {name!r}: {', '.join(AGENTS)}, or module:Class")
    sys.path.insert(0, "")  # as `python -m` does: modules are found from here
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise UsageError(f"no module {error.name!r} for the agent {name!r}") from None
    made = getattr(module, class_name, None)
    if not isinstance(made, type) or not issubclass(made, Agent | AsyncAgent):
        raise UsageError(f"{class_name!r} of {module_name!r} is no class of farm.client.Agent")
    agent: Agent | AsyncAgent = made()
    return agent


def _check(args: argparse.Namespace) -> None:
    if args.board and args.map:
        raise UsageError("--board and --map do not go together: --board 20x20 is --map 20x20")
    if args.seat_token and args.game is None:
        raise UsageError("--seat-token goes with --game")
    if args.human and args.games > 1:
        raise UsageError("--games goes with --agent: a person plays one at a time")
    if args.human and args.json:
        raise UsageError("--json goes with --agent")
    given = {"board", "map", "seats", "opponent", "tick_ms", "seed", "no_fog", "collect"}
    values = {name: getattr(args, name) for name in sorted(given)}
    of_new = [name for name, value in values.items() if value is not None and value is not False]
    if args.game is not None and (of_new or args.games > 1):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in [*of_new, "games"][:1])
        raise UsageError(f"{names} goes with a new game, not with --game")


def _play(args: argparse.Namespace, agent: Agent | AsyncAgent, number: int) -> GameResult:
    if isinstance(agent, AsyncAgent):
        if args.by == "polling":
            raise UsageError("an AsyncAgent plays by stream: leave --by polling out")
        return asyncio.run(_play_async(args, agent, number))
    with GameClient(args.address, retry=RETRY) as client:
        game_id = args.game
        if game_id is None:
            game_id = client.create(**game_options(args, number)).game_id
        if args.seat_token:
            seat = getattr(client.state(game_id, args.seat_token), "seat", 0)
            joined = JoinedGame(game_id, seat, args.seat_token)
        else:
            joined = client.join(game_id, name=agent.name, seat=args.seat)
            _announce(joined)
        return play_game(client, agent, joined, by=args.by, on_error=args.on_error)


async def _play_async(args: argparse.Namespace, agent: AsyncAgent, number: int) -> GameResult:
    async with AsyncGameClient(args.address, retry=RETRY) as client:
        game_id = args.game
        if game_id is None:
            game_id = (await client.create(**game_options(args, number))).game_id
        if args.seat_token:
            seat = getattr(await client.state(game_id, args.seat_token), "seat", 0)
            joined = JoinedGame(game_id, seat, args.seat_token)
        else:
            joined = await client.join(game_id, name=agent.name, seat=args.seat)
            _announce(joined)
        return await play_game_async(client, agent, joined, on_error=args.on_error)


def _announce(joined: JoinedGame) -> None:
    """Whom a game waits for, so that somebody can come."""
    assert joined.info is not None
    n_open = sum(seat.kind == "open" for seat in joined.info.seats)
    if n_open:
        words = f"{n_open} more player{'s' if n_open > 1 else ''}"
        print(
            f"game {joined.game_id} waits for {words}: farm play --game {joined.game_id} --agent A",
            file=sys.stderr,
            flush=True,
        )


def _print(result: GameResult, *, as_json: bool) -> None:
    if as_json:
        line = {
            "game_id": result.game_id,
            "seat": result.seat,
            "phase": result.phase.name.lower(),
            "won": result.won,
            "winners": list(result.winners),
            "turns": result.turns,
            "ticks": result.ticks,
            "actions": result.actions,
            "refused": dict(result.refused),
        }
        print(json.dumps(line), flush=True)
        return
    outcome = "won" if result.won else "lost" if result.winners else result.phase.name.lower()
    refused = sum(result.refused.values())
    print(
        f"game {result.game_id}  seat {result.seat}  {outcome}  {result.turns} turns  "
        f"{result.actions} actions" + (f"  {refused} refused" if refused else ""),
        flush=True,
    )
