from farm.shm import room


def test_free_bytes_is_no_more_than_the_mount_has():
    assert 0 < room.free_bytes() <= room._mount_free()


def test_the_machine_counts_even_if_the_mount_is_larger(tmp_path, monkeypatch):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 99 kB\nMemAvailable:      12 kB\nSwapFree:  3 kB\n")
    monkeypatch.setattr(room, "_MEMINFO", meminfo)
    assert room.free_bytes() == 15 * 1024


def test_the_tightest_control_group_above_the_process_counts(tmp_path, monkeypatch):
    own = tmp_path / "cgroup"
    own.write_text("0::/farm.slice/unit\n")
    groups = tmp_path / "fs"
    unit = groups / "farm.slice" / "unit"
    unit.mkdir(parents=True)
    (unit / "memory.max").write_text("max\n")
    (unit / "memory.current").write_text("500\n")
    (unit.parent / "memory.max").write_text("9000\n")
    (unit.parent / "memory.current").write_text("5000\n")
    (unit.parent / "memory.stat").write_text("anon 7\nactive_file 100\ninactive_file 50\n")
    monkeypatch.setattr(room, "_OWN_CGROUP", own)
    monkeypatch.setattr(room, "_CGROUPS", groups)
    assert room.free_bytes() == 9000 - 5000 + 150


def test_without_control_groups_the_mount_and_the_machine_count(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_OWN_CGROUP", tmp_path / "absent")
    monkeypatch.setattr(room, "_CGROUPS", tmp_path / "absent")
    assert room.free_bytes() > 0
