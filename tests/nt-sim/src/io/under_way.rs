//! Requests that are under way.

use std::sync::Arc;

use super::irp::{Irp, IrpId};

/// Requests, in the order of their numbers. There are few at a time, and nearly all end soon after they began, so a list
/// finds them as fast as anything.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Vec<Arc<Irp>>);

impl UnderWay {
    pub(crate) fn insert(&mut self, irp: Arc<Irp>) {
        let place = self.place(irp.id()).unwrap_or_else(|place| place);
        self.0.insert(place, irp);
    }

    pub(crate) fn get(&self, id: IrpId) -> Option<&Arc<Irp>> {
        self.0.get(self.place(id).ok()?)
    }

    pub(crate) fn remove(&mut self, id: IrpId) -> Option<Arc<Irp>> {
        Some(self.0.remove(self.place(id).ok()?))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Irp>> {
        self.0.iter()
    }

    /// Where a request is, or else where it belongs.
    fn place(&self, id: IrpId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |irp| irp.id())
    }
}
