//! Links the image as a driver: no C runtime, native subsystem.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_WINDOWS").is_ok() {
        for argument in ["/NODEFAULTLIB", "/SUBSYSTEM:NATIVE", "/ENTRY:DriverEntry"] {
            println!("cargo::rustc-cdylib-link-arg={argument}");
        }
    }
}
