//! The one routine that writes and measures a query set.

use super::layout;
use super::{Addresses, Protocols, QuerySet};
use crate::bytes::Writer;
use crate::text::Text;

/// Writes `query_set` at the writer's place, for a first byte that stands at the address `base`.
pub fn write(query_set: &QuerySet<'_>, base: u64, writer: &mut Writer<'_>) {
    let start = writer.offset();
    let mut record = Record { start, base, writer };
    record.writer.place(layout::HEADER);
    let name = record.text(query_set.name);
    let comment = record.text(query_set.comment);
    let context = record.text(query_set.context);
    let query_string = record.text(query_set.query_string);
    let [address_count, addresses] = record.addresses(query_set.addresses);
    let blob = query_set.blob.map_or(0, |blob| record.blob(blob));
    let version = query_set.version.map_or(0, |version| {
        let pointer = record.pointer();
        record.writer.u32(version.version);
        record.writer.u32(version.comparator);
        pointer
    });
    let provider = query_set.provider.map_or(0, |provider| {
        let pointer = record.pointer();
        record.writer.guid(provider);
        pointer
    });
    let [protocol_count, protocols] = record.protocols(query_set.protocols);
    // The structure, in words: see `layout`.
    let words: [u64; layout::HEADER / 8] = [
        layout::HEADER as u64,
        name,
        version,
        comment,
        query_set.namespace.into(),
        provider,
        context,
        protocol_count,
        protocols,
        query_string,
        address_count,
        addresses,
        query_set.output_flags.into(),
        blob,
    ];
    writer.put_words(start, words);
}

/// A record under way. Every item starts and ends aligned, and what refers to it is 0 if there is none.
struct Record<'w, 'b> {
    start: usize,
    base: u64,
    writer: &'w mut Writer<'b>,
}

impl Record<'_, '_> {
    /// What refers to the next byte that will be written.
    fn pointer(&mut self) -> u64 {
        let at = self.writer.offset().saturating_sub(self.start);
        let pointer = u64::try_from(at).ok().and_then(|at| self.base.checked_add(at));
        pointer.unwrap_or_else(|| {
            self.writer.too_large();
            0
        })
    }

    /// How many of something there are.
    fn count(&mut self, count: usize) -> u64 {
        u32::try_from(count).map_or_else(
            |_| {
                self.writer.too_large();
                0
            },
            u64::from,
        )
    }

    fn text(&mut self, text: Option<Text<'_>>) -> u64 {
        text.map_or(0, |text| {
            let pointer = self.pointer();
            text.write_terminated_to(self.writer);
            pointer
        })
    }

    /// Bytes, and zeros up to the next multiple of 8; the pointer and the length of those that are there.
    fn bytes(&mut self, bytes: &[u8]) -> [u64; 2] {
        if bytes.is_empty() {
            return [0; 2];
        }
        let refers = [self.pointer(), self.count(bytes.len())];
        self.writer.bytes(bytes);
        self.writer.align8();
        refers
    }

    fn addresses(&mut self, addresses: Addresses<'_>) -> [u64; 2] {
        let count = addresses.len();
        if count == 0 {
            return [0; 2];
        }
        let refers = [self.count(count), self.pointer()];
        let mut entry = self.writer.offset();
        let Some(array_size) = count.checked_mul(layout::ADDRESS) else {
            self.writer.too_large();
            return refers;
        };
        // Zeros where there turn out to be fewer, and never more than were told.
        if let Some(place) = self.writer.place(array_size) {
            place.fill(0);
        }
        for address in addresses.into_iter().take(count) {
            let [local, local_length] = self.bytes(address.local);
            let [remote, remote_length] = self.bytes(address.remote);
            let [socket_type, protocol] = [address.socket_type, address.protocol].map(i32::cast_unsigned);
            let kind = u64::from(socket_type) | u64::from(protocol) << 32;
            let words: [u64; layout::ADDRESS / 8] = [local, local_length, remote, remote_length, kind];
            self.writer.put_words(entry, words);
            entry = entry.saturating_add(layout::ADDRESS);
        }
        refers
    }

    fn blob(&mut self, blob: &[u8]) -> u64 {
        let (pointer, structure) = (self.pointer(), self.writer.offset());
        self.writer.place(layout::BLOB_STRUCTURE);
        let [data, length] = self.bytes(blob);
        let words: [u64; layout::BLOB_STRUCTURE / 8] = [length, data];
        self.writer.put_words(structure, words);
        pointer
    }

    fn protocols(&mut self, protocols: Protocols<'_>) -> [u64; 2] {
        if protocols.is_empty() {
            return [0; 2];
        }
        let refers = [self.count(protocols.len()), self.pointer()];
        for protocol in protocols.iter() {
            self.writer.array(protocol.family.to_le_bytes());
            self.writer.array(protocol.protocol.to_le_bytes());
        }
        refers
    }
}
