//! Every scenario, with one call failing that may fail, for each such call.
//!
//! Two calls are taken for the same if the innermost four functions of the drivers' code that lead to them are: each
//! is made to fail in one scenario that makes it. With `NSEMAIL_FAULT_EVERY_CALL` set, each call of each scenario that
//! makes few calls fails in turn, and of the others each place and a hundred calls at equal distances.
//!
//! When all scenarios have been swept, every function that they call must have failed; `FAULTS.md` has the figures of a
//! run.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

mod swept;

use std::{
    collections::HashSet,
    env,
    panic::{self, AssertUnwindSafe},
    sync::{LazyLock, Mutex},
};

use nsemail_contract::WsaCode;
use nt_sim::faults::{Calls, Fault, Place};
use scenarios::{
    faulty::Faulty,
    for_each_scenario,
    kernel::{Driver, Kernel, Service},
    program::{DEFAULT, answered},
    simulated::Simulated,
};

/// Names the environment variable by which each call is asked for.
const EVERY_CALL: &str = "NSEMAIL_FAULT_EVERY_CALL";
/// Of a scenario that makes more calls than this, each place is made to fail, but not each call.
const FEW_CALLS: usize = 1000;

macro_rules! tests {
    ($($module:ident: [$($scenario:ident,)+],)+) => {
        /// How many scenarios there are.
        const SCENARIOS: usize = [$($(stringify!($scenario),)+)+].len();

        $(mod $module {
            $(#[test]
            fn $scenario() {
                super::sweep(stringify!($scenario), scenarios::$module::$scenario);
            })+
        })+
    };
}

for_each_scenario!(tests);

/// They make tens of thousands of calls, at places that others have too: an ordinary run takes a few of them.
const LONG: [&str; 4] = [
    "every_number_of_each_message_takes_every_awkward_value",
    "threads_that_share_a_handle_get_their_own_answers",
    "threads_with_a_handle_each_get_their_own_answers",
    "look_ups_while_the_provider_stops_have_the_right_answer_or_none",
];
/// How many calls of these an ordinary run takes, at equal distances.
const FEW_SAMPLES: usize = 3;
/// As many of each scenario that makes many calls, with each call asked for.
const MANY_SAMPLES: usize = 100;

fn sweep(name: &str, scenario: fn(&dyn Kernel)) {
    let every_call = env::var_os(EVERY_CALL).is_some();
    let machine = Simulated::new();
    machine.machine().record_fallible_calls();
    scenario(&machine);
    let (calls, places) = machine.machine().take_fallible_calls();
    machine.end();
    assert!(calls > 100, "a scenario makes more calls than that");
    swept::called(&places);
    let long = LONG.contains(&name);
    let few = calls <= FEW_CALLS;
    if every_call && few {
        let mut call = 0;
        while run(scenario, Calls::All, call) {
            call += 1;
        }
        println!("{name}: {calls} calls, each of {call} failed");
    } else {
        let samples = match (every_call, long) {
            (true, _) => MANY_SAMPLES,
            (false, true) => FEW_SAMPLES,
            (false, false) => 0,
        };
        let mut taken = 0;
        for sample in 0..samples {
            // The number of calls differs from run to run; the last ones may not be reached.
            taken += usize::from(run(scenario, Calls::All, sample * calls / samples));
        }
        assert!(taken * 2 >= samples, "{taken} of {samples} samples met");
        let new = |place: &Place| every_call || (!long && is_new(place));
        let (mut met, mut missed) = (0, Vec::new());
        for place in places.into_iter().filter(new) {
            if (0..TRIES).any(|_| run(scenario, Calls::At(place.clone()), 0)) {
                met += 1;
            } else {
                missed.push(place);
            }
        }
        println!("{name}: {calls} calls, {taken} of them failed, at {met} places another one each");
        // What a race decides is not done in every run, but most is; of a handful it may be none.
        assert!(
            missed.len() <= met.max(HANDFUL),
            "{met} places met, not these: {missed:#?}"
        );
    }
    swept::over();
}

/// So often a place is looked for that a race may keep a run from coming to.
const TRIES: usize = 3;
/// So few places say nothing of how many a scenario comes to again.
const HANDFUL: usize = 5;

/// Whether no scenario has met a call at that place before.
fn is_new(place: &Place) -> bool {
    /// A function and the lines that lead to it.
    type Known = HashSet<(&'static str, Vec<String>)>;
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    KNOWN.lock().unwrap().insert((place.function, place.path()))
}

/// Runs a scenario in which a call fails; tells whether it did.
fn run(scenario: fn(&dyn Kernel), calls: Calls, after: usize) -> bool {
    let machine = Simulated::new();
    machine.machine().inject(Fault::once(calls, after));
    let kernel = Faulty::new(machine);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| scenario(&kernel)));
    let (excuse, wrong) = (kernel.excuse(), kernel.wrong_answers());
    let machine = kernel.into_simulated();
    machine.machine().clear_faults();
    let hits = machine.machine().hits();
    let context = || format!("call {after} failed: {hits:#?}");
    assert!(
        outcome.is_ok() || excuse.is_some(),
        "the scenario does not hold; {}",
        context()
    );
    assert!(wrong.is_empty(), "{wrong:#?}; {}", context());
    still_works(&machine);
    let report = machine.machine().shutdown();
    assert!(report.is_clean(), "{report}; {}", context());
    swept::failed(&hits);
    !hits.is_empty()
}

/// Demands that both drivers can be stopped and started, and that names can be registered and found.
fn still_works(machine: &Simulated) {
    let kernel = machine.kernel();
    for driver in Driver::BOTH {
        if kernel.service(driver) == Service::Running {
            // A scenario that ended with an excuse may have left requests in flight.
            kernel.stop(driver).unwrap();
            kernel.wait_until_stopped(driver);
        }
    }
    machine.start();
    let admin = kernel.administrator();
    for provider in admin.client().providers().unwrap() {
        // A scenario that ended with an excuse may have left it disabled.
        if !provider.enabled {
            answered(admin.client().enable(provider.guid, true)).unwrap();
        }
    }
    for domain in ["example.com", "example.net", "elsewhere.example"] {
        let name = format!("after-the-fault@{domain}");
        admin.register(&name, &["192.0.2.7:25/tcp"]).unwrap();
        assert_eq!(admin.look_up(&name).unwrap(), ["192.0.2.7:25/tcp"]);
        admin.delete(&name).unwrap();
        assert_eq!(admin.look_up(&name), Err(WsaCode::WSASERVICE_NOT_FOUND));
    }
}

/// An entry of the catalogue that could not be written when its provider was seen is there all the same, and the next
/// change of the administrator's puts it into the registry.
#[test]
fn a_provider_that_could_not_be_stored_can_be_ordered_disabled_and_enabled() {
    let machine = Simulated::new();
    machine.machine().record_fallible_calls();
    machine.start();
    let (_, places) = machine.machine().take_fallible_calls();
    machine.end();
    let stores = |place: &Place| {
        let path = place.path();
        path.iter()
            .any(|line| line.contains("write (client-driver/core/src/store.rs"))
    };
    let places: Vec<_> = places.into_iter().filter(stores).collect();
    assert!(
        places.len() > 5,
        "an entry is written by several calls: {places:#?}"
    );
    for place in places {
        let machine = Simulated::new();
        machine.machine().inject(Fault::once(Calls::At(place.clone()), 0));
        machine.start();
        assert_eq!(machine.machine().hits().len(), 1, "{place:#?}");
        machine.machine().clear_faults();
        let kernel = machine.kernel();
        let admin = kernel.administrator();
        let order = || -> Vec<_> {
            let providers = admin.client().providers().expect("the list of providers");
            providers.iter().map(|provider| provider.guid).collect()
        };
        let mut reversed = order();
        reversed.reverse();
        let context = |what: &str| format!("{what}, when this had failed: {place:#?}");
        answered(admin.client().order(&reversed))
            .unwrap_or_else(|code| panic!("{code}: {}", context("order")));
        for enabled in [false, true] {
            let changed = answered(admin.client().enable(DEFAULT, enabled));
            changed.unwrap_or_else(|code| panic!("{code}: {}", context("enable")));
        }
        drop(admin);
        kernel.stop_at_once(Driver::Client);
        kernel.start(Driver::Client).unwrap();
        kernel.wait_until_attached();
        let user = kernel.user();
        let providers = user.client().providers().expect("the list of providers");
        let now: Vec<_> = providers.iter().map(|provider| provider.guid).collect();
        assert_eq!(now, reversed, "{}", context("the order"));
        drop(user);
        machine.end();
    }
}
