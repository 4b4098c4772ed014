//! Which kernel functions the sweeps made to fail, and how often.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use nt_sim::faults::{Class, Hit, Place};

use super::SCENARIOS;

#[derive(Default)]
struct Swept {
    /// Scenarios whose sweep is over.
    scenarios: usize,
    /// The places where a function was called, by its name.
    called: BTreeMap<&'static str, BTreeSet<Vec<String>>>,
    /// How often a function failed.
    failed: BTreeMap<(Class, &'static str), usize>,
}

static SWEPT: Mutex<Swept> = Mutex::new(Swept {
    scenarios: 0,
    called: BTreeMap::new(),
    failed: BTreeMap::new(),
});

fn with<R>(change: impl FnOnce(&mut Swept) -> R) -> R {
    change(&mut SWEPT.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A scenario makes calls at these places.
pub(crate) fn called(places: &[Place]) {
    with(|swept| {
        for place in places {
            let known = swept.called.entry(place.function).or_default();
            known.insert(place.path());
        }
    });
}

/// These calls failed, and the scenario held all the same.
pub(crate) fn failed(hits: &[Hit]) {
    with(|swept| {
        for hit in hits {
            *swept.failed.entry((hit.class, hit.place.function)).or_default() += 1;
        }
    });
}

/// The sweep of a scenario is over. After the last one, every function that was called must have failed, and every
/// class of functions be among them; in a run of some scenarios only, that is not asked.
pub(crate) fn over() {
    let swept = with(|swept| {
        swept.scenarios += 1;
        (swept.scenarios == SCENARIOS).then(|| std::mem::take(swept))
    });
    let Some(Swept { called, failed, .. }) = swept else {
        return;
    };
    println!("| class | function | places | failed |\n|---|---|---|---|");
    for ((class, function), times) in &failed {
        let places = called.get(function).map_or(0, BTreeSet::len);
        println!("| {class:?} | `{function}` | {places} | {times} |");
    }
    for function in called.keys() {
        let has_failed = failed.keys().any(|(_, failed)| failed == function);
        assert!(has_failed, "{function} was called, and never made to fail");
    }
    for class in Class::ALL {
        let has_failed = failed.keys().any(|(failed, _)| *failed == class);
        assert!(has_failed, "nothing of the class {class:?} was made to fail");
    }
}
