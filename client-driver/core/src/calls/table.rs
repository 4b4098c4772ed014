//! The table of calls in progress: which of them wait, for what, and what they were answered.
//!
//! A call is a *task* that somebody runs. While it runs, the runner owns it. When it has asked a provider and the
//! provider will answer later, the runner puts the task into its slot here (it *parks* the task), and the answer makes
//! it *ready* for the next worker. The task therefore has one owner at any time, and nothing in it needs a lock.
//!
//! What a provider holds is a [`CallHandle`]: slot and generation. The generation is new for each question asked, so an
//! answer that comes twice, late, to a question that was answered by the entry's return value, or from somebody who was
//! not asked, meets no open question and changes nothing. (Whoever was asked may still write to what the task keeps.)
//!
//! The states of a slot, and who moves it on:
//!
//! | state | meaning | moves on by |
//! |---|---|---|
//! | `Free` | no call | `reserve` → `Held` |
//! | `Held` | the runner has the task | `ask` → `Asked`, `release` → `Free` |
//! | `Asked` | the runner is inside a provider's entry | `answer` → `Answered`, `park` → `Parked`, `settle` → `Held` |
//! | `Answered` | as before, but the answer came already | `answered`, `park` or `settle` → `Held` |
//! | `Parked` | the task waits here | `answer`, `abandon` → `Ready` |
//! | `Ready` | the task waits for a worker | `next_ready` → `Held` |
//!
//! All memory is allocated at the beginning: nothing here can fail for want of it later, and every operation is short
//! enough to be done under a spin lock.

use core::mem;
use core::num::NonZeroU64;

use allocator_api2::alloc::Allocator;
use nsemail_contract::WsaCode;
use pool_alloc::{OutOfMemory, Vec};

/// What a parked call was woken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The provider completed the call.
    Completed {
        /// The final code.
        code: WsaCode,
        /// What the entry defines as its information.
        information: usize,
    },
    /// The provider is gone and will never complete the call.
    Gone,
    /// Another call of ours did what this one waited for: look again.
    Turn,
}

/// Who is to answer a question: the number of an attachment, or nobody but ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The provider of this attachment.
    Provider(u64),
    /// Another call of this driver.
    Ourselves,
}

/// The right to one slot. Whoever runs the call has it.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    slot: usize,
}

/// Names one question of one call. Anybody may hold it, for any length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallHandle(NonZeroU64);

impl CallHandle {
    /// The handle as a number, never 0.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0.get()
    }

    /// The handle that a number stands for; any number may be given.
    #[must_use]
    pub const fn from_u64(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    fn new(slot: usize, generation: u32) -> Self {
        let low = u32::try_from(slot).unwrap_or(u32::MAX).saturating_add(1);
        let number = (u64::from(generation) << 32) | u64::from(low);
        Self(NonZeroU64::new(number).unwrap_or(NonZeroU64::MAX))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "each cast takes the half that holds the part"
    )]
    const fn parts(self) -> (usize, u32) {
        let number = self.0.get();
        ((number as u32).wrapping_sub(1) as usize, (number >> 32) as u32)
    }
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The runner is still inside the entry and will see it there.
    ToRunner,
    /// The task is ready; a worker must be woken.
    ToWorker,
    /// Nobody asked, or the question was answered before.
    Unasked,
}

#[derive(Debug)]
enum State<T> {
    Free,
    Held,
    Asked(Asked),
    Answered(Wake),
    Parked(Asked, T),
    Ready(Wake, T),
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// The next slot of the list that this one is in: of free ones, or of ready ones.
    next: Option<usize>,
    state: State<T>,
}

/// See the module's description.
#[derive(Debug)]
pub struct Table<T, A: Allocator> {
    slots: Vec<Slot<T>, A>,
    free: Option<usize>,
    first_ready: Option<usize>,
    last_ready: Option<usize>,
    in_use: usize,
}

impl<T, A: Allocator> Table<T, A> {
    /// A table for at most `capacity` calls at a time.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn try_new(capacity: usize, alloc: A) -> Result<Self, OutOfMemory> {
        let mut slots = Vec::try_with_capacity_in(capacity, alloc)?;
        for index in 1..=capacity {
            let next = (index < capacity).then_some(index);
            slots.try_push(Slot {
                generation: 0,
                next,
                state: State::Free,
            })?;
        }
        let free = (capacity > 0).then_some(0);
        Ok(Self {
            slots,
            free,
            first_ready: None,
            last_ready: None,
            in_use: 0,
        })
    }

    /// How many calls there are.
    #[must_use]
    pub const fn in_use(&self) -> usize {
        self.in_use
    }

    /// Takes a slot for a new call, unless as many as there may be are in progress.
    pub fn reserve(&mut self) -> Option<Ticket> {
        let index = self.free?;
        let slot = self.slots.get_mut(index)?;
        self.free = slot.next.take();
        slot.state = State::Held;
        self.in_use = self.in_use.saturating_add(1);
        Some(Ticket { slot: index })
    }

    /// Gives the slot of a finished call back.
    #[expect(clippy::needless_pass_by_value, reason = "the ticket ends here")]
    pub fn release(&mut self, ticket: Ticket) {
        let Some(slot) = self.slots.get_mut(ticket.slot) else {
            return;
        };
        slot.state = State::Free;
        slot.next = self.free.replace(ticket.slot);
        self.in_use = self.in_use.saturating_sub(1);
    }

    /// Begins a question. Its handle can be given to whom it is put to.
    pub fn ask(&mut self, ticket: &Ticket, asked: Asked) -> CallHandle {
        let generation = self.slots.get_mut(ticket.slot).map_or(0, |slot| {
            slot.generation = slot.generation.wrapping_add(1);
            slot.state = State::Asked(asked);
            slot.generation
        });
        CallHandle::new(ticket.slot, generation)
    }

    /// Ends a question that needs no answer any more, because the entry's return value was final. Answers whether an
    /// answer had come all the same, which is a provider's fault.
    pub fn settle(&mut self, ticket: &Ticket) -> bool {
        let Some(slot) = self.slots.get_mut(ticket.slot) else {
            return false;
        };
        slot.generation = slot.generation.wrapping_add(1);
        matches!(mem::replace(&mut slot.state, State::Held), State::Answered(_))
    }

    /// Takes the answer to the question, if it came before the entry returned.
    pub fn answered(&mut self, ticket: &Ticket) -> Option<Wake> {
        let slot = self.slots.get_mut(ticket.slot)?;
        let State::Answered(wake) = slot.state else {
            return None;
        };
        slot.state = State::Held;
        Some(wake)
    }

    /// Leaves the task here until the question is answered.
    ///
    /// # Errors
    /// If the answer came already, it and the task are given back.
    pub fn park(&mut self, slot: usize, task: T) -> Result<(), (Wake, T)> {
        let Some(slot) = self.slots.get_mut(slot) else {
            return Err((Wake::Gone, task));
        };
        match slot.state {
            State::Answered(wake) => {
                slot.state = State::Held;
                Err((wake, task))
            }
            State::Asked(asked) => {
                slot.state = State::Parked(asked, task);
                Ok(())
            }
            // Nothing was asked, so nothing would ever wake it.
            _ => Err((Wake::Gone, task)),
        }
    }

    /// Answers a question, which only the one who was asked can do.
    pub fn answer(&mut self, handle: CallHandle, by: Asked, wake: Wake) -> Delivered {
        let (index, generation) = handle.parts();
        let Some(slot) = self
            .slots
            .get_mut(index)
            .filter(|slot| slot.generation == generation)
        else {
            return Delivered::Unasked;
        };
        match mem::replace(&mut slot.state, State::Free) {
            State::Asked(asked) if asked == by => {
                slot.state = State::Answered(wake);
                Delivered::ToRunner
            }
            State::Parked(asked, task) if asked == by => {
                slot.state = State::Ready(wake, task);
                self.make_ready(index);
                Delivered::ToWorker
            }
            other => {
                slot.state = other;
                Delivered::Unasked
            }
        }
    }

    /// Answers every parked question that was put to one provider with [`Wake::Gone`], and says how many.
    pub fn abandon(&mut self, attachment: u64) -> usize {
        let mut count = 0_usize;
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(index) else {
                break;
            };
            match mem::replace(&mut slot.state, State::Free) {
                State::Parked(Asked::Provider(number), task) if number == attachment => {
                    slot.state = State::Ready(Wake::Gone, task);
                    slot.generation = slot.generation.wrapping_add(1);
                    self.make_ready(index);
                    count = count.saturating_add(1);
                }
                other => slot.state = other,
            }
        }
        count
    }

    /// The first task here, parked or ready, from a slot on for which `look` finds something, with its slot.
    pub fn find<F>(&self, from: usize, mut look: impl FnMut(&T) -> Option<F>) -> Option<(usize, F)> {
        let here = |(index, slot): (usize, &Slot<T>)| match &slot.state {
            State::Parked(_, task) | State::Ready(_, task) => look(task).map(|found| (index, found)),
            _ => None,
        };
        self.slots.iter().enumerate().skip(from).find_map(here)
    }

    /// How many questions one provider has that it has not answered.
    #[must_use]
    pub fn open_questions(&self, attachment: u64) -> usize {
        let provider = Asked::Provider(attachment);
        let open = |slot: &&Slot<T>| matches!(&slot.state, State::Asked(asked) | State::Parked(asked, _) if *asked == provider);
        self.slots.iter().filter(open).count()
    }

    /// Whether a task waits for a worker.
    #[must_use]
    pub const fn has_ready(&self) -> bool {
        self.first_ready.is_some()
    }

    /// Takes the task that has been ready for longest.
    pub fn next_ready(&mut self) -> Option<(Wake, T)> {
        let index = self.first_ready?;
        let slot = self.slots.get_mut(index)?;
        self.first_ready = slot.next.take();
        if self.first_ready.is_none() {
            self.last_ready = None;
        }
        match mem::replace(&mut slot.state, State::Held) {
            State::Ready(wake, task) => Some((wake, task)),
            other => {
                slot.state = other;
                None
            }
        }
    }

    fn make_ready(&mut self, index: usize) {
        match self
            .last_ready
            .replace(index)
            .and_then(|last| self.slots.get_mut(last))
        {
            Some(last) => last.next = Some(index),
            None => self.first_ready = Some(index),
        }
    }
}

impl Ticket {
    /// Which slot it is, for [`Table::park`], where the ticket travels inside the task.
    #[must_use]
    pub const fn slot(&self) -> usize {
        self.slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;
    use proptest::prelude::*;

    type Tasks = Table<(Ticket, u32), Global>;

    const DONE: Wake = Wake::Completed {
        code: WsaCode::NO_ERROR,
        information: 7,
    };

    const ONE: Asked = Asked::Provider(1);

    fn parked(table: &mut Tasks, name: u32, attachment: u64) -> CallHandle {
        let ticket = table.reserve().expect("a free slot");
        let handle = table.ask(&ticket, Asked::Provider(attachment));
        table
            .park(ticket.slot(), (ticket, name))
            .expect("nothing answered yet");
        handle
    }

    #[test]
    fn an_answer_before_the_entry_returns_reaches_the_runner() {
        let mut table = Tasks::try_new(1, Global).unwrap();
        let ticket = table.reserve().unwrap();
        let handle = table.ask(&ticket, Asked::Provider(1));
        assert_eq!(table.answer(handle, ONE, DONE), Delivered::ToRunner);
        let (wake, (ticket, name)) = table.park(ticket.slot(), (ticket, 5)).unwrap_err();
        assert_eq!((wake, name), (DONE, 5));
        let handle = table.ask(&ticket, Asked::Provider(1));
        assert_eq!(table.answered(&ticket), None);
        assert_eq!(table.answer(handle, ONE, DONE), Delivered::ToRunner);
        assert_eq!(table.answered(&ticket), Some(DONE));
        assert_eq!(table.answered(&ticket), None, "it was taken");
        assert_eq!(table.answer(handle, ONE, DONE), Delivered::Unasked);
        table.release(ticket);
        assert_eq!(table.in_use(), 0);
    }

    #[test]
    fn a_second_answer_and_one_to_a_settled_question_change_nothing() {
        let mut table = Tasks::try_new(1, Global).unwrap();
        let handle = parked(&mut table, 1, 1);
        assert_eq!(table.answer(handle, ONE, DONE), Delivered::ToWorker);
        assert_eq!(table.answer(handle, ONE, Wake::Gone), Delivered::Unasked);
        let (wake, (ticket, _)) = table.next_ready().unwrap();
        assert_eq!(wake, DONE);
        assert_eq!(table.answer(handle, ONE, DONE), Delivered::Unasked);

        let settled = table.ask(&ticket, Asked::Provider(1));
        assert!(!table.settle(&ticket));
        assert_eq!(table.answer(settled, ONE, DONE), Delivered::Unasked);

        let both = table.ask(&ticket, Asked::Provider(1));
        assert_eq!(table.answer(both, ONE, DONE), Delivered::ToRunner);
        assert!(
            table.settle(&ticket),
            "the provider answered a call that it also finished at once"
        );
        assert_eq!(table.next_ready().map(|_| ()), None);
    }

    #[test]
    fn only_the_one_who_was_asked_answers() {
        let mut table = Tasks::try_new(2, Global).unwrap();
        let waiting = parked(&mut table, 1, 1);
        let ticket = table.reserve().unwrap();
        let running = table.ask(&ticket, Asked::Ourselves);
        for other in [Asked::Provider(2), Asked::Ourselves] {
            assert_eq!(table.answer(waiting, other, DONE), Delivered::Unasked);
        }
        assert_eq!(table.answer(running, ONE, DONE), Delivered::Unasked);
        assert_eq!(
            table.answer(running, Asked::Ourselves, Wake::Turn),
            Delivered::ToRunner
        );
        assert_eq!(table.answer(waiting, ONE, DONE), Delivered::ToWorker);
    }

    #[test]
    fn a_provider_that_is_gone_leaves_no_call_waiting() {
        let mut table = Tasks::try_new(3, Global).unwrap();
        let first = parked(&mut table, 1, 10);
        let other = parked(&mut table, 2, 20);
        parked(&mut table, 3, 10);
        assert!(table.reserve().is_none(), "the table is full");
        assert_eq!((table.open_questions(10), table.open_questions(20)), (2, 1));
        assert_eq!(table.find(1, |task| Some(task.1)), Some((1, 2)));
        assert_eq!(table.abandon(10), 2);
        assert_eq!(table.find(1, |task| Some(task.1)), Some((1, 2)));
        assert_eq!(table.answer(first, Asked::Provider(10), DONE), Delivered::Unasked);
        assert_eq!(
            table.answer(other, Asked::Provider(20), DONE),
            Delivered::ToWorker
        );
        let woken: std::vec::Vec<_> = core::iter::from_fn(|| table.next_ready())
            .map(|(wake, (_, name))| (name, wake))
            .collect();
        assert_eq!(woken, [(1, Wake::Gone), (3, Wake::Gone), (2, DONE)]);
    }

    proptest! {
        /// Whatever the order of events, each question is delivered exactly once, and tasks come out in the order in
        /// which they became ready.
        #[test]
        fn every_parked_task_comes_back_exactly_once(answers in prop::collection::vec(0_usize..8, 0..64)) {
            let mut table = Tasks::try_new(8, Global).unwrap();
            let handles: std::vec::Vec<_> = (0..8).map(|name| parked(&mut table, name, 1)).collect();
            let mut expected = std::vec::Vec::new();
            for index in answers {
                let fresh = !expected.contains(&u32::try_from(index).unwrap());
                let delivered = table.answer(handles[index], ONE, DONE);
                prop_assert_eq!(delivered, if fresh { Delivered::ToWorker } else { Delivered::Unasked });
                if fresh {
                    expected.push(u32::try_from(index).unwrap());
                }
            }
            let mut seen = std::vec::Vec::new();
            while let Some((_, (ticket, name))) = table.next_ready() {
                seen.push(name);
                table.release(ticket);
            }
            prop_assert_eq!(&seen, &expected);
            prop_assert_eq!(table.in_use(), 8 - seen.len());
        }

        #[test]
        fn no_number_is_a_handle_that_breaks_the_table(number: u64) {
            let mut table = Tasks::try_new(2, Global).unwrap();
            let handle = parked(&mut table, 1, 1);
            if let Some(wild) = CallHandle::from_u64(number).filter(|wild| *wild != handle) {
                prop_assert_eq!(table.answer(wild, ONE, DONE), Delivered::Unasked);
            }
        }
    }
}
