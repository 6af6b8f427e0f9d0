//! Options, usage errors and help, in the manner of the original.
//!
//! The rules are POSIX's: options end at the first operand, `--` ends them and is dropped, a lone `-` is an
//! operand, letters cluster, and an option's argument may stand apart and begin with a dash. Source: runit 2.3.0,
//! src/sgetopt.c.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use crate::msg;
use crate::sys::start;

/// All went well.
pub const EXIT_SUCCESS: u8 = 0;
/// What was asked for could not be written.
const EXIT_UNWRITTEN: u8 = 1;

/// What a program takes, and what `--help` says of it.
#[derive(Clone, Copy, Debug)]
pub struct Synopsis {
    /// The program, whose page is in section 8.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// What follows its name in the line of `--help` on its usage.
    pub usage: &'static str,
    /// Options and operands, under headings.
    pub groups: &'static [(&'static str, &'static [Arg])],
}

/// An option or an operand.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    /// What programs ask for it by; a long option is spelled so.
    id: &'static str,
    kind: Kind,
    /// What its value is called, if it takes one.
    value: Option<&'static str>,
    help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Letter(u8),
    Long,
    Operand,
}

/// Every program's `--version`. It has no letter: letters are the original's.
pub const VERSION: Arg = Arg::long("version", "Print the version");
/// Every program's `--help`, likewise.
pub const HELP: Arg = Arg::long("help", "Print this help");

impl Arg {
    /// An option that is a letter.
    pub const fn flag(letter: u8, id: &'static str, help: &'static str) -> Arg {
        Arg { id, kind: Kind::Letter(letter), value: None, help }
    }

    /// An option that is a letter with a value.
    pub const fn value(letter: u8, id: &'static str, value: &'static str, help: &'static str) -> Arg {
        Arg { id, kind: Kind::Letter(letter), value: Some(value), help }
    }

    /// `--id`.
    pub const fn long(id: &'static str, help: &'static str) -> Arg {
        Arg { id, kind: Kind::Long, value: None, help }
    }

    /// `--id value`, or `--id=value`.
    pub const fn long_value(id: &'static str, value: &'static str, help: &'static str) -> Arg {
        Arg { id, kind: Kind::Long, value: Some(value), help }
    }

    /// What is no option: only for the help. A newline in `help` begins another line of it.
    pub const fn operand(id: &'static str, help: &'static str) -> Arg {
        Arg { id, kind: Kind::Operand, value: None, help }
    }

    /// As `--help` shows it.
    fn spelling(&self) -> String {
        let value = self.value.map(|value| format!(" {value}")).unwrap_or_default();
        match self.kind {
            Kind::Letter(letter) => format!("-{}{value}", char::from(letter)),
            Kind::Long => format!("--{}{value}", self.id),
            Kind::Operand => self.id.to_owned(),
        }
    }
}

impl Synopsis {
    /// The options alone, of a program without help.
    pub const fn bare(groups: &'static [(&'static str, &'static [Arg])]) -> Synopsis {
        Synopsis { name: "", about: "", usage: "", groups }
    }

    fn find(&self, is_it: impl Fn(&Arg) -> bool) -> Option<&'static Arg> {
        self.groups.iter().flat_map(|(_, words)| words.iter()).find(|word| is_it(word))
    }

    fn help(&self) -> String {
        let mut text = format!("{}\n\nUsage: {} {}\n", self.about, self.name, self.usage);
        for (heading, words) in self.groups {
            let spellings: Vec<String> = words.iter().map(Arg::spelling).collect();
            let width = spellings.iter().map(String::len).max().unwrap_or_default();
            text += &format!("\n{heading}:\n");
            for (word, spelling) in words.iter().zip(spellings) {
                let help = word.help.replace('\n', &format!("\n  {:width$}  ", ""));
                text += &format!("  {spelling:width$}  {help}\n");
            }
        }
        text + &format!("\nSee {}(8).\n", self.name)
    }
}

/// What was given: options in their order, and operands as they were typed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Given {
    options: Vec<(&'static str, OsString)>,
    /// The rest, byte for byte.
    pub operands: Vec<OsString>,
}

impl Given {
    /// How often the option was given.
    pub fn count(&self, id: &str) -> usize {
        self.options.iter().filter(|(given, _)| *given == id).count()
    }

    /// Whether the option was given.
    pub fn has(&self, id: &str) -> bool {
        self.last(id).is_some()
    }

    /// The value of the option: the last one counts.
    pub fn value(&self, id: &str) -> Option<&OsStr> {
        self.last(id).map(|(_, value)| value)
    }

    /// The option's last place among all that were given, and its value there.
    pub fn last(&self, id: &str) -> Option<(usize, &OsStr)> {
        self.all(id).last()
    }

    /// Every place of the option among all that were given, and its values there.
    pub fn all(&self, id: &str) -> impl Iterator<Item = (usize, &OsStr)> {
        let numbered = self.options.iter().enumerate();
        numbered.filter(move |(_, (given, _))| *given == id).map(|(place, (_, value))| (place, value.as_os_str()))
    }
}

/// Why options could not be read on to their end.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// What to say about them.
    Wrong(Vec<u8>),
    /// The help was asked for.
    Help,
    /// The version was asked for.
    Version,
}

impl Stop {
    fn wrong(complaint: &str, option: &[u8]) -> Stop {
        Stop::Wrong(msg::join(&[complaint.as_bytes(), b" -- ", option]))
    }

    fn illegal(option: &[u8]) -> Stop {
        Stop::wrong("illegal option", option)
    }

    fn without_value(option: &[u8]) -> Stop {
        Stop::wrong("option requires an argument", option)
    }
}

/// How a program is used: what its usage line says and the exit code that goes with it.
#[derive(Clone, Debug)]
pub struct Usage {
    program: OsString,
    called_as: OsString,
    arguments: &'static str,
    exit: u8,
}

impl Usage {
    /// `usage: PROGRAM ARGUMENTS`, with the exit code of the manual.
    pub fn new(program: impl Into<OsString>, arguments: &'static str, exit: u8) -> Usage {
        let program = program.into();
        Usage { called_as: base_name(&program).to_owned(), program, arguments, exit }
    }

    /// A name of its own for complaints about options, where the usage line has another.
    pub fn complaining_as(self, name: impl Into<OsString>) -> Usage {
        Usage { called_as: name.into(), ..self }
    }

    /// Prints the usage line and the empty line that follows it, and gives the exit code.
    pub fn fail(&self) -> u8 {
        msg::to_stderr(&msg::join(&[b"usage: ", self.program.as_bytes(), b" ", self.arguments.as_bytes(), b"\n\n"]));
        self.exit
    }

    /// Answers `--help` or `--version`, for a program that has no other option.
    #[inline(never)] // what goes on for years must not have the frame of this below it
    pub fn describe(&self, synopsis: &Synopsis, option: OsString) -> u8 {
        self.parse(synopsis, vec![option]).err().unwrap_or(EXIT_SUCCESS)
    }

    /// Reads options and operands from `args`, which do not contain the program's name.
    ///
    /// `Err` is the exit code of a program that is done: after `--help` or `--version` with 0, else after a
    /// message and the usage line.
    pub fn parse(&self, synopsis: &Synopsis, args: Vec<OsString>) -> Result<Given, u8> {
        let text = match read(synopsis, args) {
            Ok(given) => return Ok(given),
            Err(Stop::Help) => synopsis.help(),
            Err(Stop::Version) => format!("{} {}\n", synopsis.name, env!("CARGO_PKG_VERSION")),
            Err(Stop::Wrong(complaint)) => {
                msg::to_stderr(&msg::join(&[self.called_as.as_bytes(), b": ", &complaint, b"\n"]));
                return Err(self.fail());
            }
        };
        Err(if msg::to_stdout(text.as_bytes()) { EXIT_SUCCESS } else { EXIT_UNWRITTEN })
    }
}

/// What follows the last slash of a path: what a program was called as.
pub fn base_name(path: &OsStr) -> &OsStr {
    OsStr::from_bytes(path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default())
}

/// This program's arguments: the name it was called by, and the rest.
///
/// Differs: an empty name, which the kernel gives to a program that was called without one, is `default_name` here;
/// the original's is empty then.
pub fn arguments(default_name: &str) -> (OsString, Vec<OsString>) {
    let mut args = start::arguments().into_iter();
    let name = args.next().filter(|name| !name.is_empty()).unwrap_or_else(|| default_name.into());
    (name, args.collect())
}

fn read(synopsis: &Synopsis, args: Vec<OsString>) -> Result<Given, Stop> {
    let mut options = Vec::new();
    let mut rest = args.into_iter();
    while let Some(arg) = rest.next() {
        let word = arg.as_bytes();
        match word {
            b"--" => break,
            [b'-', b'-', long @ ..] => options.push(read_long(synopsis, long, &mut rest)?),
            [b'-', letters @ ..] if !letters.is_empty() => {
                read_letters(synopsis, letters, &mut rest, &mut options)?;
            }
            _ => return Ok(Given { options, operands: std::iter::once(arg).chain(rest).collect() }),
        }
    }
    Ok(Given { options, operands: rest.collect() })
}

/// An option as it was given: which, and its value, if it takes one.
type One = (&'static str, OsString);

/// `name` or `name=value`; the value may be the next word.
fn read_long(synopsis: &Synopsis, long: &[u8], rest: &mut impl Iterator<Item = OsString>) -> Result<One, Stop> {
    let mut parts = long.splitn(2, |byte| *byte == b'=');
    let (name, attached) = (parts.next().unwrap_or_default(), parts.next());
    let found = synopsis.find(|word| word.kind == Kind::Long && word.id.as_bytes() == name);
    let word = found.ok_or_else(|| Stop::illegal(name))?;
    match (word.id, word.value, attached) {
        (_, None, Some(_)) => Err(Stop::wrong("option takes no argument", name)),
        ("help", None, None) => Err(Stop::Help),
        ("version", None, None) => Err(Stop::Version),
        (id, None, None) => Ok((id, OsString::new())),
        (id, Some(_), Some(value)) => Ok((id, OsStr::from_bytes(value).to_owned())),
        (id, Some(_), None) => Ok((id, rest.next().ok_or_else(|| Stop::without_value(name))?)),
    }
}

/// A word of letters: behind one that takes a value the value follows, or else it is the next word.
fn read_letters(
    synopsis: &Synopsis,
    letters: &[u8],
    rest: &mut impl Iterator<Item = OsString>,
    options: &mut Vec<One>,
) -> Result<(), Stop> {
    for (at, letter) in letters.iter().enumerate() {
        let found = synopsis.find(|word| word.kind == Kind::Letter(*letter));
        let word = found.ok_or_else(|| Stop::illegal(&[*letter]))?;
        if word.value.is_none() {
            options.push((word.id, OsString::new()));
            continue;
        }
        let value = match &letters[at + 1..] {
            [] => rest.next().ok_or_else(|| Stop::without_value(&[*letter]))?,
            attached => OsString::from_vec(attached.to_vec()),
        };
        options.push((word.id, value));
        break;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNOPSIS: Synopsis = Synopsis {
        name: "sv",
        about: "Control.",
        usage: "[-v] [-w sec] command",
        groups: &[
            ("Arguments", &[Arg::operand("command", "one\ntwo")]),
            (
                "Options",
                &[
                    Arg::value(b'w', "wait", "sec", "Wait"),
                    Arg::flag(b'v', "report", "Report"),
                    Arg::long_value("mode", "N", "Mode"),
                    Arg::long("all", "All"),
                    VERSION,
                    HELP,
                ],
            ),
        ],
    };

    fn given(args: &[&str]) -> Result<Given, Stop> {
        read(&SYNOPSIS, args.iter().map(OsString::from).collect())
    }

    fn such(options: &[(&'static str, &str)], operands: &[&str]) -> Result<Given, Stop> {
        let options = options.iter().map(|(id, value)| (*id, value.into())).collect();
        Ok(Given { options, operands: operands.iter().map(OsString::from).collect() })
    }

    #[test]
    fn options_end_at_the_first_operand() {
        let expected = such(&[("report", ""), ("wait", "-5")], &["status", "-v", "--"]);
        assert_eq!(given(&["-vw", "-5", "status", "-v", "--"]), expected);
    }

    #[test]
    fn two_dashes_end_the_options_and_one_dash_is_an_operand() {
        assert_eq!(given(&["-v", "--", "-w"]), such(&[("report", "")], &["-w"]));
        assert_eq!(given(&["-w5", "-", "x"]), such(&[("wait", "5")], &["-", "x"]));
        assert_eq!(given(&["--mode", "9", "x"]), such(&[("mode", "9")], &["x"]));
        assert_eq!(given(&["--mode=9", "x"]), such(&[("mode", "9")], &["x"]));
        assert_eq!(given(&["--mode=", "--mode", "--", "x"]), such(&[("mode", ""), ("mode", "--")], &["x"]));
    }

    #[test]
    fn an_attached_value_is_taken_byte_for_byte() {
        assert_eq!(given(&["-vw=5", "x"]), such(&[("report", ""), ("wait", "=5")], &["x"]));
        assert_eq!(given(&["-w-v", "x"]), such(&[("wait", "-v")], &["x"]));
    }

    #[test]
    fn options_are_counted_and_of_two_values_the_last_one_counts() {
        let given = given(&["-vw1", "-v", "-w", "2"]).unwrap();
        assert_eq!((given.count("report"), given.has("all")), (2, false));
        assert_eq!((given.value("wait"), given.last("wait")), (Some("2".as_ref()), Some((3, "2".as_ref()))));
        assert_eq!(given.all("wait").collect::<Vec<_>>(), [(1, "1".as_ref()), (3, "2".as_ref())]);
    }

    #[test]
    fn a_program_is_called_what_follows_the_last_slash() {
        for (path, name) in [("/bin/sv", "sv"), ("sv", "sv"), ("./a.b", "a.b"), ("sv/", ""), ("/", ""), ("", "")] {
            assert_eq!(base_name(path.as_ref()), name, "{path}");
        }
    }

    #[test]
    fn errors_are_said_in_the_originals_words() {
        let wrong = |args: &[&[u8]]| {
            let args = args.iter().map(|arg| OsStr::from_bytes(arg).to_owned()).collect();
            match read(&SYNOPSIS, args).unwrap_err() {
                Stop::Wrong(complaint) => complaint,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(wrong(&[b"-vx"]), b"illegal option -- x");
        assert_eq!(wrong(&[b"-v-w"]), b"illegal option -- -");
        assert_eq!(wrong(&[b"-v\xff"]), b"illegal option -- \xff");
        assert_eq!(wrong(&["-é".as_bytes()]), b"illegal option -- \xc3");
        assert_eq!(wrong(&[b"-w-x", b"-vw", b"-y", b"--mode", b"-z", b"--mode=-z", b"-vq"]), b"illegal option -- q");
        assert_eq!(wrong(&[b"--nonsense=1", b"-q"]), b"illegal option -- nonsense");
        assert_eq!(wrong(&[b"--wait=1"]), b"illegal option -- wait");
        assert_eq!(wrong(&[b"-w"]), b"option requires an argument -- w");
        assert_eq!(wrong(&[b"--mode"]), b"option requires an argument -- mode");
        assert_eq!(wrong(&[b"--all=1"]), b"option takes no argument -- all");
        assert_eq!(wrong(&[b"--help=1"]), b"option takes no argument -- help");
    }

    #[test]
    fn help_and_version_are_answered_where_they_stand() {
        assert_eq!(given(&["-v", "--help", "-x"]), Err(Stop::Help));
        assert_eq!(given(&["-w", "--help", "--version", "-x"]), Err(Stop::Version));
        assert_eq!(given(&["-x", "--help"]), Err(Stop::illegal(b"x")));
        assert_eq!(given(&["up", "--help"]), such(&[], &["up", "--help"]));
    }

    #[test]
    fn the_help_has_columns() {
        let expected = "Control.\n\nUsage: sv [-v] [-w sec] command\n\nArguments:\n  command  one\n           two\n\n\
                        Options:\n  -w sec     Wait\n  -v         Report\n  --mode N   Mode\n  --all      All\n  \
                        --version  Print the version\n  --help     Print this help\n\nSee sv(8).\n";
        assert_eq!(SYNOPSIS.help(), expected);
    }
}
