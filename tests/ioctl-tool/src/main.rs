//! `nsemail`.
fn main() {}
