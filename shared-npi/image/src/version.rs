//! The version resource: what the properties of the file show, and what installers compare.

use std::fmt::Write as _;
use std::num::ParseIntError;

/// What the resource says.
pub struct VersionResource {
    /// The name of the file.
    pub file: String,
    /// What it is.
    pub description: String,
    /// `major.minor.patch`, perhaps with more behind a hyphen.
    pub version: String,
    /// The licence, as SPDX writes it.
    pub license: String,
    /// Whether the file was built for debugging.
    pub debug: bool,
}

impl VersionResource {
    /// The resource script. Numbers stand for the constants of `winver.h`, so that nothing need be included.
    ///
    /// # Errors
    /// When the version is not made of numbers.
    pub fn script(&self) -> Result<String, ParseIntError> {
        let release = self.version.split(['-', '+']).next().unwrap_or_default();
        let mut parts = [0u16; 4];
        for (part, text) in parts.iter_mut().zip(release.split('.')) {
            *part = text.parse()?;
        }
        let [major, minor, patch, build] = parts;
        let flags = u8::from(self.debug);
        // FILEOS: NT. FILETYPE and FILESUBTYPE: a driver, of no particular kind of device.
        let mut script = format!(
            "1 VERSIONINFO\n\
             FILEVERSION {major},{minor},{patch},{build}\n\
             PRODUCTVERSION {major},{minor},{patch},{build}\n\
             FILEFLAGSMASK 0x3F\n\
             FILEFLAGS {flags}\n\
             FILEOS 0x40004\n\
             FILETYPE 3\n\
             FILESUBTYPE 7\n\
             BEGIN\nBLOCK \"StringFileInfo\"\nBEGIN\nBLOCK \"040904B0\"\nBEGIN\n"
        );
        let file_version = format!("{major}.{minor}.{patch}.{build}");
        for (name, value) in [
            ("CompanyName", "NsEmail"),
            ("FileDescription", &self.description),
            ("FileVersion", &file_version),
            ("InternalName", &self.file),
            ("LegalCopyright", &self.license),
            ("OriginalFilename", &self.file),
            ("ProductName", "NsEmail"),
            ("ProductVersion", &self.version),
        ] {
            // A quotation mark is written twice; there is no other special letter that a manifest would have.
            let value = value.replace('"', "\"\"");
            // Writing to a string cannot fail.
            let _ = writeln!(script, "VALUE \"{name}\", \"{value}\"");
        }
        script.push_str(
            "END\nEND\nBLOCK \"VarFileInfo\"\nBEGIN\nVALUE \"Translation\", 0x409, 1200\nEND\nEND\n",
        );
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_version(version: &str) -> Result<String, ParseIntError> {
        let resource = VersionResource {
            file: "a.sys".into(),
            description: "The \"a\" driver".into(),
            version: version.into(),
            license: "MIT".into(),
            debug: false,
        };
        resource.script()
    }

    #[test]
    fn the_numbers_of_the_version_are_those_of_the_package() {
        let script = of_version("1.22.3-beta.1").unwrap();
        assert!(script.contains("FILEVERSION 1,22,3,0\n"), "{script}");
        assert!(
            script.contains("VALUE \"ProductVersion\", \"1.22.3-beta.1\"\n"),
            "{script}"
        );
        assert!(of_version("1.x.3").is_err());
    }

    #[test]
    fn quotation_marks_do_not_end_a_string() {
        let script = of_version("1.0.0").unwrap();
        assert!(
            script.contains("VALUE \"FileDescription\", \"The \"\"a\"\" driver\"\n"),
            "{script}"
        );
    }
}
