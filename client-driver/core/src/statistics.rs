//! Counters.

use core::iter;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use nsemail_contract::WsaCode;
use nsemail_contract::wire::CounterKind;
use pool_alloc::{OutOfMemory, Vec};

use crate::memory::ServicePool;

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

/// Every code that has a name, and one for all others.
const COLUMNS: usize = WsaCode::ALL.len().saturating_add(1);

/// What stands for a code that has no name.
const OTHER: WsaCode = WsaCode(u32::MAX);

/// The counters of the driver. Reading them while calls run gives values that were true at some moment each.
#[derive(Debug)]
pub struct Statistics {
    /// One row per kind; the last column is for codes that have no name. In memory of its own, because it is large for
    /// a kernel stack.
    results: Vec<AtomicU64, ServicePool>,
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

impl Statistics {
    /// All zero.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn try_new() -> Result<Self, OutOfMemory> {
        let counters = iter::repeat_with(AtomicU64::default).take(BY_RESULT.len().saturating_mul(COLUMNS));
        Ok(Self {
            results: Vec::try_from_iter_in(counters, ServicePool::default())?,
            sessions: AtomicU64::new(0),
            look_ups: AtomicU64::new(0),
            fall_throughs: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
        })
    }

    /// Counts a result.
    pub fn count(&self, kind: CounterKind, code: WsaCode) {
        self.add(kind, code, 1);
    }

    fn add(&self, kind: CounterKind, code: WsaCode, count: u64) {
        let row = BY_RESULT.iter().position(|known| *known == kind);
        let column = WsaCode::ALL.iter().position(|known| *known == code);
        let column = column.unwrap_or(COLUMNS.saturating_sub(1));
        let place = row.map(|row| row.saturating_mul(COLUMNS).saturating_add(column));
        if let Some(counter) = place.and_then(|place| self.results.get(place)) {
            counter.fetch_add(count, Relaxed);
        }
    }

    /// Counts many results of a kind.
    pub const fn run(&self, kind: CounterKind) -> Run<'_> {
        Run {
            statistics: self,
            kind,
            code: WsaCode::NO_ERROR,
            count: 0,
        }
    }

    /// Sets everything back to zero but what counts the sessions and look-ups that are there now.
    pub fn reset(&self) {
        let events = [&self.fall_throughs, &self.cancelled, &self.malformed];
        for counter in self.results.iter().chain(events) {
            counter.store(0, Relaxed);
        }
    }

    /// The counters by result that are not zero.
    pub fn results(&self) -> impl Iterator<Item = (CounterKind, WsaCode, u64)> {
        let rows = BY_RESULT.iter().zip(self.results.chunks(COLUMNS));
        rows.flat_map(|(kind, row)| {
            let codes = WsaCode::ALL.iter().copied().chain([OTHER]);
            codes
                .zip(row)
                .map(|(code, counter)| (*kind, code, counter.load(Relaxed)))
        })
        .filter(|(_, _, value)| *value > 0)
    }
}

/// Results of a kind, of which those that are the same, one after the other, are counted at once.
pub struct Run<'s> {
    statistics: &'s Statistics,
    kind: CounterKind,
    code: WsaCode,
    count: u64,
}

impl Run<'_> {
    /// Counts a result.
    pub fn count(&mut self, code: WsaCode) {
        if code != self.code {
            self.add();
            self.code = code;
        }
        self.count = self.count.saturating_add(1);
    }

    fn add(&mut self) {
        let count = core::mem::take(&mut self.count);
        if count > 0 {
            self.statistics.add(self.kind, self.code, count);
        }
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.add();
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
        let machine = nt_sim::Machine::builder().build().unwrap();
        let _entered = machine.enter();
        let statistics = Statistics::try_new().unwrap();
        statistics.count(CounterKind::LOOKUP, WsaCode::NO_ERROR);
        statistics.count(CounterKind::LOOKUP, WsaCode::NO_ERROR);
        statistics.count(CounterKind::LOOKUP, WsaCode(4711));
        statistics.count(CounterKind::DELETE, WsaCode::WSAEACCES);
        statistics.count(CounterKind::SESSIONS, WsaCode::NO_ERROR);
        let mut run = statistics.run(CounterKind::BATCHED);
        for code in [
            WsaCode::WSANO_DATA,
            WsaCode::NO_ERROR,
            WsaCode::NO_ERROR,
            WsaCode::WSANO_DATA,
        ] {
            run.count(code);
        }
        drop(run);
        let results: std::vec::Vec<_> = statistics.results().collect();
        assert_eq!(
            results,
            [
                (CounterKind::DELETE, WsaCode::WSAEACCES, 1),
                (CounterKind::LOOKUP, WsaCode::NO_ERROR, 2),
                (CounterKind::LOOKUP, OTHER, 1),
                (CounterKind::BATCHED, WsaCode::NO_ERROR, 2),
                (CounterKind::BATCHED, WsaCode::WSANO_DATA, 2),
            ]
        );
    }
}
