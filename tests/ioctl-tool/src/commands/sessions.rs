//! `sessions`.

use nsemail::{Error, ExitCode};
use nsemail_contract::wire::OpenSession;
use serde_json::{Value, json};

use super::statistics::from_drivers;
use crate::cli::FromDrivers;
use crate::connect::Connection;
use crate::output::{Output, lines};

pub fn run(from: &FromDrivers, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let open = from_drivers(
        from.driver,
        || connection.client(false)?.sessions(),
        || connection.admin()?.sessions(),
    )?;
    let document = json!({ "sessions": open.iter().map(document).collect::<Vec<_>>() });
    output.result(&document, || table(&open, output))?;
    Ok(ExitCode::Ok)
}

fn document((driver, open): &(&'static str, OpenSession)) -> Value {
    json!({
        "driver": driver,
        "number": open.number,
        "provider": (!open.provider.is_nil()).then(|| open.provider.to_string()),
        "sessions": open.sessions,
        "lookups": open.look_ups,
        "calls": open.calls,
    })
}

fn table(open: &[(&'static str, OpenSession)], output: Output) -> String {
    let mut table = output.table(&["DRIVER", "SESSION OR PROVIDER", "SESSIONS", "LOOKUPS", "CALLS"]);
    for (driver, open) in open {
        let what = if open.provider.is_nil() {
            open.number.to_string()
        } else {
            open.provider.to_string()
        };
        table.add_row([
            (*driver).to_owned(),
            what,
            open.sessions.to_string(),
            open.look_ups.to_string(),
            open.calls.to_string(),
        ]);
    }
    lines(table, &[2, 3, 4])
}
