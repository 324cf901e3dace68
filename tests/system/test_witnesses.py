"""The means of the fault tests: would they see a fault, and do they cause the one they say?"""

import contextlib
import importlib.util
import itertools
import socket
import threading

import numpy as np
import pytest
from accounts import Account
from faults import KINDS, schedule
from faulty_farm import ROOT
from tcp_proxy import TcpProxy
from witness import WITNESSED


def rows(*sequences, **fields):
    made = np.zeros(len(sequences), WITNESSED)
    made["sequence"] = sequences
    made["generation"], made["n_steps"] = 1, 4
    made["first_tick"] = 4 * np.array(sequences)
    for name, value in fields.items():
        made[name] = value
    return made


def account(*parts, **options):
    made = Account(**options)
    for part in parts:
        made.add(part)
    return made


def test_an_account_has_all_when_every_sequence_was_seen_by_somebody():
    made = account(rows(0, 2), rows(1, 3))
    assert made.has_all({0: 4})
    assert not made.has_all({0: 5})
    assert not made.has_all({0: 4, 1: 1})
    assert (made.records(0), made.experiences(0), made.repeats) == (4, 16, 0)
    assert not made.violations


def test_an_account_sees_a_hole():
    assert account(rows(0, 1, 3)).holes({0: 4}) == {0: 1}


def test_a_repeat_is_allowed_once_it_is_marked_in_whatever_order_the_files_are_read():
    for parts in ((rows(0, 1), rows(1, redelivered=1)), (rows(1, redelivered=1), rows(0, 1))):
        made = account(*parts)
        assert not made.violations
        assert (made.repeats, made.records(0), made.experiences(0)) == (1, 2, 8)


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ((rows(0, 1), rows(1)), "without a mark"),
        ((rows(0), rows(0, generation=2, redelivered=1)), "another record"),
        ((rows(0), rows(0, n_steps=5, redelivered=1)), "another record"),
        ((rows(0, corrupt=1),), "corrupt"),
        ((rows(0, unmarked=1),), "unmarked"),
    ],
)
def test_an_account_sees_what_is_forbidden(parts, word):
    (violation,) = account(*parts).violations
    assert word in violation


def test_a_sole_member_gets_a_seat_s_game_in_order_repeats_apart():
    made = account(rows(0, 1), rows(1, 2, redelivered=1), is_ordered=True)
    assert not made.violations
    made.add(rows(4, 3))
    assert "out of order" in made.violations[0]


def test_what_a_ghost_had_may_come_late_if_it_is_marked():
    made = account(rows(0, 2), is_ordered=True)
    made.had_ghost = True
    made.add(rows(1, redelivered=1))
    assert not made.violations
    made.add(rows(5, 4))
    assert "out of order" in made.violations[0]


def test_a_file_is_read_on_from_where_it_ended_and_half_an_entry_is_left_for_later(tmp_path):
    made = Account()
    path = tmp_path / "a.bin"
    made.follow(path)
    data = rows(0, 1, 2).tobytes()
    path.write_bytes(data[:-5])
    assert made.update().records(0) == 2
    path.write_bytes(data)
    assert made.update().records(0) == 3
    assert made.update().rows == 3


def test_one_client_gets_a_record_once_and_another_may_get_it_again(tmp_path):
    made = Account()
    for name in ("a.bin", "b.bin"):
        made.follow(tmp_path / name)
        (tmp_path / name).write_bytes(rows(0, 1, redelivered=1).tobytes())
    assert not made.update().violations
    with (tmp_path / "a.bin").open("ab") as file:
        file.write(rows(1, 2, redelivered=1).tobytes())
    (violation,) = made.update().violations
    assert violation == "a.bin was given a record of 0 twice"


def test_the_same_seed_is_the_same_schedule_and_every_kind_comes_before_one_comes_again():
    assert schedule(5, 30) == schedule(5, 30)
    assert schedule(5, 30) != schedule(6, 30)
    kinds = [step.kind for step in schedule(5, len(KINDS))]
    assert sorted(kinds) == sorted(KINDS)


@pytest.fixture(scope="module")
def soak():
    """tools/soak.py, which lies in no package."""
    spec = importlib.util.spec_from_file_location("soak", ROOT / "tools" / "soak.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_soak_sees_growth_within_lives_and_none_between_them(soak):
    """A later life that is larger from its beginning has not grown."""
    flat = [(float(second), 50.0 + 10 * life) for life in (0, 1) for second in range(60)]
    assert soak.slope([flat[:60], flat[60:]]) == pytest.approx(0.0)
    growing = [(second, 50 + 2 * second / 60) for second in range(60)]
    assert soak.slope([growing]) == pytest.approx(2.0)
    assert soak.slope([growing, flat[:60]]) == pytest.approx(1.0)


def test_a_soak_with_the_same_seed_is_the_same_and_has_every_fault(soak):
    first = list(itertools.islice(soak.steps(3), 200))
    assert first == list(itertools.islice(soak.steps(3), 200))
    assert {step.kind for step in first} == set(KINDS)


class Echo:
    """Sends back what comes."""

    def __init__(self):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.ends = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection):
        try:
            while data := connection.recv(1 << 16):
                connection.sendall(data)
            self.ends.append("end")
        except ConnectionResetError:
            self.ends.append("reset")
        connection.close()

    def close(self):
        self._server.close()


@pytest.fixture
def echo():
    made = Echo()
    yield made
    made.close()


@pytest.fixture
def proxy(echo):
    made = TcpProxy(echo.address)
    yield made
    made.close()


def connect(proxy):
    host, _, port = proxy.address.rpartition(":")
    connection = socket.create_connection((host, int(port)), 10)
    connection.settimeout(10)
    return connection


def exchange(connection, data=b"hello"):
    connection.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = connection.recv(1 << 16)
        if not piece:
            break
        got += piece
    return got == data


def test_bytes_go_both_ways_and_an_end_is_passed_on(proxy, echo, wait_until):
    with connect(proxy) as connection:
        assert exchange(connection)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
    wait_until(lambda: echo.ends == ["end"])


def test_much_goes_through_with_little_on_the_way(proxy):
    with connect(proxy) as connection:
        data = np.random.default_rng(1).bytes(1 << 22)
        sender = threading.Thread(target=connection.sendall, args=(data,), daemon=True)
        sender.start()
        got = b""
        while len(got) < len(data):
            got += connection.recv(1 << 16)
        assert got == data


def test_a_cut_resets_both_ends_and_the_next_connection_works(proxy, echo, wait_until):
    with connect(proxy) as connection:
        assert exchange(connection)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    wait_until(lambda: echo.ends == ["reset"])
    with connect(proxy) as connection:
        assert exchange(connection)


def is_refused(proxy):
    """Whether a connection ends at once, by a reset or an end."""
    try:
        with connect(proxy) as connection:
            return not exchange(connection)
    except ConnectionError:
        return True


def test_while_it_is_down_who_comes_is_turned_away(proxy):
    proxy.down()
    assert is_refused(proxy)
    proxy.up()
    assert not is_refused(proxy)


def test_what_is_held_arrives_when_it_flows_again(proxy):
    with connect(proxy) as connection:
        assert exchange(connection)
        proxy.hold()
        connection.sendall(b"later")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        proxy.flow()
        assert connection.recv(10) == b"later"


def test_whoever_is_forgotten_vanishes_without_a_word_to_the_target(proxy, echo, wait_until):
    with connect(proxy) as connection:
        assert exchange(connection)
        proxy.forget()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with connect(proxy) as other:
        assert exchange(other)
        other.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            other.recv(1)
    wait_until(lambda: echo.ends)
    assert echo.ends == ["end"]


def test_a_delay_is_added_to_every_piece(proxy):
    with connect(proxy) as connection:
        proxy.delay_s = 0.15
        connection.sendall(b"slowly")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(10)
        assert connection.recv(10) == b"slowly"
