//! Queues: how many requests the driver has at a time, stopping, purging.

mod common;

use std::{ptr, sync::Arc, thread};

use common::{World, evt_cancel, machine::set_irql, size, wdf};
use kmdf_model::{DeviceId, FileId, Rule, types::*};
use sim_platform::nt::*;

const SEQUENTIAL: WDF_IO_QUEUE_DISPATCH_TYPE = _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchSequential;
const PARALLEL: WDF_IO_QUEUE_DISPATCH_TYPE = _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel;

fn opened(dispatch: WDF_IO_QUEUE_DISPATCH_TYPE) -> (Arc<World>, WDFQUEUE, DeviceId, FileId) {
    let world = World::new();
    let driver = world.create_driver(None);
    let (device, id) = world.create_device(driver, None);
    let queue = world.create_queue(device, dispatch);
    let (file, _) = world.open(id);
    (world, queue, id, file)
}

fn presented(world: &World) -> usize {
    world
        .log()
        .iter()
        .filter(|line| *line == "EvtIoDeviceControl")
        .count()
}

fn complete_at_once(world: &World, request: WDFREQUEST, _code: u32) {
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
}

fn complete(world: &World) {
    wdf!(world, WdfRequestComplete, world.take_pended(), STATUS_SUCCESS);
}

#[test]
fn a_parallel_queue_presents_all_requests() {
    let (world, _, device, file) = opened(PARALLEL);
    for _ in 0..3 {
        world.send(device, file, 0);
    }
    assert_eq!(presented(&world), 3);
}

#[test]
fn a_sequential_queue_presents_one_request_at_a_time() {
    let (world, _, device, file) = opened(SEQUENTIAL);
    let irps = [(); 3].map(|()| world.send(device, file, 0));
    for (done, irp) in irps.into_iter().enumerate() {
        assert_eq!(presented(&world), done + 1);
        complete(&world);
        assert!(world.is_ended(irp), "in the order of arrival");
    }
}

#[test]
fn a_sequential_queue_keeps_its_promise_among_threads() {
    let (world, _, device, file) = opened(SEQUENTIAL);
    *world.on_control.lock().expect("not poisoned") = Some(complete_at_once);
    let senders: Vec<_> = (0..4)
        .map(|_| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.enter();
                (0..200).map(|_| world.send(device, file, 0)).collect::<Vec<_>>()
            })
        })
        .collect();
    // Whose request waits returns at once; another sender may still be completing it.
    let mut sent = Vec::new();
    for sender in senders {
        sent.extend(sender.join().expect("the sender does not panic"));
    }
    for irp in sent {
        world.ended(irp);
    }
    assert_eq!(presented(&world), 800);
    assert_eq!(world.violations(), []);
}

#[test]
fn waiting_requests_do_not_nest_on_the_stack() {
    let (world, _, device, file) = opened(SEQUENTIAL);
    let first = world.send(device, file, 0);
    let rest: Vec<_> = (0..1000).map(|_| world.send(device, file, 0)).collect();
    *world.on_control.lock().expect("not poisoned") = Some(complete_at_once);
    complete(&world);
    world.ended(first);
    for irp in rest {
        world.ended(irp);
    }
    let most = world.inside.lock().expect("not poisoned").1;
    assert_eq!(most, 1, "each handler returns before the next is called");
}

#[test]
fn a_passive_queue_is_not_served_at_dispatch_level() {
    let (world, _, device, file) = opened(SEQUENTIAL);
    world.send(device, file, 0);
    world.send(device, file, 0);
    set_irql(2);
    complete(&world);
    set_irql(0);
    assert_eq!(presented(&world), 1);
    let work = world.seen().deferred.remove(0);
    world.kmdf.run_deferred(work);
    assert_eq!(presented(&world), 2);
    assert_eq!(world.violations(), []);
}

#[test]
fn a_waiting_request_is_cancelled_without_the_driver() {
    let (world, _, device, file) = opened(SEQUENTIAL);
    world.send(device, file, 0);
    let waiting = world.send(device, file, 0);
    world.cancel(waiting);
    assert_eq!(world.ended(waiting).status, STATUS_CANCELLED);
    complete(&world);
    assert_eq!(presented(&world), 1);
}

#[test]
fn cleanup_cancels_what_the_driver_has_not_seen() {
    let (world, _, device, file) = opened(SEQUENTIAL);
    let (other, _) = world.open(device);
    let owned = world.send(device, file, 0);
    let waiting = world.send(device, file, 0);
    let others = world.send(device, other, 0);
    world.kmdf.cleanup(device, file);
    assert_eq!(world.ended(waiting).status, STATUS_CANCELLED);
    assert!(!world.is_ended(owned) && !world.is_ended(others));
}

#[test]
fn a_stopped_queue_holds_requests_until_it_is_started() {
    extern "C" fn stopped(_queue: WDFQUEUE, _context: WDFCONTEXT) {
        World::current().seen().log.push("stopped".to_owned());
    }
    let (world, queue, device, file) = opened(PARALLEL);
    world.send(device, file, 0);
    wdf!(world, WdfIoQueueStop, queue, Some(stopped), ptr::null_mut());
    world.send(device, file, 0);
    assert_eq!(presented(&world), 1);
    assert!(
        !world.log().iter().any(|line| line == "stopped"),
        "the driver has one"
    );
    complete(&world);
    assert!(world.log().iter().any(|line| line == "stopped"));
    let (mut queued, mut owned) = (0, 0);
    wdf!(world, WdfIoQueueGetState, queue, &raw mut queued, &raw mut owned);
    assert_eq!((queued, owned), (1, 0));
    wdf!(world, WdfIoQueueStart, queue);
    assert_eq!(presented(&world), 2);
}

#[test]
fn a_purged_queue_cancels_and_refuses() {
    fn mark(world: &World, request: WDFREQUEST, _code: u32) {
        let status = wdf!(world, WdfRequestMarkCancelableEx, request, Some(evt_cancel));
        assert_eq!(status, STATUS_SUCCESS);
    }
    let (world, queue, device, file) = opened(SEQUENTIAL);
    *world.on_control.lock().expect("not poisoned") = Some(mark);
    let irps = [world.send(device, file, 0), world.send(device, file, 0)];
    wdf!(world, WdfIoQueuePurgeSynchronously, queue);
    for irp in irps {
        assert_eq!(world.ended(irp).status, STATUS_CANCELLED);
    }
    let late = world.send(device, file, 0);
    assert_eq!(world.ended(late).status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(world.violations(), []);
}

#[test]
fn a_parallel_queue_that_presents_nothing_is_refused() {
    let world = World::new();
    let driver = world.create_driver(None);
    let (device, _) = world.create_device(driver, None);
    let mut config = WDF_IO_QUEUE_CONFIG {
        Size: size::<WDF_IO_QUEUE_CONFIG>(),
        DispatchType: PARALLEL,
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    let mut queue = ptr::null_mut();
    let mut create = || {
        wdf!(
            world,
            WdfIoQueueCreate,
            device,
            &raw mut config,
            ptr::null_mut(),
            &raw mut queue
        )
    };
    assert_eq!(create(), STATUS_INVALID_PARAMETER);
    config.DispatchType = _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchManual;
    let mut create = || {
        wdf!(
            world,
            WdfIoQueueCreate,
            device,
            &raw mut config,
            ptr::null_mut(),
            &raw mut queue
        )
    };
    assert_eq!(create(), STATUS_NOT_SUPPORTED);
    assert!(matches!(
        *world.violations(),
        [
            Rule::InvalidParameter { .. },
            Rule::Unsupported {
                feature: "manual queues"
            }
        ]
    ));
}
