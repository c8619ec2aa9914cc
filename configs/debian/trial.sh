#!/bin/bash
# SPDX-License-Identifier: EUPL-1.2
# Installs, upgrades, downgrades, removes and purges the package within a Debian system made for that: `cargo xtask deb --test` runs it
# there, as root, and `cargo xtask test --only package` in a copy of the system at hand. The folder with the packages is $1: old.deb and new.deb.
# With `fetch` as $2, what the package depends on and recommends is fetched before; otherwise it has to be there.
set -euo pipefail

packages=$1
fail() {
    echo "trial: FAILED: $*" >&2
    exit 1
}
say() { echo "trial: $*"; }
# What a file is like: owner, group and mode.
like() { stat --format '%U %G %a' "$1"; }
is() {
    local seen
    seen=$(like "$1") || fail "$1 is not there"
    [ "$seen" = "$2" ] || fail "$1 is $seen, and not $2"
}
# What lies on a mount of its own is named, too.
files() { find / /usr /etc /var -xdev \( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path "$packages" -o -path /var/cache -o -path /var/lib/apt \
    -o -path /var/lib/dpkg -o -path /var/log \) -prune -o -print | sort -u; }

# Each command, with those below it, has a manual page that knows each option which its help does. One that another program does
# gives that one's help, whose usage says so, and that one's page is meant then.
commands() { awk '/^Commands:/ { within = 1; next } /^[^ ]/ { within = 0 } within && /^  [a-z]/ && $1 != "help" { print $1 }' <<<"$1"; }
page_of() { # words…
    local IFS=-
    echo "/usr/share/man/man1/$*.1.gz"
}
pages() { # command…
    local help of page word option
    help=$("$@" --help)
    of=$(awk '/^Usage: / { for (i = 2; i <= NF && $i ~ /^[a-z]/; i++) print $i; exit }' <<<"$help")
    # shellcheck disable=SC2086
    for page in "$(page_of "$@")" "$(page_of $of)"; do
        [ -s "$page" ] || fail "\`$*\` has no manual page $page"
    done
    zcat "$page" | sed 's/\\-/-/g' >/tmp/page
    for option in $(grep -oE '^ +(-[a-zA-Z], )?--[a-z0-9-]+' <<<"$help" | grep -oE -- '--[a-z0-9-]+'); do
        grep -qE -- "$option([^a-z0-9-]|\$)" /tmp/page || fail "the manual page of \`$*\`, $page, does not know $option"
        options=$((options + 1))
    done
    pages=$((pages + 1))
    for word in $(commands "$help"); do pages "$@" "$word"; done
}

export DEBIAN_FRONTEND=noninteractive
if [ "${2-}" = fetch ]; then
    apt-get update -qq
    # With what it recommends, which encoders are in, and nothing of what others do.
    recommended=$(dpkg-deb --field "$packages/old.deb" Recommends | tr ',' ' ')
    # shellcheck disable=SC2086
    apt-get install --yes --no-install-recommends "$packages/old.deb" $recommended >/tmp/install.log 2>&1 || {
        tail -40 /tmp/install.log >&2
        fail "it can't be installed"
    }
    # What it brings along stays behind when it goes, so it is counted from here.
    apt-mark manual $(dpkg-query -W -f '${Package}\n' | grep -vx parvis) >/dev/null
fi
dpkg --purge parvis >/dev/null 2>&1
files >/tmp/before
dpkg --install "$packages/old.deb" >/dev/null
say "installed $(dpkg-query -W -f '${Version}' parvis)"

is /var/lib/parvis "parvis parvis 700"
is /var/lib/parvis/recordings "parvis parvis 700"
is /etc/parvis "root parvis 750"
is /usr/bin/parvis "root root 755"
[ "$(getent passwd parvis | cut -d: -f7)" = /usr/sbin/nologin ] || fail "the user has a shell"
for command in parvis parvis-media; do
    "$command" --version >/dev/null || fail "$command does not start: $(ldd "/usr/bin/$command" | grep 'not found')"
done
pages=0 options=0
pages parvis
pages parvis-media
[ "$pages" -gt 20 ] && [ "$options" -gt 100 ] || fail "only $pages commands with $options options have a manual page"
say "$pages commands have a manual page, with $options options"
systemd-analyze verify /usr/lib/systemd/system/parvis*.service /usr/lib/systemd/system/parvis*.socket /usr/lib/systemd/system/parvis*.slice \
    >/tmp/verify.log 2>&1 || true
if grep -E 'parvis[^ ]*: *(Unknown|Failed to parse|Invalid)|parvis[^:]*:[0-9]+:' /tmp/verify.log; then
    fail "systemd does not take a unit"
fi
say "units are taken by $(systemd-analyze --version | head -1)"

# A configuration of its own survives all but a purge.
parvis setup meet.example.eu --behind-proxy 127.0.0.1 --address 127.0.0.1 --no-start >/tmp/setup.log 2>&1 || true
grep -q '^wrote /etc/parvis/parvis.toml' /tmp/setup.log || {
    cat /tmp/setup.log >&2
    fail "setup wrote nothing"
}
is /etc/parvis/parvis.toml "root parvis 640"
is /etc/credstore/parvis.main.secret "root root 600"
if parvis setup meet.example.eu --behind-proxy 127.0.0.1 --no-start >/tmp/again.log 2>&1; then
    fail "setup wrote over a configuration"
fi
grep -q 'is there already, and stays as it is' /tmp/again.log || fail "setup does not say why it refuses"
echo '# mine' >>/etc/parvis/parvis.toml
sum=$(sha256sum /etc/parvis/parvis.toml /etc/credstore/parvis.main.secret)
kept() { [ "$sum" = "$(sha256sum /etc/parvis/parvis.toml /etc/credstore/parvis.main.secret)" ] || fail "$1 changed the configuration"; }

dpkg --install "$packages/new.deb" >/dev/null
kept "an upgrade"
say "upgraded to $(dpkg-query -W -f '${Version}' parvis)"
dpkg --install "$packages/old.deb" >/dev/null 2>&1
kept "a downgrade"
say "downgraded to $(dpkg-query -W -f '${Version}' parvis)"

dpkg --remove parvis >/dev/null
kept "a removal"
[ ! -e /usr/bin/parvis ] || fail "a removal left the program"
say "removed"
dpkg --purge parvis >/dev/null
files >/tmp/after
# The user and its group stay, with systemd's note of them.
if ! diff /tmp/before /tmp/after >/tmp/left; then
    cat /tmp/left >&2
    fail "a purge left something, or took what is not ours"
fi
say "purged, and nothing is left"
echo "8 passed, 0 failed"
