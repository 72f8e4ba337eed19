//! The calls of bpf(2) that aya has no safe face for: ending a link, and maps whose layout is not known when this is
//! compiled.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use aya::maps::MapInfo;
use nix::libc;

/// `enum bpf_cmd` of `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Command {
    Lookup = 1,
    Delete = 3,
    NextKey = 4,
    ObjectGet = 7,
    LinkDetach = 34,
}

/// `union bpf_attr` for [`Command::ObjectGet`].
#[repr(C)]
struct ObjectGet {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// `union bpf_attr` for [`Command::LinkDetach`].
#[repr(C)]
struct LinkDetach {
    link: u32,
}

/// `union bpf_attr` for what is done with rows. `value` is the next key for [`Command::NextKey`].
#[repr(C)]
struct Row {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Ends a pinned link at once (kernel 5.9). Removing its pin alone ends it when the kernel comes to it, and the hook
/// is taken until then.
pub(crate) fn detach(pin: &Path) -> io::Result<()> {
    let link = open(pin)?;
    bpf(Command::LinkDetach, &LinkDetach { link: link.as_raw_fd().cast_unsigned() }).map(drop)
}

/// What is pinned there.
fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let attributes = ObjectGet { path: path.as_ptr().expose_provenance() as u64, descriptor: 0, flags: 0 };
    let descriptor = bpf(Command::ObjectGet, &attributes)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A pinned map of any layout, not per processor.
#[derive(Debug)]
pub(crate) struct RawMap {
    descriptor: OwnedFd,
    key: usize,
    value: usize,
}

impl RawMap {
    /// Opens it; `None` where there is no map, or its keys and values have other sizes than these (the value's at
    /// least).
    pub(crate) fn open(pin: &Path, key: usize, value_at_least: usize) -> Option<Self> {
        let info = MapInfo::from_pin(pin).ok()?;
        let value = info.value_size() as usize;
        let fits = info.key_size() as usize == key && value >= value_at_least;
        Some(Self { descriptor: open(pin).ok()?, key, value }).filter(|_| fits)
    }

    /// Likewise, whatever the sizes are.
    pub(crate) fn any(pin: &Path) -> Option<Self> {
        let key = MapInfo::from_pin(pin).ok()?.key_size() as usize;
        Self::open(pin, key, 0)
    }

    /// Every row; those that come or go meanwhile perhaps not.
    pub(crate) fn rows(&self) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut rows = Vec::new();
        for key in self.keys()? {
            let mut value = vec![0; self.value];
            match self.call(Command::Lookup, Some(&key), value.as_mut_ptr()) {
                Ok(()) => rows.push((key, value)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(rows)
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> io::Result<usize> {
        let (mut count, mut key) = (0, None);
        while let Some(next) = self.next(key.as_deref())? {
            count += 1;
            key = Some(next);
        }
        Ok(count)
    }

    /// Removes every row.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for key in self.keys()? {
            match self.call(Command::Delete, Some(&key), std::ptr::null_mut()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        while let Some(next) = self.next(keys.last().map(Vec::as_slice))? {
            keys.push(next);
        }
        Ok(keys)
    }

    fn next(&self, key: Option<&[u8]>) -> io::Result<Option<Vec<u8>>> {
        let mut next = vec![0; self.key];
        match self.call(Command::NextKey, key, next.as_mut_ptr()) {
            Ok(()) => Ok(Some(next)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `value`: null, or as much as the command writes.
    fn call(&self, command: Command, key: Option<&[u8]>, value: *mut u8) -> io::Result<()> {
        let row = Row {
            map: self.descriptor.as_raw_fd().cast_unsigned(),
            padding: 0,
            key: key.map_or(0, |key| key.as_ptr().expose_provenance() as u64),
            value: value.expose_provenance() as u64,
            flags: 0,
        };
        bpf(command, &row).map(drop)
    }
}

fn bpf<T>(command: Command, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the attributes are those of the command, read with their own size; what they point to outlives the call
    // and has the sizes that the map has.
    let outcome = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_int, std::ptr::from_ref(attributes), size_of::<T>())
    };
    match libc::c_int::try_from(outcome) {
        Ok(outcome) if outcome >= 0 => Ok(outcome),
        _ => Err(io::Error::last_os_error()),
    }
}
