//! The one routine that writes and measures a query set in either form.

use super::form::{Form, KERNEL_BLOB, KERNEL_BLOB_SIZE, Slot};
use super::{Addresses, Protocols, QuerySet};
use crate::bytes::Writer;
use crate::text::Text;

/// Writes `query_set` at the writer's place.
pub fn write(query_set: &QuerySet<'_>, form: Form, writer: &mut Writer<'_>) {
    let slots = form.slots();
    let mut record = Record {
        start: writer.offset(),
        form,
        writer,
    };
    record.writer.zeros(slots.header);
    record.put_u32(slots.namespace, query_set.namespace);
    record.put_u32(slots.output_flags, query_set.output_flags);

    record.text(slots.name, query_set.name);
    record.text(slots.comment, query_set.comment);
    record.text(slots.context, query_set.context);
    record.text(slots.query_string, query_set.query_string);
    record.addresses(slots.addresses, query_set.addresses);
    if let Some(blob) = query_set.blob {
        record.blob(slots.blob, blob);
    }
    if let Some(version) = query_set.version {
        record.refer(slots.version, 1);
        record.writer.u32(version.version);
        record.writer.u32(version.comparator);
    }
    if let Some(provider) = query_set.provider {
        record.refer(slots.provider, 1);
        record.writer.guid(provider);
    }
    record.protocols(slots.protocols, query_set.protocols);

    // The first field is the size of the whole in the wire form, of the structure in the kernel form.
    match form {
        Form::Wire => record.put_size(0, record.at()),
        Form::Kernel { .. } => record.put_size(0, slots.header),
    }
}

/// A record under way; offsets are from its first byte. Every item starts and ends aligned.
struct Record<'w, 'b> {
    start: usize,
    form: Form,
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
        let at = self.at();
        match self.form {
            Form::Wire => self.put_size(slot.reference, at),
            Form::Kernel { base } => match u64::try_from(at).ok().and_then(|at| base.checked_add(at)) {
                Some(pointer) => {
                    self.writer
                        .put(self.start.saturating_add(slot.reference), &pointer.to_le_bytes());
                }
                None => self.writer.too_large(),
            },
        }
        if let Some(place) = slot.count {
            self.put_size(place, count);
        }
    }

    fn text(&mut self, slot: Slot, text: Option<Text<'_>>) {
        let Some(text) = text else { return };
        self.refer(slot, text.len());
        text.write_to(self.writer);
        if let Form::Kernel { .. } = self.form {
            self.writer.u16(0);
        }
        self.writer.align8();
    }

    fn addresses(&mut self, slot: Slot, addresses: Addresses<'_>) {
        let count = addresses.len();
        if count == 0 {
            return;
        }
        let slots = &self.form.slots().address;
        self.refer(slot, count);
        let Some(array_size) = count.checked_mul(slots.size) else {
            return self.writer.too_large();
        };
        let mut entry = self.at();
        self.writer.zeros(array_size);
        for address in addresses.iter() {
            let within = |slot: Slot| Slot {
                reference: entry.saturating_add(slot.reference),
                count: slot.count.map(|count| entry.saturating_add(count)),
            };
            for (slot, bytes) in [(slots.local, address.local), (slots.remote, address.remote)] {
                if !bytes.is_empty() {
                    self.refer(within(slot), bytes.len());
                    self.writer.bytes(bytes);
                    self.writer.align8();
                }
            }
            let start = self.start.saturating_add(entry);
            self.writer.put(
                start.saturating_add(slots.socket_type),
                &address.socket_type.to_le_bytes(),
            );
            self.writer.put(
                start.saturating_add(slots.protocol),
                &address.protocol.to_le_bytes(),
            );
            entry = entry.saturating_add(slots.size);
        }
    }

    fn blob(&mut self, slot: Slot, blob: &[u8]) {
        match self.form {
            Form::Wire => self.refer(slot, blob.len()),
            Form::Kernel { .. } => {
                self.refer(slot, 1);
                let structure = self.at();
                self.writer.zeros(KERNEL_BLOB_SIZE);
                if !blob.is_empty() {
                    let data = Slot {
                        reference: structure.saturating_add(KERNEL_BLOB.reference),
                        count: KERNEL_BLOB.count.map(|count| structure.saturating_add(count)),
                    };
                    self.refer(data, blob.len());
                }
            }
        }
        self.writer.bytes(blob);
        self.writer.align8();
    }

    fn protocols(&mut self, slot: Slot, protocols: Protocols<'_>) {
        if protocols.is_empty() {
            return;
        }
        self.refer(slot, protocols.len());
        for protocol in protocols.iter() {
            self.writer.bytes(&protocol.family.to_le_bytes());
            self.writer.bytes(&protocol.protocol.to_le_bytes());
        }
    }
}
