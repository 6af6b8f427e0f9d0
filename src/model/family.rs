//! Who descends from whom, for the stop of a whole tree.

/// A process and its parent.
pub type Relation = (i32, i32);

/// Every descendant of `ancestor`, without itself and without the subtrees of `spared`. Parents come before children.
pub fn descendants(relations: &[Relation], ancestor: i32, spared: &[i32]) -> Vec<i32> {
    let mut found = vec![ancestor];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        at += 1;
        let children = relations.iter().filter(|(pid, of)| *of == parent && *pid != parent).map(|(pid, _)| *pid);
        let new: Vec<i32> = children.filter(|pid| !spared.contains(pid) && !found.contains(pid)).collect();
        found.extend(new);
    }
    found.split_off(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_found_through_every_generation_and_the_spared_are_left_out() {
        let relations = [(5, 4), (2, 1), (3, 2), (4, 2), (9, 8), (6, 3), (1, 0)];
        assert_eq!(descendants(&relations, 2, &[]), [3, 4, 6, 5]);
        assert_eq!(descendants(&relations, 2, &[3]), [4, 5]);
        assert_eq!(descendants(&relations, 7, &[]), []);
    }

    #[test]
    fn a_loop_in_a_torn_reading_of_the_table_ends() {
        assert_eq!(descendants(&[(2, 3), (3, 2), (2, 2)], 2, &[]), [3]);
    }
}
