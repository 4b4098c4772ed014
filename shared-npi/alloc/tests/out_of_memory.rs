//! A failed allocation is an answer: nothing leaks, and nothing has changed.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use pool_alloc::{Arc, Box, OutOfMemory, Vec};
use support::{Counted, Failing};

/// Runs `operation` with the n-th allocation failing, for n = 0, 1, … until it succeeds; each time nothing
/// may be left.
fn fails_cleanly_at_every_allocation<T>(operation: impl Fn(Failing) -> Result<T, OutOfMemory>) {
    for allowed in 0.. {
        let alloc = Failing::default();
        alloc.fail_after(allowed);
        let done = operation(alloc.clone()).is_ok();
        assert_eq!(
            alloc.live(),
            (0, 0),
            "something leaked when allocation {allowed} failed"
        );
        if done {
            assert!(allowed > 0, "the operation did not allocate at all");
            return;
        }
    }
}

#[test]
fn nothing_leaks_whichever_allocation_fails() {
    fails_cleanly_at_every_allocation(|alloc| Box::try_new_in([1_u64; 4], alloc).map(drop));
    fails_cleanly_at_every_allocation(|alloc| Arc::try_new_in([1_u64; 4], alloc).map(drop));
    fails_cleanly_at_every_allocation(|alloc| Arc::try_from_slice_in(&[1_u16, 2, 3], alloc).map(drop));
    fails_cleanly_at_every_allocation(|alloc| Box::try_from_slice_in(&[1_u16, 2, 3], alloc).map(drop));
    fails_cleanly_at_every_allocation(|alloc| {
        let mut outer = Vec::new_in(alloc.clone());
        for index in 0..20_u32 {
            let mut inner = Vec::new_in(alloc.clone());
            inner.try_extend(0..index)?;
            outer.try_push(Box::try_new_in(inner, alloc.clone())?)?;
        }
        Ok(())
    });
}

#[test]
fn a_vector_that_could_not_grow_is_as_it_was() {
    let alloc = Failing::default();
    let mut vec = Vec::try_from_slice_in(&[1, 2, 3], alloc.clone()).unwrap();
    assert_eq!((vec.len(), vec.capacity()), (3, 3));
    let mut other = Vec::try_from_slice_in(&[8, 9], alloc.clone()).unwrap();
    alloc.fail_after(0);

    assert_eq!(vec.try_push(4), Err(OutOfMemory));
    assert_eq!(vec.push_within_capacity(4), Err(4));
    assert_eq!(vec.try_insert(1, 4), Err(OutOfMemory));
    assert_eq!(vec.try_extend([4, 5]), Err(OutOfMemory));
    assert_eq!(vec.try_extend_from_slice(&[4, 5]), Err(OutOfMemory));
    assert_eq!(vec.try_append(&mut other), Err(OutOfMemory));
    assert_eq!(vec.try_resize(4, 0), Err(OutOfMemory));
    assert_eq!(vec.try_reserve(usize::MAX), Err(OutOfMemory));
    assert_eq!(vec.as_slice(), [1, 2, 3]);
    assert_eq!(other.as_slice(), [8, 9]);

    alloc.succeed();
    vec.try_append(&mut other).unwrap();
    assert_eq!(vec.as_slice(), [1, 2, 3, 8, 9]);
    assert!(other.is_empty());
}

#[test]
fn an_extension_that_fails_half_way_takes_back_what_it_appended() {
    let alive = Rc::new(Cell::new(0));
    let alloc = Failing::default();
    let mut vec = Vec::try_with_capacity_in(4, alloc.clone()).unwrap();
    vec.try_push(Counted::new(&alive)).ok().unwrap();
    alloc.fail_after(0);
    // An iterator that does not tell its length: growth is asked for on the way.
    let values = (0..10).filter(|_| true).map(|_| Counted::new(&alive));
    assert_eq!(vec.try_extend(values), Err(OutOfMemory));
    assert_eq!((vec.len(), alive.get()), (1, 1));
}

#[test]
fn a_vector_that_cannot_shrink_comes_back_whole() {
    let alloc = Failing::default();
    let mut vec = Vec::try_with_capacity_in(8, alloc.clone()).unwrap();
    vec.try_extend_from_slice(&[1, 2, 3]).unwrap();
    alloc.fail_after(0);
    let vec = vec.try_into_boxed_slice().unwrap_err();
    assert_eq!(vec.as_slice(), [1, 2, 3]);
    alloc.succeed();
    let slice = vec.try_into_boxed_slice().unwrap();
    assert_eq!(&*slice, [1, 2, 3]);
    assert_eq!(alloc.live(), (1, 12));
}

#[test]
fn memory_that_was_made_sure_of_takes_its_value_without_allocating() {
    let alloc = Failing::default();
    let one = Box::<u32, _>::try_new_uninit_in(alloc.clone()).unwrap();
    let shared = Arc::<u32, _>::try_new_uninit_in(alloc.clone()).unwrap();
    alloc.fail_after(0);
    assert_eq!(*Box::write(one, 7), 7);
    assert_eq!(*Arc::write(shared, 8), 8);
    assert_eq!(alloc.live(), (0, 0));
}
