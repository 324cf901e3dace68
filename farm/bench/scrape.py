"""`metrics_scrape`: what one scrape costs, of shared memory as a farm of 64 workers has it.

The control block, rings and groups are real segments that this process fills by plain stores, each
child a process that sleeps. The endpoint is the real one, asked over a real connection, in this
very process and thread: a scrape costs what both sides take, to the last byte. The reference in the
same run is a farm of one worker.
"""

import asyncio
import contextlib
import gc
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from farm.config.schema import FarmConfig
from farm.errors import UsageError
from farm.metrics.main import Endpoint, spare_what_is_loaded
from farm.metrics.request import Request
from farm.metrics.segments import Segments
from farm.metrics.server import Server, listen
from farm.shm import groups as group_places
from farm.shm import ring_layout as ring_places
from farm.shm.control import ChildState, ControlBlock, FarmState
from farm.shm.control_labels import COUNTERS
from farm.shm.groups import FIRST_HOST_RING, Amount, GroupKind, Released, Settled
from farm.supervisor.specs import MAX_ROLLOUTS, ChildSpec, children_of, metrics

N_GROUPS = 4
RING_BYTES = 1 << 16
_SLEEPER = ("/bin/sleep", "infinity")
_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept: application/openmetrics-text\r\n\r\n"
_MS_PER_S = 1e3
_PERCENT_99 = 0.99


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Scrape the large farm for most of `seconds`, and the small one for the rest.

    Returns:
        children, rings, groups, samples, page_bytes: of the large farm.
        scrape_ms_p50, scrape_ms_p99: over a connection, from asking to the last byte.
        scrape_cpu_ms: processor time of one, on average, which a busy machine leaves alone.
        page_ms_p50: of it, reading the farm and writing the page.
        one_worker_ms_p50: the reference, over a connection.
        ratio_to_one_worker: scrape_ms_p50 over that.

    Raises:
        UsageError: there are overrides; no config is involved.
    """
    if overrides:
        raise UsageError(f"metrics_scrape takes no overrides, not {' '.join(overrides)}")
    instance = f"bench-{os.getpid()}"
    with pretended_farm(instance, MAX_ROLLOUTS, N_GROUPS, n_hosts=0, processes=True) as control:
        n_children = sum(slot.state is not ChildState.EMPTY for slot in control.children)
        pages, page = _measure(instance, seconds * 0.4, over_http=False)
        began_cpu_s = time.process_time()
        scrapes, _ = _measure(instance, seconds * 0.4, over_http=True)
        cpu_s = time.process_time() - began_cpu_s
    with pretended_farm(instance, 1, N_GROUPS, n_hosts=0, processes=True):
        reference, _ = _measure(instance, seconds * 0.2, over_http=True)
    lines = page.decode().splitlines()
    return {
        "children": n_children,
        "rings": MAX_ROLLOUTS,
        "groups": N_GROUPS,
        "samples": sum(not line.startswith("#") for line in lines),
        "page_bytes": len(page),
        "scrapes": len(scrapes),
        "scrape_ms_p50": _quantile_ms(scrapes, 0.5),
        "scrape_ms_p99": _quantile_ms(scrapes, _PERCENT_99),
        "scrape_cpu_ms": round(cpu_s / len(scrapes) * _MS_PER_S, 3),
        "page_ms_p50": _quantile_ms(pages, 0.5),
        "one_worker_ms_p50": _quantile_ms(reference, 0.5),
        "ratio_to_one_worker": round(_quantile_ms(scrapes, 0.5) / _quantile_ms(reference, 0.5), 1),
    }


@contextlib.contextmanager
def pretended_farm(
    instance: str, n_workers: int, n_groups: int, *, n_hosts: int = 1, processes: bool = False
) -> Iterator[ControlBlock]:
    """The shared memory of a farm at work, made and removed by this process.

    Args:
        instance: name of the instance.
        n_workers: workers, each with a ring.
        n_groups: groups, each with a place in every ring.
        n_hosts: games hosts, each with a ring.
        processes: whether every child has a process; else each is this one.
    """
    specs = (metrics(), *children_of(n_workers, n_hosts))
    with contextlib.ExitStack() as stack:
        control = ControlBlock.create(instance, max(spec.slot for spec in specs) + 1, seed=7)
        stack.callback(control.close)
        stack.callback(control.unlink)
        rings = [*range(n_workers), *range(FIRST_HOST_RING, FIRST_HOST_RING + n_hosts)]
        for ring in rings:
            with ring_places.create_ring(instance, ring, RING_BYTES) as segment:
                _fill_ring(segment.store, ring)
        for host in range(n_hosts):
            control.set_game_address(host, f"127.0.0.1:{50061 + host}")
        _make_groups(instance, rings, n_groups)
        control.address = "127.0.0.1:50051"
        control.state = FarmState.RUNNING
        control.store_config(1, msgspec.json.encode(FarmConfig(instance=instance)))
        for spec in specs:
            pid = stack.enter_context(_sleeper()) if processes else os.getpid()
            _fill_slot(control, spec, pid)
        yield control


def _fill_slot(control: ControlBlock, spec: ChildSpec, pid: int) -> None:
    slot = control.children[spec.slot]
    slot.assign(spec.name, spec.role, spec.index)
    slot.pid, slot.generation, slot.restarts, slot.config_epoch = pid, 3, 2, 1
    slot.state = ChildState.READY
    slot.beat(time.monotonic_ns())
    slot.count_restart("signal")
    slot.count_restart("silent")
    for place, counter in enumerate(COUNTERS):
        slot.set(counter, (1 << 40) + 1000 * spec.slot + place)
    for bits in range(8, 26):
        slot.observe("served_batch_bytes", 1 << bits)
        slot.observe("action_latency_us", 1 << bits)


def _fill_ring(store: Callable[[int, int], None], worker: int) -> None:
    """Half full, with a checkpoint whose numbers can be told apart."""
    tail = (1 << 40) + RING_BYTES // 2
    words = {
        ring_places.SAVED_TAIL: tail,
        ring_places.SAVED_SEQUENCE: 1_000_000 + worker,
        ring_places.SAVED_EXPERIENCES: 31_000_000 + worker,
        ring_places.SAVED_GAMES: 10_000,
        ring_places.SAVED_DROPPED_RECORDS: 30,
        ring_places.SAVED_DROPPED_EXPERIENCES: 930,
        ring_places.SAVED_SAMPLED_RECORDS: 20,
        ring_places.SAVED_SAMPLED_EXPERIENCES: 620,
        ring_places.SAVED_ABORTED_RECORDS: 10,
        ring_places.SAVED_ABORTED_EXPERIENCES: 310,
    }
    for place, value in words.items():
        store(ring_places.CHECKPOINT_OFFSET + place, value)
    store(ring_places.HEAD_OFFSET, 1 << 40)
    store(ring_places.TAIL_OFFSET, tail)


def _make_groups(instance: str, rings: Sequence[int], n_groups: int) -> None:
    n_workers = sum(ring < FIRST_HOST_RING for ring in rings)
    with group_places.create_groups(
        instance,
        run_id=1,
        capacity=RING_BYTES,
        n_rings=n_workers,
        n_host_rings=len(rings) - n_workers,
    ) as block:
        for number in range(n_groups):
            start = Released(position=1 << 40, records=5, experiences=155)
            slot = block.claim(
                f"group-{number}",
                GroupKind.LOSSLESS,
                declared=number == 0,
                starts=dict.fromkeys(rings, start),
            )
            slot.n_members, slot.leased_records, slot.last_ack_ns = 2, 64, time.time_ns()
            for ring in rings:
                settled = Settled(
                    position=(1 << 40) + 4096,
                    before=start.amount,
                    acknowledged=Amount(900_000, 27_900_000),
                    filtered=Amount(9, 279),
                    passed=Amount(8, 248),
                    corrupt=Amount(1, 0),
                )
                slot.settle(ring, settled)


@contextlib.contextmanager
def _sleeper() -> Iterator[int]:
    with subprocess.Popen(_SLEEPER) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def _measure(instance: str, seconds: float, *, over_http: bool) -> tuple[list[float], bytes]:
    """Seconds of each scrape, sorted, and the last page."""
    control = ControlBlock.attach(instance, readonly=True)
    segments = Segments(instance)
    try:
        endpoint = Endpoint(control, segments, FarmConfig(instance=instance), fresh_ns=0)
        return asyncio.run(_scrapes(endpoint, seconds, over_http=over_http))
    finally:
        segments.close()
        control.close()


async def _scrapes(
    endpoint: Endpoint, seconds: float, *, over_http: bool
) -> tuple[list[float], bytes]:
    server = Server(endpoint.answer)
    endpoint.outcomes = server.outcomes
    sockets, address = listen("127.0.0.1:0", key="address")
    await server.start(sockets)
    spare_what_is_loaded()
    host, _, port = address.rpartition(":")
    took_s: list[float] = []
    page = b""
    until_s = time.perf_counter() + seconds
    while (began_s := time.perf_counter()) < until_s or not took_s:
        page = await (_ask(host, int(port)) if over_http else _make(endpoint))
        took_s.append(time.perf_counter() - began_s)
    server.close()
    gc.unfreeze()
    return sorted(took_s[1:] or took_s), page


async def _ask(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(_REQUEST)
    body = (await reader.read(-1)).partition(b"\r\n\r\n")[2]
    writer.close()
    return body


async def _make(endpoint: Endpoint) -> bytes:
    return endpoint.answer(Request("/metrics", wants_openmetrics=True)).body


def _quantile_ms(ordered_s: Sequence[float], share: float) -> float:
    return round(ordered_s[int(share * (len(ordered_s) - 1))] * _MS_PER_S, 3)
