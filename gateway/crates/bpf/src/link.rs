use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use nix::libc;

/// Commands of bpf(2), `enum bpf_cmd` of `include/uapi/linux/bpf.h`.
const OBJECT_GET: libc::c_int = 7;
const LINK_DETACH: libc::c_int = 34;

/// `union bpf_attr` for [`OBJECT_GET`].
#[repr(C)]
struct ObjectGet {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// `union bpf_attr` for [`LINK_DETACH`].
#[repr(C)]
struct LinkDetach {
    link: u32,
}

/// Ends a pinned link at once (kernel 5.9). Removing its pin alone ends it when the kernel comes to it, and the hook
/// is taken until then.
pub(crate) fn detach(pin: &Path) -> io::Result<()> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let attributes = ObjectGet { path: path.as_ptr().addr() as u64, descriptor: 0, flags: 0 };
    let descriptor = bpf(OBJECT_GET, &attributes)?;
    // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
    let link = unsafe { OwnedFd::from_raw_fd(descriptor) };
    bpf(LINK_DETACH, &LinkDetach { link: link.as_raw_fd().cast_unsigned() }).map(drop)
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the attributes are those of the command, read with their own size; what they point to outlives the call.
    let outcome =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    match libc::c_int::try_from(outcome) {
        Ok(outcome) if outcome >= 0 => Ok(outcome),
        _ => Err(io::Error::last_os_error()),
    }
}
