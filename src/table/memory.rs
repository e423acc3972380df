//! Memory that tables lie in, on the heap or mapped from a file, and hints of what will be read of it.
//!
//! A table is a few arrays of plain elements that never change once they are built. An [`Array`] is a window of a
//! [`Memory`]: of pages of its own when it was built here, of a whole file when it was compiled before. A lookup sees a
//! slice either way.
//!
//! Lookups in a large table miss the TLB as well as the cache. Large memory is therefore aligned to huge pages and
//! offered to the kernel for them, where `/sys/kernel/mm/transparent_hugepage/enabled` is `madvise` or `always`.
//!
//! Invariant: a `Memory` has one address and one length for as long as it lives, all its bytes are initialised, and
//! while a second window of it may exist nobody here writes to it. A mapped file can be changed by other programs all
//! the same: elements are plain bytes of which every pattern is valid, so whoever does that gets wrong answers and no
//! undefined values. Cutting such a file short is the one thing that it must not do; docs/operations.md says so.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fs::File;
use std::io::{self, Read};
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;
use std::{fmt, slice};

use memmap2::{Advice, Mmap, MmapMut};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::line::LINE_BYTES;

/// Bytes at one address.
pub(crate) struct Memory {
    base: NonNull<u8>,
    length: usize,
    owner: Owner,
}

/// What has to be given back.
enum Owner {
    /// Of the allocator.
    Heap(Layout),
    /// Pages of our own, somewhere in which the memory begins.
    Pages(#[expect(dead_code, reason = "it is there to be dropped")] MmapMut),
    /// A file's pages.
    File(#[expect(dead_code, reason = "it is there to be dropped")] Mmap),
}

// SAFETY: the memory is reached by its owner and by windows only. Windows read, but for `Array::to_mut`, which takes
// the one window there is, mutably; so threads can share and pass on both.
unsafe impl Send for Memory {}
// SAFETY: as above; nothing changes behind a shared reference.
unsafe impl Sync for Memory {}

impl Memory {
    /// So many bytes of zeros, at the beginning of a cache line, and of a huge page if there are many.
    ///
    /// # Errors
    ///
    /// There is not that much memory.
    fn zeroed(length: usize) -> io::Result<Self> {
        if length >= HUGE_FROM {
            return Self::pages(length);
        }
        let layout = Layout::from_size_align(length.max(1), LINE_BYTES).map_err(|_| io::ErrorKind::OutOfMemory)?;
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, length, owner: Owner::Heap(layout) })
    }

    /// As [`Self::zeroed`], in pages of its own, which are zero and not there before they are touched.
    fn pages(length: usize) -> io::Result<Self> {
        let beyond = length.checked_add(HUGE_PAGE).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut pages = MmapMut::map_anon(beyond)?;
        let first = pages.as_mut_ptr();
        let skipped = first.align_offset(HUGE_PAGE).min(HUGE_PAGE);
        // no kernel has to have huge pages
        let _ = pages.advise_range(Advice::HugePage, skipped, length);
        // SAFETY: less is skipped than was mapped beyond `length`, so this and `length` bytes behind it are mapped.
        let base = unsafe { first.add(skipped) };
        let base = NonNull::new(base).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, length, owner: Owner::Pages(pages) })
    }

    /// A whole file, as it stands in the page cache.
    ///
    /// # Errors
    ///
    /// What mmap(2) says.
    pub(crate) fn map(file: &File) -> io::Result<Self> {
        // SAFETY: a file that changes under a mapping is the risk of every mapping. All that is read through it are
        // plain bytes, every pattern of which is valid, and every lookup checks what it takes for an index or a length;
        // a file is replaced by renaming, which leaves the mapped one alone, and whoever cannot promise that has the
        // file copied instead.
        let pages = unsafe { Mmap::map(file)? };
        // taken up by file systems that live in memory
        let _ = pages.advise(Advice::HugePage);
        let (address, length) = (pages.as_ptr().cast_mut(), pages.len());
        let base = NonNull::new(address).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, length, owner: Owner::File(pages) })
    }

    /// A whole file, copied; `length` is what the file is said to have, and no more is read.
    ///
    /// # Errors
    ///
    /// What read(2) says, a file that is shorter, and less memory than that.
    pub(crate) fn copy(mut file: &File, length: usize) -> io::Result<Self> {
        let mut memory = Self::zeroed(length)?;
        file.read_exact(memory.bytes_mut())?;
        Ok(memory)
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: `base` begins `length` initialised bytes that live as long as `self` does, and are not written to
        // while it is shared.
        unsafe { slice::from_raw_parts(self.base.as_ptr(), self.length) }
    }

    /// All of it, to be written. Memory of a file has nothing that may be.
    fn bytes_mut(&mut self) -> &mut [u8] {
        let length = if matches!(self.owner, Owner::File(_)) { 0 } else { self.length };
        // SAFETY: as `bytes`; the memory is not a file's, and `self` is borrowed mutably, so nobody else has it.
        unsafe { slice::from_raw_parts_mut(self.base.as_ptr(), length) }
    }
}

impl From<&[u8]> for Memory {
    /// A copy of bytes that are there already.
    fn from(bytes: &[u8]) -> Self {
        let mut array = Array::<u8>::zeroed(bytes.len());
        array.to_mut().copy_from_slice(bytes);
        let memory = array.memory.take().and_then(Arc::into_inner);
        memory.expect("a new array is the only window of its memory")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Owner::Heap(layout) = self.owner {
            // SAFETY: this is what `alloc_zeroed` gave for the layout, and no window outlives it.
            unsafe { dealloc(self.base.as_ptr(), layout) }
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self.owner, Owner::File(_)) { "mapped" } else { "own" };
        write!(f, "{} bytes, {kind}", self.length)
    }
}

/// Elements that lie somewhere in a memory; a slice of them that can be shared.
pub(crate) struct Array<T> {
    /// Never dangling while `memory` is there; empty without one.
    elements: NonNull<[T]>,
    memory: Option<Arc<Memory>>,
}

// SAFETY: an array is a shared slice of `T` and shared ownership of the memory that it is in.
unsafe impl<T: Send + Sync> Send for Array<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Array<T> {}

impl<T> Default for Array<T> {
    fn default() -> Self {
        Self { elements: NonNull::slice_from_raw_parts(NonNull::dangling(), 0), memory: None }
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Array<T> {
    /// So many elements of zeros.
    pub(crate) fn zeroed(length: usize) -> Self {
        const { assert!(align_of::<T>() <= LINE_BYTES) }
        let bytes = length.saturating_mul(size_of::<T>());
        let Ok(memory) = Memory::zeroed(bytes) else {
            handle_alloc_error(Layout::array::<T>(length).unwrap_or(Layout::new::<T>()))
        };
        Self::window(&Arc::new(memory), 0..bytes).expect("it is as large and as aligned as it has to be")
    }

    /// The elements that some bytes of a memory are; none if there are not that many bytes, if they do not begin at a
    /// multiple of the elements' alignment, or if they are no whole number of elements.
    pub(crate) fn window(memory: &Arc<Memory>, range: Range<usize>) -> Option<Self> {
        let length = range.end.checked_sub(range.start).filter(|_| range.end <= memory.length)?;
        // SAFETY: not beyond the end of the memory, as was just seen.
        let begin = unsafe { memory.base.add(range.start) }.cast::<T>();
        if !begin.is_aligned() || !length.is_multiple_of(size_of::<T>()) {
            return None;
        }
        // the bytes are initialised, `T` takes any pattern of them, and the memory goes with them
        let elements = NonNull::slice_from_raw_parts(begin, length / size_of::<T>());
        Some(Self { elements, memory: Some(memory.clone()) })
    }

    /// The elements, to be written: in place while nobody else has the memory, else in a copy.
    pub(crate) fn to_mut(&mut self) -> &mut [T] {
        let is_own =
            |memory: &mut Arc<Memory>| Arc::get_mut(memory).is_some_and(|m| !matches!(m.owner, Owner::File(_)));
        if !self.memory.as_mut().is_some_and(is_own) {
            let mut copy = Self::zeroed(self.len());
            // SAFETY: the memory was made a moment ago, for these elements, and nobody else has it.
            unsafe { copy.elements.as_mut() }.as_mut_bytes().copy_from_slice(self.as_bytes());
            *self = copy;
        }
        // SAFETY: the memory is no file's, this is its only window, and it is borrowed mutably.
        unsafe { self.elements.as_mut() }
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Array<T> {
    /// Moves elements from where they were collected to where they are to stay. `U` is as large as `T`, and may be less
    /// aligned: no allocator moves a vector of what is aligned to more than 16 bytes without copying it.
    ///
    /// They are taken from the end and the vector is cut shorter as they go, so that many of them are never there twice:
    /// giving back the end of a large allocation is cheap.
    pub(crate) fn collected<U: IntoBytes + Immutable>(mut elements: Vec<U>) -> Self {
        const { assert!(size_of::<U>() == size_of::<T>()) }
        let mut array = Self::zeroed(elements.len());
        let whole = array.to_mut();
        let piece = (PIECE_BYTES / size_of::<T>().max(1)).max(1);
        let mut end = elements.len();
        while end > 0 {
            let begin = (end - 1) / piece * piece;
            whole[begin..end].as_mut_bytes().copy_from_slice(elements[begin..].as_bytes());
            elements.truncate(begin);
            elements.shrink_to_fit();
            end = begin;
        }
        array
    }
}

impl<T: FromBytes + IntoBytes + Immutable> From<Vec<T>> for Array<T> {
    fn from(elements: Vec<T>) -> Self {
        Self::collected(elements)
    }
}

impl<T> Array<T> {
    /// Bytes of memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of_val(&**self)
    }
}

impl<T> Deref for Array<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the elements are empty, or in a memory that this array holds, where `window` has seen to their bounds,
        // alignment and type; they are written to by `to_mut` alone, which has the array mutably.
        unsafe { self.elements.as_ref() }
    }
}

impl<T> Clone for Array<T> {
    /// Another window of the same memory.
    fn clone(&self) -> Self {
        Self { elements: self.elements, memory: self.memory.clone() }
    }
}

impl<T: PartialEq> PartialEq for Array<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Array<T> {}

impl<T> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} elements", self.len())
    }
}

/// Has the allocator keep [`LARGE`] memory in pages of its own from now on, which grow where they are or move without
/// being copied, and go back when they are freed.
///
/// glibc does so at first, but with every large piece that is freed it keeps larger ones in its heap, up to 32 MB: there a
/// vector that grows leaves its former places behind, as large together as itself.
pub(crate) fn keep_large_apart() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt(3) may be called at any time from any thread, and decides about memory that is asked for later.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE as libc::c_int);
    }
}

/// Bytes from which on memory is large.
pub(crate) const LARGE: usize = 512 << 10;

/// Gives back to the system what the allocator holds and nobody uses.
///
/// Building a table takes several times its memory for a moment. glibc keeps up to 64 MB of that for later, which is more
/// than most tables are; a server that has loaded has no use for it until the next load.
pub(crate) fn give_back_unused() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: malloc_trim(3) takes any number, may be called at any time from any thread, and touches free memory alone.
    unsafe {
        libc::malloc_trim(0);
    }
}

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

/// The huge page of x86_64, and of aarch64 with pages of 4 KiB.
const HUGE_PAGE: usize = 2 << 20;
/// Memory from here on is offered for huge pages: what is rounded up is then little beside it.
const HUGE_FROM: usize = 4 * HUGE_PAGE;
/// How much is moved at once: what is there twice meanwhile.
const PIECE_BYTES: usize = HUGE_PAGE;

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use zerocopy::little_endian::U32;

    use super::super::line::Line;
    use super::*;

    fn numbers(count: u32) -> Vec<u64> {
        (0..u64::from(count)).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
    }

    #[test]
    fn elements_survive_being_moved() {
        // nothing, a few, exactly one piece, and some pieces and a rest
        for count in [0, 1, 1000, (PIECE_BYTES / 8) as u32, 3_000_001] {
            let array = Array::from(numbers(count));
            assert_eq!(*array, *numbers(count));
            assert_eq!(array.memory_bytes(), count as usize * 8);
            assert_eq!(array.as_ptr().align_offset(LINE_BYTES), 0);
        }
        assert_eq!(Array::from(numbers(3_000_001)).as_ptr().align_offset(HUGE_PAGE), 0);
    }

    #[test]
    fn what_is_shared_is_not_written_to() {
        let mut array = Array::from(numbers(100));
        let before = array.clone();
        array.to_mut()[7] = 1;
        assert_eq!(array[7], 1);
        assert_eq!(*before, *numbers(100));
        let address = array.as_ptr();
        array.to_mut()[8] = 1;
        assert_eq!(array.as_ptr(), address, "no copy without need");
    }

    #[test]
    fn a_window_is_whole_elements_within_its_memory() {
        let memory = Arc::new(Memory::zeroed(256).unwrap());
        assert_eq!(Array::<Line>::window(&memory, 64..192).unwrap().len(), 2);
        assert_eq!(Array::<U32>::window(&memory, 3..11).unwrap().len(), 2);
        assert_eq!(Array::<u8>::window(&memory, 256..256).unwrap().len(), 0);
        assert!(Array::<Line>::window(&memory, 32..96).is_none(), "not aligned");
        assert!(Array::<Line>::window(&memory, 64..100).is_none(), "no whole line");
        assert!(Array::<u8>::window(&memory, 200..257).is_none(), "beyond the end");
        let backwards = Range { start: 9, end: 8 };
        assert!(Array::<u8>::window(&memory, backwards).is_none());
    }

    #[test]
    fn a_file_is_mapped_or_copied() {
        let mut file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..10_000_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&content).unwrap();
        let mapped = Arc::new(Memory::map(&file).unwrap());
        assert_eq!(mapped.bytes(), content);
        let mut window = Array::<u8>::window(&mapped, 64..128).unwrap();
        window.to_mut()[0] = 255;
        assert_eq!(mapped.bytes(), content, "a file is not written to");
        file.rewind().unwrap();
        assert_eq!(Memory::copy(&file, content.len()).unwrap().bytes(), content);
        assert!(Memory::copy(&file, 1).is_err(), "the file is shorter than it was");
    }
}
