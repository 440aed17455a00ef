//! Nothing: the archive that libfuzzer-sys compiles is what is wanted.
