# The SIS kernel. `make help` lists what can be asked for.
#
# Each target first sees to it that the programs it needs are there (test/tools/setup.sh), and every call of cargo goes
# through test/tools/toolchain.sh, which decides on the compiler. QEMU's command line is made by test/tools/qemu.py alone.
# Paths here are relative, so that a checkout under a path with spaces works.

MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:

TOOLS := test/tools
CARGO := $(TOOLS)/toolchain.sh

## The machine of `make run`, `make gdb` and the rest:
SMP ?= 2#           number of CPUs
MEM ?= 512M#        memory
CPU ?= max#         qemu64, Haswell-noTSX, EPYC, ...
MACHINE ?= q35#     or pc; options behind a comma: q35,hpet=off
ACCEL ?= auto#      kvm where the CPU has it and /dev/kvm opens, else tcg
ROOT ?=#            a root disk, seen as /dev/vda
GFX ?= none#        a window: gtk, sdl, vnc=:1, ...
DISK ?= virtio#     where the boot disk is: virtio, ahci or usb
FIRMWARE ?= auto#   OVMF: 4m or 2m
QEMU ?= qemu-system-x86_64#  the program
QEMU_ARGS ?=#       more arguments for it
##   CMDLINE=...                  replaces the kernel's command line, \cmdline.txt, for this run
##   DEBUG=1                      the unoptimised build with every check on, in build/debug/
##   LOADER=1                     `make gdb` stops in the loader first

# Unoptimised builds stand beside the others, so that going back and forth costs nothing.
ifeq ($(DEBUG),1)
BUILD := build/debug
PROFILE := dev
PROFILE_DIR := debug
else
BUILD := build
PROFILE := release
PROFILE_DIR := release
endif

# \cmdline.txt of the image itself: both consoles, the serial line last, and so the one that is spoken to.
ESP_CMDLINE := console=tty0 console=ttyS0

export BUILD DEBUG SMP MEM CPU MACHINE ACCEL ROOT GFX DISK FIRMWARE QEMU QEMU_ARGS LOADER
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: all run gdb test matrix cpus fuzz crash bench profile bochs check screenshot clean help FORCE
.DEFAULT_GOAL := all

## Targets:
all: $(BUILD)/kernel.elf $(BUILD)/kernel.stripped.elf $(BUILD)/BOOTX64.EFI $(BUILD)/esp.img ## plain `make`: the kernel, its loader and the disk image they boot from

run: all ## boot it in QEMU, serial line on this terminal
	@python3 $(TOOLS)/qemu.py run

gdb: all ## the same, stopped at the kernel's entry, gdb attached with symbols and helpers
	@test/gdb/run.sh

test: all ## host tests, then the kernel in QEMU, its matrices sampled pairwise
	@python3 test/run.py

matrix: all ## every combination of the matrices, release and debug build
	@python3 test/run.py --matrix

cpus: all ## machines with 64, 255 and 288 CPUs, which take their time
	@python3 test/run.py --cpus

fuzz: all ## the long fuzzers
	@python3 test/run.py --fuzz

crash: ## power cuts at every disk write
	@echo "make crash comes with the disk file system: there is nothing on a disk yet that a power cut could damage."

bench: all ## the benchmarks
	@python3 test/bench.py

profile: all ## where a row of the benchmarks spends its instructions, by function: BENCH=yield
	@python3 $(TOOLS)/profiler.py $(BENCH)

bochs: all ## boot it on Bochs, the second CPU model: BOCHS_CPU=tigerlake, ryzen, ...
	@python3 $(TOOLS)/bochs.py

check: build/toolchain.env ## formatting, lints with warnings as errors, layering, documents
	@$(TOOLS)/lint.sh
	@python3 test/check.py

screenshot: all ## take the README's picture of it running
	@python3 $(TOOLS)/screenshot.py

clean: ## remove build/
	rm -rf build

help: ## this list
	@awk '/^## / { print substr($$0, 4) } \
	    /^[A-Z_]+ \?=/ { split($$0, part, /# */); sub(/ \?= */, "=", part[1]); printf "  %-28s %s\n", part[1], part[2] } \
	    /^[a-z]+:.* ## / { split($$0, part, / ## /); sub(/:.*/, "", part[1]); printf "  make %-23s %s\n", part[1], part[2] }' Makefile

# ---- what the machine must have ----

# One call sees to everything that these goals need, so that a bare machine installs once.
GROUPS.run := run
GROUPS.gdb := run gdb
GROUPS.test := run test
GROUPS.matrix := run test
GROUPS.cpus := run test
GROUPS.fuzz := run test
GROUPS.bench := run
GROUPS.profile := run
GROUPS.bochs := run bochs
GROUPS.screenshot := run

build/toolchain.env: FORCE
	@$(CARGO) build $(sort $(foreach goal,$(MAKECMDGOALS),$(GROUPS.$(goal))))

# ---- the kernel and its loader ----

NONE := build/target/x86_64-unknown-none/$(PROFILE_DIR)
UEFI := build/target/x86_64-unknown-uefi/$(PROFILE_DIR)

# The first build is mostly that of `core`, twice; here both targets' are built side by side. It saves time and nothing
# depends on it: cargo would build what is missing below.
build/target/std-$(PROFILE): build/toolchain.env Cargo.lock
	@$(CARGO) bare build --profile $(PROFILE) --lib --target x86_64-unknown-none --target x86_64-unknown-uefi
	@touch $@

# cargo itself knows what is out of date; where nothing is, it leaves the file alone, and so do the rules below.
$(NONE)/kernel: FORCE | build/toolchain.env build/target/std-$(PROFILE)
	@$(CARGO) bare build --profile $(PROFILE) --bin kernel --target x86_64-unknown-none

# Behind the kernel, because cargo locks its directory.
$(UEFI)/loader.efi: FORCE | build/toolchain.env $(NONE)/kernel
	@$(CARGO) bare build --profile $(PROFILE) --bin loader --target x86_64-unknown-uefi

# The stripped copy is for the ESP: firmware's file reads are most of a boot.
$(BUILD)/kernel.elf $(BUILD)/kernel.stripped.elf &: $(NONE)/kernel $(TOOLS)/ksyms.py
	@mkdir -p $(BUILD)
	@python3 $(TOOLS)/ksyms.py $< $(BUILD)/kernel.elf --strip $(BUILD)/kernel.stripped.elf

$(BUILD)/BOOTX64.EFI: $(UEFI)/loader.efi
	@mkdir -p $(BUILD)
	@cp $< $@

# ---- the disk ----

# Debian's busybox and bash, with what they need around them. Empty where they cannot be had.
build/initramfs.img: $(TOOLS)/initramfs.py $(TOOLS)/cpio.py
	@python3 $(TOOLS)/initramfs.py -o $@

$(BUILD)/esp.img: $(BUILD)/kernel.elf $(BUILD)/kernel.stripped.elf $(BUILD)/BOOTX64.EFI build/initramfs.img $(TOOLS)/mkesp.py Makefile
	@if [ -s build/initramfs.img ]; then files=initramfs.img=build/initramfs.img; initrd='initrd=initramfs.img '; fi; \
	python3 $(TOOLS)/mkesp.py -o $@ EFI/BOOT/BOOTX64.EFI=$(BUILD)/BOOTX64.EFI \
	    kernel.elf=$(BUILD)/kernel.stripped.elf $$files "cmdline.txt=:$${initrd:-}$(ESP_CMDLINE)"
	@echo "$@ is ready"
