use core::arch::asm;

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
