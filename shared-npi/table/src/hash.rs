//! The hash of names that others choose.

use siphasher::sip::SipHasher13;
use siphasher::sip128;

/// The hash of those bytes under a secret key: SipHash-1-3. Who does not know the key cannot choose bytes whose hashes
/// collide.
#[must_use]
pub fn keyed_hash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let [k0, k1] = key;
    SipHasher13::new_with_keys(k0, k1).hash(bytes)
}

/// As [`keyed_hash`], twice as wide, so that it may stand for the bytes: among 2^32 different ones there are two of the same
/// hash with a chance of 2^-65.
#[must_use]
pub fn keyed_hash_128(key: [u64; 2], bytes: &[u8]) -> u128 {
    let [k0, k1] = key;
    sip128::SipHasher13::new_with_keys(k0, k1).hash(bytes).as_u128()
}
