//! What either runsv says of services that cannot be run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::support::*;

/// What is told of services that cannot be run, and of their end.
fn troubles(runsv: &Path) -> Vec<String> {
    let tree = Tree::new();
    let started = |name: &str, heard: usize| -> Vec<String> {
        let mut command = tree.command(runsv);
        command.stderr(tree.mouth());
        let running = tree.service(name).start_by(command);
        // What ours explains besides is a line of its own.
        let lines =
            std::iter::repeat_with(|| tree.heard()).filter(|line| !line.contains(": info: ")).take(heard).collect();
        running.wait(|_| true);
        running.control(b"x");
        assert_eq!(running.ended().0.code(), Some(0));
        while tree.heard_already().is_some() {}
        lines
    };
    let finish = "say finish $1 $2";
    let mut found = Vec::new();
    tree.service("none").finish(finish);
    found.extend(started("none", 2));
    tree.service("mode").file("run", "#!/bin/sh\n").finish(finish);
    found.extend(started("mode", 2));
    tree.service("text").program("run", "true\n").finish(finish);
    found.extend(started("text", 2));
    tree.service("interpreter").program("run", "#!/no/where\n").finish(finish);
    found.extend(started("interpreter", 2));
    tree.service("finish").run("exit 1").file("finish", "");
    found.extend(started("finish", 1));
    tree.service("directory").file("finish/x", "").run("exec sleep 1000").file("log", "");
    found.extend(started("directory", 1));
    tree.service("killed").run("kill -9 $$").finish(finish);
    found.extend(started("killed", 1));
    tree.service("aborted").run("ulimit -c unlimited; kill -ABRT $$").finish(finish);
    found.extend(started("aborted", 1));
    tree.service("log").file("log/x", "").file("down", "");
    found.extend(started("log", 1));
    fs::write(tree.path("file"), "").unwrap();
    tree.service("a").file("supervise/control", "");
    tree.service("b").file("supervise", "");
    symlink("no/where", tree.service("c").made().join("supervise")).unwrap();
    for args in [&["file"][..], &["a"], &["b"], &["c"], &["no"], &[""], &["-V"]] {
        let outcome = Outcome::of(tree.command(runsv).args(args));
        found.push(format!("{args:?} {:?} {}{}", outcome.code, outcome.stdout, outcome.stderr));
    }
    found
}

#[test]
fn troubles_are_told_in_the_originals_words() {
    let Some(runit) = runit() else { return };
    let expected = troubles(&runit.join("runsv"));
    same(&troubles(&programs().join("runsv")), &expected);
}
