//! runsvdir-user: root's step to a user's tree, and the ordered stop of it.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use homerun::model::status::{State, Want};
use homerun::sys::inotify::{Changes, Watcher};
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::account::{Land, new_name};
use crate::support::*;

/// A tree of a user that was started without an outer supervisor.
pub struct Started {
    child: Child,
}

impl Started {
    pub fn by(command: &mut Command) -> Started {
        Started { child: command.stderr(Stdio::piped()).spawn().unwrap() }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The next line on stderr.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.child.stderr.as_mut().unwrap().read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Stops the tree in order: how it ended, and what it said since.
    pub fn stop(mut self) -> (ExitStatus, String) {
        process::send(self.pid(), Signal::SIGTERM).unwrap();
        let status = wait_for_end(&mut self.child).expect("the tree stops");
        let mut stderr = self.child.stderr.take().unwrap();
        homerun::sys::fd::set_nonblocking(stderr.as_fd(), true).unwrap();
        let mut said = Vec::new();
        let _ = stderr.read_to_end(&mut said);
        (status, String::from_utf8(said).unwrap())
    }
}

pub fn runsvdir_user(land: &Land, args: &[&str]) -> Command {
    let mut command = land.tree.command("runsvdir-user");
    command.args(args);
    command
}

fn words(text: &str) -> Vec<u32> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

/// The words after `name:` in /proc/PID/status.
pub fn status_of(pid: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
    line[name.len() + 1..].trim().to_owned()
}

#[test]
fn a_service_has_the_users_ids_and_every_group() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say $$; exec sleep 1000");
    let started = Started::by(&mut runsvdir_user(&land, &[&land.user.name]));
    let pid = land.tree.heard();
    assert_eq!(words(&status_of(&pid, "Uid")), [land.user.uid; 4]);
    assert_eq!(words(&status_of(&pid, "Gid")), [land.user.gid; 4]);
    let groups: BTreeSet<u32> = words(&status_of(&pid, "Groups")).into_iter().collect();
    let wanted: BTreeSet<u32> = land.user.groups.iter().copied().chain([land.user.gid]).collect();
    assert_eq!(groups, wanted);
    assert_eq!(status_of(&pid, "CapEff"), "0000000000000000");
    assert_eq!(status_of(&pid, "CapPrm"), "0000000000000000");
    let (status, said) = started.stop();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    assert_eq!(land.processes(), [0; 0]);
}

#[test]
fn the_environment_is_the_documented_one_and_nothing_else() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "cat /proc/$$/environ >environ; say written; exec sleep 1000");
    let mut command = runsvdir_user(&land, &[&land.user.name]);
    command
        .env("LANG", "xx_XX.UTF-8")
        .env("LC_TIME", "C")
        .env("LC_", "odd")
        .env("TZ", "Mars/Olympus")
        .env("LANGUAGE", "xx")
        .env("LD_PRELOAD", "/nonexistent")
        .env("LD_LIBRARY_PATH", "/nonexistent")
        .env("IFS", "x")
        .env("ENV", "/nonexistent")
        .env("XDG_RUNTIME_DIR", "/nonexistent")
        .env("XDG_CONFIG_HOME", "/root")
        .env("SVDIR", "/nonexistent")
        .env("SVWAIT", "1")
        .env("USER", "root")
        .env("SHELL", "/nonexistent")
        .env("HOME", "/root");
    // LD_PRELOAD of a file that is missing: the loader of each program would say so.
    let started = Started::by(command.env_remove("LD_PRELOAD"));
    assert_eq!(land.tree.heard(), "written");
    let (home, name, uid) = (land.user.home.display(), &land.user.name, land.user.uid);
    let bin = land.tree.path("bin");
    let wanted = [
        format!("HOME={home}"),
        "LANG=xx_XX.UTF-8".to_owned(),
        "LC_=odd".to_owned(),
        "LC_TIME=C".to_owned(),
        format!("LOGNAME={name}"),
        format!("PATH={}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", bin.display()),
        "SHELL=/bin/sh".to_owned(),
        format!("SVDIR={home}/service"),
        "TZ=Mars/Olympus".to_owned(),
        format!("USER={name}"),
        format!("XDG_RUNTIME_DIR=/run/user/{uid}"),
    ];
    assert_eq!(environment_in(&land.user.home.join("service/foo/environ")), wanted);
    started.stop();
}

fn environment_in(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let mut entries: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    entries.sort();
    entries
}

#[test]
fn the_runtime_directory_is_made_for_the_user_alone() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say up; exec sleep 1000");
    let runtime = PathBuf::from(format!("/run/user/{}", land.user.uid));
    assert!(!runtime.exists());
    let started = Started::by(&mut runsvdir_user(&land, &[&land.user.name]));
    assert_eq!(land.tree.heard(), "up");
    let found = fs::symlink_metadata(&runtime).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode()), (land.user.uid, land.user.gid, 0o40700));
    started.stop();
}

#[test]
fn options_set_the_path_the_mask_and_more_variables() {
    let Some(land) = Land::made() else { return };
    let env = land.tree.directory("env");
    fs::write(env.join("TOKEN"), "secret\nnot this\n").unwrap();
    fs::write(env.join("LANG"), "").unwrap();
    fs::set_permissions(env.join("TOKEN"), Permissions::from_mode(0o600)).unwrap();
    land.script("service/foo/run", "say \"$(umask) $TOKEN ${LANG-unset} $PATH\"; exec sleep 1000");
    let path = format!("{}:/bin:/usr/bin", land.tree.path("bin").display());
    let args = ["--path", &path, "--umask", "027", "--env", env.to_str().unwrap(), &land.user.name];
    let started = Started::by(runsvdir_user(&land, &args).env("LANG", "C"));
    assert_eq!(land.tree.heard(), format!("0027 secret unset {path}"));
    started.stop();
}

#[test]
fn the_mask_is_022_unless_given() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say \"$(umask)\"; exec sleep 1000");
    let mut command = land.tree.command("sh");
    command.args(["-c", "umask 0; exec runsvdir-user \"$0\"", &land.user.name]);
    let started = Started::by(&mut command);
    assert_eq!(land.tree.heard(), "0022");
    started.stop();
}

#[test]
fn the_tree_leads_a_session_in_the_home_of_the_user() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say up; exec sleep 1000");
    let started = Started::by(&mut runsvdir_user(&land, &[&land.user.name]));
    assert_eq!(land.tree.heard(), "up");
    let pid = started.pid();
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), land.user.home);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    let pid = pid.to_string();
    assert_eq!((fields[2], fields[3], fields[4]), (pid.as_str(), pid.as_str(), "0"), "group, session, terminal");
    started.stop();
}

#[test]
fn it_becomes_runsvdir_on_the_services_directory() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say up; exec sleep 1000");
    let started = Started::by(&mut runsvdir_user(&land, &[&land.user.name]));
    assert_eq!(land.tree.heard(), "up");
    let command_line = homerun::sys::proc::command_line(started.pid());
    let wanted = format!("runsvdir\0-P\0{}/service\0", land.user.home.display());
    assert_eq!(String::from_utf8(command_line).unwrap(), wanted);
    started.stop();
}

#[test]
fn a_service_has_only_the_three_standard_descriptors() {
    let Some(land) = Land::made() else { return };
    // 3 is the directory that ls reads.
    land.script("service/foo/run", "ls /proc/self/fd >fds; say $(cat fds); exec sleep 1000");
    let mut command = land.tree.command("sh");
    command.args(["-c", "exec 3</dev/null 5</dev/null 9</; exec runsvdir-user \"$0\"", &land.user.name]);
    let started = Started::by(&mut command);
    assert_eq!(land.tree.heard(), "0 1 2 3");
    started.stop();
}

#[test]
fn closed_descriptors_are_opened() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "ls /proc/self/fd >fds; say $(cat fds); exec sleep 1000");
    let mut command = land.tree.command("sh");
    command.args(["-c", "exec 0<&- 1<&-; exec runsvdir-user \"$0\"", &land.user.name]);
    let started = Started::by(&mut command);
    assert_eq!(land.tree.heard(), "0 1 2 3");
    started.stop();
}

#[test]
fn signals_are_default_and_unblocked_whatever_the_caller_does() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "grep Sig /proc/self/status >signals; say up; exec sleep 1000");
    let mut command = land.tree.command("env");
    let ignored = "--ignore-signal=INT,QUIT,HUP,PIPE,TERM,CHLD,CONT,USR1,TSTP,RTMIN,RTMAX";
    command.args([ignored, "--block-signal", "runsvdir-user", &land.user.name]);
    let started = Started::by(&mut command);
    assert_eq!(land.tree.heard(), "up");
    let signals = fs::read_to_string(land.user.home.join("service/foo/signals")).unwrap();
    for name in ["SigBlk:\t", "SigIgn:\t"] {
        let set = signals.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        // 32 and 33 are the C library's own: posix_spawn ignores 32, and nobody can change that.
        assert_eq!(u64::from_str_radix(set, 16).unwrap() & !0x1_8000_0000, 0, "{signals}");
    }
    started.stop();
}

#[test]
fn a_missing_default_services_directory_is_made() {
    let Some(land) = Land::made() else { return };
    let started = Started::by(&mut runsvdir_user(&land, &[&land.user.name]));
    let service = land.user.home.join("service");
    let found = land.tree.wait_in(&land.user.home, || fs::symlink_metadata(&service).ok());
    assert_eq!((found.uid(), found.gid(), found.mode()), (land.user.uid, land.user.gid, 0o40755));
    started.stop();
}

#[test]
fn another_services_directory_is_below_the_home_or_where_it_says() {
    let Some(land) = Land::made() else { return };
    land.script("own/foo/run", "say \"foo $SVDIR\"; exec sleep 1000");
    let own = land.user.home.join("own");
    let own = own.to_str().unwrap();
    for given in ["own", own] {
        let started = Started::by(&mut runsvdir_user(&land, &[&land.user.name, given]));
        assert_eq!(land.tree.heard(), format!("foo {own}"));
        started.stop();
    }
}

#[test]
fn an_empty_tree_stops_at_once() {
    let Some(land) = Land::made() else { return };
    land.directory("service");
    land.script("service/foo/run", "say up; exec sleep 1000");
    let started = Started::by(&mut runsvdir_user(&land, &[&land.user.name]));
    assert_eq!(land.tree.heard(), "up");
    let (status, said) = started.stop();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

#[test]
fn refusals_say_why_and_have_a_code_each() {
    let Some(land) = Land::made() else { return };
    let name = land.user.name.as_str();
    let run = |args: &[&str]| Outcome::of(&mut runsvdir_user(&land, args));
    let unknown = new_name();
    assert_eq!(run(&[&unknown]), fails(&format!("runsvdir-user {unknown}: fatal: unknown user\n"), 101));
    assert_eq!(run(&["../x"]), fails("runsvdir-user ../x: fatal: unknown user\n", 101));
    assert_eq!(run(&[""]), fails("runsvdir-user : fatal: unknown user\n", 101));
    let text = "runsvdir-user root: fatal: uid 0 is refused: --allow-root accepts it\n";
    assert_eq!(run(&["root"]), fails(text, 102));
    let text = "runsvdir-user: fatal: no user given, and the service directory is not called runsvdir-NAME\n";
    assert_eq!(run(&[]), fails(text, 110));
    assert_eq!(run(&["--umask", "8", name]), fails("runsvdir-user: fatal: invalid umask: 8\n", 110));
    assert_eq!(run(&["--deadline", "soon", name]), fails("runsvdir-user: fatal: invalid deadline: soon\n", 110));
    let program = land.tree.path("bin/runsvdir-user");
    let usage = format!("usage: {} [options] [user [services-directory]]\n\n", program.display());
    assert_eq!(run(&[name, "service", "more"]), fails(&usage, 110));
    let text = format!("runsvdir-user: illegal option -- no-such\n{usage}");
    assert_eq!(run(&["--no-such", name]), fails(&text, 110));
    assert!(!Path::new(&format!("/run/user/{}", land.user.uid)).exists());
}

#[test]
fn an_ordinary_user_gets_only_his_own_tree() {
    let Some(land) = Land::made() else { return };
    let text = "runsvdir-user nobody: fatal: only root can become another user\n";
    assert_eq!(Outcome::of(land.as_user("runsvdir-user").arg("nobody")), fails(text, 103));
    let text = "runsvdir-user root: fatal: only root can become another user\n";
    assert_eq!(Outcome::of(land.as_user("runsvdir-user").args(["--allow-root", "root"])), fails(text, 103));
}

#[test]
fn root_is_accepted_where_it_is_allowed() {
    let Some(land) = Land::made() else { return };
    let services = land.tree.directory("services");
    fs::create_dir(services.join("foo")).unwrap();
    land.root_script(&services.join("foo/run"), "say \"$USER $HOME $(id -u)\"; exec sleep 1000");
    let mut command = runsvdir_user(&land, &["--allow-root", "root", services.to_str().unwrap()]);
    let runtime = land.tree.directory("runtime");
    fs::set_permissions(&runtime, Permissions::from_mode(0o700)).unwrap();
    let started = Started::by(command.env("XDG_RUNTIME_DIR", &runtime));
    assert_eq!(land.tree.heard(), "root /root 0");
    started.stop();
}

#[test]
fn a_services_directory_of_somebody_else_is_refused() {
    let Some(land) = Land::made() else { return };
    let service = land.user.home.join("service");
    let (name, shown) = (land.user.name.as_str(), service.display().to_string());
    let refused =
        |why: &str, code| fails(&format!("runsvdir-user {name}: fatal: services directory {shown} {why}\n"), code);
    fs::create_dir(&service).unwrap();
    let run = || Outcome::of(&mut runsvdir_user(&land, &[name]));
    assert_eq!(run(), refused(&format!("belongs to uid 0: it must be {name}'s"), 105));

    fs::remove_dir(&service).unwrap();
    symlink("/etc", &service).unwrap();
    assert_eq!(run(), refused(&format!("belongs to uid 0: it must be {name}'s"), 105), "a link to root's");

    fs::remove_file(&service).unwrap();
    fs::write(&service, "").unwrap();
    land.user.give(&service);
    assert_eq!(run(), refused("is not a directory", 105), "a file");

    fs::remove_file(&service).unwrap();
    homerun::sys::file::make_fifo(&service, 0o666).unwrap();
    land.user.give(&service);
    assert_eq!(run(), refused("is not a directory", 105), "a FIFO, which nobody opens: that would hang");
}

#[test]
fn a_services_directory_that_others_can_write_is_refused() {
    let Some(land) = Land::made() else { return };
    let service = land.directory("service");
    let name = land.user.name.as_str();
    for (mode, gid) in [(0o757, land.user.gid), (0o777, land.user.gid), (0o775, land.user.groups[0])] {
        std::os::unix::fs::chown(&service, None, Some(gid)).unwrap();
        fs::set_permissions(&service, Permissions::from_mode(mode)).unwrap();
        let text = format!(
            "runsvdir-user {name}: fatal: services directory {} has mode {mode:04o}: nobody but {name} may write there\n",
            service.display()
        );
        assert_eq!(Outcome::of(&mut runsvdir_user(&land, &[name])), fails(&text, 106));
    }
}

#[test]
fn a_runtime_directory_that_is_not_the_users_alone_is_refused() {
    let Some(land) = Land::made() else { return };
    let name = land.user.name.as_str();
    let runtime = PathBuf::from(format!("/run/user/{}", land.user.uid));
    let shown = runtime.display();
    let run = || Outcome::of(&mut runsvdir_user(&land, &[name]));
    let refused = |why: &str| fails(&format!("runsvdir-user {name}: fatal: runtime directory {shown} {why}\n"), 107);
    fs::create_dir(&runtime).unwrap();
    assert_eq!(run(), refused(&format!("belongs to uid 0: it must be {name}'s")));

    land.user.give(&runtime);
    fs::set_permissions(&runtime, Permissions::from_mode(0o750)).unwrap();
    assert_eq!(run(), refused(&format!("has mode 0750: it must be 0700, for {name} alone")));

    fs::remove_dir(&runtime).unwrap();
    let own = land.directory("own");
    fs::set_permissions(&own, Permissions::from_mode(0o700)).unwrap();
    symlink(&own, &runtime).unwrap();
    assert_eq!(run(), refused("is a link: it must be a directory"), "even where it leads to a good one");

    fs::remove_file(&runtime).unwrap();
    let nowhere = land.tree.path("nowhere");
    symlink(&nowhere, &runtime).unwrap();
    assert_eq!(run(), refused("is a link: it must be a directory"));
    assert!(!nowhere.exists());

    fs::remove_file(&runtime).unwrap();
    fs::write(&runtime, "").unwrap();
    assert_eq!(run(), refused("is not a directory"));
}

#[test]
fn more_variables_are_roots_or_refused() {
    let Some(land) = Land::made() else { return };
    let name = land.user.name.as_str();
    let env = land.tree.directory("env");
    land.user.give(&env);
    let shown = env.display();
    let run = || Outcome::of(&mut runsvdir_user(&land, &["--env", env.to_str().unwrap(), name]));
    let refused =
        |why: &str| fails(&format!("runsvdir-user {name}: fatal: environment directory {shown} {why}\n"), 108);
    assert_eq!(run(), refused(&format!("belongs to uid {}: it must be root's", land.user.uid)));
    std::os::unix::fs::chown(&env, Some(0), Some(0)).unwrap();
    fs::set_permissions(&env, Permissions::from_mode(0o775)).unwrap();
    assert_eq!(run(), refused("has mode 0775: nobody but root may write there"));
    fs::remove_dir(&env).unwrap();
    let text =
        format!("runsvdir-user {name}: fatal: unable to read environment directory {shown}: file does not exist\n");
    assert_eq!(run(), fails(&text, 108));
    fs::write(&env, "").unwrap();
    assert_eq!(run(), refused("is not a directory"));
}

#[test]
fn the_way_to_more_variables_is_roots_too() {
    let Some(land) = Land::made() else { return };
    let name = land.user.name.as_str();
    let env = land.directory("env");
    std::os::unix::fs::chown(&env, Some(0), Some(0)).unwrap();
    let home = env.parent().unwrap().to_path_buf();
    let run = |env: &Path| Outcome::of(&mut runsvdir_user(&land, &["--env", env.to_str().unwrap(), name]));
    let refused = |step: &Path, why: &str| {
        fails(&format!("runsvdir-user {name}: fatal: environment directory {} {why}\n", step.display()), 108)
    };
    assert_eq!(run(&env), refused(&home, &format!("belongs to uid {}: it must be root's", land.user.uid)));
    let link = land.tree.path("link");
    std::os::unix::fs::symlink(&home, &link).unwrap();
    assert_eq!(run(&link), refused(&link, "is a link: it must be a directory"));
}

#[test]
fn what_root_makes_does_not_depend_on_roots_mask() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say up; exec sleep 1000");
    // A /run of its own, in which there is no /run/user yet.
    let mut command = land.tree.command("unshare");
    let script = "mount -t tmpfs none /run && umask 077 && exec runsvdir-user \"$0\"";
    command.args(["--mount", "sh", "-c", script, &land.user.name]);
    let started = Started::by(&mut command);
    assert_eq!(land.tree.heard(), "up");
    assert_eq!(started.stop().0.code(), Some(0));
}

/// A directory that only root can enter, in which nothing may be touched; and what was.
pub struct Secret {
    pub path: PathBuf,
    watcher: Watcher,
}

impl Secret {
    pub fn of(tree: &Tree) -> Secret {
        let path = tree.directory("secret");
        fs::create_dir(path.join("inside")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
        let watcher = Watcher::new().unwrap();
        let changes = Changes::IN_OPEN | Changes::IN_ACCESS | Changes::IN_CREATE | Changes::IN_ATTRIB;
        watcher.watch(&path, changes).unwrap();
        watcher.watch(&path.join("inside"), changes).unwrap();
        Secret { path, watcher }
    }

    pub fn is_untouched(&self) -> bool {
        self.watcher.changes().unwrap().is_empty()
    }
}

#[test]
fn root_never_follows_what_the_user_controls() {
    let Some(land) = Land::made() else { return };
    let name = land.user.name.as_str();
    let secret = Secret::of(&land.tree);
    let inside = secret.path.join("inside");

    // Root could have entered these: that it was denied shows that it was not root who tried.
    let service = land.user.home.join("service");
    symlink(&inside, &service).unwrap();
    let mut started = Started::by(&mut runsvdir_user(&land, &[name]));
    let wanted = format!(
        "runsvdir-user {name}: warning: unable to stat services directory {}: access denied, waiting",
        service.display()
    );
    assert_eq!(started.line(), wanted);
    started.stop();

    let kept = land.tree.path("kept");
    fs::rename(&land.user.home, &kept).unwrap();
    symlink(&inside, &land.user.home).unwrap();
    let mut started = Started::by(&mut runsvdir_user(&land, &[name]));
    let wanted = format!(
        "runsvdir-user {name}: warning: unable to change to home directory {}: access denied, waiting",
        land.user.home.display()
    );
    assert_eq!(started.line(), wanted);
    started.stop();

    let runtime = PathBuf::from(format!("/run/user/{}", land.user.uid));
    fs::remove_file(&land.user.home).unwrap();
    fs::remove_file(kept.join("service")).unwrap();
    fs::rename(&kept, &land.user.home).unwrap();
    fs::remove_dir(&runtime).unwrap();
    symlink(&inside, &runtime).unwrap();
    assert_eq!(Outcome::of(&mut runsvdir_user(&land, &[name])).code, Some(107));
    assert!(secret.is_untouched());
}

#[test]
fn a_home_that_comes_later_is_waited_for_and_said_once() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say up; exec sleep 1000");
    let elsewhere = land.tree.path("elsewhere");
    fs::rename(&land.user.home, &elsewhere).unwrap();
    let mut started = Started::by(&mut runsvdir_user(&land, &[&land.user.name]));
    let wanted = format!(
        "runsvdir-user {}: warning: unable to change to home directory {}: file does not exist, waiting",
        land.user.name,
        land.user.home.display()
    );
    assert_eq!(started.line(), wanted);
    fs::rename(&elsewhere, &land.user.home).unwrap();
    assert_eq!(land.tree.heard(), "up");
    let (status, said) = started.stop();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

#[test]
fn a_given_services_directory_is_waited_for_and_not_made() {
    let Some(land) = Land::made() else { return };
    land.script("elsewhere/foo/run", "say up; exec sleep 1000");
    let mut started = Started::by(&mut runsvdir_user(&land, &[&land.user.name, "mounted"]));
    let mounted = land.user.home.join("mounted");
    let wanted = format!(
        "runsvdir-user {}: warning: unable to stat services directory {}: file does not exist, waiting",
        land.user.name,
        mounted.display()
    );
    assert_eq!(started.line(), wanted);
    fs::rename(land.user.home.join("elsewhere"), &mounted).unwrap();
    assert_eq!(land.tree.heard(), "up");
    started.stop();
}

/// The service of root's supervisor that runs the user's tree, from `etc/sv`; what its log gets is said, after `log:`.
pub struct Outer<'a> {
    pub running: Running<'a>,
}

impl<'a> Outer<'a> {
    /// As `directory`, under the supervisor `runsv`, which calls it `name`.
    fn start(land: &'a Land, runsv: &Path, directory: &str, name: &str, conf: &str) -> Outer<'a> {
        let place = land.tree.path(directory);
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/sv/runsvdir-user");
        assert!(Command::new("cp").arg("-R").args([&template, &place]).status().unwrap().success());
        land.root_script(&place.join("log/run"), "while IFS= read -r line; do say \"log: $line\"; done");
        fs::write(place.join("conf"), conf).unwrap();
        if directory != name {
            symlink(&place, land.tree.path(name)).unwrap();
        }
        let child = land.tree.command(runsv).arg(name).stderr(Stdio::piped()).spawn().unwrap();
        let running = land.tree.supervised(child, place);
        running.wait(|_| true);
        Outer { running }
    }

    pub fn of(land: &'a Land, runsv: &Path, conf: &str) -> Outer<'a> {
        let name = format!("runsvdir-{}", land.user.name);
        Outer::start(land, runsv, &name, &name, conf)
    }

    /// `sv down`, which must succeed.
    pub fn down(&self, land: &Land) {
        let said = land.tree.sv(&["-w", "30", "down", self.running.directory.to_str().unwrap()]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
        assert!(said.stdout.starts_with("ok: down: "), "{}", said.stdout);
    }
}

fn the_name_is_that_of_the_service_directory(runsv: &Path) {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say \"$USER\"; exec sleep 1000");
    let name = format!("runsvdir-{}", land.user.name);
    for directory in [&name, "template"] {
        let outer = Outer::start(&land, runsv, directory, &name, "");
        assert_eq!(land.tree.heard(), land.user.name);
        let (status, said) = outer.running.exit();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
        assert_eq!(land.processes(), [0; 0]);
        fs::rename(land.tree.path(&name), land.tree.path(format!("was {directory}"))).unwrap();
    }
}

#[test]
fn the_name_is_that_of_a_copy_or_a_link() {
    the_name_is_that_of_the_service_directory(Path::new("runsv"));
}

#[test]
fn the_name_is_that_of_a_copy_or_a_link_under_c_runits_runsv() {
    let Some(runit) = runit() else { return };
    the_name_is_that_of_the_service_directory(&runit.join("runsv"));
}

fn down_stops_all_in_order(runsv: &Path) {
    let Some(land) = Land::made() else { return };
    for name in ["a", "b"] {
        let trap = format!("trap 'kill $!; say {name} ends; exit' TERM");
        let run = format!("sleep 1000 & {trap}; say {name} up; wait");
        land.script(&format!("service/{name}/run"), &run);
        land.script(&format!("service/{name}/log/run"), &format!("trap '' TERM; cat >/dev/null; say {name} log ends"));
    }
    let outer = Outer::of(&land, runsv, "");
    assert_eq!(BTreeSet::from([land.tree.heard(), land.tree.heard()]), BTreeSet::from(["a up".into(), "b up".into()]));
    outer.down(&land);
    assert_eq!(land.processes(), [0; 0]);
    let heard: Vec<String> = std::iter::from_fn(|| land.tree.heard_already()).collect();
    for name in ["a", "b"] {
        let of_it: Vec<&String> = heard.iter().filter(|line| line.starts_with(name)).collect();
        assert_eq!(of_it, [&format!("{name} ends"), &format!("{name} log ends")]);
    }
    assert_eq!(heard.len(), 4, "{heard:?}");

    // And up again.
    assert_eq!(land.tree.sv(&["up", outer.running.directory.to_str().unwrap()]).code, Some(0));
    assert_eq!(BTreeSet::from([land.tree.heard(), land.tree.heard()]), BTreeSet::from(["a up".into(), "b up".into()]));
}

#[test]
fn down_stops_every_service_and_then_its_log_service() {
    down_stops_all_in_order(Path::new("runsv"));
}

#[test]
fn down_stops_every_service_and_then_its_log_service_under_c_runits_runsv() {
    let Some(runit) = runit() else { return };
    down_stops_all_in_order(&runit.join("runsv"));
}

fn what_ignores_term_is_killed(runsv: &Path) {
    let Some(land) = Land::made() else { return };
    // One that ignores it, and one that left its service for a session of its own.
    land.script("service/deaf/run", "trap '' TERM; say up; exec sleep 1000");
    land.script("service/stray/run", "trap '' TERM; setsid sleep 1000 & say up; trap - TERM; exec sleep 1000");
    let outer = Outer::of(&land, runsv, "DEADLINE=1s\n");
    assert_eq!((land.tree.heard(), land.tree.heard()), ("up".into(), "up".into()));
    outer.down(&land);
    assert_eq!(land.processes(), [0; 0]);
}

#[test]
fn what_ignores_term_is_killed_at_the_deadline() {
    what_ignores_term_is_killed(Path::new("runsv"));
}

#[test]
fn what_ignores_term_is_killed_at_the_deadline_under_c_runits_runsv() {
    let Some(runit) = runit() else { return };
    what_ignores_term_is_killed(&runit.join("runsv"));
}

fn a_refusal_puts_the_service_down(runsv: &Path) {
    let Some(land) = Land::made() else { return };
    let unknown = new_name();
    let name = format!("runsvdir-{unknown}");
    let outer = Outer::start(&land, runsv, &name, &name, "");
    assert_eq!(land.tree.heard(), format!("log: runsvdir-user {unknown}: fatal: unknown user"));
    let wanted = format!(
        "log: {name}: warning: exit code 101, starting again cannot help: it stays down; repair it, then: sv up {name}"
    );
    assert_eq!(land.tree.heard(), wanted);
    outer.running.wait(|status| status.state == State::Down && status.want == Want::Down);
    assert_eq!(land.tree.heard_already(), None);
    // It was only put down: a command starts it again.
    outer.running.control(b"u");
    assert_eq!(land.tree.heard(), format!("log: runsvdir-user {unknown}: fatal: unknown user"));
}

#[test]
fn a_refusal_puts_the_outer_service_down() {
    a_refusal_puts_the_service_down(Path::new("runsv"));
}

#[test]
fn a_refusal_puts_the_outer_service_down_under_c_runits_runsv() {
    let Some(runit) = runit() else { return };
    a_refusal_puts_the_service_down(&runit.join("runsv"));
}

#[test]
fn an_ordinary_user_runs_his_own_tree_in_a_runtime_directory_of_his_own() {
    let land = Land::anybody();
    land.script(
        "service/foo/run",
        "say \"$(id -un) $USER $SVDIR $XDG_RUNTIME_DIR $(umask) ${DROPPED-none}\"; exec sleep 1000",
    );
    let services = land.user.home.join("service");
    let name = land.user.name.as_str();
    let temporary = land.directory("tmp");
    let brought = land.directory("brought");
    fs::set_permissions(&brought, Permissions::from_mode(0o700)).unwrap();
    let standard = PathBuf::from(format!("/run/user/{}", land.user.uid));
    let own = temporary.join(format!("runtime-{}", land.user.uid));
    let without = if standard.exists() { standard } else { own };
    for (runtime, wanted) in [(Some(&brought), &brought), (None, &without), (None, &without)] {
        let mut command = land.as_user("runsvdir-user");
        command.args([name, services.to_str().unwrap()]).env("DROPPED", "x").env("TMPDIR", &temporary);
        if let Some(runtime) = runtime {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        let started = Started::by(&mut command);
        let heard = land.tree.heard();
        assert_eq!(heard, format!("{name} {name} {} {} 0022 none", services.display(), wanted.display()));
        let (status, said) = started.stop();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
        assert_eq!(fs::metadata(wanted).unwrap().mode() & 0o7777, 0o700);
    }
}

#[test]
fn an_ordinary_users_runtime_directory_must_be_his() {
    let land = Land::anybody();
    let temporary = land.directory("tmp");
    let name = land.user.name.as_str();
    let own = temporary.join(format!("runtime-{}", land.user.uid));
    symlink("/", &own).unwrap();
    let services = land.directory("service");
    let mut command = land.as_user("runsvdir-user");
    command.args([name, services.to_str().unwrap()]).env("TMPDIR", &temporary);
    if PathBuf::from(format!("/run/user/{}", land.user.uid)).exists() {
        command.env("XDG_RUNTIME_DIR", &own);
    }
    let text =
        format!("runsvdir-user {name}: fatal: runtime directory {} is a link: it must be a directory\n", own.display());
    assert_eq!(Outcome::of(&mut command), fails(&text, 107));
}

#[test]
fn the_log_of_a_tree_is_kept_only_where_nobody_else_can_write() {
    let tree = Tree::new();
    let script = tree.directory("runsvdir-foo/log").join("run");
    put_program(&script, include_str!("../../etc/sv/runsvdir-user/log/run"));
    // Stands in for svlogd: which directory it is given.
    tree.service("bin").script("svlogd", "for directory; do :; done; say \"$directory\"");
    let path = format!("{}:/usr/bin:/bin", tree.path("bin").display());
    let log_dir = tree.path("logs/deep/foo");
    fs::write(tree.path("runsvdir-foo/log/conf"), format!("LOG_DIR='{}'\n", log_dir.display())).unwrap();
    let keeps_it_there = || {
        let mut command = tree.command(&script);
        let said = Outcome::of(command.env("PATH", &path).current_dir(tree.path("runsvdir-foo/log")));
        let used = tree.heard();
        let refused = format!(
            "runsvdir-foo: warning: unable to use {}, or others can write there: the log is log/main\n",
            log_dir.display()
        );
        let is_there = Path::new(&used) == log_dir;
        assert_eq!(
            (used.as_str(), said.stderr),
            if is_there { (used.as_str(), String::new()) } else { ("./main", refused) }
        );
        is_there
    };
    let give_mode = |path: &str, mode| fs::set_permissions(tree.path(path), Permissions::from_mode(mode)).unwrap();
    assert!(keeps_it_there(), "it is made, with its parents");
    assert_eq!(fs::metadata(&log_dir).unwrap().permissions().mode() & 0o7777, 0o750);
    for (path, mode) in [("logs/deep/foo", 0o770), ("logs/deep/foo", 0o702), ("logs/deep", 0o777), ("logs", 0o757)] {
        give_mode(path, mode);
        assert!(!keeps_it_there(), "{path} has mode {mode:o}");
        give_mode(path, 0o755);
        assert!(keeps_it_there());
    }
    give_mode("logs", 0o1777);
    assert!(keeps_it_there(), "in a directory with the sticky bit nobody else can replace it");
    if is_root() {
        for path in ["logs/deep/foo", "logs/deep"] {
            std::os::unix::fs::chown(tree.path(path), Some(1), None).unwrap();
            assert!(!keeps_it_there(), "{path} is somebody else's");
            std::os::unix::fs::chown(tree.path(path), Some(0), None).unwrap();
        }
        fs::rename(tree.path("logs"), tree.path("real")).unwrap();
        symlink("real", tree.path("logs")).unwrap();
        assert!(keeps_it_there());
        std::os::unix::fs::chown(tree.path("real"), Some(1), None).unwrap();
        assert!(!keeps_it_there(), "what a link leads through counts");
    }
}
