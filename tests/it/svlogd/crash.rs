//! What an svlogd or a processor that was killed left behind, and what is no log at all.

use super::*;

#[test]
fn a_current_of_a_crash_is_put_aside() {
    let place = Place::with_main("");
    fs::write(place.path("main/current"), "torn").unwrap();
    fs::set_permissions(place.path("main/current"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(place.run(&["main"], b"a\n"), quiet(0));
    let old = place.old("main", "");
    assert_eq!(old, place.old("main", ".u"));
    assert_eq!(fs::read_to_string(&old[0]).unwrap(), "torn");
    assert_eq!(mode(&old[0]), 0o644);
    assert_eq!(place.read("main/current"), "a\n");
}

#[test]
fn every_line_that_was_written_before_a_crash_is_kept_once_and_in_order() {
    let place = Place::with_main("s100\nn0\n");
    let mut lines = String::new();
    for round in 0..5 {
        let mut running = place.start();
        let more: String = (0..50).map(|number| format!("round {round} line {number}\n")).collect();
        running.write(&more);
        lines += &more;
        place.wait_until("main", || place.read_all("main") == lines);
        running.signal(Signal::SIGKILL);
        assert_eq!(running.exit(), None);
    }
    assert_eq!(place.run(&["main"], b"end\n"), quiet(0));
    assert_eq!(place.old("main", ".u").len(), 5);
    assert_eq!(place.whole_log("main"), lines + "end\n");
}

/// The name of an old file that comes before those of today.
const OLD: &str = "main/@400000000000000000000001";

#[test]
fn an_interrupted_processor_is_started_again_with_the_state_that_it_had() {
    let place = Place::with_main("!tr a-z A-Z; cat <&4; echo new >&5\n");
    for (suffix, text) in [(".u", "abc\n"), (".t", "AB")] {
        fs::write(place.path(&format!("{OLD}{suffix}")), text).unwrap();
    }
    fs::write(place.path("main/state"), "old\n").unwrap();
    fs::write(place.path("main/newstate"), "half").unwrap();
    assert_eq!(place.run(&["main"], b""), quiet(0));
    assert_eq!(place.read(&format!("{OLD}.s")), "ABC\nold\n");
    assert_eq!(place.read("main/state"), "new\n");
    assert_eq!(place.old("main", ""), [place.path(&format!("{OLD}.s"))]);
    assert!(!place.path("main/newstate").exists());
}

#[test]
fn a_processor_that_had_ended_well_is_not_started_again() {
    for (new_state, state) in [(Some("new\n"), "new\n"), (None, "old\n")] {
        let place = Place::with_main("!echo twice\n");
        for (suffix, text) in [(".u", "abc\n"), (".s", "ABC\n")] {
            fs::write(place.path(&format!("{OLD}{suffix}")), text).unwrap();
        }
        fs::write(place.path("main/state"), "old\n").unwrap();
        if let Some(text) = new_state {
            fs::write(place.path("main/newstate"), text).unwrap();
        }
        assert_eq!(place.run(&["main"], b""), quiet(0));
        assert_eq!(place.old("main", ""), [place.path(&format!("{OLD}.s"))]);
        assert_eq!(place.read(&format!("{OLD}.s")), "ABC\n");
        assert_eq!(place.read("main/state"), state);
        assert!(!place.path("main/newstate").exists());
    }
}

#[test]
fn a_processor_that_removes_newstate_leaves_the_state_as_it_was() {
    let place = Place::with_main("s4\n!rm newstate; cat\n");
    fs::write(place.path("main/state"), "old\n").unwrap();
    assert_eq!(place.run(&["-l4", "main"], b"abc\n"), quiet(0));
    assert_eq!(place.whole_log("main"), "abc\n");
    assert_eq!(place.read("main/state"), "old\n");
}

#[test]
fn a_current_of_a_crash_goes_through_the_processor() {
    let place = Place::with_main("!tr a-z A-Z\n");
    fs::write(place.path("main/current"), "torn").unwrap();
    fs::set_permissions(place.path("main/current"), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(place.run(&["main"], b"abc\n"), quiet(0));
    assert_eq!(place.old("main", ""), place.old("main", ".s"));
    assert_eq!(place.whole_log("main"), "TORNabc\n");
}

#[test]
fn all_files_that_wait_are_processed_at_the_end_of_the_input() {
    let place = Place::with_main("n0\ns4\n!tr a-z A-Z\n");
    assert_eq!(place.run(&["-l4", "main"], b"abc\ndef\nghi\njkl\n"), quiet(0));
    assert_eq!(place.old("main", ""), place.old("main", ".s"));
    assert_eq!(place.whole_log("main"), "ABC\nDEF\nGHI\nJKL\n");
}

#[test]
fn a_processor_that_outlives_its_svlogd_is_not_doubled_by_the_next() {
    let place = Place::with_main("!mkdir ../busy || >../twice; >../go-on; cat ../go; cat; rmdir ../busy\n");
    nix::unistd::mkfifo(&place.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut first = place.start();
    first.write("abc\n");
    place.wait_until("main", || place.read("main/current") == "abc\n");
    first.signal(Signal::SIGALRM);
    place.wait_until("", || place.path("go-on").exists());
    first.signal(Signal::SIGKILL);
    first.child.wait().unwrap(); // the processor keeps its standard error
    let mut second = place.start();
    second.hear(&["svlogd: warning: unable to lock input for processor: main: temporary failure"]);
    fs::write(place.path("go"), "").unwrap();
    place.wait_until("", || !place.path("busy").exists());
    fs::write(place.path("go"), "").unwrap(); // waits until it is read: by the second processor
    second.hear(&["processed: main/@"]);
    assert_eq!(second.end(), Some(0));
    assert!(!place.path("twice").exists());
    assert_eq!(place.old("main", ""), place.old("main", ".s"));
    assert_eq!(place.whole_log("main"), "abc\n");
}

/// Makes `current` a FIFO of this mode, and opens it: what is written there, and its facts.
fn make_fifo(place: &Place, name: &str) -> File {
    let path = place.path(name);
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::empty()).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o602)).unwrap();
    homerun::sys::file::open_read_write(path).unwrap()
}

#[test]
fn a_current_that_is_no_file_is_written_to_and_left_as_it_is() {
    for is_link in [false, true] {
        let place = Place::with_main("s4\nt1\n");
        let name = if is_link { "fifo" } else { "main/current" };
        let mut fifo = make_fifo(&place, name);
        if is_link {
            std::os::unix::fs::symlink("../fifo", place.path("main/current")).unwrap();
        }
        let mut command = place.command(&["-v", "-l2", "main"]);
        command.env("LANG", "C");
        let mut running = place.start_with(command, "append: main/current", "-");
        running.write("abc\ndef\n");
        let mut bytes = [0; 8];
        homerun::sys::fd::set_nonblocking(fifo.as_fd(), false).unwrap();
        io::Read::read_exact(&mut fifo, &mut bytes).unwrap();
        assert_eq!(&bytes, b"abc\ndef\n");
        running.signal(Signal::SIGALRM);
        running.hear(&["sigalarm received."]);
        running.signal(Signal::SIGHUP);
        running.hear(&["append: main/current"]);
        assert_eq!(running.terminate(), Some(0));
        assert_eq!(mode(&place.path(name)), 0o602);
        assert_eq!(place.old("main", ""), Vec::<PathBuf>::new());
        assert_eq!(fs::symlink_metadata(place.path("main/current")).unwrap().is_symlink(), is_link);
    }
}

#[test]
fn a_current_that_cannot_be_opened_is_waited_for_and_left_as_it_is() {
    let place = Place::new();
    let pausing = |name: &str, reason: &str| {
        let mut command = place.command(&[name]);
        command.stdin(Stdio::piped());
        let expected = format!("svlogd: pausing: unable to open current: {name}: {reason}");
        let running = place.start_with(command, &expected, "-");
        assert_eq!(running.terminate(), Some(0));
    };
    place.log("directory", "");
    fs::create_dir(place.path("directory/current")).unwrap();
    fs::set_permissions(place.path("directory/current"), Permissions::from_mode(0o644)).unwrap();
    pausing("directory", "is a directory");
    place.log("socket", "");
    let _socket = std::os::unix::net::UnixListener::bind(place.path("socket/current")).unwrap();
    fs::set_permissions(place.path("socket/current"), Permissions::from_mode(0o644)).unwrap();
    pausing("socket", "device not configured");
    place.log("fifo", "");
    drop(make_fifo(&place, "fifo/current"));
    pausing("fifo", "device not configured");
    for (name, expected) in [("directory", 0o644), ("socket", 0o644), ("fifo", 0o602)] {
        assert_eq!(mode(&place.path(name).join("current")), expected);
        assert_eq!(place.old(name, ""), Vec::<PathBuf>::new());
    }
}
