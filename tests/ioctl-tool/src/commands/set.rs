//! `register`, `deregister` and `delete`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use nsemail::{Error, ExitCode, Registration};
use nsemail_contract::wire::SetReply;
use nsemail_contract::{Operation, SetFlags, limits};
use serde_json::json;

use super::read_bytes;
use crate::cli::{Delete, Register, Remove};
use crate::connect::Connection;
use crate::output::{Output, person_is_watching, shown};

/// What is to be registered.
pub fn registration(register: &Register) -> Result<Registration, Error> {
    let blob = register
        .blob
        .as_deref()
        .map(|path| read_bytes(path, limits::BLOB))
        .transpose()?;
    let registration = Registration {
        name: register.name.name.clone(),
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
        name: remove.name.name.clone(),
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
    output: &Output,
) -> Result<ExitCode, Error> {
    change(
        Operation::Register,
        registration,
        register.addresses.multiple,
        connection,
        output,
    )
}

pub fn deregister(remove: &Remove, connection: &Connection, output: &Output) -> Result<ExitCode, Error> {
    change(
        Operation::Deregister,
        &removal(remove)?,
        remove.addresses.multiple,
        connection,
        output,
    )
}

pub fn delete(delete: &Delete, connection: &Connection, output: &Output) -> Result<ExitCode, Error> {
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
    if !person_is_watching() || !io::stdin().is_terminal() {
        let what = "delete asks before it removes a name; give --yes, because there is no terminal to ask at";
        return Err(Error::Usage(what.to_owned()));
    }
    eprint!("Delete {}? [y/N] ", shown(&delete.remove.name.name));
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Error::Usage("nothing was deleted".to_owned()))
    }
}

fn change(
    operation: Operation,
    registration: &Registration,
    multiple: bool,
    connection: &Connection,
    output: &Output,
) -> Result<ExitCode, Error> {
    let flags = if multiple {
        SetFlags::MULTIPLE
    } else {
        SetFlags::empty()
    };
    let done = connection.client(true)?.set(operation, flags, registration)?;
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
    let line = format!("{verb} {name}: {added} addresses added, {removed} removed, at {provider}");
    output.summary(&document, &line)?;
    Ok(ExitCode::Ok)
}
