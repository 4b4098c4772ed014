//! The command line.
#![expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
#![expect(clippy::doc_markdown, reason = "comments on arguments are the text of --help")]

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use nsemail::notation;
use nsemail_contract::{Guid, LookupFlags, NormalCsAddr};

/// Register, look up and manage e-mail names (Winsock namespace NS_EMAIL).
///
/// Talks to the drivers of this Windows; elsewhere, and with --embedded, it boots a simulated machine
/// with both drivers in its own process.
#[derive(Debug, Parser)]
#[command(name = "nsemail", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 not found or no data, 2 wrong command line or input, \
                          3 access denied, 4 driver not running, 5 other";

/// What all commands understand.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors and results that were asked for
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Leave out headings and footers
    #[arg(long, global = true)]
    pub no_legend: bool,
    /// Boot a simulated machine that keeps its state in DIR
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub embedded: Option<PathBuf>,
    /// Who to be on the simulated machine
    #[arg(long = "as", global = true, value_name = "WHO", value_enum, default_value_t = Who::Administrator)]
    pub identity: Who,
    /// Have the simulated machine check that the drivers keep the kernel's rules
    #[arg(long, global = true)]
    pub verifier: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Who {
    System,
    Administrator,
    User,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the namespace providers in the order in which they are called
    Providers(Providers),
    /// Register a name
    #[command(
        after_help = "Example: nsemail register alice@example.com --addr 192.0.2.7:5060/tcp --addr '[2001:db8::7]:5060/udp'"
    )]
    Register(Register),
    /// Take the addresses of a name away, but keep the name
    Deregister(Remove),
    /// Remove a name
    Delete(Delete),
    /// Look names up
    #[command(after_help = "Example: nsemail lookup alice@example.com --service sip")]
    Lookup(Lookup),
    /// Show which providers would be asked about a name, and why; none of them is asked
    #[command(after_help = "Example: nsemail explain alice@example.com")]
    Explain(Explain),
    /// Let calls go to a namespace provider again
    #[command(after_help = "Example: nsemail enable {C2B81F06-9D47-4E3A-A1F5-5E08D7643B29}")]
    Enable(OneProvider),
    /// Let no calls go to a namespace provider
    #[command(after_help = "Example: nsemail disable {C2B81F06-9D47-4E3A-A1F5-5E08D7643B29}")]
    Disable(OneProvider),
    /// Set the order in which the namespace providers are called
    #[command(
        after_help = "Example: nsemail order {C2B81F06-9D47-4E3A-A1F5-5E08D7643B29} {7A90D3C4-15E6-4B2F-8C6A-F14D0B92375D}"
    )]
    Order(Order),
    /// Have the provider driver host another namespace provider
    #[command(
        after_help = "Example: nsemail install --domain example.org:primary --wildcard --name 'Names of example.org'"
    )]
    Install(Install),
    /// Have the provider driver host a namespace provider no more, and take it out of the catalogue
    #[command(after_help = "Example: nsemail uninstall {C2B81F06-9D47-4E3A-A1F5-5E08D7643B29} --yes")]
    Uninstall(Uninstall),
    /// List what the hosted namespace providers have stored, in the order of names
    #[command(after_help = "Example: nsemail list --domain example.com --state registered")]
    List(List),
    /// Show what the drivers have counted
    #[command(after_help = "Example: nsemail statistics --driver client --reset")]
    Statistics(Statistics),
    /// Show what the drivers have recorded
    Events(FromDrivers),
    /// Look into a journal file of the provider driver, which keeps the names of one namespace provider
    #[command(
        after_help = "Example: nsemail journal check '{7A90D3C4-15E6-4B2F-8C6A-F14D0B92375D}-1.journal'"
    )]
    Journal {
        #[command(subcommand)]
        command: Journal,
    },
    /// Work on installation blobs, which say what domains a provider claims
    Blob {
        #[command(subcommand)]
        command: Blob,
    },
    /// Register all names of a CSV or JSON Lines file
    Import(Import),
    /// Write all names to a file that import reads
    Export(Export),
    /// Show what is open: sessions, look-ups, calls under way
    #[command(after_help = "Example: nsemail sessions --driver client")]
    Sessions(FromDrivers),
    /// Run commands line by line, all on one machine; errors do not end it
    #[command(
        after_help = "Lines are split as a POSIX shell does: quote what has spaces. Blank lines and those that start with # are skipped; exit or the end of the input ends the shell.\n\nThe exit code is that of the first command that failed, 0 if a person types the commands.\n\nExample: printf 'register alice@example.com --addr 192.0.2.7:5060\\nlookup alice@example.com\\n' | nsemail shell"
    )]
    Shell,
    /// Boot a fresh machine in memory and show what its kernel sees of the drivers at work
    Demo(Demo),
    /// Print a script that completes command lines
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub struct Providers {
    /// Show domains and versions too
    #[arg(long, short)]
    pub verbose: bool,
}

#[derive(Debug, Args)]
pub struct Name {
    /// The mail address
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// The service of the name
    #[arg(long, short, default_value = "", hide_default_value = true)]
    pub service: String,
    /// The namespace provider to go to, instead of those responsible for the domain
    #[arg(long, value_name = "GUID")]
    pub provider: Option<Guid>,
}

#[derive(Debug, Args)]
pub struct Addresses {
    /// An address like 192.0.2.7:5060/tcp or [2001:db8::7]:5060/udp; may be given several times
    #[arg(long = "addr", short, value_name = "IP:PORT[/TRANSPORT]", value_parser = address)]
    pub addresses: Vec<NormalCsAddr>,
    /// The addresses are some of those of the name, not all of them (SERVICE_MULTIPLE)
    #[arg(long, short)]
    pub multiple: bool,
}

#[derive(Debug, Args)]
pub struct Register {
    #[command(flatten)]
    pub name: Name,
    #[command(flatten)]
    pub addresses: Addresses,
    /// A comment
    #[arg(long, short)]
    pub comment: Option<String>,
    /// A file with bytes to store with the name
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub blob: Option<PathBuf>,
    /// A version
    #[arg(long, value_name = "NUMBER")]
    pub version: Option<u32>,
}

#[derive(Debug, Args)]
pub struct Remove {
    #[command(flatten)]
    pub name: Name,
    #[command(flatten)]
    pub addresses: Addresses,
}

#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    pub remove: Remove,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Lookup {
    /// The mail addresses
    #[arg(value_name = "ADDRESS", required_unless_present = "preferred")]
    pub names: Vec<String>,
    /// The service of the names
    #[arg(long, short, default_value = "", hide_default_value = true)]
    pub service: String,
    /// The namespace provider to ask, instead of those responsible for the domain
    #[arg(long, value_name = "GUID")]
    pub provider: Option<Guid>,
    /// Ask all providers that may know the name, not only the most authoritative one
    #[arg(long)]
    pub non_authoritative: bool,
    /// Only results that are protected against spoofing
    #[arg(long)]
    pub secure: bool,
    /// All services of the name
    #[arg(long)]
    pub deep: bool,
    /// Ask for the names that the providers would publish
    #[arg(long, conflicts_with = "names")]
    pub preferred: bool,
    /// Use these control flags (LUP_*), a number
    #[arg(long, value_name = "FLAGS", value_parser = flags)]
    pub flags: Option<LookupFlags>,
    /// Fetch record by record, as WSALookupServiceNext does
    #[arg(long)]
    pub stepwise: bool,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// The mail address
    #[arg(value_name = "ADDRESS")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct OneProvider {
    /// The namespace provider
    #[arg(value_name = "GUID")]
    pub provider: Guid,
}

#[derive(Debug, Args)]
pub struct Order {
    /// All namespace providers of the catalogue, each once; the first is called first
    #[arg(value_name = "GUID", required = true)]
    pub providers: Vec<Guid>,
}

#[derive(Debug, Args)]
pub struct Install {
    /// The display name
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// The GUID; a new one if none is given
    #[arg(long, value_name = "GUID")]
    pub guid: Option<Guid>,
    /// A file with the installation blob, which says what domains it claims
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["domains", "wildcard"])]
    pub blob: Option<PathBuf>,
    /// A domain and its level: primary (if none is given), secondary or none; may be given several times
    #[arg(
        long = "domain",
        short,
        value_name = "DOMAIN[:LEVEL]",
        required_unless_present_any = ["blob", "wildcard"]
    )]
    pub domains: Vec<String>,
    /// Claim names of any other domain too
    #[arg(long)]
    pub wildcard: bool,
}

#[derive(Debug, Args)]
pub struct Uninstall {
    /// The namespace provider
    #[arg(value_name = "GUID")]
    pub provider: Guid,
    /// Delete its names too; else they are there again when it is installed again
    #[arg(long)]
    pub delete_names: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Driver {
    Client,
    Provider,
    All,
}

#[derive(Debug, Args)]
pub struct FromDrivers {
    /// Which driver to ask
    #[arg(long, value_enum, default_value_t = Driver::All)]
    pub driver: Driver,
}

#[derive(Debug, Args)]
pub struct Statistics {
    #[command(flatten)]
    pub from: FromDrivers,
    /// Set the counters back to zero, after they were shown
    #[arg(long)]
    pub reset: bool,
}

#[derive(Debug, Args)]
pub struct List {
    /// Only names of this domain
    #[arg(long, short)]
    pub domain: Option<String>,
    /// Only names in this state
    #[arg(long, value_enum, default_value_t = States::All)]
    pub state: States,
    /// Only names of this namespace provider
    #[arg(long, value_name = "GUID")]
    pub provider: Option<Guid>,
}

#[derive(Debug, Subcommand)]
pub enum Journal {
    /// Say whether a journal file is whole, or what is wrong with it and at which offset
    Check {
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Show the frames and records of a journal file
    Dump {
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub enum Blob {
    /// Show what a blob says
    Dump {
        /// The file; - for the standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Say whether a blob is valid, or what its first fault is and at which offset
    Check {
        /// The file; - for the standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Make a blob
    #[command(
        after_help = "Example: nsemail blob make --domain example.com:primary --wildcard -o provider.blob"
    )]
    Make {
        /// A domain and its level: primary (if none is given), secondary or none; may be given several times
        #[arg(long = "domain", short, value_name = "DOMAIN[:LEVEL]")]
        domains: Vec<String>,
        /// Claim names of any other domain too
        #[arg(long)]
        wildcard: bool,
        /// The version of the provider
        #[arg(long, default_value_t = 1)]
        version: u32,
        /// The file to write; the standard output if none is given
        #[arg(long, short, value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FileFormat {
    Csv,
    Jsonl,
}

impl From<FileFormat> for nsemail::entry::Format {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Csv => Self::Csv,
            FileFormat::Jsonl => Self::JsonLines,
        }
    }
}

#[derive(Debug, Args)]
pub struct Import {
    /// The file; - for the standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The format; by default what the file looks like
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,
    /// Calls in flight at a time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Check the file, register nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Register with the providers that are responsible, whatever the file says
    #[arg(long)]
    pub ignore_provider: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum States {
    Registered,
    Deregistered,
    All,
}

#[derive(Debug, Args)]
pub struct Export {
    /// The file to write; the standard output if none is given
    #[arg(long, short, value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// The format; by default what the name of the file says, or CSV
    #[arg(long, value_enum)]
    pub format: Option<FileFormat>,
    /// Only names of this namespace provider
    #[arg(long, value_name = "GUID")]
    pub provider: Option<Guid>,
    /// Only names in this state
    #[arg(long, value_enum, default_value_t = States::All)]
    pub state: States,
}

#[derive(Debug, Args)]
pub struct Demo {
    /// Show every event of the kernel, not only those that tell the story
    #[arg(long, short)]
    pub verbose: bool,
}

fn address(text: &str) -> Result<NormalCsAddr, String> {
    notation::parse(text).map_err(|error| error.to_string())
}

fn flags(text: &str) -> Result<LookupFlags, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let parsed = digits.map_or_else(|| text.parse(), |digits| u32::from_str_radix(digits, 16));
    parsed
        .map(LookupFlags::from_bits_retain)
        .map_err(|error| error.to_string())
}
