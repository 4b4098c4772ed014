//! `Vec` does what the standard library's does.

use allocator_api2::alloc::Global;
use pool_alloc::Vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Insert(usize, u8),
    Extend(std::vec::Vec<u8>),
    Pop,
    Remove(usize),
    SwapRemove(usize),
    Truncate(usize),
    RetainBelow(u8),
    Drain(usize, usize),
    Resize(usize, u8),
    Reserve(usize),
    ThroughSlice,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let small = 0_usize..24;
    prop_oneof![
        6 => any::<u8>().prop_map(Step::Push),
        2 => (small.clone(), any::<u8>()).prop_map(|(index, value)| Step::Insert(index, value)),
        2 => proptest::collection::vec(any::<u8>(), 0..12).prop_map(Step::Extend),
        2 => Just(Step::Pop),
        2 => small.clone().prop_map(Step::Remove),
        2 => small.clone().prop_map(Step::SwapRemove),
        1 => small.clone().prop_map(Step::Truncate),
        1 => any::<u8>().prop_map(Step::RetainBelow),
        2 => (small.clone(), small.clone()).prop_map(|(start, end)| Step::Drain(start, end)),
        1 => (small.clone(), any::<u8>()).prop_map(|(len, value)| Step::Resize(len, value)),
        1 => small.prop_map(Step::Reserve),
        1 => Just(Step::ThroughSlice),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn every_sequence_of_steps_ends_as_with_std(steps in proptest::collection::vec(step(), 0..60)) {
        let mut ours = Vec::new_in(Global);
        let mut model = std::vec::Vec::new();
        for step in steps {
            match step {
                Step::Push(value) => {
                    ours.try_push(value)?;
                    model.push(value);
                }
                Step::Insert(index, value) => {
                    ours.try_insert(index, value)?;
                    model.insert(index.min(model.len()), value);
                }
                Step::Extend(values) => {
                    ours.try_extend_from_slice(&values)?;
                    model.extend_from_slice(&values);
                }
                Step::Pop => prop_assert_eq!(ours.pop(), model.pop()),
                Step::Remove(index) => {
                    let expected = (index < model.len()).then(|| model.remove(index));
                    prop_assert_eq!(ours.remove(index), expected);
                }
                Step::SwapRemove(index) => {
                    let expected = (index < model.len()).then(|| model.swap_remove(index));
                    prop_assert_eq!(ours.swap_remove(index), expected);
                }
                Step::Truncate(len) => {
                    ours.truncate(len);
                    model.truncate(len);
                }
                Step::RetainBelow(limit) => {
                    ours.retain(|value| *value < limit);
                    model.retain(|value| *value < limit);
                }
                Step::Drain(start, end) => {
                    let drained: std::vec::Vec<u8> = ours.drain(start..end).collect();
                    let end = end.min(model.len());
                    let expected: std::vec::Vec<u8> = model.drain(start.min(end)..end).collect();
                    prop_assert_eq!(drained, expected);
                }
                Step::Resize(len, value) => {
                    ours.try_resize(len, value)?;
                    model.resize(len, value);
                }
                Step::Reserve(additional) => {
                    ours.try_reserve(additional)?;
                    prop_assert!(ours.capacity() >= ours.len() + additional);
                }
                Step::ThroughSlice => {
                    let slice = ours.try_into_boxed_slice().map_err(|_| pool_alloc::OutOfMemory)?;
                    ours = pool_alloc::Box::into_vec(slice);
                }
                Step::Clear => {
                    ours.clear();
                    model.clear();
                }
            }
            prop_assert_eq!(ours.as_slice(), model.as_slice());
        }
    }

    #[test]
    fn text_is_written_as_with_std(pieces in proptest::collection::vec(".{0,8}", 0..8)) {
        use std::fmt::Write;
        let mut ours = Vec::new_in(Global);
        let mut model = String::new();
        for piece in &pieces {
            write!(ours, "[{piece}]").unwrap();
            write!(model, "[{piece}]").unwrap();
        }
        prop_assert_eq!(ours.as_slice(), model.as_bytes());
    }
}
