//! Notes that outlive a supervisor: which processes it started, so that its successor goes on with these instead of
//! starting others beside them.

use std::time::Duration;

use super::status::{STATUS_BYTES, State, Status, Want};

/// What a process is to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `run`.
    Run,
    /// `finish`.
    Finish,
    /// A hook in `control/`.
    Hook,
}

/// Of whom a note is. Each has one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The service.
    Main,
    /// Its log service.
    Log,
    /// The control hook.
    Hook,
}

/// A process that was started. It writes this itself, before it becomes the program: there is no moment in which it
/// runs and nobody has noted it.
///
/// | bytes  | field  | form                                                                                   |
/// |--------|--------|----------------------------------------------------------------------------------------|
/// | 0..4   | kind   | u32: 0 no note, 1 run, 2 finish, 3 hook                                                |
/// | 4..8   | pid    | i32                                                                                    |
/// | 8..16  | asked  | u64: nanoseconds since the kernel started, before the process was made                 |
/// | 16..24 | noted  | u64: the same when it wrote this                                                       |
/// | 24..32 | serial | u64: its number among all processes that the kernel ever made; 0 where it is not known |
///
/// All little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is.
    pub kind: Kind,
    /// Its process id, in its supervisor's pid namespace.
    pub pid: i32,
    /// Time since the kernel started when it was not made yet.
    pub asked: Duration,
    /// Time since the kernel started when it had been made.
    pub noted: Duration,
    /// Its number among all processes, if there are such numbers.
    pub serial: Option<u64>,
}

/// Where pids and times mean something: one run of the kernel, one pid namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    /// The kernel's boot id.
    pub boot: [u8; 16],
    /// The inode of the pid namespace.
    pub pid_namespace: u64,
}

/// Everything that a supervisor noted, a file of [`BOOK_BYTES`] bytes.
///
/// | bytes    | field   | form                                                           |
/// |----------|---------|----------------------------------------------------------------|
/// | 0..8     | form    | `homerun1`                                                     |
/// | 8..24    | boot    | the kernel's boot id                                           |
/// | 24..32   | pids    | u64, little-endian: the inode of the pid namespace             |
/// | 32..40   | serving | u64, little-endian: 1, or 0 once the supervisor ended in order |
/// | 40..136  | notes   | three [`Note`]s: the service, its log service, the hook        |
/// | 136..200 | records | two [`Record`]s: the service, its log service                  |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Book {
    world: World,
    serving: bool,
    notes: [Option<Note>; 3],
    records: [Option<Record>; 2],
}

/// What was last to be written to `status`, and what that cannot tell.
///
/// | bytes  | field   | form                                                                             |
/// |--------|---------|----------------------------------------------------------------------------------|
/// | 0..20  | status  | as in `status`                                                                   |
/// | 20..24 | more    | u32, little-endian: 0 no record; 1, plus 2 for exit, 4 for once, 8 for a stop    |
/// | 24..32 | changed | u64, little-endian: nanoseconds since the kernel started, at the time of `since` |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The record itself.
    pub status: Status,
    /// It is to be started once, or left to run until it ends.
    pub once: bool,
    /// The last that it was told was to stop.
    pub stopping: bool,
    /// The time of `since`, by a clock that nobody sets.
    pub changed: Duration,
}

impl Record {
    /// The same of process `pid`.
    pub fn of(self, pid: i32) -> Record {
        Record { status: Status { pid, ..self.status }, ..self }
    }
}

/// The size of a [`Book`].
pub const BOOK_BYTES: usize = RECORDS_AT + 2 * RECORD_BYTES;
/// The size of a [`Note`].
pub const NOTE_BYTES: usize = 32;
const HEAD_BYTES: usize = 40;
const RECORDS_AT: usize = HEAD_BYTES + 3 * NOTE_BYTES;
const RECORD_BYTES: usize = STATUS_BYTES + 12;
const EXIT: u64 = 2;
const ONCE: u64 = 4;
const STOPPING: u64 = 8;
const FORM: &[u8; 8] = b"homerun1";

impl Place {
    fn index(self) -> usize {
        match self {
            Place::Main => 0,
            Place::Log => 1,
            Place::Hook => 2,
        }
    }
}

impl Note {
    /// The note as written.
    pub fn encode(&self) -> [u8; NOTE_BYTES] {
        let kind: u32 = match self.kind {
            Kind::Run => 1,
            Kind::Finish => 2,
            Kind::Hook => 3,
        };
        let mut bytes = [0; NOTE_BYTES];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.pid.to_le_bytes());
        bytes[8..16].copy_from_slice(&nanoseconds(self.asked).to_le_bytes());
        bytes[16..24].copy_from_slice(&nanoseconds(self.noted).to_le_bytes());
        bytes[24..].copy_from_slice(&self.serial.unwrap_or(0).to_le_bytes());
        bytes
    }

    /// Reads a note; `None` where there is none that can be.
    fn decode(bytes: &[u8]) -> Option<Note> {
        let kind = match u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) {
            1 => Kind::Run,
            2 => Kind::Finish,
            3 => Kind::Hook,
            _ => return None,
        };
        let pid = i32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
        let field = |at: usize| bytes.get(at..at + 8).map(number);
        let time = |at: usize| field(at).map(Duration::from_nanos);
        let note = Note { kind, pid, asked: time(8)?, noted: time(16)?, serial: field(24).filter(|it| *it != 0) };
        (pid > 0 && note.asked <= note.noted).then_some(note)
    }

    /// Whether it is of a process with its pid that the kernel made at `made`, which it tells in steps of `tick`.
    ///
    /// The pid was this process's from `asked` to `noted`: another one with it was made earlier or later.
    pub fn is_of_one_made(&self, made: Duration, tick: Duration) -> bool {
        made + tick > self.asked && made <= self.noted
    }
}

impl Book {
    /// A book without notes, of a supervisor that serves.
    pub fn new(world: World) -> Book {
        Book { world, serving: true, notes: [None; 3], records: [None; 2] }
    }

    /// The book as written.
    pub fn encode(&self) -> [u8; BOOK_BYTES] {
        let mut bytes = [0; BOOK_BYTES];
        bytes[..8].copy_from_slice(FORM);
        bytes[8..24].copy_from_slice(&self.world.boot);
        bytes[24..32].copy_from_slice(&self.world.pid_namespace.to_le_bytes());
        bytes[32..40].copy_from_slice(&u64::from(self.serving).to_le_bytes());
        for (place, note) in bytes[HEAD_BYTES..RECORDS_AT].chunks_exact_mut(NOTE_BYTES).zip(self.notes) {
            place.copy_from_slice(&note.map_or([0; NOTE_BYTES], |note| note.encode()));
        }
        for (place, record) in bytes[RECORDS_AT..].chunks_exact_mut(RECORD_BYTES).zip(self.records) {
            place.copy_from_slice(&record.map_or([0; RECORD_BYTES], encode_record));
        }
        bytes
    }

    /// Reads a book; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Book> {
        let bytes: &[u8; BOOK_BYTES] = bytes.try_into().ok()?;
        let boot = bytes[8..24].try_into().ok()?;
        let mut notes = [None; 3];
        for (note, place) in notes.iter_mut().zip(bytes[HEAD_BYTES..RECORDS_AT].chunks_exact(NOTE_BYTES)) {
            *note = Note::decode(place);
        }
        let mut records = [None; 2];
        for (record, place) in records.iter_mut().zip(bytes[RECORDS_AT..].chunks_exact(RECORD_BYTES)) {
            *record = decode_record(place);
        }
        let world = World { boot, pid_namespace: number(&bytes[24..32]) };
        (bytes.starts_with(FORM)).then_some(Book { world, serving: number(&bytes[32..40]) == 1, notes, records })
    }

    /// Where it was noted.
    pub fn world(&self) -> World {
        self.world
    }

    /// Whether its supervisor was killed in this world: what it noted may still run.
    pub fn was_left_in(&self, world: World) -> bool {
        self.serving && self.world == world
    }

    /// The note of one of them.
    pub fn note(&self, place: Place) -> Option<Note> {
        self.notes[place.index()]
    }

    /// Notes a process of one of them.
    pub fn set_note(&mut self, place: Place, note: Note) {
        self.notes[place.index()] = Some(note);
    }

    /// What was last to be recorded of one of them. Of a hook there is no record.
    pub fn record(&self, place: Place) -> Option<Record> {
        self.records.get(place.index()).copied().flatten()
    }

    /// Notes what is recorded of one of them.
    pub fn set_record(&mut self, place: Place, new: Record) {
        if let Some(record) = self.records.get_mut(place.index()) {
            *record = Some(new);
        }
    }

    /// Whether the end of its last process was dealt with: it was recorded as down after it had begun.
    pub fn has_buried(&self, place: Place) -> bool {
        let is_over = |record: Record, note: Note| record.status.state == State::Down && record.changed >= note.noted;
        self.record(place).is_some_and(|record| self.note(place).is_none_or(|note| is_over(record, note)))
    }

    /// How long ago, at `now` since the kernel started, what `status` tells of changed; `None` where it tells of
    /// something else than what was noted in this world.
    pub fn age(&self, place: Place, status: &Status, world: World, now: Duration) -> Option<Duration> {
        let record = self.record(place).filter(|_| self.was_left_in(world))?;
        let is_it = record.status.encode() == status.encode();
        now.checked_sub(record.changed).filter(|_| is_it)
    }

    /// Its supervisor ended in order.
    pub fn close(&mut self) {
        *self = Book { serving: false, ..Book::new(self.world) };
    }
}

fn encode_record(record: Record) -> [u8; RECORD_BYTES] {
    let Record { status, once, stopping, changed } = record;
    let mut bytes = [0; RECORD_BYTES];
    bytes[..STATUS_BYTES].copy_from_slice(&status.encode());
    let flag = |is_so, bit| if is_so { bit } else { 0 };
    let more = 1 | flag(status.want == Want::Exit, EXIT) | flag(once, ONCE) | flag(stopping, STOPPING);
    bytes[STATUS_BYTES..][..4].copy_from_slice(&more.to_le_bytes()[..4]);
    bytes[STATUS_BYTES + 4..].copy_from_slice(&nanoseconds(changed).to_le_bytes());
    bytes
}

fn decode_record(bytes: &[u8]) -> Option<Record> {
    let (status, rest) = bytes.split_at_checked(STATUS_BYTES)?;
    let (more, changed) = rest.split_at_checked(4)?;
    let (status, more) = (Status::decode(status)?, number(more));
    let want = if more & EXIT == 0 { status.want } else { Want::Exit };
    let changed = Duration::from_nanos(number(changed));
    let (once, stopping) = (more & ONCE != 0, more & STOPPING != 0);
    (more & 1 == 1).then_some(Record { status: Status { want, ..status }, once, stopping, changed })
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Reads up to eight little-endian bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tai::Label;

    const WORLD: World = World { boot: *b"0123456789abcdef", pid_namespace: 0xf000_0001 };
    const TICK: Duration = Duration::from_millis(10);

    fn note() -> Note {
        let (asked, noted) = (Duration::from_nanos(1), Duration::from_nanos(0x1_0000_0002));
        Note { kind: Kind::Run, pid: 258, asked, noted, serial: Some(259) }
    }

    #[test]
    fn a_note_is_32_bytes() {
        let bytes = b"\x01\0\0\0\x02\x01\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x03\x01\0\0\0\0\0\0";
        assert_eq!(note().encode(), *bytes);
        assert_eq!(Note::decode(bytes), Some(note()));
        let unnumbered = Note { serial: None, ..note() };
        assert_eq!(Note::decode(&unnumbered.encode()), Some(unnumbered));
    }

    #[test]
    fn a_book_is_its_head_three_notes_and_two_records() {
        let since = Label::decode(*b"abcdefghijkl");
        let (paused, want, got_term, state) = (false, Want::Exit, true, State::Run);
        let status = Status { since, pid: 258, paused, want, got_term, state };
        let record = Record { status, once: true, stopping: true, changed: Duration::from_nanos(0x102) };
        let mut book = Book::new(WORLD);
        book.set_note(Place::Log, note());
        book.set_record(Place::Log, record);
        let mut wanted = b"homerun10123456789abcdef\x01\0\0\xf0\0\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
        wanted.extend([0; 32]);
        wanted.extend(note().encode());
        wanted.extend([0; 32]);
        wanted.extend([0; 32]);
        wanted.extend(b"abcdefghijkl\x02\x01\0\0\0d\x01\x01\x0f\0\0\0\x02\x01\0\0\0\0\0\0");
        assert_eq!(book.encode(), *wanted);
        assert_eq!(Book::decode(&wanted), Some(book));
        assert_eq!((book.note(Place::Main), book.note(Place::Log)), (None, Some(note())));
        assert_eq!((book.record(Place::Main), book.record(Place::Log)), (None, Some(record)));
    }

    #[test]
    fn what_is_no_book_or_no_note_is_none() {
        let bytes = Book::new(WORLD).encode();
        assert_eq!(Book::decode(&bytes[1..]), None);
        assert_eq!(Book::decode(&[0; BOOK_BYTES]), None);
        for (kind, pid) in [(0, 1), (4, 1), (1, 0), (1, -1)] {
            let mut bytes = note().encode();
            bytes[0] = kind;
            bytes[4..8].copy_from_slice(&i32::to_le_bytes(pid));
            assert_eq!(Note::decode(&bytes), None, "kind {kind}, pid {pid}");
        }
        let torn = Note { asked: Duration::MAX, ..note() };
        assert_eq!(Note::decode(&torn.encode()), None);
    }

    #[test]
    fn a_book_counts_in_its_world_and_until_it_is_closed() {
        let book = Book::new(WORLD);
        assert!(book.was_left_in(WORLD));
        let mut closed = book;
        closed.close();
        assert!(!closed.was_left_in(WORLD), "its supervisor ended in order");
        assert!(!book.was_left_in(World { boot: [0; 16], ..WORLD }), "the machine was started again");
        assert!(!book.was_left_in(World { pid_namespace: 1, ..WORLD }), "that was in another container");
    }

    /// A book of a service that runs since 100 s after the kernel started.
    fn running() -> (Book, Status) {
        let since = Label::of(Duration::from_secs(1_000_000));
        let (paused, want, got_term, state) = (false, Want::Up, false, State::Run);
        let status = Status { since, pid: 258, paused, want, got_term, state };
        let changed = Duration::from_secs(100);
        let note = Note { asked: changed, noted: changed, ..note() };
        let record = Record { status, once: false, stopping: false, changed };
        let mut book = Book::new(WORLD);
        book.set_note(Place::Main, note);
        book.set_record(Place::Main, record);
        (book, status)
    }

    #[test]
    fn an_age_does_not_depend_on_the_clock_and_is_that_of_the_record_that_was_noted() {
        let (book, status) = running();
        let age = |status: &Status, world: World, now: u64| {
            book.age(Place::Main, status, world, Duration::from_secs(now)).map(|age| age.as_secs())
        };
        assert_eq!(age(&status, WORLD, 107), Some(7));
        assert_eq!(age(&status, WORLD, 99), None, "that is another clock");
        assert_eq!(age(&status, World { boot: [0; 16], ..WORLD }, 107), None, "that was before the machine started");
        let later = Status { since: Label::of(Duration::from_secs(1_000_001)), ..status };
        assert_eq!(age(&later, WORLD, 107), None, "another supervisor wrote it");
        let mut closed = book;
        closed.close();
        assert_eq!(closed.age(Place::Main, &status, WORLD, Duration::from_secs(107)), None);
    }

    #[test]
    fn an_end_has_been_dealt_with_once_it_is_down_after_it_began() {
        let (book, status) = running();
        let down = |changed: u64| {
            let status = Status { pid: 0, state: State::Down, ..status };
            let mut book = book;
            book.set_record(
                Place::Main,
                Record { status, once: false, stopping: false, changed: Duration::from_secs(changed) },
            );
            book
        };
        assert!(!book.has_buried(Place::Main));
        assert!(down(101).has_buried(Place::Main));
        assert!(!down(99).has_buried(Place::Main), "it was down before it began");
    }

    #[test]
    fn a_process_that_got_the_pid_later_or_had_it_before_is_another() {
        let note = Note { asked: 100 * TICK, noted: 102 * TICK + TICK / 2, ..note() };
        for (made, is_it) in [(98, false), (99, false), (100, true), (102, true), (103, false), (1000, false)] {
            assert_eq!(note.is_of_one_made(made * TICK, TICK), is_it, "made at tick {made}");
        }
    }
}
