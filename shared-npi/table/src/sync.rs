//! The atomics of this crate, and the sizes that a model needs to be small. The only place that knows of loom.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};

/// How many counters of readers there are, a power of two: a reader uses the one of its processor.
#[cfg(not(loom))]
pub const STRIPES: usize = 32;
/// As few as can differ.
#[cfg(loom)]
pub const STRIPES: usize = 2;

/// Entries of a bucket: as many as fill a cache line with the word of their fingerprints.
#[cfg(not(loom))]
pub const SLOTS: usize = 7;
/// As few as can differ.
#[cfg(loom)]
pub const SLOTS: usize = 2;

/// Stands between two accesses of which the first is a sequentially consistent read and write, and the second a
/// sequentially consistent read, which keeps them in order by itself. loom takes such accesses for less than they
/// are, and needs to be told.
#[cfg(not(loom))]
#[inline]
pub(crate) const fn in_order() {}
/// As above.
#[cfg(loom)]
pub(crate) fn in_order() {
    fence(Ordering::SeqCst);
}

#[cfg(loom)]
pub(crate) use modelled::Life;
#[cfg(not(loom))]
pub(crate) use real::Life;

#[cfg(not(loom))]
mod real {
    /// Shows a model that what it is part of is used before it ends. Nothing otherwise.
    pub struct Life;

    #[expect(clippy::unused_self, reason = "a model's life has something in it")]
    impl Life {
        pub const fn new() -> Self {
            Self
        }

        /// It is used now.
        #[inline]
        pub const fn used(&self) {}

        /// It is not used any more.
        pub const fn ended(&self) {}
    }
}

#[cfg(loom)]
mod modelled {
    use loom::cell::UnsafeCell;

    /// Shows a model that what it is part of is used before it ends.
    pub struct Life(UnsafeCell<()>);

    impl Life {
        pub fn new() -> Self {
            Self(UnsafeCell::new(()))
        }

        /// It is used now.
        pub fn used(&self) {
            self.0.with(|_| ());
        }

        /// It is not used any more: a use that is not before this one fails the model.
        pub fn ended(&self) {
            self.0.with_mut(|_| ());
        }
    }
}
