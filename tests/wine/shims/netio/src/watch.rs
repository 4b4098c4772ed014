//! What the registrar tells: transitions and broken rules go to the debugger.

use nmr_model::{
    BindingInfo, Callback, Event, ModuleInfo, Observer, Owner, Role, Severity, Subject, Violation,
};
use wine_kernel::log;

/// Prints what happens.
pub struct Watch;

const fn role(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Provider => "provider",
    }
}

fn module(info: &ModuleInfo, what: &str) {
    log!("NMR: {} module {} {what}", role(info.role), info.id);
}

fn binding(info: &BindingInfo, what: &str) {
    log!(
        "NMR: binding {} of client module {} and provider module {} {what}",
        info.id,
        info.client.id,
        info.provider.id
    );
}

impl Observer for Watch {
    fn current_owner(&self) -> Owner {
        // Wine does not tell which driver runs on a thread.
        0
    }

    fn callback<R>(&self, _callback: &Callback, run: impl FnOnce() -> R) -> R {
        run()
    }

    fn event(&self, event: &Event) {
        match event {
            Event::Registered(info) => module(info, "registered"),
            Event::Deregistering(info) => module(info, "deregisters"),
            Event::Drained(info) => module(info, "is drained"),
            Event::Closed(info) => module(info, "is gone"),
            Event::Proposed(info) => binding(info, "is proposed"),
            Event::Accepted(info) => binding(info, "is accepted"),
            Event::Rejected(info, status) => {
                log!("NMR: binding {} is declined with {status:#010X}", info.id);
            }
            Event::Attached(info) => binding(info, "is attached"),
            Event::Detaching(info) => binding(info, "detaches"),
            Event::SideDetached(info, side) => {
                log!(
                    "NMR: binding {}: the {} has stopped calling",
                    info.id,
                    role(side.role)
                );
            }
            Event::CleanedUp(info) => binding(info, "is cleaned up"),
        }
    }

    fn violation(&self, violation: &Violation) {
        if violation.severity == Severity::Lint {
            return;
        }
        let (what, id) = match violation.subject {
            Subject::Caller => ("caller", 0),
            Subject::Module(info) => (role(info.role), info.id),
            Subject::Side(info, side) => (role(side), info.id),
        };
        log!(
            "NMR VIOLATION: {}: {}: {}: {} ({what} {id}); instead: {}",
            violation.severity,
            violation.rule,
            violation.rule.title(),
            violation.what,
            violation.rule.instead()
        );
    }
}
