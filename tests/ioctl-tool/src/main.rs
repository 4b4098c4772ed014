//! `nsemail`: registers, looks up and manages e-mail names.

mod cli;
mod commands;
mod connect;
mod demo;
mod output;

use std::process;

use clap::{CommandFactory as _, Parser as _};
use nsemail::{Error, ExitCode};

use cli::{Cli, Command};
use connect::Connection;
use output::Output;

fn main() -> process::ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    let exit_code = match run(&cli, output) {
        Ok(exit_code) => exit_code,
        Err(error) => {
            if cli.global.json {
                // If even this cannot be printed, the exit code still says it.
                let _ = output::print(&format!("{:#}\n", output::error_json(&error)));
            }
            eprintln!("nsemail: {error}");
            error.exit_code()
        }
    };
    process::ExitCode::from(exit_code as u8)
}

fn run(cli: &Cli, output: Output) -> Result<ExitCode, Error> {
    match &cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "nsemail", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::Ok)
        }
        Command::Blob { command } => commands::blob::run(command, output),
        Command::Import(import) if import.dry_run => commands::import::dry_run(import, output),
        Command::Demo(demo) => demo::run(demo, output),
        Command::Delete(delete) => {
            commands::set::confirm(delete)?;
            with_connection(cli, |connection| {
                commands::set::delete(delete, connection, output)
            })
        }
        Command::Install(install) => {
            let blob = commands::hosting::blob(install)?;
            with_connection(cli, |connection| {
                commands::hosting::install(install, &blob, connection, output)
            })
        }
        Command::Uninstall(uninstall) => {
            commands::hosting::confirm(uninstall)?;
            with_connection(cli, |connection| {
                commands::hosting::uninstall(uninstall, connection, output)
            })
        }
        Command::Register(register) => {
            // What is wrong with the arguments is wrong whether or not there is a driver.
            let registration = commands::set::registration(register)?;
            with_connection(cli, |connection| {
                commands::set::register(&registration, register, connection, output)
            })
        }
        other => with_connection(cli, |connection| match other {
            Command::Providers(providers) => commands::providers::run(providers, connection, output),
            Command::Deregister(remove) => commands::set::deregister(remove, connection, output),
            Command::Lookup(lookup) => commands::lookup::run(lookup, connection, output),
            Command::Explain(explain) => commands::explain::run(explain, connection, output),
            Command::Enable(one) => commands::catalogue::enable(one.provider, true, connection, output),
            Command::Disable(one) => commands::catalogue::enable(one.provider, false, connection, output),
            Command::Order(order) => commands::catalogue::order(order, connection, output),
            Command::List(list) => commands::list::run(list, connection, output),
            Command::Statistics(statistics) => commands::statistics::run(statistics, connection, output),
            Command::Events(events) => commands::events::run(events, connection, output),
            Command::Import(import) => commands::import::run(import, connection, output),
            Command::Export(export) => commands::export::run(export, connection, output),
            _ => Err(Error::Usage("this command needs no driver".to_owned())),
        }),
    }
}

/// Runs a command that needs the drivers, and ends the connection whatever came of it.
fn with_connection(
    cli: &Cli,
    command: impl FnOnce(&Connection) -> Result<ExitCode, Error>,
) -> Result<ExitCode, Error> {
    let connection = Connection::open(&cli.global)?;
    let result = command(&connection);
    let closed = connection.close();
    let exit_code = result?;
    closed.map(|()| exit_code)
}
