//! A disk that can be filled: a small one of the tree's own.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::support::*;

/// A file system in memory, mounted where only the processes of this tree see it. It goes with the last of them.
pub struct Disk {
    keeper: Child,
    /// The keeper ends when this is closed.
    _stdin: ChildStdin,
    enter: Vec<String>,
    /// Where those who see it find it.
    pub path: PathBuf,
}

impl Disk {
    /// None where nothing may be mounted.
    pub fn mount(tree: &Tree, size: &str) -> Option<Disk> {
        let path = tree.directory("disk");
        let namespaces: &[&str] = if is_root() { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
        let script = "mount -t tmpfs -o \"size=$1,mode=755\" none \"$2\" && echo mounted && exec cat";
        let mut command = tree.command("unshare");
        command.args(namespaces).args(["sh", "-c", script, "sh", size]).arg(&path);
        let mut keeper = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
        let stdin = keeper.stdin.take()?;
        let mut said = String::new();
        BufReader::new(keeper.stdout.take()?).read_line(&mut said).unwrap();
        if said != "mounted\n" {
            keeper.wait().unwrap();
            return None;
        }
        let mut enter = vec![format!("--target={}", keeper.id()), "--mount".to_owned()];
        if !is_root() {
            enter.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        Some(Disk { keeper, _stdin: stdin, enter, path })
    }

    /// A program that sees the disk.
    pub fn command(&self, tree: &Tree, program: &str) -> Command {
        let mut command = tree.command("nsenter");
        command.args(&self.enter).arg("--").arg(programs().join(program));
        command
    }

    /// Where the test finds what is on it.
    pub fn seen(&self) -> PathBuf {
        let own = self.path.strip_prefix("/").unwrap();
        PathBuf::from(format!("/proc/{}/root", self.keeper.id())).join(own)
    }

    pub fn fill(&self) {
        let mut file = File::create(self.seen().join("fill")).unwrap();
        let mut length = 1 << 20;
        while length > 0 {
            if file.write_all(&vec![0; length]).is_err() {
                length /= 2;
            }
        }
    }

    pub fn free(&self) {
        let _ = fs::remove_file(self.seen().join("fill"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
