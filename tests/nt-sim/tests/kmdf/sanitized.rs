//! What a driver does to the buffers of requests that only `AddressSanitizer` sees: `cargo xtask sanitize address` runs
//! these.

use crate::{
    driver::{READ_TOO_LATE, READ_TOO_MUCH, open, started},
    sanitized_process::{expect, now_wrong},
};

#[test]
fn a_read_past_the_input_of_a_request_is_reported() {
    let test = "sanitized::a_read_past_the_input_of_a_request_is_reported";
    expect(test, "use-after-poison", "READ of size 1", || {
        let machine = started();
        let file = open(&machine);
        now_wrong();
        let _answer = file.call(READ_TOO_MUCH, b"abc", 0);
    });
}

#[test]
fn a_read_of_the_input_of_a_request_that_was_answered_is_reported() {
    let test = "sanitized::a_read_of_the_input_of_a_request_that_was_answered_is_reported";
    expect(test, "use-after-poison", "READ of size 1", || {
        let machine = started();
        let file = open(&machine);
        now_wrong();
        let _answer = file.call(READ_TOO_LATE, b"abc", 0);
    });
}
