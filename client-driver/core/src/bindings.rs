//! The providers that are attached, by GUID.
//!
//! An attachment is a *seat*. It is taken before the provider is accepted, so that of two modules with one GUID, even
//! if both attach at the same moment, one finds the seat taken and is declined. It is filled when the attach has
//! succeeded, and given up when detach begins: both are short, allocate nothing, and may be done under a spin lock at
//! `DISPATCH_LEVEL`.

use allocator_api2::alloc::Allocator;
use nsemail_contract::Guid;
use pool_alloc::{OutOfMemory, Vec};

use crate::session::uses::Attached;

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSeat {
    /// A module with this GUID is attached, or attaching.
    Taken,
    /// As many are attached as there may be.
    Full,
}

#[derive(Debug)]
struct Seat<R> {
    number: u64,
    provider: Guid,
    binding: Option<R>,
}

/// The attached providers. `R` is a reference to a binding.
#[derive(Debug)]
pub struct Bindings<R, A: Allocator> {
    seats: Vec<Seat<R>, A>,
    limit: usize,
    next: u64,
}

impl<R: Clone, A: Allocator> Bindings<R, A> {
    /// Nobody yet, and at most `limit` at a time.
    ///
    /// # Errors
    /// When there is no memory for that many.
    pub fn try_new(limit: usize, alloc: A) -> Result<Self, OutOfMemory> {
        Ok(Self {
            seats: Vec::try_with_capacity_in(limit, alloc)?,
            limit,
            next: 1,
        })
    }

    /// Takes a seat for a provider that is about to be accepted, and gives the number of the attachment.
    ///
    /// # Errors
    /// When it cannot be attached now.
    pub fn take_seat(&mut self, provider: Guid) -> Result<u64, NoSeat> {
        if self.seats.iter().any(|seat| seat.provider == provider) {
            return Err(NoSeat::Taken);
        }
        if self.seats.len() >= self.limit {
            return Err(NoSeat::Full);
        }
        let number = self.next;
        let seat = Seat {
            number,
            provider,
            binding: None,
        };
        self.seats.push_within_capacity(seat).map_err(|_| NoSeat::Full)?;
        self.next = self.next.wrapping_add(1);
        Ok(number)
    }

    /// The provider is attached: calls may find it. `false` if there is no such seat any more.
    pub fn fill(&mut self, number: u64, binding: R) -> bool {
        let Some(seat) = self.seats.iter_mut().find(|seat| seat.number == number) else {
            return false;
        };
        seat.binding = Some(binding);
        true
    }

    /// The provider detaches, or was not attached after all: no call finds it any more. Gives the binding back, to be
    /// dropped outside of the lock.
    pub fn give_up(&mut self, number: u64) -> Option<R> {
        let index = self.seats.iter().position(|seat| seat.number == number)?;
        self.seats.swap_remove(index)?.binding
    }

    /// The provider as it is attached now.
    #[must_use]
    pub fn find(&self, provider: Guid) -> Option<Attached<R>> {
        let seat = self.seats.iter().find(|seat| seat.provider == provider)?;
        Some(Attached {
            number: seat.number,
            provider,
            binding: seat.binding.clone()?,
        })
    }

    /// Whether the provider is attached, or attaching.
    #[must_use]
    pub fn has_seat(&self, provider: Guid) -> bool {
        self.seats.iter().any(|seat| seat.provider == provider)
    }

    /// How many are attached.
    #[must_use]
    pub fn attached(&self) -> usize {
        self.seats.iter().filter(|seat| seat.binding.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;

    const A: Guid = Guid::from_u128(1);
    const B: Guid = Guid::from_u128(2);
    const C: Guid = Guid::from_u128(3);

    #[test]
    fn of_two_modules_with_one_guid_the_second_finds_the_seat_taken() {
        let mut bindings = Bindings::try_new(4, Global).unwrap();
        let first = bindings.take_seat(A).unwrap();
        assert_eq!(
            bindings.take_seat(A),
            Err(NoSeat::Taken),
            "also while the first is still attaching"
        );
        assert!(bindings.find(A).is_none());
        assert!(bindings.fill(first, 'a'));
        assert_eq!(
            bindings
                .find(A)
                .map(|attached| (attached.number, attached.binding)),
            Some((first, 'a'))
        );
        assert_eq!(bindings.give_up(first), Some('a'));
        let second = bindings.take_seat(A).unwrap();
        assert_ne!(first, second, "an attachment's number is never used twice");
        assert!(!bindings.fill(first, 'x'));
    }

    #[test]
    fn there_are_as_many_seats_as_the_limit_says() {
        let mut bindings = Bindings::<char, _>::try_new(2, Global).unwrap();
        let first = bindings.take_seat(A).unwrap();
        bindings.take_seat(B).unwrap();
        assert_eq!(bindings.take_seat(C), Err(NoSeat::Full));
        assert_eq!(bindings.give_up(first), None);
        assert!(bindings.take_seat(C).is_ok());
    }
}
