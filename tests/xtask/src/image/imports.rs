//! Imports: only what the table has, and from nowhere else.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use object::LittleEndian as Le;
use object::read::pe::ImageThunkData as _;

use super::{Image, Report};
use crate::wine::imports::{Import, Version};

pub fn check(image: &Image<'_>, table: &[Import], report: &mut Report) -> Result<()> {
    let mut count = BTreeMap::<String, usize>::new();
    let mut newest = None;
    for (from, name) in imports(image)? {
        *count.entry(from.clone()).or_default() += 1;
        let Some(import) = table.iter().find(|import| import.name == name) else {
            report.fault(format!("{name} of {from} is not in the table of imports"));
            continue;
        };
        report.require(import.home().eq_ignore_ascii_case(&from), || {
            format!("{name} comes from {from}, not from {}", import.home())
        });
        report.require(import.since <= Version::OLDEST_SUPPORTED, || {
            format!(
                "{name} is from {}, newer than {}",
                import.since.name(),
                Version::OLDEST_SUPPORTED.name()
            )
        });
        newest = newest.max(Some(import.since));
    }
    let count = count
        .iter()
        .map(|(from, count)| format!("{from} {count}"))
        .collect::<Vec<_>>();
    report.number("imports", count.join(", "));
    report.number("runs from", newest.map_or("", Version::name));
    Ok(())
}

/// All imports: image and name.
fn imports(image: &Image<'_>) -> Result<Vec<(String, String)>> {
    let mut imports = Vec::new();
    let Some(import_table) = image.file.import_table()? else {
        bail!("the image has no imports");
    };
    let mut descriptors = import_table.descriptors()?;
    while let Some(descriptor) = descriptors.next()? {
        let from = import_table.name(descriptor.name.get(Le))?;
        let from = String::from_utf8_lossy(from).to_lowercase();
        let mut thunks = import_table.thunks(descriptor.original_first_thunk.get(Le))?;
        while let Some(thunk) = thunks.next::<object::pe::ImageNtHeaders64>()? {
            if thunk.is_ordinal() {
                bail!("an import of {from} has no name");
            }
            let (_, name) = import_table.hint_name(thunk.address())?;
            let name = std::str::from_utf8(name).context("the name of an import is not text")?;
            imports.push((from.clone(), name.to_owned()));
        }
    }
    Ok(imports)
}
