//! The two formats that `import` reads and `export` writes.
//!
//! **CSV** has a header line with the names of the columns, of which only `name` must be there:
//! `name`, `service`, `addresses` (separated by spaces), `comment`, `version`, `blob`
//! (hexadecimal), `state` (`registered` or `deregistered`), `provider` (a GUID). An empty field
//! says nothing. Columns whose names are not known are ignored.
//!
//! **JSON Lines** has an object per line with the same members, where `addresses` is an array and
//! `version` a number. Members that are not known are refused, because they are misspelled ones.
//!
//! Which one it is shows in the first character: JSON Lines starts with `{`.

use std::io::{self, BufRead, Read, Write};

use nsemail_contract::Guid;
use nsemail_contract::wire::RecordState;
use serde::{Deserialize, Serialize};

use crate::record::state_name;
use crate::{Error, Registration, StoredRecord, notation};

/// One of the two formats.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Comma-separated values.
    Csv,
    /// One JSON object per line.
    JsonLines,
}

const COLUMNS: [&str; 8] = [
    "name",
    "service",
    "addresses",
    "comment",
    "version",
    "blob",
    "state",
    "provider",
];

/// An entry as it is written down.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// The mail address.
    pub name: String,
    /// The service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// The addresses, in the notation of [`notation`].
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The blob, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<String>,
    /// `registered` or `deregistered`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The namespace provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

impl Written {
    /// The written form of a record.
    #[must_use]
    pub fn of(record: &Registration, state: Option<RecordState>) -> Self {
        Self {
            name: record.name.clone(),
            service: record.service.clone(),
            addresses: record.addresses.iter().map(notation::format).collect(),
            comment: record.comment.clone(),
            version: record.version,
            blob: record.blob.as_ref().map(hex::encode),
            state: state.map(|state| state_name(state).to_owned()),
            provider: record.provider.map(|provider| provider.to_string()),
        }
    }

    /// Understands what is written.
    ///
    /// # Errors
    /// The first member that is wrong, and why.
    pub fn understand(self) -> Result<StoredRecord, Error> {
        let state = match self.state.as_deref() {
            None | Some("registered") => RecordState::Registered,
            Some("deregistered") => RecordState::Deregistered,
            Some(other) => {
                return Err(Error::invalid(format!(
                    "the state {other:?} is not registered or deregistered"
                )));
            }
        };
        let blob = self.blob.map(|digits| hex::decode(&digits)).transpose();
        let provider = self.provider.map(|provider| provider.parse::<Guid>()).transpose();
        let record = Registration {
            name: self.name,
            service: self.service,
            addresses: self
                .addresses
                .iter()
                .map(|address| notation::parse(address))
                .collect::<Result<_, _>>()?,
            comment: self.comment,
            version: self.version,
            blob: blob.map_err(|error| Error::invalid(format!("the blob is not hexadecimal: {error}")))?,
            provider: provider.map_err(|error| Error::invalid(format!("the provider is {error}")))?,
        };
        record.check()?;
        Ok(StoredRecord { state, record })
    }
}

/// One entry of a file, or why it is none.
#[derive(Debug)]
pub struct Line {
    /// The line on which it starts, from 1.
    pub number: u64,
    /// Bytes of the file up to its end.
    pub position: u64,
    /// The entry.
    pub entry: Result<StoredRecord, Error>,
}

/// Reads the entries of a file one by one.
///
/// # Errors
/// If the file cannot be read, or is a CSV file without a column `name`.
pub fn read<'r>(
    input: impl BufRead + Send + 'r,
    format: Option<Format>,
) -> Result<Box<dyn Iterator<Item = io::Result<Line>> + Send + 'r>, Error> {
    let (start, input) = peek(input)?;
    let looks_like = if start == Some(b'{') {
        Format::JsonLines
    } else {
        Format::Csv
    };
    let format = format.unwrap_or(looks_like);
    Ok(match format {
        Format::Csv => Box::new(CsvLines::new(input)?),
        Format::JsonLines => Box::new(JsonLines {
            input,
            line: 0,
            position: 0,
        }),
    })
}

/// Skips a byte order mark and white space; answers the first byte after them.
fn peek<'r>(mut input: impl BufRead + Send + 'r) -> io::Result<(Option<u8>, impl BufRead + Send + 'r)> {
    let mut mark = Vec::new();
    input.by_ref().take(3).read_to_end(&mut mark)?;
    if mark == [0xEF, 0xBB, 0xBF] {
        mark.clear();
    }
    let mut input = io::Cursor::new(mark).chain(input);
    let first = input
        .fill_buf()?
        .iter()
        .copied()
        .find(|byte| !byte.is_ascii_whitespace());
    Ok((first, input))
}

/// Where the known columns are.
struct CsvLines<R> {
    reader: csv::Reader<R>,
    columns: [Option<usize>; COLUMNS.len()],
    width: usize,
}

impl<R: Read> CsvLines<R> {
    fn new(input: R) -> Result<Self, Error> {
        // Lengths of records are checked here, so that one wrong line does not end the file.
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
        let headers = reader
            .headers()
            .map_err(|error| Error::invalid(format!("the header line: {error}")))?;
        let columns = COLUMNS.map(|name| headers.iter().position(|header| header.trim() == name));
        let width = headers.len();
        if columns.first().copied().flatten().is_none() {
            return Err(Error::invalid("the header line has no column \"name\""));
        }
        Ok(Self {
            reader,
            columns,
            width,
        })
    }

    fn understand(&self, record: &csv::StringRecord) -> Result<StoredRecord, Error> {
        if record.len() != self.width {
            let (found, wanted) = (record.len(), self.width);
            return Err(Error::invalid(format!(
                "{found} fields where the header line has {wanted}"
            )));
        }
        let field = |column: usize| {
            let index = self.columns.get(column).copied().flatten();
            index.and_then(|index| record.get(index)).unwrap_or_default()
        };
        let optional = |column: usize| {
            Some(field(column))
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let version = optional(4).map(|version| version.parse()).transpose();
        Written {
            name: field(0).to_owned(),
            service: field(1).to_owned(),
            addresses: field(2).split_ascii_whitespace().map(str::to_owned).collect(),
            comment: optional(3),
            version: version
                .map_err(|_| Error::invalid(format!("{:?} is not a version number", field(4))))?,
            blob: optional(5),
            state: optional(6),
            provider: optional(7),
        }
        .understand()
    }
}

impl<R: Read> Iterator for CsvLines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<io::Result<Line>> {
        let mut record = csv::StringRecord::new();
        let read = self.reader.read_record(&mut record);
        let start = record.position().map(csv::Position::line);
        let end = self.reader.position();
        let (number, position) = (start.unwrap_or_else(|| end.line()), end.byte());
        let entry = match read {
            Ok(false) => return None,
            Ok(true) => self.understand(&record),
            Err(error) if error.is_io_error() => return Some(Err(io::Error::other(error))),
            Err(error) => match error.position() {
                // The reader has gone past the line, so the next ones can be read.
                Some(position) => {
                    let number = position.line();
                    return Some(Ok(Line {
                        number,
                        position: end.byte(),
                        entry: Err(not_utf8(&error)),
                    }));
                }
                None => Err(not_utf8(&error)),
            },
        };
        Some(Ok(Line {
            number,
            position,
            entry,
        }))
    }
}

fn not_utf8(error: &csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::Utf8 { err, .. } => Error::invalid(format!("not UTF-8: {err}")),
        _ => Error::invalid(error.to_string()),
    }
}

struct JsonLines<R> {
    input: R,
    line: u64,
    position: u64,
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<io::Result<Line>> {
        loop {
            let mut bytes = Vec::new();
            match self.input.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(read) => self.position = self.position.saturating_add(read as u64),
                Err(error) => return Some(Err(error)),
            }
            self.line = self.line.saturating_add(1);
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            // An array would be taken for the members in order.
            let entry = if bytes.trim_ascii_start().starts_with(b"{") {
                serde_json::from_slice::<Written>(&bytes)
                    .map_err(|error| Error::invalid(json_fault(&error)))
                    .and_then(Written::understand)
            } else {
                Err(Error::invalid("not a JSON object"))
            };
            return Some(Ok(Line {
                number: self.line,
                position: self.position,
                entry,
            }));
        }
    }
}

/// What serde says, with the column but without its line, which is always 1.
fn json_fault(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default().to_owned();
    format!("column {}: {what}", error.column())
}

/// Writes entries to a file one by one.
pub struct EntryWriter<W: Write>(Output<W>);

enum Output<W: Write> {
    Csv(Box<csv::Writer<W>>),
    JsonLines(W),
}

impl<W: Write> EntryWriter<W> {
    /// Starts a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(output: W, format: Format) -> io::Result<Self> {
        Ok(Self(match format {
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(output);
                writer.write_record(COLUMNS)?;
                Output::Csv(Box::new(writer))
            }
            Format::JsonLines => Output::JsonLines(output),
        }))
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&mut self, record: &StoredRecord) -> io::Result<()> {
        let written = Written::of(&record.record, Some(record.state));
        match &mut self.0 {
            Output::Csv(writer) => {
                let addresses = written.addresses.join(" ");
                let version = written.version.map(|version| version.to_string());
                let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
                writer.write_record([
                    &written.name,
                    &written.service,
                    &addresses,
                    &or_empty(&written.comment),
                    &or_empty(&version),
                    &or_empty(&written.blob),
                    &or_empty(&written.state),
                    &or_empty(&written.provider),
                ])?;
                Ok(())
            }
            Output::JsonLines(output) => {
                serde_json::to_writer(&mut *output, &written)?;
                output.write_all(b"\n")
            }
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(self) -> io::Result<()> {
        match self.0 {
            Output::Csv(mut writer) => writer.flush(),
            Output::JsonLines(mut output) => output.flush(),
        }
    }
}
