//! Opens so many messages of 192 bytes, one after another, with the crate that `vault` uses, and prints the nanoseconds.
//!
//! Each message has its own nonce and is opened where it is, with associated data as long as an entry's: what no
//! program that lists as many sealed names can do without.
#![expect(clippy::print_stdout, reason = "the result goes there")]

use std::time::Instant;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};

const MESSAGE: usize = 192;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).expect("how many messages");
    let cipher = XChaCha20Poly1305::new(&[7; 32].into());
    let associated = [5; 21];
    let mut messages = vec![[0; MESSAGE]; count];
    let sealed: Vec<(XNonce, Tag)> = (0..count as u64)
        .zip(&mut messages)
        .map(|(number, message)| {
            let mut nonce = [0; 24];
            nonce[..8].copy_from_slice(&number.to_le_bytes());
            let nonce = XNonce::from(nonce);
            let tag = cipher.encrypt_inout_detached(&nonce, &associated, message.as_mut_slice().into());
            (nonce, tag.expect("192 bytes are not too long"))
        })
        .collect();

    let start = Instant::now();
    for ((nonce, tag), message) in sealed.iter().zip(&mut messages) {
        cipher
            .decrypt_inout_detached(nonce, &associated, message.as_mut_slice().into(), tag)
            .expect("sealed above");
    }
    let taken = start.elapsed();
    assert!(messages.iter().all(|message| *message == [0; MESSAGE]));
    println!("{}", taken.as_nanos());
}
