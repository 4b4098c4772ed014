//! The kernel memory that carries input and output of a `METHOD_BUFFERED` request.
//!
//! As on Windows, nobody clears the part that the input does not fill: what a driver finds there is left over from an
//! earlier request, or, with the verifier on, a pattern.

use core::cell::UnsafeCell;

use crate::{machine::Config, sanitizer, sync::StateLock};

/// As much as pool is aligned to.
type Block = u128;

const _: () = assert!(align_of::<Block>() == 16);

/// What memory looks like before a driver has written to it.
const FRESH: u8 = 0xCD;
/// What memory looks like after its request was completed.
const DEAD: u8 = 0xDD;

/// The buffer of one request.
#[derive(Debug)]
pub(super) struct SystemBuffer {
    /// Whole blocks, so that the memory is aligned as pool is; none, or enough for `length` bytes or more.
    blocks: Box<[UnsafeCell<Block>]>,
    length: usize,
    /// Whether the memory is spoiled in the end.
    spoil: bool,
    /// Whether `AddressSanitizer` is told what a driver may touch.
    sanitizer: bool,
}

// SAFETY: the memory is handed out as a raw pointer only. Who dereferences it answers for that, as
// in the kernel: the driver until it completes the request, and this module before and after.
unsafe impl Send for SystemBuffer {}
// SAFETY: as above.
unsafe impl Sync for SystemBuffer {}

impl SystemBuffer {
    /// Makes the buffer of a request, as long as the longer of its input and its output.
    pub(super) fn new(input: &[u8], output_length: usize, config: &Config, spare: &SpareBuffers) -> Self {
        let length = input.len().max(output_length);
        let count = length.div_ceil(size_of::<Block>());
        let reused = if count == 0 { None } else { spare.take(count) };
        let buffer = Self {
            blocks: reused.unwrap_or_else(|| {
                let fresh = if config.verifier { FRESH } else { 0 };
                let block = Block::from_ne_bytes([fresh; size_of::<Block>()]);
                (0..count).map(|_| UnsafeCell::new(block)).collect()
            }),
            length,
            spoil: config.verifier,
            sanitizer: config.sanitizer,
        };
        if !input.is_empty() {
            // SAFETY: the blocks have at least as many bytes as the input, and nobody else knows of them yet.
            unsafe { core::ptr::copy_nonoverlapping(input.as_ptr(), buffer.pointer(), input.len()) };
        }
        if config.sanitizer && length > 0 {
            // SAFETY: the last block has bytes behind the length, or ends there.
            let rest = unsafe { buffer.pointer().add(length) };
            // SAFETY: as above; nobody needs them.
            unsafe { sanitizer::close(rest, buffer.size() - length) };
        }
        buffer
    }

    const fn size(&self) -> usize {
        self.blocks.len() * size_of::<Block>()
    }

    /// Where it is; null if it is empty.
    pub(super) const fn pointer(&self) -> *mut u8 {
        if self.blocks.is_empty() {
            return core::ptr::null_mut();
        }
        self.blocks.as_ptr().cast_mut().cast()
    }

    /// Tells where the output is, and spoils the memory if anybody looks. Called once, when the driver has given it up.
    pub(super) fn retire(&self, output: usize) -> Output {
        if !self.is_looked_at() || self.blocks.is_empty() {
            return Output::Here(output);
        }
        // SAFETY: these are all bytes of the allocation.
        unsafe { sanitizer::open(self.pointer(), self.size()) };
        // SAFETY: the blocks are one run of `length` initialised bytes or more in interior-mutable memory; a driver that
        // has completed its request has no more business with them.
        let bytes = unsafe { core::slice::from_raw_parts_mut(self.pointer(), self.length) };
        let copied = bytes.get(..output).unwrap_or(bytes).to_vec();
        if self.spoil {
            bytes.fill(DEAD);
        }
        if self.sanitizer {
            // SAFETY: as above; nobody touches them before they are freed.
            unsafe { sanitizer::close(self.pointer(), self.size()) };
        }
        Output::Copied(copied)
    }

    /// Lets `read` see the output, which [`retire`](Self::retire) told where it is.
    pub(super) fn read<R>(&self, output: &Output, read: impl FnOnce(&[u8]) -> R) -> R {
        match output {
            Output::Copied(copied) => read(copied),
            Output::Here(_) if self.blocks.is_empty() => read(&[]),
            Output::Here(length) => {
                let length = self.length.min(*length);
                // SAFETY: as in `retire`; nothing is written there any more.
                read(unsafe { core::slice::from_raw_parts(self.pointer(), length) })
            }
        }
    }

    /// Whether anybody is to see who still uses the memory when its request is completed.
    const fn is_looked_at(&self) -> bool {
        self.spoil || self.sanitizer
    }

    /// Lets another request have the memory, unless anybody looks.
    pub(super) fn reuse(&mut self, spare: &SpareBuffers) {
        if !self.is_looked_at() && !self.blocks.is_empty() {
            spare.keep(core::mem::take(&mut self.blocks));
        }
    }
}

/// Where the output of a request is that was completed.
#[derive(Debug)]
pub(super) enum Output {
    /// As many bytes in the buffer, from its beginning on.
    Here(usize),
    /// The buffer is spoiled.
    Copied(Vec<u8>),
}

impl Output {
    /// How long it is.
    pub(super) const fn length(&self) -> usize {
        match self {
            Self::Here(length) => *length,
            Self::Copied(copied) => copied.len(),
        }
    }
}

/// How many buffers are kept.
const KEPT: usize = 8;
/// How long a buffer may be to be kept, in blocks: one MiB.
const KEPT_BLOCKS: usize = (1 << 20) / size_of::<Block>();

/// Buffers of requests that are gone, for those to come.
#[derive(Debug, Default)]
pub(super) struct SpareBuffers(StateLock<Vec<Box<[UnsafeCell<Block>]>>>);

impl SpareBuffers {
    /// Takes one of so many blocks or more, if the one that was kept last is such a one.
    fn take(&self, count: usize) -> Option<Box<[UnsafeCell<Block>]>> {
        self.0.with(|kept| kept.pop_if(|last| last.len() >= count))
    }

    fn keep(&self, blocks: Box<[UnsafeCell<Block>]>) {
        self.0.with(|kept| {
            if blocks.len() <= KEPT_BLOCKS {
                if kept.len() == KEPT {
                    kept.remove(0);
                }
                kept.push(blocks);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::SpareBuffers;
    use core::cell::UnsafeCell;

    fn blocks(count: usize) -> Box<[UnsafeCell<u128>]> {
        (0..count).map(|_| UnsafeCell::new(0)).collect()
    }

    #[test]
    fn a_buffer_that_is_too_short_is_not_reused() {
        let spare = SpareBuffers::default();
        spare.keep(blocks(3));
        assert!(spare.take(4).is_none());
        assert_eq!(spare.take(2).map(|kept| kept.len()), Some(3));
        assert!(spare.take(1).is_none());
    }

    #[test]
    fn few_buffers_are_kept_and_none_that_is_long() {
        let spare = SpareBuffers::default();
        spare.keep(blocks(super::KEPT_BLOCKS + 1));
        assert!(spare.take(1).is_none());
        for count in 1..=super::KEPT + 2 {
            spare.keep(blocks(count));
        }
        let kept: Vec<usize> = std::iter::from_fn(|| spare.take(1))
            .map(|kept| kept.len())
            .collect();
        assert_eq!(kept, (3..=super::KEPT + 2).rev().collect::<Vec<_>>());
    }
}
