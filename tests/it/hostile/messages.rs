//! Messages of supervisors, which a user can make them say.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use homerun::sys::process::send;
use homerun::sys::signal::Signal;

use crate::support::*;

#[test]
fn a_thousand_complaints_are_two_hundred_and_a_word_that_there_are_more() {
    let tree = Tree::new();
    let services = tree.directory("services");
    (0..1000).for_each(|number| symlink("nowhere", services.join(format!("x{number}"))).unwrap());
    tree.service("services/up").run("say up; exec sleep 1000");
    let mut child = tree.command("runsvdir").arg("services").stderr(Stdio::piped()).spawn().unwrap();
    assert_eq!(tree.heard(), "up");
    // A flood of new ones that are complained of never: each is there for a moment.
    for number in 0..200 {
        fs::rename(services.join(format!("x{number}")), services.join(format!("y{number}"))).unwrap();
    }
    send(i32::try_from(child.id()).unwrap(), Signal::SIGHUP).unwrap();
    let mut stderr = child.stderr.take().unwrap();
    assert_eq!(wait_for_end(&mut child).expect("it ends").code(), Some(111));
    let mut said = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut said).unwrap();
    let (complaints, rest): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| line.ends_with(": file does not exist"));
    assert!((200..250).contains(&complaints.len()), "{}", complaints.len());
    assert_eq!(rest, ["runsvdir services: warning: too many messages: the next are dropped and counted"]);
}

#[test]
fn a_message_is_short_whatever_is_in_a_name() {
    let tree = Tree::new();
    let name = vec!["x".repeat(200); 24].join("/"); // longer than any path
    let said = tree.run("runsv", &[&name]);
    assert_eq!((said.code, said.stderr.len(), said.stderr.lines().count()), (Some(111), 4096, 1));
}
