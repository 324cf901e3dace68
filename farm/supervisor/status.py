"""What the farm is doing, in one line for `systemctl status`, from the control block alone."""

from collections.abc import Callable, Iterable, Mapping

from farm.shm.control import ChildSlot, ChildState, ControlBlock
from farm.supervisor.deadlines import NS_PER_S
from farm.supervisor.lifecycle import FarmPhase
from farm.supervisor.specs import warm_up

MAX_NAMES = 4
"""Children that are named; of more, their number is told."""
_WARM_UP = warm_up().role

Waits = Mapping[int, Mapping[str, int]]
"""Bytes of rings that are to have another size, owed to groups, by ring and by group's name."""


class StatusLine:
    """Describes a farm; its rates are those since the line before.

    Args:
        control: the control block, read.
        refusal: why the last reload was refused; empty if it was not.
        waits: rings for which workers wait.
    """

    def __init__(
        self,
        control: ControlBlock,
        refusal: Callable[[], str] = str,
        waits: Callable[[], Waits] = dict,
    ) -> None:
        self._control = control
        self._refusal = refusal
        self._waits = waits
        self._at_ns = 0
        self._counts = (0, 0)

    def __call__(self, phase: FarmPhase, now_ns: int) -> str:
        """The line for this phase at this `time.monotonic_ns`."""
        children = [slot for slot in self._control.children if slot.pid]
        if phase is FarmPhase.STARTING:
            return _starting(children, now_ns)
        if phase is FarmPhase.RUNNING:
            return self._serving(children, now_ns)
        return f"Draining: {_names(children) or 'done'}"

    def _serving(self, children: list[ChildSlot], now_ns: int) -> str:
        at_work = sum(slot.state is ChildState.READY for slot in children)
        line = f"Serving at {self._control.address}, {at_work} of {len(children)} children at work"
        rates = self._rates(now_ns)
        if rates is not None:
            made, taken = rates
            line += f"; {made:,.0f} experiences/s made, {taken:,.0f} /s taken by clients"
        line += _waiting(self._waits())
        refusal = self._refusal()
        return f"{line}; the last reload was refused: {refusal}" if refusal else line

    def _rates(self, now_ns: int) -> tuple[float, float] | None:
        """Experiences produced and served a second; None for the first line."""
        slots = self._control.children
        counts = (
            sum(slot.counter("experiences") for slot in slots),
            sum(slot.counter("served_experiences") for slot in slots),
        )
        before, began_ns = self._counts, self._at_ns
        self._counts, self._at_ns = counts, now_ns
        if began_ns == 0 or now_ns <= began_ns:
            return None
        elapsed_s = (now_ns - began_ns) / NS_PER_S
        return (counts[0] - before[0]) / elapsed_s, (counts[1] - before[1]) / elapsed_s


def _starting(children: list[ChildSlot], now_ns: int) -> str:
    for slot in children:
        if slot.role == _WARM_UP and slot.state is ChildState.STARTING:
            for_s = (now_ns - slot.started_ns) // NS_PER_S
            return f"Compiling kernels for {for_s} s; a first start takes a minute or so"
    late = [slot for slot in children if slot.state is not ChildState.READY]
    return f"Starting: {_names(late)}" if late else "Starting"


def _waiting(waits: Waits) -> str:
    if not waits:
        return ""
    groups = sorted({name for owed in waits.values() for name in owed})
    whom = f"groups {', '.join(groups[:MAX_NAMES])}" if groups else "anybody"
    return f"; {len(waits)} workers wait for {whom} to take what is in rings of the size before"


def _names(children: Iterable[ChildSlot]) -> str:
    names = [slot.name for slot in children]
    if len(names) > MAX_NAMES:
        return f"{', '.join(names[:MAX_NAMES])} and {len(names) - MAX_NAMES} more"
    return ", ".join(names)
