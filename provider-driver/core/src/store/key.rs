//! What objects are found by: the mail address and the context, both without regard to case.

use nsemail_contract::address::Domain;
use nsemail_contract::limits;
use nsemail_contract::text::{ASCII_STEP, Text, characters_fold_to};
use pool_table::{keyed_hash, keyed_hash_128};

use super::record::{PackedKey, RecordRef};

/// The secret that names are hashed with. Names are chosen by others, who must not be able to choose colliding ones.
#[derive(Clone, Copy)]
pub struct HashKey([u64; 2]);

impl HashKey {
    /// A key from sixteen bytes that nobody can guess.
    #[must_use]
    pub const fn new(seed: [u64; 2]) -> Self {
        Self(seed)
    }

    /// The hash of a domain.
    #[must_use]
    pub fn domain(&self, domain: Domain<'_>) -> DomainHash {
        Folded::new(domain.text(), &mut Buffer::new()).hash_128(self)
    }
}

/// Stands for a domain: it is wide enough that no two have the same, and its key keeps others from looking for such two.
pub type DomainHash = u128;

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
    #[inline]
    #[must_use]
    pub fn new(name: Text<'a>, context: Text<'a>) -> Self {
        Self {
            // A domain may end in a dot that means nothing.
            name: name.without_suffix(b'.'),
            context,
        }
    }

    /// The key of a record.
    #[must_use]
    pub fn of(record: &RecordRef<'a>) -> Self {
        Self::new(record.name(), record.context())
    }

    /// The key as it is looked for.
    pub(super) fn folded<'b>(&self, buffer: &'b mut Buffer) -> FoldedKey<'b>
    where
        'a: 'b,
    {
        FoldedKey {
            name: Folded::new(self.name, buffer),
            context: self.context,
        }
    }

    /// The hash of the name. All contexts of a name share it, so that they are found together.
    #[must_use]
    pub fn hash(&self, key: &HashKey) -> u32 {
        self.folded(&mut Buffer::new()).hash(key)
    }

    /// The hash of the name's domain, as [`HashKey::domain`] gives it.
    #[must_use]
    pub fn domain_hash(&self, key: &HashKey) -> DomainHash {
        Folded::new(domain_of(self.name), &mut Buffer::new()).hash_128(key)
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

/// What stands after the last `@` of a name.
fn domain_of(name: Text<'_>) -> Text<'_> {
    name.rsplit_once(b'@').map_or(Text::EMPTY, |(_, domain)| domain)
}

/// Most names are not longer than this.
const SHORT: usize = 64;

const _: () = assert!(SHORT.is_multiple_of(ASCII_STEP) && limits::NAME.is_multiple_of(ASCII_STEP));

/// Where a name is folded.
#[derive(Clone, Copy)]
pub(super) struct Buffer {
    short: [u8; SHORT],
    /// Clearing it would cost as much as folding a name.
    long: Option<[u8; limits::NAME]>,
}

impl Buffer {
    #[inline]
    pub(super) const fn new() -> Self {
        Self {
            short: [0; SHORT],
            long: None,
        }
    }

    /// Room for a text of that length, if it may be that long.
    fn room(&mut self, length: usize) -> &mut [u8] {
        if length <= SHORT {
            &mut self.short
        } else {
            self.long.insert([0; limits::NAME])
        }
    }
}

/// A name or a domain that is folded once, to be hashed and compared with many.
#[derive(Clone, Copy)]
pub(super) struct Folded<'b> {
    text: Text<'b>,
    /// The text in ASCII, as nearly all are: a byte for each unit, and as many zeros as make it some whole steps. So hashing
    /// goes the same way for most texts, which a processor foresees. Texts have no zeros, so it is different for different
    /// ones. Empty for other texts.
    padded: &'b [u8],
}

impl<'b> Folded<'b> {
    /// Folds a text, into the buffer if it is ASCII.
    #[inline]
    pub(super) fn new(text: Text<'b>, buffer: &'b mut Buffer) -> Self {
        let padded = Self::pad(&text, buffer).unwrap_or_default();
        Self { text, padded }
    }

    #[inline]
    fn pad(text: &Text<'_>, buffer: &'b mut Buffer) -> Option<&'b [u8]> {
        text.fold_ascii(buffer.room(text.len()))
    }

    /// The folded text, if it is ASCII.
    #[inline]
    fn ascii(&self) -> Option<&'b [u8]> {
        self.padded.get(..self.text.len())
    }

    #[inline]
    fn hash(&self, key: &HashKey) -> u64 {
        if self.padded.is_empty() {
            return hash_other(&self.text, key);
        }
        keyed_hash(key.0, self.padded)
    }

    /// As wide as a hash has to be that stands for the text.
    fn hash_128(&self, key: &HashKey) -> DomainHash {
        if self.padded.is_empty() {
            return hash_other_128(&self.text, key);
        }
        keyed_hash_128(key.0, self.padded)
    }

    /// Whether the record's name is the same without regard to case.
    #[inline]
    fn is_packed(&self, key: PackedKey<'_>) -> bool {
        match self.ascii() {
            // As nearly all are, and so without a text made of it.
            Some(ours) if key.narrow => {
                characters_fold_to(key.name.strip_suffix(b".").unwrap_or(key.name), ours)
            }
            _ => self.is(&key.key().name),
        }
    }

    /// Whether the text is the same without regard to case.
    fn is(&self, other: &Text<'_>) -> bool {
        self.ascii()
            .map_or_else(|| self.text.eq_folded(other), |ours| other.folds_to_ascii(ours))
    }
}

/// Bytes of the longest text that is not ASCII.
const OTHER: usize = 2 * limits::NAME + 1;

/// What is hashed of a text that is not ASCII. An ASCII text may have the same bytes, but always whole steps, and so not
/// their odd number.
fn folded_bytes<'b>(text: &Text<'_>, buffer: &'b mut [u8; OTHER]) -> &'b [u8] {
    for (pair, unit) in buffer.as_chunks_mut().0.iter_mut().zip(text.folded_units()) {
        *pair = unit.to_le_bytes();
    }
    let end = text.len().saturating_mul(2).min(OTHER - 1);
    buffer.get(..=end).unwrap_or(buffer)
}

// Never inlined, here and below: few texts need the room.
#[inline(never)]
fn hash_other(text: &Text<'_>, key: &HashKey) -> u64 {
    keyed_hash(key.0, folded_bytes(text, &mut [0; OTHER]))
}

#[inline(never)]
fn hash_other_128(text: &Text<'_>, key: &HashKey) -> DomainHash {
    keyed_hash_128(key.0, folded_bytes(text, &mut [0; OTHER]))
}

/// A key, folded.
#[derive(Clone, Copy)]
pub(super) struct FoldedKey<'b> {
    name: Folded<'b>,
    context: Text<'b>,
}

impl FoldedKey<'_> {
    /// See [`Key::hash`].
    pub(super) fn hash(&self, key: &HashKey) -> u32 {
        narrowed(self.name.hash(key))
    }

    /// Whether that packed record is of an object of the name.
    pub(super) fn is_of_name(&self, record: &[u8]) -> bool {
        RecordRef::key(record).is_some_and(|key| self.name.is_packed(key))
    }

    /// Whether that packed record is of the object.
    pub(super) fn is_of_object(&self, record: &[u8]) -> bool {
        RecordRef::key(record).is_some_and(|key| self.name.is_packed(key) && self.is_context(key))
    }

    fn is_context(&self, key: PackedKey<'_>) -> bool {
        // Most have none.
        if key.context.is_empty() {
            return self.context.is_empty();
        }
        key.key().context.eq_folded(&self.context)
    }
}

/// Half of a hash: what the table keeps of it.
#[expect(clippy::cast_possible_truncation, reason = "half of it is meant")]
const fn narrowed(hash: u64) -> u32 {
    hash as u32
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
    fn names_of_every_length_are_found_in_every_case() {
        for length in 3..=limits::NAME {
            let lower = std::format!("{}@x", "a".repeat(length - 2));
            let upper = lower.to_ascii_uppercase();
            assert_eq!(key(&lower, "").hash(&KEY), key(&upper, "").hash(&KEY), "{length}");
            let domain = key(&lower, "").domain_hash(&KEY);
            assert_eq!(domain, KEY.domain(Domain::parse(text("X")).unwrap()), "{length}");
        }
    }

    #[test]
    fn an_ascii_domain_and_another_one_of_the_same_bytes_are_two() {
        // U+4141 is a letter, and `AA` to who looks at bytes.
        for length in 1..=limits::NAME / 4 {
            let ascii = std::format!("a@{}", "AA".repeat(length));
            let other = std::format!("a@{}", "\u{4141}".repeat(length));
            let (ascii, other) = (key(&ascii, ""), key(&other, ""));
            assert_ne!(ascii.domain_hash(&KEY), other.domain_hash(&KEY), "{length}");
        }
    }

    #[test]
    fn a_name_is_folded_the_same_wherever_another_one_was() {
        let mut used = Buffer::new();
        for longer in [20, 60, 100, limits::NAME] {
            for length in 1..longer {
                let (all_of, name) = ("a".repeat(longer), "b".repeat(length));
                Folded::new(text(&all_of), &mut used);
                let again = Folded::new(text(&name), &mut used).hash(&KEY);
                assert_eq!(again, Folded::new(text(&name), &mut Buffer::new()).hash(&KEY));
            }
        }
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
        fn names_that_differ_hash_differently(names in prop::collection::hash_set("[a-z]{1,90}@x", 2..50)) {
            let mut hashes: Vec<u64> = names.iter().map(|name: &String| Folded::new(text(name), &mut Buffer::new()).hash(&KEY)).collect();
            hashes.sort_unstable();
            hashes.dedup();
            prop_assert_eq!(hashes.len(), names.len());
        }
    }
}
