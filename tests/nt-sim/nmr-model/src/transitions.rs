//! Which transitions of the state machines have been taken, and which are legal.
//!
//! A registrar counts every transition of its modules, its bindings and the sides of its bindings in
//! [`Transitions`]. A test that claims to cover the machines compares the counts with [`Stage::LEGAL`]:
//! each of these is to be taken by some run, and no other by any.

use alloc::{boxed::Box, vec::Vec};
use core::{
    fmt::Debug,
    marker::PhantomData,
    sync::atomic::{AtomicU64, Ordering},
};

/// A state of one of the machines, the beginning and the end included.
pub trait Stage: Copy + PartialEq + Debug + 'static {
    /// All of them, each at the place of its [`Self::index`].
    const ALL: &'static [Self];

    /// The transitions that the machine may take.
    const LEGAL: &'static [(Self, Self)];

    /// The place in [`Self::ALL`].
    fn index(self) -> usize;
}

macro_rules! stages {
    ($(#[doc = $machine:literal])* $name:ident { $($(#[doc = $doc:literal])* $stage:ident,)* }
     $($from:ident => $($to:ident),+;)*) => {
        $(#[doc = $machine])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $doc])* $stage,)* }

        impl Stage for $name {
            const ALL: &'static [Self] = &[$(Self::$stage,)*];
            const LEGAL: &'static [(Self, Self)] = &[$($((Self::$from, Self::$to),)+)*];

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

stages! {
    /// The life of a module.
    ModuleStage {
        /// Not registered yet.
        Unregistered,
        /// Registered, and its registration is still offering it to its peers.
        Proposing,
        /// Matched with new peers.
        Active,
        /// On its way out.
        Deregistering,
        /// No callback will run any more.
        Drained,
        /// Waited for.
        Closed,
    }
    Unregistered => Proposing;
    Proposing => Active, Deregistering;
    Active => Deregistering;
    Deregistering => Drained;
    Drained => Closed;
}

stages! {
    /// The life of a binding.
    BindingStage {
        /// The pair has not met.
        Absent,
        /// Created, its attach has not started.
        Proposed,
        /// `ClientAttachProvider` is on the stack.
        ClientAttaching,
        /// `ProviderAttachClient` is on the stack.
        ProviderAttaching,
        /// The provider accepted, the client has still to return.
        ProviderAccepted,
        /// The provider accepted and the client failed: one side is to be undone.
        HalfAttached,
        /// Both sides may call.
        Attached,
        /// The sides stop calling.
        Detaching,
        /// Cleanup callbacks are on the stack.
        CleaningUp,
        /// Nothing is left of it.
        Gone,
    }
    Absent => Proposed;
    Proposed => ClientAttaching, Gone;
    ClientAttaching => ProviderAttaching, Gone;
    ProviderAttaching => ClientAttaching, ProviderAccepted;
    ProviderAccepted => Attached, Detaching, HalfAttached;
    HalfAttached => CleaningUp;
    Attached => Detaching;
    Detaching => CleaningUp;
    CleaningUp => Gone;
}

stages! {
    /// How one side of a binding stops calling. A further completion leaves it where it is.
    SideStage {
        /// Its detach callback has not been entered.
        Idle,
        /// It completed before its detach callback was entered.
        PreCompleted,
        /// Its detach callback is on the stack.
        InCallback,
        /// Its detach callback is on the stack, and it has completed.
        Completed,
        /// It answered `STATUS_PENDING` and has not completed.
        Pending,
        /// It has stopped calling its peer.
        Done,
    }
    Idle => InCallback, PreCompleted, Done;
    PreCompleted => Completed, PreCompleted;
    InCallback => Completed, Pending, Done;
    Completed => Done, Completed;
    Pending => Done;
    Done => Done;
}

/// How often each transition of one machine was taken.
#[derive(Debug)]
pub struct Taken<S> {
    counts: Box<[AtomicU64]>,
    machine: PhantomData<S>,
}

impl<S: Stage> Default for Taken<S> {
    fn default() -> Self {
        let counts: Vec<_> = (0..S::ALL.len() * S::ALL.len())
            .map(|_| AtomicU64::new(0))
            .collect();
        Self {
            counts: counts.into(),
            machine: PhantomData,
        }
    }
}

impl<S: Stage> Taken<S> {
    fn add(&self, from: S, to: S, times: u64) {
        if let Some(count) = self.counts.get(from.index() * S::ALL.len() + to.index()) {
            count.fetch_add(times, Ordering::Relaxed);
        }
    }

    /// Every transition that was taken, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (S, S, u64)> {
        let pairs = S::ALL
            .iter()
            .flat_map(|from| S::ALL.iter().map(|to| (*from, *to)));
        pairs
            .zip(&self.counts)
            .map(|((from, to), count)| (from, to, count.load(Ordering::Relaxed)))
            .filter(|(_, _, count)| *count > 0)
    }

    /// Adds what another registrar took.
    pub fn merge(&self, other: &Self) {
        for (from, to, times) in other.iter() {
            self.add(from, to, times);
        }
    }

    /// All transitions that were taken or are legal: how often, and whether they are legal.
    pub fn coverage(&self) -> Vec<(S, S, u64, bool)> {
        let taken: Vec<_> = self.iter().collect();
        let legal = S::LEGAL.iter().map(|(from, to)| {
            let count = taken.iter().find(|entry| (entry.0, entry.1) == (*from, *to));
            (*from, *to, count.map_or(0, |entry| entry.2), true)
        });
        let illegal = taken
            .iter()
            .filter(|entry| !S::LEGAL.contains(&(entry.0, entry.1)))
            .map(|(from, to, count)| (*from, *to, *count, false));
        legal.chain(illegal).collect()
    }
}

/// How often each transition of the three machines was taken.
#[derive(Debug, Default)]
pub struct Transitions {
    /// Those of modules.
    pub modules: Taken<ModuleStage>,
    /// Those of bindings.
    pub bindings: Taken<BindingStage>,
    /// Those of the sides of bindings.
    pub sides: Taken<SideStage>,
}

impl Transitions {
    pub(crate) fn module(&self, from: ModuleStage, to: ModuleStage) {
        self.modules.add(from, to, 1);
    }

    pub(crate) fn binding(&self, from: BindingStage, to: BindingStage) {
        self.bindings.add(from, to, 1);
    }

    pub(crate) fn side(&self, from: SideStage, to: SideStage) {
        self.sides.add(from, to, 1);
    }

    /// Adds what another registrar took.
    pub fn merge(&self, other: &Self) {
        self.modules.merge(&other.modules);
        self.bindings.merge(&other.bindings);
        self.sides.merge(&other.sides);
    }

    /// How many were taken in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        let modules: u64 = self.modules.iter().map(|entry| entry.2).sum();
        let bindings: u64 = self.bindings.iter().map(|entry| entry.2).sum();
        let sides: u64 = self.sides.iter().map(|entry| entry.2).sum();
        modules + bindings + sides
    }
}
