//! `list`.

use nsemail::record::{as_text, state_name};
use nsemail::{Error, ExitCode, StoredRecord, notation};
use nsemail_contract::wire::{ListRequest, RecordState};
use nsemail_contract::{Domain, Text};
use serde_json::{Value, json};

use crate::cli::{List, States};
use crate::connect::Connection;
use crate::output::{Output, lines, record_json, shown};

pub fn run(list: &List, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let domain = list.domain.as_deref().map_or(Ok(Text::EMPTY), as_text)?;
    if !domain.is_empty() {
        // The tool knows why it is none.
        Domain::parse(domain).map_err(|error| Error::invalid(error.to_string()))?;
    }
    let admin = connection.admin()?;
    let providers = match list.provider {
        Some(provider) => vec![provider],
        None => admin.hosted()?.iter().map(|hosted| hosted.guid).collect(),
    };
    let mut records = Vec::new();
    for provider in providers {
        let mut cursor = 0;
        loop {
            let asked = ListRequest {
                cursor,
                provider,
                state: match list.state {
                    States::Registered => Some(RecordState::Registered),
                    States::Deregistered => Some(RecordState::Deregistered),
                    States::All => None,
                },
                domain,
            };
            let (page, next) = admin.list_matching(&asked)?;
            records.extend(page);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    let document = json!({ "records": records.iter().map(document).collect::<Vec<_>>() });
    output.result(&document, || table(&records, output))?;
    Ok(ExitCode::Ok)
}

fn document(stored: &StoredRecord) -> Value {
    let mut members = record_json(&stored.record);
    members.insert("state".into(), json!(state_name(stored.state)));
    Value::Object(members)
}

fn table(records: &[StoredRecord], output: Output) -> String {
    let mut table = output.table(&["NAME", "SERVICE", "STATE", "PROVIDER", "ADDRESSES"]);
    for StoredRecord { state, record } in records {
        let addresses: Vec<String> = record.addresses.iter().map(notation::format).collect();
        table.add_row([
            shown(&record.name),
            shown(&record.service),
            state_name(*state).to_owned(),
            record
                .provider
                .map(|provider| provider.to_string())
                .unwrap_or_default(),
            addresses.join(", "),
        ]);
    }
    lines(table, &[])
}
