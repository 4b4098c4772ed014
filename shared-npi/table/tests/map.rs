//! The table against a plain map, and what it promises beside it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use allocator_api2::alloc::{AllocError, Allocator, Global, Layout};
use pool_table::{Packed, PackedRef, Reader, Writer, new_in};
use proptest::prelude::*;

thread_local! {
    static REFUSES: Cell<bool> = const { Cell::new(false) };
    static BLOCKS: Cell<usize> = const { Cell::new(0) };
}

/// Memory that a test may refuse, and whose blocks are counted.
#[derive(Clone, Copy, Debug)]
struct Memory;

// SAFETY: passed on to `Global`.
unsafe impl Allocator for Memory {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        assert!(layout.align() <= 16, "the pool aligns no block above that");
        if REFUSES.get() {
            return Err(AllocError);
        }
        let block = Global.allocate(layout)?;
        BLOCKS.set(BLOCKS.get() + 1);
        Ok(block)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        BLOCKS.set(BLOCKS.get() - 1);
        // SAFETY: passed on.
        unsafe { Global.deallocate(block, layout) }
    }
}

type Entry = Packed<Memory>;

/// An entry: the number that it is found by, and another one.
fn entry(number: u32, value: u32) -> Entry {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend(value.to_le_bytes());
    Packed::try_new_in(&bytes, Memory).expect("there is memory")
}

fn numbers(entry: PackedRef<'_, Memory>) -> (u32, u32) {
    let half = |at: usize| u32::from_le_bytes(entry.bytes()[at..at + 4].try_into().expect("four bytes"));
    (half(0), half(4))
}

/// Many numbers share a hash, and many hashes a fingerprint or a bucket.
const fn hash(number: u32) -> u32 {
    (number % 5) << 24 | (number % 3)
}

fn put(writer: &mut Writer<Entry, Memory>, number: u32, value: u32) {
    let is = |entry: PackedRef<'_, Memory>| numbers(entry).0 == number;
    if let Err(entry) = writer.replace(hash(number), entry(number, value), is) {
        assert!(writer.insert(hash(number), entry).is_ok(), "room was reserved");
    }
}

fn get(reader: &Reader<Entry, Memory>, number: u32) -> Option<u32> {
    let section = reader.enter(number as usize);
    let found = section.find(hash(number), |entry| numbers(entry).0 == number);
    found.map(|entry| numbers(entry).1)
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Put(u32, u32),
    Remove(u32),
    Reserve(usize),
    Collect,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..200_u32, any::<u32>()).prop_map(|(number, value)| Step::Put(number, value)),
        10 => (0..200_u32).prop_map(Step::Remove),
        2 => (0..300_usize).prop_map(Step::Reserve),
        2 => Just(Step::Collect),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn the_table_holds_what_a_map_holds(steps in prop::collection::vec(step(), 0..400)) {
        let before = BLOCKS.get();
        let (mut writer, reader) = new_in::<Entry, _>(Memory).expect("there is memory");
        let mut map = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(number, value) => {
                    writer.reserve(1).expect("there is memory");
                    put(&mut writer, number, value);
                    map.insert(number, value);
                }
                Step::Remove(number) => {
                    writer.reserve(1).expect("there is memory");
                    let removed = writer.remove(hash(number), |entry| numbers(entry).0 == number);
                    prop_assert_eq!(removed, map.remove(&number).is_some());
                }
                Step::Reserve(changes) => writer.reserve(changes).expect("there is memory"),
                Step::Collect => prop_assert!(writer.collect(), "nobody reads"),
                Step::Clear => {
                    writer.clear();
                    map.clear();
                }
            }
            prop_assert_eq!(writer.len(), map.len());
        }
        for number in 0..200 {
            prop_assert_eq!(get(&reader, number), map.get(&number).copied());
        }
        let mut all: Vec<_> = writer.iter().map(numbers).collect();
        all.sort_unstable();
        prop_assert_eq!(&all, &map.into_iter().collect::<Vec<_>>());
        let by_place = (0..writer.places()).filter_map(|place| writer.at(place)).count();
        prop_assert_eq!(by_place, all.len());
        drop(writer);
        for (number, value) in all {
            prop_assert_eq!(get(&reader, number), Some(value), "the writer's end does not end the table");
        }
        drop(reader);
        prop_assert_eq!(BLOCKS.get(), before, "all is freed with the last end");
    }

    #[test]
    fn changes_that_were_reserved_need_no_memory(
        there in 0..200_u32,
        changes in prop::collection::vec((0..400_u32, any::<bool>()), 0..200),
    ) {
        let (mut writer, reader) = new_in::<Entry, _>(Memory).expect("there is memory");
        for number in 0..there {
            writer.reserve(1).expect("there is memory");
            put(&mut writer, number, 0);
        }
        let mut map: BTreeMap<_, _> = (0..there).map(|number| (number, 0)).collect();
        let entries: Vec<_> = changes.iter().map(|(number, _)| entry(*number, 1)).collect();
        writer.reserve(changes.len()).expect("there is memory");
        let moves = writer.moves();
        REFUSES.set(true);
        for ((number, put), entry) in changes.into_iter().zip(entries) {
            let is = |entry: PackedRef<'_, Memory>| numbers(entry).0 == number;
            if put {
                if let Err(entry) = writer.replace(hash(number), entry, is) {
                    assert!(writer.insert(hash(number), entry).is_ok());
                }
                map.insert(number, 1);
            } else {
                prop_assert_eq!(writer.remove(hash(number), is), map.remove(&number).is_some());
            }
        }
        REFUSES.set(false);
        prop_assert_eq!(writer.moves(), moves, "nothing moved");
        for number in 0..400 {
            prop_assert_eq!(get(&reader, number), map.get(&number).copied());
        }
    }
}

#[test]
fn without_memory_nothing_changes() {
    let (mut writer, reader) = new_in::<Entry, _>(Memory).expect("there is memory");
    writer.reserve(1).expect("there is memory");
    put(&mut writer, 1, 10);
    REFUSES.set(true);
    assert!(writer.reserve(1000).is_err());
    assert!(new_in::<Entry, _>(Memory).is_err());
    assert!(Packed::try_new_in(&[1], Memory).is_err());
    REFUSES.set(false);
    assert_eq!((writer.len(), get(&reader, 1)), (1, Some(10)));
}

#[test]
fn without_reserved_room_an_entry_is_given_back() {
    let (mut writer, _reader) = new_in::<Entry, _>(Memory).expect("there is memory");
    assert!(writer.insert(hash(1), entry(1, 1)).is_err());
    assert!(!writer.remove(hash(1), |_| true));
}

#[test]
fn what_a_section_has_found_stays_until_it_ends() {
    let (mut writer, reader) = new_in::<Entry, _>(Memory).expect("there is memory");
    writer.reserve(2).expect("there is memory");
    put(&mut writer, 1, 10);
    let section = reader.enter(0);
    let found = section.find(hash(1), |entry| numbers(entry).0 == 1);
    let found = found.expect("it is there");
    assert!(writer.remove(hash(1), |entry| numbers(entry).0 == 1));
    let blocks = BLOCKS.get();
    assert!(!writer.collect(), "it is still read");
    assert_eq!((numbers(found), BLOCKS.get()), ((1, 10), blocks));
    assert_eq!(get(&reader, 1), None, "but not found any more");
    drop(section);
    assert!(writer.collect());
    assert_eq!(BLOCKS.get(), blocks - 1);
}

/// A version that is shared outlives its place in the table.
#[test]
fn an_entry_can_be_kept() {
    let (mut writer, reader) = new_in::<Entry, _>(Memory).expect("there is memory");
    writer.reserve(2).expect("there is memory");
    put(&mut writer, 1, 10);
    let kept = {
        let section = reader.enter(0);
        let found = section.find(hash(1), |entry| numbers(entry).0 == 1);
        found.expect("it is there").share()
    };
    assert!(writer.remove(hash(1), |_| true));
    assert!(writer.collect());
    drop((writer, reader));
    assert_eq!(kept[..4], [1, 0, 0, 0]);
}

/// On a processor that is never without a reader, what was taken out is freed all the same.
#[test]
fn readers_that_overlap_without_end_hold_nothing_up() {
    let (mut writer, reader) = new_in::<Entry, _>(Memory).expect("there is memory");
    writer.reserve(2).expect("there is memory");
    put(&mut writer, 1, 10);
    let mut section = reader.enter(0);
    assert!(writer.remove(hash(1), |_| true));
    let mut over = writer.collect();
    for _ in 0..2 {
        let next = reader.enter(0);
        drop(section);
        section = next;
        over = over || writer.collect();
    }
    assert!(over, "two readers later it is freed");
    drop(section);
}

/// Readers that are kept from running cannot make the store hold ever more memory.
#[test]
fn what_waits_to_be_freed_is_bounded() {
    let (mut writer, reader) = new_in::<Entry, _>(Memory).expect("there is memory");
    writer.reserve(1).expect("there is memory");
    put(&mut writer, 1, 0);
    let section = reader.enter(0);
    let refused = (1..200_000).find(|value| {
        let reserved = writer.reserve(1);
        if reserved.is_ok() {
            put(&mut writer, 1, *value);
        }
        reserved.is_err()
    });
    assert!(refused.is_some_and(|changes| changes > 10_000));
    drop(section);
    assert!(writer.reserve(1).is_ok(), "and goes on when they have left");
}

/// Real threads on real processors, as loom's are few.
#[test]
fn readers_find_what_is_there_throughout_while_everything_else_changes() {
    const STEADY: u32 = 64;
    let (mut writer, reader) = new_in::<Packed<Global>, _>(Global).expect("there is memory");
    let entry = |number: u32, value: u32| {
        let bytes = [number.to_le_bytes(), value.to_le_bytes()].concat();
        Packed::try_new_in(&bytes, Global).expect("there is memory")
    };
    let number =
        |entry: PackedRef<'_, Global>| u32::from_le_bytes(entry.bytes()[..4].try_into().expect("four bytes"));
    let spread = |number: u32| number.wrapping_mul(0x9E37_79B9);
    for steady in 0..STEADY {
        writer.reserve(1).expect("there is memory");
        assert!(writer.insert(spread(steady), entry(steady, 0)).is_ok());
    }
    let (over, looked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for processor in 0..3 {
            let (reader, over, looked) = (&reader, &over, &looked);
            scope.spawn(move || {
                while !over.load(Ordering::Acquire) {
                    for steady in 0..STEADY {
                        let section = reader.enter(processor);
                        let found = section.find(spread(steady), |entry| number(entry) == steady);
                        assert!(found.is_some(), "it is there throughout");
                    }
                    looked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..50_u32 {
            for other in STEADY..STEADY + 300 {
                writer.reserve(1).expect("there is memory");
                assert!(writer.insert(spread(other), entry(other, round)).is_ok());
            }
            for other in STEADY..STEADY + 300 {
                writer.reserve(1).expect("there is memory");
                assert!(writer.remove(spread(other), |entry| number(entry) == other));
            }
            for steady in 0..STEADY {
                writer.reserve(1).expect("there is memory");
                let replaced = writer.replace(spread(steady), entry(steady, round), |entry| {
                    number(entry) == steady
                });
                assert!(replaced.is_ok());
            }
            // Also what a reader has to see at least once.
            while looked.load(Ordering::Relaxed) < u64::from(round) {
                std::thread::yield_now();
            }
        }
        over.store(true, Ordering::Release);
    });
    while !writer.collect() {
        std::thread::yield_now();
    }
    assert_eq!(writer.len(), STEADY as usize);
}
