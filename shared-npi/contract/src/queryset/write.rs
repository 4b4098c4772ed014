//! The one routine that writes and measures a query set.

use super::layout::{self, Slot};
use super::{Addresses, Protocols, QuerySet};
use crate::bytes::Writer;
use crate::text::Text;

/// Writes `query_set` at the writer's place, for a first byte that stands at the address `base`.
pub fn write(query_set: &QuerySet<'_>, base: u64, writer: &mut Writer<'_>) {
    let mut record = Record {
        start: writer.offset(),
        base,
        writer,
    };
    record.writer.zeros(layout::HEADER);
    record.put_u32(layout::NAMESPACE, query_set.namespace);
    record.put_u32(layout::OUTPUT_FLAGS, query_set.output_flags);
    record.put_size(layout::SIZE, layout::HEADER);

    record.text(layout::NAME, query_set.name);
    record.text(layout::COMMENT, query_set.comment);
    record.text(layout::CONTEXT, query_set.context);
    record.text(layout::QUERY_STRING, query_set.query_string);
    record.addresses(query_set.addresses);
    if let Some(blob) = query_set.blob {
        record.blob(blob);
    }
    if let Some(version) = query_set.version {
        record.refer(layout::VERSION, 1);
        record.writer.u32(version.version);
        record.writer.u32(version.comparator);
    }
    if let Some(provider) = query_set.provider {
        record.refer(layout::PROVIDER, 1);
        record.writer.guid(provider);
    }
    record.protocols(query_set.protocols);
}

/// A record under way; offsets are from its first byte. Every item starts and ends aligned.
struct Record<'w, 'b> {
    start: usize,
    base: u64,
    writer: &'w mut Writer<'b>,
}

impl Record<'_, '_> {
    const fn at(&self) -> usize {
        self.writer.offset().saturating_sub(self.start)
    }

    fn put_size(&mut self, offset: usize, value: usize) {
        self.writer.put_size(self.start.saturating_add(offset), value);
    }

    fn put_u32(&mut self, offset: usize, value: u32) {
        self.writer
            .put(self.start.saturating_add(offset), &value.to_le_bytes());
    }

    /// Makes `slot` refer to the next byte that will be written.
    fn refer(&mut self, slot: Slot, count: usize) {
        let place = self.start.saturating_add(slot.pointer);
        match u64::try_from(self.at())
            .ok()
            .and_then(|at| self.base.checked_add(at))
        {
            Some(pointer) => self.writer.put(place, &pointer.to_le_bytes()),
            None => self.writer.too_large(),
        }
        if let Some(place) = slot.count {
            self.put_size(place, count);
        }
    }

    fn text(&mut self, slot: Slot, text: Option<Text<'_>>) {
        let Some(text) = text else { return };
        self.refer(slot, text.len());
        text.write_to(self.writer);
        self.writer.u16(0);
        self.writer.align8();
    }

    fn addresses(&mut self, addresses: Addresses<'_>) {
        let count = addresses.len();
        if count == 0 {
            return;
        }
        self.refer(layout::ADDRESSES, count);
        let Some(array_size) = count.checked_mul(layout::ADDRESS) else {
            return self.writer.too_large();
        };
        let mut entry = self.at();
        self.writer.zeros(array_size);
        for address in addresses {
            for (slot, bytes) in [
                (layout::ADDRESS_LOCAL, address.local),
                (layout::ADDRESS_REMOTE, address.remote),
            ] {
                if !bytes.is_empty() {
                    self.refer(slot.within(entry), bytes.len());
                    self.writer.bytes(bytes);
                    self.writer.align8();
                }
            }
            self.put_u32(
                entry.saturating_add(layout::ADDRESS_TYPE),
                address.socket_type.cast_unsigned(),
            );
            self.put_u32(
                entry.saturating_add(layout::ADDRESS_PROTOCOL),
                address.protocol.cast_unsigned(),
            );
            entry = entry.saturating_add(layout::ADDRESS);
        }
    }

    fn blob(&mut self, blob: &[u8]) {
        self.refer(layout::BLOB, 1);
        let structure = self.at();
        self.writer.zeros(layout::BLOB_STRUCTURE);
        if !blob.is_empty() {
            self.refer(layout::BLOB_DATA.within(structure), blob.len());
            self.writer.bytes(blob);
            self.writer.align8();
        }
    }

    fn protocols(&mut self, protocols: Protocols<'_>) {
        if protocols.is_empty() {
            return;
        }
        self.refer(layout::PROTOCOLS, protocols.len());
        for protocol in protocols.iter() {
            self.writer.bytes(&protocol.family.to_le_bytes());
            self.writer.bytes(&protocol.protocol.to_le_bytes());
        }
    }
}
