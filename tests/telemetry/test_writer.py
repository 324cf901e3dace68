"""Lines on a descriptor: whole, in one write, and never an exception for who logs."""

import os
import threading

import pytest

from farm.telemetry import writer
from farm.telemetry.writer import LineWriter


@pytest.fixture
def pipe():
    read_fd, write_fd = os.pipe()
    yield read_fd, write_fd
    for fd in (read_fd, write_fd):
        try:
            os.close(fd)
        except OSError:
            continue


def fill(fd: int) -> int:
    """Fill a pipe that does not block; returns the bytes that went in."""
    n_bytes = 0
    while True:
        try:
            n_bytes += os.write(fd, b"x" * 4096)
        except BlockingIOError:
            return n_bytes


def test_a_line_is_one_write(pipe, monkeypatch):
    calls = []
    real = os.write
    monkeypatch.setattr(writer.os, "write", lambda fd, data: calls.append(data) or real(fd, data))
    LineWriter(pipe[1]).write(b"hello\n")
    assert calls == [b"hello\n"]
    assert os.read(pipe[0], 100) == b"hello\n"


def test_a_line_that_is_taken_in_parts_is_written_to_its_end(pipe, monkeypatch):
    real = os.write
    monkeypatch.setattr(writer.os, "write", lambda fd, data: real(fd, data[:2]))
    sink = LineWriter(pipe[1])
    sink.write(b"hello\n")
    assert os.read(pipe[0], 100) == b"hello\n"
    assert sink.left_out == 0


def test_a_reader_that_went_away_costs_the_line_not_the_process(pipe):
    os.close(pipe[0])
    sink = LineWriter(pipe[1])
    sink.write(b"hello\n")
    sink.write(b"hello\n")
    assert sink.left_out == 2


def test_a_closed_descriptor_costs_the_line(pipe):
    os.close(pipe[1])
    sink = LineWriter(pipe[1])
    sink.write(b"hello\n")
    assert sink.left_out == 1
    assert not sink.isatty()


def test_a_full_pipe_that_does_not_block_is_waited_for(pipe):
    read_fd, write_fd = pipe
    os.set_blocking(write_fd, False)
    filled = fill(write_fd)
    sink = LineWriter(write_fd)
    reader = threading.Thread(target=lambda: os.read(read_fd, filled))
    reader.start()
    sink.write(b"hello\n")
    reader.join(10)
    assert sink.left_out == 0


def test_a_full_pipe_that_nobody_reads_is_given_up(pipe, monkeypatch):
    monkeypatch.setattr(writer, "WAIT_MS", 10)
    os.set_blocking(pipe[1], False)
    fill(pipe[1])
    sink = LineWriter(pipe[1])
    sink.write(b"hello\n")
    assert sink.left_out == 1
