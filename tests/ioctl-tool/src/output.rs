//! Printing results: text for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use nsemail::Registration;
use nsemail::record::FoundRecord;
use nsemail::{Error, notation, record};
use nsemail_contract::Text;
use serde_json::{Map, Value, json};

use crate::cli::Global;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
    pub legend: bool,
}

impl Output {
    pub const fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            legend: !global.no_legend,
        }
    }

    /// As either says.
    pub const fn or(self, other: Self) -> Self {
        Self {
            json: self.json || other.json,
            quiet: self.quiet || other.quiet,
            legend: self.legend && other.legend,
        }
    }

    /// Prints a result: the document for programs, or the lines for people.
    pub fn result(self, document: &Value, lines: impl FnOnce() -> String) -> Result<(), Error> {
        if self.json {
            print(&format!("{document:#}\n"))
        } else {
            print(&lines())
        }
    }

    /// Prints what was done: the document for programs, or one line for people unless they do not
    /// want it.
    pub fn summary(self, document: &Value, line: &str) -> Result<(), Error> {
        if self.json {
            print(&format!("{document:#}\n"))
        } else if self.quiet {
            Ok(())
        } else {
            print(&format!("{line}\n"))
        }
    }

    /// A table without borders.
    pub fn table(self, headings: &[&str]) -> Table {
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        if self.legend {
            table.set_header(headings);
        }
        table
    }
}

/// Finishes a table as lines without spaces at their ends.
pub fn lines(mut table: Table, right_aligned: &[usize]) -> String {
    for index in right_aligned {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

/// Writes to the standard output. A reader that has gone away is no fault.
pub fn print(text: &str) -> Result<(), Error> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Whether a person is there to see and to answer.
pub fn person_is_watching() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// A text with control characters escaped.
pub fn shown(text: &str) -> String {
    Text::from_str(text).map_or_else(|_| text.escape_debug().to_string(), |text| text.to_string())
}

/// The members of a record, for programs. What is not there is left out.
pub fn record_json(record: &Registration) -> Map<String, Value> {
    let mut members = Map::new();
    members.insert("name".into(), json!(record.name));
    members.insert("service".into(), json!(record.service));
    let addresses: Vec<String> = record.addresses.iter().map(notation::format).collect();
    members.insert("addresses".into(), json!(addresses));
    members.insert("comment".into(), json!(record.comment));
    members.insert("version".into(), json!(record.version));
    members.insert("blob".into(), json!(record.blob.as_ref().map(hex::encode)));
    members.insert(
        "provider".into(),
        json!(record.provider.map(|provider| provider.to_string())),
    );
    members
}

/// A record that was found, for programs.
pub fn found_json(found: &FoundRecord) -> Value {
    let mut members = record_json(&found.record);
    members.insert("tier".into(), json!(record::tier_name(found.tier)));
    Value::Object(members)
}

/// A record that was found, as a block of lines for people.
pub fn found_lines(found: &FoundRecord, provider_name: Option<&str>) -> String {
    let record = &found.record;
    let mut lines = vec![shown(&record.name)];
    let mut line = |label: &str, value: &str| lines.push(format!("    {label:<10}{value}"));
    if !record.service.is_empty() {
        line("Service:", &shown(&record.service));
    }
    for (index, address) in record.addresses.iter().enumerate() {
        line(
            if index == 0 { "Address:" } else { "" },
            &notation::format(address),
        );
    }
    if let Some(comment) = &record.comment {
        line("Comment:", &shown(comment));
    }
    if let Some(version) = record.version {
        line("Version:", &version.to_string());
    }
    if let Some(blob) = &record.blob {
        line(
            "Blob:",
            &format!(
                "{} bytes: {}",
                blob.len(),
                hex::encode(blob.get(..32).unwrap_or(blob))
            ),
        );
    }
    let tier = record::tier_name(found.tier);
    let guid = record.provider.map(|provider| provider.to_string());
    let name = provider_name.map(shown);
    let who: Vec<String> = guid
        .into_iter()
        .chain(name)
        .chain([format!("({tier})")])
        .collect();
    line("Provider:", &who.join(" "));
    lines.join("\n") + "\n"
}

/// A number of things.
pub fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    match number.try_into() {
        Ok(1) => format!("1 {one}"),
        Ok(number) => format!("{number} {many}"),
        Err(_) => format!("many {many}"),
    }
}

/// An error, for programs.
pub fn error_json(error: &Error) -> Value {
    let code = error.code();
    json!({
        "error": {
            "symbol": code.and_then(nsemail_contract::WsaCode::symbol),
            "code": code.map(|code| code.0),
            "exit_code": error.exit_code() as u8,
            "message": error.to_string(),
        }
    })
}
