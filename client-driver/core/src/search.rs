//! A look-up at work: carries out what the rules of [`LookUp`] say, provider by provider.
//!
//! [`Search::advance`] goes on until there is something to tell the caller, or until it has to wait. It asks at most
//! one question at a time, and everything that a provider may write to while the question is open is part of the
//! search, which then lies, with its task, in the table of calls.

use nsemail_contract::fault::Fault;
use nsemail_contract::wire::{EventKind, Record, Tier};
use nsemail_contract::{Guid, LookupFlags, QuerySet, WsaCode, ids};
use nsemail_kernel::irql::Passive;

use crate::buffer::{Query, Room};
use crate::calls::Context;
use crate::calls::table::{Asked, Wake};
use crate::catalogue::Reason;
use crate::catalogue::lookup::{LookUp, Outcome, Step};
use crate::memory::CatalogPool;
use crate::peer::{self, Opaque};
use crate::service::{BindingRef, Service};
use crate::session::uses::UseId;
use crate::session::{Admission, Session, Visit};
use crate::statistics::up;

/// The room for a record that is tried first when the caller does not limit it.
const FIRST_ROOM: usize = 1024;

/// The most room for a record: more than one takes whose every member is at its published limit. A program cannot make
/// the driver hold more than this by offering a large buffer.
const MOST_ROOM: usize = 64 * 1024;

/// How often a provider may want more room for one record, before it is taken for broken.
const MOST_TRIES: u8 = 4;

/// A query that is open at a provider.
#[derive(Clone)]
pub struct OpenQuery {
    binding: BindingRef,
    id: UseId,
    look_up: Opaque,
}

impl OpenQuery {
    /// Whether the provider is going away.
    fn is_gone(&self) -> bool {
        self.binding.enter().is_none()
    }

    /// Closes it, unless the provider is gone or does so by itself in a rundown.
    pub fn end(&self, session: &Session, service: &Service, passive: Passive<'_>) {
        if let Some(visit) = session.revisit(&self.binding, self.id, true) {
            peer::end(passive, &visit.guard, self.look_up);
            session.leave(service, passive, visit);
        }
        session.look_up_closed(service, passive, self.id);
    }
}

/// How large a record the caller can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// This many bytes; a larger record stays where it is and the caller is told its size.
    Within(usize),
    /// Whatever it takes, up to what a message may have.
    Any,
}

/// What the caller wants.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// The flags of the call.
    pub flags: LookupFlags,
    /// How large a record it can take.
    pub fit: Fit,
    /// The call is cancelled or the look-up closed: nothing more is asked.
    pub stop: bool,
}

/// What the search wants now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Tell the caller. With `NO_ERROR` there is a [`Search::record`]; with `WSAEFAULT` its size is
    /// [`Search::needed`].
    Reply(WsaCode),
    /// Park the task; the search goes on with what wakes it.
    Wait,
}

fn record(room: &Room, provider: Guid, tier: Tier) -> Result<Record<'_>, WsaCode> {
    let mut record = room.read().map_err(|_: Fault| WsaCode::WSAEINVALIDPROVIDER)?;
    tell(&mut record, provider);
    Ok(Record { tier, record })
}

/// Who answered is always told, whatever the provider wrote there.
const fn tell(record: &mut QuerySet<'_>, provider: Guid) {
    record.provider = Some(provider);
    record.namespace = ids::NS_EMAIL;
}

/// A look-up at work. See the module's description.
pub struct Search {
    machine: LookUp<CatalogPool>,
    flags: LookupFlags,
    query: Query,
    open: Option<OpenQuery>,
    /// How far along the chain it is.
    place: usize,
    room: Room,
    /// The place of the chain whose provider wrote what is in the room.
    held: Option<usize>,
    /// What is held did not fit the caller's buffer.
    refused: bool,
    /// A provider was asked for a record and has not answered.
    asking: bool,
    /// What is held was fetched for an earlier call. It has no member that that call did not ask for, also if this one
    /// does: the provider has moved on, and cannot be asked again.
    kept: bool,
    /// Bytes that what is held takes in a message.
    size: usize,
    needed: usize,
    /// How often the provider wanted more room for the record that is asked for.
    tries: u8,
}

impl Search {
    /// A look-up that has not asked anybody.
    #[must_use]
    pub const fn new(machine: LookUp<CatalogPool>, flags: LookupFlags, query: Query) -> Self {
        Self {
            place: machine.position(),
            machine,
            flags,
            query,
            open: None,
            room: Room::none(),
            held: None,
            refused: false,
            asking: false,
            kept: false,
            size: 0,
            needed: 0,
            tries: 0,
        }
    }

    /// The flags that the look-up was begun with.
    #[must_use]
    pub const fn flags(&self) -> LookupFlags {
        self.flags
    }

    /// The query at the provider that was asked and has not answered. To end it makes the provider answer.
    #[must_use]
    pub fn pending_query(&self) -> Option<&OpenQuery> {
        self.open.as_ref().filter(|_| self.asking)
    }

    /// Somebody else has ended the query at the provider.
    pub fn query_was_ended(&mut self) {
        self.open = None;
    }

    /// What the last record takes that did not fit.
    #[must_use]
    pub const fn needed(&self) -> usize {
        self.needed
    }

    /// Goes on, with what woke the task if it was parked. `stop` says that nobody wants the record any more: then only
    /// what the provider answered is taken in.
    pub fn advance(&mut self, call: &Context<'_>, wake: Option<Wake>, want: Want) -> Progress {
        let Want { flags, fit, stop } = want;
        if core::mem::take(&mut self.asking) {
            match wake {
                Some(Wake::Completed { code, .. }) => self.answered(call, code, fit),
                Some(Wake::Gone | Wake::Turn) | None => self.provider_is_gone(call),
            }
        } else if self.held.is_some() && !stop {
            // The record was fetched for an earlier call, which did not get it: it did not fit, or the call was
            // cancelled. Only one that did not fit can be dropped by asking for the next.
            if !(self.refused && flags.contains(LookupFlags::FLUSHPREVIOUS)) {
                self.kept = true;
                return Progress::Reply(WsaCode::NO_ERROR);
            }
            self.taken();
        }
        if stop {
            self.machine.drop_reply();
            return Progress::Reply(WsaCode::WSA_E_CANCELLED);
        }
        loop {
            match self.machine.step() {
                Step::Open(place) => {
                    if core::mem::replace(&mut self.place, place) < place {
                        up(&call.service.statistics.fall_throughs);
                    }
                    match self.begin(call, place) {
                        Some(outcome) => self.machine.opened(outcome),
                        None => return Progress::Wait,
                    }
                }
                Step::Ask(_) => {
                    if !self.ask(call, flags, fit) {
                        return Progress::Wait;
                    }
                }
                Step::Close(_) => {
                    self.close(call.session, call.service, call.passive);
                    self.machine.closed();
                }
                Step::Reply(code) => return Progress::Reply(code),
            }
        }
    }

    /// Opens the query at a place of the chain. `None` if it has to wait.
    fn begin(&mut self, call: &Context<'_>, place: usize) -> Option<Outcome> {
        let Some(candidate) = self.machine.candidate(place) else {
            return Some(Outcome::Unavailable);
        };
        let provider = candidate.entry.provider_ref();
        let visit = match call.session.visit(call, provider) {
            Admission::Inside(visit) => visit,
            Admission::Wait => return None,
            Admission::Unavailable => return Some(Outcome::Unavailable),
            Admission::OutOfMemory => return Some(Outcome::Failed(WsaCode::WSA_NOT_ENOUGH_MEMORY)),
        };
        let Visit { guard, id, session } = &visit;
        let begun = peer::begin(
            call.passive,
            guard,
            provider,
            &self.query,
            self.flags.bits(),
            *session,
        );
        if let Ok(look_up) = begun {
            call.session.look_up_opened(*id);
            self.open = Some(OpenQuery {
                binding: guard.reference(),
                id: *id,
                look_up,
            });
        }
        call.session.leave(call.service, call.passive, visit);
        Some(Outcome::of(begun.err().unwrap_or(WsaCode::NO_ERROR)))
    }

    /// Asks for a record. `false` if the answer comes later.
    fn ask(&mut self, call: &Context<'_>, flags: LookupFlags, fit: Fit) -> bool {
        let length = match fit {
            Fit::Within(length) => length.min(MOST_ROOM),
            Fit::Any => self.needed.max(FIRST_ROOM),
        };
        if self.room.prepare(length).is_err() {
            self.machine
                .asked(Outcome::Failed(WsaCode::WSA_NOT_ENOUGH_MEMORY));
            return true;
        }
        let visit = self
            .open
            .as_ref()
            .and_then(|open| call.session.revisit(&open.binding, open.id, false));
        let (Some(open), Some(visit)) = (&self.open, visit) else {
            self.provider_is_gone(call);
            return true;
        };
        let number = visit.guard.binding().number();
        let question = call
            .service
            .calls(|calls| calls.ask(call.ticket, Asked::Provider(number)));
        let status = peer::next(
            call.passive,
            &visit.guard,
            question,
            open.look_up,
            flags.bits(),
            &mut self.room,
        );
        call.session.leave(call.service, call.passive, visit);
        let Some(code) = status.final_code() else {
            self.asking = true;
            return false;
        };
        if call.service.calls(|calls| calls.settle(call.ticket)) {
            self.fault(
                call,
                format_args!("completed a call that it also answered at once"),
            );
        }
        self.answered(call, code, fit);
        true
    }

    /// A question has its final code.
    fn answered(&mut self, call: &Context<'_>, code: WsaCode, fit: Fit) {
        // A provider that is going away may give the call up as if it had been cancelled.
        let given_up = code.is_cancelled() && self.open.as_ref().is_some_and(OpenQuery::is_gone);
        if given_up || Outcome::of(code) == Outcome::Unavailable {
            self.provider_is_gone(call);
            return;
        }
        let outcome = match code {
            WsaCode::NO_ERROR => match self.measure() {
                Ok(size) => {
                    self.held = self.machine.open_position();
                    (self.size, self.tries) = (size, 0);
                    code
                }
                Err(fault) => {
                    self.fault(call, format_args!("wrote a malformed record: {fault}"));
                    WsaCode::WSAEINVALIDPROVIDER
                }
            },
            WsaCode::WSAEFAULT => {
                let needed = self.room.length();
                if needed <= self.room.offered() || needed > MOST_ROOM || self.tries > MOST_TRIES {
                    self.fault(call, format_args!("asked for a buffer of {needed} bytes"));
                    WsaCode::WSAEINVALIDPROVIDER
                } else {
                    self.needed = needed;
                    if fit == Fit::Any {
                        // The same question again, with more room.
                        self.tries = self.tries.saturating_add(1);
                        return;
                    }
                    code
                }
            }
            code => code,
        };
        self.machine.asked(Outcome::Code(outcome));
    }

    /// Bytes that the record in the room takes in a message.
    fn measure(&self) -> Result<usize, Fault> {
        let mut record = self.room.read()?;
        tell(&mut record, Guid::NIL);
        // What was read from a room can be expressed.
        Ok(record.size().unwrap_or(usize::MAX))
    }

    /// The provider of the open query is not available any more, or the session was run down.
    fn provider_is_gone(&mut self, call: &Context<'_>) {
        self.close(call.session, call.service, call.passive);
        self.machine.asked(Outcome::Unavailable);
    }

    /// The record that was found. Who answered is always told, whatever the provider wrote there.
    ///
    /// # Errors
    /// When there is none, or when the provider changed it after it was checked.
    pub fn record(&self, flags: LookupFlags) -> Result<Record<'_>, WsaCode> {
        let candidate = self.held.and_then(|place| self.machine.candidate(place));
        let candidate = candidate.ok_or(WsaCode::WSAEINVALIDPROVIDER)?;
        let mut found = record(&self.room, candidate.entry.provider(), tier(candidate.reason))?;
        if self.kept {
            // It was fetched with the flags of another call.
            found.record.select(self.flags.effective(flags));
        }
        Ok(found)
    }

    /// Bytes that the record takes in a message.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The record has reached the caller, or the caller does not want it.
    pub const fn taken(&mut self) {
        self.held = None;
        self.refused = false;
        self.kept = false;
    }

    /// The record did not fit the caller's buffer.
    pub const fn refused(&mut self) {
        self.refused = true;
    }

    fn fault(&self, call: &Context<'_>, text: core::fmt::Arguments<'_>) {
        let place = self.machine.open_position();
        let provider = place
            .and_then(|place| self.machine.candidate(place))
            .map(|it| it.entry.provider());
        call.service.event(EventKind::PEER_FAULT, provider, [0, 0], text);
    }

    /// Closes what is open at a provider. The last thing to do with a search.
    pub fn close(&mut self, session: &Session, service: &Service, passive: Passive<'_>) {
        if let Some(open) = self.open.take() {
            open.end(session, service, passive);
        }
    }
}

/// As what a provider is asked.
#[must_use]
pub const fn tier(reason: Reason) -> Tier {
    match reason {
        Reason::Named => Tier::Directed,
        Reason::Primary => Tier::Primary,
        Reason::Secondary => Tier::Secondary,
        Reason::Wildcard
        | Reason::WildcardSwitchedOff
        | Reason::WildcardClaimIgnored
        | Reason::PreferredNames => Tier::Wildcard,
    }
}
