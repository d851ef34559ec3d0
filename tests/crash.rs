//! The program under bad conditions: system calls that fail, kills, full disks, crowds, planted files, eyes.

mod crowd;
mod faults;
mod hostile;
mod kills;
mod leaks;
pub(crate) mod places;
pub(crate) mod program;
mod streams;
