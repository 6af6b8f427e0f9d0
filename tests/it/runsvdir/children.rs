//! How runsvdir is called, what its runsvs are started with, and what it says; each beside the original.

use super::*;

/// Ours and the original's, where there is one.
fn both() -> Vec<PathBuf> {
    [Some(programs().to_owned()), runit()].into_iter().flatten().collect()
}

/// As somebody who may not read everything.
fn as_ordinary_user(command: &mut Command) {
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// What is made in sh first, the arguments, and how many lines are heard then.
const TROUBLES: [(&str, &[&str], usize); 16] = [
    ("", &["services"], 1),
    ("echo >services", &["services"], 1),
    ("mkdir services services/foo; chmod 600 services", &["services"], 1),
    ("mkdir services services/foo; chmod 300 services", &["services"], 1),
    ("ln -s services services", &["services"], 1),
    ("echo >file", &["file/services"], 1),
    ("mkdir services; ln -s nowhere services/foo; echo >services/bar", &["services"], 1),
    ("", &[""], 1),
    ("", &["-x"], 1),
    ("", &["-x", "short"], 2),
    ("", &["--", "nowhere"], 1),
    ("", &["--foo", "nowhere"], 1),
    ("", &["-P", "nowhere"], 1),
    ("", &["-Pfoo", "nowhere"], 1),
    ("mkdir services", &["services", "123456"], 2),
    ("mkdir services", &["-P", "services", "", "log: ....................", "more"], 2),
];

#[test]
fn troubles_are_told_in_the_originals_words() {
    for (setup, args, count) in TROUBLES {
        let heard: Vec<Vec<String>> = both()
            .iter()
            .map(|programs| {
                let tree = Tree::with(programs);
                fs::set_permissions(tree.path(""), fs::Permissions::from_mode(0o777)).unwrap();
                let mut sh = tree.command("sh");
                as_ordinary_user(sh.args(["-ec", setup]));
                assert!(sh.status().unwrap().success(), "{setup}");
                if is_root() && tree.path("services").is_dir() {
                    age(&tree.path("services"));
                }
                let mut command = command(&tree, args);
                as_ordinary_user(&mut command);
                let mut child = command.spawn().unwrap();
                let lines = (0..count).map(|_| tree.heard()).collect();
                child.kill().unwrap();
                child.wait().unwrap();
                let _ = fs::set_permissions(tree.path("services"), fs::Permissions::from_mode(0o755));
                lines
            })
            .collect();
        assert!(heard[0].iter().all(|line| line.starts_with("runsvdir ")), "{heard:?}");
        assert!(heard.iter().all(|lines| *lines == heard[0]), "{setup} {args:?}: ours, the original's: {heard:#?}");
    }
}

/// What is heard first of a tree with one service `foo`, when runsvdir has this PATH.
fn first_with_path(programs: &Path, setup: &str, path: Option<&str>) -> String {
    let tree = Tree::with(programs);
    tree.directory("services/foo");
    assert!(tree.command("sh").args(["-ec", setup]).current_dir(tree.path("")).status().unwrap().success());
    age(&tree.path("services"));
    let mut command = command(&tree, &["services"]);
    match path {
        Some(path) => command.env("PATH", path),
        None => command.env_remove("PATH"),
    };
    let mut child = command.spawn().unwrap();
    let line = tree.heard();
    child.kill().unwrap();
    child.wait().unwrap();
    line
}

#[test]
fn runsv_is_looked_for_in_path_as_the_original_does() {
    const SCRIPT: &str = "#!/bin/sh\\necho \"$0 $* in ${PWD##*/}\" >$EAR; exec /bin/sleep 1000\\n";
    let make = |file: &str| format!("printf '{SCRIPT}' >{file}; chmod 755 {file}");
    let gives = |setup: &str, path: Option<&str>, expected: &str| {
        for programs in both() {
            assert_eq!(first_with_path(&programs, setup, path), expected, "{} {setup} {path:?}", programs.display());
        }
    };
    let refused = |reason: &str| format!("runsvdir services: fatal: unable to start runsv foo: {reason}");
    gives("", Some("/nowhere"), &refused("file does not exist"));
    // An empty part, and one that is relative, is seen from the services directory.
    gives(&make("services/runsv"), Some(""), "./runsv foo in services");
    gives(&make("services/runsv"), Some("/nowhere:"), "./runsv foo in services");
    gives(&make("runsv"), Some("/nowhere:.."), "../runsv foo in services");
    gives(&make("services/runsv"), Some("/nowhere:/"), &refused("file does not exist"));
    // What cannot be run is passed by, but is the reason in the end.
    gives("echo >services/runsv", Some(":/nowhere"), &refused("access denied"));
    gives(&format!("mkdir -p in/runsv; {}", make("runsv")), Some("../in:.."), "../runsv foo in services");
    gives(
        "echo '#!/no/where' >services/runsv; chmod 755 services/runsv",
        Some(":/nowhere"),
        &refused("file does not exist"),
    );
    // Any other reason ends the search; without an interpreter's name no shell is tried.
    let empty = format!("echo >services/runsv; chmod 755 services/runsv; {}", make("runsv"));
    gives(&empty, Some(":.."), &refused("exec format error"));
    gives("", Some("/dev/null:."), &refused("not a directory"));
    if !["/bin/runsv", "/usr/bin/runsv"].iter().any(|file| Path::new(file).exists()) {
        gives(&make("services/runsv"), None, &refused("file does not exist"));
    }
}

/// What a runsv finds when it is started: its arguments, place, signals, descriptors and environment.
const REPORT: &str = r#"#!/bin/sh
{
    tr '\0' ' ' </proc/$$/cmdline; echo; pwd
    grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status
    ls /proc/$$/fd; umask; env | sort
} >report 2>&1
echo done >$EAR
exec sleep 1000
"#;

#[test]
fn a_runsv_is_started_with_what_the_original_starts_it_with() {
    for args in [&["services"][..], &["-P", "services", "log: ........................................"]] {
        let reports: Vec<String> = both()
            .iter()
            .map(|programs| {
                let tree = Tree::with(programs);
                tree.directory("services/f\u{f6}o -b");
                age(&tree.path("services"));
                tree.service("own").program("runsv", REPORT);
                let mut runsvdir = tree.command("runsvdir").get_program().to_owned();
                runsvdir = fs::canonicalize(&runsvdir).unwrap().into_os_string();
                // What whoever starts it ignores, as nohup(1) does, is not ignored by services.
                let mut command = tree.command("env");
                command.args(["--ignore-signal=HUP,TERM,ALRM,USR1,INT", "sh", "-c", "umask 027; exec \"$@\"", "sh"]);
                command.arg(runsvdir).args(args).env("PATH", format!("{}:/usr/bin:/bin", tree.path("own").display()));
                let mut child = command.spawn().unwrap();
                assert_eq!(tree.heard(), "done");
                child.kill().unwrap();
                child.wait().unwrap();
                let report = fs::read_to_string(tree.path("services/report")).unwrap();
                report.replace(tree.path("").to_string_lossy().trim_end_matches('/'), "TREE")
            })
            .collect();
        assert!(reports[0].contains("runsv f\u{f6}o -b"), "{}", reports[0]);
        let ignored = reports[0].split("SigIgn:\t").nth(1).unwrap();
        let ignored = u64::from_str_radix(&ignored[..16], 16).unwrap();
        let is_ignored = |signal: Signal| ignored >> (signal as i32 - 1) & 1 == 1;
        assert!([Signal::SIGUSR1, Signal::SIGINT].into_iter().all(is_ignored), "{}", reports[0]);
        assert!(![Signal::SIGHUP, Signal::SIGTERM, Signal::SIGALRM].into_iter().any(is_ignored), "{}", reports[0]);
        assert!(reports.iter().all(|report| *report == reports[0]), "ours, the original's: {reports:#?}");
    }
}

#[test]
fn a_runsv_that_cannot_be_forked_is_tried_again() {
    for programs in both() {
        let tree = Tree::with(&programs);
        tree.directory("services/foo");
        age(&tree.path("services"));
        let runsvdir = fs::canonicalize(tree.command("runsvdir").get_program()).unwrap();
        let mut command = tree.command(crate::support::programs().join("chpst"));
        command.args(["-p", "1"]).arg(runsvdir).arg("services").stderr(tree.mouth());
        as_ordinary_user(&mut command);
        let mut child = command.spawn().unwrap();
        let refused = "runsvdir services: warning: unable to fork for foo: temporary failure";
        assert_eq!(tree.heard(), refused);
        // The original says that it cannot read the directory, too.
        assert_eq!(std::iter::from_fn(|| Some(tree.heard())).find(|line| line == refused).as_deref(), Some(refused));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_child_signal_that_is_ignored_by_whoever_starts_it_does_not_matter() {
    let tree = Tree::new();
    symlink(elsewhere(&tree, "foo"), tree.directory("services").join("foo")).unwrap();
    let mut command = tree.command("env");
    command.args(["--ignore-signal=CHLD", "runsvdir", "services"]);
    let _keeper = Keeper { tree: &tree, child: command.spawn().unwrap() };
    assert_eq!(tree.heard(), "foo up");
    send(parent(pid_of(&tree, "services/foo")), Signal::SIGTERM).unwrap();
    assert_eq!((tree.heard(), tree.heard()), ("foo finish".into(), "foo up".into()));
}

#[test]
fn a_signal_that_comes_before_the_first_look_is_obeyed_before_it() {
    for (signal, code) in [("TERM", 0), ("HUP", 111)] {
        let tree = Tree::new();
        let foo = tree.directory("services/foo");
        let mut command = tree.command("env");
        let script = format!("kill -{signal} $$; exec runsvdir services");
        command.arg(format!("--block-signal={signal}")).args(["sh", "-c", &script]);
        assert_eq!(command.status().unwrap().code(), Some(code));
        assert!(!foo.join("supervise").exists());
    }
}

#[test]
fn other_signals_end_it_alone() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let tree = Tree::new();
        let mut keeper = keep(&tree);
        symlink(elsewhere(&tree, "foo"), tree.path("services/foo")).unwrap();
        assert_eq!(tree.heard(), "foo up");
        let pid = pid_of(&tree, "services/foo");
        keeper.send(signal);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&keeper.ended()), Some(signal as i32));
        assert_eq!(pid_of(&tree, "services/foo"), pid);
    }
}

#[test]
fn a_working_directory_that_cannot_be_read_does_not_matter() {
    for programs in both() {
        let tree = Tree::with(&programs);
        tree.service("services/foo").run("say up; exec sleep 1000").made();
        let here = tree.directory("here");
        fs::set_permissions(&here, fs::Permissions::from_mode(0o311)).unwrap();
        if is_root() {
            for path in ["services", "services/foo", "services/foo/run"] {
                std::os::unix::fs::chown(tree.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let mut command = command(&tree, &["../services"]);
        as_ordinary_user(command.current_dir(&here));
        let mut keeper = Keeper { tree: &tree, child: command.spawn().unwrap() };
        if programs == crate::support::programs() {
            assert_eq!(tree.heard(), "up");
            keeper.send(Signal::SIGTERM);
            assert_eq!(keeper.ended().code(), Some(0));
        } else {
            let refused = "runsvdir ../services: fatal: unable to open current directory: access denied";
            assert_eq!((tree.heard(), keeper.ended().code()), (refused.to_owned(), Some(100)));
        }
        fs::set_permissions(&here, fs::Permissions::from_mode(0o755)).unwrap(); // so that it can be removed
    }
}

#[test]
fn a_tree_that_is_a_service_itself_is_stopped_by_the_hook_that_debian_makes() {
    // What mk-runscript makes: TERM would end runsvdir alone.
    for programs in both() {
        let tree = Tree::with(&programs);
        let service = tree.service("tree").run("exec runsvdir -P \"${EAR%ear}services\" 'log: ....................'");
        let service = service.script("control/t", "exec sv -v hup . >/dev/null");
        tree.service("services/foo").run("say up; exec sleep 1000").finish("say finish").made();
        age(&tree.path("services"));
        let running = service.start();
        assert_eq!(tree.heard(), "up");
        let runsv = parent(pid_of(&tree, "services/foo"));
        running.wait(|status| status.pid != 0);
        running.control(b"d");
        assert_eq!(tree.heard(), "finish");
        wait_until_gone(runsv);
        running.wait(|status| status.pid == 0);
        running.control(b"u");
        assert_eq!(tree.heard(), "up");
    }
}

#[test]
fn services_have_the_limit_of_descriptors_that_it_was_started_with() {
    for programs in both() {
        let tree = Tree::with(&programs);
        let limits = "say $(ulimit -Sn) of $(ulimit -Hn); exec sleep 1000";
        tree.service("services/foo").run(limits).made();
        age(&tree.path("services"));
        let mut command = tree.command("sh");
        command.args(["-c", "ulimit -Sn 200; ulimit -Hn 300; exec runsvdir services"]);
        let keeper = Keeper { tree: &tree, child: command.spawn().unwrap() };
        assert_eq!(tree.heard(), "200 of 300");
        if programs == self::programs() {
            // It becomes its program anew, and finds them as it was started with them.
            keeper.send(Signal::SIGUSR2);
            let bar = tree.service("elsewhere/bar").run(limits).made();
            symlink(bar, tree.path("services/bar")).unwrap();
            assert_eq!(tree.heard(), "200 of 300");
        }
        keeper.send(Signal::SIGHUP);
    }
}
