//! Every value is dropped once and every block freed once, whichever way it goes.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use allocator_api2::alloc::Global;
use pool_alloc::{Arc, Box, Vec, unsize_arc, unsize_box};
use support::{Counted, Failing};

trait Anything {}
impl<T> Anything for T {}

#[test]
fn a_box_drops_its_value_once_also_by_way_of_a_raw_pointer_and_a_trait_object() {
    let alive = Rc::new(Cell::new(0));
    let alloc = Failing::default();
    let new = || Box::try_new_in(Counted::new(&alive), alloc.clone()).ok().unwrap();

    drop(new());
    assert_eq!((alive.get(), alloc.live().0), (0, 0));

    let (raw, its_alloc) = Box::into_raw_with_allocator(new());
    assert_eq!((alive.get(), alloc.live().0), (1, 1));
    // SAFETY: the pointer was given up the line before, with this allocator.
    drop(unsafe { Box::from_raw_in(raw, its_alloc) });
    assert_eq!((alive.get(), alloc.live().0), (0, 0));

    let object: Box<dyn Anything, _> = unsize_box!(new());
    assert_eq!(alive.get(), 1);
    drop(object);
    assert_eq!((alive.get(), alloc.live().0), (0, 0));

    let value = Box::into_inner(new());
    assert_eq!((alive.get(), alloc.live().0), (1, 0));
    drop(value);
    assert_eq!(alive.get(), 0);
}

#[test]
fn the_last_owner_of_an_arc_drops_the_value() {
    let alive = Rc::new(Cell::new(0));
    let alloc = Failing::default();
    let first = Arc::try_new_in(Counted::new(&alive), alloc.clone()).ok().unwrap();
    let second = first.clone();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(Arc::count(&first), 2);
    let raw = Arc::into_raw(second);
    assert_eq!(raw, Arc::as_ptr(&first));
    // SAFETY: the pointer stands for an ownership that is taken back below.
    let third = unsafe { Arc::clone_from_raw_in(raw, alloc.clone()) };
    drop(first);
    drop(third);
    assert_eq!((alive.get(), alloc.live().0), (1, 1));
    // SAFETY: the pointer was given up above and is taken back once.
    drop(unsafe { Arc::from_raw_in(raw, alloc.clone()) });
    assert_eq!((alive.get(), alloc.live()), (0, (0, 0)));
}

#[test]
fn only_the_last_owner_gets_the_value_out() {
    let alive = Rc::new(Cell::new(0));
    let alloc = Failing::default();
    let mut first = Arc::try_new_in(Counted::new(&alive), alloc.clone()).ok().unwrap();
    assert!(Arc::get_mut(&mut first).is_some());
    let mut second = first.clone();
    assert!(Arc::get_mut(&mut second).is_none());
    assert!(Arc::into_inner(first).is_none());
    assert_eq!(alive.get(), 1);
    let value = Arc::into_inner(second);
    assert_eq!((value.is_some(), alive.get(), alloc.live().0), (true, 1, 0));
    drop(value);
    assert_eq!(alive.get(), 0);
}

#[test]
fn an_arc_finds_its_block_whatever_the_value_is_aligned_to() {
    #[repr(align(64))]
    struct Wide(u8);
    let wide = Arc::try_new_in(Wide(7), Global).unwrap();
    let raw = Arc::into_raw(wide);
    // SAFETY: the pointer was given up the line before and is taken back once.
    let wide = unsafe { Arc::from_raw_in(raw, Global) };
    assert_eq!(wide.0, 7);
    assert_eq!(core::ptr::from_ref::<Wide>(&wide).addr() % 64, 0);

    let nothing = Arc::try_new_in((), Global).unwrap();
    assert_eq!(Arc::count(&nothing), 1);
    let slice = Arc::<[u8], _>::try_from_slice_in(&[1, 2, 3], Global).unwrap();
    assert_eq!(&*slice, [1, 2, 3]);
    let empty = Arc::<[u64], _>::try_from_slice_in(&[], Global).unwrap();
    assert!(empty.is_empty());
}

#[test]
fn an_arc_becomes_a_trait_object_and_is_freed_as_one() {
    let alloc = Failing::default();
    let number = Arc::try_new_in(7_u8, alloc.clone()).unwrap();
    let shown: Arc<dyn std::fmt::Display, _> = unsize_arc!(number);
    assert_eq!(shown.to_string(), "7");
    drop(shown.clone());
    drop(shown);
    assert_eq!(alloc.live(), (0, 0));
}

#[test]
fn owners_on_many_threads_drop_the_value_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Shared;
    impl Drop for Shared {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    let shared = Arc::try_new_in(Shared, Global).ok().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let mine = shared.clone();
            scope.spawn(move || {
                for _ in 0..10_000 {
                    drop(mine.clone());
                }
            });
        }
        drop(shared);
    });
    assert_eq!(DROPS.load(Ordering::Relaxed), 1);
}

#[test]
fn what_a_vector_gives_up_is_dropped_by_whoever_got_it() {
    let alive = Rc::new(Cell::new(0));
    let alloc = Failing::default();
    let mut vec = Vec::new_in(alloc.clone());
    vec.try_extend((0..10).map(|_| Counted::new(&alive))).unwrap();
    drop(vec.pop());
    drop(vec.remove(0));
    drop(vec.swap_remove(0));
    assert_eq!((vec.len(), alive.get()), (7, 7));
    drop(vec.drain(5..));
    vec.truncate(4);
    assert_eq!((vec.len(), alive.get()), (4, 4));
    let mut counter = 0;
    vec.retain(|_| {
        counter += 1;
        counter % 2 == 0
    });
    assert_eq!((vec.len(), alive.get()), (2, 2));
    let slice = vec.try_into_boxed_slice().ok().unwrap();
    let mut iter = Box::into_vec(slice).into_iter();
    drop(iter.next());
    assert_eq!(alive.get(), 1);
    drop(iter);
    assert_eq!((alive.get(), alloc.live()), (0, (0, 0)));
}

#[test]
fn an_empty_vector_becomes_an_empty_slice_and_frees_its_memory() {
    let alloc = Failing::default();
    let vec = Vec::<u32, _>::try_with_capacity_in(8, alloc.clone()).unwrap();
    let slice = vec.try_into_boxed_slice().unwrap();
    assert!(slice.is_empty());
    assert_eq!(alloc.live().1, 0);
    let mut vec = Box::into_vec(slice);
    assert_eq!(alloc.live(), (0, 0));
    vec.try_push(7).unwrap();
    assert_eq!(vec.as_slice(), [7]);
    drop(vec);

    let vec = Vec::<(), _>::try_from_iter_in([(), ()], alloc.clone()).unwrap();
    let slice = vec.try_into_boxed_slice().unwrap();
    assert_eq!(slice.len(), 2);
    assert_eq!(Box::into_vec(slice).len(), 2);
    assert_eq!(alloc.live(), (0, 0));
}
