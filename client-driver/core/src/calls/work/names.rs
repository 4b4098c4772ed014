//! The names that one call looks up, and what was found for each.
//!
//! Each provider is asked at once for all of the next few names for which it is its turn, if it can be
//! (`LookupServiceBatch`). What it leaves open is looked up name by name, as every look-up is: begun, asked for one
//! record after the other, and ended. Both leave the records as entries of a reply, in memory of the call's own: the
//! request may be cancelled, and its memory gone, at any time before the reply is written.

use core::mem;
use core::ops::Range;

use nsemail_contract::wire::{ENTRY_HEADER, EventKind, Tier, adopt};
use nsemail_contract::{Fault, Guid, LookupFlags, QuerySet, WsaCode, limits};
use pool_alloc::{Arc, OutOfMemory, Vec};

use crate::calls::Context;
use crate::calls::table::Wake;
use crate::catalogue::lookup::{LookUp, Outcome, Plan, Step};
use crate::catalogue::{Reason, Snapshot};
use crate::look_up::BoxedSearch;
use crate::memory::{BufferPool, CatalogPool};
use crate::peer::{self, Question};
use crate::query;
use crate::search::{Fit, Progress, Want, tier};
use crate::session::{Admission, Visit};
use crate::statistics::up;

/// So many names are asked for together at most. A program whose buffer is full before gets no more of them looked up
/// than these, and asks again for the rest.
const TOGETHER: usize = 64;
/// Bytes of the buffer for each name that a provider is asked for at once, in the mean. Names whose records do not fit
/// any more are looked up by themselves.
const ROOM: usize = 512;
/// Bytes of the buffer beyond that: for one name alone with a larger record.
const MORE_ROOM: usize = 512;

/// Bytes of the buffer for so many names.
const fn room_for(names: usize) -> usize {
    names.saturating_mul(ROOM).saturating_add(MORE_ROOM)
}

/// How far a name is.
enum State {
    /// Nobody was asked.
    Planned(Plan),
    /// Those who were asked have nothing.
    Begun(LookUp<CatalogPool>),
    /// Whose turn it is must be asked in the ordinary way.
    Single(LookUp<CatalogPool>),
    /// It is looked up by itself.
    Searching(BoxedSearch),
    /// The code is final.
    Answered,
}

/// A name.
struct Name {
    /// Where its query stands.
    query: Range<usize>,
    state: State,
    /// A provider is being asked for it, as this.
    asked: Option<Tier>,
    code: WsaCode,
    /// Where its records stand.
    records: Range<usize>,
}

/// See the module's description.
pub struct Names {
    /// By which they were planned.
    catalogue: Arc<Snapshot<CatalogPool>, CatalogPool>,
    flags: LookupFlags,
    list: Vec<Name, BufferPool>,
    /// The queries in the wire form, copied out of the request, and behind them the records.
    bytes: Vec<u8, BufferPool>,
    /// Bytes of the queries.
    queries: usize,
    /// The first name that was not passed yet.
    next: usize,
    /// The first name that no provider was asked for together with others.
    asked: usize,
    /// Bytes that the caller has for records.
    capacity: usize,
}

/// What was found for a name.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// `NO_ERROR` if there are records.
    pub code: WsaCode,
    /// The records, as entries of a reply.
    pub records: &'a [u8],
}

impl Names {
    /// Room for as many names as are going to be added, whose queries have so many bytes, for a caller who has `capacity`
    /// bytes for records.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn try_new(
        catalogue: Arc<Snapshot<CatalogPool>, CatalogPool>,
        flags: LookupFlags,
        count: usize,
        bytes: usize,
        capacity: usize,
    ) -> Result<Self, OutOfMemory> {
        let capacity = capacity.min(limits::MESSAGE);
        let bytes = bytes.saturating_add(room_for(count.min(TOGETHER)).min(capacity));
        Ok(Self {
            catalogue,
            flags,
            list: Vec::try_with_capacity_in(count, BufferPool::default())?,
            bytes: Vec::try_with_capacity_in(bytes, BufferPool::default())?,
            queries: 0,
            next: 0,
            asked: 0,
            capacity,
        })
    }

    /// Adds a name: its query in the wire form, and who is to be asked, or the code that it ends with. All are added before
    /// the first is looked up.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn try_add(&mut self, query: &[u8], plan: Result<Plan, WsaCode>) -> Result<(), OutOfMemory> {
        let start = self.queries;
        self.bytes.try_extend_from_slice(query)?;
        self.queries = self.bytes.len();
        self.list.try_reserve(1)?;
        let name = Name {
            query: start..self.queries,
            state: plan.map_or(State::Answered, State::Planned),
            asked: None,
            code: plan.err().unwrap_or(WsaCode::WSA_E_CANCELLED),
            records: 0..0,
        };
        self.list.push_within_capacity(name).map_err(|_| OutOfMemory)
    }

    /// Goes on with the next name; `None` if there is none any more. `Reply` passes to the one after it. `stop` says that
    /// nobody wants to know any more.
    pub fn advance(&mut self, call: &Context<'_>, wake: Option<Wake>, stop: bool) -> Option<Progress> {
        if !stop && self.next >= self.asked && self.next < self.list.len() {
            let last = self.next.saturating_add(TOGETHER).min(self.list.len());
            if !self.ask(call, self.next..last) {
                return Some(Progress::Wait);
            }
            self.asked = last;
        }
        let Self {
            catalogue,
            flags,
            list,
            bytes,
            next,
            ..
        } = self;
        let name = list.get_mut(*next)?;
        if let Some(look_up) = name.take(catalogue) {
            let query = QuerySet::parse_wire(bytes.get(name.query.clone()).unwrap_or_default());
            let query = query.map_err(|_: Fault| WsaCode::WSAEINVAL);
            name.records = bytes.len()..bytes.len();
            match query.and_then(|query| query::search(look_up, &query, *flags)) {
                Ok(search) => name.state = State::Searching(search),
                Err(code) => name.code = code,
            }
        }
        if let State::Searching(search) = &mut name.state {
            let Some(code) = gather(search, &mut name.records, bytes, call, wake, stop) else {
                return Some(Progress::Wait);
            };
            search.close(call.session, call.service, call.passive);
            name.state = State::Answered;
            name.code = code;
            if !code.is_success() {
                bytes.truncate(name.records.start);
                name.records.end = name.records.start;
            }
        }
        *next = next.saturating_add(1);
        Some(Progress::Reply(name.code))
    }

    /// Asks one provider after the other for those of some names at once for which it is its turn. `false` if the call has
    /// to wait before.
    fn ask(&mut self, call: &Context<'_>, some: Range<usize>) -> bool {
        while let Some(provider) = self.speaker(&some) {
            let mut count = 0_usize;
            for name in self.list.get_mut(some.clone()).unwrap_or_default() {
                let turn = name
                    .speaker(&self.catalogue)
                    .filter(|(speaker, _)| *speaker == provider);
                name.asked = turn.map(|(_, reason)| tier(reason));
                count = count.saturating_add(usize::from(name.asked.is_some()));
            }
            let heard = match call.session.visit(call, &provider) {
                Admission::Inside(visit) => {
                    let heard = self.ask_inside(call, &visit, provider, &some, count);
                    call.session.leave(call.service, call.passive, visit);
                    heard
                }
                Admission::Wait => return false,
                Admission::Unavailable => Err(Outcome::Unavailable),
                Admission::OutOfMemory => Err(SINGLE),
            };
            if let Err(outcome) = heard {
                let some = self.list.get_mut(some.clone()).unwrap_or_default();
                let its = some.iter_mut().filter(|name| name.asked.is_some());
                its.for_each(|name| name.heard(call, &self.catalogue, outcome, 0..0));
            }
        }
        true
    }

    /// The provider that may be asked at once for the first of some names, and perhaps for others.
    fn speaker(&self, some: &Range<usize>) -> Option<Guid> {
        let mut some = self.list.get(some.clone()).unwrap_or_default().iter();
        some.find_map(|name| name.speaker(&self.catalogue))
            .map(|(provider, _)| provider)
    }

    /// Asks a provider at once for those of some names that are marked, so many.
    ///
    /// # Errors
    /// What they all hear instead.
    fn ask_inside(
        &mut self,
        call: &Context<'_>,
        visit: &Visit,
        provider: Guid,
        some: &Range<usize>,
        count: usize,
    ) -> Result<(), Outcome> {
        if !peer::takes_batches(&visit.guard) {
            return Err(SINGLE);
        }
        let end = self.bytes.len();
        let room = self.capacity.saturating_sub(end.saturating_sub(self.queries));
        let room = room_for(count).min(room);
        let longer = self.bytes.try_resize(end.saturating_add(room), 0);
        longer.map_err(|OutOfMemory| SINGLE)?;
        let (before, buffer) = self.bytes.split_at_mut_checked(end).ok_or(SINGLE)?;
        let names = self.list.get_mut(some.clone()).unwrap_or_default();
        let question = Put {
            catalogue: &self.catalogue,
            provider,
            flags: self.flags,
        };
        let put = put(call, visit, &question, names, before, buffer);
        self.bytes.truncate(end.saturating_add(put.unwrap_or(0)));
        put.map(drop)
    }

    /// Bytes of the records of the name that was passed last.
    pub fn last_size(&self) -> usize {
        let last = self.next.checked_sub(1).and_then(|last| self.list.get(last));
        last.map_or(0, |name| name.records.len())
    }

    /// What was found for the names that were passed, in order.
    pub fn answers(&self) -> impl Iterator<Item = Answer<'_>> {
        self.list.iter().take(self.next).map(|name| Answer {
            code: name.code,
            records: self.bytes.get(name.records.clone()).unwrap_or_default(),
        })
    }

    /// Closes what is open at a provider.
    pub fn end(&mut self, call: &Context<'_>) {
        for name in self.list.iter_mut().skip(self.next) {
            if let State::Searching(search) = &mut name.state {
                search.close(call.session, call.service, call.passive);
            }
        }
    }
}

/// What a name hears that is to be looked up in the ordinary way.
const SINGLE: Outcome = Outcome::Code(WsaCode::WSAEOPNOTSUPP);

impl Name {
    /// The provider that may be asked for all of it at once, and why it is in the chain.
    fn speaker(&self, catalogue: &Snapshot<CatalogPool>) -> Option<(Guid, Reason)> {
        let speaker = match &self.state {
            State::Planned(plan) => plan.speaker(catalogue)?,
            State::Begun(look_up) => look_up.speaker()?,
            _ => return None,
        };
        Some((speaker.entry.provider(), speaker.reason))
    }

    /// Takes the look-up of a name that is not answered, and that is not looked up by itself already.
    fn take(&mut self, catalogue: &Arc<Snapshot<CatalogPool>, CatalogPool>) -> Option<LookUp<CatalogPool>> {
        if matches!(self.state, State::Answered | State::Searching(_)) {
            return None;
        }
        match mem::replace(&mut self.state, State::Answered) {
            State::Planned(plan) => Some(plan.begin(catalogue)),
            State::Begun(look_up) | State::Single(look_up) => Some(look_up),
            State::Answered | State::Searching(_) => None,
        }
    }

    /// What came of asking the provider whose turn it was for all of it.
    fn heard(
        &mut self,
        call: &Context<'_>,
        catalogue: &Arc<Snapshot<CatalogPool>, CatalogPool>,
        outcome: Outcome,
        records: Range<usize>,
    ) {
        if outcome == Outcome::Code(WsaCode::NO_ERROR) {
            self.state = State::Answered;
            self.records = records;
            self.code = WsaCode::NO_ERROR;
            return;
        }
        let Some(mut look_up) = self.take(catalogue) else {
            return;
        };
        let outcome = match outcome {
            // It did not fit, is to be begun, or was given up by a provider that goes.
            Outcome::Code(code)
                if matches!(code, WsaCode::WSAEFAULT | WsaCode::WSAEOPNOTSUPP) || code.is_cancelled() =>
            {
                self.state = State::Single(look_up);
                return;
            }
            // It took the query and had nothing: as good as not having the name.
            Outcome::Code(code) if code.is_no_more() => Outcome::Code(WsaCode::WSASERVICE_NOT_FOUND),
            outcome => outcome,
        };
        look_up.opened(outcome);
        if let Step::Reply(code) = look_up.step() {
            self.code = code;
        } else {
            up(&call.service.statistics.fall_throughs);
            self.state = State::Begun(look_up);
        }
    }
}

/// What [`put`] asks, beside the names.
struct Put<'a> {
    catalogue: &'a Arc<Snapshot<CatalogPool>, CatalogPool>,
    provider: Guid,
    flags: LookupFlags,
}

/// Puts the names that are marked to a provider, with a buffer for their records, behind what stands before it. Gives the
/// bytes of the records.
///
/// # Errors
/// What they all hear instead.
fn put(
    call: &Context<'_>,
    visit: &Visit,
    question: &Put<'_>,
    names: &mut [Name],
    before: &[u8],
    buffer: &mut [u8],
) -> Result<usize, Outcome> {
    let &Put {
        catalogue,
        provider,
        flags,
    } = question;
    let no_memory = |OutOfMemory| SINGLE;
    let its = names.iter().filter(|name| name.asked.is_some());
    let mut questions = its.map(|name| Question::new(before.get(name.query.clone()).unwrap_or_default()));
    // One alone needs no memory of the pool.
    let (mut single, mut several);
    let questions = if names.len() == 1 {
        single = questions.next();
        single.as_mut_slice()
    } else {
        several = Vec::try_with_capacity_in(names.len(), BufferPool::default()).map_err(no_memory)?;
        several.try_extend(questions).map_err(no_memory)?;
        several.as_mut_slice()
    };
    let code = peer::look_up_batch(
        call.passive,
        &visit.guard,
        &provider,
        flags.bits(),
        visit.session,
        questions,
        buffer,
    );
    let mut end = 0_usize;
    let its = names.iter_mut().filter(|name| name.asked.is_some());
    for (name, (answer, size)) in its.zip(questions.iter().map(Question::answer)) {
        let records = end..end.saturating_add(size);
        // Also if the answer is wrong: what is this name's is not the next one's.
        end = records.end;
        let entries = buffer.get_mut(records.clone());
        let outcome = match entries {
            _ if !code.is_success() => SINGLE,
            None => {
                fault(call, provider, format_args!("wrote beyond the room for records"));
                Outcome::Code(WsaCode::WSAEINVALIDPROVIDER)
            }
            Some(entries) => match adopt(entries, name.asked.unwrap_or(Tier::Wildcard), provider) {
                Ok(()) if answer.is_success() == (size > 0) => Outcome::of(answer),
                Ok(()) => {
                    fault(
                        call,
                        provider,
                        format_args!("answered {answer:?} with {size} bytes"),
                    );
                    Outcome::Code(WsaCode::WSAEINVALIDPROVIDER)
                }
                Err(wrong) => {
                    fault(call, provider, format_args!("wrote a malformed record: {wrong}"));
                    Outcome::Code(WsaCode::WSAEINVALIDPROVIDER)
                }
            },
        };
        let start = before.len();
        let records = start.saturating_add(records.start)..start.saturating_add(records.end);
        name.heard(call, catalogue, outcome, records);
    }
    Ok(end.min(buffer.len()))
}

/// Takes one record after the other from a search. The code that it ends with, or `None` if it has to wait.
fn gather(
    search: &mut BoxedSearch,
    found: &mut Range<usize>,
    bytes: &mut Vec<u8, BufferPool>,
    call: &Context<'_>,
    mut wake: Option<Wake>,
    stop: bool,
) -> Option<WsaCode> {
    // No record is skipped here: asking again with more room must bring the same one.
    let flags = search.flags().difference(LookupFlags::FLUSHPREVIOUS);
    loop {
        let want = Want {
            flags,
            fit: Fit::Any,
            stop,
        };
        match search.advance(call, wake.take(), want) {
            Progress::Wait => return None,
            Progress::Reply(WsaCode::NO_ERROR) => {
                let size = search.size().saturating_add(ENTRY_HEADER);
                if found.len().saturating_add(size) > limits::MESSAGE {
                    return Some(WsaCode::WSAENOBUFS);
                }
                if bytes.try_resize(found.end.saturating_add(size), 0).is_err() {
                    return Some(WsaCode::WSA_NOT_ENOUGH_MEMORY);
                }
                let place = bytes.get_mut(found.end..).unwrap_or_default();
                let record = match search.record(flags) {
                    Ok(record) => record,
                    Err(code) => return Some(code),
                };
                if record.write_entry(place) != Ok(size) {
                    // The provider has changed it since it was measured.
                    return Some(WsaCode::WSAEINVALIDPROVIDER);
                }
                found.end = found.end.saturating_add(size);
                search.taken();
            }
            Progress::Reply(WsaCode::WSA_E_NO_MORE) if found.start < found.end => {
                return Some(WsaCode::NO_ERROR);
            }
            Progress::Reply(code) => return Some(code),
        }
    }
}

fn fault(call: &Context<'_>, provider: Guid, text: core::fmt::Arguments<'_>) {
    call.service
        .event(EventKind::PEER_FAULT, Some(provider), [0, 0], text);
}
