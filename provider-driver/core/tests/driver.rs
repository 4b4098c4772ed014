//! The provider driver on a simulated machine, called by a client module as another driver would call it.

mod support;

use std::ptr;

use nsemail_contract::codes::WsaCode;
use nsemail_contract::dispatch::{ClientDispatch, VERSION};
use nsemail_contract::guid::Guid;
use nsemail_contract::queryset::QuerySet;
use nsemail_contract::text::Text;
use nt_sim::registry::Value;
use support::*;

const A: &str = "192.0.2.1:1";
const B: &str = "192.0.2.2:2";

fn bob() -> QuerySet<'static> {
    QuerySet {
        name: Some(Text::from_str("bob@example.com").unwrap()),
        ..QuerySet::default()
    }
}

#[test]
fn the_driver_loads_and_unloads_with_no_client() {
    let machine = started();
    stop(&machine);
}

#[test]
fn a_name_that_is_registered_is_found() {
    let (machine, caller, session) = session();
    assert_eq!(
        session.look_up("bob@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    assert_eq!(session.set(REGISTER, 0, "Bob@Example.com", &[A, B]), Ok((2, 0)));
    let answer = &session.look_up("bob@example.com").unwrap()[0];
    assert_eq!(
        (answer.name.as_str(), &answer.addresses),
        ("Bob@Example.com", &vec![A.to_owned(), B.to_owned()])
    );
    assert_eq!(session.set(DEREGISTER, 0, "bob@example.com", &[]), Ok((0, 2)));
    assert_eq!(session.look_up("bob@example.com"), Err(WsaCode::WSANO_DATA));
    assert_eq!(session.set(DELETE, 0, "bob@example.com", &[]), Ok((0, 0)));
    assert_eq!(
        session.set(DELETE, 0, "bob@example.com", &[]),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_registration_outlives_its_session_and_the_driver() {
    let (machine, caller, session) = session();
    session.set(REGISTER, 0, "bob@example.com", &[A]).unwrap();
    session.peer.rundown(session.session);
    caller.deregister();
    for _ in 0..3 {
        machine.stop(SERVICE).unwrap();
        machine.start(SERVICE).unwrap();
        let (caller, session) = client(&machine);
        assert_eq!(session.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
        caller.deregister();
    }
    stop(&machine);
}

#[test]
fn each_hosted_provider_has_a_store_of_its_own() {
    let (machine, caller, session) = session();
    let other = caller.provider(OTHER).session();
    session.set(REGISTER, 0, "bob@example.com", &[A]).unwrap();
    assert_eq!(
        other.look_up("bob@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND)
    );
    other.set(REGISTER, 0, "bob@example.com", &[B]).unwrap();
    assert_eq!(session.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_record_that_does_not_fit_tells_its_size_and_comes_again() {
    let (machine, caller, session) = session();
    session.set(REGISTER, 0, "bob@example.com", &[A]).unwrap();
    let lookup = session.begin(&bob(), ALL).unwrap();
    let (answer, needed) = session.next(lookup, 0, 0);
    assert_eq!(answer, Err(WsaCode::WSAEFAULT));
    assert_eq!(
        session.next(lookup, 0, needed - 8),
        (Err(WsaCode::WSAEFAULT), needed)
    );
    let (answer, length) = session.next(lookup, 0, needed);
    assert_eq!((answer.unwrap().addresses, length), (vec![A.to_owned()], needed));
    assert_eq!(session.next(lookup, 0, 4096), (Err(WsaCode::WSA_E_NO_MORE), 4096));
    assert_eq!(session.next(lookup, 0, 4096), (Err(WsaCode::WSA_E_NO_MORE), 4096));
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_closed_or_foreign_look_up_is_invalid_also_when_its_place_is_used_again() {
    let (machine, caller, session) = session();
    session.set(REGISTER, 0, "bob@example.com", &[A]).unwrap();
    let closed = session.begin(&bob(), ALL).unwrap();
    assert_eq!(session.end(closed), WsaCode::NO_ERROR);
    let open = session.begin(&bob(), ALL).unwrap();
    for handle in [closed, ptr::null_mut(), ptr::without_provenance_mut(12345)] {
        assert_eq!(session.next(handle, 0, 4096).0, Err(WsaCode::WSA_INVALID_HANDLE));
        assert_eq!(session.end(handle), WsaCode::WSA_INVALID_HANDLE);
    }
    let other = caller.provider(OTHER).session();
    assert_eq!(other.end(open), WsaCode::WSA_INVALID_HANDLE);
    assert_eq!(session.end(open), WsaCode::NO_ERROR);
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_look_up_returns_what_was_there_when_it_began() {
    let (machine, caller, session) = session();
    session.set(REGISTER, 0, "bob@example.com", &[A]).unwrap();
    let lookup = session.begin(&bob(), ALL).unwrap();
    session.set(DELETE, 0, "bob@example.com", &[]).unwrap();
    assert_eq!(session.next(lookup, 0, 4096).0.unwrap().addresses, [A]);
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_session_ends_with_as_many_cleanups_as_startups() {
    let (machine, caller, session) = session();
    let peer = &session.peer;
    let mut again = session.session;
    assert_eq!(peer.startup(&mut again), WsaCode::NO_ERROR);
    assert_eq!(again, session.session);
    let lookup = session.begin(&bob(), ALL).unwrap();
    assert_eq!(peer.cleanup(session.session), WsaCode::NO_ERROR);
    assert_eq!(
        session.next(lookup, 0, 0).0,
        Err(WsaCode::WSASERVICE_NOT_FOUND),
        "still open"
    );
    assert_eq!(peer.cleanup(session.session), WsaCode::NO_ERROR);
    assert_eq!(session.end(lookup), WsaCode::WSA_INVALID_HANDLE);
    assert_eq!(session.begin(&bob(), ALL), Err(WsaCode::WSAEINVAL));
    assert_eq!(
        session.set(REGISTER, 0, "bob@example.com", &[]),
        Err(WsaCode::WSAEINVAL)
    );
    assert_eq!(peer.cleanup(ptr::null_mut()), WsaCode::WSAEINVAL, "never started");
    caller.deregister();
    stop(&machine);
}

#[test]
fn rundown_and_cleanup_may_come_in_either_order_and_repeat() {
    let (machine, caller, first) = session();
    let second = first.peer.session();
    let peer = &first.peer;
    let lookup = first.begin(&bob(), ALL).unwrap();
    peer.rundown(first.session);
    peer.rundown(first.session);
    assert_eq!(first.end(lookup), WsaCode::WSA_INVALID_HANDLE);
    assert_eq!(peer.cleanup(first.session), WsaCode::NO_ERROR);
    assert_eq!(peer.cleanup(second.session), WsaCode::NO_ERROR);
    peer.rundown(second.session);
    caller.deregister();
    stop(&machine);
}

#[test]
fn malformed_calls_are_refused_and_change_nothing() {
    let (machine, caller, session) = session();
    session.set(REGISTER, 0, "bob@example.com", &[A]).unwrap();
    let set = |query: &QuerySet<'_>, operation, flags| {
        let form = Form::new(query);
        // SAFETY: the form is valid.
        unsafe { session.set_raw(form.as_ptr(), operation, flags) }
            .unwrap()
            .map(drop)
    };
    assert_eq!(set(&bob(), 3, 0), Err(WsaCode::WSAEOPNOTSUPP));
    assert_eq!(set(&bob(), DELETE, 2), Err(WsaCode::WSAEINVAL));
    assert_eq!(set(&QuerySet::default(), DELETE, 0), Err(WsaCode::WSAEINVAL));
    let elsewhere = QuerySet {
        namespace: 12,
        ..bob()
    };
    assert_eq!(set(&elsewhere, DELETE, 0), Err(WsaCode::WSAEINVAL));
    assert_eq!(session.begin(&elsewhere, ALL), Err(WsaCode::WSASERVICE_NOT_FOUND));
    assert_eq!(session.begin(&QuerySet::default(), ALL), Err(WsaCode::WSAEINVAL));
    // SAFETY: null is allowed.
    let null = unsafe { session.set_raw(ptr::null(), DELETE, 0) };
    assert_eq!(null.unwrap().map(drop), Err(WsaCode::WSAEINVAL));
    let mut stranger = session.clone();
    stranger.peer.provider = Guid::from_u128(1);
    assert_eq!(stranger.begin(&bob(), ALL), Err(WsaCode::WSAEINVAL));
    assert_eq!(session.addresses("bob@example.com"), Ok(vec![A.to_owned()]));
    caller.deregister();
    stop(&machine);
}

#[test]
fn edge_29_the_provider_parameter_decides_and_the_member_is_ignored() {
    let (machine, caller, session) = session();
    let other = caller.provider(OTHER).session();
    let for_other = QuerySet {
        provider: Some(OTHER),
        ..bob()
    };
    let form = Form::new(&for_other);
    // SAFETY: the form is valid.
    let set = |operation| unsafe { session.set_raw(form.as_ptr(), operation, 0) };
    let completion = set(REGISTER).unwrap().unwrap();
    assert_eq!(completion.wait(), Ok((0, 0)));
    let lookup = session.begin(&for_other, ALL).unwrap();
    assert!(session.next(lookup, 0, 4096).0.is_ok());
    assert_eq!(session.end(lookup), WsaCode::NO_ERROR);
    assert_eq!(
        other.look_up("bob@example.com"),
        Err(WsaCode::WSASERVICE_NOT_FOUND),
        "the other provider was not asked"
    );
    assert_eq!(set(DELETE).unwrap().unwrap().wait(), Ok((0, 0)));
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_client_with_a_bad_dispatch_table_is_declined() {
    static EMPTY: ClientDispatch = ClientDispatch {
        version: VERSION,
        size: ClientDispatch::SIZE,
        complete_async_call: None,
    };
    let (machine, caller, _session) = session();
    for dispatch in [None, Some(&EMPTY)] {
        let refused = Caller::with_dispatch(&machine, dispatch);
        // Both modules were registered before, so attaching was tried, and refused, inside.
        let accepted = Caller::register(&machine);
        accepted.provider(PROVIDER);
        let _ = refused.attached();
        refused.deregister();
        accepted.deregister();
    }
    caller.deregister();
    stop(&machine);
}

#[test]
fn limits_are_configurable_and_kept() {
    let machine = installed();
    set_parameter(&machine, "MaxObjects", 2);
    set_parameter(&machine, "MaxLookupsPerSession", 1);
    set_parameter(&machine, "MaxSessions", 2);
    machine.start(SERVICE).unwrap();
    let (caller, session) = client(&machine);
    session.set(REGISTER, 0, "a@example.com", &[]).unwrap();
    session.set(REGISTER, 0, "b@example.com", &[]).unwrap();
    assert_eq!(
        session.set(REGISTER, 0, "c@example.com", &[]),
        Err(WsaCode::WSA_NOT_ENOUGH_MEMORY)
    );
    let first = session.begin(&bob(), ALL).unwrap();
    assert_eq!(session.begin(&bob(), ALL), Err(WsaCode::WSA_NOT_ENOUGH_MEMORY));
    assert_eq!(session.end(first), WsaCode::NO_ERROR);
    session.begin(&bob(), ALL).unwrap();
    let second = session.peer.session();
    assert_eq!(
        session.peer.startup(&mut ptr::null_mut()),
        WsaCode::WSA_NOT_ENOUGH_MEMORY
    );
    assert_eq!(session.peer.cleanup(second.session), WsaCode::NO_ERROR);
    session.peer.session();
    caller.deregister();
    stop(&machine);
}

#[test]
fn a_malformed_entry_is_left_out_and_the_others_are_hosted() {
    let machine = installed();
    let bad = format!(r"{PARAMETERS}\Providers\{{11111111-2222-3333-4444-555555555555}}");
    machine.registry().create_path(&bad).unwrap();
    machine
        .registry()
        .put(&bad, "Identifier", Value::sz("no blob"))
        .unwrap();
    machine
        .registry()
        .create_path(&format!(r"{PARAMETERS}\Providers\not a guid"))
        .unwrap();
    let off = format!(r"{PARAMETERS}\Providers\{{C2B81F06-9D47-4E3A-A1F5-5E08D7643B29}}");
    machine.registry().put(&off, "Enabled", Value::dword(0)).unwrap();
    machine.start(SERVICE).unwrap();
    let caller = Caller::register(&machine);
    caller.provider(PROVIDER);
    assert_eq!(caller.attached(), 1);
    caller.deregister();
    stop(&machine);
}
