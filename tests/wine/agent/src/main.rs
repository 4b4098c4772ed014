//! A program under Wine that does what a scenario tells it; see the library for the messages.
//!
//! With the argument [`nsemail_agent::LIMITED`] it does so without the rights of an administrator.

#[cfg(windows)]
mod device;
#[cfg(windows)]
mod limited;
#[cfg(windows)]
mod process;
#[cfg(windows)]
mod registry;
#[cfg(windows)]
mod repeat;
#[cfg(windows)]
mod serve;
#[cfg(windows)]
mod service;

#[cfg(windows)]
fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == nsemail_agent::LIMITED) {
        return limited::run_again();
    }
    serve::serve()
}

#[cfg(not(windows))]
fn main() {
    eprintln!("this program is for Wine");
    std::process::exit(2);
}

/// A string as Win32 takes it.
#[cfg(windows)]
fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// What `GetLastError` says.
#[cfg(windows)]
fn last_error() -> u32 {
    // SAFETY: the function asks for nothing.
    unsafe { windows_sys::Win32::Foundation::GetLastError() }
}
