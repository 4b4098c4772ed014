//! The machine that the model runs on in its tests.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    ffi::c_void,
    ptr,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use kmdf_model::{
    Deferred, DeviceId, DeviceObject, DeviceSpec, DriverId, Frame, Host, IrpId, Rule, Violation,
};
use sim_platform::{Event, Lock, Platform, ThreadId, nt::*};

thread_local! {
    static IRQL: Cell<u8> = const { Cell::new(0) };
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

/// Native threads.
pub struct TestPlatform;

impl Platform for TestPlatform {
    type Lock<T: Send> = TestLock<T>;
    type Event = TestEvent;

    fn current_thread() -> ThreadId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        THREAD.with(|thread| {
            if thread.get() == 0 {
                thread.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            ThreadId(thread.get())
        })
    }

    fn yield_point() {
        std::thread::yield_now();
    }

    fn irql() -> u8 {
        IRQL.get()
    }
}

/// A mutex that is not recursive, so that a callback under the model's lock would hang.
pub struct TestLock<T>(Mutex<T>);

impl<T: Send> Lock<T> for TestLock<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    fn with<R>(&self, with: impl FnOnce(&mut T) -> R) -> R {
        with(&mut guard(&self.0))
    }

    fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A notification event.
#[derive(Default)]
pub struct TestEvent(Mutex<bool>, Condvar);

impl Event for TestEvent {
    fn new() -> Self {
        Self::default()
    }

    fn set(&self) {
        *guard(&self.0) = true;
        self.1.notify_all();
    }

    fn clear(&self) {
        *guard(&self.0) = false;
    }

    fn is_set(&self) -> bool {
        *guard(&self.0)
    }

    fn wait(&self) {
        let mut set = guard(&self.0);
        while !*set {
            set = self.1.wait(set).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Locks a mutex, whatever became of its last holder.
pub fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the calling thread's IRQL.
pub fn set_irql(irql: u8) {
    IRQL.set(irql);
}

/// How a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: NTSTATUS,
    pub information: usize,
}

type Values = BTreeMap<Vec<u16>, (u32, Vec<u8>)>;

/// What the machine has seen.
#[derive(Default)]
pub struct Seen {
    pub log: Vec<String>,
    pub violations: Vec<Rule>,
    pub ended: BTreeMap<IrpId, Vec<Ended>>,
    pub cancelled: BTreeSet<IrpId>,
    pub devices: BTreeMap<usize, DeviceId>,
    pub links: BTreeSet<Vec<u16>>,
    pub memory: BTreeMap<usize, usize>,
    pub deferred: Vec<Deferred>,
    pub keys: BTreeMap<Vec<u16>, Values>,
    pub open_keys: BTreeMap<usize, Vec<u16>>,
    pub next: usize,
    pub no_memory: bool,
}

/// The machine.
#[derive(Default)]
pub struct TestHost {
    pub seen: Mutex<Seen>,
}

impl TestHost {
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        guard(&self.seen)
    }

    fn path(&self, parent: Option<HANDLE>, path: &[u16]) -> Vec<u16> {
        let mut whole = parent.map_or_else(Vec::new, |parent| self.seen().open_keys[&parent.addr()].clone());
        if parent.is_some() {
            whole.push(u16::from(b'\\'));
        }
        whole.extend_from_slice(path);
        whole
    }

    fn opened(&self, path: Vec<u16>) -> HANDLE {
        let mut seen = self.seen();
        seen.next += 1;
        let handle = seen.next;
        seen.open_keys.insert(handle, path);
        ptr::without_provenance_mut(handle)
    }
}

impl Host for TestHost {
    type Platform = TestPlatform;
    type SpinLock = TestEvent;

    fn callback<R>(&self, frame: Frame, run: impl FnOnce() -> R) -> R {
        self.seen().log.push(frame.callback.to_owned());
        run()
    }

    fn violation(&self, violation: &Violation) {
        self.seen().violations.push(violation.rule);
    }

    fn defer(&self, work: Deferred) {
        self.seen().deferred.push(work);
    }

    unsafe fn driver_created(&self, _driver: DriverId, _object: PDRIVER_OBJECT, _can_unload: bool) {}

    fn create_device(&self, device: &DeviceSpec<'_>) -> Result<DeviceObject, NTSTATUS> {
        let mut seen = self.seen();
        seen.next += 1;
        let object = seen.next;
        seen.devices.insert(object, device.device);
        Ok(DeviceObject(object))
    }

    fn finish_device(&self, _device: DeviceObject) {}

    fn delete_device(&self, device: DeviceObject) {
        let mut seen = self.seen();
        seen.devices.remove(&device.0);
        seen.log.push("IoDeleteDevice".to_owned());
    }

    fn create_symbolic_link(&self, link: &[u16], _device: DeviceObject) -> Result<(), NTSTATUS> {
        if self.seen().links.insert(link.to_vec()) {
            Ok(())
        } else {
            Err(STATUS_OBJECT_NAME_COLLISION)
        }
    }

    fn delete_symbolic_link(&self, link: &[u16]) {
        self.seen().links.remove(link);
    }

    fn complete(&self, irp: IrpId, status: NTSTATUS, information: usize) {
        let mut seen = self.seen();
        seen.log.push("IoCompleteRequest".to_owned());
        seen.ended
            .entry(irp)
            .or_default()
            .push(Ended { status, information });
    }

    fn is_cancelled(&self, irp: IrpId) -> bool {
        self.seen().cancelled.contains(&irp)
    }

    fn allocate(&self, _driver: DriverId, _tag: u32, size: usize) -> *mut c_void {
        let mut seen = self.seen();
        if seen.no_memory {
            return ptr::null_mut();
        }
        let layout = Layout::from_size_align(size, 16).expect("sizes are small");
        // SAFETY: the model's header makes every size more than zero.
        let memory = unsafe { alloc_zeroed(layout) };
        seen.memory.insert(memory.addr(), size);
        memory.cast()
    }

    unsafe fn free(&self, _driver: DriverId, _tag: u32, memory: *mut c_void) {
        let size = self
            .seen()
            .memory
            .remove(&memory.addr())
            .expect("free of what was allocated");
        let layout = Layout::from_size_align(size, 16).expect("sizes are small");
        // SAFETY: `allocate` made it with this layout, and it was in the list until now.
        unsafe { dealloc(memory.cast(), layout) };
    }

    fn new_spin_lock(&self) -> TestEvent {
        TestEvent::default()
    }

    fn acquire_spin_lock(&self, lock: &TestEvent) -> KIRQL {
        let mut held = guard(&lock.0);
        while *held {
            held = lock.1.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        *held = true;
        drop(held);
        IRQL.replace(2)
    }

    fn release_spin_lock(&self, lock: &TestEvent, irql: KIRQL) {
        lock.clear();
        lock.1.notify_one();
        set_irql(irql);
    }

    fn open_key(
        &self,
        parent: Option<HANDLE>,
        path: &[u16],
        _access: ACCESS_MASK,
    ) -> Result<HANDLE, NTSTATUS> {
        let path = self.path(parent, path);
        if self.seen().keys.contains_key(&path) {
            Ok(self.opened(path))
        } else {
            Err(STATUS_OBJECT_NAME_NOT_FOUND)
        }
    }

    fn create_key(
        &self,
        parent: Option<HANDLE>,
        path: &[u16],
        _access: ACCESS_MASK,
        _options: u32,
    ) -> Result<(HANDLE, bool), NTSTATUS> {
        let path = self.path(parent, path);
        let new = !self.seen().keys.contains_key(&path);
        self.seen().keys.entry(path.clone()).or_default();
        Ok((self.opened(path), new))
    }

    fn close_key(&self, key: HANDLE) {
        assert!(self.seen().open_keys.remove(&key.addr()).is_some(), "closed once");
    }

    fn delete_key(&self, key: HANDLE) -> Result<(), NTSTATUS> {
        let mut seen = self.seen();
        let path = seen.open_keys[&key.addr()].clone();
        seen.keys.remove(&path);
        Ok(())
    }

    fn query_value(&self, key: HANDLE, name: &[u16]) -> Result<(u32, Vec<u8>), NTSTATUS> {
        let seen = self.seen();
        let values = &seen.keys[&seen.open_keys[&key.addr()]];
        values.get(name).cloned().ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    }

    fn set_value(&self, key: HANDLE, name: &[u16], kind: u32, data: &[u8]) -> Result<(), NTSTATUS> {
        let mut seen = self.seen();
        let path = seen.open_keys[&key.addr()].clone();
        seen.keys
            .entry(path)
            .or_default()
            .insert(name.to_vec(), (kind, data.to_vec()));
        drop(seen);
        Ok(())
    }

    fn delete_value(&self, key: HANDLE, name: &[u16]) -> Result<(), NTSTATUS> {
        let mut seen = self.seen();
        let path = seen.open_keys[&key.addr()].clone();
        let gone = seen.keys.entry(path).or_default().remove(name);
        gone.map(|_| ()).ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    }
}
