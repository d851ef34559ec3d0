//! The agent as a user meets it: unlocked once, refused to strangers, and nothing left behind.

mod access;
mod activation;
mod alike;
mod crowd;
mod everyday;
mod hogs;
mod home;
mod lease;
mod memory;
mod merging;
mod named;
mod pins;
mod scan;
mod sources;
mod storm;
mod swap;
