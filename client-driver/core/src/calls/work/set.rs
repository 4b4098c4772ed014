//! Changes: registration, deregistration, deletion.

use nsemail_contract::dispatch::SetInformation;
use nsemail_contract::wire::{CounterKind, EventKind, REPLY_HEADER, SetReply};
use nsemail_contract::{Operation, SetFlags, WsaCode};

use super::bare;
use crate::buffer::Query;
use crate::calls::Context;
use crate::calls::table::{Asked, Wake};
use crate::catalogue::change::{Change, Step};
use crate::catalogue::lookup::Outcome;
use crate::memory::CatalogPool;
use crate::peer::{self, Registration};
use crate::search::Progress;
use crate::service::BindingRef;
use crate::session::Admission;
use crate::statistics::up;

/// `SET_SERVICE`.
///
/// Each provider makes the change wholly or not at all. When the call is cancelled, no further provider is told, unless
/// the change is a removal that some provider has made already: then the others are told too, so that it happens wholly.
pub struct Set {
    change: Change<CatalogPool>,
    query: Query,
    operation: Operation,
    flags: u32,
    /// The place of the provider that was told and has not answered, and its binding.
    telling: Option<(usize, BindingRef)>,
    /// How far along the chain it is.
    place: usize,
    done: SetReply,
    /// The session's rundown waits for this call, which has several providers to tell.
    holds: bool,
}

impl Set {
    /// The change that `query` describes.
    #[must_use]
    pub fn new(change: Change<CatalogPool>, query: Query, operation: Operation, flags: u32) -> Self {
        Self {
            change,
            query,
            operation,
            flags,
            telling: None,
            place: 0,
            done: SetReply::default(),
            holds: false,
        }
    }

    pub(super) fn advance(&mut self, call: &Context<'_>, wake: Option<Wake>, orphaned: bool) -> Progress {
        if let Some((place, binding)) = self.telling.take() {
            match wake {
                // It was the provider that gave the call up, because it is going away.
                Some(Wake::Completed { code, .. }) if code.is_cancelled() && binding.enter().is_none() => {
                    self.change.told(Outcome::Unavailable);
                }
                Some(Wake::Completed { code, information }) => self.told(place, code, information),
                Some(Wake::Gone | Wake::Turn) | None => self.change.told(Outcome::Unavailable),
            }
        }
        loop {
            match self.change.step() {
                Step::Reply(code) => return Progress::Reply(code),
                Step::Tell(_) if orphaned && !self.change.is_partly_done() => {
                    return Progress::Reply(WsaCode::WSA_E_CANCELLED);
                }
                Step::Tell(place) => {
                    if self.change.is_sweep() && !self.holds {
                        self.holds = call.session.hold();
                    }
                    if core::mem::replace(&mut self.place, place) < place {
                        up(&call.service.statistics.fall_throughs);
                    }
                    if !self.tell(call, place) {
                        return Progress::Wait;
                    }
                }
            }
        }
    }

    /// Tells one provider. `false` if the call has to wait.
    fn tell(&mut self, call: &Context<'_>, place: usize) -> bool {
        let Some(candidate) = self.change.candidate(place) else {
            self.change.told(Outcome::Unavailable);
            return true;
        };
        let provider = candidate.entry.provider_ref();
        let visit = match call.session.visit(call, provider) {
            Admission::Inside(visit) => visit,
            Admission::Wait => return false,
            Admission::Unavailable => {
                self.change.told(Outcome::Unavailable);
                return true;
            }
            Admission::OutOfMemory => {
                self.change.told(Outcome::Failed(WsaCode::WSA_NOT_ENOUGH_MEMORY));
                return true;
            }
        };
        let number = visit.guard.binding().number();
        let question = call
            .service
            .calls(|calls| calls.ask(call.ticket, Asked::Provider(number)));
        let what = Registration {
            provider,
            query: &self.query,
            operation: self.operation as u32,
            flags: self.flags,
        };
        let status = peer::set(call.passive, &visit.guard, question, what, visit.session);
        let binding = visit.guard.reference();
        call.session.leave(call.service, call.passive, visit);
        let Some(code) = status.final_code() else {
            self.telling = Some((place, binding));
            return false;
        };
        if call.service.calls(|calls| calls.settle(call.ticket)) {
            let text = format_args!("completed a call that it also answered at once");
            call.service
                .event(EventKind::PEER_FAULT, Some(*provider), [0, 0], text);
        }
        self.told(place, code, 0);
        true
    }

    fn told(&mut self, place: usize, code: WsaCode, information: usize) {
        if code.is_success() {
            let SetInformation { added, removed } = SetInformation::unpack(information);
            self.done.added = self.done.added.saturating_add(u32::from(added));
            self.done.removed = self.done.removed.saturating_add(u32::from(removed));
            if self.done.providers == 0
                && let Some(candidate) = self.change.candidate(place)
            {
                self.done.provider = candidate.entry.provider();
            }
            self.done.providers = self.done.providers.saturating_add(1);
        }
        self.change.told(Outcome::of(code));
    }

    /// Before the task is parked: whoever goes on with it has other calls to go on with.
    pub(super) const fn waits(&mut self) {
        self.flags = SetFlags::from_bits_retain(self.flags)
            .difference(SetFlags::CALLER_WAITS)
            .bits();
    }

    pub(super) const fn measure(code: WsaCode) -> usize {
        if code.is_success() {
            SetReply::SIZE
        } else {
            REPLY_HEADER
        }
    }

    pub(super) fn write(&self, code: WsaCode, out: &mut [u8]) -> Option<usize> {
        if code.is_success() {
            self.done.write(out)
        } else {
            bare(out, code)
        }
    }

    pub(super) fn end(&mut self, call: &Context<'_>) {
        if core::mem::take(&mut self.holds) {
            call.session.unhold(call.service, call.passive);
        }
    }

    pub(super) const fn kind(&self) -> CounterKind {
        match self.operation {
            Operation::Register => CounterKind::REGISTER,
            Operation::Deregister => CounterKind::DEREGISTER,
            Operation::Delete => CounterKind::DELETE,
        }
    }
}
