//! What an administrator can set under the service's `Parameters` key, and the values without.

use nsemail_kernel::irql::Passive;
use nsemail_kernel::registry::Key;
use nsemail_kernel::utf16;
use pool_alloc::Vec;

use crate::memory::ServicePool;

/// How many of each there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `MaxSessions`: open handles of the control device.
    pub sessions: usize,
    /// `MaxLookUpsPerSession`: look-ups that one handle has open.
    pub look_ups_per_session: usize,
    /// `MaxCalls`: calls in progress in the whole driver.
    pub calls: usize,
    /// `MaxProviders`: providers that are attached at a time.
    pub providers: usize,
    /// `Workers`: threads that go on with calls that had to wait.
    pub workers: usize,
    /// `Events`: events that are kept.
    pub events: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 4096,
            look_ups_per_session: 1024,
            calls: 4096,
            providers: 64,
            workers: 2,
            events: 256,
        }
    }
}

impl Limits {
    /// Reads the limits. A value that is absent, of another type or outside of what makes sense counts as the nearest
    /// that does.
    #[must_use]
    pub fn read(passive: Passive<'_>, parameters: &Key) -> Self {
        let read = |name, default: usize, most: u32| match parameters.dword(passive, name) {
            Ok(Some(value)) => usize::try_from(value.clamp(1, most)).unwrap_or(default),
            Ok(None) | Err(_) => default,
        };
        let default = Self::default();
        Self {
            sessions: read(utf16!("MaxSessions"), default.sessions, 1 << 20),
            look_ups_per_session: read(
                utf16!("MaxLookUpsPerSession"),
                default.look_ups_per_session,
                1 << 16,
            ),
            calls: read(utf16!("MaxCalls"), default.calls, 1 << 16),
            providers: read(utf16!("MaxProviders"), default.providers, 1 << 10),
            workers: read(utf16!("Workers"), default.workers, 16),
            events: read(utf16!("Events"), default.events, 1 << 14),
        }
    }
}

/// The device's security descriptor: everyone reads, the system and administrators write, and so does the group whose
/// SID is the value `WriteGroup`, if there is one.
///
/// # Errors
/// When there is no memory.
pub fn security(
    passive: Passive<'_>,
    parameters: &Key,
) -> Result<Vec<u16, ServicePool>, pool_alloc::OutOfMemory> {
    let pool = ServicePool::default();
    let mut sddl = Vec::try_from_slice_in(utf16!("D:P(A;;GA;;;SY)(A;;GA;;;BA)(A;;GR;;;WD)"), pool)?;
    if let Ok(Some(group)) = parameters.string(passive, utf16!("WriteGroup"), pool)
        && is_sid(&group)
    {
        sddl.try_extend_from_slice(utf16!("(A;;GRGW;;;"))?;
        sddl.try_extend_from_slice(&group)?;
        sddl.try_push(u16::from(b')'))?;
    }
    Ok(sddl)
}

/// Whether the text is a SID in string form (`S-1-5-32-545`), so that nothing else can be smuggled into a descriptor.
fn is_sid(text: &[u16]) -> bool {
    let is = |unit: u16, byte: u8| unit == u16::from(byte);
    let mut parts = text.split(|unit| is(*unit, b'-'));
    let starts = matches!(parts.next(), Some(&[letter]) if is(letter & !0x20, b'S'));
    let digits = |part: &[u16]| {
        (1..=10).contains(&part.len())
            && part
                .iter()
                .all(|unit| (u16::from(b'0')..=u16::from(b'9')).contains(unit))
    };
    let count = parts.clone().count();
    starts && (3..=16).contains(&count) && parts.all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sid_is_taken_for_a_sid() {
        let is = |text: &str| is_sid(&text.encode_utf16().collect::<std::vec::Vec<_>>());
        for sid in ["S-1-5-32-545", "s-1-5-21-1-2-3-1001"] {
            assert!(is(sid), "{sid}");
        }
        for other in [
            "",
            "S",
            "S-",
            "S-1-5",
            "BU",
            "S-1-5-32-",
            "S-1-5-x",
            "S-1-5-32-545)(A;;GA;;;WD",
            "SS-1-5-32-545",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
