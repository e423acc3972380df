//! Memory as the processor sees it: hints of what will be read.
//!
//! Invariant: everything here is safe to call with any argument; what is `unsafe` says above it why it may be done.

#![allow(unsafe_code)]

/// Asks for the cache line that `place` begins in, which is going to be read soon; nothing waits for it.
///
/// A batch of queries asks for all its lines first and then reads them, so that it waits for memory once and not once a
/// query. Where there is no such instruction it does nothing.
#[inline]
pub(super) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing architecturally and never faults, and SSE is part of x86_64; besides, the
    // address is that of a live reference.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: PRFM is a hint that reads nothing architecturally and never faults; it touches no register or flag.
    unsafe {
        core::arch::asm!(
            "prfm pldl1keep, [{place}]",
            place = in(reg) std::ptr::from_ref(place),
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}

/// As [`prefetch`], for an element of a slice; an index past the end asks for nothing.
#[inline]
pub(super) fn prefetch_at<T>(slice: &[T], index: usize) {
    if let Some(place) = slice.get(index) {
        prefetch(place);
    }
}
