//! Frames on a connection: what is common to both ends, and the client's end.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use minicbor::Decode;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use vault_core::agent::message::{self, Hello, Use, VaultPath, Welcome};
use vault_core::agent::{self, FrameError, ReplyKind, Request, VERSIONS};
use vault_core::secret::Secret;
use zeroize::{Zeroize, Zeroizing};

use super::socket::{Place, Places};
use super::{AgentError, PROGRAM};

/// A connection's incoming frames.
pub(super) struct Frames {
    stream: Arc<UnixStream>,
    buffer: Zeroizing<Vec<u8>>,
    start: usize,
    end: usize,
    descriptors: Vec<OwnedFd>,
}

/// A frame that came.
pub(super) struct Frame {
    pub(super) body: Secret,
    /// What was passed with it.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Why there is no next frame.
pub(super) enum NoFrame {
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
    pub(super) fn of(stream: Arc<UnixStream>) -> Self {
        let buffer = Zeroizing::new(vec![0; SMALL_BUFFER]);
        Self { stream, buffer, start: 0, end: 0, descriptors: Vec::new() }
    }

    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    pub(super) fn shared_stream(&self) -> Arc<UnixStream> {
        Arc::clone(&self.stream)
    }

    /// Whether a whole frame came that was not taken yet.
    pub(super) fn has_more(&self) -> bool {
        let there = &self.buffer[self.start..self.end];
        let length = there.first_chunk().map(|prefix| agent::body_length(*prefix).unwrap_or(0));
        length.is_some_and(|length| there.len() - 4 >= length)
    }

    /// The next frame; none if the connection ended between two. It may take its time to begin, up to the stream's own timeout,
    /// but then has to come within `limit`.
    pub(super) fn next(&mut self, limit: Option<Duration>) -> Result<Option<Frame>, NoFrame> {
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
        Ok(Some(Frame { body: Secret::from(body), descriptors: std::mem::take(&mut self.descriptors) }))
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
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                            let room = MAX_DESCRIPTORS - self.descriptors.len();
                            self.descriptors.extend(descriptors.take(room));
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
pub(crate) struct Link {
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
    fn of(stream: UnixStream) -> Result<Self, AgentError> {
        stream.set_read_timeout(Some(PROMPT)).map_err(AgentError::Lost)?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(AgentError::Lost)?;
        let hello = Request::Hello(Hello { versions: VERSIONS.to_vec(), program: PROGRAM.to_owned() });
        let hello = agent::request(&hello).map_err(AgentError::Frame)?;
        let frames = Frames::of(Arc::new(stream));
        Ok(Self { frames, hello: Some(hello), is_welcome: false, ahead: None, patience: PROMPT })
    }

    /// Asks, and gives the result.
    ///
    /// # Errors
    /// [`AgentError`].
    pub(crate) fn call<T: for<'b> Decode<'b, ()>>(&mut self, request: &Request) -> Result<T, AgentError> {
        self.call_with(request, |_| Ok(()))
    }

    /// Asks, and gives parts and the result.
    ///
    /// # Errors
    /// [`AgentError`].
    pub(crate) fn call_with<T: for<'b> Decode<'b, ()>>(
        &mut self,
        request: &Request,
        part: impl FnMut(&[u8]) -> Result<(), AgentError>,
    ) -> Result<T, AgentError> {
        self.send(request)?;
        self.result_within(patience(request), part)
    }

    /// Asks about a file that is open here, and gives the result.
    ///
    /// # Errors
    /// [`AgentError`].
    pub(crate) fn call_about<T: for<'b> Decode<'b, ()>>(
        &mut self,
        request: &Request,
        file: impl AsFd,
    ) -> Result<T, AgentError> {
        if self.ahead.take().is_some() {
            self.pass_over_reply()?;
        }
        let stream = self.frames.stream();
        if let Some(hello) = self.hello.take() {
            (&mut &*stream).write_all(hello.expose()).map_err(AgentError::Lost)?;
        }
        let frame = agent::request(request).map_err(AgentError::Frame)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&files));
        let parts = [IoSlice::new(frame.expose())];
        // With the first byte; the rest may need further calls.
        let sent = sendmsg(stream, &parts, &mut control, SendFlags::NOSIGNAL);
        let sent = sent.map_err(|error| AgentError::Lost(error.into()))?;
        (&mut &*stream).write_all(&frame.expose()[sent..]).map_err(AgentError::Lost)?;
        self.result(|_| Ok(()))
    }

    /// Sends a request whose result comes later.
    ///
    /// # Errors
    /// [`AgentError::Lost`], [`AgentError::Frame`].
    pub(crate) fn send(&mut self, request: &Request) -> Result<(), AgentError> {
        let frame = agent::request(request).map_err(AgentError::Frame)?;
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
    ) -> Result<T, AgentError> {
        let Some(next) = next else { return self.call(request) };
        let frame = |request| agent::request(request).map_err(AgentError::Frame);
        let (first, next) = (frame(request)?, frame(next)?);
        self.write(&[first.expose(), next.expose()])?;
        self.ahead = Some(next);
        self.result_within(patience(request), |_| Ok(()))
    }

    fn write(&mut self, frames: &[&[u8]]) -> Result<(), AgentError> {
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
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(AgentError::Silent(PATIENCE)),
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(AgentError::Lost(error)),
            _ => Ok(()),
        }
    }

    /// The result of the request that was sent.
    ///
    /// # Errors
    /// [`AgentError`].
    pub(crate) fn result<T: for<'b> Decode<'b, ()>>(
        &mut self,
        part: impl FnMut(&[u8]) -> Result<(), AgentError>,
    ) -> Result<T, AgentError> {
        self.result_within(PATIENCE, part)
    }

    fn result_within<T: for<'b> Decode<'b, ()>>(
        &mut self,
        patience: Duration,
        mut part: impl FnMut(&[u8]) -> Result<(), AgentError>,
    ) -> Result<T, AgentError> {
        if !self.is_welcome {
            self.reply::<Welcome>(&mut |_| Ok(()))?;
            self.is_welcome = true;
        }
        if patience != self.patience {
            self.frames.stream().set_read_timeout(Some(patience)).map_err(AgentError::Lost)?;
            self.patience = patience;
        }
        self.reply(&mut part)
    }

    /// Reads the reply to something that nobody asked for after all.
    fn pass_over_reply(&mut self) -> Result<(), AgentError> {
        loop {
            let frame = self.next_frame()?;
            let (kind, _) = agent::reply_kind(frame.body.expose()).map_err(AgentError::Frame)?;
            if kind != ReplyKind::Part {
                return Ok(());
            }
        }
    }

    fn next_frame(&mut self) -> Result<Frame, AgentError> {
        match self.frames.next(None) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(AgentError::Lost(io::ErrorKind::UnexpectedEof.into())),
            // So a read fails that took too long.
            Err(NoFrame::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(AgentError::Silent(self.patience))
            }
            Err(NoFrame::Io(error)) => Err(AgentError::Lost(error)),
            Err(NoFrame::Frame(error)) => Err(AgentError::Frame(error)),
        }
    }

    fn reply<T: for<'b> Decode<'b, ()>>(
        &mut self,
        part: &mut dyn FnMut(&[u8]) -> Result<(), AgentError>,
    ) -> Result<T, AgentError> {
        let mut result = Ok(());
        loop {
            let frame = self.next_frame()?;
            let (kind, bytes) = agent::reply_kind(frame.body.expose()).map_err(AgentError::Frame)?;
            match kind {
                // The reply is read to its end, so that the next one is another's.
                ReplyKind::Part if result.is_ok() => result = part(bytes),
                ReplyKind::Part => {}
                ReplyKind::Result => {
                    result?;
                    return agent::content(bytes).map_err(AgentError::Frame);
                }
                ReplyKind::Error => {
                    let error: message::Error = agent::content(bytes).map_err(AgentError::Frame)?;
                    return Err(AgentError::Told(Box::new(error.into())));
                }
            }
        }
    }
}

/// Asks every agent of this user the same, which may be asked twice.
///
/// # Errors
/// What is wrong with a place that was named, or with a socket where one may be; what an agent says.
pub(crate) fn ask_all<'a, T: for<'b> Decode<'b, ()> + 'a>(
    places: &'a Places,
    request: &'a Request,
) -> impl Iterator<Item = Result<T, AgentError>> + 'a {
    places.all().iter().filter_map(|place| {
        let asked = ask_at(place, |link| link.call(request)).transpose()?;
        Some(asked.map(|(_, answer)| answer))
    })
}

/// The first agent of this user.
///
/// # Errors
/// As [`ask_all`].
pub(crate) fn first(places: &Places) -> Result<Option<Link>, AgentError> {
    for place in places.all() {
        if let Some(stream) = place.connect()? {
            return Ok(Some(Link::of(stream)?));
        }
    }
    Ok(None)
}

/// The agent that holds this vault, with what it says of it; none if none does. What will be asked for next is sent along, if that
/// is known: it must be something that changes nothing.
///
/// # Errors
/// As [`ask_all`], except that an agent does not hold it.
pub(crate) fn find(
    places: &Places,
    vault: &VaultPath,
    next: Option<&Request>,
) -> Result<Option<(Link, message::Facts)>, AgentError> {
    let request = Request::Use(Use { vault: vault.clone() });
    for place in places.all() {
        match ask_at(place, |link| link.call_before(&request, next)) {
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
    place: &Place,
    mut ask: impl FnMut(&mut Link) -> Result<T, AgentError>,
) -> Result<Option<(Link, T)>, AgentError> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let Some(stream) = place.connect()? else { return Ok(None) };
        let mut link = Link::of(stream)?;
        let error = match ask(&mut link) {
            Ok(answer) => return Ok(Some((link, answer))),
            Err(error) => error,
        };
        match (error, pauses.next()) {
            (AgentError::Lost(_), Some(pause)) => std::thread::sleep(pause),
            (error, _) => return Err(error),
        }
    }
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

/// For most messages; what is not touched costs no page fault.
const SMALL_BUFFER: usize = 4 << 10;
/// For longer ones.
const BUFFER: usize = 16 << 10;
const MAX_DESCRIPTORS: usize = 4;
/// Longer than a save waits for another one, or a passphrase takes to be tried.
const PATIENCE: Duration = Duration::from_secs(180);
/// For what an agent answers at once, or after the requests that are at work with a key that it shall forget: 5.5 s.
pub(super) const PROMPT: Duration = Duration::from_secs(15);
/// Before it is looked for again.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(200)];
