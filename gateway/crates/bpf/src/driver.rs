use std::{ffi::CStr, net::UdpSocket, os::fd::AsRawFd};

use nix::libc;

/// `struct ethtool_drvinfo` of `include/uapi/linux/ethtool.h`.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

const _: () = assert!(size_of::<DriverInfo>() == 196);

const ETHTOOL_GDRVINFO: u32 = 3;

/// The driver of an interface in the thread's network namespace. (sysfs shows the namespace that it was mounted
/// in.) `None`: it does not say.
pub(crate) fn name(interface: &str) -> Option<String> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).or_else(|_| UdpSocket::bind(("::1", 0))).ok()?;
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    // SAFETY: all zeros is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // Cut by one, so that the last byte stays zero.
    let room = request.ifr_name.len() - 1;
    for (place, byte) in request.ifr_name.iter_mut().take(room).zip(interface.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // SAFETY: the request names a zero-terminated interface and points to a `DriverInfo` that outlives the call.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if outcome != 0 {
        return None;
    }
    let DriverInfo { driver, rest: _, command: _ } = &info;
    CStr::from_bytes_until_nul(driver).ok()?.to_str().ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_does_not_exist_has_no_driver() {
        assert_eq!(name("none-such-0"), None);
        assert_eq!(name(""), None);
    }
}
