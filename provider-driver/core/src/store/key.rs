//! What objects are found by: the mail address and the context, both without regard to case.

use core::hash::Hasher as _;

use nsemail_contract::address::Domain;
use nsemail_contract::text::Text;
use siphasher::sip::SipHasher13;

use super::record::RecordRef;

/// The secret that names are hashed with. Names are chosen by others, who must not be able to choose colliding ones.
#[derive(Clone, Copy)]
pub struct HashKey([u64; 2]);

impl HashKey {
    /// A key from sixteen bytes that nobody can guess.
    #[must_use]
    pub const fn new(seed: [u64; 2]) -> Self {
        Self(seed)
    }

    /// The hash of a domain. It is that of no name, as no domain has an `@`.
    #[must_use]
    pub fn domain(&self, domain: Domain<'_>) -> u64 {
        self.hash(domain.key_units())
    }

    fn hash(&self, units: impl Iterator<Item = u16>) -> u64 {
        let Self([k0, k1]) = *self;
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        // Four units make a word: hashing unit by unit would cost more than the look-up.
        let (mut word, mut filled) = (0_u64, 0_u32);
        for unit in units {
            word |= u64::from(unit).wrapping_shl(filled);
            filled = filled.saturating_add(16);
            if filled == 64 {
                hasher.write_u64(word);
                (word, filled) = (0, 0);
            }
        }
        hasher.write_u64(word);
        hasher.finish()
    }
}

impl core::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("HashKey")
    }
}

/// An object's key. The name is a valid mail address.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    name: Text<'a>,
    context: Text<'a>,
}

impl<'a> Key<'a> {
    /// The key of the object with that name, which is a valid mail address, and context.
    #[must_use]
    pub fn new(name: Text<'a>, context: Text<'a>) -> Self {
        Self {
            name: without_dot(name),
            context,
        }
    }

    /// The key of a record.
    #[must_use]
    pub fn of(record: &RecordRef<'a>) -> Self {
        Self::new(record.name(), record.context())
    }

    /// The hash of the name. All contexts of a name share it, so that they are found together.
    #[must_use]
    pub fn hash(&self, key: &HashKey) -> u32 {
        narrowed(key.hash(self.name.folded_units()))
    }

    /// The hash of the name's domain, as [`HashKey::domain`] gives it.
    #[must_use]
    pub fn domain_hash(&self, key: &HashKey) -> u64 {
        key.hash(self.domain().folded_units())
    }

    /// Whether the name belongs to a domain.
    #[must_use]
    pub fn is_of(&self, domain: Domain<'_>) -> bool {
        self.domain().folded_units().eq(domain.key_units())
    }

    /// Whether that packed record is of an object of the name.
    pub(super) fn is_of_name(&self, record: &[u8]) -> bool {
        RecordRef::read(record).is_some_and(|view| Key::of(&view).same_name(self))
    }

    /// Whether that packed record is of the object.
    pub(super) fn is_of_object(&self, record: &[u8]) -> bool {
        RecordRef::read(record).is_some_and(|view| Key::of(&view).same_object(self))
    }

    /// What stands after the last `@`.
    fn domain(&self) -> Text<'a> {
        self.name
            .rsplit_once(b'@')
            .map_or(Text::EMPTY, |(_, domain)| domain)
    }

    /// Whether both are contexts of the same name.
    #[must_use]
    pub fn same_name(&self, other: &Key<'_>) -> bool {
        self.name.eq_folded(&other.name)
    }

    /// Whether both are the same object.
    #[must_use]
    pub fn same_object(&self, other: &Key<'_>) -> bool {
        self.same_name(other) && self.context.eq_folded(&other.context)
    }
}

/// Half of a hash: what the table keeps of it.
#[expect(clippy::cast_possible_truncation, reason = "half of it is meant")]
const fn narrowed(hash: u64) -> u32 {
    hash as u32
}

/// A domain may end in a dot that means nothing.
pub(super) fn without_dot(name: Text<'_>) -> Text<'_> {
    name.strip_suffix(b'.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use nsemail_contract::address::Address;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    const KEY: HashKey = HashKey::new([1, 2]);

    fn text(text: &str) -> Text<'_> {
        Text::from_str(text).unwrap()
    }

    fn key<'a>(name: &'a str, context: &'a str) -> Key<'a> {
        Key::new(text(name), text(context))
    }

    #[test]
    fn edge_22_case_and_a_final_dot_make_no_difference() {
        let registered = key("Bob.Müller@Example.COM", "Chat");
        let asked = key("bob.mÜLLER@example.com.", "cHAT");
        assert!(registered.same_object(&asked));
        assert_eq!(registered.hash(&KEY), asked.hash(&KEY));
    }

    #[test]
    fn edge_22_two_spellings_that_only_look_alike_are_two_names() {
        assert!(!key("caf\u{e9}@example.com", "").same_name(&key("cafe\u{301}@example.com", "")));
        assert!(!key("\u{17f}am@example.com", "").same_name(&key("sam@example.com", "")));
    }

    #[test]
    fn the_hash_depends_on_the_secret() {
        let bob = key("bob@example.com", "");
        assert_ne!(bob.hash(&KEY), bob.hash(&HashKey::new([1, 3])));
    }

    proptest! {
        #[test]
        fn keys_compare_as_addresses_do(a in "[abAB]{1,2}@[xX]{1,3}\\.?", b in "[abAB]{1,2}@[xX]{1,3}\\.?") {
            let (left, right) = (Address::parse(text(&a)).unwrap(), Address::parse(text(&b)).unwrap());
            prop_assert_eq!(key(&a, "").same_name(&key(&b, "")), left.same_name(&right));
            if left.same_name(&right) {
                prop_assert_eq!(key(&a, "").hash(&KEY), key(&b, "").hash(&KEY));
            }
        }

        #[test]
        fn names_that_differ_hash_differently(names in prop::collection::hash_set("[a-z]{1,40}@x", 2..50)) {
            let mut hashes: Vec<u64> = names.iter().map(|name: &String| KEY.hash(text(name).folded_units())).collect();
            hashes.sort_unstable();
            hashes.dedup();
            prop_assert_eq!(hashes.len(), names.len());
        }
    }
}
