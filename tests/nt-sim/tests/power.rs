//! What a power failure leaves of a volume: what was flushed for certain, and of the rest anything.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "test code")]

use std::collections::BTreeSet;

use nt_sim::{
    Machine,
    files::{Disk, Disposition, Kind, Loss, OpenFile, OpenOptions, Rights, SECTOR, WriteAt},
    ntstatus::NtStatus,
};

const FILE: &str = r"\SystemRoot\test.dat";
const OTHER: &str = r"\SystemRoot\other.dat";
const VARIANTS: u64 = 256;

fn recording() -> Machine {
    Machine::builder().record_disk().build().unwrap()
}

fn open(machine: &Machine, path: &str) -> OpenFile {
    let all = Rights {
        read: true,
        write: true,
        delete: true,
    };
    let options = OpenOptions {
        access: all,
        share: all,
        disposition: Disposition::OpenIf,
        kind: Some(Kind::File),
        append_only: false,
        delete_on_close: false,
    };
    OpenFile::open(machine, path, options).unwrap().0
}

fn write(file: &OpenFile, offset: u64, bytes: &[u8]) {
    file.write(WriteAt::Offset(offset), bytes).unwrap();
}

fn booted(disk: Disk) -> Machine {
    Machine::builder().disk(disk).build().unwrap()
}

/// All that may become of a file if the power fails after that many steps.
fn outcomes(machine: &Machine, at: usize, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    let variants = (0..VARIANTS).map(Loss::variant);
    variants
        .map(|loss| {
            booted(machine.files().crash_image(at, loss))
                .files()
                .read(path)
                .ok()
        })
        .collect()
}

fn now(machine: &Machine, path: &str) -> BTreeSet<Option<Vec<u8>>> {
    outcomes(machine, machine.files().steps(), path)
}

fn only(content: &[u8]) -> BTreeSet<Option<Vec<u8>>> {
    BTreeSet::from([Some(content.to_vec())])
}

#[test]
fn what_was_flushed_is_there_whatever_is_lost() {
    let machine = recording();
    let entered = machine.enter();
    let file = open(&machine, FILE);
    write(&file, 0, b"hello");
    let written = now(&machine, FILE);
    assert!(
        written.contains(&None),
        "a name that was not flushed may be lost: {written:?}"
    );
    file.flush().unwrap();
    assert_eq!(now(&machine, FILE), only(b"hello"));
    drop((file, entered));
    machine.shutdown().assert_clean();
}

#[test]
fn writes_that_were_not_flushed_are_torn_by_sectors_and_by_bytes_and_come_out_of_order() {
    let machine = recording();
    let entered = machine.enter();
    let file = open(&machine, FILE);
    write(&file, 0, &[1; 3 * SECTOR]);
    file.flush().unwrap();
    write(&file, 0, &[2; SECTOR]);
    write(&file, SECTOR as u64, &[3; 2 * SECTOR]);
    let outcomes = now(&machine, FILE);
    let heads = |content: &Vec<u8>| [content[0], content[SECTOR], content[2 * SECTOR]];
    let seen: BTreeSet<[u8; 3]> = outcomes.iter().flatten().map(heads).collect();
    for sectors in [[1, 1, 1], [2, 3, 3], [1, 3, 3], [2, 1, 3], [2, 3, 1], [1, 1, 3]] {
        assert!(seen.contains(&sectors), "{sectors:?} is missing in {seen:?}");
    }
    let torn = |content: &Vec<u8>| content[..SECTOR].contains(&1) && content[..SECTOR].contains(&2);
    assert!(
        outcomes.iter().flatten().any(torn),
        "no write is torn in a sector"
    );
    drop((file, entered));
    machine.shutdown().assert_clean();
}

#[test]
fn a_size_that_was_not_flushed_is_lost_or_comes_without_the_content() {
    let machine = recording();
    let entered = machine.enter();
    let file = open(&machine, FILE);
    write(&file, 0, &[1; SECTOR]);
    file.flush().unwrap();
    write(&file, SECTOR as u64, &[2; SECTOR]);
    let outcomes_of_write = now(&machine, FILE);
    let mut zeros = vec![1; SECTOR];
    assert!(outcomes_of_write.contains(&Some(zeros.clone())));
    zeros.resize(2 * SECTOR, 0);
    assert!(outcomes_of_write.contains(&Some(zeros)));
    file.flush().unwrap();
    file.set_size(10).unwrap();
    let sizes: BTreeSet<usize> = now(&machine, FILE).iter().flatten().map(Vec::len).collect();
    assert_eq!(sizes, BTreeSet::from([10, 2 * SECTOR]));
    let old = [[1; SECTOR], [2; SECTOR]].concat();
    assert!(
        now(&machine, FILE).contains(&Some(old)),
        "to cut a file writes nothing"
    );
    file.flush().unwrap();
    assert_eq!(now(&machine, FILE), only(&[1; 10]));
    drop((file, entered));
    machine.shutdown().assert_clean();
}

#[test]
fn names_that_were_not_flushed_change_or_do_not() {
    let machine = recording();
    machine.files().write(FILE, b"old").unwrap();
    machine.files().write(OTHER, b"new").unwrap();
    let entered = machine.enter();
    let other = open(&machine, OTHER);
    other.rename(None, FILE, true).unwrap();
    let both = BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]);
    assert_eq!(now(&machine, FILE), both, "wholly or not at all");
    other.flush().unwrap();
    assert_eq!(now(&machine, FILE), only(b"new"));
    assert_eq!(now(&machine, OTHER), BTreeSet::from([None]));
    other.set_delete(true).unwrap();
    drop(other);
    assert_eq!(machine.files().read(FILE), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
    let kept_or_not = BTreeSet::from([None, Some(b"new".to_vec())]);
    assert_eq!(now(&machine, FILE), kept_or_not);
    // Flushing another file says nothing about this name.
    let file = open(&machine, OTHER);
    file.flush().unwrap();
    assert_eq!(now(&machine, FILE), kept_or_not);
    drop((file, entered));
    machine.shutdown().assert_clean();
}

#[test]
fn a_flush_covers_its_own_file_only() {
    let machine = recording();
    machine.files().write(OTHER, b"").unwrap();
    let entered = machine.enter();
    let (file, other) = (open(&machine, FILE), open(&machine, OTHER));
    write(&other, 0, b"x");
    file.flush().unwrap();
    assert!(now(&machine, OTHER).contains(&Some(Vec::new())));
    drop((file, other, entered));
    machine.shutdown().assert_clean();
}

#[test]
fn each_step_of_the_past_can_be_gone_back_to() {
    let machine = recording();
    let entered = machine.enter();
    let file = open(&machine, FILE);
    let mut steps = Vec::new();
    for number in 0..5_u8 {
        write(&file, number.into(), &[number]);
        file.flush().unwrap();
        steps.push(machine.files().steps());
    }
    for (step, content) in steps.into_iter().zip([1, 2, 3, 4, 5]) {
        let content: Vec<u8> = (0..content).collect();
        assert_eq!(outcomes(&machine, step, FILE), only(&content));
        assert!(machine.files().describe_step(step - 1).unwrap().contains("flush"));
    }
    drop((file, entered));
    machine.shutdown().assert_clean();
}
