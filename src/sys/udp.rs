//! Sending datagrams.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

/// A socket that sends datagrams and never waits.
pub struct Sender(UdpSocket);

impl Sender {
    /// A new socket.
    pub fn new() -> io::Result<Sender> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        Ok(Sender(socket))
    }

    /// Sends one datagram. That it was sent does not mean that it arrives.
    pub fn send(&self, to: SocketAddrV4, datagram: &[u8]) -> io::Result<()> {
        self.0.send_to(datagram, to).map(drop)
    }
}
