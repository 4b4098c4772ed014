//! `import`.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use nsemail::entry::{self, Format, Line};
use nsemail::transfer::{self, Outcome};
use nsemail::{Error, ExitCode};
use serde_json::{Value, json};

use super::file_error;
use crate::cli::Import;
use crate::connect::Connection;
use crate::output::{Output, count, person_is_watching, shown};

type Lines = Box<dyn Iterator<Item = io::Result<Line>> + Send>;

/// Counts what becomes of the entries, and names those that are refused.
struct Tally {
    bar: ProgressBar,
    json: bool,
    imported: usize,
    addresses: usize,
    refused: Vec<(u64, Value)>,
    first_failure: Option<ExitCode>,
}

impl Tally {
    fn new(size: Option<u64>, output: Output) -> Self {
        let bar = match size {
            _ if !person_is_watching() || output.quiet => ProgressBar::hidden(),
            Some(size) => ProgressBar::new(size),
            None => ProgressBar::no_length(),
        };
        #[expect(
            clippy::literal_string_with_formatting_args,
            reason = "it is a template of the bar"
        )]
        let template = "{bar:40} {percent:>3}%  {msg}  {elapsed_precise}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self {
            bar,
            json: output.json,
            imported: 0,
            addresses: 0,
            refused: Vec::new(),
            first_failure: None,
        }
    }

    fn add(&mut self, outcome: Outcome) {
        match outcome.result {
            Ok(addresses) => {
                self.imported = self.imported.saturating_add(1);
                self.addresses = self.addresses.saturating_add(addresses);
            }
            Err(error) => self.refuse(outcome.line, outcome.name.as_deref(), &error),
        }
        self.bar.set_position(self.bar.position().max(outcome.position));
        self.bar.set_message(format!("{} names", self.imported));
    }

    fn refuse(&mut self, line: u64, name: Option<&str>, error: &Error) {
        self.first_failure.get_or_insert_with(|| error.exit_code());
        let about = name.map_or_else(String::new, |name| shown(name) + ": ");
        self.bar
            .suspend(|| eprintln!("nsemail: line {line}: {about}{error}"));
        if self.json {
            let code = error.code().map(|code| code.0);
            let refusal = json!({ "line": line, "name": name, "code": code, "message": error.to_string() });
            self.refused.push((line, refusal));
        } else {
            self.refused.push((line, Value::Null));
        }
    }

    fn finish(mut self, verb: &str, output: Output) -> Result<ExitCode, Error> {
        self.bar.finish_and_clear();
        self.refused.sort_by_key(|(line, _)| *line);
        let refused = self.refused.len();
        let total = self.imported.saturating_add(refused);
        let refusals: Vec<Value> = self.refused.into_iter().map(|(_, refusal)| refusal).collect();
        let document = json!({
            "total": total,
            "imported": self.imported,
            "addresses": self.addresses,
            "refused": refused,
            "refusals": refusals,
        });
        let addresses = count(self.addresses, "address", "addresses");
        let line = format!(
            "{verb} {} of {} with {addresses}",
            self.imported,
            count(total, "name", "names")
        );
        output.summary(&document, &line)?;
        match self.first_failure {
            None => Ok(ExitCode::Ok),
            Some(exit_code) if output.json => {
                eprintln!("nsemail: {refused} of {total} entries were refused");
                Ok(exit_code)
            }
            Some(exit_code) => Err(Error::Refused {
                refused,
                total,
                exit_code,
            }),
        }
    }
}

/// Opens a file, or the standard input for `-`, and answers its size if it has one.
fn open(import: &Import) -> Result<(Lines, Option<u64>), Error> {
    let format = import.format.map(Format::from);
    let (lines, size) = if import.file == Path::new("-") {
        (entry::read(BufReader::new(io::stdin()), format)?, None)
    } else {
        let file = File::open(&import.file).map_err(file_error(&import.file))?;
        let size = file.metadata().ok().map(|metadata| metadata.len());
        (entry::read(BufReader::new(file), format)?, size)
    };
    if !import.ignore_provider {
        return Ok((lines, size));
    }
    let without_provider = lines.map(|line| {
        line.map(|mut line| {
            if let Ok(entry) = &mut line.entry {
                entry.record.provider = None;
            }
            line
        })
    });
    Ok((Box::new(without_provider), size))
}

pub fn run(import: &Import, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let (lines, size) = open(import)?;
    let client = connection.client(true)?;
    let mut tally = Tally::new(size, output);
    let ended = transfer::import(&client, lines, usize::from(import.jobs), |outcome| {
        tally.add(outcome);
    });
    let done = tally.imported;
    let finished = tally.finish("imported", output);
    // What ended the import early weighs more than what it refused before.
    ended.inspect_err(|_| eprintln!("nsemail: the import ended after {done} names"))?;
    finished
}

pub fn dry_run(import: &Import, output: Output) -> Result<ExitCode, Error> {
    let (lines, size) = open(import)?;
    let mut tally = Tally::new(size, output);
    for line in lines {
        let Line {
            number,
            position,
            entry,
        } = line.map_err(file_error(&import.file))?;
        let (name, result) = match entry {
            Ok(entry) => (Some(entry.record.name), Ok(entry.record.addresses.len())),
            Err(error) => (None, Err(error)),
        };
        tally.add(Outcome {
            line: number,
            position,
            name,
            result,
        });
    }
    tally.finish("would import", output)
}
