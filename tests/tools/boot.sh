#!/bin/bash
# Boots the systemd of this machine in namespaces of its own (mounts, processes, network, names, IPC,
# cgroups), on an overlay of this machine's root whose upper layer is memory: what is installed in
# there is installed nowhere, and nothing out here is started, stopped or reconfigured.
#
#     unshare --mount boot.sh WORK FOLDER=PLACE…
#
# WORK is an empty folder. Each FOLDER is seen inside at PLACE, read-only. It waits until systemd ends;
# on SIGTERM everything in there is killed.
set -euo pipefail
work=$1
shift

if [ "${FARM_BOOT:-}" != inside ]; then
    # Out here: a cgroup of our own to be the root of the namespace of cgroups.
    mount --make-rprivate /
    mkdir "$work/cgroup" "$work/layers"
    mount -t cgroup2 cgroup2 "$work/cgroup"
    own=$work/cgroup/farm-boot-$$
    mkdir "$own"
    child=''
    trap 'kill -KILL $child 2>/dev/null || true' TERM INT
    (
        echo $BASHPID >"$own/cgroup.procs"
        FARM_BOOT=inside exec unshare --mount --pid --fork --uts --ipc --net --cgroup --kill-child \
            "$0" "$work" "$@"
    ) &
    child=$!
    wait "$child" || true
    wait "$child" 2>/dev/null || true
    for _ in $(seq 100); do
        find "$own" -depth -type d -exec rmdir {} + 2>/dev/null && break
        sleep 0.05
    done
    exit 0
fi

# In here, as pid 1.
mount -t tmpfs -o mode=755 layers "$work/layers"
root=$work/layers/root
mkdir "$work/layers/upper" "$work/layers/work" "$root"
mount -t overlay overlay \
    -o "lowerdir=/,upperdir=$work/layers/upper,workdir=$work/layers/work" "$root"
for pair in "$@"; do
    mkdir -p "$root${pair#*=}"
    mount --bind "${pair%%=*}" "$root${pair#*=}"
    mount -o remount,bind,ro "$root${pair#*=}"
done
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do
    cp -a "/dev/$device" "$root/dev/"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s null "$root/dev/console"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
# Nothing that is enabled out here starts in here.
find "$root/etc/systemd/system" -mindepth 1 -maxdepth 1 -name '*.wants' -exec rm -rf {} +
rm -f "$root/etc/machine-id" && : >"$root/etc/machine-id"
echo farm-boot >"$root/etc/hostname"
cd "$root"
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=farm-boot PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    /lib/systemd/systemd --system --unit=basic.target --log-target=journal --show-status=no \
    </dev/null >/dev/null 2>&1
