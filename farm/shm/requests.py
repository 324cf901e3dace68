"""Requests of tools to the supervisor of a running farm, and its answers, in the control block.

    tool          takes the turn (a lock), writes a request, sends SIGHUP, reads the answer
    supervisor    reads the request at the next reload, writes how far it has got

There is one place for either: tools take turns by a lock on the groups segment, which nobody else
locks, and a request that nobody waits for any more is overwritten. An answer names the request that
it is for.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from farm.errors import ConfigError, FarmError, UnavailableError
from farm.shm.control import MAX_REQUEST_BYTES, ControlBlock, FarmState
from farm.shm.groups import GROUPS_ROLE
from farm.shm.lease import running_pid
from farm.shm.segment import segment_name, shm_path

_LOOK_S = 0.01
_ANSWERING = (FarmState.STARTING, FarmState.RUNNING)

PLANNED, DONE, REFUSED = "planned", "done", "refused"
"""How far a request has got: `planned` is stored and not yet acknowledged by all children."""


class Request(Struct, frozen=True):
    """What a tool asks for."""

    id: int
    """Above that of every request before."""
    overrides: tuple[str, ...] = ()
    """To be laid over everything else from now on; none to read the files again."""


class Changed(Struct, frozen=True):
    """One key that gets another value."""

    key: str
    old: object
    new: object
    when: str


class Answer(Struct, frozen=True):
    """How far the request of an id has got."""

    id: int
    outcome: str
    """`planned`, `done` or `refused`."""
    epoch: int = 0
    """Of the config that is in force."""
    changes: tuple[Changed, ...] = ()
    reason: str = ""
    """Why it was refused."""
    late: tuple[str, ...] = ()
    """Children that have not acknowledged it in time."""
    took_ms: float = 0.0


def read_request(control: ControlBlock) -> Request | None:
    """The newest request; None if there is none, or it is being written."""
    try:
        return msgspec.json.decode(control.request, type=Request)
    except msgspec.MsgspecError:
        return None


def read_answer(control: ControlBlock) -> Answer | None:
    """The newest answer; likewise."""
    try:
        return msgspec.json.decode(control.answer, type=Answer)
    except msgspec.MsgspecError:
        return None


def write_request(control: ControlBlock, overrides: tuple[str, ...]) -> int:
    """Leave a request, while `turn` is held; its id.

    Raises:
        UnavailableError: it is too long.
    """
    before = read_request(control)
    request = Request(max(time.time_ns(), before.id + 1 if before else 0), overrides)
    text = msgspec.json.encode(request).decode()
    if len(text.encode()) > MAX_REQUEST_BYTES:
        raise UnavailableError(
            f"{len(text):,} bytes of overrides are too many for one request "
            f"({MAX_REQUEST_BYTES:,}); write them into a file of the config"
        )
    control.request = text
    return request.id


def write_answer(control: ControlBlock, answer: Answer) -> None:
    """Say how far a request has got; changes that find no room are left out, the last first."""
    kept = len(answer.changes)
    while True:
        text = msgspec.json.encode(
            msgspec.structs.replace(answer, changes=answer.changes[:kept])
        ).decode()
        if len(text.encode()) <= MAX_REQUEST_BYTES or kept == 0:
            break
        kept -= 1
    control.answer = text


def ask(instance: str, overrides: tuple[str, ...], deadline_s: float, *, wait: bool) -> Answer:
    """Ask a farm to reload, with overrides on top from then on.

    Args:
        instance: which farm.
        overrides: may be none.
        deadline_s: to be answered in.
        wait: until the children have it, too.

    Raises:
        ConfigError: it was refused; nothing has changed.
        UnavailableError: there is no such farm, or it ends before it answers.
        FarmError: it does not answer in time.
    """
    pid = running_pid(instance)
    if pid is None:
        raise UnavailableError(f"there is no farm {instance!r}; `farm up instance={instance}`")
    with turn(instance, deadline_s):
        control = ControlBlock.attach(instance)
        try:
            request_id = write_request(control, overrides)
            os.kill(pid, signal.SIGHUP)
            answer = _wait(control, request_id, deadline_s, pid=pid, wait=wait)
        finally:
            control.close()
    if answer.outcome == REFUSED:
        raise ConfigError("", f"refused, the config before stays in force: {answer.reason}")
    return answer


@contextmanager
def turn(instance: str, deadline_s: float) -> Iterator[None]:
    """Be the only tool that asks; waits for the others.

    Raises:
        UnavailableError: there is no such farm, or others take longer than the deadline.
    """
    try:
        fd = os.open(shm_path(segment_name(instance, GROUPS_ROLE)), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnavailableError(f"the farm {instance!r} is just starting or ending") from None
    until = time.monotonic() + deadline_s
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise UnavailableError(
                        f"another command has been asking the farm {instance!r} for "
                        f"{deadline_s:g} s; end it, then try again"
                    ) from None
                time.sleep(_LOOK_S)
        yield
    finally:
        os.close(fd)


def _wait(
    control: ControlBlock, request_id: int, deadline_s: float, *, pid: int, wait: bool
) -> Answer:
    until = time.monotonic() + deadline_s
    while True:
        answer = read_answer(control)
        if (
            answer is not None
            and answer.id == request_id
            and (answer.outcome != PLANNED or not wait)
        ):
            return answer
        if control.state not in _ANSWERING or running_pid(control.instance) != pid:
            raise UnavailableError(f"the farm {control.instance!r} is ending or has ended")
        if time.monotonic() > until:
            raise FarmError(
                f"the farm {control.instance!r} has not answered for {deadline_s:g} s: it is still "
                "starting, or it hangs; see its log"
            )
        time.sleep(_LOOK_S)
