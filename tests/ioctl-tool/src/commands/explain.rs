//! `explain`.

use nsemail::administration::ExplainedProvider;
use nsemail::record::check_query;
use nsemail::{Error, ExitCode};
use serde_json::{Value, json};

use crate::cli::Explain;
use crate::connect::Connection;
use crate::output::{Output, lines, shown};

pub fn run(explain: &Explain, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    // For what is no mail address, the tool knows why.
    check_query(&explain.name)?;
    let providers = connection.client(false)?.explain(&explain.name)?;
    let chain = providers
        .iter()
        .filter(|provider| provider.part.is_asked())
        .count();
    let document = json!({
        "name": explain.name,
        "chain": providers.iter().take(chain).map(document).collect::<Vec<_>>(),
        "others": providers.iter().skip(chain).map(document).collect::<Vec<_>>(),
    });
    output.result(&document, || table(&providers, output))?;
    Ok(ExitCode::Ok)
}

fn document(provider: &ExplainedProvider) -> Value {
    json!({
        "guid": provider.guid.to_string(),
        "name": provider.name,
        "role": provider.part.name(),
        "reason": provider.part.reason(),
        "order": provider.order,
        "enabled": provider.enabled,
        "attached": provider.attached,
    })
}

const fn state(provider: &ExplainedProvider) -> &'static str {
    match (provider.enabled, provider.attached) {
        (true, true) => "attached",
        (true, false) => "unavailable",
        (false, _) => "disabled",
    }
}

fn table(providers: &[ExplainedProvider], output: Output) -> String {
    let mut table = output.table(&["ASKED", "PROVIDER", "STATE", "NAME", "REASON"]);
    for (place, provider) in (1_usize..).zip(providers) {
        let place = if provider.part.is_asked() {
            place.to_string()
        } else {
            "no".to_owned()
        };
        table.add_row([
            place,
            provider.guid.to_string(),
            state(provider).to_owned(),
            shown(&provider.name),
            provider.part.reason().to_owned(),
        ]);
    }
    lines(table, &[])
}
