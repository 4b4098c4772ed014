//! What the verifier remembers of the registrar's users: where calls were made that a later breach may
//! refer to, and which memory drivers have lent.

use std::collections::HashMap;

use nmr_model::{BindingId, Loan, ModuleId, Moment, Role, Subject};

use crate::{
    sync::StateLock,
    verifier::{CallSite, SetUp},
};

/// The memory of the verifier.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sites: StateLock<HashMap<Moment, CallSite>>,
    loans: StateLock<Vec<Loan>>,
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

    /// Remembers memory that was lent.
    pub(super) fn lend(&self, loan: Loan) {
        self.loans.with(|loans| loans.push(loan));
    }

    /// Takes the loans that overlap a range.
    pub(super) fn take_lent_in(&self, start: usize, size: usize) -> Vec<Loan> {
        self.loans.with(|loans| {
            let overlaps = |loan: &mut Loan| loan.start < start + size && start < loan.start + loan.size;
            loans.extract_if(.., overlaps).collect()
        })
    }

    /// Ends the loans of a module.
    pub(super) fn end_module(&self, module: ModuleId) {
        self.loans.with(|loans| {
            loans.retain(|loan| !matches!(loan.subject, Subject::Module(lender) if lender.id == module));
        });
    }

    /// Ends the loan of a side.
    pub(super) fn end_side(&self, binding: BindingId, role: Role) {
        self.loans.with(|loans| {
            loans.retain(
                |loan| !matches!(loan.subject, Subject::Side(info, side) if info.id == binding && side == role),
            );
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
