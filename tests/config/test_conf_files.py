"""Every file in `conf/` composes, passes the checks and explains itself."""

import functools

import pytest
import yaml

from farm.config.check import check
from farm.config.load import Composed, compose, conf_dir
from farm.config.schema import FarmConfig
from farm.policies.registry import POLICY_NAMES

FILES = sorted(conf_dir().rglob("*.yaml"))
OPTIONS = [f"{file.parent.name}={file.stem}" for file in sorted(conf_dir().glob("*/*.yaml"))]
DEFAULTS = [
    f"{group}={option}"
    for entry in yaml.safe_load((conf_dir() / "config.yaml").read_text())["defaults"]
    if entry != "_self_"
    for group, option in entry.items()
]


@functools.cache
def composed_of(option: str) -> Composed:
    return compose([option])


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_composes_and_passes_the_checks(option):
    composed = composed_of(option)
    group, _, name = option.partition("=")
    assert composed.choices[group] == name
    check(composed.config, policies=POLICY_NAMES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(conf_dir())))
def test_a_file_begins_with_what_it_is_for(file):
    lines = [line for line in file.read_text().splitlines() if "@package" not in line]
    assert lines[0].startswith("# ")
    assert len(lines[0]) > 20


@pytest.mark.parametrize("option", [one for one in OPTIONS if one not in DEFAULTS or "env" in one])
def test_an_option_beside_the_default_changes_something_or_says_that_it_does_not(option):
    if option == "env=dev":
        assert "as they are" in (conf_dir() / "env" / "dev.yaml").read_text()
    else:
        assert composed_of(option).config != FarmConfig()


def test_every_group_has_a_default():
    groups = {option.partition("=")[0] for option in OPTIONS}
    assert {option.partition("=")[0] for option in DEFAULTS} == groups
    assert set(DEFAULTS) <= set(OPTIONS)


def test_lines_fit_a_terminal():
    wide = [
        f"{file.name}:{number}"
        for file in FILES
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if len(line) > 100
    ]
    assert wide == []
