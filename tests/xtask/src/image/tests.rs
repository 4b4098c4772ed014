//! The checks find what they are for: each rule against an image that breaks it and no other.

use object::pe;

use super::{Image, Map, PeFile64, Report, code, headers, imports};
use crate::paths::Paths;
use crate::wine::imports::{Import, table};

const BASE: u64 = 0x1_4000_0000;
const CODE: u32 = 0x1000;
const DATA: u32 = 0x2000;

/// A small image: a section of code, and one of data with the imports.
struct Sample {
    entry: &'static str,
    dll_flags: u16,
    code_flags: u32,
    code_size: u32,
    relocations: u32,
    imports: &'static [(&'static str, &'static str)],
    /// A function besides the entry point.
    function: &'static str,
}

const SOUND: Sample = Sample {
    entry: "FxDriverEntry",
    dll_flags: pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA.0
        | pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE.0
        | pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT.0
        | pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY.0,
    code_flags: pe::IMAGE_SCN_MEM_READ.0 | pe::IMAGE_SCN_MEM_EXECUTE.0,
    code_size: 0x100,
    relocations: 12,
    imports: &[("ntoskrnl.exe", "ZwClose"), ("ntcompat.sys", "ExAllocatePool2")],
    function: "nmr::attach",
};

/// Writes little-endian numbers.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(&mut self, numbers: &[u16]) -> &mut Self {
        self.0
            .extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self
    }

    fn u32(&mut self, numbers: &[u32]) -> &mut Self {
        self.0
            .extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self
    }

    fn u64(&mut self, numbers: &[u64]) -> &mut Self {
        self.0
            .extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        self
    }

    /// Fills up with zeroes.
    fn up_to(&mut self, length: u32) -> &mut Self {
        let length = usize::try_from(length).unwrap();
        assert!(self.0.len() <= length);
        self.0.resize(length, 0);
        self
    }
}

impl Sample {
    /// The bytes of the section of data: a descriptor for each import, and what they lead to.
    fn data(&self) -> Vec<u8> {
        const ONE: u32 = 0x80;
        let mut descriptors = Bytes::default();
        let mut parts = Bytes::default();
        let start = 20 * (u32::try_from(self.imports.len()).unwrap() + 1);
        for (number, (from, name)) in (0..).zip(self.imports) {
            let part = start + number * ONE;
            let [thunks, hint, image] = [part, part + 16, part + 0x40].map(|place| DATA + place);
            descriptors.u32(&[thunks, 0, 0, image, thunks]);
            parts.u64(&[u64::from(hint), 0]).u16(&[0]).0.extend(name.bytes());
            parts.up_to(number * ONE + 0x40).0.extend(from.bytes());
            parts.up_to((number + 1) * ONE);
        }
        descriptors.up_to(start).0.extend(parts.0);
        descriptors.0
    }

    fn bytes(&self) -> Vec<u8> {
        let data = self.data();
        let data_size = u32::try_from(data.len()).unwrap();
        let mut image = Bytes::default();
        image.u16(&[u16::from_le_bytes(*b"MZ")]).up_to(0x3C).u32(&[0x40]);
        image.u32(&[u32::from_le_bytes(*b"PE\0\0")]);
        // machine, sections, time, symbols, their number, size of the optional header, characteristics
        image.u16(&[0x8664, 2]).u32(&[0, 0, 0]).u16(&[240, 0x22]);
        // magic, linker, sizes of code, data and the rest, entry, start of the code
        image
            .u16(&[0x20B, 0])
            .u32(&[self.code_size, data_size, 0, CODE, CODE])
            .u64(&[BASE])
            .u32(&[0x1000, 0x200])
            .u16(&[10, 0, 0, 0, 10, 0])
            .u32(&[0, 0x4000, 0x200, 0])
            .u16(&[pe::IMAGE_SUBSYSTEM_NATIVE.0, self.dll_flags])
            .u64(&[0; 4])
            .u32(&[0, 16]);
        for directory in 0..16 {
            image.u32(&match directory {
                1 => [DATA, data_size],
                5 if self.relocations > 0 => [DATA, self.relocations],
                _ => [0, 0],
            });
        }
        // name, virtual size and address, size and place in the file, nothing, flags
        image.0.extend(*b".text\0\0\0");
        image.u32(&[self.code_size, CODE, 0x200, 0x200, 0, 0, 0, self.code_flags]);
        image.0.extend(*b".rdata\0\0");
        image.u32(&[data_size, DATA, 0x400, 0x400, 0, 0, 0, pe::IMAGE_SCN_MEM_READ.0]);
        image.up_to(0x400).0.extend(data);
        image.up_to(0x800).0.clone()
    }

    /// What the checks find, but for those of version and stack.
    fn faults(&self) -> Vec<String> {
        let bytes = self.bytes();
        let symbol = |name, offset| format!(" 0001:00000000  {name}  {:016x}  a.obj\n", BASE + offset);
        let code = u64::from(CODE);
        let map = [symbol(self.entry, code), symbol(self.function, code + 0x10)].concat();
        let image = Image {
            name: "sample.sys".to_owned(),
            file: PeFile64::parse(&*bytes).unwrap(),
            map: Map::parse(&map, BASE).unwrap(),
        };
        let mut report = Report::default();
        headers::check(&image, &mut report);
        imports::check(&image, &kept(), &mut report).unwrap();
        code::check(&image, &mut report).unwrap();
        report.faults
    }
}

/// The table of imports, and a function that is newer than the oldest Windows.
fn kept() -> Vec<Import> {
    let mut kept = table(&Paths::of_this_repository()).unwrap();
    kept.extend(Import::parse("ExNewcomer\tntoskrnl.exe\tWindows 11\tpage"));
    kept
}

#[track_caller]
fn assert_fault(sample: &Sample, fault: &str) {
    let faults = sample.faults();
    assert!(
        matches!(faults.as_slice(), [only] if only.contains(fault)),
        "not only `{fault}`: {faults:?}"
    );
}

#[test]
fn a_sound_image_has_no_fault() {
    assert_eq!(SOUND.faults(), Vec::<String>::new());
}

#[test]
fn an_entry_point_other_than_the_frameworks_is_a_fault() {
    let sample = Sample {
        entry: "DriverEntry",
        ..SOUND
    };
    assert_fault(&sample, "the entry point is DriverEntry");
}

#[test]
fn each_flag_that_is_missing_is_a_fault() {
    for flag in (0..16)
        .map(|bit| 1 << bit)
        .filter(|bit| SOUND.dll_flags & bit != 0)
    {
        let sample = Sample {
            dll_flags: SOUND.dll_flags & !flag,
            ..SOUND
        };
        assert_fault(&sample, "is not set");
    }
}

#[test]
fn a_section_to_write_and_to_execute_is_a_fault() {
    let sample = Sample {
        code_flags: SOUND.code_flags | pe::IMAGE_SCN_MEM_WRITE.0,
        ..SOUND
    };
    assert_fault(&sample, "both writable and executable");
}

#[test]
fn no_relocations_are_a_fault() {
    let sample = Sample {
        relocations: 0,
        ..SOUND
    };
    assert_fault(&sample, "no relocations");
}

#[test]
fn more_code_than_the_budget_is_a_fault() {
    let sample = Sample {
        code_size: 160 * 1024 + 1,
        ..SOUND
    };
    assert_fault(&sample, "163841 bytes of code");
}

#[test]
fn an_import_that_is_not_kept_or_from_elsewhere_or_too_new_is_a_fault() {
    const IMPORTS: [(&[(&str, &str)], &str); 3] = [
        (&[("ntoskrnl.exe", "ExRaiseStatus")], "is not in the table"),
        (&[("hal.dll", "ZwClose")], "comes from hal.dll"),
        (&[("ntoskrnl.exe", "ExNewcomer")], "newer than Windows 10 2004"),
    ];
    for (imports, fault) in IMPORTS {
        assert_fault(&Sample { imports, ..SOUND }, fault);
    }
}

#[test]
fn code_that_formats_what_nobody_reads_or_must_not_run_out_of_memory_is_a_fault() {
    for (function, fault) in [
        (
            "core::fmt::float::float_to_decimal",
            "formats floating-point numbers",
        ),
        (
            "core::panicking::assert_failed_inner",
            "formats the message of a panic",
        ),
        ("core::result::unwrap_failed", "ends an unwrap"),
        (
            "alloc::alloc::handle_alloc_error",
            "ends an allocation that must not fail",
        ),
    ] {
        assert_fault(&Sample { function, ..SOUND }, fault);
    }
}
