//! A file's older states, as git keeps them: read with `git cat-file`, never through a filter or a driver.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::context::SECRET_VARIABLES;

/// A file in a git work tree.
pub(crate) struct Repository {
    /// Where git is started.
    folder: PathBuf,
    /// Whether the variables that name a repository are for this one. Hooks set them.
    is_current: bool,
    /// The work tree.
    top: PathBuf,
    /// The file's path from there.
    path: PathBuf,
}

/// Why git did not give what was asked for.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum GitError {
    /// Git cannot be started, or spoken with.
    NotRun(io::Error),
    /// The file is in no work tree of git.
    NoRepository(PathBuf),
    /// Git knows no such commit.
    NoRevision(String),
    /// The file is not in that commit or in the index.
    NoFile {
        /// The commit; none is the index.
        revision: Option<String>,
        /// The file, from the top of the work tree.
        path: PathBuf,
    },
    /// Git failed at something else.
    Failed(&'static str),
}

/// A file that the next commit changes.
pub(crate) struct Staged {
    /// The id of its content.
    pub(crate) blob: String,
    /// Its path from the top of the work tree.
    pub(crate) path: PathBuf,
}

impl Repository {
    /// The repository of `file`, asked from `current`, the folder in which this program was started.
    ///
    /// # Errors
    /// [`GitError::NoRepository`], [`GitError::NotRun`].
    pub(crate) fn of(current: &Path, file: &Path) -> Result<Self, GitError> {
        let none = || GitError::NoRepository(file.to_owned());
        let real = file.canonicalize().or_else(|_| {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new(".")).canonicalize()?;
            Ok::<_, io::Error>(folder.join(file.file_name().unwrap_or_default()))
        });
        let real = real.map_err(|_| none())?;
        let own = Self::asked(real.parent().ok_or_else(none)?, false, &real)?;
        let here = Self::asked(current, true, &real)?;
        match (own, here) {
            // The variables that a hook gets are for this one: they may name an index of its own.
            (Some(own), Some(here)) if own.top == here.top => Ok(here),
            // The innermost: the current folder may be that of a superproject.
            (Some(own), _) => Ok(own),
            (None, Some(here)) => Ok(here),
            (None, None) => Err(none()),
        }
    }

    /// The repository of the folder in which this program was started, and no file of it.
    ///
    /// # Errors
    /// [`GitError::NoRepository`], [`GitError::NotRun`].
    pub(crate) fn here(current: &Path) -> Result<Self, GitError> {
        let none = || GitError::NoRepository(current.to_owned());
        let real = current.canonicalize().map_err(|_| none())?;
        Self::asked(current, true, &real)?.ok_or_else(none)
    }

    /// The repository that git finds from a folder, if `real`, a path without links, is in its work tree.
    fn asked(folder: &Path, is_current: bool, real: &Path) -> Result<Option<Self>, GitError> {
        let (top, path) = (PathBuf::new(), PathBuf::new());
        let mut asked = Self { folder: folder.to_owned(), is_current, top, path };
        let Ok(top) = asked.line(&["rev-parse", "--show-toplevel"])? else { return Ok(None) };
        asked.top = PathBuf::from(top);
        // Its answer has no links in it, either.
        let Ok(path) = real.strip_prefix(&asked.top) else { return Ok(None) };
        asked.path = path.to_owned();
        Ok(Some(asked))
    }

    /// The file's path from the top of the work tree.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, in the work tree.
    pub(crate) fn file(&self) -> PathBuf {
        self.top.join(&self.path)
    }

    /// The same repository, another file of it.
    pub(crate) fn with(&self, path: &Path) -> Self {
        let (folder, top) = (self.folder.clone(), self.top.clone());
        Self { folder, is_current: self.is_current, top, path: path.to_owned() }
    }

    /// The full id of a commit that was named in any way that git knows.
    ///
    /// # Errors
    /// [`GitError::NoRevision`].
    pub(crate) fn commit(&self, revision: &str) -> Result<String, GitError> {
        let none = || GitError::NoRevision(revision.to_owned());
        if revision.is_empty() || revision.starts_with('-') {
            return Err(none());
        }
        let peeled = format!("{revision}^{{commit}}");
        let found = self.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", &peeled])?;
        found.map_err(|_| none()).map(|id| id.to_string_lossy().into_owned())
    }

    /// The file's content in a commit, given by its id; `None` is the index.
    ///
    /// # Errors
    /// [`GitError::NoFile`].
    pub(crate) fn content(&self, commit: Option<&str>) -> Result<Vec<u8>, GitError> {
        let mut name = OsString::from(commit.unwrap_or(":0"));
        name.push(":");
        name.push(&self.path);
        let mut command = self.git();
        command.args(["cat-file", "blob"]).arg(name);
        let ran = command.output().map_err(GitError::NotRun)?;
        if ran.status.success() {
            return Ok(ran.stdout);
        }
        Err(GitError::NoFile { revision: commit.map(str::to_owned), path: self.path.clone() })
    }

    /// The commits before `HEAD` that touched the file, oldest first, those of all branches that were merged. None if there is no
    /// commit yet.
    ///
    /// # Errors
    /// [`GitError::Failed`].
    pub(crate) fn commits(&self) -> Result<Vec<String>, GitError> {
        if matches!(self.commit("HEAD"), Err(GitError::NoRevision(_))) {
            return Ok(Vec::new());
        }
        let mut pathspec = OsString::from(":(top,literal)");
        pathspec.push(&self.path);
        let mut command = self.git();
        command.args(["log", "--full-history", "--topo-order", "--reverse", "--format=%H", "--"]);
        let ran = command.arg(pathspec).output().map_err(GitError::NotRun)?;
        if !ran.status.success() {
            return Err(GitError::Failed("log"));
        }
        let text = String::from_utf8_lossy(&ran.stdout);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Files whose content the next commit adds or changes. Links and submodules are none.
    ///
    /// # Errors
    /// [`GitError::Failed`].
    pub(crate) fn staged(&self) -> Result<Vec<Staged>, GitError> {
        let mut command = self.git();
        command.args(["diff-index", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev"]);
        command.args(["--diff-filter=AMT", &self.head_or_nothing()?, "--"]);
        let ran = command.output().map_err(GitError::NotRun)?;
        if !ran.status.success() {
            return Err(GitError::Failed("diff-index"));
        }
        // `:old-mode new-mode old-id new-id status`, NUL, path, NUL.
        let words: Vec<&[u8]> = ran.stdout.split(|byte| *byte == 0).collect();
        let staged = |pair: &[&[u8]]| {
            let [head, path] = *pair else { return None };
            let head: Vec<_> = std::str::from_utf8(head).ok()?.split(' ').collect();
            let [_, mode, _, blob, _] = head[..] else { return None };
            mode.starts_with("100").then(|| Staged { blob: blob.to_owned(), path: path_of(path) })
        };
        Ok(words.chunks(2).filter_map(staged).collect())
    }

    /// Files of the index in a folder, given from the top of the work tree.
    ///
    /// # Errors
    /// [`GitError::Failed`].
    pub(crate) fn files_in(&self, folder: &Path) -> Result<Vec<PathBuf>, GitError> {
        let mut pathspec = OsString::from(":(top,literal)");
        pathspec.push(folder);
        let mut command = self.git();
        command.args(["ls-files", "-z", "--full-name", "--"]).arg(pathspec);
        let ran = command.output().map_err(GitError::NotRun)?;
        if !ran.status.success() {
            return Err(GitError::Failed("ls-files"));
        }
        let paths = ran.stdout.split(|byte| *byte == 0).map(path_of);
        Ok(paths.filter(|path| path.parent() == Some(folder)).collect())
    }

    /// Files that a merge left in the index without a decision.
    ///
    /// # Errors
    /// [`GitError::Failed`].
    pub(crate) fn unmerged(&self) -> Result<Vec<PathBuf>, GitError> {
        let mut command = self.git();
        command.args(["diff", "--name-only", "--diff-filter=U", "-z", "--no-ext-diff", "--no-textconv"]);
        let ran = command.output().map_err(GitError::NotRun)?;
        if !ran.status.success() {
            return Err(GitError::Failed("diff"));
        }
        let paths = ran.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty());
        Ok(paths.map(path_of).collect())
    }

    /// Reads many objects, one after another.
    ///
    /// # Errors
    /// [`GitError::NotRun`].
    pub(crate) fn objects(&self) -> Result<Objects, GitError> {
        let mut command = self.git();
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(GitError::NotRun)?;
        let broken = || GitError::Failed("cat-file");
        let ask = child.stdin.take().ok_or_else(broken)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(broken)?);
        Ok(Objects { child, ask: Some(ask), answers })
    }

    /// The commit that is checked out, or the empty tree before the first one.
    fn head_or_nothing(&self) -> Result<String, GitError> {
        match self.commit("HEAD") {
            Ok(id) => Ok(id),
            Err(GitError::NoRevision(_)) => {
                let empty = self.line(&["hash-object", "-t", "tree", "--stdin"])?;
                empty.map_err(|_| GitError::Failed("hash-object")).map(|id| id.to_string_lossy().into_owned())
            }
            Err(error) => Err(error),
        }
    }

    /// The one line that git prints; the inner error is git's failure.
    fn line(&self, arguments: &[&str]) -> Result<Result<OsString, ()>, GitError> {
        let ran = self.git().args(arguments).output().map_err(GitError::NotRun)?;
        if !ran.status.success() {
            return Ok(Err(()));
        }
        let line = ran.stdout.strip_suffix(b"\n").unwrap_or(&ran.stdout);
        Ok(Ok(OsString::from_vec(line.to_vec())))
    }

    fn git(&self) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.folder).env("GIT_OPTIONAL_LOCKS", "0");
        for variable in SECRET_VARIABLES {
            command.env_remove(variable);
        }
        if !self.is_current {
            for variable in OF_A_REPOSITORY {
                command.env_remove(variable);
            }
        }
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// A running `git cat-file --batch`.
pub(crate) struct Objects {
    child: Child,
    ask: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Objects {
    /// Calls `read` with the content of an object, named in any way that git knows and without a newline; `None` if there
    /// is none.
    ///
    /// # Errors
    /// [`GitError::NotRun`], [`GitError::Failed`].
    pub(crate) fn content<T>(
        &mut self,
        name: &OsStr,
        read: impl FnOnce(&mut dyn Read, u64) -> T,
    ) -> Result<Option<T>, GitError> {
        if name.as_bytes().contains(&b'\n') {
            return Ok(None);
        }
        let Some(ask) = &mut self.ask else { return Ok(None) };
        ask.write_all(&[name.as_bytes(), b"\n"].concat())
            .and_then(|()| ask.flush())
            .map_err(GitError::NotRun)?;
        let mut head = String::new();
        self.answers.read_line(&mut head).map_err(GitError::NotRun)?;
        // `id type size`, or the name and `missing`.
        let size = head.trim_end().rsplit_once(" blob ").or_else(|| head.trim_end().split_once(" blob "));
        let Some(size) = size.and_then(|(_, size)| size.parse::<u64>().ok()) else {
            return if head.trim_end().ends_with(" missing") || head.contains(" ambiguous") {
                Ok(None)
            } else {
                Err(GitError::Failed("cat-file"))
            };
        };
        let mut content = (&mut self.answers).take(size);
        let result = read(&mut content, size);
        // What was not wanted, and the newline after it.
        io::copy(&mut content, &mut io::sink()).map_err(GitError::NotRun)?;
        self.answers.read_exact(&mut [0]).map_err(GitError::NotRun)?;
        Ok(Some(result))
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // At the end of its input it ends.
        self.ask = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// What `git rev-parse --local-env-vars` lists: variables that name a repository, or part of one.
const OF_A_REPOSITORY: [&str; 10] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_PREFIX",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
];
