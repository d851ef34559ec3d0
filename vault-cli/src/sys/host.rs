//! Names of the machine and its user, for the log's author.

/// The machine's name, as the kernel has it.
pub(crate) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The number of the user who runs this process.
pub(crate) fn user_number() -> u32 {
    rustix::process::getuid().as_raw()
}
