//! `providers`.

use nsemail::record::{Provider, level_name};
use nsemail::{Error, ExitCode};
use serde_json::{Value, json};

use crate::cli::Providers;
use crate::connect::Connection;
use crate::output::{Output, lines, shown};

pub fn run(providers: &Providers, connection: &Connection, output: Output) -> Result<ExitCode, Error> {
    let list = connection.client(false)?.providers()?;
    let document = json!({ "providers": list.iter().map(document).collect::<Vec<_>>() });
    output.result(&document, || {
        if providers.verbose {
            blocks(&list)
        } else {
            table(&list, output)
        }
    })?;
    Ok(ExitCode::Ok)
}

fn document(provider: &Provider) -> Value {
    let blob = provider.installation();
    let domains: Vec<Value> = provider
        .domains()
        .into_iter()
        .map(|(domain, level)| json!({ "domain": domain, "level": level_name(level) }))
        .collect();
    json!({
        "order": provider.order,
        "guid": provider.guid.to_string(),
        "name": provider.name,
        "enabled": provider.enabled,
        "attached": provider.attached,
        "version": provider.version,
        "provider_type": blob.map(|blob| blob.provider_type),
        "wildcard": blob.map(|blob| blob.wildcard),
        "domains": domains,
    })
}

const fn state(provider: &Provider) -> &'static str {
    match (provider.enabled, provider.attached) {
        (true, true) => "attached",
        (true, false) => "unavailable",
        (false, _) => "disabled",
    }
}

fn claims(provider: &Provider) -> Vec<String> {
    let any = provider
        .installation()
        .is_some_and(|blob| blob.wildcard)
        .then(|| "any (wildcard)".to_owned());
    let domains = provider.domains().into_iter();
    domains
        .map(|(domain, level)| format!("{} ({})", shown(&domain), level_name(level)))
        .chain(any)
        .collect()
}

fn table(list: &[Provider], output: Output) -> String {
    let mut table = output.table(&["#", "PROVIDER", "STATE", "NAME", "DOMAINS"]);
    for provider in list {
        table.add_row([
            provider.order.to_string(),
            provider.guid.to_string(),
            state(provider).to_owned(),
            shown(&provider.name),
            claims(provider).join(", "),
        ]);
    }
    lines(table, &[0])
}

fn blocks(list: &[Provider]) -> String {
    let block = |provider: &Provider| {
        let kind = match provider.installation().map(|blob| blob.provider_type) {
            Some(0 | 1) => "application",
            Some(_) => "unknown",
            None => "unknown (the installation blob is damaged)",
        };
        let mut lines = vec![
            "Name Space Provider Entry".to_owned(),
            "-".repeat(54),
            format!("{:<14}{}", "Description:", shown(&provider.name)),
            format!("{:<14}{}", "Provider ID:", provider.guid),
            format!("{:<14}{}", "Name Space:", nsemail_contract::ids::NS_EMAIL),
            format!("{:<14}{}", "Active:", u8::from(provider.enabled)),
            format!("{:<14}{}", "State:", state(provider)),
            format!("{:<14}{}", "Order:", provider.order),
            format!("{:<14}{}", "Version:", provider.version),
            format!("{:<14}{kind}", "Type:"),
        ];
        for (index, claim) in claims(provider).iter().enumerate() {
            lines.push(format!("{:<14}{claim}", if index == 0 { "Domains:" } else { "" }));
        }
        lines.join("\n") + "\n"
    };
    list.iter().map(block).collect::<Vec<_>>().join("\n")
}
