//! The framework's objects, in one table of slots under one lock.
//!
//! Nothing in here calls out: functions of this module look things up and change them while the
//! lock is held, and say what is to be called after it was released.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::ffi::c_void;

use sim_platform::nt::{HANDLE, PDRIVER_OBJECT, UNICODE_STRING};

use crate::{
    CallbackIrql, DriverId, Host, IrpId, Rule,
    device::{Device, DeviceInit},
    file::File,
    handle::{Handle, Kind},
    placed::Placed,
    queue::Queue,
    request::Request,
    spinlock::SpinLock,
    types::{
        PCWDF_OBJECT_CONTEXT_TYPE_INFO, PFN_WDF_DRIVER_UNLOAD, PFN_WDF_OBJECT_CONTEXT_CLEANUP,
        PFN_WDF_OBJECT_CONTEXT_DESTROY, PWDF_DRIVER_GLOBALS, WDF_DRIVER_GLOBALS,
    },
};

/// A pointer, or a value with pointers in it, that is kept, compared and handed back, and not
/// followed by whoever keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Kept<T>(pub T);

// SAFETY: a kept pointer is a plain value to the model; whoever follows it argues for that where it
// is done.
unsafe impl<T> Send for Kept<*mut T> {}

// SAFETY: as above.
unsafe impl<T> Send for Kept<*const T> {}

// SAFETY: as above; the pointers are inside.
unsafe impl Send for Kept<UNICODE_STRING> {}

// SAFETY: as above; the one pointer inside is a handle.
unsafe impl Send for Kept<WDF_DRIVER_GLOBALS> {}

/// How far the deletion of an object has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In use.
    Live,
    /// Its cleanup callbacks are being called, or are about to be.
    Deleting,
    /// Deleted; references keep its context in being.
    Deleted,
}

/// One context of an object, with the callbacks that came with it.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Null if the attributes brought callbacks only.
    pub info: Kept<PCWDF_OBJECT_CONTEXT_TYPE_INFO>,
    /// What the driver sees; null as above.
    pub memory: Kept<*mut c_void>,
    pub cleanup: PFN_WDF_OBJECT_CONTEXT_CLEANUP,
    pub destroy: PFN_WDF_OBJECT_CONTEXT_DESTROY,
}

/// The contexts of an object; nearly all have at most one.
#[derive(Clone, Debug, Default)]
pub struct Contexts {
    first: Option<Context>,
    more: Vec<Context>,
}

impl Contexts {
    pub fn push(&mut self, context: Context) {
        if self.first.is_none() {
            self.first = Some(context);
        } else {
            self.more.push(context);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Context> {
        self.first.iter().chain(self.more.iter())
    }

    /// Whether the driver is to be called when the object goes.
    pub fn have_callbacks(&self) -> bool {
        self.iter()
            .any(|context| context.cleanup.is_some() || context.destroy.is_some())
    }
}

pub struct Driver {
    pub object: Kept<PDRIVER_OBJECT>,
    pub unload: PFN_WDF_DRIVER_UNLOAD,
    /// With a terminating zero. Not changed, as drivers keep a pointer to it.
    pub registry_path: Vec<u16>,
}

/// What is particular to a type of object.
pub enum Data<H: Host> {
    Driver(Driver),
    Device(Box<Device>),
    Queue(Box<Queue<H>>),
    Request(Request),
    File(File),
    Key(Kept<HANDLE>),
    SpinLock(Arc<SpinLock<H>>),
    Object,
    DeviceInit(Box<DeviceInit>),
}

impl<H: Host> Data<H> {
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Driver(_) => Kind::Driver,
            Self::Device(_) => Kind::Device,
            Self::Queue(_) => Kind::Queue,
            Self::Request(_) => Kind::Request,
            Self::File(_) => Kind::File,
            Self::Key(_) => Kind::Key,
            Self::SpinLock(_) => Kind::SpinLock,
            Self::Object => Kind::Object,
            Self::DeviceInit(_) => Kind::DeviceInit,
        }
    }
}

pub struct Object<H: Host> {
    /// Index into [`State::drivers`].
    pub driver: usize,
    pub parent: Option<Handle>,
    pub children: Vec<Handle>,
    /// One for the object's being there, until it is deleted, and those that were taken.
    pub references: u32,
    pub stage: Stage,
    /// The level of the callbacks of this object and of those that inherit from it.
    pub execution: CallbackIrql,
    pub contexts: Contexts,
    pub data: Data<H>,
}

struct Slot<H: Host> {
    generation: u32,
    /// What the handles of all generations so far were; only their kinds can tell.
    object: Option<Object<H>>,
}

/// A driver that is bound to the framework.
pub struct Binding {
    pub id: DriverId,
    pub globals: Placed<Kept<WDF_DRIVER_GLOBALS>>,
    /// Tag of the contexts of its objects.
    pub tag: u32,
    /// Its WDFDRIVER.
    pub object: Option<Handle>,
}

/// A driver by the host's name for it, and the tag of the contexts of its objects.
pub type Owner = (DriverId, u32);

pub struct State<H: Host> {
    slots: Vec<Slot<H>>,
    free: Vec<usize>,
    pub drivers: Vec<Option<Binding>>,
}

impl<H: Host> Default for State<H> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            drivers: Vec::new(),
        }
    }
}

impl<H: Host> State<H> {
    /// Puts an object into a slot and below its parent.
    ///
    /// Gives it back if the parent is being deleted or is gone.
    pub fn insert(&mut self, object: Object<H>) -> Result<Handle, Box<Object<H>>> {
        let parent = object.parent;
        if let Some(parent) = parent
            && self.find(parent).is_none_or(|parent| parent.stage != Stage::Live)
        {
            return Err(Box::new(object));
        }
        let kind = object.data.kind();
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                object: None,
            });
            self.slots.len() - 1
        });
        let slot = &mut self.slots[index];
        let handle = Handle {
            kind,
            index,
            generation: slot.generation,
        };
        slot.object = Some(object);
        if Self::is_listed(kind)
            && let Some(parent) = parent.and_then(|parent| self.find(parent))
        {
            parent.children.push(handle);
        }
        Ok(handle)
    }

    /// Whether objects of a kind are in the lists of their parents' children. Requests and files come and go too often;
    /// their device and queue count them in their own ways.
    const fn is_listed(kind: Kind) -> bool {
        !matches!(kind, Kind::Request | Kind::File)
    }

    /// Takes an object out of its slot, whose handles become stale.
    pub fn remove(&mut self, handle: Handle) -> Option<Object<H>> {
        let object = self.slot_of(handle)?.object.take()?;
        self.vacate(handle, object.parent);
        Some(object)
    }

    /// As [`remove`](Self::remove), for who needs a part of the object only: the rest is dropped where it is.
    pub fn remove_for<R>(&mut self, handle: Handle, part: impl FnOnce(&mut Object<H>) -> R) -> Option<R> {
        let slot = self.slot_of(handle)?;
        let object = slot.object.as_mut()?;
        let (parent, part) = (object.parent, part(object));
        slot.object = None;
        self.vacate(handle, parent);
        Some(part)
    }

    fn slot_of(&mut self, handle: Handle) -> Option<&mut Slot<H>> {
        let slot = self.slots.get_mut(handle.index)?;
        (slot.generation == handle.generation).then_some(slot)
    }

    /// Gives a slot free whose object is gone.
    fn vacate(&mut self, handle: Handle, parent: Option<Handle>) {
        if let Some(slot) = self.slot_of(handle) {
            slot.generation = Handle::next_generation(slot.generation);
            self.free.push(handle.index);
        }
        if Self::is_listed(handle.kind)
            && let Some(parent) = parent.and_then(|parent| self.find(parent))
        {
            parent.children.retain(|child| *child != handle);
        }
    }

    /// Gives a reference to an object back; tells whether it was the last one.
    pub fn give_back(&mut self, handle: Handle) -> bool {
        self.find(handle).is_some_and(|object| {
            object.references = object.references.saturating_sub(1);
            object.references == 0
        })
    }

    /// Returns the object of a handle that the model itself kept.
    pub fn find(&mut self, handle: Handle) -> Option<&mut Object<H>> {
        self.slot_of(handle)?.object.as_mut()
    }

    /// Checks a handle that a driver passed, for an object that may be deleted but has references.
    pub fn resolve_any(&mut self, raw: usize, expected: Kind) -> Result<(Handle, &mut Object<H>), Rule> {
        let handle = Handle::parse(raw).ok_or(Rule::UnknownHandle { handle: raw })?;
        let fits = handle.kind == expected || (expected == Kind::Object && handle.kind != Kind::DeviceInit);
        if !fits {
            return Err(Rule::WrongHandleType {
                handle: raw,
                found: handle.kind,
                expected,
            });
        }
        let slots = self.slots.len();
        match self.find(handle) {
            Some(object) => Ok((handle, object)),
            None if handle.index < slots => Err(Rule::UseAfterDestroy {
                handle: raw,
                kind: handle.kind,
            }),
            None => Err(Rule::UnknownHandle { handle: raw }),
        }
    }

    /// Checks a handle that a driver passed, for an object that is not deleted yet.
    pub fn resolve(&mut self, raw: usize, expected: Kind) -> Result<(Handle, &mut Object<H>), Rule> {
        let (handle, object) = self.resolve_any(raw, expected)?;
        if object.stage != Stage::Deleted {
            Ok((handle, object))
        } else if handle.kind == Kind::Request {
            Err(Rule::UsedAfterCompletion { request: raw })
        } else {
            Err(Rule::UseAfterDestroy {
                handle: raw,
                kind: handle.kind,
            })
        }
    }

    /// Returns the binding that owns `globals`.
    pub fn binding_of(&self, globals: PWDF_DRIVER_GLOBALS) -> Option<(usize, &Binding)> {
        self.drivers.iter().enumerate().find_map(|(index, binding)| {
            let binding = binding.as_ref()?;
            (binding.globals.as_ptr().addr() == globals.addr()).then_some((index, binding))
        })
    }

    /// Returns the binding of a driver by the host's name for it.
    pub fn binding_by_id(&self, id: DriverId) -> Option<(usize, &Binding)> {
        self.drivers.iter().enumerate().find_map(|(index, binding)| {
            let binding = binding.as_ref()?;
            (binding.id == id).then_some((index, binding))
        })
    }

    /// Returns the driver that an object belongs to, and the tag of its contexts.
    pub fn owner(&self, driver: usize) -> Option<Owner> {
        let binding = self.drivers.get(driver)?.as_ref()?;
        Some((binding.id, binding.tag))
    }

    /// Lists the requests that are not completed, with the objects' handles.
    pub fn requests(&self) -> impl Iterator<Item = (Handle, &Request)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let Data::Request(request) = &slot.object.as_ref()?.data else {
                return None;
            };
            let handle = Handle {
                kind: Kind::Request,
                index,
                generation: slot.generation,
            };
            (!request.is_completed()).then_some((handle, request))
        })
    }

    /// Returns the request of a packet that is under way. Few packets are ever cancelled, so they are not indexed.
    pub fn request_of(&self, irp: IrpId) -> Option<Handle> {
        let mut requests = self.requests();
        requests
            .find(|(_, request)| request.irp == irp)
            .map(|(handle, _)| handle)
    }

    /// Lists the objects that belong to a driver.
    pub fn objects_of(&self, driver: usize) -> Vec<Handle> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| {
                let object = slot.object.as_ref()?;
                (object.driver == driver).then(|| Handle {
                    kind: object.data.kind(),
                    index,
                    generation: slot.generation,
                })
            })
            .collect()
    }
}

/// Accessors for a handle that the model kept: the object's own data, if it is still there.
macro_rules! data_accessors {
    ($($find:ident $check:ident $kind:ident -> $ty:ty;)*) => {
        impl<H: Host> State<H> {$(
            #[doc = concat!("Returns the data of a ", stringify!($kind), " that the model kept the handle of.")]
            #[allow(dead_code, reason = "made for every kind alike")]
            pub fn $find(&mut self, handle: Handle) -> Option<&mut $ty> {
                match &mut self.find(handle)?.data {
                    Data::$kind(data) => Some(data),
                    _ => None,
                }
            }

            #[doc = concat!("Checks a ", stringify!($kind), " handle that a driver passed.")]
            #[allow(dead_code, reason = "made for every kind alike")]
            pub fn $check<T>(&mut self, raw: *mut T) -> Result<(Handle, &mut $ty), Rule> {
                let (handle, object) = self.resolve(raw.addr(), Kind::$kind)?;
                match &mut object.data {
                    Data::$kind(data) => Ok((handle, data)),
                    _ => Err(Rule::UnknownHandle { handle: raw.addr() }),
                }
            }
        )*}
    };
}

data_accessors! {
    find_driver driver Driver -> Driver;
    find_device device Device -> Device;
    find_queue queue Queue -> Queue<H>;
    find_request request Request -> Request;
    find_file file File -> File;
    find_key key Key -> Kept<HANDLE>;
    find_spin_lock spin_lock SpinLock -> Arc<SpinLock<H>>;
    find_device_init device_init DeviceInit -> DeviceInit;
}
