//! The version resource: there, and saying what the package says.

use anyhow::{Context as _, Result};
use object::LittleEndian as Le;
use object::pe;

use super::{Image, Report};

/// What the fixed part of a version resource starts with.
const SIGNATURE: [u8; 4] = 0xFEEF_04BD_u32.to_le_bytes();

pub fn check(image: &Image<'_>, report: &mut Report) -> Result<()> {
    let Some(resource) = resource(image)? else {
        report.fault("there is no version resource");
        return Ok(());
    };
    // The fixed part: signature, version of the structure, file version (minor in the low half), product version.
    let fixed = resource.windows(4).position(|window| window == SIGNATURE);
    let fixed = fixed.and_then(|at| resource.get(at + 8..at + 16));
    let fixed = fixed.context("the version resource has no fixed part")?;
    let part = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let version = format!("{}.{}.{}", part(2), part(0), part(6));
    report.number("version", &version);
    // All packages of the workspace have one version.
    let wanted = env!("CARGO_PKG_VERSION");
    report.require(version == wanted, || {
        format!("the version is {version}, not {wanted}")
    });

    let has = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        resource.windows(units.len()).any(|window| window == units)
    };
    for text in ["FileDescription", "OriginalFilename", &image.name] {
        report.require(has(text), || format!("the version resource does not have {text}"));
    }
    Ok(())
}

/// The bytes of the first version resource.
fn resource<'a>(image: &Image<'a>) -> Result<Option<&'a [u8]>> {
    let sections = image.file.section_table();
    let directory = image
        .file
        .data_directories()
        .resource_directory(image.file.data(), &sections)?;
    let Some(directory) = directory else {
        return Ok(None);
    };
    // type, name, language
    for of_type in directory.root()?.entries {
        if of_type.name_or_id().id() != Some(pe::RT_VERSION) {
            continue;
        }
        let names = of_type
            .data(directory)?
            .table()
            .context("the type of a resource has no names")?;
        let name = names
            .entries
            .first()
            .context("the type of a resource has no name")?;
        let languages = name
            .data(directory)?
            .table()
            .context("the name of a resource has no languages")?;
        let language = languages
            .entries
            .first()
            .context("the name of a resource has no language")?;
        let data = language
            .data(directory)?
            .data()
            .context("a resource has no data")?;
        let bytes = sections.pe_data_at(image.file.data(), data.offset_to_data.get(Le));
        let size = usize::try_from(data.size.get(Le))?;
        return Ok(bytes.and_then(|bytes| bytes.get(..size)));
    }
    Ok(None)
}
