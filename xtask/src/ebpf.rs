//! The kernel half: its compiler, its linker, and its build. The workspace's own toolchain is a stable one and
//! cannot compile for BPF, so a second compiler is used, with the source of its `core`: Debian's `rustc-web`
//! with `rust-web-src`, or a nightly with `rust-src`. Nothing here touches the user half's build.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{setup, step};

/// The linker's version; its LLVM is chosen to be that of the compiler.
const LINKER_VERSION: &str = "0.13.0";

/// The one object file that holds every program, as `gateway` looks for it.
const OBJECT: &str = "gateway.bpf.o";

/// The binary of `ebpf/programs`.
const BINARY: &str = "gateway-ebpf";

/// The target that has the host's byte order.
const TARGET: &str = if cfg!(target_endian = "little") { "bpfel-unknown-none" } else { "bpfeb-unknown-none" };

/// What changes a build and is no business of ours.
const FOREIGN: [&str; 8] = [
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_TARGET_DIR",
    "RUSTC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// A compiler that can build `core` for BPF.
struct Compiler {
    rustc: PathBuf,
    /// Major version; BPF linkers read the bitcode of their own LLVM's version and older.
    llvm: u32,
}

/// Installs what the kernel half's build lacks.
pub fn setup() -> Result<()> {
    if compiler().is_none() {
        setup::packages(["rustc-web", "rust-web-src"]).context(NO_COMPILER)?;
    }
    let compiler = compiler().context(NO_COMPILER)?;
    if linker(&compiler).is_file() { Ok(()) } else { build_linker(&compiler) }
}

const NO_COMPILER: &str = "no compiler for BPF: install Debian's rustc-web and rust-web-src, or run \
     `rustup toolchain install nightly --component rust-src`";

/// What the kernel half's build lacks, each with its remedy.
pub fn missing() -> Vec<String> {
    let Some(compiler) = compiler() else { return vec![NO_COMPILER.to_owned()] };
    if linker(&compiler).is_file() {
        return Vec::new();
    }
    let llvm = compiler.llvm;
    let mut missing = Vec::new();
    if llvm_prefix(llvm).is_none() {
        missing.push(format!(
            "the headers and libraries of LLVM {llvm}, which the BPF linker is built with: {}, or what your \
             distribution calls them",
            llvm_packages(llvm).join(" "),
        ));
    }
    missing.push(format!("bpf-linker {LINKER_VERSION} for LLVM {llvm}: `cargo xtask setup` builds it"));
    missing
}

/// Builds the programs; the path of the object file.
pub fn build() -> Result<PathBuf> {
    let compiler = compiler().context(NO_COMPILER)?;
    let linker = linker(&compiler);
    if !linker.is_file() {
        bail!("no BPF linker at {}; `cargo xtask setup` builds it", linker.display());
    }
    let products = step::target().join("bpf");
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        // Line numbers in what the verifier says, and the map definitions that need types.
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
    ];
    let mut cargo = own(step::cargo());
    cargo
        .current_dir(step::root().join("ebpf/programs"))
        .args(["build", "--locked", "--release", "-Z", "build-std=core", "--target", TARGET])
        .arg("--target-dir")
        .arg(&products)
        .arg("--config")
        .arg(format!("target.{TARGET}.rustflags={flags:?}"))
        .arg("--config")
        .arg(format!("target.{TARGET}.linker={linker:?}"))
        // Its language features are stable but for inline assembly of this architecture and building `core`.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTC", &compiler.rustc);
    step::run(&mut cargo, "build the BPF programs", "the compiler's message above says what is wrong")?;
    let object = products.join(OBJECT);
    let built = products.join(TARGET).join("release").join(BINARY);
    fs::copy(&built, &object).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(object)
}

/// The first compiler that has the source of its library: Debian's, then a nightly.
fn compiler() -> Option<Compiler> {
    let debian = Path::new("/usr/bin/rustc").to_owned();
    let nightly = || step::output(step::command("rustup").args(["which", "--toolchain", "nightly", "rustc"]));
    Compiler::at(debian).or_else(|| Compiler::at(nightly()?.trim().into()))
}

impl Compiler {
    fn at(rustc: PathBuf) -> Option<Self> {
        let ask = |question: &[&str]| step::output(own(Command::new(&rustc)).args(question));
        let sysroot = ask(&["--print", "sysroot"])?;
        let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/Cargo.lock");
        let version = ask(&["-vV"])?;
        let llvm = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
        let llvm = llvm.split('.').next()?.parse().ok()?;
        source.is_file().then_some(Self { rustc, llvm })
    }
}

/// Without what the environment says about somebody else's build. Empty wrappers win over configured ones.
fn own(mut command: Command) -> Command {
    for name in FOREIGN {
        command.env_remove(name);
    }
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    command
}

/// The path changes only with what the linker is: another path would rebuild `core`.
fn linker(compiler: &Compiler) -> PathBuf {
    tools(compiler).join("bin/bpf-linker")
}

fn tools(compiler: &Compiler) -> PathBuf {
    step::target().join(format!("tools/bpf-linker-{LINKER_VERSION}-llvm-{}", compiler.llvm))
}

/// Builds it from the crate registry, about two minutes of one core.
fn build_linker(compiler: &Compiler) -> Result<()> {
    let llvm = compiler.llvm;
    if llvm_prefix(llvm).is_none() {
        setup::packages(llvm_packages(llvm).iter().map(String::as_str).filter(|name| !is_installed(name)))?;
    }
    let prefix = llvm_prefix(llvm).with_context(|| {
        format!(
            "no LLVM {llvm} with headers: looked for llvm-config-{llvm}, llvm-config and /usr/lib/llvm-{llvm}"
        )
    })?;
    let tools = tools(compiler);
    let scratch = tools.join("build");
    let mut cargo = own(step::cargo());
    cargo
        .args(["install", "bpf-linker", "--locked", "--version", &format!("={LINKER_VERSION}")])
        .args(["--no-default-features", "--features", &format!("llvm-{llvm}"), "--root"])
        .arg(&tools)
        .arg("--target-dir")
        .arg(&scratch)
        .env("LLVM_PREFIX", prefix)
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    step::run(
        &mut cargo,
        "link BPF programs",
        "is the crate registry reachable, and a C++ compiler installed?",
    )?;
    fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))
}

fn llvm_packages(llvm: u32) -> Vec<String> {
    let versioned = [format!("llvm-{llvm}-dev"), format!("libpolly-{llvm}-dev")];
    let plain = ["zlib1g-dev", "libzstd-dev", "libxml2-dev", "libffi-dev", "g++"].map(str::to_owned);
    versioned.into_iter().chain(plain).collect()
}

fn is_installed(package: &str) -> bool {
    let mut query = step::command("dpkg-query");
    let status = step::output(query.args(["--show", "--showformat", "${Status}", package]));
    status.is_some_and(|status| status.ends_with("ok installed"))
}

/// Where an LLVM of exactly that major version is installed, headers included.
fn llvm_prefix(llvm: u32) -> Option<PathBuf> {
    let configured = |program: &str| {
        let version = step::output(step::command(program).arg("--version"))?;
        let prefix = step::output(step::command(program).arg("--prefix"))?;
        version.starts_with(&format!("{llvm}.")).then(|| PathBuf::from(prefix.trim()))
    };
    configured(&format!("llvm-config-{llvm}"))
        .or_else(|| configured("llvm-config"))
        .or_else(|| Some(format!("/usr/lib/llvm-{llvm}").into()))
        .filter(|prefix| prefix.join("include/llvm-c").is_dir())
}
