//! The hash of names that others choose.

use siphasher::sip::SipHasher13;

/// The hash of those bytes under a secret key: SipHash-1-3. Who does not know the key cannot choose bytes whose hashes
/// collide.
#[must_use]
pub fn keyed_hash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let [k0, k1] = key;
    SipHasher13::new_with_keys(k0, k1).hash(bytes)
}
