//! One service whose supervisor is killed again and again, at any moment, while it is told this and that.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Stdio};

use super::look::{Look, Part};
use super::writer::{self, Writer};
use super::{Chance, Length, plan};
use crate::support::*;

const COMMANDS: &[u8] = b"udtocpuuuhkUU";
const COMMANDS_LOG: &[u8] = b"udtcpuuuha";

/// The supervisor is killed at moments chosen by `seed`, and sometimes the service with it.
fn storm(seed: u64, length: Length, holds_pipe: bool) -> Result<writer::Account, String> {
    let mut chance = Chance::new(seed);
    let tree = Tree::new();
    let service = tree.service("foo").run(writer::RUN).log(writer::LOG).script("control/t", writer::HOOK);
    let path = service.script("finish", writer::FINISH).made();
    let logs = path.join("log/foo");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("config"), "s16384\nn0\n").unwrap();
    let mut foo = Writer::new("foo".to_owned(), path.clone(), None, 50, holds_pipe);
    let start = || -> Child { tree.command("runsv").arg("foo").stderr(Stdio::null()).spawn().unwrap() };
    let send = |supervise: &str, bytes: &[u8]| {
        if let Ok(mut fifo) = homerun::sys::file::open_write(path.join(supervise).join("control")) {
            let _ = fifo.write(bytes); // as long as nobody reads, nobody is told
        }
    };
    let Length::Rounds(rounds) = length else { panic!("a storm has a number of rounds") };
    for round in 0..rounds {
        let mut runsv = start();
        foo.give(20);
        let pause = chance.moment();
        let command = chance.one_of(COMMANDS);
        let command_log = chance.one_of(COMMANDS_LOG);
        let (tells, tells_log) = (chance.below(2) == 0, chance.below(4) == 0);
        if chance.below(4) == 0 || round == 0 {
            for supervise in ["supervise", "log/supervise"] {
                tree.wait_status(&path.join(supervise), |_| true);
            }
            foo.hold_pipe();
            send("supervise", b"u");
            send("log/supervise", b"u");
            tree.wait_status(&path.join("supervise"), |status| status.pid != 0);
        }
        std::thread::sleep(pause);
        if tells {
            send("supervise", &[command]);
        }
        if tells_log {
            send("log/supervise", &[command_log]);
        }
        std::thread::sleep(chance.moment());
        runsv.kill().unwrap();
        if chance.below(4) == 0 {
            foo.kill(&Look::now(), Part::Run);
        }
        assert!(wait_for_end(&mut runsv).is_some());
        foo.supervisor_kills += 1;
        let look = Look::now();
        for part in [Part::Run, Part::Log] {
            if let Some(pids) = look.twins(foo.place, part) {
                return Err(format!("round {round}: {part:?} {pids:?}"));
            }
        }
    }
    let mut runsv = start();
    tree.wait_status(&path.join("log/supervise"), |_| true);
    for word in ["start", "cont"] {
        let outcome = tree.sv(&["-w", "30", word, "foo", "foo/log"]);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stdout);
    }
    foo.wait_until_it_writes(&tree);
    send("supervise", b"x");
    assert!(wait_for_end(&mut runsv).is_some_and(|status| status.success()));
    foo.account(0, 0)
}

#[test]
fn a_supervisor_that_is_killed_at_any_moment_loses_nothing() {
    let (seed, length) = plan(20_261_128, 40);
    let account = storm(seed, length, true).unwrap_or_else(|text| panic!("seed {seed}: {text}"));
    assert_eq!(account.missing, 0, "seed {seed}: {account:?}");
}
