//! The requests of administration, with owned answers.

use nsemail_contract::wire::{
    ChainPart, EmptyRequest, EnableRequest, ExplainReply, ExplainRequest, InstallRequest, OpenSession,
    OrderRequest, ProviderFlags, ProviderRequest, SessionsReply, SessionsRequest, UninstallRequest,
};
use nsemail_contract::{Guid, ioctl};

use crate::client::{FIRST_ROOM, call, request};
use crate::record::as_text;
use crate::{AdminClient, Client, Error, Transport};

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

fn sessions(transport: &impl Transport) -> Result<Vec<OpenSession>, Error> {
    let mut sessions: Vec<OpenSession> = Vec::new();
    loop {
        let after = sessions.last().map_or(0, |last| last.number);
        let input = request(|out| SessionsRequest { after }.write(out))?;
        let page = call(transport, ioctl::SESSIONS, &input, 16 * FIRST_ROOM, |reply| {
            let page = SessionsReply::read(reply)?.sessions();
            Ok(page.collect::<Result<Vec<_>, _>>()?)
        })?;
        // What does not go on would go on for ever.
        if page.last().is_none_or(|last| last.number <= after) {
            return Ok(sessions);
        }
        sessions.extend(page);
    }
}

fn reset_statistics(transport: &impl Transport) -> Result<(), Error> {
    let input = request(|out| EmptyRequest.write(out))?;
    call(transport, ioctl::RESET_STATISTICS, &input, FIRST_ROOM, |_| Ok(()))
}

impl<T: Transport> Client<T> {
    /// The open handles of the client driver.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn sessions(&self) -> Result<Vec<OpenSession>, Error> {
        sessions(self.transport())
    }

    /// Sets the counters of the client driver back to zero.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn reset_statistics(&self) -> Result<(), Error> {
        reset_statistics(self.transport())
    }
}

impl<T: Transport> AdminClient<T> {
    /// The hosted providers, with what is open there.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn sessions(&self) -> Result<Vec<OpenSession>, Error> {
        sessions(self.transport())
    }

    /// Sets the counters of the provider driver back to zero.
    ///
    /// # Errors
    /// What the driver answered.
    pub fn reset_statistics(&self) -> Result<(), Error> {
        reset_statistics(self.transport())
    }

    /// Has the provider driver host another namespace provider; answers when it is registered.
    ///
    /// # Errors
    /// What the driver answered: `WSANO_RECOVERY` for a GUID that it knows, `WSAEINVAL` for a malformed name or blob,
    /// `WSA_NOT_ENOUGH_MEMORY` for one more than it may host.
    pub fn install(&self, provider: Guid, name: &str, blob: &[u8]) -> Result<(), Error> {
        let identifier = as_text(name)?;
        let message = InstallRequest {
            provider,
            identifier,
            blob,
        };
        let input = request(|out| message.write(out))?;
        call(self.transport(), ioctl::INSTALL, &input, FIRST_ROOM, |_| Ok(()))
    }

    /// Has the provider driver host a namespace provider no more; answers when every client has detached.
    ///
    /// # Errors
    /// What the driver answered: `WSAEINVAL` for a GUID that it does not know.
    pub fn uninstall(&self, provider: Guid, delete_names: bool) -> Result<(), Error> {
        let message = UninstallRequest {
            provider,
            delete_names,
        };
        let input = request(|out| message.write(out))?;
        call(self.transport(), ioctl::UNINSTALL, &input, FIRST_ROOM, |_| Ok(()))
    }
}
