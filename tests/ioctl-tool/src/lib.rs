//! Programs' side of the control devices: what `nsemail` does, as a library.
//!
//! - [`transport`]: how a request reaches a driver: through `DeviceIoControl` on Windows, or into a
//!   simulated machine in the same process;
//! - [`client`]: the requests of both devices, with owned answers;
//! - [`administration`]: the requests of administration;
//! - [`notation`]: how addresses are written by people;
//! - [`entry`] and [`transfer`]: what `import` reads and `export` writes;
//! - [`error`]: what can go wrong, and the exit codes for it.

pub mod administration;
pub mod client;
pub mod entry;
pub mod error;
pub mod notation;
pub mod record;
pub mod transfer;
pub mod transport;

pub use client::{AdminClient, Client};
pub use error::{Error, ExitCode};
pub use record::{Registration, StoredRecord};
pub use transport::{System, Transport, TransportError};
