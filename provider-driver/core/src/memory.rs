//! The pool tags of this driver. A debugger shows by them what the driver's memory is used for.

use nsemail_kernel::pool::{Pool, tag};

/// The driver's own state.
pub type Memory = Pool<{ tag(b"NspM") }>;
/// Records of stores, and the tables that find them.
pub type Records = Pool<{ tag(b"NspR") }>;
/// Sessions and open look-ups.
pub type Open = Pool<{ tag(b"NspO") }>;
/// Changes that wait for the journal, and what is written to it.
pub type Calls = Pool<{ tag(b"NspC") }>;
/// NMR registrations and bindings.
pub type Modules = Pool<{ tag(b"NspN") }>;
/// What the framework allocates for the driver.
pub const FRAMEWORK_TAG: u32 = tag(b"NspF");
