"""TLS and certificates of clients: who gets in, who does not, and files that are replaced."""

import datetime as dt
from pathlib import Path

import pytest
import trustme

from farm.client import NO_RETRY, Client, Tls
from farm.errors import UnavailableError


class Party:
    """A CA, and files of what it has issued."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.ca = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        self.ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, name, **options):
        """Files of a certificate for 127.0.0.1 and of its key."""
        made = self.ca.issue_cert("127.0.0.1", **options)
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        key.chmod(0o600)
        return str(cert), str(key)


@pytest.fixture
def ours(tmp_path):
    return Party(tmp_path / "ours")


@pytest.fixture
def theirs(tmp_path):
    return Party(tmp_path / "theirs")


@pytest.fixture
def guarded(serve, ours):
    """A service with our certificate; `mutual` asks for one of ours in return."""

    def start(*, mutual=False, **issued):
        cert, key = ours.issue("farm", **issued)
        ca = ours.ca_file if mutual else None
        return serve(security={"tls_cert": cert, "tls_key": key, "client_ca": ca})

    return start


def greet(address, tls=None):
    with Client(address, retry=NO_RETRY, tls=tls, timeout_s=5) as client:
        return client.info().instance


def long_ago(days):
    return dt.datetime.now(dt.UTC) - dt.timedelta(days=days)


def test_a_client_that_trusts_our_ca_gets_in(guarded, ours):
    assert greet(guarded().address, Tls(ours.ca_file))


def test_the_environment_says_whom_a_client_trusts(guarded, ours, monkeypatch):
    address = guarded().address
    monkeypatch.setenv("FARM_TLS_CA", ours.ca_file)
    assert greet(address)


def test_plaintext_on_a_tls_port_is_refused(guarded):
    address = guarded().address
    with pytest.raises(UnavailableError):
        greet(address)


def test_a_client_refuses_a_farm_of_a_foreign_ca(guarded, theirs):
    address = guarded().address
    with pytest.raises(UnavailableError):
        greet(address, Tls(theirs.ca_file))


def test_a_client_refuses_an_expired_farm(guarded, ours):
    address = guarded(not_before=long_ago(9), not_after=long_ago(2)).address
    with pytest.raises(UnavailableError):
        greet(address, Tls(ours.ca_file))


def test_a_farm_that_asks_for_a_certificate_takes_one_of_its_ca(guarded, ours):
    address = guarded(mutual=True).address
    assert greet(address, Tls(ours.ca_file, *ours.issue("trainer")))


def test_a_farm_that_asks_for_a_certificate_refuses_a_client_without(guarded, ours):
    address = guarded(mutual=True).address
    with pytest.raises(UnavailableError):
        greet(address, Tls(ours.ca_file))


def test_a_farm_that_asks_for_a_certificate_refuses_a_foreign_one(guarded, ours, theirs):
    address = guarded(mutual=True).address
    with pytest.raises(UnavailableError):
        greet(address, Tls(ours.ca_file, *theirs.issue("trainer")))


def test_a_farm_that_asks_for_a_certificate_refuses_an_expired_one(guarded, ours):
    address = guarded(mutual=True).address
    old = ours.issue("trainer", not_before=long_ago(9), not_after=long_ago(2))
    with pytest.raises(UnavailableError):
        greet(address, Tls(ours.ca_file, *old))


def test_replaced_files_are_used_at_the_next_handshake_and_open_connections_go_on(
    guarded, ours, theirs
):
    address = guarded().address
    with Client(address, retry=NO_RETRY, tls=Tls(ours.ca_file)) as before:
        assert before.info().instance
        for new, old in zip(theirs.issue("farm"), ours.issue("spare"), strict=True):
            Path(new).replace(old.replace("spare", "farm"))
        assert greet(address, Tls(theirs.ca_file))
        with pytest.raises(UnavailableError):
            greet(address, Tls(ours.ca_file))
        assert before.info().instance


def test_a_pair_that_does_not_fit_changes_nothing_and_is_told(guarded, ours, theirs, capfd):
    address = guarded().address
    cert, _ = theirs.issue("farm")
    Path(cert).replace(ours.folder / "farm.pem")
    assert greet(address, Tls(ours.ca_file))
    assert "certificate_not_loaded" in capfd.readouterr().out
