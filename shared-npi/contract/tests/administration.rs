//! Messages of administration: what is written is read back.

mod common;

use common::{text, written};
use nsemail_contract::wire::{
    ChainPart, EnableRequest, ExplainReply, ExplainRequest, Explained, InstallRequest, ListRequest,
    OpenSession, OrderRequest, ProviderFlags, ProviderRequest, RecordState, Reply, ReplyWriter,
    SessionsReply, SessionsRequest, Tail, UninstallRequest,
};
use nsemail_contract::{Fault, FaultKind, Guid, Text, WsaCode};
use proptest::prelude::*;

/// Writes a reply into enough space.
fn reply(write: impl FnOnce(&mut ReplyWriter<'_>), tail: Tail) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let mut writer = ReplyWriter::new(&mut bytes).unwrap();
    write(&mut writer);
    let size = writer.finish(WsaCode::NO_ERROR, tail);
    bytes.truncate(size);
    bytes
}

proptest! {
    #[test]
    fn explanations_are_read_back(
        name in text(),
        parts in prop::collection::vec(prop::sample::select(&ChainPart::ALL[..]), 0..12),
        guid in any::<u128>(),
    ) {
        let name = Text::from_str(&name).unwrap();
        let request = ExplainRequest { name };
        let bytes = written(|out| request.write(out));
        prop_assert_eq!(ExplainRequest::parse(&bytes), Ok(request));

        let entry = |(order, part): (u32, &ChainPart)| Explained {
            part: *part,
            flags: ProviderFlags::ENABLED,
            order,
            provider: Guid::from_u128(guid),
            identifier: name,
        };
        let entries: Vec<Explained<'_>> = (0..).zip(&parts).map(entry).collect();
        let bytes = reply(|writer| entries.iter().for_each(|entry| entry.write(writer).unwrap()), Tail::Required);
        let reply = Reply::parse(&bytes).unwrap();
        let read: Vec<_> = ExplainReply::read(&reply).unwrap().providers().map(Result::unwrap).collect();
        prop_assert_eq!(read, entries);
    }
}

proptest! {
    #[test]
    fn changes_of_the_catalogue_are_read_back(guids in prop::collection::vec(any::<u128>(), 1..20), enabled in any::<bool>()) {
        let guids: Vec<Guid> = guids.into_iter().map(Guid::from_u128).collect();
        let bytes = written(|out| OrderRequest::write(&guids, out));
        let read: Vec<Guid> = OrderRequest::parse(&bytes).unwrap().providers().collect();
        prop_assert_eq!(&read, &guids);
        let request = EnableRequest { provider: guids[0], enabled };
        let bytes = written(|out| request.write(out));
        prop_assert_eq!(EnableRequest::parse(&bytes), Ok(request));
        let request = ProviderRequest { provider: guids[0] };
        let bytes = written(|out| request.write(out));
        prop_assert_eq!(ProviderRequest::parse(&bytes), Ok(request));
    }
}

proptest! {
    #[test]
    fn changes_of_what_is_hosted_are_read_back(
        guid in any::<u128>(),
        name in text(),
        blob in prop::collection::vec(any::<u8>(), 0..60),
        delete_names in any::<bool>(),
    ) {
        let provider = Guid::from_u128(guid);
        let request = InstallRequest { provider, identifier: Text::from_str(&name).unwrap(), blob: &blob };
        let bytes = written(|out| request.write(out));
        prop_assert_eq!(InstallRequest::parse(&bytes), Ok(request));
        for length in 0..bytes.len() {
            prop_assert!(InstallRequest::parse(&bytes[..length]).is_err());
        }
        let request = ListRequest {
            cursor: 7,
            provider,
            state: Some(RecordState::Deregistered),
            domain: Text::from_str(&name).unwrap(),
        };
        let bytes = written(|out| request.write(out));
        prop_assert_eq!(ListRequest::parse(&bytes), Ok(request));
        let request = UninstallRequest {
            provider,
            delete_names,
        };
        let bytes = written(|out| request.write(out));
        prop_assert_eq!(UninstallRequest::parse(&bytes), Ok(request));
    }
}

proptest! {
    #[test]
    fn open_sessions_are_read_back(numbers in any::<[u64; 3]>(), sessions in any::<u32>(), guid in any::<u128>()) {
        let request = SessionsRequest { after: numbers[0] };
        let bytes = written(|out| request.write(out));
        prop_assert_eq!(SessionsRequest::parse(&bytes), Ok(request));
        let entry = OpenSession {
            number: numbers[0],
            sessions,
            look_ups: numbers[1],
            calls: numbers[2],
            provider: Guid::from_u128(guid),
        };
        let bytes = reply(|writer| (0..3).for_each(|_| entry.write(writer).unwrap()), Tail::Continued);
        let reply = Reply::parse(&bytes).unwrap();
        let read: Vec<_> = SessionsReply::read(&reply).unwrap().sessions().map(Result::unwrap).collect();
        prop_assert_eq!(read, [entry; 3]);
    }
}

#[test]
fn a_provider_is_enabled_or_disabled_and_nothing_else() {
    let request = EnableRequest {
        provider: Guid::from_u128(1),
        enabled: true,
    };
    let mut bytes = written(|out| request.write(out));
    bytes[24] = 2;
    assert_eq!(
        EnableRequest::parse(&bytes),
        Err(Fault::new(FaultKind::BadValue, 24))
    );
}

#[test]
fn an_order_lists_as_many_providers_as_it_says() {
    let mut bytes = written(|out| OrderRequest::write(&[Guid::from_u128(1)], out));
    for count in [0_u32, 2, u32::MAX] {
        bytes[8..12].copy_from_slice(&count.to_le_bytes());
        assert!(OrderRequest::parse(&bytes).is_err(), "{count}");
    }
}

#[test]
fn parts_of_a_chain_have_numbers_and_names_of_their_own() {
    for (index, part) in ChainPart::ALL.into_iter().enumerate() {
        assert_eq!(ChainPart::from_u32(part as u32), Some(part));
        let others = ChainPart::ALL.iter().skip(index + 1);
        assert!(
            others
                .clone()
                .all(|other| other.name() != part.name() && other.reason() != part.reason())
        );
    }
    assert_eq!(ChainPart::from_u32(0), None);
}
