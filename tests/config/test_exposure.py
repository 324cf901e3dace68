"""Addresses that other machines can reach are refused by key, unless the config says so."""

import pytest

from farm.config.check import check, problems
from farm.config.convert import to_config
from farm.config.exposure import exposed, is_loopback
from farm.errors import ConfigError

POLICIES = {"random", "expander"}
KEYS = [("serve", "address"), ("telemetry", "metrics_address")]


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "127.9.9.9:1", "localhost:0", "[::1]:50051", "::1:50051"]
)
def test_an_address_of_this_machine_is_loopback(address):
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:1", "[::]:1", "10.0.0.5:1", "farm.example:1", "localhost.example:1", "127.1:1"],
)
def test_any_other_address_is_not(address):
    assert not is_loopback(address)


@pytest.mark.parametrize(("section", "name"), KEYS)
@pytest.mark.parametrize("address", ["0.0.0.0:7", "10.0.0.5:7", "farm.example:7"])
def test_an_unguarded_address_is_refused_with_its_key_and_the_next_step(section, name, address):
    config = to_config({section: {name: address}})
    with pytest.raises(ConfigError, match=r"security\.insecure=true") as refused:
        check(config, policies=POLICIES)
    assert refused.value.key == f"{section}.{name}"
    assert address in str(refused.value)
    assert refused.value.exit_code == 78


@pytest.mark.parametrize(("section", "name"), KEYS)
def test_an_unguarded_address_passes_when_the_config_says_so(section, name):
    config = to_config({section: {name: "0.0.0.0:7"}, "security": {"insecure": True}})
    assert list(problems(config, policies=POLICIES)) == []
    assert exposed(config) == {f"{section}.{name}": "0.0.0.0:7"}


def test_no_metrics_are_no_exposure():
    config = to_config({"telemetry": {"metrics_address": None}})
    assert exposed(config) == {}
