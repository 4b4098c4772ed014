//! The numbered decisions about changes, as far as the store decides them.

use super::*;

#[test]
fn edge_01_registering_a_deregistered_object_counts_as_existing() {
    let deregistered = [full(), call(DEREGISTER, 0, &[])];
    let mut fixture = after(&deregistered);
    fixture.set(&call(REGISTER, 0, &[B])).unwrap();
    assert_eq!(states(&fixture), Some((State::Registered, 1)));
    assert_eq!(details(&fixture), (None, None, None));

    let mut fixture = after(&deregistered);
    fixture.set(&call(REGISTER, MULTIPLE, &[B])).unwrap();
    assert_eq!(states(&fixture), Some((State::Registered, 1)));
    assert_eq!(details(&fixture), all_details());
}

#[test]
fn edge_03_deregistering_twice_changes_nothing_more() {
    let mut fixture = after(&[call(REGISTER, 0, &[A]), call(DEREGISTER, 0, &[])]);
    for flags in [0, MULTIPLE] {
        assert_eq!(fixture.set(&call(DEREGISTER, flags, &[A])), Ok((0, 0)));
        assert_eq!(states(&fixture), Some((State::Deregistered, 0)));
    }
}

#[test]
fn edge_04_deleting_a_deregistered_object_removes_it() {
    for flags in [0, MULTIPLE] {
        let mut fixture = after(&[call(REGISTER, 0, &[A]), call(DEREGISTER, 0, &[])]);
        assert_eq!(fixture.set(&call(DELETE, flags, &[B])), Ok((0, 0)));
        assert_eq!(states(&fixture), None);
    }
}

#[test]
fn edge_05_addresses_that_are_not_there_are_passed_over() {
    for operation in [DEREGISTER, DELETE] {
        let mut fixture = after(&[call(REGISTER, 0, &[A, B])]);
        assert_eq!(
            fixture.set(&call(operation, MULTIPLE, &["192.0.2.9:9", A])),
            Ok((0, 1))
        );
        assert_eq!(states(&fixture), Some((State::Registered, 1)));
        assert_eq!(
            fixture.set(&call(operation, MULTIPLE, &["192.0.2.9:9"])),
            Ok((0, 0))
        );
        assert_eq!(states(&fixture), Some((State::Registered, 1)));
    }
}

#[test]
fn edge_06_registering_without_addresses() {
    let fixture = after(&[call(REGISTER, 0, &[])]);
    assert_eq!(states(&fixture), Some((State::Registered, 0)));
    let mut fixture = after(&[call(REGISTER, 0, &[A])]);
    assert_eq!(fixture.set(&call(REGISTER, MULTIPLE, &[])), Ok((0, 0)));
    assert_eq!(states(&fixture), Some((State::Registered, 1)));
    assert_eq!(fixture.set(&call(REGISTER, 0, &[])), Ok((0, 1)));
    assert_eq!(states(&fixture), Some((State::Registered, 0)));
}

#[test]
fn edge_07_deregister_multiple_without_addresses() {
    let mut fixture = after(&[call(REGISTER, 0, &[A])]);
    assert_eq!(fixture.set(&call(DEREGISTER, MULTIPLE, &[])), Ok((0, 0)));
    assert_eq!(states(&fixture), Some((State::Registered, 1)));
    let mut fixture = after(&[call(REGISTER, 0, &[])]);
    assert_eq!(fixture.set(&call(DEREGISTER, MULTIPLE, &[])), Ok((0, 0)));
    assert_eq!(states(&fixture), Some((State::Deregistered, 0)));
}

#[test]
fn edge_08_delete_multiple_without_addresses() {
    let mut fixture = after(&[call(REGISTER, 0, &[A])]);
    assert_eq!(fixture.set(&call(DELETE, MULTIPLE, &[])), Ok((0, 0)));
    assert_eq!(states(&fixture), Some((State::Registered, 1)));
    let mut fixture = after(&[call(REGISTER, 0, &[])]);
    assert_eq!(fixture.set(&call(DELETE, MULTIPLE, &[])), Ok((0, 0)));
    assert_eq!(states(&fixture), None);
}

#[test]
fn edge_09_without_multiple_addresses_are_ignored_but_checked() {
    for (operation, left) in [(DEREGISTER, Some((State::Deregistered, 0))), (DELETE, None)] {
        let mut fixture = after(&[call(REGISTER, 0, &[A, B])]);
        let mut with_addresses = call(operation, 0, &[A]);
        with_addresses.addresses[0].1 = 99;
        assert_eq!(fixture.set(&with_addresses), Err(WsaCode::WSAEINVAL));
        assert_eq!(states(&fixture), Some((State::Registered, 2)));
        assert_eq!(fixture.set(&call(operation, 0, &[A])), Ok((0, 2)));
        assert_eq!(states(&fixture), left);
    }
}

#[test]
fn edge_11_duplicates_collapse_to_their_first_position() {
    let mut fixture = after(&[call(REGISTER, 0, &[B, A, B])]);
    assert_eq!(fixture.bob().unwrap().1, ["192.0.2.2:2/6", "192.0.2.1:1/6"]);
    assert_eq!(
        fixture.set(&call(REGISTER, MULTIPLE, &["192.0.2.3:3", A])),
        Ok((1, 0))
    );
    assert_eq!(
        fixture.bob().unwrap().1,
        ["192.0.2.2:2/6", "192.0.2.1:1/6", "192.0.2.3:3/6"]
    );
}

#[test]
fn edge_12_and_13_a_protocol_left_open_equals_the_one_it_stands_for() {
    let mut fixture = after(&[call(REGISTER, 0, &[A])]);
    let mut explicit = call(DEREGISTER, MULTIPLE, &[A]);
    explicit.addresses[0].2 = 17;
    assert_eq!(fixture.set(&explicit), Ok((0, 0)), "TCP was registered, not UDP");
    explicit.addresses[0].2 = 6;
    assert_eq!(fixture.set(&explicit), Ok((0, 1)));
}

#[test]
fn edge_12_the_socket_type_is_part_of_an_address() {
    let mut fixture = after(&[call(REGISTER, 0, &[A])]);
    let mut datagram = call(REGISTER, MULTIPLE, &[A]);
    datagram.addresses[0].1 = SOCK_DGRAM;
    assert_eq!(fixture.set(&datagram), Ok((1, 0)));
    assert_eq!(fixture.bob().unwrap().1, ["192.0.2.1:1/6", "192.0.2.1:1/17"]);
}

#[test]
fn edge_17_overwriting_replaces_details_and_clears_absent_ones() {
    let mut fixture = after(&[full()]);
    assert_eq!(details(&fixture), all_details());
    fixture.set(&call(REGISTER, 0, &[A])).unwrap();
    assert_eq!(details(&fixture), (None, None, None));
}

#[test]
fn edge_18_register_multiple_keeps_absent_details_and_an_empty_blob_clears() {
    let mut fixture = after(&[full()]);
    fixture.set(&call(REGISTER, MULTIPLE, &[B])).unwrap();
    assert_eq!(details(&fixture), all_details());
    let update = Call {
        version: Some(4),
        blob: Some(Vec::new()),
        ..call(REGISTER, MULTIPLE, &[])
    };
    fixture.set(&update).unwrap();
    assert_eq!(details(&fixture), (Some(4), Some("office".to_string()), None));
}

#[test]
fn edge_18_an_empty_blob_is_no_blob_when_an_object_is_created() {
    for flags in [0, MULTIPLE] {
        let fixture = after(&[Call {
            blob: Some(Vec::new()),
            ..call(REGISTER, flags, &[A])
        }]);
        assert_eq!(details(&fixture), (None, None, None));
    }
}

#[test]
fn edge_19_deregistering_keeps_details() {
    let fixture = after(&[full(), call(DEREGISTER, 0, &[])]);
    assert_eq!(details(&fixture), all_details());
}

#[test]
fn edge_20_a_blob_is_optional_and_kept_verbatim() {
    let blob: Vec<u8> = (0..=255).collect();
    let fixture = after(&[Call {
        blob: Some(blob.clone()),
        ..call(REGISTER, 0, &[A])
    }]);
    assert_eq!(details(&fixture).2, Some(blob));
}

#[test]
fn edge_21_no_context_is_the_empty_context_and_each_context_is_an_object() {
    let mut fixture = after(&[call(REGISTER, 0, &[A])]);
    let in_context = |context: &str| Call {
        context: Some(context.to_string()),
        ..call(REGISTER, MULTIPLE, &[B])
    };
    assert_eq!(fixture.set(&in_context("")), Ok((1, 0)));
    assert_eq!(fixture.store.len(), 1);
    assert_eq!(fixture.set(&in_context("chat")), Ok((1, 0)));
    assert_eq!(fixture.set(&in_context("CHAT")), Ok((0, 0)));
    assert_eq!(fixture.store.len(), 2);
}

#[test]
fn edge_22_overwriting_takes_the_new_spelling_and_updating_keeps_the_old() {
    let spelled = |flags, name: &str| Call {
        name: name.to_string(),
        ..call(REGISTER, flags, &[A])
    };
    let mut fixture = after(&[call(REGISTER, 0, &[A])]);
    let found =
        |fixture: &Fixture| look_up(fixture, &query("BOB@EXAMPLE.COM"), LookupFlags::RETURN_ALL).unwrap();
    fixture.set(&spelled(0, "Bob@Example.com")).unwrap();
    assert_eq!(found(&fixture), [("Bob@Example.com".to_string(), String::new())]);
    fixture.set(&spelled(MULTIPLE, "bOB@example.com")).unwrap();
    assert_eq!(found(&fixture), [("Bob@Example.com".to_string(), String::new())]);
    assert_eq!(fixture.store.len(), 1);
}

#[test]
fn edge_23_names_that_are_no_addresses_are_refused() {
    for name in [
        "bob",
        "@example.com",
        "bob@",
        "bob smith@example.com",
        "bob@exa mple.com",
        "a@b@c",
    ] {
        let mut fixture = Fixture::new();
        assert_eq!(
            fixture.set(&Call {
                name: name.to_string(),
                ..call(REGISTER, 0, &[])
            }),
            Err(WsaCode::WSAEINVAL),
            "{name}"
        );
    }
    after(&[Call {
        name: "\"b@b\"@example.com".to_string(),
        ..call(REGISTER, 0, &[])
    }]);
    after(&[Call {
        name: "*@example.com".to_string(),
        ..call(REGISTER, 0, &[])
    }]);
}

#[test]
fn edge_26_an_unknown_operation_is_not_supported() {
    assert_eq!(Fixture::new().set(&call(3, 0, &[])), Err(WsaCode::WSAEOPNOTSUPP));
}

#[test]
fn edge_27_unknown_flags_are_refused() {
    for flags in [2, 3, 1 << 30, 1 << 31 | 2] {
        assert_eq!(
            Fixture::new().set(&call(REGISTER, flags, &[])),
            Err(WsaCode::WSAEINVAL)
        );
    }
}

#[test]
fn edge_30_another_namespace_is_refused_by_a_change_and_not_found_by_a_look_up() {
    let elsewhere = Call {
        namespace: 12,
        ..call(REGISTER, 0, &[])
    };
    assert_eq!(Fixture::new().set(&elsewhere), Err(WsaCode::WSAEINVAL));
    let mut fixture = after(&[Call {
        namespace: 37,
        ..call(REGISTER, 0, &[])
    }]);
    fixture
        .set(&Call {
            namespace: 0,
            ..call(REGISTER, 0, &[])
        })
        .unwrap();
    let elsewhere = QuerySet {
        namespace: 12,
        ..query("bob@example.com")
    };
    assert_eq!(
        look_up(&fixture, &elsewhere, LookupFlags::RETURN_ALL),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
}

#[test]
fn edge_31_an_oversize_item_is_invalid_and_a_full_store_is_out_of_memory() {
    let limits = Limits {
        records: 2,
        addresses: 2,
        blob: 4,
        contexts: 2,
        ..Limits::DEFAULT
    };
    let mut fixture = Fixture::with(limits);
    let three = ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3"];
    assert_eq!(fixture.set(&call(REGISTER, 0, &three)), Err(WsaCode::WSAEINVAL));
    let blob = Call {
        blob: Some(std::vec![0; 5]),
        ..call(REGISTER, 0, &[])
    };
    assert_eq!(fixture.set(&blob), Err(WsaCode::WSAEINVAL));
    fixture.set(&call(REGISTER, 0, &three[..2])).unwrap();
    assert_eq!(
        fixture.set(&call(REGISTER, MULTIPLE, &three[2..])),
        Err(WsaCode::WSA_NOT_ENOUGH_MEMORY)
    );
    let named = |name: &str| Call {
        name: name.to_string(),
        ..call(REGISTER, 0, &[])
    };
    fixture.set(&named("eve@example.com")).unwrap();
    assert_eq!(
        fixture.set(&named("mallory@example.com")),
        Err(WsaCode::WSA_NOT_ENOUGH_MEMORY)
    );
    assert_eq!(
        fixture.set(&named("eve@example.com")),
        Ok((0, 0)),
        "what is there may still change"
    );
}

#[test]
fn edge_31_a_name_has_a_limited_number_of_contexts() {
    let mut fixture = Fixture::with(Limits {
        contexts: 3,
        ..Limits::DEFAULT
    });
    let in_context = |context: &str| Call {
        context: Some(context.to_string()),
        ..call(REGISTER, 0, &[])
    };
    fixture.set(&in_context("1")).unwrap();
    fixture.stage(&in_context("2")).unwrap();
    fixture.stage(&in_context("3")).unwrap();
    assert_eq!(
        fixture.stage(&in_context("4")),
        Err(WsaCode::WSA_NOT_ENOUGH_MEMORY)
    );
}

#[test]
fn edge_31_the_bytes_of_a_store_are_limited_also_within_a_batch() {
    let mut fixture = Fixture::with(Limits {
        bytes: 120,
        ..Limits::DEFAULT
    });
    let named = |name: &str| Call {
        name: name.to_string(),
        ..call(REGISTER, 0, &[A])
    };
    fixture.stage(&named("alice@example.com")).unwrap();
    assert_eq!(fixture.stage(&named("bobby@example.com")), Ok((1, 0)));
    assert_eq!(
        fixture.stage(&named("carol@example.com")),
        Err(WsaCode::WSA_NOT_ENOUGH_MEMORY)
    );
    fixture.publish();
    assert_eq!(fixture.store.bytes(), 2 * (16 + 17 + 26));
    fixture
        .set(&Call {
            name: "alice@example.com".to_string(),
            ..call(DELETE, 0, &[])
        })
        .unwrap();
    assert_eq!(fixture.store.bytes(), 16 + 17 + 26);
    fixture.set(&named("carol@example.com")).unwrap();
}

#[test]
fn edge_32_a_list_that_is_partly_bad_changes_nothing() {
    let mut fixture = after(&[call(REGISTER, 0, &[A])]);
    let before = fixture.seen();
    for operation in [REGISTER, DEREGISTER, DELETE] {
        let mut bad = call(operation, MULTIPLE, &[A, B]);
        bad.addresses[1].1 = 0;
        assert_eq!(fixture.set(&bad), Err(WsaCode::WSAEINVAL));
        assert_eq!(fixture.seen(), before);
    }
}

#[test]
fn edge_36_addresses_keep_the_order_of_their_insertion() {
    let mut fixture = after(&[call(REGISTER, 0, &["192.0.2.9:9", "192.0.2.1:1", "192.0.2.5:5"])]);
    fixture.set(&call(REGISTER, MULTIPLE, &["192.0.2.2:2"])).unwrap();
    fixture
        .set(&call(DEREGISTER, MULTIPLE, &["192.0.2.1:1"]))
        .unwrap();
    assert_eq!(
        fixture.bob().unwrap().1,
        ["192.0.2.9:9/6", "192.0.2.5:5/6", "192.0.2.2:2/6"]
    );
}
