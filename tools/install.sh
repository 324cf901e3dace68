#!/usr/bin/env bash
# Installs the farm as a service on a machine with systemd (Debian 12, Amazon Linux 2023 and later):
# Python if it is missing, the user `farm`, a virtual environment in /opt/farm with the wheel in it,
# the units farm.service and farm@.service, /etc/farm/farm.env; then enables farm.service and starts
# it; with --recordings also the timer that copies recordings to S3. Run it again to update: what is
# the same already is left alone, and the service is restarted only if something changed. Instances of
# farm@.service are yours to enable and to restart.
set -euo pipefail

usage() {
    cat <<'HELP'
usage: install.sh --wheel WHEEL [--overrides "KEY=VALUE ..."] [--recordings s3://BUCKET/PREFIX]
                  [--tls-secret ID] [--no-start] [--root DIR] [--dry-run]

  --wheel WHEEL      a file, or s3://BUCKET/KEY (needs the aws command)
  --overrides TEXT   overrides of the config; without it those of /etc/farm/farm.env stay
  --recordings URL   copy recordings there every five minutes (needs the aws command)
  --tls-secret ID    write tls.crt, tls.key and tokens into /etc/farm, from a secret of AWS Secrets
                     Manager with those three keys (needs the aws command); run it again to rotate
  --no-start         enable the service, and start it later by hand
  --root DIR         install below DIR and touch nothing else: no packages, no user, no systemctl
  --dry-run          say what would be done

Environment: PYTHON names the interpreter (3.11 or newer); pip reads its own PIP_* variables.
HELP
}

say() { echo "install.sh: $*"; }
fail() { echo "install.sh: $*" >&2; exit 1; }

wheel='' overrides='' has_overrides='' recordings='' secret='' root='' dry='' start=yes changed=''
while [ $# -gt 0 ]; do
    case $1 in
        --wheel | --overrides | --recordings | --tls-secret | --root)
            [ $# -ge 2 ] || fail "$1 needs a value; see --help"
            ;;
    esac
    case $1 in
        --wheel) wheel=$2; shift ;;
        --overrides) overrides=$2 has_overrides=yes; shift ;;
        --recordings) recordings=${2%/}; shift ;;
        --tls-secret) secret=$2; shift ;;
        --root) root=${2%/}; shift ;;
        --no-start) start='' ;;
        --dry-run) dry=yes ;;
        --help | -h) usage; exit 0 ;;
        *) fail "unknown option $1; see --help" ;;
    esac
    shift
done
[ -n "$wheel" ] || fail "--wheel is missing; see --help"
case $overrides in *$'\n'*) fail "--overrides must be one line" ;; esac
case $recordings in
    '') ;;
    *[!A-Za-z0-9/._:-]* | s3:// | s3:///*) fail "--recordings $recordings: not s3://BUCKET/PREFIX" ;;
    s3://*) ;;
    *) fail "--recordings $recordings: not s3://BUCKET/PREFIX" ;;
esac
[ -z "$recordings$secret" ] || [ -n "$dry" ] || command -v aws >/dev/null ||
    fail "--recordings and --tls-secret need the aws command"
[ -n "$root$dry" ] || [ "$(id -u)" -eq 0 ] || fail "run it as root, or try --dry-run"

# The unit lies beside this script in the wheel, and in the next folder in the repository.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
units=$here/systemd
[ -d "$units" ] || units=$here/../systemd
[ -f "$units/farm.service" ] || fail "farm.service is not in $here/systemd nor $here/../systemd"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() {
    if [ -n "$dry" ]; then say "would run: $*"; else "$@"; fi
}

# put FILE TARGET: copies if the contents differ.
put() {
    if cmp -s "$1" "$2"; then return; fi
    changed=yes
    say "writes $2"
    [ -n "$dry" ] || install -D -m 644 "$1" "$2"
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.13 python3.12 python3.11 python3; do
        if [ -z "$candidate" ] || ! command -v "$candidate" >/dev/null; then continue; fi
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

install_python() {
    [ -z "$root" ] || fail "no Python 3.11 or newer with venv; set PYTHON"
    if command -v apt-get >/dev/null; then
        run apt-get update -q
        run apt-get install -y -q python3 python3-venv
    elif command -v dnf >/dev/null; then
        run dnf install -y -q python3.11
    else
        fail "no Python 3.11 or newer with venv, and neither apt-get nor dnf to install it with"
    fi
}

fetch_wheel() {
    case $wheel in
        s3://*)
            if [ -n "$dry" ]; then say "would fetch $wheel"; return; fi
            aws s3 cp --only-show-errors "$wheel" "$work/"
            wheel=$work/${wheel##*/}
            ;;
    esac
    [ -f "$wheel" ] || fail "no wheel at $wheel"
}

install_wheel() {
    local python=$1 home=$root/opt/farm sum=''
    [ ! -f "$wheel" ] || sum=$(sha256sum "$wheel" | cut -d' ' -f1)
    if [ -n "$sum" ] && [ -x "$home/bin/farm" ] && [ "$(cat "$home/.wheel" 2>/dev/null)" = "$sum" ]; then
        return
    fi
    changed=yes
    say "installs $wheel into $home"
    [ -x "$home/bin/python" ] || run "$python" -m venv "$home"
    # The dependencies as they are needed, then this very wheel, though its version be the same.
    run "$home/bin/python" -m pip install -q --disable-pip-version-check "$wheel"
    run "$home/bin/python" -m pip install -q --disable-pip-version-check --no-deps \
        --force-reinstall "$wheel"
    [ -n "$dry" ] || echo "$sum" >"$home/.wheel"
}

write_env() {
    local target=$root/etc/farm/farm.env
    if [ -z "$has_overrides" ]; then
        [ -e "$target" ] || put "$units/farm.env" "$target"
        return
    fi
    # Everything else that stands in the file stays.
    grep -v '^FARM_OVERRIDES=' "$([ -e "$target" ] && echo "$target" || echo "$units/farm.env")" \
        >"$work/farm.env" || true
    printf 'FARM_OVERRIDES=%s\n' "$overrides" >>"$work/farm.env"
    put "$work/farm.env" "$target"
}

write_recordings() {
    [ -n "$recordings" ] || return 0
    printf '# Where farm-recordings.service copies to.\nFARM_RECORDINGS=%s\n' "$recordings" \
        >"$work/recordings.env"
    put "$work/recordings.env" "$root/etc/farm/recordings.env"
}

# The farm takes new ones from the next handshake and the next call on: no restart.
write_secret() {
    [ -n "$secret" ] || return 0
    if [ -n "$dry" ]; then say "would fetch $secret"; return; fi
    aws secretsmanager get-secret-value --secret-id "$secret" --query SecretString --output text \
        >"$work/secret" || fail "cannot read the secret $secret"
    local name owner=()
    [ -n "$root" ] || owner=(-o farm -g farm)
    for name in tls.crt tls.key tokens; do
        "$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]].rstrip())' \
            "$work/secret" "$name" >"$work/$name" 2>/dev/null ||
            fail "the secret $secret is no JSON object with tls.crt, tls.key and tokens"
    done
    for name in tls.crt tls.key tokens; do
        if cmp -s "$work/$name" "$root/etc/farm/$name"; then continue; fi
        say "writes $root/etc/farm/$name"
        install -D -m 600 "${owner[@]}" "$work/$name" "$root/etc/farm/.$name"
        mv "$root/etc/farm/.$name" "$root/etc/farm/$name"
    done
}

add_user() {
    if getent passwd farm >/dev/null; then return; fi
    if command -v systemd-sysusers >/dev/null; then
        run systemd-sysusers "$root/etc/sysusers.d/farm.conf"
        return
    fi
    run useradd --system --user-group --home-dir /var/lib/farm --no-create-home \
        --shell /usr/sbin/nologin farm
}

make_folders() {
    if command -v systemd-tmpfiles >/dev/null; then
        run systemd-tmpfiles --create "$root/etc/tmpfiles.d/farm.conf"
    fi
}

switch_on() {
    run systemctl daemon-reload
    run systemctl enable -q farm.service
    [ -z "$recordings" ] || run systemctl enable -q --now farm-recordings.timer
    if [ -z "$start" ]; then
        say "start it with: systemctl start farm"
    elif [ -n "$changed" ]; then
        run systemctl restart farm.service
    else
        run systemctl start farm.service
    fi
}

python=$(find_python) || { install_python; python=$(find_python) || python=python3; }
fetch_wheel
put "$units/farm.sysusers" "$root/etc/sysusers.d/farm.conf"
put "$units/farm.tmpfiles" "$root/etc/tmpfiles.d/farm.conf"
if [ -z "$root" ]; then
    add_user
    make_folders
fi
install_wheel "$python"
put "$units/farm.service" "$root/etc/systemd/system/farm.service"
for unit in farm@.service farm-recordings.service farm-recordings.timer; do
    put "$units/$unit" "$root/etc/systemd/system/$unit"
done
write_env
write_recordings
write_secret
if [ -n "$root" ]; then
    say "done below $root"
elif [ -d /run/systemd/system ] || [ -n "$dry" ]; then
    switch_on
else
    systemctl enable -q farm.service
    [ -z "$recordings" ] || systemctl enable -q farm-recordings.timer
    say "systemd does not run here; the farm starts with it at the next boot"
fi
[ -n "$changed" ] || say "nothing has changed"
