#!/bin/sh
# lint.sh: the part of `make check` that reads Rust (and what is generated from it): the formatter, and clippy with warnings as errors for all three
# targets (host, kernel, loader). Where a compiler has no clippy, its own warnings become the errors.
set -eu
cargo=${0%/*}/toolchain.sh
shown() {
    echo "check: $*"
    "$cargo" "$@"
}

if "$cargo" lint host; then
    shown host fmt --check
    shown host clippy -q --lib --tests -- -D warnings
else
    echo 'check: neither formatter nor clippy for the host compiler; its own warnings instead'
    shown host rustc -q --lib --profile test -- -D warnings
fi

if "$cargo" lint bare; then
    shown bare clippy -q --lib --bin kernel --target x86_64-unknown-none -- -D warnings
    shown bare clippy -q --lib --bin loader --target x86_64-unknown-uefi -- -D warnings
else
    echo 'check: no clippy for the compiler of the bare targets; its own warnings instead'
    for target in x86_64-unknown-none x86_64-unknown-uefi; do
        shown bare rustc -q --lib --target "$target" -- -D warnings
    done
fi

python3 "${0%/*}/gendocs.py" --check
