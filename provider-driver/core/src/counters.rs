//! What the driver counts.

use core::sync::atomic::{AtomicU64, Ordering};

use nsemail_contract::codes::WsaCode;
use nsemail_contract::wire::{Counter, CounterKind};

/// The kinds that are counted by result.
const BY_RESULT: [CounterKind; 10] = [
    CounterKind::STARTUP,
    CounterKind::CLEANUP,
    CounterKind::LOOKUP_BEGIN,
    CounterKind::LOOKUP_NEXT,
    CounterKind::LOOKUP_END,
    CounterKind::LOOKUP,
    CounterKind::REGISTER,
    CounterKind::DEREGISTER,
    CounterKind::DELETE,
    CounterKind::RUNDOWN,
];

/// The results that this driver answers with.
const RESULTS: [WsaCode; 13] = [
    WsaCode::NO_ERROR,
    WsaCode::WSA_INVALID_HANDLE,
    WsaCode::WSA_NOT_ENOUGH_MEMORY,
    WsaCode::WSAEFAULT,
    WsaCode::WSAEINVAL,
    WsaCode::WSAEOPNOTSUPP,
    WsaCode::WSAEACCES,
    WsaCode::WSASYSNOTREADY,
    WsaCode::WSASYSCALLFAILURE,
    WsaCode::WSASERVICE_NOT_FOUND,
    WsaCode::WSA_E_NO_MORE,
    WsaCode::WSA_E_CANCELLED,
    WsaCode::WSANO_DATA,
];

/// The plain counters.
const PLAIN: [CounterKind; 7] = [
    CounterKind::SESSIONS,
    CounterKind::LOOKUPS,
    CounterKind::CALLS,
    CounterKind::BINDINGS,
    CounterKind::MALFORMED,
    CounterKind::LOG_FLUSHES,
    CounterKind::LOG_RECORDS,
];

/// Counters since the driver was loaded.
#[derive(Debug)]
pub struct Counters {
    by_result: [[AtomicU64; RESULTS.len()]; BY_RESULT.len()],
    plain: [AtomicU64; PLAIN.len()],
}

impl Counters {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            by_result: [const { [const { AtomicU64::new(0) }; RESULTS.len()] }; BY_RESULT.len()],
            plain: [const { AtomicU64::new(0) }; PLAIN.len()],
        }
    }

    /// Counts a call's result.
    pub fn result(&self, kind: CounterKind, code: WsaCode) {
        let row = BY_RESULT.iter().position(|&counted| counted == kind);
        let column = RESULTS.iter().position(|&counted| counted == code);
        if let (Some(row), Some(column)) = (row, column)
            && let Some(counter) = self.by_result.get(row).and_then(|row| row.get(column))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds to a plain counter.
    pub fn add(&self, kind: CounterKind, count: u64) {
        if let Some(counter) = self.plain(kind) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Takes from a plain counter what was added to it.
    pub fn subtract(&self, kind: CounterKind, count: u64) {
        if let Some(counter) = self.plain(kind) {
            counter.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// The present value of a plain counter.
    pub fn get(&self, kind: CounterKind) -> u64 {
        self.plain(kind)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Sets everything back to zero but what counts things that are there now.
    pub fn reset(&self) {
        const PAST: [CounterKind; 3] = [
            CounterKind::MALFORMED,
            CounterKind::LOG_FLUSHES,
            CounterKind::LOG_RECORDS,
        ];
        let past = PAST.iter().filter_map(|&kind| self.plain(kind));
        for counter in self.by_result.iter().flatten().chain(past) {
            counter.store(0, Ordering::Relaxed);
        }
    }

    fn plain(&self, kind: CounterKind) -> Option<&AtomicU64> {
        self.plain.get(PLAIN.iter().position(|&counted| counted == kind)?)
    }

    /// The counters that are not zero, and all plain ones.
    pub fn iter(&self) -> impl Iterator<Item = Counter> {
        let by_result = BY_RESULT.iter().zip(&self.by_result).flat_map(|(&kind, row)| {
            RESULTS.iter().zip(row).map(move |(&code, counter)| Counter {
                kind,
                code,
                value: counter.load(Ordering::Relaxed),
            })
        });
        let plain = PLAIN.iter().zip(&self.plain).map(|(&kind, counter)| Counter {
            kind,
            code: WsaCode::NO_ERROR,
            value: counter.load(Ordering::Relaxed),
        });
        by_result.filter(|counter| counter.value != 0).chain(plain)
    }
}
