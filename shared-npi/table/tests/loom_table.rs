//! The table under every interleaving: built with `--cfg loom`, empty otherwise.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p pool-table --test loom_table`
#![cfg(loom)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use allocator_api2::alloc::Global;
use loom::cell::UnsafeCell;
use loom::thread;
use pool_table::{Reader, Thin, Writer, new_in};

/// A value that the model sees being read and being freed: it fails if a use is not before the end.
struct Tracked {
    number: u32,
    hash: AtomicU32,
    value: UnsafeCell<u32>,
}

// SAFETY: the value is written once, when the table frees it; that this is not at the same time as a read is what the
// tests are for.
unsafe impl Sync for Tracked {}
// SAFETY: as above.
unsafe impl Send for Tracked {}

impl Tracked {
    fn check(&self) {
        self.value.with(|value| {
            // SAFETY: a reader has found it, so it has not ended.
            assert_eq!(unsafe { *value }, 7);
        });
    }
}

/// The table's ownership. The test has others, so that a use after the end is still one of memory.
struct Entry(Arc<Tracked>);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.value.with_mut(|value| {
            // SAFETY: the table says that no reader has it.
            unsafe { *value = 0 }
        });
    }
}

// SAFETY: an `Arc` can be borrowed from its raw pointer while that is not taken back.
unsafe impl Thin for Entry {
    type Ref<'a> = &'a Tracked;

    fn into_raw(self) -> NonNull<()> {
        let this = std::mem::ManuallyDrop::new(self);
        NonNull::from(&*this.0).cast()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: the pointer is that of an `Arc` that was given up.
        Self(unsafe { Arc::from_raw(raw.cast().as_ptr()) })
    }

    unsafe fn borrow<'a>(raw: NonNull<()>) -> &'a Tracked {
        // SAFETY: the ownership that the pointer stands for lasts.
        unsafe { raw.cast().as_ref() }
    }

    fn hash(this: &Tracked) -> u32 {
        this.hash.load(Ordering::Relaxed)
    }

    fn set_hash(&self, hash: u32) {
        self.0.hash.store(hash, Ordering::Relaxed);
    }
}

/// A table, and all entries that were ever in it.
struct Model {
    writer: Writer<Entry, Global>,
    reader: Reader<Entry, Global>,
    all: Vec<Arc<Tracked>>,
}

/// A hash that all entries share, and so a bucket.
const HASH: u32 = 0x0500_0000;

impl Model {
    fn new() -> Self {
        let (writer, reader) = new_in(Global).expect("there is memory");
        Self {
            writer,
            reader,
            all: Vec::new(),
        }
    }

    fn entry(&mut self, number: u32) -> Entry {
        let tracked = Arc::new(Tracked {
            number,
            hash: AtomicU32::new(0),
            value: UnsafeCell::new(7),
        });
        self.all.push(Arc::clone(&tracked));
        Entry(tracked)
    }

    fn insert(&mut self, number: u32) {
        self.writer.reserve(1).expect("there is memory");
        let entry = self.entry(number);
        assert!(self.writer.insert(HASH, entry).is_ok());
    }

    fn remove(&mut self, number: u32) {
        assert!(self.writer.remove(HASH, |entry| entry.number == number));
    }
}

/// What a reader on that processor sees of an object: it uses what it finds before and after something else.
fn read(reader: &Reader<Entry, Global>, processor: usize, number: u32) -> bool {
    let section = reader.enter(processor);
    let found = section.find(HASH, |entry| {
        entry.check();
        entry.number == number
    });
    if let Some(entry) = found {
        thread::yield_now();
        entry.check();
    }
    found.is_some()
}

#[test]
fn what_a_reader_has_found_is_not_freed_before_it_leaves() {
    loom::model(|| {
        let mut model = Model::new();
        model.writer.reserve(2).expect("there is memory");
        model.insert(1);
        let reader = model.reader.clone();
        let other = thread::spawn(move || read(&reader, 1, 1));
        model.remove(1);
        model.writer.collect();
        other.join().expect("no panic");
        assert!(model.writer.collect(), "nobody reads any more");
        assert!(!read(&model.reader, 0, 1));
    });
}

#[test]
fn a_replaced_entry_is_found_in_one_version_or_the_other() {
    loom::model(|| {
        let mut model = Model::new();
        model.insert(1);
        let reader = model.reader.clone();
        let other = thread::spawn(move || read(&reader, 1, 1));
        let new = model.entry(1);
        let replaced = model.writer.replace(HASH, new, |entry| entry.number == 1);
        assert!(replaced.is_ok());
        model.writer.collect();
        assert!(other.join().expect("no panic"), "it was there throughout");
    });
}

#[test]
fn an_entry_is_found_while_the_table_grows() {
    loom::model(|| {
        let mut model = Model::new();
        model.insert(1);
        let reader = model.reader.clone();
        let other = thread::spawn(move || read(&reader, 1, 1));
        let moves = model.writer.moves();
        model.writer.reserve(4).expect("there is memory");
        assert_ne!(model.writer.moves(), moves);
        model.writer.collect();
        assert!(other.join().expect("no panic"), "it was there throughout");
    });
}

#[test]
fn what_was_put_in_is_found_with_all_that_it_is() {
    loom::model(|| {
        let mut model = Model::new();
        model.writer.reserve(1).expect("there is memory");
        let reader = model.reader.clone();
        let other = thread::spawn(move || read(&reader, 1, 1));
        model.insert(1);
        other.join().expect("no panic");
        assert!(read(&model.reader, 0, 1));
    });
}

/// The phase changes while the reader is inside; what is taken out afterwards waits for it all the same.
#[test]
fn a_reader_of_an_earlier_phase_holds_up_what_is_taken_out_later() {
    loom::model(|| {
        let mut model = Model::new();
        model.insert(1);
        model.insert(2);
        let reader = model.reader.clone();
        let other = thread::spawn(move || {
            read(&reader, 1, 2);
        });
        model.remove(1);
        model.writer.collect();
        model.remove(2);
        model.writer.collect();
        model.writer.collect();
        other.join().expect("no panic");
        assert!(model.writer.collect());
    });
}

#[test]
fn clearing_leaves_readers_what_they_have_found() {
    loom::model(|| {
        let mut model = Model::new();
        model.insert(1);
        let reader = model.reader.clone();
        let other = thread::spawn(move || read(&reader, 1, 1));
        model.writer.clear();
        model.writer.collect();
        other.join().expect("no panic");
        assert!(!read(&model.reader, 0, 1));
    });
}

#[test]
fn the_last_end_frees_what_is_left() {
    loom::model(|| {
        let mut model = Model::new();
        model.insert(1);
        model.insert(2);
        model.remove(1);
        let Model { writer, reader, all } = model;
        let other = thread::spawn(move || read(&reader, 1, 2));
        drop(writer);
        assert!(other.join().expect("no panic"));
        for tracked in all {
            tracked.value.with(|value| {
                // SAFETY: nobody else has it any more.
                assert_eq!(unsafe { *value }, 0, "freed");
            });
        }
    });
}
