//! Whole look-ups in one call: of one name, and of many.
//!
//! The records are collected in the form in which the providers wrote them, and written to the reply at the end: the
//! request may be cancelled, and its memory gone, at any time before.

use nsemail_contract::wire::{BatchRequest, CounterKind, REPLY_HEADER, ReplyWriter, Tail};
use nsemail_contract::{LookupFlags, WsaCode, limits};
use nsemail_kernel::pool::Pool;
use pool_alloc::{IntoIter, OutOfMemory, Vec};

use super::{ENTRY_HEADER, bare};
use crate::calls::Context;
use crate::calls::table::Wake;
use crate::look_up::BoxedSearch;
use crate::memory::BufferPool;
use crate::query;
use crate::search::{Fit, Found, Progress, Want};
use crate::service::Service;

/// All records of one name.
struct Gather {
    search: BoxedSearch,
    found: Vec<Found, BufferPool>,
    /// Bytes of the records as entries of a reply.
    size: usize,
}

impl Gather {
    const fn new(search: BoxedSearch) -> Self {
        Self {
            search,
            found: Vec::new_in(Pool),
            size: 0,
        }
    }

    /// Goes on. `Reply(NO_ERROR)` if there are records.
    fn advance(&mut self, call: &Context<'_>, mut wake: Option<Wake>, stop: bool) -> Progress {
        loop {
            let want = Want {
                // No record is skipped here: asking again with more room must bring the same one.
                flags: self.search.flags().difference(LookupFlags::FLUSHPREVIOUS),
                fit: Fit::Any,
                stop,
            };
            let code = match self.search.advance(call, wake.take(), want) {
                Progress::Reply(code) => code,
                Progress::Wait => return Progress::Wait,
            };
            match code {
                WsaCode::NO_ERROR => {
                    if let Err(code) = self.keep() {
                        return Progress::Reply(code);
                    }
                }
                WsaCode::WSA_E_NO_MORE if !self.found.is_empty() => {
                    return Progress::Reply(WsaCode::NO_ERROR);
                }
                code => return Progress::Reply(code),
            }
        }
    }

    fn keep(&mut self) -> Result<(), WsaCode> {
        let found = self.search.take()?;
        self.size = self
            .size
            .saturating_add(found.size())
            .saturating_add(ENTRY_HEADER);
        if self.size > limits::MESSAGE {
            return Err(WsaCode::WSAENOBUFS);
        }
        self.found
            .try_push(found)
            .map_err(|OutOfMemory| WsaCode::WSA_NOT_ENOUGH_MEMORY)
    }

    /// What was found, as the answer to one query of a batch.
    fn answer(&mut self, code: WsaCode) -> Answer {
        let found = core::mem::replace(&mut self.found, Vec::new_in(Pool));
        if code.is_success() {
            return Answer {
                code,
                found,
                size: self.size,
            };
        }
        Answer {
            code,
            found: Vec::new_in(Pool),
            size: 0,
        }
    }

    fn end(&mut self, call: &Context<'_>) {
        self.search.close(call.session, call.service, call.passive);
    }
}

/// `LOOKUP`.
pub struct OneShot(Gather);

impl OneShot {
    /// The look-up that `search` makes.
    #[must_use]
    pub const fn new(search: BoxedSearch) -> Self {
        Self(Gather::new(search))
    }

    pub(super) fn advance(&mut self, call: &Context<'_>, wake: Option<Wake>, orphaned: bool) -> Progress {
        self.0.advance(call, wake, orphaned)
    }

    pub(super) const fn measure(&self, code: WsaCode) -> usize {
        if code.is_success() {
            REPLY_HEADER.saturating_add(self.0.size)
        } else {
            REPLY_HEADER
        }
    }

    pub(super) fn write(&self, code: WsaCode, out: &mut [u8]) -> Option<usize> {
        if !code.is_success() {
            return bare(out, code);
        }
        let mut reply = ReplyWriter::new(out)?;
        for found in &self.0.found {
            match found.record() {
                // What does not fit is measured, so that the caller learns what all of it takes.
                Ok(record) => drop(record.write(&mut reply)),
                Err(code) => return Some(reply.finish(code, Tail::Required)),
            }
        }
        Some(reply.finish(WsaCode::NO_ERROR, Tail::Required))
    }

    pub(super) fn end(&mut self, call: &Context<'_>) {
        self.0.end(call);
    }
}

/// What one name of a batch was answered.
struct Answer {
    code: WsaCode,
    found: Vec<Found, BufferPool>,
    /// Bytes of the records as entries.
    size: usize,
}

/// `LOOKUP_BATCH`. The names are looked up one after another, each as by itself, until all are answered or the caller's
/// buffer is full. All of them by the catalogue as it was at the beginning.
pub struct Batch {
    /// What is to be looked up, in order.
    waiting: IntoIter<Result<BoxedSearch, WsaCode>, BufferPool>,
    current: Option<Gather>,
    answers: Vec<Answer, BufferPool>,
    size: usize,
    /// Bytes of the caller's buffer.
    capacity: usize,
}

impl Batch {
    /// The look-ups of a request.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn try_new(
        service: &Service,
        request: &BatchRequest<'_>,
        capacity: usize,
    ) -> Result<Self, OutOfMemory> {
        let searches = request
            .queries()
            .map(|query| query::search(service, &query, request.flags));
        Ok(Self {
            waiting: Vec::try_from_iter_in(searches, BufferPool::default())?.into_iter(),
            current: None,
            answers: Vec::try_with_capacity_in(request.len(), BufferPool::default())?,
            size: REPLY_HEADER,
            capacity: capacity.min(limits::MESSAGE),
        })
    }

    pub(super) fn advance(&mut self, call: &Context<'_>, mut wake: Option<Wake>, orphaned: bool) -> Progress {
        while self.size <= self.capacity {
            let answer = if let Some(gather) = &mut self.current {
                match gather.advance(call, wake.take(), orphaned) {
                    Progress::Wait => return Progress::Wait,
                    Progress::Reply(_) if orphaned => break,
                    Progress::Reply(code) => {
                        gather.end(call);
                        gather.answer(code)
                    }
                }
            } else {
                match self.waiting.next() {
                    None => break,
                    Some(Ok(search)) => {
                        self.current = Some(Gather::new(search));
                        continue;
                    }
                    Some(Err(code)) => Answer {
                        code,
                        found: Vec::new_in(Pool),
                        size: 0,
                    },
                }
            };
            self.current = None;
            call.service.statistics.count(CounterKind::BATCHED, answer.code);
            self.size = self.size.saturating_add(ENTRY_HEADER).saturating_add(answer.size);
            if self.answers.push_within_capacity(answer).is_err() {
                // There is a place for the answer to each query.
                return Progress::Reply(WsaCode::WSA_NOT_ENOUGH_MEMORY);
            }
        }
        Progress::Reply(WsaCode::NO_ERROR)
    }

    pub(super) const fn measure(&self, code: WsaCode) -> usize {
        if code.is_success() {
            self.size
        } else {
            REPLY_HEADER
        }
    }

    pub(super) fn write(&self, code: WsaCode, out: &mut [u8]) -> Option<usize> {
        if !code.is_success() {
            return bare(out, code);
        }
        let mut reply = ReplyWriter::new(out)?;
        for answer in &self.answers {
            let start = reply.open();
            let mut code = answer.code;
            for found in &answer.found {
                match found.record() {
                    Ok(record) => drop(record.write_nested(&mut reply)),
                    Err(fault) => code = fault,
                }
            }
            if reply.close(start, code.0).is_err() {
                // It was measured; nothing after it is written.
                break;
            }
        }
        Some(reply.finish(WsaCode::NO_ERROR, Tail::Continued))
    }

    pub(super) fn end(&mut self, call: &Context<'_>) {
        if let Some(mut gather) = self.current.take() {
            gather.end(call);
        }
    }
}
