//! Stores with one number changed, under checksums that are right.

use duramen::fs::FileKind;
use duramen::testing::hostile;

use crate::mutated::subject::Subject;

/// One forged store.
pub(crate) struct Mutant {
    pub(crate) what: String,
    pub(crate) subject: Subject,
    /// Which file was changed.
    pub(crate) place: usize,
    /// Whether the manifest is to say what the changed part says of itself.
    pub(crate) adopted: bool,
}

/// What a number of so many bytes may be changed to.
fn values(width: usize, number: u64) -> Vec<u64> {
    let top = if width == 8 { u64::MAX } else { (1 << (8 * width)) - 1 };
    let mut values = vec![0, 1, 2, 3, 4096, top, top - 1, top / 2, top / 2 + 1];
    let near = [number.wrapping_add(1), number.wrapping_sub(1), number.wrapping_mul(2), number / 2];
    values.extend(near);
    values.extend([number.wrapping_add(4096), number.wrapping_sub(4096), number ^ (1 << 12)]);
    if width == 8 {
        values.extend([1 << 31, 1 << 32, 1 << 40, (1 << 61) - 1, 1 << 61, (1 << 61) + 1]);
    }
    values.iter_mut().for_each(|value| *value &= top);
    values.sort_unstable();
    values.dedup();
    values.retain(|value| *value != number);
    values
}

fn get(bytes: &[u8], at: usize, width: usize) -> u64 {
    let mut number = [0; 8];
    number[..width].copy_from_slice(&bytes[at..at + width]);
    u64::from_le_bytes(number)
}

/// Every way to change the number at `at`.
fn changes(bytes: &[u8], at: usize, width: usize) -> impl Iterator<Item = (u64, Vec<u8>)> {
    values(width, get(bytes, at, width)).into_iter().map(move |value| {
        let mut changed = bytes.to_vec();
        changed[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        (value, changed)
    })
}

/// All mutants of a store.
pub(crate) fn all(subject: &Subject) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    manifests(subject, &mut mutants);
    parts(subject, &mut mutants);
    groups(subject, &mut mutants);
    mutants
}

fn mutant(subject: &Subject, place: usize, bytes: Vec<u8>, what: &str) -> Mutant {
    let mut changed = subject.clone();
    let (file, old) = &mut changed.files[place];
    let what = format!("{}: {file}, {what}", subject.name);
    *old = bytes;
    Mutant { what, subject: changed, place, adopted: false }
}

/// The newest manifest, at every place where a number can stand, and the one that it has the changes to.
fn manifests(subject: &Subject, mutants: &mut Vec<Mutant>) {
    let places = subject.places(FileKind::Manifest);
    let count = if subject.name == "changes" { places.len() } else { 1 };
    places.iter().rev().take(count).for_each(|place| manifest(subject, *place, mutants));
}

fn manifest(subject: &Subject, place: usize, mutants: &mut Vec<Mutant>) {
    let bytes = &subject.files[place].1;
    for width in [2, 4, 8] {
        for at in (8..bytes.len() - 8 - width).step_by(2) {
            for (value, mut changed) in changes(bytes, at, width) {
                hostile::fix_manifest(&mut changed);
                let what = format!("{width} bytes at {at} are {value}");
                mutants.push(mutant(subject, place, changed, &what));
            }
        }
    }
}

/// The fields of a part's header: where, and how wide.
const HEADER: [(usize, usize); 11] = [
    (8, 2),
    (10, 2),
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
    (56, 8),
    (64, 8),
    (88, 2),
];
/// Those of its footer.
const FOOTER: [(usize, usize); 6] = [(10, 2), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8)];
/// Those of a record in the directory of bundles.
const RECORD: [(usize, usize); 9] =
    [(0, 8), (8, 8), (16, 8), (24, 4), (28, 4), (32, 8), (40, 8), (88, 8), (144, 8)];
const RECORD_LEN: usize = 152;

/// Header and footer of each part: the header as it is, with the file as long as it then has to be, and with a
/// manifest that says the same.
fn parts(subject: &Subject, mutants: &mut Vec<Mutant>) {
    for place in subject.places(FileKind::Part) {
        let bytes = &subject.files[place].1;
        for (at, width) in HEADER {
            for (value, mut changed) in changes(bytes, at, width) {
                hostile::fix_block(&mut changed[..4096]);
                let what = format!("{width} bytes of the header at {at} are {value}");
                let alone = mutant(subject, place, changed.clone(), &what);
                mutants.push(Mutant { adopted: true, ..alone });
                mutants.push(mutant(subject, place, changed.clone(), &what));
                let fits = |len: &u64| (8192..1 << 20).contains(len);
                let Some(len) = hostile::part_len(&changed).filter(fits) else { continue };
                changed.resize(usize::try_from(len).unwrap(), 7);
                hostile::fix_part(&mut changed);
                let long = mutant(subject, place, changed, &format!("{what}, {len} bytes"));
                mutants.push(Mutant { adopted: true, ..long });
            }
        }
        let footer = bytes.len() - 4096;
        // Behind the directory come one block of checksums and the footer.
        let directory = footer.saturating_sub(2 * 4096);
        if subject.name.contains("entries") {
            for (at, width) in (0..2)
                .flat_map(|record| RECORD.map(|(at, width)| (record * RECORD_LEN + at, width)))
            {
                for (value, mut changed) in changes(bytes, directory + at, width) {
                    hostile::fix_part(&mut changed);
                    let what = format!("{width} bytes of the directory at {at} are {value}");
                    let alone = mutant(subject, place, changed, &what);
                    mutants.push(Mutant { adopted: true, ..alone });
                }
            }
        }
        for (at, width) in FOOTER {
            for (value, mut changed) in changes(bytes, footer + at, width) {
                hostile::fix_block(&mut changed[footer..]);
                let what = format!("{width} bytes of the footer at {at} are {value}");
                let alone = mutant(subject, place, changed, &what);
                mutants.push(Mutant { adopted: true, ..alone });
            }
        }
    }
}

/// The header of a group: frames, life, store, and the numbers.
const GROUP: [(usize, usize); 14] = [
    (10, 2),
    (12, 4),
    (16, 8),
    (24, 8),
    (32, 8),
    (40, 8),
    (48, 8),
    (56, 8),
    (64, 8),
    (72, 8),
    (80, 8),
    (88, 8),
    (96, 8),
    (112, 8),
];
/// The header of a frame, behind that of its group.
const FRAME: [(usize, usize); 6] = [(128, 2), (130, 2), (132, 4), (136, 8), (144, 8), (152, 8)];
/// Where the length of a group stands.
const GROUP_LEN: usize = 72;

/// The groups of every segment. Where a group gets another length, its checksum covers that.
fn groups(subject: &Subject, mutants: &mut Vec<Mutant>) {
    for place in subject.places(FileKind::Segment) {
        let bytes = &subject.files[place].1;
        for (group, _) in hostile::groups(bytes) {
            for (at, width) in GROUP.into_iter().chain(FRAME) {
                for (value, mut changed) in changes(bytes, group + at, width) {
                    let len = get(&changed, group + GROUP_LEN, 8);
                    let len = usize::try_from(len).unwrap_or(usize::MAX);
                    let end = group.saturating_add(len).clamp(group + 128, changed.len());
                    hostile::fix_group(&mut changed[group..end]);
                    let what = format!("{width} bytes of the group at {group} at {at} are {value}");
                    mutants.push(mutant(subject, place, changed, &what));
                }
            }
        }
    }
}
