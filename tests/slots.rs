//! Every way to open a vault, with the real thing: keys from ssh-keygen and age-keygen, a plugin's process, gnome-keyring, the
//! kernel's keyring, codes typed at a terminal.

mod cost;
mod durable;
mod exposed;
mod keyrings;
mod kinds;
mod plugin;
mod rewrap;
mod rotate;
mod terminal;
mod typed;
