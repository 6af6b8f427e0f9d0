//! What holds of the rules for any input, tried with a few hundred invented ones each, the same every time. A failure
//! prints the smallest input that fails. `PROPTEST_RNG_SEED`, a number, is for others, and `PROPTEST_CASES` for more.

mod rules;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

/// No file is left in the sources, and a machine that is to say yes or no says the same each time.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let rng_seed = if default.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { default.rng_seed };
    ProptestConfig { failure_persistence: None, rng_seed, ..default }
}

/// Bytes with many of `usual`, which mean something, between any others.
fn bytes(usual: &'static [u8], longest: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![8 => select(usual), 1 => any::<u8>()], 0..=longest)
}

/// Lines that begin like directives.
fn config_file() -> impl Strategy<Value = Vec<u8>> {
    let argument = prop_oneof![
        Just(Vec::new()),
        "[0-9]{0,25}[kmhx]?".prop_map(String::into_bytes),
        "[0-9]{1,4}(\\.[0-9]{1,3}){3}(:[0-9]{0,6})?".prop_map(String::into_bytes),
        bytes(b"127.0.0.1:*+ ", 12),
    ];
    let line = (select(&b"snNt!uUp+-eE# x"[..]), argument).prop_map(|(directive, mut rest)| {
        rest.insert(0, directive);
        rest
    });
    (vec(line, 0..24), any::<bool>()).prop_map(|(lines, ended)| {
        let mut file = lines.join(&b'\n');
        file.extend(ended.then_some(b'\n'));
        file
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_status_record_comes_back_as_it_was(
        since_and_pid in vec(any::<u8>(), 16),
        letters in (0u8..3, select(&b"udx"[..]), 0u8..3, 0u8..5),
        any_bytes in vec(any::<u8>(), 0..40),
    ) {
        let (paused, want, term, state) = letters;
        rules::status(&[&since_and_pid[..], &[paused, want, term, state]].concat());
        rules::status(&any_bytes);
    }

    #[test]
    fn a_file_of_an_environment_directory_sets_its_first_line(
        name in bytes(b"ABC_=.", 8),
        content in bytes(b"ab= \t\n\0\r", 24),
    ) {
        rules::envdir(&name, &content);
    }

    #[test]
    fn an_id_is_what_is_written_and_0_only_where_0_is_written(
        text in prop_oneof![
            bytes(b":0123456789ab", 24),
            ":[0-9]{0,11}(:[0-9]{0,11}){0,4}".prop_map(String::into_bytes),
        ],
    ) {
        rules::ids(&text);
    }

    #[test]
    fn every_file_is_a_config_and_the_last_line_of_each_directive_counts(
        file in prop_oneof![config_file(), bytes(b"snNt!uUp+-eE09km.:\n\0", 60)],
    ) {
        rules::config(&file);
    }

    #[test]
    fn a_pattern_matches_what_the_manual_says(pattern in bytes(b"ab*+|", 10), line in bytes(b"ab*+", 12)) {
        rules::pattern(&pattern, &line);
    }

    #[test]
    fn commands_are_obeyed_in_order_and_no_process_is_started_twice(
        stream in bytes(b"udoxtkpchaiq12", 60),
        world in vec(any::<u8>(), 0..200),
    ) {
        rules::control(&stream, &world);
    }

    #[test]
    fn lines_do_not_depend_on_where_reads_end_and_none_is_lost(
        stream in bytes(b"ab\n", 120),
        cuts in vec(0u8..20, 0..8),
        max_head in 0usize..12,
        replace in proptest::option::of((any::<u8>(), vec(any::<u8>(), 0..3))),
        max_bytes in 0u64..40,
    ) {
        rules::lines(&stream, &cuts, max_head, replace, max_bytes);
    }
}
