"""Combinations of values that cannot work, although each value by itself is fine. Pure.

Rules, in the order in which they are checked:

    match.board               both sides from 4 to 64 cells
    match.seats               2 to 16, each a policy that exists or a mix of such (mix.py)
    match.teams               a number for each seat, and two different ones
    match.map_file            with match.map=fixed a board with a general for each seat, else null
    match.board               at least `CELLS_PER_SEAT` cells a seat (uniform and toy maps)
    match.cities              cities, mountains and generals leave half of the cells open (uniform)
    rules.city_army_low       not above rules.city_army_high
    rules.idle_ticks          players who start with 1 can move before a limit ends the game
    rules.length_ticks        likewise
    worker.count              0 only where something else makes experiences
    ring.submitted_bytes      0, or a power of two of at least `MIN_RING_BYTES`
    ring.bytes                a power of two; holds two chunks (a largest trajectory of every seat)
    serve.min_batch_bytes     not above serve.max_batch_bytes
    serve.max_batch_bytes     holds a largest trajectory
    serve.credit_bytes        not below serve.max_batch_bytes
    serve.group_idle_s        not below serve.client_timeout_s
    serve.address             a port up to 65535, or a path up to 107 bytes
    telemetry.metrics_address likewise, and another than serve.address
    games.address             of every host likewise, and another than the two above
    games.ring_bytes          a power of two; holds two trajectories of the largest game allowed
    exposed addresses         see exposure.py
    supervisor.silence_s      above the second between heartbeats
    supervisor.stop_s         `STOP_MARGIN_S` above serve.drain_s
"""

from collections.abc import Collection, Iterator

from farm.config.board import largest_board, read_map
from farm.config.exposure import exposure_problems
from farm.config.memory import (
    RINGS_PER_CHUNK,
    host_record_bound_bytes,
    host_ring_bound_bytes,
    next_power_of_two,
    record_bound_bytes,
    ring_bound_bytes,
)
from farm.config.mix import parse_mix
from farm.config.patterns import MAX_PORT, MAX_SOCKET_PATH_BYTES, socket_path
from farm.config.schema import FarmConfig, MatchConfig
from farm.errors import ConfigError
from farm.spec.limits import MAX_SEATS, MAX_SIDE, MIN_SEATS, MIN_SIDE

CELLS_PER_SEAT = 8
"""A general, its eight neighbours shared with the edge or the next player: less is no game."""

MIN_RING_BYTES = 65_536
"""Below it a ring holds no trajectory worth the name."""

HEARTBEAT_S = 1.0
"""Children beat at least this often."""

STOP_MARGIN_S = 2.0
"""From the end of the drain to the end of the process: streams are given a second to end in."""


def check(config: FarmConfig, *, policies: Collection[str]) -> None:
    """Refuse a config that cannot work.

    Args:
        config: values that are each of the right type and range.
        policies: the names that a seat may have.

    Raises:
        ConfigError: the first rule that is broken; names the key and shows the arithmetic.
    """
    for error in problems(config, policies=policies):
        raise error


def problems(config: FarmConfig, *, policies: Collection[str]) -> Iterator[ConfigError]:
    """Every broken rule, in the order above; later ones assume that earlier ones hold."""
    yield from _board(config)
    yield from _seats(config, policies)
    yield from _teams(config.match)
    wrong_maps = list(_map_file(config.match))
    yield from wrong_maps
    yield from _room(config)
    yield from _rules(config)
    yield from _producers(config)
    if not wrong_maps:
        yield from _ring(config)
        yield from _serve(config)
    yield from _metrics(config)
    if config.games.hosts:
        yield from _games(config)
    yield from exposure_problems(config)
    yield from _supervisor(config)


def _board(config: FarmConfig) -> Iterator[ConfigError]:
    for side in config.match.size:
        if not MIN_SIDE <= side <= MAX_SIDE:
            yield ConfigError(
                "match.board",
                f"a side of {config.match.board} is {side}; it must be {MIN_SIDE} to {MAX_SIDE}",
            )


def _seats(config: FarmConfig, policies: Collection[str]) -> Iterator[ConfigError]:
    n_seats = config.match.n_seats
    if not MIN_SEATS <= n_seats <= MAX_SEATS:
        yield ConfigError(
            "match.seats", f"got {n_seats}; a game has {MIN_SEATS} to {MAX_SEATS} seats"
        )
    for seat, mix in enumerate(config.match.seats):
        try:
            parse_mix(mix, policies)
        except ValueError as error:
            yield ConfigError("match.seats", f"seat {seat}: {error}")


def _teams(match: MatchConfig) -> Iterator[ConfigError]:
    if match.teams is None:
        return
    if len(match.teams) != match.n_seats:
        yield ConfigError(
            "match.teams",
            f"{len(match.teams)} numbers for {match.n_seats} seats; give each seat its team's",
        )
    elif match.n_sides == 1:
        yield ConfigError("match.teams", "all seats are in one team; a game has at least two sides")


def _map_file(match: MatchConfig) -> Iterator[ConfigError]:
    if match.map != "fixed":
        if match.map_file is not None:
            yield ConfigError(
                "match.map_file",
                f"{match.map_file} would not be played on with match.map={match.map}; "
                "set match.map to fixed, or match.map_file to null",
            )
        return
    try:
        n_generals = len(read_map(match).generals)
    except ConfigError as error:
        yield error
        return
    if n_generals != match.n_seats:
        yield ConfigError(
            "match.map_file",
            f"{match.map_file} has generals for {n_generals} seats, and match.seats names "
            f"{match.n_seats}",
        )


def _room(config: FarmConfig) -> Iterator[ConfigError]:
    match = config.match
    if match.map not in {"uniform", "toy"}:
        return
    wanted = CELLS_PER_SEAT * match.n_seats
    if match.n_cells < wanted:
        yield ConfigError(
            "match.board",
            f"{match.board} has {match.n_cells} cells, too small for {match.n_seats} seats: "
            f"{CELLS_PER_SEAT} a seat make {wanted}",
        )
    if match.map == "toy":
        return
    n_mountains = round(match.mountains * match.n_cells)
    n_open = match.n_cells - n_mountains - match.n_seats - match.cities
    if 2 * n_open < match.n_cells:
        most = max(0, match.n_cells // 2 - n_mountains - match.n_seats)
        yield ConfigError(
            "match.cities",
            f"of the {match.n_cells} cells of match.board={match.board}, {n_mountains} mountains, "
            f"{match.n_seats} generals and {match.cities} cities leave {max(0, n_open)} open, and "
            f"half of them must be; set match.cities to {most} or less",
        )


def _rules(config: FarmConfig) -> Iterator[ConfigError]:
    rules = config.rules
    if rules.city_army_low > rules.city_army_high:
        yield ConfigError(
            "rules.city_army_low",
            f"{rules.city_army_low} is above rules.city_army_high={rules.city_army_high}",
        )
    first_growth = min(rules.production_period, rules.land_period)
    limits = {"rules.idle_ticks": rules.idle_ticks, "rules.length_ticks": rules.length_ticks}
    for key, ticks in limits.items():
        if rules.start_army == 1 and ticks <= first_growth:
            yield ConfigError(
                key,
                f"{ticks} ends every game before anybody can move: with rules.start_army=1 armies "
                f"grow to 2 at tick {first_growth}; set it to {first_growth + 1} or more",
            )


def _producers(config: FarmConfig) -> Iterator[ConfigError]:
    if not (config.worker.count or config.games.hosts or config.ring.submitted_bytes):
        yield ConfigError(
            "worker.count",
            "0, and neither games.hosts nor ring.submitted_bytes is set: nobody would make "
            "experiences; set one of them",
        )


def _ring(config: FarmConfig) -> Iterator[ConfigError]:
    submitted = config.ring.submitted_bytes
    if submitted and (submitted.bit_count() != 1 or submitted < MIN_RING_BYTES):
        near = max(MIN_RING_BYTES, next_power_of_two(submitted))
        yield ConfigError(
            "ring.submitted_bytes",
            f"{submitted:,} is no power of two from {MIN_RING_BYTES:,} on, nor 0 for none; "
            f"{near} is",
        )
    capacity = config.ring.bytes
    if capacity.bit_count() != 1:
        above = next_power_of_two(capacity)
        yield ConfigError(
            "ring.bytes", f"{capacity:,} is no power of two; {above // 2} and {above} are"
        )
    wanted = ring_bound_bytes(config)
    if capacity < wanted:
        yield ConfigError(
            "ring.bytes",
            f"{capacity:,} bytes are too few: {RINGS_PER_CHUNK} batches of {config.match.n_seats} "
            f"trajectories of up to {record_bound_bytes(config):,} bytes "
            f"({_board_text(config.match)}, worker.steps={config.worker.steps}) need {wanted:,}; "
            f"set ring.bytes to {next_power_of_two(wanted)} or more",
        )


def _serve(config: FarmConfig) -> Iterator[ConfigError]:
    serve = config.serve
    if serve.min_batch_bytes > serve.max_batch_bytes:
        yield ConfigError(
            "serve.min_batch_bytes",
            f"{serve.min_batch_bytes:,} is above serve.max_batch_bytes={serve.max_batch_bytes:,}",
        )
    largest = record_bound_bytes(config)
    if serve.max_batch_bytes < largest:
        yield ConfigError(
            "serve.max_batch_bytes",
            f"{serve.max_batch_bytes:,} does not hold one trajectory of up to {largest:,} bytes "
            f"({_board_text(config.match)}, {config.match.n_seats} seats, "
            f"worker.steps={config.worker.steps}); set it to {next_power_of_two(largest)} or more",
        )
    if serve.credit_bytes < serve.max_batch_bytes:
        yield ConfigError(
            "serve.credit_bytes",
            f"{serve.credit_bytes:,} is below serve.max_batch_bytes={serve.max_batch_bytes:,}: "
            "a full message could never be sent",
        )
    if serve.group_idle_s < serve.client_timeout_s:
        yield ConfigError(
            "serve.group_idle_s",
            f"{serve.group_idle_s} is below serve.client_timeout_s={serve.client_timeout_s}: a "
            "client that is cut off and comes back would find its group gone",
        )
    yield from _address("serve.address", serve.address)


def _metrics(config: FarmConfig) -> Iterator[ConfigError]:
    key, address = "telemetry.metrics_address", config.telemetry.metrics_address
    if address is None:
        return
    yield from _address(key, address)
    takes_any_port = socket_path(address) is None and _port(address) == 0
    if address == config.serve.address and not takes_any_port:
        yield ConfigError(
            key, f"{address} is serve.address as well; choose another, or null for no metrics"
        )


def _games(config: FarmConfig) -> Iterator[ConfigError]:
    games = config.games
    others = {
        "serve.address": config.serve.address,
        "telemetry.metrics_address": config.telemetry.metrics_address or ":0",
    }
    for address in games.addresses:
        is_socket = socket_path(address) is not None
        if is_socket:
            yield from _address("games.address", address)
        port = 0 if is_socket else _port(address)
        if port > MAX_PORT:
            yield ConfigError(
                "games.address",
                f"port {port} of the last of games.hosts={games.hosts} is above {MAX_PORT}; begin "
                f"at {MAX_PORT + 1 - games.hosts} or below",
            )
            break
        for key, other in others.items():
            if (port or is_socket) and address == other:
                yield ConfigError("games.address", f"{address} is {key} as well; choose another")
    capacity, wanted = games.ring_bytes, host_ring_bound_bytes(config)
    if capacity.bit_count() != 1:
        above = next_power_of_two(capacity)
        yield ConfigError(
            "games.ring_bytes", f"{capacity:,} is no power of two; {above // 2} and {above} are"
        )
    if capacity < wanted:
        yield ConfigError(
            "games.ring_bytes",
            f"{capacity:,} bytes are too few: a trajectory of games.max_side={games.max_side}, "
            f"games.max_seats={games.max_seats} and worker.steps={config.worker.steps} may have "
            f"{host_record_bound_bytes(config):,}, which is at most half of a ring; set it to "
            f"{next_power_of_two(wanted)} or more, or lower the limits",
        )


def _address(key: str, address: str) -> Iterator[ConfigError]:
    """What makes it impossible to listen on an address, whatever the machine."""
    if (path := socket_path(address)) is not None:
        if len(path) > MAX_SOCKET_PATH_BYTES:
            yield ConfigError(
                key,
                f"the path {path} has {len(path)} bytes, and that of a unix socket at most "
                f"{MAX_SOCKET_PATH_BYTES}; choose a shorter one, such as /run/farm/default.sock",
            )
    elif (port := _port(address)) > MAX_PORT:
        yield ConfigError(key, f"port {port} is above {MAX_PORT}")


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _board_text(match: MatchConfig) -> str:
    """What makes the board as large as it is."""
    if match.map in {"uniform", "toy"}:
        return f"match.board={match.board}"
    height, width = largest_board(match)
    return f"match.map={match.map} of up to {height}x{width}"


def _supervisor(config: FarmConfig) -> Iterator[ConfigError]:
    supervisor = config.supervisor
    if supervisor.silence_s <= HEARTBEAT_S:
        yield ConfigError(
            "supervisor.silence_s",
            f"{supervisor.silence_s} would replace children in good health, which beat every "
            f"{HEARTBEAT_S} s; set it to {2 * HEARTBEAT_S} or more",
        )
    least_s = config.serve.drain_s + STOP_MARGIN_S
    if supervisor.stop_s < least_s:
        yield ConfigError(
            "supervisor.stop_s",
            f"{supervisor.stop_s} s would kill the experiences service while it stops: "
            f"serve.drain_s={config.serve.drain_s} s and {STOP_MARGIN_S} s to end its streams; "
            f"set it to {least_s} or more",
        )
