//! Checks of the driver images that were built: what a loader, a verifier or a reviewer would refuse.
//!
//! Each check adds its numbers and its faults to a [`Report`]; all are made, and all faults told.

mod code;
mod headers;
mod imports;
mod map;
mod stack;
#[cfg(test)]
mod tests;
mod version;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use object::read::pe::PeFile64;

use crate::files;
use crate::paths::{DRIVERS, Paths};
use crate::wine;
use map::Map;

/// A driver image and the linker's map of it.
struct Image<'a> {
    /// The name of the file.
    name: String,
    file: PeFile64<'a>,
    map: Map,
}

/// What the checks of one image found.
#[derive(Default)]
struct Report {
    numbers: Vec<(&'static str, String)>,
    faults: Vec<String>,
}

impl Report {
    fn number(&mut self, what: &'static str, value: impl Into<String>) {
        self.numbers.push((what, value.into()));
    }

    fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// Adds a fault unless `holds`.
    fn require(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    fn print(&self, image: &str) {
        println!("{image}");
        for (what, value) in &self.numbers {
            println!("  {what:<24} {value}");
        }
        for fault in &self.faults {
            println!("  FAULT: {fault}");
        }
    }
}

/// Checks the images that `wine build` made, and prints what it found.
///
/// # Errors
/// When an image is missing, cannot be read as one, or has a fault.
pub fn check(paths: &Paths) -> Result<()> {
    let table = wine::imports::table(paths)?;
    let mut faults = 0;
    for driver in DRIVERS {
        let path = paths.out.join(format!("{driver}.sys"));
        let report = check_image(&path, &table).with_context(|| paths.shown(&path).to_string())?;
        report.print(&format!("{driver}.sys"));
        faults += report.faults.len();
    }
    println!(
        "The standard library in these images was built along with them, by {}; linked on Windows, sizes differ.",
        wine::toolchain::version()
    );
    if faults > 0 {
        bail!("{faults} faults in the driver images");
    }
    Ok(())
}

fn check_image(path: &Path, table: &[wine::imports::Import]) -> Result<Report> {
    if !path.exists() {
        bail!("there is no such file; `cargo xtask wine build` makes it");
    }
    let bytes = files::read_bytes(path)?;
    let file = PeFile64::parse(&*bytes).context("not a 64-bit PE image")?;
    let image = Image {
        name: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        map: Map::parse(
            &files::read(&path.with_extension("map"))?,
            file.nt_headers()
                .optional_header
                .image_base
                .get(object::LittleEndian),
        )?,
        file,
    };
    let mut report = Report::default();
    headers::check(&image, &mut report);
    imports::check(&image, table, &mut report)?;
    stack::check(&image, &mut report)?;
    code::check(&image, &mut report)?;
    version::check(&image, &mut report)?;
    Ok(report)
}
