//! `cargo xtask run`: the founding example, in a network of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction},
    unistd::Pid,
};

use crate::{build, ebpf, namespace, setup, step};

/// How to run the example.
#[derive(clap::Args)]
pub struct Arguments {
    /// Build with the release profile
    #[arg(long)]
    release: bool,
    /// Do not install anything that is missing
    #[arg(long)]
    no_setup: bool,
}

/// The backends of the example: name and port on the loopback that they share with the gateway.
const BACKENDS: [(&str, u16); 2] = [("tea-svc", 9101), ("coffee-svc", 9102)];

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn note_stop(_: nix::libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// Builds, starts, prints what to try, waits for Ctrl-C, cleans up.
pub fn run(arguments: &Arguments) -> Result<()> {
    let kernel = step::is_root();
    if !kernel {
        println!(
            "Not root: no namespace, and no limits in the kernel. The accept tier enforces them instead."
        );
    }
    if kernel && !arguments.no_setup {
        setup::run()?;
    }
    let gateway = if kernel && ebpf::missing().is_empty() {
        build::run(&build::Arguments { release: arguments.release })?.gateway
    } else {
        println!("Without the kernel half; `cargo xtask doctor` says what is missing.");
        build::user_half(arguments.release)?;
        step::target().join(if arguments.release { "release" } else { "debug" }).join("gateway")
    };
    step::run(
        step::cargo().args(["build", "--locked", "-p", "e2e", "--bin", "echo"]),
        "build the echo backends",
        "the compiler's message above says what is wrong",
    )?;
    catch_signals()?;
    let place = Place::new()?;
    let namespace = kernel.then(namespace::Namespace::new).transpose()?;
    let start = |program: &Path| match &namespace {
        Some(namespace) => namespace.enter(program),
        None => Command::new(program),
    };
    let mut children = Children(Vec::new());
    for (name, port) in BACKENDS {
        let mut echo = start(&step::target().join("debug/echo"));
        children.start(echo.args(["--name", name, "--listen", &format!("127.0.0.1:{port}")]))?;
    }
    let mut command = start(&gateway);
    command.arg("run");
    for (flag, path) in
        [("--config-dir", &place.config), ("--state-dir", &place.state), ("--runtime-dir", &place.runtime)]
    {
        command.arg(flag).arg(path);
    }
    children.start(&mut command)?;
    let host = if kernel { namespace::ADDRESS } else { "127.0.0.1" };
    print_what_to_try(host, &place, &gateway);
    children.wait()
}

fn print_what_to_try(host: &str, place: &Place, gateway: &Path) {
    let config = place.config.display();
    let runtime = place.runtime.display();
    let (inside, by_whom) = match host {
        namespace::ADDRESS => (format!("ip netns exec {} ", namespace::NAME), " by the kernel"),
        _ => (String::new(), ""),
    };
    println!(
        "
Try, from another terminal:

  curl http://{host}:8080/tea/EARLGREY
  curl http://{host}:8080/coffee/ESPRESSO
  curl --insecure https://{host}:8443/tea/EARLGREY
  curl -i http://{host}:8080/tea/earl-grey              # 404: the whole path must match

  # more connections than the policy allows: the sixth is refused{by_whom}
  for n in 1 2 3 4 5 6; do (exec 3<>/dev/tcp/{host}/8080 && sleep 5) & done; wait

  {gateway} status --runtime-dir {runtime}
  {inside}curl http://127.0.0.1:19000/metrics

Configuration: {config} (change or drop files; no restart needed). Ctrl-C ends it all.
",
        gateway = gateway.display(),
    );
}

/// The example's own directories.
struct Place {
    config: PathBuf,
    state: PathBuf,
    runtime: PathBuf,
    mounted: bool,
}

impl Place {
    /// Lays them out afresh: a copy of `config/`, a certificate, and a BPF file system where we may mount one.
    fn new() -> Result<Self> {
        let base = step::target().join("run");
        let place = Self {
            config: base.join("config"),
            state: base.join("state"),
            runtime: base.join("runtime"),
            mounted: step::is_root(),
        };
        // What an earlier run that was killed left mounted.
        let bpf = place.runtime.join("bpf");
        while bpf.exists() && umount2(&bpf, MntFlags::MNT_DETACH).is_ok() {}
        if base.exists() {
            fs::remove_dir_all(&base).with_context(|| format!("cannot empty {}", base.display()))?;
        }
        copy(&step::root().join("config"), &place.config)?;
        // A configuration of its own, for /etc/gateway.
        fs::remove_file(place.config.join("starter.yaml")).context("config/starter.yaml is missing")?;
        fs::create_dir_all(&place.state)?;
        fs::create_dir_all(&bpf)?;
        certificate(&place.config.join("secrets/default/eg-cert"))?;
        if place.mounted {
            mount(Some("bpf"), &bpf, Some("bpf"), MsFlags::empty(), None::<&str>)
                .context("cannot mount a BPF file system for pinned programs; is this root?")?;
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.mounted {
            let _ = umount2(&self.runtime.join("bpf"), MntFlags::MNT_DETACH);
        }
    }
}

/// A self-signed certificate for the example's HTTPS listener.
fn certificate(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let (key, certificate) = (directory.join("tls.key"), directory.join("tls.crt"));
    step::run(
        step::command("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "30", "-subj", "/CN=cafe.example.com"])
            .args(["-addext", "subjectAltName=DNS:cafe.example.com,DNS:*.cafe.example.com"])
            .arg("-keyout")
            .arg(key)
            .arg("-out")
            .arg(certificate),
        "give the HTTPS listener a certificate",
        "is openssl installed?",
    )
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn catch_signals() -> Result<()> {
    let action = SigAction::new(SigHandler::Handler(note_stop), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// What was started; the last one is the gateway, and its end is the end.
struct Children(Vec<Child>);

impl Children {
    fn start(&mut self, command: &mut Command) -> Result<()> {
        eprintln!("$ {}", step::printed(command));
        let child = command.spawn().with_context(|| format!("cannot start `{}`", step::printed(command)))?;
        self.0.push(child);
        Ok(())
    }

    fn wait(&mut self) -> Result<()> {
        let gateway = self.0.last_mut().context("nothing was started")?;
        let mut told = false;
        loop {
            if let Some(status) = gateway.try_wait()? {
                if !status.success() {
                    bail!("the gateway ended with {status}; its last lines above say why");
                }
                return Ok(());
            }
            if !told && STOP.load(Ordering::Relaxed) {
                told = true;
                // A terminal's Ctrl-C has reached it already; one signal more asks it to hurry.
                let _ = kill(Pid::from_raw(gateway.id().cast_signed()), Signal::SIGTERM);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
