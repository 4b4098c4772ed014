//! Installing and uninstalling namespace providers while the driver runs.
//!
//! - **Install**: the entry is written to the registry, a journal thread is started, and the request is answered when
//!   the module is registered. If the store cannot be loaded or the module not registered, the entry is removed again.
//! - **Uninstall**: the entry is removed from the registry, then the module is deregistered and waited for, which
//!   detaches every client while accepted changes are completed; then the journal thread ends, and the journal is
//!   deleted if that was asked for. What runs is only stopped when the registry says so already: a crash in between
//!   leaves nothing that comes back.

use nsemail_contract::codes::WsaCode;
use nsemail_contract::guid::Guid;
use nsemail_contract::wire::{EventKind, HostedState};
use nsemail_kernel::irql::Passive;
use nsemail_kernel::registry::Key;
use nsemail_kernel::status::NtStatus;
use nsemail_kernel::unicode::guid_text;
use nsemail_kernel::utf16;
use nsemail_kernel::wdf::DriverHandle;
use pool_alloc::{Arc, Vec};

use super::{Host, Hosted, Registration};
use crate::files::Files;
use crate::hosting::{Call, Change};
use crate::journal::generations::discard;
use crate::memory::Memory;
use crate::parameters::{Entry, Skipped};
use crate::service::number;

impl Host {
    /// Makes one change.
    pub(super) fn change(
        &self,
        driver: DriverHandle,
        hosted: &mut Vec<Hosted, Memory>,
        call: &Arc<Call, Memory>,
        passive: Passive<'_>,
    ) {
        match call.begin() {
            None => {}
            Some(Change::Install(entry)) => {
                if let Err(code) = self.install(driver, hosted, entry, call, passive) {
                    call.complete(code);
                }
            }
            Some(Change::Uninstall {
                provider,
                delete_names,
            }) => {
                let done = self.uninstall(driver, hosted, provider, delete_names, passive);
                call.complete(done.err().unwrap_or(WsaCode::NO_ERROR));
            }
        }
    }

    /// Answers all that wait, because the driver is being stopped. What is in the registry by now will be hosted by the
    /// next start.
    pub(super) fn refuse_changes(&self, hosted: &mut Vec<Hosted, Memory>, passive: Passive<'_>) {
        self.changes.write(passive).close();
        for hosted in hosted {
            if let Some(call) = hosted.installing.take() {
                call.complete(WsaCode::WSASYSNOTREADY);
            }
        }
        loop {
            let call = self.changes.write(passive).pop();
            match call {
                Some(call) => call.complete(WsaCode::WSASYSNOTREADY),
                None => break,
            }
        }
    }

    /// Answers the installations whose provider is registered, and undoes those that failed.
    pub(super) fn finish_installing(
        &self,
        driver: DriverHandle,
        hosted: &mut Vec<Hosted, Memory>,
        passive: Passive<'_>,
    ) {
        let settled = |hosted: &Hosted| {
            let registered = matches!(hosted.registration, Registration::Registered(_));
            hosted.installing.is_some() && (registered || hosted.service.state() == HostedState::Failed)
        };
        while let Some(index) = hosted.iter().position(settled) {
            let Some(present) = hosted.get_mut(index) else {
                break;
            };
            let call = present.installing.take();
            let provider = present.service.provider();
            let code = if matches!(present.registration, Registration::Registered(_)) {
                present.service.event(
                    EventKind::INSTALLED,
                    [0; 2],
                    format_args!("the provider was installed"),
                );
                WsaCode::NO_ERROR
            } else {
                self.drop_hosted(hosted, index, passive);
                if let Err(status) = remove_entry(driver, provider, passive) {
                    let text = format_args!("the entry of a failed installation was not removed: {status}");
                    self.common.event(
                        EventKind::ENTRY_SKIPPED,
                        Some(provider),
                        [0, number(status)],
                        text,
                    );
                }
                WsaCode::WSASYSCALLFAILURE
            };
            if let Some(call) = call {
                call.complete(code);
            }
        }
    }

    /// Begins an installation. It is answered when the provider is registered.
    fn install(
        &self,
        driver: DriverHandle,
        hosted: &mut Vec<Hosted, Memory>,
        entry: Entry,
        call: &Arc<Call, Memory>,
        passive: Passive<'_>,
    ) -> Result<(), WsaCode> {
        let provider = entry.provider;
        let parameters = driver.parameters(passive).map_err(code_of)?;
        let providers = parameters.create(passive, utf16!("Providers")).map_err(code_of)?;
        let name = guid_text(&provider);
        // Also one that is not hosted, because it is switched off or damaged, has that GUID.
        if find(hosted, provider).is_some() || providers.open(passive, &name).map_err(code_of)?.is_some() {
            return Err(WsaCode::WSANO_RECOVERY);
        }
        if hosted.len() >= self.common.settings().providers {
            self.common.event(
                EventKind::LIMIT_HIT,
                Some(provider),
                [0; 2],
                format_args!("as many providers are hosted as may"),
            );
            return Err(WsaCode::WSA_NOT_ENOUGH_MEMORY);
        }
        let begun = write_entry(&providers, &name, &entry, passive)
            .map_err(Skipped::Status)
            .and_then(|()| self.start_one(driver, entry, hosted, passive));
        let Err(reason) = begun else {
            // It is the last one, if it is there at all: its thread may not have started.
            let started = find(hosted, provider).and_then(|index| hosted.get_mut(index));
            if let Some(started) = started {
                started.installing = Some(call.clone());
            }
            return Ok(());
        };
        let _as_far_as_it_goes = remove_entry(driver, provider, passive);
        Err(match reason {
            Skipped::Status(status) => code_of(status),
            Skipped::Disabled | Skipped::Malformed(_) => WsaCode::WSAEINVAL,
        })
    }

    fn uninstall(
        &self,
        driver: DriverHandle,
        hosted: &mut Vec<Hosted, Memory>,
        provider: Guid,
        delete_names: bool,
        passive: Passive<'_>,
    ) -> Result<(), WsaCode> {
        let directory = if delete_names {
            Some(driver.data_directory(passive).map_err(code_of)?)
        } else {
            None
        };
        let removed = remove_entry(driver, provider, passive).map_err(code_of)?;
        let known = find(hosted, provider).map_or(removed, |index| {
            self.drop_hosted(hosted, index, passive);
            true
        });
        if known {
            let text = format_args!("the provider was uninstalled");
            self.common
                .event(EventKind::UNINSTALLED, Some(provider), [0; 2], text);
        }
        let deleted = match directory {
            Some(directory) => self.delete_journal(&Files::new(directory, provider, passive), provider)?,
            None => false,
        };
        // A journal that could not be deleted goes when that is asked for again, although its provider is gone.
        if known || deleted {
            Ok(())
        } else {
            Err(WsaCode::WSAEINVAL)
        }
    }

    /// Deletes the names of a provider that is hosted no more; false if there are none.
    fn delete_journal(&self, files: &Files<Passive<'_>>, provider: Guid) -> Result<bool, WsaCode> {
        let deleted = discard(files, 0).and_then(|first| discard(files, 1).map(|second| first || second));
        deleted.map_err(|status| {
            let text = format_args!("the journal was not deleted: {status}");
            self.common
                .event(EventKind::LOG_FAILED, Some(provider), [0, number(status)], text);
            code_of(status)
        })
    }

    /// Deregisters a provider, waits until every client has detached, and ends its journal thread.
    fn drop_hosted(&self, hosted: &mut Vec<Hosted, Memory>, index: usize, passive: Passive<'_>) {
        let Some(mut gone) = hosted.remove(index) else {
            return;
        };
        gone.begin_deregister();
        gone.wait(passive);
        gone.service.stop();
        if let Some(thread) = gone.thread.take() {
            thread.join(passive);
        }
        if let Some(call) = gone.installing.take() {
            call.complete(WsaCode::WSA_E_CANCELLED);
        }
        let removed = {
            let mut services = self.services.write(passive);
            let place = services
                .iter()
                .position(|service| Arc::ptr_eq(service, &gone.service));
            place.and_then(|place| services.remove(place))
        };
        drop(removed);
    }
}

fn find(hosted: &[Hosted], provider: Guid) -> Option<usize> {
    hosted
        .iter()
        .position(|hosted| hosted.service.provider() == provider)
}

/// Writes the entry of a provider, durably. The blob comes last: an entry without one is left out.
fn write_entry(providers: &Key, name: &[u16], entry: &Entry, passive: Passive<'_>) -> Result<(), NtStatus> {
    let key = providers.create(passive, name)?;
    key.set_dword(passive, utf16!("Enabled"), 1)?;
    key.set_string(
        passive,
        utf16!("Identifier"),
        &entry.identifier,
        Memory::default(),
    )?;
    key.set_binary(passive, utf16!("Blob"), &entry.blob)?;
    key.flush(passive)
}

/// Removes the entry of a provider, durably; false if there is none.
fn remove_entry(driver: DriverHandle, provider: Guid, passive: Passive<'_>) -> Result<bool, NtStatus> {
    let Some(providers) = driver.parameters(passive)?.open(passive, utf16!("Providers"))? else {
        return Ok(false);
    };
    let Some(key) = providers.open(passive, &guid_text(&provider))? else {
        return Ok(false);
    };
    key.delete(passive)?;
    providers.flush(passive)?;
    Ok(true)
}

const fn code_of(status: NtStatus) -> WsaCode {
    match status {
        NtStatus::INSUFFICIENT_RESOURCES => WsaCode::WSA_NOT_ENOUGH_MEMORY,
        _ => WsaCode::WSASYSCALLFAILURE,
    }
}
