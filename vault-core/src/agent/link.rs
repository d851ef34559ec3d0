//! Frames on a connection: what is common to both ends, and the client's end.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use minicbor::Decode;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use zeroize::{Zeroize, Zeroizing};

use super::message::{self, Attach, Attached, Bytes, Hello, Use, VaultPath, Welcome, Write as Part};
use super::place::{Place, Places};
use super::{FrameError, PART, ReplyKind, Request, VERSIONS};
use crate::agent;
use crate::secret::Secret;

/// What went wrong on the way to the agent, or what it said.
#[derive(Debug)]
pub enum LinkError {
    /// The agent says so.
    Told(Box<Told>),
    /// The connection ended before there was an answer.
    Lost(io::Error),
    /// It did not answer for so long.
    Silent(Duration),
    /// What came is not of this protocol, or what was to be sent is too large for it.
    Frame(FrameError),
    /// This is not to be trusted, or cannot be used.
    Place {
        /// The socket or its folder.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// The system refuses something about this path.
    System(PathBuf, io::Error),
}

/// What the agent said, for people and programs.
#[derive(Debug, Default)]
pub struct Told {
    /// One of docs/messages.md.
    pub id: String,
    /// One of docs/exit-codes.md.
    pub exit: u8,
    /// For people.
    pub text: String,
    /// What to do.
    pub hints: Vec<String>,
    /// Why.
    pub causes: Vec<String>,
    /// What the text says, piece by piece.
    pub parts: Vec<String>,
}

impl From<message::Error> for Told {
    fn from(error: message::Error) -> Self {
        let message::Error { id, exit, text, hints, causes, parts } = error;
        let [hints, causes, parts] = [hints, causes, parts].map(Option::unwrap_or_default);
        Self { id, exit, text, hints, causes, parts }
    }
}

impl From<Told> for message::Error {
    fn from(told: Told) -> Self {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let Told { id, exit, mut text, hints, causes, parts } = told;
        // It has to fit a frame. Half a list would be taken for the whole.
        let parts = some(parts).filter(|parts| parts.iter().map(String::len).sum::<usize>() <= LONG);
        if text.len() > LONG {
            let end = (0..=LONG).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text.truncate(end);
            text.push('…');
        }
        Self { id, exit, text, hints: some(hints), causes: some(causes), parts }
    }
}

impl LinkError {
    /// Whether the agent says that it does not hold the vault, or not this one.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Told(told) if ["agent-locked", "agent-replaced"].contains(&told.id.as_str()))
    }

    /// Whether the two speak different versions.
    #[must_use]
    pub fn is_version(&self) -> bool {
        matches!(self, Self::Told(told) if told.id == "agent-version")
    }
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Told(told) => f.write_str(&told.text),
            Self::Lost(error) => write!(f, "the agent is gone: {error}"),
            Self::Silent(waited) => write!(f, "the agent did not answer for {} s", waited.as_secs()),
            Self::Frame(error) => write!(f, "the agent cannot be understood: {error}"),
            Self::Place { path, why } => write!(f, "the agent's socket {path:?} is refused: {why}"),
            Self::System(path, error) => write!(f, "{path:?} cannot be used for the agent: {error}"),
        }
    }
}

impl std::error::Error for LinkError {}

/// A connection's incoming frames.
pub struct Frames {
    stream: Arc<UnixStream>,
    buffer: Zeroizing<Vec<u8>>,
    start: usize,
    end: usize,
    /// How many bytes came, ever.
    came: u64,
    /// What was passed, with the last of so many bytes.
    descriptors: Vec<OwnedFd>,
    passed_until: u64,
}

/// A frame that came.
pub struct Frame {
    /// What it carries.
    pub body: Secret,
    /// What was passed with it.
    pub descriptors: Vec<OwnedFd>,
}

/// Why there is no next frame.
pub enum NoFrame {
    /// The other end is gone, or too slow.
    Io(io::Error),
    /// It is not a frame.
    Frame(FrameError),
}

impl From<io::Error> for NoFrame {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Frames {
    /// Those of this connection.
    #[must_use]
    pub fn of(stream: Arc<UnixStream>) -> Self {
        let buffer = Zeroizing::new(vec![0; SMALL_BUFFER]);
        Self { stream, buffer, start: 0, end: 0, came: 0, descriptors: Vec::new(), passed_until: 0 }
    }

    /// The connection.
    #[must_use]
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// The connection, for whoever closes it.
    #[must_use]
    pub fn shared_stream(&self) -> Arc<UnixStream> {
        Arc::clone(&self.stream)
    }

    /// Whether a whole frame came that was not taken yet.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let there = &self.buffer[self.start..self.end];
        let length = there.first_chunk().map(|prefix| agent::body_length(*prefix).unwrap_or(0));
        length.is_some_and(|length| there.len() - 4 >= length)
    }

    /// The next frame; none if the connection ended between two. It may take its time to begin, up to the stream's own timeout,
    /// but then has to come within `limit`.
    ///
    /// # Errors
    /// [`NoFrame`].
    pub fn next(&mut self, limit: Option<Duration>) -> Result<Option<Frame>, NoFrame> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut waited = false;
        let mut more = |frames: &mut Self| -> Result<(), NoFrame> {
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::Error::from(io::ErrorKind::TimedOut).into());
                }
                frames.stream.set_read_timeout(Some(left))?;
                waited = true;
            }
            Ok(())
        };
        while self.end - self.start < 4 {
            self.make_room();
            more(self)?;
            if self.fill()? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        let prefix = self.buffer[self.start..].first_chunk().copied().unwrap_or_default();
        let length = agent::body_length(prefix).map_err(NoFrame::Frame)?;
        self.start += 4;
        let mut body = Zeroizing::new(Vec::with_capacity(length));
        self.take(&mut body, length);
        if length - body.len() > self.buffer.len() {
            // What was in it is taken, and wiped.
            self.buffer = Zeroizing::new(vec![0; BUFFER]);
        }
        while body.len() < length {
            more(self)?;
            (self.start, self.end) = (0, 0);
            if self.fill()? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            self.take(&mut body, length);
        }
        if waited {
            self.stream.set_read_timeout(None)?;
        }
        Ok(Some(Frame { body: Secret::from(body), descriptors: self.passed() }))
    }

    /// What was passed with the frame that was taken last. The system ends a read where that ends with which something was passed;
    /// but frames that came before may be in the same read.
    fn passed(&mut self) -> Vec<OwnedFd> {
        let taken = self.came - (self.end - self.start) as u64;
        if taken < self.passed_until { Vec::new() } else { std::mem::take(&mut self.descriptors) }
    }

    /// Moves what there is of a frame's body to it: nothing of it stays in the buffer, where the connection would keep it.
    fn take(&mut self, body: &mut Vec<u8>, length: usize) {
        let there = (length - body.len()).min(self.end - self.start);
        let taken = &mut self.buffer[self.start..self.start + there];
        body.extend_from_slice(taken);
        taken.zeroize();
        self.start += there;
    }

    fn make_room(&mut self) {
        // Less than a length prefix: nothing of a body.
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }

    /// Reads what there is.
    fn fill(&mut self) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut self.buffer[self.end..])];
            match recvmsg(&self.stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => {
                    self.came += received.bytes as u64;
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                            let room = MAX_DESCRIPTORS - self.descriptors.len();
                            self.descriptors.extend(descriptors.take(room));
                            self.passed_until = self.came;
                        }
                    }
                    self.end += received.bytes;
                    return Ok(received.bytes);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The client's end of a connection.
pub struct Link {
    frames: Frames,
    /// Sent with the first request.
    hello: Option<Secret>,
    /// Its result has not come yet.
    is_welcome: bool,
    /// A request that was sent before anybody asked for its result, which is on its way.
    ahead: Option<Secret>,
    /// How long it waits for a frame.
    patience: Duration,
}

impl Link {
    fn of(stream: UnixStream, program: &str) -> Result<Self, LinkError> {
        stream.set_read_timeout(Some(PROMPT)).map_err(LinkError::Lost)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(LinkError::Lost)?;
        let hello = Request::Hello(Hello { versions: VERSIONS.to_vec(), program: program.to_owned() });
        let hello = agent::request(&hello).map_err(LinkError::Frame)?;
        let frames = Frames::of(Arc::new(stream));
        Ok(Self { frames, hello: Some(hello), is_welcome: false, ahead: None, patience: PROMPT })
    }

    /// Asks, and gives the result.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn call<T: for<'b> Decode<'b, ()>>(&mut self, request: &Request) -> Result<T, LinkError> {
        self.call_with(request, |_| Ok(()))
    }

    /// Asks, and gives parts and the result.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn call_with<T: for<'b> Decode<'b, ()>>(
        &mut self,
        request: &Request,
        part: impl FnMut(&[u8]) -> Result<(), LinkError>,
    ) -> Result<T, LinkError> {
        self.send(request)?;
        self.result_within(patience(request), part)
    }

    /// Asks about a file that is open here, and gives the result.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn call_about<T: for<'b> Decode<'b, ()>>(
        &mut self,
        request: &Request,
        file: impl AsFd,
    ) -> Result<T, LinkError> {
        if self.ahead.take().is_some() {
            self.pass_over_reply()?;
        }
        let stream = self.frames.stream();
        if let Some(hello) = self.hello.take() {
            (&mut &*stream).write_all(hello.expose()).map_err(LinkError::Lost)?;
        }
        let frame = agent::request(request).map_err(LinkError::Frame)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&files));
        let parts = [IoSlice::new(frame.expose())];
        // With the first byte; the rest may need further calls.
        let sent = sendmsg(stream, &parts, &mut control, SendFlags::NOSIGNAL);
        let sent = sent.map_err(|error| LinkError::Lost(error.into()))?;
        (&mut &*stream).write_all(&frame.expose()[sent..]).map_err(LinkError::Lost)?;
        self.result(|_| Ok(()))
    }

    /// Sends a request whose result comes later.
    ///
    /// # Errors
    /// [`LinkError::Lost`], [`LinkError::Frame`].
    pub fn send(&mut self, request: &Request) -> Result<(), LinkError> {
        let frame = agent::request(request).map_err(LinkError::Frame)?;
        if let Some(ahead) = self.ahead.take() {
            if ahead.expose() == frame.expose() {
                return Ok(());
            }
            self.pass_over_reply()?;
        }
        self.write(&[frame.expose()])
    }

    /// Asks, and sends what will be asked for next along with it, if that is known: there and back only once.
    fn call_before<T: for<'b> Decode<'b, ()>>(
        &mut self,
        request: &Request,
        next: Option<&Request>,
    ) -> Result<T, LinkError> {
        let Some(next) = next else { return self.call(request) };
        let frame = |request| agent::request(request).map_err(LinkError::Frame);
        let (first, next) = (frame(request)?, frame(next)?);
        self.write(&[first.expose(), next.expose()])?;
        self.ahead = Some(next);
        self.result_within(patience(request), |_| Ok(()))
    }

    fn write(&mut self, frames: &[&[u8]]) -> Result<(), LinkError> {
        let mut stream = self.frames.stream();
        let hello = self.hello.take();
        let sent = match (&hello, frames) {
            (None, [frame]) => stream.write_all(frame),
            _ => {
                let hello = hello.iter().map(Secret::expose);
                let all: Vec<&[u8]> = hello.chain(frames.iter().copied()).collect();
                stream.write_all(&Zeroizing::new(all.concat()))
            }
        };
        // Whoever refuses a client says why before it closes.
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(LinkError::Silent(PATIENCE)),
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(LinkError::Lost(error)),
            _ => Ok(()),
        }
    }

    /// The result of the request that was sent.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn result<T: for<'b> Decode<'b, ()>>(
        &mut self,
        part: impl FnMut(&[u8]) -> Result<(), LinkError>,
    ) -> Result<T, LinkError> {
        self.result_within(PATIENCE, part)
    }

    fn result_within<T: for<'b> Decode<'b, ()>>(
        &mut self,
        patience: Duration,
        mut part: impl FnMut(&[u8]) -> Result<(), LinkError>,
    ) -> Result<T, LinkError> {
        if !self.is_welcome {
            self.reply::<Welcome>(&mut |_| Ok(()))?;
            self.is_welcome = true;
        }
        if patience != self.patience {
            self.frames.stream().set_read_timeout(Some(patience)).map_err(LinkError::Lost)?;
            self.patience = patience;
        }
        self.reply(&mut part)
    }

    /// Sends a value that does not fit a change, and gives its handle for the next commit on this connection. If it cannot be read
    /// to its end, what the agent has of it is forgotten, and the error stands inside.
    ///
    /// # Errors
    /// [`LinkError`].
    pub fn attach(
        &mut self,
        vault: &VaultPath,
        value: &mut dyn Read,
        limit: u64,
    ) -> Result<io::Result<Attached>, LinkError> {
        self.send(&Request::Attach(Attach { vault: vault.clone(), limit }))?;
        let mut failed = None;
        loop {
            let mut bytes = Zeroizing::new(vec![0; PART]);
            let length = fill(value, &mut bytes).unwrap_or_else(|error| {
                failed = Some(error);
                0
            });
            bytes.truncate(length);
            self.send(&Request::Write(Part { bytes: Bytes(Secret::from(bytes)) }))?;
            if length == 0 {
                break;
            }
        }
        let attached: Attached = self.result(|_| Ok(()))?;
        let Some(error) = failed else { return Ok(Ok(attached)) };
        let close = message::Close { handle: Some(attached.handle), state: None };
        let _: message::Done = self.call(&Request::Close(close))?;
        Ok(Err(error))
    }

    /// Reads the reply to something that nobody asked for after all.
    fn pass_over_reply(&mut self) -> Result<(), LinkError> {
        loop {
            let frame = self.next_frame()?;
            let (kind, _) = agent::reply_kind(frame.body.expose()).map_err(LinkError::Frame)?;
            if kind != ReplyKind::Part {
                return Ok(());
            }
        }
    }

    fn next_frame(&mut self) -> Result<Frame, LinkError> {
        match self.frames.next(None) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(LinkError::Lost(io::ErrorKind::UnexpectedEof.into())),
            // So a read fails that took too long.
            Err(NoFrame::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(LinkError::Silent(self.patience))
            }
            Err(NoFrame::Io(error)) => Err(LinkError::Lost(error)),
            Err(NoFrame::Frame(error)) => Err(LinkError::Frame(error)),
        }
    }

    fn reply<T: for<'b> Decode<'b, ()>>(
        &mut self,
        part: &mut dyn FnMut(&[u8]) -> Result<(), LinkError>,
    ) -> Result<T, LinkError> {
        let mut result = Ok(());
        loop {
            let frame = self.next_frame()?;
            let (kind, bytes) = agent::reply_kind(frame.body.expose()).map_err(LinkError::Frame)?;
            match kind {
                // The reply is read to its end, so that the next one is another's.
                ReplyKind::Part if result.is_ok() => result = part(bytes),
                ReplyKind::Part => {}
                ReplyKind::Result => {
                    result?;
                    return agent::content(bytes).map_err(LinkError::Frame);
                }
                ReplyKind::Error => {
                    let error: message::Error = agent::content(bytes).map_err(LinkError::Frame)?;
                    return Err(LinkError::Told(Box::new(error.into())));
                }
            }
        }
    }
}

/// Asks every agent of this user the same, which may be asked twice.
///
/// # Errors
/// What is wrong with a place that was named, or with a socket where one may be; what an agent says.
pub fn ask_all<'a, T: for<'b> Decode<'b, ()> + 'a>(
    places: &'a Places,
    request: &'a Request,
) -> impl Iterator<Item = Result<T, LinkError>> + 'a {
    places.all().iter().filter_map(|place| {
        let asked = ask_at(places, place, |link| link.call(request)).transpose()?;
        Some(asked.map(|(_, answer)| answer))
    })
}

/// The first agent of this user.
///
/// # Errors
/// As [`ask_all`].
pub fn first(places: &Places) -> Result<Option<Link>, LinkError> {
    for place in places.all() {
        if let Some(stream) = place.connect()? {
            return Ok(Some(Link::of(stream, places.program())?));
        }
    }
    Ok(None)
}

/// The agent that holds this vault, with what it says of it; none if none does. What will be asked for next is sent along, if that
/// is known: it must be something that changes nothing.
///
/// # Errors
/// As [`find_with`].
pub fn find(
    places: &Places,
    vault: &VaultPath,
    next: Option<&Request>,
) -> Result<Option<(Link, message::Facts)>, LinkError> {
    let request = Request::Use(Use { vault: vault.clone() });
    find_with(places, |link| link.call_before(&request, next))
}

/// The first agent that does not say to this question that it does not hold the vault, with its answer; none if all do. The question
/// must be one that may be asked twice.
///
/// # Errors
/// As [`ask_all`], except that an agent does not hold it.
pub fn find_with<T>(
    places: &Places,
    mut ask: impl FnMut(&mut Link) -> Result<T, LinkError>,
) -> Result<Option<(Link, T)>, LinkError> {
    for place in places.all() {
        match ask_at(places, place, &mut ask) {
            Ok(None) => {}
            Err(error) if error.is_locked() => {}
            found => return found,
        }
    }
    Ok(None)
}

/// Asks whoever listens there, and asks again if the connection ends before there is an answer: it may have been closed for being
/// idle, or the agent was killed at this very moment, and is not there any more when it is looked for again.
fn ask_at<T>(
    places: &Places,
    place: &Place,
    mut ask: impl FnMut(&mut Link) -> Result<T, LinkError>,
) -> Result<Option<(Link, T)>, LinkError> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let Some(stream) = place.connect()? else { return Ok(None) };
        let mut link = Link::of(stream, places.program())?;
        let error = match ask(&mut link) {
            Ok(answer) => return Ok(Some((link, answer))),
            Err(error) => error,
        };
        match (error, pauses.next()) {
            (LinkError::Lost(_), Some(pause)) => std::thread::sleep(pause),
            (error, _) => return Err(error),
        }
    }
}

fn fill(value: &mut dyn Read, out: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < out.len() {
        match value.read(&mut out[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// How long to wait for the answer.
fn patience(request: &Request) -> Duration {
    match request {
        Request::Hello(_) | Request::Status(_) | Request::Use(_) | Request::Lock(_) | Request::Stop(_) => {
            PROMPT
        }
        _ => PATIENCE,
    }
}

/// Bytes of an error's text, and of its parts.
const LONG: usize = 256 << 10;
/// For most messages; what is not touched costs no page fault.
const SMALL_BUFFER: usize = 4 << 10;
/// For longer ones.
const BUFFER: usize = 16 << 10;
const MAX_DESCRIPTORS: usize = 4;
/// Longer than a save waits for another one, or a passphrase takes to be tried.
const PATIENCE: Duration = Duration::from_secs(180);
/// For what an agent answers at once, or after the requests that are at work with a key that it shall forget: 5.5 s.
pub const PROMPT: Duration = Duration::from_secs(15);
/// Before it is looked for again.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(200)];

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_is_passed_goes_with_its_own_frame_whatever_came_before_in_the_same_read() {
        let (here, there) = UnixStream::pair().unwrap();
        let frame = [0, 0, 0, 1, 7];
        let pass = |bytes: &[u8]| {
            let file = File::open("/dev/null").unwrap();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let files = [file.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&files));
            assert_eq!(
                sendmsg(&here, &[IoSlice::new(bytes)], &mut control, SendFlags::empty()),
                Ok(bytes.len())
            );
        };
        (&here).write_all(&[frame, frame].concat()).unwrap();
        pass(&frame);
        (&here).write_all(&frame).unwrap();
        pass(&frame[..2]);
        (&here).write_all(&[&frame[2..], &frame[..]].concat()).unwrap();
        drop(here);
        let mut frames = Frames::of(Arc::new(there));
        let mut passed = Vec::new();
        while let Ok(Some(frame)) = frames.next(None) {
            passed.push(frame.descriptors.len());
        }
        assert_eq!(passed, [0, 0, 1, 0, 1, 0]);
    }
}
