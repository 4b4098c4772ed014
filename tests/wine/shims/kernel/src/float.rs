//! What the compiler refers to in code that has floating-point numbers in it.

/// Says that the image has such code; its value means nothing.
// SAFETY: no other item of the image has this name.
#[cfg(windows)]
#[unsafe(no_mangle)]
static _fltused: i32 = 0x9875;
