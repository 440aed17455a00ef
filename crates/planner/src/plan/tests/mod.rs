//! Plans against a world in memory: what is done, and that nothing is left to do afterwards.

mod access;
mod adoption;
mod facts;
mod lifecycle;
mod places;
mod project;
mod properties;
mod quotas;
mod scenarios;
mod subjects;
mod taking;
mod template;
mod world;
