//! Reading a vault's past, and watching over its repository, with real git: differences, log, history, checks, leaks.

mod growth;
mod leaks;
mod past;
mod quiet;
mod rules;
mod work;
