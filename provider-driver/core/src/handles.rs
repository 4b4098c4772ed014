//! Handles that never mean anything else than what they were made for.
//!
//! A peer gets numbers, not pointers. A number holds the place in a table and a serial that the driver gives out once
//! only, to any table: so a handle that was closed, that belongs to another binding, or that a peer made up is told
//! from a live one, also when its place is in use again.

use core::ffi::c_void;

use pool_alloc::{Allocator, OutOfMemory, Vec};

/// Bits of a handle that are the place. The serial has the others: enough for thousands of years of use.
const PLACE_BITS: u32 = 20;

/// An opaque number, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(u64);

const _: () = assert!(
    size_of::<usize>() == size_of::<u64>(),
    "a handle passes as a pointer"
);

impl Handle {
    /// The handle as a peer passes it; any value may come.
    #[must_use]
    pub fn from_pointer(pointer: *mut c_void) -> Self {
        Self(pointer.addr() as u64)
    }

    /// The handle as a peer gets it.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "kernels that this runs on have 64-bit pointers"
    )]
    pub const fn to_pointer(self) -> *mut c_void {
        core::ptr::without_provenance_mut(self.0 as usize)
    }

    /// The serial that the handle was made with.
    #[must_use]
    pub const fn serial(self) -> u64 {
        self.0 >> PLACE_BITS
    }

    fn place(self) -> Option<usize> {
        usize::try_from(self.0 & ((1 << PLACE_BITS) - 1)).ok()
    }
}

/// What is open, by handle.
#[derive(Debug)]
pub struct Handles<T, A: Allocator> {
    slots: Vec<Slot<T>, A>,
    /// The first free place; free places form a list.
    free: Option<u32>,
    open: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Free { next: Option<u32> },
    Open { handle: Handle, value: T },
}

impl<T, A: Allocator> Handles<T, A> {
    /// Nothing is open.
    pub const fn new_in(alloc: A) -> Self {
        Self {
            slots: Vec::new_in(alloc),
            free: None,
            open: 0,
        }
    }

    /// Number of open handles.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.open
    }

    /// Whether nothing is open.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Opens a handle. The serial is not zero, and nothing else had it before.
    ///
    /// # Errors
    ///
    /// No memory, or more than a million handles; the value is dropped.
    pub fn try_insert(&mut self, serial: u64, value: T) -> Result<Handle, OutOfMemory> {
        let handle = |place: u32| Handle(serial.wrapping_shl(PLACE_BITS) | u64::from(place));
        if let Some(place) = self.free {
            let slot = self.slots.get_mut(place as usize).ok_or(OutOfMemory)?;
            if let Slot::Free { next } = *slot {
                self.free = next;
            }
            *slot = Slot::Open {
                handle: handle(place),
                value,
            };
            self.open = self.open.saturating_add(1);
            return Ok(handle(place));
        }
        let place = u32::try_from(self.slots.len()).map_err(|_| OutOfMemory)?;
        if place >> PLACE_BITS != 0 {
            return Err(OutOfMemory);
        }
        self.slots.try_push(Slot::Open {
            handle: handle(place),
            value,
        })?;
        self.open = self.open.saturating_add(1);
        Ok(handle(place))
    }

    /// What a handle means, if it is open.
    #[must_use]
    pub fn get(&self, handle: Handle) -> Option<&T> {
        match self.slots.get(handle.place()?)? {
            Slot::Open {
                handle: present,
                value,
            } if *present == handle => Some(value),
            _ => None,
        }
    }

    /// As [`Self::get`].
    pub fn get_mut(&mut self, handle: Handle) -> Option<&mut T> {
        match self.slots.get_mut(handle.place()?)? {
            Slot::Open {
                handle: present,
                value,
            } if *present == handle => Some(value),
            _ => None,
        }
    }

    /// Closes a handle.
    pub fn remove(&mut self, handle: Handle) -> Option<T> {
        self.get(handle)?;
        let place = handle.place()?;
        let slot = self.slots.get_mut(place)?;
        let free = Slot::Free { next: self.free };
        match core::mem::replace(slot, free) {
            Slot::Open { value, .. } => {
                self.free = u32::try_from(place).ok();
                self.open = self.open.saturating_sub(1);
                Some(value)
            }
            Slot::Free { .. } => None,
        }
    }

    /// Closes every handle whose value the condition is true for, and drops the values.
    pub fn remove_if(&mut self, mut condition: impl FnMut(&T) -> bool) -> usize {
        let before = self.open;
        for place in 0..self.slots.len() {
            let handle = match self.slots.get(place) {
                Some(Slot::Open { handle, value }) if condition(value) => *handle,
                _ => continue,
            };
            drop(self.remove(handle));
        }
        before.saturating_sub(self.open)
    }
}

#[cfg(test)]
mod tests {
    use allocator_api2::alloc::Global;
    use proptest::prelude::*;
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_closed_handle_stays_closed_when_its_place_is_used_again() {
        let mut handles = Handles::new_in(Global);
        let first = handles.try_insert(1, 'a').unwrap();
        assert_eq!(handles.remove(first), Some('a'));
        let second = handles.try_insert(2, 'b').unwrap();
        assert_eq!(first.place(), second.place());
        assert_eq!((handles.get(first), handles.get(second)), (None, Some(&'b')));
        assert_eq!(handles.remove(first), None);
    }

    #[test]
    fn a_handle_of_another_table_is_not_open_here() {
        let (mut ours, mut theirs) = (Handles::new_in(Global), Handles::new_in(Global));
        ours.try_insert(1, 'a').unwrap();
        let foreign = theirs.try_insert(2, 'b').unwrap();
        assert_eq!(ours.get(foreign), None);
        assert_eq!(ours.get(Handle::from_pointer(core::ptr::null_mut())), None);
    }

    proptest! {
        #[test]
        fn handles_do_what_a_map_does(steps in prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 0..200)) {
            let (mut handles, mut model, mut all) = (Handles::new_in(Global), HashMap::new(), std::vec::Vec::new());
            for (serial, step) in (1..).zip(steps) {
                if let (Some(index), false) = (step, all.is_empty()) {
                    let handle: Handle = *index.get(&all);
                    prop_assert_eq!(handles.remove(handle), model.remove(&handle.0));
                } else {
                    let handle = handles.try_insert(serial, serial).unwrap();
                    prop_assert_eq!(Handle::from_pointer(handle.to_pointer()), handle);
                    prop_assert!(model.insert(handle.0, serial).is_none());
                    all.push(handle);
                }
                prop_assert_eq!(handles.len(), model.len());
                for handle in &all {
                    prop_assert_eq!(handles.get(*handle), model.get(&handle.0));
                }
            }
            let even = model.values().filter(|value| *value % 2 == 0).count();
            prop_assert_eq!(handles.remove_if(|value| value % 2 == 0), even);
        }
    }
}
