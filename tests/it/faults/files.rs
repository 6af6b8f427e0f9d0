//! Disks, files, programs and clocks.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use homerun::model::note::{Book, Place, Record};
use homerun::model::tai::Label;
use homerun::sys::clock;

use super::*;

const RUN: &str = "say run $$; exec sleep 1000";

#[test]
fn a_full_disk() {
    tell(|kit| {
        let mut command = kit.tree.command("sh");
        command.args(["-c", "trap '' XFSZ; exec runsv \"$1\"", "sh"]).stderr(kit.tree.mouth());
        let foo = kit.tree.service("foo").run(RUN).start_by(command);
        let pid = said(&kit.tree, "run");
        foo.wait(is_running);
        let before = foo.record("stat");
        let runsv = foo.child.id().to_string();
        assert_eq!(kit.tree.run("prlimit", &["--fsize=0:unlimited", "--pid", &runsv]).code, Some(0));
        foo.control(b"d");
        wait_until_gone(pid);
        while !kit.tree.heard().contains("unable to write") {}
        let after = foo.record("stat");
        end(kit, foo);
        match after {
            after if after == before => "the old record stays, whole",
            after if after.is_empty() => "an empty record takes its place",
            _ => "it is something else",
        }
    });
}

#[test]
fn a_supervise_that_is_removed() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).start();
        let pid = said(&kit.tree, "run");
        foo.wait(is_running);
        fs::remove_dir_all(foo.directory.join("supervise")).unwrap();
        let has_ok = || homerun::sys::file::open_write(foo.directory.join("supervise/ok")).is_ok();
        let outcome = match kit.ours_alone(has_ok) {
            true => {
                let status = foo.wait(is_running);
                foo.control(b"d");
                foo.wait(is_down);
                if status.pid == pid { "it is made again, and sv controls the service" } else { "it is another" }
            }
            false => "sv cannot control the service any more",
        };
        end(kit, foo);
        outcome
    });
}

#[test]
fn a_run_that_cannot_be_executed() {
    tell(|kit| {
        let foo = kit.tree.service("foo").file("run", "#!/bin/sh\nexec sleep 1000\n").start_heard();
        while !kit.tree.heard().contains("unable to start ./run") {}
        foo.wait(is_down);
        let says_why = kit.ours_alone(|| kit.tree.sv(&["status", "foo"]).stdout.contains("unable to start ./run"));
        end(kit, foo);
        if says_why { "sv status says why" } else { "sv status does not say why" }
    });
}

#[test]
fn a_log_directory_that_is_held() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).log("exec cat").start();
        said(&kit.tree, "run");
        foo.wait_log(is_running);
        symlink("../foo/log", kit.tree.service("bar").made().join("log")).unwrap();
        let mut bar = kit.tree.command("runsv");
        let mut bar = bar.arg("bar").stderr(kit.tree.mouth()).spawn().unwrap();
        let mut says_so = || bar.try_wait().unwrap().is_some_and(|status| status.code() == Some(111));
        let outcome = if kit.ours_alone(&mut says_so) {
            while kit.tree.heard() != "runsv bar: fatal: unable to lock log/supervise/lock: temporary failure" {}
            "runsv says so, and ends"
        } else {
            send(i32::try_from(bar.id()).unwrap(), Signal::SIGTERM);
            let is_deaf = !comes(MOMENT, || bar.try_wait().unwrap().is_some());
            if is_deaf { "runsv waits for ever, deaf" } else { "runsv waits until it is told to end" }
        };
        let _ = bar.kill();
        let _ = bar.wait();
        end(kit, foo);
        outcome
    });
}

#[test]
fn a_clock_that_is_set() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).start();
        said(&kit.tree, "run");
        foo.wait(is_running);
        // As if it had been labelled by a clock that was three hours behind.
        let then = Label::of(clock::wall() - Duration::from_secs(3 * 3600));
        let status = foo.directory.join("supervise/status");
        let relabelled = |status: Status| Status { since: then, ..status };
        fs::write(&status, relabelled(Status::decode(&fs::read(&status).unwrap()).unwrap()).encode()).unwrap();
        let notes = foo.directory.join("supervise/process");
        if let Some(mut book) = fs::read(&notes).ok().and_then(|bytes| Book::decode(&bytes)) {
            let record = book.record(Place::Main).unwrap();
            let record = Record { status: relabelled(record.status), ..record };
            book.set_record(Place::Main, record);
            fs::write(&notes, book.encode()).unwrap();
        }
        let line = kit.tree.sv(&["status", "foo"]).stdout;
        let age: u64 = line.split([' ', ',']).find_map(|word| word.trim().strip_suffix('s')?.parse().ok()).unwrap();
        end(kit, foo);
        if age >= 3 * 3600 { "ages are three hours more" } else { "ages are right" }
    });
}

#[test]
fn a_clock_that_is_set_back() {
    tell(|kit| {
        let main = kit.tree.directory("main");
        fs::write(main.join("config"), "s100\nn2\n").unwrap();
        // Two files that were put aside by a clock that was three hours ahead.
        for (number, text) in [(0, "first\n"), (1, "second\n")] {
            let label = Label::of(clock::wall() + Duration::from_secs(3 * 3600 + number));
            fs::write(main.join(format!("{}.s", String::from_utf8_lossy(&label.hex()))), text).unwrap();
        }
        let mut svlogd = kit.tree.command("svlogd");
        let mut svlogd = svlogd.arg("./main").stdin(Stdio::piped()).spawn().unwrap();
        let lines = format!("third {0}\nfourth {0}\n", "x".repeat(70));
        svlogd.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
        assert_eq!(wait_for_end(&mut svlogd).unwrap().code(), Some(0));
        let has = |word: &str| {
            let mut files = fs::read_dir(&main).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()));
            files.any(|text| text.unwrap_or_default().starts_with(word))
        };
        match ["first", "second", "third"].map(has) {
            [false, true, true] => "the oldest old file goes",
            [true, true, false] => "the newest old file goes",
            _ => "it is something else",
        }
    });
}

#[test]
fn an_upgrade() {
    tell(|kit| {
        let bin = kit.tree.directory("bin");
        let runsv = kit.tree.command("runsv").get_program().to_owned();
        let copy = |name: &str| assert_eq!(kit.tree.run("cp", &[runsv.to_str().unwrap(), name]).code, Some(0));
        copy("bin/runsv");
        let mut command = kit.tree.command(bin.join("runsv"));
        command.stderr(Stdio::null());
        let foo = kit.tree.service("foo").run(RUN).start_by(command);
        let pid = said(&kit.tree, "run");
        foo.wait(is_running);
        copy("bin/new");
        fs::rename(bin.join("new"), bin.join("runsv")).unwrap();
        foo.control(b"U");
        let program = format!("/proc/{}/exe", foo.child.id());
        let is_new = || fs::read_link(&program).is_ok_and(|path| path == bin.join("runsv"));
        let outcome = match kit.ours_alone(is_new) {
            true if foo.wait(is_running).pid == pid => "runsv becomes the new one when told, with the same process",
            true => "runsv becomes the new one, with another process",
            false => "runsv stays the old one",
        };
        end(kit, foo);
        outcome
    });
}

#[test]
fn a_line_without_an_end() {
    tell(|kit| {
        kit.tree.directory("main");
        let mut svlogd = kit.tree.command("svlogd");
        let mut svlogd = svlogd.arg("./main").stdin(Stdio::piped()).spawn().unwrap();
        svlogd.stdin.take().unwrap().write_all(b"first\nlast").unwrap();
        assert_eq!(wait_for_end(&mut svlogd).unwrap().code(), Some(0));
        match &*fs::read_to_string(kit.tree.path("main/current")).unwrap() {
            "first\nlast\n" => "svlogd writes it down",
            "first\n" => "svlogd loses it",
            _ => "it is something else",
        }
    });
}
