//! Rules of the two files of a journal.

use allocator_api2::alloc::Global;
use std::vec::Vec;

use super::super::memory::{Medium, MemoryFile};
use super::*;

const PROVIDER: [u8; 16] = *b"0123456789abcdef";

#[derive(Default, Debug, PartialEq, Eq)]
struct Contents(Vec<Vec<u8>>);

impl Receiver for Contents {
    fn begin(&mut self, _: u64) {
        self.0.clear();
    }

    fn receive(&mut self, record: Record<'_>) -> Result<(), Refused> {
        if record.kind == Kind::Put {
            self.0.push(record.content.to_vec());
        }
        Ok(())
    }
}

type Open = Journal<Medium, MemoryFile>;

fn load(medium: &Medium) -> (Open, Contents) {
    let mut contents = Contents::default();
    let (journal, _) = Journal::open(medium.clone(), PROVIDER, 1, &Global, &mut contents).unwrap();
    (journal, contents)
}

/// Writes the next generation in two pieces, and goes on in it.
fn rewrite(journal: &mut Open, contents: &[&[u8]]) -> Result<(), AppendError<super::super::memory::Failed>> {
    let mut next = journal.begin_next(2, &Global)?;
    for content in contents {
        next.put(content).unwrap();
        if let Err(error) = next.write() {
            journal.give_up(next);
            return Err(error);
        }
    }
    journal.switch(next)
}

fn append(opened: &mut Open, content: &[u8]) {
    let mut frame = FrameBuilder::try_new_in(Global).unwrap();
    frame.try_push(Kind::Put, content).unwrap();
    opened.append(&mut frame, true).unwrap();
}

#[test]
fn with_no_file_a_new_store_is_begun_and_found_again() {
    let medium = Medium::default();
    let (mut opened, contents) = load(&medium);
    assert_eq!((opened.generation(), contents), (1, Contents::default()));
    append(&mut opened, b"alice");
    let (opened, contents) = load(&medium.crash(0));
    assert_eq!(
        (opened.generation(), contents.0),
        (1, std::vec![b"alice".to_vec()])
    );
}

#[test]
fn a_rewritten_store_replaces_the_file_before_it() {
    let medium = Medium::default();
    let (mut opened, _) = load(&medium);
    append(&mut opened, b"alice");
    append(&mut opened, b"bob");
    rewrite(&mut opened, &[&b"bob"[..]]).unwrap();
    append(&mut opened, b"carol");
    assert!(medium.bytes(1).is_none());
    let (opened, contents) = load(&medium);
    assert_eq!(
        (opened.generation(), contents.0),
        (2, std::vec![b"bob".to_vec(), b"carol".to_vec()])
    );
}

#[test]
fn a_crash_at_any_step_of_a_rewrite_or_a_failure_of_any_step_loses_nothing() {
    for steps in 0..14 {
        for kept in [0, 1, 30, 64, 70, 100, 120, 130, 4000] {
            let medium = Medium::default();
            let (mut opened, _) = load(&medium);
            append(&mut opened, b"alice");
            medium.torn.set(kept);
            medium.fail_after(steps);
            let done = rewrite(&mut opened, &[&b"alice"[..]]);
            let (_, contents) = load(&medium.crash(kept));
            assert_eq!(
                contents.0,
                std::vec![b"alice".to_vec()],
                "{steps} steps, {kept} bytes kept, {done:?}"
            );
            medium.heal();
            append(&mut opened, b"bob");
            let (_, contents) = load(&medium.crash(kept));
            assert_eq!(
                contents.0,
                std::vec![b"alice".to_vec(), b"bob".to_vec()],
                "{steps} steps, {kept} bytes kept"
            );
        }
    }
}

#[test]
fn a_crash_at_any_step_of_the_first_writing_leaves_an_empty_store() {
    for steps in 0..6 {
        for kept in [0, 1, 63, 64, 65, 90, 100] {
            let medium = Medium::default();
            medium.torn.set(kept);
            medium.fail_after(steps);
            let _ = Journal::open(medium.clone(), PROVIDER, 1, &Global, &mut Contents::default());
            let (mut opened, contents) = load(&medium.crash(kept));
            assert_eq!(contents, Contents::default());
            append(&mut opened, b"alice");
        }
    }
}

#[test]
fn a_damaged_file_is_not_passed_over_for_the_other_one() {
    let medium = Medium::default();
    let (mut opened, _) = load(&medium);
    append(&mut opened, b"alice");
    let first = medium.bytes(1);
    rewrite(&mut opened, &[&b"alice"[..]]).unwrap();
    append(&mut opened, b"bob");
    let mut second = medium.bytes(0).unwrap();
    second[80] ^= 1;
    let damaged = Medium::holding(&first.unwrap());
    damaged.files.borrow_mut()[0] = Some(super::super::memory::Content {
        written: second.clone(),
        flushed: second.clone(),
    });
    let error = Journal::open(damaged.clone(), PROVIDER, 3, &Global, &mut Contents::default()).unwrap_err();
    assert_eq!(error, LoadError::Damaged(64));
    assert_eq!(damaged.bytes(0).unwrap(), second);
}

#[test]
fn a_file_in_the_place_of_the_other_one_is_not_taken_since_the_next_generation_would_be_written_over_it() {
    let medium = Medium::default();
    let (mut opened, _) = load(&medium);
    append(&mut opened, b"alice");
    let moved = Medium::default();
    moved.files.borrow_mut()[0].clone_from(&medium.files.borrow()[1]);
    let opened = Journal::open(moved.clone(), PROVIDER, 3, &Global, &mut Contents::default());
    assert_eq!(opened.err(), Some(LoadError::Damaged(16)));
    assert_eq!(moved.bytes(0), medium.bytes(1));
}

#[test]
fn a_torn_file_that_does_not_count_stays_as_it_is_if_the_other_one_is_damaged() {
    let medium = Medium::default();
    let (mut opened, _) = load(&medium);
    append(&mut opened, b"alice");
    append(&mut opened, b"bob");
    let mut first = medium.bytes(1).unwrap();
    first[80] ^= 1;
    let header = Header {
        generation: 2,
        salt: 1,
        provider: PROVIDER,
    };
    let second = [&header.encode()[..], b"torn"].concat();
    let both = Medium::holding(&first);
    both.files.borrow_mut()[0] = Some(super::super::memory::Content {
        written: second.clone(),
        flushed: second.clone(),
    });
    let opened = Journal::open(both.clone(), PROVIDER, 3, &Global, &mut Contents::default());
    assert_eq!(opened.err(), Some(LoadError::Damaged(64)));
    assert_eq!((both.bytes(0), both.bytes(1)), (Some(second), Some(first)));
}

#[test]
fn a_generation_that_no_driver_reaches_is_not_taken() {
    let header = Header {
        generation: super::super::format::GENERATIONS,
        salt: 1,
        provider: PROVIDER,
    };
    let medium = Medium::holding(&[]);
    let mut log = Log::create(medium.file(1), header).unwrap();
    let mut frame = FrameBuilder::try_new_in(Global).unwrap();
    frame.try_push(Kind::SnapshotEnd, &[]).unwrap();
    log.append(&mut frame, true).unwrap();
    let bytes = medium.bytes(1);
    let opened = Journal::open(medium.clone(), PROVIDER, 3, &Global, &mut Contents::default());
    assert_eq!(opened.err(), Some(LoadError::Damaged(0)));
    assert_eq!(medium.bytes(1), bytes);
}

#[test]
fn a_file_with_a_damaged_header_is_not_passed_over_for_the_generation_before_it() {
    let medium = Medium::default();
    let (mut opened, _) = load(&medium);
    append(&mut opened, b"alice");
    // The old file may be left over: its deletion is not insisted on.
    let first = medium.bytes(1);
    rewrite(&mut opened, &[&b"alice"[..]]).unwrap();
    append(&mut opened, b"bob");
    let mut second = medium.bytes(0).unwrap();
    second[16] ^= 1;
    let damaged = Medium::holding(&first.unwrap());
    damaged.files.borrow_mut()[0] = Some(super::super::memory::Content {
        written: second.clone(),
        flushed: second.clone(),
    });
    let opened = Journal::open(damaged.clone(), PROVIDER, 3, &Global, &mut Contents::default());
    assert_eq!(opened.err(), Some(LoadError::Damaged(0)));
    assert_eq!(damaged.bytes(0).unwrap(), second);
}
