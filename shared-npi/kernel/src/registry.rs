//! The registry.
//!
//! A [`Key`] comes from [`DriverHandle::parameters`](crate::wdf::DriverHandle::parameters) and leads to keys
//! under it. What is read is bounded ([`MAX_VALUE_BYTES`], [`MAX_KEY_NAME_UNITS`]); a value of another type
//! than asked for is an error, an absent one is not. Source: `ZwOpenKey` and its kin.

use allocator_api2::alloc::Allocator;
use pool_alloc::Vec;
use wdk_sys::ntddk::{
    ZwCreateKey, ZwDeleteKey, ZwDeleteValueKey, ZwEnumerateKey, ZwFlushKey, ZwOpenKey, ZwQueryValueKey,
    ZwSetValueKey,
};
use wdk_sys::{
    _KEY_INFORMATION_CLASS, _KEY_VALUE_INFORMATION_CLASS, HANDLE, REG_BINARY, REG_DWORD, REG_EXPAND_SZ,
    REG_SZ, WDFKEY, call_unsafe_wdf_function_binding,
};

use crate::irql::Passive;
use crate::object::{Handle, attributes};
use crate::status::{NtStatus, out_of_memory};
use crate::unicode::UnicodeStr;

/// `KEY_ALL_ACCESS` of wdm.h.
pub(crate) const KEY_ALL_ACCESS: u32 = 0x000F_003F;

/// The longest value that is read, in bytes.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// The longest name of a key, in UTF-16 units.
pub const MAX_KEY_NAME_UNITS: usize = 255;

/// An open key, closed when dropped.
pub struct Key(Owner);

enum Owner {
    Kernel(Handle),
    Framework(FrameworkKey),
}

/// A key that the framework opened, closed by it when dropped.
struct FrameworkKey {
    key: WDFKEY,
    /// The kernel's handle of the key, which lives as long as `key`.
    handle: HANDLE,
}

// SAFETY: the framework's and the kernel's calls for keys may be made on any thread.
unsafe impl Send for FrameworkKey {}
// SAFETY: as above; the kernel synchronises access to its objects.
unsafe impl Sync for FrameworkKey {}

impl Drop for FrameworkKey {
    fn drop(&mut self) {
        // SAFETY: the key is open, owned, and not used again.
        unsafe { call_unsafe_wdf_function_binding!(WdfRegistryClose, self.key) };
    }
}

impl Key {
    /// Takes ownership of a key that the framework opened.
    ///
    /// # Safety
    /// `key` is an open registry key that nobody else closes.
    pub(crate) unsafe fn from_framework(key: WDFKEY) -> Self {
        // SAFETY: the key is open; the handle is valid as long as it is.
        let handle = unsafe { call_unsafe_wdf_function_binding!(WdfRegistryWdmGetHandle, key) };
        Self(Owner::Framework(FrameworkKey { key, handle }))
    }

    const fn handle(&self) -> HANDLE {
        match &self.0 {
            Owner::Kernel(handle) => handle.raw(),
            Owner::Framework(key) => key.handle,
        }
    }

    /// Opens the key `name` under this one; `None` if there is none.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn open(&self, _: Passive<'_>, name: &[u16]) -> Result<Option<Self>, NtStatus> {
        let mut name = UnicodeStr::new(name)?;
        let mut attributes = attributes(self.handle(), Some(&mut name));
        let mut handle: HANDLE = core::ptr::null_mut();
        // SAFETY: the out parameter, the attributes and the name they point to are valid during the call.
        let status = unsafe { ZwOpenKey(&raw mut handle, KEY_ALL_ACCESS, &raw mut attributes) };
        match NtStatus(status) {
            NtStatus::OBJECT_NAME_NOT_FOUND => Ok(None),
            status => {
                status.ok()?;
                // SAFETY: the kernel just made this kernel handle for us.
                Ok(Some(Self(Owner::Kernel(unsafe { Handle::from_raw(handle) }))))
            }
        }
    }

    /// Opens the key `name` under this one, creating it if there is none.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn create(&self, _: Passive<'_>, name: &[u16]) -> Result<Self, NtStatus> {
        let mut name = UnicodeStr::new(name)?;
        let mut attributes = attributes(self.handle(), Some(&mut name));
        let mut handle: HANDLE = core::ptr::null_mut();
        // SAFETY: the out parameter, the attributes and the name they point to are valid during the call; the
        // class and the disposition are optional; options 0 is REG_OPTION_NON_VOLATILE.
        let status = unsafe {
            ZwCreateKey(
                &raw mut handle,
                KEY_ALL_ACCESS,
                &raw mut attributes,
                0,
                core::ptr::null_mut(),
                0,
                core::ptr::null_mut(),
            )
        };
        NtStatus(status).ok()?;
        // SAFETY: the kernel just made this kernel handle for us.
        Ok(Self(Owner::Kernel(unsafe { Handle::from_raw(handle) })))
    }

    /// The name of the subkey at `index`, counted from 0; `None` after the last.
    ///
    /// Creating or deleting subkeys in between may change the numbers.
    ///
    /// # Errors
    /// What the kernel answers; `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn subkey_name<A: Allocator>(
        &self,
        _: Passive<'_>,
        index: u32,
        alloc: A,
    ) -> Result<Option<Vec<u16, A>>, NtStatus> {
        let mut buffer = [0_u64; (KEY_NAME_OFFSET + 2 * MAX_KEY_NAME_UNITS).div_ceil(8)];
        let mut length = 0_u32;
        // SAFETY: the buffer is valid for writes of its length and aligned for the structure.
        let status = unsafe {
            ZwEnumerateKey(
                self.handle(),
                index,
                _KEY_INFORMATION_CLASS::KeyBasicInformation,
                buffer.as_mut_ptr().cast(),
                crate::wdf::len_u32(size_of_val(&buffer)),
                &raw mut length,
            )
        };
        if NtStatus(status) == NtStatus::NO_MORE_ENTRIES {
            return Ok(None);
        }
        NtStatus(status).ok()?;
        let bytes = read_u32(&buffer, KEY_NAME_LENGTH_OFFSET).ok_or(NtStatus::INVALID_PARAMETER)?;
        let units = bytes_of(&buffer)
            .get(KEY_NAME_OFFSET..)
            .and_then(|name| name.get(..bytes as usize))
            .ok_or(NtStatus::INVALID_PARAMETER)?
            .as_chunks::<2>()
            .0;
        Vec::try_from_iter_in(units.iter().map(|unit| u16::from_ne_bytes(*unit)), alloc)
            .map(Some)
            .map_err(out_of_memory)
    }

    /// The `REG_DWORD` named `name`; `None` if there is none.
    ///
    /// # Errors
    /// `STATUS_OBJECT_TYPE_MISMATCH`; what the kernel answers.
    pub fn dword(&self, passive: Passive<'_>, name: &[u16]) -> Result<Option<u32>, NtStatus> {
        let mut buffer = [0_u64; 3];
        match self.query(passive, name, &mut buffer) {
            Ok(None) => Ok(None),
            Ok(Some((REG_DWORD, data))) => data
                .first_chunk()
                .map(|data| Some(u32::from_ne_bytes(*data)))
                .ok_or(NtStatus::OBJECT_TYPE_MISMATCH),
            // What does not fit is no REG_DWORD.
            Ok(Some(_)) | Err(NtStatus::BUFFER_OVERFLOW | NtStatus::BUFFER_TOO_SMALL) => {
                Err(NtStatus::OBJECT_TYPE_MISMATCH)
            }
            Err(status) => Err(status),
        }
    }

    /// The `REG_SZ` or `REG_EXPAND_SZ` named `name`, without a terminating zero; `None` if there is none.
    ///
    /// # Errors
    /// `STATUS_OBJECT_TYPE_MISMATCH`; `STATUS_BUFFER_OVERFLOW` if longer than [`MAX_VALUE_BYTES`];
    /// `STATUS_INSUFFICIENT_RESOURCES`; what the kernel answers.
    pub fn string<A: Allocator + Clone>(
        &self,
        passive: Passive<'_>,
        name: &[u16],
        alloc: A,
    ) -> Result<Option<Vec<u16, A>>, NtStatus> {
        self.value(passive, name, &[REG_SZ, REG_EXPAND_SZ], alloc.clone(), |data| {
            let units = data
                .as_chunks::<2>()
                .0
                .iter()
                .map(|unit| u16::from_ne_bytes(*unit));
            let mut text = Vec::try_from_iter_in(units, alloc)?;
            if text.last() == Some(&0) {
                text.pop();
            }
            Ok(text)
        })
    }

    /// The `REG_BINARY` named `name`; `None` if there is none.
    ///
    /// # Errors
    /// As [`Key::string`].
    pub fn binary<A: Allocator + Clone>(
        &self,
        passive: Passive<'_>,
        name: &[u16],
        alloc: A,
    ) -> Result<Option<Vec<u8, A>>, NtStatus> {
        self.value(passive, name, &[REG_BINARY], alloc.clone(), |data| {
            Vec::try_from_slice_in(data, alloc)
        })
    }

    /// Sets a `REG_DWORD`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn set_dword(&self, passive: Passive<'_>, name: &[u16], value: u32) -> Result<(), NtStatus> {
        self.set(passive, name, REG_DWORD, &value.to_ne_bytes())
    }

    /// Sets a `REG_SZ`; the terminating zero is added here.
    ///
    /// # Errors
    /// What the kernel answers; `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn set_string<A: Allocator>(
        &self,
        passive: Passive<'_>,
        name: &[u16],
        value: &[u16],
        alloc: A,
    ) -> Result<(), NtStatus> {
        let mut bytes = Vec::new_in(alloc);
        let units = value.iter().copied().chain([0]);
        bytes
            .try_extend(units.flat_map(u16::to_ne_bytes))
            .map_err(out_of_memory)?;
        self.set(passive, name, REG_SZ, &bytes)
    }

    /// Sets a `REG_BINARY`.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn set_binary(&self, passive: Passive<'_>, name: &[u16], value: &[u8]) -> Result<(), NtStatus> {
        self.set(passive, name, REG_BINARY, value)
    }

    /// Deletes the value `name`; false if there is none.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn delete_value(&self, _: Passive<'_>, name: &[u16]) -> Result<bool, NtStatus> {
        let mut name = UnicodeStr::new(name)?;
        // SAFETY: the key is open, and the name is valid during the call.
        let status = unsafe { ZwDeleteValueKey(self.handle(), name.as_raw()) };
        match NtStatus(status) {
            NtStatus::OBJECT_NAME_NOT_FOUND => Ok(false),
            status => status.ok().map(|()| true),
        }
    }

    /// Deletes the key itself, which must have no subkeys.
    ///
    /// # Errors
    /// What the kernel answers; `STATUS_CANNOT_DELETE` if it has subkeys.
    pub fn delete(self, _: Passive<'_>) -> Result<(), NtStatus> {
        // SAFETY: the key is open; it is closed right after, when `self` is dropped.
        NtStatus(unsafe { ZwDeleteKey(self.handle()) }).ok()
    }

    /// Writes the changes of this key to disk.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn flush(&self, _: Passive<'_>) -> Result<(), NtStatus> {
        // SAFETY: the key is open.
        NtStatus(unsafe { ZwFlushKey(self.handle()) }).ok()
    }

    fn set(&self, _: Passive<'_>, name: &[u16], kind: u32, data: &[u8]) -> Result<(), NtStatus> {
        let mut name = UnicodeStr::new(name)?;
        let length = u32::try_from(data.len()).map_err(|_| NtStatus::INVALID_PARAMETER)?;
        // SAFETY: the key is open, name and data are valid during the call, which only reads them.
        let status = unsafe {
            ZwSetValueKey(
                self.handle(),
                name.as_raw(),
                0,
                kind,
                data.as_ptr().cast_mut().cast(),
                length,
            )
        };
        NtStatus(status).ok()
    }

    fn value<T, A: Allocator>(
        &self,
        passive: Passive<'_>,
        name: &[u16],
        kinds: &[u32],
        alloc: A,
        copy: impl FnOnce(&[u8]) -> Result<T, pool_alloc::OutOfMemory>,
    ) -> Result<Option<T>, NtStatus> {
        let mut buffer = Vec::new_in(alloc);
        let mut bytes = 256;
        loop {
            buffer.try_resize(bytes / 8, 0_u64).map_err(out_of_memory)?;
            match self.query(passive, name, &mut buffer) {
                Ok(None) => return Ok(None),
                Ok(Some((kind, data))) if kinds.contains(&kind) => {
                    return copy(data).map(Some).map_err(out_of_memory);
                }
                Ok(Some(_)) => return Err(NtStatus::OBJECT_TYPE_MISMATCH),
                // Grow in steps: the value may change between two queries, so its size is no promise.
                Err(NtStatus::BUFFER_OVERFLOW | NtStatus::BUFFER_TOO_SMALL)
                    if bytes < VALUE_DATA_OFFSET + MAX_VALUE_BYTES =>
                {
                    bytes = bytes
                        .saturating_mul(8)
                        .min((VALUE_DATA_OFFSET + MAX_VALUE_BYTES).next_multiple_of(8));
                }
                Err(status) => return Err(status),
            }
        }
    }

    /// Type and data of a value, in `buffer`.
    fn query<'b>(
        &self,
        _: Passive<'_>,
        name: &[u16],
        buffer: &'b mut [u64],
    ) -> Result<Option<(u32, &'b [u8])>, NtStatus> {
        let mut name = UnicodeStr::new(name)?;
        let mut length = 0_u32;
        // SAFETY: the key is open, the name is valid during the call, and the buffer is valid for writes of
        // its length and aligned for the structure.
        let status = unsafe {
            ZwQueryValueKey(
                self.handle(),
                name.as_raw(),
                _KEY_VALUE_INFORMATION_CLASS::KeyValuePartialInformation,
                buffer.as_mut_ptr().cast(),
                crate::wdf::len_u32(size_of_val(buffer)),
                &raw mut length,
            )
        };
        match NtStatus(status) {
            NtStatus::OBJECT_NAME_NOT_FOUND => return Ok(None),
            status => status.ok()?,
        }
        let kind = read_u32(buffer, VALUE_TYPE_OFFSET).ok_or(NtStatus::INVALID_PARAMETER)?;
        let length = read_u32(buffer, VALUE_DATA_LENGTH_OFFSET).ok_or(NtStatus::INVALID_PARAMETER)?;
        let data = bytes_of(buffer)
            .get(VALUE_DATA_OFFSET..)
            .and_then(|data| data.get(..length as usize))
            .ok_or(NtStatus::INVALID_PARAMETER)?;
        Ok(Some((kind, data)))
    }
}

// KEY_BASIC_INFORMATION { LastWriteTime, TitleIndex, NameLength, Name[] }
const KEY_NAME_LENGTH_OFFSET: usize = 12;
const KEY_NAME_OFFSET: usize = 16;
// KEY_VALUE_PARTIAL_INFORMATION { TitleIndex, Type, DataLength, Data[] }
const VALUE_TYPE_OFFSET: usize = 4;
const VALUE_DATA_LENGTH_OFFSET: usize = 8;
const VALUE_DATA_OFFSET: usize = 12;

const fn bytes_of(words: &[u64]) -> &[u8] {
    // SAFETY: any initialised memory may be seen as bytes; the length is that of the words.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

fn read_u32(words: &[u64], offset: usize) -> Option<u32> {
    bytes_of(words)
        .get(offset..)
        .and_then(<[u8]>::first_chunk)
        .map(|bytes| u32::from_ne_bytes(*bytes))
}
