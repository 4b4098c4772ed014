//! Printing to the debugger.

use core::fmt::{self, Write};

use crate::nt;

/// The longest line; what is longer is cut.
const LINE: usize = 1000;

struct Line {
    text: [u8; LINE],
    used: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // The last byte stays zero: it ends the string.
            if self.used + 1 < LINE
                && let Some(place) = self.text.get_mut(self.used)
            {
                *place = byte;
                self.used += 1;
            }
        }
        Ok(())
    }
}

/// Prints one line.
pub fn print(arguments: fmt::Arguments<'_>) {
    let mut line = Line {
        text: [0; LINE],
        used: 0,
    };
    // Writing to a line never fails.
    let _ = writeln!(line, "{arguments}");
    // SAFETY: both strings end with a zero, and the format asks for the one.
    unsafe { nt::DbgPrint(c"%s".as_ptr(), line.text.as_ptr()) };
}
