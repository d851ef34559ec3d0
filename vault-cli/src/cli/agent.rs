//! The agent's verbs.

use clap::{Args, Subcommand};

/// Unlock a vault once: later commands use it without asking
///
/// Starts the agent if none runs. A wrong passphrase is exit code 5. Without --for and --idle, the vault stays unlocked until "vault lock",
/// until the machine is suspended, or until the agent ends.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault unlock --for 8h\n  printf %s \"$PASSPHRASE\" | vault unlock --stdin\n  vault unlock --machine-key-file /run/secrets/key --idle 30m"
)]
pub(crate) struct Unlock {
    /// Read the passphrase from standard input
    #[arg(long, conflicts_with_all = ["passphrase_file", "passphrase_fd", "identity", "machine_key_file"])]
    pub(crate) stdin: bool,
    /// Lock it after this time, whatever happens: 30m, 8h, 7d
    #[arg(long = "for", value_name = "TIME", value_parser = crate::time::span_of)]
    pub(crate) lease: Option<u64>,
    /// Lock it when it was not used for this time
    #[arg(long, value_name = "TIME", value_parser = crate::time::span_of)]
    pub(crate) idle: Option<u64>,
}

/// Let the agent forget a vault's keys at once
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault lock\n  vault lock --all")]
pub(crate) struct Lock {
    /// Every vault
    #[arg(long)]
    pub(crate) all: bool,
}

/// Start or stop the agent, which holds unlocked vaults
///
/// "vault unlock" starts it by itself. Under a supervisor, and as the only process of a container, run it with --foreground.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault agent --foreground\n  vault agent stop")]
pub(crate) struct Agent {
    /// Stay in the foreground
    #[arg(long, conflicts_with = "detached")]
    pub(crate) foreground: bool,
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
    #[command(subcommand)]
    pub(crate) action: Option<AgentAction>,
}

/// What is to become of it
#[derive(Debug, Subcommand)]
pub(crate) enum AgentAction {
    /// Lock everything, and end it
    #[command(after_help = "Examples:\n  vault agent stop\n  vault agent stop --json")]
    Stop,
}
