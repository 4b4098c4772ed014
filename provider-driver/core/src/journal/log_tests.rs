//! Rules of one journal file.

use allocator_api2::alloc::Global;
use proptest::prelude::*;
use std::vec::Vec;

use super::super::memory::{Failed, Medium};
use super::*;

const PROVIDER: [u8; 16] = *b"0123456789abcdef";
const HEADER: Header = Header {
    generation: 1,
    salt: 42,
    provider: PROVIDER,
};

fn frame(contents: &[&[u8]]) -> FrameBuilder<Global> {
    let mut frame = FrameBuilder::try_new_in(Global).unwrap();
    for content in contents {
        frame.try_push(Kind::Put, content).unwrap();
    }
    frame
}

/// How many bytes there are without the zeros at the end.
fn content(bytes: &[u8]) -> u64 {
    let zeros = bytes.iter().rev().take_while(|&&byte| byte == 0).count();
    (bytes.len() - zeros) as u64
}

type Reading = Result<(Vec<Vec<u8>>, Loaded), LoadError<Failed>>;

fn read(medium: &Medium) -> Reading {
    let mut contents = Vec::new();
    let (_, loaded) = Log::open(medium.file(1), PROVIDER, Global, |record| {
        contents.push(record.content.to_vec());
        Ok(())
    })?;
    Ok((contents, loaded))
}

/// A file with three frames of one record each, and the offsets where each begins and the last ends.
fn three() -> (Vec<u8>, Vec<usize>, Vec<Vec<u8>>) {
    let medium = Medium::holding(&[]);
    let mut log = Log::create(medium.file(1), HEADER).unwrap();
    let mut starts = Vec::new();
    let contents: Vec<Vec<u8>> = [&b"alice"[..], &[0xEE; 300], b"carol"]
        .iter()
        .map(|c| c.to_vec())
        .collect();
    for content in &contents {
        starts.push(usize::try_from(log.size()).unwrap());
        log.append(&mut frame(&[content]), true).unwrap();
    }
    starts.push(usize::try_from(log.size()).unwrap());
    (medium.bytes(1).unwrap(), starts, contents)
}

#[test]
fn frames_that_need_not_be_durable_are_a_torn_tail_whichever_of_them_is_lost() {
    let medium = Medium::holding(&[]);
    let mut log = Log::create(medium.file(1), HEADER).unwrap();
    log.append(&mut frame(&[b"alice"]), true).unwrap();
    let start = usize::try_from(log.size()).unwrap();
    log.append(&mut frame(&[b"bob"]), false).unwrap();
    let end = usize::try_from(log.size()).unwrap();
    log.append(&mut frame(&[b"carol"]), false).unwrap();
    let mut bytes = medium.bytes(1).unwrap();
    bytes[start..end].fill(0);
    let (contents, loaded) = read(&Medium::holding(&bytes)).unwrap();
    assert_eq!(contents, [b"alice"]);
    assert_eq!(loaded.cut, content(&bytes[start..]));
    // Once they are flushed, it is damage.
    log.flush().unwrap();
    log.append(&mut frame(&[b"dave"]), false).unwrap();
    let mut bytes = medium.bytes(1).unwrap();
    bytes[start..end].fill(0);
    assert_eq!(
        read(&Medium::holding(&bytes)).err(),
        Some(LoadError::Damaged(start as u64))
    );
}

#[test]
fn a_torn_tail_is_cut_at_every_length() {
    let (bytes, starts, contents) = three();
    for length in starts[2]..starts[3] {
        let medium = Medium::holding(&bytes[..length]);
        let (read, loaded) = read(&medium).unwrap();
        assert_eq!(read, contents[..2], "length {length}");
        assert_eq!(loaded.cut, content(&bytes[starts[2]..length]));
        assert_eq!(
            medium.bytes(1).unwrap(),
            bytes[..starts[2]],
            "what was torn is gone from the file"
        );
    }
}

/// A file in use with two frames that are durable, and room for more.
fn in_use() -> (Medium, Log<super::super::memory::MemoryFile>) {
    let medium = Medium::holding(&[]);
    let mut log = Log::create(medium.file(1), HEADER).unwrap();
    log.use_from_now_on();
    log.append(&mut frame(&[b"alice"]), true).unwrap();
    log.append(&mut frame(&[b"bob"]), true).unwrap();
    (medium, log)
}

#[test]
fn frames_are_written_over_space_set_aside_and_leave_the_size_as_it_is() {
    let (medium, mut log) = in_use();
    let size = medium.bytes(1).unwrap().len();
    assert_eq!(size as u64 % LEAST_AHEAD, 0);
    let mut expected = std::vec![b"alice".to_vec(), b"bob".to_vec()];
    while log.size() + 300 < size as u64 {
        log.append(&mut frame(&[&[7; 200]]), true).unwrap();
        expected.push(std::vec![7; 200]);
        assert_eq!(medium.bytes(1).unwrap().len(), size);
    }
    // Loading finds it, and goes on in it.
    let (mut log, loaded) = Log::open(medium.file(1), PROVIDER, Global, |_| Ok(())).unwrap();
    assert_eq!((loaded.records, loaded.cut), (expected.len() as u64, 0));
    log.append(&mut frame(&[b"carol"]), true).unwrap();
    expected.push(b"carol".to_vec());
    assert_eq!(medium.bytes(1).unwrap().len(), size);
    // What does not fit makes the file longer, again by more than it needs.
    log.append(&mut frame(&[&[8; 500]]), true).unwrap();
    expected.push(std::vec![8; 500]);
    let bytes = medium.bytes(1).unwrap();
    assert!(bytes.len() > size + 1000);
    assert_eq!(read(&medium).unwrap().0, expected);
}

/// Whether a byte that was not flushed is kept, by its place among those and a number that the test counts up.
type Keeps = fn(usize, usize) -> bool;

#[test]
fn a_power_failure_in_space_set_aside_leaves_the_frame_or_a_torn_tail() {
    let (medium, mut log) = in_use();
    let end = log.size();
    let before = std::vec![b"alice".to_vec(), b"bob".to_vec()];
    // A frame that was written and not flushed, as a crash in the middle of `append` leaves it.
    medium.fail_after(1);
    let carol: &[u8] = &[0xC4; 100];
    assert_eq!(
        log.append(&mut frame(&[carol]), true),
        Err(AppendError::File(Failed))
    );
    let frame_bytes = FRAME_HEADER_SIZE + 8 + carol.len();
    let patterns: [Keeps; 4] = [
        |place, at| place < at,
        |place, at| place >= at,
        |place, at| place / 8 == at,
        |place, at| place / 8 != at,
    ];
    let mut whole = 0;
    for keeps in patterns {
        for at in 0..=frame_bytes {
            let crashed = medium.crash_with(|place| keeps(place, at));
            let tail = crashed.bytes(1).unwrap()[usize::try_from(end).unwrap()..].to_vec();
            let (contents, loaded) = read(&crashed).unwrap();
            if contents.len() == 3 {
                assert_eq!(contents[2], carol);
                whole += 1;
            } else {
                assert_eq!(contents, before);
            }
            let torn = if contents.len() == 2 { content(&tail) } else { 0 };
            assert_eq!(loaded.cut, torn);
            // What was torn is gone, and what comes next stands in its place.
            let (mut log, _) = Log::open(crashed.file(1), PROVIDER, Global, |_| Ok(())).unwrap();
            log.append(&mut frame(&[b"dave"]), true).unwrap();
            let mut expected = contents;
            expected.push(b"dave".to_vec());
            assert_eq!(read(&crashed.crash(0)).unwrap().0, expected);
        }
    }
    assert!(whole >= 2, "the frame was never whole");
}

#[test]
fn damage_is_told_from_a_torn_tail_also_with_space_set_aside() {
    let (medium, log) = in_use();
    let first = HEADER_SIZE..HEADER_SIZE + FRAME_HEADER_SIZE + 8 + 5;
    let bytes = medium.bytes(1).unwrap();
    assert!(log.size() < bytes.len() as u64);
    for at in first {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        assert_eq!(
            read(&Medium::holding(&damaged)),
            Err(LoadError::Damaged(HEADER_SIZE as u64)),
            "byte {at}"
        );
    }
}

#[test]
fn a_file_whose_growing_was_cut_short_is_read_as_far_as_it_goes() {
    let (medium, log) = in_use();
    let bytes = medium.bytes(1).unwrap();
    let end = usize::try_from(log.size()).unwrap();
    for length in end..bytes.len() {
        let (contents, loaded) = read(&Medium::holding(&bytes[..length])).unwrap();
        assert_eq!((contents.len(), loaded.cut), (2, 0), "length {length}");
    }
}

#[test]
fn where_no_space_can_be_set_aside_frames_are_written_alone() {
    let medium = Medium::holding(&[]);
    let mut log = Log::create(medium.file(1), HEADER).unwrap();
    log.use_from_now_on();
    medium.fail_after(0);
    assert_eq!(
        log.append(&mut frame(&[b"alice"]), true),
        Err(AppendError::File(Failed))
    );
    medium.heal();
    log.append(&mut frame(&[b"alice"]), true).unwrap();
    assert_eq!(medium.bytes(1).unwrap().len() as u64, log.size());
    assert_eq!(read(&medium).unwrap().0, [b"alice"]);
}

#[test]
fn a_frame_is_written_although_the_space_behind_it_is_not_there() {
    for torn in [0, 20, 2000] {
        let (medium, mut log) = in_use();
        let mut expected = std::vec![b"alice".to_vec(), b"bob".to_vec()];
        let size = medium.bytes(1).unwrap().len();
        while log.size() < size as u64 {
            log.append(&mut frame(&[&[7; 200]]), true).unwrap();
            expected.push(std::vec![7; 200]);
        }
        // Now there is space behind the frames again, which is used up next.
        let size = medium.bytes(1).unwrap().len();
        let rest = size - usize::try_from(log.size()).unwrap();
        let carol = std::vec![0xC4; rest];
        medium.torn.set(torn);
        medium.room.set(Some(size + 200));
        log.append(&mut frame(&[&carol]), true).unwrap();
        expected.push(carol);
        assert!(!log.is_suspended());
        assert_eq!(medium.bytes(1).unwrap().len() as u64, log.size());
        assert_eq!(read(&medium.crash(0)).unwrap().0, expected);
        // Where there is room again, space is set aside again, by and by.
        medium.room.set(None);
        for _ in 0..LEAST_AHEAD / 200 {
            log.append(&mut frame(&[&[9; 200]]), true).unwrap();
            expected.push(std::vec![9; 200]);
        }
        assert!(medium.bytes(1).unwrap().len() as u64 > log.size());
        assert_eq!(read(&medium.crash(0)).unwrap().0, expected);
    }
}

#[test]
fn space_set_aside_ahead_is_no_torn_tail() {
    let (mut bytes, _, contents) = three();
    bytes.resize(bytes.len() + 200_000, 0);
    let (read, loaded) = read(&Medium::holding(&bytes)).unwrap();
    assert_eq!((read, loaded.cut), (contents, 0));
}

#[test]
fn damage_in_the_middle_is_refused_at_every_byte_and_leaves_the_file_alone() {
    let (bytes, starts, _) = three();
    let second = starts[1]..starts[1] + FRAME_HEADER_SIZE + format::RECORD_HEADER_SIZE + 300;
    for at in second {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let medium = Medium::holding(&damaged);
        assert_eq!(
            read(&medium),
            Err(LoadError::Damaged(starts[1] as u64)),
            "byte {at}"
        );
        assert_eq!(medium.bytes(1).unwrap(), damaged);
    }
}

#[test]
fn damage_far_before_the_next_frame_is_found() {
    let medium = Medium::holding(&[]);
    let mut log = Log::create(medium.file(1), HEADER).unwrap();
    log.append(&mut frame(&[&std::vec![1; 3 * READ_SIZE + 12]]), true)
        .unwrap();
    log.append(&mut frame(&[b"last"]), true).unwrap();
    let mut bytes = medium.bytes(1).unwrap();
    bytes[200] ^= 1;
    assert_eq!(
        read(&Medium::holding(&bytes)),
        Err(LoadError::Damaged(HEADER_SIZE as u64))
    );
}

#[test]
fn a_file_of_another_provider_is_not_loaded() {
    let (bytes, ..) = three();
    let error = Log::open(Medium::holding(&bytes).file(1), [0; 16], Global, |_| Ok(())).unwrap_err();
    assert_eq!(error, LoadError::Foreign);
}

#[test]
fn a_piece_of_a_header_is_an_unfinished_file_and_a_bad_one_before_frames_is_damage() {
    let (bytes, ..) = three();
    for length in 0..HEADER_SIZE {
        assert_eq!(
            read(&Medium::holding(&bytes[..length])),
            Err(LoadError::Unfinished),
            "length {length}"
        );
    }
    let mut damaged = bytes;
    damaged[20] ^= 1;
    assert_eq!(read(&Medium::holding(&damaged)), Err(LoadError::Damaged(0)));
}

#[test]
fn after_a_failed_write_or_flush_nothing_is_appended_until_the_file_was_cut_back() {
    for (succeed, torn) in [(0, 0), (0, 10), (0, 50), (1, 0)] {
        let (bytes, _, mut contents) = three();
        let medium = Medium::holding(&bytes);
        let (mut log, _) = Log::open(medium.file(1), PROVIDER, Global, |_| Ok(())).unwrap();
        medium.torn.set(torn);
        medium.fail_after(succeed);
        let mut refused = frame(&[b"refused, and rather long so that something of it would stay"]);
        assert_eq!(log.append(&mut refused, true), Err(AppendError::File(Failed)));
        assert!(log.is_suspended());
        assert_eq!(
            log.append(&mut frame(&[b"also refused"]), true),
            Err(AppendError::File(Failed))
        );
        medium.heal();
        log.append(&mut frame(&[b"dave"]), true).unwrap();
        contents.push(b"dave".to_vec());
        for kept in [0, 1000] {
            assert_eq!(
                read(&medium.crash(kept)).unwrap().0,
                contents,
                "{succeed} {torn} {kept}"
            );
        }
    }
}

proptest! {
    // A case writes up to half a megabyte.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn batches_are_read_back_whole_and_in_order(
        batches in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..5), 0..60),
    ) {
        let medium = Medium::holding(&[]);
        let mut log = Log::create(medium.file(1), HEADER).unwrap();
        let mut builder = FrameBuilder::try_new_in(Global).unwrap();
        for batch in &batches {
            builder.clear();
            for content in batch {
                builder.try_push(Kind::Put, content).unwrap();
            }
            log.append(&mut builder, true).unwrap();
        }
        let (read, loaded) = read(&medium).unwrap();
        prop_assert_eq!(&read, &batches.concat());
        prop_assert_eq!(loaded, Loaded { records: read.len() as u64, cut: 0, complete: false });
    }

}

proptest! {
    #[test]
    fn no_file_makes_loading_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), real in any::<prop::sample::Index>()) {
        let _ = read(&Medium::holding(&bytes));
        let (good, ..) = three();
        let mut mixed = good[..real.index(good.len())].to_vec();
        mixed.extend(bytes);
        let _ = read(&Medium::holding(&mixed));
    }
}
