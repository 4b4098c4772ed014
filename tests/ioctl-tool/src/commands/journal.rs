//! `journal`: works off line on a file, and changes nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use nsemail::{Error, ExitCode, notation};
use nsemail_contract::Guid;
use nsemail_provider_core::journal::format::{Header, Kind};
use nsemail_provider_core::journal::inspect::{Entry, Fault, FaultKind, Item, Summary, inspect};
use nsemail_provider_core::store::{RecordRef, State};
use serde_json::{Value, json};

use super::file_error;
use crate::cli::Journal;
use crate::output::{Output, count};

pub fn run(command: &Journal, output: Output) -> Result<ExitCode, Error> {
    match command {
        Journal::Check { file } => check(file, output),
        Journal::Dump { file } => dump(file, output),
    }
}

/// What a fault means to whoever has the file.
const fn meaning(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::TornTail(_) => {
            "what is there was never acknowledged, and the driver cuts it when it loads the file"
        }
        FaultKind::Unfinished | FaultKind::NotComplete => {
            "the file was not finished; it does not count, and the driver goes by the other one"
        }
        FaultKind::Version(_) => "a newer driver wrote the file; this one does not load it",
        FaultKind::Header | FaultKind::Damaged(_) | FaultKind::Malformed => {
            "the driver does not load the file, and leaves it as it is"
        }
    }
}

fn wrong(path: &Path, fault: Fault) -> Error {
    let meaning = meaning(fault.kind);
    Error::Usage(format!("{}: {fault}: {meaning}", path.display()))
}

fn fault_json(fault: Fault) -> Value {
    let kind = match fault.kind {
        FaultKind::Unfinished => "unfinished",
        FaultKind::Header => "header",
        FaultKind::Version(_) => "version",
        FaultKind::TornTail(_) => "torn-tail",
        FaultKind::Damaged(_) => "damaged",
        FaultKind::Malformed => "malformed",
        FaultKind::NotComplete => "not-complete",
    };
    json!({
        "kind": kind,
        "offset": fault.offset,
        "harmless": fault.kind.is_harmless(),
        "message": fault.to_string(),
    })
}

fn header_json(header: Header) -> Value {
    json!({
        "provider": Guid::from_bytes(header.provider).to_string(),
        "generation": header.generation,
    })
}

fn summary_json(size: usize, summary: &Summary) -> Value {
    json!({
        "valid": summary.fault.is_none(),
        "size": size,
        "header": summary.header.map(header_json),
        "frames": summary.frames,
        "records": summary.records,
        "end": summary.end,
        "set_aside": summary.set_aside,
        "fault": summary.fault.map(fault_json),
    })
}

fn check(file: &Path, output: Output) -> Result<ExitCode, Error> {
    let bytes = fs::read(file).map_err(file_error(file))?;
    let summary = inspect(&bytes, |_| {});
    if let Some(fault) = summary.fault {
        let error = wrong(file, fault);
        if !output.json {
            return Err(error);
        }
        output.summary(&summary_json(bytes.len(), &summary), "")?;
        eprintln!("nsemail: {error}");
        return Ok(error.exit_code());
    }
    let line = format!(
        "whole: {} in {}, and {} set aside for more",
        count(summary.records, "record", "records"),
        count(summary.frames, "frame", "frames"),
        count(summary.set_aside as u64, "byte", "bytes")
    );
    output.summary(&summary_json(bytes.len(), &summary), &line)?;
    Ok(ExitCode::Ok)
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Put => "put",
        Kind::Remove => "remove",
        Kind::SnapshotEnd => "snapshot-end",
    }
}

/// The addresses of an object as the tool writes them.
fn addresses(object: &RecordRef<'_>) -> Vec<String> {
    let normal = object
        .addresses()
        .iter()
        .filter_map(|address| address.normalize().ok());
    normal.map(|address| notation::format(&address)).collect()
}

fn entry_json(entry: &Entry<'_>) -> Value {
    let mut record = json!({ "offset": entry.offset, "kind": kind_name(entry.kind) });
    if let (Some(object), Some(members)) = (&entry.object, record.as_object_mut()) {
        let text = |text: nsemail_contract::Text<'_>| text.chars().collect::<String>();
        members.insert("name".into(), json!(text(object.name())));
        members.insert("service".into(), json!(text(object.context())));
        if entry.kind == Kind::Put {
            let fields = object.fields();
            members.insert("registered".into(), json!(object.state() == State::Registered));
            members.insert("addresses".into(), json!(addresses(object)));
            members.insert("comment".into(), json!(fields.comment.map(text)));
            members.insert("version".into(), json!(fields.version));
            members.insert("blob".into(), json!(fields.blob.map(hex::encode)));
        }
    }
    record
}

fn entry_line(entry: &Entry<'_>) -> String {
    let mut words = vec![format!("{:>10}  {:<12}", entry.offset, kind_name(entry.kind))];
    if let Some(object) = &entry.object {
        words.push(object.name().to_string());
        if !object.context().is_empty() {
            words.push(format!("service {}", object.context()));
        }
        if entry.kind == Kind::Put {
            if object.state() == State::Deregistered {
                words.push("deregistered".to_owned());
            }
            words.extend(addresses(object));
            if let Some(blob) = object.fields().blob {
                words.push(format!("blob of {} bytes", blob.len()));
            }
        }
    }
    "  ".to_owned() + words.join(" ").trim_end() + "\n"
}

fn dump(file: &Path, output: Output) -> Result<ExitCode, Error> {
    let bytes = fs::read(file).map_err(file_error(file))?;
    let mut frames: Vec<Value> = Vec::new();
    let mut text = String::new();
    let summary = inspect(&bytes, |item| match item {
        Item::Frame(frame) if output.json => frames.push(json!({
            "offset": frame.offset,
            "size": frame.size,
            "sequence": frame.header.sequence,
            "unflushed": frame.header.unflushed,
            "records": [],
        })),
        Item::Record(entry) if output.json => {
            let records = frames
                .last_mut()
                .and_then(|frame| frame["records"].as_array_mut());
            if let Some(records) = records {
                records.push(entry_json(&entry));
            }
        }
        Item::Frame(frame) => {
            let records = count(frame.header.records, "record", "records");
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "{:>10}  frame {}, {} bytes, {records}",
                frame.offset, frame.header.sequence, frame.size
            );
        }
        Item::Record(entry) => text += &entry_line(&entry),
    });
    let mut document = summary_json(bytes.len(), &summary);
    if let Some(members) = document.as_object_mut() {
        members.insert("contents".into(), Value::Array(frames));
    }
    output.result(&document, || {
        let header = summary.header.map_or_else(String::new, |header| {
            let provider = Guid::from_bytes(header.provider);
            format!("Provider:   {provider}\nGeneration: {}\n", header.generation)
        });
        let aside = match summary.set_aside {
            0 => String::new(),
            bytes => format!("{:>10}  {bytes} bytes set aside\n", summary.end),
        };
        format!("Size:       {}\n{header}{text}{aside}", bytes.len())
    })?;
    Ok(summary.fault.map_or(ExitCode::Ok, |fault| {
        // What could be read was shown.
        let error = wrong(file, fault);
        eprintln!("nsemail: {error}");
        error.exit_code()
    }))
}
