"""`farm reload`: read the config of a running farm again, and say what that changes.

The plan, then each child's acknowledgement. Whoever asks is the only one for as long as it takes.
"""

import argparse
import json
from typing import TYPE_CHECKING, cast

from msgspec import structs

from farm.cli.config import yaml_text
from farm.errors import EXIT_OK, FarmError
from farm.shm import requests
from farm.shm.control import ChildState, ControlBlock
from farm.shm.requests import PLANNED, Answer

if TYPE_CHECKING:
    from farm.config.fields import Value


def run(args: argparse.Namespace) -> int:
    """Ask, and print what came of it.

    Raises:
        ConfigError: it was refused; nothing has changed.
        UnavailableError: there is no such farm.
        FarmError: it does not answer, or a child has not acknowledged the config.
    """
    answer, children = ask(args.instance, (), args.deadline, wait=args.wait)
    show(answer, children, as_json=args.json)
    return EXIT_OK


def ask(
    instance: str, overrides: tuple[str, ...], deadline_s: float, *, wait: bool
) -> tuple[Answer, dict[str, str]]:
    """Ask a farm to reload, with overrides on top from then on.

    Args:
        instance: which farm.
        overrides: may be none.
        deadline_s: to be answered in.
        wait: until the children have it, too.

    Returns:
        The answer, and by child what it says.

    Raises:
        ConfigError: it was refused; nothing has changed.
        UnavailableError: there is no such farm.
        FarmError: it does not answer in time, or a child does not acknowledge.
    """
    answer = requests.ask(instance, overrides, deadline_s, wait=wait)
    control = ControlBlock.attach(instance, readonly=True)
    try:
        return answer, _children(control, answer.epoch)
    finally:
        control.close()


def show(answer: Answer, children: dict[str, str], *, as_json: bool) -> None:
    """Print the plan and the acknowledgements.

    Raises:
        FarmError: a child has not acknowledged the config.
    """
    if as_json:
        print(json.dumps({**_plain(answer), "children": children}))
    else:
        _show_text(answer, children)
    if answer.late:
        raise FarmError(
            f"{', '.join(answer.late)} did not take the config within supervisor.silence_s; "
            "see the log"
        )


def _show_text(answer: Answer, children: dict[str, str]) -> None:
    if not answer.changes:
        print(f"nothing has changed; epoch {answer.epoch}")
    width = max((len(change.key) for change in answer.changes), default=0)
    for change in answer.changes:
        values = f"{_text(change.old)} -> {_text(change.new)}"
        print(f"{change.key:<{width}}  {values}  ({change.when})")
    if answer.outcome == PLANNED:
        print(f"epoch {answer.epoch} is in force; children are taking it")
        return
    for name, said in children.items():
        print(f"{name:<{width}}  {said}")
    print(f"epoch {answer.epoch} after {answer.took_ms:g} ms")


def _children(control: ControlBlock, epoch: int) -> dict[str, str]:
    said = {}
    for slot in control.children:
        if not slot.pid:
            continue
        has_it = slot.state is ChildState.READY and slot.config_epoch >= epoch
        said[slot.name] = f"epoch {slot.config_epoch}" if has_it else slot.state.name.lower()
    return said


def _plain(answer: Answer) -> dict[str, object]:
    changes = [structs.asdict(change) for change in answer.changes]
    return {**structs.asdict(answer), "changes": changes}


def _text(value: object) -> str:
    return yaml_text(cast("Value", value))  # plain data, as it came as JSON
