//! Being told of changes: in the services directory, on the way to it, and on the way to what its links lead to.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::way::{self, Way};
use crate::sys::file;
use crate::sys::inotify::{Change, Changes, Watch, Watcher};

/// What matters in the services directory.
const INSIDE: Changes = Changes::IN_CREATE
    .union(Changes::IN_DELETE)
    .union(Changes::IN_MOVED_FROM)
    .union(Changes::IN_MOVED_TO)
    .union(Changes::IN_ATTRIB)
    .union(Changes::IN_DELETE_SELF)
    .union(Changes::IN_MOVE_SELF);

/// What matters on the way: that a name is another's, or may be read now.
const ON_THE_WAY: Changes = Changes::IN_CREATE
    .union(Changes::IN_DELETE)
    .union(Changes::IN_MOVED_FROM)
    .union(Changes::IN_MOVED_TO)
    .union(Changes::IN_ATTRIB);

/// What matters of whatever is above: that another may come in its place.
const ABOVE: Changes = Changes::IN_MOVE_SELF;

/// The watches, renewed with each look at the services directory: what has become needless goes.
pub struct Watches {
    /// None where there are none to be had.
    watcher: Option<Watcher>,
    held: HashMap<Watch, Interest>,
    /// The services directory, without the links that lead to it.
    directory: PathBuf,
    round: Round,
}

/// What a watch is for.
#[derive(Default)]
struct Interest {
    /// It is that of the services directory: for its entries.
    entries: bool,
    /// The names on the way to something.
    names: HashSet<OsString>,
}

/// What one look at the services directory needs.
#[derive(Default)]
struct Round {
    held: HashMap<Watch, Interest>,
    /// The places so far.
    places: HashMap<PathBuf, Watch>,
    /// The directories above them.
    above: HashSet<PathBuf>,
    /// Where links lead to, read once.
    links: HashMap<PathBuf, Option<PathBuf>>,
    /// What the ways to the ends of links share, gone once: all but the last name of where links lead to. None where
    /// that is not so simple.
    uppers: HashMap<OsString, Option<Upper>>,
    /// Something is not told.
    is_blind: bool,
}

/// Where a way to something leads that is one name further.
struct Upper {
    /// Without the links that led there.
    end: PathBuf,
    watch: Watch,
}

impl Watches {
    /// No watches yet.
    pub fn new(watcher: Option<Watcher>) -> Watches {
        Watches { watcher, held: HashMap::new(), directory: PathBuf::new(), round: Round::default() }
    }

    /// A look at everything begins.
    pub fn begin(&mut self) {
        self.round = Round { is_blind: self.watcher.is_none(), ..Round::default() };
    }

    /// A look at a part begins: what is watched for the rest stays.
    pub fn go_on(&mut self) {
        self.begin();
        self.round.held = std::mem::take(&mut self.held);
    }

    /// Watches the services directory, and the way to it.
    pub fn add_directory(&mut self, directory: &Path) {
        self.directory = self.add_way(Path::new("."), directory);
        match self.watch(directory, |watcher| watcher.watch(directory, INSIDE)) {
            Ok(watch) => self.round.held.entry(watch).or_default().entries = true,
            Err(_) => self.round.is_blind = true,
        }
    }

    /// Watches the way to what a link in the services directory leads to, its `target`. The link itself is watched
    /// already.
    pub fn add_link(&mut self, target: &Path) {
        let directory = std::mem::take(&mut self.directory);
        if !self.add_end(&directory, target) {
            self.add_way(&directory, target);
        }
        self.directory = directory;
    }

    /// Watches the end of the way to `path`. False where it is not known what is before that, or where a link is there.
    fn add_end(&mut self, from: &Path, path: &Path) -> bool {
        let (Some(upper), Some(name)) = (path.parent(), path.file_name()) else { return false };
        if !self.round.uppers.contains_key(upper.as_os_str()) {
            let found = self.add_upper(from, upper);
            self.round.uppers.insert(upper.into(), found);
        }
        let Some(Some(upper)) = self.round.uppers.get_mut(upper.as_os_str()) else { return false };
        upper.end.push(name);
        let is_link = file::is_link(&upper.end);
        upper.end.pop();
        if is_link {
            return false;
        }
        self.round.held.entry(upper.watch).or_default().names.insert(name.to_owned());
        true
    }

    /// Watches each link on the way to the directory `path`, and the directory.
    fn add_upper(&mut self, from: &Path, path: &Path) -> Option<Upper> {
        let way = self.walk(from, path);
        if way.is_circle() {
            return None;
        }
        let watch = self.watch_place(&way.end).ok()?;
        way.links.into_iter().for_each(|(place, name)| self.add_place(place, name));
        Some(Upper { end: way.end, watch })
    }

    /// Watches the way to `path`, from a place to which no link leads: each link on it, and its end. Gives the end.
    fn add_way(&mut self, from: &Path, path: &Path) -> PathBuf {
        let way = self.walk(from, path);
        for (place, name) in way.links.into_iter().chain(way.last) {
            self.add_place(place, name);
        }
        way.end
    }

    fn walk(&mut self, from: &Path, path: &Path) -> Way {
        let links = &mut self.round.links;
        way::walk(from, path, |at| match links.get(at) {
            Some(known) => known.clone(),
            None => links.entry(at.to_path_buf()).or_insert(fs::read_link(at).ok()).clone(),
        })
    }

    /// Watches for `name` in `place`; where that is missing, for the place itself.
    fn add_place(&mut self, mut place: PathBuf, mut name: OsString) {
        let watch = loop {
            match self.watch_place(&place) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let (Some(upper), Some(missing)) = (place.parent(), place.file_name()) else { break None };
                    (place, name) = (upper.to_path_buf(), missing.to_owned());
                }
                found => break found.ok(),
            }
        };
        let Some(watch) = watch else {
            self.round.is_blind = true;
            return;
        };
        self.round.held.entry(watch).or_default().names.insert(name);
    }

    fn watch_place(&mut self, place: &Path) -> io::Result<Watch> {
        if let Some(watch) = self.round.places.get(place) {
            return Ok(*watch);
        }
        // Also: it may be the services directory.
        let watch = self.watch(place, |watcher| watcher.watch_also(place, ON_THE_WAY))?;
        self.round.places.insert(place.to_path_buf(), watch);
        self.watch_above(place);
        Ok(watch)
    }

    /// Watches for `place`, or what is above it, to be moved away. Of what cannot be read that is not told.
    fn watch_above(&mut self, place: &Path) {
        let Some(watcher) = &self.watcher else { return };
        for above in place.ancestors().filter(|above| !above.as_os_str().is_empty()) {
            if !self.round.above.insert(above.to_path_buf()) {
                return; // and so is what is above that
            }
            if let Ok(watch) = watcher.watch_also(above, ABOVE) {
                self.round.held.entry(watch).or_default();
            }
        }
    }

    fn watch(&mut self, path: &Path, ask: impl FnOnce(&Watcher) -> io::Result<Watch>) -> io::Result<Watch> {
        let watch = ask(self.watcher.as_ref().ok_or(io::ErrorKind::Unsupported)?)?;
        self.round.is_blind |= !file::tells_of_changes(path);
        Ok(watch)
    }

    /// The look is over; says whether every change will be told. Where it was not `understood`, what was watched before
    /// stays.
    pub fn end(&mut self, understood: bool) -> bool {
        let round = std::mem::take(&mut self.round);
        let before = std::mem::replace(&mut self.held, round.held);
        for (watch, interest) in before {
            if self.held.contains_key(&watch) {
                continue;
            }
            if understood {
                // It fails for what the kernel has given up already: the directory is gone.
                self.watcher.iter().for_each(|watcher| watcher.forget(watch));
            } else {
                self.held.insert(watch, interest);
            }
        }
        !round.is_blind
    }

    /// Takes what was told. Gives each entry of the services directory that has changed to `take`; says whether
    /// everything is to be looked at, because of something else, or as `take` says so with false.
    pub fn take_changes(&self, mut take: impl FnMut(OsString) -> bool) -> bool {
        let Some(watcher) = &self.watcher else { return false };
        let mut is_more = false;
        // Until it is empty: it is told once.
        loop {
            match watcher.changes() {
                Ok(changes) if changes.is_empty() => return is_more,
                Ok(changes) => changes.into_iter().for_each(|change| is_more |= self.is_more(change, &mut take)),
                Err(_) => return true, // who knows
            }
        }
    }

    fn is_more(&self, change: Change, take: &mut impl FnMut(OsString) -> bool) -> bool {
        let Some(interest) = self.held.get(&change.watch) else {
            return change.what.contains(Changes::IN_Q_OVERFLOW);
        };
        match change.name {
            Some(name) if interest.names.contains(&name) => true,
            Some(name) => interest.entries && !take(name),
            None => true,
        }
    }
}
