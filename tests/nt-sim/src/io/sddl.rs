//! Security descriptors in their string form (SDDL), and the access check against them.
//!
//! The part of the language that devices use: optional owner and group, and a discretionary list
//! `D:` with flags and entries `(type;flags;rights;;;sid)`. Source: "SDDL for Device Objects" and
//! "ACE strings".

use core::fmt;

/// `GENERIC_READ`
pub const GENERIC_READ: u32 = 0x8000_0000;
/// `GENERIC_WRITE`
pub const GENERIC_WRITE: u32 = 0x4000_0000;
/// `GENERIC_EXECUTE`
pub const GENERIC_EXECUTE: u32 = 0x2000_0000;
/// `GENERIC_ALL`
pub const GENERIC_ALL: u32 = 0x1000_0000;
/// `SYNCHRONIZE`
pub const SYNCHRONIZE: u32 = 0x0010_0000;
/// `FILE_GENERIC_READ`
pub const FILE_GENERIC_READ: u32 = 0x0012_0089;
/// `FILE_GENERIC_WRITE`
pub const FILE_GENERIC_WRITE: u32 = 0x0012_0116;
/// `FILE_GENERIC_EXECUTE`
pub const FILE_GENERIC_EXECUTE: u32 = 0x0012_00A0;
/// `FILE_ALL_ACCESS`
pub const FILE_ALL_ACCESS: u32 = 0x001F_01FF;
const READ_CONTROL: u32 = 0x0002_0000;
const WRITE_DAC: u32 = 0x0004_0000;

/// Well-known names of SIDs.
const ALIASES: [(&str, &str); 15] = [
    ("AN", "S-1-5-7"),
    ("AU", "S-1-5-11"),
    ("BA", "S-1-5-32-544"),
    ("BG", "S-1-5-32-546"),
    ("BU", "S-1-5-32-545"),
    ("IU", "S-1-5-4"),
    ("LS", "S-1-5-19"),
    ("NO", "S-1-5-32-556"),
    ("NS", "S-1-5-20"),
    ("NU", "S-1-5-2"),
    ("OW", "S-1-3-4"),
    ("RC", "S-1-5-12"),
    ("SU", "S-1-5-6"),
    ("SY", "S-1-5-18"),
    ("WD", "S-1-1-0"),
];

/// Rights by their two letters.
const RIGHTS: [(&str, u32); 21] = [
    ("GA", GENERIC_ALL),
    ("GR", GENERIC_READ),
    ("GW", GENERIC_WRITE),
    ("GX", GENERIC_EXECUTE),
    ("FA", FILE_ALL_ACCESS),
    ("FR", FILE_GENERIC_READ),
    ("FW", FILE_GENERIC_WRITE),
    ("FX", FILE_GENERIC_EXECUTE),
    ("RC", READ_CONTROL),
    ("SD", 0x0001_0000),
    ("WD", WRITE_DAC),
    ("WO", 0x0008_0000),
    ("CC", 0x001),
    ("DC", 0x002),
    ("LC", 0x004),
    ("SW", 0x008),
    ("RP", 0x010),
    ("WP", 0x020),
    ("DT", 0x040),
    ("LO", 0x080),
    ("CR", 0x100),
];

/// A security identifier in its string form, `S-1-…`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(String);

impl Sid {
    /// Reads a SID: `S-1-…` or one of the two-letter names.
    ///
    /// # Errors
    ///
    /// Returns a sentence about what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, SddlError> {
        let upper = text.to_ascii_uppercase();
        if let Some((_, sid)) = ALIASES.iter().find(|(alias, _)| *alias == upper) {
            return Ok(Self((*sid).to_owned()));
        }
        let error = || SddlError(format!("{text:?} is neither S-1-… nor a known name of a SID"));
        let parts = upper.strip_prefix("S-1-").ok_or_else(error)?;
        let mut canonical = String::from("S-1");
        for (index, part) in parts.split('-').enumerate() {
            let number = part
                .strip_prefix("0X")
                .map_or_else(|| part.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok());
            // The authority has 48 bits, what follows 32; there are at most 15 of these.
            let limit = if index == 0 {
                (1 << 48) - 1
            } else {
                u64::from(u32::MAX)
            };
            let number = number
                .filter(|&number| number <= limit && index <= 15)
                .ok_or_else(error)?;
            canonical.push('-');
            canonical.push_str(&number.to_string());
        }
        Ok(Self(canonical))
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no security descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SddlError(String);

impl fmt::Display for SddlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for SddlError {}

/// An entry of an access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ace {
    /// Whether the entry allows; else it denies.
    pub allow: bool,
    /// The rights, generic ones mapped to those of files and devices.
    pub rights: u32,
    /// Whom it is about.
    pub sid: Sid,
    /// Whether the entry is only there to be inherited and means nothing for this object.
    pub inherit_only: bool,
}

/// Who may do what with a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityDescriptor {
    /// The owner, who may always read and change the list.
    pub owner: Option<Sid>,
    /// The entries in order; without a list everyone may do everything.
    pub dacl: Option<Vec<Ace>>,
}

/// Maps generic rights to the rights of files and devices.
#[must_use]
pub const fn map_generic(access: u32) -> u32 {
    let mut mapped = access & !(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL);
    if access & GENERIC_READ != 0 {
        mapped |= FILE_GENERIC_READ;
    }
    if access & GENERIC_WRITE != 0 {
        mapped |= FILE_GENERIC_WRITE;
    }
    if access & GENERIC_EXECUTE != 0 {
        mapped |= FILE_GENERIC_EXECUTE;
    }
    if access & GENERIC_ALL != 0 {
        mapped |= FILE_ALL_ACCESS;
    }
    mapped
}

impl SecurityDescriptor {
    /// Reads a security descriptor.
    ///
    /// # Errors
    ///
    /// Returns a sentence about the first fault.
    pub fn parse(text: &str) -> Result<Self, SddlError> {
        let mut descriptor = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let mut chars = rest.chars();
            let (part, colon) = (chars.next(), chars.next());
            if colon != Some(':') {
                return Err(SddlError(format!("{rest:?} does not begin with O:, G: or D:")));
            }
            let body = chars.as_str();
            match part {
                Some('O') => {
                    let (sid, after) = leading_sid(body)?;
                    descriptor.owner = Some(sid);
                    rest = after;
                }
                Some('G') => rest = leading_sid(body)?.1,
                Some('D') if descriptor.dacl.is_none() => {
                    let (dacl, after) = parse_dacl(body)?;
                    descriptor.dacl = Some(dacl);
                    rest = after;
                }
                Some('D') => return Err(SddlError("two lists D:".to_owned())),
                _ => return Err(SddlError(format!("the part {rest:?} is not supported"))),
            }
        }
        Ok(descriptor)
    }

    /// Returns the rights granted to someone with these SIDs who asks for `desired`, or none if not
    /// all of it may be granted.
    #[must_use]
    pub fn check(&self, sids: &[Sid], desired: u32) -> Option<u32> {
        let desired = map_generic(desired);
        let Some(dacl) = &self.dacl else {
            return Some(desired);
        };
        let mut missing = desired;
        if self.owner.as_ref().is_some_and(|owner| sids.contains(owner)) {
            missing &= !(READ_CONTROL | WRITE_DAC);
        }
        for ace in dacl {
            if missing == 0 {
                break;
            }
            if ace.inherit_only || !sids.contains(&ace.sid) {
                continue;
            }
            if ace.allow {
                missing &= !ace.rights;
            } else if missing & ace.rights != 0 {
                return None;
            }
        }
        (missing == 0).then_some(desired)
    }
}

/// Takes the SID from the start of a text that goes on with another part, such as `SYD:P`.
fn leading_sid(text: &str) -> Result<(Sid, &str), SddlError> {
    let end = if text
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("S-"))
    {
        // The digits end before the letter of the next part, whose colon follows it.
        text.find(':').map_or(text.len(), |colon| colon.saturating_sub(1))
    } else {
        2
    };
    let missing = || SddlError("a part ends before its SID".to_owned());
    let (sid, rest) = text.split_at_checked(end).ok_or_else(missing)?;
    Ok((Sid::parse(sid)?, rest))
}

fn parse_dacl(text: &str) -> Result<(Vec<Ace>, &str), SddlError> {
    let flags_end = text.find(['(', ':']).unwrap_or(text.len());
    // Without an entry, the next part's letter ends the flags.
    let flags_end = if text.get(flags_end..).is_some_and(|rest| rest.starts_with(':')) {
        flags_end.saturating_sub(1)
    } else {
        flags_end
    };
    let (flags, mut rest) = text
        .split_at_checked(flags_end)
        .ok_or_else(|| SddlError("broken list".to_owned()))?;
    let mut flags = flags.to_ascii_uppercase();
    for flag in ["AR", "AI", "P"] {
        flags = flags.replacen(flag, "", 1);
    }
    if !flags.is_empty() {
        return Err(SddlError(format!("{flags:?} are no flags of a list")));
    }
    let mut entries = Vec::new();
    while let Some(body) = rest.strip_prefix('(') {
        let (entry, after) = body
            .split_once(')')
            .ok_or_else(|| SddlError("an entry without its )".to_owned()))?;
        entries.push(parse_ace(entry)?);
        rest = after;
    }
    Ok((entries, rest))
}

fn parse_ace(text: &str) -> Result<Ace, SddlError> {
    let fields: Vec<&str> = text.split(';').map(str::trim).collect();
    let [kind, flags, rights, "", "", sid] = fields.as_slice() else {
        return Err(SddlError(format!(
            "({text}) is not of the form (type;flags;rights;;;sid)"
        )));
    };
    let allow = match kind.to_ascii_uppercase().as_str() {
        "A" => true,
        "D" => false,
        _ => return Err(SddlError(format!("({text}): only types A and D are supported"))),
    };
    let mut inherit_only = false;
    for flag in pairs(flags) {
        match flag.to_ascii_uppercase().as_str() {
            "CI" | "OI" | "NP" | "ID" => {}
            "IO" => inherit_only = true,
            _ => return Err(SddlError(format!("({text}): unknown flag {flag:?}"))),
        }
    }
    Ok(Ace {
        allow,
        rights: parse_rights(rights)?,
        sid: Sid::parse(sid)?,
        inherit_only,
    })
}

fn parse_rights(text: &str) -> Result<u32, SddlError> {
    let error = || SddlError(format!("{text:?} are no rights"));
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).map(map_generic).map_err(|_| error());
    }
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return text.parse().map(map_generic).map_err(|_| error());
    }
    let mut rights = 0;
    for pair in pairs(text) {
        let known = RIGHTS.iter().find(|(name, _)| pair.eq_ignore_ascii_case(name));
        rights |= known.ok_or_else(error)?.1;
    }
    Ok(map_generic(rights))
}

/// Cuts a text into pieces of two letters; the last may be shorter.
fn pairs(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(2).map(|pair| pair.iter().collect()).collect()
}
