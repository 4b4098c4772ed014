//! Where the members of a query set stand: the layout of `WSAQUERYSET2W` on x64.

/// Where a pointer stands, and the count of what it points to.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub pointer: usize,
    pub count: usize,
}

impl Slot {
    const fn new(pointer: usize, count: usize) -> Self {
        Self { pointer, count }
    }
}

/// Bytes of the structure itself.
pub const HEADER: usize = 112;
pub const SIZE: usize = 0;
pub const NAME: usize = 8;
pub const VERSION: usize = 16;
pub const COMMENT: usize = 24;
pub const NAMESPACE: usize = 32;
pub const PROVIDER: usize = 40;
pub const CONTEXT: usize = 48;
pub const PROTOCOLS: Slot = Slot::new(64, 56);
pub const QUERY_STRING: usize = 72;
pub const ADDRESSES: Slot = Slot::new(88, 80);
pub const OUTPUT_FLAGS: usize = 96;
pub const BLOB: usize = 104;

/// Bytes of `CSADDR_INFO`.
pub const ADDRESS: usize = 40;
pub const ADDRESS_LOCAL: Slot = Slot::new(0, 8);
pub const ADDRESS_REMOTE: Slot = Slot::new(16, 24);
pub const ADDRESS_TYPE: usize = 32;
pub const ADDRESS_PROTOCOL: usize = 36;

/// Bytes of `BLOB`.
pub const BLOB_STRUCTURE: usize = 16;
pub const BLOB_DATA: Slot = Slot::new(8, 0);

/// Bytes of `AFPROTOCOLS` and of `WSAVERSION`.
pub const PAIR: usize = 8;

#[cfg(target_pointer_width = "64")]
const _: () = {
    use crate::structures::{self, CSADDR_INFO, SOCKET_ADDRESS, WSAQUERYSET2W as Q};
    use core::mem::offset_of;
    assert!(HEADER == size_of::<Q>());
    assert!(SIZE == offset_of!(Q, dwSize));
    assert!(NAME == offset_of!(Q, lpszServiceInstanceName));
    assert!(VERSION == offset_of!(Q, lpVersion));
    assert!(COMMENT == offset_of!(Q, lpszComment));
    assert!(NAMESPACE == offset_of!(Q, dwNameSpace));
    assert!(PROVIDER == offset_of!(Q, lpNSProviderId));
    assert!(CONTEXT == offset_of!(Q, lpszContext));
    assert!(PROTOCOLS.pointer == offset_of!(Q, lpafpProtocols));
    assert!(QUERY_STRING == offset_of!(Q, lpszQueryString));
    assert!(ADDRESSES.pointer == offset_of!(Q, lpcsaBuffer));
    assert!(OUTPUT_FLAGS == offset_of!(Q, dwOutputFlags));
    assert!(BLOB == offset_of!(Q, lpBlob));
    assert!(ADDRESS == size_of::<CSADDR_INFO>());
    assert!(ADDRESS_LOCAL.pointer == offset_of!(CSADDR_INFO, LocalAddr));
    assert!(ADDRESS_REMOTE.pointer == offset_of!(CSADDR_INFO, RemoteAddr));
    assert!(ADDRESS_TYPE == offset_of!(CSADDR_INFO, iSocketType));
    assert!(ADDRESS_PROTOCOL == offset_of!(CSADDR_INFO, iProtocol));
    assert!(offset_of!(SOCKET_ADDRESS, lpSockaddr) == 0);
    assert!(offset_of!(SOCKET_ADDRESS, iSockaddrLength) == 8);
    assert!(BLOB_STRUCTURE == size_of::<structures::BLOB>());
    assert!(BLOB_DATA.pointer == offset_of!(structures::BLOB, pBlobData));
    assert!(PAIR == size_of::<structures::AFPROTOCOLS>());
    assert!(PAIR == size_of::<structures::WSAVERSION>());
};
