//! Stack: how much of it each function takes, as the unwind information tells.
//!
//! A kernel stack has six pages for everything on it, and a frame of more than a page needs a helper function that the
//! drivers do not link.

use anyhow::{Context as _, Result};
use object::pe;

use super::{Image, Report};

/// The most that one function may take: an eighth of the stack.
const FRAME_BUDGET: u32 = 3072;

pub fn check(image: &Image<'_>, report: &mut Report) -> Result<()> {
    let directory = image.file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION);
    let directory = directory.context("the image has no table of functions")?;
    let table = directory.data(image.file.data(), &image.file.section_table())?;
    let mut largest = (0, "");
    // Three offsets each: start, end, unwind information.
    for entry in table.chunks_exact(12) {
        let offset = |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
        let (start, unwind) = (offset(0), offset(8));
        let information = image.file.section_table().pe_data_at(image.file.data(), unwind);
        let size = frame(information.context("unwind information lies outside of the image")?);
        let name = image.map.around(start).unwrap_or_default();
        report.require(size <= FRAME_BUDGET, || {
            format!("{name} takes {size} bytes of stack, more than {FRAME_BUDGET}")
        });
        largest = largest.max((size, name));
    }
    report.number(
        "largest stack frame",
        format!("{} bytes: {}", largest.0, largest.1),
    );
    Ok(())
}

/// The bytes that a function's prologue takes from the stack.
fn frame(information: &[u8]) -> u32 {
    // version and flags, size of the prologue, number of codes, frame register; then codes of two bytes: place in the
    // prologue, and operation with its operand.
    let count = information.get(2).map_or(0, |count| usize::from(*count));
    let mut codes = information
        .get(4..)
        .unwrap_or_default()
        .chunks_exact(2)
        .take(count);
    let mut size = 0;
    while let Some(&[_, code]) = codes.next() {
        let (operation, operand) = (code & 15, code >> 4);
        let mut slot = || {
            codes
                .next()
                .map_or(0, |slot| u32::from(u16::from_le_bytes([slot[0], slot[1]])))
        };
        match (operation, operand) {
            // a register is pushed
            (0, _) => size += 8,
            // much is taken: in units of eight bytes, or as it is
            (1, 0) => size += 8 * slot(),
            (1, _) => size += slot() | slot() << 16,
            // little is taken
            (2, _) => size += 8 * u32::from(operand) + 8,
            // a register is stored
            (4 | 8, _) => _ = slot(),
            (5 | 9, _) => _ = (slot(), slot()),
            _ => {}
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_the_sum_of_what_the_prologue_takes() {
        // push; 0x28 bytes; a register stored; 0x1008 bytes; 0x12345 bytes
        let codes = [
            0x00, 0x30, 0x00, 0x42, 0x00, 0x34, 0x05, 0x00, 0x00, 0x01, 0x01, 0x02, 0x00, 0x11, 0x45, 0x23,
            0x01, 0x00,
        ];
        let mut information = vec![1, 0, u8::try_from(codes.len() / 2).unwrap(), 0];
        information.extend(codes);
        assert_eq!(frame(&information), 8 + 0x28 + 0x1008 + 0x12345);
        assert_eq!(frame(&[]), 0);
    }
}
