//! Rules of the journal's bytes.

use allocator_api2::alloc::Global;
use proptest::prelude::*;
use std::vec::Vec;

use super::*;

const SALT: u64 = 0x0123_4567_89AB_CDEF;

fn frame(sequence: u64, records: &[(Kind, Vec<u8>)]) -> Vec<u8> {
    let mut builder = FrameBuilder::try_new_in(Global).unwrap();
    for (kind, content) in records {
        builder.try_push(*kind, content).unwrap();
    }
    builder.finish(SALT, sequence, 0, 0).unwrap().to_vec()
}

fn records() -> impl Strategy<Value = Vec<(Kind, Vec<u8>)>> {
    let kind = prop_oneof![Just(Kind::Put), Just(Kind::Remove), Just(Kind::SnapshotEnd)];
    prop::collection::vec((kind, prop::collection::vec(any::<u8>(), 0..40)), 0..6)
}

#[test]
fn checksum_is_crc_32c() {
    assert_eq!(CRC_32C.checksum(b"123456789"), 0xE306_9283);
}

#[test]
fn a_changed_bit_of_the_header_is_noticed() {
    let header = Header {
        generation: 7,
        salt: SALT,
        provider: *b"0123456789abcdef",
    };
    let bytes = header.encode();
    assert_eq!(Header::decode(&bytes), Ok(header));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Header::decode(&changed), Err(HeaderFault::Damaged), "bit {bit}");
    }
}

#[test]
fn a_newer_version_is_told_apart_from_damage() {
    let mut bytes = Header {
        generation: 1,
        salt: SALT,
        provider: [0; 16],
    }
    .encode();
    put(&mut bytes, 8, &2_u32.to_le_bytes());
    let crc = CRC_32C.checksum(&bytes[..60]);
    put(&mut bytes, 60, &crc.to_le_bytes());
    assert_eq!(Header::decode(&bytes), Err(HeaderFault::Version(2)));
}

#[test]
fn frames_from_a_file_with_another_salt_do_not_check() {
    let bytes = frame(1, &[(Kind::Put, b"bob".to_vec())]);
    assert!(matches!(step(SALT, 1, &bytes, true), Step::Frame { .. }));
    assert_eq!(step(SALT + 1, 1, &bytes, true), Step::Bad);
}

#[test]
fn a_frame_that_is_full_takes_no_more() {
    let mut builder = FrameBuilder::try_new_in(Global).unwrap();
    let half = std::vec![0; MAX_PAYLOAD / 2];
    builder.try_push(Kind::Put, &half).unwrap();
    assert_eq!(builder.try_push(Kind::Put, &half), Err(FrameError::Full));
    assert_eq!(builder.records(), 1);
}

#[test]
fn a_frame_goes_on_after_it_was_finished_and_into_another_one() {
    let mut builder = FrameBuilder::try_new_in(Global).unwrap();
    builder.try_push(Kind::Put, b"alice").unwrap();
    builder.finish(SALT, 1, 0, 0).unwrap();
    builder.try_push(Kind::Remove, b"bob").unwrap();
    builder.finish(SALT, 1, 0, 0).unwrap();
    let mut other = FrameBuilder::try_new_in(Global).unwrap();
    other.try_push(Kind::SnapshotEnd, b"").unwrap();
    other.try_append(&builder).unwrap();
    let all = [
        (Kind::SnapshotEnd, Vec::new()),
        (Kind::Put, b"alice".to_vec()),
        (Kind::Remove, b"bob".to_vec()),
    ];
    assert_eq!(builder.finish(SALT, 1, 0, 0).unwrap(), frame(1, &all[1..]));
    assert_eq!(other.finish(SALT, 1, 0, 0).unwrap(), frame(1, &all));
}

#[test]
fn a_later_frame_proves_what_had_been_flushed_before_it_and_no_more() {
    let mut builder = FrameBuilder::try_new_in(Global).unwrap();
    builder.try_push(Kind::Put, b"alice").unwrap();
    let later = builder.finish(SALT, 9, 2, 0).unwrap();
    for sequence in 1..12 {
        let found = find_later(SALT, sequence, later);
        assert_eq!(found.is_some(), sequence < 7, "frame {sequence}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(sequence in 1..u64::MAX, records in records()) {
        let bytes = frame(sequence, &records);
        prop_assert_eq!(bytes.len() % ALIGNMENT, 0);
        let Step::Frame { records: read, size } = step(SALT, sequence, &bytes, true) else {
            return Err(TestCaseError::fail("no frame"));
        };
        prop_assert_eq!(size, bytes.len());
        let read: Vec<_> = read.map(|record| record.map(|r| (r.kind, r.content.to_vec())).unwrap()).collect();
        prop_assert_eq!(read, records);
        prop_assert_eq!(step(SALT, sequence + 1, &bytes, true), Step::Bad);
    }

    #[test]
    fn every_shortened_frame_asks_for_more_or_is_bad(records in records(), cut in any::<prop::sample::Index>()) {
        let bytes = frame(1, &records);
        let part = &bytes[..cut.index(bytes.len())];
        prop_assert!(matches!(step(SALT, 1, part, false), Step::More(more) if more > part.len()));
        let expected = if part.is_empty() { Step::End } else { Step::Bad };
        prop_assert_eq!(step(SALT, 1, part, true), expected);
    }

    #[test]
    fn every_changed_bit_of_a_frame_is_noticed(records in records(), bit in any::<prop::sample::Index>()) {
        let mut bytes = frame(1, &records);
        let payload: usize = records.iter().map(|(_, content)| content.len() + RECORD_HEADER_SIZE).sum();
        let bit = bit.index((FRAME_HEADER_SIZE + payload) * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(step(SALT, 1, &bytes, true), Step::Bad);
    }

    #[test]
    fn no_byte_string_makes_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), last: bool) {
        let _ = Header::decode(&bytes);
        let _ = step(SALT, 1, &bytes, last);
        let _ = find_later(SALT, 1, &bytes);
        let records = Records { payload: &bytes, left: 9 };
        prop_assert!(records.count() <= 10);
    }

    #[test]
    fn no_payload_with_a_right_checksum_makes_a_reader_panic(payload in prop::collection::vec(any::<u8>(), 0..200), count in 0..5_u32) {
        let header = FrameHeader {
            length: payload.len().try_into().unwrap(), sequence: 1, records: count, crc: CRC_32C.checksum(&payload), unflushed: 0,
        };
        let mut bytes = header.encode(SALT).to_vec();
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        let Step::Frame { records, .. } = step(SALT, 1, &bytes, true) else {
            return Err(TestCaseError::fail("no frame"));
        };
        prop_assert!(records.count() <= 6);
    }
}
