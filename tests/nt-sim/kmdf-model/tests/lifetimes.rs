//! Objects: contexts, references, deletion, and what is left when a driver goes.

mod common;

use std::ptr;

use common::{DRIVER, World, attributes, context_type, size, unicode, wdf, wide};
use kmdf_model::{Kind, Rule, types::*};
use sim_platform::nt::*;

/// Notes the name that a context holds in its first byte.
fn note(what: &str, object: WDFOBJECT, info: PCWDF_OBJECT_CONTEXT_TYPE_INFO) {
    let world = World::current();
    let context = wdf!(world, WdfObjectGetTypedContextWorker, object, info);
    // SAFETY: the context has one byte, which exists until the destroy callback returns.
    let name = unsafe { context.cast::<u8>().read() };
    world.seen().log.push(format!("{what} {}", char::from(name)));
}

thread_local! {
    static TYPE: std::cell::Cell<PCWDF_OBJECT_CONTEXT_TYPE_INFO> = const { std::cell::Cell::new(ptr::null()) };
}

extern "C" fn cleanup(object: WDFOBJECT) {
    note("cleanup", object, TYPE.get());
}

extern "C" fn destroy(object: WDFOBJECT) {
    note("destroy", object, TYPE.get());
}

/// Makes an object with a name below a parent (null for the driver).
fn named(world: &World, name: u8, parent: WDFOBJECT) -> WDFOBJECT {
    if TYPE.get().is_null() {
        TYPE.set(context_type(1));
    }
    let mut attributes = attributes();
    attributes.EvtCleanupCallback = Some(cleanup);
    attributes.EvtDestroyCallback = Some(destroy);
    attributes.ContextTypeInfo = TYPE.get();
    attributes.ParentObject = parent;
    let mut object = ptr::null_mut();
    let status = wdf!(world, WdfObjectCreate, &raw mut attributes, &raw mut object);
    assert_eq!(status, STATUS_SUCCESS);
    let context = wdf!(world, WdfObjectGetTypedContextWorker, object, TYPE.get());
    // SAFETY: the context was just made and has one byte.
    unsafe { context.cast::<u8>().write(name) };
    object
}

/// What `note` has written.
fn notes(world: &World) -> Vec<String> {
    let log = world.log();
    log.into_iter().filter(|line| !line.starts_with("Evt")).collect()
}

fn reference(world: &World, object: WDFOBJECT) {
    wdf!(
        world,
        WdfObjectReferenceActual,
        object,
        ptr::null_mut(),
        0,
        ptr::null()
    );
}

fn dereference(world: &World, object: WDFOBJECT) {
    wdf!(
        world,
        WdfObjectDereferenceActual,
        object,
        ptr::null_mut(),
        0,
        ptr::null()
    );
}

#[test]
fn deleting_a_parent_deletes_its_children_first() {
    let world = World::new();
    world.create_driver(None);
    let parent = named(&world, b'p', ptr::null_mut());
    let child = named(&world, b'c', parent);
    named(&world, b'g', child);
    wdf!(world, WdfObjectDelete, parent);
    assert_eq!(
        notes(&world),
        [
            "cleanup g",
            "cleanup c",
            "cleanup p",
            "destroy g",
            "destroy c",
            "destroy p"
        ]
    );
    assert_eq!(world.violations(), []);
    world.unload();
}

#[test]
fn the_context_lives_until_the_last_reference_is_given_back() {
    let world = World::new();
    world.create_driver(None);
    let object = named(&world, b'o', ptr::null_mut());
    reference(&world, object);
    wdf!(world, WdfObjectDelete, object);
    assert_eq!(notes(&world), ["cleanup o"]);
    let context = wdf!(world, WdfObjectGetTypedContextWorker, object, TYPE.get());
    assert!(!context.is_null(), "a reference keeps the context");
    dereference(&world, object);
    assert_eq!(notes(&world), ["cleanup o", "destroy o"]);
    assert!(world.seen().memory.is_empty());
    assert_eq!(world.violations(), []);
}

#[test]
fn a_handle_is_of_no_use_after_its_object_is_destroyed() {
    let world = World::new();
    world.create_driver(None);
    let first = named(&world, b'1', ptr::null_mut());
    wdf!(world, WdfObjectDelete, first);
    let second = named(&world, b'2', ptr::null_mut());
    assert_ne!(first, second, "handles are not used again");
    let context = wdf!(world, WdfObjectGetTypedContextWorker, first, TYPE.get());
    assert!(context.is_null());
    let gone = Rule::UseAfterDestroy {
        handle: first.addr(),
        kind: Kind::Object,
    };
    assert_eq!(world.violations(), [gone]);
    wdf!(world, WdfObjectDelete, second);
}

#[test]
fn values_that_are_no_handles_are_named() {
    let world = World::new();
    let driver = world.create_driver(None);
    let nonsense = ptr::without_provenance_mut(0xDEAD_BEE8);
    wdf!(world, WdfObjectDelete, nonsense);
    wdf!(world, WdfRequestComplete, driver.cast(), STATUS_SUCCESS);
    assert_eq!(
        world.violations(),
        [
            Rule::UnknownHandle { handle: 0xDEAD_BEE8 },
            Rule::WrongHandleType {
                handle: driver.addr(),
                found: Kind::Driver,
                expected: Kind::Request
            },
        ]
    );
}

#[test]
fn more_dereferences_than_references_are_reported() {
    let world = World::new();
    world.create_driver(None);
    let object = named(&world, b'o', ptr::null_mut());
    dereference(&world, object);
    let rule = Rule::TooManyDereferences {
        handle: object.addr(),
    };
    assert_eq!(world.violations(), [rule]);
    assert_eq!(notes(&world), [""; 0], "the object is still there");
    wdf!(world, WdfObjectDelete, object);
}

#[test]
fn a_context_is_found_by_its_type_and_leads_back_to_its_object() {
    let world = World::new();
    world.create_driver(None);
    let (small, large) = (context_type(8), context_type(16));
    let mut first = attributes();
    first.ContextTypeInfo = small;
    first.ContextSizeOverride = 4096;
    let mut object = ptr::null_mut();
    assert_eq!(
        wdf!(world, WdfObjectCreate, &raw mut first, &raw mut object),
        STATUS_SUCCESS
    );
    let mut second = attributes();
    second.ContextTypeInfo = large;
    let mut added = ptr::null_mut();
    let status = wdf!(
        world,
        WdfObjectAllocateContext,
        object,
        &raw mut second,
        &raw mut added
    );
    assert_eq!(status, STATUS_SUCCESS);
    let of_type = |info| wdf!(world, WdfObjectGetTypedContextWorker, object, info);
    assert_eq!(of_type(large), added);
    assert_ne!(of_type(small), added);
    assert!(
        of_type(context_type(8)).is_null(),
        "equal layout is not the same type"
    );
    for context in [of_type(small), of_type(large)] {
        assert_eq!(context.addr() % 16, 0, "contexts are aligned as pool is");
        assert_eq!(wdf!(world, WdfObjectContextGetObject, context), object);
    }
    // SAFETY: the override asked for so many bytes, which are zeroed.
    let zeroed = unsafe { std::slice::from_raw_parts(of_type(small).cast::<u8>(), 4096) };
    assert!(zeroed.iter().all(|byte| *byte == 0));
    let mut again = ptr::null_mut();
    let status = wdf!(
        world,
        WdfObjectAllocateContext,
        object,
        &raw mut second,
        &raw mut again
    );
    assert_eq!((status, again), (STATUS_OBJECT_NAME_EXISTS, added));
    assert_eq!(world.violations(), []);
    world.unload();
}

#[test]
fn without_memory_nothing_is_made() {
    let world = World::new();
    world.create_driver(None);
    let mut attributes = attributes();
    attributes.ContextTypeInfo = context_type(8);
    world.seen().no_memory = true;
    let mut object = ptr::null_mut();
    let status = wdf!(world, WdfObjectCreate, &raw mut attributes, &raw mut object);
    assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES);
    assert!(object.is_null());
    world.unload();
    assert_eq!(world.violations(), []);
}

#[test]
fn unload_calls_the_driver_and_then_deletes_devices() {
    let world = World::new();
    let mut attributes = attributes();
    TYPE.set(context_type(1));
    attributes.EvtDestroyCallback = Some(destroy);
    attributes.ContextTypeInfo = TYPE.get();
    let driver = world.create_driver(Some(attributes));
    world.create_device(driver, None);
    named(&world, b'o', ptr::null_mut());
    world.unload();
    let log = world.log();
    let place = |what: &str| log.iter().position(|line| line.starts_with(what)).expect(what);
    assert!(place("EvtDriverUnload") < place("IoDeleteDevice"));
    assert!(place("IoDeleteDevice") < place("cleanup o"));
    assert!(
        place("destroy o") < place("destroy \0"),
        "the driver object goes last"
    );
    assert_eq!(world.violations(), []);
}

#[test]
fn a_failed_driver_entry_is_undone_without_evt_driver_unload() {
    let world = World::new();
    let driver = world.create_driver(None);
    world.create_device(driver, None);
    named(&world, b'o', ptr::null_mut());
    world.kmdf.unbind(DRIVER);
    let log = world.log();
    assert!(!log.iter().any(|line| line == "EvtDriverUnload"));
    assert!(log.iter().any(|line| line == "cleanup o"));
    assert!(world.seen().devices.is_empty());
    assert!(world.seen().memory.is_empty());
    assert_eq!(world.violations(), []);
}

#[test]
fn what_a_driver_leaves_behind_is_reported_and_removed() {
    let world = World::new();
    let driver = world.create_driver(None);
    let sddl = wide("D:P");
    let sddl = unicode(&sddl);
    let init = wdf!(world, WdfControlDeviceInitAllocate, driver, &raw const sddl);
    assert!(!init.is_null());
    let object = named(&world, b'o', ptr::null_mut());
    reference(&world, object);
    world.unload();
    let leaked = Rule::ReferenceLeaked {
        handle: object.addr(),
        kind: Kind::Object,
        references: 1,
    };
    let mut found = world.violations();
    found.sort_by_key(|rule| *rule == leaked);
    assert_eq!(found, [Rule::DeviceInitLeaked, leaked]);
}

#[test]
fn calls_above_their_irql_are_reported() {
    let world = World::new();
    let driver = world.create_driver(None);
    common::machine::set_irql(2);
    wdf!(world, WdfDriverGetRegistryPath, driver);
    common::machine::set_irql(0);
    assert_eq!(world.violations(), [Rule::IrqlTooHigh { irql: 2, highest: 0 }]);
}

#[test]
fn structures_of_another_size_are_refused() {
    let world = World::new();
    world.create_driver(None);
    let mut attributes = attributes();
    attributes.Size -= 8;
    let mut object = ptr::null_mut();
    let status = wdf!(world, WdfObjectCreate, &raw mut attributes, &raw mut object);
    assert_eq!(status, STATUS_INFO_LENGTH_MISMATCH);
    let rule = Rule::WrongSize {
        structure: "WDF_OBJECT_ATTRIBUTES",
        size: 48,
        expected: 56,
    };
    assert_eq!(world.violations(), [rule]);
}

#[test]
fn a_driver_that_is_not_like_those_of_the_model_is_told_so() {
    extern "C" fn add(_driver: WDFDRIVER, _init: PWDFDEVICE_INIT) -> NTSTATUS {
        STATUS_SUCCESS
    }
    let world = World::new();
    let text = wide(r"\Registry\Machine\x");
    let path = unicode(&text);
    let mut config = WDF_DRIVER_CONFIG {
        Size: size::<WDF_DRIVER_CONFIG>(),
        EvtDriverDeviceAdd: Some(add),
        ..WDF_DRIVER_CONFIG::default()
    };
    let status = wdf!(
        world,
        WdfDriverCreate,
        ptr::without_provenance_mut(0x1000),
        &raw const path,
        ptr::null_mut(),
        &raw mut config,
        ptr::null_mut()
    );
    assert_eq!(status, STATUS_INVALID_PARAMETER);
    assert_eq!(
        world.violations(),
        [Rule::Unsupported {
            feature: "Plug and Play drivers"
        }]
    );
}
