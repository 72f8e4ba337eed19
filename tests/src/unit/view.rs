use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use super::{Launch, service::Service};

/// Enters a view of the file system as the unit has it: everything read-only but the service's own directories, of
/// `/proc` what is about the service's processes, and the program where the unit has it installed. Returns that path.
pub(super) fn enter(service: &Service, launch: &Launch) -> Result<PathBuf> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot have a view of the file system of its own")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
    let installed = install(service, launch).context("cannot put the program where the unit has it")?;
    for directory in &launch.own {
        bind(directory, directory)?;
    }
    launch.hidden.iter().try_for_each(|path| hide(path))?;
    if let Some(options) = proc_options(service) {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("proc"), "/proc", Some("proc"), flags, Some(&*options)).context("cannot narrow /proc")?;
    }
    if service.last("ProtectSystem") == Some("strict") {
        // All of it, control groups and kernel tunables included.
        set_read_only(Path::new("/"), true).context("cannot make the file system read-only")?;
        for directory in &launch.own {
            set_read_only(directory, false).context("cannot leave a directory writable")?;
        }
    }
    Ok(installed)
}

/// Lets the program appear at the unit's `ExecStart=`, and its BPF programs beside it: the user may not reach the
/// directory that it was built in, and so it is looked for where it would be.
fn install(service: &Service, launch: &Launch) -> Result<PathBuf> {
    let started = service.words("ExecStart").next().context("the unit starts nothing")?;
    let installed = PathBuf::from(started);
    let directory = installed.parent().context("the unit starts no absolute path")?;
    let base = directory.parent().unwrap_or(directory);
    // Held open: what is mounted next may cover where they are.
    let program = File::open(&launch.program)
        .with_context(|| format!("cannot open {}: was it built?", launch.program.display()))?;
    let objects = File::open(launch.program.with_file_name("bpf")).ok();
    mount(Some("installed"), base, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))?;
    fs::create_dir_all(directory)?;
    fs::write(&installed, "")?;
    bind(&opened(&program), &installed)?;
    if let Some(objects) = objects {
        let place = base.join("lib/gateway");
        fs::create_dir_all(&place)?;
        bind(&opened(&objects), &place)?;
    }
    Ok(installed)
}

/// Unmounts what is mounted there, also twice; covers what is not.
fn hide(path: &Path) -> Result<()> {
    let mut mounts = 0;
    while umount2(path, MntFlags::MNT_DETACH).is_ok() {
        mounts += 1;
    }
    if mounts == 0 {
        mount(Some("hidden"), path, Some("tmpfs"), MsFlags::empty(), Some("mode=0755"))
            .with_context(|| format!("cannot hide {}", path.display()))?;
    }
    Ok(())
}

/// A path to an open file, whatever covers its own.
fn opened(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// `ProtectProc=` and `ProcSubset=` (kernel 5.8).
fn proc_options(service: &Service) -> Option<String> {
    let hidden = service.last("ProtectProc").filter(|value| *value != "default");
    let subset = service.last("ProcSubset").filter(|value| *value != "all");
    let options =
        [hidden.map(|value| format!("hidepid={value}")), subset.map(|value| format!("subset={value}"))];
    let options: Vec<String> = options.into_iter().flatten().collect();
    (!options.is_empty()).then(|| options.join(","))
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .with_context(|| format!("cannot bind {} to {}", from.display(), to.display()))
}

/// A mount and all below it (mount_setattr(2), kernel 5.12).
fn set_read_only(path: &Path, on: bool) -> io::Result<()> {
    let flag = libc::MOUNT_ATTR_RDONLY;
    let (attr_set, attr_clr) = if on { (flag, 0) } else { (0, flag) };
    let attributes = libc::mount_attr { attr_set, attr_clr, propagation: 0, userns_fd: 0 };
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is zero-terminated, and the attributes are read with their own size.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
