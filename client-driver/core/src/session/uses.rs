//! What a session has with each provider: whether `Startup` was called, who is inside the provider just now, and when
//! it is time for `Cleanup` or `ClientSessionRundown`.
//!
//! A *use* begins with the session's first call to a provider and lasts until the farewell: one `Cleanup` if the
//! program ended its session, one `ClientSessionRundown` if its handle was closed. The farewell is the last thing that
//! the provider hears of the session, so
//! - no call of the session enters the provider after the session ended;
//! - the farewell waits for calls that are inside the provider's entries at that moment, and is then said by the last
//!   of them. It does not wait for *accepted* calls: ending those is what a rundown is for;
//! - a `Cleanup` also waits until the look-ups that the session has open there are closed. A rundown does not, because
//!   it closes them itself; but not every provider has that entry, and of one that has not the look-ups are closed;
//! - a rundown waits for a removal that several providers are to make, see [`Uses::hold`].
//!
//! Two calls may need a provider at the same time when neither has been there before. `Startup` is called by one of
//! them, outside of any lock, and the other waits for it as a parked call.

use core::mem;

use allocator_api2::alloc::Allocator;
use nsemail_contract::Guid;
use pool_alloc::{OutOfMemory, Vec};

use crate::calls::table::CallHandle;

/// How a session with a provider ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// `NSPv2Cleanup`: the program ended its session.
    Cleanup,
    /// `NSPv2ClientSessionRundown`: the program closed its handle, or died.
    Rundown,
}

/// A provider as it is attached now.
#[derive(Clone, Debug)]
pub struct Attached<R> {
    /// Number of the attachment; never used twice.
    pub number: u64,
    /// The provider.
    pub provider: Guid,
    /// The binding.
    pub binding: R,
}

/// Names one use of a provider by one session. Never used twice in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UseId(u64);

/// A farewell to be said, outside of any lock.
#[derive(Debug)]
pub struct Goodbye<R, S> {
    /// To whom.
    pub attached: Attached<R>,
    /// The value that the provider gave in `Startup`.
    pub session: S,
    /// Which one.
    pub farewell: Farewell,
}

/// Answer to a call that wants to enter a provider.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<S> {
    /// The call is inside; this is what the provider gave in `Startup`. It must leave again.
    Inside(UseId, S),
    /// The call is inside and must call `Startup`, then [`Uses::started`].
    Startup(UseId),
    /// Another call is at it. If this one gave its handle, it will be woken.
    Wait,
    /// The session is over.
    Over,
}

#[derive(Debug)]
enum Phase<S, A: Allocator> {
    /// `Startup` is being called; these calls wait for it.
    Starting(Vec<CallHandle, A>),
    Started(S),
}

#[derive(Debug)]
struct Use<R, S, A: Allocator> {
    id: UseId,
    attached: Attached<R>,
    phase: Phase<S, A>,
    /// Calls inside the provider's entries.
    inside: usize,
    /// Look-ups that are open there.
    look_ups: usize,
    /// The provider closes them by itself when it hears of a rundown.
    runs_down: bool,
    /// Set when the session ended; no new call finds this use then.
    farewell: Option<Farewell>,
}

impl<R, S, A: Allocator> Use<R, S, A> {
    const fn is_due(&self, holds: usize) -> bool {
        match self.farewell {
            None => false,
            Some(Farewell::Rundown) => {
                self.inside == 0 && holds == 0 && (self.runs_down || self.look_ups == 0)
            }
            Some(Farewell::Cleanup) => self.inside == 0 && self.look_ups == 0,
        }
    }
}

/// The uses of one session. See the module's description.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "it is the list of them")]
pub struct Uses<R, S, A: Allocator> {
    uses: Vec<Use<R, S, A>, A>,
    next: u64,
    over: bool,
    /// Removals under way that several providers are to make.
    holds: usize,
    alloc: A,
}

impl<R: Clone, S: Copy, A: Allocator + Clone> Uses<R, S, A> {
    /// A session that has not met any provider.
    pub fn new(alloc: A) -> Self {
        Self {
            uses: Vec::new_in(alloc.clone()),
            next: 0,
            over: false,
            holds: 0,
            alloc,
        }
    }

    /// A call wants to enter a provider. If it has to wait and gave a handle, that is noted.
    ///
    /// # Errors
    /// When there is no memory for a first use or for waiting.
    pub fn enter(
        &mut self,
        attached: &Attached<R>,
        waiter: Option<CallHandle>,
    ) -> Result<Entry<S>, OutOfMemory> {
        if self.over && self.holds == 0 {
            return Ok(Entry::Over);
        }
        let current = |this: &&mut Use<R, S, A>| {
            this.attached.number == attached.number && this.farewell != Some(Farewell::Cleanup)
        };
        if let Some(known) = self.uses.iter_mut().find(current) {
            return match &mut known.phase {
                Phase::Starting(waiters) => {
                    if let Some(waiter) = waiter {
                        waiters.try_push(waiter)?;
                    }
                    Ok(Entry::Wait)
                }
                Phase::Started(session) => {
                    known.inside = known.inside.saturating_add(1);
                    Ok(Entry::Inside(known.id, *session))
                }
            };
        }
        // What is left of the provider's earlier attachments is only in the way: it freed those sessions itself.
        self.uses.retain(|old| {
            let earlier =
                old.attached.provider == attached.provider && old.attached.number != attached.number;
            !earlier || old.inside > 0 || old.look_ups > 0
        });
        let id = UseId(self.next);
        self.uses.try_push(Use {
            id,
            attached: attached.clone(),
            phase: Phase::Starting(Vec::new_in(self.alloc.clone())),
            inside: 1,
            look_ups: 0,
            runs_down: false,
            farewell: self.over.then_some(Farewell::Rundown),
        })?;
        self.next = self.next.wrapping_add(1);
        Ok(Entry::Startup(id))
    }

    /// `Startup` was called by a call that is inside, with this result; gives the calls that wait for it. With `None`
    /// it failed: the use is over, and the call is not inside any more. `runs_down` says that the provider closes the
    /// session's look-ups by itself when it hears of a rundown.
    #[must_use = "these calls must be woken"]
    pub fn started(&mut self, id: UseId, session: Option<S>, runs_down: bool) -> Vec<CallHandle, A> {
        let index = self.uses.iter().position(|this| this.id == id);
        let before = if let Some(session) = session {
            let this = index.and_then(|index| self.uses.get_mut(index));
            this.map(|this| {
                this.runs_down = runs_down;
                mem::replace(&mut this.phase, Phase::Started(session))
            })
        } else {
            index
                .and_then(|index| self.uses.swap_remove(index))
                .map(|this| this.phase)
        };
        match before {
            Some(Phase::Starting(waiters)) => waiters,
            _ => Vec::new_in(self.alloc.clone()),
        }
    }

    /// A call wants to enter the provider where a look-up is open, to ask it or to close it. `false` if it may not,
    /// because the session was run down; else the call is inside and must leave again.
    #[must_use]
    pub fn reenter(&mut self, id: UseId, to_close: bool) -> bool {
        let over = self.over;
        let Some(this) = self.uses.iter_mut().find(|this| this.id == id) else {
            return false;
        };
        if over && (this.runs_down || !to_close) {
            return false;
        }
        this.inside = this.inside.saturating_add(1);
        true
    }

    /// A call that is inside has opened a look-up there.
    pub fn look_up_opened(&mut self, id: UseId) {
        if let Some(this) = self.uses.iter_mut().find(|this| this.id == id) {
            this.look_ups = this.look_ups.saturating_add(1);
        }
    }

    /// A look-up is closed, or its provider is gone.
    #[must_use = "the farewell must be said"]
    pub fn look_up_closed(&mut self, id: UseId) -> Option<Goodbye<R, S>> {
        let this = self.uses.iter_mut().find(|this| this.id == id)?;
        this.look_ups = this.look_ups.saturating_sub(1);
        self.due(id)
    }

    /// A call leaves the provider.
    #[must_use = "the farewell must be said"]
    pub fn leave(&mut self, id: UseId) -> Option<Goodbye<R, S>> {
        let this = self.uses.iter_mut().find(|this| this.id == id)?;
        this.inside = this.inside.saturating_sub(1);
        self.due(id)
    }

    /// Whether the session was run down.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Delays a rundown until [`Self::unhold`]: for a removal that has several providers to tell, so that it happens
    /// wholly or not at all although nobody waits for it any more. `false` if the session is over already.
    pub const fn hold(&mut self) -> bool {
        if self.over && self.holds == 0 {
            return false;
        }
        self.holds = self.holds.saturating_add(1);
        true
    }

    /// Ends [`Self::hold`]. Ask [`Self::next_due`] for the farewells that this sets free.
    pub const fn unhold(&mut self) {
        self.holds = self.holds.saturating_sub(1);
    }

    /// Ends the session with every provider. After a rundown it is over for good; after a cleanup the next call to a
    /// provider begins anew. Ask [`Self::next_due`] for the farewells that need not wait for anybody.
    pub fn end(&mut self, farewell: Farewell) {
        for this in self.uses.iter_mut().filter(|this| this.farewell.is_none()) {
            this.farewell = Some(farewell);
        }
        if farewell == Farewell::Rundown {
            self.over = true;
            // The handle is gone, and with it the look-ups that a cleanup might wait for.
            for this in &mut self.uses {
                this.farewell = Some(Farewell::Rundown);
            }
        }
    }

    /// A farewell that is to be said now.
    #[must_use = "the farewell must be said"]
    pub fn next_due(&mut self) -> Option<Goodbye<R, S>> {
        let holds = self.holds;
        let id = self.uses.iter().find(|this| this.is_due(holds))?.id;
        self.due(id)
    }

    fn due(&mut self, id: UseId) -> Option<Goodbye<R, S>> {
        let index = self.uses.iter().position(|this| this.id == id)?;
        let this = self.uses.get(index).filter(|this| this.is_due(self.holds))?;
        let farewell = this.farewell?;
        let this = self.uses.swap_remove(index)?;
        match this.phase {
            Phase::Started(session) => Some(Goodbye {
                attached: this.attached,
                session,
                farewell,
            }),
            Phase::Starting(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use allocator_api2::alloc::Global;

    type Session = Uses<(), u32, Global>;

    const PROVIDER: Attached<()> = Attached {
        number: 1,
        provider: Guid::from_u128(1),
        binding: (),
    };

    fn handle(number: u64) -> CallHandle {
        CallHandle::from_u64(number).unwrap()
    }

    /// A session that has started with the provider; nobody is inside.
    fn started() -> (Session, UseId) {
        let mut session = Session::new(Global);
        let Ok(Entry::Startup(id)) = session.enter(&PROVIDER, Some(handle(1))) else {
            panic!("a first use")
        };
        assert!(session.started(id, Some(7), true).is_empty());
        assert!(session.leave(id).is_none());
        (session, id)
    }

    fn said(goodbye: Option<Goodbye<(), u32>>) -> Option<(u32, Farewell)> {
        let Goodbye {
            session, farewell, ..
        } = goodbye?;
        Some((session, farewell))
    }

    #[test]
    fn startup_is_called_once_and_others_wait_for_it() {
        let mut session = Session::new(Global);
        let Ok(Entry::Startup(id)) = session.enter(&PROVIDER, Some(handle(1))) else {
            panic!("a first use")
        };
        assert_eq!(session.enter(&PROVIDER, Some(handle(2))), Ok(Entry::Wait));
        assert_eq!(*session.started(id, Some(7), true), [handle(2)]);
        assert_eq!(
            session.enter(&PROVIDER, Some(handle(2))),
            Ok(Entry::Inside(id, 7))
        );
    }

    #[test]
    fn a_failed_startup_is_tried_again_by_the_next_call() {
        let mut session = Session::new(Global);
        let Ok(Entry::Startup(id)) = session.enter(&PROVIDER, Some(handle(1))) else {
            panic!("a first use")
        };
        assert!(session.started(id, None, true).is_empty());
        assert!(
            matches!(session.enter(&PROVIDER, Some(handle(2))), Ok(Entry::Startup(again)) if again != id)
        );
    }

    #[test]
    fn a_provider_that_attaches_again_is_started_again() {
        let (mut session, _) = started();
        let again = Attached {
            number: 2,
            ..PROVIDER
        };
        assert!(matches!(
            session.enter(&again, Some(handle(1))),
            Ok(Entry::Startup(_))
        ));
        assert_eq!(
            session.uses.len(),
            1,
            "the use of the old attachment is forgotten"
        );
    }

    #[test]
    fn a_farewell_is_said_once_by_the_last_call_to_leave() {
        let (mut session, id) = started();
        assert_eq!(
            session.enter(&PROVIDER, Some(handle(1))),
            Ok(Entry::Inside(id, 7))
        );
        assert_eq!(
            session.enter(&PROVIDER, Some(handle(2))),
            Ok(Entry::Inside(id, 7))
        );
        session.end(Farewell::Rundown);
        assert_eq!(said(session.next_due()), None, "two calls are inside");
        assert_eq!(session.enter(&PROVIDER, Some(handle(3))), Ok(Entry::Over));
        assert_eq!(said(session.leave(id)), None);
        assert_eq!(said(session.leave(id)), Some((7, Farewell::Rundown)));
        assert_eq!(said(session.next_due()), None);
    }

    #[test]
    fn a_cleanup_waits_for_open_look_ups_and_a_rundown_does_not() {
        for (farewell, waits) in [(Farewell::Cleanup, true), (Farewell::Rundown, false)] {
            let (mut session, id) = started();
            assert_eq!(
                session.enter(&PROVIDER, Some(handle(1))),
                Ok(Entry::Inside(id, 7))
            );
            session.look_up_opened(id);
            assert_eq!(said(session.leave(id)), None);
            session.end(farewell);
            assert_eq!(said(session.next_due()).is_none(), waits);
            assert_eq!(session.reenter(id, false), waits);
            if waits {
                assert_eq!(said(session.leave(id)), None);
                assert_eq!(said(session.look_up_closed(id)), Some((7, Farewell::Cleanup)));
            }
        }
    }

    #[test]
    fn after_a_cleanup_the_session_may_begin_anew() {
        let (mut session, _) = started();
        session.end(Farewell::Cleanup);
        assert_eq!(said(session.next_due()), Some((7, Farewell::Cleanup)));
        assert!(matches!(
            session.enter(&PROVIDER, Some(handle(1))),
            Ok(Entry::Startup(_))
        ));
    }

    #[test]
    fn a_cleanup_that_is_due_is_said_although_the_session_begins_anew_before() {
        let (mut session, _) = started();
        session.end(Farewell::Cleanup);
        assert!(matches!(
            session.enter(&PROVIDER, Some(handle(1))),
            Ok(Entry::Startup(_))
        ));
        assert_eq!(said(session.next_due()), Some((7, Farewell::Cleanup)));
        assert_eq!(said(session.next_due()), None);
    }

    #[test]
    fn a_removal_at_several_providers_delays_the_rundown_and_may_go_on() {
        let (mut session, id) = started();
        assert!(session.hold());
        session.end(Farewell::Rundown);
        assert_eq!(said(session.next_due()), None);
        assert_eq!(
            session.enter(&PROVIDER, Some(handle(1))),
            Ok(Entry::Inside(id, 7))
        );
        assert_eq!(said(session.leave(id)), None);
        session.unhold();
        assert_eq!(said(session.next_due()), Some((7, Farewell::Rundown)));
        assert!(!session.hold(), "it is over");
    }

    #[test]
    fn of_a_provider_without_rundown_the_look_ups_are_closed_first() {
        let mut session = Session::new(Global);
        let Ok(Entry::Startup(id)) = session.enter(&PROVIDER, None) else {
            panic!("a first use")
        };
        assert!(session.started(id, Some(7), false).is_empty());
        session.look_up_opened(id);
        assert_eq!(said(session.leave(id)), None);
        session.end(Farewell::Rundown);
        assert_eq!(said(session.next_due()), None);
        assert!(!session.reenter(id, false), "nothing is asked any more");
        assert!(session.reenter(id, true));
        assert_eq!(said(session.leave(id)), None);
        assert_eq!(said(session.look_up_closed(id)), Some((7, Farewell::Rundown)));
    }
}
