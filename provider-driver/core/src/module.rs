//! The NMR provider module of a hosted namespace provider.

use nmr::{ClientOffer, Decline, Passive, Provider, ProviderAttach, ProviderBound};
use nsemail_contract::dispatch::{
    ClientCharacteristics, ClientDispatch, ProviderCharacteristics, VERSION, is_compatible,
};
use nsemail_contract::ids;
use nsemail_contract::wire::{CounterKind, EventKind};
use nsemail_kernel::npi::EmailNpi;
use pool_alloc::Arc;

use crate::binding::Binding;
use crate::entries::DISPATCH;
use crate::memory::{Memory, Modules};
use crate::service::Service;

/// The version of this provider, as its characteristics tell it.
const PROVIDER_VERSION: u32 = 1;

/// A hosted provider as NMR sees it.
pub struct Module {
    service: Arc<Service, Memory>,
}

impl Module {
    /// The module of a service that is loaded.
    pub const fn new(service: Arc<Service, Memory>) -> Self {
        Self { service }
    }
}

impl Provider for Module {
    type Npi = EmailNpi;
    type Binding = Binding;
    type Allocator = Modules;

    fn characteristics(&self) -> Option<ProviderCharacteristics> {
        // The texts belong to the service, which the module keeps.
        let (identifier, blob) = (self.service.identifier(), self.service.blob());
        Some(ProviderCharacteristics {
            version: VERSION,
            size: ProviderCharacteristics::SIZE,
            provider: self.service.provider(),
            namespace: ids::NS_EMAIL,
            provider_version: PROVIDER_VERSION,
            identifier_length: u32::try_from(identifier.len()).unwrap_or(0),
            blob_length: u32::try_from(blob.len()).unwrap_or(0),
            identifier: identifier.as_ptr(),
            blob: blob.as_ptr(),
        })
    }

    fn attach<'o>(&self, _: Passive<'o>, offer: ClientOffer<'o, Self>) -> ProviderAttach<'o, Self> {
        let decline = |offer: ClientOffer<'o, Self>, reason: Decline, text: &str| {
            let status = u64::from(reason.status().0.cast_unsigned());
            self.service
                .event(EventKind::ATTACH_DECLINED, [0, status], format_args!("{text}"));
            offer.decline(reason)
        };
        let Some(client) = offer.peer().characteristics else {
            return decline(offer, Decline::InvalidPeer, "the client tells nothing of itself");
        };
        if !is_compatible(client.version, client.size, size_of::<ClientCharacteristics>()) {
            return decline(offer, Decline::NotForMe, "the client speaks another version");
        }
        if !offer.client_dispatch().is_some_and(ClientDispatch::is_valid) {
            return decline(
                offer,
                Decline::InvalidPeer,
                "the client's dispatch table is invalid",
            );
        }
        match offer.accept(Binding::new(self.service.clone()), Some(&DISPATCH)) {
            Ok(accepted) => {
                self.service
                    .event(EventKind::ATTACHED, [0; 2], format_args!("a client is attached"));
                accepted.attached()
            }
            Err(rejected) => {
                let (offer, binding) = rejected.into_parts();
                drop(binding);
                decline(offer, Decline::OutOfMemory, "there is no memory for a binding")
            }
        }
    }

    fn detaching(&self, _: &ProviderBound<'_, Self>) {
        let calls = self.service.common().counters().get(CounterKind::CALLS);
        self.service.event(
            EventKind::DETACHING,
            [calls, 0],
            format_args!("{calls} changes of all clients wait"),
        );
    }
}
