//! The ring of events that a driver keeps for its administrator.
//!
//! Things worth telling (a provider declined, a journal cut, a limit reached) go to the debugger and into a
//! ring of fixed size, which the driver's `EVENTS` request reads. Recording never fails and never waits; when
//! the ring is full, the oldest event goes.

use core::fmt;

use allocator_api2::alloc::Allocator;
use nsemail_contract::wire::{self, EventKind};
use nsemail_contract::{Guid, Text};
use pool_alloc::{Box, OutOfMemory};

use crate::lock::SpinLock;

/// The most bytes of text in an event; the rest is cut at a character boundary.
pub const MAX_TEXT: usize = 96;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts the events of this driver since it was loaded, from 1.
    pub sequence: u64,
    /// System time, see [`time::now`](crate::time::now).
    pub time: u64,
    /// What it is.
    pub kind: EventKind,
    /// The namespace provider that it concerns; nil if none.
    pub subject: Guid,
    /// What the kind says they are; 0 otherwise.
    pub numbers: [u64; 2],
    text: [u8; MAX_TEXT],
    text_len: u8,
}

impl Event {
    const EMPTY: Self = Self {
        sequence: 0,
        time: 0,
        kind: EventKind(0),
        subject: Guid::NIL,
        numbers: [0; 2],
        text: [0; MAX_TEXT],
        text_len: 0,
    };

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        let bytes = self.text.get(..usize::from(self.text_len)).unwrap_or_default();
        // It was cut at a character boundary, so this holds.
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The event as it crosses to user mode.
    #[must_use]
    pub fn to_wire(&self) -> wire::Event<'_> {
        wire::Event {
            kind: self.kind,
            sequence: self.sequence,
            time: self.time,
            numbers: self.numbers,
            subject: self.subject,
            // It has no zeros, and is UTF-8, so this holds.
            text: Text::from_str(self.text()).unwrap_or_default(),
        }
    }
}

impl fmt::Write for Event {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let start = usize::from(self.text_len);
        let room = MAX_TEXT.saturating_sub(start);
        let piece_fits = piece.floor_char_boundary(room);
        let taken = piece.as_bytes().get(..piece_fits).unwrap_or_default();
        for (to, from) in self.text.iter_mut().skip(start).zip(taken) {
            // A zero is no text on the wire.
            *to = if *from == 0 { b' ' } else { *from };
        }
        self.text_len = u8::try_from(start.saturating_add(taken.len())).unwrap_or(self.text_len);
        if taken.len() == piece.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// A bounded ring of events.
pub struct Ring<A: Allocator> {
    driver: &'static str,
    /// How many events there have been, and the latest of them.
    state: SpinLock<(u64, Box<[Event], A>)>,
}

impl<A: Allocator> Ring<A> {
    /// An empty ring for `capacity` events; `driver` is what lines in the debugger start with.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new_in(driver: &'static str, capacity: usize, alloc: A) -> Result<Self, OutOfMemory> {
        let events = Box::try_filled_in(Event::EMPTY, capacity.max(1), alloc)?;
        Ok(Self {
            driver,
            state: SpinLock::new((0, events)),
        })
    }

    /// Records an event, and writes it to the debugger.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    pub fn record(
        &self,
        kind: EventKind,
        subject: Option<Guid>,
        numbers: [u64; 2],
        text: fmt::Arguments<'_>,
    ) {
        let mut event = Event {
            time: crate::time::now(),
            kind,
            subject: subject.unwrap_or(Guid::NIL),
            numbers,
            ..Event::EMPTY
        };
        // An error says that the text was cut, which is all right.
        let _ = fmt::write(&mut event, text);
        self.state.with(|(recorded, events)| {
            *recorded = recorded.wrapping_add(1);
            event.sequence = *recorded;
            if let Some(place) = place(*recorded, events.len()).and_then(|place| events.get_mut(place)) {
                *place = event;
            }
        });
        let [first, second] = numbers;
        let (driver, name, text) = (self.driver, kind.name().unwrap_or("event"), event.text());
        match subject {
            Some(subject) => crate::log!("{driver}: {name} {subject} [{first}, {second}] {text}"),
            None => crate::log!("{driver}: {name} [{first}, {second}] {text}"),
        }
    }

    /// The oldest event that is still there and came after the one numbered `sequence` (0 for the first of
    /// all).
    ///
    /// A reader that loops with the sequence of what it got sees each event at most once and in order; a gap
    /// in the numbers says how many were lost.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    #[must_use]
    pub fn after(&self, sequence: u64) -> Option<Event> {
        self.state.with(|(recorded, events)| {
            let oldest = recorded.saturating_sub(events.len() as u64).saturating_add(1);
            let wanted = sequence.saturating_add(1).max(oldest);
            if wanted > *recorded {
                return None;
            }
            place(wanted, events.len())
                .and_then(|place| events.get(place))
                .copied()
        })
    }

    /// How many events there have been.
    ///
    /// # IRQL
    /// Up to `DISPATCH_LEVEL`.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.state.with(|(recorded, _)| *recorded)
    }
}

/// Where in a ring of `capacity` the event numbered `sequence` is.
fn place(sequence: u64, capacity: usize) -> Option<usize> {
    usize::try_from(sequence.checked_rem(capacity as u64)?).ok()
}
