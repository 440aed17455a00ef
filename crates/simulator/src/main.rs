//! `waldur-okd-simulator`.

fn main() {}
