//! Decides what should be on the cluster for a Waldur resource, and what to do about the difference.
