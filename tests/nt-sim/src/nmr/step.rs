//! Steps of the registrar in the timeline.

use std::fmt;

use nmr_model::{Event, ModuleInfo};

use super::role_name;
use crate::DriverName;

/// A step of the registrar, with the drivers that it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What happened.
    pub event: Event,
    /// The driver of the client module, if one takes part and is a driver's.
    pub client: Option<DriverName>,
    /// The driver of the provider module, if one takes part and is a driver's.
    pub provider: Option<DriverName>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = |f: &mut fmt::Formatter<'_>, info: &ModuleInfo, verb: &str| {
            write!(f, "NMR: {} module {} {verb}", role_name(info.role), info.id)
        };
        match &self.event {
            Event::Registered(info) => module(f, info, "registered"),
            Event::Deregistering(info) => module(f, info, "deregisters"),
            Event::Drained(info) => module(f, info, "is drained: no callback will run any more"),
            Event::Closed(info) => module(f, info, "is gone"),
            Event::Proposed(binding) => write!(
                f,
                "NMR: binding {} offers provider module {} to client module {}",
                binding.id, binding.provider.id, binding.client.id
            ),
            Event::Accepted(binding) => write!(
                f,
                "NMR: binding {}: the provider accepts, contexts and dispatch tables are exchanged",
                binding.id
            ),
            Event::Rejected(binding, status) => {
                write!(f, "NMR: binding {} is declined with {status:#010X}", binding.id)
            }
            Event::Attached(binding) => write!(f, "NMR: binding {} is attached", binding.id),
            Event::Detaching(binding) => write!(f, "NMR: binding {} detaches", binding.id),
            Event::SideDetached(binding, side) => write!(
                f,
                "NMR: binding {}: the {} has stopped calling",
                binding.id,
                role_name(side.role)
            ),
            Event::CleanedUp(binding) => write!(f, "NMR: binding {} is cleaned up", binding.id),
        }
    }
}
