//! One look-up as a caller sees it: which provider is asked next, and what the caller is told.
//!
//! The machine decides and somebody else acts: [`LookUp::step`] names the one thing to do next, the actor does it and
//! says what came of it with [`LookUp::opened`], [`LookUp::asked`] or [`LookUp::closed`]. So the rules are tested
//! without a provider, and the actor is free to wait between question and answer.
//!
//! The rules (authoritative, the default):
//! - Begin contacts nobody. Each provider of the chain is asked only after all before it were *unavailable* or
//!   *unable*.
//! - `WSAEFAULT` (the record does not fit) and a cancelled call go to the caller and leave the position as it is.
//! - Once a provider was heard to have a record, the others are never asked: tiers are not mixed. A record that did
//!   not fit counts too: it is there, even if the caller then drops it with `LUP_FLUSHPREVIOUS`.
//! - An end without any record is reported by the most telling error, and repeats.
//!
//! Non-authoritative: every provider is asked, in the same order, and the results are concatenated; an error only
//! moves on.

use allocator_api2::alloc::Allocator;
use nsemail_contract::codes::WsaCode;
use pool_alloc::Arc;

use super::chain::{Candidate, Chain};
use super::snapshot::{Route, Selection, Snapshot};
use super::verdict::{Ranking, Verdict};

/// Whether the first provider that knows the name speaks alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The first able provider speaks for all.
    Authoritative,
    /// `LUP_NON_AUTHORITATIVE`: all speak, in order.
    NonAuthoritative,
}

/// What has to be done next for the call in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `NSPv2LookupServiceBegin` at this place of the chain; then [`LookUp::opened`].
    Open(usize),
    /// `NSPv2LookupServiceNextEx` on the query that is open at this place; then [`LookUp::asked`].
    Ask(usize),
    /// `NSPv2LookupServiceEnd` on the query that is open at this place; then [`LookUp::closed`].
    Close(usize),
    /// Answer the caller. The call is over; the next `step` belongs to the caller's next call.
    Reply(WsaCode),
}

/// What came of a request to a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider answered with this code.
    Code(WsaCode),
    /// There is no such provider just now: not attached, going away, or its `Startup` failed.
    Unavailable,
    /// The request could not be made for a reason of our own (no memory): the caller gets this code, and the same
    /// request is made again in the caller's next call.
    Failed(WsaCode),
}

impl Outcome {
    /// What a provider's code says. `WSASYSNOTREADY` is how a provider says that it is not, or no longer, ready.
    #[must_use]
    pub const fn of(code: WsaCode) -> Self {
        match code {
            WsaCode::WSASYSNOTREADY => Self::Unavailable,
            code => Self::Code(code),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// No query is open at the current place.
    Unopened,
    /// A query is open, and this is whether it was heard to have a record.
    Open { found: bool },
    /// The open query is to be closed.
    Closing { then: Then },
    /// Nothing will be asked any more.
    Ended(WsaCode),
}

#[derive(Clone, Copy, Debug)]
enum Then {
    /// Go on with the next provider.
    Advance,
    /// Tell the caller this, and `WSA_E_NO_MORE` from then on.
    End(WsaCode),
}

/// A look-up by a catalogue that somebody else keeps, before anybody is asked.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    route: Route,
    authority: Authority,
}

impl Plan {
    /// A look-up that asks the providers of the chain for a query.
    ///
    /// # Errors
    /// As of [`Snapshot::chain`].
    pub fn new<A: Allocator + Clone>(
        catalogue: &Snapshot<A>,
        selection: Selection<'_>,
        authority: Authority,
    ) -> Result<Self, WsaCode> {
        let route = catalogue.choose(selection)?;
        Ok(Self { route, authority })
    }

    /// See [`LookUp::speaker`].
    #[must_use]
    pub fn speaker<'c, A: Allocator + Clone>(&self, catalogue: &'c Snapshot<A>) -> Option<Candidate<'c, A>> {
        let members = catalogue.members(&self.route);
        let (first, others) = members.split_first()?;
        let alone = self.authority == Authority::Authoritative || others.is_empty();
        let entry = catalogue.entries().get(first.entry).filter(|_| alone)?;
        Some(Candidate {
            entry,
            reason: first.reason,
        })
    }

    /// Begins the look-up, by the catalogue that it was planned by.
    #[must_use]
    pub fn begin<A: Allocator + Clone>(self, catalogue: &Arc<Snapshot<A>, A>) -> LookUp<A> {
        let chain = Chain {
            snapshot: catalogue.clone(),
            route: self.route,
        };
        LookUp::new(chain, self.authority)
    }
}

/// A look-up in progress. See the module's description.
#[derive(Debug)]
pub struct LookUp<A: Allocator + Clone> {
    chain: Chain<A>,
    authority: Authority,
    position: usize,
    phase: Phase,
    /// Whether any provider was heard to have a record.
    any_found: bool,
    verdict: Verdict,
    reply: Option<WsaCode>,
}

impl<A: Allocator + Clone> LookUp<A> {
    /// A look-up that asks the providers of `chain`.
    #[must_use]
    pub const fn new(chain: Chain<A>, authority: Authority) -> Self {
        Self {
            chain,
            authority,
            position: 0,
            phase: Phase::Unopened,
            any_found: false,
            verdict: Verdict::new(Ranking::LookUp),
            reply: None,
        }
    }

    /// The provider at a place of the chain.
    #[must_use]
    pub fn candidate(&self, position: usize) -> Option<Candidate<'_, A>> {
        self.chain.get(position)
    }

    /// The place of the chain whose turn it is.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// The provider whose turn it is, if it may be asked for the whole look-up at once: nobody speaks after it once it
    /// has spoken. If it has records, that is the end, and this machine is not needed any more; what else it says,
    /// [`Self::opened`] is told.
    #[must_use]
    pub fn speaker(&self) -> Option<Candidate<'_, A>> {
        let last = self.position.saturating_add(1) == self.chain.len();
        let alone = self.authority == Authority::Authoritative || last;
        if alone && self.reply.is_none() && matches!(self.phase, Phase::Unopened) {
            self.chain.get(self.position)
        } else {
            None
        }
    }

    /// The place of the query that is open at a provider, if there is one. Whoever ends the look-up closes it.
    #[must_use]
    pub const fn open_position(&self) -> Option<usize> {
        match self.phase {
            Phase::Open { .. } | Phase::Closing { .. } => Some(self.position),
            Phase::Unopened | Phase::Ended(_) => None,
        }
    }

    /// What to do next. Stays the same until it was answered; after [`Step::Reply`] the next call of the caller has
    /// begun.
    pub fn step(&mut self) -> Step {
        if let Some(code) = self.reply.take() {
            return Step::Reply(code);
        }
        match self.phase {
            Phase::Unopened if self.position < self.chain.len() => Step::Open(self.position),
            Phase::Unopened => {
                let code = if self.any_found {
                    WsaCode::WSA_E_NO_MORE
                } else {
                    self.verdict.code()
                };
                self.phase = Phase::Ended(code);
                Step::Reply(code)
            }
            Phase::Open { .. } => Step::Ask(self.position),
            Phase::Closing { .. } => Step::Close(self.position),
            Phase::Ended(code) => Step::Reply(code),
        }
    }

    /// The call in progress is over without an answer: its caller does not wait any more. A record that was found stays
    /// with the actor; anything else comes up again in the next call.
    pub const fn drop_reply(&mut self) {
        self.reply = None;
    }

    /// What came of [`Step::Open`]. The query is open exactly if the outcome is `Code(NO_ERROR)`.
    pub fn opened(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Code(WsaCode::NO_ERROR) => self.phase = Phase::Open { found: false },
            Outcome::Code(code) if code.is_cancelled() => self.reply = Some(WsaCode::WSA_E_CANCELLED),
            Outcome::Code(code) => {
                self.verdict.note(code);
                self.advance();
            }
            Outcome::Unavailable => self.advance(),
            Outcome::Failed(code) => self.reply = Some(code),
        }
    }

    /// What came of [`Step::Ask`].
    pub fn asked(&mut self, outcome: Outcome) {
        let Phase::Open { found } = self.phase else { return };
        let code = match outcome {
            Outcome::Failed(code) => {
                self.reply = Some(code);
                return;
            }
            // The provider is gone, and its query with it: there is nothing to close.
            Outcome::Unavailable if found && self.authority == Authority::Authoritative => {
                self.end(WsaCode::WSASERVICE_NOT_FOUND);
                return;
            }
            Outcome::Unavailable => {
                self.advance();
                return;
            }
            Outcome::Code(code) => code,
        };
        if matches!(code, WsaCode::NO_ERROR | WsaCode::WSAEFAULT) {
            self.phase = Phase::Open { found: true };
            self.any_found = true;
            self.reply = Some(code);
        } else if code.is_cancelled() {
            self.reply = Some(WsaCode::WSA_E_CANCELLED);
        } else if found && self.authority == Authority::Authoritative {
            let code = if code.is_no_more() {
                WsaCode::WSA_E_NO_MORE
            } else {
                code
            };
            self.phase = Phase::Closing {
                then: Then::End(code),
            };
        } else {
            if code.is_no_more() {
                // It took the query and had nothing: as good as not having the name.
                self.verdict.note(WsaCode::WSASERVICE_NOT_FOUND);
            } else {
                self.verdict.note(code);
            }
            self.phase = Phase::Closing { then: Then::Advance };
        }
    }

    /// [`Step::Close`] was done; what the provider said to it does not matter.
    pub const fn closed(&mut self) {
        let Phase::Closing { then } = self.phase else {
            return;
        };
        match then {
            Then::Advance => self.advance(),
            Then::End(code) => self.end(code),
        }
    }

    const fn advance(&mut self) {
        self.position = self.position.saturating_add(1);
        self.phase = Phase::Unopened;
    }

    const fn end(&mut self, code: WsaCode) {
        self.reply = Some(code);
        self.phase = Phase::Ended(WsaCode::WSA_E_NO_MORE);
    }
}

#[cfg(test)]
mod tests;
