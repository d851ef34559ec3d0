//! Garbage, idle connections and slow ones cost others nothing.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::home::{AgentHome, process_figure};

#[test]
fn garbage_and_idle_connections_are_survived() {
    let agent = AgentHome::new();
    agent.unlock();
    agent.set("a", "1");
    let pid = agent.pid();
    let before = process_figure(pid, "VmRSS");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for number in 0..10_000 {
        let mut stream = UnixStream::connect(agent.socket()).unwrap();
        let length = usize::try_from(1 + next() % 200).unwrap();
        let mut bytes: Vec<u8> = (0..length).map(|_| next().to_be_bytes()[0]).collect();
        if number % 2 == 0 {
            // In a frame, so that it is decoded.
            bytes.splice(0..0, u32::try_from(length).unwrap().to_be_bytes());
        }
        // It may be closed before all is written.
        let _ = stream.write_all(&bytes);
    }
    let idle: Vec<UnixStream> = (0..300).map(|_| UnixStream::connect(agent.socket()).unwrap()).collect();
    let slow: Vec<UnixStream> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(agent.socket()).unwrap();
            stream.write_all(&[0, 0, 1]).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    assert_eq!(agent.get("a"), "1");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let grown = process_figure(pid, "VmRSS").saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more");
    // A frame that does not come within two seconds closes its connection.
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut rest = Vec::new();
        assert!(stream.read_to_end(&mut rest).is_ok_and(|count| count == 0));
    }
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    drop(idle);
    assert_eq!(agent.pid(), pid, "the same agent");
}
