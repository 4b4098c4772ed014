//! What the verifier remembers of the registrar's users: where calls were made that a later breach may
//! refer to, and which memory drivers have lent.

use std::collections::{HashMap, HashSet};

use nmr_model::{BindingId, Lent, Loan, ModuleId, ModuleInfo, Moment, Owner, Role, Rule, Subject};

use crate::{
    sync::StateLock,
    verifier::{CallSite, SetUp},
};

/// How far a loan has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The memory must stay as it is.
    Live,
    /// A context whose attach failed: its client is to free it.
    Refused,
    /// A context whose cleanup has begun: its module is to free it.
    CleanedUp,
}

/// A loan that is remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) loan: Loan,
    pub(super) phase: Phase,
    /// Whether the memory is pool, so that it can be seen whether it is freed.
    pub(super) in_pool: bool,
}

/// The storage of a handle that was used for two registrations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Overwritten {
    pub(super) first: ModuleId,
    pub(super) second: ModuleId,
}

/// The memory of the verifier.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sites: StateLock<HashMap<Moment, CallSite>>,
    loans: StateLock<Vec<Held>>,
    overwritten: StateLock<Vec<Overwritten>>,
    once: StateLock<HashSet<(Rule, usize, Option<Role>)>>,
}

impl Ledger {
    /// Remembers where the calling thread is.
    pub(super) fn mark(&self, moment: Moment, site: CallSite) {
        self.sites.with(|sites| sites.insert(moment, site));
    }

    /// Where a call was made.
    pub(super) fn site(&self, moment: Moment) -> Option<CallSite> {
        self.sites.with(|sites| sites.get(&moment).cloned())
    }

    /// The call at a moment, for a report.
    pub(super) fn set_up(&self, moment: Moment) -> Option<SetUp> {
        let (moment, site) = match self.site(moment) {
            Some(site) => (moment, site),
            None => match moment {
                // A detach that was reported by the return of its callback.
                Moment::Completed(binding, role) => {
                    let moment = Moment::Detached(binding, role);
                    (moment, self.site(moment)?)
                }
                _ => return None,
            },
        };
        Some(SetUp {
            call: call_name(moment),
            site,
        })
    }

    /// Tells whether a rule is broken by a module, or by a side of a binding, for the first time.
    pub(super) fn first(&self, rule: Rule, id: usize, side: Option<Role>) -> bool {
        self.once.with(|once| once.insert((rule, id, side)))
    }

    /// Tells whether [`Self::first`] was asked about a module before.
    pub(super) fn has(&self, rule: Rule, id: usize) -> bool {
        self.once.with(|once| once.contains(&(rule, id, None)))
    }

    /// Remembers memory that was lent.
    pub(super) fn lend(&self, held: Held) {
        self.loans.with(|loans| {
            if held.loan.what.is_context() {
                // The memory serves again: what it was before no longer matters.
                loans.retain(|other| other.phase == Phase::Live || other.loan.start != held.loan.start);
            }
            loans.push(held);
        });
    }

    /// Remembers where a registration handle will be stored, and whether one of the same driver is there.
    pub(super) fn lend_handle(&self, module: ModuleInfo, loan: Loan) {
        let before = self.loans.with(|loans| {
            let before = loans.iter().find_map(|other| match other.loan.subject {
                Subject::Module(info)
                    if other.loan.what == Lent::Handle
                        && other.loan.start == loan.start
                        && info.owner == module.owner =>
                {
                    Some(info.id)
                }
                _ => None,
            });
            loans.push(Held {
                loan,
                phase: Phase::Live,
                in_pool: false,
            });
            before
        });
        if let Some(first) = before {
            let second = module.id;
            self.overwritten
                .with(|overwritten| overwritten.push(Overwritten { first, second }));
        }
    }

    /// The registration that took the storage of a module's handle.
    pub(super) fn overwriter(&self, module: ModuleId) -> Option<ModuleId> {
        self.overwritten.with(|overwritten| {
            let found = overwritten.iter().find(|pair| pair.first == module);
            found.map(|pair| pair.second)
        })
    }

    /// Takes the loans that overlap a range; handles are no affair of who frees their storage.
    pub(super) fn take_in(&self, start: usize, size: usize) -> Vec<Held> {
        self.loans.with(|loans| {
            let overlaps = |held: &mut Held| {
                let loan = held.loan;
                loan.what != Lent::Handle && loan.start < start + size && start < loan.start + loan.size
            };
            loans.extract_if(.., overlaps).collect()
        })
    }

    /// Takes the contexts that modules of a driver should have freed.
    pub(super) fn take_unfreed(&self, owner: Owner) -> Vec<Held> {
        self.loans.with(|loans| {
            let unfreed = |held: &mut Held| {
                let module = held.loan.subject.module();
                held.phase != Phase::Live && module.is_some_and(|module| module.owner == owner)
            };
            loans.extract_if(.., unfreed).collect()
        })
    }

    /// Whether a module is still registered, as far as its memory tells.
    pub(super) fn is_lending(&self, module: ModuleId) -> bool {
        self.loans.with(|loans| {
            loans
                .iter()
                .any(|held| matches!(held.loan.subject, Subject::Module(lender) if lender.id == module))
        })
    }

    /// Ends the loans of a module.
    pub(super) fn end_module(&self, module: ModuleId) {
        self.loans.with(|loans| {
            loans.retain(|held| !matches!(held.loan.subject, Subject::Module(lender) if lender.id == module));
        });
    }

    /// The cleanup of a side begins: its module may free the context, and should.
    pub(super) fn clean_up(&self, binding: BindingId, role: Role) {
        self.loans.with(|loans| {
            loans.retain_mut(|held| {
                if !matches!(held.loan.subject, Subject::Side(info, side) if info.id == binding && side == role) {
                    return true;
                }
                held.phase = Phase::CleanedUp;
                held.in_pool
            });
        });
    }

    /// A binding is gone, also for a side that had no cleanup.
    pub(super) fn end_binding(&self, binding: BindingId) {
        self.loans.with(|loans| {
            loans.retain(|held| {
                let ended = matches!(held.loan.subject, Subject::Side(info, _) if info.id == binding);
                !(ended && held.phase == Phase::Live)
            });
        });
    }
}

/// What was called at a moment.
const fn call_name(moment: Moment) -> &'static str {
    match moment {
        Moment::Registered(_) => "the registration",
        Moment::Deregistered(_) => "the deregistration",
        Moment::Waited(_) => "the wait that ended the registration",
        Moment::Attached(_, Role::Client) => "NmrClientAttachProvider",
        Moment::Attached(_, Role::Provider) => "ProviderAttachClient",
        Moment::Detached(_, Role::Client) => "ClientDetachProvider",
        Moment::Detached(_, Role::Provider) => "ProviderDetachClient",
        Moment::Completed(_, Role::Client) => "NmrClientDetachProviderComplete",
        Moment::Completed(_, Role::Provider) => "NmrProviderDetachClientComplete",
    }
}
