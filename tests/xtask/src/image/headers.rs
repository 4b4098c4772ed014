//! What the headers of an image say: entry, sections, flags, size of the code.

use object::LittleEndian as Le;
use object::pe;
use object::read::pe::ImageNtHeaders as _;

use super::{Image, Report};

/// The entry point of a KMDF driver: it binds the image to the framework first.
const ENTRY: &str = "FxDriverEntry";
/// Of the sections that hold code.
const CODE_BUDGET: u32 = 160 * 1024;

const FLAGS: [(pe::DllFlags, &str); 4] = [
    (
        pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA,
        "high-entropy addresses",
    ),
    (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "dynamic base"),
    (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX"),
    (pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, "integrity check"),
];

pub fn check(image: &Image<'_>, report: &mut Report) {
    let headers = image.file.nt_headers();
    let optional = headers.optional_header();

    let entry = image
        .map
        .at(optional.address_of_entry_point.get(Le))
        .unwrap_or("an unknown symbol");
    report.number("entry", entry);
    report.require(entry == ENTRY, || {
        format!("the entry point is {entry}, not {ENTRY}")
    });

    let subsystem = optional.subsystem.get(Le);
    report.require(subsystem == pe::IMAGE_SUBSYSTEM_NATIVE, || {
        format!("the subsystem is {subsystem}, not native")
    });

    let flags = optional.dll_characteristics.get(Le);
    for (flag, name) in FLAGS {
        report.require(flags.0 & flag.0 != 0, || {
            format!("the flag for {name} is not set")
        });
    }
    report.number("flags", FLAGS.map(|(_, name)| name).join(", "));

    let relocations = image.file.data_directory(pe::IMAGE_DIRECTORY_ENTRY_BASERELOC);
    let relocations = relocations.map_or(0, |directory| directory.size.get(Le));
    report.number("relocations", format!("{relocations} bytes"));
    let stripped = headers.file_header().characteristics.get(Le).0 & pe::IMAGE_FILE_RELOCS_STRIPPED.0 != 0;
    report.require(relocations > 0 && !stripped, || "there are no relocations".into());

    let mut code = 0;
    let mut sections = Vec::new();
    for section in image.file.section_table().iter() {
        let name = String::from_utf8_lossy(section.raw_name()).into_owned();
        let flags = section.characteristics.get(Le);
        let size = section.virtual_size.get(Le);
        let has = |flag: pe::SectionFlags, letter| if flags.0 & flag.0 != 0 { letter } else { "" };
        let executable = has(pe::IMAGE_SCN_MEM_EXECUTE, "x");
        let writable = has(pe::IMAGE_SCN_MEM_WRITE, "w");
        sections.push(format!("{name} {size} r{writable}{executable}"));
        report.require(executable.is_empty() || writable.is_empty(), || {
            format!("section {name} is both writable and executable")
        });
        if !executable.is_empty() {
            code += size;
        }
    }
    report.number("sections", sections.join(", "));
    report.number("code", format!("{code} of at most {CODE_BUDGET} bytes"));
    report.require(code <= CODE_BUDGET, || {
        format!("{code} bytes of code are more than the budget of {CODE_BUDGET}")
    });
}
