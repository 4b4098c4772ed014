//! `install` and `uninstall`.

use nsemail::{Error, ExitCode};
use nsemail_contract::{Guid, WsaCode};
use serde_json::json;

use super::catalogue::because;
use super::set::ask;
use crate::cli::{Install, Uninstall};
use crate::connect::Connection;
use crate::output::{Output, shown};

/// The installation blob, from the file or the claims of the command line.
pub fn blob(install: &Install) -> Result<Vec<u8>, Error> {
    install.blob.as_deref().map_or_else(
        || super::blob::made(&install.domains, install.wildcard, 1),
        super::blob::read,
    )
}

pub fn install(
    install: &Install,
    blob: &[u8],
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Error> {
    let provider = install
        .guid
        .unwrap_or_else(|| Guid::from_u128(uuid::Uuid::new_v4().as_u128()));
    let done = connection
        .administrator(true)?
        .install(provider, &install.name, blob);
    done.map_err(|error| match error {
        Error::Code(code @ WsaCode::WSANO_RECOVERY) => {
            Error::Explained(code, format!("{provider} is installed already"))
        }
        Error::Code(code @ WsaCode::WSA_NOT_ENOUGH_MEMORY) => Error::Explained(
            code,
            "as many providers are hosted as may, or there is no memory".to_owned(),
        ),
        error => because(error, || {
            "a provider has a GUID that is not nil and a name of 1 to 256 units".to_owned()
        }),
    })?;
    let document = json!({
        "operation": "installed",
        "provider": provider.to_string(),
        "name": install.name,
    });
    output.summary(
        &document,
        &format!("installed {provider} {}", shown(&install.name)),
    )?;
    Ok(ExitCode::Ok)
}

/// Asks whether to uninstall, unless that was answered on the command line.
pub fn confirm(uninstall: &Uninstall) -> Result<(), Error> {
    if uninstall.yes {
        return Ok(());
    }
    let what = if uninstall.delete_names {
        "Uninstall it and delete all of its names"
    } else {
        "Uninstall it"
    };
    ask(
        "uninstall asks first; give --yes, because there is no terminal to ask at",
        &format!("{}: {what}?", uninstall.provider),
        "nothing was uninstalled",
    )
}

pub fn uninstall(uninstall: &Uninstall, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let provider = uninstall.provider;
    let hosted = connection
        .administrator(true)?
        .uninstall(provider, uninstall.delete_names);
    let hosted = match hosted {
        Ok(()) => true,
        // Another driver may have provided it, and be gone.
        Err(Error::Code(WsaCode::WSAEINVAL)) => false,
        Err(error) => return Err(error),
    };
    match connection.client(true)?.forget(provider) {
        // It never was in the catalogue if it never was attached.
        Err(Error::Code(WsaCode::WSAEINVAL)) if hosted => {}
        Err(Error::Code(code @ WsaCode::WSATRY_AGAIN)) => {
            let why =
                format!("{provider} stays in the catalogue as long as a driver that provides it is attached");
            return Err(Error::Explained(code, why));
        }
        other => other.map_err(|error| because(error, || format!("{provider} is not installed")))?,
    }
    let document = json!({
        "operation": "uninstalled",
        "provider": provider.to_string(),
        "hosted": hosted,
        "names_deleted": hosted && uninstall.delete_names,
    });
    output.summary(&document, &format!("uninstalled {provider}"))?;
    Ok(ExitCode::Ok)
}
