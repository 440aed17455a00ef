//! All seeds, in the ordinary test run: those that were found to break something stay mended.

use std::path::Path;

#[test]
fn every_seed_goes_through_its_target() {
    for target in fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        let mut seeds = 0;
        for seed in std::fs::read_dir(&folder).unwrap() {
            (target.run)(&std::fs::read(seed.unwrap().path()).unwrap());
            seeds += 1;
        }
        assert!(seeds > 2, "{} has {seeds} seeds", target.name);
    }
}
