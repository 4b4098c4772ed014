//! The table of what the driver images may import, `tests/wine/imports.tsv`.

use anyhow::{Context as _, Result, bail};

use crate::files;
use crate::paths::Paths;

/// The module that has what Wine's kernel lacks.
pub const COMPATIBILITY: &str = "ntcompat.sys";

/// A function that drivers may import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Its name.
    pub name: String,
    /// The image that has it on Windows.
    pub image: String,
    /// The first Windows version that has it.
    pub since: Version,
    /// Its documentation.
    pub page: String,
    /// The image that has it here, if it is another one.
    pub here: Option<&'static str>,
}

impl Import {
    /// The image that has it when the drivers run under Wine.
    pub fn home(&self) -> &str {
        self.here.unwrap_or(&self.image)
    }
}

/// Versions of Windows, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(usize);

/// The versions that a function of the table can be from.
const VERSIONS: [&str; 10] = [
    "Windows 2000",
    "Windows Vista",
    "Windows 7",
    "Windows 8",
    "Windows 10 1709",
    "Windows 10 1803",
    "Windows 10 1809",
    "Windows 10 2004",
    "Windows Server 2022",
    "Windows 11",
];

/// How many of them are newer than the oldest Windows that the drivers are for.
const NEWER: usize = 2;

impl Version {
    /// The name.
    pub fn name(self) -> &'static str {
        VERSIONS.get(self.0).copied().unwrap_or_default()
    }

    /// The oldest Windows that the drivers are for.
    pub const OLDEST_SUPPORTED: Self = Self(VERSIONS.len() - 1 - NEWER);

    fn parse(name: &str) -> Option<Self> {
        VERSIONS.iter().position(|known| *known == name).map(Self)
    }
}

/// Reads the table, and the list of what has another home here.
///
/// # Errors
/// When a file cannot be read or a line is not understood.
pub fn table(paths: &Paths) -> Result<Vec<Import>> {
    let file = paths.sources.join("imports.tsv");
    let mut imports = parse(&files::read(&file)?).with_context(|| file.display().to_string())?;
    let file = paths.sources.join("shims/ntcompat/exports.txt");
    for name in lines(&files::read(&file)?) {
        if let Some(import) = imports.iter_mut().find(|import| import.name == name) {
            import.here = Some(COMPATIBILITY);
        }
    }
    Ok(imports)
}

impl Import {
    /// Reads a line of the table.
    ///
    /// # Errors
    /// When it is not understood.
    pub fn parse(line: &str) -> Result<Self> {
        let columns = line.split('\t').collect::<Vec<_>>();
        let &[name, image, since, page] = columns.as_slice() else {
            bail!("not four columns: {line}");
        };
        let Some(since) = Version::parse(since) else {
            bail!(
                "{name} is from {since}, which is not one of {}",
                VERSIONS.join(", ")
            );
        };
        Ok(Self {
            name: name.to_owned(),
            image: image.to_owned(),
            since,
            page: page.to_owned(),
            here: None,
        })
    }
}

fn parse(text: &str) -> Result<Vec<Import>> {
    let mut imports = Vec::<Import>::new();
    for line in lines(text) {
        let import = Import::parse(line)?;
        if imports.iter().any(|known| known.name == import.name) {
            bail!("{} is there twice", import.name);
        }
        imports.push(import);
    }
    Ok(imports)
}

/// The lines that are neither empty nor comments.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn sources_below(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources_below(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_refused() {
        assert!(parse("a\tb\tWindows 8").is_err());
        assert!(parse("a\tb\tWindows 12\tpage").is_err());
        assert!(parse("a\tb\tWindows 8\tpage\na\tc\tWindows 8\tpage").is_err());
        assert!(parse("a\tb\tWindows 8\tpage\n# c\n").is_ok());
    }

    #[test]
    fn the_table_has_only_what_the_oldest_windows_has_of_images_that_drivers_may_use() {
        assert_eq!(Version::OLDEST_SUPPORTED.name(), "Windows 10 2004");
        let table = table(&Paths::of_this_repository()).unwrap();
        for Import {
            name, image, since, ..
        } in table
        {
            assert!(
                since <= Version::OLDEST_SUPPORTED,
                "{name} is from {}",
                since.name()
            );
            assert!(
                ["ntoskrnl.exe", "hal.dll", "netio.sys", "wdfldr.sys", "cng.sys"].contains(&image.as_str()),
                "{name} is of {image}"
            );
        }
    }

    #[test]
    fn every_kernel_function_that_the_drivers_name_is_in_the_table_and_has_a_page() {
        let paths = Paths::of_this_repository();
        let table = table(&paths).unwrap();
        let mut source = String::new();
        sources_below(&paths.repository.join("shared-npi/kernel/src"), &mut source);

        for part in source.split("ntddk::").skip(1) {
            let names = part
                .strip_prefix('{')
                .map_or(part, |list| list.split('}').next().unwrap_or(list));
            let list = part.starts_with('{');
            for name in names
                .split(|letter: char| !letter.is_alphanumeric())
                .filter(|name| !name.is_empty())
            {
                assert!(
                    table.iter().any(|import| import.name == name),
                    "{name} is not in the table"
                );
                if !list {
                    break;
                }
            }
        }
        for import in table {
            let page = import.page.to_lowercase();
            assert!(
                page.starts_with("https://learn.microsoft.com/"),
                "{}",
                import.name
            );
        }
    }
}
