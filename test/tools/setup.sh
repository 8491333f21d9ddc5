#!/bin/sh
# setup.sh GROUP...: makes sure that the programs a make target needs are there.
#
# The Makefile and toolchain.sh call it before every build, run and test, so the way through with nothing missing is
# only a few look-ups in PATH. On Debian 12 or newer it installs what is missing (as root, or through sudo) and says
# so; elsewhere, or without the right to install, it names the packages and stops.
#
#   build     assembler, linker for host programs, Python, c++filt     run     QEMU and OVMF
#   test      mtools, gdb, file-system checkers, cpio                  gdb     gdb, tmux
#   bochs     Bochs and the 2 MiB OVMF it needs                        net     certificates, to fetch crates
#   rust-web  Debian's newest Rust for both bare targets               rust    Debian 13's own, likewise
#   lint-web, lint    the formatter and clippy that go with these       update  fresh package lists
set -eu

cd "${0%/*}/../.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
dpkg=/var/lib/dpkg/info
missing=''
update=no

have() { command -v "$1" >/dev/null 2>&1; }

# need PACKAGE COMMAND-OR-FILE...: PACKAGE is missing where one of the others is not found.
need() {
    package=$1
    shift
    for wanted; do
        case $wanted in
        /*) [ -e "$wanted" ] && continue ;;
        *) have "$wanted" && continue ;;
        esac
        case " $missing " in *" $package "*) ;; *) missing="$missing $package" ;; esac
        return 0
    done
}

group() {
    case $1 in
    build)
        need gcc gcc
        need libc6-dev /usr/include/stdio.h
        need binutils c++filt as
        need make make
        need python3 python3
        ;;
    net) # a distribution keeps its certificates in one of these
        [ -e /etc/ssl/cert.pem ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] ||
            need ca-certificates /etc/ssl/certs/ca-certificates.crt
        ;;
    run)
        # A QEMU that was named is the caller's own.
        case ${QEMU:-qemu-system-x86_64} in qemu-system-x86_64) need qemu-system-x86 qemu-system-x86_64 ;; esac
        [ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || [ -e /usr/share/OVMF/OVMF_CODE.fd ] ||
            python3 test/tools/qemu.py firmware >/dev/null 2>&1 || need ovmf /usr/share/OVMF/OVMF_CODE_4M.fd
        ;;
    gdb)
        need gdb gdb
        need tmux tmux
        ;;
    test)
        need mtools mcopy
        need gdb gdb
        need dosfstools fsck.vfat
        need gdisk sgdisk
        need cpio cpio
        need libarchive-tools bsdcpio
        ;;
    bochs)
        need bochs bochs
        need bochs-term /usr/lib/*/bochs/plugins/libbx_term_gui.so
        need bochsbios /usr/share/bochs/BIOS-bochs-latest
        need vgabios /usr/share/vgabios/vgabios.bin
        need ovmf /usr/share/ovmf/OVMF.fd
        ;;
    rust-web)
        # By package and not by program: Debian's plain rustc, too old in Debian 12, has the same program names.
        need rustc-web "$dpkg/rustc-web.list"
        need cargo-web "$dpkg/cargo-web.list"
        need rust-web-src "$dpkg/rust-web-src.list"
        need lld ld.lld lld-link
        ;;
    rust)
        need rustc "$dpkg/rustc.list"
        need cargo "$dpkg/cargo.list"
        need rust-src "$dpkg/rust-src.list"
        need lld ld.lld lld-link
        ;;
    lld) need lld ld.lld lld-link ;;
    update) update=yes ;;
    lint-web)
        need rust-web-clippy /usr/bin/cargo-clippy
        need rustfmt-web /usr/bin/cargo-fmt
        ;;
    lint)
        need rust-clippy /usr/bin/cargo-clippy
        need rustfmt /usr/bin/cargo-fmt
        ;;
    *)
        echo "setup.sh: no group '$1'" >&2
        exit 2
        ;;
    esac
}

for name; do group "$name"; done

# Debian 12 or newer; testing and unstable have no VERSION_ID.
debian() {
    [ -r /etc/os-release ] || return 1
    (. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-99}" -ge 12 ]) 2>/dev/null
}

# Runs its arguments as root: directly, or by sudo, which may ask on a terminal but must not wait where there is none.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# What apt has to say goes into a log, and to the terminal only where it fails.
log=build/setup.log
logged() {
    mkdir -p build
    "$@" >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        return 1
    }
}

# --no-remove: nothing that somebody chose to have is thrown out for our sake.
apt_install() {
    logged as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# At most one in an hour, across the calls that one make may need.
apt_update() {
    stamp=build/setup.updated
    [ -z "$(find "$stamp" -mmin -60 2>/dev/null)" ] || return 0
    echo "setup: apt-get update"
    logged as_root apt-get update -q -o DPkg::Lock::Timeout=300 && touch "$stamp"
}

stop() {
    echo "setup: $1" >&2
    exit 1
}

if [ "$update" = yes ] && debian; then apt_update || :; fi

# Debian 12's backports hold a QEMU with x2APIC and more than 255 CPUs. With its name in `backports`, that archive is
# among apt's sources; where it cannot be, the status says so.
backports=bookworm-backports
add_backports() {
    (. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ]) 2>/dev/null || return 1
    sources=/etc/apt/sources.list
    mirror=$(cat "$sources" "$sources".d/*.list "$sources".d/*.sources 2>/dev/null |
        sed -n 's/^URIs: *\([^ ]*debian\/*\) *$/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*debian\/*\) .*/\2/p' |
        head -n 1)
    [ -n "$mirror" ] || return 1
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || return 1
    list=/etc/apt/sources.list.d/sis-backports.list
    [ ! -e "$list" ] || return 0
    echo "setup: adding $backports from $mirror for a newer QEMU ($list)"
    echo "deb $mirror $backports main" | as_root tee "$list" >/dev/null
    logged as_root apt-get update -q -o DPkg::Lock::Timeout=300 || {
        as_root rm -f "$list"
        return 1
    }
}

install_backported_qemu() {
    apt_install -t "$backports" qemu-system-x86 qemu-system-common qemu-system-data
}

if [ -n "$missing" ]; then
    line="apt-get install --no-install-recommends$missing"
    debian || ! command -v apt-get >/dev/null 2>&1 || stop "missing:$missing. As root: $line"
    debian || stop "please install what these Debian packages hold, then try again:$missing"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1 || stop "missing:$missing. As root: $line"
    echo "setup: not here yet, installing:$missing"
    start=$(date +%s)
    apt_update || stop "apt-get update failed. As root: $line"
    # Programs of QEMU's that are here from backports already (qemu-img, say) would have to go for Debian 12's own QEMU.
    case " $missing " in *' qemu-system-x86 '*)
        if dpkg-query -W -f '${Version}\n' 'qemu-*' 2>/dev/null | grep -q 'bpo12' && add_backports && install_backported_qemu; then
            missing=$(echo "$missing" | sed 's/ qemu-system-x86\b//')
        fi
        ;;
    esac
    # Word splitting is wanted: a list of package names.
    # shellcheck disable=SC2086
    apt_install $missing || stop "could not install:$missing. As root: $line"
    echo "setup: installed in $(($(date +%s) - start)) s"
fi

# In CI, or with QEMU10=1, the newer QEMU. A bonus: without it the tests that need it are skipped, so nothing here may fail.
newer_qemu() {
    dpkg-query -W -f '${Version}' qemu-system-x86 2>/dev/null | grep -q '^1:7\.' || return 0
    add_backports || return 0
    install_backported_qemu || echo "setup: no newer QEMU from $backports; going on with the one that is here"
}

case " $* " in
*' test '*) if [ "${CI:-}" = true ] || [ "${QEMU10:-}" = 1 ]; then newer_qemu; fi ;;
esac
