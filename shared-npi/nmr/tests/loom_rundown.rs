//! The rundown under every interleaving: built with `--cfg loom`, empty otherwise.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p nmr --test loom_rundown`
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use nmr::rundown::Rundown;

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
            rundown: Rundown::new(),
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
        if !self.rundown.enter() {
            return false;
        }
        self.value.with(|value| {
            // SAFETY: entered, so the end is not reported.
            assert_eq!(unsafe { *value }, 7);
        });
        if self.rundown.leave() {
            self.end();
        }
        true
    }

    /// The detach callback: true if it returns success.
    fn detach(&self) -> bool {
        assert!(self.rundown.begin());
        self.value.with(|value| {
            // SAFETY: begin entered, so the end is not reported.
            assert_eq!(unsafe { *value }, 7);
        });
        self.rundown.leave()
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
            .map(|_| {
                let binding = Arc::clone(&binding);
                thread::spawn(move || {
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
            rundown: Rundown::new(),
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
                began && {
                    if binding.rundown.leave() {
                        binding.end();
                    }
                    true
                }
            })
        };
        let began = binding.rundown.begin();
        if began && binding.rundown.leave() {
            binding.end();
        }
        assert_ne!(other.join().unwrap(), began);
        assert_eq!(binding.ends.load(Ordering::Relaxed), 1);
    });
}
