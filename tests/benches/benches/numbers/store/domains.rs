//! Listing one domain of a large store.

use std::collections::HashMap;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Instant;

use allocator_api2::alloc::Global;
use fastrand::Rng;
use nsemail_benches::measure::{Contender, take_turns};
use nsemail_benches::names::{LISTED_DOMAIN, Names};
use nsemail_benches::{Goal, Options, Report, Row};
use nsemail_contract::address::Domain;
use nsemail_contract::text::Text;
use nsemail_provider_core::store::{HashKey, Limits, Store};

use super::contenders::{Keyed, record};

/// Lists the thousand names of a domain, copying their records out.
pub fn run(options: &Options, report: &mut Report) {
    let names = Names {
        count: if options.quick { 100_000 } else { 1_000_000 },
    };
    let domain = Names::domain(LISTED_DOMAIN);
    let store = Store::try_new_in(HashKey::new([1, 2]), Limits::DEFAULT, Global);
    let mut store = store.expect("there is memory");
    let mut by_domain: HashMap<Vec<u16>, Vec<Rc<[u8]>>, Keyed> = HashMap::default();
    // The names of a domain are registered at different times, and so lie here and there.
    let mut numbers: Vec<usize> = (0..names.count).collect();
    Rng::with_seed(1).shuffle(&mut numbers);
    for number in numbers {
        let record = record(names, number);
        let (_, domain) = record.view().name().rsplit_once(b'@').expect("an address");
        let content = Rc::from(record.as_bytes());
        by_domain
            .entry(domain.folded_units().collect())
            .or_default()
            .push(content);
        store.load_put(record).expect("there is memory");
    }
    let mut out = Vec::with_capacity(1 << 20);
    let mut out_of_map = Vec::with_capacity(1 << 20);
    let text = Text::from_str(&domain).expect("a domain");
    let asked = Domain::parse(text).expect("a domain");
    // Who lists a domain has not just listed it: before each listing the caches hold something else, for both.
    let elsewhere = vec![1_u8; 256 << 20];
    let forget = || {
        black_box(
            elsewhere
                .iter()
                .step_by(64)
                .map(|byte| u64::from(*byte))
                .sum::<u64>(),
        )
    };
    let ours = || {
        forget();
        let start = Instant::now();
        out.clear();
        let of_domain = store.snapshot_domain(asked, |_| true);
        for record in &of_domain.expect("there is memory") {
            out.extend_from_slice(record.as_bytes());
        }
        black_box(&out);
        start.elapsed().as_secs_f64() * 1e6
    };
    let map = || {
        forget();
        let start = Instant::now();
        out_of_map.clear();
        let folded: Vec<u16> = text.folded_units().collect();
        for content in by_domain.get(&folded).into_iter().flatten() {
            out_of_map.extend_from_slice(content);
        }
        black_box(&out_of_map);
        start.elapsed().as_secs_f64() * 1e6
    };
    let turns = vec![
        Contender::new("store", ours),
        Contender::new("hash of domain to vector", map),
    ];
    let samples = take_turns(options.rounds(), turns);
    report.add(Row::of(
        if options.quick {
            "1,000 names of a domain of 100 k"
        } else {
            "1,000 names of a domain of 1 M"
        },
        "µs",
        samples,
        &[],
        Goal::AtMost(1.0),
    ));
}
