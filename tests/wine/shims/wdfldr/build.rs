//! Links the module as the system links its own: no C runtime, native subsystem.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_WINDOWS").is_ok() {
        for argument in ["/NODEFAULTLIB", "/SUBSYSTEM:NATIVE", "/ENTRY:DllMain"] {
            println!("cargo::rustc-cdylib-link-arg={argument}");
        }
    }
}
