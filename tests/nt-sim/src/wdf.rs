//! KMDF: the framework of a machine, over the model.
//!
//! Drivers call it through [`call_unsafe_wdf_function_binding!`](crate::call_unsafe_wdf_function_binding)
//! as they do with `wdk-sys`; the I/O manager through the dispatch of each device; service control
//! through `bind` and `unbind`.

mod dispatch;
pub mod functions;
mod host;

use std::collections::HashMap;

use kmdf_model::{DriverId, Kmdf};

use crate::{
    DriverName, Machine,
    io::UnderWay,
    machine::Config,
    sync::StateLock,
    thread::Current,
    types::{PWDF_DRIVER_GLOBALS, WDF_DRIVER_GLOBALS},
};
use host::SimHost;

/// What this module keeps per machine.
pub(crate) struct State {
    kmdf: Kmdf<SimHost>,
    bound: StateLock<Bound>,
    /// Requests that the framework has.
    irps: StateLock<UnderWay>,
    /// Full names of devices, by the I/O manager's number.
    devices: StateLock<HashMap<u64, String>>,
}

/// The drivers that are bound to the framework.
#[derive(Default)]
struct Bound {
    last: usize,
    drivers: Vec<(DriverName, DriverId, Globals)>,
}

/// A driver's globals, by which the framework knows who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Globals(PWDF_DRIVER_GLOBALS);

// SAFETY: the pointer is only compared by the model, which also owns what it points to.
unsafe impl Send for Globals {}

impl State {
    /// The state of a machine that was just built.
    pub(crate) fn new(_config: &Config) -> Self {
        Self {
            kmdf: Kmdf::new(SimHost),
            bound: StateLock::default(),
            irps: StateLock::default(),
            devices: StateLock::default(),
        }
    }

    fn driver_id(&self, driver: &DriverName) -> Option<DriverId> {
        self.bound.with(|bound| {
            let mut drivers = bound.drivers.iter();
            drivers.find(|(name, ..)| name == driver).map(|(_, id, _)| *id)
        })
    }

    fn driver_name(&self, driver: DriverId) -> Option<DriverName> {
        self.driver(driver).map(|(name, _)| name)
    }

    /// Returns a driver's name and globals.
    fn driver(&self, driver: DriverId) -> Option<(DriverName, Globals)> {
        self.bound.with(|bound| {
            let mut drivers = bound.drivers.iter();
            drivers
                .find(|(_, id, _)| *id == driver)
                .map(|(name, _, globals)| (name.clone(), *globals))
        })
    }

    /// Returns the globals of the driver whose code runs on a thread; null if there is none.
    #[inline]
    fn globals_of(&self, current: &Current) -> *mut WDF_DRIVER_GLOBALS {
        let frames = current.state.frames.borrow();
        let globals = frames.last().and_then(|frame| {
            let known = frame.globals.get();
            known.or_else(|| {
                frame.globals.set(self.find_globals(&frame.driver));
                frame.globals.get()
            })
        });
        globals.map_or(core::ptr::null_mut(), |globals| globals.0)
    }

    #[cold]
    fn find_globals(&self, driver: &DriverName) -> Option<Globals> {
        self.bound.with(|bound| {
            let mut drivers = bound.drivers.iter();
            drivers
                .find(|(name, ..)| name == driver)
                .map(|(_, _, globals)| *globals)
        })
    }
}

/// Binds a driver to the framework; its entry point runs next.
pub(crate) fn bind(machine: &Machine, driver: &DriverName) {
    let state = machine.wdf_state();
    let id = state.bound.with(|bound| {
        bound.last += 1;
        DriverId(bound.last)
    });
    let globals = Globals(state.kmdf.bind(id, driver.as_str()));
    state
        .bound
        .with(|bound| bound.drivers.push((driver.clone(), id, globals)));
}

/// Ends what [`bind`] began, after the unload routine or a failed entry point: deletes what is left,
/// and reports what should not be.
pub(crate) fn unbind(machine: &Machine, driver: &DriverName) {
    let state = machine.wdf_state();
    if let Some(id) = state.driver_id(driver) {
        state.kmdf.unbind(id);
        state
            .bound
            .with(|bound| bound.drivers.retain(|(_, bound, _)| *bound != id));
    }
}

/// Reports what a driver that was just unloaded left behind here: [`unbind`] has done it.
pub(crate) const fn check_unloaded(_machine: &Machine, _driver: &DriverName) {}

/// Calls a function of the framework, as the macro of this name in `wdk-sys` does: the function's
/// name, then its arguments without the driver's globals.
///
/// The call is unsafe; the function's documentation page says what it asks for.
#[macro_export]
macro_rules! call_unsafe_wdf_function_binding {
    ($function:ident $(, $argument:expr)* $(,)?) => {
        $crate::wdf::functions::$function($($argument),*)
    };
}
