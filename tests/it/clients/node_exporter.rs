//! node_exporter's runit collector, which reads `supervise/status` and looks for `down`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use homerun::model::status::State;

use crate::support::*;

use super::{Watched, client};

/// An exporter, and where it listens.
struct Exporter {
    child: Child,
    address: String,
}

impl Exporter {
    fn of(program: &Path, watched: &Watched) -> Exporter {
        let mut command = watched.tree.command(program);
        command.args(["--collector.disable-defaults", "--collector.runit", "--web.disable-exporter-metrics"]);
        command.arg("--web.listen-address=127.0.0.1:0").stderr(Stdio::piped());
        command.arg(format!("--collector.runit.servicedir={}", watched.tree.path("service").display()));
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let address =
            lines.find_map(|line| line.split_once("\"Listening on\" address=").map(|(_, rest)| rest.to_owned()));
        // It goes on to speak: somebody listens until it ends.
        std::thread::spawn(move || lines.count());
        Exporter { child, address: address.unwrap().split(' ').next().unwrap().to_owned() }
    }

    /// All that it has to say of services: `METRIC SERVICE`, and the number.
    fn numbers(&self) -> BTreeMap<String, f64> {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(connection, "GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        connection.read_to_string(&mut page).unwrap();
        let metrics = page.lines().filter_map(|line| line.strip_prefix("node_service_"));
        metrics
            .map(|line| {
                let (name, rest) = line.split_once("{service=\"").unwrap();
                let (service, number) = rest.split_once("\",supervisor=\"runit\"} ").unwrap();
                (format!("{name} {service}"), number.parse().unwrap())
            })
            .collect()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn story(program: &Path, programs: &Path) -> BTreeMap<String, f64> {
    let watched = Watched::with(programs, |tree| {
        tree.service("sv/down").run("exec sleep 1000").file("down", "");
        tree.service("sv/ends").run("exit 0").finish("say ends; exec sleep 1001");
        tree.service("sv/once").run("exec sleep 1000").file("down", "");
        tree.service("sv/stopped").run("exec sleep 1000");
        tree.service("sv/up").run("exec sleep 1000").log("exec cat >/dev/null");
    });
    watched.wait_until_it_runs("up");
    watched.wait_until_it_runs("stopped");
    watched.wait_until_it_is_down("once");
    watched.wait("ends", |status| status.state == State::Finish && status.pid != 0);
    assert_eq!(watched.tree.heard(), "ends");
    for (word, name) in [("once", "once"), ("stop", "stopped")] {
        Outcome::of(watched.tree.command("sv").env("SVDIR", watched.tree.path("service")).args(["-v", word, name]));
    }
    watched.wait_until_it_runs("once");
    watched.wait_until_it_is_down("stopped");
    let mut numbers = Exporter::of(program, &watched).numbers();
    for name in ["down", "ends", "once", "stopped", "up"] {
        let key = format!("state_last_change_timestamp_seconds {name}");
        let since = watched.wait(name, |_| true).since;
        assert_eq!(numbers.remove(&key).map(|seconds| seconds as u64), Some(since.unix_seconds()), "{name}");
    }
    numbers
}

#[test]
fn node_exporter_counts_our_services_as_it_does_the_originals() {
    let Some(program) = client("prometheus-node-exporter") else { return };
    let Some((ours, original)) = super::with_both(|programs| story(&program, programs)) else { return };
    assert_eq!(ours, original);
}
