#!/bin/sh
# toolchain.sh: decides which Rust builds what, and runs it. Nobody else in this tree starts cargo.
#
#   toolchain.sh                 decide (once; later calls find the answer in build/toolchain.env)
#   toolchain.sh bare ARGS...    cargo ARGS for x86_64-unknown-none and x86_64-unknown-uefi
#   toolchain.sh host ARGS...    cargo ARGS for this machine: unit tests, formatter, lints
#   toolchain.sh lint bare|host  sees to the formatter and clippy for one of them; status 1 where there are none
#   toolchain.sh show            what was decided, and why
#
# For the bare targets, the first of these that this machine has:
#   1. a toolchain with the libraries of both targets, from 1.85 on, as it is;
#   2. Debian's rustc-web, cargo-web, rust-web-src and lld, or else its rustc, cargo, rust-src and lld: these have the
#      sources of `core` but no built one, so cargo builds it (-Zbuild-std, which a release compiler only takes with
#      RUSTC_BOOTSTRAP=1; set for the bare targets only);
#   3. `rustup target add`.
# For the host the first of: $RUSTC, the rustc on PATH, rustup's others, the one for the bare targets.
#
# Crates are fetched once, checked against Cargo.lock; after that every call is offline and --locked.
set -eu

self=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/toolchain.sh
cd "${self%/test/tools/toolchain.sh}"
setup=test/tools/setup.sh
state=build/toolchain.env
minimum=85 # of 1.85: edition 2024
bare_targets='x86_64-unknown-none x86_64-unknown-uefi'
rustup_home=${RUSTUP_HOME:-${HOME:-/root}/.rustup}

stop() {
    echo "toolchain: $*" >&2
    exit 1
}

# ---- looking at a compiler ----

# The compiler itself, where `$1` may be rustup's stand-in for it.
real_rustc() {
    [ -x "$1" ] || return 1
    sysroot=$("$1" --print sysroot 2>/dev/null) || return 1
    if [ -x "$sysroot/bin/rustc" ]; then echo "$sysroot/bin/rustc"; else echo "$1"; fi
}

compilers() {
    for rustc in "${RUSTC:-}" "$(command -v rustc || :)" "$rustup_home"/toolchains/*/bin/rustc /usr/bin/rustc; do
        [ -z "$rustc" ] || real_rustc "$rustc" || :
    done | awk '!seen[$0]++'
}

new_enough() {
    "$1" --version 2>/dev/null | awk -F'[ .-]' -v m="$minimum" '{ exit !($2 > 1 || ($2 == 1 && $3 >= m)) }'
}

has_library() { # rustc, library, target
    for file in "$("$1" --print target-libdir --target "$3" 2>/dev/null)/lib$2"-*.rlib; do
        [ -e "$file" ] && return 0
    done
    return 1
}

has_bare() {
    for target in $bare_targets; do has_library "$1" core "$target" || return 1; done
}

has_sources() { [ -e "$("$1" --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" ]; }

# rustup's compilers bring a linker for bare targets, Debian's do not.
has_lld() {
    for file in "$("$1" --print sysroot)"/lib/rustlib/*/bin/rust-lld; do [ -x "$file" ] && return 0; done
    return 1
}

host_triple() { "$1" -vV | sed -n 's/^host: //p'; }

cargo_of() {
    [ ! -x "${1%/*}/cargo" ] || { echo "${1%/*}/cargo" && return 0; }
    command -v cargo || stop "no cargo beside $1 or on PATH"
}

version_of() { "$1" --version | cut -d' ' -f2; }

# ---- the decision ----

candidate() { # the version that apt would install, as "1.85.1+dfsg1", or nothing
    apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'
}

apt_has() {
    candidate "$1" | awk -F. -v m="$minimum" '{ ok = $1 > 1 || ($1 == 1 && $2 + 0 >= m) } END { exit !ok }'
}

# Prints the group of setup.sh that holds a new enough Rust, if apt offers one.
apt_group() {
    command -v apt-cache >/dev/null 2>&1 || return 1
    for group in rust-web:rustc-web rust:rustc; do
        if apt_has "${group#*:}"; then
            echo "${group%:*}"
            return 0
        fi
    done
    return 1
}

find_bare() {
    compilers | while read -r rustc; do
        if new_enough "$rustc" && has_bare "$rustc"; then echo "$rustc" && break; fi
    done
}

decide_bare() {
    rustc=$(find_bare)
    if [ -n "$rustc" ]; then
        why='it has the libraries of both bare targets'
        use_bare "$rustc" ''
        return 0
    fi
    # What apt would offer may be here already; otherwise ask it, with fresh lists if it knows of nothing.
    if [ -x /usr/bin/rustc ] && new_enough /usr/bin/rustc && has_sources /usr/bin/rustc; then
        "$setup" lld
        why='the system has it with the sources of core'
        use_bare /usr/bin/rustc "$build_std"
        return 0
    fi
    group=$(apt_group) || {
        ! command -v apt-cache >/dev/null 2>&1 || "$setup" update </dev/null || :
        group=$(apt_group) || group=''
    }
    if [ -n "$group" ] && "$setup" "$@" net "$group"; then
        why="apt offers it, with the sources of core"
        use_bare /usr/bin/rustc "$build_std"
        return 0
    fi
    line="rustup target add $bare_targets"
    if command -v rustup >/dev/null 2>&1; then
        echo "toolchain: $line"
        # shellcheck disable=SC2086
        if rustup target add $bare_targets; then
            rustc=$(real_rustc "$(command -v rustc)")
            if new_enough "$rustc" && has_bare "$rustc"; then
                why='rustup added the libraries of both bare targets'
                use_bare "$rustc" ''
                return 0
            fi
        fi
        stop "no Rust from 1.$minimum on for $bare_targets. Please run: rustup update stable && $line"
    fi
    stop "no Rust from 1.$minimum on for $bare_targets. Please install rustup (https://rustup.rs), then run: $line"
}

build_std='-Zbuild-std=core,alloc,compiler_builtins'

use_bare() {
    bare_rustc=$1
    bare_std=$2
    bare_cargo=$(cargo_of "$1")
    bare_lld=rust-lld
    has_lld "$1" || { bare_lld=system && "$setup" lld; }
}

find_host() {
    { compilers && echo "$bare_rustc"; } | while read -r rustc; do
        if new_enough "$rustc" && has_library "$rustc" std "$(host_triple "$rustc")"; then echo "$rustc" && break; fi
    done
}

decide_host() {
    host_rustc=$(find_host)
    [ -n "$host_rustc" ] || stop "no Rust from 1.$minimum on with a standard library for this machine"
    host_cargo=$(cargo_of "$host_rustc")
}

# What the decision rests on: as long as it reads the same, the decision holds.
key() {
    echo "${RUSTC:-}|${RUSTUP_TOOLCHAIN:-}|$(command -v rustc || :)|$(
        stat -L -c '%n %s %Y' "$self" "$rustup_home/settings.toml" "$@" 2>&1 | tr '\n' ';' | tr -d "'"
    )"
}

quoted() { printf "%s='%s'\n" "$1" "$(printf %s "$2" | sed "s/'/'\\\\''/g")"; }

decide() {
    if [ -e "$state" ]; then
        # shellcheck source=/dev/null
        . "./$state"
        [ "$decided" != "$(key "$bare_rustc" "$host_rustc")" ] || return 0
    fi
    mkdir -p build
    decide_bare "$@"
    "$setup" "$@"
    decide_host
    decided=$(key "$bare_rustc" "$host_rustc")
    {
        echo '# Made by test/tools/toolchain.sh; remade when it or the compilers change.'
        quoted bare_rustc "$bare_rustc"
        quoted bare_cargo "$bare_cargo"
        quoted bare_std "$bare_std"
        quoted bare_lld "$bare_lld"
        quoted host_rustc "$host_rustc"
        quoted host_cargo "$host_cargo"
        quoted why "$why"
        quoted decided "$decided"
    } >"$state.part"
    mv "$state.part" "$state"
    show
}

show() {
    echo "toolchain: Rust $(version_of "$bare_rustc") for the bare targets ($bare_rustc: $why)," \
        "$(version_of "$host_rustc") for the host${bare_std:+; core is built from source}"
}

# ---- running it ----

# With -Zbuild-std cargo wants the crates of the standard library too, used or not. In a subshell: for this alone,
# RUSTC_BOOTSTRAP is set whoever asked.
fetch() (
    export RUSTC="$bare_rustc"
    [ -z "$bare_std" ] || export RUSTC_BOOTSTRAP=1
    # No quotes around the two that may be empty.
    # shellcheck disable=SC2086,SC2046
    "$bare_cargo" fetch $bare_std $(printf -- '--target %s ' $bare_targets "$(host_triple "$host_rustc")") --locked "$@"
)

fetched() {
    [ -e Cargo.lock ] || return 0
    sum="$(cksum Cargo.lock) $decided"
    [ "$(cat build/fetched 2>/dev/null)" != "$sum" ] || return 0
    # Not in cargo's cache: over the network, once.
    fetch --offline -q 2>/dev/null || {
        "$setup" net
        echo 'toolchain: fetching the crates that Cargo.lock names'
        fetch -q || stop 'the crates of Cargo.lock are not on this machine and could not be fetched: try again online'
    }
    echo "$sum" >build/fetched
}

run() { # cargo, rustc, arguments
    cargo=$1
    export RUSTC="$2" CARGO="$1" RUSTDOC="${2%/*}/rustdoc"
    shift 2
    # Flags belong into .cargo/config.toml, and these would replace it.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTUP_TOOLCHAIN
    PATH=${cargo%/*}:$PATH
    fetched
    verb=$1
    shift
    case $verb in
    build | check | clippy | rustc | run | test)
        if [ -e Cargo.lock ]; then
            set -- --locked "$@"
            export CARGO_NET_OFFLINE=true
        fi
        ;;
    esac
    case $verb in
    # By its path: cargo would look in its home first, and rustup's stand-in there starts another compiler's.
    clippy | fmt) exec "${cargo%/*}/cargo-$verb" "$verb" "$@" ;;
    *) exec "$cargo" "$verb" "$@" ;;
    esac
}

lint() { # cargo
    if [ ! -x "${1%/*}/cargo-clippy" ] || [ ! -x "${1%/*}/cargo-fmt" ]; then
        if [ "${1%/*}" = /usr/bin ] && [ -e /var/lib/dpkg/info/rustc-web.list ]; then
            "$setup" lint-web
        elif [ "${1%/*}" = /usr/bin ] && [ -e /var/lib/dpkg/info/rustc.list ]; then
            "$setup" lint
        elif command -v rustup >/dev/null 2>&1; then
            sysroot=${1%/bin/cargo}
            rustup component add --toolchain "${sysroot##*/}" clippy rustfmt || return 1
        fi
    fi
    [ -x "${1%/*}/cargo-clippy" ] && [ -x "${1%/*}/cargo-fmt" ]
}

case ${1:-} in
bare)
    shift
    decide build
    if [ -n "$bare_std" ]; then
        export RUSTC_BOOTSTRAP=1
        case $1 in build | check | clippy | rustc) verb=$1 && shift && set -- "$verb" "$bare_std" "$@" ;; esac
    fi
    if [ "$bare_lld" = system ]; then
        export CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER=ld.lld CARGO_TARGET_X86_64_UNKNOWN_UEFI_LINKER=lld-link
    fi
    export CARGO_TARGET_DIR=build/target
    run "$bare_cargo" "$bare_rustc" "$@"
    ;;
host)
    shift
    decide build
    # A directory of its own: two compilers in one would each throw out what the other found out.
    export CARGO_TARGET_DIR=build/target/host
    run "$host_cargo" "$host_rustc" "$@"
    ;;
lint)
    decide build
    case ${2:-} in
    bare) lint "$bare_cargo" ;;
    host) lint "$host_cargo" ;;
    *) stop 'lint bare or lint host' ;;
    esac
    ;;
show)
    decide build
    show
    ;;
*)
    # The words are groups of setup.sh, so that all that is missing comes in one go.
    decide "${@:-build}"
    "$setup" "${@:-build}"
    ;;
esac
