#!/bin/bash
# SPDX-License-Identifier: EUPL-1.2
# Runs within a booted Debian system, as a unit of its service manager: sets the package up, has the service manager start the server, and tries
# what only that shows. `cargo xtask deb --test` boots the system and reads what this says.
set -uo pipefail

passed=0
failed=0
try() { # what, command…
    local what=$1
    shift
    if "$@" >/tmp/try.log 2>&1; then
        passed=$((passed + 1))
        echo "booted: ok: $what"
    else
        failed=$((failed + 1))
        echo "booted: FAILED: $what"
        tail -20 /tmp/try.log
    fi
}
until_true() { # seconds, command…
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}
property() { systemctl show --value --property "$2" "$1"; }
pid() { property parvis.service MainPID; }
status() { grep -E "^$1:" "/proc/$(pid)/status" | tr -d '\t'; }
http() { # path; gives the status
    exec 9<>/dev/tcp/127.0.0.1/443 || return 1
    printf 'GET %s HTTP/1.1\r\nHost: meet.example.eu\r\nConnection: close\r\n\r\n' "$1" >&9
    head -1 <&9 | cut -d' ' -f2
    exec 9>&-
}
answers() { [ "$(http /readyz)" = "$1" ]; }

# What setup writes, without TLS, so that this script can ask by itself.
setup() {
    parvis setup meet.example.eu --behind-proxy 127.0.0.1 --address 127.0.0.1 --no-start --record-for \
        age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kudlhm3qqq7q3sd || true
    grep -q guests /etc/parvis/parvis.toml &&
        sed -i '/^public_port/d; s/^listen = .*/listen = "[::]:443"/; s/^recipients = .*/unprotected = true/; s/^worker = .*/&\nallow_unconfined = true/' \
            /etc/parvis/parvis.toml
}
try "setup writes a configuration" setup
try "the server starts" systemctl start parvis.socket parvis-media.socket parvis-compose.socket parvis-push.socket parvis.service
[ "$failed" = 0 ] || journalctl --no-pager --unit parvis.service | tail -20
try "it is ready, on a port that it could not have opened itself" until_true 20 answers 200
try "it runs as its own user" test "$(stat --format %U "/proc/$(pid)")" = parvis
for capability in CapInh CapPrm CapEff CapBnd CapAmb; do
    try "it has no capability ($capability)" test "$(status $capability)" = "$capability:0000000000000000"
done
try "it gains no privileges" test "$(status NoNewPrivs)" = NoNewPrivs:1
try "its calls are filtered" test "$(status Seccomp)" = Seccomp:2
try "its secrets were handed over in memory" test -s /run/credentials/parvis.service/parvis.main.secret
inside() { nsenter --target "$(pid)" --mount -- "$@"; }
try "it sees no store of secrets" test -z "$(inside ls /etc/credstore 2>/dev/null)"
cannot_write() { ! inside touch "$1/parvis-trial"; }
for folder in /etc /usr /var/log; do
    try "it can't write to $folder" cannot_write $folder
done
try "it can't see homes" test -z "$(inside ls /home /root 2>/dev/null | grep -v :)"
try "the watchdog is fed" test "$(property parvis.service WatchdogTimestampMonotonic)" -gt 0

# A restart refuses no connection: whoever comes in between waits.
before=$(pid)
systemctl restart parvis.service &
refused=0
end=$((SECONDS + 20))
while kill -0 $! 2>/dev/null && [ $SECONDS -lt $end ]; do
    http /livez >/dev/null || refused=$((refused + 1))
done
wait
try "a restart refuses no connection" test $refused = 0
try "it is another process then" test "$(pid)" != "$before"
try "it is ready again" until_true 20 answers 200

# A stalled forwarding thread: no word to the watchdog, and so a new server.
stall() {
    local thread
    for thread in /proc/"$(pid)"/task/*; do
        [ "$(cat "$thread/comm")" = shard-0 ] && break
    done
    perl -e 'syscall(101, 16, $ARGV[0], 0, 0) == 0 or die "ptrace: $!"; sleep 60' "${thread##*/}" &
    holder=$!
    before=$(pid)
    until_true 50 test_changed
    local result=$?
    kill $holder 2>/dev/null
    return $result
}
test_changed() { [ "$(pid)" != "$before" ] && [ "$(pid)" != 0 ]; }
mkdir -p /run/systemd/system/parvis.service.d
printf '[Service]\nWatchdogSec=4s\nTimeoutAbortSec=3s\n' >/run/systemd/system/parvis.service.d/trial.conf
systemctl daemon-reload
systemctl restart parvis.service
until_true 20 answers 200
try "a server whose forwarding thread hangs is replaced" stall
try "and the new one is ready" until_true 20 answers 200
try "check sees a call with sound and pictures" parvis check --config /etc/parvis/parvis.toml
cat /tmp/try.log

# A worker, as a unit of its own.
worker() {
    local job=/var/lib/parvis/recordings/trial
    mkdir -p $job && chown parvis: $job
    setpriv --reuid parvis --regid parvis --clear-groups env -i /usr/lib/parvis/parvis-media-unit capture --confine available \
        --directory $job </run/trial.fifo >/dev/null &
    until_true 10 test_unit
}
test_unit() { systemctl list-units --no-legend 'parvis-media@*' | grep -q running; }
rm -f /run/trial.fifo && mkfifo /run/trial.fifo && chown parvis: /run/trial.fifo
exec 8<>/run/trial.fifo
try "a worker is a unit of its own" worker
unit=$(systemctl list-units --no-legend --plain 'parvis-media@*' | cut -d' ' -f1 | head -1)
try "in the slice of recordings" test "$(property "$unit" Slice)" = parvis-capture.slice
worker_pid=$(pgrep --parent "$(property "$unit" MainPID)" | head -1)
try "it has a network of its own, with nothing in it" test "$(nsenter --target "$worker_pid" --net -- ls /sys/class/net 2>/dev/null | wc -l)" -le 1 -a \
    "$(readlink "/proc/$worker_pid/ns/net")" != "$(readlink /proc/self/ns/net)"
try "it sees recordings and nothing else of the server's" test "$(nsenter --target "$worker_pid" --mount -- ls /var/lib/parvis)" = recordings
try "it sees no configuration" test -z "$(nsenter --target "$worker_pid" --mount -- ls /etc/parvis 2>/dev/null)"
exec 8>&-
kill "$(pgrep -f parvis-media-unit)" 2>/dev/null
gone() { ! test_unit; }
try "it goes with whoever asked for it" until_true 10 gone

# Films are composed under the unit's confinement: memory that is written is never executed, and GStreamer's own code generator does with that.
compose() {
    systemd-run --wait --pipe --quiet --property MemoryDenyWriteExecute=yes --property PrivateNetwork=yes --property NoNewPrivileges=yes \
        --property SystemCallFilter=@system-service --property 'SystemCallFilter=~@privileged @resources' --property SystemCallErrorNumber=EPERM \
        --property User=parvis --property ProtectSystem=strict --property PrivateTmp=yes --property TemporaryFileSystem=/var/lib/parvis:ro \
        --property NoExecPaths=/ --property 'ExecPaths=/usr/bin/parvis-media /usr/lib /lib /lib64' \
        /usr/bin/parvis-media probe --encoder software
}
try "encoders work where memory that is written is never executed" compose
cat /tmp/try.log

systemctl stop parvis.service parvis.socket
try "it stops well" test "$(property parvis.service Result)" = success
systemctl list-units --failed --no-legend 'parvis*'
echo "$passed passed, $failed failed"
