//! Arguments of the commands about who can open a vault.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};

/// Who can open a vault
#[derive(Debug, Args)]
#[command(next_help_heading = "Key slots")]
pub(crate) struct NewSlots {
    /// Add a slot for an age recipient, also a post-quantum one or a plugin's (repeatable)
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) age: Vec<String>,
    /// Add a slot for the ssh public key in a file (repeatable)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) ssh_key: Vec<PathBuf>,
    /// Add a slot for every usable key of an authorized_keys file
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) from_authorized_keys: Option<PathBuf>,
    /// Add a slot for a machine, and print its key once
    #[arg(long)]
    pub(crate) machine: bool,
    /// Add a slot that this machine's keyring opens (Secret Service, keyutils)
    #[arg(long)]
    pub(crate) keyring: bool,
    /// Which keyring, as "vault backends" names it [default: the best one here]
    #[arg(long, value_name = "NAME", requires = "keyring")]
    pub(crate) store: Option<String>,
    /// Add a slot for a recovery code, which is shown once and typed back
    #[arg(long)]
    pub(crate) recovery: bool,
    /// Show the recovery code as a QR code, too
    #[arg(long, requires = "recovery", conflicts_with = "out")]
    pub(crate) qr: bool,
    /// Add a slot for a passphrase
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// Read the new passphrase from a file ("-": standard input)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) new_passphrase_file: Option<PathBuf>,
    /// Write the machine key or the recovery code into a new file, which only you can read
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
    /// Have systemd-creds encrypt the machine key as the credential of this name, into --out or to standard output
    #[arg(long, value_name = "NAME", requires = "machine")]
    pub(crate) systemd_creds: Option<String>,
    /// What each try of a passphrase costs.
    #[command(flatten)]
    pub(crate) kdf: KdfOptions,
    /// Do not ask about slots that are weaker than the others, or too easily lost to be the only ones
    #[arg(long)]
    pub(crate) yes: bool,
}

impl NewSlots {
    /// Whether any was named.
    pub(crate) fn is_named(&self) -> bool {
        self.wants_passphrase() || self.is_named_otherwise()
    }

    /// Whether a passphrase was named.
    pub(crate) fn wants_passphrase(&self) -> bool {
        self.passphrase || self.new_passphrase_file.is_some()
    }

    /// Whether anything but a passphrase was named.
    pub(crate) fn is_named_otherwise(&self) -> bool {
        !self.age.is_empty()
            || !self.ssh_key.is_empty()
            || self.from_authorized_keys.is_some()
            || self.machine
            || self.keyring
            || self.recovery
    }
}

/// What each try of a passphrase costs
#[derive(Debug, Args)]
pub(crate) struct KdfOptions {
    /// Memory that each try of a passphrase costs, from 19MiB [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = crate::size::parse)]
    pub(crate) kdf_memory: Option<u64>,
    /// Choose the cost so that each try takes about this long on this machine, but no less than by default
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) kdf_time: Option<Duration>,
    /// Take a passphrase that is easy to guess, too
    #[arg(long)]
    pub(crate) weak_passphrase: bool,
}

/// Say who can open a vault, and change it
///
/// A key slot is one way in; each opens the whole vault alone. Removing one does not make its holder forget: see
/// "vault list --exposed".
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault slot list\n  vault slot add --age age1… --label alice\n  vault slot add --machine --out ci.key --label ci\n  vault slot remove alice"
)]
pub(crate) struct Slot {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: SlotCommand,
}

/// The verbs of `slot`.
#[derive(Debug, Subcommand)]
pub(crate) enum SlotCommand {
    Add(SlotAdd),
    #[command(alias = "ls")]
    List(SlotList),
    #[command(alias = "rm")]
    Remove(SlotRemove),
    #[command(alias = "mv")]
    Rename(SlotRename),
    Test(SlotTest),
}

/// Let somebody, or something, open the vault
///
/// Several slots can be added at once: all or none. A key for a machine is printed once, or written with --out; nobody
/// keeps another copy.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault slot add --age age1pq1… --label alice\n  vault slot add --from-authorized-keys ~/.ssh/authorized_keys\n  vault slot add --ssh-key ~/.ssh/id_ed25519.pub\n  vault slot add --passphrase --kdf-time 1s\n  vault slot add --machine --label ci --out ci.key\n  vault slot add --machine --systemd-creds vault.machine-key --out /etc/credstore.encrypted/vault.machine-key\n  vault slot add --keyring\n  vault slot add --recovery --qr"
)]
pub(crate) struct SlotAdd {
    /// Who or what.
    #[command(flatten)]
    pub(crate) slots: NewSlots,
    /// What to call the slot, if it is one [default: by its kind, or the key's comment]
    #[arg(long, value_name = "LABEL")]
    pub(crate) label: Option<String>,
}

/// List the key slots
///
/// Without anything to unlock with, it says what the file says, unverified; otherwise also who added each slot, and when.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault slot list\n  vault slot list --json")]
pub(crate) struct SlotList {}

/// Let somebody no longer open the vault
///
/// Whoever held the slot may have kept the master key and old copies of the file. --rotate makes a new master
/// key for what is stored from now on; "vault list --exposed" names what they could read and has not been changed since.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault slot remove alice\n  vault slot remove ci --yes --rotate\n  vault slot remove me --confirm secrets.vault"
)]
pub(crate) struct SlotRemove {
    /// The slot
    pub(crate) label: String,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// The vault's file name: to remove the slot that you use yourself, without being asked
    #[arg(long, value_name = "NAME")]
    pub(crate) confirm: Option<String>,
    /// Make a new master key at once
    #[arg(long)]
    pub(crate) rotate: bool,
    /// After --rotate, write new machine keys into this folder
    #[arg(long, value_name = "FOLDER", requires = "rotate", value_hint = ValueHint::DirPath)]
    pub(crate) machine_keys_out: Option<PathBuf>,
}

/// Give a key slot another label
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault slot rename passphrase alice\n  vault slot rename machine ci")]
pub(crate) struct SlotRename {
    /// The slot
    pub(crate) from: String,
    /// Its new label: 1 to 64 letters, digits, ".", "_", "@", "-"
    pub(crate) to: String,
}

/// Try to open the vault by exactly this slot, and change nothing
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault slot test recovery\n  vault slot test ci --machine-key-file ci.key"
)]
pub(crate) struct SlotTest {
    /// The slot
    pub(crate) label: String,
}

/// Wrap the key anew in one slot: change its passphrase, or what trying it costs
///
/// For a passphrase slot, the passphrase is asked for; for a recovery slot, a new code is made. Every other slot and every
/// entry stays as it is. Who has an old copy of the file can still open that with the old passphrase.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  vault rewrap passphrase\n  vault rewrap passphrase --keep --kdf-time 1s\n  vault rewrap recovery --qr"
)]
pub(crate) struct Rewrap {
    /// The slot
    pub(crate) label: String,
    /// Keep the passphrase, which is the one that unlocks the vault now
    #[arg(long, conflicts_with = "new_passphrase_file")]
    pub(crate) keep: bool,
    /// Read the new passphrase from a file ("-": standard input)
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) new_passphrase_file: Option<PathBuf>,
    /// Show the new recovery code as a QR code, too
    #[arg(long, conflicts_with = "out")]
    pub(crate) qr: bool,
    /// Write the new recovery code into a new file, which only you can read
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
    /// What each try of the passphrase costs.
    #[command(flatten)]
    pub(crate) kdf: KdfOptions,
}

/// Make a new master key, and seal everything anew
///
/// Every remaining slot opens the vault as before, and nobody is asked for anything. Who was removed can read nothing that is
/// stored from now on. Old copies of the file, also those in git's history, stay readable to whoever could read them. Machine
/// keys name the master key they were made for, and have to be given out again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault rotate\n  vault rotate --yes --machine-keys-out keys")]
pub(crate) struct Rotate {
    /// Write new machine keys into this folder, one file a slot, which only you can read
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) machine_keys_out: Option<PathBuf>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}

/// List the keyrings of this machine that a slot could use
///
/// Each is tried with an item that is written, read and removed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  vault backends\n  vault backends --json")]
pub(crate) struct Backends {}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time as 1s, 1.5s or 500ms".to_owned();
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').ok_or_else(wrong)?, 1.0),
    };
    let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds = number.parse::<f64>().ok().filter(|_| plain).ok_or_else(wrong)? * unit;
    if (0.05..=10.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("a time from 50ms to 10s is allowed".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_seconds_or_milliseconds() {
        for (text, milliseconds) in [("1s", 1000), ("500ms", 500), ("1.5s", 1500), ("10s", 10_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["1", "s", "-1s", "1m", "11s", "10ms", "1e0s", "infs", "NaNs", ""] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
