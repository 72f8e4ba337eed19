use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Writes a file so that a reader sees the old content or the new, never a part: beside it, then renamed.
/// Makes the directories above it. Who may read it is the process's umask's to say.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    write_with_mode(path, content, 0o666)
}

/// [`write()`], for what only the service itself may read.
pub(crate) fn write_secret(path: &Path, content: &[u8]) -> io::Result<()> {
    write_with_mode(path, content, 0o600)
}

fn write_with_mode(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let name = format!(".{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let beside = directory.join(name);
    let created = fs::File::options().write(true).create(true).truncate(true).mode(mode).open(&beside);
    let written =
        created.and_then(|mut file| file.write_all(content)).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}
