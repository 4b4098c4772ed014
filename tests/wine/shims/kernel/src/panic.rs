//! What a panic does: it ends the process that hosts the drivers, as a bug check ends Windows.

#[cfg(windows)]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crate::log!("STOP: {info}");
    crate::nt::stop()
}
