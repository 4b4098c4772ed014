//! `cargo soak`: see the module of that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    schedules::soak::main()
}
