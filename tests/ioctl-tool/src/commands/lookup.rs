//! `lookup`.

use std::collections::HashMap;

use nsemail::client::Query;
use nsemail::record::{FoundRecord, check_query};
use nsemail::{Client, Error, ExitCode, Transport};
use nsemail_contract::{Guid, LookupFlags, WsaCode};
use serde_json::{Value, json};

use super::catalogue::because;
use crate::cli::Lookup;
use crate::connect::Connection;
use crate::output::{Output, found_json, found_lines, shown};

type Answer = Result<Vec<FoundRecord>, Error>;

pub fn run(lookup: &Lookup, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let client = connection.client(false)?;
    let flags = flags(lookup);
    let queries = queries(lookup);
    let answers = answers(&client, &queries, flags, lookup.stepwise)?;
    if let ([_], [Err(_)]) = (queries.as_slice(), answers.as_slice()) {
        // One name that was not found is told like any other error.
        return answers
            .into_iter()
            .next()
            .unwrap_or_else(|| Ok(Vec::new()))
            .map(|_| ExitCode::Ok)
            .map_err(|error| unknown_provider(error, lookup.provider));
    }
    let names = provider_names(&client, &answers);
    let document = document(&queries, &answers);
    output.result(&document, || {
        let found = answers.iter().flatten().flatten();
        found
            .map(|found| found_lines(found, name_of(&names, found)))
            .collect()
    })?;
    let mut exit_code = ExitCode::Ok;
    for (query, answer) in queries.iter().zip(&answers) {
        if let Err(error) = answer {
            eprintln!(
                "nsemail: {}: {error}",
                shown(query.name.as_deref().unwrap_or_default())
            );
            exit_code = exit_code.max(error.exit_code());
        }
    }
    Ok(exit_code)
}

/// A name is checked before it is sent, so what is invalid is the provider that it was directed to.
pub fn unknown_provider(error: Error, provider: Option<Guid>) -> Error {
    match provider {
        Some(provider) => because(error, || format!("{provider} is not in the catalogue")),
        None => error,
    }
}

fn flags(lookup: &Lookup) -> LookupFlags {
    let mut flags = lookup.flags.unwrap_or(LookupFlags::RETURN_ALL);
    flags.set(
        LookupFlags::NON_AUTHORITATIVE,
        flags.contains(LookupFlags::NON_AUTHORITATIVE) || lookup.non_authoritative,
    );
    flags.set(
        LookupFlags::SECURE,
        flags.contains(LookupFlags::SECURE) || lookup.secure,
    );
    flags.set(
        LookupFlags::DEEP,
        flags.contains(LookupFlags::DEEP) || lookup.deep,
    );
    let preferred = LookupFlags::RETURN_PREFERRED_NAMES;
    flags.set(preferred, flags.contains(preferred) || lookup.preferred);
    flags
}

fn queries(lookup: &Lookup) -> Vec<Query> {
    let query = |name| Query {
        name,
        service: lookup.service.clone(),
        provider: lookup.provider,
    };
    if lookup.names.is_empty() {
        vec![query(None)]
    } else {
        lookup
            .names
            .iter()
            .map(|name| query(Some(name.clone())))
            .collect()
    }
}

/// One name goes into one call, many go into batches.
fn answers<T: Transport>(
    client: &Client<T>,
    queries: &[Query],
    flags: LookupFlags,
    stepwise: bool,
) -> Result<Vec<Answer>, Error> {
    if stepwise {
        return queries
            .iter()
            .map(|query| only_codes(check(query).and_then(|()| step(client, query, flags))))
            .collect();
    }
    if let [query] = queries {
        return Ok(vec![only_codes(
            check(query).and_then(|()| client.look_up(query, flags)),
        )?]);
    }
    // What is no address is answered here, so that the reason can be told.
    let checked: Vec<Result<(), Error>> = queries.iter().map(check).collect();
    let sound = queries
        .iter()
        .zip(&checked)
        .filter(|(_, checked)| checked.is_ok());
    let sound: Vec<Query> = sound.map(|(query, _)| query.clone()).collect();
    let mut found = client.look_up_many(&sound, flags)?.into_iter();
    let answer = |checked: Result<(), Error>| {
        checked.and_then(|()| {
            found
                .next()
                .unwrap_or(Err(WsaCode::WSA_E_CANCELLED))
                .map_err(Error::Code)
        })
    };
    Ok(checked.into_iter().map(answer).collect())
}

fn check(query: &Query) -> Result<(), Error> {
    query.name.as_deref().map_or(Ok(()), check_query)
}

/// Lets an answer be one, but ends the command if there was none.
fn only_codes(answer: Answer) -> Result<Answer, Error> {
    match answer {
        Err(error @ (Error::Code(_) | Error::Explained(..))) => Ok(Err(error)),
        Err(error) => Err(error),
        found => Ok(found),
    }
}

fn step<T: Transport>(client: &Client<T>, query: &Query, flags: LookupFlags) -> Answer {
    let lookup = client.begin(query, flags)?;
    let mut records = Vec::new();
    while let Some(record) = lookup.next(LookupFlags::empty())? {
        records.push(record);
    }
    lookup.end()?;
    Ok(records)
}

fn document(queries: &[Query], answers: &[Answer]) -> Value {
    let entry = |(query, answer): (&Query, &Answer)| {
        let (records, error) = match answer {
            Ok(records) => (records.iter().map(found_json).collect(), None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let code = error.map_or(Some(WsaCode::NO_ERROR), Error::code);
        json!({
            "query": query.name,
            "code": code.map(|code| code.0),
            "symbol": code.and_then(WsaCode::symbol),
            "records": records,
        })
    };
    json!({ "results": queries.iter().zip(answers).map(entry).collect::<Vec<_>>() })
}

/// Display names of providers, for people; whoever may look up may also list them.
fn provider_names<T: Transport>(client: &Client<T>, answers: &[Answer]) -> HashMap<Guid, String> {
    if answers.iter().flatten().all(Vec::is_empty) {
        return HashMap::new();
    }
    let providers = client.providers().unwrap_or_default();
    providers
        .into_iter()
        .map(|provider| (provider.guid, provider.name))
        .collect()
}

fn name_of<'n>(names: &'n HashMap<Guid, String>, found: &FoundRecord) -> Option<&'n str> {
    found
        .record
        .provider
        .and_then(|provider| names.get(&provider))
        .map(String::as_str)
}
