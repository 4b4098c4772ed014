//! The next record of a look-up.

use nsemail_contract::wire::{REPLY_HEADER, ReplyWriter, Tail};
use nsemail_contract::{LookupFlags, WsaCode};
use pool_alloc::Arc;

use super::{ONE_RECORD, bare};
use crate::calls::Context;
use crate::calls::table::Wake;
use crate::look_up::{BoxedSearch, OpenLookUp, Turn};
use crate::memory::SessionPool;
use crate::search::{Fit, Progress, Want};

/// `LOOKUP_NEXT`. See [`OpenLookUp`] for how several of them share a look-up.
pub struct Next {
    look_up: Arc<OpenLookUp, SessionPool>,
    /// The search, while it is this call's turn.
    search: Option<BoxedSearch>,
    /// The task was parked with the search.
    waited: bool,
    flags: LookupFlags,
    /// Bytes of the caller's buffer.
    capacity: usize,
}

impl Next {
    /// A call with these flags, whose buffer has `capacity` bytes.
    #[must_use]
    pub const fn new(look_up: Arc<OpenLookUp, SessionPool>, flags: LookupFlags, capacity: usize) -> Self {
        Self {
            look_up,
            search: None,
            waited: false,
            flags,
            capacity,
        }
    }

    pub(super) fn advance(&mut self, call: &Context<'_>, wake: Option<Wake>, orphaned: bool) -> Progress {
        let search = match &mut self.search {
            Some(search) => search,
            // Also when orphaned: whoever was woken for its turn takes it, to pass it on when it gives the search back.
            None => match self.look_up.turn(call) {
                Turn::Yours(search) => self.search.insert(search),
                Turn::Wait => return Progress::Wait,
                Turn::Closed => {
                    // One that waited was cancelled; one that just came has a handle that is not valid any more.
                    let code = if wake.is_some() {
                        WsaCode::WSA_E_CANCELLED
                    } else {
                        WsaCode::WSA_INVALID_HANDLE
                    };
                    return Progress::Reply(code);
                }
                Turn::OutOfMemory => return Progress::Reply(WsaCode::WSA_NOT_ENOUGH_MEMORY),
            },
        };
        let closed = core::mem::take(&mut self.waited) && !self.look_up.waits_no_more(search);
        let stop = orphaned || closed;
        let fit = Fit::Within(self.capacity.saturating_sub(ONE_RECORD));
        search.advance(
            call,
            wake,
            Want {
                flags: self.flags,
                fit,
                stop,
            },
        )
    }

    pub(super) fn waits(&mut self, call: &Context<'_>) {
        if let Some(search) = &mut self.search {
            self.waited = true;
            self.look_up.waits(search, call);
        }
    }

    pub(super) fn measure(&self, code: WsaCode) -> usize {
        let record = self
            .search
            .as_ref()
            .filter(|_| code.is_success())
            .and_then(|search| {
                let record = search.record(self.flags).ok()?.record;
                record.size().ok()
            });
        record.map_or(REPLY_HEADER, |size| size.saturating_add(ONE_RECORD))
    }

    pub(super) fn write(&mut self, code: WsaCode, out: &mut [u8]) -> Option<usize> {
        let Some(search) = &mut self.search else {
            return bare(out, code);
        };
        match code {
            WsaCode::NO_ERROR => {
                let mut reply = ReplyWriter::new(out)?;
                let written = search.record(self.flags).map(|record| record.write(&mut reply));
                match written {
                    Ok(Ok(())) => search.taken(),
                    Ok(Err(_)) => search.refused(),
                    Err(code) => {
                        search.taken();
                        return Some(reply.finish(code, Tail::Required));
                    }
                }
                Some(reply.finish(WsaCode::NO_ERROR, Tail::Required))
            }
            WsaCode::WSAEFAULT => ReplyWriter::too_small(out, search.needed().saturating_add(ONE_RECORD)),
            code => bare(out, code),
        }
    }

    pub(super) fn end(&mut self, call: &Context<'_>, _: bool) {
        if let Some(search) = self.search.take() {
            self.look_up.give_back(search, call);
        }
    }
}
