//! Turning the breach of a rule of the contract into a finding that a driver author can act on.

use nmr_model::{Callback, ModuleInfo, Moment, Rule, Severity, Subject, Violation};

use super::role_name;
use crate::{
    DriverName, Machine, thread,
    verifier::{self, CallSite, Finding},
};

/// The breach of a rule by what the calling thread does, unless another place is named.
#[derive(Debug)]
pub(crate) struct Breach {
    rule: Rule,
    severity: Severity,
    subject: Subject,
    message: String,
    call: Option<&'static str>,
    since: Option<Moment>,
    site: Option<CallSite>,
}

impl Breach {
    /// A breach that concerns a module or a side of a binding.
    pub(crate) fn new(rule: Rule, subject: impl Into<Subject>, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            subject: subject.into(),
            message: message.into(),
            call: None,
            since: None,
            site: None,
        }
    }

    /// A breach by the code of a callback, which was made possible by the attach of its side.
    pub(crate) fn in_callback(rule: Rule, callback: &Callback, message: impl Into<String>) -> Self {
        let side = (callback.binding, callback.role);
        Self::new(rule, side, message).since(Moment::Attached(callback.binding.id, callback.role))
    }

    /// Names the function that was called wrongly.
    pub(crate) const fn by(mut self, call: &'static str) -> Self {
        self.call = Some(call);
        self
    }

    /// Names the call that set it up.
    pub(crate) const fn since(mut self, moment: Moment) -> Self {
        self.since = Some(moment);
        self
    }

    /// Judges it otherwise than the table does.
    pub(crate) const fn at(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Names another place than where the calling thread is.
    pub(crate) fn placed(mut self, site: Option<CallSite>) -> Self {
        self.site = site.or(self.site);
        self
    }

    /// Makes it a finding of the machine of the calling thread.
    pub(crate) fn report(self) {
        if let Some(machine) = Machine::try_current().filter(Machine::verifier_is_on) {
            let finding = self.finding(&machine);
            verifier::report_finding(&machine, finding);
        }
    }

    /// Makes it a finding.
    pub(crate) fn finding(self, machine: &Machine) -> Finding {
        let state = machine.nmr_state();
        let frame = thread::current_frame();
        let owner = self
            .subject
            .module()
            .and_then(|module| state.driver(module.owner));
        // A rule may be broken by one driver on the thread of another: the module's driver is to act.
        let driver = owner.or_else(|| frame.as_ref().map(|frame| frame.driver.clone()));
        let since = self.since.and_then(|moment| state.ledger.set_up(moment));
        Finding {
            severity: self.severity,
            driver,
            callback: frame.map(|frame| frame.callback),
            thread: thread::current_thread(),
            call: self.call,
            site: Some(self.site.unwrap_or_else(CallSite::here)),
            subject: Some(self.subject),
            whose: describe(machine, &self.subject),
            since,
            ..Finding::new(verifier::Rule::Nmr(self.rule), self.message, self.rule.instead())
        }
    }
}

impl From<&Violation> for Breach {
    fn from(violation: &Violation) -> Self {
        let mut breach = Self::new(violation.rule, violation.subject, violation.what).at(violation.severity);
        breach.since = violation.since;
        breach
    }
}

fn name(driver: Option<&DriverName>) -> &str {
    driver.map_or("no driver", DriverName::as_str)
}

/// What a module or a side is, for a person; nothing if it is not known.
fn describe(machine: &Machine, subject: &Subject) -> Option<String> {
    let driver = |module: &ModuleInfo| machine.nmr_state().driver(module.owner);
    let module = |module: &ModuleInfo| {
        format!(
            "{} module {} of {}",
            role_name(module.role),
            module.id,
            name(driver(module).as_ref())
        )
    };
    match subject {
        Subject::Caller => None,
        Subject::Module(info) => Some(module(info)),
        Subject::Side(binding, role) => Some(format!(
            "the {}'s side of binding {}: {} and {}",
            role_name(*role),
            binding.id,
            module(&binding.client),
            module(&binding.provider)
        )),
    }
}
