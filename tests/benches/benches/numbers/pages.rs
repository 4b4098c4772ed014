//! The pages of memory that all contenders have.
//!
//! Windows maps the initial part of its nonpaged pool with large pages (Windows Internals, 7th edition, part 1, "Large
//! and small pages"). A program here gets pages of 4 KiB, unless it asks, and then each read of a large store waits for its
//! page to be found: half as long again as for the line itself, and differently in each run. So the C library's
//! allocator is told to ask for pages of 2 MiB. It reads that from the environment when a program begins, so this one
//! begins anew. `--small-pages` leaves it at what programs get.

use std::env;
use std::fs;
#[cfg(unix)]
use std::process::Command;

#[cfg(unix)]
use anyhow::Context as _;
use anyhow::Result;
#[cfg(not(unix))]
use anyhow::bail;
use nsemail_benches::Options;

/// What the allocator reads.
const TUNABLES: &str = "GLIBC_TUNABLES";
/// Asks for large pages; since version 2.35.
const LARGE: &str = "glibc.malloc.hugetlb=1";

/// Begins this program anew with large pages if there are any and they are wanted; otherwise answers the pages' size.
pub fn arrange(options: &Options) -> Result<&'static str> {
    if let Ok(tunables) = env::var(TUNABLES) {
        let large = tunables.split(':').any(|tunable| tunable == LARGE);
        return Ok(if large && offered() { "2 MiB" } else { "4 KiB" });
    }
    if options.small_pages || !offered() {
        return Ok(if is_always() { "2 MiB" } else { "4 KiB" });
    }
    begin_anew()
}

/// Whether the system gives large pages to who asks.
fn offered() -> bool {
    cfg!(target_env = "gnu") && policy().is_some_and(|policy| !policy.contains("[never]"))
}

/// Whether the system gives large pages to all, also to who does not ask.
fn is_always() -> bool {
    policy().is_some_and(|policy| policy.contains("[always]"))
}

/// Whom the system gives large pages.
fn policy() -> Option<String> {
    fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").ok()
}

/// The same program with the same command line, in the place of this one. Comes back only if that fails.
#[cfg(unix)]
fn begin_anew() -> Result<&'static str> {
    use std::os::unix::process::CommandExt as _;

    let mut anew = Command::new(env::current_exe()?);
    let error = anew.args(env::args_os().skip(1)).env(TUNABLES, LARGE).exec();
    Err(error).context("the program does not begin anew")
}

#[cfg(not(unix))]
fn begin_anew() -> Result<&'static str> {
    bail!("only Unix offers large pages to this program")
}
