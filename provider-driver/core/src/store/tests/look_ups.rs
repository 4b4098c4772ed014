//! The numbered decisions about look-ups, as far as the store decides them.

use super::*;

#[test]
fn edge_02_a_look_up_of_a_deregistered_object_answers_no_data() {
    let fixture = after(&[call(REGISTER, 0, &[A]), call(DEREGISTER, 0, &[])]);
    assert_eq!(
        look_up(&fixture, &query("bob@example.com"), LookupFlags::RETURN_ALL),
        Err(WsaCode::WSANO_DATA)
    );
    assert_eq!(
        look_up(&fixture, &query("eve@example.com"), LookupFlags::RETURN_ALL),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
}

#[test]
fn edge_24_a_look_up_without_context_finds_only_the_empty_one_unless_it_is_deep() {
    let in_context = |context: &str| Call {
        context: Some(context.to_string()),
        ..call(REGISTER, 0, &[A])
    };
    let fixture = after(&[in_context("video"), in_context(""), in_context("Chat")]);
    let contexts = |query: &QuerySet<'_>, flags| {
        look_up(&fixture, query, flags)
            .map(|found| found.into_iter().map(|(_, context)| context).collect::<Vec<_>>())
    };
    let bob = query("bob@example.com");
    assert_eq!(contexts(&bob, LookupFlags::RETURN_ALL).unwrap(), [""]);
    assert_eq!(contexts(&bob, LookupFlags::DEEP).unwrap(), ["", "Chat", "video"]);
    let chat = QuerySet {
        context: Some(Text::from_str("CHAT").unwrap()),
        ..bob
    };
    assert_eq!(contexts(&chat, LookupFlags::RETURN_ALL).unwrap(), ["Chat"]);
    assert_eq!(contexts(&chat, LookupFlags::DEEP).unwrap(), ["Chat"]);
}

#[test]
fn edge_25_a_look_up_without_name_is_refused_unless_it_asks_for_preferred_names() {
    let none = QuerySet::default();
    assert_eq!(
        Query::from_query(&none, LookupFlags::RETURN_ALL).unwrap_err(),
        WsaCode::WSAEINVAL
    );
    assert!(
        Query::from_query(&none, LookupFlags::RETURN_PREFERRED_NAMES)
            .unwrap()
            .is_none()
    );
}

#[test]
fn edge_32_a_look_up_sees_the_version_that_was_there_when_it_began() {
    let mut fixture = after(&[call(REGISTER, 0, &[A])]);
    let bob = query("bob@example.com");
    let asked = Query::from_query(&bob, LookupFlags::RETURN_ALL).unwrap().unwrap();
    let found = select(&fixture.store, &asked);
    fixture.set(&call(DELETE, 0, &[])).unwrap();
    assert_eq!(see(&found.records[0].view()).1, ["192.0.2.1:1/6"]);
}

#[test]
fn edge_34_versions_are_compared_and_none_counts_as_zero() {
    let asked = |version, comparator| QuerySet {
        version: Some(Version { version, comparator }),
        ..query("bob@example.com")
    };
    let versioned = after(&[full()]);
    let plain = after(&[call(REGISTER, 0, &[A])]);
    let all = LookupFlags::RETURN_ALL;
    for (version, comparator, finds) in [
        (3, 0, true),
        (2, 0, false),
        (2, 1, true),
        (3, 1, true),
        (4, 1, false),
    ] {
        let expected = if finds { Ok(1) } else { Err(WsaCode::WSANO_DATA) };
        assert_eq!(
            look_up(&versioned, &asked(version, comparator), all).map(|found| found.len()),
            expected
        );
    }
    assert_eq!(look_up(&plain, &asked(0, 0), all).map(|found| found.len()), Ok(1));
    assert_eq!(look_up(&plain, &asked(1, 1), all), Err(WsaCode::WSANO_DATA));
    assert_eq!(look_up(&plain, &asked(1, 2), all), Err(WsaCode::WSAEINVAL));
}

#[test]
fn edge_35_a_protocol_filter_that_nothing_passes_answers_no_data() {
    let fixture = after(&[call(REGISTER, 0, &[A])]);
    for (family, protocol, finds) in [
        (0, 0, true),
        (2, 0, true),
        (0, 6, true),
        (2, 17, false),
        (23, 6, false),
    ] {
        let filter = [Protocol { family, protocol }];
        let asked = QuerySet {
            protocols: Protocols::new(&filter),
            ..query("bob@example.com")
        };
        let expected = if finds { Ok(1) } else { Err(WsaCode::WSANO_DATA) };
        assert_eq!(
            look_up(&fixture, &asked, LookupFlags::RETURN_ALL).map(|found| found.len()),
            expected
        );
    }
}

#[test]
fn containers_and_members_that_nothing_has_are_answered_at_once() {
    let bob = query("bob@example.com");
    let begin = |flags| Query::from_query(&bob, flags).map(|_| ());
    assert_eq!(begin(LookupFlags::CONTAINERS), Err(WsaCode::WSANO_DATA));
    assert_eq!(
        begin(LookupFlags::RETURN_TYPE),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(begin(LookupFlags::RETURN_TYPE | LookupFlags::RETURN_NAME), Ok(()));
    assert_eq!(begin(LookupFlags::empty()), Ok(()));
    assert_eq!(
        Query::from_query(&query("bob"), LookupFlags::RETURN_ALL).unwrap_err(),
        WsaCode::WSASERVICE_NOT_FOUND
    );
    assert_eq!(
        Query::from_query(&query("bob@"), LookupFlags::RETURN_ALL).unwrap_err(),
        WsaCode::WSAEINVAL
    );
}
