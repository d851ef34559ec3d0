//! What is measured on: dotenv files, the same ones encrypted by age, vaults with the same entries.
//!
//! Each is made once and kept in the work folder. Secrets come from a counter, so that two machines measure the same.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use vault_core::agent::Request;
use vault_core::agent::change::{Change, Incoming, Set};
use vault_core::agent::message::{self, VaultPath};
use vault_core::format::entry::EntryName;
use vault_core::keys::age::Identity;
use vault_core::secret::Secret;

use crate::agent::{Agent, attributes};
use crate::run::{Failed, command, run};

/// The programs that are measured, and the folder in which.
pub struct Bench {
    /// `vault`.
    pub vault: PathBuf,
    /// `age`, the one that the system has.
    pub age: PathBuf,
    /// `sops`, if there is one.
    pub sops: Option<PathBuf>,
    /// Where this package's other programs are.
    pub programs: PathBuf,
    /// Where files are made. Its file system is what is measured.
    pub work: PathBuf,
    /// How many pairs of small things are measured; fewer of large ones.
    pub pairs: usize,
}

/// A name of 13 characters.
#[must_use]
pub fn name(number: usize) -> String {
    format!("SECRET_{number:06}")
}

/// The one that is read or set: in the middle.
#[must_use]
pub fn middle(entries: usize) -> String {
    name(entries / 2)
}

impl Bench {
    /// Copies the programs that are measured, as an installer writes them: from their beginning to their end. A linker jumps to and
    /// fro, and what it leaves in the page cache are single pages, each of which costs every start a little.
    ///
    /// # Errors
    /// [`Failed`] if one is missing.
    pub fn install(&mut self) -> Result<(), Failed> {
        let folder = self.path("programs");
        fs::create_dir_all(&folder)?;
        let install = |program: &Path, name: &str| -> Result<PathBuf, Failed> {
            let copy = folder.join(name);
            let _ = fs::remove_file(&copy);
            fs::copy(program, &copy).map_err(|error| Failed(format!("{}: {error}", program.display())))?;
            File::open(&copy)?.sync_all()?;
            Ok(copy)
        };
        self.vault = install(&self.vault, "vault")?;
        for name in ["empty", "aead-loop", "grow-log"] {
            install(&self.programs.join(name), name)?;
        }
        self.programs = folder;
        Ok(())
    }

    /// A path in the work folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }

    /// An age identity.
    ///
    /// # Errors
    /// [`Failed`] if `age-keygen` is not beside `age`.
    pub fn identity(&self) -> Result<PathBuf, Failed> {
        self.once("identity.txt", |path| {
            let keygen = self.age.with_file_name("age-keygen");
            run(command(&keygen).arg("-o").arg(path)).map(drop)
        })
    }

    /// Its recipient.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn recipient(&self) -> Result<String, Failed> {
        let text = fs::read_to_string(self.identity()?)?;
        let line = text.lines().find_map(|line| line.strip_prefix("# public key: "));
        line.map(str::to_owned).ok_or_else(|| Failed("age-keygen names no recipient".to_owned()))
    }

    /// Lines `NAME=secret`, with secrets of 32 characters.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn dotenv(&self, entries: usize) -> Result<PathBuf, Failed> {
        self.once(&format!("{entries}.env"), |path| {
            let mut out = BufWriter::new(File::create(path)?);
            let mut numbers = Numbers(1);
            for number in 0..entries {
                let mut line = format!("{}=", name(number));
                for _ in 0..2 {
                    write!(line, "{:016x}", numbers.next()).expect("a string takes all");
                }
                writeln!(out, "{line}")?;
            }
            Ok(out.flush()?)
        })
    }

    /// The dotenv file, encrypted by age.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn age_file(&self, entries: usize) -> Result<PathBuf, Failed> {
        let (plain, recipient) = (self.dotenv(entries)?, self.recipient()?);
        self.once(&format!("{entries}.env.age"), |path| {
            run(command(&self.age).arg("-r").arg(recipient).arg("-o").arg(path).arg(plain)).map(drop)
        })
    }

    /// A vault with the dotenv file's entries, and a slot for the identity.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn vault_of(&self, entries: usize) -> Result<PathBuf, Failed> {
        let recipient = self.recipient()?;
        let plain = self.dotenv(entries)?;
        self.once(&format!("{entries}.vault"), |path| {
            run(self.on(path)?.args(["init", "--no-gitattributes", "--pages", "256", "--age", &recipient]))?;
            match entries {
                0 => Ok(()),
                _ => run(self.on(path)?.arg("import").arg(plain)).map(drop),
            }
        })
    }

    /// A vault of a thousand entries that a machine key and a hybrid identity open as well, and the files of those two.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn vault_with_keys(&self) -> Result<[PathBuf; 3], Failed> {
        let original = self.vault_of(1_000)?;
        let hybrid = self.once("hybrid-identity.txt", |path| {
            Ok(fs::write(path, Identity::generate().to_text().expose())?)
        })?;
        let machine = self.path("machine.key");
        let vault = self.once("1000-keys.vault", |path| {
            fs::copy(&original, path)?;
            let _ = fs::remove_file(&machine);
            let text = Secret::new(fs::read(&hybrid)?);
            let identity = Identity::parse(&text).map_err(|error| Failed(format!("{error:?}")))?;
            let recipient = identity.recipient().map(|recipient| recipient.text().as_str().to_owned());
            let recipient = recipient.ok_or_else(|| Failed("an identity without recipient".to_owned()))?;
            run(self.on(path)?.args(["slot", "add", "--yes", "--age", &recipient, "--label", "hybrid"]))?;
            let mut add = self.on(path)?;
            add.args(["slot", "add", "--yes", "--machine", "--label", "machine", "--out"]);
            run(add.arg(&machine)).map(drop)
        })?;
        Ok([vault, machine, hybrid])
    }

    /// A vault of a hundred entries whose log has so many seals.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn vault_with_seals(&self, seals: usize) -> Result<PathBuf, Failed> {
        let (vault, identity) = (self.vault_of(100)?, self.identity()?);
        self.once(&format!("{seals}-seals.vault"), |path| {
            let mut grow = command(&self.programs.join("grow-log"));
            run(grow.arg(vault).arg(identity).arg(seals.to_string()).arg(path)).map(drop)
        })
    }

    /// A vault whose entries have attributes, and the bytes of all names and attributes as plain text.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn vault_with_attributes(&self, entries: usize) -> Result<(PathBuf, u64), Failed> {
        let empty = self.vault_of(0)?;
        let set = |number: usize| -> Result<(Change, u64), Failed> {
            let attributes = attributes(number);
            let of_attributes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
            let secret = Secret::new(format!("{number:032}").into_bytes());
            let set = Set {
                name: EntryName::parse(&name(number)).map_err(|error| Failed(format!("{error:?}")))?,
                fields: BTreeMap::from([("secret".to_owned(), Some(Incoming::Short(secret)))]),
                attributes: attributes.map(|(name, value)| (name, Some(value))).into(),
                expires: None,
                expect: None,
            };
            Ok((Change::Set(Box::new(set)), (name(number).len() + of_attributes) as u64))
        };
        let mut plain = 0;
        for number in 0..entries {
            plain += set(number)?.1;
        }
        let path = self.once(&format!("{entries}-attributes.vault"), |path| {
            fs::copy(&empty, path)?;
            let agent = Agent::holding(self, path)?;
            let mut client = agent.connect()?;
            let numbers: Vec<usize> = (0..entries).collect();
            for some in numbers.chunks(1_000) {
                let changes = some.iter().map(|number| Ok(set(*number)?.0)).collect::<Result<_, Failed>>()?;
                let _: message::Done = client.ask(&Request::Stage(message::Stage { changes }), |_| Ok(()))?;
            }
            let vault = VaultPath::new(path)
                .ok_or_else(|| Failed("the work folder's path is not absolute".to_owned()))?;
            let commit = message::Commit { vault, author: "bench".to_owned(), changes: None };
            let _: message::Committed = client.ask(&Request::Commit(commit), |_| Ok(()))?;
            Ok(())
        })?;
        Ok((path, plain))
    }

    /// Bytes that nothing compresses.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn random_file(&self, length: u64) -> Result<PathBuf, Failed> {
        self.once(&format!("{length}.bin"), |path| {
            let mut out = BufWriter::with_capacity(STEP, File::create(path)?);
            write_noise(&mut out, length)?;
            Ok(out.flush()?)
        })
    }

    /// `vault` on this file, with the identity.
    ///
    /// # Errors
    /// [`Failed`] if there is no identity.
    pub fn on(&self, vault: &Path) -> Result<Command, Failed> {
        let mut command = command(&self.vault);
        command.env("VAULT_FILE", vault).env("VAULT_IDENTITY_FILE", self.identity()?);
        Ok(command)
    }

    /// A copy that may be changed, on the disk before the measurement begins.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn fresh(&self, original: &Path) -> Result<PathBuf, Failed> {
        let copy = self.path("live.vault");
        fs::copy(original, &copy)?;
        File::open(&copy)?.sync_all()?;
        Ok(copy)
    }

    fn once(&self, name: &str, make: impl FnOnce(&Path) -> Result<(), Failed>) -> Result<PathBuf, Failed> {
        let path = self.path(name);
        if !path.exists() {
            // Under another name first: what was interrupted is not taken for the whole.
            let unfinished = self.path(&format!("unfinished-{name}"));
            let _ = fs::remove_file(&unfinished);
            make(&unfinished)?;
            fs::rename(&unfinished, &path)?;
        }
        Ok(path)
    }
}

/// Writes so many bytes that nothing compresses.
///
/// # Errors
/// The first error of writing.
pub fn write_noise(out: &mut impl io::Write, length: u64) -> io::Result<()> {
    let mut numbers = Numbers(2);
    let block: Vec<u8> = (0..STEP / 8).flat_map(|_| numbers.next().to_le_bytes()).collect();
    let mut left = length;
    while left > 0 {
        let step = usize::try_from(left).map_or(STEP, |left| left.min(STEP));
        out.write_all(&block[..step])?;
        left -= step as u64;
    }
    Ok(())
}

const STEP: usize = 256 << 10;

/// SplitMix64: the same numbers everywhere. Not for secrets that anybody keeps.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
