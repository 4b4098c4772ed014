//! Copies a peer's `WSAQUERYSET2W` out of the peer's memory.
//!
//! A peer is another driver: its pointers cannot be checked, so they are trusted to be null or readable, as the
//! interface demands. What they lead to is not trusted: every length and count is bounded before it is used, texts are
//! read up to their terminator or the cap of their kind, and everything is copied before anything is looked at, so that
//! a peer that changes its memory meanwhile can at most spoil its own call.
//!
//! This module and `entries` are all of this crate that touches memory which is not the driver's own.

use nsemail_contract::codes::WsaCode;
use nsemail_contract::limits;
use nsemail_contract::queryset::{Protocols, QuerySet, Version};
use nsemail_contract::sockaddr::{CsAddr, CsAddrError};
use nsemail_contract::structures::{
    AFPROTOCOLS, BLOB, CSADDR_INFO, SOCKET_ADDRESS, WSAQUERYSET2W, WSAVERSION,
};
use nsemail_contract::text::Text;
use pool_alloc::{Allocator, OutOfMemory, Vec};

use crate::store::record::{AddressSet, EncodeError};

/// A query set that owns all that it says.
#[derive(Debug)]
pub struct Captured<A: Allocator> {
    name: Option<Vec<u16, A>>,
    comment: Option<Vec<u16, A>>,
    context: Option<Vec<u16, A>>,
    version: Option<Version>,
    namespace: u32,
    /// Encoded.
    protocols: Vec<u8, A>,
    addresses: AddressSet<A>,
    blob: Option<Vec<u8, A>>,
}

/// Which members matter to the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Name, context, version and protocols.
    LookUp,
    /// Name, context, version, comment, addresses and blob.
    Change,
}

impl<A: Allocator + Clone> Captured<A> {
    /// Copies what the call needs.
    ///
    /// # Errors
    ///
    /// `WSAEINVAL` for a null pointer, a structure that is too small, a text that is not well-formed or not terminated
    /// within its cap, an invalid address, or more of something than its cap; `WSA_NOT_ENOUGH_MEMORY`.
    ///
    /// # Safety
    ///
    /// `query` is null, or leads to a query set whose `dwSize` can be read, and as much of it as `dwSize` says; its
    /// pointers are null or can be read up to what the structure says of them, texts up to their terminator, all until
    /// the call returns.
    pub unsafe fn copy(query: *const WSAQUERYSET2W, purpose: Purpose, alloc: A) -> Result<Self, WsaCode> {
        let query = NonNullPeer::new(query)?;
        // SAFETY: at least the size can be read, as the caller says; `dwSize` is the first member.
        let size: u32 = unsafe { NonNullPeer::new(query.0.cast::<u32>())?.read() };
        if (size as usize) < size_of::<WSAQUERYSET2W>() {
            return Err(WsaCode::WSAEINVAL);
        }
        // SAFETY: the peer says that all of the structure is there.
        let query: WSAQUERYSET2W = unsafe { query.read() };
        let text = |pointer: *mut u16, cap: usize| {
            // SAFETY: null or a terminated text, as the caller says.
            unsafe { copy_text(pointer, cap, alloc.clone()) }
        };
        let mut captured = Self {
            // A name may end in a dot that does not count.
            name: text(query.lpszServiceInstanceName, limits::NAME.saturating_add(1))?,
            context: text(query.lpszContext, limits::CONTEXT)?,
            comment: None,
            version: None,
            namespace: query.dwNameSpace,
            protocols: Vec::new_in(alloc.clone()),
            addresses: AddressSet::new_in(alloc.clone()),
            blob: None,
        };
        if !query.lpVersion.is_null() {
            // SAFETY: not null, so it can be read, as the caller says.
            let version: WSAVERSION = unsafe { NonNullPeer::new(query.lpVersion)?.read() };
            captured.version = Some(Version {
                version: version.dwVersion,
                comparator: version.ecHow,
            });
        }
        match purpose {
            Purpose::LookUp => {
                let count = counted(query.dwNumberOfProtocols, limits::PROTOCOLS)?;
                for index in 0..count {
                    // SAFETY: the peer says that there are so many.
                    let filter: AFPROTOCOLS = unsafe { element(query.lpafpProtocols, index)?.read() };
                    captured
                        .protocols
                        .try_extend_from_slice(&filter.iAddressFamily.to_le_bytes())
                        .map_err(no_memory)?;
                    captured
                        .protocols
                        .try_extend_from_slice(&filter.iProtocol.to_le_bytes())
                        .map_err(no_memory)?;
                }
            }
            Purpose::Change => {
                captured.comment = text(query.lpszComment, limits::COMMENT)?;
                let count = counted(query.dwNumberOfCsAddrs, limits::ADDRESSES)?;
                for index in 0..count {
                    // SAFETY: the peer says that there are so many.
                    let address: CSADDR_INFO = unsafe { element(query.lpcsaBuffer, index)?.read() };
                    // SAFETY: its pointers are as the caller says.
                    unsafe { captured.add_address(&address)? };
                }
                if !query.lpBlob.is_null() {
                    // SAFETY: not null, so it can be read, as the caller says.
                    let blob: BLOB = unsafe { NonNullPeer::new(query.lpBlob)?.read() };
                    let count = counted(blob.cbSize, limits::BLOB)?;
                    // SAFETY: the peer says that there are so many bytes.
                    captured.blob = Some(unsafe { copy_bytes(blob.pBlobData, count, alloc)? });
                }
            }
        }
        Ok(captured)
    }

    /// # Safety
    ///
    /// The socket addresses are null or can be read up to their lengths.
    unsafe fn add_address(&mut self, address: &CSADDR_INFO) -> Result<(), WsaCode> {
        let (mut local, mut remote) = ([0; limits::SOCKADDR_MAX], [0; limits::SOCKADDR_MAX]);
        // SAFETY: passed on to the caller.
        let local = unsafe { copy_socket_address(&address.LocalAddr, &mut local)? };
        // SAFETY: passed on to the caller.
        let remote = unsafe { copy_socket_address(&address.RemoteAddr, &mut remote)? };
        let given = CsAddr {
            local,
            remote,
            socket_type: address.iSocketType,
            protocol: address.iProtocol,
        };
        let normal = given.normalize().map_err(|_: CsAddrError| WsaCode::WSAEINVAL)?;
        self.addresses.try_insert(&normal).map_err(|error| match error {
            EncodeError::TooLong => WsaCode::WSAEINVAL,
            EncodeError::OutOfMemory => WsaCode::WSA_NOT_ENOUGH_MEMORY,
        })?;
        Ok(())
    }

    /// What the query set says.
    pub fn query(&self) -> QuerySet<'_> {
        // The texts were well-formed when they were copied.
        fn stored<A: Allocator>(text: Option<&Vec<u16, A>>) -> Option<Text<'_>> {
            text.map(|units| Text::from_stored_units(units))
        }
        QuerySet {
            name: stored(self.name.as_ref()),
            version: self.version,
            comment: stored(self.comment.as_ref()),
            namespace: self.namespace,
            context: stored(self.context.as_ref()),
            protocols: Protocols::encoded(&self.protocols),
            addresses: self.addresses.addresses(),
            blob: self.blob.as_deref(),
            ..QuerySet::default()
        }
    }
}

/// A pointer of a peer that is not null.
#[derive(Clone, Copy)]
struct NonNullPeer<T>(*const T);

impl<T: Copy> NonNullPeer<T> {
    const fn new(pointer: *const T) -> Result<Self, WsaCode> {
        if pointer.is_null() {
            Err(WsaCode::WSAEINVAL)
        } else {
            Ok(Self(pointer))
        }
    }

    /// # Safety
    ///
    /// A valid `T` can be read there, whether aligned or not.
    const unsafe fn read(self) -> T {
        // SAFETY: passed on to the caller.
        unsafe { self.0.read_unaligned() }
    }
}

/// The element of an array at an index.
fn element<T: Copy>(array: *mut T, index: usize) -> Result<NonNullPeer<T>, WsaCode> {
    let array = NonNullPeer::new(array.cast_const())?;
    Ok(NonNullPeer(array.0.wrapping_add(index)))
}

const fn counted(count: u32, cap: usize) -> Result<usize, WsaCode> {
    let count = count as usize;
    if count > cap {
        Err(WsaCode::WSAEINVAL)
    } else {
        Ok(count)
    }
}

/// # Safety
///
/// `pointer` is null, or leads to a text that can be read up to its terminator.
unsafe fn copy_text<A: Allocator>(
    pointer: *mut u16,
    cap: usize,
    alloc: A,
) -> Result<Option<Vec<u16, A>>, WsaCode> {
    if pointer.is_null() {
        return Ok(None);
    }
    // One more than the cap, for the terminator.
    for length in 0..=cap {
        // SAFETY: no terminator was seen before this unit, so it can be read.
        let unit: u16 = unsafe { element(pointer, length)?.read() };
        if unit == 0 {
            let mut units = Vec::new_in(alloc);
            units.try_resize(length, 0).map_err(no_memory)?;
            let source = pointer.cast_const().cast::<u8>();
            let target = units.as_mut_ptr().cast::<u8>();
            // SAFETY: each of these units was read just now; the copy is just that long, and its own memory. As bytes,
            // since the peer's may be misaligned.
            unsafe { core::ptr::copy_nonoverlapping(source, target, length.saturating_mul(2)) };
            // Also if the peer has changed it meanwhile: the text is what was copied.
            Text::from_units(&units).map_err(|_| WsaCode::WSAEINVAL)?;
            return Ok(Some(units));
        }
    }
    Err(WsaCode::WSAEINVAL)
}

/// # Safety
///
/// `pointer` is null, or `count` bytes can be read there.
unsafe fn copy_bytes<A: Allocator>(pointer: *mut u8, count: usize, alloc: A) -> Result<Vec<u8, A>, WsaCode> {
    let mut bytes = Vec::new_in(alloc);
    if count == 0 {
        return Ok(bytes);
    }
    bytes.try_resize(count, 0).map_err(no_memory)?;
    let source = NonNullPeer::new(pointer.cast_const())?;
    // SAFETY: so many bytes can be read there, as the caller says, and the copy is just that long and its own memory.
    unsafe { core::ptr::copy_nonoverlapping(source.0, bytes.as_mut_ptr(), count) };
    Ok(bytes)
}

/// Copies a socket address to the front of `buffer`; an absent one is empty.
///
/// # Safety
///
/// The pointer is null, or as many bytes as the length says can be read there.
unsafe fn copy_socket_address<'b>(
    address: &SOCKET_ADDRESS,
    buffer: &'b mut [u8; limits::SOCKADDR_MAX],
) -> Result<&'b [u8], WsaCode> {
    let length = usize::try_from(address.iSockaddrLength).map_err(|_| WsaCode::WSAEINVAL)?;
    match (address.lpSockaddr.is_null(), length) {
        (true, 0) => return Ok(&[]),
        (true, _) | (false, 0) => return Err(WsaCode::WSAEINVAL),
        (false, _) => {}
    }
    let target = buffer.get_mut(..length).ok_or(WsaCode::WSAEINVAL)?;
    // SAFETY: so many bytes can be read there, as the caller says, and the target is just that long and our own memory.
    unsafe { core::ptr::copy_nonoverlapping(address.lpSockaddr.cast_const(), target.as_mut_ptr(), length) };
    Ok(target)
}

const fn no_memory(_: OutOfMemory) -> WsaCode {
    WsaCode::WSA_NOT_ENOUGH_MEMORY
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
