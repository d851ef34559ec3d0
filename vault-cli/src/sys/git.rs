//! Git, asked by running it. Nothing here reads a repository's files itself.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::context::SECRET_VARIABLES;
use crate::failure::{GitFailure, Stopped};

/// Git, run in one folder.
pub(crate) struct Git {
    folder: PathBuf,
}

/// A file in git's index during a merge.
pub(crate) struct Stages {
    /// What each of the stages 1 (base), 2 (ours) and 3 (theirs) holds, by the object's name.
    objects: [Option<String>; 3],
}

impl Stages {
    /// The object of a stage, 1 to 3.
    pub(crate) fn object(&self, stage: usize) -> Option<&str> {
        self.objects.get(stage.wrapping_sub(1))?.as_deref()
    }

    /// Whether the file is not in conflict at all.
    pub(crate) fn are_none(&self) -> bool {
        self.objects.iter().all(Option::is_none)
    }
}

impl Git {
    /// In this folder.
    pub(crate) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn run(&self, arguments: &[&OsStr]) -> Result<Output, GitFailure> {
        let mut command = Command::new("git");
        command.current_dir(&self.folder).args(arguments);
        for variable in SECRET_VARIABLES {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null()).output().map_err(GitFailure::NotStarted)
    }

    /// What git prints; it is a failure if git says no.
    ///
    /// # Errors
    /// [`GitFailure::NotStarted`], [`GitFailure::Refused`].
    pub(crate) fn bytes<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Vec<u8>, GitFailure> {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let ran = self.run(&arguments)?;
        if ran.status.success() {
            return Ok(ran.stdout);
        }
        let verb = arguments.first().map(|verb| verb.to_string_lossy().into_owned());
        let said = String::from_utf8_lossy(&ran.stderr);
        let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
        Err(GitFailure::Refused { verb: verb.unwrap_or_default(), said })
    }

    /// What git prints, without the last newline; none if git says no.
    ///
    /// # Errors
    /// [`GitFailure::NotStarted`].
    pub(crate) fn asked<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Option<OsString>, GitFailure> {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let ran = self.run(&arguments)?;
        if !ran.status.success() {
            return Ok(None);
        }
        let mut text = ran.stdout;
        if text.ends_with(b"\n") {
            text.pop();
        }
        Ok(Some(OsString::from_vec(text)))
    }

    /// As [`Git::asked`], for what is text.
    ///
    /// # Errors
    /// [`GitFailure::NotStarted`].
    pub(crate) fn asked_text<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Option<String>, GitFailure> {
        Ok(self.asked(arguments)?.map(|text| text.to_string_lossy().into_owned()))
    }

    /// What git stopped in the middle of. The commits of a rebase are merged, one after the other.
    ///
    /// # Errors
    /// [`GitFailure::NotStarted`].
    pub(crate) fn stopped(&self) -> Result<Option<Stopped>, GitFailure> {
        for folder in ["rebase-merge", "rebase-apply"] {
            let folder = self.asked(&["rev-parse", "--git-path", folder])?;
            if folder.is_some_and(|folder| self.folder.join(folder).is_dir()) {
                return Ok(None);
            }
        }
        for (head, at) in [("CHERRY_PICK_HEAD", Stopped::CherryPick), ("REVERT_HEAD", Stopped::Revert)] {
            if self.asked(&["rev-parse", "--verify", "--quiet", head])?.is_some() {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// The stages of a file in this folder.
    ///
    /// # Errors
    /// [`GitFailure`], also where there is no repository.
    pub(crate) fn stages(&self, name: &OsStr) -> Result<Stages, GitFailure> {
        let listed =
            self.bytes(&[OsStr::new("ls-files"), "--unmerged".as_ref(), "-z".as_ref(), "--".as_ref(), name])?;
        let mut objects = [None, None, None];
        // "<mode> <object> <stage>\t<path>\0"
        for line in listed.split(|byte| *byte == 0) {
            let line = String::from_utf8_lossy(line);
            let mut words = line.split('\t').next().unwrap_or_default().split(' ');
            if let (Some(_), Some(object), Some(stage)) = (words.next(), words.next(), words.next())
                && let Some(slot) =
                    stage.parse::<usize>().ok().and_then(|at| objects.get_mut(at.wrapping_sub(1)))
            {
                *slot = Some(object.to_owned());
            }
        }
        Ok(Stages { objects })
    }

    /// The bytes of an object.
    ///
    /// # Errors
    /// [`GitFailure`].
    pub(crate) fn blob(&self, object: &str) -> Result<Vec<u8>, GitFailure> {
        self.bytes(&["cat-file", "blob", object])
    }

    /// A commit's full name, and its parents'.
    ///
    /// # Errors
    /// [`GitFailure::NoCommit`].
    pub(crate) fn commit(&self, revision: &str) -> Result<(String, Vec<String>), GitFailure> {
        let wanted = format!("{revision}^{{commit}}");
        let no_commit = || GitFailure::NoCommit(revision.to_owned());
        let commit = self
            .asked_text(&["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted])?
            .ok_or_else(no_commit)?;
        let line = self.asked_text(&["rev-list", "--parents", "-n", "1", &commit])?.ok_or_else(no_commit)?;
        let parents = line.split(' ').skip(1).map(str::to_owned).collect();
        Ok((commit, parents))
    }

    /// A file of this folder as it was in a commit; none if it was not there.
    ///
    /// # Errors
    /// [`GitFailure`].
    pub(crate) fn file_at(&self, commit: &str, name: &OsStr) -> Result<Option<Vec<u8>>, GitFailure> {
        let mut path = OsString::from(format!("{commit}:./"));
        path.push(name);
        let arguments: [&OsStr; 4] = ["rev-parse".as_ref(), "--verify".as_ref(), "--quiet".as_ref(), &path];
        match self.asked_text(&arguments)? {
            Some(object) => self.blob(&object).map(Some),
            None => Ok(None),
        }
    }

    /// The plain text merge, as git makes it without a driver; `clean` if it left no conflict in it.
    ///
    /// # Errors
    /// [`GitFailure`].
    pub(crate) fn merge_file(
        &self,
        ours: &Path,
        base: &Path,
        theirs: &Path,
    ) -> Result<TextMerge, GitFailure> {
        let names = ["ours", "base", "theirs"];
        let mut arguments: Vec<&OsStr> = vec!["merge-file".as_ref(), "-p".as_ref(), "-q".as_ref()];
        for name in names {
            arguments.extend([OsStr::new("-L"), name.as_ref()]);
        }
        arguments.extend(["--".as_ref(), ours.as_os_str(), base.as_os_str(), theirs.as_os_str()]);
        let ran = self.run(&arguments)?;
        match ran.status.code() {
            Some(0) => Ok(TextMerge { text: ran.stdout, clean: true }),
            // The number of conflicts, up to 127.
            Some(1..=127) => Ok(TextMerge { text: ran.stdout, clean: false }),
            _ => {
                let said = String::from_utf8_lossy(&ran.stderr).lines().next().unwrap_or_default().to_owned();
                Err(GitFailure::Refused { verb: "merge-file".to_owned(), said })
            }
        }
    }
}

/// What a text merge left.
pub(crate) struct TextMerge {
    pub(crate) text: Vec<u8>,
    pub(crate) clean: bool,
}

/// Whether git leaves this file's line ends alone; nothing if it cannot be asked.
pub(crate) fn keeps_line_ends(folder: &Path, name: &OsStr) -> Option<bool> {
    let arguments = ["check-attr", "-z", "text", "eol", "--"].map(OsStr::new);
    let ran = Git::at(folder).run(&[&arguments[..], &[name]].concat()).ok()?;
    if !ran.status.success() {
        return None;
    }
    // A file's name, an attribute, its value, each ended by a NUL.
    let words: Vec<&[u8]> = ran.stdout.split(|byte| *byte == 0).collect();
    Some(words.chunks(3).any(|chunk| {
        matches!(chunk, [_, attribute, value] if (*attribute, *value) == (b"text", b"unset") || (*attribute, *value) == (b"eol", b"lf"))
    }))
}
