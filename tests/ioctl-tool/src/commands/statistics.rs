//! `statistics`.

use nsemail::{Error, ExitCode};
use nsemail_contract::wire::Counter;
use serde_json::{Value, json};

use crate::cli::{Driver, Statistics};
use crate::connect::Connection;
use crate::output::{Output, lines};

pub fn run(statistics: &Statistics, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let counters = from_drivers(
        statistics.from.driver,
        || connection.client(false)?.statistics(),
        || connection.admin()?.statistics(),
    )?;
    let entries: Vec<Value> = counters
        .iter()
        .map(|(driver, counter)| {
            let by_result = counter.kind.is_by_result();
            json!({
                "driver": driver,
                "counter": name(counter),
                "code": by_result.then_some(counter.code.0),
                "symbol": if by_result { counter.code.symbol() } else { None },
                "value": counter.value,
            })
        })
        .collect();
    output.result(&json!({ "counters": entries }), || {
        let mut table = output.table(&["DRIVER", "COUNTER", "RESULT", "VALUE"]);
        for (driver, counter) in &counters {
            let result = if counter.kind.is_by_result() {
                format!("{:?}", counter.code)
            } else {
                String::new()
            };
            table.add_row([
                (*driver).to_owned(),
                name(counter),
                result,
                counter.value.to_string(),
            ]);
        }
        lines(table, &[3])
    })?;
    if statistics.reset {
        let reset = |result: Result<(), Error>| result.map(|()| Vec::<()>::new());
        from_drivers(
            statistics.from.driver,
            || reset(connection.client(true)?.reset_statistics()),
            || reset(connection.administrator(true)?.reset_statistics()),
        )?;
    }
    Ok(ExitCode::Ok)
}

fn name(counter: &Counter) -> String {
    counter
        .kind
        .name()
        .map_or_else(|| format!("counter {}", counter.kind.0), str::to_owned)
}

/// Asks one driver or both. With both, one that cannot be asked is only mentioned, as long as the
/// other one can.
pub fn from_drivers<T>(
    driver: Driver,
    client: impl FnOnce() -> Result<Vec<T>, Error>,
    provider: impl FnOnce() -> Result<Vec<T>, Error>,
) -> Result<Vec<(&'static str, T)>, Error> {
    let label = |driver: &'static str, items: Vec<T>| items.into_iter().map(move |item| (driver, item));
    match driver {
        Driver::Client => Ok(label("client", client()?).collect()),
        Driver::Provider => Ok(label("provider", provider()?).collect()),
        Driver::All => {
            let (client, provider) = (client(), provider());
            if let (Ok(_), Err(error)) = (&client, &provider) {
                eprintln!("nsemail: without the provider driver: {error}");
            }
            if let (Err(error), Ok(_)) = (&client, &provider) {
                eprintln!("nsemail: without the client driver: {error}");
            }
            match (client, provider) {
                (Err(error), Err(_)) => Err(error),
                (client, provider) => {
                    let client = label("client", client.unwrap_or_default());
                    Ok(client
                        .chain(label("provider", provider.unwrap_or_default()))
                        .collect())
                }
            }
        }
    }
}
