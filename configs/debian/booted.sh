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

# Credentials are mounted from a namespace of their own, which reaches the units only where mounts are shared.
try "mounts are shared, as the service manager needs them" test "$(findmnt --noheadings --output PROPAGATION /)" = shared
# The name is this system's own; nobody else is asked.
echo '127.0.0.1 localhost meet.example.eu' >/etc/hosts

# What setup writes, without TLS, so that this script can ask by itself, and with a film of each call, in parts that are short.
setup() {
    parvis setup meet.example.eu --behind-proxy 127.0.0.1 --address 127.0.0.1 --no-start --record-for \
        age1xd4agy57sq8asy5p2pkmxhgelyq20l0fq7am49l6q9wjt90ztdesx04y4a || true
    grep -q guests /etc/parvis/parvis.toml &&
        sed -i '/^public_port/d; s/^listen = .*/listen = "[::]:443"/; s/^guests = .*/&\nrecord = "grid"/;
            s/^recipients = .*/&\nfilm_segment = "5s"/' /etc/parvis/parvis.toml
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
# A process's files as it sees them: nothing can be started in there, as all but the server is without the right to be executed.
seen() { echo "/proc/$1/root$2"; }
hidden() { [ -d "$(seen "$1" /)" ] && [ -z "$(ls "$(seen "$1" "$2")" 2>/dev/null)" ]; }
try "it sees no store of secrets" hidden "$(pid)" /etc/credstore
cannot_write() { [ -d "$(seen "$(pid)" "$1")" ] && ! touch "$(seen "$(pid)" "$1")/parvis-trial"; }
can_write() { touch "$(seen "$(pid)" /var/lib/parvis)/parvis-trial" && rm "$(seen "$(pid)" /var/lib/parvis)/parvis-trial"; }
try "it can write to its own folder" can_write
for folder in /etc /usr /var/log; do
    try "it can't write to $folder" cannot_write $folder
done
touch /root/parvis-trial
try "it can't see homes" hidden "$(pid)" /root
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
# ptrace(PTRACE_ATTACH) holds one thread alone, and leaves the others running. Whoever holds it has to wait for it, too (wait4 with
# __WALL): a process whose thread nobody waits for does not end.
case $(uname -m) in
x86_64) ptrace=101 ;;
*) ptrace=117 ;;
esac
stall() {
    local thread
    for thread in /proc/"$(pid)"/task/*; do
        [ "$(cat "$thread/comm")" = shard-0 ] && break
    done
    [ "$(cat "$thread/comm")" = shard-0 ] || return 1
    perl -e 'syscall($ARGV[0] + 0, 16, $ARGV[1] + 0, 0, 0) == 0 or die "ptrace: $!";
        1 while waitpid($ARGV[1] + 0, 0x40000000) > 0' $ptrace "${thread##*/}" &
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
try "and the service manager did it by itself" test "$(property parvis.service NRestarts)" -gt 0
try "and the new one is ready" until_true 20 answers 200

# A call, which is recorded and made a film of: in units that the server, which has no right to any, gets by their doors.
# With each, how it is scheduled, and whether it finds counted what all processors do and what it takes of them itself.
policy() { sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f39; }
counts() {
    local group
    group=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
    grep -q '^cpu ' "$(seen "$1" /proc/stat)" && grep -q '^usage_usec ' "$(seen "$1" "/sys/fs/cgroup$group/cpu.stat")" && echo counts
}
units_seen() { # until a film is there
    local unit process
    while :; do
        for unit in $(systemctl list-units --no-legend --plain --state=active 'parvis-media@*' 'parvis-compose@*' | cut -d' ' -f1); do
            process=$(property "$unit" MainPID)
            echo "$unit policy $(policy "$process") $(counts "$process")"
        done
        sleep 0.1
    done >/run/units.seen 2>/dev/null
}
units_seen &
seeing=$!
try "check sees a call with sound and pictures, and nothing bad" parvis check --config /etc/parvis/parvis.toml
cat /tmp/try.log
recordings() { parvis recording list --config /etc/parvis/parvis.toml; }
complete() { recordings | grep -E '^EG_' | grep -vE ' 0 B ' | grep -q complete; }
film() { find /var/lib/parvis/recordings -name '*.mp4*' -size +1k | grep -q .; }
# A room stays for a while when all have left it.
try "the call was recorded, and a film was made of it" until_true 120 complete
try "the film is there" film
[ "$failed" = 0 ] || {
    recordings
    find /var/lib/parvis/recordings -type f
    journalctl --no-pager --output cat --unit parvis.service --grep 'recording|compos' | tail -20
}
kill $seeing
try "one unit captured it" grep -q '^parvis-media@' /run/units.seen
try "and another one made the film" grep -q '^parvis-compose@' /run/units.seen
# SCHED_IDLE is 5.
try "which takes a processor only when nobody else wants it" grep -qE '^parvis-compose@.* policy 5( |$)' /run/units.seen
try "and knows how many are idle, and what it takes" grep -qE '^parvis-compose@.* counts$' /run/units.seen
in_parts() { journalctl --no-pager --output cat --unit parvis.service | grep -E 'in ([3-9]|[1-9][0-9]) parts, of which 0 were there already'; }
try "in parts, by processes of their own" in_parts

# A worker, as a unit of its own.
worker() {
    local job=/var/lib/parvis/recordings/trial
    mkdir -p $job && chown parvis: $job
    # Its standard input is a stream socket and its output one for datagrams, as the server has them, and both stay open.
    setpriv --reuid parvis --regid parvis --clear-groups env -i perl -MSocket -MPOSIX=dup2 -e \
        '$^F = 99; socketpair(A, B, AF_UNIX, SOCK_STREAM, 0) or die; socketpair(C, D, AF_UNIX, SOCK_DGRAM, 0) or die;
        dup2(fileno(B), 0); dup2(fileno(D), 1); exec @ARGV' \
        /usr/lib/parvis/parvis-media-unit capture --confine required --directory $job &
    asking=$!
    until_true 10 test_unit
}
test_unit() { systemctl list-units --no-legend 'parvis-media@*' | grep -q running; }
try "a worker is a unit of its own" worker
unit=$(systemctl list-units --no-legend --plain 'parvis-media@*' | cut -d' ' -f1 | head -1)
try "in the slice of recordings" test "$(property "$unit" Slice)" = parvis-capture.slice
worker_pid=$(pgrep --parent "$(property "$unit" MainPID)" | head -1)
# Without one, what follows has to fail.
worker_pid=${worker_pid:-none}
filters() { awk '/^Seccomp_filters:/ { print $2 }' "/proc/$1/status"; }
confined() { [ "$(filters "$worker_pid")" -gt "$(filters "$(property "$unit" MainPID)")" ]; }
try "its own confinement comes on top of the unit's" until_true 5 confined
alone() {
    local devices
    devices=$(nsenter --target "$worker_pid" --net -- tail -n +3 /proc/net/dev) &&
        ! grep -qv '^ *lo:' <<<"$devices" && [ "$(readlink "/proc/$worker_pid/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}
try "it has a network of its own, with nothing in it" alone
try "it sees recordings and nothing else of the server's" test "$(ls "$(seen "$worker_pid" /var/lib/parvis)")" = recordings
try "it sees no configuration" hidden "$worker_pid" /etc/parvis
kill $asking
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
