//! Listening sockets on their way from one program to the next, over a unix socket between the two.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use wsgate::Inherited;

/// What the first word says: a later form has another number.
const GREETING: &str = "wsgate 1";
/// The most that the kernel passes at once (SCM_MAX_FD), and the room for it.
const MOST: usize = 253;
const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST));
/// All that is said of so many.
const LONGEST: usize = 64 * 1024;

/// Sends all of them at once: a greeting, what is said of each, and an empty word; each ends with NUL, which no path has.
/// It fits into the socket's buffer, so that it need not be read at once.
///
/// # Errors
/// Too many sockets, and those of the write.
pub(crate) fn send(mut line: &UnixStream, sockets: &[Inherited]) -> io::Result<()> {
    if sockets.len() > MOST {
        let told = format!("{} listeners, and at most {MOST} can be handed over", sockets.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, told));
    }
    let marks = sockets.iter().map(|socket| socket.mark.as_deref().unwrap_or_default());
    let words = std::iter::once(GREETING).chain(marks).chain([""]);
    let text: String = words.map(|word| format!("{word}\0")).collect();
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.socket.as_fd()).collect();
    let mut space = vec![MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = sendmsg(line, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::empty())?;
    line.write_all(&text.as_bytes()[sent..])
}

/// Receives them. Blocks, as long as the socket's own limit says.
///
/// # Errors
/// Those of the read, its end, and what is not in the form that [`send`] has.
pub(crate) fn receive(line: &UnixStream) -> io::Result<Vec<Inherited>> {
    let wrong = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let (mut text, mut sockets) = (Vec::new(), Vec::<OwnedFd>::new());
    while !text.ends_with(b"\0\0") {
        let mut piece = [0; 4096];
        let mut space = vec![MaybeUninit::uninit(); SPACE];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(line, &mut [IoSliceMut::new(&mut piece)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                sockets.extend(descriptors);
            }
        }
        if got.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        text.extend_from_slice(&piece[..got.bytes]);
        if text.len() > LONGEST {
            return Err(wrong("too much is said of the listeners"));
        }
    }
    let text = String::from_utf8(text).map_err(|_| wrong("what is said of the listeners is no text"))?;
    let mut words = text.split_terminator('\0');
    if words.next() != Some(GREETING) {
        return Err(wrong("the program before hands over in another way than this one takes over"));
    }
    let marks: Vec<&str> = words.take_while(|word| !word.is_empty()).collect();
    if marks.len() != sockets.len() {
        return Err(wrong("not every listener has arrived"));
    }
    let named = sockets.into_iter().zip(marks);
    Ok(named.map(|(socket, mark)| Inherited { socket, mark: Some(mark.to_owned()) }).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    fn listeners(count: usize) -> Vec<Inherited> {
        let one = TcpListener::bind("127.0.0.1:0").expect("bind");
        let copy = |at| Inherited {
            socket: one.try_clone().expect("a descriptor").into(),
            mark: Some(format!("own gateway unix:/{at}/{}", "x".repeat(100))),
        };
        (0..count).map(copy).collect()
    }

    #[test]
    fn as_many_as_the_kernel_passes_arrive_with_what_is_said_of_them() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let sent = listeners(MOST);
        send(&ours, &sent).expect("sent");
        let got = receive(&theirs).expect("received");
        assert!(sent.iter().map(|one| &one.mark).eq(got.iter().map(|one| &one.mark)));
        let port = |one: Inherited| TcpListener::from(one.socket).local_addr().expect("it listens");
        let expected = port(sent.into_iter().next_back().expect("many"));
        assert!(got.into_iter().all(|one| port(one) == expected));
        assert_eq!(send(&ours, &listeners(MOST + 1)).expect_err("too many").kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for (said, kind) in [
            (&b"wsgate 1\0own gateway a\0"[..], io::ErrorKind::UnexpectedEof),
            (b"wsgate 1\0own gateway a\0\0", io::ErrorKind::InvalidData),
            (b"wsgate 2\0\0", io::ErrorKind::InvalidData),
            (b"wsgate 1\0\xff\0\0", io::ErrorKind::InvalidData),
        ] {
            let (mut ours, theirs) = UnixStream::pair().expect("a pair");
            ours.write_all(said).expect("sent");
            drop(ours);
            assert_eq!(receive(&theirs).expect_err("not whole").kind(), kind, "{said:?}");
        }
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let writer = std::thread::Builder::new().spawn(move || {
            let _ = (&ours).write_all(&[b'x'; 2 * LONGEST]);
        });
        assert_eq!(receive(&theirs).expect_err("too long").kind(), io::ErrorKind::InvalidData);
        let _ = theirs.read_to_end(&mut Vec::new());
        writer.expect("started").join().expect("no panic");
    }
}
