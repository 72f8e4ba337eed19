use core::{arch::asm, mem::MaybeUninit};

/// Adds to a number in a map, as other processors do at the same time. The compiler's BPF target has no
/// compare-and-swap and therefore offers no `fetch_add`; every kernel has this instruction.
///
/// # Safety
///
/// `number` points to 8 aligned bytes of a map's value.
#[inline(always)]
pub(crate) unsafe fn add(number: *mut i64, amount: i64) {
    // SAFETY: the instruction writes the 8 bytes at `number`, which the caller vouches for.
    unsafe {
        asm!("lock *(u64 *)({number} + 0) += {amount}", number = in(reg) number, amount = in(reg) amount)
    };
}

/// The same value, which the compiler knows nothing about any more. It would drop a bounds check that it can
/// prove, or compute the checked address a second time; the verifier follows neither.
#[inline(always)]
pub(crate) fn opaque(mut value: usize) -> usize {
    // SAFETY: moves a register to itself.
    unsafe { asm!("{0} = {0}", inout(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Copies a value word by word. The compiler would call a function that copies byte by byte.
///
/// # Safety
///
/// `to` may be written as a `T`.
#[inline(always)]
pub(crate) unsafe fn copy<T: Copy>(from: &T, to: *mut T) {
    const { assert!(align_of::<T>() == 8) };
    let (from, to) = ((&raw const *from).cast::<MaybeUninit<u64>>(), to.cast::<MaybeUninit<u64>>());
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: the word is a part of both values, and aligned as they are.
        unsafe { to.add(word).write_volatile(from.add(word).read_volatile()) };
    }
}
