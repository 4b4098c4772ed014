//! Text for the kernel debugger.

use core::fmt::{self, Write};

use wdk_sys::ntddk::DbgPrint;

/// The most bytes that one message has; the rest is cut. `DbgPrint` sends at most 512 at once.
pub const MAX_BYTES: usize = 500;

struct Message {
    // One more, for the terminating zero.
    text: [u8; MAX_BYTES + 1],
    len: usize,
}

impl Write for Message {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let Some(room) = self.text.get_mut(self.len..MAX_BYTES) else {
            return Err(fmt::Error);
        };
        let taken = piece.len().min(room.len());
        for (to, from) in room.iter_mut().zip(piece.bytes()) {
            // A zero would end the text early.
            *to = if from == 0 { b'?' } else { from };
        }
        self.len = self.len.saturating_add(taken);
        if taken == piece.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// Sends a line to the debugger, cut at [`MAX_BYTES`]. Use [`log!`](crate::log!).
///
/// # IRQL
/// Any. Allocates nothing; takes about half a kilobyte of stack.
pub fn print(message: fmt::Arguments<'_>) {
    let mut text = Message {
        text: [0; MAX_BYTES + 1],
        len: 0,
    };
    // An error says that the message was cut, which is all right.
    let _ = text.write_fmt(message);
    // `DbgPrint` is variadic in C. With one argument after the format the call has the same form for a
    // function of two parameters, which is how a simulated kernel offers it: stable Rust cannot define
    // variadic functions.
    // SAFETY: both strings end with a zero, and the format takes one string.
    let _ = unsafe { DbgPrint(c"%s\n".as_ptr(), text.text.as_ptr().cast::<core::ffi::c_char>()) };
}

/// Sends a formatted line to the debugger; see [`log::print`](crate::log::print).
#[macro_export]
macro_rules! log {
    ($($message:tt)*) => { $crate::log::print(::core::format_args!($($message)*)) };
}
