//! The parser of installation blobs is total, and what it accepts it accepts again when it is written anew.

use nsemail_contract::{
    Domain, WriteError,
    blob::{self, InstallationBlob, Level},
};

/// Bytes as a blob.
///
/// # Panics
/// If the property does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(blob) = InstallationBlob::parse(bytes) else {
        return;
    };
    let claims: Vec<(Level, Domain<'_>)> = blob
        .claims()
        .map(|claim| {
            let end = claim.name_offset + 2 * claim.name.len();
            assert!(end <= bytes.len() && claim.description_offset < bytes.len());
            (claim.level, claim.domain)
        })
        .collect();
    assert_eq!(blob.count() as usize, claims.len());
    for (level, domain) in &claims {
        assert_eq!(blob.level_of(domain), Some(*level), "no domain occurs twice");
    }

    let mut written = vec![0; 1 << 20];
    match blob::write(blob.version, blob.wildcard, claims.iter().copied(), &mut written) {
        Ok(size) => {
            let again = InstallationBlob::parse(&written[..size]).expect("a blob of our own is accepted");
            assert_eq!((again.version, again.wildcard), (blob.version, blob.wildcard));
            let read: Vec<_> = again.claims().map(|claim| (claim.level, claim.domain)).collect();
            assert_eq!(read, claims);
        }
        // Names may overlap in what was read.
        Err(WriteError::TooLarge) => {}
        Err(WriteError::TooSmall { needed }) => panic!("a blob of {needed} bytes"),
    }
}
