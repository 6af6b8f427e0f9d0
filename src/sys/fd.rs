//! Descriptors: pipes, copies, and what an exec leaves open.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, SpliceFFlags, fcntl, open, splice};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::sys::poll::look;

/// A pipe, close-on-exec: the reading and the writing end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: pipe2 writes two descriptors into the array, which is large enough.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both descriptors are new and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) })
}

/// The standard input of this process, without a buffer.
pub fn standard_input() -> BorrowedFd<'static> {
    // SAFETY: 0 is open from the start on, and nobody closes it.
    unsafe { BorrowedFd::borrow_raw(0) }
}

/// Makes `fd` survive an exec, or not.
pub fn set_inherited(fd: BorrowedFd<'_>, inherited: bool) -> io::Result<()> {
    let flags = if inherited { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    fcntl(fd, FcntlArg::F_SETFD(flags)).map(drop).map_err(Into::into)
}

/// Switches O_NONBLOCK, which every holder of the same open file shares.
pub fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, nonblocking);
    fcntl(fd, FcntlArg::F_SETFL(flags)).map(drop).map_err(Into::into)
}

/// Makes descriptor number `target` a copy of `source` that survives an exec.
pub fn copy_onto(source: BorrowedFd<'_>, target: RawFd) -> io::Result<()> {
    if source.as_raw_fd() == target {
        return set_inherited(source, true);
    }
    // SAFETY: dup2 takes two numbers; what `target` was is closed, which is what the caller asks for.
    match unsafe { libc::dup2(source.as_raw_fd(), target) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes descriptor number `target` one for writing only, which shares no flags with other holders, where it is a pipe, a
/// FIFO or a terminal: opens the same thing again. Anything else stays as it is.
///
/// Who may read and write through one descriptor reads what others write, and whoever shares it can make them all
/// non-blocking. Errors: there is no /proc to open it by.
pub fn narrow_to_writing(target: RawFd) -> io::Result<()> {
    // SAFETY: the number is open, as are 0 to 2 from the start on, and is closed by nobody meanwhile.
    let old = unsafe { BorrowedFd::borrow_raw(target) };
    let flags = OFlag::from_bits_retain(fcntl(old, FcntlArg::F_GETFL)?);
    let kind = SFlag::from_bits_truncate(fstat(old)?.st_mode & SFlag::S_IFMT.bits());
    let is_shared = kind == SFlag::S_IFIFO || kind == SFlag::S_IFCHR;
    if !is_shared || flags & OFlag::O_ACCMODE == OFlag::O_RDONLY {
        return Ok(());
    }
    let own = format!("/proc/self/fd/{target}");
    let options = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    match open(own.as_str(), options, Mode::empty()) {
        Ok(new) => {
            set_nonblocking(new.as_fd(), false)?;
            copy_onto(new.as_fd(), target)
        }
        // Nobody is at the other end, so that there is nothing to protect.
        Err(Errno::ENXIO | Errno::EIO) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Closes descriptor number `fd`, before an exec.
pub fn close_number(fd: RawFd) -> io::Result<()> {
    // SAFETY: the caller is about to become another program and uses this number no more.
    match unsafe { libc::close(fd) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Marks every descriptor from `first` up as close-on-exec.
pub fn close_from_at_exec(first: RawFd) -> io::Result<()> {
    let low = u32::try_from(first).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: close_range with CLOSE_RANGE_CLOEXEC takes numbers and only sets flags.
    let result = unsafe { libc::syscall(libc::SYS_close_range, low, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return Ok(());
    }
    // An older kernel: one by one, as /proc lists them.
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(fd) = number.filter(|fd| *fd >= first) {
            // SAFETY: F_SETFD takes a number and a flag; a number closed meanwhile gives EBADF and nothing else.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Owns the descriptor `number`, which was inherited, and makes it close-on-exec. Errors: there is none.
///
/// Call it once for a number, at the start, before anything is opened that could have it.
pub fn take_number(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number is only looked at, and it fails if it is not open.
    set_inherited(unsafe { BorrowedFd::borrow_raw(number) }, false)?;
    // SAFETY: it is open, and as the caller promises, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// A second descriptor for the same open file, close-on-exec.
pub fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

/// A second descriptor for the same open file, numbered `lowest` or above, close-on-exec.
pub fn duplicate_above(fd: BorrowedFd<'_>, lowest: RawFd) -> io::Result<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(lowest))?;
    // SAFETY: the descriptor is new and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether its number is below `number`.
pub fn is_below(fd: BorrowedFd<'_>, number: u64) -> bool {
    u64::try_from(fd.as_raw_fd()).is_ok_and(|own| own < number)
}

/// Whether a read from `fd` would return at once: with bytes, with the end, or with an error.
///
/// Unlike O_NONBLOCK this changes nothing for the other holders of the same open file.
pub fn is_readable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    is_ready(fd, libc::POLLIN)
}

/// Whether a write of up to 4096 bytes (PIPE_BUF) to `fd` would return at once, be it with an error.
pub fn has_room(fd: BorrowedFd<'_>) -> bool {
    is_ready(fd, libc::POLLOUT).unwrap_or(true)
}

/// Whether nobody reads any more what is written to the pipe or FIFO `fd`.
pub fn is_broken(fd: BorrowedFd<'_>) -> bool {
    look(fd, 0).is_ok_and(|found| found & libc::POLLERR != 0)
}

fn is_ready(fd: BorrowedFd<'_>, event: libc::c_short) -> io::Result<bool> {
    look(fd, event).map(|found| found != 0)
}

/// Whether `fd` is a pipe or a FIFO.
pub fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|found| found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFIFO.bits())
}

/// How many bytes are in the pipe or FIFO `fd`.
pub fn unread(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to a valid place.
    match unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(usize::try_from(count).unwrap_or_default()),
    }
}

/// Moves up to `most` bytes that are in the pipe or FIFO `from` to the end of the file `to`; how many. What cannot be
/// written stays where it is.
pub fn move_out(from: BorrowedFd<'_>, to: &File, most: usize) -> io::Result<usize> {
    let mut end = to.metadata()?.len().try_into().map_err(|_| Errno::EFBIG)?;
    let mut moved = 0;
    while moved < most {
        match splice(from, None, to, Some(&mut end), most - moved, SpliceFFlags::SPLICE_F_NONBLOCK) {
            Ok(0) | Err(Errno::EAGAIN) => break, // somebody else has read it
            Ok(length) => moved += length,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(moved)
}

/// Standard output, which is open from the start on, without a buffer.
pub fn standard_output() -> BorrowedFd<'static> {
    // SAFETY: nobody closes it.
    unsafe { BorrowedFd::borrow_raw(libc::STDOUT_FILENO) }
}

/// Writes all of `bytes`, waiting where that takes time.
pub fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads from `fd` what is there, up to the length of `buffer`; waits when nothing is. 0 is the end.
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: read writes no more than the length of the buffer.
    match unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) } {
        -1 => Err(io::Error::last_os_error()),
        count => Ok(usize::try_from(count).unwrap_or_default()),
    }
}
