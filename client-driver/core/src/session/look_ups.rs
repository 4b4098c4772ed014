//! The look-ups that a session has open, by handle.
//!
//! A handle is slot and generation, so one that was closed is invalid also after its slot was taken by another
//! look-up, and a handle of another session means nothing here but what a random number would.

use allocator_api2::alloc::Allocator;
use pool_alloc::Vec;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    look_up: Option<T>,
}

/// The open look-ups of one session.
#[derive(Debug)]
pub struct LookUps<T, A: Allocator> {
    slots: Vec<Slot<T>, A>,
    limit: usize,
    /// The session is over: none is added any more.
    closed: bool,
    /// Mixed into the generations, so that two sessions do not give the same handles.
    seed: u32,
}

impl<T: Clone, A: Allocator> LookUps<T, A> {
    /// None yet, and at most `limit` at a time.
    pub const fn new(limit: usize, seed: u32, alloc: A) -> Self {
        Self {
            slots: Vec::new_in(alloc),
            limit,
            closed: false,
            seed,
        }
    }

    /// Refuses every look-up from now on. Those that are open are still to be taken out.
    pub const fn close(&mut self) {
        self.closed = true;
    }

    /// Adds a look-up and gives its handle, never 0; without memory, at the limit, or after [`Self::close`], it is
    /// given back.
    ///
    /// # Errors
    /// The look-up.
    pub fn insert(&mut self, look_up: T) -> Result<u64, T> {
        if self.closed {
            return Err(look_up);
        }
        let free = self.slots.iter().position(|slot| slot.look_up.is_none());
        let index = free.unwrap_or(self.slots.len());
        if index >= self.limit {
            return Err(look_up);
        }
        if free.is_none()
            && self
                .slots
                .try_push(Slot {
                    generation: self.seed,
                    look_up: None,
                })
                .is_err()
        {
            return Err(look_up);
        }
        let Some(slot) = self.slots.get_mut(index) else {
            return Err(look_up);
        };
        slot.generation = slot.generation.wrapping_add(1);
        slot.look_up = Some(look_up);
        Ok(handle(index, slot.generation))
    }

    /// The look-up with this handle.
    #[must_use]
    pub fn get(&self, handle: u64) -> Option<T> {
        self.slots.get(self.index(handle)?)?.look_up.clone()
    }

    /// Takes the look-up with this handle out.
    pub fn remove(&mut self, handle: u64) -> Option<T> {
        let index = self.index(handle)?;
        self.slots.get_mut(index)?.look_up.take()
    }

    /// Takes any look-up out.
    pub fn pop(&mut self) -> Option<T> {
        self.slots.iter_mut().find_map(|slot| slot.look_up.take())
    }

    /// How many there are.
    #[must_use]
    pub fn open(&self) -> usize {
        self.slots.iter().filter(|slot| slot.look_up.is_some()).count()
    }

    fn index(&self, number: u64) -> Option<usize> {
        let index = usize::try_from(number & u64::from(u32::MAX))
            .ok()?
            .checked_sub(1)?;
        let slot = self.slots.get(index)?;
        (handle(index, slot.generation) == number).then_some(index)
    }
}

fn handle(index: usize, generation: u32) -> u64 {
    let low = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
    (u64::from(generation) << 32) | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;
    use proptest::prelude::*;

    #[test]
    fn a_closed_handle_stays_invalid_when_its_slot_is_reused() {
        let mut look_ups = LookUps::new(4, 0, Global);
        let first = look_ups.insert('a').unwrap();
        assert_eq!(look_ups.remove(first), Some('a'));
        let second = look_ups.insert('b').unwrap();
        assert_eq!(look_ups.get(first), None);
        assert_eq!(look_ups.remove(first), None);
        assert_eq!(look_ups.get(second), Some('b'));
    }

    #[test]
    fn at_the_limit_no_more_are_opened() {
        let mut look_ups = LookUps::new(2, 0, Global);
        let handles = [look_ups.insert(1).unwrap(), look_ups.insert(2).unwrap()];
        assert_eq!(look_ups.insert(3), Err(3));
        look_ups.remove(handles[0]);
        assert!(look_ups.insert(3).is_ok());
        assert_eq!(look_ups.open(), 2);
    }

    #[test]
    fn a_session_that_is_over_takes_no_look_up_but_gives_out_those_it_has() {
        let mut look_ups = LookUps::new(4, 0, Global);
        look_ups.insert(1).unwrap();
        look_ups.close();
        assert_eq!(look_ups.insert(2), Err(2));
        assert_eq!(look_ups.pop(), Some(1));
        assert_eq!(look_ups.pop(), None);
    }

    proptest! {
        #[test]
        fn no_number_but_an_open_handle_finds_anything(number: u64, seed: u32) {
            let mut look_ups = LookUps::new(2, seed, Global);
            let open = look_ups.insert(()).unwrap();
            prop_assert!(number == open || look_ups.get(number).is_none());
            prop_assert!(look_ups.get(0).is_none());
        }
    }
}
