"""The schema of the config: what every key means, its unit, its bounds, and when a change applies.

The docstring under a field is its help in `farm config` (read by `fields.py`). `live` fields apply
to a running farm, `restart` fields replace the children concerned, `boot` fields need the farm to
be started again. What no single field can tell, such as a ring too small for its batches, is in
`check.py`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from farm.config import patterns

Positive = Annotated[int, Meta(ge=1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
GroupName = Annotated[str, Meta(pattern=patterns.GROUP)]
PolicyText = Annotated[str, Meta(pattern=patterns.POLICY)]
Weight = Annotated[float, Meta(ge=-1_000_000.0, le=1_000_000.0)]
Reload = Literal["live", "restart", "boot"]


def reload(when: Reload) -> Meta:
    """Mark a field with when its change applies."""
    return Meta(extra={"reload": when})


class MatchConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The games that rollout workers play."""

    map: Annotated[Literal["uniform", "official", "toy", "fixed"], reload("live")] = "uniform"
    """Boards of one size with densities as set, as official games draw them, for tests, or given:
    see `match.board`, `match.pad`, `match.map_file`."""
    map_file: Annotated[str | None, reload("live")] = None
    """The board of map=fixed: a line a row, cells apart by spaces: `.` land, M mountain, S swamp,
    D desert, C45 city of army 45, N7 (or S7, D7) neutral army of 7, G0 general of seat 0; a `#`
    begins a comment. The path is taken from where the farm is started."""
    pad: Annotated[bool, reload("live")] = True
    """Official maps on the largest board that so many seats and teams can get, mountains around
    them, so that all trajectories have one shape; false leaves every game its own size."""
    teams: Annotated[tuple[Annotated[int, Meta(ge=0, le=127)], ...] | None, reload("live")] = None
    """For each seat a number, equal for teammates; null lets everybody play alone."""
    board: Annotated[str, Meta(pattern=r"^\d{1,2}x\d{1,2}$"), reload("live")] = "20x20"
    """Height x width in cells, 4x4 to 64x64, of uniform and toy maps."""
    seats: Annotated[tuple[str, ...], reload("live")] = ("expander", "random")
    """For each of 2 to 16 seats a policy, or a mix that is drawn anew for every game, such as
    `hunter:2|expander:1`."""
    max_turns: Annotated[Positive, Meta(le=25_000), reload("live")] = 500
    """Turns (two ticks each) after which a game is truncated."""
    mountains: Annotated[float, Meta(ge=0.0, le=0.35), reload("live")] = 0.2
    """Share of the cells of uniform maps that are mountains."""
    cities: Annotated[int, Meta(ge=0, le=512), reload("live")] = 10
    """Neutral cities on uniform maps, each with an army of 40 to 50."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of uniform and toy maps in cells; of any map: board.largest_board."""
        height, _, width = self.board.partition("x")
        return int(height), int(width)

    @property
    def n_cells(self) -> int:
        """Cells of uniform and toy maps."""
        height, width = self.size
        return height * width

    @property
    def n_seats(self) -> int:
        """Players of a game."""
        return len(self.seats)

    @property
    def n_sides(self) -> int:
        """Teams of a game, or players without any."""
        return self.n_seats if self.teams is None else len(set(self.teams))


class RulesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The variant of the rules, for new games; `farm.engine.rules` has the same by index."""

    order: Annotated[Literal["official", "alternating", "by_seat"], reload("live")] = "official"
    """Which moves of a tick go first: by class and army; by turns; or always the lower seat."""
    general_trade: Annotated[bool, reload("live")] = True
    """Whether players who take each other's general in one tick swap lands, halved, and live."""
    city_growth_below: Annotated[int, Meta(ge=0, le=65_535), reload("live")] = 0
    """Neutral cities with less army than this grow by 1 every production period; 0 for none."""
    production_period: Annotated[int, Meta(ge=1, le=100_000), reload("live")] = 2
    """Ticks (half-moves) between two +1 of generals and cities, and two -1 of swamps."""
    land_period: Annotated[int, Meta(ge=1, le=100_000), reload("live")] = 50
    """Ticks between two +1 of every owned cell, and two -1 of deserts."""
    start_army: Annotated[int, Meta(ge=1, le=65_535), reload("live")] = 1
    """Army of a general at the start."""
    city_army_low: Annotated[int, Meta(ge=0, le=65_535), reload("live")] = 40
    """Least army of a generated city."""
    city_army_high: Annotated[int, Meta(ge=0, le=65_535), reload("live")] = 50
    """Largest army of a generated city."""
    capture_halves: Annotated[bool, reload("live")] = True
    """Whether the armies of cells taken with a general are halved, rounded up."""
    general_becomes_city: Annotated[bool, reload("live")] = True
    """Whether the cell of a captured general is a city from then on, or stays a general."""
    neutralise_after: Annotated[int, Meta(ge=0, le=100_000), reload("live")] = 50
    """Ticks from a player's leaving until a teammate or nobody has its cells; 0 for never."""
    inactivity: Annotated[bool, reload("live")] = False
    """Whether a player who has done nothing by tick 121 (in a duel 71) is removed."""
    idle_ticks: Annotated[int, Meta(ge=1, le=1_000_000), reload("live")] = 2_000
    """Ticks in which nobody moves, after which only the strongest player stays."""
    length_ticks: Annotated[int, Meta(ge=1, le=1_000_000), reload("live")] = 50_000
    """Ticks after which only the strongest player stays; `match.max_turns` truncates before."""


class RewardConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What a step is worth, a sum of these; `farm.engine.rewards` has the same by index."""

    win: Annotated[Weight, reload("live")] = 1.0
    """To every living seat of the side that is left when the rules end the game."""
    lose: Annotated[Weight, reload("live")] = -1.0
    """To a seat on the tick in which it is eliminated."""
    draw: Annotated[Weight, reload("live")] = 0.0
    """To every living seat when `match.max_turns` ends the game."""
    land_gained: Annotated[Weight, reload("live")] = 0.0
    """For each cell that the seat has more than a tick before."""
    land_lost: Annotated[Weight, reload("live")] = 0.0
    """For each cell that it has fewer: below 0 to punish."""
    army: Annotated[Weight, reload("live")] = 0.0
    """For each army that the seat has more than a tick before, and the opposite for each fewer."""
    city: Annotated[Weight, reload("live")] = 0.0
    """For each city that the seat has more than a tick before, and the opposite for each fewer."""
    general: Annotated[Weight, reload("live")] = 0.0
    """For each player that the seat eliminated by taking its general."""
    step: Annotated[Weight, reload("live")] = 0.0
    """For every step, whatever it led to."""


class WorkerConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The rollout workers."""

    count: Annotated[int, Meta(ge=0, le=64), reload("live")] = 1
    """Rollout worker processes; one fewer than the cores is a good start. 0 leaves the farm to what
    games hosts and clients hand in."""
    games: Annotated[int, Meta(ge=1, le=4096), reload("restart")] = 128
    """Games that one worker plays side by side: more of them mix the stream better."""
    steps: Annotated[int, Meta(ge=1, le=256), reload("live")] = 32
    """Steps of a trajectory at most (T)."""
    memory: Annotated[bool, reload("live")] = False
    """Whether trajectories carry what their seat saw of cells now out of sight (memory planes)."""
    record_every: Annotated[int, Meta(ge=0, le=1_000_000_000), reload("live")] = 0
    """Games whose number is a multiple of this are kept as replays; 0 keeps none. They are beside
    the journals (`games.journal_dir`), in `rollouts`."""
    record_keep: Annotated[int, Meta(ge=1, le=1_000_000), reload("live")] = 1_000
    """Replays that each worker keeps; older ones are removed."""
    record_bytes: Annotated[int, Meta(ge=1 << 16, le=1 << 44), reload("live")] = 1 << 28
    """Bytes that they may take, likewise."""


class RingConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The shared-memory ring of each worker."""

    bytes: Annotated[int, Meta(ge=65_536, le=1 << 34), reload("restart")] = 1 << 26
    """Capacity in bytes, a power of two. A worker comes back with a ring of another capacity once
    everything in the one before was taken; until then there is room for both."""
    submitted_bytes: Annotated[int, Meta(ge=0, le=1 << 34), reload("boot")] = 1 << 22
    """Capacity of the ring for trajectories that clients hand in, likewise; 0 takes none in."""
    when_full: Annotated[Literal["block", "drop_newest", "sample"], reload("live")] = "block"
    """block: a full ring parks its worker, and nothing is lost; drop_newest: it plays on and drops
    by count; sample: likewise, and from half full on it writes only a part."""
    sample: Annotated[float, Meta(gt=0.0, le=1.0), reload("live")] = 0.1
    """Part of the trajectories that sample writes into a ring that is more than half full."""


class ServeConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The experiences service."""

    address: Annotated[str, Meta(pattern=patterns.ADDRESS), reload("boot")] = "127.0.0.1:50051"
    """Host and port to listen on; port 0 takes a free one, found with `farm top`. Or a socket of
    this machine alone, such as `unix:/run/farm/default.sock`, in a folder that is there."""
    min_batch_bytes: Annotated[Positive, reload("live")] = 1 << 18
    """Bytes that are worth a message: it is sent as soon as this much is ready."""
    max_batch_bytes: Annotated[Positive, Meta(le=1 << 24), reload("live")] = 1 << 20
    """Bytes of one message, at most."""
    max_batch_wait_ms: Annotated[float, Meta(gt=0, le=10_000), reload("live")] = 20.0
    """Milliseconds after which a message goes out with whatever is there."""
    credit_bytes: Annotated[Positive, Meta(le=1 << 30), reload("live")] = 1 << 24
    """Bytes a subscriber may hold unacknowledged, at most; and no more than half of the rings."""
    max_streams: Annotated[Positive, Meta(le=1024), reload("live")] = 64
    """Open streams, at most; one more is refused."""
    client_timeout_s: Annotated[Seconds, reload("live")] = 20.0
    """Seconds of silence with a full credit after which a client is cut off."""
    lease_s: Annotated[Seconds, reload("live")] = 1.0
    """Seconds of silence after which a subscriber's batches may go to one that has nothing."""
    groups: Annotated[dict[GroupName, PolicyText], Meta(max_length=16), reload("restart")] = {}
    """Groups that hold data from the start: up to 16 names (of a-z, 0-9, - and _, at most 32), and
    `lossless`, `latest` or `sample:0.1` for each."""
    group_idle_s: Annotated[Seconds, reload("live")] = 3600.0
    """Seconds without a member after which a group that a subscription made is removed."""
    stall_warn_s: Annotated[Seconds, reload("live")] = 10.0
    """Seconds that a ring is full before the log says who holds it."""
    stats_records: Annotated[Positive, Meta(le=1 << 20), reload("restart")] = 1 << 14
    """Newest trajectories that statistics per game are over; totals and seats count them all."""
    drain_s: Annotated[Seconds, reload("live")] = 5.0
    """Seconds at a stop for subscribers to take what is still in the rings."""


class GamesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The games hosts, where remote agents and people play."""

    hosts: Annotated[int, Meta(ge=0, le=4), reload("boot")] = 0
    """Games hosts, each a process of its own; 0 has none."""
    address: Annotated[str, Meta(pattern=patterns.ADDRESS), reload("boot")] = "127.0.0.1:50061"
    """Host and port of the first; the next ones count on from the port. Port 0 takes free ones,
    which clients find by asking `serve.address`. Or a unix socket, as for `serve.address`."""
    max_games: Annotated[int, Meta(ge=1, le=4096), reload("restart")] = 256
    """Games of one host that are in a lobby, running or paused; one more is refused. Each has up to
    0.5 MB of memory, used from its first game on."""
    max_games_per_client: Annotated[int, Meta(ge=1, le=4096), reload("live")] = 128
    """Of those, games that one client (a token, or else an IP address) has created."""
    max_side: Annotated[int, Meta(ge=4, le=64), reload("restart")] = 64
    """Longest side of a board in cells; with `max_seats` it sets what a game takes of memory."""
    max_seats: Annotated[int, Meta(ge=2, le=16), reload("restart")] = 16
    """Most seats of a game."""
    max_turns: Annotated[Positive, Meta(le=25_000), reload("live")] = 2000
    """Turns (two ticks each) after which a game that asks for no limit of its own ends."""
    max_queue: Annotated[int, Meta(ge=1, le=1024), reload("restart")] = 128
    """Moves of one seat that wait, at most."""
    max_streams: Annotated[Positive, Meta(le=8192), reload("live")] = 1024
    """Open streams of one host, at most; one more is refused."""
    act_timeout_s: Annotated[Seconds, reload("live")] = 60.0
    """Seconds that a lockstep game waits for a seat, which then passes."""
    quiet_s: Annotated[Seconds, reload("live")] = 10.0
    """Seconds without a call after which a seat that has no stream open counts as disconnected."""
    reconnect_grace_s: Annotated[Seconds, reload("live")] = 30.0
    """Seconds that a disconnected seat keeps its place; a lockstep game waits for it that long."""
    absent: Annotated[Literal["surrender", "random", "expander", "hunter"], reload("live")] = (
        "surrender"
    )
    """What becomes of it then: it is out, or the policy plays on for it until it is back."""
    lobby_s: Annotated[Seconds, reload("live")] = 600.0
    """Seconds that a lobby or a pause may last; the game is then cancelled."""
    keep_s: Annotated[Seconds, reload("live")] = 600.0
    """Seconds for which an ended game can still be asked about."""
    ring_bytes: Annotated[int, Meta(ge=65_536, le=1 << 34), reload("boot")] = 1 << 24
    """Capacity of each host's ring, a power of two; a full one drops by count, no game waits."""
    journal_dir: Annotated[str | None, reload("boot")] = None
    """Folder of the journals; null takes $STATE_DIRECTORY, else $XDG_STATE_HOME/farm or
    ~/.local/state/farm, and in it a folder for the instance."""
    journal_keep: Annotated[int, Meta(ge=0, le=1_000_000), reload("live")] = 10_000
    """Journals of ended games that are kept as replays; older ones are removed."""
    journal_bytes: Annotated[int, Meta(ge=0, le=1 << 44), reload("live")] = 1 << 30
    """Bytes that they may take, likewise."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where each host shall listen, by its index: ports count on, sockets get a number."""
        if patterns.socket_path(self.address) is not None:
            more = (f"{self.address}.{host}" for host in range(1, self.hosts))
            return (self.address, *more) if self.hosts else ()
        name, _, port = self.address.rpartition(":")
        step = 1 if int(port) else 0
        return tuple(f"{name}:{int(port) + step * host}" for host in range(self.hosts))


ByteRate = Annotated[int, Meta(ge=65_536, le=1 << 40)]


class LimitsConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """What one client may take: a token, or else an IP address, or all of a unix socket's."""

    open_streams: Annotated[int, Meta(ge=1, le=8192), reload("live")] = 1024
    """Streams that one client has open at a service, at most; one more is refused."""
    calls_in_flight: Annotated[int, Meta(ge=1, le=8192), reload("live")] = 512
    """Unary calls of one client that wait for their answers, at most; one more is refused."""
    calls_per_second: Annotated[Annotated[int, Meta(ge=1, le=1_000_000)] | None, reload("live")] = (
        10_000
    )
    """New calls of one client, streams among them; what goes beyond is refused, with the time of
    the next try. Those of a second may come at once; null lets any number pass."""
    bytes_per_second_out: Annotated[ByteRate | None, reload("live")] = None
    """Bytes to one client of a service, over all of its streams: a batch waits in its ring until
    its time has come, ticks of a game are merged, and nothing is lost; null sends as fast as the
    client takes."""
    bytes_per_second_in: Annotated[ByteRate | None, reload("live")] = None
    """Bytes that one client sends on streams, likewise."""


class SupervisorConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """How children are watched."""

    start_s: Annotated[Seconds, reload("live")] = 60.0
    """Seconds for a child to be ready; after it the child counts as failed."""
    warm_up_s: Annotated[Seconds, reload("live")] = 300.0
    """Seconds for the kernels to compile on a first start."""
    silence_s: Annotated[Seconds, reload("live")] = 10.0
    """Seconds without a heartbeat after which a child is replaced."""
    abort_s: Annotated[Seconds, reload("live")] = 2.0
    """Seconds for a silent child to dump its stacks before it is killed."""
    stop_s: Annotated[Seconds, reload("live")] = 15.0
    """Seconds for each child to finish at a stop before it is killed."""
    intensity: Annotated[Positive, reload("live")] = 5
    """Restarts of one child allowed within `period_s`; one more stops the farm (exit code 70)."""
    period_s: Annotated[Seconds, reload("live")] = 60.0
    """Seconds over which restarts of one child are counted."""
    backoff_s: Annotated[Seconds, reload("live")] = 0.2
    """Seconds before the second restart within a period; each further one doubles it; jittered."""


class TelemetryConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Logs and metrics."""

    level: Annotated[Literal["debug", "info", "warning", "error"], reload("live")] = "info"
    """Lowest level that is logged."""
    format: Annotated[Literal["auto", "json", "console"], reload("boot")] = "auto"
    """JSON lines, readable lines, or by whether standard output is a terminal."""
    burst: Annotated[int, Meta(ge=0, le=1_000_000), reload("live")] = 200
    """Lines of one event, at one level below error, that a process logs within `burst_s`; those
    beyond it are counted, and `log_lines_left_out` tells how many. 0 for no bound."""
    burst_s: Annotated[Seconds, reload("live")] = 30.0
    """Seconds of it. The journal of systemd drops lines of any kind beyond 10,000 in 30 s."""
    metrics_address: Annotated[
        Annotated[str, Meta(pattern=patterns.ADDRESS)] | None, reload("boot")
    ] = "127.0.0.1:9464"
    """Host and port of /metrics, /healthz and /readyz; port 0 takes a free one, null has none. Or
    a unix socket, as for `serve.address`."""


class FilesConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The files of the config itself."""

    watch: Annotated[bool, reload("live")] = False
    """Whether a running farm reloads by itself when the files of its config have changed."""


class SecurityConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may reach the farm."""

    tls_cert: Annotated[str | None, reload("boot")] = None
    """PEM file of the certificate of `serve.address`, those that vouch for it behind it; null
    serves in plaintext, as unix sockets do. A changed file is used from the next handshake on."""
    tls_key: Annotated[str | None, reload("boot")] = None
    """PEM file of its key, that nobody but the farm's user (or root and its group) may read."""
    client_ca: Annotated[str | None, reload("boot")] = None
    """PEM file of who vouches for clients: without a certificate of theirs nobody gets in."""
    tokens_file: Annotated[str | None, reload("boot")] = None
    """File of bearer tokens, a line each: `NAME ROLE SHA256`, the role observe, play, train or
    admin; null asks for none. A changed file counts from the next call on."""
    insecure: Annotated[bool, reload("boot")] = False
    """Whether addresses that other machines can reach may go unguarded; logged at every start."""


class FarmConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole config of one farm."""

    match: MatchConfig = MatchConfig()
    rules: RulesConfig = RulesConfig()
    reward: RewardConfig = RewardConfig()
    worker: WorkerConfig = WorkerConfig()
    ring: RingConfig = RingConfig()
    serve: ServeConfig = ServeConfig()
    games: GamesConfig = GamesConfig()
    limits: LimitsConfig = LimitsConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    config: FilesConfig = FilesConfig()
    security: SecurityConfig = SecurityConfig()
    instance: Annotated[str, Meta(pattern=patterns.INSTANCE), reload("boot")] = "default"
    """Name of this farm on this machine: part of its shared-memory names."""
    seed: Annotated[Annotated[int, Meta(ge=0, le=(1 << 63) - 1)] | None, reload("boot")] = None
    """Seed of every game; null draws one at the start and logs it."""
