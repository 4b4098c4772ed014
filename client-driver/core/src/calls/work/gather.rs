//! Whole look-ups in one call: of one name, and of many.

use nsemail_contract::wire::{BatchRequest, CounterKind, ENTRY_HEADER, REPLY_HEADER, ReplyWriter, Tail};
use nsemail_contract::{Fault, LookupFlags, QuerySet, WsaCode, limits};
use pool_alloc::{Arc, OutOfMemory};

use super::bare;
use super::names::Names;
use crate::calls::Context;
use crate::calls::table::Wake;
use crate::catalogue::Snapshot;
use crate::catalogue::lookup::Plan;
use crate::memory::CatalogPool;
use crate::query;
use crate::search::Progress;
use crate::service::Service;

/// `LOOKUP`.
pub struct OneShot(Names);

impl OneShot {
    /// The look-up of a query in the wire form, as it was planned by a catalogue, for a caller whose buffer has `capacity`
    /// bytes.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn try_new(
        catalogue: Arc<Snapshot<CatalogPool>, CatalogPool>,
        flags: LookupFlags,
        query: &[u8],
        plan: Plan,
        capacity: usize,
    ) -> Result<Self, OutOfMemory> {
        let capacity = capacity.saturating_sub(REPLY_HEADER);
        let mut names = Names::try_new(catalogue, flags, 1, query.len(), capacity)?;
        names.try_add(query, Ok(plan))?;
        Ok(Self(names))
    }

    pub(super) fn advance(&mut self, call: &Context<'_>, wake: Option<Wake>, orphaned: bool) -> Progress {
        let progress = self.0.advance(call, wake, orphaned);
        progress.unwrap_or(Progress::Reply(WsaCode::WSA_E_CANCELLED))
    }

    pub(super) fn measure(&self, code: WsaCode) -> usize {
        if code.is_success() {
            REPLY_HEADER.saturating_add(self.0.last_size())
        } else {
            REPLY_HEADER
        }
    }

    pub(super) fn write(&self, code: WsaCode, out: &mut [u8]) -> Option<usize> {
        if !code.is_success() {
            return bare(out, code);
        }
        let mut reply = ReplyWriter::new(out)?;
        for answer in self.0.answers() {
            // What does not fit is measured, so that the caller learns what all of it takes.
            let _ = reply.entries_of(answer.records);
        }
        Some(reply.finish(WsaCode::NO_ERROR, Tail::Required))
    }

    pub(super) fn end(&mut self, call: &Context<'_>) {
        self.0.end(call);
    }
}

/// `LOOKUP_BATCH`. Names are answered in their order, each as by itself, until all are or the caller's buffer is full. All
/// of them by the catalogue as it was at the beginning.
pub struct Batch {
    names: Names,
    size: usize,
    /// Bytes of the caller's buffer.
    capacity: usize,
}

impl Batch {
    /// The look-ups of a request.
    ///
    /// # Errors
    /// The first fault of its queries; else, when there is no memory.
    pub fn try_new(
        service: &Service,
        request: &BatchRequest<'_>,
        capacity: usize,
    ) -> Result<Result<Self, OutOfMemory>, Fault> {
        let capacity = capacity.min(limits::MESSAGE);
        let bytes = request.queries().map(<[u8]>::len).sum();
        let catalogue = service.catalogue();
        let mut names = Names::try_new(
            catalogue.clone(),
            request.flags,
            request.len(),
            bytes,
            capacity.saturating_sub(REPLY_HEADER),
        );
        let mut parsed = QuerySet::default();
        for query in request.queries() {
            // Also without memory: a fault counts more.
            parsed.read_wire(query)?;
            if let Ok(room) = &mut names {
                let plan = query::plan(&catalogue, &parsed, request.flags);
                if room.try_add(query, plan).is_err() {
                    names = Err(OutOfMemory);
                }
            }
        }
        Ok(names.map(|names| Self {
            names,
            size: REPLY_HEADER,
            capacity,
        }))
    }

    pub(super) fn advance(&mut self, call: &Context<'_>, mut wake: Option<Wake>, orphaned: bool) -> Progress {
        let mut results = call.service.statistics.run(CounterKind::BATCHED);
        while self.size <= self.capacity {
            let code = match self.names.advance(call, wake.take(), orphaned) {
                None => break,
                Some(Progress::Wait) => return Progress::Wait,
                Some(Progress::Reply(_)) if orphaned => break,
                Some(Progress::Reply(code)) => code,
            };
            results.count(code);
            let entry = self.names.last_size().saturating_add(ENTRY_HEADER);
            self.size = self.size.saturating_add(entry);
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
        for answer in self.names.answers() {
            let start = reply.open();
            reply.nested_entries(answer.records);
            if reply.close(start, answer.code.0).is_err() {
                // It was measured; nothing after it is written.
                break;
            }
        }
        Some(reply.finish(WsaCode::NO_ERROR, Tail::Continued))
    }

    pub(super) fn end(&mut self, call: &Context<'_>) {
        self.names.end(call);
    }
}
