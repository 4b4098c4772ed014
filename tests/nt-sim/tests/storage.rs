//! Registry and files: what the Zw services do, what lasts, and how a test holds an operation in flight.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "test code")]

#[path = "support/zw.rs"]
mod zw;

use std::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nt_sim::{
    _FILE_INFORMATION_CLASS as FileClass, _KEY_INFORMATION_CLASS as KeyClass,
    _KEY_VALUE_INFORMATION_CLASS as ValueClass, FILE_CREATE, FILE_GENERIC_READ, FILE_GENERIC_WRITE,
    FILE_OPEN, FILE_OPEN_IF, FILE_STANDARD_INFORMATION, IO_STATUS_BLOCK, Machine, Rule,
    files::{Fault, Operation},
    ntddk::*,
    ntstatus::NtStatus,
    registry::Value,
};
use zw::*;

const KEY: &str = r"\Registry\Machine\Software\Test";
const FILE: &str = r"\SystemRoot\test.dat";

#[test]
fn files_are_written_read_cut_and_measured() {
    on_both_volumes(|machine| {
        as_driver(machine, || {
            assert_eq!(
                open_file(FILE, RIGHTS, FILE_OPEN),
                Err(NtStatus::OBJECT_NAME_NOT_FOUND)
            );
            let file = open_file(FILE, RIGHTS, FILE_CREATE).unwrap();
            assert_eq!(write(file, 0, b"hello world"), Ok(11));
            // The end of the file, by the constant of ZwWriteFile.
            assert_eq!(write(file, -1, b"!"), Ok(1));
            assert_eq!(read(file, 6, 100).unwrap(), b"world!");
            assert_eq!(read(file, 12, 1), Err(NtStatus::END_OF_FILE));
            set(file, FileClass::FileEndOfFileInformation, &5_i64.to_le_bytes()).unwrap();
            assert_eq!(read(file, 0, 100).unwrap(), b"hello");
            set(file, FileClass::FileEndOfFileInformation, &7_i64.to_le_bytes()).unwrap();
            assert_eq!(read(file, 0, 100).unwrap(), b"hello\0\0");
            flush(file).unwrap();
            let mut block = IO_STATUS_BLOCK::default();
            let mut standard = FILE_STANDARD_INFORMATION::default();
            // SAFETY: all pointers are to locals of that size.
            let result = unsafe {
                ZwQueryInformationFile(
                    file,
                    &raw mut block,
                    (&raw mut standard).cast(),
                    u32::try_from(size_of::<FILE_STANDARD_INFORMATION>()).unwrap(),
                    FileClass::FileStandardInformation,
                )
            };
            assert_eq!(result, 0);
            // SAFETY: the call has filled in the number.
            assert_eq!(unsafe { standard.EndOfFile.QuadPart }, 7);
            close(file);
        });
        assert_eq!(
            machine.files().read(r"\??\c:\windows\TEST.DAT").unwrap(),
            b"hello\0\0"
        );
    });
}

#[test]
fn rights_and_sharing_are_checked() {
    on_both_volumes(|machine| {
        as_driver(machine, || {
            let reader = FILE_GENERIC_READ;
            let writer = open_file(FILE, FILE_GENERIC_WRITE, FILE_OPEN_IF).unwrap();
            assert_eq!(read(writer, 0, 1), Err(NtStatus::ACCESS_DENIED));
            // Readers do not allow the writer that is there, and writers are not allowed by it.
            assert_eq!(
                open_file(FILE, reader, FILE_OPEN),
                Err(NtStatus::SHARING_VIOLATION)
            );
            assert_eq!(
                open_file(FILE, FILE_GENERIC_WRITE, FILE_OPEN),
                Err(NtStatus::SHARING_VIOLATION)
            );
            close(writer);
            let first = open_file(FILE, reader, FILE_OPEN).unwrap();
            let second = open_file(FILE, reader, FILE_OPEN).unwrap();
            assert_eq!(write(second, 0, b"x"), Err(NtStatus::ACCESS_DENIED));
            assert_eq!(flush(second), Err(NtStatus::ACCESS_DENIED));
            close(first);
            close(second);
        });
    });
}

#[test]
fn a_file_takes_the_place_of_another_by_renaming() {
    on_both_volumes(|machine| {
        machine.files().write(r"\SystemRoot\old.dat", b"old").unwrap();
        as_driver(machine, || {
            let file = open_file(r"\SystemRoot\new.tmp", RIGHTS, FILE_CREATE).unwrap();
            write(file, 0, b"new").unwrap();
            assert_eq!(
                rename(file, "OLD.DAT", false),
                Err(NtStatus::OBJECT_NAME_COLLISION)
            );
            rename(file, "OLD.DAT", true).unwrap();
            // The handle is still good for the file under its new name.
            write(file, 3, b"er").unwrap();
            close(file);
        });
        assert_eq!(machine.files().read(r"\SystemRoot\old.dat").unwrap(), b"newer");
        assert!(!machine.files().exists(r"\SystemRoot\new.tmp"));
    });
}

#[test]
fn a_deleted_file_goes_with_its_last_handle() {
    on_both_volumes(|machine| {
        as_driver(machine, || {
            let file = open_file(FILE, RIGHTS, FILE_CREATE).unwrap();
            set(file, FileClass::FileDispositionInformation, &[1]).unwrap();
            assert_eq!(
                open_file(FILE, FILE_GENERIC_READ, FILE_OPEN),
                Err(NtStatus::DELETE_PENDING)
            );
            assert!(machine.files().exists(FILE));
            close(file);
            assert!(!machine.files().exists(FILE));
            machine.files().write(FILE, b"x").unwrap();
            let mut name = Name::new(FILE);
            let mut attributes = name.attributes(ptr::null_mut());
            // SAFETY: the attributes are valid.
            assert_eq!(unsafe { ZwDeleteFile(&raw mut attributes) }, 0);
            assert!(!machine.files().exists(FILE));
        });
    });
}

#[test]
fn registry_and_files_last_from_one_machine_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let values = [
        ("Text", Value::sz("grüße")),
        ("Number", Value::dword(7)),
        ("Bytes", Value::binary(vec![0, 1, 255])),
        ("List", Value::multi_sz(["a", "b"])),
        (
            "Broken text",
            Value {
                kind: 1,
                data: vec![1, 2, 3],
            },
        ),
        ("", Value::sz("the default value")),
    ];
    let machine = Machine::builder().state_dir(folder.path()).build().unwrap();
    for (name, value) in &values {
        machine
            .registry()
            .put(&format!(r"{KEY}\Sub key"), name, value.clone())
            .unwrap();
    }
    let volatile = machine.registry().create_path(KEY).unwrap();
    machine
        .registry()
        .create_key(Some(volatile), "Gone", true)
        .unwrap();
    machine.files().write(FILE, b"lasting").unwrap();
    // Even without a shutdown.
    drop(machine);

    let machine = Machine::builder().state_dir(folder.path()).build().unwrap();
    let key = machine
        .registry()
        .open_key(None, &format!(r"{KEY}\SUB KEY").to_uppercase())
        .unwrap();
    let found = machine.registry().values(key).unwrap();
    let expected: Vec<(String, Value)> = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(
        machine
            .registry()
            .subkeys(machine.registry().open_key(None, KEY).unwrap())
            .unwrap(),
        ["Sub key"]
    );
    assert_eq!(machine.files().read(FILE).unwrap(), b"lasting");
    machine.shutdown().assert_clean();
}

#[test]
fn a_registry_file_that_is_damaged_stops_the_machine_from_being_made() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("registry.json"), "{ \"name\": ").unwrap();
    assert!(Machine::builder().state_dir(folder.path()).build().is_err());
}

#[test]
fn keys_are_made_listed_and_deleted() {
    let machine = Machine::builder().in_memory().build().unwrap();
    machine.registry().put(KEY, "Value", Value::dword(3)).unwrap();
    as_driver(&machine, || {
        let all = 0x000F_003F;
        let open = |path: &str, root, access| {
            let mut name = Name::new(path);
            let mut attributes = name.attributes(root);
            let mut handle = ptr::null_mut();
            // SAFETY: all pointers are to locals.
            let result = unsafe { ZwOpenKey(&raw mut handle, access, &raw mut attributes) };
            status(result, handle)
        };
        let create = |path: &str, root| {
            let mut name = Name::new(path);
            let mut attributes = name.attributes(root);
            let mut handle = ptr::null_mut();
            let mut disposition = 0;
            // SAFETY: all pointers are to locals.
            let result = unsafe {
                ZwCreateKey(
                    &raw mut handle,
                    all,
                    &raw mut attributes,
                    0,
                    ptr::null_mut(),
                    0,
                    &raw mut disposition,
                )
            };
            status(result, (handle, disposition))
        };
        let key = open(KEY, ptr::null_mut(), all).unwrap();
        assert_eq!(open("Nothing", key, all), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
        let (zebra, disposition) = create("zebra", key).unwrap();
        assert_eq!(disposition, 1);
        let (ant, _) = create("Ant", key).unwrap();
        let (again, disposition) = create("ZEBRA", key).unwrap();
        assert_eq!(disposition, 2);
        close(again);

        let mut buffer = [0_u8; 64];
        let mut needed = 0;
        let mut names = Vec::new();
        for index in 0.. {
            // SAFETY: all pointers are to locals.
            let result = unsafe {
                ZwEnumerateKey(
                    key,
                    index,
                    KeyClass::KeyBasicInformation,
                    buffer.as_mut_ptr().cast(),
                    64,
                    &raw mut needed,
                )
            };
            if NtStatus(result) == NtStatus::NO_MORE_ENTRIES {
                break;
            }
            assert_eq!(result, 0);
            let units: Vec<u16> = buffer[16..usize::try_from(needed).unwrap()]
                .chunks(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            names.push(String::from_utf16(&units).unwrap());
        }
        assert_eq!(names, ["Ant", "zebra"]);

        // A buffer for the fixed part only gets the beginning, a smaller one nothing.
        let mut name = Name::new("VALUE");
        for (length, expected) in [
            (16, NtStatus::SUCCESS),
            (12, NtStatus::BUFFER_OVERFLOW),
            (11, NtStatus::BUFFER_TOO_SMALL),
        ] {
            // SAFETY: all pointers are to locals.
            let result = unsafe {
                ZwQueryValueKey(
                    key,
                    &raw mut name.string,
                    ValueClass::KeyValuePartialInformation,
                    buffer.as_mut_ptr().cast(),
                    length,
                    &raw mut needed,
                )
            };
            assert_eq!((NtStatus(result), needed), (expected, 16));
        }
        assert_eq!(buffer[..16], [0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0]);

        let weak = open(KEY, ptr::null_mut(), 1).unwrap();
        // SAFETY: the name is valid.
        let result = unsafe { ZwDeleteValueKey(weak, &raw mut name.string) };
        assert_eq!(NtStatus(result), NtStatus::ACCESS_DENIED);
        // SAFETY: has no conditions.
        assert_eq!(NtStatus(unsafe { ZwDeleteKey(key) }), NtStatus::CANNOT_DELETE);
        for child in [zebra, ant] {
            // SAFETY: has no conditions.
            assert_eq!(unsafe { ZwDeleteKey(child) }, 0);
            // SAFETY: the name is valid.
            let result = unsafe { ZwDeleteValueKey(child, &raw mut name.string) };
            assert_eq!(NtStatus(result), NtStatus::KEY_DELETED);
            close(child);
        }
        // SAFETY: has no conditions.
        assert_eq!(unsafe { ZwDeleteKey(key) }, 0);
        close(key);
        close(weak);
    });
    machine.shutdown().assert_clean();
}

#[test]
fn a_flush_is_held_in_flight_until_it_is_released() {
    let machine = Machine::builder().in_memory().build().unwrap();
    let hold = machine.hold_file(Operation::FlushFile, "TEST.dat");
    let flushed = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            as_driver(&machine, || {
                // Another file is not held.
                let other = open_file(r"\SystemRoot\other", RIGHTS, FILE_CREATE).unwrap();
                flush(other).unwrap();
                close(other);
                let file = open_file(FILE, RIGHTS, FILE_CREATE).unwrap();
                write(file, 0, b"x").unwrap();
                flush(file).unwrap();
                flushed.store(true, Ordering::SeqCst);
                flush(file).unwrap();
                close(file);
            });
        });
        hold.wait_until_reached();
        assert!(!flushed.load(Ordering::SeqCst));
        assert_eq!(machine.files().read(FILE).unwrap(), b"x");
        hold.release();
    });
    assert!(flushed.load(Ordering::SeqCst));
    machine.shutdown().assert_clean();
}

#[test]
fn injected_faults_fail_the_operations_that_they_name() {
    let machine = Machine::builder().in_memory().build().unwrap();
    machine.inject(Fault {
        operation: Operation::WriteFile,
        after: 1,
        times: 2,
        status: NtStatus::DISK_FULL,
    });
    as_driver(&machine, || {
        let file = open_file(FILE, RIGHTS, FILE_CREATE).unwrap();
        let results: Vec<bool> = (0..5).map(|_| write(file, -1, b"x").is_ok()).collect();
        assert_eq!(results, [true, false, false, true, true]);
        assert_eq!(read(file, 0, 9).unwrap(), b"xxx");
        close(file);
    });
    machine.shutdown().assert_clean();
}

#[test]
fn handles_without_the_kernel_flag_and_handles_closed_twice_are_findings() {
    let machine = Machine::builder().in_memory().build().unwrap();
    as_driver(&machine, || {
        let mut name = Name::new(KEY.rsplit_once('\\').unwrap().0);
        let mut attributes = name.attributes(ptr::null_mut());
        attributes.Attributes = 0;
        let mut handle = ptr::null_mut();
        // SAFETY: all pointers are to locals.
        assert_eq!(unsafe { ZwOpenKey(&raw mut handle, 1, &raw mut attributes) }, 0);
        close(handle);
        // SAFETY: has no conditions.
        assert_eq!(NtStatus(unsafe { ZwClose(handle) }), NtStatus::INVALID_HANDLE);
    });
    let rules: Vec<Rule> = machine
        .shutdown()
        .findings
        .iter()
        .map(|finding| finding.rule)
        .collect();
    assert_eq!(rules, [Rule::BadParameter, Rule::BadHandle]);
}

#[test]
fn paths_that_are_none_are_refused() {
    let machine = Machine::builder().in_memory().build().unwrap();
    as_driver(&machine, || {
        for (path, expected) in [
            (r"relative", NtStatus::OBJECT_PATH_SYNTAX_BAD),
            (r"\Elsewhere\x", NtStatus::OBJECT_PATH_NOT_FOUND),
            (r"\SystemRoot\no folder\x", NtStatus::OBJECT_PATH_NOT_FOUND),
            (r"\SystemRoot\..\x", NtStatus::OBJECT_NAME_INVALID),
            (r"\SystemRoot\a/b", NtStatus::OBJECT_NAME_INVALID),
            (r"\SystemRoot\\x", NtStatus::OBJECT_NAME_INVALID),
            (r"\SystemRootx\x", NtStatus::OBJECT_PATH_NOT_FOUND),
            (r"\SystemRoot\System32", NtStatus::FILE_IS_A_DIRECTORY),
        ] {
            assert_eq!(open_file(path, RIGHTS, FILE_OPEN_IF), Err(expected), "{path}");
        }
    });
    machine.shutdown().assert_clean();
}
