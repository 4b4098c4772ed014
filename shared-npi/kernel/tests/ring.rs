//! The ring of events: bounded, in order, and honest about what it lost.

use allocator_api2::alloc::Global;
use nsemail_contract::Guid;
use nsemail_contract::wire::EventKind;
use nsemail_kernel::events::{MAX_TEXT, Ring};
use nt_sim::Machine;

/// Everything that a reader who knows the events up to `sequence` still gets.
fn read(ring: &Ring<Global>, mut sequence: u64) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while let Some(event) = ring.after(sequence) {
        sequence = event.sequence;
        seen.push((sequence, event.text().to_owned()));
    }
    seen
}

#[test]
fn a_reader_gets_what_is_new_in_order_and_the_numbers_tell_what_was_lost() {
    let machine = Machine::builder().in_memory().build().unwrap();
    let _here = machine.enter();
    let ring = Ring::new_in("test", 3, Global).unwrap();
    assert_eq!(read(&ring, 0), []);
    for number in 1..=2_u64 {
        ring.record(
            EventKind::STARTED,
            None,
            [number, 0],
            format_args!("event {number}"),
        );
    }
    let text = |number: u64| (number, format!("event {number}"));
    assert_eq!(read(&ring, 0), [text(1), text(2)]);
    assert_eq!(read(&ring, 1), [text(2)]);
    assert_eq!(read(&ring, 2), []);
    assert_eq!(read(&ring, u64::MAX), []);
    for number in 3..=10 {
        ring.record(EventKind::STARTED, None, [0; 2], format_args!("event {number}"));
    }
    assert_eq!(ring.recorded(), 10);
    assert_eq!(read(&ring, 2), [text(8), text(9), text(10)]);
}

#[test]
fn an_event_crosses_to_user_mode_as_it_was_recorded() {
    let machine = Machine::builder().in_memory().build().unwrap();
    let _here = machine.enter();
    let ring = Ring::new_in("test", 1, Global).unwrap();
    let subject = Guid::from_u128(7);
    let reason = "grüße\0🦀";
    ring.record(
        EventKind::ATTACH_DECLINED,
        Some(subject),
        [1, 2],
        format_args!("{reason}"),
    );
    let event = ring.after(0).unwrap();
    let wire = event.to_wire();
    assert_eq!(
        (wire.kind, wire.sequence, wire.subject, wire.numbers),
        (EventKind::ATTACH_DECLINED, 1, subject, [1, 2])
    );
    // A zero is no text.
    assert_eq!(wire.text, *"grüße 🦀");

    let long = "ä".repeat(MAX_TEXT);
    ring.record(EventKind::STARTED, None, [0; 2], format_args!("x{long}"));
    let event = ring.after(1).unwrap();
    assert_eq!(event.text().len(), MAX_TEXT - 1, "cut at a character");
    assert_eq!(event.to_wire().text.chars().count(), 1 + (MAX_TEXT - 1) / 2);
    assert_eq!(event.to_wire().subject, Guid::NIL);
}
