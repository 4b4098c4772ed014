//! Whole look-ups in one call: of one name, and of many.
//!
//! The records are collected in the form in which the providers wrote them, and written to the reply at the end: the
//! request may be cancelled, and its memory gone, at any time before.

use nsemail_contract::wire::{BatchRequest, REPLY_HEADER, ReplyWriter, Tail};
use nsemail_contract::{LookupFlags, WsaCode, limits};
use nsemail_kernel::pool::Pool;
use pool_alloc::{OutOfMemory, Vec};

use super::{ENTRY_HEADER, bare};
use crate::calls::Context;
use crate::calls::table::Wake;
use crate::look_up::BoxedSearch;
use crate::memory::BufferPool;
use crate::query;
use crate::search::{Fit, Found, Progress, Want};

/// All records of one name.
struct Gather {
    search: BoxedSearch,
    found: Vec<Found, BufferPool>,
    /// Bytes of the records as entries of a reply.
    size: usize,
}

impl Gather {
    const fn new(search: BoxedSearch) -> Self {
        Self { search, found: Vec::new_in(Pool), size: 0 }
    }

    /// Goes on. `Reply(NO_ERROR)` if there are records.
    fn advance(&mut self, call: &Context<'_>, mut wake: Option<Wake>, stop: bool) -> Progress {
        loop {
            let want = Want { flags: self.search.flags(), fit: Fit::Any, stop };
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
                WsaCode::WSA_E_NO_MORE if !self.found.is_empty() => return Progress::Reply(WsaCode::NO_ERROR),
                code => return Progress::Reply(code),
            }
        }
    }

    fn keep(&mut self) -> Result<(), WsaCode> {
        let found = self.search.take()?;
        let size = found.record()?.record.size().map_err(|_| WsaCode::WSAEINVALIDPROVIDER)?;
        self.size = self.size.saturating_add(size).saturating_add(ENTRY_HEADER);
        if self.size > limits::MESSAGE {
            return Err(WsaCode::WSAENOBUFS);
        }
        self.found.try_push(found).map_err(|OutOfMemory| WsaCode::WSA_NOT_ENOUGH_MEMORY)
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
        if code.is_success() { REPLY_HEADER.saturating_add(self.0.size) } else { REPLY_HEADER }
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
}

/// `LOOKUP_BATCH`. The names are looked up one after another, each as by itself, until all are answered or the caller's
/// buffer is full.
pub struct Batch {
    /// The request, whose memory the reply will be written over.
    message: Vec<u8, BufferPool>,
    flags: LookupFlags,
    next: usize,
    current: Option<Gather>,
    answers: Vec<Answer, BufferPool>,
    size: usize,
    /// Bytes of the caller's buffer.
    capacity: usize,
}

impl Batch {
    /// The batch of a request that was parsed before.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn try_new(message: &[u8], flags: LookupFlags, capacity: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            message: Vec::try_from_slice_in(message, BufferPool::default())?,
            flags,
            next: 0,
            current: None,
            answers: Vec::new_in(Pool),
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
                        let none = Vec::new_in(Pool);
                        let found = core::mem::replace(&mut gather.found, none);
                        let size = if code.is_success() { gather.size } else { 0 };
                        self.size = self.size.saturating_add(size);
                        Answer { code, found }
                    }
                }
            } else {
                match self.begin(call) {
                    None => break,
                    Some(Ok(search)) => {
                        self.current = Some(Gather::new(search));
                        continue;
                    }
                    Some(Err(code)) => Answer { code, found: Vec::new_in(Pool) },
                }
            };
            self.current = None;
            self.next = self.next.saturating_add(1);
            self.size = self.size.saturating_add(ENTRY_HEADER);
            if self.answers.try_push(answer).is_err() {
                return Progress::Reply(WsaCode::WSA_NOT_ENOUGH_MEMORY);
            }
        }
        Progress::Reply(WsaCode::NO_ERROR)
    }

    /// Begins with the next name; `None` after the last.
    fn begin(&self, call: &Context<'_>) -> Option<Result<BoxedSearch, WsaCode>> {
        // It was parsed before, so it can be parsed again. The names before this one are stepped over by their sizes.
        let query = BatchRequest::parse(&self.message).ok()?.queries().nth(self.next)?;
        Some(query::search(call.service, &query, self.flags))
    }

    pub(super) const fn measure(&self, code: WsaCode) -> usize {
        if code.is_success() { self.size } else { REPLY_HEADER }
    }

    pub(super) fn write(&self, code: WsaCode, out: &mut [u8]) -> Option<usize> {
        if !code.is_success() {
            return bare(out, code);
        }
        let mut reply = ReplyWriter::new(out)?;
        for answer in &self.answers {
            let start = reply.open();
            let mut code = answer.code;
            for found in answer.found.iter().filter(|_| answer.code.is_success()) {
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
