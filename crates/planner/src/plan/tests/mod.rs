//! Plans against a world in memory: what is done, and that nothing is left to do afterwards.

mod access;
mod adoption;
mod facts;
mod lifecycle;
mod properties;
mod quotas;
mod scenarios;
mod subjects;
mod template;
mod world;
