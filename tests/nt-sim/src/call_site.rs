//! Places in the code of drivers.
//!
//! A call site is captured for every pool allocation, so it must be cheap: a few return addresses, kept
//! once for all captures that are equal. Names, files and lines are looked up only when a person is to
//! read them.

mod frames;

use std::{collections::HashMap, ffi::c_void, fmt, path::Path, ptr, sync::Arc};

use foldhash::HashSet;

use crate::sync::StateLock;

/// A place in the code of a driver, and who called it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallSite(Arc<[usize]>);

/// How many return addresses are captured: enough to get through allocators and collections.
const CAPTURED: usize = 28;

/// Parts of the names of functions and files that only pass a call on: a person looks for the code
/// that called them. Inlined functions have no crate in their name, so files count too.
const PLUMBING_NAMES: &[&str] = &["backtrace::", "core::", "alloc::", "std::", "__rust", "__libc"];
const PLUMBING_FILES: &[&str] = &[
    "nt-sim/src/",
    "nt-sim/kmdf-model/src/",
    "nt-sim/nmr-model/src/",
    "shared-npi/alloc/src/",
    "shared-npi/kernel/src/pool",
    "/backtrace-",
    "allocator-api2",
    "hashbrown",
    "/rustc/",
    "/library/",
];

fn is_plumbing(name: &str, file: &str) -> bool {
    let name = name.trim_start_matches('<');
    PLUMBING_NAMES.iter().any(|known| name.starts_with(known))
        || PLUMBING_FILES.iter().any(|known| file.contains(known))
        || file.is_empty()
}

/// The folder that paths are shown relative to.
fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// How many lines of a call site are shown.
const SHOWN: usize = 4;

impl CallSite {
    /// Captures where the calling thread is.
    #[must_use]
    pub fn here() -> Self {
        let mut addresses = [0; CAPTURED];
        frames::fill(&mut addresses);
        Self::of(&addresses)
    }

    /// The beginning of a routine, given by its address.
    #[must_use]
    pub fn routine(address: usize) -> Self {
        // Addresses are taken for those to which calls return, and looked up one byte before.
        Self::of(&[address.saturating_add(1)])
    }

    fn of(addresses: &[usize]) -> Self {
        // Twice for each block of pool, so the hash counts.
        static KNOWN: StateLock<Option<HashSet<Arc<[usize]>>>> = StateLock::new(None);
        Self(KNOWN.with(|known| {
            let known = known.get_or_insert_default();
            known.get(addresses).cloned().unwrap_or_else(|| {
                let new: Arc<[usize]> = addresses.into();
                known.insert(Arc::clone(&new));
                new
            })
        }))
    }

    /// Returns the innermost functions of the driver with file and line, innermost first.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let addresses = self.0.iter().take_while(|address| **address != 0);
        let all: Vec<Lines> = addresses.map(|address| resolve(*address)).collect();
        let shown = |plumbing: bool| {
            all.iter()
                .flat_map(|lines| lines.iter())
                .filter(|line| plumbing || !line.plumbing)
                .take(SHOWN)
                .map(|line| line.text.clone())
                .collect::<Vec<_>>()
        };
        let lines = shown(false);
        if lines.is_empty() { shown(true) } else { lines }
    }
}

/// A function at an address, with file and line.
#[derive(Debug)]
struct Line {
    plumbing: bool,
    text: String,
}

/// The functions at an address, those that were inlined there first.
type Lines = Arc<[Line]>;

/// Looks an address up; each is looked up once, because that is slow.
fn resolve(address: usize) -> Lines {
    static KNOWN: StateLock<Option<HashMap<usize, Lines>>> = StateLock::new(None);
    if let Some(lines) = KNOWN.with(|known| known.get_or_insert_default().get(&address).cloned()) {
        return lines;
    }
    let mut lines = Vec::new();
    let place: *mut c_void = ptr::without_provenance_mut(address);
    backtrace::resolve(place, |symbol| {
        let Some(name) = symbol.name() else { return };
        let name = format!("{name:#}");
        let file = symbol.filename().map_or_else(String::new, |file| {
            let file = file.strip_prefix(workspace()).unwrap_or(file);
            file.display().to_string().replace('\\', "/")
        });
        let plumbing = is_plumbing(&name, &file);
        let line = symbol.lineno().unwrap_or(0);
        lines.push(Line {
            plumbing,
            text: format!("{name} ({file}:{line})"),
        });
    });
    let lines: Lines = lines.into();
    KNOWN.with(|known| known.get_or_insert_default().insert(address, Arc::clone(&lines)));
    lines
}

impl fmt::Debug for CallSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lines()).finish()
    }
}
