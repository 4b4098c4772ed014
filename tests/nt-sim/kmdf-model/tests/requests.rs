//! Requests and files: completion, cancellation, buffers, the order of file events.

mod common;

use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Barrier},
    thread,
};

use common::{World, attributes, context_type, evt_cancel, machine::Ended, size, wdf};
use kmdf_model::{DeviceId, FileId, IrpId, Kind, Rule, types::*};
use sim_platform::nt::*;

const DISPATCH: WDF_IO_QUEUE_DISPATCH_TYPE = _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel;

/// A machine whose driver has a device with a parallel queue and an open file.
fn opened() -> (Arc<World>, DeviceId, FileId) {
    let world = World::new();
    let driver = world.create_driver(None);
    let (device, id) = world.create_device(driver, None);
    world.create_queue(device, DISPATCH);
    let (file, status) = world.open(id);
    assert_eq!(status, STATUS_SUCCESS);
    (world, id, file)
}

fn mark(world: &World, request: WDFREQUEST) -> NTSTATUS {
    wdf!(world, WdfRequestMarkCancelableEx, request, Some(evt_cancel))
}

fn count(world: &World, what: &str) -> usize {
    world.log().iter().filter(|line| *line == what).count()
}

#[test]
fn a_request_is_completed_once() {
    let (world, device, file) = opened();
    let irp = world.send(device, file, 0);
    let request = world.take_pended();
    wdf!(
        world,
        WdfRequestCompleteWithInformation,
        request,
        STATUS_SUCCESS,
        0
    );
    assert_eq!(
        world.ended(irp),
        Ended {
            status: STATUS_SUCCESS,
            information: 0
        }
    );
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
    assert_eq!(world.seen().violations.len(), 1, "the second time is reported");
    world.ended(irp);
}

#[test]
fn a_request_with_references_is_told_to_be_completed() {
    let (world, device, file) = opened();
    world.send(device, file, 0);
    let request = world.take_pended();
    wdf!(
        world,
        WdfObjectReferenceActual,
        request.cast(),
        ptr::null_mut(),
        0,
        ptr::null()
    );
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
    wdf!(world, WdfRequestGetFileObject, request);
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
    let raw = request.addr();
    assert_eq!(
        world.violations(),
        [
            Rule::UsedAfterCompletion { request: raw },
            Rule::CompletedTwice { request: raw }
        ]
    );
    wdf!(
        world,
        WdfObjectDereferenceActual,
        request.cast(),
        ptr::null_mut(),
        0,
        ptr::null()
    );
    assert_eq!(world.seen().violations.len(), 2);
}

#[test]
fn cancelling_calls_the_cancel_callback_once() {
    let (world, device, file) = opened();
    let irp = world.send(device, file, 0);
    let request = world.take_pended();
    assert_eq!(mark(&world, request), STATUS_SUCCESS);
    world.cancel(irp);
    world.cancel(irp);
    assert_eq!(world.ended(irp).status, STATUS_CANCELLED);
    assert_eq!(count(&world, "EvtRequestCancel"), 1);
    assert_eq!(world.violations(), []);
}

#[test]
fn a_request_that_was_cancelled_before_cannot_be_marked() {
    let (world, device, file) = opened();
    let irp = world.send(device, file, 0);
    let request = world.take_pended();
    assert_eq!(wdf!(world, WdfRequestIsCanceled, request), 0);
    world.cancel(irp);
    assert!(
        !world.is_ended(irp),
        "the driver has it, and has not made it cancelable"
    );
    assert_eq!(wdf!(world, WdfRequestIsCanceled, request), 1);
    assert_eq!(mark(&world, request), STATUS_CANCELLED);
    assert_eq!(count(&world, "EvtRequestCancel"), 0);
    wdf!(world, WdfRequestComplete, request, STATUS_CANCELLED);
    world.ended(irp);
    assert_eq!(world.violations(), []);
}

#[test]
fn a_packet_that_was_cancelled_on_its_way_does_not_reach_the_driver() {
    let (world, device, file) = opened();
    let irp = IrpId(1);
    world.cancel(irp);
    world.send_as(device, file, 0, irp, &mut [], 0, 0);
    assert_eq!(world.ended(irp).status, STATUS_CANCELLED);
    assert_eq!(count(&world, "EvtIoDeviceControl"), 0);
}

#[test]
fn unmarking_wins_or_loses_against_cancellation() {
    let (world, device, file) = opened();
    let irp = world.send(device, file, 0);
    let request = world.take_pended();
    let unmark = || wdf!(world, WdfRequestUnmarkCancelable, request);
    assert_eq!(unmark(), STATUS_INVALID_PARAMETER, "it was not marked");
    mark(&world, request);
    assert_eq!(unmark(), STATUS_SUCCESS);
    world.cancel(irp);
    assert_eq!(count(&world, "EvtRequestCancel"), 0);
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
    assert_eq!(world.ended(irp).status, STATUS_SUCCESS);
    assert_eq!(world.violations(), []);
}

#[test]
fn a_request_whose_cancellation_has_begun_cannot_be_unmarked() {
    extern "C" fn cancel_late(request: WDFREQUEST) {
        let world = World::current();
        let status = wdf!(world, WdfRequestUnmarkCancelable, request);
        world.seen().log.push(format!("unmarked {status:#x}"));
        evt_cancel(request);
    }
    let (world, device, file) = opened();
    let irp = world.send(device, file, 0);
    let request = world.take_pended();
    let status = wdf!(world, WdfRequestMarkCancelableEx, request, Some(cancel_late));
    assert_eq!(status, STATUS_SUCCESS);
    world.cancel(irp);
    assert_eq!(count(&world, &format!("unmarked {STATUS_CANCELLED:#x}")), 1);
    assert_eq!(world.ended(irp).status, STATUS_CANCELLED);
    assert_eq!(world.violations(), []);
}

#[test]
fn completing_a_cancelable_request_is_reported() {
    let (world, device, file) = opened();
    let irp = world.send(device, file, 0);
    let request = world.take_pended();
    mark(&world, request);
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
    let rule = Rule::CompletedWhileCancelable {
        request: request.addr(),
    };
    assert_eq!(world.violations(), [rule]);
    world.cancel(irp);
    assert_eq!(count(&world, "EvtRequestCancel"), 0, "it is done");
    world.ended(irp);
}

#[test]
fn completion_and_cancellation_race_to_one_end() {
    let (world, device, file) = opened();
    for _ in 0..500 {
        let irp = world.send(device, file, 0);
        let request = world.take_pended();
        assert_eq!(mark(&world, request), STATUS_SUCCESS);
        let raw = request.addr();
        let start = Arc::new(Barrier::new(2));
        let completer = {
            let (world, start) = (Arc::clone(&world), Arc::clone(&start));
            thread::spawn(move || {
                world.enter();
                start.wait();
                let request: WDFREQUEST = ptr::without_provenance_mut(raw);
                let won = wdf!(world, WdfRequestUnmarkCancelable, request) == STATUS_SUCCESS;
                if won {
                    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
                }
                won
            })
        };
        start.wait();
        world.cancel(irp);
        let won = completer.join().expect("the completer does not panic");
        let expected = if won { STATUS_SUCCESS } else { STATUS_CANCELLED };
        assert_eq!(world.ended(irp).status, expected);
    }
    // An unmark that comes after the cancel callback has completed the request is late: drivers
    // hold a lock against that, this one does not.
    let others = world.violations().into_iter().filter(|rule| {
        !matches!(
            rule,
            Rule::UseAfterDestroy { .. } | Rule::UsedAfterCompletion { .. }
        )
    });
    assert_eq!(others.count(), 0);
    world.kmdf.cleanup(device, file);
    world.kmdf.close(device, file);
    world.unload();
}

#[test]
fn what_is_reported_fits_the_output_buffer() {
    let (world, device, file) = opened();
    let mut buffer = [1, 2, 3, 4];
    world.send_as(device, file, 0, IrpId(1), &mut buffer, 4, 2);
    let request = world.take_pended();
    wdf!(
        world,
        WdfRequestCompleteWithInformation,
        request,
        STATUS_SUCCESS,
        3
    );
    let rule = Rule::InformationTooLarge {
        information: 3,
        output_length: 2,
    };
    assert_eq!(world.violations(), [rule]);
    world.send_as(device, file, 0, IrpId(2), &mut buffer, 4, 2);
    let request = world.take_pended();
    wdf!(
        world,
        WdfRequestCompleteWithInformation,
        request,
        STATUS_BUFFER_TOO_SMALL,
        3
    );
    assert_eq!(world.seen().violations.len(), 1, "an error copies nothing out");
}

#[test]
fn input_and_output_share_one_buffer() {
    let (world, device, file) = opened();
    let mut buffer = [1, 2, 3, 4];
    world.send_as(device, file, 0x22_2004, IrpId(1), &mut buffer, 4, 2);
    let request = world.take_pended();
    let (mut input, mut output) = (ptr::null_mut::<c_void>(), ptr::null_mut::<c_void>());
    let mut length = 0;
    let status = wdf!(
        world,
        WdfRequestRetrieveInputBuffer,
        request,
        4,
        &raw mut input,
        &raw mut length
    );
    assert_eq!((status, length), (STATUS_SUCCESS, 4));
    let status = wdf!(
        world,
        WdfRequestRetrieveOutputBuffer,
        request,
        1,
        &raw mut output,
        &raw mut length
    );
    assert_eq!((status, length), (STATUS_SUCCESS, 2));
    assert_eq!(input, output);
    let status = wdf!(
        world,
        WdfRequestRetrieveOutputBuffer,
        request,
        3,
        &raw mut output,
        ptr::null_mut()
    );
    assert_eq!(status, STATUS_BUFFER_TOO_SMALL);

    let mut parameters = WDF_REQUEST_PARAMETERS {
        Size: 40,
        ..WDF_REQUEST_PARAMETERS::default()
    };
    wdf!(world, WdfRequestGetParameters, request, &raw mut parameters);
    assert_eq!(parameters.Type, _WDF_REQUEST_TYPE::WdfRequestTypeDeviceControl);
    // SAFETY: the type says which member is set.
    let control = unsafe { parameters.Parameters.DeviceIoControl };
    assert_eq!(
        (
            control.IoControlCode,
            control.InputBufferLength,
            control.OutputBufferLength
        ),
        (0x22_2004, 4, 2)
    );
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);

    world.send(device, file, 0x22_2004);
    let request = world.take_pended();
    let status = wdf!(
        world,
        WdfRequestRetrieveInputBuffer,
        request,
        0,
        &raw mut input,
        ptr::null_mut()
    );
    assert_eq!(status, STATUS_BUFFER_TOO_SMALL, "there is none");
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
    assert_eq!(world.violations(), []);
}

#[test]
fn a_request_context_is_cleaned_up_before_its_packet_is_completed() {
    extern "C" fn cleanup(_object: WDFOBJECT) {
        World::current().seen().log.push("cleanup".to_owned());
    }
    extern "C" fn destroy(_object: WDFOBJECT) {
        World::current().seen().log.push("destroy".to_owned());
    }
    let world = World::new();
    let driver = world.create_driver(None);
    let mut requests = attributes();
    requests.EvtCleanupCallback = Some(cleanup);
    requests.EvtDestroyCallback = Some(destroy);
    requests.ContextTypeInfo = context_type(32);
    let (device, id) = world.create_device(driver, Some(requests));
    world.create_queue(device, DISPATCH);
    let (file, _) = world.open(id);
    world.seen().log.clear();
    world.send(id, file, 0);
    wdf!(world, WdfRequestComplete, world.take_pended(), STATUS_SUCCESS);
    let log: Vec<_> = world
        .log()
        .into_iter()
        .filter(|line| !line.starts_with("Evt"))
        .collect();
    assert_eq!(log, ["cleanup", "IoCompleteRequest", "destroy"]);
}

#[test]
fn the_children_of_a_request_go_with_it() {
    extern "C" fn cleanup(_object: WDFOBJECT) {
        World::current().seen().log.push("child".to_owned());
    }
    let (world, device, file) = opened();
    world.send(device, file, 0);
    let request = world.take_pended();
    let mut attributes = attributes();
    attributes.ParentObject = request.cast();
    attributes.EvtCleanupCallback = Some(cleanup);
    attributes.ContextTypeInfo = context_type(8);
    let mut child = ptr::null_mut();
    let status = wdf!(world, WdfObjectCreate, &raw mut attributes, &raw mut child);
    assert_eq!(status, STATUS_SUCCESS);
    world.seen().log.clear();
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
    let log: Vec<_> = world
        .log()
        .into_iter()
        .filter(|line| !line.starts_with("Evt"))
        .collect();
    assert_eq!(log, ["child", "IoCompleteRequest"]);
    assert!(world.seen().memory.is_empty());
    assert_eq!(world.violations(), []);
}

#[test]
fn file_events_come_in_order_and_nothing_follows_a_failed_open() {
    extern "C" fn refuse(_device: WDFDEVICE, request: WDFREQUEST, _file: WDFFILEOBJECT) {
        wdf!(
            World::current(),
            WdfRequestComplete,
            request,
            STATUS_ACCESS_DENIED
        );
    }
    let (world, device, file) = opened();
    world.kmdf.cleanup(device, file);
    world.kmdf.close(device, file);
    let log = world.log();
    let events: Vec<_> = log.iter().filter(|line| line.contains("File")).collect();
    assert_eq!(events, ["EvtDeviceFileCreate", "EvtFileCleanup", "EvtFileClose"]);

    let world = World::new();
    let driver = world.create_driver(None);
    let sddl = common::wide("D:P");
    let sddl = common::unicode(&sddl);
    let mut init = wdf!(world, WdfControlDeviceInitAllocate, driver, &raw const sddl);
    let mut files = WDF_FILEOBJECT_CONFIG {
        Size: size::<WDF_FILEOBJECT_CONFIG>(),
        EvtDeviceFileCreate: Some(refuse),
        FileObjectClass: _WDF_FILEOBJECT_CLASS::WdfFileObjectWdfCannotUseFsContexts,
        ..WDF_FILEOBJECT_CONFIG::default()
    };
    let mut attributes = attributes();
    attributes.ContextTypeInfo = context_type(8);
    wdf!(
        world,
        WdfDeviceInitSetFileObjectConfig,
        init,
        &raw mut files,
        &raw mut attributes
    );
    let mut device = ptr::null_mut();
    let status = wdf!(
        world,
        WdfDeviceCreate,
        &raw mut init,
        ptr::null_mut(),
        &raw mut device
    );
    assert_eq!(status, STATUS_SUCCESS);
    let id = *world.seen().devices.values().next().expect("a device");
    let (_, status) = world.open(id);
    assert_eq!(status, STATUS_NO_SUCH_DEVICE, "it is not finished yet");
    wdf!(world, WdfControlFinishInitializing, device);
    let (_, status) = world.open(id);
    assert_eq!(status, STATUS_ACCESS_DENIED);
    assert!(world.seen().memory.is_empty(), "the file object is gone");
    world.unload();
    assert_eq!(world.violations(), []);
}

#[test]
fn a_device_without_a_handler_refuses_requests() {
    let world = World::new();
    let driver = world.create_driver(None);
    let (_, device) = world.create_device(driver, None);
    let (file, _) = world.open(device);
    let irp = world.send(device, file, 0);
    assert_eq!(world.ended(irp).status, STATUS_INVALID_DEVICE_REQUEST);
}

#[test]
fn a_request_that_is_never_completed_is_reported_at_unload() {
    let (world, device, file) = opened();
    let irp = world.send(device, file, 0);
    let request = world.take_pended();
    world.unload();
    let found = world.violations();
    assert!(
        found.contains(&Rule::RequestLeaked {
            request: request.addr()
        }),
        "{found:?}"
    );
    assert_eq!(world.ended(irp).status, STATUS_CANCELLED, "nobody waits for ever");
}

#[test]
fn a_completed_request_that_is_still_referenced_is_not_completed_at_unload() {
    let (world, device, file) = opened();
    let irp = world.send(device, file, 0);
    let request = world.take_pended();
    wdf!(
        world,
        WdfObjectReferenceActual,
        request.cast(),
        ptr::null_mut(),
        0,
        ptr::null()
    );
    wdf!(world, WdfRequestComplete, request, STATUS_SUCCESS);
    world.unload();
    assert_eq!(world.ended(irp).status, STATUS_SUCCESS);
    let leaked = Rule::ReferenceLeaked {
        handle: request.addr(),
        kind: Kind::Request,
        references: 1,
    };
    assert!(world.violations().contains(&leaked));
}
