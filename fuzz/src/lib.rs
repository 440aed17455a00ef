//! What is done with input that libFuzzer makes up, one function for each place where input comes from elsewhere.
//!
//! A target panics where something does not hold: a panic of the code is one case, an answer that contradicts itself
//! another. Nothing here reads a file, a clock or the environment, so that an input does the same each time.

mod amounts;
mod frames;
mod jwt;
mod messages;
mod settings;

/// A target with its name, which is also that of the folder with its seeds.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As on the command line.
    pub name: &'static str,
    /// Takes an input.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 5] = [
    Target { name: "settings", run: settings::run },
    Target { name: "amounts", run: amounts::run },
    Target { name: "jwt", run: jwt::run },
    Target { name: "messages", run: messages::run },
    Target { name: "frames", run: frames::run },
];
