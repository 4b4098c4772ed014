//! Rules about locks: which the callbacks of a module take, and which are held across calls that run those
//! callbacks, or wait for them.
//!
//! The order of locks is a graph in which the drain of a module is a node: a thread that holds a lock and
//! waits for a drain adds one edge, a callback that takes that lock while the drain needs it adds the other.
//! Either may come first, in the same run.

use std::collections::{HashMap, HashSet};

use nmr_model::{Callback, CallbackKind, ModuleId, ModuleInfo, Moment, Rule, Subject};

use super::Breach;
use crate::{
    Machine,
    sync::StateLock,
    thread::{self, HeldLock},
    verifier::CallSite,
};

/// A lock that is, or was, held across a call.
#[derive(Clone, Debug)]
struct Across {
    rule: Rule,
    subject: Subject,
    since: Moment,
    kind: &'static str,
    site: CallSite,
}

#[derive(Debug, Default)]
struct Seen {
    /// Locks that callbacks of a module took; whether in detach or cleanup.
    taken: HashSet<(ModuleId, usize, bool)>,
    /// Locks that were held across a registration or an attach, or are held during a wait.
    across: HashMap<(ModuleId, usize), Vec<Across>>,
}

/// What is known of locks.
#[derive(Debug, Default)]
pub(super) struct Locks(StateLock<Seen>);

/// Whether a lock that a callback takes is the one that the rule is about.
const fn concerns(rule: Rule, in_detach: bool) -> bool {
    in_detach || !matches!(rule, Rule::LockAcrossAttach)
}

impl Locks {
    /// The calling thread, with the locks that it holds, is in a call that runs callbacks of `module` or
    /// waits for them. Tells whether one of the locks is taken by those callbacks.
    fn held_across(
        &self,
        machine: &Machine,
        module: ModuleInfo,
        rule: Rule,
        subject: Subject,
        since: Moment,
    ) -> bool {
        let mut broken = false;
        for HeldLock { kind, address } in thread::held_locks() {
            let across = Across {
                rule,
                subject,
                since,
                kind,
                site: CallSite::here(),
            };
            let taken = self.0.with(|seen| {
                let list = seen.across.entry((module.id, address)).or_default();
                if !list.iter().any(|known| known.rule == rule) {
                    list.push(across.clone());
                }
                [true, false].into_iter().any(|detach| {
                    concerns(rule, detach) && seen.taken.contains(&(module.id, address, detach))
                })
            });
            if taken {
                report(machine, module, &across);
                broken = true;
            }
        }
        broken
    }

    /// A module registers.
    pub(super) fn registering(&self, machine: &Machine, module: ModuleInfo) {
        let since = Moment::Registered(module.id);
        self.held_across(machine, module, Rule::RegisterContext, module.into(), since);
    }

    /// A client attaches; its provider's callback is next.
    pub(super) fn attaching(&self, machine: &Machine, provider: &Callback) {
        let client = provider.binding.client;
        let side = Subject::Side(provider.binding, nmr_model::Role::Client);
        let since = Moment::Attached(provider.binding.id, nmr_model::Role::Client);
        self.held_across(machine, client, Rule::LockAcrossAttach, side, since);
    }

    /// The calling thread is about to wait for the end of a module; tells whether that can end well.
    pub(super) fn waiting(&self, machine: &Machine, module: ModuleInfo) -> bool {
        let since = Moment::Deregistered(module.id);
        !self.held_across(machine, module, Rule::WaitWithLock, module.into(), since)
    }

    /// A wait is over.
    pub(super) fn waited(&self, module: ModuleInfo) {
        self.0.with(|seen| {
            for ((id, _), list) in &mut seen.across {
                if *id == module.id {
                    list.retain(|across| across.rule != Rule::WaitWithLock);
                }
            }
        });
    }

    /// A callback takes a lock, or is about to.
    pub(super) fn taking(&self, machine: &Machine, callback: &Callback, address: usize) {
        let module = callback.module();
        let in_detach = callback.kind != CallbackKind::Attach;
        let broken = self.0.with(|seen| {
            seen.taken.insert((module.id, address, in_detach));
            let list = seen.across.get(&(module.id, address));
            let broken = list
                .into_iter()
                .flatten()
                .filter(|across| concerns(across.rule, in_detach));
            broken.cloned().collect::<Vec<_>>()
        });
        for across in broken {
            report(machine, module, &across);
            if across.rule == Rule::WaitWithLock {
                // The wait would never end: whoever waits is told, and the run goes on.
                machine.nmr_state().registrar.give_up_wait(module.id);
            }
        }
    }
}

fn report(machine: &Machine, module: ModuleInfo, across: &Across) {
    let Across {
        rule,
        subject,
        since,
        kind,
        site,
    } = across;
    if !machine.nmr_state().ledger.first(*rule, module.id, None) {
        return;
    }
    let during = match rule {
        Rule::RegisterContext => "the registration",
        Rule::LockAcrossAttach => "NmrClientAttachProvider",
        _ => "the wait",
    };
    let breach = Breach::new(
        *rule,
        *subject,
        format!("a {kind} is held during {during}, and callbacks of the module take it as well"),
    );
    let breach = if *rule == Rule::RegisterContext {
        breach.at(nmr_model::Severity::Lint)
    } else {
        breach
    };
    breach.since(*since).placed(Some(site.clone())).report();
}
