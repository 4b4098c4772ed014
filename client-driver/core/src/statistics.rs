//! Counters.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nsemail_contract::WsaCode;
use nsemail_contract::wire::CounterKind;

/// The kinds that are counted by result.
const BY_RESULT: [CounterKind; 11] = [
    CounterKind::STARTUP,
    CounterKind::CLEANUP,
    CounterKind::LOOKUP_BEGIN,
    CounterKind::LOOKUP_NEXT,
    CounterKind::LOOKUP_END,
    CounterKind::REGISTER,
    CounterKind::DEREGISTER,
    CounterKind::DELETE,
    CounterKind::LOOKUP,
    CounterKind::BATCHED,
    CounterKind::RUNDOWN,
];

const CODES: usize = WsaCode::ALL.len();

/// What stands for a code that has no name.
const OTHER: WsaCode = WsaCode(u32::MAX);

/// The counters of the driver. Reading them while calls run gives values that were true at some moment each.
#[derive(Debug)]
pub struct Statistics {
    /// One row per kind; the last column is for codes that have no name.
    results: [[AtomicU64; CODES.saturating_add(1)]; BY_RESULT.len()],
    /// Sessions that are open.
    pub sessions: AtomicU64,
    /// Look-ups that are open.
    pub look_ups: AtomicU64,
    /// Times that a call went on to the next provider.
    pub fall_throughs: AtomicU64,
    /// Calls cancelled.
    pub cancelled: AtomicU64,
    /// Malformed requests.
    pub malformed: AtomicU64,
}

impl Default for Statistics {
    fn default() -> Self {
        Self::new()
    }
}

impl Statistics {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            results: [const { [const { AtomicU64::new(0) }; CODES.saturating_add(1)] }; BY_RESULT.len()],
            sessions: AtomicU64::new(0),
            look_ups: AtomicU64::new(0),
            fall_throughs: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
        }
    }

    /// Counts a result.
    pub fn count(&self, kind: CounterKind, code: WsaCode) {
        let row = BY_RESULT
            .iter()
            .position(|known| *known == kind)
            .and_then(|row| self.results.get(row));
        let column = WsaCode::ALL
            .iter()
            .position(|known| *known == code)
            .unwrap_or(CODES);
        if let Some(counter) = row.and_then(|row| row.get(column)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// The counters by result that are not zero.
    pub fn results(&self) -> impl Iterator<Item = (CounterKind, WsaCode, u64)> {
        BY_RESULT
            .iter()
            .zip(&self.results)
            .flat_map(|(kind, row)| {
                let codes = WsaCode::ALL.iter().copied().chain([OTHER]);
                codes
                    .zip(row)
                    .map(|(code, counter)| (*kind, code, counter.load(Relaxed)))
            })
            .filter(|(_, _, value)| *value > 0)
    }
}

/// Adds one.
pub fn up(gauge: &AtomicU64) {
    gauge.fetch_add(1, Relaxed);
}

/// Takes one off.
pub fn down(gauge: &AtomicU64) {
    gauge.fetch_sub(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted_by_kind_and_code() {
        let statistics = Statistics::new();
        statistics.count(CounterKind::LOOKUP, WsaCode::NO_ERROR);
        statistics.count(CounterKind::LOOKUP, WsaCode::NO_ERROR);
        statistics.count(CounterKind::LOOKUP, WsaCode(4711));
        statistics.count(CounterKind::DELETE, WsaCode::WSAEACCES);
        statistics.count(CounterKind::SESSIONS, WsaCode::NO_ERROR);
        let results: std::vec::Vec<_> = statistics.results().collect();
        assert_eq!(
            results,
            [
                (CounterKind::DELETE, WsaCode::WSAEACCES, 1),
                (CounterKind::LOOKUP, WsaCode::NO_ERROR, 2),
                (CounterKind::LOOKUP, OTHER, 1),
            ]
        );
    }
}
