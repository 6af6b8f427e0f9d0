//! What changes on the way to a service: links behind links, and directories that vanish under a running service.

use super::*;

/// A service called `set` in the set of that name, which says when it comes and goes.
fn service_in(tree: &Tree, set: &str) -> PathBuf {
    let service = tree.service(&format!("{set}/foo")).run(&format!("say {set} up; exec sleep 1000"));
    service.finish(&format!("say {set} finish")).made()
}

/// How many watches of the kernel's a process has.
fn watches(pid: i32) -> usize {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let texts = infos.filter_map(|info| fs::read_to_string(info.unwrap().path()).ok());
    texts.map(|text| text.lines().filter(|line| line.starts_with("inotify ")).count()).sum()
}

#[test]
fn what_a_link_leads_to_can_be_replaced_behind_it() {
    let tree = Tree::new();
    let keeper = keep(&tree);
    let (old, new) = (elsewhere(&tree, "old"), tree.path("elsewhere/foo"));
    fs::rename(old, &new).unwrap();
    symlink(&new, tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "old up");
    // As a package is installed again.
    fs::rename(&new, tree.path("away")).unwrap();
    assert_eq!(tree.heard(), "runsvdir services: warning: unable to stat foo: file does not exist");
    assert_eq!(tree.heard(), "old finish");
    fs::rename(elsewhere(&tree, "new"), &new).unwrap();
    assert_eq!(tree.heard(), "new up");
    assert_eq!(keeper.runsvs().len(), 1);
}

#[test]
fn what_is_filled_behind_a_link_is_started_once_it_is_complete() {
    let tree = Tree::new();
    let foo = tree.path("elsewhere/foo");
    tree.directory("services");
    tree.directory("elsewhere");
    symlink(&foo, tree.path("services/foo")).unwrap();
    let keeper = keep(&tree);
    assert_eq!(tree.heard(), "runsvdir services: warning: unable to stat foo: file does not exist");
    fs::create_dir(&foo).unwrap();
    keeper.catches_up("marker");
    assert!(!foo.join("supervise").exists());
    tree.service("elsewhere/foo")
        .log("read line; say log has $line; exec cat")
        .run("echo line; exec sleep 1000")
        .made();
    assert_eq!(tree.heard(), "log has line");
}

#[test]
fn every_link_on_the_way_may_lead_elsewhere() {
    let tree = Tree::new();
    let [one, two] = ["one", "two"].map(|set| service_in(&tree, set));
    // services -> in/set -> ../sets/one/services, whose foo -> ../../../link -> one/foo
    for set in ["one", "two"] {
        tree.directory(&format!("sets/{set}/services"));
        symlink("../../../link", tree.path(format!("sets/{set}/services/foo"))).unwrap();
    }
    tree.directory("in");
    symlink("../sets", tree.path("in/sets")).unwrap();
    symlink("sets/one", tree.path("in/set")).unwrap();
    symlink("in/set/services", tree.path("services")).unwrap();
    symlink(one, tree.path("link")).unwrap();
    let mut command = command(&tree, &["services"]);
    let keeper = Keeper { tree: &tree, child: command.spawn().unwrap() };
    assert_eq!(tree.heard(), "one up");
    link(&two, &tree.path("link"));
    assert_eq!((tree.heard(), tree.heard()), ("one finish".into(), "two up".into()));
    // The other services directory has the same service.
    link(Path::new("sets/two"), &tree.path("in/set"));
    let marker = tree.service("marker").run("say marker up; exec sleep 1000").made();
    symlink(&marker, tree.path("sets/two/services/marker")).unwrap();
    assert_eq!(tree.heard(), "marker up");
    assert_eq!(keeper.runsvs().len(), 2);
    let marker = parent(pid_of(&tree, "marker"));
    tree.directory("others");
    fs::rename(tree.path("sets/one"), tree.path("others/two")).unwrap();
    link(Path::new("../others"), &tree.path("in/sets"));
    wait_until_gone(marker);
    assert_eq!(keeper.runsvs().len(), 1);
}

#[test]
fn what_links_have_in_common_on_their_way_is_watched_for_each_of_them() {
    let tree = Tree::new();
    let service = |name: &str| {
        let service = tree.service(name).run(&format!("say {name} up; exec sleep 1000"));
        service.finish(&format!("say {name} finish")).made()
    };
    let [_, _, _, end, other] = ["one/a", "one/b", "two/a", "end", "other"].map(service);
    symlink("../link", tree.path("two/b")).unwrap();
    symlink(end, tree.path("link")).unwrap();
    symlink("one", tree.path("current")).unwrap();
    tree.directory("services");
    for name in ["a", "b"] {
        symlink(format!("../current/{name}"), tree.path("services").join(name)).unwrap();
    }
    let _keeper = keep(&tree);
    assert_eq!(heard_all(&tree, 2), ["one/a up", "one/b up"]);
    link(Path::new("two"), &tree.path("current"));
    assert_eq!(heard_all(&tree, 4), ["end up", "one/a finish", "one/b finish", "two/a up"]);
    // One of them leads on.
    link(&other, &tree.path("link"));
    assert_eq!(heard_all(&tree, 2), ["end finish", "other up"]);
}

#[test]
fn what_is_no_longer_on_the_way_is_not_watched() {
    let tree = Tree::new();
    ["one", "two"].iter().for_each(|set| drop(service_in(&tree, &format!("sets/{set}"))));
    symlink("sets/one", tree.path("services")).unwrap();
    let mut command = command(&tree, &["services"]);
    let keeper = Keeper { tree: &tree, child: command.spawn().unwrap() };
    let switch = |to: &str, from: &str| {
        link(Path::new(to), &tree.path("services"));
        assert_eq!((tree.heard(), tree.heard()), (format!("{from} finish"), format!("{to} up")));
    };
    assert_eq!(tree.heard(), "sets/one up");
    switch("sets/two", "sets/one");
    let before = watches(keeper.pid());
    assert!(before > 0);
    for _ in 0..3 {
        switch("sets/one", "sets/two");
        switch("sets/two", "sets/one");
    }
    assert_eq!(watches(keeper.pid()), before);
    // A link to somewhere else, and away with it.
    let far = tree.service("far/away/bar").run("say bar up; exec sleep 1000").finish("say bar finish").made();
    symlink(far, tree.path("sets/two/bar")).unwrap();
    assert_eq!(tree.heard(), "bar up");
    assert!(watches(keeper.pid()) > before);
    fs::remove_file(tree.path("sets/two/bar")).unwrap();
    assert_eq!(tree.heard(), "bar finish");
    keeper.send(Signal::SIGALRM);
    keeper.catches_up("marker");
}

#[test]
fn a_directory_that_is_removed_while_its_service_runs_is_stopped_and_may_come_again() {
    let programs = [Some(programs().to_owned()), runit()];
    for programs in programs.into_iter().flatten() {
        let tree = Tree::with(&programs);
        let run = "trap 'say term; exit' TERM; say up; while :; do sleep 1000 >/dev/null 2>&1 & wait; done";
        tree.service("services/foo").run(run).finish("say finish").made();
        age(&tree.path("services"));
        let keeper = keep_with(&tree, |command| {
            command.stderr(std::process::Stdio::null());
        });
        assert_eq!(tree.heard(), "up");
        let runsv = parent(pid_of(&tree, "services/foo"));
        // Not before all of it is gone shall anything be done.
        keeper.send(Signal::SIGSTOP);
        fs::remove_dir_all(tree.path("services/foo")).unwrap();
        keeper.send(Signal::SIGALRM);
        keeper.send(Signal::SIGCONT);
        assert_eq!(tree.heard(), "term");
        wait_until_gone(runsv);
        tree.service(".foo").run(run).made();
        fs::rename(tree.path(".foo"), tree.path("services/foo")).unwrap();
        keeper.send(Signal::SIGALRM);
        assert_eq!(tree.heard(), "up");
    }
}

#[test]
fn several_that_vanish_at_once_are_all_stopped() {
    let tree = Tree::new();
    let names = ["a", "b", "c", "d"];
    tree.directory("services");
    names.iter().for_each(|name| symlink(elsewhere(&tree, name), tree.path("services").join(name)).unwrap());
    let keeper = keep(&tree);
    assert_eq!(heard_all(&tree, 4), names.map(|name| format!("{name} up")));
    fs::rename(tree.path("services"), tree.path("away")).unwrap();
    tree.directory("empty");
    fs::rename(tree.path("empty"), tree.path("services")).unwrap();
    let mut lines: Vec<String> = (0..4).map(|_| tree.heard()).collect();
    // Between the two it may have found nothing.
    if let Some(at) = lines.iter().position(|line| line.starts_with("runsvdir services: warning: unable to stat")) {
        lines.remove(at);
        lines.push(tree.heard());
    }
    lines.sort();
    assert_eq!(lines, names.map(|name| format!("{name} finish")));
    keeper.catches_up("marker");
}

#[test]
fn a_link_to_another_entry_leads_where_that_leads() {
    let tree = Tree::new();
    tree.directory("services");
    let [one, two] = ["one", "two"].map(|name| elsewhere(&tree, name));
    symlink(&one, tree.path("services/entry")).unwrap();
    let keeper = keep(&tree);
    assert_eq!(tree.heard(), "one up");
    symlink("entry", tree.path("services/other")).unwrap();
    keeper.catches_up("marker");
    link(&two, &tree.path("services/entry"));
    assert_eq!(heard_all(&tree, 2), ["one finish", "two up"]);
    fs::remove_file(tree.path("services/other")).unwrap();
    keeper.catches_up("another");
    fs::remove_file(tree.path("services/entry")).unwrap();
    assert_eq!(tree.heard(), "two finish");
}

#[test]
fn another_way_to_the_same_service_is_watched_as_well() {
    let tree = Tree::new();
    tree.directory("services");
    let [one, two] = ["one", "two"].map(|name| elsewhere(&tree, name));
    for way in ["way", "detour"] {
        tree.directory(way);
        symlink(&one, tree.path(way).join("foo")).unwrap();
    }
    let keeper = keep(&tree);
    symlink("../way/foo", tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "one up");
    link(Path::new("../detour/foo"), &tree.path("services/foo"));
    keeper.catches_up("marker");
    link(&two, &tree.path("detour/foo"));
    assert_eq!(heard_all(&tree, 2), ["one finish", "two up"]);
}

#[test]
fn however_many_come_or_go_at_once_they_all_do() {
    let tree = Tree::new();
    let keeper = keep(&tree);
    let names: Vec<String> = (100..140).map(|number| format!("foo{number}")).collect();
    let services: Vec<PathBuf> = names.iter().map(|name| elsewhere(&tree, name)).collect();
    let at_once = |deed: &dyn Fn()| {
        keeper.send(Signal::SIGSTOP);
        deed();
        keeper.send(Signal::SIGCONT);
    };
    let entry = |name: &String| tree.path("services").join(name);
    at_once(&|| names.iter().zip(&services).for_each(|(name, to)| symlink(to, entry(name)).unwrap()));
    assert_eq!(heard_all(&tree, names.len()), names.iter().map(|name| format!("{name} up")).collect::<Vec<_>>());
    // Some are the others' already, some came and went.
    at_once(&|| {
        symlink(&services[0], entry(&"again".to_owned())).unwrap();
        symlink(&services[0], entry(&"brief".to_owned())).unwrap();
        fs::remove_file(entry(&"brief".to_owned())).unwrap();
        fs::write(entry(&"file".to_owned()), "").unwrap();
    });
    keeper.catches_up("marker");
    at_once(&|| names.iter().for_each(|name| fs::remove_file(entry(name)).unwrap()));
    assert_eq!(
        heard_all(&tree, names.len() - 1),
        names[1..].iter().map(|name| format!("{name} finish")).collect::<Vec<_>>()
    );
    fs::remove_file(entry(&"again".to_owned())).unwrap();
    assert_eq!(tree.heard(), "foo100 finish");
}

#[test]
fn whatever_is_above_the_services_directory_or_on_the_way_of_a_link_may_be_exchanged() {
    let tree = Tree::new();
    for set in ["old", "new"] {
        tree.service(&format!("{set}/home/services/{set}")).run(&format!("say {set} up; exec sleep 1000")).made();
    }
    let mut command = command(&tree, &[]);
    command.arg(tree.path("old/home/services"));
    let keeper = Keeper { tree: &tree, child: command.spawn().unwrap() };
    assert_eq!(tree.heard(), "old up");
    fs::rename(tree.path("old"), tree.path("older")).unwrap();
    fs::rename(tree.path("new"), tree.path("old")).unwrap();
    // It may have looked in between, and said so.
    let heard = || std::iter::repeat_with(|| tree.heard()).find(|line| !line.starts_with("runsvdir ")).unwrap();
    assert_eq!(heard(), "new up");
    // And far behind a link.
    for set in ["one", "two"] {
        tree.service(&format!("{set}/sv/deep/foo")).run(&format!("say foo {set} up; exec sleep 1000")).made();
    }
    symlink(tree.path("one/sv/deep/foo"), tree.path("old/home/services/foo")).unwrap();
    assert_eq!(heard(), "foo one up");
    fs::rename(tree.path("one"), tree.path("gone")).unwrap();
    fs::rename(tree.path("two"), tree.path("one")).unwrap();
    assert_eq!(heard(), "foo two up");
    drop(keeper);
}

#[test]
fn what_is_mounted_on_the_services_directory_is_seen() {
    if !is_root() {
        return skip("needs root, to mount");
    }
    let tree = Tree::new();
    tree.service("foo").run("say foo up; exec sleep 1000").made();
    tree.directory("services");
    // In a mount namespace that ends with what is in it.
    let script = "runsvdir services & read -r _ <gate; mount -t tmpfs tmpfs services; ln -s ../foo services/foo; wait";
    let mut shell = tree.command("unshare");
    let mut gate = gate(&tree);
    let shell = shell.args(["--mount", "--propagation", "private", "sh", "-c", script]).spawn().unwrap();
    let _keeper = Keeper { tree: &tree, child: shell };
    let before = tree.service("before").run("say before up; exec sleep 1000").made();
    symlink(before, tree.path("services/before")).unwrap();
    assert_eq!(tree.heard(), "before up");
    writeln!(gate, "go").unwrap();
    assert_eq!(tree.heard(), "foo up");
}
