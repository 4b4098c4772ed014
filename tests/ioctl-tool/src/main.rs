//! `nsemail`: registers, looks up and manages e-mail names.

mod cli;
mod commands;
mod connect;
mod demo;
mod output;
mod shell;

use std::process;

use clap::{CommandFactory as _, Parser as _};
use nsemail::{Error, ExitCode};

use cli::{Cli, Command, Global};
use connect::Connection;
use output::Output;

fn main() -> process::ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.global);
    let result = match &cli.command {
        Command::Shell => with_new_connection(&cli.global, |connection| shell::run(&cli.global, connection)),
        command => run(command, output, &Source::New(&cli.global)),
    };
    process::ExitCode::from(ended(result, output) as u8)
}

/// Tells of an error, and gives the exit code.
fn ended(result: Result<ExitCode, Error>, output: Output) -> ExitCode {
    result.unwrap_or_else(|error| {
        if output.json {
            // If even this cannot be printed, the exit code still says it.
            let _ = output::print(&format!("{:#}\n", output::error_json(&error)));
        }
        eprintln!("nsemail: {error}");
        error.exit_code()
    })
}

/// Where a command that needs the drivers gets its connection from.
enum Source<'a> {
    /// It opens one for itself.
    New(&'a Global),
    /// One that is open, and stays so.
    Open(&'a Connection),
}

impl Source<'_> {
    /// Runs a command that needs the drivers.
    fn with(&self, command: impl FnOnce(&Connection) -> Result<ExitCode, Error>) -> Result<ExitCode, Error> {
        match self {
            Self::New(global) => with_new_connection(global, command),
            Self::Open(connection) => command(connection),
        }
    }
}

/// Opens a connection for a command, and ends it whatever came of the command.
fn with_new_connection(
    global: &Global,
    command: impl FnOnce(&Connection) -> Result<ExitCode, Error>,
) -> Result<ExitCode, Error> {
    let connection = Connection::open(global)?;
    let result = command(&connection);
    let closed = connection.close();
    let exit_code = result?;
    closed.map(|()| exit_code)
}

fn run(command: &Command, output: Output, source: &Source<'_>) -> Result<ExitCode, Error> {
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "nsemail", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::Ok)
        }
        Command::Shell => Err(Error::Usage("this is the shell already".to_owned())),
        Command::Blob { command } => commands::blob::run(command, output),
        Command::Journal { command } => commands::journal::run(command, output),
        Command::Import(import) if import.dry_run => commands::import::dry_run(import, output),
        Command::Demo(demo) => demo::run(demo, output),
        // What is wrong with the arguments is wrong whether or not there is a driver.
        Command::Delete(delete) => {
            commands::set::confirm(delete)?;
            source.with(|connection| commands::set::delete(delete, connection, output))
        }
        Command::Install(install) => {
            let blob = commands::hosting::blob(install)?;
            source.with(|connection| commands::hosting::install(install, &blob, connection, output))
        }
        Command::Uninstall(uninstall) => {
            commands::hosting::confirm(uninstall)?;
            source.with(|connection| commands::hosting::uninstall(uninstall, connection, output))
        }
        Command::Register(register) => {
            let registration = commands::set::registration(register)?;
            source.with(|connection| commands::set::register(&registration, register, connection, output))
        }
        other => source.with(|connection| match other {
            Command::Providers(providers) => commands::providers::run(providers, connection, output),
            Command::Deregister(remove) => commands::set::deregister(remove, connection, output),
            Command::Lookup(lookup) => commands::lookup::run(lookup, connection, output),
            Command::Explain(explain) => commands::explain::run(explain, connection, output),
            Command::Enable(one) => commands::catalogue::enable(one.provider, true, connection, output),
            Command::Disable(one) => commands::catalogue::enable(one.provider, false, connection, output),
            Command::Order(order) => commands::catalogue::order(order, connection, output),
            Command::List(list) => commands::list::run(list, connection, output),
            Command::Sessions(sessions) => commands::sessions::run(sessions, connection, output),
            Command::Statistics(statistics) => commands::statistics::run(statistics, connection, output),
            Command::Events(events) => commands::events::run(events, connection, output),
            Command::Import(import) => commands::import::run(import, connection, output),
            Command::Export(export) => commands::export::run(export, connection, output),
            _ => Err(Error::Usage("this command needs no driver".to_owned())),
        }),
    }
}
