//! Bytes <-> structs of a vault file, as docs/format.md says. Knows no keys and no files: what is sealed stays bytes here.
//!
//! `front` reads what precedes the pages, `page` a page's section, `pages` finds it. `seal`, `entry` and `roster` are
//! the structures inside of what is sealed.

pub mod entry;
pub mod front;
pub mod id;
pub mod limits;
pub mod lines;
pub mod map;
pub(crate) mod names;
pub mod page;
pub mod pages;
pub mod roster;
pub mod seal;
pub mod slot;
pub mod text;

pub(crate) mod cbor;
