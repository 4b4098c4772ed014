//! `events`.

use nsemail::client::OwnedEvent;
use nsemail::{Error, ExitCode};
use serde_json::{Value, json};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, UtcDateTime};

use super::statistics::from_drivers;
use crate::cli::FromDrivers;
use crate::connect::Connection;
use crate::output::{Output, lines, shown};

pub fn run(events: &FromDrivers, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let mut events = from_drivers(
        events.driver,
        || connection.client(false)?.events(0),
        || connection.admin()?.events(0),
    )?;
    events.sort_by_key(|(driver, event)| (event.time, *driver, event.sequence));
    let entries: Vec<Value> = events
        .iter()
        .map(|(driver, event)| document(driver, event))
        .collect();
    output.result(&json!({ "events": entries }), || {
        let mut table = output.table(&["TIME", "DRIVER", "EVENT", "PROVIDER", "NUMBERS", "DETAILS"]);
        for (driver, event) in &events {
            let provider = if event.subject.is_nil() {
                String::new()
            } else {
                event.subject.to_string()
            };
            table.add_row([
                when(event.time),
                (*driver).to_owned(),
                name(event),
                provider,
                numbers(event),
                shown(&event.text),
            ]);
        }
        lines(table, &[])
    })?;
    Ok(ExitCode::Ok)
}

fn document(driver: &str, event: &OwnedEvent) -> Value {
    json!({
        "driver": driver,
        "sequence": event.sequence,
        "time": when(event.time),
        "event": name(event),
        "warning": event.kind.is_warning(),
        "provider": if event.subject.is_nil() { None } else { Some(event.subject.to_string()) },
        "numbers": event.numbers,
        "text": event.text,
    })
}

fn name(event: &OwnedEvent) -> String {
    event
        .kind
        .name()
        .map_or_else(|| format!("event {}", event.kind.0), str::to_owned)
}

/// The numbers that are not 0; NT statuses of errors as people know them.
fn numbers(event: &OwnedEvent) -> String {
    let shown = |number: u64| match number & 0xFFFF_FFFF {
        status @ 0xC000_0000.. if matches!(number >> 32, 0 | 0xFFFF_FFFF) => format!("0x{status:08X}"),
        _ => number.to_string(),
    };
    let told: Vec<String> = event
        .numbers
        .into_iter()
        .filter(|number| *number != 0)
        .map(shown)
        .collect();
    told.join(" ")
}

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Seconds from 1601-01-01 to 1970-01-01.
const WINDOWS_EPOCH: i64 = 11_644_473_600;

/// A time of the kernel as text.
fn when(time: u64) -> String {
    let seconds = i64::try_from(time / 10_000_000)
        .unwrap_or(i64::MAX)
        .saturating_sub(WINDOWS_EPOCH);
    let rest = Duration::nanoseconds(i64::try_from(time % 10_000_000).unwrap_or(0).saturating_mul(100));
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|whole| UtcDateTime::from(whole).checked_add(rest))
        .and_then(|time| time.format(FORMAT).ok())
        .unwrap_or_else(|| format!("{time} (100 ns since 1601)"))
}
