//! The memory of one block.
//!
//! The bytes around a block are laid out as `header | user bytes | guard`. All three come from one
//! allocation of the host, aligned to [`ALIGN`]. What there is behind the user bytes, the [`Form`] says. Under
//! `AddressSanitizer` there is no guard but its own, and it is told that the header is out of bounds.

use std::{
    alloc::{Layout, alloc, dealloc},
    fmt,
    ptr::NonNull,
};

use crate::sanitizer;

/// What the pool of 64-bit Windows aligns blocks to.
pub(super) const ALIGN: usize = 16;
const HEADER: usize = 16;
const GUARD: usize = 16;
const GUARD_BYTE: u8 = 0xFD;
/// What uninitialised pool is filled with, so that nobody takes it for zeroes.
const FRESH_BYTE: u8 = 0xCD;
/// What freed pool is filled with.
const FREED_BYTE: u8 = 0xDD;

/// A pool tag, shown as the four characters that the debugger shows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

impl Tag {
    /// The characters, in the order in which they lie in memory.
    #[must_use]
    pub const fn characters(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.characters() {
            let shown = if byte == b' ' || byte.is_ascii_graphic() {
                char::from(byte)
            } else {
                '.'
            };
            write!(f, "{shown}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// What lies in front of the user bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Header {
    /// How many bytes the driver asked for.
    pub(super) size: usize,
    pub(super) tag: u32,
    magic: u32,
}

const MAGIC: u32 = 0x4C4F_4F50;

const _: () = assert!(size_of::<Header>() == HEADER);

/// What is behind the user bytes of all blocks of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Nothing, so that `AddressSanitizer` sees every access there.
    Exact,
    /// A guard that shows overruns.
    Guarded,
    /// What is missing to a multiple of [`STEP`], so that a freed block does for sizes that are nearly the same.
    Rounded,
}

/// What sizes are rounded to in [`Form::Rounded`].
pub(super) const STEP: usize = 16;

fn layout(size: usize, form: Form) -> Option<Layout> {
    let size = match form {
        Form::Exact => size,
        Form::Guarded => size.checked_add(GUARD)?,
        Form::Rounded => size.checked_next_multiple_of(STEP)?,
    };
    Layout::from_size_align(size.checked_add(HEADER)?, ALIGN).ok()
}

/// Takes memory for a block from the host; gives the address of its user bytes.
#[inline]
pub(super) fn take(size: usize, tag: u32, zero: bool, form: Form) -> Option<NonNull<u8>> {
    let layout = layout(size, form)?;
    // SAFETY: the size is not zero, as it has room for the header.
    let base = NonNull::new(unsafe { alloc(layout) })?;
    // SAFETY: the header lies inside the allocation.
    let user = unsafe { base.add(HEADER) };
    // SAFETY: the allocation has room for a header and the user bytes, and is aligned for both.
    unsafe { begin(user, size, tag, zero) };
    if form == Form::Guarded {
        if !zero {
            // SAFETY: the user bytes lie inside the allocation.
            unsafe { user.write_bytes(FRESH_BYTE, size) };
        }
        // SAFETY: the guard follows the user bytes inside the allocation.
        let guard = unsafe { user.add(size) };
        // SAFETY: as above.
        unsafe { guard.write_bytes(GUARD_BYTE, GUARD) };
    }
    Some(user)
}

/// Writes the header of a block, and zeroes if that is asked for.
///
/// # Safety
///
/// `user` has room for `size` bytes and a header before them, and nobody uses it yet.
#[inline]
pub(super) unsafe fn begin(user: NonNull<u8>, size: usize, tag: u32, zero: bool) {
    // SAFETY: the header is in front of the user bytes.
    let base = unsafe { user.sub(HEADER) };
    let header = Header {
        size,
        tag,
        magic: MAGIC,
    };
    // SAFETY: the caller vouches for the room; both are aligned alike.
    unsafe { base.cast::<Header>().write(header) };
    // SAFETY: as above.
    unsafe { sanitizer::close(base.as_ptr(), HEADER) };
    if zero {
        // SAFETY: as above.
        unsafe { user.write_bytes(0, size) };
    }
}

/// What lies in front of the user bytes while nobody has the block.
#[repr(C)]
struct Link {
    next: Option<NonNull<u8>>,
    /// Where the magic number of a header would be.
    zero: u64,
}

const _: () = assert!(size_of::<Link>() == HEADER);

/// Puts a block that nobody has in front of another one.
///
/// # Safety
///
/// `user` came from [`take`] with [`Form::Rounded`], and nobody uses it again.
#[inline]
pub(super) unsafe fn link(user: NonNull<u8>, next: Option<NonNull<u8>>) {
    // SAFETY: there was a header in front of the user bytes.
    let base = unsafe { user.sub(HEADER) };
    // SAFETY: as above.
    unsafe { sanitizer::open(base.as_ptr(), HEADER) };
    // SAFETY: as above; what a second free could mistake for a header is gone.
    unsafe { base.cast::<Link>().write(Link { next, zero: 0 }) };
}

/// Returns the block behind one that nobody has.
///
/// # Safety
///
/// `user` was [linked](link) and is still.
#[inline]
pub(super) const unsafe fn next(user: NonNull<u8>) -> Option<NonNull<u8>> {
    // SAFETY: there is a link in front of the user bytes.
    let base = unsafe { user.sub(HEADER) };
    // SAFETY: as above.
    unsafe { base.cast::<Link>().read() }.next
}

/// Reads the header of a block.
///
/// # Safety
///
/// `user` came from [`take`] and was not given back.
#[inline]
pub(super) unsafe fn header(user: NonNull<u8>) -> Header {
    // SAFETY: a header lies in front of the user bytes.
    let base = unsafe { user.sub(HEADER) };
    // SAFETY: as above.
    unsafe { sanitizer::open(base.as_ptr(), HEADER) };
    // SAFETY: as above; it was written by `take`.
    let header = unsafe { base.cast::<Header>().read() };
    // SAFETY: as above.
    unsafe { sanitizer::close(base.as_ptr(), HEADER) };
    header
}

impl Header {
    /// Tells whether this is a header at all, as far as that can be told.
    pub(super) const fn is_sound(&self) -> bool {
        self.magic == MAGIC
    }
}

/// Gives a block back to the host.
///
/// # Safety
///
/// `user` came from [`take`] with this form, and this size or one that is rounded to the same, and nobody uses it again.
pub(super) unsafe fn give_back(user: NonNull<u8>, size: usize, form: Form) {
    let Some(layout) = layout(size, form) else {
        return;
    };
    // SAFETY: a header lies in front of the user bytes.
    let base = unsafe { user.sub(HEADER) };
    // SAFETY: as above.
    unsafe { sanitizer::open(base.as_ptr(), HEADER) };
    // SAFETY: forgets what a second free could mistake for a header.
    unsafe { base.write_bytes(0, HEADER) };
    // SAFETY: `take` allocated it with this layout.
    unsafe { dealloc(base.as_ptr(), layout) };
}

/// Tells whether the guard behind a block is as it was.
///
/// # Safety
///
/// `user` came from [`take`] with this size and with a guard.
pub(super) unsafe fn guard_is_whole(user: NonNull<u8>, size: usize) -> bool {
    // SAFETY: the guard follows the user bytes.
    let guard = unsafe { user.add(size) };
    // SAFETY: `take` filled it.
    let now = unsafe { guard.cast::<[u8; GUARD]>().read() };
    now == [GUARD_BYTE; GUARD]
}

/// Fills a block that was freed.
///
/// # Safety
///
/// `user` came from [`take`] with this size, and its owner has freed it.
pub(super) const unsafe fn poison(user: NonNull<u8>, size: usize) {
    // SAFETY: the caller vouches for the block.
    unsafe { user.write_bytes(FREED_BYTE, size) };
}

/// Returns the place of the first byte that was written since a block was freed.
///
/// # Safety
///
/// `user` came from [`take`] with this size and was poisoned.
pub(super) unsafe fn first_written(user: NonNull<u8>, size: usize) -> Option<usize> {
    /// So many are compared at once, as nearly always none was.
    const AT_ONCE: usize = 64;
    // SAFETY: the caller vouches for the block.
    let bytes = unsafe { core::slice::from_raw_parts(user.as_ptr(), size) };
    let whole = bytes.as_chunks::<AT_ONCE>().0;
    let untouched = whole.iter().take_while(|some| **some == [FREED_BYTE; AT_ONCE]);
    let start = untouched.count() * AT_ONCE;
    let rest = bytes.get(start..)?.iter();
    rest.copied()
        .position(|byte| byte != FREED_BYTE)
        .map(|place| start + place)
}
