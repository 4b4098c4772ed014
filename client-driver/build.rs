//! Prepares the image, and asks wdk-build for the linker arguments of a KMDF driver.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    nsemail_image::prepare()?;
    wdk_build::configure_wdk_binary_build()?;
    Ok(())
}
