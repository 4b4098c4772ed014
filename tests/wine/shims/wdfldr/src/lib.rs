//! wdfldr.sys under Wine: the Kernel-Mode Driver Framework, by the model.
//!
//! On Windows this module finds the framework's library and connects a driver with it. Here it *is*
//! the framework: the table that a driver receives leads into [`kmdf_model`].
#![no_std]

extern crate alloc;

mod access;
mod bind;
mod host;
mod irp;
mod key;
mod names;
mod state;
mod table;

wine_kernel::dll_main!();
