"""`reload`: how long a running farm takes to take a changed config, while it plays at full speed.

Each sample is one request, as `farm set` makes it: from the signal to the last child's
acknowledgement, as the asking process sees it. What alternates is the turn limit, so that every
reload opens a cohort in every worker. A receiver takes all experiences meanwhile.
"""

import time
from collections.abc import Sequence

from farm.bench.running import Receiver, running_farm, say
from farm.shm.requests import ask

REPLY_S = 30.0
TURNS = (400, 500)
_MS_PER_S = 1e3


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Reload again and again for so long.

    Returns:
        reloads: how many there were.
        reload_ms_p50, reload_ms_p99, reload_ms_max: from request to answer.
        late: children that took longer than supervisor.silence_s, over all reloads.
    """
    took_ms: list[float] = []
    late = 0
    with running_farm(overrides) as (instance, address), Receiver(address, seconds) as receiver:
        receiver.wait_counting()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            turns = TURNS[len(took_ms) % len(TURNS)]
            began = time.perf_counter()
            answer = ask(instance, (f"match.max_turns={turns}",), REPLY_S, wait=True)
            took_ms.append((time.perf_counter() - began) * _MS_PER_S)
            late += len(answer.late)
    say(f"{len(took_ms)} reloads")
    took_ms.sort()
    return {
        "reloads": len(took_ms),
        "reload_ms_p50": _quantile(took_ms, 0.5),
        "reload_ms_p99": _quantile(took_ms, 0.99),
        "reload_ms_max": round(took_ms[-1], 1),
        "late": late,
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)
