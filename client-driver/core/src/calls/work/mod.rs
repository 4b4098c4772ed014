//! What a call has to do.

mod gather;
mod names;
mod next;
mod set;

use nsemail_contract::WsaCode;
use nsemail_contract::wire::{CounterKind, ENTRY_HEADER, REPLY_HEADER, ReplyWriter};

use super::Context;
use super::table::Wake;
use crate::search::Progress;
pub use gather::{Batch, OneShot};
pub use next::Next;
pub use set::Set;

/// What a call has to do.
pub enum Work {
    /// Fetch the next record of a look-up.
    Next(Next),
    /// Look up in one call.
    OneShot(OneShot),
    /// Look up many names in one call.
    Batch(Batch),
    /// Change a name.
    Set(Set),
}

impl Work {
    /// Goes on, with what woke the task if it was parked. `orphaned` says that nobody waits for the answer.
    pub fn advance(&mut self, call: &Context<'_>, wake: Option<Wake>, orphaned: bool) -> Progress {
        match self {
            Self::Next(next) => next.advance(call, wake, orphaned),
            Self::OneShot(one_shot) => one_shot.advance(call, wake, orphaned),
            Self::Batch(batch) => batch.advance(call, wake, orphaned),
            Self::Set(set) => set.advance(call, wake, orphaned),
        }
    }

    /// The task is about to be parked.
    pub fn waits(&mut self, call: &Context<'_>) {
        match self {
            Self::Next(next) => next.waits(call),
            Self::Set(set) => set.waits(),
            Self::OneShot(_) | Self::Batch(_) => {}
        }
    }

    /// Bytes of the whole reply.
    #[must_use]
    pub fn measure(&self, code: WsaCode) -> usize {
        match self {
            Self::Next(next) => next.measure(code),
            Self::OneShot(one_shot) => one_shot.measure(code),
            Self::Batch(batch) => batch.measure(code),
            Self::Set(_) => Set::measure(code),
        }
    }

    /// Writes the reply; gives its size, or `None` if not even a header fits.
    #[must_use]
    pub fn write(&mut self, code: WsaCode, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Next(next) => next.write(code, out),
            Self::OneShot(one_shot) => one_shot.write(code, out),
            Self::Batch(batch) => batch.write(code, out),
            Self::Set(set) => set.write(code, out),
        }
    }

    /// The call is over, answered or not: gives back what it has.
    pub fn end(&mut self, call: &Context<'_>, answered: bool) {
        match self {
            Self::Next(next) => next.end(call, answered),
            Self::OneShot(one_shot) => one_shot.end(call),
            Self::Batch(batch) => batch.end(call),
            Self::Set(set) => set.end(call),
        }
    }

    /// As what the call is counted. A batch counts its names by itself.
    #[must_use]
    pub const fn kind(&self) -> Option<CounterKind> {
        match self {
            Self::Next(_) => Some(CounterKind::LOOKUP_NEXT),
            Self::OneShot(_) => Some(CounterKind::LOOKUP),
            Self::Batch(_) => None,
            Self::Set(set) => Some(set.kind()),
        }
    }
}

/// Bytes of a reply that has one record.
const ONE_RECORD: usize = REPLY_HEADER.saturating_add(ENTRY_HEADER);

/// Writes a reply that is only a code.
fn bare(out: &mut [u8], code: WsaCode) -> Option<usize> {
    ReplyWriter::bare(out, code)
}
