//! `vault pam-unlock`: what pam_exec calls at a login.
//!
//! It never decides about the login: whatever happens, it says so in the log and ends with success.

use std::ffi::OsStr;

use super::Run;
use crate::cli::PamUnlock;
use crate::context::pam::Login;
use crate::escape::{escaped, quoted};
use crate::failure::Failure;
use crate::message::Exit;
use crate::sys::login;

pub(super) fn run(run: &mut Run<'_>, arguments: &PamUnlock) -> Result<Exit, Failure> {
    if let Some(line) = attempt(run, arguments, &Login::of_process()) {
        login::log(&escaped(&line));
    }
    Ok(Exit::Ok)
}

/// What is to be said in the log.
fn attempt(run: &mut Run<'_>, arguments: &PamUnlock, login: &Login) -> Option<String> {
    let name = login.user.as_deref();
    let not = |why: &str| Some(format!("not unlocked for {}: {why}", quoted(name.unwrap_or("?"))));
    match login.part.as_deref() {
        Some("auth") => {}
        Some("open_session") if login.with_key => {
            return not("the login was with a key, so there is no password to unlock with");
        }
        _ => return None,
    }
    let Some(account) = name.and_then(login::account) else {
        return not("there is no such user");
    };
    let password = run.stdin.claim("the password").ok().and_then(|stdin| stdin.read(MAX_PASSWORD).ok());
    let Some(password) = password.filter(|password| !password.expose().is_empty()) else {
        return not("no password was given");
    };
    let Ok(program) = std::env::current_exe() else {
        return not("the program cannot be found again");
    };
    let file = arguments.vault.as_ref().map(|file| account.home.join(file));
    let mut words: Vec<&OsStr> = ["--no-input", "unlock", "--stdin"].map(OsStr::new).to_vec();
    if let Some(file) = &file {
        words.extend([OsStr::new("--file"), file.as_os_str()]);
    }
    match login::run_as(&account, &program, &words, &password) {
        Ok((0, _)) => Some(format!("unlocked for {}", quoted(&account.name))),
        Ok((3, _)) => not("there is no vault"),
        Ok((5, _)) => not("the password opens no slot"),
        Ok((_, said)) => not(&said),
        Err(why) => not(&why),
    }
}

/// PAM gives 512 bytes at the most.
const MAX_PASSWORD: usize = 512;
