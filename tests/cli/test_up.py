"""`farm up --tail` of a farm that asks its clients for something."""

import pytest

from farm.cli import main as cli
from farm.cli.up import require_credentials
from farm.config.schema import SecurityConfig
from farm.errors import EXIT_USAGE, UsageError
from farm.shm.segment import list_segments

TLS = {"tls_cert": "cert.pem", "tls_key": "key.pem"}


@pytest.mark.parametrize(
    ("security", "environment", "missing"),
    [
        (TLS, {}, ["FARM_TLS_CA"]),
        (TLS | {"client_ca": "ca.pem"}, {"FARM_TLS_CA": "x"}, ["FARM_TLS_CERT", "FARM_TLS_KEY"]),
        (
            TLS | {"client_ca": "ca.pem"},
            {"FARM_TLS_CA": "x", "FARM_TLS_CERT": "y"},
            ["FARM_TLS_KEY"],
        ),
        ({"tokens_file": "tokens"}, {"FARM_TOKEN": ""}, ["FARM_TOKEN_FILE"]),
        (TLS | {"tokens_file": "tokens"}, {}, ["FARM_TLS_CA", "FARM_TOKEN_FILE"]),
    ],
)
def test_every_variable_that_the_tail_lacks_is_named(security, environment, missing):
    with pytest.raises(UsageError) as caught:
        require_credentials(SecurityConfig(**security), environment)
    assert [word.partition("=")[0] for word in str(caught.value).split() if "=FILE" in word] == (
        missing
    )


@pytest.mark.parametrize(
    ("security", "environment"),
    [
        ({}, {}),
        (TLS, {"FARM_TLS_CA": "x"}),
        ({"tokens_file": "tokens"}, {"FARM_TOKEN": "t"}),
        ({"tokens_file": "tokens"}, {"FARM_TOKEN_FILE": "t"}),
    ],
)
def test_a_tail_that_has_what_it_needs_is_let_through(security, environment):
    require_credentials(SecurityConfig(**security), environment)


def test_without_them_nothing_is_started(instance, tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("FARM_TOKEN", raising=False)
    monkeypatch.delenv("FARM_TOKEN_FILE", raising=False)
    words = ["up", "--tail", f"instance={instance}", f"security.tokens_file={tmp_path}/tokens"]
    assert cli.main(words) == EXIT_USAGE
    assert "FARM_TOKEN_FILE=FILE" in capfd.readouterr().err
    assert list_segments(instance) == []
