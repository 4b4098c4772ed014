//! Every scenario, with one call failing that may fail, for each such call.
//!
//! Two calls are taken for the same if the innermost four functions of the drivers' code that lead to them are: each
//! is made to fail in one scenario that makes it. With `NSEMAIL_FAULT_EVERY_CALL` set, each call of each scenario that makes
//! few calls fails in turn, and each place of the others.
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

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
    simulated::Simulated,
};

/// Names the environment variable by which each call is asked for.
const EVERY_CALL: &str = "NSEMAIL_FAULT_EVERY_CALL";
/// Of a scenario that makes more calls than this, each place is made to fail, but not each call.
const FEW_CALLS: usize = 1000;

macro_rules! tests {
    ($($module:ident: [$($scenario:ident,)+],)+) => {
        $(mod $module {
            $(#[test]
            fn $scenario() {
                super::sweep(stringify!($scenario), scenarios::$module::$scenario);
            })+
        })+
    };
}

for_each_scenario!(tests);

/// What an ordinary run leaves out: they make tens of thousands of calls, at places that others have too.
const LONG: [&str; 4] = [
    "every_number_of_each_message_takes_every_awkward_value",
    "threads_that_share_a_handle_get_their_own_answers",
    "threads_with_a_handle_each_get_their_own_answers",
    "look_ups_while_the_provider_stops_have_the_right_answer_or_none",
];

fn sweep(name: &str, scenario: fn(&dyn Kernel)) {
    let every_call = env::var_os(EVERY_CALL).is_some();
    if !every_call && LONG.contains(&name) {
        return;
    }
    let machine = Simulated::new();
    machine.machine().record_fallible_calls();
    scenario(&machine);
    let (calls, places) = machine.machine().take_fallible_calls();
    machine.end();
    assert!(calls > 100, "a scenario makes more calls than that");
    if every_call && calls <= FEW_CALLS {
        let mut call = 0;
        while run(scenario, Calls::All, call) {
            call += 1;
        }
        println!("{call} calls");
    } else {
        let new = |place: &Place| every_call || is_new(place);
        let (mut met, mut missed) = (0, Vec::new());
        for place in places.into_iter().filter(new) {
            if run(scenario, Calls::At(place.clone()), 0) {
                met += 1;
            } else {
                missed.push(place);
            }
        }
        println!("{calls} calls, {met} places");
        // What a race decides is not done in every run, but most is.
        assert!(missed.len() <= met, "{met} places met, not these: {missed:#?}");
    }
}

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
    !hits.is_empty()
}

/// Demands that both drivers can be stopped and started, and that names can be registered and found.
fn still_works(machine: &Simulated) {
    let kernel = machine.kernel();
    for driver in Driver::BOTH {
        if kernel.service(driver) == Service::Running {
            kernel.stop_at_once(driver);
        }
    }
    machine.start();
    let admin = kernel.administrator();
    for domain in ["example.com", "example.net", "elsewhere.example"] {
        let name = format!("after-the-fault@{domain}");
        admin.register(&name, &["192.0.2.7:25/tcp"]).unwrap();
        assert_eq!(admin.look_up(&name).unwrap(), ["192.0.2.7:25/tcp"]);
        admin.delete(&name).unwrap();
        assert_eq!(admin.look_up(&name), Err(WsaCode::WSASERVICE_NOT_FOUND));
    }
}
