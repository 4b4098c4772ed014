//! The network programming interface between the two drivers, as the registrar's safe layer wants it
//! described.

use nsemail_contract::{Guid, dispatch, ids};

/// The NPI of e-mail names: `nsemail-contract`'s ids and tables.
#[derive(Clone, Copy, Debug)]
pub struct EmailNpi;

// SAFETY: the rules of the interface (`nsemail_contract::dispatch`) ask of every module that registers under
// this id what the trait does: characteristics and tables of these types, or a prefix of later versions of
// them, unchanged while registered and while bound.
unsafe impl nmr::Npi for EmailNpi {
    const ID: nmr::Guid = guid(ids::NPIID);
    type ClientCharacteristics = dispatch::ClientCharacteristics;
    type ProviderCharacteristics = dispatch::ProviderCharacteristics;
    type ClientDispatch = dispatch::ClientDispatch;
    type ProviderDispatch = dispatch::ProviderDispatch;
}

/// A GUID of the contract as the registrar spells it.
#[must_use]
pub const fn guid(guid: Guid) -> nmr::Guid {
    nmr::Guid::new(guid.data1, guid.data2, guid.data3, guid.data4)
}
