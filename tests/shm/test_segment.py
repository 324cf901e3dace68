import os
import subprocess
import sys

import pytest

from farm.errors import (
    SegmentAbsentError,
    SegmentError,
    SegmentLayoutError,
    SegmentNotReadyError,
    SharedMemoryFullError,
)
from farm.shm import segment as module
from farm.shm.room import free_bytes
from farm.shm.segment import (
    HEADER_BYTES,
    Segment,
    SegmentKind,
    list_segments,
    segment_name,
    shm_path,
    unlink_segment,
)

RING = SegmentKind.RING


@pytest.fixture
def name(instance):
    return segment_name(instance, "ring0")


def make(name, *, layout=3, n_bytes=HEADER_BYTES + 64, ready=True, **options):
    segment = Segment.create(name, kind=RING, layout=layout, n_bytes=n_bytes, **options)
    if ready:
        segment.make_ready()
    return segment


def attach(name, *, kind=RING, layout=3, **options):
    return Segment.attach(name, kind=kind, layout=layout, **options)


def test_what_one_mapping_stores_the_other_loads(name):
    with make(name) as made, attach(name) as other:
        made.store(HEADER_BYTES, 2**64 - 1)
        made.write(HEADER_BYTES + 8, b"generals")
        assert other.load(HEADER_BYTES) == 2**64 - 1
        assert other.read(HEADER_BYTES + 8, 8) == b"generals"
        assert other.mem[HEADER_BYTES : HEADER_BYTES + 16].tobytes() == b"\xff" * 8 + b"generals"


def test_a_segment_is_readable_by_its_user_alone_whatever_the_umask(name):
    before = os.umask(0o777)
    try:
        make(name).close()
    finally:
        os.umask(before)
    assert shm_path(name).stat().st_mode & 0o777 == 0o600


def test_a_name_that_nobody_made_is_absent(name):
    with pytest.raises(SegmentAbsentError, match=name):
        attach(name)


def test_a_segment_is_not_ready_until_its_maker_says_so(name):
    with make(name, ready=False) as made:
        with pytest.raises(SegmentNotReadyError, match=str(os.getpid())):
            attach(name)
        made.make_ready()
        attach(name).close()


def test_an_empty_file_is_a_segment_that_is_not_ready(name):
    shm_path(name).touch(mode=0o600)
    with pytest.raises(SegmentNotReadyError, match="0 bytes"):
        attach(name)


def test_another_layout_is_refused_with_both_versions_and_the_owner(name):
    with make(name, layout=3), pytest.raises(SegmentLayoutError) as refused:
        attach(name, layout=4)
    assert "layout 3, this build reads 4" in str(refused.value)
    assert f"process {os.getpid()}" in str(refused.value)


def test_another_kind_is_refused(name):
    with make(name), pytest.raises(SegmentLayoutError, match="CONTROL"):
        attach(name, kind=SegmentKind.CONTROL)


def test_a_file_of_somebody_else_is_refused(name):
    shm_path(name).write_bytes(b"not a farm's" + bytes(HEADER_BYTES))
    with pytest.raises(SegmentLayoutError, match="no segment of a farm"):
        attach(name)


def test_a_truncated_segment_is_refused(name):
    with make(name, n_bytes=4 * HEADER_BYTES):
        os.truncate(shm_path(name), 2 * HEADER_BYTES)
        with pytest.raises(SegmentLayoutError, match=f"has {2 * HEADER_BYTES} bytes"):
            attach(name)


def test_another_spec_is_refused(name, monkeypatch):
    with make(name):
        monkeypatch.setattr(module, "spec_fingerprint", lambda: 7)
        with pytest.raises(SegmentLayoutError, match=r"this build has 0{15}7"):
            attach(name)


def test_a_header_that_fails_its_checksum_is_not_ready(name):
    with make(name) as made:
        made.store(40, 99)
        with pytest.raises(SegmentNotReadyError, match="half-written"):
            attach(name)


def test_a_name_is_made_once(name):
    with make(name), pytest.raises(SegmentError, match="exists already"):
        make(name)


def test_a_read_only_mapping_cannot_be_written(name):
    with make(name), attach(name, readonly=True) as seen:
        with pytest.raises(TypeError):
            seen.store(HEADER_BYTES, 1)
        with pytest.raises(ValueError, match="read-only"):
            seen.mem[HEADER_BYTES] = 1


def test_an_owner_that_adopts_leaves_its_pid_and_generation(name):
    code = (
        "import sys; from farm.shm.segment import *;"
        "s = Segment.attach(sys.argv[1], kind=SegmentKind.RING, layout=3); s.adopt(5)"
    )
    with make(name) as made:
        assert (made.generation, made.owner_pid) == (1, os.getpid())
        with subprocess.Popen([sys.executable, "-c", code, name]) as other:
            assert other.wait(60) == 0
        assert (made.generation, made.owner_pid) == (5, other.pid)


def test_closing_twice_is_fine_and_an_open_view_stays_valid(name):
    made = make(name)
    view = made.mem
    made.close()
    made.close()
    assert view[0] == ord("F")


def test_unlinking_removes_the_name_once_and_leaves_mappings(name):
    with make(name) as made:
        assert unlink_segment(name)
        assert not unlink_segment(name)
        made.store(HEADER_BYTES, 5)
        assert made.load(HEADER_BYTES) == 5


def test_the_segments_of_an_instance_are_not_those_of_a_longer_name(instance):
    mine = segment_name(instance, "ring0")
    theirs = segment_name(f"{instance}-b", "ring0")
    try:
        with make(mine), make(theirs):
            assert list_segments(instance) == [mine]
            assert list_segments(f"{instance}-b") == [theirs]
    finally:
        unlink_segment(theirs)


def test_a_role_with_a_dash_is_refused(instance):
    with pytest.raises(SegmentError, match="ring-0"):
        segment_name(instance, "ring-0")


@pytest.mark.parametrize("n_bytes", [1 << 45, 1 << 62])
def test_more_than_there_is_fails_with_what_is_wanted_and_free(name, n_bytes):
    free = free_bytes()
    with pytest.raises(SharedMemoryFullError) as full:
        make(name, n_bytes=n_bytes)
    assert str(n_bytes) in str(full.value)
    stated = int(str(full.value).split("memory and ")[1].split(" ")[0])
    assert abs(stated - free) < free / 2
    assert list_segments(name.split("-")[1]) == []
    assert not shm_path(name).exists()


def test_room_that_is_gone_when_the_pages_are_taken_is_the_same_error(name, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda: 1 << 62)
    with pytest.raises(SharedMemoryFullError, match=str(1 << 50)):
        make(name, n_bytes=1 << 50)
    assert not shm_path(name).exists()


def test_a_small_mount_is_filled_to_the_last_page_and_then_an_error_never_a_signal():
    code = """
from farm.errors import SharedMemoryFullError
from farm.shm.segment import Segment, SegmentKind
made = []
try:
    while True:
        made.append(Segment.create(f"/farm-t-r{len(made)}", kind=SegmentKind.RING, layout=1,
                                   n_bytes=300 << 10))
except SharedMemoryFullError as full:
    print(len(made), full)
for segment in made:
    segment.mem[4096:] = 1
"""
    mount = "mount -t tmpfs -o size=1m tmpfs /dev/shm"
    namespace = ["unshare", "--mount", "sh", "-c"]
    if subprocess.run([*namespace, mount], capture_output=True, check=False).returncode:
        pytest.skip("needs a mount namespace of its own")
    done = subprocess.run(
        [*namespace, f'{mount} && exec "$0" -c "$1"', sys.executable, code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 /farm-t-r3 needs 307200 bytes")
    assert "126976 are free" in done.stdout
