//! Messages between the agent and its clients: a request, a reply, and what stands in replies.
#![no_main]

use libfuzzer_sys::fuzz_target;
use minicbor::{Decode, Encode};
use vault_core::agent::message::{
    AgentStatus, Attached, Checked, Chunk, Committed, Covered, DifferencesPart, Done, EntriesPart, Error, Facts, Got, Locked,
    LogEntry, LogLabels, LogPiece, Made, MadePart, Metas, Opened, Progress, Welcome,
};
use vault_core::agent::{self, FrameError, ReplyKind, Request};

fuzz_target!(|data: &[u8]| {
    if let Some((prefix, body)) = data.split_first_chunk() {
        match agent::body_length(*prefix) {
            Ok(length) => assert!((1..=agent::FRAME).contains(&length)),
            Err(error) => assert!(matches!(error, FrameError::Length(_))),
        }
        request(body);
    }
    request(data);
    if let Ok((_, content)) = agent::reply_kind(data) {
        every_content(content);
    }
    every_content(data);
    if let Ok(entries) = LogEntry::decode_all(data) {
        assert_eq!(LogEntry::decode_all(&LogEntry::encode_all(&entries)).map(|again| again.len()), Ok(entries.len()));
    }
});

/// A request has one encoding, or it is refused.
fn request(body: &[u8]) {
    if body.len() > agent::FRAME {
        return;
    }
    if let Ok(request) = Request::decode(body) {
        let frame = agent::request(&request).expect("it came in a frame");
        let (prefix, again) = frame.expose().split_first_chunk().expect("a frame has a length");
        assert_eq!(agent::body_length(*prefix), Ok(body.len()));
        assert_eq!(again, body, "there is one encoding");
    }
}

fn every_content(bytes: &[u8]) {
    content::<AgentStatus>(bytes);
    content::<Attached>(bytes);
    content::<Checked>(bytes);
    content::<Chunk>(bytes);
    content::<Committed>(bytes);
    content::<Covered>(bytes);
    content::<DifferencesPart>(bytes);
    content::<Done>(bytes);
    content::<EntriesPart>(bytes);
    content::<Error>(bytes);
    content::<Facts>(bytes);
    content::<Got>(bytes);
    content::<Locked>(bytes);
    content::<LogLabels>(bytes);
    content::<LogPiece>(bytes);
    content::<Made>(bytes);
    content::<MadePart>(bytes);
    content::<Metas>(bytes);
    content::<Opened>(bytes);
    content::<Progress>(bytes);
    content::<Welcome>(bytes);
}

/// What is understood is written in a way that is understood again, and is then written the same.
fn content<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8]) {
    let Ok(value) = agent::content::<T>(bytes) else { return };
    let Ok(frame) = agent::reply(ReplyKind::Result, &value) else { return };
    let (kind, written) = agent::reply_kind(&frame.expose()[4..]).expect("it was written");
    assert_eq!(kind, ReplyKind::Result);
    let value = agent::content::<T>(written).ok().expect("what is written can be read");
    let again = agent::reply(ReplyKind::Result, &value).expect("it was written once");
    assert_eq!(again.expose(), frame.expose());
}
