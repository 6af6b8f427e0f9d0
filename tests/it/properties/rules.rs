//! What holds of the rules in `src/model` for any input at all, one function for each format.
//!
//! `cargo test` checks them with invented input (`tests/it/properties`), the fuzz targets (`tests/fuzz`) with input that
//! is led by what the code does. A function returns when all is well and panics when it is not. Where there is an
//! answer to compare with, it is worked out another way than the rule does.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddrV4;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::time::{Duration, Instant};

use homerun::model::control::Control;
use homerun::model::envdir;
use homerun::model::ids::{self, Ids};
use homerun::model::leftovers::{self, Fate, Left};
use homerun::model::line::{Cutter, Part, Replace, first_line};
use homerun::model::logconfig::{Complaint, Config};
use homerun::model::pair::{Joint, Pair, Who, control_event};
use homerun::model::pattern::{Pattern, Rule, Selection, Verdict, select};
use homerun::model::rotation::{End, Limits, Size, Step};
use homerun::model::service::{Action, Death, Event, Hooked, Role, Service};
use homerun::model::stamp::{Form, Stamper};
use homerun::model::status::{State, Status, Want};

/// The status record: 20 bytes are one, nothing else is, and what is written is what was read.
pub fn status(bytes: &[u8]) {
    let Some(status) = Status::decode(bytes) else {
        assert_ne!(bytes.len(), 20);
        return;
    };
    let mut canonical: [u8; 20] = bytes.try_into().expect("only 20 bytes are a record");
    canonical[16] = canonical[16].min(1);
    canonical[17] = if canonical[17] == b'u' { b'u' } else { b'd' };
    canonical[18] = canonical[18].min(1);
    assert_eq!(status.encode(), canonical);
    assert_eq!(Status::decode(&canonical), Some(status));

    let mut stat = vec![["down", "run", "finish"].get(usize::from(bytes[19])).copied().unwrap_or("")];
    stat.extend((bytes[16] != 0).then_some("paused"));
    stat.extend((bytes[18] != 0).then_some("got TERM"));
    stat.extend((bytes[17] != b'u' && status.state != State::Down).then_some("want down"));
    assert_eq!(status.stat().as_bytes(), format!("{}\n", stat.join(", ")).as_bytes());
    let pid = if status.pid == 0 { String::new() } else { format!("{}\n", status.pid.unsigned_abs()) };
    assert_eq!(status.pid_line().as_bytes(), pid.as_bytes());
    assert!(status.since.since_1970() >= Duration::from_secs(status.since.unix_seconds()));
}

/// A file of an environment directory, read into an environment that has the variable already.
pub fn envdir(file_name: &[u8], content: &[u8]) {
    let file_name = OsStr::from_bytes(file_name);
    let setting = envdir::setting(file_name, content);

    let mut line: Vec<u8> = content.iter().copied().take_while(|byte| *byte != b'\n').collect();
    while line.ends_with(b" ") || line.ends_with(b"\t") {
        line.pop();
    }
    line.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b'\n');
    // The original puts NAME, `=` and the value into one entry; where that entry is cut is where its first `=` is.
    let mut entry = file_name.as_bytes().to_vec();
    if !content.is_empty() {
        entry.push(b'=');
        entry.extend(&line);
    }
    let mut parts = entry.splitn(2, |byte| *byte == b'=');
    let (name, value) = (parts.next().expect("there is a first part"), parts.next());
    assert_eq!(setting.name.as_bytes(), name);
    assert_eq!(setting.value.as_deref().map(OsStr::as_bytes), value);
    if !file_name.as_bytes().contains(&0) {
        assert!(value.is_none_or(|value| !value.contains(&0)), "the system takes no such value");
    }

    let other = OsString::from("OTHER\u{1}=kept");
    let mut environment = vec![[name, b"=before"].concat(), other.as_bytes().to_vec(), [name, b"=twice"].concat()]
        .into_iter()
        .map(OsString::from_vec)
        .collect();
    envdir::apply(&mut environment, std::slice::from_ref(&setting));
    let mut expected = vec![other];
    expected.retain(|entry| !entry.as_bytes().starts_with(&[name, b"="].concat()));
    expected.extend(value.map(|value| OsString::from_vec([name, b"=", value].concat())));
    assert_eq!(environment, expected);
}

/// The argument of `chpst -u`: an id is what is written, and 0 only where 0 is written.
pub fn ids(text: &[u8]) {
    let parsed = ids::parse(OsStr::from_bytes(text));
    let Some(numbers) = text.strip_prefix(b":") else {
        let parts: Vec<&[u8]> = text.split(|byte| *byte == b':').collect();
        if parts.iter().any(|part| part.is_empty()) {
            assert_eq!(parsed, Err(ids::Invalid::Name));
        } else {
            let groups = parts[1..].iter().map(|part| OsStr::from_bytes(part).to_owned()).collect();
            assert_eq!(parsed, Ok(Ids::Names { user: OsStr::from_bytes(parts[0]).to_owned(), groups }));
        }
        return;
    };
    let numbers: Vec<Option<u32>> = numbers.split(|byte| *byte == b':').map(id).collect();
    match numbers.into_iter().collect::<Option<Vec<u32>>>().as_deref() {
        Some([uid, groups @ ..]) if !groups.is_empty() => {
            assert_eq!(parsed, Ok(Ids::Numbers { uid: *uid, gid: groups[0], groups: groups.to_vec() }));
        }
        _ => assert_eq!(parsed, Err(ids::Invalid::Number)),
    }
}

/// A number that can be an id, worked out from its digits as text.
fn id(digits: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.chars().all(|char| char.is_ascii_digit()))?;
    let significant = text.trim_start_matches('0');
    match (text, significant) {
        ("", _) => None,
        (_, "") => Some(0),
        _ => significant.parse().ok().filter(|id| *id < u32::MAX),
    }
}

/// svlogd's `config`: every file is one, and of each directive the last line counts.
pub fn config(file: &[u8]) {
    let (config, complaints) = Config::parse(file);
    let mut lines: Vec<&[u8]> = file.split(|byte| *byte == b'\n').collect();
    // What follows the last newline is a line unless it has one byte.
    if lines.last().is_some_and(|line| line.len() == 1) {
        lines.pop();
    }
    let all = |letters: &'static [u8]| {
        let lines = lines.iter().filter(move |line| line.first().is_some_and(|first| letters.contains(first)));
        lines.map(|line| (line[0], line[1..].split(|byte| *byte == 0).next().unwrap_or_default()))
    };
    let last = |letter: &'static [u8]| all(letter).next_back().map(|(_, argument)| argument);
    let last_of_any = |letter: &'static [u8]| all(letter).map(|(_, text)| text).rfind(|text| !text.is_empty());
    assert_eq!(config.max_bytes, last(b"s").map_or(1_000_000, |text| amount(text, &[("k", 1 << 10), ("m", 1 << 20)])));
    assert_eq!(config.keep, last(b"n").map_or(10, |text| amount(text, &[])));
    assert_eq!(config.keep_when_full, last(b"N").map_or(10, |text| amount(text, &[])));
    let age = last(b"t").map_or(0, |text| amount(text, &[("m", 60), ("h", 3600)]));
    assert_eq!(config.max_age, (age > 0).then(|| Duration::from_secs(age)));
    assert_eq!(config.processor.as_deref(), last_of_any(b"!"));
    assert_eq!(config.prefix, last_of_any(b"p").unwrap_or_default());
    assert_eq!(config.to_file, all(b"U").next().is_none());
    let addresses: Vec<Result<SocketAddrV4, Complaint>> = all(b"uU").map(|(_, text)| address(text)).collect();
    assert_eq!(config.udp, addresses.iter().filter_map(|address| address.clone().ok()).next_back());
    assert_eq!(complaints, addresses.into_iter().filter_map(Result::err).collect::<Vec<_>>());
    let rules: Vec<Rule> = all(b"+-eE").map(|(letter, text)| rule(letter, text)).collect();
    assert_eq!(config.rules, rules);
}

fn rule(letter: u8, text: &[u8]) -> Rule {
    let verdict = match letter {
        b'+' => Verdict::Log,
        b'-' => Verdict::DoNotLog,
        b'e' => Verdict::Alert,
        _ => Verdict::DoNotAlert,
    };
    Rule { verdict, pattern: Pattern::new(text) }
}

/// The number before the first other byte, with its unit; 0 without digits, the largest when too large.
fn amount(text: &[u8], units: &[(&str, u128)]) -> u64 {
    let text = String::from_utf8_lossy(text);
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let unit = units.iter().find(|(letter, _)| text[end..].starts_with(letter)).map_or(1, |(_, unit)| *unit);
    let value = match text[..end].trim_start_matches('0') {
        "" => 0,
        digits => digits.parse::<u64>().map_or(u128::from(u64::MAX), u128::from),
    };
    u64::try_from(value * unit).unwrap_or(u64::MAX)
}

/// An address with a port: four numbers with points between, and a fifth after a colon. What follows is left alone.
fn address(text: &[u8]) -> Result<SocketAddrV4, Complaint> {
    // Bytes that are no ASCII are no part of an address: one that stands for them all will do.
    let shown: String = text.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let mut rest = shown.as_str();
    let mut octets = [0; 4];
    for (octet, before) in octets.iter_mut().zip(["", ".", ".", "."]) {
        let part = rest.strip_prefix(before).filter(|part| part.starts_with(|char: char| char.is_ascii_digit()));
        let value = part.and_then(|part| u8::try_from(amount(part.as_bytes(), &[])).ok());
        let (Some(part), Some(value)) = (part, value) else { return Err(Complaint::Address(text.to_vec())) };
        *octet = value;
        rest = part.trim_start_matches(|char: char| char.is_ascii_digit());
    }
    let port = rest.strip_prefix(':').map_or(Ok(514), |port| {
        let value = u16::try_from(amount(port.as_bytes(), &[])).ok().filter(|port| *port > 0);
        value.ok_or_else(|| Complaint::Port(text[text.len() - port.len()..].to_vec()))
    })?;
    Ok(SocketAddrV4::new(octets.into(), port))
}

/// A pattern and a line: the answer is that of a matcher which follows the manual page, step by step. What `rules` say
/// of the line is what the last that matches says.
pub fn pattern(pattern: &[u8], line: &[u8]) {
    assert_eq!(Pattern::new(pattern).matches(line), matches(pattern, line));
    assert!(Pattern::new(b"*").matches(line));

    let texts: Vec<&[u8]> = pattern.split(|byte| *byte == b'|').collect();
    let letters = b"+-eE".iter().copied().cycle();
    let rules: Vec<Rule> = letters.zip(&texts).map(|(letter, text)| rule(letter, text)).collect();
    let said = |yes, no| {
        let of_these = rules.iter().rev().zip(texts.iter().rev());
        let mut matching = of_these.filter(|(rule, text)| [yes, no].contains(&rule.verdict) && matches(text, line));
        matching.next().map(|(rule, _)| rule.verdict == yes)
    };
    let log = said(Verdict::Log, Verdict::DoNotLog).unwrap_or(true);
    let alert = said(Verdict::Alert, Verdict::DoNotAlert).unwrap_or(false);
    assert_eq!(select(&rules, line), Selection { log, alert });
}

fn matches(pattern: &[u8], line: &[u8]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return line.is_empty() };
    match (first, rest.first()) {
        (b'*', None) => true,
        (b'*', Some(wanted)) => {
            let before = line.split(|byte| byte == wanted).next().map_or(0, <[u8]>::len);
            before < line.len() && matches(rest, &line[before..])
        }
        (b'+', None) => line.is_empty(),
        (b'+', Some(repeated)) => match line.strip_prefix(&[*repeated]) {
            None => false,
            Some([]) => true,
            // Another one: still the same run. Anything else: after it.
            Some(after) if after[0] == *repeated => matches(pattern, after),
            Some(after) => matches(&rest[1..], after),
        },
        (byte, _) => line.first() == Some(byte) && matches(rest, &line[1..]),
    }
}

/// A stream in blocks that end anywhere (`cuts` are their sizes, over and over): the lines are those of the whole
/// stream, none is lost, each is stamped once, at the moment of its first byte. Then into files of `max_bytes`.
pub fn lines(stream: &[u8], cuts: &[u8], max_head: usize, replace: Option<(u8, Vec<u8>)>, max_bytes: u64) {
    let (whole, _) = cut(stream, &[], max_head, replace.as_ref());
    let (pieces, began) = cut(stream, cuts, max_head, replace.as_ref());
    assert_eq!(pieces, whole, "it matters where the blocks end");

    let max_head = max_head.max(1);
    let mut expected: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
    let ended = if stream.is_empty() || stream.ends_with(b"\n") { stream.to_vec() } else { [stream, b"\n"].concat() };
    for line in ended.split_inclusive(|byte| *byte == b'\n') {
        let text = &line[..line.len() - 1];
        let head = text[..text.len().min(max_head)].iter().map(|byte| match &replace {
            Some((with, also)) if !(b' '..=b'~').contains(byte) || also.contains(byte) => *with,
            _ => *byte,
        });
        let rest = (text.len() >= max_head).then(|| line[max_head..].to_vec());
        expected.push((head.collect(), rest));
    }
    assert_eq!(pieces, expected);

    let mut moments = Vec::new();
    let mut at_start = true;
    for (number, block) in (1..).zip(blocks(stream, cuts)) {
        for byte in block {
            if at_start {
                moments.push(Duration::from_secs(number));
            }
            at_start = *byte == b'\n';
        }
    }
    assert_eq!(began, moments, "when lines began");

    rotation(&ended, cuts, max_head as u64, max_bytes);

    let limits = Limits { max_bytes, line_bytes: max_head as u64 };
    let in_pieces = written(stream, cuts, limits, Way::Pieces, None);
    assert_eq!(in_pieces.concat(), ended);
    assert_eq!(
        written(stream, cuts, limits, Way::AtOnce, None),
        in_pieces,
        "it matters whether lines are taken at once"
    );
    assert_eq!(written(stream, cuts, limits, Way::Lines, None), in_pieces, "it matters whether lines are taken whole");
    let in_pieces = written(stream, cuts, limits, Way::Pieces, Some(Form::Label));
    assert_eq!(written(stream, cuts, limits, Way::Lines, Some(Form::Label)), in_pieces, "their stamps are others");
}

/// How lines are taken that need not be looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Pieces,
    /// Whole, where they are no longer than a head.
    Lines,
    AtOnce,
}

/// The files that a stream becomes.
fn written(stream: &[u8], cuts: &[u8], limits: Limits, way: Way, form: Option<Form>) -> Vec<Vec<u8>> {
    let mut files = vec![Vec::new()];
    let mut waiting = Vec::new();
    let max_head = usize::try_from(limits.line_bytes).expect("a small number");
    let mut cutter = Cutter::new(max_head, None);
    let mut stamper = Stamper::new(form);
    let mut put = |waiting: &mut Vec<u8>, part: Part, text: &[u8], began: Duration| {
        waiting.extend(stamper.before(began).filter(|_| part != Part::Rest).into_iter().flatten());
        waiting.extend(text);
        waiting.extend((part == Part::Whole).then_some(b'\n'));
    };
    for (number, mut block) in (1..).zip(blocks(stream, cuts)) {
        let now = Duration::from_secs(number);
        while !block.is_empty() {
            let lines = if way == Way::Pieces { 0 } else { cutter.whole_lines(block) };
            let line = first_line(&block[..lines]);
            if lines > 0 && way == Way::AtOnce {
                write(&mut files, &mut waiting, limits);
                write(&mut files, &mut block[..lines].to_vec(), limits);
                block = &block[lines..];
                continue;
            }
            if (1..=max_head).contains(&line.len()) && way == Way::Lines {
                put(&mut waiting, Part::Whole, &line[..line.len() - 1], now);
                block = &block[line.len()..];
                continue;
            }
            let (taken, piece) = cutter.next(block, now);
            if let Some(piece) = piece {
                put(&mut waiting, piece.part, piece.text, piece.began);
            }
            block = &block[taken..];
        }
        write(&mut files, &mut waiting, limits);
    }
    if let Some(piece) = cutter.finish() {
        put(&mut waiting, piece.part, piece.text, piece.began);
    }
    write(&mut files, &mut waiting, limits);
    files
}

/// Writes what waits, the way svlogd does.
fn write(files: &mut Vec<Vec<u8>>, waiting: &mut Vec<u8>, limits: Limits) {
    loop {
        let file = files.last_mut().expect("there is always a file");
        let size = Size { bytes: 0, end: End::Found }.after(file);
        let step = limits.next(size, waiting);
        assert_eq!(step, next_step(limits, size, waiting), "{limits:?} {size:?} {waiting:?}");
        match step {
            Step::Write(count) => file.extend(waiting.drain(..count)),
            Step::Rotate => files.push(Vec::new()),
            Step::Rest => return,
        }
    }
}

/// [`Limits::next`], worked out line by line.
fn next_step(Limits { max_bytes, line_bytes }: Limits, size: Size, waiting: &[u8]) -> Step {
    let full_at = if line_bytes <= max_bytes { (max_bytes - line_bytes).max(1) } else { max_bytes };
    let mut file = size;
    for line in waiting.split_inclusive(|byte| *byte == b'\n') {
        let (length, room) = (line.len() as u64, max_bytes.saturating_sub(file.bytes));
        let is_full = room == 0 || (file.bytes >= full_at && file.end == End::Line);
        let is_better_alone = length > room && length <= max_bytes && file.bytes > 0 && file.end != End::WithinLine;
        if max_bytes > 0 && (is_full || is_better_alone) {
            break;
        }
        if max_bytes > 0 && length > room {
            file = file.after(&line[..usize::try_from(room).expect("a small number")]);
            break;
        }
        file = file.after(line);
    }
    let may_rotate = max_bytes > 0 && line_bytes <= max_bytes && size.bytes >= full_at && size.end == End::Line;
    match usize::try_from(file.bytes - size.bytes).expect("a small number") {
        0 if !waiting.is_empty() || may_rotate => Step::Rotate,
        0 => Step::Rest,
        count => Step::Write(count),
    }
}

/// The blocks of a stream.
fn blocks<'a>(mut stream: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut sizes = cuts.iter().map(|size| usize::from(*size).max(1)).cycle();
    let mut blocks = Vec::new();
    while !stream.is_empty() {
        let (block, rest) = stream.split_at(sizes.next().unwrap_or(stream.len()).min(stream.len()));
        blocks.push(block);
        stream = rest;
    }
    blocks
}

/// Every line as its head and, for a long one, its rest; and when it began, block by block.
type Lines = (Vec<(Vec<u8>, Option<Vec<u8>>)>, Vec<Duration>);

fn cut(stream: &[u8], cuts: &[u8], max_head: usize, replace: Option<&(u8, Vec<u8>)>) -> Lines {
    let replace = replace.map(|(with, also)| Replace { with: *with, also: also.clone() });
    let mut cutter = Cutter::new(max_head, replace);
    let mut lines = Vec::new();
    let mut began = Vec::new();
    for (number, mut block) in (1..).zip(blocks(stream, cuts)) {
        while !block.is_empty() {
            let (taken, piece) = cutter.next(block, Duration::from_secs(number));
            let has_piece = piece.is_some();
            if let Some(piece) = piece {
                put(&mut lines, &mut began, piece.part, piece.text, piece.began);
            }
            assert!(has_piece || taken == block.len(), "without a piece all is taken");
            assert!(has_piece || taken > 0, "it goes on");
            block = &block[taken..];
        }
        assert!(cutter.held() <= max_head.max(1));
    }
    if let Some(piece) = cutter.finish() {
        put(&mut lines, &mut began, piece.part, piece.text, piece.began);
    }
    assert_eq!(cutter.finish(), None);
    (lines, began)
}

fn put(
    lines: &mut Vec<(Vec<u8>, Option<Vec<u8>>)>,
    began: &mut Vec<Duration>,
    part: Part,
    text: &[u8],
    moment: Duration,
) {
    match part {
        Part::Whole => lines.push((text.to_vec(), None)),
        Part::Head => lines.push((text.to_vec(), Some(Vec::new()))),
        Part::Rest => {
            let rest = lines.last_mut().and_then(|(_, rest)| rest.as_mut()).expect("a rest follows a head");
            rest.extend(text);
            return;
        }
    }
    began.push(moment);
}

/// Writes `text` block by block into files: none is larger than it may be, and together they are the text.
fn rotation(text: &[u8], cuts: &[u8], line_bytes: u64, max_bytes: u64) {
    let limits = Limits { max_bytes, line_bytes };
    let mut files: Vec<Vec<u8>> = vec![Vec::new()];
    let mut waiting = Vec::new();
    for block in blocks(text, cuts) {
        waiting.extend(block);
        loop {
            let file = files.last_mut().expect("there is always a file");
            let size = Size { bytes: 0, end: End::Found }.after(file);
            match limits.next(size, &waiting) {
                Step::Write(count) => {
                    assert!(count > 0);
                    file.extend(waiting.drain(..count));
                }
                Step::Rotate => {
                    assert!(!file.is_empty(), "an empty file is not rotated");
                    files.push(Vec::new());
                }
                Step::Rest => break,
            }
        }
        assert!(waiting.is_empty(), "bytes wait for nothing");
    }
    assert_eq!(files.concat(), text);
    let largest = files.iter().map(Vec::len).max().unwrap_or_default() as u64;
    assert!(max_bytes == 0 || largest <= max_bytes, "a file of {largest} bytes");
}

/// The control stream: a byte means one thing or nothing; whenever it is read and however long hooks take, what was
/// asked for happens, in that order; and no events in any order start a process twice or keep a supervisor for ever.
pub fn control(stream: &[u8], world: &[u8]) {
    for byte in stream {
        assert_eq!(Control::from_byte(*byte).map(Control::byte).unwrap_or(*byte), *byte);
        assert_eq!(Control::from_byte(*byte).is_some(), b"udoxtkpchaiq12".contains(byte));
    }
    // `k` does not wait for a hook: what is in its way is lost on purpose.
    let calm = stream.split(|byte| *byte == b'k').next().unwrap_or_default();
    let prompt = serve(calm, &[]);
    assert_eq!(serve(calm, world), prompt, "it matters when bytes are read");
    let known: Vec<u8> = calm.iter().copied().filter(|byte| Control::from_byte(*byte).is_some()).collect();
    assert_eq!(serve(&known, world), prompt, "bytes without a meaning matter");
    let want = known.iter().rev().find_map(|byte| match byte {
        b'u' => Some(Want::Up),
        b'd' | b'o' => Some(Want::Down),
        b'x' => Some(Want::Exit),
        _ => None,
    });
    assert_eq!(prompt.1.want, want.unwrap_or(Want::Up));
    muddle(stream, world);
}

/// What a running service, whose process takes everything, is sent for `stream`, and its record then. `slow` tells
/// after each byte whether the hook that runs says (there is no such hook, after all) that it ended.
fn serve(stream: &[u8], slow: &[u8]) -> (Vec<Action>, Status) {
    let now = Instant::now();
    let mut signals = Vec::new();
    let mut service = Service::new(Role::Main, true);
    let mut hook = false;
    let mut step = |service: &mut Service, hook: &mut bool, event| {
        let mut event = Some(event);
        while let Some(actions) = event.take().map(|event| service.step(event, now)) {
            for action in actions.iter() {
                match action {
                    Action::Hook(_) => *hook = true,
                    Action::LookForLeftovers => event = Some(Event::Left(None)),
                    Action::Kill(_) => signals.push(action),
                    _ => {}
                }
            }
        }
    };
    step(&mut service, &mut hook, Event::Tick);
    let mut answers = slow.iter().map(|byte| byte % 2 == 0).cycle();
    let mut bytes: VecDeque<u8> = stream.iter().copied().collect();
    // The hook before the start is answered first: a command that arrives before it is another matter.
    let mut answer = true;
    loop {
        while hook && (answer || bytes.is_empty() || !service.takes_commands()) {
            hook = false;
            step(&mut service, &mut hook, Event::HookEnded(Hooked::Absent));
            answer = answers.next().unwrap_or(true);
        }
        let Some(byte) = bytes.pop_front() else { break };
        if let Some(event) = control_event(byte) {
            step(&mut service, &mut hook, event);
        }
        answer = answers.next().unwrap_or(true);
    }
    let status = Status::decode(&[0; 20]).expect("20 bytes are a record");
    (signals, service.record(status.since, 1))
}

/// A supervisor's loop in an invented world, where `world` tells what happens next.
struct Muddle {
    pair: Pair,
    now: Instant,
    processes: [bool; 2],
    hook: bool,
    no_processes: bool,
    /// What the service left behind, and that does not end.
    left: Option<Left>,
    done: bool,
}

fn muddle(stream: &[u8], world: &[u8]) {
    let has_log = world.first().is_some_and(|byte| byte % 2 == 0);
    let pair = Pair::new(!world.len().is_multiple_of(3), has_log.then_some(!world.len().is_multiple_of(5)));
    let now = Instant::now();
    let mut it = Muddle { pair, now, processes: [false; 2], hook: false, no_processes: false, left: None, done: false };
    let mut bytes = stream.iter();
    it.tick();
    for what in world {
        match what % 8 {
            0 | 1 => it.obey(Who::Main, bytes.next()),
            2 => it.obey(Who::Log, bytes.next()),
            3 => it.die(Who::Main, death(*what), what & 8 != 0),
            4 => it.die(Who::Log, death(*what), false),
            5 => it.end_hook(*what),
            6 => it.now += Duration::from_millis(u64::from(what / 8) * 100),
            _ if what & 16 != 0 => it.leave(what / 32),
            _ => it.no_processes = what & 8 != 0,
        }
        if what % 8 > 5 {
            it.tick();
        }
        it.settle();
        if it.done {
            return;
        }
    }
    // Now it is told to exit, and everything ends when it should.
    it.no_processes = false;
    while it.hook && !it.pair.get(Who::Main).is_some_and(Service::takes_commands) {
        it.end_hook(0);
    }
    it.obey(Who::Main, Some(&b'x'));
    for _ in 0..1000 {
        it.settle();
        if it.done {
            return;
        }
        it.end_hook(0);
        it.die(Who::Main, Death::Exited(0), false);
        it.die(Who::Log, Death::Exited(0), false);
        it.now = it.pair.deadline().unwrap_or(it.now).max(it.now);
        it.tick();
    }
    panic!("the supervisor goes on for ever: {:?}", it.pair);
}

fn death(what: u8) -> Death {
    match what / 16 {
        0..=7 => Death::Exited(what / 16),
        8..=14 => Death::Killed { signal: what / 16, core: false },
        _ => Death::Unseen,
    }
}

impl Muddle {
    fn obey(&mut self, who: Who, byte: Option<&u8>) {
        let takes = self.pair.get(who).is_some_and(Service::takes_commands);
        if let Some(event) = byte.copied().filter(|_| takes).and_then(control_event) {
            self.apply(who, event);
        }
    }

    fn die(&mut self, who: Who, death: Death, has_finish: bool) {
        if std::mem::take(&mut self.processes[who as usize]) {
            self.apply(who, Event::Died { death, has_finish });
        }
    }

    /// Something is left behind, or ends that was.
    fn leave(&mut self, what: u8) {
        let rule = [None, Some(leftovers::Rule::End), Some(leftovers::Rule::Wait), Some(leftovers::Rule::Keep)]
            [usize::from(what % 4)];
        if self.left.take().is_some() {
            self.apply(Who::Main, Event::LeftoverEnded);
        } else if self.processes[0] {
            self.left = Some(Left { rule, patience: Duration::from_secs(1) });
        }
    }

    fn end_hook(&mut self, what: u8) {
        if std::mem::take(&mut self.hook) {
            let outcome = if what & 8 == 0 { Hooked::Refused } else { Hooked::Done };
            self.apply(Who::Main, Event::HookEnded(outcome));
        }
    }

    fn tick(&mut self) {
        self.apply(Who::Log, Event::Tick);
        self.apply(Who::Main, Event::Tick);
    }

    fn settle(&mut self) {
        loop {
            match self.pair.settle(self.now) {
                None => return,
                Some(Joint::Quit) => {
                    assert_eq!(self.processes, [false; 2], "it leaves a process behind");
                    let may_leave = self.left.is_none_or(|left| left.rule == Some(leftovers::Rule::Keep));
                    assert!(may_leave, "it leaves something behind: {:?}", self.pair);
                    self.done = true;
                    return;
                }
                Some(Joint::CloseInput) => self.apply(Who::Log, Event::InputEnded),
                Some(Joint::ReopenInput) => {
                    self.pair = self.pair.reopened();
                    self.tick();
                }
            }
        }
    }

    fn apply(&mut self, who: Who, event: Event) {
        let actions = self.pair.step(who, event, self.now);
        for action in actions.iter() {
            let answer = match action {
                Action::Start | Action::StartFinish(_) => {
                    assert!(!self.processes[who as usize], "a second process beside the first: {:?}", self.pair);
                    let is_in_the_way =
                        |left: Left| matches!(left.rule, Some(leftovers::Rule::End | leftovers::Rule::Wait));
                    let may_start = who == Who::Log || action != Action::Start || !self.left.is_some_and(is_in_the_way);
                    assert!(may_start, "a start beside what is left: {:?}", self.pair);
                    self.processes[who as usize] = !self.no_processes;
                    self.no_processes.then_some(Event::NotStarted)
                }
                Action::Hook(_) if who == Who::Log => Some(Event::HookEnded(Hooked::Absent)),
                Action::LookForLeftovers => Some(Event::Left(self.left)),
                Action::NameLeftovers(Fate::GivenUp) => {
                    self.left = None;
                    None
                }
                Action::Hook(_) => {
                    assert!(!self.hook, "a second hook beside the first: {:?}", self.pair);
                    self.hook = true;
                    None
                }
                _ => None,
            };
            if let Some(answer) = answer {
                self.apply(who, answer);
                if answer == Event::NotStarted {
                    return;
                }
            }
        }
    }
}
