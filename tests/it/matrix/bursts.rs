//! Many control bytes at once, to either runsv: what comes of them, in which order, and what the records say then.

use std::fs;
use std::path::Path;

use homerun::model::status::{State, Want};

use super::*;
use crate::support::*;

/// `length` bytes of `alphabet`, always the same for the same `seed`.
fn burst(alphabet: &[u8], length: usize, seed: u32) -> String {
    let mut state = seed;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        alphabet[(state >> 16) as usize % alphabet.len()]
    });
    String::from_utf8(bytes.take(length).collect()).unwrap()
}

/// What the status record says but for time and pid, and the line of `stat`.
fn record(foo: &Running) -> String {
    format!("{:?} {:?}", &fs::read(foo.directory.join("supervise/status")).unwrap()[16..], foo.record("stat"))
}

#[test]
fn bursts_end_as_they_do_with_the_original() {
    let Some(runit) = runit() else { return };
    let ends = |runsv: &Path| {
        let tree = Tree::new();
        let bursts = ["ddd", "uod", "od\n", "dpc", "pcd", "dk", "kd", "u1d"];
        let start = |burst| {
            let service = tree.service(&format!("foo-{}", str::trim_end(burst)));
            (burst, service.run("say up; exec sleep 1000").start_by(tree.command(runsv)))
        };
        let services = bursts.map(start);
        bursts.iter().for_each(|_| assert_eq!(tree.heard(), "up"));
        for (burst, foo) in &services {
            foo.wait(|status| status.state == State::Run);
            foo.control(burst.as_bytes());
        }
        let end = |(burst, foo): &(&str, Running)| {
            // No burst ends paused: what is paused was read in the middle of it.
            foo.wait(|status| is_down(status) && status.want == Want::Down && !status.paused);
            format!("{burst} {} {:?}", record(foo), foo.record("pid"))
        };
        services.iter().map(end).collect::<Vec<_>>()
    };
    same(&ends(&programs().join("runsv")), &ends(&runit.join("runsv")));
}

/// Every byte leaves a trace: a hook notes it and stands in for the signal, so that the service lives on.
#[test]
fn of_a_long_burst_no_byte_is_lost_or_overtaken_by_either() {
    let Some(runit) = runit() else { return };
    let traces = |runsv: &Path| {
        let tree = Tree::new();
        let mut services = Vec::new();
        for seed in 0..8 {
            let mut service = tree.service(&seed.to_string()).run("exec sleep 1000");
            for byte in "tdxpchaiq1".chars() {
                service = service.script(&format!("control/{byte}"), &format!("echo {byte} >>trace"));
            }
            service = service.script("control/2", "say end");
            // The even ones run when the burst comes; the others are down, and are started in the middle of it.
            let burst = if seed % 2 == 0 {
                burst(b"udotxpchaiq1\n", 40, seed)
            } else {
                service = service.file("down", "");
                burst(b"tkpchaiq1d?", 10, seed) + "o" + &burst(b"udotxpchaiq1", 30, seed)
            };
            services.push((burst, service.start_by(tree.command(runsv))));
        }
        for (seed, (burst, foo)) in services.iter().enumerate() {
            foo.wait(|status| if seed % 2 == 0 { status.pid != 0 } else { is_down(status) });
            foo.control(format!("{burst}2").as_bytes());
        }
        services.iter().for_each(|_| assert_eq!(tree.heard(), "end"));
        let trace = |(burst, foo): &(String, Running)| {
            let trace = fs::read_to_string(foo.directory.join("trace")).unwrap().replace('\n', "");
            format!("{burst:?}: {trace} {}", record(foo))
        };
        services.iter().map(trace).collect::<Vec<_>>()
    };
    let ours = traces(&programs().join("runsv"));
    same(&ours, &traces(&runit.join("runsv")));
}

#[test]
fn a_burst_while_finish_runs_leaves_the_same_record() {
    let Some(runit) = runit() else { return };
    let records = |runsv: &Path| {
        let tree = Tree::new();
        let start = |seed: u32| {
            let service = tree.service(&seed.to_string()).run("exit 1").finish("say finish; exec sleep 1000");
            service.start_by(tree.command(runsv))
        };
        let services: Vec<_> = (0..6).map(start).collect();
        services.iter().for_each(|_| assert_eq!(tree.heard(), "finish"));
        let record = |(seed, foo): (u32, &Running)| {
            foo.wait(|status| status.state == State::Finish && status.pid != 0);
            let burst = burst(b"udoxthaiq12c\0", 30, seed);
            foo.control(format!("{burst}p").as_bytes());
            foo.wait(|status| status.paused);
            format!("{burst:?} {}", record(foo))
        };
        (0..).zip(&services).map(record).collect::<Vec<_>>()
    };
    same(&records(&programs().join("runsv")), &records(&runit.join("runsv")));
}
