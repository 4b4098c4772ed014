//! The reader of INF files is total, and a machine takes a package that it accepts or says why not.

use nt_sim::{
    Machine,
    inf::{self, Inf, Package},
};

/// Bytes as an INF file.
///
/// # Panics
/// If the property does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = inf::decode(bytes) else { return };
    if let Ok(inf) = Inf::parse(&text) {
        for section in inf.sections() {
            assert!(
                inf.section(&section.name).is_some(),
                "a section is found by its name"
            );
        }
    }
    let Ok(package) = Package::read(&text, "amd64", "1.31") else {
        return;
    };
    assert_eq!(
        Package::read(&text, "amd64", "1.31").map(|again| again.services.len()),
        Ok(package.services.len())
    );
    let machine = Machine::builder().build().expect("a machine in memory");
    let before = machine.services().len();
    if machine.install(&text).is_ok() {
        assert!(machine.services().len() >= before);
        assert_eq!(machine.is_installed(&text), Ok(true));
    }
    machine.shutdown().assert_clean();
}
