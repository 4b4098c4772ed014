//! `blob`.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use nsemail::record::{as_text, level_name};
use nsemail::{Error, ExitCode};
use nsemail_contract::blob::{self, InstallationBlob, Level};
use nsemail_contract::{Domain, Fault, WriteError, limits};
use serde_json::{Value, json};

use super::{file_error, read_bytes};
use crate::cli::Blob;
use crate::output::{Output, count, lines, shown};

pub fn run(command: &Blob, output: Output) -> Result<ExitCode, Error> {
    match command {
        Blob::Check { file } => check(file, output),
        Blob::Dump { file } => dump(file, output),
        Blob::Make {
            domains,
            wildcard,
            version,
            output: file,
        } => make(domains, *wildcard, *version, file.as_deref(), output),
    }
}

/// What is wrong with a blob, with the code that its installation would be answered with.
fn fault_error(fault: Fault) -> Error {
    Error::Explained(blob::fault_code(fault.kind), fault.to_string())
}

fn check(file: &Path, output: Output) -> Result<ExitCode, Error> {
    let bytes = read_bytes(file, limits::INSTALLATION_BLOB)?;
    match InstallationBlob::parse(&bytes) {
        Ok(blob) => {
            if !blob.is_reachable() {
                eprintln!(
                    "nsemail: warning: the blob claims no domain; only queries that name its provider reach it"
                );
            }
            let domains = blob.count();
            let line = format!(
                "valid: {}{}",
                count(domains, "domain", "domains"),
                if blob.wildcard { " and any other" } else { "" }
            );
            output.summary(
                &json!({ "valid": true, "domains": domains, "wildcard": blob.wildcard }),
                &line,
            )?;
            Ok(ExitCode::Ok)
        }
        Err(fault) if output.json => {
            let error = fault_error(fault);
            let code = error.code();
            let document = json!({
                "valid": false,
                "fault": format!("{:?}", fault.kind),
                "offset": fault.offset,
                "message": fault.kind.describe(),
                "code": code.map(|code| code.0),
                "symbol": code.and_then(nsemail_contract::WsaCode::symbol),
            });
            output.summary(&document, "")?;
            eprintln!("nsemail: {}: {error}", file.display());
            Ok(error.exit_code())
        }
        Err(fault) => Err(fault_error(fault)),
    }
}

fn dump(file: &Path, output: Output) -> Result<ExitCode, Error> {
    let bytes = read_bytes(file, limits::INSTALLATION_BLOB)?;
    let blob = InstallationBlob::parse(&bytes).map_err(fault_error)?;
    let domains: Vec<Value> = blob
        .claims()
        .map(|claim| {
            json!({
                "domain": claim.name.chars().collect::<String>(),
                "level": level_name(claim.level),
                "description_offset": claim.description_offset,
                "name_offset": claim.name_offset,
            })
        })
        .collect();
    let document = json!({
        "size": bytes.len(),
        "version": blob.version,
        "provider_type": blob.provider_type,
        "wildcard": blob.wildcard,
        "domains": domains,
    });
    output.result(&document, || {
        let kind = if blob.provider_type == 0 {
            "0 (taken for 1, application)"
        } else {
            "1 (application)"
        };
        let mut table = output.table(&["DOMAIN", "LEVEL", "DESCRIBED AT", "NAME AT"]);
        for claim in blob.claims() {
            table.add_row([
                claim.name.to_string(),
                level_name(claim.level).to_owned(),
                claim.description_offset.to_string(),
                claim.name_offset.to_string(),
            ]);
        }
        let domains = if blob.count() == 0 {
            String::new()
        } else {
            "\n".to_owned() + &lines(table, &[2, 3])
        };
        format!(
            "Size:      {}\nVersion:   {}\nType:      {kind}\nWildcard:  {}\nDomains:   {}\n{domains}",
            bytes.len(),
            blob.version,
            if blob.wildcard { "yes" } else { "no" },
            blob.count(),
        )
    })?;
    Ok(ExitCode::Ok)
}

/// Makes the blob of a provider with these claims, each `DOMAIN[:LEVEL]`.
pub fn made(domains: &[String], wildcard: bool, version: u32) -> Result<Vec<u8>, Error> {
    let claims = domains
        .iter()
        .map(|domain| claim(domain))
        .collect::<Result<Vec<_>, _>>()?;
    let write = |out: &mut [u8]| blob::write(version, wildcard, claims.iter().copied(), out);
    let size = match write(&mut []) {
        Ok(needed) | Err(WriteError::TooSmall { needed }) => needed,
        Err(WriteError::TooLarge) => {
            return Err(Error::invalid(format!(
                "the blob would be longer than {}",
                limits::INSTALLATION_BLOB
            )));
        }
    };
    let mut bytes = vec![0; size];
    write(&mut bytes)?;
    // The parser sees what the writer does not look for, such as a domain that is given twice.
    InstallationBlob::parse(&bytes).map_err(fault_error)?;
    Ok(bytes)
}

/// Reads a blob that is to be installed.
pub fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let bytes = read_bytes(file, limits::INSTALLATION_BLOB)?;
    InstallationBlob::parse(&bytes).map_err(fault_error)?;
    Ok(bytes)
}

fn make(
    domains: &[String],
    wildcard: bool,
    version: u32,
    file: Option<&Path>,
    output: Output,
) -> Result<ExitCode, Error> {
    let bytes = made(domains, wildcard, version)?;
    let size = bytes.len();
    match file {
        Some(path) => {
            fs::write(path, &bytes).map_err(file_error(path))?;
            let line = format!("wrote {size} bytes to {}", path.display());
            output.summary(
                &json!({ "size": size, "file": path.display().to_string() }),
                &line,
            )?;
        }
        None if io::stdout().is_terminal() => {
            return Err(Error::Usage(
                "a blob is no text for a terminal; give a file with -o".to_owned(),
            ));
        }
        None => io::stdout().lock().write_all(&bytes)?,
    }
    Ok(ExitCode::Ok)
}

/// `DOMAIN[:LEVEL]`
fn claim(text: &str) -> Result<(Level, Domain<'_>), Error> {
    let (domain, level) = match text.rsplit_once(':') {
        Some((domain, "primary")) => (domain, Level::Primary),
        Some((domain, "secondary")) => (domain, Level::Secondary),
        Some((domain, "none")) => (domain, Level::None),
        Some((_, level)) => {
            return Err(Error::invalid(format!(
                "{level:?} is not a level; those are primary, secondary and none"
            )));
        }
        None => (text, Level::Primary),
    };
    let parsed = Domain::parse(as_text(domain)?);
    let domain = parsed.map_err(|error| Error::invalid(format!("{}: {error}", shown(domain))))?;
    Ok((level, domain))
}
