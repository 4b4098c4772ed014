//! What the store does without memory, and what it keeps of it.

use std::cell::Cell;
use std::format;
use std::ptr::NonNull;
use std::rc::Rc;

use allocator_api2::alloc::{AllocError, Allocator, Layout};

use super::*;

/// Memory that a test may refuse, and whose blocks are counted. Clones are the same memory.
#[derive(Clone, Debug, Default)]
struct Memory(Rc<Use>);

#[derive(Debug, Default)]
struct Use {
    refused: Cell<bool>,
    blocks: Cell<usize>,
}

// SAFETY: passed on to `Global`.
unsafe impl Allocator for Memory {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if self.0.refused.get() {
            return Err(AllocError);
        }
        let block = Global.allocate(layout)?;
        self.0.blocks.update(|blocks| blocks + 1);
        Ok(block)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        self.0.blocks.update(|blocks| blocks - 1);
        // SAFETY: passed on.
        unsafe { Global.deallocate(block, layout) }
    }
}

impl Memory {
    /// Runs `what` without memory.
    fn refused<T>(&self, what: impl FnOnce() -> T) -> T {
        self.0.refused.set(true);
        let result = what();
        self.0.refused.set(false);
        result
    }

    fn blocks(&self) -> usize {
        self.0.blocks.get()
    }

    fn store(&self) -> Store<Self> {
        Store::try_new_in(HashKey::new([1, 2]), Limits::DEFAULT, self.clone()).unwrap()
    }

    fn change(&self, operation: u32, name: &str) -> Change<Self> {
        let socket = SockAddr::from_socket_addr(A.parse().unwrap());
        let address = [CsAddr {
            local: &[],
            remote: socket.as_bytes(),
            socket_type: SOCK_STREAM,
            protocol: 0,
        }];
        let query = QuerySet {
            addresses: Addresses::new(&address),
            ..query(name)
        };
        Change::from_query(operation, 0, &query, &Limits::DEFAULT, self.clone()).unwrap()
    }

    /// Stages that operation on those names.
    fn stage(
        &self,
        store: &Store<Self>,
        batch: &mut Batch<Self>,
        operation: u32,
        numbers: core::ops::Range<usize>,
    ) {
        for number in numbers {
            let change = self.change(operation, &name(number));
            batch.stage(store, &change).unwrap();
        }
    }
}

/// Names of which some share their domain.
fn name(number: usize) -> String {
    format!("n{number}@d{}.example", number % 70)
}

fn has(store: &Store<Memory>, number: usize) -> bool {
    let name = name(number);
    let key = Key::new(Text::from_str(&name).unwrap(), Text::EMPTY);
    store.finder().find(number, &key, |_| ()).is_some()
}

#[test]
fn publishing_what_was_reserved_needs_no_memory() {
    let memory = Memory::default();
    let mut store = memory.store();
    let mut batch = Batch::new_in(memory.clone());
    for round in 0..20 {
        batch.clear();
        // New names in new and in old domains, old names anew, and old names that go.
        let first = round * 50;
        memory.stage(&store, &mut batch, REGISTER, first..first + 100);
        memory.stage(&store, &mut batch, DEREGISTER, first + 10..first + 20);
        memory.stage(&store, &mut batch, DELETE, first..first + 50);
        store.reserve(&batch).unwrap();
        let len = memory.refused(|| {
            store.publish(&batch);
            store.len()
        });
        assert_eq!(len, 50);
        for number in first..first + 50 {
            assert!(!has(&store, number) && has(&store, number + 50), "{number}");
        }
    }
}

#[test]
fn a_batch_that_gets_no_room_changes_nothing_and_leaves_nothing() {
    let memory = Memory::default();
    let mut store = memory.store();
    let mut batch = Batch::new_in(memory.clone());
    memory.stage(&store, &mut batch, REGISTER, 0..1);
    store.reserve(&batch).unwrap();
    store.publish(&batch);
    batch.clear();
    memory.stage(&store, &mut batch, REGISTER, 0..1_000);
    assert_eq!(memory.refused(|| store.reserve(&batch)), Err(OutOfMemory));
    assert_eq!((store.len(), store.domains.len()), (1, 1));
    // As when the journal cannot be written.
    store.reserve(&batch).unwrap();
    assert_eq!(store.domains.len(), 70);
    store.unreserve(&batch);
    assert_eq!((store.len(), store.domains.len()), (1, 1));
    assert!(has(&store, 0) && !has(&store, 1));
}

#[test]
fn an_object_that_is_loaded_without_memory_is_not_there() {
    let memory = Memory::default();
    let mut store = memory.store();
    let record = |number| {
        memory
            .change(REGISTER, &name(number))
            .apply(None, &Limits::DEFAULT, &memory)
    };
    let mut loaded = 0;
    for number in 0..200 {
        let Effect::Put(record) = record(number).unwrap().effect else {
            panic!("it registers");
        };
        loaded += usize::from(memory.refused(|| store.load_put(record.clone())).is_ok());
        assert_eq!(store.len(), loaded);
        if !has(&store, number) {
            store.load_put(record).unwrap();
            loaded += 1;
        }
    }
    assert_eq!((store.len(), store.domains.len()), (200, 70));
}

#[test]
fn what_was_replaced_is_freed_and_so_is_all_in_the_end() {
    let memory = Memory::default();
    {
        let mut store = memory.store();
        let mut batch = Batch::new_in(memory.clone());
        memory.stage(&store, &mut batch, REGISTER, 0..100);
        store.reserve(&batch).unwrap();
        store.publish(&batch);
        batch.clear();
        assert!(store.collect());
        let full = memory.blocks();
        memory.stage(&store, &mut batch, DELETE, 0..70);
        memory.stage(&store, &mut batch, DEREGISTER, 70..100);
        store.reserve(&batch).unwrap();
        store.publish(&batch);
        batch.clear();
        assert!(store.collect());
        // The last thirty are in domains that had others, which the deletions leave there; forty domains are gone.
        assert_eq!(full - memory.blocks(), 70 + 40, "objects, and lists of domains");
        store.clear();
        assert!(store.collect());
        assert!(store.is_empty() && !has(&store, 80));
    }
    assert_eq!(memory.blocks(), 0);
}
