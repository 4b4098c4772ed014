//! Table 3.1, row by row.

use super::*;

const REGISTERED: State = State::Registered;
const DEREGISTERED: State = State::Deregistered;

const C: &str = "[2001:db8::3]:3";
const A_TCP: &str = "192.0.2.1:1/6";
const B_TCP: &str = "192.0.2.2:2/6";
const C_TCP: &str = "[2001:db8::3]:3/6";

fn bob(state: State, addresses: &[&str]) -> (State, Vec<String>) {
    (state, addresses.iter().copied().map(String::from).collect())
}

/// A store with bob at A and B, or without him.
fn with_bob(exists: bool) -> Fixture {
    let mut fixture = Fixture::new();
    if exists {
        assert_eq!(fixture.set(&call(REGISTER, 0, &[A, B])), Ok((2, 0)));
    }
    fixture
}

#[test]
fn table_register_overwrites_an_object() {
    let mut fixture = with_bob(true);
    assert_eq!(fixture.set(&call(REGISTER, 0, &[B, C])), Ok((1, 1)));
    assert_eq!(fixture.bob(), Some(bob(REGISTERED, &[B_TCP, C_TCP])));
}

#[test]
fn table_register_creates_an_object() {
    let mut fixture = with_bob(false);
    assert_eq!(fixture.set(&call(REGISTER, 0, &[A])), Ok((1, 0)));
    assert_eq!(fixture.bob(), Some(bob(REGISTERED, &[A_TCP])));
}

#[test]
fn table_register_multiple_adds_to_an_object() {
    let mut fixture = with_bob(true);
    assert_eq!(fixture.set(&call(REGISTER, MULTIPLE, &[B, C])), Ok((1, 0)));
    assert_eq!(fixture.bob(), Some(bob(REGISTERED, &[A_TCP, B_TCP, C_TCP])));
}

#[test]
fn table_register_multiple_creates_an_object() {
    let mut fixture = with_bob(false);
    assert_eq!(fixture.set(&call(REGISTER, MULTIPLE, &[A, C])), Ok((2, 0)));
    assert_eq!(fixture.bob(), Some(bob(REGISTERED, &[A_TCP, C_TCP])));
}

#[test]
fn table_deregister_takes_all_addresses_and_keeps_the_object() {
    let mut fixture = with_bob(true);
    assert_eq!(fixture.set(&call(DEREGISTER, 0, &[])), Ok((0, 2)));
    assert_eq!(fixture.bob(), Some(bob(DEREGISTERED, &[])));
}

#[test]
fn table_deregister_multiple_takes_the_given_addresses() {
    let mut fixture = with_bob(true);
    assert_eq!(fixture.set(&call(DEREGISTER, MULTIPLE, &[A])), Ok((0, 1)));
    assert_eq!(fixture.bob(), Some(bob(REGISTERED, &[B_TCP])));
    assert_eq!(fixture.set(&call(DEREGISTER, MULTIPLE, &[B])), Ok((0, 1)));
    assert_eq!(fixture.bob(), Some(bob(DEREGISTERED, &[])));
}

#[test]
fn table_delete_removes_the_object() {
    let mut fixture = with_bob(true);
    assert_eq!(fixture.set(&call(DELETE, 0, &[])), Ok((0, 2)));
    assert_eq!(fixture.bob(), None);
}

#[test]
fn table_delete_multiple_removes_the_object_with_its_last_address() {
    let mut fixture = with_bob(true);
    assert_eq!(fixture.set(&call(DELETE, MULTIPLE, &[A])), Ok((0, 1)));
    assert_eq!(fixture.bob(), Some(bob(REGISTERED, &[B_TCP])));
    assert_eq!(fixture.set(&call(DELETE, MULTIPLE, &[B])), Ok((0, 1)));
    assert_eq!(fixture.bob(), None);
}

#[test]
fn table_deregister_and_delete_do_not_find_what_does_not_exist() {
    for operation in [DEREGISTER, DELETE] {
        for flags in [0, MULTIPLE] {
            let mut fixture = with_bob(false);
            assert_eq!(
                fixture.set(&call(operation, flags, &[A])),
                Err(WsaCode::WSASERVICE_NOT_FOUND)
            );
            assert!(fixture.store.is_empty());
        }
    }
}
