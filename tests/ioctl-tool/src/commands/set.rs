//! `register`, `deregister` and `delete`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use nsemail::{Error, ExitCode, Registration};
use nsemail_contract::wire::SetReply;
use nsemail_contract::{Operation, SetFlags, limits};
use serde_json::json;

use super::lookup::unknown_provider;
use super::read_bytes;
use crate::cli::{Delete, Register, Remove};
use crate::connect::Connection;
use crate::output::{Output, count, person_is_watching, shown};

/// What is to be registered.
pub fn registration(register: &Register) -> Result<Registration, Error> {
    let blob = register
        .blob
        .as_deref()
        .map(|path| read_bytes(path, limits::BLOB))
        .transpose()?;
    let registration = Registration {
        name: register.name.address.clone(),
        service: register.name.service.clone(),
        addresses: register.addresses.addresses.clone(),
        comment: register.comment.clone(),
        version: register.version,
        blob,
        provider: register.name.provider,
    };
    registration.check()?;
    Ok(registration)
}

fn removal(remove: &Remove) -> Result<Registration, Error> {
    let registration = Registration {
        name: remove.name.address.clone(),
        service: remove.name.service.clone(),
        addresses: remove.addresses.addresses.clone(),
        provider: remove.name.provider,
        ..Registration::default()
    };
    registration.check()?;
    Ok(registration)
}

pub fn register(
    registration: &Registration,
    register: &Register,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Error> {
    change(
        Operation::Register,
        registration,
        register.addresses.multiple,
        connection,
        output,
    )
}

pub fn deregister(remove: &Remove, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    change(
        Operation::Deregister,
        &removal(remove)?,
        remove.addresses.multiple,
        connection,
        output,
    )
}

pub fn delete(delete: &Delete, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let remove = &delete.remove;
    change(
        Operation::Delete,
        &removal(remove)?,
        remove.addresses.multiple,
        connection,
        output,
    )
}

/// Asks whether to delete, unless that was answered on the command line.
pub fn confirm(delete: &Delete) -> Result<(), Error> {
    removal(&delete.remove)?;
    if delete.yes {
        return Ok(());
    }
    ask(
        "delete asks before it removes a name; give --yes, because there is no terminal to ask at",
        &format!("Delete {}?", shown(&delete.remove.name.address)),
        "nothing was deleted",
    )
}

/// Asks a person whether to go on.
pub fn ask(without_terminal: &str, question: &str, declined: &'static str) -> Result<(), Error> {
    if !person_is_watching() || !io::stdin().is_terminal() {
        return Err(Error::Usage(without_terminal.to_owned()));
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Error::Declined(declined))
    }
}

fn change(
    operation: Operation,
    registration: &Registration,
    multiple: bool,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Error> {
    let flags = if multiple {
        SetFlags::MULTIPLE
    } else {
        SetFlags::empty()
    };
    let done = connection
        .client(true)?
        .set(operation, flags, registration)
        .map_err(|error| unknown_provider(error, registration.provider))?;
    let verb = match operation {
        Operation::Register => "registered",
        Operation::Deregister => "deregistered",
        Operation::Delete => "deleted",
    };
    let SetReply {
        providers,
        added,
        removed,
        provider,
    } = done;
    let document = json!({
        "operation": verb,
        "name": registration.name,
        "service": registration.service,
        "added": added,
        "removed": removed,
        "providers": providers,
        "provider": provider.to_string(),
    });
    let name = shown(&registration.name);
    let gone = count(removed, "address", "addresses") + " removed";
    let effect = match operation {
        Operation::Register => count(added, "address", "addresses") + " added, " + &gone,
        Operation::Deregister | Operation::Delete => gone,
    };
    let elsewhere = match providers {
        0 | 1 => String::new(),
        more => format!(" and {}", count(more.saturating_sub(1), "other", "others")),
    };
    let line = format!("{verb} {name} at {provider}{elsewhere}: {effect}");
    output.summary(&document, &line)?;
    Ok(ExitCode::Ok)
}
