//! Assembles `asm/*.S` and hands the linker its script.
//!
//! Numbers that assembly needs (structure offsets, selectors, addresses) are computed here from the Rust
//! definitions themselves: the files below are compiled into this build script as well as into the kernel,
//! and each lists what it exports as `ASM`. The result is one header, `offsets.h`, which every `.S` file
//! includes, so that no number is written twice and none can go stale.
//!
//! The vDSO (`asm/vdso`), which is code for ring 3, is linked on its own and goes into the kernel as bytes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

// Only the constants are of use here; the rest of these files is for the kernel.
#[allow(dead_code)]
#[path = "src/arch/x86_64/ap/entry.rs"]
mod ap;
#[allow(dead_code)]
#[path = "src/arch/x86_64/frame.rs"]
mod frame;
#[allow(dead_code)]
#[path = "src/boot/layout.rs"]
mod layout;
#[allow(dead_code)]
#[path = "src/arch/x86_64/msr/numbers.rs"]
mod msr;
#[allow(dead_code)]
#[path = "src/arch/x86_64/patch/kinds.rs"]
mod patch;
#[allow(dead_code)]
#[path = "src/arch/x86_64/percpu/area.rs"]
mod percpu;
#[allow(dead_code)]
#[path = "src/arch/x86_64/selectors.rs"]
mod selectors;
#[allow(dead_code)]
#[path = "src/arch/x86_64/stacks/sizes.rs"]
mod stacks;
#[allow(dead_code)]
#[path = "src/time/page.rs"]
mod time_page;

const EXPORTS: &[(&str, &[(&str, u64)])] = &[
    ("src/boot/layout.rs", layout::ASM),
    ("src/arch/x86_64/ap/entry.rs", ap::ASM),
    ("src/arch/x86_64/frame.rs", frame::ASM),
    ("src/arch/x86_64/msr/numbers.rs", msr::ASM),
    ("src/arch/x86_64/patch/kinds.rs", patch::ASM),
    ("src/arch/x86_64/percpu/area.rs", percpu::ASM),
    ("src/arch/x86_64/selectors.rs", selectors::ASM),
    ("src/arch/x86_64/stacks/sizes.rs", stacks::ASM),
    ("src/time/page.rs", time_page::ASM),
];

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for path in ["build.rs", "asm", "linker"] {
        println!("cargo:rerun-if-changed={path}");
    }
    for (path, _) in EXPORTS {
        println!("cargo:rerun-if-changed={path}");
    }
    // The loader is a PE image of pure Rust. Host tests run the library without the assembly and the linker script, but
    // they do call the vDSO.
    let target = env::var("CARGO_CFG_TARGET_OS").expect("cargo sets it");
    if target == "uefi" {
        return;
    }
    fs::write(out.join("offsets.h"), offsets_header()).expect("offsets.h in OUT_DIR");
    link_vdso(&root, &out);
    if target != "none" {
        return;
    }

    let mut sources: Vec<PathBuf> = fs::read_dir(root.join("asm"))
        .expect("asm/ exists")
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "S"))
        .collect();
    // Link order is part of the image: the exception table relies on it (linker/kernel.ld).
    sources.sort();
    let mut assembler = cc::Build::new();
    assembler.files(&sources).include(&out).include(root.join("asm")).debug(true).no_default_flags(true);
    // The compiler's own flags (code model, frame pointers) say nothing to an assembler.
    assembler.inherit_rustflags(false);
    assembler.flag("-m64").flag("-g").flag("-c").flag("-Wa,--fatal-warnings").flag("-Wa,--noexecstack");
    // Debug information names the files as `asm/x.S` wherever the checkout stands.
    assembler.flag(format!("-fdebug-prefix-map={}/=", root.display()));
    assembler.flag(format!("-fdebug-prefix-map={}/=", out.display()));
    if env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_some() {
        assembler.define("DEBUG_ASSERTIONS", "1");
    }
    assembler.cargo_metadata(true).compile("sis_asm");

    let script = root.join("linker/kernel.ld");
    println!("cargo:rustc-link-arg-bin=kernel=--script={}", script.display());
    for (name, value) in EXPORTS.iter().flat_map(|(_, table)| table.iter()) {
        if matches!(*name, "KERNEL_BASE" | "KERNEL_MAX_SIZE" | "PAGE_SIZE") {
            println!("cargo:rustc-link-arg-bin=kernel=--defsym={name}={value:#x}");
        }
    }
    for arg in ["--gc-sections", "-z", "max-page-size=0x1000", "--build-id=none", "--no-eh-frame-hdr"] {
        println!("cargo:rustc-link-arg-bin=kernel={arg}");
    }
}

/// Makes `vdso.so`: a shared object of its own, with nothing of the kernel's in it.
fn link_vdso(root: &Path, out: &Path) {
    let mut compiler = cc::Build::new();
    compiler.no_default_flags(true).inherit_rustflags(false).cargo_metadata(false);
    let mut link = compiler.get_compiler().to_command();
    link.args(["-m64", "-shared", "-nostdlib", "-Wa,--fatal-warnings", "-Wl,--fatal-warnings"]);
    link.args([
        "-Wl,-soname,linux-vdso.so.1",
        "-Wl,--hash-style=both",
        "-Wl,--eh-frame-hdr",
        "-Wl,--build-id=none",
    ]);
    link.args([
        "-Wl,-z,noexecstack",
        "-Wl,-z,max-page-size=4096",
        "-Wl,--no-undefined",
        "-Wl,-Bsymbolic",
        "-Wl,-s",
    ]);
    link.arg("-I").arg(out).arg("-Wl,-T").arg(root.join("linker/vdso.ld"));
    link.arg("-o").arg(out.join("vdso.so")).arg(root.join("asm/vdso/vdso.S"));
    let status = link.status().expect("the C compiler can be run");
    assert!(status.success(), "linking the vDSO: {link:?}");
}

/// One `#define` a constant, under the file that it comes from.
fn offsets_header() -> String {
    let mut text = String::from("/* Made by build.rs from the Rust definitions. */\n");
    for (path, table) in EXPORTS {
        let _ = writeln!(text, "\n/* {path} */");
        for (name, value) in *table {
            let _ = writeln!(text, "#define {name} {value:#x}");
        }
    }
    text
}
