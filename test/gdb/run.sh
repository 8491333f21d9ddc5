#!/bin/bash
# run.sh: `make gdb`. QEMU, stopped, and a gdb that is attached to it, with symbols and helpers, at the kernel's entry.
#
# The Makefile calls it and passes the machine in its variables (test/tools/qemu.py reads them). LOADER=1 stops in the
# loader first. GDB names another gdb, GDB_ARGS has more arguments for it, with the shell's quoting:
#
#     make gdb GDB_ARGS="-batch -ex bt -ex 'sis bootinfo'"          (a $ of gdb's is $$ for make)
#
# The debugger's, the serial line's and QMP's wires are Unix sockets in a fresh folder in /tmp: a socket's path must be
# short, and nobody else can reach it there. The serial line is in a pane beside gdb where this runs in tmux; in any
# case it goes to $BUILD/gdb/serial.log, which `sis console` shows. QEMU ends when gdb does.
set -eu

cd "${0%/*}/../.."
gdb=${GDB:-gdb}
build=${BUILD:-build}

stop() {
    echo "make gdb: $1" >&2
    exit 1
}

command -v "$gdb" >/dev/null || stop "$gdb is not installed"
"$gdb" -nx -batch -ex 'python print("yes")' 2>/dev/null | grep -q yes ||
    stop "$gdb has no Python, which the helpers need (Debian: the package gdb, not gdb-minimal)"

mkdir -p "$build/gdb"
sockets=$(mktemp -d /tmp/sis-gdb.XXXXXX)
export SIS_GDB_SERIAL="$sockets/serial" SIS_GDB_SERIAL_LOG="$build/gdb/serial.log"
rm -f "$SIS_GDB_SERIAL_LOG"
python3 test/tools/qemu.py gdb "$sockets" >"$build/gdb/qemu.log" 2>&1 &
qemu=$!
# gdb ends QEMU itself, unless it detached or was killed.
# shellcheck disable=SC2064 (now is right: neither changes)
trap "kill $qemu 2>/dev/null || :; wait $qemu 2>/dev/null || :; rm -rf '$sockets'" EXIT
# ^C is gdb's: it stops the machine.
trap : INT
trap 'exit 143' TERM HUP

until [ -S "$sockets/gdb" ]; do
    kill -0 "$qemu" 2>/dev/null || stop "QEMU did not start: $(cat "$build/gdb/qemu.log")"
    sleep 0.05
done

if [ -n "${TMUX:-}" ] && command -v tmux >/dev/null; then
    tmux split-window -d -h python3 test/gdb/terminal.py "$SIS_GDB_SERIAL" && export SIS_GDB_TERMINAL=1
else
    echo "The serial line: \`sis console\` here; in another terminal: python3 test/gdb/terminal.py $SIS_GDB_SERIAL"
fi

entry="sis entry"
[ "${LOADER:-}" = "" ] || [ "$LOADER" = 0 ] || entry="sis entry loader"
# The arguments of whoever called us, in the shell's own quoting.
eval "set -- ${GDB_ARGS:-}"
status=0
"$gdb" -q -ex 'set confirm off' -ex 'source test/gdb/sis.py' -ex "target remote $sockets/gdb" -ex "$entry" "$@" "$build/kernel.elf" || status=$?
exit "$status"
