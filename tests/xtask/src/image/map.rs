//! The linker's map: which symbol is at which address.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use rustc_demangle::demangle;

/// Symbols by their distance from the start of the image. Functions with the same instructions are one, under several
/// names.
pub struct Map(BTreeMap<u32, Vec<String>>);

impl Map {
    /// Reads the part `Publics by Value` of a map; names are written as Rust writes them.
    ///
    /// # Errors
    /// When there is no symbol in it.
    pub fn parse(text: &str, base: u64) -> Result<Self> {
        let mut symbols = BTreeMap::<u32, Vec<String>>::new();
        for line in text.lines() {
            // section:offset  name  address  object
            let mut columns = line.split_whitespace();
            let (Some(place), Some(name), Some(address)) = (columns.next(), columns.next(), columns.next())
            else {
                continue;
            };
            let address = u64::from_str_radix(address, 16)
                .ok()
                .filter(|_| address.len() == 16);
            let offset = address.and_then(|address| address.checked_sub(base));
            let Some(offset) = offset.and_then(|offset| u32::try_from(offset).ok()) else {
                continue;
            };
            if place.contains(':') {
                symbols
                    .entry(offset)
                    .or_default()
                    .push(format!("{:#}", demangle(name)));
            }
        }
        if symbols.is_empty() {
            bail!("the map has no symbols");
        }
        Ok(Self(symbols))
    }

    /// All symbols with their offsets.
    pub fn symbols(&self) -> impl Iterator<Item = (u32, &str)> {
        self.0
            .iter()
            .flat_map(|(offset, names)| names.iter().map(|name| (*offset, name.as_str())))
    }

    /// The first of the symbols at an offset.
    pub fn at(&self, offset: u32) -> Option<&str> {
        self.0.get(&offset)?.first().map(String::as_str)
    }

    /// The symbol that an offset is at or behind.
    pub fn around(&self, offset: u32) -> Option<&str> {
        let (_, names) = self.0.range(..=offset).next_back()?;
        names.first().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_found_by_offset() {
        let text = "\
  Address         Publics by Value              Rva+Base               Lib:Object

 0001:00000000       _RNvC1a1b                  0000000180001000     a.o
 0001:00000000       same                       0000000180001000     a.o
 0001:00000020       DriverEntry                0000000180001020     b.o
 Exports
  ordinal    name
        1    DriverEntry
";
        let map = Map::parse(text, 0x1_8000_0000).unwrap();
        assert_eq!(map.at(0x1000), Some("a::b"));
        assert_eq!(map.at(0x1001), None);
        assert_eq!(map.around(0x1fff), Some("DriverEntry"));
        assert_eq!(map.symbols().count(), 3);
        assert!(Map::parse("", 0).is_err());
    }
}
