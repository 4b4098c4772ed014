//! The pool tags of this driver, one per kind of memory, so that a debugger tells them apart.

use nsemail_kernel::pool::{Pool, tag};

/// The driver's one long-lived structure, threads, registrations.
pub type ServicePool = Pool<{ tag(b"NscD") }>;
/// The catalogue and what is routed by it.
pub type CatalogPool = Pool<{ tag(b"NscC") }>;
/// Bindings.
pub type BindingPool = Pool<{ tag(b"NscB") }>;
/// Sessions and their look-ups.
pub type SessionPool = Pool<{ tag(b"NscS") }>;
/// Calls in progress.
pub type CallPool = Pool<{ tag(b"NscT") }>;
/// Queries and records on their way.
pub type BufferPool = Pool<{ tag(b"NscQ") }>;
/// The ring of events.
pub type EventPool = Pool<{ tag(b"NscE") }>;
