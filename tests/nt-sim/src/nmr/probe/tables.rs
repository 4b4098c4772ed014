//! Shadow dispatch tables: what [`shadow_tables!`](crate::shadow_tables) is made of.

use std::{any::Any, ffi::c_void, fmt};

/// A table whose entries come to the probe; it stays in place until this is dropped.
pub struct Shadow(Box<dyn Any + Send + Sync>);

impl Shadow {
    /// Puts a table into a place of its own.
    #[must_use]
    pub fn new<T: Send + Sync + 'static>(table: T) -> Self {
        Self(Box::new(table))
    }

    /// Where the table is.
    pub(super) fn as_ptr(&self) -> *const c_void {
        std::ptr::from_ref(&*self.0).cast()
    }
}

impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shadow").field(&self.as_ptr()).finish()
    }
}

/// An entry of a table of function type `F`, which may be optional.
pub trait Entry<F>: Copy {
    /// The function, if there is one.
    fn function(self) -> Option<F>;

    /// The entry with `function` in the place of the one that is there.
    #[must_use]
    fn replaced(self, function: F) -> Self;
}

impl<F: Copy> Entry<F> for F {
    fn function(self) -> Option<F> {
        Some(self)
    }

    fn replaced(self, function: F) -> Self {
        function
    }
}

impl<F: Copy> Entry<F> for Option<F> {
    fn function(self) -> Self {
        self
    }

    fn replaced(self, function: F) -> Self {
        self.and(Some(function))
    }
}

/// Defines the [`ShadowTables`](crate::nmr::probe::ShadowTables) of an NPI from its dispatch tables.
///
/// An entry is written with its arguments after the first, which has to be the callee's binding context, and,
/// if it returns something, with what it returns when the call must not go on. Entries may be functions or options of functions.
/// Those named after `teardown` may be called until the caller's detach is reported
/// ([`is_teardown`](crate::nmr::probe::ShadowTables::is_teardown)). Entries that are not listed are passed on as
/// they are, and not seen.
///
/// ```
/// use std::ffi::c_void;
///
/// #[derive(Clone, Copy)]
/// #[repr(C)]
/// pub struct Provider {
///     pub double: unsafe extern "system" fn(binding: *mut c_void, number: u32) -> u32,
///     pub close: Option<unsafe extern "system" fn(binding: *mut c_void)>,
/// }
///
/// #[derive(Clone, Copy)]
/// #[repr(C)]
/// pub struct Client {
///     pub tell: Option<unsafe extern "system" fn(binding: *mut c_void, number: u32)>,
/// }
///
/// nt_sim::shadow_tables! {
///     /// Sees the calls between modules of this NPI.
///     pub struct DoublingProbe {
///         npi: nmr::Guid::new(1, 2, 3, [4; 8]),
///         irql: nt_sim::thread::irql::DISPATCH,
///         teardown: [close],
///     }
///     provider: Provider {
///         double(number: u32) -> u32 = 0;
///         close();
///     }
///     client: Client {
///         tell(number: u32);
///     }
/// }
///
/// let machine = nt_sim::Machine::builder().probe(DoublingProbe).build().unwrap();
/// assert!(machine.shutdown().unchecked.iter().all(|rule| rule.rule.number() != 24));
/// ```
#[macro_export]
macro_rules! shadow_tables {
    (
        $(#[$doc:meta])*
        $visibility:vis struct $name:ident {
            npi: $npi:expr,
            irql: $irql:expr,
            teardown: [$($teardown:ident),*],
        }
        provider: $provider:path { $($provider_entries:tt)* }
        client: $client:path { $($client_entries:tt)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        $visibility struct $name;

        impl $crate::nmr::probe::ShadowTables for $name {
            fn npi(&self) -> $crate::nmr::probe::Guid {
                $npi
            }

            fn irql(&self) -> $crate::KIRQL {
                $irql
            }

            fn is_teardown(&self, entry: &str) -> bool {
                let teardown: &[&str] = &[$(stringify!($teardown)),*];
                teardown.contains(&entry)
            }

            unsafe fn shadow(
                &self,
                whose: $crate::nmr::probe::Role,
                slot: $crate::nmr::probe::Slot,
                dispatch: *const ::core::ffi::c_void,
            ) -> $crate::nmr::probe::Shadow {
                match whose {
                    $crate::nmr::probe::Role::Provider => {
                        $crate::shadow_tables!(@table Provider $provider { $($provider_entries)* } slot dispatch)
                    }
                    $crate::nmr::probe::Role::Client => {
                        $crate::shadow_tables!(@table Client $client { $($client_entries)* } slot dispatch)
                    }
                }
            }
        }
    };
    (@table $role:ident $table:path {
        $($entry:ident($($argument:ident: $type:ty),*) $(-> $result:ty = $refused:expr)?;)*
    } $slot:ident $dispatch:ident) => {{
        $(
            unsafe extern "system" fn $entry<const SLOT: usize>(
                binding: *mut ::core::ffi::c_void,
                $($argument: $type),*
            ) $(-> $result)? {
                let role = $crate::nmr::probe::Role::$role;
                let Some(call) = $crate::nmr::probe::Call::enter(SLOT, role, stringify!($entry), binding) else {
                    return $($refused)?;
                };
                // SAFETY: the callee's real table, which it keeps until both sides are detached; the caller's
                // side is not while this call goes on.
                let table = unsafe { &*call.dispatch::<$table>() };
                type Function =
                    unsafe extern "system" fn(*mut ::core::ffi::c_void, $($type),*) $(-> $result)?;
                match $crate::nmr::probe::Entry::<Function>::function(table.$entry) {
                    // SAFETY: the caller's arguments, as it gave them, to the entry that it meant.
                    Some(function) => unsafe { function(binding, $($argument),*) },
                    None => { $($refused)? }
                }
            }
        )*
        fn replaced<const SLOT: usize>(real: &$table) -> $table {
            let mut table = *real;
            $({
                type Function =
                    unsafe extern "system" fn(*mut ::core::ffi::c_void, $($type),*) $(-> $result)?;
                let function: Function = $entry::<SLOT>;
                table.$entry = $crate::nmr::probe::Entry::<Function>::replaced(table.$entry, function);
            })*
            table
        }
        let makers: [fn(&$table) -> $table; $crate::nmr::probe::SLOTS] = $crate::slots!(replaced);
        // SAFETY: the caller vouches for the table.
        let real = unsafe { &*$dispatch.cast::<$table>() };
        $crate::nmr::probe::Shadow::new(makers[$slot.index()](real))
    }};
}

/// The instances of a generic function for each slot.
#[doc(hidden)]
#[macro_export]
macro_rules! slots {
    ($function:ident) => {
        $crate::slots!(@ $function
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
            32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
            64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80 81 82 83 84 85 86 87 88 89 90 91 92 93 94 95
            96 97 98 99 100 101 102 103 104 105 106 107 108 109 110 111 112 113 114 115 116 117 118 119 120
            121 122 123 124 125 126 127)
    };
    (@ $function:ident $($slot:literal)*) => {
        [$($function::<$slot>),*]
    };
}
