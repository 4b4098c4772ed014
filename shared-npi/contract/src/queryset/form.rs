//! Where members stand in the two forms of a query set.

/// One of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 32-bit offsets from the first byte.
    Wire,
    /// 64-bit pointers into a buffer that stands at `base`.
    Kernel {
        /// Address of the first byte.
        base: u64,
    },
}

/// Where a reference to an item stands, and where the item's count, if that is stated.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub reference: usize,
    pub count: Option<usize>,
}

const fn bare(reference: usize) -> Slot {
    Slot {
        reference,
        count: None,
    }
}

const fn counted(reference: usize, count: usize) -> Slot {
    Slot {
        reference,
        count: Some(count),
    }
}

/// Where the members of one address stand within it.
#[derive(Debug)]
pub struct AddressSlots {
    pub size: usize,
    pub local: Slot,
    pub remote: Slot,
    pub socket_type: usize,
    pub protocol: usize,
}

/// Where the members of a query set stand within its header.
#[derive(Debug)]
pub struct Slots {
    pub header: usize,
    pub namespace: usize,
    pub output_flags: usize,
    pub name: Slot,
    pub comment: Slot,
    pub context: Slot,
    pub query_string: Slot,
    pub addresses: Slot,
    pub blob: Slot,
    pub version: Slot,
    pub provider: Slot,
    pub protocols: Slot,
    pub address: AddressSlots,
}

/// Reserved field of the wire form.
pub const WIRE_RESERVED: usize = 12;

pub const WIRE: Slots = Slots {
    header: 88,
    namespace: 4,
    output_flags: 8,
    name: counted(16, 20),
    comment: counted(24, 28),
    context: counted(32, 36),
    query_string: counted(40, 44),
    addresses: counted(48, 52),
    blob: counted(56, 60),
    version: counted(64, 68),
    provider: counted(72, 76),
    protocols: counted(80, 84),
    address: AddressSlots {
        size: 24,
        local: counted(0, 4),
        remote: counted(8, 12),
        socket_type: 16,
        protocol: 20,
    },
};

pub const KERNEL: Slots = Slots {
    header: 112,
    namespace: 32,
    output_flags: 96,
    name: bare(8),
    comment: bare(24),
    context: bare(48),
    query_string: bare(72),
    addresses: counted(88, 80),
    blob: bare(104),
    version: bare(16),
    provider: bare(40),
    protocols: counted(64, 56),
    address: AddressSlots {
        size: 40,
        local: counted(0, 8),
        remote: counted(16, 24),
        socket_type: 32,
        protocol: 36,
    },
};

/// Where the members of `BLOB` stand in the kernel form.
pub const KERNEL_BLOB: Slot = counted(8, 0);
/// Bytes of `BLOB` in the kernel form.
pub const KERNEL_BLOB_SIZE: usize = 16;

#[cfg(target_pointer_width = "64")]
const _: () = {
    use crate::structures::{BLOB, CSADDR_INFO, SOCKET_ADDRESS, WSAQUERYSET2W as Q};
    use core::mem::offset_of;
    assert!(KERNEL.header == size_of::<Q>());
    assert!(KERNEL.namespace == offset_of!(Q, dwNameSpace));
    assert!(KERNEL.output_flags == offset_of!(Q, dwOutputFlags));
    assert!(KERNEL.name.reference == offset_of!(Q, lpszServiceInstanceName));
    assert!(KERNEL.comment.reference == offset_of!(Q, lpszComment));
    assert!(KERNEL.context.reference == offset_of!(Q, lpszContext));
    assert!(KERNEL.query_string.reference == offset_of!(Q, lpszQueryString));
    assert!(KERNEL.addresses.reference == offset_of!(Q, lpcsaBuffer));
    assert!(KERNEL.blob.reference == offset_of!(Q, lpBlob));
    assert!(KERNEL.version.reference == offset_of!(Q, lpVersion));
    assert!(KERNEL.provider.reference == offset_of!(Q, lpNSProviderId));
    assert!(KERNEL.protocols.reference == offset_of!(Q, lpafpProtocols));
    assert!(KERNEL.address.size == size_of::<CSADDR_INFO>());
    assert!(KERNEL.address.local.reference == offset_of!(CSADDR_INFO, LocalAddr));
    assert!(KERNEL.address.remote.reference == offset_of!(CSADDR_INFO, RemoteAddr));
    assert!(KERNEL.address.socket_type == offset_of!(CSADDR_INFO, iSocketType));
    assert!(KERNEL.address.protocol == offset_of!(CSADDR_INFO, iProtocol));
    assert!(offset_of!(SOCKET_ADDRESS, lpSockaddr) == 0);
    assert!(offset_of!(SOCKET_ADDRESS, iSockaddrLength) == 8);
    assert!(KERNEL_BLOB.reference == offset_of!(BLOB, pBlobData));
    assert!(KERNEL_BLOB_SIZE == size_of::<BLOB>());
};

impl Form {
    /// Where members stand in this form.
    pub const fn slots(self) -> &'static Slots {
        match self {
            Self::Wire => &WIRE,
            Self::Kernel { .. } => &KERNEL,
        }
    }
}
