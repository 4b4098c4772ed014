//! The client module: it attaches to every provider of the interface that makes sense.
//!
//! What a provider says of itself is copied and checked before it is accepted; one that is malformed is declined, with
//! an event, and so is a second module with a GUID that is attached already. A provider that is seen for the first
//! time is appended to the catalogue.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nmr::{Client, ClientAttach, ClientBound, Decline, ProviderOffer};
use nsemail_contract::Guid;
use nsemail_contract::blob::InstallationBlob;
use nsemail_contract::dispatch::ClientCharacteristics;
use nsemail_contract::text::Text;
use nsemail_contract::wire::EventKind;
use nsemail_kernel::irql::Passive;
use nsemail_kernel::npi::EmailNpi;
use pool_alloc::Arc;

use crate::bindings::NoSeat;
use crate::memory::{BindingPool, ServicePool};
use crate::peer::{self, CLIENT_DISPATCH, Offered};
use crate::service::Service;
use crate::store;

/// The client module.
pub struct Attacher {
    service: Arc<Service, ServicePool>,
}

impl Attacher {
    /// The module of a driver.
    #[must_use]
    pub const fn new(service: Arc<Service, ServicePool>) -> Self {
        Self { service }
    }

    /// What the driver shares.
    #[must_use]
    pub fn service(&self) -> &Service {
        &self.service
    }
}

/// What is kept for an attached provider. Dropped when neither side can call the other any more.
pub struct Binding {
    service: Arc<Service, ServicePool>,
    number: u64,
    provider: Guid,
    attached: AtomicBool,
}

impl Binding {
    /// The number of the attachment.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The provider.
    #[must_use]
    pub const fn provider(&self) -> Guid {
        self.provider
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        // Usually the seat was given up when detach began; not so if the provider was not accepted after all.
        drop(self.service.bindings(|bindings| bindings.give_up(self.number)));
        // Both sides have detached, so nobody is left who could complete a call of this binding.
        self.service.abandon(self);
        if self.attached.load(Relaxed) {
            self.service
                .event(EventKind::DETACHED, Some(self.provider), [0, 0], format_args!(""));
        }
    }
}

impl Client for Attacher {
    type Npi = EmailNpi;
    type Binding = Binding;
    type Allocator = BindingPool;

    fn characteristics(&self) -> Option<ClientCharacteristics> {
        Some(ClientCharacteristics::CURRENT)
    }

    fn attach<'o>(&self, passive: Passive<'o>, offer: ProviderOffer<'o, Self>) -> ClientAttach<'o, Self> {
        let offered = match offer
            .peer()
            .characteristics
            .ok_or("no characteristics")
            .and_then(Offered::read)
        {
            Ok(offered) => offered,
            Err(reason) => {
                return self.decline(offer, Guid::NIL, Decline::InvalidPeer, format_args!("{reason}"));
            }
        };
        let provider = offered.provider;
        if let Err(fault) = InstallationBlob::parse(offered.blob) {
            return self.decline(
                offer,
                provider,
                Decline::InvalidPeer,
                format_args!("installation blob: {fault}"),
            );
        }
        if Text::from_units(offered.identifier).is_err() {
            return self.decline(
                offer,
                provider,
                Decline::InvalidPeer,
                format_args!("identifier is not a text"),
            );
        }
        let number = match self.service.bindings(|bindings| bindings.take_seat(provider)) {
            Ok(number) => number,
            Err(NoSeat::Taken) => {
                let reason = format_args!("another module with this GUID is attached");
                return self.decline(offer, provider, Decline::NotForMe, reason);
            }
            Err(NoSeat::Full) => {
                let reason = format_args!("as many providers as allowed are attached");
                return self.decline(offer, provider, Decline::NotReady, reason);
            }
        };
        // From here on the seat is given up when the binding is dropped.
        let binding = Binding {
            service: self.service.clone(),
            number,
            provider,
            attached: AtomicBool::new(false),
        };
        if let Err(status) = store::seen(passive, &self.service, &offered) {
            let reason = format_args!("not put into the catalogue: {status}");
            return self.decline(offer, provider, Decline::OutOfMemory, reason);
        }
        let accepted = match offer.accept(binding, Some(&CLIENT_DISPATCH)) {
            Ok(accepted) => accepted,
            Err(rejected) => {
                let status = rejected.status();
                self.declined(provider, status, format_args!("the provider declined"));
                return rejected.decline();
            }
        };
        let usable = accepted.enter().is_some_and(|guard| {
            guard.binding().attached.store(true, Relaxed);
            peer::is_usable(&guard)
        });
        if !usable {
            // To fail after the provider has accepted is against NMR's rules, so the binding stays, and is not used.
            let status = Decline::InvalidPeer.status();
            self.declined(provider, status, format_args!("its dispatch table is not usable"));
            return accepted.attached();
        }
        // Calls find the provider from here on. They cannot enter it before this callback has returned, and count it
        // as not available until then.
        let reference = accepted.reference().clone();
        self.service.bindings(|bindings| bindings.fill(number, reference));
        self.service
            .event(EventKind::ATTACHED, Some(provider), [0, 0], format_args!(""));
        accepted.attached()
    }

    fn detaching(&self, binding: &ClientBound<'_, Self>) {
        // No call can enter any more. Giving up the seat lets a module with the same GUID attach at once, and saves
        // calls the attempt. Calls that the provider has accepted are for it to complete: it holds its own side of the
        // binding until it has.
        let reference = self
            .service
            .bindings(|bindings| bindings.give_up(binding.number()));
        drop(reference);
        let open = self.service.calls(|calls| calls.open_questions(binding.number()));
        let provider = Some(binding.provider());
        self.service
            .event(EventKind::DETACHING, provider, [open as u64, 0], format_args!(""));
    }
}

impl Attacher {
    fn decline<'o>(
        &self,
        offer: ProviderOffer<'o, Self>,
        provider: Guid,
        decline: Decline,
        reason: core::fmt::Arguments<'_>,
    ) -> ClientAttach<'o, Self> {
        self.declined(provider, decline.status(), reason);
        offer.decline(decline)
    }

    fn declined(&self, provider: Guid, status: nmr::NtStatus, reason: core::fmt::Arguments<'_>) {
        let provider = (!provider.is_nil()).then_some(provider);
        let code = u64::from(status.0.cast_unsigned());
        self.service
            .event(EventKind::ATTACH_DECLINED, provider, [code, 0], reason);
    }
}
