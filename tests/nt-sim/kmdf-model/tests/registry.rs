//! Keys, values and spin locks.

mod common;

use std::{ptr, sync::Arc, thread};

use common::{World, unicode, wdf, wide};
use kmdf_model::{Rule, types::*};
use sim_platform::nt::*;

/// A world with the driver's parameters key open.
fn opened() -> (Arc<World>, WDFKEY) {
    let world = World::new();
    let driver = world.create_driver(None);
    let mut key = ptr::null_mut();
    let open = |access, key: &mut WDFKEY| {
        wdf!(
            world,
            WdfDriverOpenParametersRegistryKey,
            driver,
            access,
            ptr::null_mut(),
            ptr::from_mut(key)
        )
    };
    assert_eq!(open(KEY_READ, &mut key), STATUS_OBJECT_NAME_NOT_FOUND);
    assert_eq!(
        open(KEY_ALL_ACCESS, &mut key),
        STATUS_SUCCESS,
        "made for a driver that writes"
    );
    (world, key)
}

#[test]
fn numbers_are_read_back_and_other_types_are_not_numbers() {
    let (world, key) = opened();
    let (name, other) = (wide("Number"), wide("Other"));
    let (name, other) = (unicode(&name), unicode(&other));
    let mut number = 0;
    let mut query = |name: &UNICODE_STRING| {
        let status = wdf!(
            world,
            WdfRegistryQueryULong,
            key,
            ptr::from_ref(name),
            &raw mut number
        );
        (status, number)
    };
    assert_eq!(query(&name).0, STATUS_OBJECT_NAME_NOT_FOUND);
    assert_eq!(
        wdf!(world, WdfRegistryAssignULong, key, &raw const name, 0x1234_5678),
        STATUS_SUCCESS
    );
    assert_eq!(query(&name), (STATUS_SUCCESS, 0x1234_5678));
    let mut bytes = [1_u8, 2, 3, 4];
    let status = wdf!(
        world,
        WdfRegistryAssignValue,
        key,
        &raw const other,
        REG_BINARY,
        4,
        bytes.as_mut_ptr().cast()
    );
    assert_eq!(status, STATUS_SUCCESS);
    assert_eq!(query(&other).0, STATUS_OBJECT_TYPE_MISMATCH);
    assert_eq!(
        wdf!(world, WdfRegistryRemoveValue, key, &raw const name),
        STATUS_SUCCESS
    );
    assert_eq!(query(&name).0, STATUS_OBJECT_NAME_NOT_FOUND);
    world.unload();
    assert_eq!(world.violations(), []);
}

#[test]
fn a_short_buffer_gets_the_length_that_is_needed() {
    let (world, key) = opened();
    let (name, text) = (wide("Text"), wide("value"));
    let (name, text) = (unicode(&name), unicode(&text));
    assert_eq!(
        wdf!(
            world,
            WdfRegistryAssignUnicodeString,
            key,
            &raw const name,
            &raw const text
        ),
        STATUS_SUCCESS
    );
    let mut buffer = [0_u16; 6];
    let mut length = 0;
    let mut query = |room: u16, length: &mut u16| {
        let mut value = UNICODE_STRING {
            Length: 0,
            MaximumLength: room,
            Buffer: buffer.as_mut_ptr(),
        };
        let status = wdf!(
            world,
            WdfRegistryQueryUnicodeString,
            key,
            &raw const name,
            ptr::from_mut(length),
            &raw mut value
        );
        (status, value.Length)
    };
    assert_eq!(query(8, &mut length), (STATUS_BUFFER_OVERFLOW, 0));
    assert_eq!(length, 12, "with the terminating zero");
    assert_eq!(query(12, &mut length), (STATUS_SUCCESS, 10));
    assert_eq!(buffer[..5], wide("value"));

    let (mut queried, mut kind) = (0, 0);
    let status = wdf!(
        world,
        WdfRegistryQueryValue,
        key,
        &raw const name,
        0,
        ptr::null_mut(),
        &raw mut queried,
        &raw mut kind
    );
    assert_eq!((status, queried, kind), (STATUS_BUFFER_OVERFLOW, 12, REG_SZ));
}

#[test]
fn keys_below_a_key_are_made_opened_and_removed() {
    let (world, parent) = opened();
    let name = wide("Sub");
    let name = unicode(&name);
    let mut disposition = 0;
    let mut create = || {
        let mut key = ptr::null_mut();
        let status = wdf!(
            world,
            WdfRegistryCreateKey,
            parent,
            &raw const name,
            KEY_ALL_ACCESS,
            0,
            &raw mut disposition,
            ptr::null_mut(),
            &raw mut key
        );
        assert_eq!(status, STATUS_SUCCESS);
        (key, disposition)
    };
    let (key, fate) = create();
    assert_eq!(fate, REG_CREATED_NEW_KEY);
    assert!(!wdf!(world, WdfRegistryWdmGetHandle, key).is_null());
    wdf!(world, WdfRegistryClose, key);
    let (key, fate) = create();
    assert_eq!(fate, REG_OPENED_EXISTING_KEY);
    assert_eq!(wdf!(world, WdfRegistryRemoveKey, key), STATUS_SUCCESS);
    let mut again = ptr::null_mut();
    let status = wdf!(
        world,
        WdfRegistryOpenKey,
        parent,
        &raw const name,
        KEY_READ,
        ptr::null_mut(),
        &raw mut again
    );
    assert_eq!(status, STATUS_OBJECT_NAME_NOT_FOUND);
    wdf!(world, WdfRegistryClose, key);
    assert!(
        matches!(*world.violations(), [Rule::UseAfterDestroy { .. }]),
        "the removal has closed it"
    );
    world.unload();
}

#[test]
fn a_spin_lock_excludes_and_belongs_to_its_holder() {
    let world = World::new();
    world.create_driver(None);
    let mut lock = ptr::null_mut();
    let status = wdf!(world, WdfSpinLockCreate, ptr::null_mut(), &raw mut lock);
    assert_eq!(status, STATUS_SUCCESS);
    let raw = lock.addr();
    let total = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (world, total) = (Arc::clone(&world), Arc::clone(&total));
            thread::spawn(move || {
                world.enter();
                let lock: WDFSPINLOCK = ptr::without_provenance_mut(raw);
                for _ in 0..1000 {
                    wdf!(world, WdfSpinLockAcquire, lock);
                    // Not one step: another thread between them would be seen.
                    let before = total.load(std::sync::atomic::Ordering::Relaxed);
                    total.store(before + 1, std::sync::atomic::Ordering::Relaxed);
                    wdf!(world, WdfSpinLockRelease, lock);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("the thread does not panic");
    }
    assert_eq!(total.load(std::sync::atomic::Ordering::Relaxed), 2000);
    assert_eq!(world.violations(), []);
    wdf!(world, WdfSpinLockRelease, lock);
    assert_eq!(world.violations(), [Rule::LockNotHeld { lock: raw }]);
}
