//! The rundown under every interleaving: built with `--cfg loom`, empty otherwise.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p nmr --test loom_rundown`
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use nmr::rundown::Rundown;
use nmr::sync::run_on;
use std::mem::MaybeUninit;

fn rundown() -> Rundown {
    let mut place = MaybeUninit::uninit();
    Rundown::init(&mut place);
    // SAFETY: made just now.
    unsafe { place.assume_init() }
}

/// A binding: what the guards protect, and how often its end was reported. loom fails the
/// test if the end is not after all uses.
struct Binding {
    rundown: Rundown,
    value: UnsafeCell<u32>,
    ends: AtomicUsize,
}

// SAFETY: the value is written once, by whoever the rundown says is the last; that this is
// not at the same time as a read is what the test is for.
unsafe impl Sync for Binding {}

impl Binding {
    fn new() -> Arc<Self> {
        let binding = Self {
            rundown: rundown(),
            value: UnsafeCell::new(0),
            ends: AtomicUsize::new(0),
        };
        // What attach writes before it opens.
        binding.value.with_mut(|value| {
            // SAFETY: nobody else has it.
            unsafe { *value = 7 }
        });
        Arc::new(binding)
    }

    /// A call: enters, uses, leaves.
    fn call(&self) -> bool {
        self.call_and_move(|| ())
    }

    /// A call that may be on another processor when it leaves.
    fn call_and_move(&self, between: impl FnOnce()) -> bool {
        let Some(entered) = self.rundown.enter() else {
            return false;
        };
        self.value.with(|value| {
            // SAFETY: entered, so the end is not reported.
            assert_eq!(unsafe { *value }, 7);
        });
        between();
        if self.rundown.leave(entered) {
            self.end();
        }
        true
    }

    /// The detach callback: true if it returns success.
    fn detach(&self) -> bool {
        let entered = self.rundown.begin().expect("the first detach");
        self.value.with(|value| {
            // SAFETY: begin entered, so the end is not reported.
            assert_eq!(unsafe { *value }, 7);
        });
        self.rundown.leave(entered)
    }

    /// Detach is reported, and cleanup runs.
    fn end(&self) {
        self.ends.fetch_add(1, Ordering::Relaxed);
        self.value.with_mut(|value| {
            // SAFETY: reported once, after all uses.
            unsafe { *value = 0 }
        });
    }
}

#[test]
fn the_end_is_reported_once_and_after_all_calls() {
    loom::model(|| {
        let binding = Binding::new();
        binding.rundown.open();
        let callers: Vec<_> = (0..2)
            .map(|processor| {
                let binding = Arc::clone(&binding);
                thread::spawn(move || {
                    run_on(processor);
                    binding.call();
                })
            })
            .collect();
        if binding.detach() {
            binding.end();
        }
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
        assert!(!binding.call(), "no call begins after detach");
    });
}

#[test]
fn two_calls_on_one_processor() {
    loom::model(|| {
        let binding = Binding::new();
        binding.rundown.open();
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let binding = Arc::clone(&binding);
                thread::spawn(move || {
                    run_on(1);
                    binding.call();
                })
            })
            .collect();
        if binding.detach() {
            binding.end();
        }
        for caller in callers {
            caller.join().unwrap();
        }
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
    });
}

/// A call leaves where it entered, although its thread, and the next call of it, are elsewhere by then.
#[test]
fn a_call_that_leaves_on_another_processor() {
    loom::model(|| {
        let binding = Binding::new();
        binding.rundown.open();
        let caller = {
            let binding = Arc::clone(&binding);
            thread::spawn(move || {
                run_on(0);
                binding.call_and_move(|| run_on(1));
                binding.call();
            })
        };
        if binding.detach() {
            binding.end();
        }
        caller.join().unwrap();
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
        run_on(1);
        assert!(!binding.call(), "no call begins after detach, on any processor");
    });
}

/// What is refused before the opening is no call, and must not be waited for.
#[test]
fn refusals_before_the_opening_are_not_counted() {
    loom::model(|| {
        let binding = Binding::new();
        let early = {
            let binding = Arc::clone(&binding);
            thread::spawn(move || {
                binding.call();
            })
        };
        binding.rundown.open();
        if binding.detach() {
            binding.end();
        }
        early.join().unwrap();
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
    });
}

/// The one who is about to open uses the binding, and may outlast its detach.
#[test]
fn an_early_call_holds_up_the_end() {
    loom::model(|| {
        let binding = Binding::new();
        let opener = {
            let binding = Arc::clone(&binding);
            thread::spawn(move || {
                let Some(entered) = binding.rundown.enter_early() else {
                    return;
                };
                binding.value.with(|value| {
                    // SAFETY: entered, so the end is not reported.
                    assert_eq!(unsafe { *value }, 7);
                });
                binding.rundown.open();
                if binding.rundown.leave(entered) {
                    binding.end();
                }
            })
        };
        if binding.detach() {
            binding.end();
        }
        opener.join().unwrap();
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn two_calls_in_a_row_on_one_thread() {
    loom::model(|| {
        let binding = Binding::new();
        binding.rundown.open();
        let caller = {
            let binding = Arc::clone(&binding);
            thread::spawn(move || {
                let first = binding.call();
                let second = binding.call();
                assert!(first || !second, "a binding does not come back");
            })
        };
        if binding.detach() {
            binding.end();
        }
        caller.join().unwrap();
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn what_attach_wrote_is_seen_by_the_first_call() {
    loom::model(|| {
        let binding = Arc::new(Binding {
            rundown: rundown(),
            value: UnsafeCell::new(0),
            ends: AtomicUsize::new(0),
        });
        let caller = {
            let binding = Arc::clone(&binding);
            thread::spawn(move || binding.call())
        };
        binding.value.with_mut(|value| {
            // SAFETY: not open yet, so no call reads.
            unsafe { *value = 7 }
        });
        binding.rundown.open();
        caller.join().unwrap();
        if binding.detach() {
            binding.end();
        }
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
    });
}

/// A registrar that detaches before attach has ended must not be undone by the opening.
#[test]
fn opening_does_not_undo_a_detach() {
    loom::model(|| {
        let binding = Binding::new();
        let opener = {
            let binding = Arc::clone(&binding);
            thread::spawn(move || {
                binding.rundown.open();
                binding.call();
            })
        };
        if binding.detach() {
            binding.end();
        }
        opener.join().unwrap();
        assert!(!binding.call());
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn only_one_of_two_detaches_begins() {
    loom::model(|| {
        let binding = Binding::new();
        binding.rundown.open();
        let other = {
            let binding = Arc::clone(&binding);
            thread::spawn(move || {
                let began = binding.rundown.begin();
                began.is_some_and(|entered| {
                    if binding.rundown.leave(entered) {
                        binding.end();
                    }
                    true
                })
            })
        };
        let began = binding.rundown.begin();
        if let Some(entered) = began
            && binding.rundown.leave(entered)
        {
            binding.end();
        }
        assert_ne!(other.join().unwrap(), began.is_some());
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
    });
}
