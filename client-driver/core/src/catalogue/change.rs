//! One `SetServiceEx` as a caller sees it: which provider is told next, and what the caller is told.
//!
//! Works like [`LookUp`](super::lookup::LookUp): [`Change::step`] names what to do, [`Change::told`] says what came of
//! it. A change always follows the authoritative chain, and
//! - a registration ends with the first provider that takes it;
//! - a removal goes to *every* provider of the chain. Otherwise a name that was registered at a secondary while the
//!   primary was down would come back to life from there after it was removed from the primary.

use allocator_api2::alloc::Allocator;
use nsemail_contract::codes::WsaCode;

use super::chain::{Candidate, Chain};
use super::lookup::Outcome;
use super::verdict::{Ranking, Verdict};

/// What kind of change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `RNRSERVICE_REGISTER`.
    Registration,
    /// `RNRSERVICE_DEREGISTER` and `RNRSERVICE_DELETE`.
    Removal,
}

/// What has to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `NSPv2SetServiceEx` at this place of the chain; then [`Change::told`].
    Tell(usize),
    /// Answer the caller; the change is over.
    Reply(WsaCode),
}

/// A change in progress. See the module's description.
#[derive(Debug)]
pub struct Change<A: Allocator + Clone> {
    chain: Chain<A>,
    kind: Kind,
    position: usize,
    succeeded: bool,
    verdict: Verdict,
    reply: Option<WsaCode>,
}

impl<A: Allocator + Clone> Change<A> {
    /// A change that goes to the providers of `chain`.
    #[must_use]
    pub const fn new(chain: Chain<A>, kind: Kind) -> Self {
        let ranking = match kind {
            Kind::Registration => Ranking::Registration,
            Kind::Removal => Ranking::Removal,
        };
        Self {
            chain,
            kind,
            position: 0,
            succeeded: false,
            verdict: Verdict::new(ranking),
            reply: None,
        }
    }

    /// The provider at a place of the chain.
    #[must_use]
    pub fn candidate(&self, position: usize) -> Option<Candidate<'_, A>> {
        self.chain.get(position)
    }

    /// Whether it goes to several providers, all of which are to make it.
    #[must_use]
    pub fn is_sweep(&self) -> bool {
        self.kind == Kind::Removal && self.chain.len() > 1
    }

    /// Whether some provider has made the change while others are still to be told, so that stopping now would leave
    /// it half done.
    #[must_use]
    pub const fn is_partly_done(&self) -> bool {
        self.succeeded && self.reply.is_none()
    }

    /// What to do next. Stays the same until it was answered.
    #[must_use]
    pub fn step(&self) -> Step {
        if let Some(code) = self.reply {
            return Step::Reply(code);
        }
        if self.position < self.chain.len() {
            return Step::Tell(self.position);
        }
        Step::Reply(if self.succeeded {
            WsaCode::NO_ERROR
        } else {
            self.verdict.code()
        })
    }

    /// What came of [`Step::Tell`].
    pub fn told(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Code(WsaCode::NO_ERROR) => {
                self.succeeded = true;
                if self.kind == Kind::Registration {
                    self.reply = Some(WsaCode::NO_ERROR);
                }
            }
            // What some provider has done is not left half done.
            Outcome::Code(_) | Outcome::Failed(_) if self.succeeded => {}
            Outcome::Code(code) if code.is_cancelled() => self.reply = Some(WsaCode::WSA_E_CANCELLED),
            Outcome::Code(code) => self.verdict.note(code),
            Outcome::Unavailable => {}
            Outcome::Failed(code) => self.reply = Some(code),
        }
        self.position = self.position.saturating_add(1);
    }
}

#[cfg(test)]
mod tests;
