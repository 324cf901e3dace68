"""`farm_to_client`: experiences a second from a real farm to a client that checks every one.

The farm is `farm up` as anyone starts it, the client a process of its own (receiver.py). All of it
shares two processors, the first two that this process may use. The reference in the same run is
`engine`: the same match, played on one of them with nothing around it.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from farm.bench import engine
from farm.bench.running import Receiver, Usage, pin, running_farm, say
from farm.engine.settings import HEIGHT, WIDTH

ENGINE_SHARE: Final = 0.15
"""Share of the time for the reference."""


def run(seconds: float, overrides: Sequence[str] = ()) -> dict[str, object]:
    """Measure engine and farm.

    Returns:
        `experiences_per_s`, `lost`, `corrupt`, `wire_bytes_per_experience`, `ratio_to_engine` (to
        the experiences a second of the engine alone on one processor), and CPU share (1 is a
        processor) and peak memory of each role.

    Raises:
        FarmError: farm or client failed; the message holds what they said.
    """
    pin()
    case = engine.configured(overrides)
    new_game = engine.new_game_of(case)
    say(f"engine alone, for {seconds * ENGINE_SHARE:.0f} s")
    engine_steps_per_s = engine.measure(case, seconds * ENGINE_SHARE)
    reference = engine_steps_per_s * len(case.policies)
    with running_farm(overrides) as (instance, address):
        say(f"farm at {address}, for {seconds:.0f} s")
        received, roles = _receive(instance, address, seconds)
    rate = received["experiences"] / received["seconds"]
    roles["client"] = {
        "cpu": round(received["cpu_s"] / received["seconds"], 3),
        "peak_mib": round(received["peak_bytes"] / 2**20, 1),
    }
    return {
        "board": f"{new_game.numbers[HEIGHT]}x{new_game.numbers[WIDTH]}",
        "seats": list(case.policies),
        "seconds": round(received["seconds"], 1),
        "experiences_per_s": round(rate),
        "lost": received["lost"],
        "corrupt": received["corrupt"],
        "duplicates": received["duplicates"],
        "wire_bytes_per_experience": round(received["bytes"] / received["experiences"], 1),
        "message_kib": round(received["bytes"] / received["messages"] / 1024, 1),
        "engine_env_steps_per_s": round(engine_steps_per_s),
        "ratio_to_engine": round(rate / reference, 3),
        "processors": len(os.sched_getaffinity(0)),
        "roles": roles,
    }


def _receive(
    instance: str, address: str, seconds: float
) -> tuple[Mapping[str, float], dict[str, Any]]:
    """Run the client; its figures, and those of the farm's processes over the same time."""
    with Receiver(address, seconds) as client:
        client.wait_counting()
        usage = Usage(instance)
        figures = client.figures()
        return figures, usage.roles()
