"""Addresses that other machines can reach are refused by key, unless the config says so."""

from pathlib import Path

import pytest
import trustme

from farm.config.check import check, problems
from farm.config.convert import to_config
from farm.config.exposure import exposed, is_loopback
from farm.errors import ConfigError

POLICIES = {"random", "expander"}
KEYS = [("serve", "address"), ("telemetry", "metrics_address")]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1:1", "127.9.9.9:1", "localhost:0", "[::1]:50051", "::1:50051"),
        "unix:/run/farm/default.sock",
    ],
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


@pytest.fixture
def files(tmp_path):
    """A certificate, its key, and who vouches for clients, under the keys of TLS."""
    named = {name: tmp_path / name for name in ("tls_cert", "tls_key", "client_ca")}
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    made.cert_chain_pems[0].write_to_path(named["tls_cert"])
    made.private_key_pem.write_to_path(named["tls_key"])
    authority.cert_pem.write_to_path(named["client_ca"])
    for file in named.values():
        file.chmod(0o600)
    return {name: str(file) for name, file in named.items()}


HOSTED = {"hosts": 1, "address": "0.0.0.0:9"}


def test_games_hosts_are_guarded_as_the_service_is_and_only_where_there_are_any(files):
    config = to_config({"games": HOSTED})
    with pytest.raises(ConfigError, match=r"security\.insecure=true") as refused:
        check(config, policies=POLICIES)
    assert refused.value.key == "games.address"
    assert keys_of(games=HOSTED, security=files) == []
    pair = {name: files[name] for name in ("tls_cert", "tls_key")}
    assert keys_of(games=HOSTED, security=pair) == ["games.address"]
    assert keys_of(games=HOSTED | {"hosts": 0}) == []
    assert exposed(config) == {"games.address": "0.0.0.0:9"}


def keys_of(**tree):
    return [problem.key for problem in problems(to_config(tree), policies=POLICIES)]


def test_tls_with_a_ca_for_clients_guards_the_service_and_not_the_metrics(files):
    assert keys_of(serve={"address": "0.0.0.0:7"}, security=files) == []
    metrics = {"metrics_address": "0.0.0.0:8"}
    assert keys_of(telemetry=metrics, security=files) == ["telemetry.metrics_address"]


def test_tls_alone_does_not_say_who_may_come_in(files):
    pair = {name: files[name] for name in ("tls_cert", "tls_key")}
    assert keys_of(serve={"address": "0.0.0.0:7"}, security=pair) == ["serve.address"]


def test_tls_with_tokens_guards_the_service_and_tokens_alone_do_not(files, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"trainer train {'0' * 64}")
    tokens.chmod(0o600)
    pair = {name: files[name] for name in ("tls_cert", "tls_key")}
    address, known = {"address": "0.0.0.0:7"}, {"tokens_file": str(tokens)}
    assert keys_of(serve=address, security={**pair, **known}) == []
    assert keys_of(serve=address, security=known) == ["serve.address"]


@pytest.mark.parametrize("missing", ["tls_cert", "tls_key"])
def test_certificate_and_key_go_together(files, missing):
    assert "security.tls_key" in keys_of(security={**files, missing: None})


def test_a_file_that_is_not_there_is_named(files):
    assert keys_of(security={**files, "client_ca": "/nowhere/ca.pem"}) == ["security.client_ca"]


@pytest.mark.parametrize(
    ("name", "text", "key", "reason"),
    [
        ("tls_cert", "garbage", "tls_cert", "are no PEM certificate with its key"),
        ("tls_cert", "", "tls_cert", "are no PEM certificate with its key"),
        (
            "tls_key",
            trustme.CA().issue_cert("b").private_key_pem.bytes().decode(),
            "tls_cert",
            "key",
        ),
        ("client_ca", "garbage", "client_ca", "holds no PEM certificate"),
    ],
)
def test_a_file_that_is_no_certificate_or_not_its_key_is_refused(files, name, text, key, reason):
    Path(files[name]).write_text(text)
    (problem,) = problems(to_config({"security": files}), policies=POLICIES)
    assert problem.key == f"security.{key}"
    assert reason in str(problem)
    assert files[name] in str(problem)
    assert "_ssl.c" not in str(problem)


@pytest.mark.parametrize(("mode", "told"), [(0o600, 0), (0o400, 0), (0o644, 1), (0o604, 1)])
def test_a_key_that_others_can_read_is_refused(files, mode, told):
    Path(files["tls_key"]).chmod(mode)
    assert keys_of(security=files) == ["security.tls_key"] * told
