//! `export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use indicatif::ProgressBar;
use nsemail::entry::{EntryWriter, Format};
use nsemail::{Error, ExitCode, StoredRecord, transfer};
use nsemail_contract::wire::RecordState;
use serde_json::json;

use super::file_error;
use crate::cli::{Export, States};
use crate::connect::Connection;
use crate::output::{Output, person_is_watching};

pub fn run(export: &Export, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let client = connection.admin()?;
    let bar = if person_is_watching() && !output.quiet {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    let mut records = transfer::export(&client, export.provider, |count| {
        bar.set_message(format!("{count} names"));
        bar.tick();
    })?;
    bar.finish_and_clear();
    records.retain(|record| match export.state {
        States::All => true,
        States::Registered => record.state == RecordState::Registered,
        States::Deregistered => record.state == RecordState::Deregistered,
    });
    let format = format(export, output);
    match &export.output {
        Some(path) => {
            let file = File::create(path).map_err(file_error(path))?;
            write(&records, format, BufWriter::new(file)).map_err(file_error(path))?;
            let document = json!({ "exported": records.len(), "file": path.display().to_string() });
            output.summary(
                &document,
                &format!("exported {} names to {}", records.len(), path.display()),
            )?;
        }
        None => match write(&records, format, BufWriter::new(io::stdout().lock())) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other?,
        },
    }
    Ok(ExitCode::Ok)
}

fn format(export: &Export, output: Output) -> Format {
    if let Some(format) = export.format {
        return format.into();
    }
    let extension = export
        .output
        .as_ref()
        .and_then(|path| path.extension())
        .and_then(|text| text.to_str());
    match extension {
        Some("jsonl" | "ndjson" | "json") => Format::JsonLines,
        None if output.json => Format::JsonLines,
        _ => Format::Csv,
    }
}

fn write(records: &[StoredRecord], format: Format, output: impl Write) -> io::Result<()> {
    let mut writer = EntryWriter::new(output, format)?;
    records.iter().try_for_each(|record| writer.write(record))?;
    writer.finish()
}
