//! x
use crate::paths::Paths;
use anyhow::Result;
pub fn check(_: &Paths) -> Result<()> {
    Ok(())
}
