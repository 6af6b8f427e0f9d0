//! Users and groups of an account database of our own: it lies in another root directory, with what `id` needs.

use super::*;
use crate::support::{has, runit};

const PASSWD: &str = "\
root:x:0:0::/:/bin/sh
svc:x:1001:1001::/:/bin/sh
lone:x:1002:1002::/:/bin/sh
123:x:1003:1001::/:/bin/sh
last:x:4294967294:4294967294::/:/bin/sh
over:x:4294967296:4294967296::/:/bin/sh
minus:x:4294967295:4294967295::/:/bin/sh
empty:x:::/:/bin/sh:
";

/// `svc` is in its own group, in `extra`, and in 70 more.
fn groups() -> String {
    let more = (1..=70).map(|number| format!("g{number}:x:{}:svc\n", 2000 + number));
    format!("root:x:0:\nsvc:x:1001:\nextra:x:3000:svc,lone\nover:x:4294967297:\n{}", more.collect::<String>())
}

/// A root directory with the database; `None` where it cannot be made.
fn root() -> Option<Place> {
    if !is_root() {
        skip("needs root");
        return None;
    }
    if !has("ldd") || !has("id") {
        return None;
    }
    let place = Place::new();
    let files = Outcome::of(Command::new("ldd").arg("/usr/bin/id").env_clear().env("PATH", PATH)).stdout;
    let files = files.split_whitespace().filter(|word| word.starts_with('/')).chain(["/usr/bin/id"]);
    for file in files {
        let copy = place.path(&file[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        // Not fs::copy: a process started meanwhile would hold it open for writing, so that it cannot be run.
        assert!(Command::new("cp").arg("-L").arg(file).arg(copy).status().unwrap().success());
    }
    place.directory("etc").file("etc/passwd", PASSWD).file("etc/group", groups());
    place.file("etc/nsswitch.conf", "passwd: files\ngroup: files\n");
    Some(place)
}

impl Place {
    /// The ids that a program has, as `chpst` gives them: user, group, and all groups.
    fn ids(&self, program: &OsStr, options: &[&str]) -> [Outcome; 3] {
        ["-u", "-g", "-G"].map(|what| {
            let args = [&["-/", "."][..], options, &["/usr/bin/id", what]].concat();
            let mut command = Command::new(program);
            Outcome::of(command.arg0("chpst").args(args).env_clear().env("PATH", PATH).current_dir(self.home.path()))
        })
    }

    fn ours(&self, options: &[&str]) -> [Outcome; 3] {
        self.ids(CHPST.as_ref(), options)
    }
}

fn are(uid: &str, gid: &str, groups: &str) -> [Outcome; 3] {
    [uid, gid, groups].map(|text| says(&format!("{text}\n")))
}

fn nobody(text: &str) -> [Outcome; 3] {
    [0; 3].map(|_| fatal(text))
}

#[test]
fn a_user_alone_has_one_group_and_with_all_groups_every_one() {
    let Some(root) = root() else { return };
    let all = (1..=70).map(|number| (2000 + number).to_string()).collect::<Vec<_>>().join(" ");
    assert_eq!(root.ours(&["-u", "svc"]), are("1001", "1001", "1001"));
    assert_eq!(root.ours(&["-u", "svc", "--all-groups"]), are("1001", "1001", &format!("1001 {all} 3000")));
    assert_eq!(root.ours(&["--all-groups", "-u", "lone"]), are("1002", "1002", "1002 3000"));
    assert_eq!(root.ours(&["-u", "nosuch", "--all-groups"]), nobody("unknown user/group: nosuch"));
}

#[test]
fn listed_groups_are_all_there_are_however_many() {
    let Some(root) = root() else { return };
    assert_eq!(root.ours(&["-u", "svc:g2:g1"]), are("1001", "2002", "2002 2001"));
    assert_eq!(root.ours(&["-u", "lone:svc"]), are("1002", "1001", "1001"), "the user's own group is not among them");
    let (names, gids): (Vec<_>, Vec<_>) = (1..=70).map(|it| (format!("g{it}"), (2000 + it).to_string())).unzip();
    let ids = root.ours(&["-u", &format!("svc:{}", names.join(":"))]);
    assert_eq!(ids, are("1001", "2001", &gids.join(" ")));
}

#[test]
fn a_name_of_digits_is_a_name_and_no_entry_makes_root_by_accident() {
    let Some(root) = root() else { return };
    assert_eq!(root.ours(&["-u", "123"]), are("1003", "1001", "1001"));
    assert_eq!(root.ours(&["-u", "1001"]), nobody("unknown user/group: 1001"));
    assert_eq!(root.ours(&["-u", ":123:1"]), are("123", "1", "1"));
    assert_eq!(root.ours(&["-u", "last"]), are("4294967294", "4294967294", "4294967294"));
    for name in ["over", "empty", "svc:over"] {
        assert_eq!(root.ours(&["-u", name]), nobody(&format!("unknown user/group: {name}")), "{name}");
    }
    for ids in root.ours(&["-u", "minus"]) {
        assert_eq!((ids.stdout.as_str(), ids.code), ("", Some(111)), "{ids:?}");
    }
}

#[test]
fn the_original_finds_the_same_ids() {
    let (Some(runit), Some(root)) = (runit(), root()) else { return };
    let theirs = runit.join("chpst");
    for user in
        ["svc", "lone", "123", "1001", "svc:g2:g1", "lone:svc", "svc:svc:svc", "last", "over", "empty", "svc:over"]
    {
        assert_eq!(root.ours(&["-u", user]), root.ids(theirs.as_ref(), &["-u", user]), "{user}");
    }
}
