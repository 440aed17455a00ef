//! `waldur_site_agent`.

fn main() {}
