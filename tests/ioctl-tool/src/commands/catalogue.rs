//! `enable`, `disable` and `order`.

use nsemail::{Error, ExitCode};
use nsemail_contract::{Guid, WsaCode};
use serde_json::json;

use crate::cli::Order;
use crate::connect::Connection;
use crate::output::{Output, count};

pub fn enable(
    provider: Guid,
    enabled: bool,
    connection: &Connection,
    output: Output,
) -> Result<ExitCode, Error> {
    let done = connection.client(true)?.enable(provider, enabled);
    done.map_err(|error| because(error, || format!("{provider} is not in the catalogue")))?;
    let verb = if enabled { "enabled" } else { "disabled" };
    let document = json!({ "operation": verb, "provider": provider.to_string() });
    output.summary(&document, &format!("{verb} {provider}"))?;
    Ok(ExitCode::Ok)
}

pub fn order(order: &Order, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let providers = &order.providers;
    let done = connection.client(true)?.order(providers);
    done.map_err(|error| {
        because(error, || {
            "the order must list every provider of the catalogue exactly once (see providers)".to_owned()
        })
    })?;
    let listed: Vec<String> = providers.iter().map(Guid::to_string).collect();
    let line = format!("ordered {}", count(providers.len(), "provider", "providers"));
    output.summary(&json!({ "operation": "ordered", "providers": listed }), &line)?;
    Ok(ExitCode::Ok)
}

/// What is wrong with the arguments, if that is what the driver says.
pub fn because(error: Error, explanation: impl FnOnce() -> String) -> Error {
    match error {
        Error::Code(WsaCode::WSAEINVAL) => Error::invalid(explanation()),
        error => error,
    }
}
