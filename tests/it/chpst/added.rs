//! What the original cannot do: hard limits, an absolute nice value, the score for the kernel without memory.

use super::*;

fn wrong(complaint: &str) -> Outcome {
    fails(&format!("chpst: {complaint}\n{USAGE}"), 100)
}

/// The soft and the hard limit called `name` in /proc/self/limits, after `options`; `u64::MAX` is none.
fn limit(name: &str, options: &[&str]) -> (u64, u64) {
    let limits = limits(options);
    limits.into_iter().find(|(known, ..)| known == name).map(|(_, soft, hard)| (soft, hard)).unwrap()
}

fn open_files(options: &[&str]) -> (u64, u64) {
    limit("Max open files", options)
}

#[test]
fn a_limit_is_set_in_the_notation_of_prlimit() {
    let (_, hard) = open_files(&[]);
    assert_eq!(open_files(&["--limit", "nofile=30:40"]), (30, 40));
    assert_eq!(open_files(&["--limit=nofile=30"]), (30, 30));
    assert_eq!(open_files(&["--limit", "nofile=30:"]), (30, hard));
    assert_eq!(open_files(&["--limit", "nofile=:30"]), (30, 30), "the soft limit is never above the hard one");
    assert_eq!(open_files(&["--limit", "nofile=30:", "--limit", "nofile=:40"]), (30, 40));
    assert_eq!(open_files(&["--limit", "nofile=unlimited:"]), (hard, hard));
    assert_eq!(limit("Max core file size", &["--limit", "core=0", "--limit", "nofile=30"]), (0, 0));
}

#[test]
fn every_limit_of_the_kernel_has_its_name() {
    for (option, name) in [
        ("as", "Max address space"),
        ("core", "Max core file size"),
        ("cpu", "Max cpu time"),
        ("data", "Max data size"),
        ("fsize", "Max file size"),
        ("locks", "Max file locks"),
        ("memlock", "Max locked memory"),
        ("msgqueue", "Max msgqueue size"),
        ("nice", "Max nice priority"),
        ("nofile", "Max open files"),
        ("nproc", "Max processes"),
        ("rss", "Max resident set"),
        ("rtprio", "Max realtime priority"),
        ("rttime", "Max realtime timeout"),
        ("sigpending", "Max pending signals"),
        ("stack", "Max stack size"),
    ] {
        let (_, hard) = limit(name, &[]);
        let new = hard.min(1 << 30);
        assert_eq!(limit(name, &["--limit", &format!("{option}={new}")]), (new, new), "{option}");
    }
}

#[test]
fn of_limits_by_letter_and_by_name_the_last_counts_and_no_letter_changes_a_hard_one() {
    assert_eq!(open_files(&["--limit", "nofile=30:40", "-o", "35"]), (35, 40));
    assert_eq!(open_files(&["--limit", "nofile=30:40", "-o", "50"]), (40, 40));
    assert_eq!(open_files(&["-o", "35", "--limit", "nofile=30:40"]), (30, 40));
    let data = limit("Max data size", &["-m", "1000000000", "--limit", "data=900000000:950000000"]);
    assert_eq!(data, (900_000_000, 950_000_000));
}

#[test]
fn a_hard_limit_is_raised_before_the_user_changes_and_lowered_after_that() {
    let low = Place::new();
    let nested = |options: &[&str]| {
        let inner = [&[CHPST][..], options, &["sh", "-c", "ulimit -Sn; ulimit -Hn"]].concat();
        low.chpst(&[&["--limit", "nofile=100:100"][..], &inner].concat())
    };
    // Root in a container may lack the right.
    match nested(&["--limit", "nofile=200"]) {
        raised if raised == says("200\n200\n") => {
            assert_eq!(nested(&["-u", ":65534:65534", "--limit", "nofile=150:200"]), says("150\n200\n"));
        }
        denied => assert_eq!(denied, fatal("unable to set limit nofile: permission denied")),
    }
    if !is_root() {
        return skip("needs root");
    }
    // With two descriptors neither the account database nor the lock could be opened.
    let held = ["-u", "root", "-l", "lock", "--limit", "nofile=2", "nosuch"];
    assert_eq!(low.chpst(&held), fatal("unable to run: nosuch: file does not exist"));
}

#[test]
fn an_ordinary_user_cannot_raise_a_hard_limit() {
    let place = Place::new();
    let raise = ["--limit", "nofile=100", CHPST, "--limit", "nofile=101", "true"];
    // Before the user changes, which would be denied, too; but after the user was found.
    let user = ["--limit", "nofile=100", CHPST, "--limit", "nofile=101", "-u", ":65534:65534", "true"];
    for args in [&raise[..], &user] {
        match place.chpst_unprivileged(args) {
            Some(outcome) => assert_eq!(outcome, fatal("unable to set limit nofile: permission denied")),
            None => skip("the program is out of nobody's reach"),
        }
    }
    let nobody = ["--limit", "nofile=100", CHPST, "--limit", "nofile=101", "-u", "nosuch", "true"];
    assert_eq!(place.chpst(&nobody), fatal("unknown user/group: nosuch"));
}

#[test]
fn a_wrong_limit_is_said_in_one_line_and_nothing_is_changed() {
    let place = Place::new();
    for (limit, fault) in [
        ("bogus=5", "unknown resource"),
        ("NOFILE=5", "unknown resource"),
        ("=5", "unknown resource"),
        ("", "unknown resource"),
        ("nofile", "limit without a value"),
        ("nofile=", "limit without a value"),
        ("nofile=:", "limit without a value"),
        ("nofile=x", "neither a number nor unlimited"),
        ("nofile=-1", "neither a number nor unlimited"),
        ("nofile=5:6:7", "neither a number nor unlimited"),
        ("nofile=18446744073709551616", "neither a number nor unlimited"),
        ("nofile=6:5", "soft limit above hard limit"),
        ("nofile=unlimited:5", "soft limit above hard limit"),
    ] {
        let outcome = place.chpst(&["-l", "lock", "--limit", "nofile=7:8", "--limit", limit, "true"]);
        assert_eq!(outcome, wrong(&format!("{fault}: {limit} -- limit")), "{limit}");
    }
    assert_eq!(place.chpst(&["--limit", "a\nb=1", "true"]), wrong("unknown resource: a?b=1 -- limit"));
    assert_eq!(place.chpst(&["--limit"]), wrong("option requires an argument -- limit"));
    assert!(!place.path("lock").exists());
}

#[test]
fn the_nice_value_is_set_whatever_it_was() {
    assert_eq!(chpst(&["--nice-value", "19", "nice"]), says("19\n"));
    assert_eq!(chpst(&["-n", "2", CHPST, "--nice-value=+17", "nice"]).stdout, {
        let (lowers, denied) = (says("17\n"), fatal("unable to set nice value: access denied"));
        let outcome = chpst(&["-n", "2", CHPST, "--nice-value=17", "nice"]);
        assert!(outcome == lowers || outcome == denied, "{outcome:?}");
        outcome.stdout
    });
    assert_eq!(chpst(&["-n", "1", "--nice-value", "17", "nice"]), says("18\n"), "the increment comes after it");
    match Place::new().chpst_unprivileged(&["--nice-value", "-20", "true"]) {
        Some(outcome) => assert_eq!(outcome, fatal("unable to set nice value: access denied")),
        None => skip("the program is out of nobody's reach"),
    }
    if is_root() && chpst(&["-n", "-1", "true"]) == says("") {
        let outcome = chpst(&["--nice-value", "-7", "-u", ":65534:65534", "nice"]);
        assert_eq!(outcome, says("-7\n"), "before the user changes");
    } else {
        skip("needs the right to lower the nice value");
    }
}

#[test]
fn the_score_for_a_kernel_without_memory_is_set() {
    const SCORE: &str = "/proc/self/oom_score_adj";
    let score = |text: &str| chpst(&["--oom-score", text, "cat", SCORE]);
    assert_eq!(score("1000"), says("1000\n"));
    assert_eq!(score("+998"), says("998\n"));
    match Place::new().chpst_unprivileged(&["--oom-score", "-1000", "true"]) {
        Some(outcome) => assert_eq!(outcome, fatal("unable to set oom score: access denied")),
        None => skip("the program is out of nobody's reach"),
    }
    // Root in a container may lack the right.
    let lowest = score("-1000");
    assert!(lowest == says("-1000\n") || lowest == fatal("unable to set oom score: access denied"), "{lowest:?}");
    if !is_root() {
        return skip("needs root");
    }
    // After the user has changed the file could not be written.
    assert_eq!(chpst(&["--oom-score", "999", "-u", ":65534:65534", "cat", SCORE]), says("999\n"));
    let place = Place::new();
    place.directory("root");
    let outcome = place.chpst(&["--oom-score", "5", "-/", "root", "true"]);
    assert_eq!(outcome, fatal("unable to run: true: file does not exist"), "before the root directory changes");
}

#[test]
fn a_wrong_number_is_said_in_one_line() {
    for (option, range, numbers) in [
        ("nice-value", "no number from -20 to 19", ["", "x", "20", "-21", "--5", "4294967296"]),
        ("oom-score", "no number from -1000 to 1000", ["", "x", "1001", "-1001", "5 ", "99999999999999999999"]),
        ("umask", "no octal number up to 777", ["", "x", "8", "1000", "-1", "u=rwx"]),
    ] {
        for number in numbers {
            let outcome = chpst(&[&format!("--{option}"), number, "true"]);
            assert_eq!(outcome, wrong(&format!("{range}: {number} -- {option}")), "{option} {number:?}");
        }
    }
}
