//! The requests of administration, with owned answers.

use nsemail_contract::wire::{
    ChainPart, EnableRequest, ExplainReply, ExplainRequest, OrderRequest, ProviderFlags, ProviderRequest,
};
use nsemail_contract::{Guid, ioctl};

use crate::client::{FIRST_ROOM, call, request};
use crate::record::as_text;
use crate::{Client, Error, Transport};

/// A namespace provider and its part in the chain of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExplainedProvider {
    /// Its part.
    pub part: ChainPart,
    /// The namespace provider.
    pub guid: Guid,
    /// Display name.
    pub name: String,
    /// Place in the catalogue, from 0.
    pub order: u32,
    /// Whether calls may go to it.
    pub enabled: bool,
    /// Whether a driver that provides it is attached.
    pub attached: bool,
}

impl<T: Transport> Client<T> {
    /// Who would be asked about a name: those that are asked in the order in which they are asked, then the others.
    /// Nobody is asked.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn explain(&self, name: &str) -> Result<Vec<ExplainedProvider>, Error> {
        let name = as_text(name)?;
        let input = request(|out| ExplainRequest { name }.write(out))?;
        call(self.transport(), ioctl::EXPLAIN, &input, FIRST_ROOM, |reply| {
            let providers = ExplainReply::read(reply)?.providers();
            providers
                .map(|explained| {
                    let explained = explained?;
                    Ok(ExplainedProvider {
                        part: explained.part,
                        guid: explained.provider,
                        name: explained.identifier.chars().collect(),
                        order: explained.order,
                        enabled: explained.flags.contains(ProviderFlags::ENABLED),
                        attached: explained.flags.contains(ProviderFlags::ATTACHED),
                    })
                })
                .collect()
        })
    }

    /// Says whether calls may go to a provider.
    ///
    /// # Errors
    /// What the driver answered: `WSAEINVAL` for a provider that is not in the catalogue.
    pub fn enable(&self, provider: Guid, enabled: bool) -> Result<(), Error> {
        let input = request(|out| EnableRequest { provider, enabled }.write(out))?;
        call(self.transport(), ioctl::ENABLE, &input, FIRST_ROOM, |_| Ok(()))
    }

    /// Says in which order the providers are called.
    ///
    /// # Errors
    /// What the driver answered: `WSAEINVAL` unless every provider of the catalogue is named once.
    pub fn order(&self, providers: &[Guid]) -> Result<(), Error> {
        let input = request(|out| OrderRequest::write(providers, out))?;
        call(self.transport(), ioctl::ORDER, &input, FIRST_ROOM, |_| Ok(()))
    }

    /// Takes a provider that is gone out of the catalogue.
    ///
    /// # Errors
    /// What the driver answered: `WSAEINVAL` for a provider that is not in the catalogue, `WSATRY_AGAIN` for one that
    /// is attached.
    pub fn forget(&self, provider: Guid) -> Result<(), Error> {
        let input = request(|out| ProviderRequest { provider }.write(out))?;
        call(self.transport(), ioctl::FORGET, &input, FIRST_ROOM, |_| Ok(()))
    }
}
