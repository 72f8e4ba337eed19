//! The programs, as thin as they can be: what is decided, and what is answered, is in `ebpf_common`.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod context;
mod handshake;
mod header;
mod maps;
mod sockops;
mod tc;
mod xdp;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses a program that could get here, and the loop is what makes it.
    loop {}
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 11] = *b"Apache-2.0\0";
