//! Winsock's structures as they stand in kernel memory, x64 layout.
//!
//! Only the dispatch entries pass them, and only the two drivers look inside through pointers.
//! Names and members are those of winsock2.h, ws2def.h and nsemail.h.
#![expect(non_snake_case, reason = "members carry their names from the Windows headers")]

use core::ffi::c_void;

use crate::guid::Guid;

macro_rules! structure {
    (
        $(#[$meta:meta])*
        $name:ident, $size:literal, { $($(#[$field_meta:meta])* $offset:literal $field:ident: $type:ty,)+ }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)+
        }

        #[cfg(target_pointer_width = "64")]
        const _: () = {
            assert!(size_of::<$name>() == $size);
            $(assert!(core::mem::offset_of!($name, $field) == $offset);)+
        };
    };
}

structure! {
    /// A socket address by reference.
    SOCKET_ADDRESS, 16, {
        /// First byte of the socket address, or null.
        0 lpSockaddr: *mut u8,
        /// Its length in bytes.
        8 iSockaddrLength: i32,
    }
}

structure! {
    /// One address of an object.
    CSADDR_INFO, 40, {
        /// What to bind to.
        0 LocalAddr: SOCKET_ADDRESS,
        /// What to connect or send to.
        16 RemoteAddr: SOCKET_ADDRESS,
        /// `SOCK_*`.
        32 iSocketType: i32,
        /// `IPPROTO_*`.
        36 iProtocol: i32,
    }
}

structure! {
    /// Bytes by reference.
    BLOB, 16, {
        /// Number of bytes.
        0 cbSize: u32,
        /// The first of them.
        8 pBlobData: *mut u8,
    }
}

structure! {
    /// One element of a protocol filter.
    AFPROTOCOLS, 8, {
        /// Address family; 0 for any.
        0 iAddressFamily: i32,
        /// Protocol; 0 for any.
        4 iProtocol: i32,
    }
}

structure! {
    /// A version and how to compare it.
    WSAVERSION, 8, {
        /// The version.
        0 dwVersion: u32,
        /// A `WSAECOMPARATOR`.
        4 ecHow: u32,
    }
}

structure! {
    /// A query, a registration or a result.
    WSAQUERYSET2W, 112, {
        /// Size of this structure; larger ones are accepted, their tail is ignored (decision 28).
        0 dwSize: u32,
        /// The name, terminated, or null.
        8 lpszServiceInstanceName: *mut u16,
        /// The version, or null.
        16 lpVersion: *mut WSAVERSION,
        /// The comment, terminated, or null.
        24 lpszComment: *mut u16,
        /// The namespace.
        32 dwNameSpace: u32,
        /// The namespace provider, or null.
        40 lpNSProviderId: *mut Guid,
        /// The context (service name), terminated, or null.
        48 lpszContext: *mut u16,
        /// Number of elements of the protocol filter.
        56 dwNumberOfProtocols: u32,
        /// The protocol filter.
        64 lpafpProtocols: *mut AFPROTOCOLS,
        /// The query string, terminated, or null.
        72 lpszQueryString: *mut u16,
        /// Number of addresses.
        80 dwNumberOfCsAddrs: u32,
        /// The addresses.
        88 lpcsaBuffer: *mut CSADDR_INFO,
        /// `RESULT_IS_*`.
        96 dwOutputFlags: u32,
        /// The blob, or null.
        104 lpBlob: *mut BLOB,
    }
}

structure! {
    /// One namespace provider of the catalogue.
    WSANAMESPACE_INFOEXW, 56, {
        /// The namespace provider.
        0 NSProviderId: Guid,
        /// Its namespace.
        16 dwNameSpace: u32,
        /// Whether it is enabled.
        20 fActive: i32,
        /// Its version.
        24 dwVersion: u32,
        /// Its display name, terminated.
        32 lpszIdentifier: *mut u16,
        /// Its installation blob.
        40 ProviderSpecific: BLOB,
    }
}

/// Opaque handle of a look-up or of a call.
pub type HANDLE = *mut c_void;
