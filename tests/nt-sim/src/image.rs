//! Driver images: the code that a machine can load.

use std::{collections::HashSet, fmt};

use crate::{DRIVER_OBJECT, NTSTATUS, PCUNICODE_STRING, sync::StateLock};

/// A driver's entry point.
pub type DriverEntry =
    unsafe extern "system" fn(driver: *mut DRIVER_OBJECT, registry_path: PCUNICODE_STRING) -> NTSTATUS;

/// A driver that is linked into the process and can be loaded as if from a `.sys` file.
#[derive(Clone, Debug)]
pub struct DriverImage {
    /// The name that an INF file gives to the image, for example `nsemail_client.sys`.
    pub file_name: String,
    /// The driver's entry point.
    pub entry: DriverEntry,
    /// What the pool tags of this driver begin with, so that pool can be attributed to it whoever
    /// happens to allocate or free it.
    pub pool_tag_prefix: [u8; 3],
}

/// The name of a driver image; cheap to copy and compare.
///
/// Each different name is kept once for the life of the process: names are copied with every callback,
/// on many threads at once, and a count of users would be shared by all of them.
#[derive(Clone, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::derived_hash_with_manual_eq,
    reason = "equal names are one name, and so have one hash"
)]
pub struct DriverName(&'static str);

impl PartialEq for DriverName {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl DriverName {
    /// Makes the name of an image; names differ not by case.
    #[must_use]
    pub fn new(file_name: &str) -> Self {
        static NAMES: StateLock<Option<HashSet<&'static str>>> = StateLock::new(None);
        let name = file_name.to_lowercase();
        Self(NAMES.with(|names| {
            let names = names.get_or_insert_default();
            names.get(name.as_str()).copied().unwrap_or_else(|| {
                let name: &'static str = name.leak();
                names.insert(name);
                name
            })
        }))
    }

    /// Returns the name as text.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}
