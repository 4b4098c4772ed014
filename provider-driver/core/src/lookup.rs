//! An open look-up: `NSPv2LookupServiceNextEx` without the peer's memory.
//!
//! What a look-up returns was fixed when it began. A record that does not fit is not passed over: the caller learns its
//! size and gets the same record next time, unless it asks with `LUP_FLUSHPREVIOUS` to go on with the next one.

use nsemail_contract::codes::WsaCode;
use nsemail_contract::fault::WriteError;
use nsemail_contract::flags::{LookupFlags, OutputFlags};
use nsemail_contract::guid::Guid;
use nsemail_contract::queryset::{Protocols, QuerySet};
use pool_alloc::{Allocator, OutOfMemory, Vec};

use crate::store::{Found, RecordRef};

/// What was found, and how much of it was delivered.
#[derive(Debug)]
pub struct Lookup<A: Allocator> {
    provider: Guid,
    flags: LookupFlags,
    /// The protocol filter, encoded.
    protocols: Vec<u8, A>,
    found: Found<A>,
    /// The next record to deliver.
    next: usize,
    /// The record that did not fit the last call's buffer.
    too_large: Option<usize>,
    /// A record was delivered, or dropped by the caller's wish.
    passed: bool,
}

/// The answer to a call for the next record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The record was written, in so many bytes.
    Written(usize),
    /// The record takes so many bytes and stays the next one.
    TooSmall(usize),
    /// There is no record; why.
    None(WsaCode),
}

/// The members that records here can have.
const ANSWERABLE: LookupFlags = LookupFlags::RETURN_NAME
    .union(LookupFlags::RETURN_VERSION)
    .union(LookupFlags::RETURN_COMMENT)
    .union(LookupFlags::RETURN_ADDR)
    .union(LookupFlags::RETURN_BLOB);

impl<A: Allocator> Lookup<A> {
    /// A look-up that begins with what was found for it.
    ///
    /// # Errors
    ///
    /// No memory.
    pub fn try_new(
        provider: Guid,
        flags: LookupFlags,
        protocols: Protocols<'_>,
        found: Found<A>,
        alloc: A,
    ) -> Result<Self, OutOfMemory> {
        let mut encoded = Vec::new_in(alloc);
        for filter in protocols.iter() {
            encoded.try_extend_from_slice(&filter.family.to_le_bytes())?;
            encoded.try_extend_from_slice(&filter.protocol.to_le_bytes())?;
        }
        Ok(Self {
            provider,
            flags,
            protocols: encoded,
            found,
            next: 0,
            too_large: None,
            passed: false,
        })
    }

    /// Delivers the next record through `write`, which answers the bytes it took or how many it would take.
    pub fn next(
        &mut self,
        flags: LookupFlags,
        write: impl FnOnce(&QuerySet<'_>) -> Result<usize, WriteError>,
    ) -> Next {
        if flags.contains(LookupFlags::FLUSHPREVIOUS)
            && let Some(dropped) = self.too_large.take()
        {
            self.next = dropped.saturating_add(1);
            self.passed = true;
        }
        let effective = self.flags.effective(flags);
        let rest = self.found.records.iter().enumerate().skip(self.next);
        let wanted = rest
            .map(|(index, record)| (index, record.view()))
            .find(|(_, view)| answers(view, effective));
        let Some((index, view)) = wanted else {
            return Next::None(match (self.passed, self.found.known) {
                (true, _) => WsaCode::WSA_E_NO_MORE,
                (false, true) => WsaCode::WSANO_DATA,
                (false, false) => WsaCode::WSASERVICE_NOT_FOUND,
            });
        };
        let protocols = Protocols::encoded(&self.protocols);
        let mut result = view.query_set(self.provider);
        narrow(&mut result, protocols, effective);
        match write(&result) {
            Ok(size) => {
                self.next = index.saturating_add(1);
                self.too_large = None;
                self.passed = true;
                Next::Written(size)
            }
            Err(WriteError::TooSmall { needed }) => {
                self.too_large = Some(index);
                Next::TooSmall(needed)
            }
            // Nothing that a store takes is larger than the form can say.
            Err(WriteError::TooLarge) => Next::None(WsaCode::WSA_NOT_ENOUGH_MEMORY),
        }
    }
}

/// Leaves of all that a record says what is asked for.
pub(crate) const fn narrow<'r>(result: &mut QuerySet<'r>, protocols: Protocols<'r>, effective: LookupFlags) {
    let preferred = effective.intersection(LookupFlags::RETURN_PREFERRED_NAMES).bits();
    result.addresses.filter_by(protocols);
    result.output_flags = preferred & OutputFlags::PREFERRED_NAMES.bits();
    result.select(effective);
}

/// Whether the record has anything to say: only addresses being asked for, one without any has not.
pub(crate) fn answers(view: &RecordRef<'_>, effective: LookupFlags) -> bool {
    effective.intersection(ANSWERABLE) != LookupFlags::RETURN_ADDR || view.address_count() > 0
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
