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
    assert_eq!(loaded.cut, (bytes.len() - start) as u64);
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
        assert_eq!(loaded.cut, (length - starts[2]) as u64);
        assert_eq!(
            medium.bytes(1).unwrap(),
            bytes[..starts[2]],
            "what was torn is gone from the file"
        );
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
