//! Requests that wait: each is answered or cancelled, exactly once, whoever is faster.

mod support;

use nt_sim::io::{Access, FileHandle, Identity};
use nt_sim::ntstatus::NtStatus;
use support::driver::{COUNTS, GO, HOLD, RELEASE, SECOND, SOON, WAIT};
use support::{PATH, started, stop};

fn count(handle: &FileHandle, index: usize) -> u64 {
    let data = handle.call(COUNTS, b"", 100).data;
    u64::from_le_bytes(data[8 * index..][..8].try_into().unwrap())
}

/// How many calls are alive, and how many were cancelled.
fn calls(handle: &FileHandle) -> (u64, u64) {
    (count(handle, 4), count(handle, 5))
}

/// How many requests were held up.
fn held(handle: &FileHandle) -> u64 {
    count(handle, 6)
}

/// Answers what waits; says how many requests that were.
fn release(handle: &FileHandle) -> u64 {
    let data = handle.call(RELEASE, b"", 8).data;
    u64::from_le_bytes(data.try_into().unwrap())
}

#[test]
fn a_request_waits_until_it_is_answered() {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    let waiting = handle.submit(WAIT, b"later", 10);
    assert!(!waiting.is_complete());
    assert_eq!(calls(&handle), (1, 0));
    assert_eq!(release(&handle), 1);
    let reply = waiting.wait();
    assert_eq!(
        (reply.status, reply.data.as_slice()),
        (NtStatus::SUCCESS, b"later".as_slice())
    );
    assert_eq!(calls(&handle), (0, 0));
    handle.close_and_wait();
    stop(&machine);
}

#[test]
fn cancelling_completes_at_once_and_orphans_the_call() {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    let waiting = handle.submit(WAIT, b"never", 10);
    assert!(waiting.cancel());
    assert_eq!(waiting.wait().status, NtStatus::CANCELLED);
    // The call is still there, for whoever answers it.
    assert_eq!(calls(&handle), (1, 1));
    // The answer finds no request, and the call goes.
    assert_eq!(release(&handle), 0);
    assert_eq!(calls(&handle), (0, 1));
    handle.close_and_wait();
    stop(&machine);
}

#[test]
fn a_call_has_room_for_one_request() {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    let waiting = handle.submit(WAIT, b"first", 10);
    assert_eq!(
        handle.call(SECOND, b"", 10).status,
        NtStatus::INVALID_DEVICE_STATE
    );
    assert_eq!(release(&handle), 1);
    assert_eq!(waiting.wait().data, b"first");
    handle.close_and_wait();
    stop(&machine);
}

#[test]
fn a_dying_process_takes_its_requests_with_it() {
    let machine = started();
    let observer_process = machine.process(Identity::System);
    let observer = observer_process.open(PATH, Access::READ).unwrap();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    let waiting: Vec<_> = (0..10).map(|_| handle.submit(WAIT, b"x", 1)).collect();
    process.kill();
    for request in waiting {
        assert_eq!(request.wait().status, NtStatus::CANCELLED);
    }
    drop(handle);
    assert_eq!(calls(&observer), (10, 10));
    assert_eq!(release(&observer), 0);
    assert_eq!(calls(&observer), (0, 10));
    observer.close_and_wait();
    stop(&machine);
}

#[test]
fn a_request_that_was_cancelled_before_it_could_wait_is_completed_by_who_would_have_pended_it() {
    let machine = started();
    let observer_process = machine.process(Identity::System);
    let observer = observer_process.open(PATH, Access::READ).unwrap();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    std::thread::scope(|scope| {
        let request = scope.spawn(|| handle.call(HOLD, b"late", 4));
        while held(&observer) == 0 {
            std::thread::yield_now();
        }
        let death = scope.spawn(|| process.kill());
        while !process.is_dead() {
            std::thread::yield_now();
        }
        // Let the kernel get from there to the request. Should it take longer, the request is cancelled
        // while it waits, and ends the same way.
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(observer.call(GO, b"", 0).status, NtStatus::SUCCESS);
        assert_eq!(request.join().unwrap().status, NtStatus::CANCELLED);
        death.join().unwrap();
    });
    drop(handle);
    assert_eq!(calls(&observer).0, 1);
    assert_eq!(release(&observer), 0);
    assert_eq!(calls(&observer).0, 0);
    observer.close_and_wait();
    stop(&machine);
}

#[test]
fn a_request_is_completed_once_when_answer_pending_and_cancellation_race() {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    let (mut answered, mut cancelled) = (0, 0);
    for round in 0..2000_u32 {
        let input = round.to_le_bytes();
        let request = handle.submit(SOON, &input, 4);
        if round % 3 != 0 {
            request.cancel();
        }
        let reply = request.wait();
        match reply.status {
            NtStatus::SUCCESS => {
                assert_eq!(reply.data, input);
                answered += 1;
            }
            NtStatus::CANCELLED => {
                assert_eq!(reply.data, b"");
                cancelled += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(answered + cancelled, 2000);
    assert!(answered >= 2000 / 3, "a request that nobody cancels is answered");
    handle.close_and_wait();
    stop(&machine);
}

#[test]
fn a_request_is_completed_once_when_many_threads_answer_and_cancel() {
    let machine = started();
    let process = machine.process(Identity::Administrator);
    let handle = process.open(PATH, Access::READ).unwrap();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4_u32)
            .map(|number| {
                let (handle, process) = (&handle, &process);
                scope.spawn(move || {
                    for round in 0..200_u32 {
                        let request = handle.submit(WAIT, b"race", 4);
                        match (round + number) % 3 {
                            0 => {
                                request.cancel();
                            }
                            1 => {
                                let other = process.open(PATH, Access::READ).unwrap();
                                release(&other);
                            }
                            _ => {}
                        }
                        // Whatever else happens, this one ends.
                        release(handle);
                        let reply = request.wait();
                        assert!([NtStatus::SUCCESS, NtStatus::CANCELLED].contains(&reply.status));
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
    assert_eq!(calls(&handle).0, 0);
    handle.close_and_wait();
    stop(&machine);
}
