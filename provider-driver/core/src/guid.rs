//! GUIDs as the registry spells them.

use nsemail_contract::guid::Guid;

/// Reads a GUID from UTF-16, as keys of the registry are named; `None` if it is none.
pub fn parse(text: &[u16]) -> Option<Guid> {
    let mut ascii = [0; 38];
    let ascii = ascii.get_mut(..text.len())?;
    for (to, from) in ascii.iter_mut().zip(text) {
        *to = u8::try_from(*from).ok()?;
    }
    let guid: Guid = core::str::from_utf8(ascii).ok()?.parse().ok()?;
    (!guid.is_nil()).then_some(guid)
}
