//! The AddReg directive, as far as a service of a primitive package may use it.

use super::{Entry, InfError};
use crate::registry::{Value, kind};

/// `FLG_ADDREG_BINVALUETYPE`: the value is bytes; with a type above it, bytes of that type.
const BINVALUETYPE: u32 = 0x0000_0001;
/// `FLG_ADDREG_NOCLOBBER`: an existing value stays.
const NOCLOBBER: u32 = 0x0000_0002;
/// `FLG_ADDREG_KEYONLY`: only the key is made.
const KEYONLY: u32 = 0x0000_0010;
/// `FLG_ADDREG_TYPE_MULTI_SZ`.
const TYPE_MULTI_SZ: u32 = 0x0001_0000;
/// `FLG_ADDREG_TYPE_EXPAND_SZ`.
const TYPE_EXPAND_SZ: u32 = 0x0002_0000;
/// `FLG_ADDREG_TYPE_DWORD`.
const TYPE_DWORD: u32 = 0x0001_0001;
/// `FLG_ADDREG_TYPE_QWORD`.
const TYPE_QWORD: u32 = 0x000B_0001;
/// The bits that tell the type of the value.
const TYPE_MASK: u32 = 0xFFFF_0001;

/// One value, or bare key, that the package puts below its service's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryValue {
    /// The line it comes from.
    pub line: u32,
    /// The key below the service's own, parts separated by `\`.
    pub subkey: String,
    /// Name and value; none for a key without a value.
    pub value: Option<(String, Value)>,
    /// Whether a value that is there already stays.
    pub keep_existing: bool,
}

impl RegistryValue {
    /// Reads an entry `reg-root, subkey, value-name, flags, value…`.
    pub(super) fn read(entry: &Entry) -> Result<Self, InfError> {
        let fault = |reason: String| InfError::at(entry.line, reason);
        if entry.key.is_some() {
            return Err(fault("an AddReg entry has no key before an =".to_owned()));
        }
        let root = entry.field(0);
        if !root.eq_ignore_ascii_case("HKR") {
            return Err(fault(format!(
                "{root} is outside of the driver's own state; only HKR is allowed here"
            )));
        }
        let subkey = entry.field(1).trim_matches('\\').to_owned();
        let mut parts = subkey.split('\\');
        if !parts
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case("Parameters"))
        {
            return Err(fault(format!(
                "the key \"{subkey}\" is not below Parameters, where a driver's state belongs"
            )));
        }
        if parts.any(str::is_empty) {
            return Err(fault(format!("the key \"{subkey}\" has an empty part")));
        }
        let flags = match entry.field(3) {
            "" => 0,
            text => number(text).ok_or_else(|| fault(format!("flags {text} are no number")))?,
        };
        let values = entry.fields.get(4..).unwrap_or(&[]);
        if flags & KEYONLY != 0 {
            if flags != KEYONLY || !values.is_empty() || !entry.field(2).is_empty() {
                return Err(fault("a bare key takes no name, value or other flag".to_owned()));
            }
            return Ok(Self {
                line: entry.line,
                subkey,
                value: None,
                keep_existing: true,
            });
        }
        if flags & !(TYPE_MASK | NOCLOBBER) != 0 {
            return Err(fault(format!(
                "flags 0x{flags:08X} hold a bit that is not supported"
            )));
        }
        let value = read_value(flags & TYPE_MASK, values).map_err(fault)?;
        Ok(Self {
            line: entry.line,
            subkey,
            value: Some((entry.field(2).to_owned(), value)),
            keep_existing: flags & NOCLOBBER != 0,
        })
    }
}

fn read_value(kind: u32, values: &[String]) -> Result<Value, String> {
    let one = || match values {
        [] => Ok(""),
        [value] => Ok(value.as_str()),
        _ => Err("more than one value".to_owned()),
    };
    match kind {
        0 => Ok(Value::sz(one()?)),
        TYPE_EXPAND_SZ => Ok(Value {
            kind: kind::EXPAND_SZ,
            ..Value::sz(one()?)
        }),
        TYPE_MULTI_SZ => Ok(Value::multi_sz(values.iter().map(String::as_str))),
        TYPE_DWORD => {
            let text = one()?;
            number(text)
                .map(Value::dword)
                .ok_or_else(|| format!("{text:?} is no 32-bit number"))
        }
        BINVALUETYPE => {
            let byte = |text: &String| {
                u8::from_str_radix(text, 16).map_err(|_| format!("{text:?} is no byte in hex"))
            };
            Ok(Value::binary(
                values.iter().map(byte).collect::<Result<Vec<u8>, String>>()?,
            ))
        }
        TYPE_QWORD => Err("64-bit values are not supported".to_owned()),
        other => Err(format!("value type 0x{other:08X} is not supported")),
    }
}

/// Reads a number as INF files have it: decimal, or hexadecimal after `0x`.
pub(super) fn number(text: &str) -> Option<u32> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    hex.map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok())
}
